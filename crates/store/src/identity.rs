//! Identities for life (IDevID) that we gave. The tables' keys prove requirement A1: a serial number
//! has one, a device has one, and a key is in one.

use tenure_domain::device::Device;
use tenure_domain::event::{Entry, Event};
use tenure_domain::facts::{IdentityForLife, Repair};
use tenure_domain::policy::Grant;
use tenure_domain::profile::ProfileKind;
use tenure_domain::{Actor, CertificateNo};
use tenure_x509::Time;

use crate::device::device_id;
use crate::error::StoreError;
use crate::tx::{ReadTx, Row, Tx};

/// The identity that bears a device's serial number, or else the one that the device holds.
pub fn of(tx: &ReadTx<'_>, device: &Device) -> Result<Option<IdentityForLife>, StoreError> {
    let by_serial = tx.first(
        "SELECT device.id, cert, repair FROM identity JOIN device ON device.no = identity.device
         WHERE identity.tenant = $1 AND identity.serial = $2",
        &[&device.tenant.0, &device.serial],
        read,
    )?;
    match by_serial {
        Some(found) => Ok(Some(found)),
        // The registered serial number may have been changed since.
        None => tx.first(
            "SELECT device.id, cert, repair FROM identity JOIN device ON device.no = identity.device
             WHERE identity.device = $1",
            &[&device.no.0],
            read,
        ),
    }
}

fn read(row: &Row<'_>) -> Result<IdentityForLife, StoreError> {
    Ok(IdentityForLife {
        device: device_id(row, 0)?,
        certificate: CertificateNo(row.get(1)?),
        repair: match row.get::<i64>(2)? {
            0 => Repair::NotApproved,
            _ => Repair::Approved,
        },
    })
}

/// Lets a device have another identity for life, once, and records who said so. `false` if it holds
/// none yet. Approved already, it stays so, with an excuse.
pub fn approve_repair(
    tx: &mut Tx<'_>,
    device: &Device,
    why: &str,
    actor: &Actor,
    now: Time,
) -> Result<bool, StoreError> {
    let found = of(tx, device)?.filter(|identity| identity.device == device.id);
    let Some(identity) = found else {
        return Ok(false);
    };
    if identity.repair == Repair::Approved {
        tx.excuse("the repair is approved already");
        return Ok(true);
    }
    tx.run(
        "UPDATE identity SET repair = $2 WHERE device = $1",
        &[&device.no.0, &now.unix().max(1)],
    )?;
    // An approval is a fact about the device: whoever decided without it decides again.
    tx.run(
        "UPDATE device SET version = version + 1 WHERE no = $1",
        &[&device.no.0],
    )?;
    let event = Event::RepairApproved {
        why: why.to_owned(),
    };
    let entry = Entry {
        tenant: device.tenant,
        ..Entry::new(actor.clone(), now, event)
    };
    tx.log(&entry.about(device.no, &device.id))?;
    Ok(true)
}

/// What forbids that a grant becomes an identity for life, if it would.
pub(crate) fn obstacle(tx: &ReadTx<'_>, grant: &Grant) -> Result<Option<&'static str>, StoreError> {
    if grant.profile().kind != ProfileKind::IDevId {
        return Ok(None);
    }
    Ok(of(tx, grant.device())?
        .filter(|found| found.device != grant.device().id || found.repair == Repair::NotApproved)
        .map(|_| "the serial number got an identity for life while this one was being signed"))
}

/// Notes the identity for life that was just released, in place of the one before its repair, which
/// is returned.
pub(crate) fn given(
    tx: &mut Tx<'_>,
    grant: &Grant,
    no: CertificateNo,
) -> Result<Option<CertificateNo>, StoreError> {
    if grant.profile().kind != ProfileKind::IDevId {
        return Ok(None);
    }
    let device = grant.device();
    let former = of(tx, device)?.map(|identity| identity.certificate);
    tx.run("DELETE FROM identity WHERE device = $1", &[&device.no.0])?;
    tx.run(
        "INSERT INTO identity(tenant, serial, device, cert, repair, key)
         VALUES($1, $2, $3, $4, 0, $5)",
        &[
            &device.tenant.0,
            &device.serial,
            &device.no.0,
            &no.0,
            &grant.key().0.as_slice(),
        ],
    )?;
    Ok(former)
}
