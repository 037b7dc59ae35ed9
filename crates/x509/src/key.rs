//! Public keys: the SubjectPublicKeyInfo as it stood, what it is, and checking with it.

use core::fmt;
use std::sync::{Arc, OnceLock};

use aws_lc_rs::digest;
use aws_lc_rs::signature::{ParsedPublicKey, UnparsedPublicKey};

use crate::algorithm::SignatureAlgorithm;
use crate::der::{Reader, Rules, Tlv, tag};
use crate::serial::write_hex;
use crate::{Error, oid};

/// The largest RSA modulus we check with; larger ones are slow on purpose.
const RSA_BITS_MAX: u32 = 8192;

/// SHA-256 of a public key's SubjectPublicKeyInfo DER.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyHash(pub [u8; 32]);

impl fmt::Display for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, &self.0)
    }
}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyHash({self})")
    }
}

/// What kind of key it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyAlgorithm {
    /// ECDSA on P-256.
    P256,
    /// ECDSA on P-384.
    P384,
    /// ECDSA on P-521.
    P521,
    /// Ed25519.
    Ed25519,
    /// RSA with a modulus of this many bits.
    Rsa(u32),
    /// Anything else; we keep it but cannot check with it.
    Other,
}

impl KeyAlgorithm {
    /// A short name without the size of RSA keys: `p256`, `p384`, `p521`, `ed25519`, `rsa`, `other`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::P256 => "p256",
            Self::P384 => "p384",
            Self::P521 => "p521",
            Self::Ed25519 => "ed25519",
            Self::Rsa(_) => "rsa",
            Self::Other => "other",
        }
    }

    /// The algorithm such a key signs with unless told otherwise.
    #[must_use]
    pub const fn default_signature(self) -> SignatureAlgorithm {
        match self {
            Self::P256 => SignatureAlgorithm::EcdsaSha256,
            Self::P384 => SignatureAlgorithm::EcdsaSha384,
            Self::P521 => SignatureAlgorithm::EcdsaSha512,
            Self::Ed25519 => SignatureAlgorithm::Ed25519,
            Self::Rsa(_) => SignatureAlgorithm::RsaSha256,
            Self::Other => SignatureAlgorithm::Other,
        }
    }
}

impl fmt::Display for KeyAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rsa(bits) => write!(f, "rsa{bits}"),
            other => f.write_str(other.name()),
        }
    }
}

/// A public key. Cheap to clone; two are equal when their SubjectPublicKeyInfo octets are.
#[derive(Clone)]
pub struct PublicKey(Arc<Inner>);

struct Inner {
    spki: Box<[u8]>,
    /// Where the subjectPublicKey bits start in `spki`; they run to its end.
    bits_at: usize,
    algorithm: KeyAlgorithm,
    /// The key ready to check its usual kind of signature; `None` if it is no valid key.
    ready: OnceLock<Option<ParsedPublicKey>>,
    hash: OnceLock<KeyHash>,
}

