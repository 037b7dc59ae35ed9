//! Software private keys: making, storing and signing with them.

use core::fmt;
use core::str::FromStr;

use aws_lc_rs::digest::Digest;
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rand::{self, SystemRandom};
use aws_lc_rs::rsa;
use aws_lc_rs::signature::{
    self, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair as _, RsaKeyPair,
};
use pkcs8::pkcs5::{pbes2, scrypt};
use pkcs8::{EncryptedPrivateKeyInfoOwned, der::Decode as _, der::Encode as _};
use zeroize::Zeroizing;

use crate::algorithm::SignatureAlgorithm;
use crate::der::{Reader, Rules, tag};
use crate::key::{KeyAlgorithm, PublicKey};
use crate::pem::{self, pem_encode};
use crate::{Error, oid};

/// scrypt cost: N = 2^14, r = 8, p = 1 is 16 MiB and the most that OpenSSL opens by default.
const SCRYPT_LOG_N: u8 = 14;
const SCRYPT_R: u32 = 8;
const SCRYPT_P: u32 = 1;

const ENCRYPTED_LABEL: &str = "ENCRYPTED PRIVATE KEY";
const PLAIN_LABEL: &str = "PRIVATE KEY";

/// What kind of key to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyKind {
    /// ECDSA on P-256, the default of everything here.
    P256,
    /// ECDSA on P-384.
    P384,
    /// Ed25519.
    Ed25519,
    /// RSA, 2048 bits.
    Rsa2048,
    /// RSA, 3072 bits.
    Rsa3072,
    /// RSA, 4096 bits.
    Rsa4096,
}

impl KeyKind {
    /// All kinds.
    pub const ALL: [Self; 6] = [
        Self::P256,
        Self::P384,
        Self::Ed25519,
        Self::Rsa2048,
        Self::Rsa3072,
        Self::Rsa4096,
    ];

    /// The name in commands and files, such as `p256`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::P256 => "p256",
            Self::P384 => "p384",
            Self::Ed25519 => "ed25519",
            Self::Rsa2048 => "rsa2048",
            Self::Rsa3072 => "rsa3072",
            Self::Rsa4096 => "rsa4096",
        }
    }
}

impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for KeyKind {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.name() == text)
            .ok_or(Error::unsupported(
                "this kind of key (p256, p384, ed25519, rsa2048, rsa3072 or rsa4096)",
            ))
    }
}

/// A private key in memory, parsed once and ready to sign.
pub struct KeyPair {
    secret: Secret,
    public: PublicKey,
}

enum Secret {
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Rsa(RsaKeyPair),
}

impl KeyPair {
    /// Makes a new key with the operating system's randomness.
    ///
    /// # Errors
    /// `Unsupported` if the cryptographic library fails to.
    pub fn generate(kind: KeyKind) -> Result<Self, Error> {
        let secret = match kind {
            KeyKind::P256 => generate_ecdsa(&signature::ECDSA_P256_SHA256_ASN1_SIGNING)?,
            KeyKind::P384 => generate_ecdsa(&signature::ECDSA_P384_SHA384_ASN1_SIGNING)?,
            KeyKind::Ed25519 => {
                Secret::Ed25519(Ed25519KeyPair::generate().map_err(|_| CANNOT_GENERATE)?)
            }
            KeyKind::Rsa2048 => generate_rsa(rsa::KeySize::Rsa2048)?,
            KeyKind::Rsa3072 => generate_rsa(rsa::KeySize::Rsa3072)?,
            KeyKind::Rsa4096 => generate_rsa(rsa::KeySize::Rsa4096)?,
        };
        Self::from_secret(secret)
    }

