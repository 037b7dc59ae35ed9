//! The relying party of the demo: a service with mutual TLS, which asks for the status of each
//! certificate at each connection and reports the ones it sees for the first time. It keeps connections
//! open, follows the stream of trust changes, and ends those of a certificate that is withdrawn.

use std::collections::HashSet;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::{Value, json};
use tenure_engine::Clock;
use tenure_field::http::{Followed, Identity};
use tenure_field::peer::{Acceptor, Peer};
use tenure_field::revocation::{Checker, Freshness, Verdict};
use tenure_x509::path::{self, Purpose};
use tenure_x509::{Cert, VerifiedChain};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{broadcast, oneshot};
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::plant::SERVICE;
use crate::cli::api::Api;
use crate::tls::provider;

/// Longest answer of the service, in bytes.
const ANSWER_BYTES_MAX: u64 = 1_024;
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long a fetched list is used; all revocations of the demo must be seen at once.
const REFRESH: Duration = Duration::ZERO;
/// Withdrawals that a session may not have looked at yet; one that is further behind ends.
const UNSEEN_MAX: usize = 1_024;
/// How long to wait before the stream is followed again after it ended.
const FOLLOW_PAUSE: Duration = Duration::from_millis(200);
/// How long a session may last.
const SESSION: Duration = Duration::from_secs(3_600);

/// The running service. It ends when this is dropped.
pub(super) struct Service {
    pub(super) address: SocketAddr,
    _running: JoinSet<()>,
}

/// Whether the service asks for the status of what it is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Checks {
    /// It does, at each connection and as long as that lasts.
    Status,
    /// It takes what TLS lets through.
    Nothing,
}

struct Desk {
    checks: Checks,
    acceptor: Acceptor,
    anchors: Vec<Cert>,
    checker: Checker,
    api: Api,
    reported: Mutex<HashSet<String>>,
    withdrawn: broadcast::Sender<String>,
}

impl Service {
    /// Starts it on any free port, with its own identity, trusting `anchors`, reporting to `api`.
    pub(super) async fn start(
        identity: Identity,
        anchors: &[Cert],
        api: Api,
        checks: Checks,
    ) -> Result<Service, String> {
        let ders: Vec<Vec<u8>> = anchors.iter().map(|anchor| anchor.der().to_vec()).collect();
        let acceptor = Acceptor::new(identity, &ders, HANDSHAKE).map_err(|e| e.to_string())?;
        let checker = Checker::new(Freshness::Made, REFRESH).map_err(|e| e.to_string())?;
        let socket = TcpListener::bind("127.0.0.1:0")
            .await
            .map_err(|e| e.to_string())?;
        let address = socket.local_addr().map_err(|e| e.to_string())?;
        let desk = Arc::new(Desk {
            checks,
            acceptor,
            anchors: anchors.to_vec(),
            checker,
            api,
            reported: Mutex::default(),
            withdrawn: broadcast::Sender::new(UNSEEN_MAX),
        });
        let mut running = JoinSet::new();
        if checks == Checks::Status {
            // Whoever is let in before the stream is open would not hear of it.
            let (open, opened) = oneshot::channel();
            let desk = Arc::clone(&desk);
            running.spawn(async move { desk.follow(open).await });
            let opened = tokio::time::timeout(HANDSHAKE, opened).await;
            opened
                .map_err(|_| "the stream of trust changes does not open".to_owned())?
                .map_err(|_| "the stream of trust changes is closed".to_owned())?;
        }
        running.spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((tcp, _)) = socket.accept().await {
                let desk = Arc::clone(&desk);
                open.spawn(async move { desk.receive(tcp).await });
                while open.try_join_next().is_some() {}
            }
        });
        Ok(Service {
            address,
            _running: running,
        })
    }
}

