//! The other end of a device's connections: TLS for a service that asks for client certificates.
//!
//! TLS itself settles two things here: that the client holds the key, and that its certificate
//! leads to a given trust anchor. Whether that certificate has been *revoked* is asked afterwards,
//! by the service, on each connection; which is why sessions are never resumed.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::http::{Error, Identity, provider, root_store};

/// Accepts connections of clients that hold a certificate.
#[derive(Clone)]
pub struct Acceptor {
    tls: TlsAcceptor,
    handshake: Duration,
}

/// A client that has proved it holds its key.
pub struct Peer {
    /// The connection.
    pub stream: TlsStream<TcpStream>,
    /// What the client presented, DER, its own certificate first; never empty.
    pub chain: Vec<Vec<u8>>,
}

impl Acceptor {
    /// An acceptor that presents `identity` and accepts clients whose certificate leads to one of
    /// `client_anchors` (DER). A handshake may take up to `handshake`.
    pub fn new(
        identity: Identity,
        client_anchors: &[Vec<u8>],
        handshake: Duration,
    ) -> Result<Acceptor, Error> {
        Acceptor::with_lists(identity, client_anchors, &[], handshake)
    }

    /// The same for a service that holds revocation lists (DER) of all CAs that it lets devices of in,
    /// such as a [feed](crate::feed) brings: whoever stands on one, or whose CA has none, or whose
    /// list has run out, is refused in the handshake. Without any list none is asked for.
    pub fn with_lists(
        identity: Identity,
        client_anchors: &[Vec<u8>],
        lists: &[Vec<u8>],
        handshake: Duration,
    ) -> Result<Acceptor, Error> {
        let roots = root_store(client_anchors)?;
        let lists = lists.iter().map(|der| der.clone().into());
        let mut verifier = WebPkiClientVerifier::builder_with_provider(roots, provider());
        if lists.len() > 0 {
            verifier = verifier.with_crls(lists).enforce_revocation_expiration();
        }
        let verifier = verifier.build().map_err(|_| Error::Credentials {
            what: "there is no trust anchor for clients",
        })?;
        let (chain, key) = identity.into_rustls();
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|_| Error::Credentials {
                what: "TLS 1.2 and 1.3 are not available",
            })?
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain, key)
            .map_err(|_| Error::Credentials {
                what: "the service's certificate and its key cannot be used together",
            })?;
        // A resumed session is not verified again: a revoked device would stay welcome.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Acceptor {
            tls: TlsAcceptor::from(Arc::new(config)),
            handshake,
        })
    }

    /// Takes one connection through its handshake. The error of a refused client is TLS's own.
    pub async fn accept(&self, tcp: TcpStream) -> io::Result<Peer> {
        let stream = timeout(self.handshake, self.tls.accept(tcp))
            .await
            .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        let presented = stream.get_ref().1.peer_certificates().unwrap_or_default();
        let chain: Vec<Vec<u8>> = presented.iter().map(|der| der.to_vec()).collect();
        match chain.is_empty() {
            true => Err(io::Error::other("the client presented no certificate")),
            false => Ok(Peer { stream, chain }),
        }
    }
}
