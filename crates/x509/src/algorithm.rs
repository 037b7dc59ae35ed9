//! Signature algorithms and their AlgorithmIdentifiers.

use core::fmt;

use aws_lc_rs::digest;
use aws_lc_rs::signature::{self, VerificationAlgorithm};

use crate::Error;
use crate::der::{Reader, Rules, Tlv, tag};
use crate::key::KeyAlgorithm;

/// How something is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SignatureAlgorithm {
    /// ECDSA with SHA-256.
    EcdsaSha256,
    /// ECDSA with SHA-384.
    EcdsaSha384,
    /// ECDSA with SHA-512.
    EcdsaSha512,
    /// Ed25519 (RFC 8410).
    Ed25519,
    /// RSA PKCS#1 v1.5 with SHA-256.
    RsaSha256,
    /// RSA PKCS#1 v1.5 with SHA-384.
    RsaSha384,
    /// RSA PKCS#1 v1.5 with SHA-512.
    RsaSha512,
    /// RSA-PSS with SHA-256, MGF1-SHA-256 and a salt of 32 octets.
    RsaPssSha256,
    /// RSA-PSS with SHA-384, MGF1-SHA-384 and a salt of 48 octets.
    RsaPssSha384,
    /// RSA-PSS with SHA-512, MGF1-SHA-512 and a salt of 64 octets.
    RsaPssSha512,
    /// ECDSA with SHA-1: read, never made, never trusted.
    EcdsaSha1,
    /// RSA PKCS#1 v1.5 with SHA-1: read, never made, never trusted.
    RsaSha1,
    /// Anything else; the bytes stay in the certificate.
    Other,
}

use SignatureAlgorithm as A;

/// Whole AlgorithmIdentifier encodings, as written.
const ENCODINGS: [(SignatureAlgorithm, &[u8]); 12] = [
    (
        A::EcdsaSha256,
        b"\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02",
    ),
    (
        A::EcdsaSha384,
        b"\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x03",
    ),
    (
        A::EcdsaSha512,
        b"\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x04",
    ),
    (A::Ed25519, b"\x30\x05\x06\x03\x2b\x65\x70"),
    (
        A::RsaSha256,
        b"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b\x05\x00",
    ),
    (
        A::RsaSha384,
        b"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0c\x05\x00",
    ),
    (
        A::RsaSha512,
        b"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0d\x05\x00",
    ),
    (A::RsaPssSha256, PSS_SHA256),
    (A::RsaPssSha384, PSS_SHA384),
    (A::RsaPssSha512, PSS_SHA512),
    (
        A::EcdsaSha1,
        b"\x30\x09\x06\x07\x2a\x86\x48\xce\x3d\x04\x01",
    ),
    (
        A::RsaSha1,
        b"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x05\x05\x00",
    ),
];

/// RSASSA-PSS parameters as RFC 4055 3.1 and everyone's encoder write them.
const PSS_SHA256: &[u8] = b"\x30\x41\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0a\x30\x34\
\xa0\x0f\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\
\xa1\x1c\x30\x1a\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x08\
\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\xa2\x03\x02\x01\x20";
const PSS_SHA384: &[u8] = b"\x30\x41\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0a\x30\x34\
\xa0\x0f\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x02\x05\x00\
\xa1\x1c\x30\x1a\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x08\
\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x02\x05\x00\xa2\x03\x02\x01\x30";
const PSS_SHA512: &[u8] = b"\x30\x41\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0a\x30\x34\
\xa0\x0f\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x03\x05\x00\
\xa1\x1c\x30\x1a\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x08\
\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x03\x05\x00\xa2\x03\x02\x01\x40";

impl SignatureAlgorithm {
    /// Recognises an AlgorithmIdentifier (the whole SEQUENCE). RSA without its NULL parameters,
    /// and ECDSA with NULL ones, are read as what they mean (RFC 4055 5, RFC 5758 3.2).
    pub(crate) fn from_tlv(identifier: Tlv<'_>) -> Self {
        let same = |der: &[u8]| {
            ENCODINGS
                .iter()
                .find(|(_, encoding)| *encoding == der)
                .map(|(algorithm, _)| *algorithm)
        };
        if let Some(algorithm) = same(identifier.raw) {
            return algorithm;
        }
        let mut fields = identifier.reader();
        let Ok(oid) = fields.expect(tag::OID, "algorithm") else {
            return Self::Other;
        };
        let parameters = fields.rest();
        let bare = parameters.is_empty() || parameters == [tag::NULL, 0];
        ENCODINGS
            .iter()
            .filter(|(algorithm, _)| !algorithm.is_pss())
            .find(|(_, encoding)| bare && encoding.get(2..).is_some_and(|e| e.starts_with(oid.raw)))
            .map_or(Self::Other, |(algorithm, _)| *algorithm)
    }

    /// Recognises an AlgorithmIdentifier (the whole SEQUENCE).
    ///
    /// # Errors
    /// `Malformed` if it is no SEQUENCE; an unknown algorithm is [`SignatureAlgorithm::Other`].
    pub fn from_der(identifier: &[u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(identifier, Rules::Der);
        let tlv = reader.expect(tag::SEQUENCE, "signature algorithm")?;
        reader.finish("signature algorithm")?;
        Ok(Self::from_tlv(tlv))
    }

    /// The AlgorithmIdentifier, as DER.
    ///
    /// # Errors
    /// `Unsupported` for [`SignatureAlgorithm::Other`].
    pub fn as_der(self) -> Result<&'static [u8], Error> {
        ENCODINGS
            .iter()
            .find(|(algorithm, _)| *algorithm == self)
            .map(|(_, encoding)| *encoding)
            .ok_or(Error::unsupported("signature algorithm"))
    }

