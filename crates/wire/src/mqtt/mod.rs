//! MQTT 3.1.1 (OASIS Standard, 29 October 2014), as much of it as a client with little to say needs:
//! connect, publish with QoS 0 or 1, subscribe with QoS 0, ping, disconnect. Both directions.

use std::fmt;

use crate::limits::{MQTT_PACKET_BYTES_MAX, MQTT_TEXT_BYTES_MAX};

/// The port of MQTT over TLS.
pub const PORT: u16 = 8883;

/// What a client says first (section 3.1). The session is always a clean one.
#[derive(Clone, PartialEq, Eq)]
pub struct Connect {
    /// Who it is for the broker.
    pub client: String,
    /// Seconds between signs of life; 0 for none.
    pub keep_alive_s: u16,
    /// User name and password.
    pub credentials: Option<(String, String)>,
}

impl fmt::Debug for Connect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connect")
            .field("client", &self.client)
            .field("keep_alive_s", &self.keep_alive_s)
            .field("credentials", &self.credentials.is_some())
            .finish()
    }
}

/// A message (section 3.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publish {
    /// Where to; no wildcards.
    pub topic: String,
    /// What.
    pub payload: Vec<u8>,
    /// The packet identifier of a message with QoS 1; one with QoS 0 has none.
    pub id: Option<u16>,
    /// Whether it may have been sent before.
    pub delivery: Delivery,
}

/// Whether a message is sent for the first time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// It is.
    First,
    /// It may have arrived already.
    Again,
}

/// A control packet (section 2.2.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Packet {
    /// The client asks to be let in.
    Connect(Connect),
    /// The broker's answer: 0 is yes.
    Connack {
        /// The return code.
        code: u8,
    },
    /// A message.
    Publish(Publish),
    /// It arrived.
    Puback {
        /// Which.
        id: u16,
    },
    /// The client wants messages of a topic, with QoS 0.
    Subscribe {
        /// The packet identifier.
        id: u16,
        /// Which topics.
        filter: String,
    },
    /// The broker's answer: the QoS granted, or 128 for no.
    Suback {
        /// Of which subscription.
        id: u16,
        /// The return code.
        code: u8,
    },
    /// Are you there?
    Pingreq,
    /// Yes.
    Pingresp,
    /// The client takes its leave.
    Disconnect,
}

/// What is wrong with a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// The octets are not MQTT 3.1.1.
    Malformed {
        /// Which part.
        what: &'static str,
    },
    /// It is longer than we read or write.
    TooLarge {
        /// The most octets accepted.
        bytes_max: usize,
    },
    /// Well formed, but something we do not speak.
    Unsupported {
        /// What.
        what: &'static str,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Malformed { what } => write!(f, "not MQTT 3.1.1: {what}"),
            Error::TooLarge { bytes_max } => {
                write!(f, "an MQTT packet is too large: at most {bytes_max} bytes")
            }
            Error::Unsupported { what } => write!(f, "not spoken here: {what}"),
        }
    }
}

impl std::error::Error for Error {}

const fn malformed(what: &'static str) -> Error {
    Error::Malformed { what }
}

impl Packet {
    /// The packet as it goes over the wire.
    ///
    /// # Errors
    /// It is too large, or a topic, filter or name cannot be written.
    pub fn write(&self) -> Result<Vec<u8>, Error> {
        let mut body = Vec::new();
        let head = match self {
            Packet::Connect(connect) => {
                text(&mut body, "MQTT")?;
                let flags = if connect.credentials.is_some() {
                    0xc2
                } else {
                    2
                };
                body.extend([4, flags]);
                body.extend(connect.keep_alive_s.to_be_bytes());
                text(&mut body, &connect.client)?;
                if let Some((user, password)) = &connect.credentials {
                    text(&mut body, user)?;
                    text(&mut body, password)?;
                }
                0x10
            }
            Packet::Connack { code } => {
                body.extend([0, *code]);
                0x20
            }
            Packet::Publish(publish) => {
                if publish.topic.is_empty() || publish.topic.contains(['#', '+']) {
                    return Err(malformed("a topic to publish to has no wildcard"));
                }
                text(&mut body, &publish.topic)?;
                let again = u8::from(publish.delivery == Delivery::Again) << 3;
                let flags = match publish.id {
                    Some(0) => return Err(malformed("a packet identifier is not 0")),
                    Some(id) => {
                        body.extend(id.to_be_bytes());
                        2 | again
                    }
                    None => 0,
                };
                body.extend(&publish.payload);
                0x30 | flags
            }
            Packet::Puback { id } => {
                body.extend(id.to_be_bytes());
                0x40
            }
            Packet::Subscribe { id, filter } => {
                body.extend(id.to_be_bytes());
                text(&mut body, filter)?;
                body.push(0);
                0x82
            }
            Packet::Suback { id, code } => {
                body.extend(id.to_be_bytes());
                body.push(*code);
                0x90
            }
            Packet::Pingreq => 0xc0,
            Packet::Pingresp => 0xd0,
            Packet::Disconnect => 0xe0,
        };
        if body.len() > MQTT_PACKET_BYTES_MAX {
            return Err(Error::TooLarge {
                bytes_max: MQTT_PACKET_BYTES_MAX,
            });
        }
        let mut packet = vec![head];
        let mut left = body.len();
        loop {
            // Seven bits a byte, the lowest first (section 2.2.3).
            let low = u8::try_from(left & 0x7f).unwrap_or(0);
            left >>= 7;
            if left == 0 {
                packet.push(low);
                break;
            }
            packet.push(low | 0x80);
        }
        packet.extend(body);
        Ok(packet)
    }

