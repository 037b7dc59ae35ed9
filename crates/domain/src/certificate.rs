//! A certificate as a row: what the registry knows of one credential.

use serde::{Deserialize, Serialize};
use tenure_x509::{KeyHash, Reason, Serial, Time, Validity};

use crate::ids::{CertificateNo, DeviceId, DeviceNo, IssuerNo, Slug, TenantId};
use crate::words::words;

words! {
    /// Where a certificate is in its life. There is no "expired": that is a fact about `now`.
    Status ("certificate status") {
        /// Its serial and bytes are durable; it is not signed, or not released.
        Reserved = "reserved" = 1,
        /// Given up before release; its serial is listed as revoked.
        Voided = "voided" = 2,
        /// In force.
        Issued = "issued" = 3,
        /// A successor was issued; still good until it expires.
        Replaced = "replaced" = 4,
        /// Suspended; may be released.
        Held = "held" = 5,
        /// Withdrawn for good.
        Revoked = "revoked" = 6,
    }
    /// Whether a certificate was given up by its device without being seen in use.
    Standstill ("standstill") {
        /// The ordinary case.
        None = "none" = 0,
        /// Its device renewed again from the one before; if it is ever used, that is a fork.
        Abandoned = "abandoned" = 1,
    }
}

/// How long after it is true that a key must be thought bad its certificate may be revoked, in
/// seconds: a day, as the baseline of the CA/Browser Forum has it (section 4.9.1.1).
pub const REVOKE_WITHIN_S: i64 = 86_400;

/// How a certificate was withdrawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Revocation {
    /// Why.
    pub reason: Reason,
    /// When we were told.
    pub at: Time,
    /// Since when the key must be thought bad, if earlier.
    pub invalidity: Option<Time>,
}

impl Revocation {
    /// One whose key is not known to have been bad before.
    pub fn new(reason: Reason, at: Time) -> Revocation {
        Revocation {
            reason,
            at,
            invalidity: None,
        }
    }

    /// How long the revocation came after what it is for, in seconds; none if that is not known.
    pub fn lag_s(&self) -> Option<i64> {
        self.invalidity
            .map(|since| self.at.unix().saturating_sub(since.unix()).max(0))
    }
}

/// One certificate as the store knows it, without its DER.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateRow {
    /// Its row.
    pub no: CertificateNo,
    /// Whose it is.
    pub tenant: TenantId,
    /// The serial its issuer gave it.
    pub serial: Serial,
    /// Its issuer's row.
    pub issuer: IssuerNo,
    /// Its issuer's short name.
    pub issuer_name: Slug,
    /// The device that holds it.
    pub device: DeviceNo,
    /// That device's name.
    pub device_id: DeviceId,
    /// The profile it was made by.
    pub profile: Slug,
    /// From when to when it may be used.
    pub validity: Validity,
    /// The SHA-256 of its public key.
    pub key: KeyHash,
    /// Where it is in its life.
    pub status: Status,
    /// How it was withdrawn or held, if it was.
    pub revocation: Option<Revocation>,
    /// The certificate it replaced.
    pub predecessor: Option<CertificateNo>,
    /// That certificate's serial.
    pub predecessor_serial: Option<Serial>,
    /// The shard of the revocation list that would name it.
    pub shard: u16,
    /// When it was first seen in use by anyone.
    pub first_used: Option<Time>,
    /// Whether its device gave it up unused.
    pub standstill: Standstill,
    /// When it was released.
    pub issued: Time,
}

impl CertificateRow {
    /// Whether the certificate would be accepted at `now` by someone who checks everything.
    pub fn is_live(&self, now: Time) -> bool {
        matches!(self.status, Status::Issued | Status::Replaced) && self.validity.contains(now)
    }
}

/// What an operator wants done with a certificate, or with all of a device's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "kebab-case")]
pub enum StatusChange {
    /// Withdraw for good.
    Revoke {
        /// RFC 5280 reason; never `certificateHold` or `removeFromCRL`.
        #[serde(with = "crate::text::reason")]
        reason: Reason,
        /// Since when the key must be thought bad.
        #[serde(default, with = "crate::text::time::option")]
        invalidity: Option<Time>,
    },
    /// Suspend.
    Hold,
    /// End a suspension.
    Release,
}
