//! `/drills`: what must work on the bad day, done on an ordinary one.

use std::collections::BTreeMap;

use axum::extract::State;
use serde::{Deserialize, Serialize};
use tenure_domain::drill::{Drill, DrillKind, Step};
use tenure_domain::ids::{DrillNo, Slug};
use tenure_domain::operator::Permission::{ReadFleet, Withdraw};
use tenure_engine::store::drill;
use tenure_engine::store::relying_party::Known;
use utoipa::ToSchema;

use super::body::{Json, Path, Query, some_word, word};
use super::page::{Page, Paging};
use super::{Caller, Desk, Route, relying_party};
use crate::drill::{Wanted, every_issuer, taking_part};
use crate::limits::PROBED_MAX;
use crate::problem::Problem;

/// How far time is thought forward if nothing is said, in days.
const DAYS: u16 = 30;
const DAYS_MAX: u16 = 3_660;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/drills", ReadFleet, "List drills, newest first", list)
            .asks::<Paging>()
            .lists::<DrillItem>(),
        Route::post(
            "/drills",
            Withdraw,
            "Begin a drill; ask for its number until it has ended",
            start,
        )
        .takes::<NewDrill>()
        .answers::<StartedDrill>(),
        Route::get("/drills/{no}", ReadFleet, "Show a drill", show).answers::<DrillItem>(),
    ]
}

/// One thing that was looked at or done.
#[derive(Serialize, ToSchema)]
pub(crate) struct DrillStepItem {
    /// Of which issuer, if of one.
    pub(crate) issuer: Option<String>,
    /// What.
    pub(crate) what: String,
    /// good, bad, unknown, or told if nothing is demanded of it.
    pub(crate) verdict: String,
    /// In a sentence.
    pub(crate) found: String,
}

impl From<Step> for DrillStepItem {
    fn from(step: Step) -> DrillStepItem {
        DrillStepItem {
            issuer: step.issuer.map(String::from),
            what: step.what,
            verdict: step.verdict.to_string(),
            found: step.found,
        }
    }
}

/// A drill, and what it came to.
#[derive(Serialize, ToSchema)]
pub(crate) struct DrillItem {
    /// Its number.
    pub(crate) no: i64,
    /// revoke, expiry, ca-down or compromise.
    pub(crate) kind: String,
    /// The issuers it was about.
    pub(crate) issuers: Vec<String>,
    /// running, passed, failed, unproven, or cut-off if the server ended before it did.
    pub(crate) verdict: String,
    /// Who began it.
    pub(crate) by: String,
    /// When it began (RFC 3339).
    pub(crate) began: String,
    /// When it ended (RFC 3339).
    pub(crate) ended: Option<String>,
    /// Each step in order.
    pub(crate) steps: Vec<DrillStepItem>,
    /// The probes that were made for it.
    pub(crate) probes: Vec<i64>,
    /// Figures, by name.
    pub(crate) figures: BTreeMap<String, i64>,
}

impl From<Drill> for DrillItem {
    fn from(drill: Drill) -> DrillItem {
        DrillItem {
            no: drill.no.0,
            kind: drill.kind.to_string(),
            issuers: drill.issuers.into_iter().map(String::from).collect(),
            verdict: drill.verdict.to_string(),
            by: drill.by,
            began: drill.began.to_string(),
            ended: drill.ended.map(|at| at.to_string()),
            steps: drill
                .result
                .steps
                .into_iter()
                .map(DrillStepItem::from)
                .collect(),
            probes: drill.result.probes,
            figures: drill.result.figures,
        }
    }
}

async fn list(
    State(desk): State<Desk>,
    Query(paging): Query<Paging>,
) -> Result<Json<Page<DrillItem>>, Problem> {
    page(&desk, &paging).await.map(Json)
}

/// One page of drills, newest first.
pub(crate) async fn page(desk: &Desk, paging: &Paging) -> Result<Page<DrillItem>, Problem> {
    let (tenant, before, limit) = (desk.engine().tenant(), paging.number()?, paging.limit());
    let items = desk
        .read(move |tx| drill::list(tx, tenant, before.map(DrillNo), limit))
        .await?;
    Ok(Page::up_to(limit, items, |drill| drill.no.0).map(DrillItem::from))
}

/// One drill.
pub(crate) fn known(desk: &Desk, no: i64) -> Result<DrillItem, Problem> {
    let found = desk.glance(|tx| drill::by_no(tx, DrillNo(no)))?;
    let found = found.ok_or_else(|| Problem::not_found(format!("Drill {no}")))?;
    Ok(found.into())
}

async fn show(State(desk): State<Desk>, Path(no): Path<i64>) -> Result<Json<DrillItem>, Problem> {
    known(&desk, no).map(Json)
}

/// What is to be rehearsed.
#[derive(Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
struct NewDrill {
    /// revoke, expiry, ca-down or compromise.
    kind: String,
    /// The issuer it is about; every issuing CA if left out.
    issuer: Option<String>,
    /// The relying parties that take part in revoke and expiry; all if left out.
    relying_parties: Vec<String>,
    /// How far expiry thinks time forward, in days; 30 if left out.
    days: Option<u16>,
}

/// A drill that was begun.
#[derive(Serialize, ToSchema)]
struct StartedDrill {
    /// Its number.
    no: i64,
    /// When it must have ended, in seconds from now.
    within_s: i64,
}

async fn start(
    State(desk): State<Desk>,
    caller: Caller,
    Json(new): Json<NewDrill>,
) -> Result<Json<StartedDrill>, Problem> {
    let kind: DrillKind = word("kind", &new.kind)?;
    let issuer: Option<Slug> = some_word("issuer", new.issuer.as_deref())?;
    let all = every_issuer(desk.engine());
    let mut issuers = match issuer {
        None => all,
        Some(name) if all.contains(&name) => vec![name],
        Some(name) => {
            return Err(Problem::not_found(format!("Issuing CA {name} at hand")));
        }
    };
    let takes_part = matches!(kind, DrillKind::Revoke | DrillKind::Expiry);
    let mut parties: Vec<Known> = Vec::new();
    if takes_part {
        parties = parties_of(&desk, &new.relying_parties).await?;
        let trusted = desk.driller().trusted(&parties)?;
        // Whoever is probed is probed with every issuer it trusts; the others are left out.
        parties = taking_part(&trusted, &issuers);
        if new.issuer.is_none() && !new.relying_parties.is_empty() {
            issuers.retain(|it| trusted.contains_key(it));
        }
    } else if !new.relying_parties.is_empty() {
        return Err(Problem::bad_request(format!(
            "relying_parties: none takes part in a {kind} drill"
        )));
    }
    if kind == DrillKind::Revoke && parties.is_empty() {
        return Err(Problem::bad_request(
            "no relying party is registered; add one with `tenure relying-party add`",
        ));
    }
    let wanted = Wanted {
        kind,
        issuers,
        parties,
        days: new.days.unwrap_or(DAYS).clamp(1, DAYS_MAX),
    };
    let within_s = wanted.within_s();
    let no = desk.driller().start(&caller.actor(), wanted).await?;
    Ok(Json(StartedDrill { no: no.0, within_s }))
}

async fn parties_of(desk: &Desk, names: &[String]) -> Result<Vec<Known>, Problem> {
    let tenant = desk.engine().tenant();
    if names.is_empty() {
        let read = move |tx: &tenure_engine::store::ReadTx<'_>| {
            tenure_engine::store::relying_party::list(tx, tenant, "", PROBED_MAX)
        };
        return desk.read(read).await;
    }
    let known = names.iter().map(|name| relying_party::known(desk, name));
    known.collect()
}
