//! Taking trust back: revocation, suspension and its end. Each changes the certificate's row, the
//! epoch of its shard and the record in one transaction, and asked again changes nothing.

use serde_json::Value;
use tenure_domain::certificate::{CertificateRow, Revocation, Status};
use tenure_domain::device::Standing;
use tenure_domain::event::{Entry, Event};
use tenure_domain::{Actor, CertificateNo, DeviceNo, TenantId};
use tenure_x509::{Reason, Time};

use crate::certificate::{CLASS_OF, day, row};
use crate::counter::{Counter, DayColumn};
use crate::error::StoreError;
use crate::probe::is_of_canaries;
use crate::tx::{ReadTx, Tx};
use crate::{issuer, revocation};

/// A certificate before and after; the same if it already was as wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Withdrawn {
    /// How it was found.
    pub before: CertificateRow,
    /// How it is now.
    pub after: CertificateRow,
}

/// Withdraws a certificate for good. One that is revoked already keeps its reason and time; one that
/// was never released has nothing to withdraw.
pub fn revoke(
    tx: &mut Tx<'_>,
    no: CertificateNo,
    how: Revocation,
    actor: &Actor,
) -> Result<Withdrawn, StoreError> {
    let before = found(tx, no)?;
    match before.status {
        Status::Issued | Status::Replaced | Status::Held => {}
        Status::Reserved | Status::Voided | Status::Revoked => {
            return Ok(Withdrawn {
                after: before.clone(),
                before,
            });
        }
    }
    let (now, at) = (how.at, how.at.unix().max(1));
    if before.status == Status::Held {
        end_hold(tx, no, now)?;
    }
    tx.run(
        "UPDATE cert SET status = $2, rev_at = $3, reason = $4, invalidity = $5 WHERE no = $1",
        &[
            &no.0,
            &Status::Revoked.code(),
            &at,
            &(how.reason as i64),
            &how.invalidity.map_or(0, Time::unix),
        ],
    )?;
    recount(tx, &before, Status::Revoked, now)?;
    let event = Event::CertificateRevoked {
        invalidity: how.invalidity,
        issuer: before.issuer_name.to_string(),
        reason: how.reason,
        serial: before.serial.clone(),
    };
    tell(tx, before, event, actor, now)
}

/// How long revocations since `since` came after what they are for, in seconds, newest first: those
/// of which that is known; at most `limit` withdrawals are looked at.
pub fn lags(
    tx: &ReadTx<'_>,
    tenant: TenantId,
    since: Time,
    limit: u32,
) -> Result<Vec<i64>, StoreError> {
    let mut lags = Vec::new();
    tx.each::<StoreError>(
        "SELECT rev_at, invalidity, tenant FROM cert WHERE rev_at > 0 AND rev_at >= $1
         ORDER BY rev_at DESC LIMIT $2",
        &[&since.unix(), &limit],
        |row| {
            let (revoked, since): (i64, i64) = (row.get(0)?, row.get(1)?);
            if since != 0 && row.get::<i64>(2)? == tenant.0 {
                lags.push(revoked.saturating_sub(since).max(0));
            }
            Ok(())
        },
    )?;
    Ok(lags)
}

/// Suspends a certificate. Only one that is in force, replaced or not, can be suspended.
pub fn hold(
    tx: &mut Tx<'_>,
    no: CertificateNo,
    why: &str,
    actor: &Actor,
    now: Time,
) -> Result<Withdrawn, StoreError> {
    let before = found(tx, no)?;
    match before.status {
        Status::Issued | Status::Replaced => {}
        Status::Reserved | Status::Voided | Status::Held | Status::Revoked => {
            return Ok(Withdrawn {
                after: before.clone(),
                before,
            });
        }
    }
    let at = now.unix().max(1);
    tx.run(
        "UPDATE cert SET status = $2, rev_at = $3, reason = $4 WHERE no = $1",
        &[
            &no.0,
            &Status::Held.code(),
            &at,
            &(Reason::CertificateHold as i64),
        ],
    )?;
    tx.run(
        "INSERT INTO cert_hold(cert, since, until, na, tenant) VALUES($1, $2, $3, $4, $5)
         ON CONFLICT(cert, since) DO UPDATE SET until = excluded.until",
        &[
            &no.0,
            &at,
            &i64::MAX,
            &before.validity.not_after.unix(),
            &before.tenant.0,
        ],
    )?;
    recount(tx, &before, Status::Held, now)?;
    let event = Event::CertificateHeld {
        issuer: before.issuer_name.to_string(),
        serial: before.serial.clone(),
        why: why.to_owned(),
    };
    tell(tx, before, event, actor, now)
}

/// Whether the record knows that a certificate was suspended at this time.
pub fn was_held(tx: &ReadTx<'_>, no: CertificateNo, since: Time) -> Result<bool, StoreError> {
    let held = tx.number(
        "SELECT count(*) FROM cert_hold WHERE cert = $1 AND since = $2",
        &[&no.0, &since.unix()],
    )?;
    Ok(held > 0)
}

