//! Changes to the registry, the policy and the house. Each is one recorded transaction.

use std::sync::Arc;

use tenure_domain::Refusal;
use tenure_domain::change::Change;
use tenure_domain::device::Device;
use tenure_domain::event::Event;
use tenure_domain::facts::Ruling;
use tenure_domain::finding::FindingState;
use tenure_domain::hook::Hidden;
use tenure_domain::ids::{AskNo, DeviceId, ExceptionNo, FindingNo, IncidentNo, OperatorNo, Slug};
use tenure_domain::operator::{Actor, Role};
use tenure_domain::profile::is_authority;
use tenure_domain::registry::HOUSE;
use tenure_domain::text::hex;
use tenure_store::registry::RegistryError;
use tenure_store::{
    Tx, device, finding, identity, issuer, pending, registry, relying_party, secret, token,
};
use tenure_x509::Time;

use crate::facts::secret_digest;
use crate::fault::{FaultCause, Rejection};
use crate::relying_party::is_fit;
use crate::revoke::Conflict;
use crate::{Engine, Promise, chance, exception, life, permit, rollover, trust_store};

/// What a change came to.
#[derive(Debug, Clone)]
pub enum Changed {
    /// Something was put into the registry.
    Put(registry::Put),
    /// A device as it is now.
    Device(Box<Device>),
    /// A fresh one-time secret, shown this once.
    Secret(NewSecretText),
    /// Another operator may withdraw more.
    Permit(i64),
    /// A held ask was decided.
    Ask(AskNo),
    /// An incident was decided.
    Incident(IncidentNo),
    /// A finding is known to somebody.
    Finding(FindingNo),
    /// An exception was proposed, approved or ended.
    Exception(ExceptionNo),
    /// A hook was put; its secret if it is one of ours and fresh, shown this once.
    Hook {
        /// What the put did.
        put: registry::Put,
        /// The secret.
        fresh: Option<Hidden>,
    },
    /// A policy is in force, under this version.
    Policy(i64),
    /// A fresh token, shown this once.
    Token(NewToken),
    /// Done.
    Done,
}

/// A one-time secret, in clear for the only time.
#[derive(Clone)]
pub struct NewSecretText {
    /// The device.
    pub device: DeviceId,
    /// The secret.
    pub secret: String,
    /// When it stops being accepted.
    pub expires: Time,
}

/// An operator token, in clear for the only time.
#[derive(Clone)]
pub struct NewToken {
    /// Its row.
    pub no: OperatorNo,
    /// The token.
    pub token: String,
}

impl std::fmt::Debug for NewSecretText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "NewSecretText({})", self.device)
    }
}

impl std::fmt::Debug for NewToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "NewToken({})", self.no)
    }
}

/// The longest life of a one-time secret, in seconds: 90 days.
const SECRET_LIFE_MAX_S: i64 = 90 * 86_400;

impl Engine {
    /// Makes a change in someone's name.
    pub fn change<'a>(&'a self, actor: &'a Actor, change: Change) -> Promise<'a, Changed> {
        Box::pin(self.make(actor, change))
    }

    async fn make(&self, actor: &Actor, change: Change) -> Result<Changed, Rejection> {
        actor.may(change.permission())?;
        let now = self.now_for_signing()?;
        let reloads = matches!(
            change,
            Change::PutClass(_)
                | Change::PutManufacturer(_)
                | Change::ApplyPolicy { .. }
                | Change::MoveIssuer(_)
                | Change::SetBaseUrl { .. }
                | Change::ApproveException(_)
                | Change::EndException { .. }
        );
        let is_rollover = matches!(change, Change::MoveIssuer(_));
        let of_trust_store = match &change {
            Change::TrustStore(change) => Some(change.clone()),
            _ => None,
        };
        let changed = self.carry_out(actor, change, now).await?;
        // It counts from here on, whatever fails below.
        self.wake_publish();
        if reloads {
            self.reload().await?;
        }
        if let Some(change) = of_trust_store {
            self.review_after(&change).await?;
        }
        if is_rollover && let Err(error) = self.renew_system().await {
            // The step is taken; the system duty will try again.
            tracing::error!(duty = "system", "{error}; it will be tried again");
        }
        if reloads {
            // What was published meanwhile may rest on what was known before.
            self.wake_publish();
        }
        Ok(changed)
    }

