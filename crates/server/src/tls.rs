//! TLS of the device and operator listeners.
//!
//! Client certificates are optional on the device listener, and TLS checks one thing about them:
//! that the other side holds the key. Whether a chain is trusted is decided per request, by path
//! validation in the application, so that an unknown manufacturer gets a reason instead of an alert,
//! and so that a certificate revoked in the middle of a connection counts at once. Session tickets
//! and caches are off: resumption would skip the check.

use std::fmt;
use std::sync::Arc;

use parking_lot::RwLock;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::verify_tls13_signature_with_raw_key;
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::{CertifiedKey, Signer, SigningKey};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, ServerConfig, ServerConnection,
    SignatureAlgorithm as SignatureAlgorithmFamily, SignatureScheme,
};
use rustls_pki_types::{
    CertificateDer, SignatureVerificationAlgorithm, SubjectPublicKeyInfoDer, UnixTime,
};
use tenure_engine::signer::Key;
use tenure_x509::{Cert, SignatureAlgorithm};

use crate::limits::PEER_CHAIN_MAX;

#[cfg(test)]
mod tests;

/// The one crypto provider of the process.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// The certificate a listener shows. Clones share it; replacing it affects new handshakes only.
#[derive(Clone)]
pub struct ServerCertificate(Arc<RwLock<Arc<CertifiedKey>>>);

impl ServerCertificate {
    /// Starts with a chain (DER, leaf first) and its key, see [`handshake_key`].
    ///
    /// # Errors
    /// The key is not the leaf's.
    pub fn new(
        chain: &[Vec<u8>],
        key: Arc<dyn SigningKey>,
    ) -> Result<ServerCertificate, rustls::Error> {
        Ok(ServerCertificate(Arc::new(RwLock::new(certified(
            chain, key,
        )?))))
    }

    /// Shows another certificate from now on.
    ///
    /// # Errors
    /// The key is not the leaf's; the former certificate stays.
    pub fn replace(
        &self,
        chain: &[Vec<u8>],
        key: Arc<dyn SigningKey>,
    ) -> Result<(), rustls::Error> {
        let next = certified(chain, key)?;
        *self.0.write() = next;
        Ok(())
    }

    fn current(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.0.read())
    }
}

fn certified(
    chain: &[Vec<u8>],
    key: Arc<dyn SigningKey>,
) -> Result<Arc<CertifiedKey>, rustls::Error> {
    let chain = chain
        .iter()
        .map(|der| CertificateDer::from(der.clone()))
        .collect();
    let certified = CertifiedKey::new(chain, key);
    certified.keys_match()?;
    Ok(Arc::new(certified))
}

/// A key of ours that opens the handshake door, as TLS sees it.
#[derive(Clone, Debug)]
struct HandshakeKey {
    key: Key,
    scheme: SignatureScheme,
}

/// A key of ours for the handshakes of a server.
///
/// # Errors
/// Its algorithm is not one we use in TLS.
pub fn handshake_key(key: Key) -> Result<Arc<dyn SigningKey>, rustls::Error> {
    let scheme = match key.algorithm() {
        SignatureAlgorithm::EcdsaSha256 => SignatureScheme::ECDSA_NISTP256_SHA256,
        SignatureAlgorithm::EcdsaSha384 => SignatureScheme::ECDSA_NISTP384_SHA384,
        SignatureAlgorithm::Ed25519 => SignatureScheme::ED25519,
        other => {
            return Err(rustls::Error::General(format!(
                "a TLS key cannot be {other:?}"
            )));
        }
    };
    Ok(Arc::new(HandshakeKey { key, scheme }))
}

impl SigningKey for HandshakeKey {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        offered
            .contains(&self.scheme)
            .then(|| Box::new(self.clone()) as Box<dyn Signer>)
    }

    fn public_key(&self) -> Option<SubjectPublicKeyInfoDer<'_>> {
        Some(SubjectPublicKeyInfoDer::from(self.key.public().spki_der()))
    }

    fn algorithm(&self) -> SignatureAlgorithmFamily {
        match self.scheme {
            SignatureScheme::ED25519 => SignatureAlgorithmFamily::ED25519,
            _ => SignatureAlgorithmFamily::ECDSA,
        }
    }
}

