//! Exceptions: who may be let in for a time although something speaks against it, and approving or
//! ending one.

use axum::extract::State;
use axum::response::Redirect;
use maud::{Markup, html};
use serde::Deserialize;
use tenure_domain::change::Change;
use tenure_domain::exception::{Exception, ExceptionState, Scope};
use tenure_domain::ids::ExceptionNo;
use tenure_domain::operator::Permission::Approve;
use tenure_x509::Time;

use super::asked::{Path, Query};
use super::by_state::Asked;
use super::device::paging;
use super::fault::Fault;
use super::page::{Part, Shown, at, beyond, csrf, empty, page, pager, query, tabs, tag};
use super::posted::{Nothing, Posted, needed_why};
use super::session::SignedIn;
use crate::api::Desk;
use crate::api::device::WHY_MAX;
use crate::api::exception;

/// The states by which the list is divided, the first one first.
const STATES: [(&str, Option<ExceptionState>); 5] = [
    ("active", Some(ExceptionState::Active)),
    ("proposed", Some(ExceptionState::Proposed)),
    ("ended", Some(ExceptionState::Ended)),
    ("lapsed", Some(ExceptionState::Lapsed)),
    ("all", None),
];

pub(super) async fn list(
    State(desk): State<Desk>,
    Query(asked): Query<Asked>,
    who: SignedIn,
) -> Result<Shown, Fault> {
    let (word, state) = asked.state(&STATES)?;
    let found = exception::page(&desk, state, &paging(asked.cursor.clone())).await?;
    let (cursor, now) = (asked.cursor.unwrap_or_default(), desk.now());
    let content = html! {
        h1 { "Exceptions" }
        p.lead { "For a time, and after a second person has looked at it, a reason does not count against a device." }
        (tabs("Which exceptions", "/exceptions", &STATES.map(|(word, _)| word), word))
        @if found.items.is_empty() {
            (empty("There is none.", html! {
                "Propose one with " code { "tenure exception add" } "; another operator has to approve it."
            }))
        } @else {
            div.wide {
                table {
                    caption { "Exceptions, newest first" }
                    thead { tr {
                        th scope="col" { "Number" } th scope="col" { "State" } th scope="col" { "For" }
                        th scope="col" { "Does not count" } th scope="col" { "Why" }
                        th scope="col" { "Until (UTC)" } th scope="col" { "Proposed by" }
                        th scope="col" { "Approved by" }
                    } }
                    tbody { @for one in &found.items { (row(one, now)) } }
                }
            }
        }
        (pager("/exceptions", &[("state", word), ("cursor", &cursor)], found.next.as_deref()))
    };
    Ok(page(&who, Part::Exceptions, "Exceptions", content))
}

fn row(exception: &Exception, now: Time) -> Markup {
    html! {
        tr {
            th scope="row" { a href={ "/exceptions/" (exception.no) } { "Exception " (exception.no) } }
            td { (tag(exception.state(now).word())) }
            td { (scope(&exception.scope)) }
            td { (lifts(exception)) }
            td { (exception.reason) }
            td { (at(exception.until)) }
            td { (exception.added.name) }
            td { @if let Some(by) = &exception.approved { (by.name) } @else { "nobody yet" } }
        }
    }
}

fn lifts(exception: &Exception) -> String {
    let words: Vec<_> = exception
        .lifts
        .grounds()
        .iter()
        .map(|it| it.word())
        .collect();
    words.join(", ")
}

fn scope(scope: &Scope) -> Markup {
    html! {
        (scope.kind()) " "
        @match scope {
            Scope::Device(id) => a href={ "/devices/" (id) } { (id) },
            Scope::Class(name) => a href={ "/devices" (query(&[("class", name.as_str())])) } { (name) },
            Scope::Site(name) => a href={ "/devices" (query(&[("site", name.as_str())])) } { (name) },
        }
    }
}

