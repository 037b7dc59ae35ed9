//! Enrollment over Secure Transport: RFC 7030, with the encoding of RFC 8951 and the CSR
//! attributes of RFC 9908.
//!
//! The rule of RFC 8951 for bodies runs through this folder: base64 with or without line breaks,
//! whatever `Content-Transfer-Encoding` says. What real clients also send (PEM, plain DER) is
//! accepted, because refusing it helps nobody; what is *sent* is one line of base64 unless a
//! label asks for wrapped lines.

mod basic;
mod body;
mod csrattrs;
mod error;
mod keygen;
mod media;
mod path;
mod retry;

pub use basic::Credentials;
pub use body::{Wrapping, decode_answer, encode_body, parse_enroll};
pub use csrattrs::{
    AttrOrOid, CsrAttrs, EXTENSION_REQUEST, EXTENSION_TEMPLATE, INFO_TEMPLATE, WantedKey,
};
pub use error::Error;
pub use keygen::{GeneratedKey, KeyFormat, build_generated_key, parse_generated_key};
pub use media::MediaType;
pub use path::{EstPath, Label, Operation};
pub use retry::parse_retry_after;

/// Media type of an enrollment request (RFC 7030 section 4.2.1).
pub const PKCS10: &str = "application/pkcs10";
/// Media type of an answer that carries certificates (RFC 7030 section 4.1.3).
pub const CERTS_ONLY: &str = "application/pkcs7-mime; smime-type=certs-only";
/// Media type of a list of CSR attributes (RFC 7030 section 4.5.2).
pub const CSR_ATTRIBUTES: &str = "application/csrattrs";
/// Media type of a private key that is protected by TLS alone (RFC 7030 section 4.4.2).
pub const PKCS8: &str = "application/pkcs8";
/// The header old clients (libest, Cisco IOS) insist on and RFC 8951 tells everyone to ignore.
pub const TRANSFER_ENCODING: (&str, &str) = ("content-transfer-encoding", "base64");

#[cfg(test)]
mod tests;
