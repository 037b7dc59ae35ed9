//! Why a certificate was revoked.

use core::fmt;
use core::str::FromStr;

use crate::Error;

/// A revocation reason, with its number in CRLs and OCSP (RFC 5280 5.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Reason {
    /// Nothing is said. CRLs leave the entry extension out.
    Unspecified = 0,
    /// The subject's private key is, or may be, in other hands.
    KeyCompromise = 1,
    /// The CA's private key is, or may be, in other hands.
    CaCompromise = 2,
    /// The subject's name or role changed.
    AffiliationChanged = 3,
    /// Another certificate took its place.
    Superseded = 4,
    /// It is no longer needed.
    CessationOfOperation = 5,
    /// On hold: it may come back.
    CertificateHold = 6,
    /// Taken off a delta CRL.
    RemoveFromCrl = 8,
    /// A privilege in it was withdrawn.
    PrivilegeWithdrawn = 9,
    /// The attribute authority's key is, or may be, in other hands.
    AaCompromise = 10,
}

impl Reason {
    /// All reasons, by number.
    pub const ALL: [Self; 10] = [
        Self::Unspecified,
        Self::KeyCompromise,
        Self::CaCompromise,
        Self::AffiliationChanged,
        Self::Superseded,
        Self::CessationOfOperation,
        Self::CertificateHold,
        Self::RemoveFromCrl,
        Self::PrivilegeWithdrawn,
        Self::AaCompromise,
    ];

    /// The reasons to revoke for good, by number: all but the hold and its end.
    pub fn for_good() -> impl Iterator<Item = Self> {
        let is_of_a_hold =
            |reason: &Self| matches!(reason, Self::CertificateHold | Self::RemoveFromCrl);
        Self::ALL
            .into_iter()
            .filter(move |reason| !is_of_a_hold(reason))
    }

    /// The number in CRLs and OCSP.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The reason with this number; 7 and everything above 10 are none.
    #[must_use]
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.code() == code)
    }

    /// The name in RFC 5280, such as `keyCompromise`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unspecified => "unspecified",
            Self::KeyCompromise => "keyCompromise",
            Self::CaCompromise => "cACompromise",
            Self::AffiliationChanged => "affiliationChanged",
            Self::Superseded => "superseded",
            Self::CessationOfOperation => "cessationOfOperation",
            Self::CertificateHold => "certificateHold",
            Self::RemoveFromCrl => "removeFromCRL",
            Self::PrivilegeWithdrawn => "privilegeWithdrawn",
            Self::AaCompromise => "aACompromise",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Reason {
    type Err = Error;

    /// Reads an RFC 5280 name in any case, so that `caCompromise` is understood too.
    fn from_str(text: &str) -> Result<Self, Error> {
        Self::ALL
            .into_iter()
            .find(|reason| reason.name().eq_ignore_ascii_case(text))
            .ok_or(Error::malformed("revocation reason"))
    }
}
