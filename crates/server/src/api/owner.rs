//! `/owners`: who answers for devices.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use tenure_domain::change::Change;
use tenure_domain::operator::Permission::{ChangeFleet, ReadFleet};
use tenure_domain::registry::Owner;
use tenure_engine::store::registry;
use utoipa::ToSchema;

use super::body::{Json, Path, Query, new_if_unknown, word};
use super::page::{Page, Paging};
use super::{Caller, Desk, Route};
use crate::problem::Problem;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/owners", ReadFleet, "List owners", list)
            .asks::<Paging>()
            .lists::<OwnerItem>(),
        Route::post("/owners", ChangeFleet, "Add an owner, or change it", put)
            .takes::<OwnerPut>()
            .answers::<OwnerItem>(),
        Route::get("/owners/{name}", ReadFleet, "Show an owner", show).answers::<OwnerItem>(),
    ]
}

/// An owner.
#[derive(Serialize, ToSchema)]
struct OwnerItem {
    /// Its name.
    name: String,
    /// How to reach the team.
    contact: String,
}

impl From<Owner> for OwnerItem {
    fn from(owner: Owner) -> OwnerItem {
        OwnerItem {
            name: owner.name.to_string(),
            contact: owner.contact,
        }
    }
}

/// An owner to be added or changed.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct OwnerPut {
    name: String,
    /// How to reach the team; never part of the record.
    #[serde(default)]
    contact: String,
}

impl OwnerPut {
    fn read(self) -> Result<Owner, Problem> {
        Ok(Owner {
            name: word("name", &self.name)?,
            contact: self.contact,
        })
    }
}

fn all(desk: &Desk) -> Result<Vec<Owner>, Problem> {
    let tenant = desk.engine().tenant();
    desk.glance(|tx| registry::owners(tx, tenant))
}

fn known(desk: &Desk, name: &str) -> Result<Owner, Problem> {
    let found = all(desk)?
        .into_iter()
        .find(|owner| owner.name.as_str() == name);
    found.ok_or_else(|| Problem::not_found(format!("Owner {name}")))
}

async fn list(
    State(desk): State<Desk>,
    Query(paging): Query<Paging>,
) -> Result<Json<Page<OwnerItem>>, Problem> {
    let page = paging.of(all(&desk)?, |owner| owner.name.to_string());
    Ok(Json(page.map(OwnerItem::from)))
}

async fn show(
    State(desk): State<Desk>,
    Path(name): Path<String>,
) -> Result<Json<OwnerItem>, Problem> {
    Ok(Json(known(&desk, &name)?.into()))
}

async fn put(
    State(desk): State<Desk>,
    caller: Caller,
    Json(owner): Json<OwnerPut>,
) -> Result<Json<OwnerItem>, Problem> {
    let owner = owner.read()?;
    let name = owner.name.to_string();
    new_if_unknown(&name, &known(&desk, &name))?;
    desk.engine()
        .change(&caller.actor(), Change::PutOwner(owner))
        .await?;
    Ok(Json(known(&desk, &name)?.into()))
}
