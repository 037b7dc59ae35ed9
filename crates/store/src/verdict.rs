//! Verdicts: what each rested on, kept once for each state of the facts, so that it can be made
//! again. The rows may be erased; the record holds their hash and what was said.

use tenure_domain::decision::{Question, Verdict};
use tenure_domain::event::Event;
use tenure_domain::text::hex;
use tenure_domain::{Actor, DeviceId, DeviceNo};
use tenure_x509::{Time, sha256};

use crate::error::StoreError;
use crate::stamp::Stamp;
use crate::tx::{ReadTx, Row, Tx};

/// A verdict to be kept.
#[derive(Debug, Clone)]
pub struct NewVerdict {
    /// What it rests on, as JSON.
    pub body: Vec<u8>,
    /// What was asked.
    pub question: Question,
    /// The verdict.
    pub verdict: Verdict,
    /// The device.
    pub device: (DeviceNo, DeviceId),
}

/// Whether something was new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// It was, and is on record.
    New,
    /// It was kept already.
    Known,
}

/// What is kept of verdicts on one state of the facts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptVerdict {
    /// What they rest on, as JSON.
    pub body: Vec<u8>,
    /// What came of it, see [`Verdict::outcome`]; more than one where time alone changed it.
    pub outcomes: Vec<String>,
    /// When the first of these was said. What was said before that was erased.
    pub first: Time,
}

/// What was said of a device at one time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// Its row.
    pub no: i64,
    /// When it was said first.
    pub at: Time,
    /// What, see [`Verdict::outcome`].
    pub outcome: String,
    /// What it rests on, as JSON.
    pub body: Vec<u8>,
    /// The first half of the hash of that.
    pub id: [u8; 16],
}

/// Keeps a verdict and records it, unless one on the same facts that came out the same is kept.
pub fn keep(tx: &mut Tx<'_>, new: &NewVerdict, actor: &Actor) -> Result<Kept, StoreError> {
    let hash = sha256(&new.body);
    let stamp = Stamp::new(actor, new.verdict.decided);
    let outcome = new.verdict.outcome();
    let added = tx.run(
        "INSERT INTO verdict(tenant, device, at, id, outcome, body)
         VALUES($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING",
        &[
            &stamp.tenant.0,
            &new.device.0.0,
            &new.verdict.decided.unix(),
            &hash.get(..16),
            &outcome,
            &new.body,
        ],
    )?;
    if added == 0 {
        return Ok(Kept::Known);
    }
    let grounds = new.verdict.grounds.iter();
    let event = Event::AccessDecided {
        access: new.verdict.access.to_string(),
        facts_hash: hex(&hash),
        party: new.question.party.as_ref().map(ToString::to_string),
        reasons: grounds.map(ToString::to_string).collect(),
        service: new.question.service.as_ref().map(ToString::to_string),
        tier: new.verdict.tier.to_string(),
        verdict: new.verdict.trust.to_string(),
    };
    tx.log(&stamp.entry(event).about(new.device.0, &new.device.1))?;
    Ok(Kept::New)
}

/// What is kept under the first half of a hash; none if it never was, or was erased.
pub fn by_id(tx: &ReadTx<'_>, id: &[u8; 16]) -> Result<Option<KeptVerdict>, StoreError> {
    let rows = tx.all(
        "SELECT outcome, body, at FROM verdict WHERE id = $1",
        &[&id.as_slice()],
        |row| Ok((row.get::<String>(0)?, row.get::<Vec<u8>>(1)?, row.time(2)?)),
    )?;
    let Some(first) = rows.iter().map(|(_, _, at)| *at).min() else {
        return Ok(None);
    };
    let (mut outcomes, mut body) = (Vec::new(), Vec::new());
    for (outcome, rested_on, _) in rows {
        outcomes.push(outcome);
        body = rested_on;
    }
    Ok(Some(KeptVerdict {
        body,
        outcomes,
        first,
    }))
}

macro_rules! select {
    ($rest:literal) => {
        concat!("SELECT no, at, outcome, body, id FROM verdict ", $rest)
    };
}

fn read(row: &Row<'_>) -> Result<Said, StoreError> {
    Ok(Said {
        no: row.get(0)?,
        at: row.time(1)?,
        outcome: row.get(2)?,
        body: row.get(3)?,
        id: row
            .blob(4)?
            .try_into()
            .map_err(|_| StoreError::Unreadable { what: "verdict.id" })?,
    })
}

/// What was said of any device, newest first, before row `before`; at most `limit`.
pub fn list(tx: &ReadTx<'_>, before: Option<i64>, limit: u32) -> Result<Vec<Said>, StoreError> {
    tx.all(
        select!("WHERE no < $1 ORDER BY no DESC LIMIT $2"),
        &[&before.unwrap_or(i64::MAX), &limit],
        read,
    )
}

/// What was said of a device, newest first, before row `before`; at most `limit`.
pub fn of_device(
    tx: &ReadTx<'_>,
    device: DeviceNo,
    before: Option<i64>,
    limit: u32,
) -> Result<Vec<Said>, StoreError> {
    tx.all(
        select!("WHERE device = $1 AND no < $2 ORDER BY no DESC LIMIT $3"),
        &[&device.0, &before.unwrap_or(i64::MAX), &limit],
        read,
    )
}

/// The last of the oldest rows, `step` at most, that are of no more use: said before `before`, or more
/// than `most` rows behind the newest. None if there is nothing to erase.
pub fn oldest(
    tx: &ReadTx<'_>,
    before: Time,
    most: i64,
    step: u32,
) -> Result<Option<i64>, StoreError> {
    let newest = tx.number("SELECT coalesce(max(no), 0) FROM verdict", &[])?;
    let rows = tx.all(
        "SELECT no, at FROM verdict ORDER BY no LIMIT $1",
        &[&step],
        |row| Ok((row.get::<i64>(0)?, row.time(1)?)),
    )?;
    let is_old = |(no, at): &(i64, Time)| *at < before || *no <= newest - most;
    let old = rows.into_iter().take_while(is_old);
    Ok(old.last().map(|(no, _)| no))
}

/// Erases the rows up to one, and says how many they were. What was said stays on record; what it
/// rested on does not.
pub fn erase(tx: &mut Tx<'_>, through: i64) -> Result<usize, StoreError> {
    tx.run("DELETE FROM verdict WHERE no <= $1", &[&through])
}
