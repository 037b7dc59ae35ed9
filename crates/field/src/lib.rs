//! The device's side: getting, keeping and renewing an identity over EST, checking the identities of
//! others, and following the feed of what to trust and refuse.
//!
//! **Absences.** No store, no engine, no issuing: a device sees what the server tells it and
//! nothing more. No system trust store, no proxies, no redirects. No key is ever sent anywhere.
//!
//! Read first: [`http::Client`], the way out.

pub mod device;
mod disk;
pub mod est;
pub mod feed;
pub mod http;
pub mod limits;
mod lock;
pub mod mqtt;
pub mod peer;
pub mod probe;
pub mod renewal;
pub mod revocation;
pub mod slots;
