//! What surrounds a device: owners, sites, classes, services and manufacturers.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::ids::{Slug, Title};
use crate::words::words;

/// The class, site and service of the house's own subjects: authorities, responders, servers. What is done with devices is
/// not done with them; issuers and keys have verbs of their own.
pub const HOUSE: &str = "tenure";

/// Who answers for devices.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Owner {
    /// The owner's name.
    pub name: Title,
    /// How to reach the team; personal data, so never in the record.
    #[serde(default)]
    pub contact: String,
}

/// A place in the site tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Site {
    /// The site's name, unique in the tenant.
    pub name: Title,
    /// The site around it.
    #[serde(default)]
    pub parent: Option<Title>,
}

/// Which site lies in which.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SiteTree(HashMap<Title, Title>);

/// The deepest nesting followed; the store refuses circles, and no plant is built deeper.
pub const SITE_DEPTH_MAX: usize = 64;

impl SiteTree {
    /// The sites around one, nearest first.
    pub fn around(&self, site: &Title) -> Vec<Title> {
        std::iter::successors(self.0.get(site), |outer| self.0.get(*outer))
            .take(SITE_DEPTH_MAX)
            .cloned()
            .collect()
    }
}

impl FromIterator<Site> for SiteTree {
    fn from_iter<T: IntoIterator<Item = Site>>(sites: T) -> SiteTree {
        let inner = sites.into_iter();
        SiteTree(
            inner
                .filter_map(|site| Some((site.name, site.parent?)))
                .collect(),
        )
    }
}

/// A kind of device: what it can do and what its loss would mean.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Class {
    /// The class's name.
    pub name: Title,
    /// The profile its devices get when they do not name one.
    pub profile: Slug,
    /// How often it can reach us.
    #[serde(default)]
    pub connectivity: Connectivity,
    /// Who can reach it.
    #[serde(default)]
    pub exposure: Exposure,
    /// What its impersonation would mean.
    #[serde(default)]
    pub impact: crate::device::Criticality,
    /// Whether it can renew by itself.
    #[serde(default)]
    pub renewability: Renewability,
    /// Whether the server may make keys for it.
    #[serde(default)]
    pub server_keygen: ServerKeygen,
    /// What becomes of a replaced certificate.
    #[serde(default)]
    pub replaced: ReplacedRule,
    /// How many renewals with a changed key are forgiven while the newest certificate has not been
    /// seen in use (a device that crashed before it kept its key); 1 to 3.
    #[serde(default = "one")]
    pub fork_allowance: u8,
}

fn one() -> u8 {
    1
}

/// What devices talk to, by the name its users give it; reached through relying parties.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// The service's name.
    pub name: Title,
    /// Where it is, for people; not interpreted.
    #[serde(default)]
    pub address: String,
}

/// A manufacturer whose IDevIDs we accept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manufacturer {
    /// Its name, as it stands in the devices' `manufacturer` column.
    pub name: Title,
    /// Its roots, PEM, one or more.
    pub roots_pem: String,
    /// When its chains are judged.
    #[serde(default)]
    pub chain_time: ChainTime,
}

words! {
    /// How often a device can reach us.
    Connectivity ("connectivity") {
        /// Practically always.
        Always = "always" = 1,
        /// Now and then.
        Intermittent = "intermittent" = 2,
        /// Only when someone carries it.
        Offline = "offline" = 3,
    }
    /// Who can reach a device.
    Exposure ("exposure") {
        /// Nobody from outside its cell.
        Isolated = "isolated" = 1,
        /// The plant's network.
        Internal = "internal" = 2,
        /// Anyone.
        Internet = "internet" = 3,
    }
    /// Whether a device can renew by itself.
    Renewability ("renewability") {
        /// Yes.
        Autonomous = "autonomous" = 1,
        /// With a gateway's or tool's assistance.
        Assisted = "assisted" = 2,
        /// By a person.
        Manual = "manual" = 3,
        /// Not at all.
        Never = "none" = 4,
    }
    /// Whether the server may make keys for devices of a class.
    ServerKeygen ("server key generation rule") {
        /// It refuses.
        Forbidden = "forbidden" = 1,
        /// It may.
        Allowed = "allowed" = 2,
    }
    /// What becomes of a certificate after its successor was issued.
    ReplacedRule ("rule for replaced certificates") {
        /// It stays good until it expires.
        KeepUntilExpiry = "keep-until-expiry" = 1,
        /// It is revoked as superseded once the successor was seen in use.
        RevokeWhenConfirmed = "revoke-when-confirmed" = 2,
    }
    /// When a manufacturer's chain must have been valid.
    ChainTime ("chain time") {
        /// Now.
        Now = "now" = 1,
        /// When the device certificate was made.
        AtNotBefore = "at-not-before" = 2,
    }
}

macro_rules! default_values {
    ($($name:ident::$variant:ident),+) => {$(
        impl Default for $name {
            fn default() -> Self {
                $name::$variant
            }
        }
    )+};
}

default_values!(
    Connectivity::Always,
    Exposure::Internal,
    Renewability::Autonomous,
    ServerKeygen::Forbidden,
    ReplacedRule::KeepUntilExpiry,
    ChainTime::Now
);

impl Class {
    /// A class with the defaults for everything but its name and profile.
    pub fn new(name: Title, profile: Slug) -> Class {
        Class {
            name,
            profile,
            connectivity: Connectivity::default(),
            exposure: Exposure::default(),
            impact: crate::device::Criticality::default(),
            renewability: Renewability::default(),
            server_keygen: ServerKeygen::default(),
            replaced: ReplacedRule::default(),
            fork_allowance: 1,
        }
    }
}
