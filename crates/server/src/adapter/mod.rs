//! Adapters: relying parties that ask in their own words whether a device may be let in. Each turns its
//! bytes into a [`Knock`] and the verdict back into its words; whatever goes
//! wrong is a no.
//!
//! They answer on a listener of their own, which has nothing else to offer: who can reach it can ask,
//! with the token of a relying party, about that one's services.

mod emqx;
mod envoy;
mod nginx;

use axum::Router;
use axum::http::HeaderMap;
use axum::routing::{any, post};
use hyper::StatusCode;
use tenure_engine::Decided;

use crate::api::{self, Caller, Desk};
use crate::decision::{self, Knock};
use crate::listen::Listener;
use crate::peer::Peer;
use crate::problem::Problem;

/// Everything that the access listener answers.
pub fn router(desk: Desk) -> Router {
    let api = api::decide::asking().mount(Router::new(), &desk);
    Router::new()
        .route("/auth-request", any(nginx::answer))
        .route("/emqx/authn", post(emqx::authenticate))
        .route("/emqx/authz", post(emqx::authorize))
        .route(tenure_wire::ext_authz::CHECK_PATH, post(envoy::check))
        .nest(api::PREFIX, api)
        .fallback(|| async { Problem::not_found("This path of the access listener") })
        .with_state(desk)
}

/// Decides for whoever holds the token in these headers.
fn decide(
    desk: &Desk,
    peer: &Peer,
    headers: &HeaderMap,
    knock: &Knock,
) -> Result<Decided, Problem> {
    let caller = Caller::of(desk, headers).inspect_err(|problem| {
        if problem.status == StatusCode::UNAUTHORIZED.as_u16() {
            let (listener, source) = (Listener::Access.name(), peer.address.ip());
            desk.engine()
                .count_stranger(listener, Some(source), "unauthorized");
        }
    })?;
    decision::decide(desk, &caller, knock)
}

/// What a service behind a relying party may want to know of the device.
fn told(decided: &Decided) -> Vec<(&'static str, String)> {
    let mut told = vec![
        ("x-tenure-verdict", decided.id.to_string()),
        ("x-tenure-tier", decided.verdict.tier.to_string()),
    ];
    if let Some(device) = &decided.device {
        told.push(("x-tenure-device", device.to_string()));
    }
    told
}

/// The word of the reason that decided.
fn reason(decided: &Decided) -> &'static str {
    decided
        .verdict
        .grounds
        .first()
        .map_or("", |ground| ground.word())
}