    /// The first packet of `octets` and how many octets it takes; none if there is more to come.
    ///
    /// # Errors
    /// What is there is no packet that we read.
    pub fn read(octets: &[u8]) -> Result<Option<(Packet, usize)>, Error> {
        let Some((head, rest)) = octets.split_first() else {
            return Ok(None);
        };
        let mut length = 0usize;
        let mut taken = 1;
        for (place, byte) in (0..).zip(rest) {
            if place == 4 {
                return Err(malformed("the length has more than four bytes"));
            }
            length |= usize::from(byte & 0x7f) << (7 * place);
            taken += 1;
            if byte & 0x80 == 0 {
                if length > MQTT_PACKET_BYTES_MAX {
                    return Err(Error::TooLarge {
                        bytes_max: MQTT_PACKET_BYTES_MAX,
                    });
                }
                let end = taken + length;
                let Some(body) = octets.get(taken..end) else {
                    return Ok(None);
                };
                return Ok(Some((one(*head, body)?, end)));
            }
        }
        match rest.len() {
            0..4 => Ok(None),
            _ => Err(malformed("the length has more than four bytes")),
        }
    }
}

/// One packet from its first byte and its body.
fn one(head: u8, body: &[u8]) -> Result<Packet, Error> {
    let mut body = Body(body);
    let packet = match (head >> 4, head & 0x0f) {
        (1, 0) => Packet::Connect(connect(&mut body)?),
        (2, 0) => {
            let acknowledge = body.byte()?;
            if acknowledge > 1 {
                return Err(malformed("flags of a CONNACK"));
            }
            Packet::Connack { code: body.byte()? }
        }
        (3, flags) => {
            let topic = body.text()?;
            if topic.is_empty() || topic.contains(['#', '+']) {
                return Err(malformed("the topic of a message"));
            }
            let (id, delivery) = match flags & 0b1110 {
                0b0000 => (None, Delivery::First),
                0b0010 => (Some(body.id()?), Delivery::First),
                0b1010 => (Some(body.id()?), Delivery::Again),
                0b0100 | 0b1100 => return Err(Error::Unsupported { what: "QoS 2" }),
                _ => return Err(malformed("flags of a message")),
            };
            Packet::Publish(Publish {
                topic,
                payload: std::mem::take(&mut body.0).to_vec(),
                id,
                delivery,
            })
        }
        (4, 0) => Packet::Puback { id: body.id()? },
        (8, 2) => {
            let (id, filter) = (body.id()?, body.text()?);
            match (filter.is_empty(), body.byte()?) {
                (true, _) => return Err(malformed("an empty topic filter")),
                (false, 0) => Packet::Subscribe { id, filter },
                (false, _) => return Err(Error::Unsupported { what: "this QoS" }),
            }
        }
        (9, 0) => Packet::Suback {
            id: body.id()?,
            code: body.byte()?,
        },
        (12, 0) => Packet::Pingreq,
        (13, 0) => Packet::Pingresp,
        (14, 0) => Packet::Disconnect,
        (5..=7 | 10..=11, _) => {
            return Err(Error::Unsupported {
                what: "this packet",
            });
        }
        _ => return Err(malformed("the first byte")),
    };
    match body.0.is_empty() {
        true => Ok(packet),
        false => Err(malformed("octets after the end of a packet")),
    }
}

fn connect(body: &mut Body<'_>) -> Result<Connect, Error> {
    if body.text()? != "MQTT" || body.byte()? != 4 {
        return Err(Error::Unsupported {
            what: "a protocol other than MQTT 3.1.1",
        });
    }
    let flags = body.byte()?;
    let keep_alive_s = u16::from_be_bytes([body.byte()?, body.byte()?]);
    let client = body.text()?;
    let credentials = match flags {
        0x02 => None,
        0xc2 => Some((body.text()?, body.text()?)),
        _ => {
            return Err(Error::Unsupported {
                what: "a kept session, a will, or half of the credentials",
            });
        }
    };
    Ok(Connect {
        client,
        keep_alive_s,
        credentials,
    })
}

/// What is left of a packet's body.
struct Body<'a>(&'a [u8]);

impl Body<'_> {
    fn byte(&mut self) -> Result<u8, Error> {
        let (first, rest) = self.0.split_first().ok_or(malformed("it ends too early"))?;
        self.0 = rest;
        Ok(*first)
    }

    fn id(&mut self) -> Result<u16, Error> {
        match u16::from_be_bytes([self.byte()?, self.byte()?]) {
            0 => Err(malformed("a packet identifier is not 0")),
            id => Ok(id),
        }
    }

    /// A UTF-8 encoded string (section 1.5.3).
    fn text(&mut self) -> Result<String, Error> {
        let length = usize::from(u16::from_be_bytes([self.byte()?, self.byte()?]));
        let (text, rest) = self
            .0
            .split_at_checked(length)
            .ok_or(malformed("a text ends too early"))?;
        self.0 = rest;
        let text = std::str::from_utf8(text).map_err(|_| malformed("a text is not UTF-8"))?;
        if text.contains('\0') || text.len() > MQTT_TEXT_BYTES_MAX {
            return Err(malformed("a text holds a null, or is too long"));
        }
        Ok(text.to_owned())
    }
}

fn text(body: &mut Vec<u8>, text: &str) -> Result<(), Error> {
    let length = u16::try_from(text.len()).ok();
    let length = length.filter(|_| text.len() <= MQTT_TEXT_BYTES_MAX);
    let length = length.ok_or(Error::TooLarge {
        bytes_max: MQTT_TEXT_BYTES_MAX,
    })?;
    if text.contains('\0') {
        return Err(malformed("a text holds a null"));
    }
    body.extend(length.to_be_bytes());
    body.extend(text.as_bytes());
    Ok(())
}

#[cfg(test)]
mod tests;
