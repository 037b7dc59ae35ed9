//! `/manufacturers`: makers whose factory identities are accepted.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use tenure_domain::change::Change;
use tenure_domain::operator::Permission::{ChangePolicy, ReadFleet};
use tenure_domain::registry::Manufacturer;
use tenure_engine::store::registry;
use utoipa::ToSchema;

use super::body::{Json, Path, Query, new_if_unknown, some_word, word};
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
            chain_time: manufacturer.chain_time.to_string(),
            roots_pem: manufacturer.roots_pem,
        }
    }
}

/// A manufacturer to be accepted, or its roots to be replaced.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ManufacturerPut {
    /// As it stands in the devices' manufacturer column.
    name: String,
    /// One or more CA certificates, PEM.
    roots_pem: String,
    /// now (if left out) or at-not-before.
    #[serde(default)]
    chain_time: Option<String>,
}

impl ManufacturerPut {
    fn read(self) -> Result<Manufacturer, Problem> {
        Ok(Manufacturer {
            name: word("name", &self.name)?,
            roots_pem: self.roots_pem,
            chain_time: some_word("chain_time", self.chain_time.as_deref())?.unwrap_or_default(),
        })
    }
}

fn all(desk: &Desk) -> Result<Vec<Manufacturer>, Problem> {
    let tenant = desk.engine().tenant();
    desk.glance(|tx| registry::manufacturers(tx, tenant))
}

fn known(desk: &Desk, name: &str) -> Result<Manufacturer, Problem> {
    let found = all(desk)?
        .into_iter()
        .find(|manufacturer| manufacturer.name.as_str() == name);
    found.ok_or_else(|| Problem::not_found(format!("Manufacturer {name}")))
}

async fn list(
    State(desk): State<Desk>,
    Query(paging): Query<Paging>,
) -> Result<Json<Page<ManufacturerItem>>, Problem> {
    let page = paging.of(all(&desk)?, |manufacturer| manufacturer.name.to_string());
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
    Json(manufacturer): Json<ManufacturerPut>,
) -> Result<Json<ManufacturerItem>, Problem> {
    let manufacturer = manufacturer.read()?;
    let name = manufacturer.name.to_string();
    new_if_unknown(&name, &known(&desk, &name))?;
    desk.engine()
        .change(&caller.actor(), Change::PutManufacturer(manufacturer))
        .await?;
    Ok(Json(known(&desk, &name)?.into()))
}