pub(super) async fn show(
    State(desk): State<Desk>,
    who: SignedIn,
    Path(no): Path<i64>,
) -> Result<Shown, Fault> {
    let exception = exception::known(&desk, no)?;
    let state = exception.state(desk.now());
    let title = format!("Exception {no}");
    let content = html! {
        p.way { a href="/exceptions" { "Exceptions" } }
        h1 { (title) " " (tag(state.word())) }
        p.lead { (exception.reason) }
        dl.fields {
            div { dt { "For" } dd { (scope(&exception.scope)) } }
            div { dt { "Until (UTC)" } dd { (at(exception.until)) } }
            div { dt { "Proposed (UTC)" } dd { (at(exception.added.at)) " by " (exception.added.name) } }
            div { dt { "Approved (UTC)" } dd {
                @if let Some(by) = &exception.approved { (at(by.at)) " by " (by.name) } @else { "not yet" }
            } }
            @if let Some(over) = &exception.over {
                div { dt { "Over since (UTC)" } dd { (at(over.at)) @if let Some(by) = &over.by { ", ended by " (by) } } }
                @if !over.why.is_empty() { div.whole { dt { "Why it was ended" } dd { (over.why) } } }
            }
            div.whole { dt { "Does not count" } dd {
                ul { @for ground in exception.lifts.grounds() { li { strong { (ground) } " " (ground.sentence()) } } }
            } }
        }
        @match state {
            ExceptionState::Proposed => { (approval(&who, no)) (ending(&who, no)) },
            ExceptionState::Active => (ending(&who, no)),
            ExceptionState::Ended | ExceptionState::Lapsed => {},
        }
    };
    Ok(page(&who, Part::Exceptions, &title, content))
}

fn approval(who: &SignedIn, no: i64) -> Markup {
    if let Err(problem) = who.may(Approve) {
        return beyond("Approving", problem);
    }
    html! {
        section.card aria-labelledby="approve" {
            h2 #approve { "Approve" }
            p { "It lifts nothing until somebody approves it who did not propose it." }
            form.stack method="post" action={ "/exceptions/" (no) "/approve" } {
                (csrf(who))
                button type="submit" { "Approve" }
            }
        }
    }
}

fn ending(who: &SignedIn, no: i64) -> Markup {
    if let Err(problem) = who.may(Approve) {
        return beyond("Ending it", problem);
    }
    html! {
        section.card aria-labelledby="end" {
            h2 #end { "End it" }
            p { "What it lifts counts again from the next question on." }
            form.stack method="post" action={ "/exceptions/" (no) "/end" } {
                (csrf(who))
                div.field {
                    label for="why" { "Why, for the record" }
                    input #why name="why" required maxlength=(WHY_MAX) autocomplete="off";
                }
                button type="submit" { "End it" }
            }
        }
    }
}

pub(super) async fn approve(
    State(desk): State<Desk>,
    Path(no): Path<i64>,
    posted: Posted<Nothing>,
) -> Result<Redirect, Fault> {
    posted.who.may(Approve)?;
    let change = Change::ApproveException(ExceptionNo(no));
    let actor = posted.who.caller.actor();
    desk.engine().change(&actor, change).await?;
    Ok(Redirect::to(&format!("/exceptions/{no}")))
}

/// Why it ends.
#[derive(Deserialize)]
pub(super) struct Ended {
    #[serde(default)]
    why: String,
}

pub(super) async fn end(
    State(desk): State<Desk>,
    Path(no): Path<i64>,
    posted: Posted<Ended>,
) -> Result<Redirect, Fault> {
    posted.who.may(Approve)?;
    let change = Change::EndException {
        exception: ExceptionNo(no),
        why: needed_why(&posted.form.why)?,
    };
    let actor = posted.who.caller.actor();
    desk.engine().change(&actor, change).await?;
    Ok(Redirect::to(&format!("/exceptions/{no}")))
}
