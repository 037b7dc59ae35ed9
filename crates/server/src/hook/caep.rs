//! Security Event Tokens (RFC 8417) with events of the Continuous Access Evaluation Profile (OpenID
//! CAEP 1.0), pushed as RFC 8935 says.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::Method;
use serde_json::{Value, json};
use tenure_domain::hook::Hook;
use tenure_domain::issuer::IssuerKind;
use tenure_domain::text::hex;
use tenure_domain::trust_change::{Changed, Direction, TrustChange};
use tenure_engine::Engine;
use tenure_x509::sha256;

use super::{Undelivered, post};

const SESSION_REVOKED: &str = "https://schemas.openid.net/secevent/caep/event-type/session-revoked";
const CREDENTIAL_CHANGE: &str =
    "https://schemas.openid.net/secevent/caep/event-type/credential-change";
const COMPLIANCE_CHANGE: &str =
    "https://schemas.openid.net/secevent/caep/event-type/device-compliance-change";
/// The media type of a token (RFC 8417 section 2.3).
const MEDIA_TYPE: &str = "application/secevent+jwt";

/// Pushes the tokens of a change.
pub(super) async fn push(
    engine: &Engine,
    hook: &Hook,
    secret: Option<&str>,
    change: &TrustChange,
) -> Result<(), Undelivered> {
    let url = post::url(&hook.address)?;
    let authorization = secret.map(|secret| format!("Bearer {secret}"));
    for (name, event) in events(change) {
        let token = token(engine, hook, change, name, &event)?;
        let mut headers = vec![("content-type", MEDIA_TYPE), ("accept", "application/json")];
        headers.extend(
            authorization
                .as_deref()
                .map(|value| ("authorization", value)),
        );
        let sent = post::send(
            engine,
            hook,
            Method::POST,
            &url,
            &headers,
            token.into_bytes(),
        );
        post::taken(&sent.await?)?;
    }
    Ok(())
}

/// What a change is in CAEP: one event for each token.
fn events(change: &TrustChange) -> Vec<(&'static str, Value)> {
    let at = change.since.unix();
    let entity = json!("policy");
    let Some(certificate) = change.certificate() else {
        let status = |direction| match direction {
            Direction::Away => "not-compliant",
            Direction::Back => "compliant",
        };
        let now = change.direction();
        let before = match now {
            Direction::Away => Direction::Back,
            Direction::Back => Direction::Away,
        };
        let event = json!({
            "event_timestamp": at, "initiating_entity": entity,
            "previous_status": status(before), "current_status": status(now),
        });
        return vec![(COMPLIANCE_CHANGE, event)];
    };
    let reason = match &change.what {
        Changed::Revoked { reason, .. } => format!("revoked: {reason}"),
        Changed::Held { .. } => "on hold".to_owned(),
        Changed::Released { .. } => "given back".to_owned(),
        Changed::Standing { .. } => String::new(),
    };
    let credential = json!({
        "event_timestamp": at, "initiating_entity": entity, "reason_admin": { "en": reason },
        "credential_type": "x509",
        "change_type": match change.direction() { Direction::Away => "revoke", Direction::Back => "update" },
        "x509_issuer": certificate.issuer, "x509_serial": certificate.serial.to_string(),
    });
    let mut events = vec![(CREDENTIAL_CHANGE, credential)];
    if change.direction() == Direction::Away {
        let session = json!({
            "event_timestamp": at, "initiating_entity": entity, "reason_admin": { "en": reason },
        });
        // The session first: it is what is in a hurry.
        events.insert(0, (SESSION_REVOKED, session));
    }
    events
}

/// One signed token: a JWS in compact form (RFC 7515), ES256.
fn token(
    engine: &Engine,
    hook: &Hook,
    change: &TrustChange,
    name: &str,
    event: &Value,
) -> Result<String, Undelivered> {
    let missing = |what: &str| Undelivered::NotReached(what.to_owned());
    let key = engine
        .messages_key()
        .ok_or_else(|| missing("the key of messages is not at hand"))?;
    let issuer = issuer(engine);
    let mut subject = json!({ "format": "complex" });
    if let Some(device) = &change.device {
        subject["device"] = json!({ "format": "iss_sub", "iss": issuer, "sub": device });
    }
    if let Some(certificate) = change.certificate() {
        let id = format!("{}/{}", certificate.issuer, certificate.serial);
        subject["session"] = json!({ "format": "opaque", "id": id });
    }
    let kind = name.rsplit('/').next().unwrap_or_default();
    let claims = json!({
        "iss": issuer, "aud": hook.audience, "iat": engine.clock().now().unix(),
        "jti": format!("{}.{kind}", post::change_id(change)), "txn": post::change_id(change),
        "sub_id": subject, "events": { name: event },
    });
    let head = json!({ "alg": "ES256", "kid": key_id(&key), "typ": "secevent+jwt" });
    let encoded = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", encoded(&head), encoded(&claims));
    let signature = key
        .sign_message(signed.as_bytes())
        .map_err(|error| missing(&error.to_string()))?;
    let signature = fixed(&signature).ok_or_else(|| missing("the key of messages is not P-256"))?;
    Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
}

/// Who says so: where the house publishes.
pub fn issuer(engine: &Engine) -> String {
    let issuers = engine.snapshot();
    let mut signing = issuers
        .issuers
        .iter()
        .filter(|issuer| issuer.kind == IssuerKind::Issuing);
    signing
        .next()
        .map(|issuer| issuer.base_url.clone())
        .unwrap_or_default()
}

/// The key of messages as a JWK set (RFC 7517); empty if it is not at hand.
pub fn key_set(engine: &Engine) -> Value {
    let keys: Vec<Value> = engine.messages_key().iter().filter_map(jwk).collect();
    json!({ "keys": keys })
}

fn jwk(key: &tenure_engine::signer::Key) -> Option<Value> {
    // The last 65 octets of a P-256 key are 4 and the two coordinates (RFC 5480 section 2.2).
    let point = key.public().spki_der().last_chunk::<65>()?;
    let (x, y) = point.get(1..)?.split_at_checked(32)?;
    Some(json!({
        "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": key_id(key),
        "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y),
    }))
}

fn key_id(key: &tenure_engine::signer::Key) -> String {
    let hash = sha256(key.public().spki_der());
    hex(hash.get(..16).unwrap_or_default())
}

/// The two numbers of an ECDSA signature in DER, each in 32 octets (RFC 7518 section 3.4).
fn fixed(der: &[u8]) -> Option<[u8; 64]> {
    let body = der.strip_prefix(&[0x30])?;
    let (length, body) = body.split_first()?;
    if usize::from(*length) != body.len() {
        return None;
    }
    let (r, rest) = integer(body)?;
    let (s, rest) = integer(rest)?;
    if !rest.is_empty() {
        return None;
    }
    let mut fixed = [0; 64];
    for (number, place) in [r, s].into_iter().zip(fixed.chunks_exact_mut(32)) {
        let number = number.strip_prefix(&[0]).unwrap_or(number);
        place
            .get_mut(32_usize.checked_sub(number.len())?..)?
            .copy_from_slice(number);
    }
    Some(fixed)
}

fn integer(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, body) = der.strip_prefix(&[2])?.split_first()?;
    body.split_at_checked(usize::from(*length))
}
