//! Exceptions: proposed by one operator, approved by another, over by themselves.

use tenure_domain::exception::{
    Exception, ExceptionState, NewException, OPEN_MAX, Scope, Signature,
};
use tenure_domain::ids::{ExceptionNo, TenantId};
use tenure_domain::operator::Actor;
use tenure_domain::refusal::Refusal;
use tenure_store::{ReadTx, StoreError, Tx, device, exception, registry};
use tenure_x509::Time;

use crate::Engine;
use crate::change::Changed;
use crate::fault::Rejection;
use crate::revoke::Conflict;

/// Who does what is done here.
const DUTY: &str = "prune";

fn bad(what: String) -> Conflict {
    Refusal::BadRequest { what }.into()
}

/// Proposes one: for something that is registered, for a reason, and for no longer than the policy
/// allows, `max_s` seconds.
pub(crate) fn add(
    tx: &mut Tx<'_>,
    tenant: TenantId,
    new: &NewException,
    max_s: i64,
    actor: &Actor,
    now: Time,
) -> Result<Changed, Conflict> {
    let Actor::Operator { name, no, .. } = actor else {
        return Err(bad("an exception is proposed by an operator".to_owned()));
    };
    if new.reason.trim().is_empty() {
        return Err(bad(
            "reason: say why; it becomes part of the record".to_owned()
        ));
    }
    if new.until <= now {
        return Err(bad(format!("until: {} is over", new.until)));
    }
    let last = now.plus(max_s);
    if new.until > last {
        return Err(bad(format!(
            "until: the policy allows exceptions until {last} at most (exceptions-max)"
        )));
    }
    if !is_registered(tx, tenant, &new.scope)? {
        let what = new.scope.to_string();
        return Err(Refusal::NotFound { what }.into());
    }
    if exception::open(tx, tenant)?.len() >= OPEN_MAX {
        let what = format!(
            "{OPEN_MAX} exceptions are proposed or active; end some of them, or change the policy"
        );
        return Err(Refusal::Conflict { what }.into());
    }
    let by = Signature {
        operator: *no,
        name: name.clone(),
        at: now,
    };
    Ok(Changed::Exception(exception::add(tx, new, &by, actor)?))
}

fn is_registered(tx: &ReadTx<'_>, tenant: TenantId, scope: &Scope) -> Result<bool, StoreError> {
    Ok(match scope {
        Scope::Device(id) => device::by_id(tx, tenant, id)?.is_some(),
        Scope::Class(name) => {
            let classes = registry::classes(tx, tenant)?;
            classes.iter().any(|class| class.name == *name)
        }
        Scope::Site(name) => {
            let sites = registry::sites(tx, tenant)?;
            sites.iter().any(|site| site.name == *name)
        }
    })
}

fn known(tx: &ReadTx<'_>, no: ExceptionNo) -> Result<Exception, Conflict> {
    exception::by_no(tx, no)?.ok_or_else(|| {
        let what = format!("exception {no}");
        Refusal::NotFound { what }.into()
    })
}

/// Approves one that somebody else proposed.
pub(crate) fn approve(
    tx: &mut Tx<'_>,
    no: ExceptionNo,
    actor: &Actor,
    now: Time,
) -> Result<Changed, Conflict> {
    let found = known(tx, no)?;
    let by = found.review(actor, now).map_err(|why| Refusal::Conflict {
        what: format!("exception {no} is {}: {why}", found.state(now)),
    })?;
    exception::approve(tx, &found, &by, actor)?;
    Ok(Changed::Exception(no))
}

/// Ends one that is proposed or active.
pub(crate) fn end(
    tx: &mut Tx<'_>,
    no: ExceptionNo,
    why: &str,
    actor: &Actor,
    now: Time,
) -> Result<Changed, Conflict> {
    if why.trim().is_empty() {
        return Err(bad(
            "why: say why it ends; it becomes part of the record".to_owned()
        ));
    }
    let found = known(tx, no)?;
    let state = found.state(now);
    if !matches!(state, ExceptionState::Proposed | ExceptionState::Active) {
        let what = format!("exception {no} is {state}; there is nothing to end");
        return Err(Refusal::Conflict { what }.into());
    }
    let by = match actor {
        Actor::Operator { name, .. } => name.as_str(),
        Actor::System { duty } => duty.as_str(),
        Actor::Device { .. } | Actor::Anonymous => "",
    };
    exception::end(tx, &found, by, why, actor, now)?;
    Ok(Changed::Exception(no))
}

impl Engine {
    /// Writes down which exceptions have lapsed. Decisions do not wait for it: they look at the time
    /// themselves. Returns how many.
    pub async fn lapse_exceptions(&self) -> Result<usize, Rejection> {
        let (tenant, now) = (self.tenant(), self.clock().now());
        let open = self.store().glance(|tx| exception::open(tx, tenant))?;
        if open
            .iter()
            .all(|it| it.state(now) != ExceptionState::Lapsed)
        {
            return Ok(0);
        }
        let lapsed = self
            .store()
            .record::<usize, StoreError, _>(self.operation()?, move |tx| {
                let mut lapsed = exception::open(tx, tenant)?;
                lapsed.retain(|it| it.state(now) == ExceptionState::Lapsed);
                if lapsed.is_empty() {
                    tx.excuse("no exception has lapsed");
                }
                for it in &lapsed {
                    exception::lapse(tx, it, &Actor::system(DUTY), now)?;
                }
                Ok(lapsed.len())
            })
            .await?;
        self.reload().await?;
        Ok(lapsed)
    }
}
