//! `/exceptions`: what does not count against a device, a class or a site, for a time.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use tenure_domain::change::Change;
use tenure_domain::exception::{BadLifts, Exception, ExceptionState, NewException, Scope};
use tenure_domain::ids::ExceptionNo;
use tenure_domain::operator::Permission::{Approve, ReadFleet};
use tenure_engine::Changed;
use tenure_engine::store::exception;
use tenure_x509::Time;
use utoipa::{IntoParams, ToSchema};

use super::body::{Json, Path, Query, some_word, time, word};
use super::device::Why;
use super::page::{Page, Paging};
use super::{Caller, Desk, Route};
use crate::problem::Problem;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get(
            "/exceptions",
            ReadFleet,
            "List exceptions, newest first",
            list,
        )
        .asks::<Filter>()
        .asks::<Paging>()
        .lists::<ExceptionItem>(),
        Route::post("/exceptions", Approve, "Propose an exception", add)
            .takes::<Proposed>()
            .answers::<ExceptionItem>(),
        Route::get("/exceptions/{no}", ReadFleet, "Show an exception", show)
            .answers::<ExceptionItem>(),
        Route::post(
            "/exceptions/{no}/approve",
            Approve,
            "Approve an exception that another operator proposed",
            approve,
        )
        .answers::<ExceptionItem>(),
        Route::post(
            "/exceptions/{no}/end",
            Approve,
            "End an exception before its time",
            end,
        )
        .takes::<Why>()
        .answers::<ExceptionItem>(),
    ]
}

/// An exception: for a time, some reasons do not count against a device, a class or a site.
#[derive(Serialize, ToSchema)]
struct ExceptionItem {
    /// Its number.
    no: i64,
    /// proposed, active, ended or lapsed.
    state: String,
    /// What it is for: device, class or site.
    scope: String,
    /// The name of what it is for.
    name: String,
    /// The reasons of verdicts that it lifts.
    lifts: Vec<String>,
    /// Why it is there.
    reason: String,
    /// When it lapses (RFC 3339).
    until: String,
    /// When it was proposed (RFC 3339).
    added: String,
    /// Who proposed it.
    added_by: String,
    /// When it was approved (RFC 3339).
    approved: Option<String>,
    /// Who approved it; never who proposed it.
    approved_by: Option<String>,
    /// Since when it is over, if somebody ended it or it was noted that it lapsed (RFC 3339).
    over: Option<String>,
    /// Who ended it.
    ended_by: Option<String>,
    /// Why it was ended.
    why: Option<String>,
}

impl ExceptionItem {
    fn new(exception: Exception, now: Time) -> ExceptionItem {
        let (approved, over) = (exception.approved.as_ref(), exception.over.as_ref());
        ExceptionItem {
            no: exception.no.0,
            state: exception.state(now).to_string(),
            scope: exception.scope.kind().to_string(),
            name: exception.scope.name().to_owned(),
            lifts: exception
                .lifts
                .grounds()
                .iter()
                .map(ToString::to_string)
                .collect(),
            until: exception.until.to_string(),
            added: exception.added.at.to_string(),
            approved: approved.map(|by| by.at.to_string()),
            approved_by: approved.map(|by| by.name.clone()),
            over: over.map(|over| over.at.to_string()),
            ended_by: over.and_then(|over| over.by.clone()),
            why: over
                .map(|over| over.why.clone())
                .filter(|why| !why.is_empty()),
            added_by: exception.added.name,
            reason: exception.reason,
        }
    }
}

/// Which exceptions.
#[derive(Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
struct Filter {
    /// proposed, active, ended or lapsed; all if left out.
    state: Option<String>,
}

async fn list(
    State(desk): State<Desk>,
    Query(filter): Query<Filter>,
    Query(paging): Query<Paging>,
) -> Result<Json<Page<ExceptionItem>>, Problem> {
    let state = some_word("state", filter.state.as_deref())?;
    let now = desk.now();
    let found = page(&desk, state, &paging).await?;
    Ok(Json(found.map(|one| ExceptionItem::new(one, now))))
}

