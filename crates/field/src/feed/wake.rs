//! What tells a follower that its feed has something new: so that it is told at once, and need not have
//! a question open all the time. Whoever tells it can at most make it look: what is taken, and in which
//! order, is decided by the signed manifest alone.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::{Connection, Error};
use crate::http::{Client, Followed, Following, Settings, Trust, Url};
use crate::mqtt::{self, Broker, Session, Stay};

/// How long it may take to reach who tells us.
const REACH: Duration = Duration::from_secs(10);
/// The least and the most time between two tries to reach them. Meanwhile the follower looks by itself.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(15));
/// The least time between two looks, whatever is told.
const GAP: Duration = Duration::from_millis(100);

/// What a feed's news is told by.
pub enum Wake {
    /// Nothing: the server holds each question until there is news.
    Question,
    /// The server's stream of publications.
    Stream(Box<Stream>),
    /// A topic of an MQTT broker, to which a hook of the server publishes.
    Topic(Box<Topic>),
}

/// Why it is time to look.
#[derive(Debug)]
pub enum Called {
    /// Something newer is said to be there.
    News,
    /// Nothing was said for a while.
    Time,
    /// Nobody tells us any more, or yet.
    Lost(Lost),
}

/// Why nobody tells us.
#[derive(Debug)]
pub enum Lost {
    /// The stream does not open.
    Stream(String),
    /// The broker is not reached.
    Broker(mqtt::Error),
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Lost::Stream(why) => write!(f, "nobody tells us of news: the stream {why}"),
            Lost::Broker(error) => write!(f, "nobody tells us of news: {error}"),
        }
    }
}

/// The server's stream.
pub struct Stream {
    client: Client,
    url: Url,
    authorization: String,
    open: Option<Box<Following>>,
    pause: Duration,
}

/// A topic of a broker.
pub struct Topic {
    broker: Broker,
    topic: String,
    open: Option<Stay>,
    pause: Duration,
}

impl Wake {
    /// The stream of the server that a feed comes from.
    ///
    /// # Errors
    /// The address or the trust anchor cannot be used.
    pub fn stream(connection: &Connection) -> Result<Wake, Error> {
        let trust = Trust::from_pem(&connection.ca_pem)?;
        let url = Url::parse(&connection.url)?;
        Ok(Wake::Stream(Box::new(Stream {
            client: Client::new(Settings::new(Some(trust)))?,
            url: url.with_path("/api/v1/stream?about=publications")?,
            authorization: format!("Bearer {}", connection.token.trim()),
            open: None,
            pause: PAUSES.0,
        })))
    }

    /// A topic of a broker.
    pub fn topic(broker: Broker, topic: String) -> Wake {
        Wake::Topic(Box::new(Topic {
            broker,
            topic,
            open: None,
            pause: PAUSES.0,
        }))
    }

    /// Waits until it is time to look whether there is something above `held`, `every` at the most.
    pub async fn called(&mut self, held: i64, every: Duration) -> Called {
        let called = async {
            match self {
                Wake::Question => Called::Time,
                Wake::Stream(stream) => {
                    sleep(GAP).await;
                    stream.called(held).await
                }
                Wake::Topic(topic) => {
                    sleep(GAP).await;
                    topic.called(held).await
                }
            }
        };
        // Giving up half way loses nothing: what is open stays so.
        timeout(every, called).await.unwrap_or(Called::Time)
    }
}

/// Whether what was told is of something above `held`. Who tells nothing that can be read is believed:
/// a look does no harm.
fn is_news(told: &[u8], held: i64) -> bool {
    let told: Option<serde_json::Value> = serde_json::from_slice(told).ok();
    let sequence = told.and_then(|told| told.get("sequence")?.as_i64());
    sequence.is_none_or(|sequence| sequence > held)
}

fn longer(pause: &mut Duration) -> Duration {
    let now = *pause;
    *pause = (now * 2).min(PAUSES.1);
    now
}

impl Stream {
    async fn called(&mut self, held: i64) -> Called {
        loop {
            let Some(following) = &mut self.open else {
                match self.reach().await {
                    // What is newest is told at once.
                    Ok(following) => self.open = Some(following),
                    Err(why) => {
                        sleep(longer(&mut self.pause)).await;
                        return Called::Lost(Lost::Stream(why));
                    }
                }
                continue;
            };
            match following.next().await {
                Ok(Some(event)) => {
                    self.pause = PAUSES.0;
                    if event.kind == "feed" && is_news(event.data.as_bytes(), held) {
                        return Called::News;
                    }
                }
                Ok(None) | Err(_) => {
                    self.open = None;
                    sleep(longer(&mut self.pause)).await;
                    // What came in between is not told again where there is no stream.
                    return Called::Time;
                }
            }
        }
    }