    /// Whether a signature made this way may be relied on today.
    #[must_use]
    pub const fn is_strong(self) -> bool {
        !matches!(self, A::EcdsaSha1 | A::RsaSha1 | A::Other)
    }

    const fn is_pss(self) -> bool {
        matches!(self, A::RsaPssSha256 | A::RsaPssSha384 | A::RsaPssSha512)
    }

    /// Whether a key of this kind can make such a signature.
    #[must_use]
    pub const fn suits(self, key: KeyAlgorithm) -> bool {
        match self {
            A::EcdsaSha256 | A::EcdsaSha384 | A::EcdsaSha512 | A::EcdsaSha1 => {
                matches!(
                    key,
                    KeyAlgorithm::P256 | KeyAlgorithm::P384 | KeyAlgorithm::P521
                )
            }
            A::Ed25519 => matches!(key, KeyAlgorithm::Ed25519),
            A::RsaSha256
            | A::RsaSha384
            | A::RsaSha512
            | A::RsaPssSha256
            | A::RsaPssSha384
            | A::RsaPssSha512
            | A::RsaSha1 => matches!(key, KeyAlgorithm::Rsa(_)),
            A::Other => false,
        }
    }

    /// The digest that is signed; `None` where the message itself is (Ed25519) or is unknown.
    #[must_use]
    pub fn digest(self) -> Option<&'static digest::Algorithm> {
        match self {
            A::EcdsaSha256 | A::RsaSha256 | A::RsaPssSha256 => Some(&digest::SHA256),
            A::EcdsaSha384 | A::RsaSha384 | A::RsaPssSha384 => Some(&digest::SHA384),
            A::EcdsaSha512 | A::RsaSha512 | A::RsaPssSha512 => Some(&digest::SHA512),
            A::EcdsaSha1 | A::RsaSha1 => Some(&digest::SHA1_FOR_LEGACY_USE_ONLY),
            A::Ed25519 | A::Other => None,
        }
    }

    /// The verifier for this algorithm and kind of key, if they go together.
    pub(crate) fn verifier(self, key: KeyAlgorithm) -> Option<&'static dyn VerificationAlgorithm> {
        use KeyAlgorithm as K;
        Some(match (self, key) {
            (A::EcdsaSha256, K::P256) => &signature::ECDSA_P256_SHA256_ASN1,
            (A::EcdsaSha384, K::P256) => &signature::ECDSA_P256_SHA384_ASN1,
            (A::EcdsaSha512, K::P256) => &signature::ECDSA_P256_SHA512_ASN1,
            (A::EcdsaSha1, K::P256) => &signature::ECDSA_P256_SHA1_ASN1,
            (A::EcdsaSha256, K::P384) => &signature::ECDSA_P384_SHA256_ASN1,
            (A::EcdsaSha384, K::P384) => &signature::ECDSA_P384_SHA384_ASN1,
            (A::EcdsaSha512, K::P384) => &signature::ECDSA_P384_SHA512_ASN1,
            (A::EcdsaSha256, K::P521) => &signature::ECDSA_P521_SHA256_ASN1,
            (A::EcdsaSha384, K::P521) => &signature::ECDSA_P521_SHA384_ASN1,
            (A::EcdsaSha512, K::P521) => &signature::ECDSA_P521_SHA512_ASN1,
            (A::EcdsaSha1, K::P521) => &signature::ECDSA_P521_SHA1_ASN1,
            (A::Ed25519, K::Ed25519) => &signature::ED25519,
            (A::RsaSha256, K::Rsa(2048..)) => &signature::RSA_PKCS1_2048_8192_SHA256,
            (A::RsaSha384, K::Rsa(2048..)) => &signature::RSA_PKCS1_2048_8192_SHA384,
            (A::RsaSha512, K::Rsa(2048..)) => &signature::RSA_PKCS1_2048_8192_SHA512,
            (A::RsaPssSha256, K::Rsa(2048..)) => &signature::RSA_PSS_2048_8192_SHA256,
            (A::RsaPssSha384, K::Rsa(2048..)) => &signature::RSA_PSS_2048_8192_SHA384,
            (A::RsaPssSha512, K::Rsa(2048..)) => &signature::RSA_PSS_2048_8192_SHA512,
            (A::RsaSha1, K::Rsa(2048..)) => {
                &signature::RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY
            }
            _ => return None,
        })
    }

    /// A short name, such as `ecdsa-sha256`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            A::EcdsaSha256 => "ecdsa-sha256",
            A::EcdsaSha384 => "ecdsa-sha384",
            A::EcdsaSha512 => "ecdsa-sha512",
            A::Ed25519 => "ed25519",
            A::RsaSha256 => "rsa-sha256",
            A::RsaSha384 => "rsa-sha384",
            A::RsaSha512 => "rsa-sha512",
            A::RsaPssSha256 => "rsa-pss-sha256",
            A::RsaPssSha384 => "rsa-pss-sha384",
            A::RsaPssSha512 => "rsa-pss-sha512",
            A::EcdsaSha1 => "ecdsa-sha1",
            A::RsaSha1 => "rsa-sha1",
            A::Other => "other",
        }
    }
}

impl fmt::Display for SignatureAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
