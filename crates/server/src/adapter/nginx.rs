//! nginx's `auth_request`: a request without a body, answered with a status. 2xx lets the request
//! through; 401, 403 and everything else keep it out.
//!
//! nginx writes what it knows into header fields of its own. A field that comes twice was not written
//! by nginx alone, and is refused.

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use hyper::StatusCode;
use hyper::header::HeaderValue;
use tenure_domain::decision::Access;

use super::{decide, reason, told};
use crate::api::Desk;
use crate::decision::Knock;
use crate::peer::Peer;
use crate::problem::Problem;

pub(super) async fn answer(
    State(desk): State<Desk>,
    peer: Peer,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let knock = Knock {
        certificate: field(&headers, "x-tenure-certificate")?,
        serial: field(&headers, "x-tenure-serial")?,
        issuer: field(&headers, "x-tenure-issuer")?,
        fingerprint: field(&headers, "x-tenure-fingerprint")?,
        service: field(&headers, "x-tenure-service")?,
        site: field(&headers, "x-tenure-site")?,
        source: field(&headers, "x-tenure-source")?,
        ..Knock::default()
    };
    let decided = decide(&desk, &peer, &headers, &knock)?;
    let status = match decided.verdict.access {
        Access::Allow => StatusCode::NO_CONTENT,
        Access::Deny => StatusCode::FORBIDDEN,
    };
    let mut response = status.into_response();
    let mut said = told(&decided);
    said.push(("x-tenure-reason", reason(&decided).to_owned()));
    for (name, value) in said {
        if let Ok(value) = HeaderValue::from_str(&value) {
            response.headers_mut().insert(name, value);
        }
    }
    Ok(response)
}

fn field(headers: &HeaderMap, name: &str) -> Result<Option<String>, Problem> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => {
            let text = value.to_str();
            let text = text.map_err(|_| Problem::bad_request(format!("{name}: not text")))?;
            Ok(Some(text.to_owned()))
        }
        (Some(_), Some(_)) => Err(Problem::bad_request(format!(
            "{name}: it came twice, so that one of them is not from the relying party"
        ))),
    }
}
