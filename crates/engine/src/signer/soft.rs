//! A key in a file: decrypted into memory when the keyring is opened.

use aws_lc_rs::hkdf;
use tenure_store::certificate::Check;
use tenure_x509::{KeyPair, PublicKey, SignatureAlgorithm};

use zeroize::Zeroizing;

use super::{SignError, Signer};

/// A software key.
pub(crate) struct SoftSigner {
    pair: KeyPair,
}

impl SoftSigner {
    /// Takes a key pair.
    pub(crate) fn new(pair: KeyPair) -> SoftSigner {
        SoftSigner { pair }
    }
}

fn device(error: tenure_x509::Error) -> SignError {
    SignError::Device {
        why: error.to_string(),
    }
}

impl Signer for SoftSigner {
    fn public(&self) -> &PublicKey {
        self.pair.public()
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        self.pair.signature_algorithm()
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        self.pair.sign(message).map_err(device)
    }

    fn sign_digest(&self, digest: &[u8]) -> Result<Vec<u8>, SignError> {
        if self.algorithm() == SignatureAlgorithm::Ed25519 {
            return Err(SignError::NoDigest);
        }
        self.pair.sign_digest(digest).map_err(device)
    }

    /// A fault attack on RSA gives the key away with one bad signature; on the curves a bad
    /// signature is only a bad certificate, and one in 64 is enough to notice a failing machine.
    fn check(&self) -> Check {
        match self.algorithm() {
            SignatureAlgorithm::EcdsaSha256
            | SignatureAlgorithm::EcdsaSha384
            | SignatureAlgorithm::EcdsaSha512
            | SignatureAlgorithm::Ed25519 => Check::Sample,
            _ => Check::Every,
        }
    }

    fn blocks(&self) -> bool {
        false
    }

    /// HKDF (RFC 5869) over the private key, so that what is sealed tells nothing of it.
    fn derived(&self, label: &'static [u8]) -> Option<Zeroizing<[u8; 32]>> {
        let secret = self.pair.to_pkcs8().ok()?;
        let extracted = hkdf::Salt::new(hkdf::HKDF_SHA256, b"tenure sealing 1").extract(&secret);
        let mut key = Zeroizing::new([0; 32]);
        let labels = [label];
        let expanded = extracted.expand(&labels, hkdf::HKDF_SHA256).ok()?;
        expanded.fill(&mut *key).ok()?;
        Some(key)
    }
}
