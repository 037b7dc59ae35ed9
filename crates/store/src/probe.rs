//! Probes: what relying parties did with canaries, one row per probe, and the newest of each canary
//! as a matrix.

use tenure_domain::canary::{
    Canary, Conclusion, ProbeScope, ProbeVerdict, Reception, Round, Trial, conclude,
};
use tenure_domain::event::Event;
use tenure_domain::relying_party::RelyingParty;
use tenure_domain::{Actor, ProbeNo, RelyingPartyNo, Slug, TenantId};
use tenure_x509::Time;

use crate::error::StoreError;
use crate::finding;
use crate::registry::slug;
use crate::stamp::Stamp;
use crate::tx::{ReadTx, Row, Tx};

/// Whether a class, by its number, is that of canaries: what is of it stands in no count.
pub(crate) fn is_of_canaries(class: i64) -> bool {
    class < 0
}

/// A probe that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// Its row.
    pub no: ProbeNo,
    /// The relying party's short name.
    pub party: Slug,
    /// What it showed.
    pub verdict: ProbeVerdict,
    /// When it began.
    pub began: Time,
    /// When it ended.
    pub ended: Time,
    /// Everything that was tried.
    pub round: Round,
}

/// The newest trial of one canary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    /// What became of it.
    pub trial: Trial,
    /// When.
    pub at: Time,
    /// In which probe.
    pub probe: ProbeNo,
}

/// Keeps what a probe came to, records it, and raises and clears the findings that follow from it.
pub fn add(
    tx: &mut Tx<'_>,
    (no, party): (RelyingPartyNo, &RelyingParty),
    began: Time,
    round: &Round,
    actor: &Actor,
    now: Time,
) -> Result<ProbeNo, StoreError> {
    let stamp = Stamp::new(actor, now);
    let verdict = round.verdict(party.session);
    let probe = tx.insert(
        "INSERT INTO probe(tenant, party, scope, verdict, began, ended, enforced, document)
         VALUES($1, $2, $3, $4, $5, $6, $7, $8) RETURNING no",
        &[
            &stamp.tenant.0,
            &no.0,
            &round.scope.code(),
            &verdict.code(),
            &began.unix(),
            &now.unix(),
            &round.enforced_ms.unwrap_or(-1),
            &serde_json::to_string(round).unwrap_or_default(),
        ],
    )?;
    for trial in &round.trials {
        tx.run(
            "INSERT INTO enforcement(party, issuer, canary, reception, at, probe, how)
             VALUES($1, $2, $3, $4, $5, $6, $7)
             ON CONFLICT(party, issuer, canary) DO UPDATE SET reception = excluded.reception,
               at = excluded.at, probe = excluded.probe, how = excluded.how",
            &[
                &no.0,
                &trial.issuer.as_str(),
                &trial.canary.code(),
                &trial.reception.code(),
                &now.unix(),
                &probe,
                &trial.how,
            ],
        )?;
    }
    let said = |trial: &Trial| {
        let Trial {
            canary,
            issuer,
            reception,
            how,
        } = trial;
        format!("{canary} of {issuer}: {reception} ({how})")
    };
    tx.log(&stamp.entry(Event::RelyingPartyProbed {
        enforced_ms: round.enforced_ms,
        name: party.name.to_string(),
        probe,
        scope: round.scope,
        trials: round.trials.iter().map(said).collect(),
        verdict,
    }))?;
    for conclusion in conclude(party, round, probe) {
        match conclusion {
            Conclusion::Raise(new) => {
                finding::raise(tx, &new, actor, now)?;
            }
            Conclusion::Clear(matter) => {
                let why = format!("probe {probe} found it as it must be");
                finding::clear(tx, &matter, &why, actor, now)?;
            }
        }
    }
    Ok(ProbeNo(probe))
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT probe.no, relying_party.name, probe.verdict, probe.began, probe.ended, \
             probe.document FROM probe JOIN relying_party ON relying_party.no = probe.party ",
            $rest
        )
    };
}

fn read(row: &Row<'_>) -> Result<Probe, StoreError> {
    let unreadable = |what| StoreError::Unreadable { what };
    Ok(Probe {
        no: ProbeNo(row.get(0)?),
        party: slug(row, 1)?,
        verdict: ProbeVerdict::from_code(row.get(2)?).ok_or(unreadable("probe.verdict"))?,
        began: row.time(3)?,
        ended: row.time(4)?,
        round: serde_json::from_str(row.text(5)?).map_err(|_| unreadable("probe.document"))?,
    })
}

/// One probe.
pub fn by_no(tx: &ReadTx<'_>, no: ProbeNo) -> Result<Option<Probe>, StoreError> {
    tx.one(select!("WHERE probe.no = $1"), &[&no.0], read)
}

/// The newest probe there is.
pub fn last_no(tx: &ReadTx<'_>) -> Result<ProbeNo, StoreError> {
    tx.number("SELECT coalesce(max(no), 0) FROM probe", &[])
        .map(ProbeNo)
}

