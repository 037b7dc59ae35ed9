//! Building a filter in two passes over one set of certificates, in memory that depends on the
//! revoked ones, not on all.

use super::hash::{Key, mix};
use super::ribbon::{COLUMNS_MAX, Ribbon};
use super::{Answer, Coverage};
use crate::{Error, Serial, Validity};

/// Unknowns to spare, in parts per thousand of a system's equations, attempt by attempt: the fewer,
/// the smaller the filter, and the likelier that some stretch of the band is overloaded. Then the
/// exact system has no solution, and the approximate one lets too many pass.
const SPARE: [u64; 24] = [
    5, 5, 5, 10, 10, 10, 15, 15, 15, 20, 20, 25, 25, 30, 30, 35, 40, 50, 70, 100, 150, 250, 500,
    1000,
];
/// Where sizes are only estimated.
const SPARE_TYPICAL: u64 = 15;
/// How many numbers that stand for no serial are sent over an approximate filter to see how many
/// pass: enough to see an overloaded stretch, which lets most of them pass.
const PROBES: u64 = 16_384;

/// Which certificates a filter holds in its systems; the others are what it separates them from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listing {
    /// The revoked ones.
    Revoked,
    /// The ones that are not revoked: where most are revoked, these are fewer.
    Good,
}

impl Listing {
    /// What makes the smaller filter where `revoked` of `covered` certificates are revoked.
    #[must_use]
    pub const fn of(revoked: u64, covered: u64) -> Self {
        if revoked > covered / 2 {
            Self::Good
        } else {
            Self::Revoked
        }
    }
}

/// The first pass: the certificates that will be listed. 16 octets of memory for each.
#[derive(Debug)]
pub struct Fewer {
    coverage: Coverage,
    listing: Listing,
    keys: Vec<Key>,
}

impl Fewer {
    /// An empty list.
    #[must_use]
    pub const fn new(coverage: Coverage, listing: Listing) -> Self {
        Self {
            coverage,
            listing,
            keys: Vec::new(),
        }
    }

    /// Lists a certificate, if it is covered; one listed twice counts once.
    pub fn push(&mut self, serial: &Serial, validity: Validity) {
        if self.coverage.holds(validity) {
            self.keys.push(Key::of(serial));
        }
    }

    /// Ends the first pass. `covered` is how many certificates there are in all; a figure that is
    /// not exact makes the filter larger and never wrong.
    #[must_use]
    pub fn sieve(mut self, covered: u64) -> Sieve {
        self.keys.sort_unstable();
        self.keys.dedup();
        let listed = self.keys.len() as u64;
        let others = covered.saturating_sub(listed);
        let columns = best_columns(listed, others);
        let approximate = if columns == 0 {
            Ribbon::empty()
        } else {
            approximate(&self.keys, columns)
        };
        Sieve {
            coverage: self.coverage,
            listing: self.listing,
            listed: self.keys,
            approximate,
            passed: Vec::new(),
        }
    }
}

/// The second pass: all certificates go over the approximate filter, and those of the others that
/// pass it are kept, 16 octets for each.
#[derive(Debug)]
pub struct Sieve {
    coverage: Coverage,
    listing: Listing,
    listed: Vec<Key>,
    approximate: Ribbon,
    passed: Vec<Key>,
}

impl Sieve {
    /// Sifts a certificate, listed or not, if it is covered.
    pub fn push(&mut self, serial: &Serial, validity: Validity) {
        if !self.coverage.holds(validity) {
            return;
        }
        let key = Key::of(serial);
        if self.approximate.is_zero(key) && self.listed.binary_search(&key).is_err() {
            self.passed.push(key);
        }
    }

    /// Ends the second pass.
    ///
    /// # Errors
    /// `Inconsistent` if no system of the attempts allowed can be solved, which means that two
    /// serials share 128 bits of their hash.
    pub fn finish(mut self) -> Result<Body, Error> {
        self.passed.sort_unstable();
        self.passed.dedup();
        let body = |exact| Body {
            coverage: self.coverage,
            listing: self.listing,
            approximate: self.approximate.clone(),
            exact,
        };
        if self.listed.is_empty() {
            return Ok(body(Ribbon::empty()));
        }
        let equations = (self.listed.len() + self.passed.len()) as u64;
        for (attempt, spare) in (1..).zip(SPARE) {
            let unknowns = Ribbon::unknowns_for(equations, spare);
            // Listed gives zero, as in the approximate system.
            if let Some(exact) = Ribbon::exact(&self.listed, &self.passed, unknowns, attempt) {
                return Ok(body(exact));
            }
        }
        Err(Error::inconsistent(
            "serial numbers that a filter cannot tell apart",
        ))
    }
}

/// The smallest approximate filter that lets about as few pass as it should. The last attempt is
/// taken as it is: a filter that lets more pass is larger in all and still right.
fn approximate(keys: &[Key], columns: u32) -> Ribbon {
    let probes = || (0..PROBES).map(|n| Key(mix(n), mix(!n)));
    let fair = (PROBES >> columns) * 5 / 4 + 16;
    let attempts = (1..).zip(SPARE).map(|(salt, spare)| {
        let unknowns = Ribbon::unknowns_for(keys.len() as u64, spare);
        Ribbon::approximate(keys, columns, unknowns, salt)
    });
    let mut last = Ribbon::empty();
    for ribbon in attempts {
        let passed = probes().filter(|key| ribbon.is_zero(*key)).count() as u64;
        if passed <= fair {
            return ribbon;
        }
        last = ribbon;
    }
    last
}

/// The number of columns with the smallest sum of both systems.
fn best_columns(listed: u64, others: u64) -> u32 {
    let octets = |columns: u32| {
        let first = match columns {
            0 => 0,
            _ => Ribbon::unknowns_for(listed, SPARE_TYPICAL) * u64::from(columns),
        };
        first + Ribbon::unknowns_for(listed + (others >> columns), SPARE_TYPICAL)
    };
    if listed == 0 {
        return 0;
    }
    (0..=COLUMNS_MAX)
        .min_by_key(|columns| octets(*columns))
        .unwrap_or(0)
}

/// The two systems of a filter, and what they speak for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Body {
    pub(super) coverage: Coverage,
    pub(super) listing: Listing,
    pub(super) approximate: Ribbon,
    pub(super) exact: Ribbon,
}

impl Body {
    /// What it says of a certificate: right for each of the set it was built from, and
    /// `NotCovered` outside its coverage. Unsigned: only whoever built it may rely on it.
    #[must_use]
    pub fn answer(&self, serial: &Serial, validity: Validity) -> Answer {
        if !self.coverage.holds(validity) {
            return Answer::NotCovered;
        }
        let key = Key::of(serial);
        // Nothing is listed if there is no exact system.
        let is_listed =
            !self.exact.is_empty() && self.approximate.is_zero(key) && self.exact.is_zero(key);
        match (self.listing, is_listed) {
            (Listing::Revoked, true) | (Listing::Good, false) => Answer::Revoked,
            (Listing::Revoked, false) | (Listing::Good, true) => Answer::Good,
        }
    }

    /// How many octets its systems take.
    #[must_use]
    pub fn octets(&self) -> usize {
        self.approximate.bits().len() + self.exact.bits().len()
    }

    /// What it speaks for.
    #[must_use]
    pub fn coverage(&self) -> Coverage {
        self.coverage
    }
}
