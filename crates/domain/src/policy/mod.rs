//! Policy: who may have which profile from which issuer. Data, versioned and hashed; rules are
//! read from the top, the first that matches decides, and if none matches the answer is no.
//!
//! A policy is written as a [`document`], decides with [`decide`], says why with
//! [`explain`], carries its own [examples](test), and is compared with another by [`plan`].

mod builtin;
mod decide;
pub mod document;
mod explain;
mod grant;
mod place;
mod plan;
mod rule;
mod shape;
mod test;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

pub use decide::{Consequence, Decision, HoldReason, Refused, decide};
pub use document::{DEFAULT_DOCUMENT, DocumentError, Rejected};
pub use explain::{DescribedAsk, Explanation, RuleNote, RuleReading, explain};
pub use grant::{Grant, GrantIssuer, RuleRef};
pub use plan::{Plan, PlannedChange, Treatment, plan};
pub use rule::{Asked, Condition, Rule};
pub use test::{Example, Holds, TestOutcome};

use crate::decision::DecisionRules;
use crate::ids::Slug;
use crate::profile::Profile;
use crate::words::words;

words! {
    /// What a rule says.
    Action ("action") {
        /// Yes.
        Allow = "allow" = 1,
        /// An operator decides.
        Hold = "hold" = 2,
        /// No.
        Refuse = "refuse" = 3,
    }
    /// A kind of evidence, as rules name it.
    EvidenceKind ("evidence kind") {
        /// A chain to a registered manufacturer.
        Manufacturer = "manufacturer" = 1,
        /// A certificate of ours, whose key the device holds.
        CurrentCertificate = "current-certificate" = 2,
        /// The device's one-time secret.
        Secret = "secret" = 3,
    }
}

/// The hash of a policy document's canonical form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PolicyHash(pub [u8; 32]);

impl fmt::Display for PolicyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&crate::text::hex(&self.0))
    }
}

/// A policy in force: rules and profiles. Written as a document; see [`document::parse`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Counts the policies of a tenant, from 1.
    pub version: i64,
    /// The hash of the document.
    pub hash: PolicyHash,
    /// The rules, first match wins.
    pub rules: Vec<Rule>,
    /// The profiles by name, the built-in ones included.
    pub profiles: BTreeMap<Slug, Arc<Profile>>,
    /// The examples that must come out as they say.
    pub tests: Vec<Example>,
    /// What it says of decisions.
    pub decisions: DecisionRules,
}

impl Policy {
    /// Whether any rule looks at where a device stands.
    pub fn speaks_of_sites(&self) -> bool {
        self.rules.iter().any(|rule| !rule.sites.is_empty())
    }

    /// A profile by name.
    pub fn profile(&self, name: &Slug) -> Option<&Arc<Profile>> {
        self.profiles.get(name)
    }
}
