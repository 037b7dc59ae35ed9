//! Asks that wait for a person: held by a rule, or quarantined because nobody registered the device.

use std::fmt;

use tenure_domain::ask::{AskState, Operation, Via};
use tenure_domain::event::{Entry, Event};
use tenure_domain::facts::{ReplayKey, Ruling};
use tenure_domain::{Actor, AskNo, DeviceId, DeviceNo, SecretNo, TenantId};
use tenure_x509::{KeyHash, Time};

use crate::device::device_id;
use crate::error::StoreError;
use crate::secret;
use crate::tx::{ReadTx, Row, Tx};

/// At most so many asks of one reason wait at a time. A stranger cannot fill the disk, nor the room of
/// those who are known: his asks have another reason than theirs.
const MOST: i64 = 10_000;

/// How many wait for a reason; counted from an index, as often as a stranger likes.
const COUNT: &str = "SELECT count(*) FROM ask WHERE tenant = $1 AND state = $2 AND reason = $3";

/// How a stored ask stands: the ruling, or that its certificate was released.
const WAITING: i64 = 1;
const APPROVED: i64 = 2;
const REFUSED: i64 = 3;
const ANSWERED: i64 = 4;

/// An ask to be held.
#[derive(Debug, Clone)]
pub struct NewAsk {
    /// Whose fleet.
    pub tenant: TenantId,
    /// What makes a later ask the same.
    pub replay: ReplayKey,
    /// Who asks: a device id, or what a stranger showed.
    pub identity: String,
    /// The device, if it is registered.
    pub device: Option<(DeviceNo, DeviceId)>,
    /// The key it asks for.
    pub key: KeyHash,
    /// The request, DER.
    pub csr: Vec<u8>,
    /// What is asked for.
    pub operation: Operation,
    /// Why it waits, as a stable word.
    pub reason: String,
    /// Why it waits, for people.
    pub why: String,
    /// What kind of evidence was shown.
    pub evidence: String,
    /// How it came.
    pub via: Via,
    /// The secret that the ask uses up for its key.
    pub binds: Option<SecretNo>,
}

/// An ask in the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldAsk {
    /// Its row.
    pub no: AskNo,
    /// Whose fleet.
    pub tenant: TenantId,
    /// How it stands; `None` once its certificate was released.
    pub ruling: Option<Ruling>,
    /// Who asks.
    pub identity: String,
    /// The device, if it is registered.
    pub device: Option<DeviceId>,
    /// The key it asks for.
    pub key: KeyHash,
    /// The request, DER.
    pub csr: Vec<u8>,
    /// What is asked for.
    pub operation: Operation,
    /// Why it waits, as a stable word.
    pub reason: String,
    /// Why it waits, for people.
    pub why: String,
    /// What kind of evidence was shown.
    pub evidence: String,
    /// How it came.
    pub via: Via,
    /// When it first came.
    pub opened: Time,
    /// When it was decided.
    pub decided: Option<Time>,
    /// Who decided, as JSON of the actor; empty before.
    pub decided_by: String,
}

impl HeldAsk {
    /// How it stands.
    pub fn state(&self) -> AskState {
        match (self.ruling, &self.device) {
            (Some(Ruling::Waiting), Some(_)) => AskState::Waiting,
            (Some(Ruling::Waiting), None) => AskState::Quarantined,
            (Some(Ruling::Approved), _) => AskState::Approved,
            (Some(Ruling::Refused), _) => AskState::Refused,
            (None, _) => AskState::Answered,
        }
    }
}

/// Why an ask was not put into the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HoldError {
    /// It is there already; nothing was written.
    Known(AskNo),
    /// Too many wait.
    Full,
    /// The database failed.
    Store(StoreError),
}