impl PublicKey {
    /// Reads a SubjectPublicKeyInfo. Keys of unknown kinds are accepted as such.
    ///
    /// # Errors
    /// `Malformed` if it is no SubjectPublicKeyInfo, or of a known kind with wrong contents.
    pub fn from_spki_der(spki: &[u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(spki, Rules::Der);
        let tlv = reader.expect(tag::SEQUENCE, "SubjectPublicKeyInfo")?;
        reader.finish("SubjectPublicKeyInfo")?;
        Self::from_tlv(tlv, Rules::Der)
    }

    /// The key of the first `PUBLIC KEY`, `CERTIFICATE` or `CERTIFICATE REQUEST` of a PEM text.
    ///
    /// # Errors
    /// `Malformed` if there is none, or it cannot be read.
    pub fn from_pem(text: &str) -> Result<Self, Error> {
        for block in crate::pem::blocks(text)? {
            match block.label {
                "PUBLIC KEY" => return Self::from_spki_der(&block.der),
                "CERTIFICATE" | "X509 CERTIFICATE" => {
                    return Ok(crate::Cert::from_der(&block.der)?.public_key().clone());
                }
                "CERTIFICATE REQUEST" | "NEW CERTIFICATE REQUEST" => {
                    return Ok(crate::Csr::from_der(&block.der)?.public_key().clone());
                }
                _ => {}
            }
        }
        Err(Error::malformed(
            "PEM (expected PUBLIC KEY, CERTIFICATE or CERTIFICATE REQUEST)",
        ))
    }

    /// Reads a SubjectPublicKeyInfo; under [`Rules::Ber`] a key of a known kind with wrong
    /// contents becomes a key of another kind.
    pub(crate) fn from_tlv(tlv: Tlv<'_>, rules: Rules) -> Result<Self, Error> {
        const WHAT: &str = "SubjectPublicKeyInfo";
        let mut fields = tlv.reader();
        let mut identifier = fields.sequence(WHAT)?;
        let algorithm = identifier.expect(tag::OID, WHAT)?;
        let parameters = identifier.rest();
        let bits = fields.octet_bits(WHAT)?;
        fields.finish(WHAT)?;
        let algorithm = match (recognise(algorithm.value, parameters, bits, rules), rules) {
            (Ok(algorithm), _) => algorithm,
            (Err(_), Rules::Ber) => KeyAlgorithm::Other,
            (Err(error), Rules::Der) => return Err(error),
        };
        let spki: Box<[u8]> = tlv.raw.into();
        let bits_at = spki.len().saturating_sub(bits.len());
        Ok(Self(Arc::new(Inner {
            spki,
            bits_at,
            algorithm,
            ready: OnceLock::new(),
            hash: OnceLock::new(),
        })))
    }

    /// The SubjectPublicKeyInfo, octet for octet as it was read.
    #[must_use]
    pub fn spki_der(&self) -> &[u8] {
        &self.0.spki
    }

    /// The contents of the subjectPublicKey BIT STRING: the point, the 32 octets, or the
    /// RSAPublicKey.
    #[must_use]
    pub fn key_bits(&self) -> &[u8] {
        self.0.spki.get(self.0.bits_at..).unwrap_or(&[])
    }

    /// What kind of key it is.
    #[must_use]
    pub fn algorithm(&self) -> KeyAlgorithm {
        self.0.algorithm
    }

    /// SHA-256 of the SubjectPublicKeyInfo.
    #[must_use]
    pub fn hash(&self) -> KeyHash {
        *self.0.hash.get_or_init(|| KeyHash(sha256(&self.0.spki)))
    }

    /// The usual key identifier: SHA-1 of the subjectPublicKey bits (RFC 5280 4.2.1.2 (1)).
    #[must_use]
    pub fn key_id(&self) -> [u8; 20] {
        sha1(self.key_bits())
    }

    /// Checks a signature over a message.
    ///
    /// # Errors
    /// `Unsupported` if this key cannot check this algorithm; `Inconsistent` if the signature is
    /// not this key's over this message.
    pub fn verify(
        &self,
        algorithm: SignatureAlgorithm,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), Error> {
        if algorithm == self.0.algorithm.default_signature() {
            let ready = self.ready().ok_or(BAD_KEY)?;
            return ready
                .verify_sig(message, signature)
                .map_err(|_| BAD_SIGNATURE);
        }
        let verifier = self.verifier(algorithm)?;
        UnparsedPublicKey::new(verifier, self.checkable())
            .verify(message, signature)
            .map_err(|_| BAD_SIGNATURE)
    }

    /// Checks a signature over a message whose digest is already at hand.
    ///
    /// # Errors
    /// As [`PublicKey::verify`], and `Unsupported` for Ed25519, which signs the message itself.
    pub fn verify_digest(
        &self,
        algorithm: SignatureAlgorithm,
        digest: &[u8],
        signature: &[u8],
    ) -> Result<(), Error> {
        let hash = algorithm
            .digest()
            .ok_or(Error::unsupported("checking a digest with this algorithm"))?;
        let digest = digest::Digest::import_less_safe(digest, hash)
            .map_err(|_| Error::inconsistent("digest of the wrong length"))?;
        let verifier = self.verifier(algorithm)?;
        UnparsedPublicKey::new(verifier, self.checkable())
            .verify_digest(&digest, signature)
            .map_err(|_| BAD_SIGNATURE)
    }

    /// The modulus and public exponent of an RSA key, big-endian, without leading zeros.
    #[must_use]
    pub fn rsa_components(&self) -> Option<(&[u8], &[u8])> {
        match self.0.algorithm {
            KeyAlgorithm::Rsa(_) => rsa_components(self.key_bits(), Rules::Ber).ok(),
            _ => None,
        }
    }

    /// Whether its kind, size and form are such that a new certificate may hold it: a point of
    /// ours uncompressed (RFC 5480 2.2), or RSA from 2048 bits with an odd exponent from 65537.
    ///
    /// Whether it is a key at all is [`PublicKey::is_usable`]'s question.
    #[must_use]
    pub fn is_strong(&self) -> bool {
        match self.0.algorithm {
            KeyAlgorithm::P256 | KeyAlgorithm::P384 | KeyAlgorithm::P521 => {
                self.key_bits().first() == Some(&0x04)
            }
            KeyAlgorithm::Ed25519 => true,
            KeyAlgorithm::Rsa(bits) => {
                let exponent = self
                    .rsa_components()
                    .map_or(&[][..], |(_, exponent)| exponent);
                let odd = exponent.last().is_some_and(|octet| octet & 1 == 1);
                bits >= 2048 && odd && exponent.len() >= 3 // 65537 has three octets
            }
            KeyAlgorithm::Other => false,
        }
    }

    fn verifier(
        &self,
        algorithm: SignatureAlgorithm,
    ) -> Result<&'static dyn aws_lc_rs::signature::VerificationAlgorithm, Error> {
        algorithm
            .verifier(self.0.algorithm)
            .ok_or(Error::unsupported("this signature algorithm with this key"))
    }

