//! A device along its life: what a change of standing and a decided incident mean for its certificates.

use tenure_domain::Refusal;
use tenure_domain::certificate::Revocation;
use tenure_domain::device::{Device, Standing};
use tenure_domain::ids::{CertificateNo, DeviceNo, IncidentNo};
use tenure_domain::incident::IncidentState;
use tenure_domain::operator::Actor;
use tenure_store::{ReadTx, StoreError, Tx, certificate, device, incident, pending, withdrawal};
use tenure_x509::{Reason, Serial, Time};

use crate::change::Changed;
use crate::revoke::Conflict;

/// Moves a device along its life, with what that means for its certificates (requirement H5):
/// suspended → on hold, back → released, retired → revoked for good.
pub(crate) fn move_along(
    tx: &mut Tx<'_>,
    device: &Device,
    to: Standing,
    why: &str,
    actor: &Actor,
    now: Time,
) -> Result<Device, Conflict> {
    if device.standing == to {
        tx.excuse("the device already has that standing");
        return Ok(device.clone());
    }
    let to = match to {
        // A device that never held an identity resumes as one that is expected.
        Standing::Enrolled if certificate::head(tx, device.no)?.is_none() => Standing::Expected,
        other => other,
    };
    if !device.standing.next().contains(&to) {
        let may: Vec<_> = device.standing.next().iter().map(|s| s.word()).collect();
        let what = format!(
            "device {} is {}; from there it can only become: {}",
            device.id,
            device.standing,
            if may.is_empty() {
                "nothing else".to_owned()
            } else {
                may.join(", ")
            }
        );
        return Err(Refusal::Conflict { what }.into());
    }
    if to.may_enroll().is_ok() {
        give_back(tx, device, actor, now)?;
    }
    for row in certificate::withdrawable(tx, device.no, now)? {
        if let Some(reason) = to.withdraws() {
            withdrawal::revoke(tx, row.no, Revocation::new(reason, now), actor)?;
        } else if to.may_enroll().is_err() {
            withdrawal::hold(tx, row.no, why, actor, now)?;
        }
    }
    if to.withdraws().is_some() {
        pending::refuse_all(tx, device.no, actor, now)?;
    }
    Ok(device::set_standing(tx, device.no, to, why, actor, now)?)
}

/// Ends the holds that came with a device's standing; those by hand stay, and so does what an open
/// incident holds until somebody decides it.
fn give_back(tx: &mut Tx<'_>, device: &Device, actor: &Actor, now: Time) -> Result<(), Conflict> {
    if let Some(no) = undecided(tx, device, None)? {
        let what = format!(
            "device {} is part of incident {no}, which nobody has decided yet; look at it with \
             `tenure incident show {no}` and decide it with `tenure incident resolve {no}`",
            device.id
        );
        return Err(Refusal::Conflict { what }.into());
    }
    for no in withdrawal::held_with_standing(tx, device.no)? {
        withdrawal::release(tx, no, actor, now)?;
    }
    Ok(())
}

/// An open incident that keeps a device in quarantine, other than `except`.
fn undecided(
    tx: &ReadTx<'_>,
    device: &Device,
    except: Option<IncidentNo>,
) -> Result<Option<IncidentNo>, StoreError> {
    let known = incident::of_device(tx, device.no)?;
    let open = known.into_iter().find(|incident| {
        incident.state == IncidentState::Open
            && incident.kind.quarantines()
            && Some(incident.no) != except
    });
    Ok(open.map(|incident| incident.no))
}

/// Puts all that a device has on hold and, unless it already may not enroll, the device in quarantine. The
/// serials, those of `first` before the others.
pub(crate) fn quarantine(
    tx: &mut Tx<'_>,
    device: DeviceNo,
    first: &[CertificateNo],
    (holds, stands): (&str, &str),
    us: &Actor,
    now: Time,
) -> Result<Vec<String>, StoreError> {
    // Read here: it may have been retired since whoever found this looked at it.
    let device = device::by_no(tx, device)?.ok_or(StoreError::Unreadable { what: "device" })?;
    let serials = hold_all(tx, &device, first, holds, us, now)?;
    if device.standing.may_enroll().is_ok() {
        device::set_standing(tx, device.no, Standing::Quarantined, stands, us, now)?;
    }
    Ok(serials)
}

