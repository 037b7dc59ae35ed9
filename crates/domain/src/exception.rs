//! Exceptions: for a time, and after somebody else has looked at it, some reasons against a device, a
//! class or a site do not count. Revoked stays revoked: most reasons can never be lifted.

use std::fmt;

use serde::{Deserialize, Serialize};
use tenure_x509::Time;

use crate::decision::{DeviceFacts, Ground};
use crate::device::Device;
use crate::ids::{DeviceId, ExceptionNo, OperatorNo, Title};
use crate::operator::Actor;
use crate::words::words;

/// The reasons that an exception can lift. None of them says that the identity itself is false,
/// withdrawn or stopped by somebody.
pub const LIFTABLE: [Ground; 14] = [
    Ground::WrongUsage,
    Ground::AttestationContraindicated,
    Ground::CertificateExpired,
    Ground::OtherSite,
    Ground::OutsideBoundary,
    Ground::OtherNetwork,
    Ground::CertificateReplaced,
    Ground::NotSeenInUse,
    Ground::TooNew,
    Ground::FindingOpen,
    Ground::IssuerTainted,
    Ground::NotAttested,
    Ground::AttestationStale,
    Ground::AttestationWarning,
];

/// Most exceptions that are proposed or active at a time. Who needs more needs another policy.
pub const OPEN_MAX: usize = 1_000;

words! {
    /// Where an exception is.
    ExceptionState ("exception state") {
        /// It waits for another operator, and lifts nothing.
        Proposed = "proposed" = 1,
        /// It lifts what it names.
        Active = "active" = 2,
        /// Somebody ended it before its time.
        Ended = "ended" = 3,
        /// Its time is over.
        Lapsed = "lapsed" = 4,
    }
    /// What kind of thing an exception is for.
    ScopeKind ("scope") {
        /// One device.
        Device = "device" = 1,
        /// The devices of a class.
        Class = "class" = 2,
        /// The devices at a site and the sites in it.
        Site = "site" = 3,
    }
}

/// Whom an exception is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// One device.
    Device(DeviceId),
    /// The devices of a class.
    Class(Title),
    /// The devices at a site and the sites in it.
    Site(Title),
}

impl Scope {
    /// What kind of thing it is.
    pub fn kind(&self) -> ScopeKind {
        match self {
            Scope::Device(_) => ScopeKind::Device,
            Scope::Class(_) => ScopeKind::Class,
            Scope::Site(_) => ScopeKind::Site,
        }
    }

    /// The name of the thing.
    pub fn name(&self) -> &str {
        match self {
            Scope::Device(id) => id.as_str(),
            Scope::Class(name) | Scope::Site(name) => name.as_str(),
        }
    }

    /// The thing of this kind and name; `None` if the name cannot be one.
    pub fn read(kind: ScopeKind, name: &str) -> Option<Scope> {
        Some(match kind {
            ScopeKind::Device => Scope::Device(name.parse().ok()?),
            ScopeKind::Class => Scope::Class(name.parse().ok()?),
            ScopeKind::Site => Scope::Site(name.parse().ok()?),
        })
    }

    /// Whether it is for this device.
    pub fn holds(&self, device: &DeviceFacts) -> bool {
        match self {
            Scope::Device(id) => *id == device.id,
            Scope::Class(class) => *class == device.class,
            Scope::Site(site) => *site == device.site || device.around.contains(site),
        }
    }

    /// Whether it names this device, or its class or own site.
    pub fn names(&self, device: &Device) -> bool {
        match self {
            Scope::Device(id) => *id == device.id,
            Scope::Class(class) => *class == device.class,
            Scope::Site(site) => *site == device.site,
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind(), self.name())
    }
}

/// The reasons that an exception lifts: at least one, each once, and none that cannot be lifted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Ground>", into = "Vec<Ground>")]
pub struct Lifts(Vec<Ground>);

/// Reasons that no exception can lift.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BadLifts {
    /// None was named.
    Nothing,
    /// This one stands, whoever says otherwise.
    Never(Ground),
}

