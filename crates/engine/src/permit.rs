//! How much one operator may withdraw for good before another one has to agree.

use tenure_domain::change::Change;
use tenure_domain::ids::TenantId;
use tenure_domain::operator::Actor;
use tenure_domain::permit::{LIFE_MAX_S, NewPermit, REVOCATIONS_MAX};
use tenure_domain::refusal::Refusal;
use tenure_store::permit::{self, Spent};
use tenure_store::{ReadTx, StoreError, Tx, certificate, device, token};
use tenure_x509::Time;

use crate::change::Changed;
use crate::revoke::Conflict;

/// Counts what somebody withdraws for good, and refuses what is more than one operator may do alone
/// (`alone_max` an hour; 0 is no bound) and others have permitted. Duties of ours are not held back.
pub(crate) fn spend(
    tx: &mut Tx<'_>,
    actor: &Actor,
    count: usize,
    alone_max: u32,
    now: Time,
) -> Result<(), Conflict> {
    let Actor::Operator { name, no, .. } = actor else {
        return Ok(());
    };
    if count == 0 || alone_max == 0 {
        return Ok(());
    }
    let count = u32::try_from(count).unwrap_or(u32::MAX);
    match permit::spend(tx, *no, count, alone_max, now)? {
        Spent::Within => Ok(()),
        Spent::Short { left } => {
            let what = format!(
                "this would withdraw {count} certificate(s) for good, and {name} (token {no}) may \
                 withdraw {left} more now: one operator alone may do {alone_max} an hour. Put them \
                 on hold or suspend the devices, which can be undone; or have another operator run \
                 `tenure permit grant {no} --revocations {count} --why …`"
            );
            Err(Refusal::Conflict { what }.into())
        }
    }
}

/// How many certificates a change of standing withdraws for good.
pub(crate) fn withdrawn_by(
    tx: &ReadTx<'_>,
    tenant: TenantId,
    change: &Change,
    now: Time,
) -> Result<usize, StoreError> {
    let Change::SetStanding { device, to, .. } = change else {
        return Ok(0);
    };
    if to.withdraws().is_none() {
        return Ok(0);
    }
    match device::by_id(tx, tenant, device)? {
        Some(device) => Ok(certificate::withdrawable(tx, device.no, now)?.len()),
        None => Ok(0),
    }
}

/// Gives a permit to another operator.
pub(crate) fn grant(
    tx: &mut Tx<'_>,
    new: &NewPermit,
    actor: &Actor,
    now: Time,
) -> Result<Changed, Conflict> {
    let bad = |what: String| Conflict::from(Refusal::BadRequest { what });
    let Actor::Operator { name, no, .. } = actor else {
        return Err(bad("a permit is given by an operator".to_owned()));
    };
    if new.why.trim().is_empty() {
        return Err(bad("why: say why; it becomes part of the record".to_owned()));
    }
    if !(1..=REVOCATIONS_MAX).contains(&new.revocations) {
        let what = format!("revocations: use a number from 1 to {REVOCATIONS_MAX}");
        return Err(bad(what));
    }
    if !(60..=LIFE_MAX_S).contains(&new.life_s) {
        return Err(bad("life_s: use a time from a minute to 7 days".to_owned()));
    }
    let found = token::by_no(tx, new.operator)?;
    let found = found.ok_or_else(|| Refusal::NotFound {
        what: format!("token {}", new.operator),
    })?;
    if found.no == *no || found.name == *name {
        let what = "a permit is given by somebody else than who uses it".to_owned();
        return Err(Refusal::Conflict { what }.into());
    }
    let given = permit::grant(tx, new, &found.name, name, actor, now)?;
    Ok(Changed::Permit(given))
}
