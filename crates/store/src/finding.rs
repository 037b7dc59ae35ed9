//! Findings: one row per matter, opened when it is first seen, cleared when it is gone, and opened
//! again when it returns.
//!
//! `raise` and `clear` say what they did, and write nothing if it is so already: whoever watches may
//! say the same in each round. A closure that does nothing else has to excuse itself.

use tenure_domain::device::Criticality;
use tenure_domain::event::Event;
use tenure_domain::finding::{
    Acknowledgement, Finding, FindingKind, FindingState, Matter, NewFinding, Subject, SubjectKind,
};
use tenure_domain::{Actor, FindingNo, TenantId};
use tenure_x509::Time;

use crate::error::StoreError;
use crate::registry::title;
use crate::stamp::Stamp;
use crate::tx::{ReadTx, Row, Tx};

/// What raising a finding did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Raised {
    /// It is open now, for the first time or again.
    Opened(FindingNo),
    /// It was open or acknowledged already; nothing was written.
    Known(FindingNo),
}

impl Raised {
    /// Its row.
    pub fn no(self) -> FindingNo {
        match self {
            Raised::Opened(no) | Raised::Known(no) => no,
        }
    }
}

/// Opens a finding in the default tenant and records it, unless the same matter is open already.
pub fn raise(
    tx: &mut Tx<'_>,
    new: &NewFinding,
    actor: &Actor,
    now: Time,
) -> Result<Raised, StoreError> {
    let stamp = Stamp::new(actor, now);
    let evidence = serde_json::to_string(&new.evidence).unwrap_or_default();
    let owner = new.owner.as_ref().map_or("", |owner| owner.as_str());
    let (open, criticality) = (FindingState::Open.code(), new.criticality.code());
    let (no, times) = match of_matter(tx, stamp.tenant, &new.matter)? {
        Some(known) if known.state != FindingState::Cleared => {
            return Ok(Raised::Known(known.no));
        }
        Some(known) => {
            tx.run(
                "UPDATE finding SET state = $2, criticality = $3, times = $4, opened = $5,
                   cleared = 0, summary = $6, evidence = $7, owner = $8, acknowledged = ''
                 WHERE no = $1",
                &[
                    &known.no.0,
                    &open,
                    &criticality,
                    &(known.times + 1),
                    &now.unix(),
                    &new.summary,
                    &evidence,
                    &owner,
                ],
            )?;
            (known.no.0, known.times + 1)
        }
        None => {
            let no = tx.insert(
                "INSERT INTO finding(tenant, kind, state, subject_kind, criticality, times, first,
                   opened, cleared, subject, cause, summary, evidence, owner, acknowledged)
                 VALUES($1, $2, $3, $4, $5, 1, $6, $6, 0, $7, $8, $9, $10, $11, '') RETURNING no",
                &[
                    &stamp.tenant.0,
                    &new.matter.kind.code(),
                    &open,
                    &new.matter.subject.kind.code(),
                    &criticality,
                    &now.unix(),
                    &new.matter.subject.name,
                    &new.matter.cause,
                    &new.summary,
                    &evidence,
                    &owner,
                ],
            )?;
            (no, 1)
        }
    };
    tx.log(&stamp.entry(Event::FindingOpened {
        cause: new.matter.cause.clone(),
        criticality: new.criticality,
        evidence: new.evidence.clone(),
        finding: no,
        kind: new.matter.kind.word().to_owned(),
        owner: new.owner.as_ref().map(ToString::to_string),
        subject: new.matter.subject.to_string(),
        times,
    }))?;
    Ok(Raised::Opened(FindingNo(no)))
}

/// Clears the finding of this matter, if it is open or acknowledged; says which it was.
pub fn clear(
    tx: &mut Tx<'_>,
    matter: &Matter,
    why: &str,
    actor: &Actor,
    now: Time,
) -> Result<Option<FindingNo>, StoreError> {
    let stamp = Stamp::new(actor, now);
    let known = of_matter(tx, stamp.tenant, matter)?;
    let Some(known) = known.filter(|known| known.state != FindingState::Cleared) else {
        return Ok(None);
    };
    tx.run(
        "UPDATE finding SET state = $2, cleared = $3 WHERE no = $1",
        &[&known.no.0, &FindingState::Cleared.code(), &now.unix()],
    )?;
    tx.log(&stamp.entry(Event::FindingCleared {
        finding: known.no.0,
        why: why.to_owned(),
    }))?;
    Ok(Some(known.no))
}

/// Notes that somebody knows of a finding and why it stands; the finding as it is then, `None` if
/// there is none. Saying the same of it twice records nothing.
pub fn acknowledge(
    tx: &mut Tx<'_>,
    no: FindingNo,
    by: &str,
    why: &str,
    actor: &Actor,
    now: Time,
) -> Result<Option<Finding>, StoreError> {
    let Some(mut finding) = by_no(tx, no)? else {
        return Ok(None);
    };
    let is_said = finding
        .acknowledged
        .as_ref()
        .is_some_and(|said| said.why == why);
    if finding.state == FindingState::Cleared || is_said {
        tx.excuse("the finding is cleared, or acknowledged in these words");
        return Ok(Some(finding));
    }
    let said = Acknowledgement {
        at: now,
        by: by.to_owned(),
        why: why.to_owned(),
    };
    tx.run(
        "UPDATE finding SET state = $2, acknowledged = $3 WHERE no = $1",
        &[
            &no.0,
            &FindingState::Acknowledged.code(),
            &serde_json::to_string(&said).unwrap_or_default(),
        ],
    )?;
    let stamp = Stamp::new(actor, now);
    tx.log(&stamp.entry(Event::FindingAcknowledged {
        finding: no.0,
        why: why.to_owned(),
    }))?;
    finding.state = FindingState::Acknowledged;
    finding.acknowledged = Some(said);
    Ok(Some(finding))
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT no, kind, state, subject_kind, criticality, times, first, opened, cleared, \
             subject, cause, summary, evidence, owner, acknowledged FROM finding ",
            $rest
        )
    };
}

