//! `/relying-parties`: where devices are let in or turned away.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use tenure_domain::change::Change;
use tenure_domain::operator::Permission::{ChangeFleet, ReadFleet};
use tenure_domain::relying_party::{
    ENFORCE_WITHIN_DEFAULT_S, PeerProtocol, RelyingParty, RevocationCheck, SessionCheck,
};
use tenure_engine::store::relying_party::{self, Known};
use utoipa::ToSchema;

use super::body::{Json, Path, Query, some_word, word};
use super::page::{Page, Paging};
use super::{Caller, Desk, Route};
use crate::problem::Problem;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get(
            "/relying-parties",
            ReadFleet,
            "List relying parties, by name",
            list,
        )
        .asks::<Paging>()
        .lists::<RelyingPartyItem>(),
        Route::post(
            "/relying-parties",
            ChangeFleet,
            "Add a relying party, or change it",
            put,
        )
        .takes::<RelyingPartyPut>()
        .answers::<RelyingPartyItem>(),
        Route::get(
            "/relying-parties/{name}",
            ReadFleet,
            "Show a relying party",
            show,
        )
        .answers::<RelyingPartyItem>(),
        Route::delete(
            "/relying-parties/{name}",
            ChangeFleet,
            "Take a relying party away",
            remove,
        )
        .answers::<RelyingPartyItem>(),
    ]
}

/// A relying party.
#[derive(Serialize, ToSchema)]
pub(crate) struct RelyingPartyItem {
    /// Its short name.
    name: String,
    /// Where it listens, `HOST:PORT`.
    address: String,
    /// tls, https or mqtt.
    protocol: String,
    /// The name its certificate must carry.
    server_name: String,
    /// What its certificate must lead to, PEM; our own roots if empty.
    anchors_pem: String,
    /// The issuers whose devices it is to let in; every issuing CA if empty.
    issuers: Vec<String>,
    /// The services that devices reach through it.
    services: Vec<String>,
    /// low, medium, high or safety.
    criticality: String,
    /// Who answers for it.
    owner: String,
    /// Where it stands.
    site: String,
    /// How it says that it learns of withdrawals: none, crl, ocsp, filter or decision.
    checks: String,
    /// When it says that it checks: handshake or continuous.
    session: String,
    /// How long after a withdrawal it may still let the device in, in seconds.
    enforce_within_s: i64,
}

impl From<RelyingParty> for RelyingPartyItem {
    fn from(party: RelyingParty) -> RelyingPartyItem {
        let words = |names: Vec<tenure_domain::Title>| {
            names.into_iter().map(String::from).collect::<Vec<_>>()
        };
        RelyingPartyItem {
            server_name: party.expected_name().to_owned(),
            name: party.name.to_string(),
            address: party.address.to_string(),
            protocol: party.protocol.to_string(),
            anchors_pem: party.anchors_pem,
            issuers: party.issuers.into_iter().map(String::from).collect(),
            services: words(party.services),
            criticality: party.criticality.to_string(),
            owner: party.owner.to_string(),
            site: party.site.to_string(),
            checks: party.checks.to_string(),
            session: party.session.to_string(),
            enforce_within_s: party.enforce_within_s,
        }
    }
}

/// A relying party to be added or changed, whole: what is left out takes its default.
#[derive(Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
struct RelyingPartyPut {
    /// Its short name.
    name: String,
    /// Where it listens, `HOST:PORT`.
    address: String,
    /// tls, https or mqtt; tls if left out.
    protocol: Option<String>,
    /// The name its certificate must carry; the host of the address if left out.
    server_name: Option<String>,
    /// What its certificate must lead to, PEM; our own roots if left out.
    anchors_pem: String,
    /// The issuers whose devices it is to let in; every issuing CA if left out.
    issuers: Vec<String>,
    /// The services that devices reach through it.
    services: Vec<String>,
    /// low, medium, high or safety; medium if left out.
    criticality: Option<String>,
    /// Who answers for it.
    owner: String,
    /// Where it stands.
    site: String,
    /// How it says that it learns of withdrawals: none, crl, ocsp, filter or decision; crl if left
    /// out.
    checks: Option<String>,
    /// When it says that it checks: handshake or continuous; handshake if left out.
    session: Option<String>,
    /// How long after a withdrawal it may still let the device in, in seconds; 300 if left out.
    enforce_within_s: Option<i64>,
}

