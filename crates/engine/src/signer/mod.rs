//! Keys and the doors they open.
//!
//! A key never signs bytes of the caller's choosing. It signs through a door: a reserved
//! certificate, a revocation list or filter, an OCSP answer, a checkpoint of the log, a handshake, a
//! message to a relying party. Which doors a key opens is written in its record and fixed when the key is made.

mod doors;
mod keyring;
#[cfg(feature = "pkcs11")]
mod pkcs11;
mod soft;

pub use doors::{Door, Doors};
pub use keyring::{
    Custody, KeyRecord, Keyring, KeyringError, NewKey, OpenedBy, PASSPHRASE_BYTES_MAX,
    PASSPHRASE_CHARS_MIN, Passphrase, PinSource, Rewrap, TokenError, TokenKey, Weakness,
};
use soft::SoftSigner;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tenure_store::certificate::{Check, Reserved, Signed};
use tenure_x509::{Csr, PublicKey, SignatureAlgorithm};
use zeroize::Zeroizing;

/// Something that holds one private key and signs with it. It is handed only what has passed a
/// door of [`Key`].
///
/// Contract: `sign` takes the whole message, `sign_digest` its digest by the algorithm's hash (an
/// algorithm without one answers [`SignError::NoDigest`]). Both may block for as long as the device
/// behind them needs, hold no lock across the operation, and return the signature in the form X.509
/// wants (ECDSA: DER). A failed call may have signed; the caller throws the attempt away.
pub(crate) trait Signer: Send + Sync {
    /// The public half.
    fn public(&self) -> &PublicKey;
    /// The algorithm of every signature.
    fn algorithm(&self) -> SignatureAlgorithm;
    /// Signs a message.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError>;
    /// Signs the digest of a message.
    fn sign_digest(&self, digest: &[u8]) -> Result<Vec<u8>, SignError>;
    /// Whether each signature must be verified before it leaves us, or a sample is enough.
    fn check(&self) -> Check;
    /// Whether signing may wait for a device, and so must not be done on a thread that serves.
    fn blocks(&self) -> bool;
    /// A key for sealing what is kept, made of the private key and a label; none where the private
    /// key cannot be read.
    fn derived(&self, label: &'static [u8]) -> Option<Zeroizing<[u8; 32]>> {
        let _ = label;
        None
    }
}

/// Why there is no signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignError {
    /// The key does not open this door.
    WrongDoor {
        /// The key.
        key: String,
        /// The door.
        door: Door,
    },
    /// The algorithm has no separate digest.
    NoDigest,
    /// The signature does not verify against the public key.
    BadSignature {
        /// The key.
        key: String,
    },
    /// The device behind the key failed.
    Device {
        /// What it said.
        why: String,
    },
}

impl fmt::Display for SignError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SignError::WrongDoor { key, door } => write!(f, "key {key} may not sign a {door}"),
            SignError::NoDigest => f.write_str("this algorithm signs whole messages only"),
            SignError::BadSignature { key } => {
                write!(f, "key {key} made a signature that does not verify")
            }
            SignError::Device { why } => write!(f, "the key's device failed: {why}"),
        }
    }
}

impl std::error::Error for SignError {}

/// Of the signatures that are sampled, one in so many is verified; the first is.
const SAMPLE: u32 = 64;

/// A key with its doors. Cheap to clone.
#[derive(Clone)]
pub struct Key {
    name: Arc<str>,
    doors: Doors,
    signer: Arc<dyn Signer>,
    /// Signatures made, certificates aside; wraps around.
    made: Arc<AtomicU32>,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key")
            .field("name", &self.name)
            .field("doors", &self.doors)
            .finish()
    }
}

impl Key {
    pub(crate) fn new(name: &str, doors: Doors, signer: Arc<dyn Signer>) -> Key {
        Key {
            name: name.into(),
            doors,
            signer,
            made: Arc::default(),
        }
    }

    /// A software key that is already in memory, opening these doors.
    pub fn in_memory(name: &str, doors: Doors, pair: tenure_x509::KeyPair) -> Key {
        Key::new(name, doors, Arc::new(SoftSigner::new(pair)))
    }

    /// Whether signing may wait for a device.
    pub(crate) fn blocks(&self) -> bool {
        self.signer.blocks()
    }

    /// The key's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The public half.
    pub fn public(&self) -> &PublicKey {
        self.signer.public()
    }

    /// The algorithm of its signatures.
    pub fn algorithm(&self) -> SignatureAlgorithm {
        self.signer.algorithm()
    }

    fn through(&self, door: Door) -> Result<&dyn Signer, SignError> {
        if self.doors.opens(door) {
            Ok(&*self.signer)
        } else {
            Err(SignError::WrongDoor {
                key: self.name.to_string(),
                door,
            })
        }
    }

