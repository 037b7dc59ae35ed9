//! The prober's end of a connection: one visit to a relying party with one identity, and what became
//! of it.
//!
//! In TLS 1.3 a client is through its handshake before the server has looked at its certificate, so
//! a finished handshake says nothing. Something has to be said and an answer, or an alert, read.

use std::fmt;
use std::io;
use std::time::Duration;

use rustls::AlertDescription;
use rustls_pki_types::ServerName;
use tenure_domain::relying_party::PeerProtocol;
use tenure_wire::mqtt::{Connect, Packet};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::http::{Identity, Trust, client_config};
use crate::mqtt::{self, Line};

mod live;

pub use live::{Entered, Live, Pulse, enter};

/// How long a whole visit may take.
const VISIT: Duration = Duration::from_secs(10);
/// How long silence after a handshake must last to mean that one was let in, where nothing is known
/// of the protocol.
const QUIET: Duration = Duration::from_millis(750);
/// Most octets of an answer that are read.
const ANSWER_BYTES_MAX: usize = 1_024;
/// How the text of a relying party that refuses in the clear begins.
const REFUSED_TEXT: &[u8] = b"refused";

/// Whom to visit.
#[derive(Clone)]
pub struct Target {
    /// `HOST:PORT`.
    pub address: String,
    /// The name its certificate must carry.
    pub server_name: String,
    /// What its certificate must lead to.
    pub trust: Trust,
    /// What it speaks.
    pub protocol: PeerProtocol,
}

/// What became of a visit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Visit {
    /// It let the identity in; what it said, in a few words.
    Accepted(String),
    /// It turned the identity away.
    Refused(Refusal),
    /// Nothing was learned of what it would do.
    Unreachable(String),
}

/// How an identity was turned away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// By a TLS alert (RFC 8446 section 6.2).
    Alert {
        /// Its number.
        number: u8,
        /// Whether it came before or after the client's handshake had ended.
        moment: Moment,
    },
    /// The connection was ended without a word.
    Closed,
    /// By an HTTP status.
    Http(u16),
    /// By the code of an MQTT CONNACK.
    Mqtt(u8),
    /// In the clear.
    Said(String),
}

/// When an alert came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// During the handshake.
    Handshake,
    /// After it, as TLS 1.3 allows.
    Late,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Alert { number, moment } => {
                write!(f, "alert {number} {}", alert_word(*number))?;
                match moment {
                    Moment::Handshake => Ok(()),
                    Moment::Late => f.write_str(", after the handshake"),
                }
            }
            Refusal::Closed => f.write_str("closed without a word"),
            Refusal::Http(status) => write!(f, "HTTP {status}"),
            Refusal::Mqtt(code) => write!(f, "MQTT CONNACK {code}"),
            Refusal::Said(text) => write!(f, "said {text:?}"),
        }
    }
}

/// The name of an alert that can be about a certificate (RFC 8446 section 6).
fn alert_word(number: u8) -> &'static str {
    match number {
        0 => "close_notify",
        40 => "handshake_failure",
        42 => "bad_certificate",
        43 => "unsupported_certificate",
        44 => "certificate_revoked",
        45 => "certificate_expired",
        46 => "certificate_unknown",
        48 => "unknown_ca",
        49 => "access_denied",
        50 => "decode_error",
        51 => "decrypt_error",
        80 => "internal_error",
        113 => "bad_certificate_status_response",
        116 => "certificate_required",
        _ => "of another kind",
    }
}

/// Visits a relying party with an identity. Never fails: what goes wrong is what became of it.
pub async fn visit(target: &Target, identity: Identity) -> Visit {
    match timeout(VISIT, knock(target, identity)).await {
        Ok(visit) => visit,
        Err(_) => Visit::Unreachable(format!("no answer within {} s", VISIT.as_secs())),
    }
}

async fn knock(target: &Target, identity: Identity) -> Visit {
    let mut stream = match through(target, identity).await {
        Ok(stream) => stream,
        Err(visit) => return visit,
    };
    match converse(&mut stream, target).await {
        Ok(visit) => visit,
        Err(error) => late(&error),
    }
}