    fn ready(&self) -> Option<&ParsedPublicKey> {
        self.0
            .ready
            .get_or_init(|| {
                let verifier = self
                    .0
                    .algorithm
                    .default_signature()
                    .verifier(self.0.algorithm)?;
                ParsedPublicKey::new(verifier, self.checkable()).ok()
            })
            .as_ref()
    }

    /// The octets aws-lc-rs takes as the key: the bare key bits for every kind we check with.
    fn checkable(&self) -> &[u8] {
        self.key_bits()
    }

    /// Whether the key is mathematically what it claims to be (a point on the curve, a sane
    /// modulus), so that it could check a signature.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        self.ready().is_some()
    }
}

const BAD_SIGNATURE: Error = Error::inconsistent("the signature does not match");
const BAD_KEY: Error = Error::unsupported("checking signatures with this public key");

impl PartialEq for PublicKey {
    fn eq(&self, other: &Self) -> bool {
        self.0.spki == other.0.spki
    }
}

impl Eq for PublicKey {}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({}, {})", self.0.algorithm, self.hash())
    }
}

/// The kind of a key. Under [`Rules::Der`] each key has one encoding, so that the same key cannot
/// come as another: parameters as RFC 3279 and RFC 5480 want them, integers minimal.
fn recognise(
    algorithm: &[u8],
    parameters: &[u8],
    bits: &[u8],
    rules: Rules,
) -> Result<KeyAlgorithm, Error> {
    if algorithm == oid::EC_PUBLIC_KEY.as_bytes() {
        return recognise_curve(parameters, bits);
    }
    if algorithm == oid::ED25519.as_bytes() {
        let right = parameters.is_empty() && bits.len() == 32;
        return right
            .then_some(KeyAlgorithm::Ed25519)
            .ok_or(Error::malformed("Ed25519 key"));
    }
    if algorithm == oid::RSA_ENCRYPTION.as_bytes() {
        if rules == Rules::Der && parameters != [tag::NULL, 0] {
            return Err(Error::malformed("RSA public key parameters"));
        }
        let (modulus, _) = rsa_components(bits, rules)?;
        let bits = bit_len(modulus);
        return match bits {
            0..=RSA_BITS_MAX => Ok(KeyAlgorithm::Rsa(bits)),
            _ => Ok(KeyAlgorithm::Other),
        };
    }
    Ok(KeyAlgorithm::Other)
}

fn recognise_curve(parameters: &[u8], bits: &[u8]) -> Result<KeyAlgorithm, Error> {
    let mut reader = Reader::new(parameters, Rules::Der);
    let Ok(curve) = reader.expect(tag::OID, "curve") else {
        return Ok(KeyAlgorithm::Other); // explicit parameters: no named curve, not ours
    };
    let (algorithm, field_len) = match curve.value {
        v if v == oid::SECP256R1.as_bytes() => (KeyAlgorithm::P256, 32),
        v if v == oid::SECP384R1.as_bytes() => (KeyAlgorithm::P384, 48),
        v if v == oid::SECP521R1.as_bytes() => (KeyAlgorithm::P521, 66),
        _ => return Ok(KeyAlgorithm::Other),
    };
    reader.finish("curve")?;
    let right = match bits {
        [0x04, rest @ ..] => rest.len() == 2 * field_len,
        [0x02 | 0x03, rest @ ..] => rest.len() == field_len,
        _ => false,
    };
    right
        .then_some(algorithm)
        .ok_or(Error::malformed("EC point"))
}

/// Modulus and exponent of an RSAPublicKey (RFC 8017 A.1.1).
fn rsa_components(bits: &[u8], rules: Rules) -> Result<(&[u8], &[u8]), Error> {
    const WHAT: &str = "RSA public key";
    let mut reader = Reader::new(bits, rules);
    let mut fields = reader.sequence(WHAT)?;
    let modulus = positive(fields.integer(WHAT)?).ok_or(Error::malformed(WHAT))?;
    let exponent = positive(fields.integer(WHAT)?).ok_or(Error::malformed(WHAT))?;
    fields.finish(WHAT)?;
    reader.finish(WHAT)?;
    Ok((modulus, exponent))
}

/// The magnitude of a positive INTEGER.
fn positive(value: &[u8]) -> Option<&[u8]> {
    if value.first()? & 0x80 != 0 {
        return None;
    }
    let start = value.iter().position(|octet| *octet != 0)?;
    value.get(start..)
}

/// How many bits a big-endian number without leading zeros has.
fn bit_len(magnitude: &[u8]) -> u32 {
    let octets = u32::try_from(magnitude.len()).unwrap_or(u32::MAX / 8);
    let unused = magnitude.first().map_or(0, |first| first.leading_zeros());
    (octets * 8).saturating_sub(unused)
}

/// SHA-256.
#[must_use]
pub fn sha256(octets: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest::digest(&digest::SHA256, octets).as_ref()); // SHA-256 has 32 octets
    out
}

pub(crate) fn sha1(octets: &[u8]) -> [u8; 20] {
    let mut out = [0; 20];
    let digest = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, octets);
    out.copy_from_slice(digest.as_ref()); // SHA-1 has 20 octets
    out
}