/// Ends a suspension: the certificate is again what it was before, in force or replaced.
pub fn release(
    tx: &mut Tx<'_>,
    no: CertificateNo,
    actor: &Actor,
    now: Time,
) -> Result<Withdrawn, StoreError> {
    let before = found(tx, no)?;
    if before.status != Status::Held {
        return Ok(Withdrawn {
            after: before.clone(),
            before,
        });
    }
    let replaced = tx.number("SELECT replaced FROM cert WHERE no = $1", &[&no.0])?;
    let to = if replaced > 0 {
        Status::Replaced
    } else {
        Status::Issued
    };
    end_hold(tx, no, now)?;
    tx.run(
        "UPDATE cert SET status = $2, rev_at = 0, reason = 0 WHERE no = $1",
        &[&no.0, &to.code()],
    )?;
    recount(tx, &before, to, now)?;
    let event = Event::CertificateReleased {
        issuer: before.issuer_name.to_string(),
        serial: before.serial.clone(),
    };
    tell(tx, before, event, actor, now)
}

/// The certificates that were put on hold when, and since, a device's standing last took away its
/// right to be given one: what its standing holds, and nobody's hand did before.
pub fn held_with_standing(
    tx: &ReadTx<'_>,
    device: DeviceNo,
) -> Result<Vec<CertificateNo>, StoreError> {
    let mut next = tx.number("SELECT last_event FROM device WHERE no = $1", &[&device.0])?;
    let (mut held, mut taken_away) = (Vec::new(), None);
    while next != 0 {
        let read = tx.first(
            "SELECT prev, operation, kind, cert, leaf FROM event WHERE seq = $1",
            &[&next],
            |row| {
                let operation: Vec<u8> = row.get(1)?;
                let step = match Event::word_of(row.get(2)?) {
                    Some("certificate-held") => Step::Held(CertificateNo(row.get(3)?)),
                    Some("device-standing-changed") => Step::Left(standing_left(row.blob(4)?)?),
                    _ => Step::Other,
                };
                Ok((row.get::<i64>(0)?, operation, step))
            },
        )?;
        let Some((prev, operation, step)) = read else {
            break;
        };
        // The change of standing and its holds are one operation.
        if taken_away.as_ref().is_some_and(|taken| *taken != operation) {
            break;
        }
        match step {
            Step::Held(certificate) => held.push(certificate),
            Step::Left(from) if from.may_enroll().is_ok() => taken_away = Some(operation),
            Step::Left(_) | Step::Other => {}
        }
        next = prev;
    }
    Ok(held)
}

/// What an event of a device's chain says of its holds.
enum Step {
    Held(CertificateNo),
    /// It left this standing.
    Left(Standing),
    Other,
}

fn standing_left(leaf: &[u8]) -> Result<Standing, StoreError> {
    let unreadable = StoreError::Unreadable { what: "event.leaf" };
    let leaf: Value = serde_json::from_slice(leaf).map_err(|_| unreadable.clone())?;
    let from = leaf["event"]["device-standing-changed"]["from"].as_str();
    from.and_then(|word| word.parse().ok()).ok_or(unreadable)
}

fn found(tx: &Tx<'_>, no: CertificateNo) -> Result<CertificateRow, StoreError> {
    row(tx, no)?.ok_or(StoreError::Unreadable {
        what: "a certificate's number",
    })
}

fn end_hold(tx: &Tx<'_>, no: CertificateNo, now: Time) -> Result<(), StoreError> {
    tx.run(
        "UPDATE cert_hold SET until = $2 WHERE cert = $1 AND until > $2",
        &[&no.0, &now.unix()],
    )?;
    Ok(())
}

/// Keeps the counters true: what a day ends with, what it revoked, and what is in force.
fn recount(tx: &Tx<'_>, before: &CertificateRow, to: Status, now: Time) -> Result<(), StoreError> {
    // Which roots stand for which is part of what is known of issuers.
    if before.profile.as_str() == issuer::CROSS_PROFILE {
        issuer::changed(tx)?;
    }
    let class = tx
        .one(CLASS_OF, &[&before.no.0], |row| row.get(0))?
        .unwrap_or(0);
    if is_of_canaries(class) {
        return Ok(());
    }
    let (tenant, issuer) = (before.tenant.0, before.issuer.0);
    for (status, by) in [(before.status.code(), -1), (to.code(), 1)] {
        tx.count(
            Counter::Certificates {
                tenant,
                issuer,
                status,
            },
            by,
        );
    }
    let end = before.validity.not_after;
    let count = |at: Time, column, by| {
        tx.count(
            Counter::Day {
                tenant,
                class,
                day: day(at.unix()),
                column,
            },
            by,
        );
    };
    if before.status == Status::Issued {
        count(end, DayColumn::Current, -1);
    }
    if to == Status::Issued {
        count(end, DayColumn::Current, 1);
    }
    if to == Status::Revoked && now <= end {
        count(end, DayColumn::Ending, -1);
        count(now, DayColumn::Revoked, 1);
    }
    Ok(())
}

fn tell(
    tx: &mut Tx<'_>,
    before: CertificateRow,
    event: Event,
    actor: &Actor,
    now: Time,
) -> Result<Withdrawn, StoreError> {
    let entry = Entry {
        tenant: before.tenant,
        ..Entry::new(actor.clone(), now, event)
    };
    tx.log(&entry.about(before.device, &before.device_id).on(before.no))?;
    tx.run(
        "UPDATE device SET version = version + 1 WHERE no = $1",
        &[&before.device.0],
    )?;
    revocation::bump(tx, before.issuer, before.shard, now)?;
    let after = found(tx, before.no)?;
    Ok(Withdrawn { before, after })
}
