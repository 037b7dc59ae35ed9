//! Envoy's external authorization: the gRPC call `Check`. An answer without a verdict is an error to
//! Envoy, which keeps the client out unless `failure_mode_allow` was set, and nobody should.

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::header::{self, HeaderValue};
use tenure_domain::decision::Access;
use tenure_wire::ext_authz::{Answer, CheckRequest, CheckResponse, GRPC, framed, unframed};
use tenure_wire::limits::CHECK_BYTES_MAX;

use super::{decide, reason, told};
use crate::api::Desk;
use crate::decision::Knock;
use crate::peer::{Peer, Whole};
use crate::problem::Problem;

/// The message with the five bytes before it.
const BODY_BYTES_MAX: usize = CHECK_BYTES_MAX + 5;

pub(super) async fn check(
    State(desk): State<Desk>,
    peer: Peer,
    headers: HeaderMap,
    body: Result<Whole<BODY_BYTES_MAX>, Problem>,
) -> Response {
    match answer(&desk, &peer, &headers, body) {
        Ok(response) => said(&response),
        Err(problem) => failed(&problem),
    }
}

fn answer(
    desk: &Desk,
    peer: &Peer,
    headers: &HeaderMap,
    body: Result<Whole<BODY_BYTES_MAX>, Problem>,
) -> Result<CheckResponse, Problem> {
    let body = body?.into_inner();
    let check = unframed(&body)
        .and_then(CheckRequest::parse)
        .map_err(Problem::bad_request)?;
    let word = |name: &str| check.extensions.get(name).cloned();
    let knock = Knock {
        service: word("service"),
        site: word("site"),
        source: check.source.map(|source| source.to_string()),
        certificate: check.certificate,
        ..Knock::default()
    };
    let decided = decide(desk, peer, headers, &knock)?;
    Ok(match decided.verdict.access {
        Access::Allow => CheckResponse {
            answer: Answer::Allow,
            headers: told(&decided),
        },
        Access::Deny => CheckResponse {
            answer: Answer::Deny,
            headers: vec![
                ("x-tenure-verdict", decided.id.to_string()),
                ("x-tenure-reason", reason(&decided).to_owned()),
            ],
        },
    })
}

/// An answer, and after it the status of the call.
fn said(response: &CheckResponse) -> Response {
    let body = Full::new(Bytes::from(framed(&response.encode())));
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let body = body.with_trailers(async move { Some(Ok(trailers)) });
    let mut response = Response::new(Body::new(body));
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(GRPC));
    response
}

/// No answer: the status of the call alone. Its message is in percent signs (gRPC over HTTP/2,
/// "Percent-Encoded").
fn failed(problem: &Problem) -> Response {
    let status = match problem.status {
        400 | 413 => "3",
        401 => "16",
        403 => "7",
        429 => "8",
        503 => "14",
        _ => "13",
    };
    let mut response = Response::new(Body::empty());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(GRPC));
    headers.insert("grpc-status", HeaderValue::from_static(status));
    let mut message = String::new();
    for byte in problem.to_string().bytes() {
        match byte {
            b' '..=b'~' if byte != b'%' => message.push(char::from(byte)),
            _ => message.push_str(&format!("%{byte:02X}")),
        }
    }
    if let Ok(message) = HeaderValue::from_str(&message) {
        headers.insert("grpc-message", message);
    }
    response
}
