//! What lint found wrong.

use core::fmt;

use crate::{Error, Flaw, ObjectIdentifier};

/// One reason not to sign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LintError {
    /// It cannot be read back.
    Unreadable(Error),
    /// It would be flawed whatever its profile.
    Flaw(Flaw),
    /// The serial number has fewer than 64 bits.
    SerialTooShort,
    /// An extension that we do not issue.
    UnexpectedExtension(ObjectIdentifier),
    /// An extension that must not be in this profile.
    ForbiddenExtension(ObjectIdentifier),
    /// An extension that must be in this profile.
    MissingExtension(ObjectIdentifier),
    /// An extension that must be critical and is not, or the other way round.
    WrongCriticality(ObjectIdentifier),
    /// An extension whose value its definition does not allow.
    BadValue(ObjectIdentifier),
    /// Key usage bits that this profile needs are missing, or others are set.
    WrongKeyUsage,
    /// Key usage that this kind of key cannot serve.
    KeyUsageNotForKey,
    /// A purpose that this profile needs is missing, or one that it must not have is there.
    WrongPurpose,
    /// It should be a CA's and is not, or the other way round.
    WrongCaConstraint,
    /// A path length on a certificate that is no CA's, or none on an issuing CA's.
    WrongPathLength,
    /// A key of a kind, size or form that we do not certify.
    KeyNotAllowed,
    /// The subject must not be empty in this profile.
    EmptySubject,
    /// An IDevID without a serialNumber attribute in PrintableString.
    NoSubjectSerial,
    /// A server without a DNS name or address.
    NoServerName,
    /// An alternative name that is not well formed; its text.
    BadName(String),
    /// A URL that is neither http nor https; its text.
    BadUrl(String),
    /// Neither CRL nor OCSP nor, for a week at most, noRevAvail.
    NoRevocationPath,
    /// noRevAvail together with pointers to revocation, or over more than a week, or in a CA.
    NoRevAvailMisused,
    /// `99991231235959Z` where an end must be stated.
    NeverEnds,
    /// Not within the issuer's validity.
    OutlivesIssuer,
    /// The issuer's name is not the issuer's subject, octet for octet.
    IssuerNameDiffers,
    /// The authority key identifier is not the issuer's subject key identifier.
    IssuerKeyIdDiffers,
    /// The issuer may not issue it: it is no CA, may not sign certificates, or its path is too long.
    IssuerMayNotIssue,
    /// The signature algorithm is not one of the issuer's key.
    IssuerCannotSignSo,
    /// There is no issuer and it is no root, or it is a root and not its own issuer.
    WrongIssuer,
}

impl fmt::Display for LintError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::Unreadable(error) => return write!(f, "cannot be read back: {error}"),
            Self::Flaw(flaw) => return write!(f, "{flaw}"),
            Self::UnexpectedExtension(oid) => return write!(f, "unexpected extension {oid}"),
            Self::ForbiddenExtension(oid) => {
                return write!(f, "extension {oid} must not be in this profile");
            }
            Self::MissingExtension(oid) => return write!(f, "extension {oid} is missing"),
            Self::WrongCriticality(oid) => {
                return write!(f, "extension {oid} has the wrong criticality");
            }
            Self::BadValue(oid) => return write!(f, "extension {oid} has a wrong value"),
            Self::BadName(name) => {
                return write!(f, "alternative name {name:?} is not well formed");
            }
            Self::BadUrl(url) => return write!(f, "{url:?} is not an http URL"),
            Self::SerialTooShort => "the serial number has fewer than 64 bits",
            Self::WrongKeyUsage => "the key usage is not this profile's",
            Self::KeyUsageNotForKey => "the key usage does not suit the kind of key",
            Self::WrongPurpose => "the extended key usage is not this profile's",
            Self::WrongCaConstraint => "CA where it must not be, or not where it must",
            Self::WrongPathLength => "a path length where none belongs, or none where one does",
            Self::KeyNotAllowed => "a public key of this kind, size or form is not certified",
            Self::EmptySubject => "the subject is empty",
            Self::NoSubjectSerial => "no serialNumber in the subject, or not a PrintableString",
            Self::NoServerName => "a server needs a DNS name or an address",
            Self::NoRevocationPath => "it names no way to learn of its revocation",
            Self::NoRevAvailMisused => {
                "noRevAvail is for a week at most, without CRL and OCSP, and not in a CA"
            }
            Self::NeverEnds => "it must end",
            Self::OutlivesIssuer => "it is not within its issuer's validity",
            Self::IssuerNameDiffers => "the issuer's name is not the issuer's subject",
            Self::IssuerKeyIdDiffers => "the authority key identifier is not the issuer's",
            Self::IssuerMayNotIssue => "the issuer may not issue it",
            Self::IssuerCannotSignSo => "the issuer's key cannot sign with this algorithm",
            Self::WrongIssuer => "only a root is its own issuer, and a root has no other",
        };
        f.write_str(text)
    }
}

impl core::error::Error for LintError {}
