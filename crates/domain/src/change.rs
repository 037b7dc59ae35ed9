//! A change: what an operator, or a standing duty of ours, does to the registry, the policy and the
//! house. Each names the permission it needs.

use tenure_x509::Time;

use crate::device::{DeviceSpec, Standing};
use crate::exception::NewException;
use crate::hook::{Hidden, Hook};
use crate::ids::{
    AskNo, DeviceId, EventSeq, ExceptionNo, FindingNo, IncidentNo, OperatorNo, Slug, Title,
};
use crate::operator::{Permission, Role};
use crate::permit::NewPermit;
use crate::refusal::Refusal;
use crate::registry::{Class, Manufacturer, Owner, Service, Site};
use crate::relying_party::RelyingParty;
use crate::rollover::{Step, Succession};
use crate::trust_store::TrustStoreChange;

/// What is to change.
#[derive(Debug, Clone)]
pub enum Change {
    /// Add an owner or change how to reach it.
    PutOwner(Edit<Owner>),
    /// Add a site or move it in the tree.
    PutSite(Edit<Site>),
    /// Add a class or change it.
    PutClass(Edit<Class>),
    /// Add a service or change it.
    PutService(Edit<Service>),
    /// Add a relying party or change it.
    PutRelyingParty(Box<Edit<RelyingParty>>),
    /// Take a relying party away.
    RemoveRelyingParty(Slug),
    /// Add a hook or change it.
    PutHook {
        /// What it is to be.
        hook: Box<Edit<Hook>>,
        /// Its secret; the one there is stays if none is given. One that we make is made with the
        /// hook, and anew only if asked for.
        secret: HookSecret,
    },
    /// Have a hook told again of everything after an event.
    RedeliverHook {
        /// Which.
        hook: Slug,
        /// After which event.
        after: EventSeq,
    },
    /// Take a hook away, with its secret.
    RemoveHook(Slug),
    /// Register a manufacturer's roots or replace them.
    PutManufacturer(Edit<Manufacturer>),
    /// Register a device; an error if the id is taken.
    AddDevice(DeviceSpec),
    /// Change a registered device's fields.
    EditDevice(Box<Edit<DeviceSpec>>),
    /// Suspend, resume or otherwise move a device along its life. Retiring revokes.
    SetStanding {
        /// The device.
        device: DeviceId,
        /// Where to.
        to: Standing,
        /// Why, for the record.
        why: String,
    },
    /// Make a fresh one-time secret, which replaces the former one.
    NewSecret {
        /// The device.
        device: DeviceId,
        /// How long it is good, in seconds.
        life_s: i64,
    },
    /// Let a device have another identity for life, once, after a repair.
    ApproveRepair {
        /// The device.
        device: DeviceId,
        /// Why, for the record.
        why: String,
    },
    /// Let a held ask have its certificate.
    ApproveAsk(AskNo),
    /// Refuse a held ask.
    RefuseAsk(AskNo),
    /// Decide an incident; for a fork the certificate to keep, all other branches are revoked.
    ResolveIncident {
        /// Which.
        incident: IncidentNo,
        /// The serial to keep, hex; none revokes all branches.
        keep: Option<String>,
        /// Why, for the record.
        why: String,
    },
    /// Say that a finding is known, and why it stands.
    AcknowledgeFinding {
        /// Which.
        finding: FindingNo,
        /// Why it stands, for the record.
        why: String,
    },
    /// Propose an exception.
    AddException(NewException),
    /// Approve an exception that somebody else proposed.
    ApproveException(ExceptionNo),
    /// End an exception before its time.
    EndException {
        /// Which.
        exception: ExceptionNo,
        /// Why, for the record.
        why: String,
    },
    /// Let another operator withdraw more than one may alone.
    PermitRevocations(NewPermit),
    /// Put a policy document in force.
    ApplyPolicy {
        /// The TOML text.
        document: String,
    },
    /// Hand out a token.
    CreateToken {
        /// Its name.
        name: Title,
        /// What it may do.
        role: Role,
        /// The relying party whose feed it opens: only for role relying-party.
        party: Option<Slug>,
        /// When it stops working.
        expires: Option<Time>,
    },
    /// Put a fresh token in the place of one that works: the same name, role, end and bounds.
    RotateToken(OperatorNo),
    /// Withdraw a token.
    RevokeToken(OperatorNo),
    /// Take a step of an issuer's rollover.
    MoveIssuer(Box<IssuerMove>),
    /// Report, budget, prune or put back what a relying party trusts.
    TrustStore(Box<TrustStoreChange>),
    /// Change an issuer's base URL for new certificates.
    SetBaseUrl {
        /// The issuer.
        issuer: Slug,
        /// `http://host[:port]`.
        base_url: String,
    },
}

