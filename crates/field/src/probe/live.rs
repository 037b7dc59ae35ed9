//! A session that is kept open, to see whether it outlives the trust it began with.

use std::io;
use std::time::Duration;

use tenure_domain::relying_party::PeerProtocol;
use tenure_wire::mqtt::Packet;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;

use super::{
    ANSWER_BYTES_MAX, Refusal, Target, VISIT, Visit, greet, hear, judged, late, listen, through,
};
use crate::http::Identity;
use crate::mqtt::{self, Line};

/// How long a sign of life may take.
const SIGN: Duration = Duration::from_secs(5);
/// How long a connection whose protocol is not known is listened to, to hear of its end.
const GLANCE: Duration = Duration::from_millis(50);

/// What came of asking for a session.
pub enum Entered {
    /// It is open.
    Held(Live),
    /// There is none: what the visit came to.
    Over(Visit),
}

/// A session that is open.
pub struct Live {
    talk: Talk,
}

enum Talk {
    /// Nothing is said.
    Silent(Box<TlsStream<TcpStream>>),
    /// HTTP/1.1 over a connection that is kept.
    Http {
        stream: Box<TlsStream<TcpStream>>,
        host: String,
    },
    /// MQTT.
    Mqtt(Box<Line<TlsStream<TcpStream>>>),
}

/// Whether a session lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pulse {
    /// It does.
    Alive,
    /// It does not any more; how it ended.
    Ended(Refusal),
    /// It cannot be said.
    Unclear(String),
}

/// Visits a relying party and stays, if it lets one.
pub async fn enter(target: &Target, identity: Identity) -> Entered {
    match timeout(VISIT, stay(target, identity)).await {
        Ok(entered) => entered,
        Err(_) => Entered::Over(Visit::Unreachable(format!(
            "no answer within {} s",
            VISIT.as_secs()
        ))),
    }
}

async fn stay(target: &Target, identity: Identity) -> Entered {
    let stream = match through(target, identity).await {
        Ok(stream) => stream,
        Err(visit) => return Entered::Over(visit),
    };
    let entered = match target.protocol {
        PeerProtocol::Tls => silent(stream).await,
        PeerProtocol::Https => http(stream, &target.server_name).await,
        PeerProtocol::Mqtt => mqtt(stream).await,
    };
    entered.unwrap_or_else(|error| Entered::Over(late(&error)))
}

async fn silent(mut stream: TlsStream<TcpStream>) -> io::Result<Entered> {
    let visit = listen(&mut stream).await?;
    if !matches!(visit, Visit::Accepted(_)) {
        return Ok(Entered::Over(visit));
    }
    let mut live = Live {
        talk: Talk::Silent(Box::new(stream)),
    };
    // Who greets and hangs up keeps no session.
    Ok(match live.pulse().await {
        Pulse::Alive => Entered::Held(live),
        Pulse::Ended(_) | Pulse::Unclear(_) => Entered::Over(visit),
    })
}

async fn http(mut stream: TlsStream<TcpStream>, host: &str) -> io::Result<Entered> {
    let (visit, kept) = ask(&mut stream, host).await?;
    Ok(match (&visit, kept) {
        (Visit::Accepted(_), Kept::Open) => Entered::Held(Live {
            talk: Talk::Http {
                stream: Box::new(stream),
                host: host.to_owned(),
            },
        }),
        _ => Entered::Over(visit),
    })
}

async fn mqtt(stream: TlsStream<TcpStream>) -> io::Result<Entered> {
    let mut line = Line::new(stream);
    // Not the name that short visits go by: a broker ends the older session of the two.
    let visit = greet(&mut line, "tenure-canary-live").await?;
    Ok(match visit {
        Visit::Accepted(_) => Entered::Held(Live {
            talk: Talk::Mqtt(Box::new(line)),
        }),
        other => Entered::Over(other),
    })
}

