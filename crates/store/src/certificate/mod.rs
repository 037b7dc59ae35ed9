//! Certificates: `reserve` makes a serial and the exact bytes durable, [`Reserved::signed`] takes a
//! signature over exactly them, and `complete` releases what was signed, if its device may still have
//! it. There is no other way to a certificate row.
//!
//! A crash between the two transactions leaves a reservation and nothing else. It is only ever given
//! up ([`void`]): its serial is then listed as revoked, for the case that a signature got out.

mod complete;
mod find;
mod fingerprint;
mod head;
mod reserve;

pub use complete::{Completed, Completion, complete};
pub(crate) use find::{CLASS_OF, columns, row_of};
pub use find::{
    Head, by_no, by_serial, der, facts, find_serial, head, key_use, log_index, of_device, of_key,
    row, withdrawable,
};
pub use fingerprint::{Printed, issued_after, printed_after};
pub use head::make_head;
pub use reserve::{
    BadSignature, Check, OpenReservation, Reservation, ReserveError, Reserved, Signed, reserve,
    stale_reservations, void,
};

use tenure_domain::CertificateRow;
use tenure_x509::filter::delta_key;
use tenure_x509::{Cert, Serial};

/// A released certificate.
#[derive(Debug, Clone)]
pub struct Certificate {
    /// What the registry knows of it.
    pub row: CertificateRow,
    /// The certificate itself.
    pub cert: Cert,
}

/// Eight bytes that stand for a serial in an index: the very key that deltas of revocation filters
/// name it by. Serials are random, so that nothing better is needed; the row is compared in full.
pub(crate) fn serial_hash(serial: &Serial) -> i64 {
    delta_key(serial).cast_signed()
}

/// Eight bytes that stand for a key's hash in an index.
pub(crate) fn key_prefix(hash: &[u8; 32]) -> i64 {
    let [a, b, c, d, e, f, g, h, ..] = *hash;
    i64::from_be_bytes([a, b, c, d, e, f, g, h])
}

/// The day since 1970 of a time in Unix seconds.
pub(crate) fn day(unix: i64) -> i64 {
    unix.div_euclid(86_400)
}
