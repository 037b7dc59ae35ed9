//! `/me`: who the token says we are.

use serde::Serialize;
use utoipa::ToSchema;

use super::body::Json;
use super::{Caller, Needs, Route};

pub(super) fn routes() -> Vec<Route> {
    vec![Route::get("/me", Needs::AnyToken, "Who the token says you are", me).answers::<Me>()]
}

/// The holder of the token.
#[derive(Serialize, ToSchema)]
struct Me {
    /// The token's number.
    no: i64,
    /// Its name.
    name: String,
    /// admin, operator, auditor, reader, relying-party or verifier.
    role: String,
    /// The relying party that it is bound to, for role relying-party.
    relying_party: Option<String>,
    /// The server's version.
    version: &'static str,
}

async fn me(caller: Caller) -> Json<Me> {
    Json(Me {
        no: caller.no.0,
        name: caller.name,
        role: caller.role.to_string(),
        relying_party: caller.party.map(String::from),
        version: env!("CARGO_PKG_VERSION"),
    })
}
