//! EMQX's HTTP authenticator and authorizer: JSON in, `{"result": "allow" | "deny" | "ignore"}` out.
//!
//! To EMQX any status but 200 and 204 means *ignore*, which hands the client to the next
//! authenticator. So whatever goes wrong here is answered with 200 and *deny*.

use axum::extract::State;
use axum::http::HeaderMap;
use serde::{Deserialize, Serialize};
use tenure_domain::decision::Access;
use tenure_engine::Decided;

use super::{decide, reason};
use crate::api::Desk;
use crate::api::body::Json;
use crate::decision::Knock;
use crate::limits::DEVICE_BODY_BYTES_MAX;
use crate::peer::{Peer, Whole};
use crate::problem::Problem;

/// What the templates of docs/relying-parties/emqx.md send. Others may send more.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Client {
    /// The certificate; EMQX makes it the user name with `peer_cert_as_username = pem`.
    certificate: Option<String>,
    /// The SHA-256 of the certificate's DER, hex, where only that is known.
    fingerprint: Option<String>,
    /// The device's name, where only the common name is known.
    device: Option<String>,
    /// The service that this listener is.
    service: Option<String>,
    /// The site at which devices of this listener stand.
    site: Option<String>,
    /// Where the client comes from.
    peerhost: Option<String>,
}

#[derive(Serialize)]
pub(super) struct Authenticated {
    result: &'static str,
    is_superuser: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_attrs: Option<Attributes>,
}

#[derive(Serialize)]
struct Attributes {
    device: String,
    tier: String,
}

#[derive(Serialize)]
pub(super) struct Authorized {
    result: &'static str,
}

async fn asked(
    desk: &Desk,
    peer: &Peer,
    headers: &HeaderMap,
    body: Result<Whole<DEVICE_BODY_BYTES_MAX>, Problem>,
) -> Result<Decided, Problem> {
    let body = body?.into_inner();
    let client: Client = serde_json::from_slice(&body)
        .map_err(|error| Problem::bad_request(format!("the body: {error}")))?;
    let knock = Knock {
        certificate: client.certificate,
        fingerprint: client.fingerprint,
        device: client.device,
        service: client.service,
        site: client.site,
        source: client.peerhost,
        ..Knock::default()
    };
    decide(desk, peer, headers, &knock)
}

/// The decision, or none: then the log says why, and the client is turned away.
fn known(asked: Result<Decided, Problem>) -> Option<Decided> {
    match asked {
        Ok(decided) => Some(decided),
        Err(problem) => {
            tracing::info!(%problem, "a broker's question was answered with deny");
            None
        }
    }
}

/// A client connects.
pub(super) async fn authenticate(
    State(desk): State<Desk>,
    peer: Peer,
    headers: HeaderMap,
    body: Result<Whole<DEVICE_BODY_BYTES_MAX>, Problem>,
) -> Json<Authenticated> {
    let decided = known(asked(&desk, &peer, &headers, body).await);
    let allowed = decided.filter(|decided| decided.verdict.access == Access::Allow);
    let client_attrs = allowed.as_ref().map(|decided| Attributes {
        device: decided
            .device
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default(),
        tier: decided.verdict.tier.to_string(),
    });
    Json(Authenticated {
        result: match allowed {
            Some(_) => "allow",
            None => "deny",
        },
        is_superuser: false,
        client_attrs,
    })
}

/// A client publishes or subscribes. Who may do that at all goes on to the broker's own rules, which
/// know the topics.
pub(super) async fn authorize(
    State(desk): State<Desk>,
    peer: Peer,
    headers: HeaderMap,
    body: Result<Whole<DEVICE_BODY_BYTES_MAX>, Problem>,
) -> Json<Authorized> {
    let decided = known(asked(&desk, &peer, &headers, body).await);
    let result = match decided {
        Some(decided) if decided.verdict.access == Access::Allow => "ignore",
        Some(decided) => {
            tracing::debug!(reason = reason(&decided), "a client is turned away");
            "deny"
        }
        None => "deny",
    };
    Json(Authorized { result })
}
