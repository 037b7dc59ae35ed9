//! What machines ask the server about itself: `/healthz`, `/readyz`, `/metrics`.

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hyper::HeaderMap;
use tenure_domain::operator::Permission;
use tenure_engine::store::event;

use super::body::answer;
use super::{Caller, Desk};
use crate::metrics;
use crate::problem::Problem;

const TEXT: &str = "text/plain; charset=utf-8";

/// Adds the three paths. The first two are open, the last needs role reader.
pub(super) fn mount(router: Router<Desk>, _: &Desk) -> Router<Desk> {
    router
        .route("/healthz", get(|| async { answer(TEXT, "alive\n") }))
        .route("/readyz", get(ready))
        .route("/metrics", get(figures))
}

/// Whether the server can do its work: the store reads and writes, the clock is right, our keys are
/// there.
async fn ready(State(desk): State<Desk>) -> Response {
    let read = desk.read(event::last).await;
    let (newest, now) = (desk.engine().store().last_recorded(), desk.now());
    if let Err(problem) = read {
        return Problem::unavailable(problem).into_response();
    }
    if let Some(ailment) = desk.engine().store().ailment() {
        return Problem::unavailable(ailment).into_response();
    }
    if tenure_domain::facts::clock_went_back(now, newest) {
        return Problem::unavailable(
            "The clock is behind the last recorded event; nothing is signed until it is right.",
        )
        .into_response();
    }
    let missing = desk.engine().missing_keys();
    if !missing.is_empty() {
        return Problem::unavailable(format!("Keys are missing: {}.", missing.join(", ")))
            .into_response();
    }
    answer(TEXT, "ready\n")
}

async fn figures(State(desk): State<Desk>, headers: HeaderMap) -> Result<Response, Problem> {
    let caller = Caller::of(&desk, &headers)?;
    caller
        .role
        .may(Permission::ReadFleet)
        .map_err(Problem::from)?;
    // The collectors read the store.
    let metrics = desk.metrics().clone();
    let text = tokio::task::spawn_blocking(move || metrics.text()).await;
    Ok(answer(
        metrics::CONTENT_TYPE,
        text.map_err(|_| Problem::internal())?,
    ))
}
