//! Policy: who may have which profile from which issuer. Data, versioned and hashed; rules are
//! read from the top, the first that matches decides, and if none matches the answer is no.

mod decide;
mod grant;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

pub use decide::{Consequence, Decision, HoldReason, Refused, decide};
pub use grant::{Grant, GrantIssuer, RuleRef};

use crate::ask::{Operation, Protocol};
use crate::device::Criticality;
use crate::ids::{Slug, Title};
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
        /// The certificate being renewed.
        CurrentCertificate = "current-certificate" = 2,
        /// The device's one-time secret.
        Secret = "secret" = 3,
    }
}

/// One rule. An empty list matches anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Its name, unique in the document; every decision names it.
    pub name: Slug,
    /// Which operations.
    pub operations: Vec<Operation>,
    /// Which evidence; any one of these.
    pub evidence: Vec<EvidenceKind>,
    /// Which protocols.
    pub protocols: Vec<Protocol>,
    /// Which classes.
    pub classes: Vec<Title>,
    /// Which sites.
    pub sites: Vec<Title>,
    /// Which owners.
    pub owners: Vec<Title>,
    /// Which criticalities.
    pub criticality: Vec<Criticality>,
    /// Which profiles may be asked for by label under this rule.
    pub profiles: Vec<Slug>,
    /// What it says.
    pub action: Action,
    /// Its own words, shown with every refusal and hold.
    pub reason: String,
}

/// The hash of a policy document's canonical form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PolicyHash(pub [u8; 32]);

impl fmt::Display for PolicyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&crate::text::hex(&self.0))
    }
}

/// A policy in force: rules and profiles.
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
}

impl Policy {
    /// A profile by name.
    pub fn profile(&self, name: &Slug) -> Option<&Arc<Profile>> {
        self.profiles.get(name)
    }
}