impl fmt::Display for BadLifts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let can: Vec<_> = LIFTABLE.iter().map(|ground| ground.word()).collect();
        match self {
            BadLifts::Nothing => write!(f, "name at least one reason that it lifts: ")?,
            BadLifts::Never(ground) => {
                write!(
                    f,
                    "{ground} is lifted by no exception; those that can be are "
                )?;
            }
        }
        f.write_str(&can.join(", "))
    }
}

impl std::error::Error for BadLifts {}

impl TryFrom<Vec<Ground>> for Lifts {
    type Error = BadLifts;

    fn try_from(mut grounds: Vec<Ground>) -> Result<Lifts, BadLifts> {
        grounds.sort_unstable();
        grounds.dedup();
        match grounds.iter().find(|ground| !LIFTABLE.contains(ground)) {
            Some(never) => Err(BadLifts::Never(*never)),
            None if grounds.is_empty() => Err(BadLifts::Nothing),
            None => Ok(Lifts(grounds)),
        }
    }
}

impl From<Lifts> for Vec<Ground> {
    fn from(lifts: Lifts) -> Vec<Ground> {
        lifts.0
    }
}

impl Lifts {
    /// The reasons.
    pub fn grounds(&self) -> &[Ground] {
        &self.0
    }
}

impl fmt::Display for Lifts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<_> = self.0.iter().map(|ground| ground.word()).collect();
        f.write_str(&words.join(","))
    }
}

/// An exception that somebody wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewException {
    /// Whom it is for.
    pub scope: Scope,
    /// What it lifts.
    pub lifts: Lifts,
    /// Why, for the record.
    pub reason: String,
    /// When it lapses.
    pub until: Time,
}

/// Somebody at one time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// The token.
    pub operator: OperatorNo,
    /// The token's name.
    pub name: String,
    /// When.
    pub at: Time,
}

/// That an exception is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Over {
    /// Since when.
    pub at: Time,
    /// Who ended it; nobody if it lapsed.
    pub by: Option<String>,
    /// Why, if somebody did.
    pub why: String,
}

/// One exception.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exception {
    /// Its row.
    pub no: ExceptionNo,
    /// Whom it is for.
    pub scope: Scope,
    /// What it lifts.
    pub lifts: Lifts,
    /// Why.
    pub reason: String,
    /// When it lapses.
    pub until: Time,
    /// Where it was when somebody last wrote it down; see [`Exception::state`].
    pub kept: ExceptionState,
    /// Who proposed it.
    pub added: Signature,
    /// Who else found it right.
    pub approved: Option<Signature>,
    /// That it is over.
    pub over: Option<Over>,
}

/// Why somebody cannot approve an exception.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoReview {
    /// It is their own.
    OwnProposal,
    /// It is not a person's token.
    Nobody,
    /// It does not wait for anybody.
    NotProposed,
}

impl fmt::Display for NoReview {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            NoReview::OwnProposal => {
                "whoever proposes an exception cannot approve it; another operator has to look at it, \
                 with a token of their own"
            }
            NoReview::Nobody => "an exception is approved by an operator",
            NoReview::NotProposed => "it does not wait for approval",
        })
    }
}

impl Exception {
    /// Where it is. Whether it has lapsed is a fact about `now`, whoever wrote that down.
    pub fn state(&self, now: Time) -> ExceptionState {
        match self.kept {
            ExceptionState::Proposed | ExceptionState::Active if now >= self.until => {
                ExceptionState::Lapsed
            }
            kept => kept,
        }
    }

    /// Whether somebody may approve it, in their name.
    pub fn review(&self, actor: &Actor, now: Time) -> Result<Signature, NoReview> {
        let Actor::Operator { name, no, .. } = actor else {
            return Err(NoReview::Nobody);
        };
        if self.state(now) != ExceptionState::Proposed {
            return Err(NoReview::NotProposed);
        }
        // A rotated token has another number and the same name.
        if *no == self.added.operator || *name == self.added.name {
            return Err(NoReview::OwnProposal);
        }
        Ok(Signature {
            operator: *no,
            name: name.clone(),
            at: now,
        })
    }
}

