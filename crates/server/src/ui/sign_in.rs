//! Signing in with a token, and out.

use axum::extract::{FromRequest, Request, State};
use axum::response::{IntoResponse, Redirect, Response};
use hyper::StatusCode;
use hyper::header;
use maud::html;
use serde::Deserialize;

use super::Ui;
use super::asked::Query;
use super::fault::Fault;
use super::page;
use super::posted::{FORM_BYTES_MAX, Nothing, Posted, read, same_site};
use crate::api::Caller;
use crate::listen::Listener;
use crate::peer::{Peer, Whole};

/// Where to go afterwards.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Next {
    next: String,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(default)]
    token: String,
    #[serde(default)]
    next: String,
}

/// A path of ours, or the first page: nobody is sent elsewhere after signing in.
fn own_path(next: &str) -> &str {
    let is_path = next.starts_with('/') && !next.starts_with("//");
    let is_plain = next.bytes().all(|b| b.is_ascii_graphic() && b != b'\\');
    if is_path && is_plain { next } else { "/" }
}

fn form(next: &str, mistake: Option<&str>) -> page::Shown {
    page::bare(
        "Sign in",
        html! {
            section.entry {
                h1 { "Sign in" }
                p { "Use an operator token. It is sent once, over this connection, and not kept in the browser." }
                @if let Some(mistake) = mistake {
                    p.mistake role="alert" id="mistake" { (mistake) }
                }
                form method="post" action="/login" {
                    input type="hidden" name="next" value=(next);
                    label for="token" { "Token" }
                    input #token type="password" name="token" required autofocus
                        autocomplete="current-password" spellcheck="false"
                        aria-describedby=[mistake.map(|_| "mistake")];
                    button type="submit" { "Sign in" }
                }
                p.hint { "The first token is in " code { "admin.token" } " in the data directory. More: " code { "tenure token create" } "." }
            }
        },
    )
}

/// The form.
pub(super) async fn show(Query(asked): Query<Next>) -> page::Shown {
    form(own_path(&asked.next), None)
}

/// A token came: opens a session for its holder.
pub(super) async fn enter(State(ui): State<Ui>, request: Request) -> Result<Response, Fault> {
    same_site(request.headers())?;
    let source = request
        .extensions()
        .get::<Peer>()
        .map(|peer| peer.address.ip());
    let body = Whole::<FORM_BYTES_MAX>::from_request(request, &()).await?;
    let entry: Entry = read(body.into_inner()).await?;
    let next = own_path(&entry.next);
    match Caller::with_token(&ui.desk, entry.token.trim()) {
        Ok(caller) => {
            let cookie = ui.sessions.open(&caller, ui.desk.now())?;
            Ok(([(header::SET_COOKIE, cookie)], Redirect::to(next)).into_response())
        }
        Err(problem) if problem.status == StatusCode::UNAUTHORIZED.as_u16() => {
            let listener = Listener::Operator.name();
            ui.desk
                .engine()
                .count_stranger(listener, source, "unauthorized");
            let mistake = "This token does not work. It is unknown, expired or withdrawn; check \
                           that all of it was copied.";
            let page = form(next, Some(mistake));
            Ok((StatusCode::UNAUTHORIZED, page).into_response())
        }
        Err(problem) => Err(problem.into()),
    }
}

/// Ends the session.
pub(super) async fn leave(
    State(ui): State<Ui>,
    posted: Posted<Nothing>,
) -> Result<Response, Fault> {
    let cookie = ui.sessions.close(&posted.who)?;
    Ok(([(header::SET_COOKIE, cookie)], Redirect::to("/login")).into_response())
}
