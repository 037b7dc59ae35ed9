//! The nouns, the policy and the vocabulary of the record: what Tenure means, with no idea how it
//! is stored, signed or spoken on a wire.
//!
//! **Absences.** No SQL, no protocol, no async, no clock, no randomness, no key. Every function
//! here is a value of its arguments; `now` and chance come in from outside.
//!
//! Read first: [`policy::decide`] (may this ask have a certificate?) and [`event::Event`] (what
//! happened?).

pub mod ask;
pub mod attention;
pub mod attestation;
pub mod blast;
pub mod canary;
pub mod certificate;
pub mod change;
pub mod compromise;
pub mod decision;
pub mod device;
pub mod draft;
pub mod drill;
pub mod durability;
pub mod duration;
pub mod event;
pub mod evidence;
pub mod exception;
pub mod facts;
pub mod feed;
pub mod finding;
pub mod hook;
pub mod ids;
pub mod incident;
pub mod issuer;
pub mod operator;
pub mod permit;
pub mod policy;
pub mod profile;
pub mod refusal;
pub mod registry;
pub mod relying_party;
pub mod renewal;
pub mod rollover;
pub mod text;
pub mod trust_change;
pub mod trust_store;
pub mod words;

pub use ask::{Ask, Operation, Presented, Via};
pub use certificate::{CertificateRow, Standstill, Status};
pub use device::{Device, Standing};
pub use draft::Draft;
pub use durability::Durability;
pub use event::Event;
pub use evidence::Evidence;
pub use facts::Facts;
pub use ids::*;
pub use operator::{Actor, Role};
pub use policy::{Decision, Grant, Policy};
pub use profile::Profile;
pub use refusal::Refusal;
