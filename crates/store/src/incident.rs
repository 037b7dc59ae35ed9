//! Incidents: something that must not happen did, and a person has to decide.

use tenure_domain::device::Criticality;
use tenure_domain::event::{Entry, Event};
use tenure_domain::finding::{FindingKind, Matter, NewFinding, Subject, SubjectKind};
use tenure_domain::incident::{Incident, IncidentKind, IncidentState};
use tenure_domain::{Actor, DeviceId, DeviceNo, IncidentNo, TenantId};
use tenure_x509::Time;

use crate::device::{self, device_id};
use crate::error::StoreError;
use crate::finding;
use crate::tx::{ReadTx, Row, Tx};

/// An incident to be opened.
#[derive(Debug, Clone)]
pub struct NewIncident {
    /// What happened.
    pub kind: IncidentKind,
    /// The device, if one is known.
    pub device: Option<(DeviceNo, DeviceId)>,
    /// The serials concerned, in hex.
    pub serials: Vec<String>,
    /// What happened, in one sentence.
    pub summary: String,
}

impl NewIncident {
    /// A certificate in the name of one of our issuers, which we did not issue. `how` says what was
    /// done with it: that it was presented, or shown to a relying party.
    pub fn not_ours(serial: &str, how: &str) -> NewIncident {
        NewIncident {
            kind: IncidentKind::NotOurs,
            device: None,
            serials: vec![serial.to_owned()],
            summary: format!(
                "a certificate in our name with serial {serial}, which we did not issue, was {how}"
            ),
        }
    }

    fn device_no(&self) -> i64 {
        self.device.as_ref().map_or(0, |(no, _)| no.0)
    }

    fn serials_json(&self) -> String {
        serde_json::to_string(&self.serials).unwrap_or_default()
    }
}

/// Whether an incident is news.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opened {
    /// It was opened.
    New(IncidentNo),
    /// The same one is open already; nothing was written.
    Known(IncidentNo),
    /// [`NOT_OURS_MAX`] of its kind are open; nothing was written.
    Full,
}

impl Opened {
    /// Whether it was opened.
    pub fn is_new(self) -> bool {
        matches!(self, Opened::New(_))
    }

    /// Its row, if it has one.
    pub fn no(self) -> Option<IncidentNo> {
        match self {
            Opened::New(no) | Opened::Known(no) => Some(no),
            Opened::Full => None,
        }
    }
}

/// At most so many incidents about certificates that we did not issue are open at a time: anyone
/// can make such certificates, each with a serial of its own, and must not fill the disk.
pub const NOT_OURS_MAX: u32 = 1_000;

/// At most so many of an incident's serials are in its leaf, which must not grow too long for the
/// record (43 octets each). Its row has them all, and each that is held has an event of its own.
const NAMED_MAX: usize = 1_000;

const SAME: &str = "SELECT no FROM incident WHERE tenant = $1 AND state = $2 AND kind = $3
    AND device = $4 AND serials = $5";

const COUNT: &str = "SELECT count(*) FROM (SELECT 1 FROM incident WHERE tenant = $1 AND state = $2
    AND kind = $3 LIMIT $4)";

/// What [`open`] would come to, if it would write nothing: a question that takes no turn of the
/// writer.
pub fn foreseen(tx: &ReadTx<'_>, new: &NewIncident) -> Result<Option<Opened>, StoreError> {
    let tenant = TenantId::DEFAULT;
    let (kind, state) = (new.kind.code(), IncidentState::Open.code());
    let (device, serials) = (new.device_no(), new.serials_json());
    let known = tx.one(
        SAME,
        &[&tenant.0, &state, &kind, &device, &serials],
        |row| row.get(0).map(IncidentNo),
    )?;
    if let Some(no) = known {
        return Ok(Some(Opened::Known(no)));
    }
    if new.kind != IncidentKind::NotOurs {
        return Ok(None);
    }
    let open = tx.number(COUNT, &[&tenant.0, &state, &kind, &NOT_OURS_MAX])?;
    Ok((open >= i64::from(NOT_OURS_MAX)).then_some(Opened::Full))
}

/// Opens an incident in the default tenant and records it, unless the same one is open, the same
/// kind, device and serials, or there is no room for one more of its kind.
pub fn open(
    tx: &mut Tx<'_>,
    new: &NewIncident,
    actor: &Actor,
    now: Time,
) -> Result<Opened, StoreError> {
    if let Some(opened) = foreseen(tx, new)? {
        return Ok(opened);
    }
    let no = tx.insert(
        "INSERT INTO incident(tenant, kind, state, device, serials, summary, opened, resolved,
           outcome) VALUES($1, $2, $3, $4, $5, $6, $7, 0, '') RETURNING no",
        &[
            &TenantId::DEFAULT.0,
            &new.kind.code(),
            &IncidentState::Open.code(),
            &new.device_no(),
            &new.serials_json(),
            &new.summary,
            &now.unix(),
        ],
    )?;
    let event = Event::IncidentOpened {
        incident: no,
        kind: new.kind.word().to_owned(),
        serials: new.serials.iter().take(NAMED_MAX).cloned().collect(),
    };
    tell(tx, event, &new.device, actor, now)?;
    let who = match &new.device {
        Some((no, _)) => device::by_no(tx, *no)?,
        None => None,
    };
    let found = NewFinding {
        matter: matter(
            new.kind,
            new.device.as_ref().map(|(_, id)| id),
            &new.serials,
        ),
        summary: format!("{}; incident {no} waits for a decision", new.summary),
        evidence: vec![format!("incident {no}")],
        criticality: who
            .as_ref()
            .map_or(Criticality::High, |device| device.criticality),
        owner: who.map(|device| device.owner),
    };
    finding::raise(tx, &found, actor, now)?;
    Ok(Opened::New(IncidentNo(no)))
}

