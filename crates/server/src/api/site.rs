//! `/sites`: places, as a tree.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use tenure_domain::change::{Change, Edit};
use tenure_domain::operator::Permission::{ChangeFleet, ReadFleet};
use tenure_domain::registry::Site;
use tenure_engine::store::registry;
use utoipa::ToSchema;

use super::body::{Json, Path, Query, new_name, some_word};
use super::page::{Page, Paging};
use super::{Caller, Desk, Route};
use crate::problem::Problem;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/sites", ReadFleet, "List sites", list)
            .asks::<Paging>()
            .lists::<SiteItem>(),
        Route::post("/sites", ChangeFleet, "Add a site, or change it", put)
            .takes::<SitePut>()
            .answers::<SiteItem>(),
        Route::get("/sites/{name}", ReadFleet, "Show a site", show).answers::<SiteItem>(),
    ]
}

/// A site.
#[derive(Serialize, ToSchema)]
struct SiteItem {
    /// Its name.
    name: String,
    /// The site around it.
    parent: Option<String>,
}

impl From<Site> for SiteItem {
    fn from(site: Site) -> SiteItem {
        SiteItem {
            name: site.name.to_string(),
            parent: site.parent.map(|parent| parent.to_string()),
        }
    }
}

/// A site to be added or moved in the tree; what is left out stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct SitePut {
    name: String,
    /// The site around it; empty takes it out of any.
    parent: Option<String>,
}

impl SitePut {
    fn over(self, known: Option<Site>) -> Result<Edit<Site>, Problem> {
        let mut to = match &known {
            Some(known) => known.clone(),
            None => Site {
                name: new_name("name", &self.name)?,
                parent: None,
            },
        };
        if let Some(parent) = self.parent {
            to.parent = some_word("parent", Some(&parent))?;
        }
        Ok(Edit { from: known, to })
    }
}

fn found(desk: &Desk, name: &str) -> Result<Option<Site>, Problem> {
    let tenant = desk.engine().tenant();
    desk.glance(|tx| registry::site::by_name(tx, tenant, name))
}

fn known(desk: &Desk, name: &str) -> Result<Site, Problem> {
    found(desk, name)?.ok_or_else(|| Problem::not_found(format!("Site {name}")))
}

async fn list(
    State(desk): State<Desk>,
    Query(paging): Query<Paging>,
) -> Result<Json<Page<SiteItem>>, Problem> {
    let tenant = desk.engine().tenant();
    let all = desk.glance(|tx| registry::sites(tx, tenant))?;
    let page = paging.of(all, |site| site.name.to_string());
    Ok(Json(page.map(SiteItem::from)))
}

async fn show(
    State(desk): State<Desk>,
    Path(name): Path<String>,
) -> Result<Json<SiteItem>, Problem> {
    Ok(Json(known(&desk, &name)?.into()))
}

async fn put(
    State(desk): State<Desk>,
    caller: Caller,
    Json(put): Json<SitePut>,
) -> Result<Json<SiteItem>, Problem> {
    let known_as = put.name.clone();
    let edit = put.over(found(&desk, &known_as)?)?;
    desk.engine()
        .change(&caller.actor(), Change::PutSite(edit))
        .await?;
    Ok(Json(known(&desk, &known_as)?.into()))
}
