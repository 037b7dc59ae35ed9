//! `/issuers`: certification authorities.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use tenure_domain::change::Change;
use tenure_domain::issuer::Issuer;
use tenure_domain::operator::Permission::{ChangePolicy, ReadFleet};
use tenure_domain::rollover::root_of;
use utoipa::ToSchema;

use super::body::{Json, Path, Query, answer};
use super::page::{Page, Paging};
use super::{Caller, Desk, Route};
use crate::problem::Problem;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/issuers", ReadFleet, "List issuers", list)
            .asks::<Paging>()
            .lists::<IssuerItem>(),
        Route::get("/issuers/{issuer}", ReadFleet, "Show an issuer", show)
            .answers::<IssuerDetail>(),
        Route::get(
            "/issuers/{issuer}/export",
            ReadFleet,
            "An issuer's certificate and those above it, PEM",
            export,
        )
        .answers_text("application/pem-certificate-chain"),
        Route::patch(
            "/issuers/{issuer}",
            ChangePolicy,
            "Change where status is published, for certificates issued from now on",
            edit,
        )
        .takes::<IssuerEdit>()
        .answers::<IssuerDetail>(),
    ]
}

/// An issuer as lists show it.
#[derive(Serialize, ToSchema)]
struct IssuerItem {
    /// Its short name, which never changes.
    name: String,
    /// root or issuing.
    kind: String,
    /// prepared, distributed, active, tainted or removed.
    state: String,
    /// Since when (RFC 3339).
    since: String,
    /// Whom its certificate names (RFC 4514).
    subject: String,
    /// Which algorithm it signs with.
    algorithm: String,
    /// From when its certificate may be used (RFC 3339).
    not_before: String,
    /// Until when its certificate may be used (RFC 3339).
    not_after: String,
    /// How many shards its revocation list has.
    shards: u16,
    /// Where relying parties fetch status.
    base_url: String,
}

/// An issuer with its certificates.
#[derive(Serialize, ToSchema)]
struct IssuerDetail {
    #[serde(flatten)]
    issuer: IssuerItem,
    /// Its certificate's serial, in hex.
    serial: String,
    /// SHA-256 of its certificate, in hex.
    fingerprint: String,
    /// Where its key is: at-hand, or elsewhere.
    key: &'static str,
    /// Every base URL it ever had, the present one last.
    base_urls: Vec<String>,
    /// Its certificate and those above it, PEM.
    chain_pem: String,
    /// The key of its root as other roots certified it, PEM; empty if none did, or all were withdrawn.
    cross_pem: String,
}

fn item(issuer: &Issuer) -> IssuerItem {
    let validity = issuer.certificate.validity();
    IssuerItem {
        name: issuer.name.to_string(),
        kind: issuer.kind.to_string(),
        state: issuer.state.to_string(),
        since: issuer.since.to_string(),
        subject: issuer.subject().to_string(),
        algorithm: issuer.public_key().algorithm().name().to_string(),
        not_before: validity.not_before.to_string(),
        not_after: validity.not_after.to_string(),
        shards: issuer.shards,
        base_url: issuer.base_url.clone(),
    }
}

fn chain_pem(issuer: &Issuer) -> String {
    let above = issuer.chain.iter().map(tenure_x509::Cert::pem);
    std::iter::once(issuer.certificate.pem())
        .chain(above)
        .collect()
}

fn cross_pem(desk: &Desk, issuer: &Issuer) -> String {
    let snapshot = desk.engine().snapshot();
    let root = root_of(&snapshot.issuers, issuer);
    let cross = root.into_iter().flat_map(|root| &root.cross);
    cross.map(|cross| cross.certificate.pem()).collect()
}

fn detail(desk: &Desk, issuer: &Issuer) -> IssuerDetail {
    IssuerDetail {
        issuer: item(issuer),
        serial: issuer.certificate.serial().to_string(),
        fingerprint: tenure_domain::text::hex(&issuer.certificate.fingerprint()),
        key: if desk.engine().key(&issuer.key).is_some() {
            "at-hand"
        } else {
            "elsewhere"
        },
        base_urls: issuer.base_urls.clone(),
        chain_pem: chain_pem(issuer),
        cross_pem: cross_pem(desk, issuer),
    }
}

/// The issuer of a path.
///
/// # Errors
/// 404 if there is none.
pub(crate) fn known(desk: &Desk, name: &str) -> Result<Arc<Issuer>, Problem> {
    let snapshot = desk.engine().snapshot();
    let found = snapshot
        .issuers
        .iter()
        .find(|issuer| issuer.name.as_str() == name);
    found
        .cloned()
        .ok_or_else(|| Problem::not_found(format!("Issuer {name}")))
}

async fn list(
    State(desk): State<Desk>,
    Query(paging): Query<Paging>,
) -> Result<Json<Page<IssuerItem>>, Problem> {
    let issuers = Arc::clone(&desk.engine().snapshot().issuers);
    let page = paging.of(issuers.to_vec(), |issuer| issuer.name.to_string());
    Ok(Json(page.map(|issuer| item(&issuer))))
}

async fn show(
    State(desk): State<Desk>,
    Path(name): Path<String>,
) -> Result<Json<IssuerDetail>, Problem> {
    Ok(Json(detail(&desk, &*known(&desk, &name)?)))
}

async fn export(State(desk): State<Desk>, Path(name): Path<String>) -> Result<Response, Problem> {
    let issuer = known(&desk, &name)?;
    Ok(answer(
        "application/pem-certificate-chain",
        chain_pem(&issuer),
    ))
}

/// What is to change of an issuer.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct IssuerEdit {
    /// `http://HOST[:PORT][/PATH]` of the public listener, as relying parties reach it.
    base_url: String,
}

async fn edit(
    State(desk): State<Desk>,
    caller: Caller,
    Path(name): Path<String>,
    Json(edit): Json<IssuerEdit>,
) -> Result<Json<IssuerDetail>, Problem> {
    let issuer = known(&desk, &name)?.name.clone();
    let change = Change::SetBaseUrl {
        issuer,
        base_url: edit.base_url,
    };
    desk.engine().change(&caller.actor(), change).await?;
    Ok(Json(detail(&desk, &*known(&desk, &name)?)))
}
