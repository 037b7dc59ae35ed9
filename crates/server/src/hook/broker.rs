//! Hooks that speak MQTT: publishing, and ending sessions at a mosquitto.

use std::time::Duration;

use serde_json::{Value, json};
use tenure_domain::hook::{Hook, TOPIC_DEFAULT};
use tenure_domain::trust_change::TrustChange;
use tenure_engine::{Engine, Topic};
use tenure_field::mqtt::{Broker, Error, Place, Session, Tls, Wire};

use super::{DELIVERY, Undelivered, What, post};
use crate::stream::{Message, Sight};

/// Where mosquitto's dynamic security plugin takes commands, and where it answers.
const CONTROL: &str = "$CONTROL/dynamic-security/v1";
const ANSWERS: &str = "$CONTROL/dynamic-security/v1/response";

impl From<Error> for Undelivered {
    fn from(error: Error) -> Undelivered {
        Undelivered::NotReached(error.to_string())
    }
}

/// Publishes a change with QoS 1, or what is new below the topic: `TOPIC/feed/PARTY` and
/// `TOPIC/publication/ISSUER`, so that each relying party can be told of its own alone.
pub(super) async fn publish(
    engine: &Engine,
    hook: &Hook,
    secret: Option<&str>,
    what: &What<'_>,
) -> Result<(), Undelivered> {
    let topic = match hook.topic.as_str() {
        "" => TOPIC_DEFAULT,
        topic => topic,
    };
    // Structs of texts and numbers can always be written.
    let (topic, payload) = match what {
        What::Change(change) => match Message::of(change, Sight::Fleet) {
            Some(message) => (topic.to_owned(), serde_json::to_vec(&message)),
            None => return Ok(()),
        },
        What::News(Topic::Feed { party }, message) => {
            (format!("{topic}/feed/{party}"), serde_json::to_vec(message))
        }
        What::News(Topic::Publication { issuer, .. }, message) => (
            format!("{topic}/publication/{issuer}"),
            serde_json::to_vec(message),
        ),
    };
    let mut session = open(engine, hook, secret).await?;
    session.publish(&topic, payload.unwrap_or_default()).await?;
    session.close().await;
    Ok(())
}

/// Ends every session of a device at a mosquitto. Clients are known to it by the name in their
/// certificate (`use_identity_as_username true`), which is the device's id.
///
/// mosquitto has no command for it. But a client of its dynamic security that is taken away loses its
/// sessions, however it proved its name; so one is made and taken away. One that an operator made is
/// disabled and enabled again instead.
pub(super) async fn end_sessions(
    engine: &Engine,
    hook: &Hook,
    secret: Option<&str>,
    change: &TrustChange,
) -> Result<(), Undelivered> {
    let Some(device) = &change.device else {
        return Ok(());
    };
    let user = device.as_str();
    let mut session = open(engine, hook, secret).await?;
    session.subscribe(ANSWERS).await?;
    let made = command(&mut session, "createClient", user).await?;
    match made.as_deref() {
        None => said_yes(command(&mut session, "deleteClient", user).await?)?,
        Some(error) if error.contains("already exists") => {
            said_yes(command(&mut session, "disableClient", user).await?)?;
            said_yes(command(&mut session, "enableClient", user).await?)?;
        }
        Some(error) => return Err(Undelivered::Refused(format!("createClient: {error}"))),
    }
    session.close().await;
    Ok(())
}

fn said_yes(error: Option<String>) -> Result<(), Undelivered> {
    match error {
        None => Ok(()),
        Some(error) => Err(Undelivered::Refused(error)),
    }
}

/// Gives one command; the error it answers, if it does.
async fn command(
    session: &mut Session,
    name: &str,
    user: &str,
) -> Result<Option<String>, Undelivered> {
    let command = json!({ "command": name, "username": user });
    let wish = json!({ "commands": [command] }).to_string();
    let answer = session.request(CONTROL, wish.into_bytes()).await?;
    let answer: Value = serde_json::from_slice(&answer)
        .map_err(|_| Undelivered::NotReached("its answer is no JSON".to_owned()))?;
    let first = answer.pointer("/responses/0");
    let of_it = first.filter(|first| first.get("command").and_then(Value::as_str) == Some(name));
    let of_it = of_it.ok_or_else(|| {
        Undelivered::NotReached("it does not answer as dynamic security does".to_owned())
    })?;
    let error = of_it.get("error").and_then(Value::as_str);
    Ok(error.map(|error| error.chars().take(120).collect()))
}

async fn open(engine: &Engine, hook: &Hook, secret: Option<&str>) -> Result<Session, Undelivered> {
    let place = Place::parse(&hook.address)
        .ok_or_else(|| Undelivered::NotReached("its address is no broker's".to_owned()))?;
    let tls = (place.wire == Wire::Tls).then(|| Tls {
        server_name: place.host,
        trust: post::trust(engine, hook),
        identity: None,
    });
    let broker = Broker {
        tls,
        credentials: secret
            .and_then(|secret| secret.split_once(':'))
            .map(|(user, password)| (user.to_owned(), password.to_owned())),
        client: format!("tenure-{}", hook.name),
        address: place.address,
    };
    // The whole delivery has a limit of its own; this one ends a little before it.
    let within = DELIVERY - Duration::from_millis(500);
    Session::open(&broker, within)
        .await
        .map_err(|error| match error {
            refused @ Error::Refused { .. } => Undelivered::NotReached(format!(
                "{refused}; see that user name and password are right"
            )),
            other => other.into(),
        })
}
