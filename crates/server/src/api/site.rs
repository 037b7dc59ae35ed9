//! `/sites`: places, as a tree.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use tenure_domain::change::Change;
use tenure_domain::operator::Permission::{ChangeFleet, ReadFleet};
use tenure_domain::registry::Site;
use tenure_engine::store::registry;
use utoipa::ToSchema;

use super::body::{Json, Path, Query, new_if_unknown, some_word, word};
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

/// A site to be added or moved in the tree.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct SitePut {
    name: String,
    /// The site around it.
    #[serde(default)]
    parent: Option<String>,
}

impl SitePut {
    fn read(self) -> Result<Site, Problem> {
        Ok(Site {
            name: word("name", &self.name)?,
            parent: some_word("parent", self.parent.as_deref())?,
        })
    }
}

fn all(desk: &Desk) -> Result<Vec<Site>, Problem> {
    let tenant = desk.engine().tenant();
    desk.glance(|tx| registry::sites(tx, tenant))
}

fn known(desk: &Desk, name: &str) -> Result<Site, Problem> {
    let found = all(desk)?
        .into_iter()
        .find(|site| site.name.as_str() == name);
    found.ok_or_else(|| Problem::not_found(format!("Site {name}")))
}

async fn list(
    State(desk): State<Desk>,
    Query(paging): Query<Paging>,
) -> Result<Json<Page<SiteItem>>, Problem> {
    let page = paging.of(all(&desk)?, |site| site.name.to_string());
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
    Json(site): Json<SitePut>,
) -> Result<Json<SiteItem>, Problem> {
    let site = site.read()?;
    let name = site.name.to_string();
    new_if_unknown(&name, &known(&desk, &name))?;
    desk.engine()
        .change(&caller.actor(), Change::PutSite(site))
        .await?;
    Ok(Json(known(&desk, &name)?.into()))
}