/// The connection once TLS stands, as far as this side can see.
async fn through(target: &Target, identity: Identity) -> Result<TlsStream<TcpStream>, Visit> {
    let unreachable =
        |what: &str, error: &dyn fmt::Display| Visit::Unreachable(format!("{what}: {error}"));
    let mut config = match client_config(&target.trust, Some(identity)) {
        Ok(config) => (*config).clone(),
        Err(error) => return Err(unreachable("the visit cannot be made", &error)),
    };
    config.alpn_protocols = match target.protocol {
        PeerProtocol::Https => vec![b"http/1.1".to_vec()],
        PeerProtocol::Tls | PeerProtocol::Mqtt => Vec::new(),
    };
    let name = ServerName::try_from(target.server_name.clone())
        .map_err(|error| unreachable("its name cannot be checked", &error))?;
    let tcp = TcpStream::connect(target.address.as_str())
        .await
        .map_err(|error| unreachable("no connection", &error))?;
    // What is said is short, and each word waits for its answer.
    let _ = tcp.set_nodelay(true);
    TlsConnector::from(std::sync::Arc::new(config))
        .connect(name, tcp)
        .await
        .map_err(|error| not_through(&error))
}

/// The alert that ended a connection, if one did.
fn alert_of(error: &io::Error) -> Option<u8> {
    let inner = error.get_ref()?.downcast_ref::<rustls::Error>()?;
    match inner {
        rustls::Error::AlertReceived(alert) => Some(number_of(*alert)),
        _ => None,
    }
}

fn number_of(alert: AlertDescription) -> u8 {
    u8::from(alert)
}

/// The handshake did not end well: did they refuse us, or we them?
fn not_through(error: &io::Error) -> Visit {
    if let Some(number) = alert_of(error) {
        return Visit::Refused(Refusal::Alert {
            number,
            moment: Moment::Handshake,
        });
    }
    let ours = error
        .get_ref()
        .is_some_and(|inner| inner.is::<rustls::Error>());
    if !ours && ended(error) {
        return Visit::Refused(Refusal::Closed);
    }
    Visit::Unreachable(format!("the handshake failed: {error}"))
}

fn ended(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
    )
}

/// A connection that ended while we talked.
fn late(error: &io::Error) -> Visit {
    match alert_of(error) {
        Some(number) => Visit::Refused(Refusal::Alert {
            number,
            moment: Moment::Late,
        }),
        None if ended(error) => Visit::Refused(Refusal::Closed),
        None => Visit::Unreachable(format!("the connection failed: {error}")),
    }
}

async fn converse(stream: &mut TlsStream<TcpStream>, target: &Target) -> io::Result<Visit> {
    match target.protocol {
        PeerProtocol::Tls => listen(stream).await,
        PeerProtocol::Https => options(stream, &target.server_name).await,
        PeerProtocol::Mqtt => connect(stream).await,
    }
}

/// Reads what comes; an end of the stream is an error of its own kind.
async fn hear(stream: &mut TlsStream<TcpStream>, heard: &mut Vec<u8>) -> io::Result<()> {
    let mut piece = [0; 256];
    let n = stream.read(&mut piece).await?;
    if n == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    heard.extend(piece.iter().take(n));
    Ok(())
}

/// Says nothing and waits for an alert, a word, or silence.
async fn listen(stream: &mut TlsStream<TcpStream>) -> io::Result<Visit> {
    let mut heard = Vec::new();
    match timeout(QUIET, hear(stream, &mut heard)).await {
        Err(_) => Ok(Visit::Accepted("it kept the connection open".to_owned())),
        Ok(Err(error)) => Err(error),
        Ok(Ok(())) => Ok(said(&heard)),
    }
}

fn said(heard: &[u8]) -> Visit {
    let text: String = String::from_utf8_lossy(heard)
        .chars()
        .filter(|c| !c.is_control())
        .take(80)
        .collect();
    if heard.starts_with(REFUSED_TEXT) {
        return Visit::Refused(Refusal::Said(text));
    }
    Visit::Accepted(format!("said {text:?}"))
}

