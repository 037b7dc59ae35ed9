//! OCSP (RFC 6960, nonces of RFC 9654, the lightweight profile of RFC 9919): requests and
//! responses, of both sides.
//!
//! **Absences.** No store and no clock: what the status *is* comes from the caller, and the
//! signature from a closure. No signed requests: a signature on a request is passed over.

mod request;
mod respond;
mod response;

pub use request::{CertId, HashKind, NONCE_OCTETS_MAX, OcspRequest, decode_get_path};
pub use respond::{Answer, CertStatus, Failure, Responder};
pub use response::{BasicResponse, OcspResponse, SingleResponse, VerifiedStatus};

use crate::der::ObjectIdentifier;

const BASIC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.48.1.1");
const NONCE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.48.1.2");
const EXTENDED_REVOKE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.48.1.9");