/// Puts all that a device holds on hold. The serials, those of `first` before the others.
fn hold_all(
    tx: &mut Tx<'_>,
    device: &Device,
    first: &[CertificateNo],
    why: &str,
    actor: &Actor,
    now: Time,
) -> Result<Vec<String>, StoreError> {
    let mut rows = certificate::withdrawable(tx, device.no, now)?;
    rows.sort_by_key(|row| {
        first
            .iter()
            .position(|no| *no == row.no)
            .unwrap_or(first.len())
    });
    for row in &rows {
        withdrawal::hold(tx, row.no, why, actor, now)?;
    }
    Ok(rows.into_iter().map(|row| row.serial.to_string()).collect())
}

/// Decides a fork: the branch to keep is released, the others are revoked as compromised.
pub(crate) fn resolve(
    tx: &mut Tx<'_>,
    no: IncidentNo,
    keep: Option<&str>,
    why: &str,
    actor: &Actor,
    now: Time,
) -> Result<Changed, Conflict> {
    let incident = incident::by_no(tx, no)?.ok_or_else(|| Refusal::NotFound {
        what: format!("incident {no}"),
    })?;
    if incident.resolved.is_some() {
        let what = format!("incident {no} is already resolved");
        return Err(Refusal::Conflict { what }.into());
    }
    let keep = match keep {
        None => None,
        Some(text) => {
            let serial = Serial::parse_number(text).map_err(|error| Refusal::BadRequest {
                what: format!("keep: {error}"),
            })?;
            // An incident that names none is about all that its device has.
            let is_part =
                incident.serials.is_empty() || incident.serials.contains(&serial.to_string());
            if !is_part {
                let what = format!(
                    "keep: {serial} is not part of incident {no}; it concerns {}",
                    incident.serials.join(", ")
                );
                return Err(Refusal::BadRequest { what }.into());
            }
            Some(serial)
        }
    };
    let device = match &incident.device {
        Some(id) => device::by_id(tx, tenure_domain::TenantId::DEFAULT, id)?,
        None => None,
    };
    if let Some(device) = &device {
        let may_go_on = undecided(tx, device, Some(no))?.is_none();
        let to = match (device.standing, &keep) {
            (Standing::Quarantined, Some(_)) if may_go_on => Standing::Enrolled,
            (Standing::Quarantined, None) if may_go_on => Standing::Expected,
            (as_it_is, _) => as_it_is,
        };
        keep_one(tx, device, keep.as_ref(), to, (actor, now))?;
        if to != device.standing {
            device::set_standing(tx, device.no, to, why, actor, now)?;
        }
    }
    let outcome = match &keep {
        Some(serial) => format!("kept {serial}: {why}"),
        None => format!("kept nothing: {why}"),
    };
    incident::resolve(tx, no, &outcome, actor, now)?;
    Ok(Changed::Incident(no))
}

/// Revokes what a device has as compromised, but for one certificate, which goes on if the standing that
/// the device comes to lets it.
fn keep_one(
    tx: &mut Tx<'_>,
    device: &Device,
    keep: Option<&Serial>,
    to: Standing,
    (actor, now): (&Actor, Time),
) -> Result<(), Conflict> {
    let rows = certificate::withdrawable(tx, device.no, now)?;
    if let Some(serial) = keep
        && rows.iter().all(|row| row.serial != *serial)
    {
        let what = format!(
            "keep: {} has no certificate {serial} that is in force or on hold any more; keep another \
             one, or none",
            device.id
        );
        return Err(Refusal::Conflict { what }.into());
    }
    for row in rows {
        if keep != Some(&row.serial) {
            let how = Revocation::new(Reason::KeyCompromise, now);
            withdrawal::revoke(tx, row.no, how, actor)?;
            continue;
        }
        if to.may_enroll().is_ok() {
            withdrawal::release(tx, row.no, actor, now)?;
        }
        certificate::make_head(tx, device.no, row.no)?;
    }
    Ok(())
}
