//! What EST says to each refusal and fault: a status, perhaps when to come back, and one line of
//! plain text for people (RFC 7030 section 4.2.3).

use axum::response::{IntoResponse, Response};
use hyper::StatusCode;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use tenure_domain::Refusal;
use tenure_engine::{Fault, Rejection};
use tenure_wire::est::Error;

use crate::problem::Problem;

/// When to come back after a fault that passes, in seconds.
const FAULT_RETRY_S: u64 = 60;

/// A status and one line.
pub(super) fn plain(status: StatusCode, what: &str) -> Response {
    let headers = [
        (
            CONTENT_TYPE,
            HeaderValue::from_static("text/plain; charset=utf-8"),
        ),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    (status, headers, format!("{what}\n")).into_response()
}

/// The same, with when to come back.
pub(super) fn wait(status: StatusCode, seconds: u64, what: &str) -> Response {
    let mut response = plain(status, what);
    response
        .headers_mut()
        .insert(RETRY_AFTER, HeaderValue::from(seconds));
    response
}

/// Accepted, not decided.
pub(super) fn pending(retry_after_s: u32) -> Response {
    let what = "the request waits for a decision; send it again, unchanged";
    wait(StatusCode::ACCEPTED, retry_after_s.into(), what)
}

/// Why there is no certificate.
pub(super) fn rejected(rejection: &Rejection) -> Response {
    match rejection {
        Rejection::Refusal(refusal) => refused(refusal),
        Rejection::Fault(fault) => failed(fault),
    }
}

/// Every refusal in EST's words.
pub(super) fn refused(refusal: &Refusal) -> Response {
    let what = refusal.to_string();
    match refusal {
        Refusal::NotAuthenticated | Refusal::BadCredential => {
            let mut response = plain(StatusCode::UNAUTHORIZED, &what);
            response.headers_mut().insert(
                WWW_AUTHENTICATE,
                HeaderValue::from_static("Basic realm=\"tenure\", charset=\"UTF-8\""),
            );
            response
        }
        Refusal::Locked { retry_after_s } => wait(
            StatusCode::TOO_MANY_REQUESTS,
            (*retry_after_s).into(),
            &what,
        ),
        Refusal::TooSoon { retry_after_s } => wait(
            StatusCode::SERVICE_UNAVAILABLE,
            (*retry_after_s).into(),
            &what,
        ),
        Refusal::Standing(_)
        | Refusal::NotAllowed { .. }
        | Refusal::Incomplete { .. }
        | Refusal::Forbidden { .. } => plain(StatusCode::FORBIDDEN, &what),
        Refusal::UnknownLabel | Refusal::NotFound { .. } => plain(StatusCode::NOT_FOUND, &what),
        Refusal::BadRequest { .. } | Refusal::KeyRejected { .. } => {
            plain(StatusCode::BAD_REQUEST, &what)
        }
        Refusal::Conflict { .. } => plain(StatusCode::CONFLICT, &what),
    }
}

fn failed(fault: &Fault) -> Response {
    let why = format!("its log says why under fault {}", fault.id);
    match fault.cause.passes() {
        true => wait(
            StatusCode::SERVICE_UNAVAILABLE,
            FAULT_RETRY_S,
            &format!("the server cannot do this at present; come back later. {why}"),
        ),
        false => plain(
            StatusCode::INTERNAL_SERVER_ERROR,
            &format!("the server failed; {why}"),
        ),
    }
}

/// A message that is not proper EST.
pub(super) fn malformed(error: &Error) -> Response {
    let status = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::BAD_REQUEST);
    plain(status, &error.to_string())
}

/// A body that could not be read.
pub(super) fn problem(problem: &Problem) -> Response {
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::BAD_REQUEST);
    plain(status, &problem.to_string())
}
