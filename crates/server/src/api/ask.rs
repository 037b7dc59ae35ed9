//! `/asks`: requests that wait for a decision, and strangers in quarantine.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use tenure_domain::ask::AskState;
use tenure_domain::change::Change;
use tenure_domain::ids::AskNo;
use tenure_domain::operator::Permission::{Approve, ReadFleet};
use tenure_engine::store::pending::{self, HeldAsk};
use tenure_x509::Csr;
use utoipa::{IntoParams, ToSchema};

use super::body::{Json, Path, Query, some_word};
use super::event::kept_actor;
use super::page::{Page, Paging};
use super::{Caller, Desk, Route};
use crate::problem::Problem;

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::get(
            "/asks",
            ReadFleet,
            "List requests that wait or waited for a decision, newest first",
            list,
        )
        .asks::<Filter>()
        .asks::<Paging>()
        .lists::<AskItem>(),
        Route::get("/asks/{no}", ReadFleet, "Show a request", show).answers::<AskItem>(),
        Route::post(
            "/asks/{no}/approve",
            Approve,
            "Let it have its certificate when it asks again",
            approve,
        )
        .answers::<AskItem>(),
        Route::post("/asks/{no}/refuse", Approve, "Refuse it", refuse).answers::<AskItem>(),
    ]
}

/// A held request.
#[derive(Serialize, ToSchema)]
pub(crate) struct AskItem {
    /// Its number.
    pub(crate) no: i64,
    /// waiting, quarantined (nobody registered the device), approved, refused or answered.
    pub(crate) state: &'static str,
    /// The device, if it is registered.
    pub(crate) device: Option<String>,
    /// Who asks: a device id, or the fingerprint of a stranger's certificate.
    pub(crate) identity: String,
    /// Whom the request names (RFC 4514); the certificate's names come from the registry.
    pub(crate) subject: String,
    /// enroll, renew or server-keygen.
    pub(crate) operation: String,
    /// The profile asked for by name; none if the device's class picks it.
    pub(crate) label: Option<String>,
    /// Why it waits, as a word.
    pub(crate) reason: String,
    /// Why it waits, in a sentence.
    pub(crate) why: String,
    /// What was proved.
    pub(crate) evidence: String,
    /// SHA-256 of the key (SubjectPublicKeyInfo), in hex.
    pub(crate) key: String,
    /// Where it came from.
    pub(crate) source: Option<String>,
    /// When it came first (RFC 3339).
    pub(crate) opened: String,
    /// When it was decided (RFC 3339).
    pub(crate) decided: Option<String>,
    /// Who decided it, as in events: an operator is `NAME (ROLE)`.
    pub(crate) decided_by: Option<String>,
}

impl From<HeldAsk> for AskItem {
    fn from(ask: HeldAsk) -> AskItem {
        let subject = Csr::from_der(&ask.csr).map(|csr| csr.subject().to_string());
        AskItem {
            no: ask.no.0,
            state: ask.state().word(),
            device: ask.device.map(|id| id.to_string()),
            identity: ask.identity,
            subject: subject.unwrap_or_default(),
            operation: ask.operation.to_string(),
            label: ask.via.label.map(|label| label.to_string()),
            reason: ask.reason,
            why: ask.why,
            evidence: ask.evidence,
            key: ask.key.to_string(),
            source: ask.via.source.map(|source| source.to_string()),
            opened: ask.opened.to_string(),
            decided: ask.decided.map(|at| at.to_string()),
            decided_by: kept_actor(&ask.decided_by),
        }
    }
}

/// Which requests.
#[derive(Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
struct Filter {
    /// waiting (with those in quarantine), quarantined, approved, refused or answered; all if left
    /// out.
    state: Option<String>,
}

async fn list(
    State(desk): State<Desk>,
    Query(filter): Query<Filter>,
    Query(paging): Query<Paging>,
) -> Result<Json<Page<AskItem>>, Problem> {
    let state = some_word("state", filter.state.as_deref())?;
    Ok(Json(page(&desk, state, &paging).await?.map(AskItem::from)))
}

/// One page of held requests, newest first.
pub(crate) async fn page(
    desk: &Desk,
    state: Option<AskState>,
    paging: &Paging,
) -> Result<Page<HeldAsk>, Problem> {
    let (tenant, before, limit) = (desk.engine().tenant(), paging.number()?, paging.limit());
    let items = desk
        .read(move |tx| pending::list(tx, tenant, state, before.map(AskNo), limit))
        .await?;
    Ok(Page::up_to(limit, items, |ask| ask.no.0))
}

fn known(desk: &Desk, no: i64) -> Result<Json<AskItem>, Problem> {
    let found = desk.glance(|tx| pending::by_no(tx, AskNo(no)))?;
    let ask = found.ok_or_else(|| Problem::not_found(format!("Ask {no}")))?;
    Ok(Json(ask.into()))
}

async fn show(State(desk): State<Desk>, Path(no): Path<i64>) -> Result<Json<AskItem>, Problem> {
    known(&desk, no)
}

async fn approve(
    State(desk): State<Desk>,
    caller: Caller,
    Path(no): Path<i64>,
) -> Result<Json<AskItem>, Problem> {
    desk.engine()
        .change(&caller.actor(), Change::ApproveAsk(AskNo(no)))
        .await?;
    known(&desk, no)
}

async fn refuse(
    State(desk): State<Desk>,
    caller: Caller,
    Path(no): Path<i64>,
) -> Result<Json<AskItem>, Problem> {
    desk.engine()
        .change(&caller.actor(), Change::RefuseAsk(AskNo(no)))
        .await?;
    known(&desk, no)
}
