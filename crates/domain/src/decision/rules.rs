//! What the policy says of decisions: boundaries, what has to hold for the full tier, and who may go
//! on while nothing is known.

use std::fmt;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::str::FromStr;

use super::{DeviceFacts, Question, Tier};
use crate::device::Criticality;
use crate::duration::DAY_S;
use crate::ids::{Slug, Title};
use crate::words::words;

/// How long a verdict may be used, in seconds, if the policy does not say: it may be wrong for as
/// long.
pub const VALID_FOR_DEFAULT_S: i64 = 60;

/// How far away the end of an exception may be, in seconds, if the policy does not say.
pub const EXCEPTIONS_MAX_DEFAULT_S: i64 = 30 * DAY_S;

/// How old an affirming attestation result may be, in seconds, if the policy does not say.
pub const ATTESTED_WITHIN_DEFAULT_S: i64 = DAY_S;

/// The shortest and the longest time that a policy may say.
pub const VALID_FOR_S: RangeInclusive<i64> = 1..=3_600;

words! {
    /// What a policy may want of a device before it is trusted fully.
    Need ("need") {
        /// That a relying party saw its certificate in use.
        SeenInUse = "seen-in-use" = 1,
        /// That a verifier affirms what it runs, on evidence that is new enough.
        Attested = "attested" = 2,
    }
}

/// All that a policy says of decisions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecisionRules {
    /// How long a verdict may be used, in seconds.
    pub valid_for_s: i64,
    /// How long a certificate must have been seen in use for the full tier, in seconds.
    pub full_after_s: i64,
    /// What the full tier takes besides.
    pub full_needs: Vec<Need>,
    /// How old the evidence of an affirming attestation result may be, in seconds.
    pub attested_within_s: i64,
    /// How far away the end of an exception may be, in seconds.
    pub exceptions_max_s: i64,
    /// The boundaries; a device must be within each that speaks of it and the service.
    pub boundaries: Vec<Boundary>,
    /// Who may go on while nothing is known; the first that speaks of the device decides.
    pub fail_operational: Vec<FailOperational>,
}

impl Default for DecisionRules {
    fn default() -> Self {
        DecisionRules {
            valid_for_s: VALID_FOR_DEFAULT_S,
            full_after_s: 0,
            full_needs: vec![Need::SeenInUse],
            attested_within_s: ATTESTED_WITHIN_DEFAULT_S,
            exceptions_max_s: EXCEPTIONS_MAX_DEFAULT_S,
            boundaries: Vec::new(),
            fail_operational: Vec::new(),
        }
    }
}

impl DecisionRules {
    /// Whether any boundary of this service looks at where a device comes from.
    pub fn asks_for_source(&self, service: Option<&Title>) -> bool {
        let speaks = |boundary: &&Boundary| {
            boundary.services.is_empty()
                || service.is_some_and(|service| boundary.services.contains(service))
        };
        let mut boundaries = self.boundaries.iter();
        boundaries.any(|boundary| speaks(&boundary) && !boundary.networks.is_empty())
    }
}

/// A boundary: what must hold of a device that wants to reach a service. An empty list matches or
/// allows anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Boundary {
    /// Its name, unique among boundaries.
    pub name: Slug,
    /// Of which services it speaks.
    pub services: Vec<Title>,
    /// Of which classes it speaks.
    pub classes: Vec<Title>,
    /// Of which criticalities it speaks.
    pub criticality: Vec<Criticality>,
    /// Where the device must stand, with all that is inside.
    pub sites: Vec<Title>,
    /// Whose the device must be.
    pub owners: Vec<Title>,
    /// From which networks it must come.
    pub networks: Vec<Network>,
    /// The least tier.
    pub tier: Tier,
}

/// Devices that may go on while nothing is known of them, for some time and with an alarm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailOperational {
    /// Its name, unique among these.
    pub name: Slug,
    /// Which services.
    pub services: Vec<Title>,
    /// Which classes.
    pub classes: Vec<Title>,
    /// Which criticalities.
    pub criticality: Vec<Criticality>,
    /// How long, in seconds.
    pub for_s: i64,
    /// Why stopping would be worse.
    pub reason: String,
}

fn listed<T: PartialEq>(wanted: &[T], value: &T) -> bool {
    wanted.is_empty() || wanted.contains(value)
}

fn named(wanted: &[Title], service: Option<&Title>) -> bool {
    wanted.is_empty() || service.is_some_and(|service| wanted.contains(service))
}

impl Boundary {
    /// Whether it speaks of this device at this service.
    pub fn speaks_of(&self, device: &DeviceFacts, question: &Question) -> bool {
        named(&self.services, question.service.as_ref())
            && listed(&self.classes, &device.class)
            && listed(&self.criticality, &device.criticality)
    }

    /// Whether the device stands where it must, and is whose it must be.
    pub fn holds(&self, device: &DeviceFacts) -> bool {
        let stands = listed(&self.sites, &device.site)
            || device.around.iter().any(|site| self.sites.contains(site));
        stands && listed(&self.owners, &device.owner)
    }

    /// Whether it may come from there. An unknown source is in no network.
    pub fn admits(&self, source: Option<IpAddr>) -> bool {
        let is_in = |source| self.networks.iter().any(|network| network.holds(source));
        self.networks.is_empty() || source.is_some_and(is_in)
    }
}

impl FailOperational {
    /// Whether it speaks of this device at this service.
    pub fn speaks_of(&self, device: &DeviceFacts, question: &Question) -> bool {
        named(&self.services, question.service.as_ref())
            && listed(&self.classes, &device.class)
            && listed(&self.criticality, &device.criticality)
    }
}

/// A network, as `10.3.0.0/16` or `fd00::/8`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

/// Text that is no network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadNetwork {
    /// What was given, shortened to 80 characters.
    pub given: String,
}

impl fmt::Display for BadNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} is not a network; write it as 10.3.0.0/16 or fd00::/8, with nothing set behind \
             the prefix",
            self.given
        )
    }
}

impl std::error::Error for BadNetwork {}

impl Network {
    /// Whether an address lies in it. An IPv4 address written as IPv6 is that IPv4 address.
    pub fn holds(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                let mask = mask(32, self.prefix);
                u128::from(own.to_bits()) & mask == u128::from(other.to_bits()) & mask
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                let mask = mask(128, self.prefix);
                own.to_bits() & mask == other.to_bits() & mask
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

/// The first `prefix` of `bits` bits set, in the lowest bits of the number.
fn mask(bits: u32, prefix: u8) -> u128 {
    let whole = u128::MAX >> (128 - bits);
    let behind = bits.saturating_sub(u32::from(prefix));
    whole & whole.checked_shl(behind).unwrap_or(0)
}

impl FromStr for Network {
    type Err = BadNetwork;

    fn from_str(text: &str) -> Result<Network, BadNetwork> {
        let bad = || BadNetwork {
            given: text.chars().take(80).collect(),
        };
        let (address, prefix) = text.split_once('/').ok_or_else(bad)?;
        let address: IpAddr = address.parse().map_err(|_| bad())?;
        let prefix: u8 = prefix.parse().map_err(|_| bad())?;
        let (bits, value) = match address {
            IpAddr::V4(address) => (32, u128::from(address.to_bits())),
            IpAddr::V6(address) => (128, address.to_bits()),
        };
        let fits = u32::from(prefix) <= bits && value & !mask(bits, prefix) == 0;
        fits.then_some(Network { address, prefix }).ok_or_else(bad)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}
