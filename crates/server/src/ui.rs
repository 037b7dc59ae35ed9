//! The dashboard: pages made here, from the same functions that the API answers from. One style
//! sheet, no script, and nothing to build.
//!
//! **Absences.** No token in a page or an address, no change without the session's CSRF token, no
//! text of anyone that is not escaped.
//!
//! Read first: `session::SignedIn` (who looks at a page) and `posted::Posted` (a form that was
//! really sent from one of our pages).

use axum::Router;
use axum::extract::FromRef;
use axum::middleware::{from_fn_with_state, map_response};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use hyper::header::{self, HeaderName, HeaderValue};

use crate::api::Desk;

mod action;
mod ask;
mod asked;
mod blast;
mod by_state;
mod certificate;
mod chart;
mod compromise;
mod decision;
mod device;
mod drill;
mod enforcement;
mod exception;
mod fault;
mod finding;
mod fleet;
mod graph;
mod hook;
mod incident;
mod issuer;
mod page;
mod posted;
mod relying_party;
mod rollover;
mod session;
mod sign_in;
#[cfg(test)]
mod tests;
mod trust_store;

/// What every page works with. A cheap handle.
#[derive(Clone)]
struct Ui {
    desk: Desk,
    sessions: session::Sessions,
}

impl FromRef<Ui> for Desk {
    fn from_ref(ui: &Ui) -> Desk {
        ui.desk.clone()
    }
}

/// The pages, to be merged into the operator listener's router.
pub fn router(desk: Desk) -> Router {
    let ui = Ui {
        desk,
        sessions: session::Sessions::default(),
    };
    Router::new()
        .route("/", get(fleet::show))
        .route("/devices", get(device::list))
        .route("/devices/{id}", get(device::show))
        .route(
            "/devices/{id}/{verb}",
            get(action::ask_device).post(action::do_device),
        )
        .route("/certificates", get(certificate::list))
        .route("/certificates/{serial}", get(certificate::show))
        .route(
            "/certificates/{serial}/{verb}",
            get(action::ask_certificate).post(action::do_certificate),
        )
        .route(
            "/issuers/{issuer}/certificates/{serial}/{verb}",
            get(action::ask_certificate).post(action::do_certificate),
        )
        .route("/issuers", get(issuer::list))
        .route("/issuers/{issuer}/rollover", get(rollover::show))
        .route(
            "/issuers/{issuer}/certificates/{serial}",
            get(certificate::show),
        )
        .route("/asks", get(ask::list))
        .route("/asks/{no}", get(ask::show))
        .route("/asks/{no}/approve", post(ask::approve))
        .route("/asks/{no}/refuse", post(ask::refuse))
        .route("/incidents", get(incident::list))
        .route("/incidents/{no}", get(incident::show))
        .route("/incidents/{no}/resolve", post(incident::resolve))
        .route("/findings", get(finding::list))
        .route("/findings/{no}", get(finding::show))
        .route("/findings/{no}/acknowledge", post(finding::acknowledge))
        .route("/relying-parties", get(relying_party::list))
        .route("/relying-parties/{name}", get(relying_party::show))
        .route(
            "/relying-parties/{name}/trust-store",
            get(trust_store::show),
        )
        .route("/enforcement", get(enforcement::show))
        .route("/hooks", get(hook::list))
        .route("/blast-radius", get(blast::show))
        .route("/compromises", get(compromise::list))
        .route("/compromises/{no}", get(compromise::show))
        .route("/drills", get(drill::list))
        .route("/drills/{no}", get(drill::show))
        .route("/trust-graph", get(graph::show))
        .route("/decisions", get(decision::show))
        .route("/exceptions", get(exception::list))
        .route("/exceptions/{no}", get(exception::show))
        .route("/exceptions/{no}/approve", post(exception::approve))
        .route("/exceptions/{no}/end", post(exception::end))
        .route("/login", get(sign_in::show).post(sign_in::enter))
        .route("/logout", post(sign_in::leave))
        .layer(from_fn_with_state(ui.clone(), posted::on_record))
        .layer(map_response(sealed))
        .route("/style.css", get(style))
        .with_state(ui)
}

/// No page may load, run, frame or send anything but what is ours, and none is kept by a cache.
async fn sealed(mut response: Response) -> Response {
    const HEADERS: [(HeaderName, &str); 6] = [
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; \
             base-uri 'none'; frame-ancestors 'none'",
        ),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "same-origin"),
        (header::CACHE_CONTROL, "no-store"),
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            "same-origin",
        ),
    ];
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

async fn style() -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/css; charset=utf-8"),
        (header::CACHE_CONTROL, "max-age=3600"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, include_str!("ui/style.css")).into_response()
}