impl Desk {
    async fn receive(&self, tcp: TcpStream) {
        // A client that TLS refuses has its answer from TLS.
        let Ok(Peer { mut stream, chain }) = self.acceptor.accept(tcp).await else {
            return;
        };
        // Before it is judged: a withdrawal in between must not be missed.
        let withdrawn = self.withdrawn.subscribe();
        let judged = match self.checks {
            Checks::Status => self.judge(&chain).await,
            Checks::Nothing => Ok("whoever you are".to_owned()),
        };
        let answer = match &judged {
            Ok(id) => format!("welcome {id}\n"),
            Err(why) => format!("refused: {why}\n"),
        };
        // The other side may be gone; it asks again if it cares.
        let _ = stream.write_all(answer.as_bytes()).await;
        let _ = stream.flush().await;
        if judged.is_ok() {
            let serial = chain
                .first()
                .and_then(|der| Cert::from_der(der).ok())
                .map(|cert| cert.serial().to_string());
            let mut unread = [0; 64];
            let gone = async { while stream.read(&mut unread).await.is_ok_and(|n| n > 0) {} };
            tokio::select! {
                () = gone => {}
                () = ended(withdrawn, serial.unwrap_or_default()) => {}
                () = tokio::time::sleep(SESSION) => {}
            }
        }
        let _ = stream.shutdown().await;
    }

    /// Hears of withdrawals, and tells the sessions.
    async fn follow(&self, open: oneshot::Sender<()>) {
        let (mut open, mut after) = (Some(open), None::<String>);
        loop {
            if let Ok(Followed::Open(mut stream)) =
                self.api.follow("/stream", after.as_deref()).await
            {
                while let Ok(Some(event)) = stream.next().await {
                    after = event.id.or(after);
                    if let Some(open) = open.take() {
                        // Nobody waits any more if the service could not be started.
                        let _ = open.send(());
                    }
                    if matches!(
                        event.kind.as_str(),
                        "certificate-revoked" | "certificate-held"
                    ) {
                        let said: Value = serde_json::from_str(&event.data).unwrap_or_default();
                        let serial = said.get("serial").and_then(Value::as_str);
                        // Nobody listens if no session is open.
                        let _ = self.withdrawn.send(serial.unwrap_or_default().to_owned());
                    }
                }
            }
            tokio::time::sleep(FOLLOW_PAUSE).await;
        }
    }

    /// Who it is, if the certificate is good this very moment.
    async fn judge(&self, chain: &[Vec<u8>]) -> Result<String, String> {
        let certs: Vec<Cert> = chain
            .iter()
            .map_while(|der| Cert::from_der(der).ok())
            .collect();
        let (leaf, between) = certs.split_first().ok_or("no certificate")?;
        let now = Clock::system().now();
        let chain = path::validate(leaf, between, &self.anchors, now, Purpose::ClientAuth)
            .map_err(|error| error.to_string())?;
        let checked = self
            .checker
            .check(&chain)
            .await
            .map_err(|error| error.to_string())?;
        match checked.verdict() {
            Verdict::Good => {}
            Verdict::Revoked { reason, .. } => return Err(format!("revoked ({reason})")),
            Verdict::Unknown => return Err("its issuer does not know it".to_owned()),
        }
        self.report(&chain).await?;
        leaf.subject()
            .common_name()
            .ok_or_else(|| "it names no device".to_owned())
    }

    /// Tells the house that a certificate is in use, once.
    async fn report(&self, chain: &VerifiedChain) -> Result<(), String> {
        let serial = chain.leaf().serial().to_string();
        let is_new = self
            .reported
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(serial.clone());
        if is_new {
            let sighting = json!({ "serial": serial, "service": SERVICE });
            self.api
                .post("/sightings", &sighting)
                .await
                .map_err(|error| error.to_string())?;
        }
        Ok(())
    }
}

/// Until the certificate of a session is withdrawn, or it can no longer be said that it is not.
async fn ended(mut withdrawn: broadcast::Receiver<String>, serial: String) {
    while withdrawn.recv().await.is_ok_and(|other| other != serial) {}
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
pub(super) async fn visit(
    address: SocketAddr,
    name: &str,
    identity: Identity,
    anchors: &[Cert],
) -> io::Result<String> {
    let (said, _) = stay(address, name, identity, anchors).await?;
    Ok(said)
}

/// The same, and stays.
pub(super) async fn stay(
    address: SocketAddr,
    name: &str,
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
    let name = ServerName::try_from(name.to_owned()).map_err(io::Error::other)?;
    let tcp = TcpStream::connect(address).await?;
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
