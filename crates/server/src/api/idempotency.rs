//! `Idempotency-Key`: the same call twice is done once. Keys are kept in the store for 24 hours, from
//! before the call is carried out: one that was cut short by the end of the server is not done again,
//! since nobody can say how far it came.

use std::collections::HashSet;

use aws_lc_rs::digest;
use axum::body::{Body, Bytes};
use axum::response::Response;
use http_body_util::BodyExt;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Method, StatusCode, Uri};
use parking_lot::Mutex;
use tenure_domain::ids::OperatorNo;
use tenure_engine::store::idempotency::{self, Kept};

use super::route::Keeping;
use super::{Caller, Desk};
use crate::limits::IDEMPOTENCY_KEY_BYTES_MAX;
use crate::problem::Problem;

/// The status kept for an answer that held a secret.
const SECRET_WAS_SHOWN: u16 = 0;

/// The status kept while a call is carried out.
const BEGUN: u16 = 1;

/// The header's value.
///
/// # Errors
/// It is too long or no plain text.
pub(super) fn key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(value) = headers.get("idempotency-key") else {
        return Ok(None);
    };
    match value.to_str() {
        Ok(key) if (1..=IDEMPOTENCY_KEY_BYTES_MAX).contains(&key.len()) => Ok(Some(key.to_owned())),
        _ => Err(Problem::bad_request(format!(
            "Idempotency-Key: use 1 to {IDEMPOTENCY_KEY_BYTES_MAX} characters of ASCII"
        ))),
    }
}

/// A call with a key.
pub(super) struct Asked {
    who: OperatorNo,
    key: String,
    request: [u8; 32],
}

impl Asked {
    pub(super) fn new(
        caller: &Caller,
        key: String,
        method: &Method,
        uri: &Uri,
        body: &Bytes,
    ) -> Asked {
        let mut hash = digest::Context::new(&digest::SHA256);
        hash.update(format!("{method}\n{uri}\n").as_bytes());
        hash.update(body);
        let mut request = [0; 32];
        // SHA-256 has 32 octets.
        request.copy_from_slice(hash.finish().as_ref());
        Asked {
            who: caller.no,
            key,
            request,
        }
    }

    fn actor(&self) -> String {
        format!("token {}", self.who)
    }
}

/// The calls being answered right now.
#[derive(Default)]
pub(super) struct UnderWay(Mutex<HashSet<(OperatorNo, String)>>);

impl UnderWay {
    /// Claims a key until the claim is dropped.
    pub(super) fn claim(&self, asked: &Asked) -> Result<Claim<'_>, Problem> {
        let named = (asked.who, asked.key.clone());
        let mut held = self.0.lock();
        if held.insert(named.clone()) {
            return Ok(Claim { of: self, named });
        }
        Err(Problem::conflict(
            "A call with this Idempotency-Key is being answered right now.",
        ))
    }
}

/// A claimed key.
pub(super) struct Claim<'a> {
    of: &'a UnderWay,
    named: (OperatorNo, String),
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.of.0.lock().remove(&self.named);
    }
}

/// The answer given to the same call before, if it was.
pub(super) fn answered(desk: &Desk, asked: &Asked) -> Result<Option<Response>, Problem> {
    let now = desk.now();
    let found = desk.glance(|tx| idempotency::kept(tx, &asked.actor(), &asked.key, now))?;
    let Some(kept) = found else { return Ok(None) };
    if kept.request != asked.request {
        return Err(conflict(
            "idempotency-key",
            "This Idempotency-Key was used for another call",
            "Use a fresh key for each call, and the same key only to repeat one unchanged.",
        ));
    }
    match kept.status {
        SECRET_WAS_SHOWN => {
            return Err(conflict(
                "shown-once",
                "This call was done, and its answer held a secret that is shown once",
                "If the answer was lost, ask for a new secret with a fresh Idempotency-Key.",
            ));
        }
        BEGUN => {
            return Err(conflict(
                "cut-short",
                "The server stopped while it carried this call out, and it may have been done",
                "Look whether it was; if not, call again with a fresh Idempotency-Key.",
            ));
        }
        _ => {}
    }
    let status = StatusCode::from_u16(kept.status).map_err(|_| Problem::internal())?;
    let mut answer = Response::new(Body::from(kept.answer));
    *answer.status_mut() = status;
    let media_type = if status.is_success() {
        "application/json"
    } else {
        "application/problem+json"
    };
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert("idempotency-replayed", HeaderValue::from_static("true"));
    Ok(Some(answer))
}

fn conflict(kind: &str, title: &str, mend: &str) -> Problem {
    Problem::new(StatusCode::CONFLICT, kind, title).detail(mend)
}

/// Takes note that a call is about to be carried out.
pub(super) async fn begin(desk: &Desk, asked: &Asked) -> Result<(), Problem> {
    keep_as(desk, asked, BEGUN, Vec::new()).await
}

async fn keep_as(desk: &Desk, asked: &Asked, status: u16, answer: Vec<u8>) -> Result<(), Problem> {
    let kept = Kept {
        request: asked.request,
        status,
        answer,
    };
    let (store, now) = (desk.engine().store(), desk.now());
    let kept = store.keep_answer(asked.actor(), asked.key.clone(), kept, now);
    Ok(kept.await?)
}

/// Keeps an answer and gives it. What failed on our side is not kept: it may be tried again.
pub(super) async fn keep(
    desk: &Desk,
    asked: &Asked,
    keeping: Keeping,
    answer: Response,
) -> Result<Response, Problem> {
    let (parts, body) = answer.into_parts();
    let body = body
        .collect()
        .await
        .map_err(|_| Problem::internal())?
        .to_bytes();
    let is_final = !parts.status.is_server_error() && parts.status != StatusCode::TOO_MANY_REQUESTS;
    if is_final {
        let is_secret = keeping == Keeping::OnlyThatItWasGiven && parts.status.is_success();
        let (status, kept) = match is_secret {
            true => (SECRET_WAS_SHOWN, Vec::new()),
            false => (parts.status.as_u16(), body.to_vec()),
        };
        keep_as(desk, asked, status, kept).await?;
    } else {
        let store = desk.engine().store();
        store
            .forget_answer(asked.actor(), asked.key.clone())
            .await?;
    }
    Ok(Response::from_parts(parts, Body::from(body)))
}
