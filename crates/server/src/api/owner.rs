//! `/owners`: who answers for devices.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use tenure_domain::change::{Change, Edit};
use tenure_domain::operator::Permission::{ChangeFleet, ReadFleet};
use tenure_domain::registry::Owner;
use tenure_engine::store::registry;
use utoipa::ToSchema;

use super::body::{Json, Path, Query, new_name};
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

/// An owner to be added or changed; what is left out stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct OwnerPut {
    name: String,
    /// How to reach the team; never part of the record.
    contact: Option<String>,
}

impl OwnerPut {
    fn over(self, known: Option<Owner>) -> Result<Edit<Owner>, Problem> {
        let mut to = match &known {
            Some(known) => known.clone(),
            None => Owner {
                name: new_name("name", &self.name)?,
                contact: String::new(),
            },
        };
        if let Some(contact) = self.contact {
            to.contact = contact;
        }
        Ok(Edit { from: known, to })
    }
}

fn found(desk: &Desk, name: &str) -> Result<Option<Owner>, Problem> {
    let tenant = desk.engine().tenant();
    desk.glance(|tx| registry::owner::by_name(tx, tenant, name))
}

fn known(desk: &Desk, name: &str) -> Result<Owner, Problem> {
    found(desk, name)?.ok_or_else(|| Problem::not_found(format!("Owner {name}")))
}

async fn list(
    State(desk): State<Desk>,
    Query(paging): Query<Paging>,
) -> Result<Json<Page<OwnerItem>>, Problem> {
    let tenant = desk.engine().tenant();
    let all = desk.glance(|tx| registry::owners(tx, tenant))?;
    let page = paging.of(all, |owner| owner.name.to_string());
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
    Json(put): Json<OwnerPut>,
) -> Result<Json<OwnerItem>, Problem> {
    let known_as = put.name.clone();
    let edit = put.over(found(&desk, &known_as)?)?;
    desk.engine()
        .change(&caller.actor(), Change::PutOwner(edit))
        .await?;
    Ok(Json(known(&desk, &known_as)?.into()))
}
