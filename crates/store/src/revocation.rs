//! What is published of withdrawn certificates: the set of each shard at its epoch, and the state of
//! one serial.

use tenure_domain::IssuerNo;
use tenure_domain::certificate::Status;
use tenure_x509::{Reason, Serial, Time};

use crate::certificate::serial_hash;
use crate::error::StoreError;
use crate::lookup::{By, candidates};
use crate::store::Store;
use crate::tx::{ReadTx, Row, Touched, Tx};

/// One entry of a revocation set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RevokedEntry<'r> {
    /// The serial, as the value octets of its DER integer.
    pub serial: &'r [u8],
    /// When it was withdrawn or held.
    pub at: Time,
    /// Why; `certificateHold` for one that may be released.
    pub reason: Reason,
    /// Since when the key must be thought bad, if earlier.
    pub invalidity: Option<Time>,
}

/// What an OCSP responder may say of a serial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CertState {
    /// It was never released by this issuer.
    NeverIssued,
    /// It is in force.
    Good,
    /// It was withdrawn, or never released but perhaps signed.
    Revoked {
        /// When.
        at: Time,
        /// Why.
        reason: Reason,
        /// Since when the key must be thought bad, if earlier.
        invalidity: Option<Time>,
    },
    /// It is suspended.
    Held {
        /// Since when.
        at: Time,
    },
}

/// One shard of an issuer's revocation list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShardState {
    /// The issuer.
    pub issuer: IssuerNo,
    /// The shard.
    pub shard: u16,
    /// The version of its set: it grows with every change and is never used twice.
    pub epoch: i64,
    /// The epoch that was last published; 0 if none was.
    pub published: i64,
    /// When that was.
    pub published_at: Time,
}

/// Every shard of an issuer with its epoch.
pub fn epochs(tx: &ReadTx<'_>, issuer: IssuerNo) -> Result<Vec<(u16, i64)>, StoreError> {
    tx.all(
        "SELECT shard, epoch FROM shard WHERE issuer = $1 ORDER BY shard",
        &[&issuer.0],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )
}

/// Every shard of every issuer.
pub fn shards(tx: &ReadTx<'_>) -> Result<Vec<ShardState>, StoreError> {
    tx.all(
        "SELECT issuer, shard, epoch, published, published_at FROM shard ORDER BY issuer, shard",
        &[],
        |row| {
            Ok(ShardState {
                issuer: IssuerNo(row.get(0)?),
                shard: row.get(1)?,
                epoch: row.get(2)?,
                published: row.get(3)?,
                published_at: row.time(4)?,
            })
        },
    )
}

fn entry<'r>(row: &'r Row<'_>) -> Result<RevokedEntry<'r>, StoreError> {
    let code = u8::try_from(row.get::<i64>(2)?).unwrap_or(u8::MAX);
    Ok(RevokedEntry {
        serial: row.blob(0)?,
        at: row.time(1)?,
        reason: Reason::from_code(code).ok_or(StoreError::Unreadable {
            what: "cert.reason",
        })?,
        invalidity: row.some_time(3)?,
    })
}

