//! The record as rows: written with the change they tell of, read by the sequencer and by people.

use rusqlite::types::Value;
use tenure_domain::event::{Entry, Event, Told};
use tenure_domain::{CertificateNo, DeviceNo, EventSeq, TenantId};
use tenure_x509::{Time, sha256};

use crate::chance;
use crate::error::StoreError;
use crate::tx::{Excuse, ReadTx, Row, Touched, Tx};
use crate::writer::OperationId;

/// An event as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEvent {
    /// Its place in the order of recording.
    pub seq: EventSeq,
    /// Whose fleet.
    pub tenant: TenantId,
    /// When it was recorded; never earlier than the one before.
    pub at: Time,
    /// Its kind, as in the leaf.
    pub kind: &'static str,
    /// The device it concerns.
    pub device: Option<DeviceNo>,
    /// The certificate it concerns.
    pub certificate: Option<CertificateNo>,
    /// SHA-256 of a zero octet and the leaf (RFC 6962 section 2.1).
    pub leaf_hash: [u8; 32],
    /// The leaf: canonical JSON in UTF-8.
    pub leaf: Vec<u8>,
}

pub(crate) const INSERT: &str =
    "INSERT INTO event(seq, tenant, at, kind, device, cert, prev, operation,
     leaf_hash, leaf) VALUES($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";

/// The longest leaf, in octets: an entry bundle gives its length in 16 bits (C2SP tlog-tiles).
pub const LEAF_BYTES_MAX: usize = u16::MAX as usize;

/// An entry with its leaf, as both will be if it is recorded at the time since when it is true; nearly
/// all are. To write and to hash a leaf is most of the work of recording it, and needs nobody's turn.
#[derive(Debug)]
pub(crate) struct Prepared {
    told: Told,
    salt: [u8; 16],
    leaf: Vec<u8>,
    leaf_hash: [u8; 32],
}

impl Prepared {
    pub(crate) fn new(entry: &Entry) -> Result<Prepared, StoreError> {
        let (told, salt) = (entry.told(), chance::salt()?);
        let leaf = told.leaf(salt, told.valid);
        Ok(Prepared {
            leaf_hash: leaf_hash(&leaf),
            leaf,
            told,
            salt,
        })
    }

    /// Since when it is true.
    pub(crate) fn valid(&self) -> Time {
        self.told.valid
    }

    /// The leaf with its hash, if it is recorded then.
    fn leaf_at(&self, recorded: Time) -> (Vec<u8>, [u8; 32]) {
        if recorded == self.told.valid {
            return (self.leaf.clone(), self.leaf_hash);
        }
        let leaf = self.told.leaf(self.salt, recorded);
        let hash = leaf_hash(&leaf);
        (leaf, hash)
    }
}

impl Tx<'_> {
    /// Records an event in this transaction. It is recorded at the time since when it is true, but the
    /// time of recording never goes back: an earlier one counts as that of the event before.
    pub fn log(&mut self, entry: &Entry) -> Result<EventSeq, StoreError> {
        let prepared = Prepared::new(entry)?;
        let Some(no) = prepared.told.device else {
            return self.append(&prepared, entry.certificate, EventSeq(0));
        };
        let before = self.peek(
            Touched::Device(no.0),
            "SELECT last_event FROM device WHERE no = $1",
            &[&no.0],
            |row| row.get::<i64>(0),
        )?;
        let before = EventSeq(before.unwrap_or(0));
        let seq = self.append(&prepared, entry.certificate, before)?;
        self.defer(
            "UPDATE device SET last_event = $2 WHERE no = $1",
            vec![Value::Integer(no.0), Value::Integer(seq.0)],
        );
        self.touch(Touched::Device(no.0));
        Ok(seq)
    }

    /// Says that this recorded transaction rightly logs no event, because nothing changed.
    pub fn excuse(&mut self, why: &'static str) {
        tracing::debug!(why, "nothing to record");
        self.excused = Excuse::Given;
    }

    /// Records an event, about a certificate or about none, whose place in its device's chain the
    /// caller keeps.
    pub(crate) fn append(
        &mut self,
        prepared: &Prepared,
        certificate: Option<CertificateNo>,
        prev: EventSeq,
    ) -> Result<EventSeq, StoreError> {
        let told = &prepared.told;
        let recorded = told.valid.max(Time::from_unix(self.sequence.recorded));
        let (leaf, leaf_hash) = prepared.leaf_at(recorded);
        if leaf.len() > LEAF_BYTES_MAX {
            return Err(StoreError::TooLong(leaf.len()));
        }
        let seq = self.sequence.event + 1;
        self.sequence.event = seq;
        self.sequence.recorded = recorded.unix();
        self.events += 1;
        self.defer(
            INSERT,
            vec![
                Value::Integer(seq),
                Value::Integer(told.tenant.0),
                Value::Integer(recorded.unix()),
                Value::Integer(told.kind),
                Value::Integer(told.device.map_or(0, |no| no.0)),
                Value::Integer(certificate.map_or(0, |no| no.0)),
                Value::Integer(prev.0),
                Value::Blob(self.operation.to_vec()),
                Value::Blob(leaf_hash.to_vec()),
                Value::Blob(leaf),
            ],
        );
        if let Some(operator) = told.operator {
            self.defer(
                "INSERT INTO operator_event(operator, event) VALUES($1, $2)",
                vec![Value::Integer(operator.0), Value::Integer(seq)],
            );
        }
        Ok(EventSeq(seq))
    }
}

