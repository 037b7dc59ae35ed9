//! `/incidents`: what must not happen and did.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use tenure_domain::change::Change;
use tenure_domain::ids::IncidentNo;
use tenure_domain::incident::{Incident, IncidentState};
use tenure_domain::operator::Permission::{Approve, ReadFleet};
use tenure_engine::store::incident;
use utoipa::{IntoParams, ToSchema};

use super::body::{Json, Path, Query, some_word};
use super::page::{Page, Paging};
use super::{Caller, Desk, Route, device};
use crate::problem::Problem;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get(
            "/incidents",
            ReadFleet,
            "List incidents, newest first",
            list,
        )
        .asks::<Filter>()
        .asks::<Paging>()
        .lists::<IncidentItem>(),
        Route::get("/incidents/{no}", ReadFleet, "Show an incident", show)
            .answers::<IncidentItem>(),
        Route::post(
            "/incidents/{no}/resolve",
            Approve,
            "Decide an incident: keep one branch or none",
            resolve,
        )
        .takes::<Resolution>()
        .answers::<IncidentItem>(),
    ]
}

/// An incident.
#[derive(Serialize, ToSchema)]
struct IncidentItem {
    /// Its number.
    no: i64,
    /// fork, shared-key, not-ours or abandoned-used.
    kind: String,
    /// open or resolved.
    state: String,
    /// The device, if one is known.
    device: Option<String>,
    /// The serials concerned; for a fork one of each branch.
    serials: Vec<String>,
    /// What happened, in one sentence.
    summary: String,
    /// When it was opened (RFC 3339).
    opened: String,
    /// When it was decided (RFC 3339).
    resolved: Option<String>,
    /// How it was decided.
    outcome: Option<String>,
}

impl From<Incident> for IncidentItem {
    fn from(incident: Incident) -> IncidentItem {
        IncidentItem {
            no: incident.no.0,
            kind: incident.kind.to_string(),
            state: incident.state.to_string(),
            device: incident.device.map(|id| id.to_string()),
            serials: incident.serials,
            summary: incident.summary,
            opened: incident.opened.to_string(),
            resolved: incident.resolved.map(|at| at.to_string()),
            outcome: incident.outcome,
        }
    }
}

/// Which incidents.
#[derive(Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
struct Filter {
    /// open or resolved; all if left out.
    state: Option<String>,
}

async fn list(
    State(desk): State<Desk>,
    Query(filter): Query<Filter>,
    Query(paging): Query<Paging>,
) -> Result<Json<Page<IncidentItem>>, Problem> {
    let state = some_word("state", filter.state.as_deref())?;
    Ok(Json(
        page(&desk, state, &paging).await?.map(IncidentItem::from),
    ))
}

/// One page of incidents, newest first.
pub(crate) async fn page(
    desk: &Desk,
    state: Option<IncidentState>,
    paging: &Paging,
) -> Result<Page<Incident>, Problem> {
    let (tenant, before, limit) = (desk.engine().tenant(), paging.number()?, paging.limit());
    let items = desk
        .read(move |tx| incident::list(tx, tenant, state, before.map(IncidentNo), limit))
        .await?;
    Ok(Page::up_to(limit, items, |incident| incident.no.0))
}

fn known(desk: &Desk, no: i64) -> Result<Json<IncidentItem>, Problem> {
    let found = desk.glance(|tx| incident::by_no(tx, IncidentNo(no)))?;
    let incident = found.ok_or_else(|| Problem::not_found(format!("Incident {no}")))?;
    Ok(Json(incident.into()))
}

async fn show(
    State(desk): State<Desk>,
    Path(no): Path<i64>,
) -> Result<Json<IncidentItem>, Problem> {
    known(&desk, no)
}

/// How an incident is decided.
#[derive(Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
struct Resolution {
    /// The serial of the branch to keep; all other certificates of the device are revoked. Without
    /// it, all are.
    keep: Option<String>,
    /// Why, for the record.
    why: String,
}

async fn resolve(
    State(desk): State<Desk>,
    caller: Caller,
    Path(no): Path<i64>,
    Json(resolution): Json<Resolution>,
) -> Result<Json<IncidentItem>, Problem> {
    let change = Change::ResolveIncident {
        incident: IncidentNo(no),
        keep: resolution.keep.filter(|keep| !keep.is_empty()),
        why: device::Why {
            why: resolution.why,
        }
        .text()?,
    };
    desk.engine().change(&caller.actor(), change).await?;
    known(&desk, no)
}
