//! Whom we trust, and who we are, in TLS.

use std::fmt;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::CryptoProvider;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use zeroize::Zeroizing;

use super::Error;

/// Which servers are believed.
#[derive(Clone, PartialEq, Eq)]
pub enum Trust {
    /// Those whose certificate leads to one of these (DER); never empty.
    Anchors(Vec<Vec<u8>>),
    /// Those that present a chain whose root has this SHA-256, and whose certificate leads to that
    /// root: for the first contact, when a person compares fingerprints.
    Fingerprint([u8; 32]),
}

impl Trust {
    /// Trust anchors from PEM; there must be at least one, and each must be a certificate.
    pub fn from_pem(text: &str) -> Result<Trust, Error> {
        let anchors = CertificateDer::pem_slice_iter(text.as_bytes())
            .map(|found| found.map(|anchor| anchor.to_vec()))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|_| Error::Credentials {
                what: "the trust anchors are not proper PEM",
            })?;
        match anchors.is_empty() {
            true => Err(Error::Credentials {
                what: "there is no certificate among the trust anchors",
            }),
            false => Ok(Trust::Anchors(anchors)),
        }
    }

    /// A fingerprint in hex, of any case, with or without colons.
    pub fn from_fingerprint(text: &str) -> Result<Trust, Error> {
        let nibbles: Option<Vec<u8>> = text
            .trim()
            .chars()
            .filter(|c| *c != ':')
            .map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
            .collect();
        let octets: Vec<u8> = nibbles
            .unwrap_or_default()
            .chunks_exact(2)
            .map(|pair| pair.iter().fold(0, |octet, nibble| octet << 4 | nibble))
            .collect();
        let whole = text.trim().chars().filter(|c| *c != ':').count() == 64;
        octets
            .try_into()
            .ok()
            .filter(|_| whole)
            .map(Trust::Fingerprint)
            .ok_or(Error::Credentials {
                what: "a fingerprint is the SHA-256 of a certificate: 64 hex digits",
            })
    }
}

/// A certificate with its chain, and the key that belongs to it.
#[derive(Clone)]
pub struct Identity {
    /// DER, the own certificate first.
    pub chain: Vec<Vec<u8>>,
    /// PKCS#8; wiped when dropped.
    pub key: Zeroizing<Vec<u8>>,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("chain", &self.chain.len())
            .finish_non_exhaustive()
    }
}

impl Identity {
    pub(crate) fn into_rustls(self) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let chain = self.chain.into_iter().map(CertificateDer::from).collect();
        (
            chain,
            PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.key.to_vec())),
        )
    }
}

/// The one set of primitives this project uses, passed explicitly everywhere.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

pub(crate) fn client_config(
    trust: &Trust,
    identity: Option<Identity>,
) -> Result<Arc<ClientConfig>, Error> {
    const VERSIONS: Error = Error::Credentials {
        what: "TLS 1.2 and 1.3 are not available",
    };
    let verifier: Arc<dyn ServerCertVerifier> = match trust {
        Trust::Anchors(anchors) => verifier_for(anchors)?,
        Trust::Fingerprint(expected) => Arc::new(FingerprintVerifier {
            expected: *expected,
            provider: provider(),
        }),
    };
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|_| VERSIONS)?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let mut config = match identity {
        None => builder.with_no_client_auth(),
        Some(identity) => {
            let (chain, key) = identity.into_rustls();
            builder
                .with_client_auth_cert(chain, key)
                .map_err(|_| Error::Credentials {
                    what: "the client certificate and its key cannot be used together",
                })?
        }
    };
    // A resumed session is not verified again, by neither side.
    config.resumption = Resumption::disabled();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// Certificates (DER) as a store of roots.
pub(crate) fn root_store(anchors: &[Vec<u8>]) -> Result<Arc<RootCertStore>, Error> {
    let mut roots = RootCertStore::empty();
    for anchor in anchors {
        roots
            .add(CertificateDer::from(anchor.as_slice()))
            .map_err(|_| Error::Credentials {
                what: "a trust anchor is not a proper certificate",
            })?;
    }
    Ok(Arc::new(roots))
}

fn verifier_for(anchors: &[Vec<u8>]) -> Result<Arc<WebPkiServerVerifier>, Error> {
    WebPkiServerVerifier::builder_with_provider(root_store(anchors)?, provider())
        .build()
        .map_err(|_| Error::Credentials {
            what: "there is no trust anchor",
        })
}

/// Finds the root by its fingerprint in what the server presents, then verifies as if that root
/// had been the trust anchor all along.
#[derive(Debug)]
struct FingerprintVerifier {
    expected: [u8; 32],
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for FingerprintVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let unknown = rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
        let root = intermediates
            .iter()
            .find(|presented| sha256(presented.as_ref()) == self.expected)
            .ok_or_else(|| unknown.clone())?;
        let verifier = verifier_for(&[root.to_vec()]).map_err(|_| unknown)?;
        verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// SHA-256 of these octets.
pub(crate) fn sha256(octets: &[u8]) -> [u8; 32] {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, octets);
    let mut hash = [0; 32];
    hash.copy_from_slice(digest.as_ref()); // SHA-256 is 32 octets
    hash
}
