//! `/classes`: kinds of device.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use tenure_domain::change::Change;
use tenure_domain::ids::Slug;
use tenure_domain::operator::Permission::{ChangeFleet, ReadFleet};
use tenure_domain::profile::Profile;
use tenure_domain::registry::Class;
use tenure_engine::store::registry;
use utoipa::ToSchema;

use super::body::{Json, Path, Query, new_if_unknown, some_word, word};
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

/// A class to be added or changed; what is left out takes its default.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ClassPut {
    name: String,
    /// `device` if left out.
    #[serde(default = "for_devices")]
    profile: String,
    #[serde(default)]
    connectivity: Option<String>,
    #[serde(default)]
    exposure: Option<String>,
    #[serde(default)]
    impact: Option<String>,
    #[serde(default)]
    renewability: Option<String>,
    #[serde(default)]
    server_keygen: Option<String>,
    #[serde(default)]
    replaced: Option<String>,
    #[serde(default)]
    fork_allowance: Option<u8>,
}

fn for_devices() -> String {
    "device".to_owned()
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
    fn read(self) -> Result<Class, Problem> {
        let plain = Class::new(word("name", &self.name)?, word("profile", &self.profile)?);
        Ok(Class {
            connectivity: some_word("connectivity", self.connectivity.as_deref())?
                .unwrap_or(plain.connectivity),
            exposure: some_word("exposure", self.exposure.as_deref())?.unwrap_or(plain.exposure),
            impact: some_word("impact", self.impact.as_deref())?.unwrap_or(plain.impact),
            renewability: some_word("renewability", self.renewability.as_deref())?
                .unwrap_or(plain.renewability),
            server_keygen: some_word("server_keygen", self.server_keygen.as_deref())?
                .unwrap_or(plain.server_keygen),
            replaced: some_word("replaced", self.replaced.as_deref())?.unwrap_or(plain.replaced),
            fork_allowance: self.fork_allowance.unwrap_or(plain.fork_allowance),
            ..plain
        })
    }
}

fn all(desk: &Desk) -> Result<Vec<Class>, Problem> {
    let tenant = desk.engine().tenant();
    desk.glance(|tx| registry::classes(tx, tenant))
}

fn known(desk: &Desk, name: &str) -> Result<Class, Problem> {
    let found = all(desk)?
        .into_iter()
        .find(|class| class.name.as_str() == name);
    found.ok_or_else(|| Problem::not_found(format!("Class {name}")))
}

async fn list(
    State(desk): State<Desk>,
    Query(paging): Query<Paging>,
) -> Result<Json<Page<ClassItem>>, Problem> {
    let page = paging.of(all(&desk)?, |class| class.name.to_string());
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
    Json(class): Json<ClassPut>,
) -> Result<Json<ClassItem>, Problem> {
    let class = class.read()?;
    offered(&desk, &class.profile)?;
    let name = class.name.to_string();
    new_if_unknown(&name, &known(&desk, &name))?;
    desk.engine()
        .change(&caller.actor(), Change::PutClass(class))
        .await?;
    Ok(Json(known(&desk, &name)?.into()))
}