    /// Signs what the store already knows about. There is no other way to sign a certificate.
    pub fn sign_certificate(&self, reserved: Reserved) -> Result<Signed, SignError> {
        let signer = self.through(Door::Certificate)?;
        let signature = signer.sign(reserved.tbs().as_der())?;
        reserved
            .signed(signature, self.public(), signer.check())
            .map_err(|_| SignError::BadSignature {
                key: self.name.to_string(),
            })
    }

    /// Signs the digest of a revocation list's contents.
    pub fn sign_crl_digest(&self, digest: &[u8]) -> Result<Vec<u8>, SignError> {
        let signer = self.through(Door::Crl)?;
        let signature = signer.sign_digest(digest)?;
        self.checked(signature, |signature| {
            signer
                .public()
                .verify_digest(signer.algorithm(), digest, signature)
        })
    }

    /// Signs the contents of a revocation list, for algorithms that take no digest.
    pub fn sign_crl(&self, contents: &[u8]) -> Result<Vec<u8>, SignError> {
        self.sign(Door::Crl, contents)
    }

    /// Signs a revocation filter or a delta to one: a list in another form.
    pub fn sign_filter(&self, filter: &tenure_x509::filter::ToSeal) -> Result<Vec<u8>, SignError> {
        self.sign(Door::Crl, filter.message())
    }

    /// Signs the contents of an OCSP answer.
    pub fn sign_ocsp(&self, contents: &[u8]) -> Result<Vec<u8>, SignError> {
        self.sign(Door::Ocsp, contents)
    }

    /// Signs the text of a checkpoint of the log.
    pub fn sign_checkpoint(&self, text: &[u8]) -> Result<Vec<u8>, SignError> {
        self.sign(Door::Checkpoint, text)
    }

    /// Signs an audit of the trust stores: a note as a checkpoint is, and by its first line none.
    pub fn sign_audit(&self, audit: &crate::trust_store::AuditText) -> Result<Vec<u8>, SignError> {
        self.sign(Door::Checkpoint, audit.text().as_bytes())
    }

    /// Signs what a relying party should hold.
    pub fn sign_manifest(
        &self,
        manifest: &tenure_domain::feed::Manifest,
    ) -> Result<Vec<u8>, SignError> {
        self.sign(Door::Manifest, manifest.text().as_bytes())
    }

    /// Signs a TLS handshake message.
    pub fn sign_handshake(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        self.sign(Door::Handshake, message)
    }

    /// Signs a message to those who are told of trust changes (a Security Event Token).
    pub fn sign_message(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        self.sign(Door::Message, message)
    }

    /// A key for sealing what is kept under this one. Only the key of messages has any: what it seals
    /// is what messages are sent with.
    pub(crate) fn sealing(&self, label: &'static [u8]) -> Option<Zeroizing<[u8; 32]>> {
        self.through(Door::Message).ok()?.derived(label)
    }

    fn sign(&self, door: Door, message: &[u8]) -> Result<Vec<u8>, SignError> {
        let signer = self.through(door)?;
        let signature = signer.sign(message)?;
        self.checked(signature, |signature| {
            signer
                .public()
                .verify(signer.algorithm(), message, signature)
        })
    }

    /// Lets a signature go after verifying it, each one or a sample as its signer says.
    fn checked(
        &self,
        signature: Vec<u8>,
        verify: impl FnOnce(&[u8]) -> Result<(), tenure_x509::Error>,
    ) -> Result<Vec<u8>, SignError> {
        let due = match self.signer.check() {
            Check::Every => true,
            Check::Sample => self
                .made
                .fetch_add(1, Ordering::Relaxed)
                .is_multiple_of(SAMPLE),
        };
        if due && verify(&signature).is_err() {
            return Err(SignError::BadSignature {
                key: self.name.to_string(),
            });
        }
        Ok(signature)
    }

    /// A PKCS#10 request for this key's own certificate; once, when the key is made.
    pub fn request(&self, subject: &tenure_x509::Name) -> Result<Vec<u8>, SignError> {
        let device = |error: tenure_x509::Error| SignError::Device {
            why: error.to_string(),
        };
        let contents = Csr::unsigned(self.public(), subject, &[]).map_err(device)?;
        let signature = self.signer.sign(&contents)?;
        self.public()
            .verify(self.algorithm(), &contents, &signature)
            .map_err(|_| SignError::BadSignature {
                key: self.name.to_string(),
            })?;
        Csr::assemble(&contents, self.algorithm(), &signature).map_err(device)
    }
}

#[cfg(test)]
mod tests;
