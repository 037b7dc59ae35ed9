//! Keys as their users see them: in memory, in files, in a token.

#[path = "../house/mod.rs"]
mod house;
#[cfg(feature = "pkcs11")]
mod softhsm;
mod suite;