fn read(row: &Row<'_>) -> Result<Finding, StoreError> {
    let unreadable = |what| StoreError::Unreadable { what };
    let acknowledged = match row.text(14)? {
        "" => None,
        said => Some(serde_json::from_str(said).map_err(|_| unreadable("finding.acknowledged"))?),
    };
    Ok(Finding {
        no: FindingNo(row.get(0)?),
        matter: Matter {
            kind: FindingKind::from_code(row.get(1)?).ok_or(unreadable("finding.kind"))?,
            subject: Subject {
                kind: SubjectKind::from_code(row.get(3)?)
                    .ok_or(unreadable("finding.subject_kind"))?,
                name: row.get(9)?,
            },
            cause: row.get(10)?,
        },
        state: FindingState::from_code(row.get(2)?).ok_or(unreadable("finding.state"))?,
        summary: row.get(11)?,
        evidence: serde_json::from_str(row.text(12)?)
            .map_err(|_| unreadable("finding.evidence"))?,
        owner: match row.text(13)? {
            "" => None,
            _ => Some(title(row, 13)?),
        },
        criticality: Criticality::from_code(row.get(4)?)
            .ok_or(unreadable("finding.criticality"))?,
        times: row.get(5)?,
        first: row.time(6)?,
        opened: row.time(7)?,
        acknowledged,
        cleared: row.some_time(8)?,
    })
}

/// One finding.
pub fn by_no(tx: &ReadTx<'_>, no: FindingNo) -> Result<Option<Finding>, StoreError> {
    tx.one(select!("WHERE no = $1"), &[&no.0], read)
}

/// The finding of a matter, in whatever state.
pub fn of_matter(
    tx: &ReadTx<'_>,
    tenant: TenantId,
    matter: &Matter,
) -> Result<Option<Finding>, StoreError> {
    tx.one(
        select!(
            "WHERE tenant = $1 AND subject_kind = $2 AND subject = $3 AND kind = $4 AND cause = $5"
        ),
        &[
            &tenant.0,
            &matter.subject.kind.code(),
            &matter.subject.name,
            &matter.kind.code(),
            &matter.cause,
        ],
        read,
    )
}

/// Findings about one thing, in whatever state; at most a thousand.
pub fn about(
    tx: &ReadTx<'_>,
    tenant: TenantId,
    subject: &Subject,
) -> Result<Vec<Finding>, StoreError> {
    tx.all(
        select!(
            "WHERE tenant = $1 AND subject_kind = $2 AND subject = $3 ORDER BY kind, cause LIMIT 1000"
        ),
        &[&tenant.0, &subject.kind.code(), &subject.name],
        read,
    )
}

/// Findings about one kind of thing that are open or acknowledged; at most `limit`.
pub fn standing(
    tx: &ReadTx<'_>,
    tenant: TenantId,
    subject: SubjectKind,
    limit: u32,
) -> Result<Vec<Finding>, StoreError> {
    tx.all(
        select!(
            "WHERE tenant = $1 AND subject_kind = $2 AND state <> $3 ORDER BY subject, kind, cause
             LIMIT $4"
        ),
        &[
            &tenant.0,
            &subject.code(),
            &FindingState::Cleared.code(),
            &limit,
        ],
        read,
    )
}

/// Findings in this state (or all), newest first, before row `before`; at most `limit`.
pub fn list(
    tx: &ReadTx<'_>,
    tenant: TenantId,
    state: Option<FindingState>,
    before: Option<FindingNo>,
    limit: u32,
) -> Result<Vec<Finding>, StoreError> {
    let before = before.map_or(i64::MAX, |no| no.0);
    match state {
        Some(state) => tx.all(
            select!("WHERE tenant = $1 AND state = $2 AND no < $3 ORDER BY no DESC LIMIT $4"),
            &[&tenant.0, &state.code(), &before, &limit],
            read,
        ),
        None => tx.all(
            select!("WHERE tenant = $1 AND no < $2 ORDER BY no DESC LIMIT $3"),
            &[&tenant.0, &before, &limit],
            read,
        ),
    }
}

/// How many findings are in this state, counted up to `most`.
pub fn count(
    tx: &ReadTx<'_>,
    tenant: TenantId,
    state: FindingState,
    most: u32,
) -> Result<u64, StoreError> {
    let n = tx.number(
        "SELECT count(*) FROM (SELECT 1 FROM finding WHERE tenant = $1 AND state = $2 LIMIT $3)",
        &[&tenant.0, &state.code(), &most],
    )?;
    Ok(u64::try_from(n).unwrap_or(0))
}