/// Asks for what is there and changes nothing (RFC 9110 section 9.3.7).
async fn options(stream: &mut TlsStream<TcpStream>, host: &str) -> io::Result<Visit> {
    let request = format!(
        "OPTIONS / HTTP/1.1\r\nHost: {host}\r\nUser-Agent: tenure-canary\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    stream.flush().await?;
    let mut heard = Vec::new();
    while !heard.contains(&b'\n') && heard.len() < ANSWER_BYTES_MAX {
        hear(stream, &mut heard).await?;
    }
    Ok(judged(&heard))
}

/// What an HTTP answer means.
fn judged(heard: &[u8]) -> Visit {
    match http_status(heard) {
        // nginx answers 400 where the certificate is not good, and 495 and 496 to itself.
        Some(status @ (400 | 401 | 403 | 495 | 496)) => Visit::Refused(Refusal::Http(status)),
        Some(status) => Visit::Accepted(format!("HTTP {status}")),
        None => Visit::Unreachable("its answer is not HTTP/1".to_owned()),
    }
}

/// The status of the first line of an answer (RFC 9112 section 4).
pub fn http_status(answer: &[u8]) -> Option<u16> {
    let line = answer.split(|byte| *byte == b'\n').next()?;
    let line = std::str::from_utf8(line).ok()?;
    let rest = line.strip_prefix("HTTP/1.")?;
    let status: u16 = rest.get(2..5)?.parse().ok()?;
    (100..=599).contains(&status).then_some(status)
}

/// Asks to be let in and says no more (MQTT 3.1.1 section 3.1).
async fn connect(stream: &mut TlsStream<TcpStream>) -> io::Result<Visit> {
    let mut line = Line::new(stream);
    let answer = greet(&mut line, "tenure-canary").await?;
    // A polite end; whether it is heard changes nothing.
    let _ = line.say(&Packet::Disconnect).await;
    let _ = line.stream.shutdown().await;
    Ok(answer)
}

/// Asks a broker to be let in.
async fn greet<S>(line: &mut Line<S>, client: &str) -> io::Result<Visit>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let hello = Packet::Connect(Connect {
        client: client.to_owned(),
        keep_alive_s: 30,
        credentials: None,
    });
    let answer = match line.say(&hello).await {
        Ok(()) => line.hear().await,
        Err(error) => Err(error),
    };
    Ok(match answer {
        Ok(Packet::Connack { code: 0 }) => Visit::Accepted("MQTT CONNACK 0".to_owned()),
        // Bad user name or password, not authorised.
        Ok(Packet::Connack {
            code: code @ (4 | 5),
        }) => Visit::Refused(Refusal::Mqtt(code)),
        Ok(Packet::Connack { code }) => {
            Visit::Unreachable(format!("it is not ready: MQTT CONNACK {code}"))
        }
        Err(mqtt::Error::Io(error)) => return Err(error),
        Ok(_) | Err(_) => Visit::Unreachable("its answer is not MQTT 3.1.1".to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_line_is_read_and_nothing_else_taken_for_one() {
        assert_eq!(http_status(b"HTTP/1.1 400 Bad Request\r\n"), Some(400));
        assert_eq!(http_status(b"HTTP/1.0 204\n"), Some(204));
        for bad in [
            "",
            "HTTP/2 200",
            "HTTP/1.1 99 x",
            "HTTP/1.1",
            "\u{20ac}",
            "SSH-2.0-x\n",
        ] {
            assert_eq!(http_status(bad.as_bytes()), None, "{bad:?}");
        }
    }

    #[test]
    fn who_refuses_in_the_clear_is_understood() {
        let refusal = said(b"refused: revoked (keyCompromise)\n");
        let Visit::Refused(refusal) = refusal else {
            panic!("{refusal:?}")
        };
        assert_eq!(
            refusal.to_string(),
            "said \"refused: revoked (keyCompromise)\""
        );
        assert!(matches!(said(b"welcome pump-1"), Visit::Accepted(_)));
    }
}
