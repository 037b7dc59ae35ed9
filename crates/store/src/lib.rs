//! The registry, the certificates and the record in one SQLite file, behind one concrete [`Store`].
//!
//! **Absences.** No network, no key, no clock (`now` is an argument), no policy, and no way to
//! change anything without an event: see [`Store::record`].
//!
//! Read first: [`Store`] (how to get in) and [`Tx`] (what a closure can do).

pub mod asof;
pub mod attestation;
pub mod backup;
pub mod blast;
pub mod blocked_key;
mod cache;
pub mod certificate;
mod chance;
mod checkpoint;
pub mod compromise;
mod counter;
pub mod covered;
pub mod device;
mod disk;
pub mod drill;
mod driver;
mod error;
pub mod event;
pub mod exception;
pub mod feed;
pub mod finding;
mod gate;
mod health;
pub mod hook;
pub mod idempotency;
pub mod identity;
pub mod import;
pub mod incident;
pub mod issuer;
mod lock;
mod log_state;
mod lookup;
mod migrate;
pub mod pending;
pub mod permit;
pub mod policy;
pub mod probe;
mod reader;
pub mod registry;
pub mod relying_party;
pub mod revocation;
pub mod rollover;
pub mod secret;
pub mod sighting;
mod stamp;
mod store;
pub mod token;
pub mod trust_change;
pub mod trust_store;
mod tx;
pub mod verdict;
pub mod view;
pub mod watch;
pub mod withdrawal;
mod writer;

pub use error::{OpenError, StoreError};
pub use log_state::{LogState, SealError, begin_anew, begun_anew_at, log_state};
pub use migrate::{Create, Migrated, SCHEMA};
pub use store::{Options, Store};
pub use tx::{ReadTx, Tx};
pub use writer::OperationId;