    async fn carry_out(
        &self,
        actor: &Actor,
        change: Change,
        now: Time,
    ) -> Result<Changed, Rejection> {
        match change {
            Change::NewSecret { device, life_s } => {
                self.new_secret(actor, device, life_s, now).await
            }
            Change::CreateToken {
                name,
                role,
                party,
                expires,
            } => {
                if party.is_some() && role != Role::RelyingParty {
                    let what =
                        "only a token of role relying-party is bound to a relying party".to_owned();
                    return Err(Refusal::BadRequest { what }.into());
                }
                let (tenant, text) = (self.tenant(), token_text()?);
                let hash = tenure_x509::sha256(text.as_bytes());
                let by = actor.clone();
                let no = self
                    .record_as(actor, move |tx| {
                        let bound = match &party {
                            Some(party) => Some(known_party(tx, tenant, party)?),
                            None => None,
                        };
                        Ok(token::create(
                            tx,
                            name.as_str(),
                            (role, bound.as_ref()),
                            &hash,
                            expires,
                            &by,
                            now,
                        )?)
                    })
                    .await?;
                Ok(Changed::Token(NewToken { no, token: text }))
            }
            Change::RotateToken(no) => {
                let text = token_text()?;
                let hash = tenure_x509::sha256(text.as_bytes());
                let by = actor.clone();
                let no = self
                    .record_as(actor, move |tx| {
                        let fresh = token::rotate(tx, no, &hash, &by, now)?;
                        fresh.ok_or_else(|| {
                            let what = format!("token {no} works no more");
                            Conflict::from(Refusal::Conflict { what })
                        })
                    })
                    .await?;
                Ok(Changed::Token(NewToken { no, token: text }))
            }
            Change::PutHook { hook, secret } => self.put_hook(actor, *hook, secret, now).await,
            Change::RedeliverHook { hook, after } => {
                self.set_hook_back(actor, hook, after, now).await
            }
            Change::RemoveHook(name) => self.remove_hook(actor, name, now).await,
            Change::ApplyPolicy { document } => self.apply_policy(actor, document, now).await,
            Change::SetBaseUrl { issuer, base_url } => {
                is_base_url(&base_url)?;
                let by = actor.clone();
                let known = self.snapshot();
                let found = known
                    .issuers
                    .iter()
                    .find(|known| known.name == issuer)
                    .cloned();
                let found = found.ok_or_else(|| Refusal::NotFound {
                    what: format!("issuer {issuer}"),
                })?;
                self.record_as(actor, move |tx| {
                    issuer::set_base_url(tx, &found, &base_url, &by, now)?;
                    Ok(Changed::Done)
                })
                .await
            }
            Change::AddException(new) => {
                let (by, tenant) = (actor.clone(), self.tenant());
                let max_s = self.snapshot().policy.decisions.exceptions_max_s;
                self.record_as(actor, move |tx| {
                    exception::add(tx, tenant, &new, max_s, &by, now)
                })
                .await
            }
            other => {
                let (by, change) = (actor.clone(), Arc::new(other));
                let tenant = self.tenant();
                let alone_max = self.settings().revoked_alone_max;
                self.record_as(actor, move |tx| {
                    let withdrawn = permit::withdrawn_by(tx, tenant, &change, now)?;
                    let changed = plain(tx, tenant, &change, &by, now)?;
                    permit::spend(tx, &by, withdrawn, alone_max, now)?;
                    Ok(changed)
                })
                .await
            }
        }
    }