/// As much of an active exception as a decision rests on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActiveException {
    /// Its number.
    pub no: i64,
    /// What it lifts.
    pub lifts: Lifts,
    /// When it lapses.
    #[serde(with = "crate::text::time")]
    pub until: Time,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::Role;

    fn proposed() -> Exception {
        Exception {
            no: ExceptionNo(7),
            scope: Scope::Device("pump-17".parse().unwrap()),
            lifts: vec![Ground::CertificateExpired].try_into().unwrap(),
            reason: "the maker is bankrupt".to_owned(),
            until: Time::from_unix(1_000),
            kept: ExceptionState::Proposed,
            added: Signature {
                operator: OperatorNo(1),
                name: "ada".to_owned(),
                at: Time::from_unix(10),
            },
            approved: None,
            over: None,
        }
    }

    fn operator(name: &str, no: i64) -> Actor {
        Actor::Operator {
            name: name.to_owned(),
            no: OperatorNo(no),
            role: Role::Admin,
        }
    }

    /// Requirement K1: another operator reviews, and nothing but a person does.
    #[test]
    fn k1_nobody_approves_their_own_exception() {
        let now = Time::from_unix(20);
        let exception = proposed();
        let bob = exception.review(&operator("bob", 2), now).unwrap();
        assert_eq!((bob.name.as_str(), bob.at), ("bob", now));
        for own in [operator("ada", 1), operator("ada", 3), operator("bob", 1)] {
            assert_eq!(exception.review(&own, now), Err(NoReview::OwnProposal));
        }
        let us = Actor::system("prune");
        assert_eq!(exception.review(&us, now), Err(NoReview::Nobody));
        let late = exception.review(&operator("bob", 2), exception.until);
        assert_eq!(late, Err(NoReview::NotProposed));
        for kept in [
            ExceptionState::Active,
            ExceptionState::Ended,
            ExceptionState::Lapsed,
        ] {
            let over = Exception { kept, ..proposed() };
            let again = over.review(&operator("bob", 2), now);
            assert_eq!(again, Err(NoReview::NotProposed));
        }
    }

    /// Requirement K1: what speaks against the identity itself stands, whoever says otherwise.
    #[test]
    fn k1_what_can_be_lifted_is_a_closed_list() {
        let never = [
            Ground::NotOurs,
            Ground::CertificateRevoked,
            Ground::CertificateHeld,
            Ground::CertificateVoided,
            Ground::CertificateAbandoned,
            Ground::OtherDevice,
            Ground::DeviceSuspended,
            Ground::DeviceQuarantined,
            Ground::DeviceInTransfer,
            Ground::DeviceRetired,
            Ground::IncidentOpen,
            Ground::IssuerRemoved,
            Ground::NoIdentity,
            Ground::UnknownCertificate,
            Ground::UnknownIssuer,
            Ground::UnknownDevice,
            Ground::StateStale,
            Ground::ClockUncertain,
        ];
        for ground in never {
            let both = vec![Ground::CertificateExpired, ground];
            assert_eq!(Lifts::try_from(both), Err(BadLifts::Never(ground)));
        }
        assert_eq!(Lifts::try_from(Vec::new()), Err(BadLifts::Nothing));
        let read: Result<Lifts, _> = serde_json::from_str("[\"certificate-revoked\"]");
        assert!(read.is_err(), "not from what was kept either");
        let twice = vec![Ground::TooNew, Ground::CertificateExpired, Ground::TooNew];
        let lifts = Lifts::try_from(twice).unwrap();
        assert_eq!(lifts.to_string(), "certificate-expired,too-new");
        assert_eq!(
            Lifts::try_from(LIFTABLE.to_vec()).unwrap().grounds().len(),
            LIFTABLE.len()
        );
    }

    #[test]
    fn k1_its_end_is_a_fact_about_now() {
        let exception = Exception {
            kept: ExceptionState::Active,
            ..proposed()
        };
        assert_eq!(
            exception.state(Time::from_unix(999)),
            ExceptionState::Active
        );
        assert_eq!(
            exception.state(Time::from_unix(1_000)),
            ExceptionState::Lapsed
        );
    }
}
