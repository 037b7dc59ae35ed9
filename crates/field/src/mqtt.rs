//! A client of an MQTT broker that has little to say: it connects over TLS, publishes, asks and waits
//! for the answer, and goes.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls_pki_types::ServerName;
use tenure_wire::mqtt::{self, Connect, Delivery, Packet, Publish};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;

use crate::http::{Identity, Trust, client_config};

/// The port of MQTT in the clear.
const CLEAR_PORT: u16 = 1_883;
/// Seconds between signs of life that a session promises.
const KEEP_ALIVE_S: u16 = 60;
/// How long a sign of life may take.
const SIGN: Duration = Duration::from_secs(10);
/// How much is read at once, in octets.
const PIECE: usize = 4_096;

/// How to reach a broker.
#[derive(Clone)]
pub struct Broker {
    /// `HOST:PORT`.
    pub address: String,
    /// How it is known to be the right one; none speaks in the clear.
    pub tls: Option<Tls>,
    /// User name and password.
    pub credentials: Option<(String, String)>,
    /// Who we are for it.
    pub client: String,
}

/// Where a broker is, read from its URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// `HOST:PORT`.
    pub address: String,
    /// The host alone, without brackets.
    pub host: String,
    /// What is spoken below MQTT.
    pub wire: Wire,
}

/// What is spoken below MQTT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wire {
    /// TLS.
    Tls,
    /// Nothing.
    Clear,
}

impl Place {
    /// Reads `mqtts://HOST[:PORT]` or `mqtt://HOST[:PORT]`; `None` if it is neither.
    pub fn parse(url: &str) -> Option<Place> {
        let (scheme, authority) = url.split_once("://")?;
        let authority = authority.trim_end_matches('/');
        let (wire, port) = match scheme {
            "mqtts" => (Wire::Tls, mqtt::PORT),
            "mqtt" => (Wire::Clear, CLEAR_PORT),
            _ => return None,
        };
        let has_port = authority
            .rsplit_once(':')
            .is_some_and(|(_, port)| port.parse::<u16>().is_ok())
            && !authority.ends_with(']');
        let address = match has_port {
            true => authority.to_owned(),
            false => format!("{authority}:{port}"),
        };
        let (host, _) = address.rsplit_once(':')?;
        let host = host
            .trim_start_matches('[')
            .trim_end_matches(']')
            .to_owned();
        (!host.is_empty()).then_some(Place {
            host,
            address,
            wire,
        })
    }

    /// Whether it is on this machine.
    pub fn is_here(&self) -> bool {
        let address = self.host.parse::<std::net::IpAddr>();
        self.host == "localhost" || address.is_ok_and(|address| address.is_loopback())
    }
}

/// How a broker is known to be the right one.
#[derive(Clone)]
pub struct Tls {
    /// The name its certificate must carry.
    pub server_name: String,
    /// What its certificate must lead to.
    pub trust: Trust,
    /// Who we are; none presents no certificate.
    pub identity: Option<Identity>,
}

