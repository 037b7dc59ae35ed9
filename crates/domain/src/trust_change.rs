//! A trust change: an event of the record that takes trust away or gives it back. Whoever holds a
//! session open has to hear of it.

use tenure_x509::{Reason, Serial, Time};

use crate::device::Standing;
use crate::ids::{DeviceId, EventSeq, Slug};
use crate::words::words;

words! {
    /// What kind of change is told of; words and numbers of trust changes are those of the event.
    TrustChangeKind ("trust change") {
        /// A device moved along its life.
        DeviceStandingChanged = "device-standing-changed" = 13,
        /// A certificate was withdrawn for good.
        CertificateRevoked = "certificate-revoked" = 40,
        /// A certificate was put on hold.
        CertificateHeld = "certificate-held" = 41,
        /// A certificate was given back.
        CertificateReleased = "certificate-released" = 42,
        /// A list or a filter is out. No trust change, and told only to who asks for it.
        Publication = "publication" = 1_001,
        /// A relying party's feed has a new number. No trust change, and told only to who asks for it.
        Feed = "feed" = 1_002,
    }
}

impl TrustChangeKind {
    /// Those that are no trust changes: what is published and offered.
    pub const NEWS: [TrustChangeKind; 2] = [TrustChangeKind::Publication, TrustChangeKind::Feed];
}

/// Which way trust went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// It is gone: sessions that rest on it must end.
    Away,
    /// It is back.
    Back,
}

/// A trust change, read from its event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustChange {
    /// Which event: its place in the record, and the place to resume after.
    pub seq: EventSeq,
    /// When it was recorded.
    pub at: Time,
    /// Since when it is true.
    pub since: Time,
    /// The device it concerns.
    pub device: Option<DeviceId>,
    /// What changed.
    pub what: Changed,
}

/// What changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Changed {
    /// A certificate was withdrawn for good.
    Revoked {
        /// Which.
        certificate: Named,
        /// Why.
        reason: Reason,
        /// Since when it must not be believed, if that is known.
        invalidity: Option<Time>,
    },
    /// A certificate was put on hold.
    Held {
        /// Which.
        certificate: Named,
    },
    /// A certificate was given back.
    Released {
        /// Which.
        certificate: Named,
    },
    /// A device moved along its life.
    Standing {
        /// Where it was.
        from: Standing,
        /// Where it is.
        to: Standing,
    },
}

/// A certificate by the names that anyone can see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// Whose.
    pub issuer: Slug,
    /// Its serial.
    pub serial: Serial,
}

impl TrustChange {
    /// What kind it is.
    pub fn kind(&self) -> TrustChangeKind {
        match self.what {
            Changed::Revoked { .. } => TrustChangeKind::CertificateRevoked,
            Changed::Held { .. } => TrustChangeKind::CertificateHeld,
            Changed::Released { .. } => TrustChangeKind::CertificateReleased,
            Changed::Standing { .. } => TrustChangeKind::DeviceStandingChanged,
        }
    }

    /// Which way trust went.
    pub fn direction(&self) -> Direction {
        match &self.what {
            Changed::Revoked { .. } | Changed::Held { .. } => Direction::Away,
            Changed::Released { .. } => Direction::Back,
            Changed::Standing { to, .. } if is_trusted(*to) => Direction::Back,
            Changed::Standing { .. } => Direction::Away,
        }
    }

    /// The certificate it names.
    pub fn certificate(&self) -> Option<&Named> {
        match &self.what {
            Changed::Revoked { certificate, .. }
            | Changed::Held { certificate }
            | Changed::Released { certificate } => Some(certificate),
            Changed::Standing { .. } => None,
        }
    }
}

/// Whether a device of this standing may be let in.
fn is_trusted(standing: Standing) -> bool {
    match standing {
        Standing::Expected | Standing::Enrolled => true,
        Standing::Suspended
        | Standing::Quarantined
        | Standing::InTransfer
        | Standing::Retired
        | Standing::Destroyed => false,
    }
}

/// Whether going from one standing to the other is a change of trust: an expected device that enrolls
/// gains nothing that could have been taken from it.
pub fn is_of_trust(from: Standing, to: Standing) -> bool {
    !(is_trusted(from) && is_trusted(to))
}
