//! A door of the demo's plant: mutual TLS, and behind it lines of text or MQTT. A careful one asks for
//! the status of each certificate at each connection, reports the ones it sees for the first time,
//! keeps connections open, follows the stream of trust changes, and ends those of a certificate that is
//! withdrawn. A careless one takes what TLS lets through. Each can be switched while it is open.

use std::collections::HashSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::{Value, json};
use tenure_engine::Clock;
use tenure_field::http::{Followed, Identity};
use tenure_field::peer::{Acceptor, Peer};
use tenure_field::revocation::{Checker, Freshness, Verdict};
use tenure_x509::path::{self, Purpose};
use tenure_x509::{Cert, VerifiedChain};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{broadcast, oneshot, watch};
use tokio::task::JoinSet;

use super::plant::SERVICE;
use super::switch::Checks;
use super::{broker, service};
use crate::cli::api::Api;

/// How long a client may take to get through the handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long a fetched list is used; all revocations of the demo must be seen at once.
const REFRESH: Duration = Duration::ZERO;
/// Withdrawals that a session may not have looked at yet; one that is further behind ends.
const UNSEEN_MAX: usize = 1_024;
/// How long to wait before the stream is followed again after it ended.
const FOLLOW_PAUSE: Duration = Duration::from_millis(200);
/// How long a session may last.
const SESSION: Duration = Duration::from_secs(3_600);

/// What is spoken behind a door.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Speech {
    /// One line to each who comes.
    Text,
    /// MQTT 3.1.1.
    Mqtt,
}

/// An open door. It closes when this is dropped.
pub(super) struct Door {
    pub(super) address: SocketAddr,
    /// The TLS name of whoever stands behind it.
    pub(super) name: String,
    _running: JoinSet<()>,
}

/// What a door is made of.
pub(super) struct Plan<'a> {
    /// Who stands behind it.
    pub(super) identity: Identity,
    /// The TLS name of that.
    pub(super) name: String,
    /// Whose devices are let in.
    pub(super) anchors: &'a [Cert],
    /// Where sightings go, and where withdrawals come from.
    pub(super) api: Api,
    /// Where it would like to listen; any port will do if this one is taken.
    pub(super) port: u16,
    pub(super) speech: Speech,
    /// Whether it checks, from now on.
    pub(super) checks: watch::Receiver<Checks>,
}

struct Desk {
    speech: Speech,
    checks: watch::Receiver<Checks>,
    acceptor: Acceptor,
    anchors: Vec<Cert>,
    checker: Checker,
    api: Api,
    reported: Mutex<HashSet<String>>,
    withdrawn: broadcast::Sender<String>,
}

impl Door {
    /// Opens it.
    pub(super) async fn open(plan: Plan<'_>) -> Result<Door, String> {
        let anchors = plan.anchors;
        let ders: Vec<Vec<u8>> = anchors.iter().map(|anchor| anchor.der().to_vec()).collect();
        let acceptor = Acceptor::new(plan.identity, &ders, HANDSHAKE).map_err(|e| e.to_string())?;
        let checker = Checker::new(Freshness::Made, REFRESH).map_err(|e| e.to_string())?;
        let socket = match TcpListener::bind((Ipv4Addr::LOCALHOST, plan.port)).await {
            Ok(socket) => socket,
            Err(_) => TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
                .await
                .map_err(|e| e.to_string())?,
        };
        let address = socket.local_addr().map_err(|e| e.to_string())?;
        let desk = Arc::new(Desk {
            speech: plan.speech,
            checks: plan.checks,
            acceptor,
            anchors: anchors.to_vec(),
            checker,
            api: plan.api,
            reported: Mutex::default(),
            withdrawn: broadcast::Sender::new(UNSEEN_MAX),
        });
        let mut running = JoinSet::new();
        // Whoever is let in before the stream is open would not hear of it.
        let (open, opened) = oneshot::channel();
        let following = Arc::clone(&desk);
        running.spawn(async move { following.follow(open).await });
        tokio::time::timeout(HANDSHAKE, opened)
            .await
            .map_err(|_| "the stream of trust changes does not open".to_owned())?
            .map_err(|_| "the stream of trust changes is closed".to_owned())?;
        running.spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((tcp, _)) = socket.accept().await {
                let desk = Arc::clone(&desk);
                open.spawn(async move { desk.receive(tcp).await });
                while open.try_join_next().is_some() {}
            }
        });
        Ok(Door {
            address,
            name: plan.name,
            _running: running,
        })
    }
}

impl Desk {
    async fn receive(&self, tcp: TcpStream) {
        // What is said is short, and each word waits for its answer.
        let _ = tcp.set_nodelay(true);
        // A client that TLS refuses has its answer from TLS.
        let Ok(Peer { mut stream, chain }) = self.acceptor.accept(tcp).await else {
            return;
        };
        // Before it is judged: a withdrawal in between must not be missed.
        let withdrawn = self.withdrawn.subscribe();
        let mut checks = self.checks.clone();
        let checked = *checks.borrow_and_update();
        let judged = match checked {
            Checks::On => self.judge(&chain).await,
            Checks::Off => Ok("whoever you are".to_owned()),
        };
        let serial = chain
            .first()
            .and_then(|der| Cert::from_der(der).ok())
            .map(|cert| cert.serial().to_string())
            .unwrap_or_default();
        let talk = async {
            match self.speech {
                Speech::Text => service::converse(&mut stream, &judged).await,
                Speech::Mqtt => broker::converse(&mut stream, &judged).await,
            }
        };
        match &judged {
            Ok(_) => tokio::select! {
                () = talk => {}
                () = over(withdrawn, serial, checks) => {}
                () = tokio::time::sleep(SESSION) => {}
            },
            // Who is refused is told why.
            Err(_) => talk.await,
        }
        // The other side may be gone already.
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
                        // Nobody waits any more if the door could not be opened.
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
        let is_new = self.reported.lock().insert(serial.clone());
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

/// Until the certificate of a session is withdrawn, or it can no longer be said that it is not. A door
/// that does not check hears nothing; when it begins to, everybody has to come in anew.
async fn over(
    mut withdrawn: broadcast::Receiver<String>,
    serial: String,
    mut checks: watch::Receiver<Checks>,
) {
    loop {
        tokio::select! {
            heard = withdrawn.recv() => {
                let is_another = heard.is_ok_and(|other| other != serial);
                if !is_another && *checks.borrow() == Checks::On {
                    return;
                }
            }
            changed = checks.changed() => match changed {
                Ok(()) if *checks.borrow_and_update() == Checks::Off => {}
                Ok(()) | Err(_) => return,
            },
        }
    }
}
