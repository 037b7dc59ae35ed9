//! The public listener: what anyone may know. Revocation lists, OCSP, CA certificates, the log's
//! checkpoint and hash tiles. Everything here is signed, so plain HTTP loses nothing; what people
//! wrote (the entries of the log) is not here.

mod date;
pub mod ocsp;
pub(crate) mod public;

pub use public::router;
