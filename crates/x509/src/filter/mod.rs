//! Compact revocation filters: which of an issuer's certificates are revoked, in little more than
//! the octets that information theory allows, with no wrong answers for what it covers.
//!
//! A full filter is built from two sets: the certificates covered, and those of them that are
//! revoked. An approximate filter holds every revoked certificate and lets few others pass; an exact
//! one tells apart what passes. Both are solutions of banded linear systems over GF(2) (the ribbon
//! construction; the combination is known as a clubcard). A delta lists the certificates whose
//! answer has changed since a named full filter.
//!
//! **What is covered** is read from the certificate alone, by [`Coverage::holds`]: its `notBefore`
//! lies in the interval the issuer has closed, and it had not ended when the filter was made. The
//! issuer promises never to issue again with a `notBefore` in that interval. Whatever else is asked
//! is answered [`Answer::NotCovered`], never `Good`.
//!
//! **Absences.** No clock, no I/O. Reading allocates in proportion to the octets given, whatever
//! the numbers in them say. Nothing can be asked of a filter that was not verified, is out of date,
//! or is older than one seen before: only [`Held::current`] makes a [`Current`].

mod bits;
mod build;
mod delta;
mod full;
mod hash;
mod held;
mod ribbon;
mod sealed;
#[cfg(test)]
mod tests;

pub use build::{Body, Fewer, Listing, Sieve};
pub use delta::{Delta, DeltaSpec};
pub use full::{Full, FullSpec};
pub use hash::delta_key;
pub use held::{Accepted, Current, Held};
pub use sealed::ToSeal;

use crate::{Time, Validity};

/// The most octets of a filter that are read: enough for some 50 million revoked certificates.
pub const FILTER_OCTETS_MAX: usize = 64 << 20;
/// The most octets of a delta that are read.
pub const DELTA_OCTETS_MAX: usize = 1 << 20;

/// What a filter says of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is revoked, on hold, or was never released.
    Revoked,
    /// It is not revoked.
    Good,
    /// The filter does not speak for it: ask elsewhere.
    NotCovered,
}

/// Which certificates of an issuer a filter speaks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Coverage {
    /// The earliest `notBefore`.
    pub from: Time,
    /// The latest `notBefore`, itself covered: the issuer issues nothing more at or before it.
    pub to: Time,
    /// When the set was read: what had ended by then is left out.
    pub at: Time,
}

impl Coverage {
    /// Whether a certificate of this validity is covered. Builder and receiver both ask this one
    /// function, so they cannot differ over a boundary.
    #[must_use]
    pub fn holds(&self, validity: Validity) -> bool {
        self.from <= validity.not_before
            && validity.not_before <= self.to
            && self.at <= validity.not_after
    }
}
