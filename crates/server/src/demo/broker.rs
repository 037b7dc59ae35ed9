//! The broker of the demo behind a door: MQTT 3.1.1, as much as devices need that report and stay.
//! **Absent**: subscriptions (it says no), QoS 2, wills, kept sessions, MQTT 5.

use std::time::Duration;

use tenure_field::http::{Identity, Trust};
use tenure_field::mqtt::{Broker, Error, Line, Session, Stay, Tls};
use tenure_wire::mqtt::Packet;
use tenure_x509::Cert;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, timeout, timeout_at};

use super::door::Door;

/// How long a client may take to say CONNECT.
const CONNECT: Duration = Duration::from_secs(10);
/// How long a client may be silent that promises no signs of life.
const SILENCE_MAX: Duration = Duration::from_secs(3_600);
/// The return code of CONNACK for who may not come in (section 3.2.2.3).
pub(super) const NOT_AUTHORIZED: u8 = 5;
/// The return code of SUBACK for what is not granted (section 3.9.3).
const NOT_GRANTED: u8 = 128;
/// How long entering may take.
const ENTER: Duration = Duration::from_secs(10);
/// How often a device reports.
const REPORT: Duration = Duration::from_secs(5);

/// Lets a client in or not, and serves it until it goes, is silent, or says what is not understood.
pub(super) async fn converse<S>(stream: &mut S, judged: &Result<String, String>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut line = Line::new(stream);
    let Ok(Ok(Packet::Connect(connect))) = timeout(CONNECT, line.hear()).await else {
        return;
    };
    let code = if judged.is_ok() { 0 } else { NOT_AUTHORIZED };
    if line.say(&Packet::Connack { code }).await.is_err() || judged.is_err() {
        return;
    }
    // One and a half times what was promised (section 3.1.2.10).
    let silence = match connect.keep_alive_s {
        0 => SILENCE_MAX,
        s => Duration::from_secs(u64::from(s)) * 3 / 2,
    };
    while let Ok(Ok(packet)) = timeout(silence, line.hear()).await {
        let answer = match packet {
            Packet::Publish(message) => match message.id {
                Some(id) => Packet::Puback { id },
                None => continue,
            },
            Packet::Pingreq => Packet::Pingresp,
            Packet::Subscribe { id, .. } => Packet::Suback {
                id,
                code: NOT_GRANTED,
            },
            Packet::Connect(_)
            | Packet::Connack { .. }
            | Packet::Puback { .. }
            | Packet::Suback { .. }
            | Packet::Pingresp
            | Packet::Disconnect => return,
        };
        if line.say(&answer).await.is_err() {
            return;
        }
    }
}

/// A device's live session with the broker.
pub(super) struct Live {
    device: String,
    stay: Stay,
}

/// A device connects to the broker, reports once so that the broker has it, and stays.
///
/// # Errors
/// It is not let in.
pub(super) async fn enter(
    door: &Door,
    device: &str,
    identity: Identity,
    anchors: &[Cert],
) -> Result<Live, Error> {
    let anchors = anchors.iter().map(|anchor| anchor.der().to_vec());
    let broker = Broker {
        address: door.address.to_string(),
        tls: Some(Tls {
            server_name: door.name.clone(),
            trust: Trust::Anchors(anchors.collect()),
            identity: Some(identity),
        }),
        credentials: None,
        client: device.to_owned(),
    };
    let mut session = Session::open(&broker, ENTER).await?;
    session.publish(&topic(device), report(0)).await?;
    Ok(Live {
        device: device.to_owned(),
        stay: session.stay(),
    })
}

impl Live {
    /// Reports now and then until the broker ends the session; how it ended.
    pub(super) async fn until_over(mut self) -> Error {
        for number in 1.. {
            let due = Instant::now() + REPORT;
            while let Ok(heard) = timeout_at(due, self.stay.next()).await {
                if let Err(error) = heard {
                    return error;
                }
            }
            let topic = topic(&self.device);
            if let Err(error) = self.stay.publish(&topic, report(number)).await {
                return error;
            }
        }
        Error::Silent
    }
}

fn topic(device: &str) -> String {
    format!("plant/{device}/telemetry")
}

fn report(number: u64) -> Vec<u8> {
    serde_json::json!({ "report": number })
        .to_string()
        .into_bytes()
}