impl RelyingPartyPut {
    fn read(self) -> Result<RelyingParty, Problem> {
        fn words<T: std::str::FromStr<Err: std::fmt::Display>>(
            field: &str,
            texts: &[String],
        ) -> Result<Vec<T>, Problem> {
            texts.iter().map(|text| word(field, text)).collect()
        }
        let address: tenure_domain::relying_party::PeerAddress = word("address", &self.address)?;
        let server_name = self
            .server_name
            .filter(|name| !name.is_empty() && name != address.host());
        Ok(RelyingParty {
            name: word("name", &self.name)?,
            address,
            protocol: some_word("protocol", self.protocol.as_deref())?.unwrap_or(PeerProtocol::Tls),
            server_name,
            anchors_pem: self.anchors_pem,
            issuers: words("issuers", &self.issuers)?,
            services: words("services", &self.services)?,
            criticality: some_word("criticality", self.criticality.as_deref())?.unwrap_or_default(),
            owner: word("owner", &self.owner)?,
            site: word("site", &self.site)?,
            checks: some_word("checks", self.checks.as_deref())?.unwrap_or(RevocationCheck::Crl),
            session: some_word("session", self.session.as_deref())?
                .unwrap_or(SessionCheck::Handshake),
            enforce_within_s: self.enforce_within_s.unwrap_or(ENFORCE_WITHIN_DEFAULT_S),
        })
    }
}

async fn list(
    State(desk): State<Desk>,
    Query(paging): Query<Paging>,
) -> Result<Json<Page<RelyingPartyItem>>, Problem> {
    let page = page(&desk, &paging).await?;
    Ok(Json(page.map(|known| known.party.into())))
}

/// One page of relying parties, by name.
pub(crate) async fn page(desk: &Desk, paging: &Paging) -> Result<Page<Known>, Problem> {
    let (tenant, limit) = (desk.engine().tenant(), paging.limit());
    let after = paging.cursor.clone().unwrap_or_default();
    let items = desk
        .read(move |tx| relying_party::list(tx, tenant, &after, limit))
        .await?;
    Ok(Page::up_to(limit, items, |known| known.party.name.clone()))
}

/// One relying party.
pub(crate) fn known(desk: &Desk, name: &str) -> Result<Known, Problem> {
    let tenant = desk.engine().tenant();
    let found = desk.glance(|tx| relying_party::by_name(tx, tenant, name))?;
    found.ok_or_else(|| Problem::not_found(format!("Relying party {name}")))
}

async fn show(
    State(desk): State<Desk>,
    Path(name): Path<String>,
) -> Result<Json<RelyingPartyItem>, Problem> {
    Ok(Json(known(&desk, &name)?.party.into()))
}

async fn put(
    State(desk): State<Desk>,
    caller: Caller,
    Json(party): Json<RelyingPartyPut>,
) -> Result<Json<RelyingPartyItem>, Problem> {
    let party = party.read()?;
    let name = party.name.to_string();
    desk.engine()
        .change(&caller.actor(), Change::PutRelyingParty(Box::new(party)))
        .await?;
    Ok(Json(known(&desk, &name)?.party.into()))
}

async fn remove(
    State(desk): State<Desk>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<Json<RelyingPartyItem>, Problem> {
    let party = known(&desk, &name)?.party;
    let change = Change::RemoveRelyingParty(party.name.clone());
    desk.engine().change(&caller.actor(), change).await?;
    Ok(Json(party.into()))
}