/// The finding that an open incident is. Several incidents of one kind about one device share it.
fn matter(kind: IncidentKind, device: Option<&DeviceId>, serials: &[String]) -> Matter {
    let subject = match (device, serials.first()) {
        (Some(id), _) => Subject::device(id),
        (None, serial) => Subject::new(
            SubjectKind::Certificate,
            serial.map_or("unknown", String::as_str),
        ),
    };
    Matter {
        kind: FindingKind::Incident,
        subject,
        cause: kind.word().to_owned(),
    }
}

/// Closes an incident with what was decided; `None` if there is no such incident. One that is closed
/// already is left alone, with an excuse.
pub fn resolve(
    tx: &mut Tx<'_>,
    no: IncidentNo,
    outcome: &str,
    actor: &Actor,
    now: Time,
) -> Result<Option<Incident>, StoreError> {
    let Some(incident) = by_no(tx, no)? else {
        return Ok(None);
    };
    if incident.state == IncidentState::Resolved {
        tx.excuse("the incident was decided before");
        return Ok(Some(incident));
    }
    tx.run(
        "UPDATE incident SET state = $2, resolved = $3, outcome = $4 WHERE no = $1",
        &[
            &no.0,
            &IncidentState::Resolved.code(),
            &now.unix(),
            &outcome,
        ],
    )?;
    let device = tx.number("SELECT device FROM incident WHERE no = $1", &[&no.0])?;
    let device = incident.device.clone().map(|id| (DeviceNo(device), id));
    let event = Event::IncidentResolved {
        incident: no.0,
        outcome: outcome.to_owned(),
    };
    tell(tx, event, &device, actor, now)?;
    let others = match &device {
        Some((device, _)) => tx.number(
            "SELECT count(*) FROM incident WHERE device = $1 AND kind = $2 AND state = $3",
            &[
                &device.0,
                &incident.kind.code(),
                &IncidentState::Open.code(),
            ],
        )?,
        None => 0,
    };
    if others == 0 {
        let matter = matter(incident.kind, incident.device.as_ref(), &incident.serials);
        let why = format!("incident {no} was decided: {outcome}");
        finding::clear(tx, &matter, &why, actor, now)?;
    }
    by_no(tx, no)
}

fn tell(
    tx: &mut Tx<'_>,
    event: Event,
    device: &Option<(DeviceNo, DeviceId)>,
    actor: &Actor,
    now: Time,
) -> Result<(), StoreError> {
    let mut entry = Entry::new(actor.clone(), now, event);
    if let Some((no, id)) = device {
        entry = entry.about(*no, id);
    }
    tx.log(&entry)?;
    Ok(())
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT incident.no, incident.kind, incident.state, device.id, incident.serials, \
             incident.summary, incident.opened, incident.resolved, incident.outcome \
             FROM incident LEFT JOIN device ON device.no = incident.device ",
            $rest
        )
    };
}

fn read(row: &Row<'_>) -> Result<Incident, StoreError> {
    let unreadable = |what| StoreError::Unreadable { what };
    let device = match row.get::<Option<String>>(3)? {
        Some(_) => Some(device_id(row, 3)?),
        None => None,
    };
    let outcome: String = row.get(8)?;
    Ok(Incident {
        no: IncidentNo(row.get(0)?),
        kind: IncidentKind::from_code(row.get(1)?).ok_or(unreadable("incident.kind"))?,
        state: IncidentState::from_code(row.get(2)?).ok_or(unreadable("incident.state"))?,
        device,
        serials: serde_json::from_str(row.text(4)?).map_err(|_| unreadable("incident.serials"))?,
        summary: row.get(5)?,
        opened: row.time(6)?,
        resolved: row.some_time(7)?,
        outcome: (!outcome.is_empty()).then_some(outcome),
    })
}

/// One incident.
pub fn by_no(tx: &ReadTx<'_>, no: IncidentNo) -> Result<Option<Incident>, StoreError> {
    tx.one(select!("WHERE incident.no = $1"), &[&no.0], read)
}

/// Incidents in this state (or all), newest first, before row `before`; at most `limit`.
pub fn list(
    tx: &ReadTx<'_>,
    tenant: TenantId,
    state: Option<IncidentState>,
    before: Option<IncidentNo>,
    limit: u32,
) -> Result<Vec<Incident>, StoreError> {
    let before = before.map_or(i64::MAX, |no| no.0);
    match state {
        Some(state) => tx.all(
            select!(
                "WHERE incident.tenant = $1 AND incident.state = $2 AND incident.no < $3
                 ORDER BY incident.no DESC LIMIT $4"
            ),
            &[&tenant.0, &state.code(), &before, &limit],
            read,
        ),
        None => tx.all(
            select!(
                "WHERE incident.tenant = $1 AND incident.no < $2
                 ORDER BY incident.no DESC LIMIT $3"
            ),
            &[&tenant.0, &before, &limit],
            read,
        ),
    }
}

/// Incidents of one device, newest first.
pub fn of_device(tx: &ReadTx<'_>, device: DeviceNo) -> Result<Vec<Incident>, StoreError> {
    tx.all(
        select!("WHERE incident.device = $1 ORDER BY incident.no DESC LIMIT 1000"),
        &[&device.0],
        read,
    )
}

#[cfg(test)]
mod tests;
