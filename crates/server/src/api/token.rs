//! `/tokens`: who may use this API.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use tenure_domain::change::Change;
use tenure_domain::ids::OperatorNo;
use tenure_domain::operator::Permission::Administer;
use tenure_domain::operator::{Actor, Role, Token};
use tenure_engine::Changed;
use tenure_engine::store::token;
use tenure_x509::Time;
use utoipa::ToSchema;

use super::body::{Json, Path, Query, some_word, word};
use super::page::{Page, Paging};
use super::{Caller, Desk, Needs, Route};
use crate::problem::Problem;

/// Longest life of a token that has one, in days.
const DAYS_MAX: u32 = 3_650;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/tokens", Administer, "List tokens", list)
            .asks::<Paging>()
            .lists::<TokenItem>(),
        Route::post(
            "/tokens",
            Administer,
            "Hand out a token, shown this once",
            create,
        )
        .takes::<NewToken>()
        .answers::<TokenMade>()
        .shows_a_secret(),
        Route::delete("/tokens/{no}", Administer, "Withdraw a token", revoke)
            .answers::<TokenItem>(),
        Route::post(
            "/tokens/rotate",
            Needs::AnyToken,
            "Replace the token of this call by a fresh one",
            rotate,
        )
        .answers::<TokenMade>()
        .shows_a_secret(),
    ]
}

/// A token as lists show it; the token itself is known only to its holder.
#[derive(Serialize, ToSchema)]
struct TokenItem {
    /// Its number.
    no: i64,
    /// Whose it is, or what it is for.
    name: String,
    /// admin, operator, auditor, reader, relying-party or verifier.
    role: String,
    /// The relying party whose feed it opens, for role relying-party.
    relying_party: Option<String>,
    /// When it was handed out (RFC 3339).
    created: String,
    /// When it stops working (RFC 3339).
    expires: Option<String>,
    /// When it was withdrawn (RFC 3339).
    revoked: Option<String>,
}

impl From<Token> for TokenItem {
    fn from(token: Token) -> TokenItem {
        TokenItem {
            no: token.no.0,
            name: token.name,
            role: token.role.to_string(),
            relying_party: token.party.map(String::from),
            created: token.created.to_string(),
            expires: token.expires.map(|at| at.to_string()),
            revoked: token.revoked.map(|at| at.to_string()),
        }
    }
}

/// A token to be handed out.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewToken {
    /// Whose it is, or what it is for.
    name: String,
    /// admin, operator, auditor, reader, relying-party or verifier.
    role: String,
    /// The relying party whose feed it opens: only for role relying-party.
    relying_party: Option<String>,
    /// How many days it is good; until it is withdrawn if left out.
    days: Option<u32>,
}

/// A fresh token, shown this once.
#[derive(Serialize, ToSchema)]
struct TokenMade {
    /// Its number.
    no: i64,
    /// Its name.
    name: String,
    /// Its role.
    role: String,
    /// The token.
    token: String,
    /// When it stops working (RFC 3339).
    expires: Option<String>,
}

async fn list(
    State(desk): State<Desk>,
    Query(paging): Query<Paging>,
) -> Result<Json<Page<TokenItem>>, Problem> {
    let (tenant, limit) = (desk.engine().tenant(), paging.limit());
    let after = OperatorNo(paging.number()?.unwrap_or(0));
    let items = desk
        .read(move |tx| token::list(tx, tenant, after, limit))
        .await?;
    let page = Page::up_to(limit, items, |token| token.no.0);
    Ok(Json(page.map(TokenItem::from)))
}

async fn create(
    State(desk): State<Desk>,
    caller: Caller,
    Json(asked): Json<NewToken>,
) -> Result<Json<TokenMade>, Problem> {
    let expires = match asked.days {
        Some(days @ 1..=DAYS_MAX) => Some(desk.now().plus(i64::from(days) * 86_400)),
        Some(_) => return Err(Problem::bad_request(format!("days: use 1 to {DAYS_MAX}"))),
        None => None,
    };
    let role = word("role", &asked.role)?;
    let party = some_word("relying_party", asked.relying_party.as_deref())?;
    let change = Change::CreateToken {
        name: word("name", &asked.name)?,
        role,
        party,
        expires,
    };
    let changed = desk.engine().change(&caller.actor(), change).await?;
    handed_out(changed, asked.name, role, expires)
}

/// The one answer that shows a token.
fn handed_out(
    changed: Changed,
    name: String,
    role: Role,
    expires: Option<Time>,
) -> Result<Json<TokenMade>, Problem> {
    let Changed::Token(token) = changed else {
        return Err(Problem::internal());
    };
    Ok(Json(TokenMade {
        no: token.no.0,
        name,
        role: role.to_string(),
        token: token.token,
        expires: expires.map(|at| at.to_string()),
    }))
}

fn known(desk: &Desk, no: i64) -> Result<Token, Problem> {
    let found = desk.glance(|tx| token::by_no(tx, OperatorNo(no)))?;
    found.ok_or_else(|| Problem::not_found(format!("Token {no}")))
}

async fn revoke(
    State(desk): State<Desk>,
    caller: Caller,
    Path(no): Path<i64>,
) -> Result<Json<TokenItem>, Problem> {
    desk.engine()
        .change(&caller.actor(), Change::RevokeToken(OperatorNo(no)))
        .await?;
    Ok(Json(known(&desk, no)?.into()))
}

/// Anyone may rotate the token they hold: the same name, role and end. It is done in the name of the
/// house, since not every role may hand out tokens; the record shows both steps.
async fn rotate(State(desk): State<Desk>, caller: Caller) -> Result<Json<TokenMade>, Problem> {
    let old = known(&desk, caller.no.0)?;
    let us = Actor::system(&format!("rotation of token {} by its holder", old.no));
    let change = Change::RotateToken(old.no);
    let changed = desk.engine().change(&us, change).await?;
    handed_out(changed, old.name, old.role, old.expires)
}