impl Live {
    /// Whether the session still lives, by asking for a sign of life.
    pub async fn pulse(&mut self) -> Pulse {
        let felt = match &mut self.talk {
            Talk::Silent(stream) => {
                let mut heard = Vec::new();
                match timeout(GLANCE, hear(stream, &mut heard)).await {
                    Err(_) | Ok(Ok(())) => return Pulse::Alive,
                    Ok(Err(error)) => Err(error),
                }
            }
            Talk::Http { stream, host } => match timeout(SIGN, ask(stream, host)).await {
                Err(_) => return Pulse::Unclear("no answer on the open connection".to_owned()),
                Ok(answer) => answer.map(|(visit, _)| visit),
            },
            Talk::Mqtt(line) => match timeout(SIGN, ping(line)).await {
                Err(_) => return Pulse::Unclear("no PINGRESP on the open session".to_owned()),
                Ok(answer) => answer,
            },
        };
        match felt.unwrap_or_else(|error| late(&error)) {
            Visit::Accepted(_) => Pulse::Alive,
            Visit::Refused(refusal) => Pulse::Ended(refusal),
            Visit::Unreachable(why) => Pulse::Unclear(why),
        }
    }
}

async fn ping(line: &mut Line<TlsStream<TcpStream>>) -> io::Result<Visit> {
    let answer = match line.say(&Packet::Pingreq).await {
        Ok(()) => line.hear().await,
        Err(error) => Err(error),
    };
    match answer {
        Ok(_) => Ok(Visit::Accepted("MQTT PINGRESP".to_owned())),
        Err(mqtt::Error::Io(error)) => Err(error),
        Err(other) => Ok(Visit::Unreachable(other.to_string())),
    }
}

/// Whether the other side keeps the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kept {
    Open,
    Closed,
}

/// Asks for what is there, on a connection that is to be kept, and reads the whole answer.
async fn ask(stream: &mut TlsStream<TcpStream>, host: &str) -> io::Result<(Visit, Kept)> {
    let request =
        format!("OPTIONS / HTTP/1.1\r\nHost: {host}\r\nUser-Agent: tenure-canary\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    stream.flush().await?;
    let mut heard = Vec::new();
    let head = loop {
        if let Some(end) = heard.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
        if heard.len() >= ANSWER_BYTES_MAX * 8 {
            return Ok((judged(&heard), Kept::Closed));
        }
        hear(stream, &mut heard).await?;
    };
    let visit = judged(&heard);
    let Some(length) = kept_length(heard.get(..head).unwrap_or_default()) else {
        return Ok((visit, Kept::Closed));
    };
    while heard.len() < head + length {
        hear(stream, &mut heard).await?;
    }
    Ok((visit, Kept::Open))
}

/// How many octets follow a head; none if the connection cannot be used again after it.
fn kept_length(head: &[u8]) -> Option<usize> {
    let text = std::str::from_utf8(head).ok()?;
    let field = |wanted: &str| {
        text.lines().skip(1).find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case(wanted).then(|| value.trim())
        })
    };
    let closes = field("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
    if closes || field("transfer-encoding").is_some() || !text.starts_with("HTTP/1.1 ") {
        return None;
    }
    match (field("content-length"), super::http_status(head)) {
        (Some(length), _) => length.parse().ok().filter(|n| *n <= ANSWER_BYTES_MAX * 8),
        (None, Some(204 | 304)) => Some(0),
        (None, _) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_kept_only_where_the_answer_says_where_it_ends() {
        let ends = |head: &str| kept_length(head.as_bytes());
        assert_eq!(ends("HTTP/1.1 204 No Content\r\n\r\n"), Some(0));
        assert_eq!(
            ends("HTTP/1.1 200 OK\r\ncontent-length: 12\r\n\r\n"),
            Some(12)
        );
        for closed in [
            "HTTP/1.1 200 OK\r\n\r\n",
            "HTTP/1.1 204 x\r\nConnection: Close\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.0 204 x\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 99999999\r\n\r\n",
        ] {
            assert_eq!(ends(closed), None, "{closed:?}");
        }
    }
}
