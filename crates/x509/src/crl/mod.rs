//! Certificate revocation lists (RFC 5280 section 5): written as a stream, read lazily.
//!
//! **Absences.** No indirect lists are written; they are recognised when read. A complete list is
//! never held in memory as objects: a million entries pass through a buffer of 64 KiB.

mod parse;
mod write;

pub use parse::{Crl, Revoked};
pub use write::{CrlSpec, CrlWriter, Entry, ToSign, WriteError};

use crate::der::ObjectIdentifier;

const CRL_NUMBER: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.20");
const REASON_CODE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.21");
const INVALIDITY_DATE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.24");
const DELTA_CRL_INDICATOR: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.27");
const ISSUING_DISTRIBUTION_POINT: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.28");

/// Which certificates of an issuer a list speaks for (RFC 5280 section 5.2.5).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// Where the list is published: every URL that a certificate in its scope may name, octet for
    /// octet. Empty if the list is not bound to a distribution point.
    pub urls: Vec<String>,
    /// Which kind of certificates it holds.
    pub holds: Holds,
}

impl Scope {
    /// The whole of the issuer's certificates, wherever they point: no extension is written.
    #[must_use]
    pub fn everything() -> Self {
        Self::default()
    }
}

/// Which kind of certificates a list holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Holds {
    /// Certificates of CAs and of others.
    #[default]
    All,
    /// No certificates of CAs (`onlyContainsUserCerts`).
    UserCerts,
    /// Certificates of CAs only (`onlyContainsCACerts`).
    CaCerts,
}