/// Hands the set of one shard, or of all of an issuer's, to `visit`: what is revoked, held or voided
/// and ends at `live_after` or later. In order of shard and end.
pub fn for_each<E: From<StoreError>>(
    tx: &ReadTx<'_>,
    issuer: IssuerNo,
    shard: Option<u16>,
    live_after: Time,
    mut visit: impl FnMut(RevokedEntry<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let mut hand = |row: &Row<'_>| visit(entry(row)?);
    match shard {
        Some(shard) => tx.each(
            "SELECT serial, rev_at, reason, invalidity FROM cert
             WHERE issuer = $1 AND shard = $2 AND na >= $3 AND rev_at > 0",
            &[&issuer.0, &shard, &live_after.unix()],
            &mut hand,
        ),
        None => tx.each(
            "SELECT serial, rev_at, reason, invalidity FROM cert
             WHERE issuer = $1 AND na >= $2 AND rev_at > 0",
            &[&issuer.0, &live_after.unix()],
            &mut hand,
        ),
    }
}

/// Hands over what has changed in a shard since `from`: what was withdrawn or held, and with the
/// reason `removeFromCRL` what was given back. Ended certificates are left out.
pub fn for_each_changed<E: From<StoreError>>(
    tx: &ReadTx<'_>,
    issuer: IssuerNo,
    shard: u16,
    from: Time,
    live_after: Time,
    mut visit: impl FnMut(RevokedEntry<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let args: [&dyn rusqlite::ToSql; 4] = [&issuer.0, &shard, &from.unix(), &live_after.unix()];
    tx.each(
        "SELECT serial, rev_at, reason, invalidity FROM cert
         WHERE rev_at >= max($3, 1) AND rev_at > 0 AND na >= $4 AND issuer = $1 AND shard = $2",
        &args,
        |row| visit(entry(row)?),
    )?;
    tx.each(
        "SELECT c.serial, max(h.until) FROM cert_hold h JOIN cert c ON c.no = h.cert
         WHERE h.tenant = (SELECT tenant FROM issuer WHERE no = $1)
           AND h.until >= $3 AND h.until < 9223372036854775807
           AND c.issuer = $1 AND c.shard = $2 AND c.rev_at = 0 AND c.na >= $4
         GROUP BY c.no",
        &args,
        |row| {
            visit(RevokedEntry {
                serial: row.blob(0)?,
                at: row.time(1)?,
                reason: Reason::RemoveFromCrl,
                invalidity: None,
            })
        },
    )
}

/// How many entries [`for_each`] would hand over for one shard.
pub fn count(
    tx: &ReadTx<'_>,
    issuer: IssuerNo,
    shard: u16,
    live_after: Time,
) -> Result<u64, StoreError> {
    let count = tx.number(
        "SELECT count(*) FROM cert
         WHERE issuer = $1 AND shard = $2 AND na >= $3 AND rev_at > 0",
        &[&issuer.0, &shard, &live_after.unix()],
    )?;
    Ok(u64::try_from(count).unwrap_or(0))
}

/// The state of one serial of one issuer.
pub fn state(tx: &ReadTx<'_>, issuer: IssuerNo, serial: &Serial) -> Result<CertState, StoreError> {
    for no in candidates(tx, By::Serial, serial_hash(serial))? {
        let found = tx.peek(
            Touched::Certificate(no),
            "SELECT status, rev_at, reason, invalidity FROM cert
             WHERE no = $1 AND serial = $2 AND issuer = $3",
            &[&no, &serial.as_bytes(), &issuer.0],
            state_of,
        )?;
        if let Some(state) = found {
            return Ok(state);
        }
    }
    Ok(CertState::NeverIssued)
}

fn state_of(row: &Row<'_>) -> Result<CertState, StoreError> {
    let unreadable = |what| StoreError::Unreadable { what };
    let status = Status::from_code(row.get(0)?).ok_or(unreadable("cert.status"))?;
    let at = row.time(1)?;
    Ok(match status {
        Status::Issued | Status::Replaced => CertState::Good,
        Status::Held => CertState::Held { at },
        Status::Revoked | Status::Voided => CertState::Revoked {
            at,
            reason: Reason::from_code(u8::try_from(row.get::<i64>(2)?).unwrap_or(u8::MAX))
                .ok_or(unreadable("cert.reason"))?,
            invalidity: row.some_time(3)?,
        },
        Status::Reserved => CertState::NeverIssued,
    })
}

/// Gives a shard's set its next epoch: later than the last, and not before the clock, so that a
/// restored backup can never use a number again.
pub(crate) fn bump(tx: &Tx<'_>, issuer: IssuerNo, shard: u16, now: Time) -> Result<(), StoreError> {
    tx.run(
        // Above every epoch of the issuer, so that the list over all shards sees each change too.
        "UPDATE shard SET epoch = max((SELECT max(epoch) FROM shard WHERE issuer = $1) + 1, $3)
         WHERE issuer = $1 AND shard = $2",
        &[&issuer.0, &shard, &now.unix()],
    )?;
    Ok(())
}

/// By how much the epochs of a restored database run ahead of the clock. Of many withdrawals in one
/// second each takes a number of its own, so the numbers that were in use may have been ahead, too.
const LEAP: i64 = 1 << 24;

/// Takes every shard's epoch beyond any that can have been in use: what is published next replaces
/// whatever a lost database published.
pub fn leap(tx: &Tx<'_>, now: Time) -> Result<(), StoreError> {
    tx.run(
        "UPDATE shard SET epoch = max((SELECT max(epoch) FROM shard), $1) + $2",
        &[&now.unix(), &LEAP],
    )?;
    Ok(())
}

impl Store {
    /// Remembers that a shard was published at an epoch. Losing this only publishes it once more.
    pub async fn published(
        &self,
        issuer: IssuerNo,
        shard: u16,
        epoch: i64,
        at: Time,
    ) -> Result<(), StoreError> {
        self.scratch(move |tx| {
            tx.run(
                "UPDATE shard SET published = $3, published_at = $4
                 WHERE issuer = $1 AND shard = $2 AND published <= $3",
                &[&issuer.0, &shard, &epoch, &at.unix()],
            )
            .map(|_| ())
        })
        .await
    }
}