    /// Reads a PKCS#8 PrivateKeyInfo (RFC 5958).
    ///
    /// # Errors
    /// `Malformed` if it is none, `Unsupported` for kinds of keys we do not sign with, and
    /// `Inconsistent` if its public half is not its private half's.
    pub fn from_pkcs8(pkcs8: &[u8]) -> Result<Self, Error> {
        const WHAT: &str = "PKCS#8 private key";
        const BAD_KEY: Error = Error::inconsistent("private key");
        let mut fields = Reader::new(pkcs8, Rules::Der).sequence(WHAT)?;
        fields.small_unsigned(WHAT)?;
        let mut algorithm = fields.sequence(WHAT)?;
        let kind = algorithm.oid(WHAT)?;
        let secret = if kind == oid::EC_PUBLIC_KEY {
            let curve = algorithm.expect(tag::OID, WHAT)?.value;
            let algorithm = if curve == oid::SECP256R1.as_bytes() {
                &signature::ECDSA_P256_SHA256_ASN1_SIGNING
            } else if curve == oid::SECP384R1.as_bytes() {
                &signature::ECDSA_P384_SHA384_ASN1_SIGNING
            } else if curve == oid::SECP521R1.as_bytes() {
                &signature::ECDSA_P521_SHA512_ASN1_SIGNING
            } else {
                return Err(Error::unsupported("private key on this curve"));
            };
            Secret::Ecdsa(EcdsaKeyPair::from_pkcs8(algorithm, pkcs8).map_err(|_| BAD_KEY)?)
        } else if kind == oid::ED25519 {
            let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(pkcs8).map_err(|_| BAD_KEY)?;
            Secret::Ed25519(pair)
        } else if kind == oid::RSA_ENCRYPTION {
            Secret::Rsa(RsaKeyPair::from_pkcs8(pkcs8).map_err(|_| BAD_KEY)?)
        } else {
            return Err(Error::unsupported("private key of this kind"));
        };
        Self::from_secret(secret)
    }

    /// The key as PKCS#8 version 1, which every tool reads.
    ///
    /// # Errors
    /// `Unsupported` if the cryptographic library cannot export it.
    pub fn to_pkcs8(&self) -> Result<Zeroizing<Vec<u8>>, Error> {
        const FAIL: Error = Error::unsupported("exporting this private key");
        let octets = match &self.secret {
            Secret::Ecdsa(pair) => pair.to_pkcs8v1().map_err(|_| FAIL)?.as_ref().to_vec(),
            Secret::Ed25519(pair) => pair.to_pkcs8v1().map_err(|_| FAIL)?.as_ref().to_vec(),
            Secret::Rsa(pair) => {
                let der: Pkcs8V1Der<'_> = pair.as_der().map_err(|_| FAIL)?;
                der.as_ref().to_vec()
            }
        };
        Ok(Zeroizing::new(octets))
    }

    /// Reads an unencrypted `PRIVATE KEY` PEM.
    ///
    /// # Errors
    /// `Malformed` if there is none, and as [`KeyPair::from_pkcs8`].
    pub fn from_pem(text: &str) -> Result<Self, Error> {
        let block =
            pem::first(text, PLAIN_LABEL)?.ok_or(Error::malformed("PEM (expected PRIVATE KEY)"))?;
        Self::from_pkcs8(&block.der)
    }

    /// The key as unencrypted `PRIVATE KEY` PEM.
    ///
    /// # Errors
    /// As [`KeyPair::to_pkcs8`].
    pub fn to_pem(&self) -> Result<Zeroizing<String>, Error> {
        Ok(Zeroizing::new(pem_encode(PLAIN_LABEL, &self.to_pkcs8()?)))
    }

    /// Reads an `ENCRYPTED PRIVATE KEY` PEM (PBES2, RFC 8018).
    ///
    /// # Errors
    /// `WrongPassphrase`; `Malformed` or `Unsupported` if the file is not ours to read.
    pub fn from_encrypted_pem(text: &str, passphrase: &[u8]) -> Result<Self, Error> {
        let block = pem::first(text, ENCRYPTED_LABEL)?
            .ok_or(Error::malformed("PEM (expected ENCRYPTED PRIVATE KEY)"))?;
        let sealed = EncryptedPrivateKeyInfoOwned::from_der(&block.der)
            .map_err(|_| Error::malformed("encrypted private key"))?;
        if sealed.encryption_algorithm.pbes2().is_none() {
            return Err(Error::unsupported(
                "private key encryption other than PBES2",
            ));
        }
        let plain = sealed
            .encryption_algorithm
            .decrypt(passphrase, sealed.encrypted_data.as_bytes())
            .map(Zeroizing::new)
            .map_err(|_| Error::WrongPassphrase)?;
        // One wrong passphrase in 256 leaves valid padding over rubbish.
        Reader::new(&plain, Rules::Der)
            .sequence("private key")
            .map_err(|_| Error::WrongPassphrase)?;
        Self::from_pkcs8(&plain)
    }

