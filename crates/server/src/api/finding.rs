//! `/findings`: what is not as it should be.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use tenure_domain::change::Change;
use tenure_domain::finding::{Finding, FindingState};
use tenure_domain::ids::FindingNo;
use tenure_domain::operator::Permission::{Approve, ReadFleet};
use tenure_engine::store::finding;
use utoipa::{IntoParams, ToSchema};

use super::body::{Json, Path, Query, some_word};
use super::page::{Page, Paging};
use super::{Caller, Desk, Route, device};
use crate::problem::Problem;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/findings", ReadFleet, "List findings, newest first", list)
            .asks::<Filter>()
            .asks::<Paging>()
            .lists::<FindingItem>(),
        Route::get("/findings/{no}", ReadFleet, "Show a finding", show).answers::<FindingItem>(),
        Route::post(
            "/findings/{no}/acknowledge",
            Approve,
            "Say that a finding is known, and why it stands",
            acknowledge,
        )
        .takes::<Acknowledged>()
        .answers::<FindingItem>(),
    ]
}

/// A finding: one matter, however often it was seen.
#[derive(Serialize, ToSchema)]
struct FindingItem {
    /// Its number.
    no: i64,
    /// What is not as it should be.
    kind: String,
    /// open, acknowledged or cleared.
    state: String,
    /// Which kind of thing it is about: device, certificate, issuer or relying-party.
    subject_kind: String,
    /// The name of what it is about.
    subject: String,
    /// What exactly; the same words each time it is seen.
    cause: String,
    /// What is wrong and what to do.
    summary: String,
    /// What showed it the last time it opened.
    evidence: Vec<String>,
    /// Who answers for it.
    owner: Option<String>,
    /// What its going unheeded would mean: low, medium, high or safety.
    criticality: String,
    /// How often it has opened.
    times: i64,
    /// When it opened for the first time (RFC 3339).
    first: String,
    /// When it opened the last time (RFC 3339).
    opened: String,
    /// When somebody acknowledged it (RFC 3339).
    acknowledged: Option<String>,
    /// Who acknowledged it.
    acknowledged_by: Option<String>,
    /// Why it stands.
    why: Option<String>,
    /// When what was found was gone (RFC 3339).
    cleared: Option<String>,
}

impl From<Finding> for FindingItem {
    fn from(finding: Finding) -> FindingItem {
        let said = finding.acknowledged;
        FindingItem {
            no: finding.no.0,
            kind: finding.matter.kind.to_string(),
            state: finding.state.to_string(),
            subject_kind: finding.matter.subject.kind.to_string(),
            subject: finding.matter.subject.name,
            cause: finding.matter.cause,
            summary: finding.summary,
            evidence: finding.evidence,
            owner: finding.owner.map(|owner| owner.to_string()),
            criticality: finding.criticality.to_string(),
            times: finding.times,
            first: finding.first.to_string(),
            opened: finding.opened.to_string(),
            acknowledged: said.as_ref().map(|said| said.at.to_string()),
            acknowledged_by: said.as_ref().map(|said| said.by.clone()),
            why: said.map(|said| said.why),
            cleared: finding.cleared.map(|at| at.to_string()),
        }
    }
}

/// Which findings.
#[derive(Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
struct Filter {
    /// open, acknowledged or cleared; all if left out.
    state: Option<String>,
}

async fn list(
    State(desk): State<Desk>,
    Query(filter): Query<Filter>,
    Query(paging): Query<Paging>,
) -> Result<Json<Page<FindingItem>>, Problem> {
    let state = some_word("state", filter.state.as_deref())?;
    Ok(Json(
        page(&desk, state, &paging).await?.map(FindingItem::from),
    ))
}

/// One page of findings, newest first.
pub(crate) async fn page(
    desk: &Desk,
    state: Option<FindingState>,
    paging: &Paging,
) -> Result<Page<Finding>, Problem> {
    let (tenant, before, limit) = (desk.engine().tenant(), paging.number()?, paging.limit());
    let items = desk
        .read(move |tx| finding::list(tx, tenant, state, before.map(FindingNo), limit))
        .await?;
    Ok(Page::up_to(limit, items, |finding| finding.no.0))
}

fn known(desk: &Desk, no: i64) -> Result<Json<FindingItem>, Problem> {
    let found = desk.glance(|tx| finding::by_no(tx, FindingNo(no)))?;
    let finding = found.ok_or_else(|| Problem::not_found(format!("Finding {no}")))?;
    Ok(Json(finding.into()))
}

async fn show(State(desk): State<Desk>, Path(no): Path<i64>) -> Result<Json<FindingItem>, Problem> {
    known(&desk, no)
}

/// Why a finding stands.
#[derive(Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
struct Acknowledged {
    /// Why, for the record.
    why: String,
}

async fn acknowledge(
    State(desk): State<Desk>,
    caller: Caller,
    Path(no): Path<i64>,
    Json(said): Json<Acknowledged>,
) -> Result<Json<FindingItem>, Problem> {
    let change = Change::AcknowledgeFinding {
        finding: FindingNo(no),
        why: device::Why { why: said.why }.text()?,
    };
    desk.engine().change(&caller.actor(), change).await?;
    known(&desk, no)
}