impl fmt::Display for HoldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HoldError::Known(no) => write!(f, "the ask waits already, as number {no}"),
            HoldError::Full => write!(
                f,
                "{MOST} asks wait for the same reason and no more are taken; decide some with \
                 `tenure ask list`"
            ),
            HoldError::Store(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for HoldError {}

impl From<StoreError> for HoldError {
    fn from(error: StoreError) -> Self {
        HoldError::Store(error)
    }
}

/// Whether an ask would be put into the queue: a question that takes no turn of the writer.
pub fn may_hold(tx: &ReadTx<'_>, ask: &NewAsk) -> Result<(), HoldError> {
    let found = tx.one(
        "SELECT no, state FROM ask WHERE replay = $1",
        &[&ask.replay.0.as_slice()],
        |row| Ok((AskNo(row.get(0)?), row.get::<i64>(1)?)),
    )?;
    // A refusal stands: whoever asks again is told so when it is next decided about.
    if let Some((no, WAITING | APPROVED | REFUSED)) = found {
        return Err(HoldError::Known(no));
    }
    let waiting = tx.number(COUNT, &[&ask.tenant.0, &WAITING, &ask.reason])?;
    if waiting >= MOST {
        return Err(HoldError::Full);
    }
    Ok(())
}

/// Puts an ask into the queue and records it.
pub fn hold(tx: &mut Tx<'_>, ask: &NewAsk, actor: &Actor, now: Time) -> Result<AskNo, HoldError> {
    may_hold(tx, ask)?;
    let via = serde_json::to_string(&ask.via).unwrap_or_default();
    // An ask that was decided before and comes again after that is a new one in the old one's place.
    let no = tx.insert(
        "INSERT INTO ask(tenant, state, replay, key, identity, device, operation, reason, why,
           evidence, via, csr, opened, decided, decided_by)
         VALUES($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, 0, '')
         ON CONFLICT(replay) DO UPDATE SET state = excluded.state, reason = excluded.reason,
           why = excluded.why, opened = excluded.opened, decided = 0, decided_by = ''
         RETURNING no",
        &[
            &ask.tenant.0,
            &WAITING,
            &ask.replay.0.as_slice(),
            &ask.key.0.as_slice(),
            &ask.identity,
            &ask.device.as_ref().map_or(0, |(no, _)| no.0),
            &ask.operation.code(),
            &ask.reason,
            &ask.why,
            &ask.evidence,
            &via,
            &ask.csr,
            &now.unix(),
        ],
    )?;
    if let Some(secret) = ask.binds {
        secret::bind(tx, secret, ask.key)?;
    }
    let event = Event::AskHeld {
        key: ask.key,
        reason: ask.reason.clone(),
    };
    let mut entry = Entry {
        tenant: ask.tenant,
        ..Entry::new(actor.clone(), now, event)
    };
    if let Some((device, id)) = &ask.device {
        entry = entry.about(*device, id);
    }
    tx.log(&entry)?;
    Ok(AskNo(no))
}

/// What was decided about an ask, if it was ever held and not answered since.
pub fn ruling(tx: &ReadTx<'_>, replay: ReplayKey) -> Result<Option<Ruling>, StoreError> {
    let state = tx.one(
        "SELECT state FROM ask WHERE replay = $1",
        &[&replay.0.as_slice()],
        |row| row.get::<i64>(0),
    )?;
    Ok(state.and_then(as_ruling))
}

fn as_ruling(state: i64) -> Option<Ruling> {
    match state {
        WAITING => Some(Ruling::Waiting),
        APPROVED => Some(Ruling::Approved),
        REFUSED => Some(Ruling::Refused),
        _ => None,
    }
}

fn state_of(ruling: Ruling) -> i64 {
    match ruling {
        Ruling::Waiting => WAITING,
        Ruling::Approved => APPROVED,
        Ruling::Refused => REFUSED,
    }
}

/// Decides a waiting ask and records it; `None` if there is no such ask. One that is decided so
/// already is left alone, with an excuse.
pub fn rule(
    tx: &mut Tx<'_>,
    no: AskNo,
    ruling: Ruling,
    actor: &Actor,
    now: Time,
) -> Result<Option<HeldAsk>, StoreError> {
    let Some(ask) = by_no(tx, no)? else {
        return Ok(None);
    };
    if ask.ruling != Some(Ruling::Waiting) {
        tx.excuse("the ask was decided before");
        return Ok(Some(ask));
    }
    let by = serde_json::to_string(actor).unwrap_or_default();
    tx.run(
        "UPDATE ask SET state = $2, decided = $3, decided_by = $4 WHERE no = $1",
        &[&no.0, &state_of(ruling), &now.unix(), &by],
    )?;
    let event = match ruling {
        Ruling::Approved => Event::AskApproved { key: ask.key },
        Ruling::Refused => Event::AskRefusedByOperator { key: ask.key },
        Ruling::Waiting => {
            tx.excuse("the ask waits");
            return Ok(Some(ask));
        }
    };
    let mut entry = Entry {
        tenant: ask.tenant,
        ..Entry::new(actor.clone(), now, event)
    };
    if let Some(id) = &ask.device
        && let Some(device) = crate::device::by_id(tx, ask.tenant, id)?
    {
        // A decision is a fact about the device: whoever decided without it decides again.
        tx.run(
            "UPDATE device SET version = version + 1 WHERE no = $1",
            &[&device.no.0],
        )?;
        entry = entry.about(device.no, id);
    }
    tx.log(&entry)?;
    by_no(tx, no)
}

