//! Finding certificates.

use std::ops::ControlFlow;

use tenure_domain::certificate::{CertificateRow, Revocation, Standstill, Status};
use tenure_domain::facts::{KeyUse, ReplayKey};
use tenure_domain::{CertificateNo, DeviceId, DeviceNo, IssuerNo, TenantId};
use tenure_x509::{Cert, KeyHash, Reason, Serial, Time, Validity};

use super::{Certificate, key_prefix, serial_hash};
use crate::blocked_key;
use crate::device::device_id;
use crate::error::StoreError;
use crate::issuer::name_of;
use crate::lookup::{By, candidates};
use crate::registry::slug;
use crate::tx::{ReadTx, Row, Touched};

/// The columns [`row_of`] reads, from `cert` joined with `device`.
macro_rules! columns {
    () => {
        "cert.no, cert.tenant, cert.serial, cert.issuer, cert.device, device.id, cert.profile, \
         cert.nb, cert.na, cert.key, cert.status, cert.reason, cert.rev_at, cert.invalidity, \
         cert.predecessor, cert.predecessor_serial, cert.shard, cert.first_used, \
         cert.standstill, cert.issued"
    };
}
pub(crate) use columns;

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT ",
            columns!(),
            " FROM cert JOIN device ON device.no = cert.device ",
            $rest
        )
    };
}

/// The class a certificate was issued under, and what else its counters hang on.
pub(crate) const CLASS_OF: &str =
    "SELECT class, status, na, issuer, tenant FROM cert WHERE no = $1";

pub(crate) fn row_of(tx: &ReadTx<'_>, row: &Row<'_>) -> Result<CertificateRow, StoreError> {
    let unreadable = |what| StoreError::Unreadable { what };
    let tenant = TenantId(row.get(1)?);
    let issuer = IssuerNo(row.get(3)?);
    let revocation = match row.some_time(12)? {
        None => None,
        Some(at) => {
            let code = u8::try_from(row.get::<i64>(11)?).unwrap_or(u8::MAX);
            let reason = Reason::from_code(code).ok_or(unreadable("cert.reason"))?;
            Some(Revocation {
                reason,
                at,
                invalidity: row.some_time(13)?,
            })
        }
    };
    let predecessor: i64 = row.get(14)?;
    Ok(CertificateRow {
        no: CertificateNo(row.get(0)?),
        tenant,
        serial: Serial::from_der_value(row.blob(2)?),
        issuer,
        issuer_name: name_of(tx, tenant, issuer)?,
        device: DeviceNo(row.get(4)?),
        device_id: device_id(row, 5)?,
        profile: slug(row, 6)?,
        validity: Validity {
            not_before: row.time(7)?,
            not_after: row.time(8)?,
        },
        key: KeyHash(row.get(9)?),
        status: Status::from_code(row.get(10)?).ok_or(unreadable("cert.status"))?,
        revocation,
        predecessor: (predecessor != 0).then_some(CertificateNo(predecessor)),
        predecessor_serial: row
            .get::<Option<Vec<u8>>>(15)?
            .map(|serial| Serial::from_der_value(&serial)),
        shard: row.get(16)?,
        first_used: row.some_time(17)?,
        standstill: Standstill::from_code(row.get(18)?).ok_or(unreadable("cert.standstill"))?,
        issued: row.time(19)?,
    })
}

/// One certificate's row.
pub fn row(tx: &ReadTx<'_>, no: CertificateNo) -> Result<Option<CertificateRow>, StoreError> {
    tx.one(select!("WHERE cert.no = $1"), &[&no.0], |row| {
        row_of(tx, row)
    })
}

/// One certificate, with its bytes.
pub fn by_no(tx: &ReadTx<'_>, no: CertificateNo) -> Result<Option<Certificate>, StoreError> {
    let (Some(row), Some(der)) = (row(tx, no)?, der(tx, no)?) else {
        return Ok(None);
    };
    let cert = Cert::from_der(&der).map_err(|_| StoreError::Unreadable {
        what: "cert_der.der",
    })?;
    Ok(Some(Certificate { row, cert }))
}

/// The exact bytes that were released; none for one that never was.
pub fn der(tx: &ReadTx<'_>, no: CertificateNo) -> Result<Option<Vec<u8>>, StoreError> {
    tx.one("SELECT der FROM cert_der WHERE no = $1", &[&no.0], |row| {
        row.get(0)
    })
}

/// The place in the record, from 0, of the event that reserved a certificate.
pub fn log_index(tx: &ReadTx<'_>, no: CertificateNo) -> Result<i64, StoreError> {
    let seq = tx.number("SELECT reserved_event FROM cert WHERE no = $1", &[&no.0])?;
    Ok(seq - 1)
}

/// The certificate of one issuer with this serial.
pub fn by_serial(
    tx: &ReadTx<'_>,
    issuer: IssuerNo,
    serial: &Serial,
) -> Result<Option<CertificateRow>, StoreError> {
    let found = find_serial(tx, serial)?;
    Ok(found.into_iter().find(|row| row.issuer == issuer))
}

/// The certificates of any issuer with this serial.
pub fn find_serial(tx: &ReadTx<'_>, serial: &Serial) -> Result<Vec<CertificateRow>, StoreError> {
    let mut found = Vec::new();
    for no in candidates(tx, By::Serial, serial_hash(serial))? {
        let read = tx.peek(
            Touched::Certificate(no),
            select!("WHERE cert.no = $1 AND cert.serial = $2"),
            &[&no, &serial.as_bytes()],
            |row| row_of(tx, row),
        )?;
        found.extend(read);
    }
    Ok(found)
}

