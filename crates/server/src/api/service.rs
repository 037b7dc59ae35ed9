//! `/services`: what devices talk to, by the name its users give it.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use tenure_domain::change::{Change, Edit};
use tenure_domain::operator::Permission::{ChangeFleet, ReadFleet};
use tenure_domain::registry::Service;
use tenure_engine::store::registry;
use utoipa::ToSchema;

use super::body::{Json, Path, Query, new_name};
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

/// A service to be added or changed; what is left out stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ServicePut {
    name: String,
    /// Where it is, for people; not interpreted.
    address: Option<String>,
}

impl ServicePut {
    fn over(self, known: Option<Service>) -> Result<Edit<Service>, Problem> {
        let mut to = match &known {
            Some(known) => known.clone(),
            None => Service {
                name: new_name("name", &self.name)?,
                address: String::new(),
            },
        };
        if let Some(address) = self.address {
            to.address = address;
        }
        Ok(Edit { from: known, to })
    }
}

fn found(desk: &Desk, name: &str) -> Result<Option<Service>, Problem> {
    let tenant = desk.engine().tenant();
    desk.glance(|tx| registry::service::by_name(tx, tenant, name))
}

fn known(desk: &Desk, name: &str) -> Result<Service, Problem> {
    found(desk, name)?.ok_or_else(|| Problem::not_found(format!("Service {name}")))
}

async fn list(
    State(desk): State<Desk>,
    Query(paging): Query<Paging>,
) -> Result<Json<Page<ServiceItem>>, Problem> {
    let tenant = desk.engine().tenant();
    let all = desk.glance(|tx| registry::services(tx, tenant))?;
    let page = paging.of(all, |service| service.name.to_string());
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
    Json(put): Json<ServicePut>,
) -> Result<Json<ServiceItem>, Problem> {
    let known_as = put.name.clone();
    let edit = put.over(found(&desk, &known_as)?)?;
    desk.engine()
        .change(&caller.actor(), Change::PutService(edit))
        .await?;
    Ok(Json(known(&desk, &known_as)?.into()))
}