/// Why a broker was not spoken to.
#[derive(Debug)]
pub enum Error {
    /// The connection could not be made, or broke.
    Io(io::Error),
    /// What it says is no MQTT that we speak.
    Wire(mqtt::Error),
    /// It does not let us in, or does not let us do this.
    Refused {
        /// What.
        what: &'static str,
        /// Its return code (MQTT 3.1.1 sections 3.2.2.3 and 3.9.3).
        code: u8,
    },
    /// It did not answer in time.
    Silent,
    /// The anchors, the name or the identity cannot be used.
    Settings(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Io(error) => write!(f, "no connection to the broker: {error}"),
            Error::Wire(error) => error.fmt(f),
            Error::Refused { what, code } => write!(f, "the broker refuses {what}: code {code}"),
            Error::Silent => f.write_str("the broker did not answer in time"),
            Error::Settings(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for Error {}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Error {
        Error::Io(error)
    }
}

impl From<mqtt::Error> for Error {
    fn from(error: mqtt::Error) -> Error {
        Error::Wire(error)
    }
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// A session with a broker. Everything in it must be done by one deadline.
pub struct Session {
    line: Line<Box<dyn Stream>>,
    deadline: Instant,
    next_id: u16,
}

impl Session {
    /// Connects, and is let in.
    ///
    /// # Errors
    /// It is not reached, is not the right one, or does not let us in.
    pub async fn open(broker: &Broker, within: Duration) -> Result<Session, Error> {
        let deadline = Instant::now() + within;
        let stream = by(deadline, reach(broker)).await?;
        let mut session = Session {
            line: Line::new(stream),
            deadline,
            next_id: 1,
        };
        let hello = Packet::Connect(Connect {
            client: broker.client.clone(),
            keep_alive_s: KEEP_ALIVE_S,
            credentials: broker.credentials.clone(),
        });
        match session.ask(&hello).await? {
            Packet::Connack { code: 0 } => Ok(session),
            Packet::Connack { code } => Err(Error::Refused {
                what: "to let us in",
                code,
            }),
            _ => Err(out_of_turn()),
        }
    }

    /// Publishes with QoS 1, and waits until the broker has it.
    ///
    /// # Errors
    /// The broker did not say that it has it; it may have it all the same.
    pub async fn publish(&mut self, topic: &str, payload: Vec<u8>) -> Result<(), Error> {
        let id = self.id();
        let message = Packet::Publish(Publish {
            topic: topic.to_owned(),
            payload,
            id: Some(id),
            delivery: Delivery::First,
        });
        by(self.deadline, self.line.say(&message)).await?;
        loop {
            // What comes of a subscription meanwhile is not waited for yet.
            if by(self.deadline, self.line.hear()).await? == (Packet::Puback { id }) {
                return Ok(());
            }
        }
    }

    /// Wants the messages of a topic.
    ///
    /// # Errors
    /// The broker does not allow it.
    pub async fn subscribe(&mut self, filter: &str) -> Result<(), Error> {
        let id = self.id();
        let wish = Packet::Subscribe {
            id,
            filter: filter.to_owned(),
        };
        match self.ask(&wish).await? {
            Packet::Suback { code: 0, .. } => Ok(()),
            Packet::Suback { code, .. } => Err(Error::Refused {
                what: "the subscription",
                code,
            }),
            _ => Err(out_of_turn()),
        }
    }

    /// Publishes a request with QoS 0, and returns the next message that comes: its answer.
    ///
    /// # Errors
    /// None came.
    pub async fn request(&mut self, topic: &str, payload: Vec<u8>) -> Result<Vec<u8>, Error> {
        let message = Packet::Publish(Publish {
            topic: topic.to_owned(),
            payload,
            id: None,
            delivery: Delivery::First,
        });
        by(self.deadline, self.line.say(&message)).await?;
        loop {
            if let Packet::Publish(answer) = by(self.deadline, self.line.hear()).await? {
                return Ok(answer.payload);
            }
        }
    }

    /// Takes leave. Whether it is heard changes nothing.
    pub async fn close(mut self) {
        let _ = by(self.deadline, self.line.say(&Packet::Disconnect)).await;
        let _ = self.line.stream.shutdown().await;
    }

    /// Stays, beyond the deadline, for as long as the broker lets it.
    pub fn stay(self) -> Stay {
        Stay {
            line: self.line,
            heard: Instant::now(),
            asked: None,
        }
    }

    async fn ask(&mut self, packet: &Packet) -> Result<Packet, Error> {
        by(self.deadline, self.line.say(packet)).await?;
        by(self.deadline, self.line.hear()).await
    }

    fn id(&mut self) -> u16 {
        let id = self.next_id;
        self.next_id = id.checked_add(1).unwrap_or(1);
        id
    }
}

/// A session that stays open: messages as they come, and signs of life in between.
pub struct Stay {
    line: Line<Box<dyn Stream>>,
    heard: Instant,
    /// When a sign of life was asked for that has not come yet.
    asked: Option<Instant>,
}

impl Stay {
    /// The next message. Nothing is lost if this is given up half way. It must be asked for all the
    /// time, because signs of life are given meanwhile.
    ///
    /// # Errors
    /// The session is over: the broker ended it, or is silent.
    pub async fn next(&mut self) -> Result<Publish, Error> {
        loop {
            let due = match self.asked {
                Some(asked) => asked + SIGN,
                None => self.heard + Duration::from_secs(u64::from(KEEP_ALIVE_S)) / 2,
            };
            match timeout_at(due, self.line.hear()).await {
                Ok(packet) => {
                    (self.heard, self.asked) = (Instant::now(), None);
                    if let Packet::Publish(message) = packet? {
                        return Ok(message);
                    }
                }
                Err(_) if self.asked.is_some() => return Err(Error::Silent),
                Err(_) => {
                    self.asked = Some(Instant::now());
                    timeout_at(due + SIGN, self.line.say(&Packet::Pingreq))
                        .await
                        .unwrap_or(Err(Error::Silent))?;
                }
            }
        }
    }

    /// Publishes with QoS 0: whether it arrives is not said.
    ///
    /// # Errors
    /// The session is over.
    pub async fn publish(&mut self, topic: &str, payload: Vec<u8>) -> Result<(), Error> {
        let message = Packet::Publish(Publish {
            topic: topic.to_owned(),
            payload,
            id: None,
            delivery: Delivery::First,
        });
        by(Instant::now() + SIGN, self.line.say(&message)).await
    }
}

fn out_of_turn() -> Error {
    Error::Wire(mqtt::Error::Malformed {
        what: "a packet out of turn",
    })
}

async fn by<T>(
    deadline: Instant,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    timeout_at(deadline, work)
        .await
        .unwrap_or(Err(Error::Silent))
}

async fn reach(broker: &Broker) -> Result<Box<dyn Stream>, Error> {
    let tcp = TcpStream::connect(broker.address.as_str()).await?;
    // Packets are small and each is waited for.
    let _ = tcp.set_nodelay(true);
    let Some(tls) = &broker.tls else {
        return Ok(Box::new(tcp));
    };
    let settings = |error: &dyn fmt::Display| Error::Settings(error.to_string());
    let config = client_config(&tls.trust, tls.identity.clone()).map_err(|e| settings(&e))?;
    let mut config = (*config).clone();
    config.alpn_protocols = Vec::new();
    let name = ServerName::try_from(tls.server_name.clone()).map_err(|e| settings(&e))?;
    let stream = TlsConnector::from(Arc::new(config))
        .connect(name, tcp)
        .await?;
    Ok(Box::new(stream))
}

/// Packets over a stream, for either end of it.
pub struct Line<S> {
    pub(crate) stream: S,
    heard: Vec<u8>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Line<S> {
    /// Packets over this stream, of which nothing was read yet.
    pub fn new(stream: S) -> Line<S> {
        Line {
            stream,
            heard: Vec::new(),
        }
    }

    /// Says one packet.
    ///
    /// # Errors
    /// The connection is gone, or the packet cannot be written.
    pub async fn say(&mut self, packet: &Packet) -> Result<(), Error> {
        self.stream.write_all(&packet.write()?).await?;
        Ok(self.stream.flush().await?)
    }

    /// The next packet. Nothing is lost if this is given up half way.
    ///
    /// # Errors
    /// The connection is gone, or what comes is no packet that we read.
    pub async fn hear(&mut self) -> Result<Packet, Error> {
        loop {
            if let Some((packet, taken)) = Packet::read(&self.heard)? {
                self.heard.drain(..taken);
                return Ok(packet);
            }
            let mut piece = [0; PIECE];
            let n = self.stream.read(&mut piece).await?;
            if n == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
            self.heard.extend(piece.iter().take(n));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_is_found_by_its_url() {
        let of = |url| Place::parse(url).map(|place| (place.address, place.host, place.wire));
        let (tls, clear) = (Wire::Tls, Wire::Clear);
        for (url, address, host, wire) in [
            ("mqtts://broker-3", "broker-3:8883", "broker-3", tls),
            ("mqtts://broker-3:8884/", "broker-3:8884", "broker-3", tls),
            ("mqtts://[fd00::7]", "[fd00::7]:8883", "fd00::7", tls),
            ("mqtt://[::1]:1", "[::1]:1", "::1", clear),
            ("mqtt://localhost", "localhost:1883", "localhost", clear),
        ] {
            assert_eq!(
                of(url),
                Some((address.to_owned(), host.to_owned(), wire)),
                "{url}"
            );
        }
        for bad in ["", "broker-3", "https://broker-3", "mqtts://", "mqtts:///"] {
            assert_eq!(of(bad), None, "{bad}");
        }
        assert!(Place::parse("mqtt://127.0.0.1").is_some_and(|place| place.is_here()));
        assert!(Place::parse("mqtt://10.0.0.1").is_some_and(|place| !place.is_here()));
    }
}