/// SHA-256 of a zero octet and the leaf (RFC 6962 section 2.1).
pub(crate) fn leaf_hash(leaf: &[u8]) -> [u8; 32] {
    let mut hashed = Vec::with_capacity(leaf.len() + 1);
    hashed.push(0);
    hashed.extend_from_slice(leaf);
    sha256(&hashed)
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT seq, tenant, at, kind, device, cert, leaf_hash, leaf, prev FROM event ",
            $rest
        )
    };
}

fn recorded(row: &Row<'_>) -> Result<StoredEvent, StoreError> {
    let some = |n: i64| (n != 0).then_some(n);
    Ok(StoredEvent {
        seq: EventSeq(row.get(0)?),
        tenant: TenantId(row.get(1)?),
        at: row.time(2)?,
        kind: Event::word_of(row.get(3)?).ok_or(StoreError::Unreadable { what: "event.kind" })?,
        device: some(row.get(4)?).map(DeviceNo),
        certificate: some(row.get(5)?).map(CertificateNo),
        leaf_hash: row.get(6)?,
        leaf: row.get(7)?,
    })
}

/// The newest event's place and time, if there is any.
pub fn last(tx: &ReadTx<'_>) -> Result<Option<(EventSeq, Time)>, StoreError> {
    tx.one(
        "SELECT seq, at FROM event ORDER BY seq DESC LIMIT 1",
        &[],
        |row| Ok((EventSeq(row.get(0)?), row.time(1)?)),
    )
}

/// One event.
pub fn at(tx: &ReadTx<'_>, seq: EventSeq) -> Result<Option<StoredEvent>, StoreError> {
    tx.one(select!("WHERE seq = $1"), &[&seq.0], recorded)
}

/// Events after `seq` in order, at most `limit`.
pub fn after(tx: &ReadTx<'_>, seq: EventSeq, limit: u32) -> Result<Vec<StoredEvent>, StoreError> {
    tx.all(
        select!("WHERE seq > $1 ORDER BY seq LIMIT $2"),
        &[&seq.0, &limit],
        recorded,
    )
}

/// The hashes of the leaves after `seq` in order, at most `limit`, each with its place.
pub fn leaf_hashes_after(
    tx: &ReadTx<'_>,
    seq: EventSeq,
    limit: u32,
) -> Result<Vec<(EventSeq, [u8; 32])>, StoreError> {
    tx.all(
        "SELECT seq, leaf_hash FROM event WHERE seq > $1 ORDER BY seq LIMIT $2",
        &[&seq.0, &limit],
        |row| Ok((EventSeq(row.get(0)?), row.get(1)?)),
    )
}