    /// Records what somebody does, if they still may when it is written: a request can take long to come
    /// in, and its token can be withdrawn meanwhile.
    pub(crate) async fn record_as<T, F>(&self, actor: &Actor, body: F) -> Result<T, Rejection>
    where
        T: Send + 'static,
        F: Fn(&mut Tx<'_>) -> Result<T, Conflict> + Send + 'static,
    {
        let actor = actor.clone();
        self.record(move |tx| match token::may_act(tx, &actor)? {
            true => body(tx),
            false => Err(Refusal::NotAuthenticated.into()),
        })
        .await
    }

    pub(crate) async fn record<T, F>(&self, body: F) -> Result<T, Rejection>
    where
        T: Send + 'static,
        F: Fn(&mut Tx<'_>) -> Result<T, Conflict> + Send + 'static,
    {
        self.store()
            .record::<T, Conflict, F>(self.operation()?, body)
            .await
            .map_err(Conflict::into_rejection)
    }

    async fn new_secret(
        &self,
        actor: &Actor,
        id: DeviceId,
        life_s: i64,
        now: Time,
    ) -> Result<Changed, Rejection> {
        if !(60..=SECRET_LIFE_MAX_S).contains(&life_s) {
            return Err(Refusal::BadRequest {
                what: "life must be between one minute and 90 days".to_owned(),
            }
            .into());
        }
        let secret = secret_text()?;
        let salt = chance::bytes::<16>()?;
        let hash = secret_digest(&salt, &secret);
        let expires = now.plus(life_s);
        let (by, tenant, named) = (actor.clone(), self.tenant(), id.clone());
        self.record_as(actor, move |tx| {
            let device = known_to(&by, tx, tenant, &named)?;
            device.standing.may_enroll().map_err(Refusal::Standing)?;
            Ok(secret::put(tx, device.no, &hash, &salt, expires, &by, now)?)
        })
        .await?;
        Ok(Changed::Secret(NewSecretText {
            device: id,
            secret,
            expires,
        }))
    }
}

fn known(tx: &Tx<'_>, tenant: tenure_domain::TenantId, id: &DeviceId) -> Result<Device, Conflict> {
    let found = device::by_id(tx, tenant, id)?;
    found.ok_or_else(|| {
        Refusal::NotFound {
            what: format!("device {id}"),
        }
        .into()
    })
}

/// A device that somebody may act on: the house's own subjects are nobody's but the house's.
fn known_to(
    actor: &Actor,
    tx: &Tx<'_>,
    tenant: tenure_domain::TenantId,
    id: &DeviceId,
) -> Result<Device, Conflict> {
    let device = known(tx, tenant, id)?;
    device::not_of_the_house(actor, &device.id, [&device.class])?;
    Ok(device)
}

fn known_party(
    tx: &Tx<'_>,
    tenant: tenure_domain::TenantId,
    name: &Slug,
) -> Result<relying_party::Known, Conflict> {
    let found = relying_party::by_name(tx, tenant, name.as_str())?;
    found.ok_or_else(|| {
        Refusal::NotFound {
            what: format!("relying party {name}"),
        }
        .into()
    })
}

fn plain(
    tx: &mut Tx<'_>,
    tenant: tenure_domain::TenantId,
    change: &Change,
    actor: &Actor,
    now: Time,
) -> Result<Changed, Conflict> {
    let put = match change {
        Change::PutOwner(edit) => {
            let found = registry::owner::by_name(tx, tenant, edit.to.name.as_str())?;
            registry::put_owner(tx, edit.over(found.as_ref())?, actor, now)?
        }
        Change::PutSite(edit) => {
            let found = registry::site::by_name(tx, tenant, edit.to.name.as_str())?;
            registry::put_site(tx, edit.over(found.as_ref())?, actor, now)?
        }
        Change::PutClass(edit) => {
            let found = registry::class::by_name(tx, tenant, edit.to.name.as_str())?;
            let class = edit.over(found.as_ref())?;
            if class.name.as_str() == HOUSE && !matches!(actor, Actor::System { .. }) {
                let what = format!("class {HOUSE} is the house's own, and stays as it is");
                return Err(Refusal::Conflict { what }.into());
            }
            if !(1..=3).contains(&class.fork_allowance) {
                let what = "fork_allowance must be 1, 2 or 3".to_owned();
                return Err(Refusal::BadRequest { what }.into());
            }
            registry::put_class(tx, class, actor, now)?
        }
        Change::PutService(edit) => {
            let found = registry::service::by_name(tx, tenant, edit.to.name.as_str())?;
            registry::put_service(tx, edit.over(found.as_ref())?, actor, now)?
        }
        Change::PutRelyingParty(edit) => {
            let found = relying_party::by_name(tx, tenant, edit.to.name.as_str())?;
            let party = edit.over(found.map(|known| known.party).as_ref())?;
            is_fit(tx, tenant, party)?;
            relying_party::put(tx, party, actor, now)?
        }
        Change::RemoveRelyingParty(name) => {
            let found = relying_party::remove(tx, name.as_str(), actor, now)?;
            found.ok_or_else(|| Refusal::NotFound {
                what: format!("relying party {name}"),
            })?;
            return Ok(Changed::Done);
        }
        Change::MoveIssuer(step) => {
            rollover::take(tx, tenant, step, actor, now)?;
            return Ok(Changed::Done);
        }
        Change::TrustStore(change) => {
            trust_store::carry_out(tx, tenant, change, actor, now)?;
            return Ok(Changed::Done);
        }
        Change::PutManufacturer(edit) => {
            let found = registry::manufacturer::by_name(tx, tenant, edit.to.name.as_str())?;
            let maker = edit.over(found.as_ref())?;
            let roots = tenure_x509::pem_certificates(&maker.roots_pem).unwrap_or_default();
            if roots.is_empty() || roots.iter().any(|root| !root.is_ca()) {
                let what = "roots must be one or more CA certificates in PEM".to_owned();
                return Err(Refusal::BadRequest { what }.into());
            }
            registry::put_manufacturer(tx, maker, actor, now)?
        }
        Change::AddDevice(spec) => {
            return Ok(Changed::Device(Box::new(device::add(
                tx, spec, actor, now,
            )?)));
        }
        Change::EditDevice(edit) => {
            let found = device::by_id(tx, tenant, &edit.to.id)?;
            let spec = edit.over(found.as_ref().map(device::spec).as_ref())?;
            let (device, put) = device::edit(tx, spec, actor, now)?;
            if put == registry::Put::Unchanged {
                tx.excuse("the device already is as wanted");
            }
            return Ok(Changed::Device(Box::new(device)));
        }
        Change::SetStanding { device, to, why } => {
            let device = known_to(actor, tx, tenant, device)?;
            let moved = life::move_along(tx, &device, *to, why, actor, now)?;
            return Ok(Changed::Device(Box::new(moved)));
        }
        Change::ApproveRepair { device, why } => {
            let device = known_to(actor, tx, tenant, device)?;
            if !identity::approve_repair(tx, &device, why, actor, now)? {
                let what = format!(
                    "device {} holds no identity for life of ours; its first one needs no repair",
                    device.id
                );
                return Err(Refusal::Conflict { what }.into());
            }
            return Ok(Changed::Device(Box::new(known(tx, tenant, &device.id)?)));
        }
        Change::ApproveAsk(no) => return ruled(tx, *no, Ruling::Approved, actor, now),
        Change::RefuseAsk(no) => return ruled(tx, *no, Ruling::Refused, actor, now),
        Change::ResolveIncident {
            incident,
            keep,
            why,
        } => {
            return life::resolve(tx, *incident, keep.as_deref(), why, actor, now);
        }
        Change::AcknowledgeFinding { finding, why } => {
            return acknowledge(tx, *finding, why, actor, now);
        }
        Change::PermitRevocations(new) => return permit::grant(tx, new, actor, now),
        Change::ApproveException(no) => return exception::approve(tx, *no, actor, now),
        Change::EndException { exception, why } => {
            return exception::end(tx, *exception, why, actor, now);
        }
        Change::RevokeToken(no) => {
            if token::is_last_admin(tx, *no, now)? {
                let what = format!("token {no} is the only admin token; make another one first");
                return Err(Refusal::Conflict { what }.into());
            }
            let found = token::revoke(tx, *no, actor, now)?;
            found.ok_or_else(|| Refusal::NotFound {
                what: format!("token {no}"),
            })?;
            return Ok(Changed::Done);
        }
        Change::NewSecret { .. }
        | Change::CreateToken { .. }
        | Change::RotateToken(_)
        | Change::ApplyPolicy { .. }
        | Change::AddException(_)
        | Change::PutHook { .. }
        | Change::RedeliverHook { .. }
        | Change::RemoveHook(_)
        | Change::SetBaseUrl { .. } => return Ok(Changed::Done),
    };
    if put == registry::Put::Unchanged {
        tx.excuse("it already is as wanted");
    }
    Ok(Changed::Put(put))
}

fn ruled(
    tx: &mut Tx<'_>,
    no: AskNo,
    ruling: Ruling,
    actor: &Actor,
    now: Time,
) -> Result<Changed, Conflict> {
    let ask = pending::by_no(tx, no)?.ok_or_else(|| Refusal::NotFound {
        what: format!("ask {no}"),
    })?;
    if let Some(id) = &ask.device
        && ruling == Ruling::Approved
    {
        let device = known(tx, ask.tenant, id)?;
        if device.standing.withdraws().is_some() {
            return Err(Refusal::Standing(device.standing).into());
        }
    }
    if ask.device.is_none() && ruling == Ruling::Approved {
        let what = format!(
            "ask {no} is of a device that is not registered ({}); register the device instead, and \
             its next ask will be answered",
            ask.why
        );
        return Err(Refusal::Conflict { what }.into());
    }
    pending::rule(tx, no, ruling, actor, now)?;
    Ok(Changed::Ask(no))
}

fn acknowledge(
    tx: &mut Tx<'_>,
    no: FindingNo,
    why: &str,
    actor: &Actor,
    now: Time,
) -> Result<Changed, Conflict> {
    if why.trim().is_empty() {
        let what = "say why the finding stands; it becomes part of the record".to_owned();
        return Err(Refusal::BadRequest { what }.into());
    }
    let by = match actor {
        Actor::Operator { name, .. } => name.as_str(),
        Actor::System { duty } => duty.as_str(),
        Actor::Device { .. } | Actor::Anonymous => "",
    };
    let found = finding::acknowledge(tx, no, by, why, actor, now)?;
    let found = found.ok_or_else(|| Refusal::NotFound {
        what: format!("finding {no}"),
    })?;
    if found.state == FindingState::Cleared {
        let what = format!("finding {no} is cleared; there is nothing to acknowledge");
        return Err(Refusal::Conflict { what }.into());
    }
    Ok(Changed::Finding(no))
}

fn is_base_url(url: &str) -> Result<(), Refusal> {
    let is_fit = |rest: &str| {
        let is_host = rest.split('/').next().is_some_and(is_authority);
        is_host && !rest.ends_with('/') && rest.is_ascii()
    };
    match url.strip_prefix("http://").is_some_and(is_fit) {
        true => Ok(()),
        false => Err(Refusal::BadRequest {
            what: format!(
                "base_url must be http://HOST[:PORT][/PATH] without a slash at the end, not {url:?}; \
                 status is published over plain HTTP so that checking it needs no certificate"
            ),
        }),
    }
}

/// 160 random bits in groups that can be typed: `abcd-efgh-…`, without 0, 1, l and o.
fn secret_text() -> Result<String, FaultCause> {
    const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let mut text = String::with_capacity(39);
    for (i, byte) in chance::bytes::<32>()?.into_iter().enumerate() {
        if i > 0 && i % 4 == 0 {
            text.push('-');
        }
        // 32 letters: five bits of each byte choose one without bias.
        text.push(char::from(LETTERS[usize::from(byte & 31)]));
    }
    Ok(text)
}

/// A bearer token: `tnr_` and 256 random bits, so that a leaked one is recognised by scanners.
fn token_text() -> Result<String, FaultCause> {
    Ok(format!("tnr_{}", hex(&chance::bytes::<32>()?)))
}

impl From<RegistryError> for Conflict {
    fn from(error: RegistryError) -> Conflict {
        match error {
            RegistryError::Store(error) => Conflict::Store(error),
            RegistryError::Taken(id) => Conflict::Refused(Refusal::Conflict {
                what: format!("device {id} is already registered; use edit to change it"),
            }),
            RegistryError::House(_) => Conflict::Refused(Refusal::Conflict {
                what: error.to_string(),
            }),
            RegistryError::UnknownDevice(id) => Conflict::Refused(Refusal::NotFound {
                what: format!("device {id}"),
            }),
            other => Conflict::Refused(Refusal::BadRequest {
                what: other.to_string(),
            }),
        }
    }
}

impl Engine {
    /// Records that someone took data out: a read that must leave a trace. `hash` is its SHA-256.
    pub async fn record_export(
        &self,
        actor: &Actor,
        what: &str,
        hash: &[u8],
    ) -> Result<(), Rejection> {
        let event = Event::ExportMade {
            hash: hex(hash),
            what: what.to_owned(),
        };
        self.note(actor, vec![event]).await
    }
}
