//! One-time secrets: at most one per device, kept as a salted hash.

use tenure_domain::device::Device;
use tenure_domain::event::{Entry, Event};
use tenure_domain::evidence::SecretRow;
use tenure_domain::{Actor, DeviceNo, SecretNo};
use tenure_x509::{KeyHash, Time};

use crate::device;
use crate::error::StoreError;
use crate::tx::{ReadTx, Touched, Tx};

/// After so many wrong tries in a row the secret is locked.
const TRIES: i64 = 5;
/// For so many seconds.
const LOCK_S: i64 = 15 * 60;

/// Gives a device a secret in place of any former one. `hash` is SHA-256 of salt and secret.
pub fn put(
    tx: &mut Tx<'_>,
    device: DeviceNo,
    hash: &[u8; 32],
    salt: &[u8; 16],
    expires: Time,
    actor: &Actor,
    now: Time,
) -> Result<SecretNo, StoreError> {
    let found = device::by_no(tx, device)?.ok_or(StoreError::Unreadable {
        what: "secret.device",
    })?;
    tx.run(
        "INSERT INTO secret(no, hash, salt, created, expires, bound_to, spent, failures,
           locked_until) VALUES($1, $2, $3, $4, $5, NULL, 0, 0, 0)
         ON CONFLICT(no) DO UPDATE SET hash = excluded.hash, salt = excluded.salt,
           created = excluded.created, expires = excluded.expires, bound_to = NULL, spent = 0,
           failures = 0, locked_until = 0",
        &[
            &device.0,
            &hash.as_slice(),
            &salt.as_slice(),
            &now.unix(),
            &expires.unix(),
        ],
    )?;
    // A grant that rests on the former secret is stale.
    tx.run(
        "UPDATE device SET version = version + 1 WHERE no = $1",
        &[&device.0],
    )?;
    let event = Event::SecretIssued {
        expires: expires.to_string(),
    };
    let entry = Entry {
        tenant: found.tenant,
        ..Entry::new(actor.clone(), now, event)
    };
    tx.log(&entry.about(device, &found.id))?;
    Ok(SecretNo(device.0))
}

/// A device's secret, whatever its state.
pub fn of_device(tx: &ReadTx<'_>, device: DeviceNo) -> Result<Option<SecretRow>, StoreError> {
    tx.one(
        "SELECT no, hash, salt, expires, bound_to, spent, failures, locked_until FROM secret
         WHERE no = $1",
        &[&device.0],
        |row| {
            let bound: Option<Vec<u8>> = row.get(4)?;
            let bound_to = match bound {
                None => None,
                Some(bytes) => Some(KeyHash(bytes.try_into().map_err(|_| {
                    StoreError::Unreadable {
                        what: "secret.bound_to",
                    }
                })?)),
            };
            Ok(SecretRow {
                no: SecretNo(row.get(0)?),
                device: DeviceNo(row.get(0)?),
                hash: row.get(1)?,
                salt: row.get(2)?,
                expires: row.time(3)?,
                bound_to,
                spent: row.some_time(5)?,
                failures: row.get(6)?,
                locked_until: row.some_time(7)?,
            })
        },
    )
}

/// Binds a secret to the first key it is presented with. Bound already, it stays so.
pub fn bind(tx: &mut Tx<'_>, secret: SecretNo, key: KeyHash) -> Result<(), StoreError> {
    tx.run(
        "UPDATE secret SET bound_to = $2 WHERE no = $1 AND bound_to IS NULL",
        &[&secret.0, &key.0.as_slice()],
    )?;
    tx.touch(Touched::Secret(secret.0));
    Ok(())
}

/// Counts a wrong try and records it; the fifth in a row locks the secret for 15 minutes.
pub fn failed(tx: &mut Tx<'_>, device: &Device, now: Time) -> Result<(), StoreError> {
    let failures = tx.number("SELECT failures FROM secret WHERE no = $1", &[&device.no.0])? + 1;
    let (failures, locked_until, why) = if failures >= TRIES {
        (
            0,
            now.plus(LOCK_S).unix(),
            "wrong, and locked for 15 minutes",
        )
    } else {
        (failures, 0, "wrong")
    };
    tx.run(
        "UPDATE secret SET failures = $2, locked_until = max(locked_until, $3) WHERE no = $1",
        &[&device.no.0, &failures, &locked_until],
    )?;
    let event = Event::SecretRefused {
        why: why.to_owned(),
    };
    let entry = Entry {
        tenant: device.tenant,
        ..Entry::new(Actor::Anonymous, now, event)
    };
    tx.log(&entry.about(device.no, &device.id))?;
    Ok(())
}