impl Signer for HandshakeKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        self.key
            .sign_handshake(message)
            .map_err(|error| rustls::Error::General(error.to_string()))
    }

    fn scheme(&self) -> SignatureScheme {
        self.scheme
    }
}

impl ResolvesServerCert for ServerCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current())
    }
}

impl fmt::Debug for ServerCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServerCertificate")
    }
}

/// TLS of the device listener: a client certificate is asked for and not required.
///
/// # Errors
/// The provider lacks TLS 1.2 or 1.3.
pub fn device_config(certificate: ServerCertificate) -> Result<Arc<ServerConfig>, rustls::Error> {
    let provider = provider();
    let possession = Possession(provider.signature_verification_algorithms);
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(Arc::new(possession))
        .with_cert_resolver(Arc::new(certificate));
    Ok(finish(config))
}

/// TLS of the operator listener: the server proves itself, operators send a token.
///
/// # Errors
/// The provider lacks TLS 1.2 or 1.3.
pub fn operator_config(certificate: ServerCertificate) -> Result<Arc<ServerConfig>, rustls::Error> {
    let config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(certificate));
    Ok(finish(config))
}

/// TLS of the access listener: as the operator's, and HTTP/2 for whoever speaks gRPC.
///
/// # Errors
/// The provider lacks TLS 1.2 or 1.3.
pub fn access_config(certificate: ServerCertificate) -> Result<Arc<ServerConfig>, rustls::Error> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(certificate));
    harden(&mut config);
    config.alpn_protocols.insert(0, b"h2".to_vec());
    Ok(Arc::new(config))
}

fn finish(mut config: ServerConfig) -> Arc<ServerConfig> {
    harden(&mut config);
    Arc::new(config)
}

fn harden(config: &mut ServerConfig) {
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.alpn_protocols = vec![b"http/1.1".to_vec(), b"http/1.0".to_vec()];
}

/// The chain the client sent, leaf first, up to the first that cannot be read; empty if it sent none.
pub fn peer_chain(connection: &ServerConnection) -> Arc<[Cert]> {
    let chain = connection.peer_certificates().unwrap_or_default();
    chain
        .iter()
        .take(PEER_CHAIN_MAX)
        .map_while(|der| Cert::from_der(der).ok())
        .collect()
}

/// The key of a certificate, read as tolerantly as an import: factory certificates with odd
/// contents must get as far as a reason.
fn key_of(leaf: &CertificateDer<'_>) -> Result<SubjectPublicKeyInfoDer<'static>, rustls::Error> {
    let leaf = Cert::from_der(leaf).map_err(|_| bad_encoding())?;
    Ok(SubjectPublicKeyInfoDer::from(
        leaf.public_key().spki_der().to_vec(),
    ))
}

fn bad_encoding() -> rustls::Error {
    CertificateError::BadEncoding.into()
}

/// Accepts any chain whose leaf's key signed this handshake.
#[derive(Debug)]
struct Possession(WebPkiSupportedAlgorithms);

impl ClientCertVerifier for Possession {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    /// No hints: a client with an unknown manufacturer's certificate must send it all the same.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let spki = key_of(leaf)?;
        let key = webpki::RawPublicKeyEntity::try_from(&spki).map_err(|_| bad_encoding())?;
        // In TLS 1.2 a scheme does not name the curve, so each algorithm it may mean is tried.
        let meant = self
            .0
            .mapping
            .iter()
            .find(|(scheme, _)| *scheme == signed.scheme);
        let algorithms = meant.map_or(&[][..], |(_, algorithms)| *algorithms);
        let verifies = |algorithm: &dyn SignatureVerificationAlgorithm| {
            key.verify_signature(algorithm, message, signed.signature())
                .is_ok()
        };
        match algorithms.iter().any(|algorithm| verifies(*algorithm)) {
            true => Ok(HandshakeSignatureValid::assertion()),
            false => Err(CertificateError::BadSignature.into()),
        }
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature_with_raw_key(message, &key_of(leaf)?, signed, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}
