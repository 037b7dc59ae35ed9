//! What stands before every handler: who is it, may they, was this asked before.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{FromRequest, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use hyper::Method;

use super::route::{Keeping, Needs};
use super::{Caller, Desk, idempotency};
use crate::limits::IMPORT_BODY_BYTES_MAX;
use crate::peer::Whole;
use crate::problem::Problem;

/// What a route needs.
pub(super) struct Rule {
    pub(super) needs: Needs,
    pub(super) keeping: Keeping,
}

/// Lets a request through to its handler, or answers in its place.
pub(super) async fn guard(
    State((desk, rule)): State<(Desk, Arc<Rule>)>,
    mut request: Request,
    next: Next,
) -> Response {
    let caller = match admitted(&desk, rule.needs, &request) {
        Ok(caller) => caller,
        Err(problem) => return problem.into_response(),
    };
    let Some(caller) = caller else {
        return next.run(request).await;
    };
    request.extensions_mut().insert(caller.clone());
    match (
        request.method() == Method::POST,
        idempotency::key(request.headers()),
    ) {
        (_, Err(problem)) => problem.into_response(),
        (true, Ok(Some(key))) => once(&desk, &rule, &caller, key, request, next)
            .await
            .unwrap_or_else(Problem::into_response),
        _ => next.run(request).await,
    }
}

fn admitted(desk: &Desk, needs: Needs, request: &Request) -> Result<Option<Caller>, Problem> {
    let needed = match needs {
        Needs::Nothing => return Ok(None),
        Needs::AnyToken => None,
        Needs::Permission(permission) => Some(permission),
    };
    let caller = Caller::of(desk, request.headers())?;
    if let Some(permission) = needed {
        caller.role.may(permission).map_err(Problem::from)?;
    }
    Ok(Some(caller))
}

/// Answers a call that names a key: from what was kept, or by doing it now and keeping the answer.
async fn once(
    desk: &Desk,
    rule: &Rule,
    caller: &Caller,
    key: String,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let head = Request::from_parts(parts.clone(), body);
    // The largest body of any call; the handler has a limit of its own.
    let body = Whole::<IMPORT_BODY_BYTES_MAX>::from_request(head, &())
        .await?
        .into_inner();
    let asked = idempotency::Asked::new(caller, key, &parts.method, &parts.uri, &body);
    let _claim = desk.under_way().claim(&asked)?;
    if let Some(answer) = idempotency::answered(desk, &asked)? {
        return Ok(answer);
    }
    let answer = next.run(Request::from_parts(parts, Body::from(body))).await;
    idempotency::keep(desk, &asked, rule.keeping, answer).await
}
