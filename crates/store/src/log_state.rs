//! How far the record is sealed: one row, changed only by compare-and-swap.

use std::fmt;

use tenure_domain::event::{Entry, Event};
use tenure_domain::{Actor, EventSeq};
use tenure_x509::Time;

use crate::error::StoreError;
use crate::store::Store;
use crate::tx::{ReadTx, Tx};

/// The newest checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogState {
    /// The log's name.
    pub origin: String,
    /// How many leaves it covers: the events 1 to `size`.
    pub size: u64,
    /// The root of the tree.
    pub root: [u8; 32],
    /// The signed note, ready to be published.
    pub checkpoint: Vec<u8>,
    /// When it was signed.
    pub at: Time,
}

/// Why a checkpoint was not put in place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SealError {
    /// Somebody else sealed in the meantime: another sequencer runs on this record.
    Lost {
        /// The size found.
        found: Option<u64>,
    },
    /// The database failed.
    Store(StoreError),
}

impl fmt::Display for SealError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SealError::Lost { found } => write!(
                f,
                "another process sealed the record (its size is {}); only one may, so this one stops",
                found.unwrap_or(0)
            ),
            SealError::Store(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for SealError {}

impl From<StoreError> for SealError {
    fn from(error: StoreError) -> Self {
        SealError::Store(error)
    }
}

/// The newest checkpoint, if there is one.
pub fn log_state(tx: &ReadTx<'_>) -> Result<Option<LogState>, StoreError> {
    tx.one(
        "SELECT origin, size, root, checkpoint, at FROM log_state WHERE one = 1",
        &[],
        |row| {
            Ok(LogState {
                origin: row.get(0)?,
                size: unsigned(row.get(1)?),
                root: row.get(2)?,
                checkpoint: row.get(3)?,
                at: row.time(4)?,
            })
        },
    )
}

fn unsigned(n: i64) -> u64 {
    u64::try_from(n).unwrap_or(0)
}

fn signed(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// Gives the log another name, under which its next checkpoint will be signed. Its leaves stay. For a
/// record that may be shorter than what was signed under the former name: going on under that one
/// would make two histories of one log.
///
/// The event that says so holds the newest checkpoint that the former name is known to have: `known`,
/// or our own. The new name ends in that event's number and `chance`. Answers the new name.
pub fn begin_anew(
    tx: &mut Tx<'_>,
    known: Option<&str>,
    chance: [u8; 4],
    actor: &Actor,
    now: Time,
) -> Result<String, StoreError> {
    let what = "log_state";
    let state = log_state(tx)?.ok_or(StoreError::Unreadable { what })?;
    let own = String::from_utf8(state.checkpoint);
    let own = own.map_err(|_| StoreError::Unreadable { what })?;
    let new = format!(
        "{}/{}-{:08x}",
        first_name(&state.origin),
        tx.sequence.event + 1,
        u32::from_be_bytes(chance)
    );
    let said = Event::LogOriginChanged {
        new: new.clone(),
        old: known.map_or(own, str::to_owned),
    };
    tx.log(&Entry::new(actor.clone(), now, said))?;
    tx.run(
        "UPDATE log_state SET origin = $1, checkpoint = $2 WHERE one = 1",
        &[&new, &[0_u8; 0].as_slice()],
    )?;
    Ok(new)
}

/// The event by which a log of this name began, if it did not begin with the house.
pub fn begun_anew_at(origin: &str) -> Option<EventSeq> {
    let (_, last) = origin.rsplit_once('/')?;
    let (event, chance) = last.split_once('-')?;
    let is_ours = chance.len() == 8 && chance.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_ours.then(|| event.parse().ok().map(EventSeq)).flatten()
}

/// The name that the log was given when the house was founded.
fn first_name(origin: &str) -> &str {
    match (begun_anew_at(origin), origin.rsplit_once('/')) {
        (Some(_), Some((first, _))) => first,
        _ => origin,
    }
}

impl Store {
    /// Puts a checkpoint in the place of the one that covered `expected` leaves (`None`: of none).
    ///
    /// It logs no event: a checkpoint is a fact about the record, not in it.
    pub async fn advance_log(
        &self,
        expected: Option<u64>,
        next: LogState,
    ) -> Result<(), SealError> {
        self.unrecorded(move |tx| {
            let (size, at) = (signed(next.size), next.at.unix());
            let (root, note) = (next.root.as_slice(), next.checkpoint.as_slice());
            let changed = match expected {
                None => tx.run(
                    "INSERT INTO log_state(one, origin, size, root, checkpoint, at)
                     VALUES(1, $1, $2, $3, $4, $5) ON CONFLICT(one) DO NOTHING",
                    &[&next.origin, &size, &root, &note, &at],
                )?,
                Some(expected) => tx.run(
                    "UPDATE log_state SET origin = $1, size = $2, root = $3, checkpoint = $4,
                     at = $5 WHERE one = 1 AND size = $6",
                    &[&next.origin, &size, &root, &note, &at, &signed(expected)],
                )?,
            };
            if changed == 1 {
                return Ok(());
            }
            Err(SealError::Lost {
                found: log_state(tx)?.map(|state| state.size),
            })
        })
        .await
    }
}