/// One page of exceptions, newest first.
pub(crate) async fn page(
    desk: &Desk,
    state: Option<ExceptionState>,
    paging: &Paging,
) -> Result<Page<Exception>, Problem> {
    let (tenant, before, limit) = (desk.engine().tenant(), paging.number()?, paging.limit());
    let items = desk
        .read(move |tx| exception::list(tx, tenant, state, before.map(ExceptionNo), limit))
        .await?;
    Ok(Page::up_to(limit, items, |exception| exception.no.0))
}

/// One exception.
///
/// # Errors
/// 404 if there is none of this number.
pub(crate) fn known(desk: &Desk, no: i64) -> Result<Exception, Problem> {
    let found = desk.glance(|tx| exception::by_no(tx, ExceptionNo(no)))?;
    found.ok_or_else(|| Problem::not_found(format!("Exception {no}")))
}

fn item(desk: &Desk, no: i64) -> Result<Json<ExceptionItem>, Problem> {
    Ok(Json(ExceptionItem::new(known(desk, no)?, desk.now())))
}

async fn show(
    State(desk): State<Desk>,
    Path(no): Path<i64>,
) -> Result<Json<ExceptionItem>, Problem> {
    item(&desk, no)
}

/// An exception that is wanted; one of device, class and site. It lifts nothing until another operator
/// approves it.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Proposed {
    /// The device that it is for.
    device: Option<String>,
    /// The class whose devices it is for.
    class: Option<String>,
    /// The site that it is for, with all sites in it.
    site: Option<String>,
    /// The reasons of verdicts that it lifts; docs/exceptions.md lists those that can be.
    lifts: Vec<String>,
    /// Why, for the record.
    reason: String,
    /// When it lapses (RFC 3339).
    until: String,
}

impl Proposed {
    fn read(self) -> Result<NewException, Problem> {
        let scope = match (&self.device, &self.class, &self.site) {
            (Some(id), None, None) => Scope::Device(word("device", id)?),
            (None, Some(name), None) => Scope::Class(word("class", name)?),
            (None, None, Some(name)) => Scope::Site(word("site", name)?),
            _ => {
                return Err(Problem::bad_request(
                    "device, class, site: name one of them",
                ));
            }
        };
        let grounds: Result<Vec<_>, _> = self.lifts.iter().map(|it| word("lifts", it)).collect();
        let refused = |error: BadLifts| Problem::bad_request(format!("lifts: {error}"));
        Ok(NewException {
            scope,
            lifts: grounds?.try_into().map_err(refused)?,
            until: time("until", &self.until)?,
            reason: Why { why: self.reason }.text()?,
        })
    }
}

async fn add(
    State(desk): State<Desk>,
    caller: Caller,
    Json(proposed): Json<Proposed>,
) -> Result<Json<ExceptionItem>, Problem> {
    let change = Change::AddException(proposed.read()?);
    match desk.engine().change(&caller.actor(), change).await? {
        Changed::Exception(no) => item(&desk, no.0),
        _ => Err(Problem::internal()),
    }
}

async fn approve(
    State(desk): State<Desk>,
    caller: Caller,
    Path(no): Path<i64>,
) -> Result<Json<ExceptionItem>, Problem> {
    let change = Change::ApproveException(ExceptionNo(no));
    desk.engine().change(&caller.actor(), change).await?;
    item(&desk, no)
}

async fn end(
    State(desk): State<Desk>,
    caller: Caller,
    Path(no): Path<i64>,
    Json(why): Json<Why>,
) -> Result<Json<ExceptionItem>, Problem> {
    let change = Change::EndException {
        exception: ExceptionNo(no),
        why: why.text()?,
    };
    desk.engine().change(&caller.actor(), change).await?;
    item(&desk, no)
}
