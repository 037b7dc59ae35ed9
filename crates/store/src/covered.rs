//! What a revocation filter speaks for: an issuer's certificates by when they begin, and what has
//! changed of them since a filter was made.
//!
//! **The rule of coverage.** When something is reserved, its `notBefore` is later than the newest
//! recorded time less [`BACKDATE_S_MAX`] and `IN_FLIGHT_S`, or it is refused as stale. Recorded
//! time never goes back. So whatever begins at or before that bound, as a snapshot shows it, is in
//! that snapshot: nothing is ever added to it, under any policy and any clock.

use std::collections::BTreeSet;

use tenure_domain::IssuerNo;
use tenure_domain::profile::BACKDATE_S_MAX;
use tenure_x509::filter::{Coverage, DeltaSpec};
use tenure_x509::{Serial, Time, Validity};

use crate::error::StoreError;
use crate::lookup;
use crate::tx::{ReadTx, Row};

/// How long a draft may be on its way to its reservation, in seconds of recorded time.
const IN_FLIGHT_S: i64 = 600;
/// How much earlier than a filter the end of a hold that it already shows may have been noted, in
/// seconds. One that is looked at for nothing does no harm.
const RELEASE_SLACK_S: i64 = 86_400;

/// Whether nothing may begin at `not_before` any more, now that `recorded` is the newest recorded
/// time.
pub(crate) fn is_closed(not_before: Time, recorded: i64) -> bool {
    not_before.unix() <= closed(recorded)
}

fn closed(recorded: i64) -> i64 {
    recorded
        .saturating_sub(BACKDATE_S_MAX)
        .saturating_sub(IN_FLIGHT_S)
}

/// The latest beginning of which this snapshot holds every certificate of an issuer that there will
/// ever be.
pub fn closed_to(tx: &ReadTx<'_>, issuer: IssuerNo) -> Result<Time, StoreError> {
    let recorded = tx.number("SELECT at FROM event ORDER BY seq DESC LIMIT 1", &[])?;
    // What is reserved is not released yet, and may be.
    let open = tx.one(
        "SELECT min(nb) FROM reservation WHERE issuer = $1",
        &[&issuer.0],
        |row| row.get::<Option<i64>>(0),
    )?;
    let open = open.flatten().map_or(i64::MAX, |first| first - 1);
    Ok(Time::from_unix(closed(recorded).min(open)))
}

/// One certificate that a filter may speak for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Covered {
    /// Its serial.
    pub serial: Serial,
    /// Its validity.
    pub validity: Validity,
    /// Whether relying parties must refuse it now.
    pub standing: Withdrawal,
}

/// Whether a certificate is withdrawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Withdrawal {
    /// Revoked, held or voided.
    Withdrawn,
    /// Neither.
    InForce,
}

fn covered(row: &Row<'_>) -> Result<Covered, StoreError> {
    Ok(Covered {
        serial: Serial::from_der_value(row.blob(0)?),
        validity: Validity {
            not_before: row.time(1)?,
            not_after: row.time(2)?,
        },
        standing: match row.get::<i64>(3)? {
            0 => Withdrawal::InForce,
            _ => Withdrawal::Withdrawn,
        },
    })
}

/// Hands every certificate of an issuer within `coverage` to `visit`, one at a time: one pass over
/// the table, in the order of its rows.
pub fn for_each<E: From<StoreError>>(
    tx: &ReadTx<'_>,
    issuer: IssuerNo,
    coverage: Coverage,
    mut visit: impl FnMut(Covered) -> Result<(), E>,
) -> Result<(), E> {
    // The plus signs keep the planner from following an index to every row.
    tx.each(
        "SELECT serial, nb, na, rev_at FROM cert
         WHERE +issuer = $1 AND +na >= $2 AND nb BETWEEN $3 AND $4",
        &[
            &issuer.0,
            &coverage.at.unix(),
            &coverage.from.unix(),
            &coverage.to.unix(),
        ],
        |row| visit(covered(row)?),
    )
}

/// Hands over every certificate of an issuer within `coverage` that may be withdrawn now and was
/// not when the coverage was read, or the other way round; and others besides.
pub fn for_each_suspect<E: From<StoreError>>(
    tx: &ReadTx<'_>,
    issuer: IssuerNo,
    coverage: Coverage,
    mut visit: impl FnMut(Covered) -> Result<(), E>,
) -> Result<(), E> {
    tx.each(
        "SELECT serial, nb, na, rev_at FROM cert
         WHERE issuer = $1 AND na >= $2 AND rev_at > 0 AND nb BETWEEN $3 AND $4",
        &[
            &issuer.0,
            &coverage.at.unix(),
            &coverage.from.unix(),
            &coverage.to.unix(),
        ],
        |row| visit(covered(row)?),
    )?;
    // Only the end of a hold gives a certificate back.
    tx.each(
        "SELECT c.serial, c.nb, c.na, c.rev_at
         FROM cert_hold h JOIN cert c ON c.no = h.cert
         WHERE h.tenant = (SELECT tenant FROM issuer WHERE no = $1)
           AND h.until >= $2 AND h.until < $3 AND c.issuer = $1 AND c.rev_at = 0",
        &[
            &issuer.0,
            &coverage.at.plus(-RELEASE_SLACK_S).unix(),
            &i64::MAX,
        ],
        |row| visit(covered(row)?),
    )
}

/// How many of their first bits tell these keys ([`tenure_x509::filter::delta_key`]) from those of
/// all other certificates: their neighbours among all serials say. No two certificates share all 64.
pub fn width(tx: &ReadTx<'_>, changed: &BTreeSet<u64>) -> Result<u32, StoreError> {
    let is_other = |value: i64| !changed.contains(&value.cast_unsigned());
    let mut neighbours = Vec::with_capacity(changed.len() * 2);
    for key in changed {
        let near = lookup::neighbours(tx, key.cast_signed(), is_other)?;
        neighbours.extend(near.into_iter().map(i64::cast_unsigned));
    }
    let keys: Vec<u64> = changed.iter().copied().collect();
    Ok(DeltaSpec::width(&keys, neighbours))
}