/// What is to be, and what it was made from. Between reading the one and writing the other somebody
/// else may have written; what they did is not undone unseen.
#[derive(Debug, Clone)]
pub struct Edit<T> {
    /// What was there; nothing, if it is to be new.
    pub from: Option<T>,
    /// What is to be.
    pub to: T,
}

impl<T: PartialEq> Edit<T> {
    /// Something new.
    pub fn new(to: T) -> Edit<T> {
        Edit { from: None, to }
    }

    /// What is to be, where `found` is there now.
    ///
    /// # Errors
    /// Conflict if that is neither what it was made from nor what it is to be.
    pub fn over(&self, found: Option<&T>) -> Result<&T, Refusal> {
        if found == self.from.as_ref() || found == Some(&self.to) {
            return Ok(&self.to);
        }
        let what = "somebody else has just changed it, and nothing was done; look at it and repeat";
        Err(Refusal::Conflict { what: what.into() })
    }
}

/// A step of an issuer's rollover.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuerMove {
    /// The issuer.
    pub issuer: Slug,
    /// The step.
    pub step: Step,
    /// Relying parties that need not be ready, by name.
    pub except: Vec<Slug>,
    /// Why, for the record; needed where there are exceptions, or nothing was observed.
    pub why: String,
    /// Whether it may be tainted before its successor signs.
    pub succession: Succession,
}

/// What becomes of a hook's secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HookSecret {
    /// The one there is stays.
    Keep,
    /// This one, which is the receiver's.
    Given(Hidden),
    /// A fresh one of ours, shown once.
    Fresh,
}

impl Change {
    /// What the actor must be allowed.
    pub fn permission(&self) -> Permission {
        match self {
            Change::PutOwner(_)
            | Change::PutSite(_)
            | Change::PutClass(_)
            | Change::PutService(_)
            | Change::PutRelyingParty(_)
            | Change::RemoveRelyingParty(_)
            | Change::AddDevice(_)
            | Change::EditDevice(_) => Permission::ChangeFleet,
            Change::TrustStore(change) => change.permission(),
            Change::SetStanding { .. } | Change::PermitRevocations(_) => Permission::Withdraw,
            Change::NewSecret { .. }
            | Change::ApproveRepair { .. }
            | Change::ApproveAsk(_)
            | Change::RefuseAsk(_)
            | Change::ResolveIncident { .. }
            | Change::AcknowledgeFinding { .. }
            | Change::AddException(_)
            | Change::ApproveException(_)
            | Change::EndException { .. } => Permission::Approve,
            Change::PutManufacturer(_)
            | Change::PutHook { .. }
            | Change::RedeliverHook { .. }
            | Change::RemoveHook(_)
            | Change::ApplyPolicy { .. }
            | Change::MoveIssuer(_)
            | Change::SetBaseUrl { .. } => Permission::ChangePolicy,
            Change::CreateToken { .. } | Change::RotateToken(_) | Change::RevokeToken(_) => {
                Permission::Administer
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edit_never_undoes_what_its_maker_did_not_see() {
        let edit = Edit {
            from: Some("mine"),
            to: "changed",
        };
        assert_eq!(edit.over(Some(&"mine")), Ok(&"changed"));
        assert_eq!(edit.over(Some(&"changed")), Ok(&"changed"), "said twice");
        for other in [Some(&"theirs"), None] {
            let refused = edit.over(other);
            assert!(matches!(refused, Err(Refusal::Conflict { .. })));
        }
        assert_eq!(Edit::new("mine").over(None), Ok(&"mine"));
        assert!(Edit::new("mine").over(Some(&"theirs")).is_err());
    }
}