/// A device's newest certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The certificate.
    pub row: CertificateRow,
    /// What it was asked for by. The same ask again can only have been answered with this one.
    pub replay: ReplayKey,
    /// How many changed keys were forgiven since one was seen in use.
    pub forgiven: u8,
}

/// A device's newest certificate, if it has one.
pub fn head(tx: &ReadTx<'_>, device: DeviceNo) -> Result<Option<Head>, StoreError> {
    tx.one(
        concat!(
            "SELECT ",
            columns!(),
            ", device.forgiven, cert.replay
             FROM device JOIN cert ON cert.no = device.head WHERE device.no = $1"
        ),
        &[&device.0],
        |row| {
            Ok(Head {
                row: row_of(tx, row)?,
                forgiven: row.get(20)?,
                replay: ReplayKey(row.get(21)?),
            })
        },
    )
}

/// A device's released certificates, newest first, at most `limit`.
pub fn of_device(
    tx: &ReadTx<'_>,
    device: DeviceNo,
    limit: usize,
) -> Result<Vec<CertificateRow>, StoreError> {
    let mut found = Vec::new();
    back_from_the_newest(tx, device, |row| {
        if found.len() == limit {
            return ControlFlow::Break(());
        }
        found.push(row);
        ControlFlow::Continue(())
    })?;
    Ok(found)
}

/// All of a device's certificates that can still be withdrawn, newest first: those that are not over,
/// and those on hold, whose hold is still to be ended.
pub fn withdrawable(
    tx: &ReadTx<'_>,
    device: DeviceNo,
    now: Time,
) -> Result<Vec<CertificateRow>, StoreError> {
    let mut found = Vec::new();
    back_from_the_newest(tx, device, |row| {
        let can_be = match row.status {
            Status::Issued | Status::Replaced => now <= row.validity.not_after,
            Status::Held => true,
            Status::Reserved | Status::Voided | Status::Revoked => false,
        };
        if can_be {
            found.push(row);
        }
        ControlFlow::Continue(())
    })?;
    Ok(found)
}

fn back_from_the_newest(
    tx: &ReadTx<'_>,
    device: DeviceNo,
    mut visit: impl FnMut(CertificateRow) -> ControlFlow<()>,
) -> Result<(), StoreError> {
    let mut next = tx.number("SELECT last_cert FROM device WHERE no = $1", &[&device.0])?;
    while next != 0 {
        let read = tx.first(
            concat!(
                "SELECT ",
                columns!(),
                ", cert.prev FROM cert JOIN device ON device.no = cert.device WHERE cert.no = $1"
            ),
            &[&next],
            |row| Ok((row_of(tx, row)?, row.get::<i64>(20)?)),
        )?;
        let Some((row, prev)) = read else { break };
        if row.status != Status::Voided && visit(row).is_break() {
            break;
        }
        next = prev;
    }
    Ok(())
}

/// Who else ever held this key, or why it is blocked: it is on a list of such keys, or a certificate
/// that had it was revoked for more than having a successor.
pub fn key_use(
    tx: &ReadTx<'_>,
    key: KeyHash,
    except: DeviceNo,
) -> Result<Option<KeyUse>, StoreError> {
    let blocked = blocked_key::why(tx, key)?;
    if let Some(why) = blocked {
        return Ok(Some(KeyUse::Blocked { why }));
    }
    if let Some(other) = other_holder(tx, key, except)? {
        return Ok(Some(KeyUse::OtherDevice(other)));
    }
    let given_up = of_key(tx, key)?.into_iter().any(|row| {
        let reason = row.revocation.map(|how| how.reason);
        reason.is_some_and(|reason| reason != Reason::Superseded)
    });
    Ok(given_up.then(|| KeyUse::Blocked {
        why: "a certificate with it was revoked; make a new one".to_owned(),
    }))
}

/// Another device that holds or held this key.
pub(crate) fn other_holder(
    tx: &ReadTx<'_>,
    key: KeyHash,
    except: DeviceNo,
) -> Result<Option<DeviceId>, StoreError> {
    for no in candidates(tx, By::Key, key_prefix(&key.0))? {
        let holder = tx.peek(
            Touched::Certificate(no),
            "SELECT device.id FROM cert JOIN device ON device.no = cert.device
             WHERE cert.no = $1 AND cert.key = $2 AND cert.device <> $3",
            &[&no, &key.0.as_slice(), &except.0],
            |row| device_id(row, 0),
        )?;
        if holder.is_some() {
            return Ok(holder);
        }
    }
    Ok(None)
}

/// What was known when a certificate was granted, as JSON; none once erased.
pub fn facts(tx: &ReadTx<'_>, no: CertificateNo) -> Result<Option<String>, StoreError> {
    tx.one("SELECT body FROM fact WHERE cert = $1", &[&no.0], |row| {
        let body = row.blob(0)?;
        String::from_utf8(body.to_vec()).map_err(|_| StoreError::Unreadable { what: "fact.body" })
    })
}

/// The released certificates with this key, newest first; whether they have expired or not.
pub fn of_key(tx: &ReadTx<'_>, key: KeyHash) -> Result<Vec<CertificateRow>, StoreError> {
    let mut found = Vec::new();
    for no in candidates(tx, By::Key, key_prefix(&key.0))? {
        let read = tx.peek(
            Touched::Certificate(no),
            select!("WHERE cert.no = $1 AND cert.key = $2 AND cert.status <> 2"),
            &[&no, &key.0.as_slice()],
            |row| row_of(tx, row),
        )?;
        found.extend(read);
    }
    Ok(found)
}