/// Probes after row `after`, oldest first; at most `limit`.
pub fn after(
    tx: &ReadTx<'_>,
    tenant: TenantId,
    after: ProbeNo,
    limit: u32,
) -> Result<Vec<Probe>, StoreError> {
    tx.all(
        select!("WHERE probe.tenant = $1 AND probe.no > $2 ORDER BY probe.no LIMIT $3"),
        &[&tenant.0, &after.0, &limit],
        read,
    )
}

/// Probes of one relying party (or all), newest first, before row `before`; at most `limit`.
pub fn list(
    tx: &ReadTx<'_>,
    tenant: TenantId,
    party: Option<RelyingPartyNo>,
    before: Option<ProbeNo>,
    limit: u32,
) -> Result<Vec<Probe>, StoreError> {
    let before = before.map_or(i64::MAX, |no| no.0);
    match party {
        Some(party) => tx.all(
            select!("WHERE probe.party = $1 AND probe.no < $2 ORDER BY probe.no DESC LIMIT $3"),
            &[&party.0, &before, &limit],
            read,
        ),
        None => tx.all(
            select!("WHERE probe.tenant = $1 AND probe.no < $2 ORDER BY probe.no DESC LIMIT $3"),
            &[&tenant.0, &before, &limit],
            read,
        ),
    }
}

/// The newest trial of each canary at one relying party, by issuer and canary.
pub fn cells(tx: &ReadTx<'_>, party: RelyingPartyNo) -> Result<Vec<Cell>, StoreError> {
    let unreadable = |what| StoreError::Unreadable { what };
    tx.all(
        "SELECT issuer, canary, reception, at, probe, how FROM enforcement WHERE party = $1
         ORDER BY issuer, canary",
        &[&party.0],
        |row| {
            Ok(Cell {
                trial: Trial {
                    canary: Canary::from_code(row.get(1)?)
                        .ok_or(unreadable("enforcement.canary"))?,
                    issuer: slug(row, 0)?,
                    reception: Reception::from_code(row.get(2)?)
                        .ok_or(unreadable("enforcement.reception"))?,
                    how: row.get(5)?,
                },
                at: row.time(3)?,
                probe: ProbeNo(row.get(4)?),
            })
        },
    )
}

/// The verdict of a relying party's newest probe of the whole matrix, and when that ended.
pub fn last_verdict(
    tx: &ReadTx<'_>,
    party: RelyingPartyNo,
) -> Result<Option<(ProbeVerdict, Time)>, StoreError> {
    tx.one(
        "SELECT verdict, ended FROM probe WHERE party = $1 AND scope = $2 ORDER BY no DESC LIMIT 1",
        &[&party.0, &ProbeScope::Matrix.code()],
        |row| {
            let verdict = ProbeVerdict::from_code(row.get(0)?).ok_or(StoreError::Unreadable {
                what: "probe.verdict",
            })?;
            Ok((verdict, row.time(1)?))
        },
    )
}

/// How long enforcement took in each probe that measured it and ended since `since`: the relying
/// party and milliseconds, oldest first; at most `limit` of the newest.
pub fn times(
    tx: &ReadTx<'_>,
    tenant: TenantId,
    since: Time,
    limit: u32,
) -> Result<Vec<(Slug, i64)>, StoreError> {
    let mut found = tx.all(
        "SELECT relying_party.name, probe.enforced FROM probe
         JOIN relying_party ON relying_party.no = probe.party
         WHERE probe.tenant = $1 AND probe.ended >= $2 AND probe.enforced >= 0
         ORDER BY probe.ended DESC LIMIT $3",
        &[&tenant.0, &since.unix(), &limit],
        |row| Ok((slug(row, 0)?, row.get(1)?)),
    )?;
    found.reverse();
    Ok(found)
}

/// The oldest probes, `step` at most, that are of no more use: over before `before`, or more than
/// `most` rows behind the newest. The newest trial of each canary stays with its probe.
pub fn oldest(
    tx: &ReadTx<'_>,
    before: Time,
    most: i64,
    step: u32,
) -> Result<Vec<ProbeNo>, StoreError> {
    let wanted = usize::try_from(step).unwrap_or(usize::MAX);
    let newest = tx.number("SELECT coalesce(max(no), 0) FROM probe", &[])?;
    let (mut old, mut after) = (Vec::new(), 0);
    loop {
        let rows = tx.all(
            "SELECT no, ended, EXISTS(SELECT 1 FROM enforcement
               WHERE enforcement.party = probe.party AND enforcement.probe = probe.no)
             FROM probe WHERE no > $1 ORDER BY no LIMIT $2",
            &[&after, &step],
            |row| Ok((row.get::<i64>(0)?, row.time(1)?, row.get::<bool>(2)?)),
        )?;
        for (no, ended, is_newest) in &rows {
            if (*ended >= before && *no > newest - most) || old.len() >= wanted {
                return Ok(old);
            }
            if !is_newest {
                old.push(ProbeNo(*no));
            }
            after = *no;
        }
        if rows.is_empty() {
            return Ok(old);
        }
    }
}

/// Erases probes. What they came to stays on record.
pub fn erase(tx: &mut Tx<'_>, probes: &[ProbeNo]) -> Result<(), StoreError> {
    for probe in probes {
        tx.run("DELETE FROM probe WHERE no = $1", &[&probe.0])?;
    }
    Ok(())
}