    /// The key as `ENCRYPTED PRIVATE KEY` PEM: PBES2 with scrypt and AES-256-CBC.
    ///
    /// # Errors
    /// `Unsupported` if the cryptographic library cannot export it or has no randomness.
    pub fn to_encrypted_pem(&self, passphrase: &[u8]) -> Result<String, Error> {
        const FAIL: Error = Error::unsupported("encrypting this private key");
        let mut salt = [0u8; 16];
        let mut iv = [0u8; 16];
        rand::fill(&mut salt).map_err(|_| FAIL)?;
        rand::fill(&mut iv).map_err(|_| FAIL)?;
        let cost = scrypt::Params::new(SCRYPT_LOG_N, SCRYPT_R, SCRYPT_P).map_err(|_| FAIL)?;
        let scheme =
            pbes2::Parameters::generate_scrypt_aes256cbc(cost, &salt, iv).map_err(|_| FAIL)?;
        let plain = self.to_pkcs8()?;
        let sealed = scheme.encrypt(passphrase, &plain).map_err(|_| FAIL)?;
        let sealed = EncryptedPrivateKeyInfoOwned {
            encryption_algorithm: scheme.into(),
            encrypted_data: pkcs8::der::asn1::OctetString::new(sealed).map_err(|_| FAIL)?,
        };
        let der = sealed.to_der().map_err(|_| FAIL)?;
        Ok(pem_encode(ENCRYPTED_LABEL, &der))
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// What [`KeyPair::sign`] makes.
    #[must_use]
    pub fn signature_algorithm(&self) -> SignatureAlgorithm {
        self.public.algorithm().default_signature()
    }

    /// Signs a message with [`KeyPair::signature_algorithm`]; ECDSA signatures are DER.
    ///
    /// # Errors
    /// `Unsupported` if the cryptographic library fails.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        let random = SystemRandom::new();
        match &self.secret {
            Secret::Ecdsa(pair) => pair
                .sign(&random, message)
                .map(|signature| signature.as_ref().to_vec())
                .map_err(|_| CANNOT_SIGN),
            Secret::Ed25519(pair) => pair
                .try_sign(message)
                .map(|signature| signature.as_ref().to_vec())
                .map_err(|_| CANNOT_SIGN),
            Secret::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(
                    &signature::RSA_PKCS1_SHA256,
                    &random,
                    message,
                    &mut signature,
                )
                .map_err(|_| CANNOT_SIGN)?;
                Ok(signature)
            }
        }
    }

    /// Signs the digest of a message, made with the hash of [`KeyPair::signature_algorithm`].
    ///
    /// # Errors
    /// `Unsupported` for Ed25519, which needs the message; `Inconsistent` if the digest has
    /// another length.
    pub fn sign_digest(&self, digest: &[u8]) -> Result<Vec<u8>, Error> {
        let hash = self
            .signature_algorithm()
            .digest()
            .ok_or(Error::unsupported("signing a digest with Ed25519"))?;
        let digest = Digest::import_less_safe(digest, hash)
            .map_err(|_| Error::inconsistent("digest of the wrong length"))?;
        match &self.secret {
            Secret::Ecdsa(pair) => pair
                .sign_digest(&digest)
                .map(|signature| signature.as_ref().to_vec())
                .map_err(|_| CANNOT_SIGN),
            Secret::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign_digest(&signature::RSA_PKCS1_SHA256, &digest, &mut signature)
                    .map_err(|_| CANNOT_SIGN)?;
                Ok(signature)
            }
            Secret::Ed25519(_) => Err(CANNOT_SIGN),
        }
    }

    fn from_secret(secret: Secret) -> Result<Self, Error> {
        const FAIL: Error = Error::unsupported("exporting this public key");
        let spki = match &secret {
            Secret::Ecdsa(pair) => pair.public_key().as_der(),
            Secret::Ed25519(pair) => pair.public_key().as_der(),
            Secret::Rsa(pair) => pair.public_key().as_der(),
        };
        let public = PublicKey::from_spki_der(spki.map_err(|_| FAIL)?.as_ref())?;
        match public.algorithm() {
            KeyAlgorithm::Rsa(..2048) => Err(Error::unsupported("RSA keys under 2048 bits")),
            _ => Ok(Self { secret, public }),
        }
    }
}

impl fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // never the private half
        f.debug_struct("KeyPair")
            .field("public", &self.public)
            .finish_non_exhaustive()
    }
}

const CANNOT_GENERATE: Error = Error::unsupported("making this key");
const CANNOT_SIGN: Error = Error::unsupported("signing with this key");

fn generate_ecdsa(algorithm: &'static EcdsaSigningAlgorithm) -> Result<Secret, Error> {
    EcdsaKeyPair::generate(algorithm)
        .map(Secret::Ecdsa)
        .map_err(|_| CANNOT_GENERATE)
}

fn generate_rsa(size: rsa::KeySize) -> Result<Secret, Error> {
    RsaKeyPair::generate(size)
        .map(Secret::Rsa)
        .map_err(|_| CANNOT_GENERATE)
}
