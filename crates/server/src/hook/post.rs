//! Hooks that speak HTTP: webhooks, and EMQX.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use serde_json::{Value, json};
use tenure_domain::hook::Hook;
use tenure_domain::trust_change::TrustChange;
use tenure_engine::{Engine, Topic};
use tenure_field::http::{Client, Response, Settings, Trust, Url};

use super::{Undelivered, What};
use crate::cli::api::{chain, segment};
use crate::stream::{Message, Sight};

/// Largest answer of a receiver that is read, in bytes.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Posts a change, or what is new, as Standard Webhooks says (standardwebhooks.com, version 1): the signature is
/// HMAC-SHA256 over id, time and body. No redirect is followed.
pub(super) async fn webhook(
    engine: &Engine,
    hook: &Hook,
    secret: Option<&str>,
    what: &What<'_>,
) -> Result<(), Undelivered> {
    let Some((kind, at, said)) = said(what) else {
        return Ok(());
    };
    let secret = secret.ok_or_else(|| Undelivered::NotReached("it has no secret".to_owned()))?;
    let id = id(what);
    let body = json!({ "type": kind, "timestamp": at, "data": said }).to_string();
    let at = engine.clock().now().unix().to_string();
    let signature = signature(secret, &id, &at, &body).ok_or_else(|| {
        Undelivered::NotReached("its secret cannot be read; make a fresh one".to_owned())
    })?;
    let headers = [
        ("content-type", "application/json"),
        ("webhook-id", &id),
        ("webhook-timestamp", &at),
        ("webhook-signature", &signature),
    ];
    let url = url(&hook.address)?;
    let answer = send(
        engine,
        hook,
        Method::POST,
        &url,
        &headers,
        body.into_bytes(),
    )
    .await?;
    taken(&answer)
}

/// Its kind, its time, and what is said of it; none if there is nothing to say.
fn said(what: &What<'_>) -> Option<(String, String, Value)> {
    // Structs of texts and numbers can always be written.
    let (kind, at, said) = match what {
        What::Change(change) => {
            let message = Message::of(change, Sight::Fleet)?;
            let said = serde_json::to_value(&message).ok()?;
            (message.what, message.at, said)
        }
        What::News(_, message) => {
            let said = serde_json::to_value(message).ok()?;
            (message.what.clone(), message.at.clone(), said)
        }
    };
    Some((kind, at, said))
}

/// The id of what is delivered: the same each time it is told.
pub(super) fn id(what: &What<'_>) -> String {
    match what {
        What::Change(change) => change_id(change),
        What::News(Topic::Publication { issuer, rendering }, message) => {
            format!("pub_{issuer}.{rendering}.{}", message.sequence)
        }
        What::News(Topic::Feed { party }, message) => {
            format!("feed_{party}.{}", message.sequence)
        }
    }
}

/// The id of a change.
pub(super) fn change_id(change: &TrustChange) -> String {
    format!("evt_{}", change.seq)
}

/// `v1,BASE64`; none if the secret is not one of ours.
pub(super) fn signature(secret: &str, id: &str, at: &str, body: &str) -> Option<String> {
    let key = STANDARD.decode(secret.strip_prefix("whsec_")?).ok()?;
    let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
    let tag = hmac::sign(&key, format!("{id}.{at}.{body}").as_bytes());
    Some(format!("v1,{}", STANDARD.encode(tag.as_ref())))
}

/// Ends the session of a device at an EMQX: `DELETE /api/v5/clients/{clientid}`. The client
/// identifier is the device's id. Nobody there is as good as somebody gone.
pub(super) async fn end_session(
    engine: &Engine,
    hook: &Hook,
    secret: Option<&str>,
    change: &TrustChange,
) -> Result<(), Undelivered> {
    let (Some(device), Some(secret)) = (&change.device, secret) else {
        return Ok(());
    };
    let base = url(&hook.address)?;
    let path = format!(
        "{}/api/v5/clients/{}",
        base.path().trim_end_matches('/'),
        segment(device.as_str())
    );
    let url = base
        .with_path(&path)
        .map_err(|error| Undelivered::NotReached(error.to_string()))?;
    let authorization = format!("Basic {}", STANDARD.encode(secret));
    let headers = [("authorization", authorization.as_str())];
    let answer = send(engine, hook, Method::DELETE, &url, &headers, Vec::new()).await?;
    match answer.status.as_u16() {
        404 => Ok(()),
        _ => taken(&answer),
    }
}

pub(super) fn url(address: &str) -> Result<Url, Undelivered> {
    Url::parse(address).map_err(|error| Undelivered::NotReached(error.to_string()))
}

pub(super) async fn send(
    engine: &Engine,
    hook: &Hook,
    method: Method,
    url: &Url,
    headers: &[(&str, &str)],
    body: Vec<u8>,
) -> Result<Response, Undelivered> {
    let client = Client::new(Settings {
        answer_bytes_max: ANSWER_BYTES_MAX,
        ..Settings::new(Some(trust(engine, hook)))
    });
    let not_reached = |error: &dyn std::error::Error| Undelivered::NotReached(chain(error));
    client
        .map_err(|error| not_reached(&error))?
        .send(method, url, headers, body)
        .await
        .map_err(|error| not_reached(&error))
}

/// What a receiver's certificate must lead to.
pub(super) fn trust(engine: &Engine, hook: &Hook) -> Trust {
    Trust::from_pem(&hook.anchors_pem).unwrap_or_else(|_| crate::prober::own_roots(engine))
}

/// What the status of an answer means.
pub(super) fn taken(answer: &Response) -> Result<(), Undelivered> {
    let status = answer.status;
    let said: String = String::from_utf8_lossy(&answer.body)
        .chars()
        .filter(|c| !c.is_control())
        .take(120)
        .collect();
    let why = format!("it answered {status} {said}").trim_end().to_owned();
    match status.as_u16() {
        200..=299 => Ok(()),
        408 | 425 | 429 | 500..=599 => Err(Undelivered::NotReached(why)),
        _ => Err(Undelivered::Refused(why)),
    }
}
