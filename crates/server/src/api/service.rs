//! `/services`: what devices talk to, by the name its users give it.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use tenure_domain::change::Change;
use tenure_domain::operator::Permission::{ChangeFleet, ReadFleet};
use tenure_domain::registry::Service;
use tenure_engine::store::registry;
use utoipa::ToSchema;

use super::body::{Json, Path, Query, new_if_unknown, word};
use super::page::{Page, Paging};
use super::{Caller, Desk, Route};
use crate::problem::Problem;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/services", ReadFleet, "List services", list)
            .asks::<Paging>()
            .lists::<ServiceItem>(),
        Route::post("/services", ChangeFleet, "Add a service, or change it", put)
            .takes::<ServicePut>()
            .answers::<ServiceItem>(),
        Route::get("/services/{name}", ReadFleet, "Show a service", show).answers::<ServiceItem>(),
    ]
}

/// A service.
#[derive(Serialize, ToSchema)]
struct ServiceItem {
    /// Its name.
    name: String,
    /// Where it is, for people.
    address: String,
}

impl From<Service> for ServiceItem {
    fn from(service: Service) -> ServiceItem {
        ServiceItem {
            name: service.name.to_string(),
            address: service.address,
        }
    }
}

/// A service to be added or changed.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ServicePut {
    name: String,
    /// Where it is, for people; not interpreted.
    #[serde(default)]
    address: String,
}

impl ServicePut {
    fn read(self) -> Result<Service, Problem> {
        Ok(Service {
            name: word("name", &self.name)?,
            address: self.address,
        })
    }
}

fn all(desk: &Desk) -> Result<Vec<Service>, Problem> {
    let tenant = desk.engine().tenant();
    desk.glance(|tx| registry::services(tx, tenant))
}

fn known(desk: &Desk, name: &str) -> Result<Service, Problem> {
    let found = all(desk)?
        .into_iter()
        .find(|service| service.name.as_str() == name);
    found.ok_or_else(|| Problem::not_found(format!("Service {name}")))
}

async fn list(
    State(desk): State<Desk>,
    Query(paging): Query<Paging>,
) -> Result<Json<Page<ServiceItem>>, Problem> {
    let page = paging.of(all(&desk)?, |service| service.name.to_string());
    Ok(Json(page.map(ServiceItem::from)))
}

async fn show(
    State(desk): State<Desk>,
    Path(name): Path<String>,
) -> Result<Json<ServiceItem>, Problem> {
    Ok(Json(known(&desk, &name)?.into()))
}

async fn put(
    State(desk): State<Desk>,
    caller: Caller,
    Json(service): Json<ServicePut>,
) -> Result<Json<ServiceItem>, Problem> {
    let service = service.read()?;
    let name = service.name.to_string();
    new_if_unknown(&name, &known(&desk, &name))?;
    desk.engine()
        .change(&caller.actor(), Change::PutService(service))
        .await?;
    Ok(Json(known(&desk, &name)?.into()))
}
