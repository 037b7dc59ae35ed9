//! The service of the demo behind a door: it greets by name whoever is let in, and keeps the connection.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ClientConfig, RootCertStore};
use tenure_field::http::Identity;
use tenure_x509::Cert;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::door::Door;
use crate::tls::provider;

/// Longest answer of the service, in bytes.
const ANSWER_BYTES_MAX: u64 = 1_024;

/// Says who is welcome, or why not; then waits until a welcome one goes.
pub(super) async fn converse<S>(stream: &mut S, judged: &Result<String, String>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let answer = match judged {
        Ok(id) => format!("welcome {id}\n"),
        Err(why) => format!("refused: {why}\n"),
    };
    // The other side may be gone; it asks again if it cares.
    let _ = stream.write_all(answer.as_bytes()).await;
    let _ = stream.flush().await;
    if judged.is_ok() {
        let mut unread = [0; 64];
        while stream.read(&mut unread).await.is_ok_and(|n| n > 0) {}
    }
}

/// A device's session with the service.
pub(super) struct Session {
    stream: BufReader<TlsStream<TcpStream>>,
}

impl Session {
    /// Until the service has ended it; how long that took.
    pub(super) async fn over(mut self, within: Duration) -> io::Result<Duration> {
        let began = Instant::now();
        let mut rest = Vec::new();
        // However it ends, it is over.
        let ended = tokio::time::timeout(within, self.stream.read_to_end(&mut rest)).await;
        match ended {
            Ok(_) => Ok(began.elapsed()),
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        }
    }
}

/// Connects to the service as a device does, and returns what it says.
pub(super) async fn visit(door: &Door, identity: Identity, anchors: &[Cert]) -> io::Result<String> {
    let (said, _) = stay(door, identity, anchors).await?;
    Ok(said)
}

/// The same, and stays.
pub(super) async fn stay(
    door: &Door,
    identity: Identity,
    anchors: &[Cert],
) -> io::Result<(String, Session)> {
    let mut roots = RootCertStore::empty();
    for anchor in anchors {
        roots
            .add(CertificateDer::from(anchor.der()))
            .map_err(io::Error::other)?;
    }
    let chain = identity
        .chain
        .into_iter()
        .map(CertificateDer::from)
        .collect();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(identity.key.to_vec()));
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)
        .map_err(io::Error::other)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.resumption = rustls::client::Resumption::disabled();
    let name = ServerName::try_from(door.name.clone()).map_err(io::Error::other)?;
    let tcp = TcpStream::connect(door.address).await?;
    let stream = TlsConnector::from(Arc::new(config))
        .connect(name, tcp)
        .await?;
    let mut answer = String::new();
    // In TLS 1.3 the client is through before the server has looked at its certificate: only what
    // the service says counts.
    let mut stream = BufReader::new(stream);
    (&mut stream)
        .take(ANSWER_BYTES_MAX)
        .read_line(&mut answer)
        .await?;
    Ok((answer.trim_end().to_owned(), Session { stream }))
}