    async fn reach(&self) -> Result<Box<Following>, String> {
        let follow = self.client.follow(&self.url, &self.authorization, None);
        match timeout(REACH, follow).await {
            Ok(Ok(Followed::Open(following))) => Ok(following),
            Ok(Ok(Followed::Refused { status, .. })) => Err(format!("was answered {status}")),
            Ok(Err(error)) => Err(format!("does not open: {error}")),
            Err(_) => Err(format!("does not open within {} s", REACH.as_secs())),
        }
    }
}

impl Topic {
    async fn called(&mut self, held: i64) -> Called {
        let Some(stay) = &mut self.open else {
            let by = Instant::now() + REACH;
            let reached = timeout_at(by, self.reach()).await;
            return match reached.unwrap_or(Err(mqtt::Error::Silent)) {
                Ok(stay) => {
                    self.open = Some(stay);
                    self.pause = PAUSES.0;
                    // What was published while we were away is gone.
                    Called::News
                }
                Err(error) => {
                    sleep(longer(&mut self.pause)).await;
                    Called::Lost(Lost::Broker(error))
                }
            };
        };
        loop {
            match stay.next().await {
                Ok(message) if is_news(&message.payload, held) => return Called::News,
                Ok(_) => {}
                Err(error) => {
                    self.open = None;
                    sleep(longer(&mut self.pause)).await;
                    return Called::Lost(Lost::Broker(error));
                }
            }
        }
    }

    async fn reach(&self) -> Result<Stay, mqtt::Error> {
        let mut session = Session::open(&self.broker, REACH).await?;
        session.subscribe(&self.topic).await?;
        Ok(session.stay())
    }
}

/// A broker at `mqtts://HOST[:PORT]`; in the clear, `mqtt://`, only on this machine.
///
/// # Errors
/// What is wrong with the address, the anchors, the certificate or the key.
pub fn broker(
    address: &str,
    client: &str,
    anchors: Option<&Path>,
    identity: Option<crate::http::Identity>,
    credentials: Option<(String, String)>,
) -> Result<Broker, Error> {
    let no_address = || {
        Error::Setting(format!(
            "{address} cannot be used: write mqtts://HOST[:PORT]; in the clear only this machine"
        ))
    };
    let place = mqtt::Place::parse(address).ok_or_else(no_address)?;
    let tls = match (place.wire, anchors) {
        (mqtt::Wire::Clear, _) if place.is_here() => None,
        (mqtt::Wire::Clear, _) => return Err(no_address()),
        (mqtt::Wire::Tls, Some(anchors)) => {
            let pem = super::read_up_to(anchors, crate::limits::CONNECTION_BYTES_MAX)?;
            Some(mqtt::Tls {
                server_name: place.host,
                trust: Trust::from_pem(&String::from_utf8_lossy(&pem))?,
                identity,
            })
        }
        (mqtt::Wire::Tls, None) => {
            return Err(Error::Setting(
                "say what the broker's certificate must lead to: --mqtt-ca FILE".to_owned(),
            ));
        }
    };
    Ok(Broker {
        address: place.address,
        tls,
        credentials,
        client: client.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_something_newer_is_a_reason_to_look() {
        for (told, is) in [
            (r#"{"sequence":8}"#, true),
            (r#"{"sequence":7}"#, false),
            (r#"{"sequence":"8"}"#, true),
            ("", true),
        ] {
            assert_eq!(is_news(told.as_bytes(), 7), is, "{told}");
        }
    }

    #[tokio::test]
    async fn who_is_told_by_nobody_looks_by_itself() {
        let nobody = Broker {
            address: "127.0.0.1:1".to_owned(),
            tls: None,
            credentials: None,
            client: "x".to_owned(),
        };
        let mut wake = Wake::topic(nobody, "t".to_owned());
        let called = wake.called(0, Duration::from_secs(60)).await;
        assert!(
            matches!(called, Called::Lost(Lost::Broker(_))),
            "{called:?}"
        );
        let mut wake = Wake::Question;
        let called = wake.called(0, Duration::from_secs(60)).await;
        assert!(matches!(called, Called::Time), "{called:?}");
    }

    #[test]
    fn a_broker_in_the_clear_is_on_this_machine() {
        let of = |address| broker(address, "x", None, None, None);
        assert!(of("mqtt://127.0.0.1:1883").is_ok());
        assert!(of("mqtt://localhost").is_ok_and(|broker| broker.address == "localhost:1883"));
        for bad in [
            "mqtt://broker-3:1883",
            "mqtts://broker-3",
            "https://broker-3",
            "mqtts://",
        ] {
            assert!(of(bad).is_err(), "{bad}");
        }
    }
}
