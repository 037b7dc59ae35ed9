//! `/permits`: what an operator may withdraw beyond what one may alone, because another one agrees.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use tenure_domain::change::Change;
use tenure_domain::ids::OperatorNo;
use tenure_domain::operator::Permission::{ReadFleet, Withdraw};
use tenure_domain::permit::{NewPermit, Permit};
use tenure_engine::Changed;
use tenure_engine::store::permit;
use utoipa::ToSchema;

use super::body::{Json, Query};
use super::page::{Page, Paging};
use super::{Caller, Desk, Route};
use crate::problem::Problem;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/permits", ReadFleet, "List permits, newest first", list)
            .asks::<Paging>()
            .lists::<PermitItem>(),
        Route::post(
            "/permits",
            Withdraw,
            "Let another operator withdraw more than one may alone",
            grant,
        )
        .takes::<Wanted>()
        .answers::<Given>(),
    ]
}

/// A permit.
#[derive(Serialize, ToSchema)]
struct PermitItem {
    /// Its number.
    no: i64,
    /// The token of the operator whom it is for.
    operator: i64,
    /// The name of that token.
    name: String,
    /// How many certificates it allows.
    revocations: u32,
    /// How many of them are withdrawn.
    used: u32,
    /// Until when it is good (RFC 3339).
    until: String,
    /// When it was given (RFC 3339).
    granted: String,
    /// Who gave it.
    granted_by: String,
    /// Why.
    why: String,
}

impl From<Permit> for PermitItem {
    fn from(permit: Permit) -> PermitItem {
        PermitItem {
            no: permit.no,
            operator: permit.operator.0,
            name: permit.name,
            revocations: permit.revocations,
            used: permit.used,
            until: permit.until.to_string(),
            granted: permit.granted.to_string(),
            granted_by: permit.granted_by,
            why: permit.why,
        }
    }
}

async fn list(
    State(desk): State<Desk>,
    Query(paging): Query<Paging>,
) -> Result<Json<Page<PermitItem>>, Problem> {
    let (tenant, before, limit) = (desk.engine().tenant(), paging.number()?, paging.limit());
    let items = desk
        .read(move |tx| permit::list(tx, tenant, before, limit))
        .await?;
    let page = Page::up_to(limit, items, |permit| permit.no);
    Ok(Json(page.map(PermitItem::from)))
}

/// A permit that is to be given.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Wanted {
    /// The token of the operator whom it is for; never one of your own name.
    operator: i64,
    /// How many more certificates may be withdrawn.
    revocations: u32,
    /// How long, in seconds: a minute to 7 days. An hour if left out.
    #[serde(default = "an_hour")]
    life_s: i64,
    /// Why, for the record.
    why: String,
}

fn an_hour() -> i64 {
    3_600
}

/// A permit that was given.
#[derive(Serialize, ToSchema)]
struct Given {
    /// Its number.
    no: i64,
}

async fn grant(
    State(desk): State<Desk>,
    caller: Caller,
    Json(wanted): Json<Wanted>,
) -> Result<Json<Given>, Problem> {
    let change = Change::PermitRevocations(NewPermit {
        operator: OperatorNo(wanted.operator),
        revocations: wanted.revocations,
        life_s: wanted.life_s,
        why: wanted.why,
    });
    match desk.engine().change(&caller.actor(), change).await? {
        Changed::Permit(no) => Ok(Json(Given { no })),
        _ => Err(Problem::internal()),
    }
}
