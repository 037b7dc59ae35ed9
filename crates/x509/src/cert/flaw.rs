//! What is wrong with a certificate that exists all the same.

use core::fmt;

use crate::ObjectIdentifier;

/// Something in a certificate that issuance would refuse and import tolerates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Flaw {
    /// The encoding is BER where DER is due.
    NotDer,
    /// Version 1 or 2.
    NotVersion3,
    /// A negative or zero serial number.
    SerialNotPositive,
    /// A serial number over 20 octets.
    SerialTooLong,
    /// Signed with SHA-1 or something unknown.
    WeakSignature,
    /// The algorithm inside the signed part is not the one outside.
    TwoSignatureAlgorithms,
    /// The issuer has no name.
    EmptyIssuer,
    /// Neither a subject nor an alternative name.
    NoSubjectAtAll,
    /// notAfter is before notBefore.
    EndsBeforeItBegins,
    /// UTCTime from 2050 on, GeneralizedTime before, or another form that RFC 5280 rules out.
    TimeForm,
    /// issuerUniqueID or subjectUniqueID.
    UniqueIds,
    /// RSA under 2048 bits or with an exponent that is even or under 65537.
    WeakKey,
    /// A public key we cannot check with.
    UnknownKey,
    /// The same extension twice.
    RepeatedExtension(ObjectIdentifier),
    /// An extension that we know, with contents that we cannot read.
    UnreadableExtension(ObjectIdentifier),
    /// An extension that lists nothing.
    EmptyExtension(ObjectIdentifier),
    /// No authority key identifier, though someone else issued it.
    NoAuthorityKeyId,
    /// A CA certificate without a subject key identifier.
    NoSubjectKeyId,
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::NotDer => "the encoding is not DER",
            Self::NotVersion3 => "not an X.509 version 3 certificate",
            Self::SerialNotPositive => "the serial number is not positive",
            Self::SerialTooLong => "the serial number is over 20 octets",
            Self::WeakSignature => "the signature algorithm is weak or unknown",
            Self::TwoSignatureAlgorithms => "the signature algorithms inside and outside differ",
            Self::EmptyIssuer => "the issuer has no name",
            Self::NoSubjectAtAll => "neither a subject nor an alternative name",
            Self::EndsBeforeItBegins => "it ends before it begins",
            Self::TimeForm => "a validity time is in the wrong form",
            Self::UniqueIds => "it has unique identifiers",
            Self::WeakKey => "the RSA key is under 2048 bits or has a bad exponent",
            Self::UnknownKey => "the public key is of an unknown kind",
            Self::RepeatedExtension(oid) => return write!(f, "extension {oid} occurs twice"),
            Self::UnreadableExtension(oid) => return write!(f, "extension {oid} is malformed"),
            Self::EmptyExtension(oid) => return write!(f, "extension {oid} lists nothing"),
            Self::NoAuthorityKeyId => "no authority key identifier",
            Self::NoSubjectKeyId => "a CA without subject key identifier",
        };
        f.write_str(text)
    }
}
