//! What stands before every handler: who is it, may they, was this asked before.

use std::net::IpAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{FromRequest, MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use hyper::{Method, StatusCode, header};

use super::route::{Keeping, Needs, Taking};
use super::table::Table;
use super::{Caller, Desk, idempotency};
use crate::limits::API_BODY_BYTES_MAX;
use crate::listen::Listener;
use crate::peer::{Asker, Peer, Whole};
use crate::problem::{Problem, Word};

/// What a route needs.
pub(super) struct Rule {
    pub(super) needs: Needs,
    pub(super) keeping: Keeping,
    pub(super) taking: Taking,
}

/// Lets a request through to its handler, or answers in its place.
pub(super) async fn guard(
    State((desk, rule)): State<(Desk, Arc<Rule>)>,
    mut request: Request,
    next: Next,
) -> Response {
    let caller = match admitted(&desk, rule.needs, &request) {
        Ok(caller) => caller,
        Err(turned_away) => {
            let path = request
                .extensions()
                .get::<MatchedPath>()
                .map_or("", MatchedPath::as_str);
            let what = format!("{} {path}", request.method());
            let from = request
                .extensions()
                .get::<Peer>()
                .map(|peer| (peer.listener, peer.address.ip()));
            return turned_away.answer(&desk, what, from).await;
        }
    };
    let Some(caller) = caller else {
        return next.run(request).await;
    };
    request.extensions_mut().insert(caller.clone());
    if rule.taking == Taking::Table {
        request = match received(&desk, request).await {
            Ok(request) => request,
            Err(problem) => return problem.into_response(),
        };
    }
    let mut answer = match (
        request.method() == Method::POST,
        idempotency::key(request.headers()),
    ) {
        (_, Err(problem)) => problem.into_response(),
        (true, Ok(Some(key))) => once(&desk, &rule, &caller, key, request, next)
            .await
            .unwrap_or_else(Problem::into_response),
        _ => run(&desk, &caller, request, next).await,
    };
    answer.extensions_mut().insert(Asker(caller.no));
    answer
}

/// A request whose table stands beside it, and its hash in its place.
async fn received(desk: &Desk, request: Request) -> Result<Request, Problem> {
    let (mut parts, body) = request.into_parts();
    let whole = Request::from_parts(parts.clone(), body);
    let table = Table::receive(desk, whole).await?;
    let hash = Body::from(table.hash().to_vec());
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.extensions.insert(table);
    Ok(Request::from_parts(parts, hash))
}

/// Has a call made. One that would change something is on record if it is refused.
async fn run(desk: &Desk, caller: &Caller, request: Request, next: Next) -> Response {
    let reads = request.method() == Method::GET;
    let what = format!("{} {}", request.method(), request.uri().path());
    let answer = next.run(request).await;
    match reads {
        true => answer,
        false => recorded(desk, caller, &what, answer).await,
    }
}

/// Puts an answer on record that refuses a change for what stands against it, or since its caller may
/// not make it at all.
pub(crate) async fn recorded(
    desk: &Desk,
    caller: &Caller,
    what: &str,
    answer: Response,
) -> Response {
    let word = answer.extensions().get::<Word>().cloned();
    if let Some(Word(word)) = word
        && matches!(word.as_str(), "conflict" | "policy" | "forbidden")
    {
        // What could not be recorded is in the log; the answer is no either way.
        let _ = desk
            .engine()
            .record_denied(&caller.actor(), &word, what)
            .await;
    }
    answer
}

/// Someone who is not let in.
struct TurnedAway {
    /// Who, if their token works.
    caller: Option<Caller>,
    problem: Box<Problem>,
}

impl TurnedAway {
    /// Puts it on record and says so: one event for someone we know, a count for strangers.
    async fn answer(self, desk: &Desk, what: String, from: Option<(Listener, IpAddr)>) -> Response {
        let engine = desk.engine();
        match &self.caller {
            Some(caller) => {
                // What could not be recorded is in the log; the answer is no either way.
                let what = format!("role for {what}");
                let _ = engine
                    .record_denied(&caller.actor(), "forbidden", &what)
                    .await;
            }
            None if self.problem.status == StatusCode::UNAUTHORIZED => {
                let (listener, source) = from.unzip();
                let listener = listener.unwrap_or(Listener::Operator);
                engine.count_stranger(listener.name(), source, "unauthorized");
            }
            None => {}
        }
        (*self.problem).into_response()
    }
}

fn admitted(desk: &Desk, needs: Needs, request: &Request) -> Result<Option<Caller>, TurnedAway> {
    let needed = match needs {
        Needs::Nothing => return Ok(None),
        Needs::AnyToken => None,
        Needs::Permission(permission) => Some(permission),
    };
    let caller = Caller::of(desk, request.headers()).map_err(|problem| TurnedAway {
        caller: None,
        problem: Box::new(problem),
    })?;
    match needed.map(|permission| caller.role.may(permission)) {
        Some(Err(refusal)) => Err(TurnedAway {
            caller: Some(caller),
            problem: Box::new(refusal.into()),
        }),
        Some(Ok(())) | None => Ok(Some(caller)),
    }
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
    let body = Whole::<API_BODY_BYTES_MAX>::from_request(head, &())
        .await?
        .into_inner();
    let asked = idempotency::Asked::new(caller, key, &parts.method, &parts.uri, &body);
    let _claim = desk.under_way().claim(&asked)?;
    if let Some(answer) = idempotency::answered(desk, &asked)? {
        return Ok(answer);
    }
    idempotency::begin(desk, &asked).await?;
    let request = Request::from_parts(parts, Body::from(body));
    let answer = run(desk, caller, request, next).await;
    idempotency::keep(desk, &asked, rule.keeping, answer).await
}
