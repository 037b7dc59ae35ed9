//! `/manufacturers`: makers whose factory identities are accepted.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use tenure_domain::change::{Change, Edit};
use tenure_domain::operator::Permission::{ChangePolicy, ReadFleet};
use tenure_domain::registry::{ChainTime, Manufacturer};
use tenure_engine::store::registry;
use tenure_x509::Cert;
use utoipa::ToSchema;

use super::body::{Json, Path, Query, new_name, some_word};
use super::page::{Page, Paging};
use super::{Caller, Desk, Route};
use crate::problem::Problem;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/manufacturers", ReadFleet, "List manufacturers", list)
            .asks::<Paging>()
            .lists::<ManufacturerItem>(),
        Route::post(
            "/manufacturers",
            ChangePolicy,
            "Add a manufacturer, or change it",
            put,
        )
        .takes::<ManufacturerPut>()
        .answers::<ManufacturerItem>(),
        Route::get(
            "/manufacturers/{name}",
            ReadFleet,
            "Show a manufacturer",
            show,
        )
        .answers::<ManufacturerItem>(),
    ]
}

/// A manufacturer.
#[derive(Serialize, ToSchema)]
struct ManufacturerItem {
    /// Its name, as it stands in the devices' manufacturer column.
    name: String,
    /// Whom its roots name (RFC 4514).
    roots: Vec<String>,
    /// What is wrong with its roots: what we would never issue, and what may keep its devices out.
    flaws: Vec<String>,
    /// When its chains must have been valid: now or at-not-before.
    chain_time: String,
    /// Its roots, PEM.
    roots_pem: String,
}

impl From<Manufacturer> for ManufacturerItem {
    fn from(manufacturer: Manufacturer) -> ManufacturerItem {
        let roots = tenure_x509::pem_certificates(&manufacturer.roots_pem).unwrap_or_default();
        ManufacturerItem {
            name: manufacturer.name.to_string(),
            roots: roots
                .iter()
                .map(|root| root.subject().to_string())
                .collect(),
            flaws: roots.iter().flat_map(flaws).collect(),
            chain_time: manufacturer.chain_time.to_string(),
            roots_pem: manufacturer.roots_pem,
        }
    }
}

/// What is wrong with a root, each with the root's name.
fn flaws(root: &Cert) -> Vec<String> {
    let name = root.subject().to_string();
    let flaws = root.flaws().iter();
    flaws.map(|flaw| format!("{name}: {flaw}")).collect()
}

/// A manufacturer to be accepted, or its roots to be replaced; what is left out stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ManufacturerPut {
    /// As it stands in the devices' manufacturer column.
    name: String,
    /// One or more CA certificates, PEM.
    roots_pem: Option<String>,
    /// now or at-not-before; now for a new one.
    chain_time: Option<String>,
}

impl ManufacturerPut {
    fn over(self, known: Option<Manufacturer>) -> Result<Edit<Manufacturer>, Problem> {
        let mut to = match &known {
            Some(known) => known.clone(),
            None => Manufacturer {
                name: new_name("name", &self.name)?,
                roots_pem: String::new(),
                chain_time: ChainTime::default(),
            },
        };
        if let Some(roots_pem) = self.roots_pem {
            to.roots_pem = roots_pem;
        }
        if let Some(chain_time) = some_word("chain_time", self.chain_time.as_deref())? {
            to.chain_time = chain_time;
        }
        Ok(Edit { from: known, to })
    }
}

fn found(desk: &Desk, name: &str) -> Result<Option<Manufacturer>, Problem> {
    let tenant = desk.engine().tenant();
    desk.glance(|tx| registry::manufacturer::by_name(tx, tenant, name))
}

fn known(desk: &Desk, name: &str) -> Result<Manufacturer, Problem> {
    found(desk, name)?.ok_or_else(|| Problem::not_found(format!("Manufacturer {name}")))
}

async fn list(
    State(desk): State<Desk>,
    Query(paging): Query<Paging>,
) -> Result<Json<Page<ManufacturerItem>>, Problem> {
    let tenant = desk.engine().tenant();
    let all = desk.glance(|tx| registry::manufacturers(tx, tenant))?;
    let page = paging.of(all, |manufacturer| manufacturer.name.to_string());
    Ok(Json(page.map(ManufacturerItem::from)))
}

async fn show(
    State(desk): State<Desk>,
    Path(name): Path<String>,
) -> Result<Json<ManufacturerItem>, Problem> {
    Ok(Json(known(&desk, &name)?.into()))
}

async fn put(
    State(desk): State<Desk>,
    caller: Caller,
    Json(put): Json<ManufacturerPut>,
) -> Result<Json<ManufacturerItem>, Problem> {
    let known_as = put.name.clone();
    let edit = put.over(found(&desk, &known_as)?)?;
    desk.engine()
        .change(&caller.actor(), Change::PutManufacturer(edit))
        .await?;
    Ok(Json(known(&desk, &known_as)?.into()))
}