/// Hands the leaves after `seq`, at most `limit`, to `visit` in order without copying them.
pub fn each_leaf_after<E: From<StoreError>>(
    tx: &ReadTx<'_>,
    seq: EventSeq,
    limit: u32,
    mut visit: impl FnMut(&[u8]) -> Result<(), E>,
) -> Result<(), E> {
    tx.each(
        "SELECT leaf FROM event WHERE seq > $1 ORDER BY seq LIMIT $2",
        &[&seq.0, &limit],
        |row| visit(row.blob(0)?),
    )
}

/// Events before `seq` (or the newest), newest first, at most `limit`.
pub fn before(
    tx: &ReadTx<'_>,
    seq: Option<EventSeq>,
    limit: u32,
) -> Result<Vec<StoredEvent>, StoreError> {
    let seq = seq.map_or(i64::MAX, |seq| seq.0);
    tx.all(
        select!("WHERE seq < $1 ORDER BY seq DESC LIMIT $2"),
        &[&seq, &limit],
        recorded,
    )
}

/// A device's events before `seq` (or the newest), newest first, at most `limit`: its own chain, and
/// the reservations of its certificates, which stand outside of it.
pub fn of_device(
    tx: &ReadTx<'_>,
    device: DeviceNo,
    seq: Option<EventSeq>,
    limit: u32,
) -> Result<Vec<StoredEvent>, StoreError> {
    let below = seq.map_or(i64::MAX, |seq| seq.0);
    let wanted = usize::try_from(limit).unwrap_or(usize::MAX);
    let heads = tx.one(
        "SELECT last_event, last_cert FROM device WHERE no = $1",
        &[&device.0],
        |row| Ok((row.get::<i64>(0)?, row.get::<i64>(1)?)),
    )?;
    let Some((mut next, mut certificate)) = heads else {
        return Ok(Vec::new());
    };
    // A cursor that is itself in the chain saves the walk to it.
    if below <= next {
        let from = tx.one(
            "SELECT prev FROM event WHERE seq = $1 AND device = $2 AND kind <> 22",
            &[&below, &device.0],
            |row| row.get::<i64>(0),
        )?;
        next = from.unwrap_or(next);
    }
    let mut found = Vec::new();
    while next != 0 && found.len() < wanted {
        let Some((event, prev)) = tx.first(select!("WHERE seq = $1"), &[&next], |row| {
            Ok((recorded(row)?, row.get::<i64>(8)?))
        })?
        else {
            break;
        };
        if next < below {
            found.push(event);
        }
        next = prev;
    }
    let lowest = if found.len() < wanted {
        0
    } else {
        found.last().map_or(0, |e| e.seq.0)
    };
    while certificate != 0 {
        let Some((reserved, prev)) = tx.first(
            "SELECT reserved_event, prev FROM cert WHERE no = $1",
            &[&certificate],
            |row| Ok((row.get::<i64>(0)?, row.get::<i64>(1)?)),
        )?
        else {
            break;
        };
        if reserved < lowest {
            break;
        }
        if reserved < below {
            found.extend(at(tx, EventSeq(reserved))?);
        }
        certificate = prev;
    }
    found.sort_unstable_by_key(|event| std::cmp::Reverse(event.seq));
    found.truncate(wanted);
    Ok(found)
}

/// The last event recorded at or before a time; 0 if none.
pub fn last_at(tx: &ReadTx<'_>, time: Time) -> Result<EventSeq, StoreError> {
    // The time of recording never goes back, so the order of events is an index of times.
    let (mut low, mut high) = (0, last(tx)?.map_or(0, |(seq, _)| seq.0));
    while low < high {
        let middle = low + (high - low + 1) / 2;
        let at = tx.number("SELECT at FROM event WHERE seq = $1", &[&middle])?;
        if at <= time.unix() {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    Ok(EventSeq(low))
}

/// The first event of an operation among those after `since`: whether a commit whose answer was
/// never heard was made.
pub fn of_operation(
    tx: &ReadTx<'_>,
    operation: OperationId,
    since: EventSeq,
) -> Result<Option<EventSeq>, StoreError> {
    tx.one(
        "SELECT seq FROM event WHERE seq > $1 AND operation = $2 ORDER BY seq LIMIT 1",
        &[&since.0, &operation.0.as_slice()],
        |row| row.get(0).map(EventSeq),
    )
}
