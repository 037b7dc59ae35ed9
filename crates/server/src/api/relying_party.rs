//! `/relying-parties`: where devices are let in or turned away.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use tenure_domain::change::{Change, Edit};
use tenure_domain::operator::Permission::{ChangeFleet, ReadFleet};
use tenure_domain::relying_party::RelyingParty;
use tenure_engine::store::relying_party::{self, Known};
use utoipa::ToSchema;

use super::body::{Json, Path, Query, same_name, some_word, some_words, word};
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
        Route::patch(
            "/relying-parties/{name}",
            ChangeFleet,
            "Change a relying party; what is left out stays",
            edit,
        )
        .takes::<RelyingPartyPut>()
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

/// A relying party to be added or changed; what is left out stays, and takes its default in a new one.
#[derive(Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
struct RelyingPartyPut {
    /// Its short name.
    name: String,
    /// Where it listens, `HOST:PORT`; a new address brings its own name, unless one is given.
    address: Option<String>,
    /// tls, https or mqtt; tls for a new one.
    protocol: Option<String>,
    /// The name its certificate must carry; the host of the address if empty.
    server_name: Option<String>,
    /// What its certificate must lead to, PEM; our own roots if empty.
    anchors_pem: Option<String>,
    /// The issuers whose devices it is to let in; every issuing CA if empty.
    issuers: Option<Vec<String>>,
    /// The services that devices reach through it.
    services: Option<Vec<String>>,
    /// low, medium, high or safety; medium for a new one.
    criticality: Option<String>,
    /// Who answers for it.
    owner: Option<String>,
    /// Where it stands.
    site: Option<String>,
    /// How it says that it learns of withdrawals: none, crl, ocsp, filter or decision; crl for a new
    /// one.
    checks: Option<String>,
    /// When it says that it checks: handshake or continuous; handshake for a new one.
    session: Option<String>,
    /// How long after a withdrawal it may still let the device in, in seconds; 300 for a new one.
    enforce_within_s: Option<i64>,
}

impl RelyingPartyPut {
    fn over(self, known: Option<RelyingParty>) -> Result<Edit<RelyingParty>, Problem> {
        let was = match &known {
            Some(known) => known.clone(),
            None => RelyingParty::new(
                word("name", &self.name)?,
                word("address", &self.address.clone().unwrap_or_default())?,
                word("owner", &self.owner.clone().unwrap_or_default())?,
                word("site", &self.site.clone().unwrap_or_default())?,
            ),
        };
        let address = some_word("address", self.address.as_deref())?;
        let server_name = match (self.server_name, &address) {
            (Some(name), _) => Some(name).filter(|name| !name.is_empty()),
            (None, Some(_)) => None,
            (None, None) => was.server_name,
        };
        let address = address.unwrap_or(was.address);
        let to = RelyingParty {
            server_name: server_name.filter(|name| name != address.host()),
            address,
            protocol: some_word("protocol", self.protocol.as_deref())?.unwrap_or(was.protocol),
            anchors_pem: self.anchors_pem.unwrap_or(was.anchors_pem),
            issuers: some_words("issuers", self.issuers)?.unwrap_or(was.issuers),
            services: some_words("services", self.services)?.unwrap_or(was.services),
            criticality: some_word("criticality", self.criticality.as_deref())?
                .unwrap_or(was.criticality),
            owner: some_word("owner", self.owner.as_deref())?.unwrap_or(was.owner),
            site: some_word("site", self.site.as_deref())?.unwrap_or(was.site),
            checks: some_word("checks", self.checks.as_deref())?.unwrap_or(was.checks),
            session: some_word("session", self.session.as_deref())?.unwrap_or(was.session),
            enforce_within_s: self.enforce_within_s.unwrap_or(was.enforce_within_s),
            name: was.name,
        };
        Ok(Edit { from: known, to })
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
    found(desk, name)?.ok_or_else(|| Problem::not_found(format!("Relying party {name}")))
}

fn found(desk: &Desk, name: &str) -> Result<Option<Known>, Problem> {
    let tenant = desk.engine().tenant();
    desk.glance(|tx| relying_party::by_name(tx, tenant, name))
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
    Json(put): Json<RelyingPartyPut>,
) -> Result<Json<RelyingPartyItem>, Problem> {
    let known = found(&desk, &put.name)?.map(|known| known.party);
    carry_out(&desk, &caller, put.over(known)?).await
}

async fn edit(
    State(desk): State<Desk>,
    caller: Caller,
    Path(name): Path<String>,
    Json(put): Json<RelyingPartyPut>,
) -> Result<Json<RelyingPartyItem>, Problem> {
    let known = known(&desk, &name)?.party;
    same_name(&put.name, &name)?;
    carry_out(&desk, &caller, put.over(Some(known))?).await
}

async fn carry_out(
    desk: &Desk,
    caller: &Caller,
    edit: Edit<RelyingParty>,
) -> Result<Json<RelyingPartyItem>, Problem> {
    let name = edit.to.name.to_string();
    let change = Change::PutRelyingParty(Box::new(edit));
    desk.engine().change(&caller.actor(), change).await?;
    Ok(Json(known(desk, &name)?.party.into()))
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