/// Refuses whatever a device asked for and waits for a decision.
pub fn refuse_all(
    tx: &mut Tx<'_>,
    device: DeviceNo,
    actor: &Actor,
    now: Time,
) -> Result<(), StoreError> {
    let waiting = tx.all(
        "SELECT no FROM ask WHERE device = $1 AND device > 0 AND state = $2",
        &[&device.0, &WAITING],
        |row| row.get(0).map(AskNo),
    )?;
    for no in waiting {
        rule(tx, no, Ruling::Refused, actor, now)?;
    }
    Ok(())
}

/// The ask has its certificate.
pub(crate) fn answered(tx: &mut Tx<'_>, replay: ReplayKey) -> Result<(), StoreError> {
    let held = tx.first(
        "SELECT no FROM ask WHERE replay = $1",
        &[&replay.0.as_slice()],
        |row| row.get::<i64>(0),
    )?;
    if let Some(no) = held {
        tx.run("UPDATE ask SET state = $2 WHERE no = $1", &[&no, &ANSWERED])?;
    }
    Ok(())
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT ask.no, ask.tenant, ask.state, ask.identity, device.id, ask.key, ask.csr, \
             ask.operation, ask.reason, ask.why, ask.evidence, ask.via, ask.opened, ask.decided, \
             ask.decided_by FROM ask LEFT JOIN device ON device.no = ask.device ",
            $rest
        )
    };
}

fn read(row: &Row<'_>) -> Result<HeldAsk, StoreError> {
    let unreadable = |what| StoreError::Unreadable { what };
    let device = match row.get::<Option<String>>(4)? {
        Some(_) => Some(device_id(row, 4)?),
        None => None,
    };
    Ok(HeldAsk {
        no: AskNo(row.get(0)?),
        tenant: TenantId(row.get(1)?),
        ruling: as_ruling(row.get(2)?),
        identity: row.get(3)?,
        device,
        key: KeyHash(row.get(5)?),
        csr: row.get(6)?,
        operation: Operation::from_code(row.get(7)?).ok_or(unreadable("ask.operation"))?,
        reason: row.get(8)?,
        why: row.get(9)?,
        evidence: row.get(10)?,
        via: serde_json::from_str(row.text(11)?).map_err(|_| unreadable("ask.via"))?,
        opened: row.time(12)?,
        decided: row.some_time(13)?,
        decided_by: row.get(14)?,
    })
}

/// One ask.
pub fn by_no(tx: &ReadTx<'_>, no: AskNo) -> Result<Option<HeldAsk>, StoreError> {
    tx.one(select!("WHERE ask.no = $1"), &[&no.0], read)
}

/// Asks of this state (or all), newest first, before row `before`; at most `limit`. Those that wait
/// are listed with those in quarantine.
pub fn list(
    tx: &ReadTx<'_>,
    tenant: TenantId,
    state: Option<AskState>,
    before: Option<AskNo>,
    limit: u32,
) -> Result<Vec<HeldAsk>, StoreError> {
    let before = before.map_or(i64::MAX, |no| no.0);
    let code = match state {
        None => {
            return tx.all(
                select!("WHERE ask.tenant = $1 AND ask.no < $2 ORDER BY ask.no DESC LIMIT $3"),
                &[&tenant.0, &before, &limit],
                read,
            );
        }
        Some(AskState::Quarantined) => {
            return tx.all(
                select!(
                    "WHERE ask.tenant = $1 AND ask.state = $2 AND ask.device = 0 AND ask.no < $3
                     ORDER BY ask.no DESC LIMIT $4"
                ),
                &[&tenant.0, &WAITING, &before, &limit],
                read,
            );
        }
        Some(AskState::Waiting) => WAITING,
        Some(AskState::Approved) => APPROVED,
        Some(AskState::Refused) => REFUSED,
        Some(AskState::Answered) => ANSWERED,
    };
    tx.all(
        select!(
            "WHERE ask.tenant = $1 AND ask.state = $2 AND ask.no < $3
             ORDER BY ask.no DESC LIMIT $4"
        ),
        &[&tenant.0, &code, &before, &limit],
        read,
    )
}

#[cfg(test)]
mod tests {
    use super::COUNT;
    use crate::driver::explained;
    use crate::driver::sqlite::{Purpose, connect};
    use crate::migrate;

    #[test]
    fn those_who_wait_are_counted_from_an_index_alone() {
        let directory = tempfile::tempdir().unwrap();
        let db = connect(&directory.path().join("tenure.db"), Purpose::Write, 1024).unwrap();
        migrate::forward(&db, directory.path()).unwrap();
        let plan = explained(&db, "EXPLAIN QUERY PLAN", COUNT, 3).join("; ");
        let index = "USING COVERING INDEX ask_reason (tenant=? AND state=? AND reason=?)";
        assert!(plan.contains(index), "{plan}");
    }
}
