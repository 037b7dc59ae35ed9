//! `/classes`: kinds of device.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use tenure_domain::change::{Change, Edit};
use tenure_domain::ids::Slug;
use tenure_domain::operator::Permission::{ChangeFleet, ReadFleet};
use tenure_domain::profile::Profile;
use tenure_domain::registry::Class;
use tenure_engine::store::registry;
use utoipa::ToSchema;

use super::body::{Json, Path, Query, new_name, some_word, word};
use super::page::{Page, Paging};
use super::{Caller, Desk, Route};
use crate::problem::Problem;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/classes", ReadFleet, "List classes", list)
            .asks::<Paging>()
            .lists::<ClassItem>(),
        Route::post("/classes", ChangeFleet, "Add a class, or change it", put)
            .takes::<ClassPut>()
            .answers::<ClassItem>(),
        Route::get("/classes/{name}", ReadFleet, "Show a class", show).answers::<ClassItem>(),
    ]
}

/// A class.
#[derive(Serialize, ToSchema)]
struct ClassItem {
    /// Its name.
    name: String,
    /// The profile its devices get when they do not name one.
    profile: String,
    /// How often its devices can reach us: always, intermittent or offline.
    connectivity: String,
    /// Who can reach them: isolated, internal or internet.
    exposure: String,
    /// What their impersonation would mean: low, medium, high or safety.
    impact: String,
    /// Whether they can renew by themselves: autonomous, assisted, manual or none.
    renewability: String,
    /// Whether the server may make keys for them: forbidden or allowed.
    server_keygen: String,
    /// What becomes of replaced certificates: keep-until-expiry or revoke-when-confirmed.
    replaced: String,
    /// Renewals with a changed key forgiven before it counts as a clone, 1 to 3.
    fork_allowance: u8,
}

impl From<Class> for ClassItem {
    fn from(class: Class) -> ClassItem {
        ClassItem {
            name: class.name.to_string(),
            profile: class.profile.to_string(),
            connectivity: class.connectivity.to_string(),
            exposure: class.exposure.to_string(),
            impact: class.impact.to_string(),
            renewability: class.renewability.to_string(),
            server_keygen: class.server_keygen.to_string(),
            replaced: class.replaced.to_string(),
            fork_allowance: class.fork_allowance,
        }
    }
}

/// A class to be added or changed; what is left out stays, and takes its default in a new one.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ClassPut {
    name: String,
    /// `device` for a new one.
    profile: Option<String>,
    connectivity: Option<String>,
    exposure: Option<String>,
    impact: Option<String>,
    renewability: Option<String>,
    server_keygen: Option<String>,
    replaced: Option<String>,
    fork_allowance: Option<u8>,
}

/// A profile that a class may name: one of the policy in force, for devices.
pub(super) fn offered(desk: &Desk, name: &Slug) -> Result<(), Problem> {
    let policy = &desk.engine().snapshot().policy;
    let is_offered = |profile: &Profile| profile.kind.is_for_devices();
    if policy
        .profile(name)
        .is_some_and(|profile| is_offered(profile))
    {
        return Ok(());
    }
    let all = policy.profiles.values();
    let names: Vec<_> = all
        .filter(|profile| is_offered(profile))
        .map(|profile| profile.name.as_str())
        .collect();
    let names = names.join(", ");
    Err(Problem::bad_request(format!(
        "profile: the policy in force has no profile {name} for devices; it has {names}"
    )))
}

impl ClassPut {
    fn over(self, known: Option<Class>) -> Result<Edit<Class>, Problem> {
        let was = match &known {
            Some(known) => known.clone(),
            None => Class::new(new_name("name", &self.name)?, word("profile", "device")?),
        };
        let to = Class {
            profile: some_word("profile", self.profile.as_deref())?.unwrap_or(was.profile),
            connectivity: some_word("connectivity", self.connectivity.as_deref())?
                .unwrap_or(was.connectivity),
            exposure: some_word("exposure", self.exposure.as_deref())?.unwrap_or(was.exposure),
            impact: some_word("impact", self.impact.as_deref())?.unwrap_or(was.impact),
            renewability: some_word("renewability", self.renewability.as_deref())?
                .unwrap_or(was.renewability),
            server_keygen: some_word("server_keygen", self.server_keygen.as_deref())?
                .unwrap_or(was.server_keygen),
            replaced: some_word("replaced", self.replaced.as_deref())?.unwrap_or(was.replaced),
            fork_allowance: self.fork_allowance.unwrap_or(was.fork_allowance),
            name: was.name,
        };
        Ok(Edit { from: known, to })
    }
}

fn found(desk: &Desk, name: &str) -> Result<Option<Class>, Problem> {
    let tenant = desk.engine().tenant();
    desk.glance(|tx| registry::class::by_name(tx, tenant, name))
}

fn known(desk: &Desk, name: &str) -> Result<Class, Problem> {
    found(desk, name)?.ok_or_else(|| Problem::not_found(format!("Class {name}")))
}

async fn list(
    State(desk): State<Desk>,
    Query(paging): Query<Paging>,
) -> Result<Json<Page<ClassItem>>, Problem> {
    let tenant = desk.engine().tenant();
    let all = desk.glance(|tx| registry::classes(tx, tenant))?;
    let page = paging.of(all, |class| class.name.to_string());
    Ok(Json(page.map(ClassItem::from)))
}

async fn show(
    State(desk): State<Desk>,
    Path(name): Path<String>,
) -> Result<Json<ClassItem>, Problem> {
    Ok(Json(known(&desk, &name)?.into()))
}

async fn put(
    State(desk): State<Desk>,
    caller: Caller,
    Json(put): Json<ClassPut>,
) -> Result<Json<ClassItem>, Problem> {
    let known_as = put.name.clone();
    let edit = put.over(found(&desk, &known_as)?)?;
    let had = edit.from.as_ref().map(|class| &class.profile);
    if had != Some(&edit.to.profile) {
        offered(&desk, &edit.to.profile)?;
    }
    desk.engine()
        .change(&caller.actor(), Change::PutClass(edit))
        .await?;
    Ok(Json(known(&desk, &known_as)?.into()))
}
