//! X.509 as bytes and values: names, keys, requests, certificates, what may be issued, and paths.
//!
//! **Absences.** No network, no files, no clock, no async. Nothing here decides *whether* a
//! certificate should exist; it says what the bytes mean, refuses what is wrong, and writes what
//! it is told. Signatures are checked over the octets received, never over a re-encoding.
//!
//! Read first: [`Cert`], a certificate as found, and [`CertificateSpec`], one to be made.

mod algorithm;
mod cert;
pub mod cms;
pub mod crl;
mod csr;
pub mod der;
mod error;
mod extension;
pub mod filter;
mod key;
mod keypair;
pub mod lint;
mod name;
pub mod ocsp;
pub mod oid;
pub mod path;
mod pem;
mod reason;
mod san;
mod serial;
mod spec;
mod time;

pub use crate::algorithm::SignatureAlgorithm;
pub use crate::cert::{CERT_OCTETS_MAX, Cert, Flaw, anchor_certificates, pem_certificates};
pub use crate::csr::{CSR_OCTETS_MAX, Csr};
pub use crate::der::ObjectIdentifier;
pub use crate::error::Error;
pub use crate::extension::{Criticality, Extension, KeyUsage};
pub use crate::key::{KeyAlgorithm, KeyHash, PublicKey, sha256};
pub use crate::keypair::{KeyKind, KeyPair};
pub use crate::name::{Attribute, Name, NameAttribute};
pub use crate::path::VerifiedChain;
pub use crate::pem::pem_encode;
pub use crate::reason::Reason;
pub use crate::san::SanName;
pub use crate::serial::Serial;
pub use crate::spec::{CaConstraint, CertificateSpec, Extensions, Presence, Tbs};
pub use crate::time::{Time, Validity};
