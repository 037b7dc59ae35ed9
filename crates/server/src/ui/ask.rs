//! Requests that wait for a decision.

use axum::extract::State;
use axum::response::Redirect;
use maud::{Markup, html};
use tenure_domain::ask::AskState;
use tenure_domain::change::Change;
use tenure_domain::ids::AskNo;
use tenure_domain::operator::Permission::Approve;
use tenure_engine::store::pending;

use super::asked::{Path, Query};
use super::by_state::Asked;
use super::device::paging;
use super::fault::Fault;
use super::page::{Part, Shown, beyond, csrf, empty, page, pager, stamp, tabs, tag};
use super::posted::{Nothing, Posted};
use super::session::SignedIn;
use crate::api::Desk;
use crate::api::ask::{self, AskItem};
use crate::problem::Problem;

/// The states by which the list is divided, the first one first.
const STATES: [(&str, Option<AskState>); 4] = [
    ("waiting", Some(AskState::Waiting)),
    ("approved", Some(AskState::Approved)),
    ("refused", Some(AskState::Refused)),
    ("all", None),
];

pub(super) async fn list(
    State(desk): State<Desk>,
    Query(asked): Query<Asked>,
    who: SignedIn,
) -> Result<Shown, Fault> {
    let (state, which) = asked.state(&STATES)?;
    let found = ask::page(&desk, which, &paging(asked.cursor.clone())).await?;
    let found = found.map(AskItem::from);
    let cursor = asked.cursor.unwrap_or_default();
    let content = html! {
        h1 { "Requests" }
        (tabs("Which requests", "/asks", &STATES.map(|(word, _)| word), state))
        @if found.items.is_empty() {
            @if state == "waiting" {
                (empty("No request waits for a decision.", html! { "Requests come here when the policy wants a person to look, and when a device asks that nobody registered." }))
            } @else {
                (empty("There is none.", html! { a href="/asks" { "Show those that wait" } }))
            }
        } @else {
            div.wide {
                table {
                    caption { "Requests, newest first" }
                    thead { tr {
                        th scope="col" { "Number" } th scope="col" { "State" } th scope="col" { "Who asks" }
                        th scope="col" { "For" } th scope="col" { "Why it waits" } th scope="col" { "Came (UTC)" }
                    } }
                    tbody {
                        @for ask in &found.items {
                            tr {
                                th scope="row" { a href={ "/asks/" (ask.no) } { "Request " (ask.no) } }
                                td { (tag(ask.state)) }
                                td.serial { (ask.identity) }
                                td { (ask.operation) }
                                td { (ask.why) }
                                td { (stamp(&ask.opened)) }
                            }
                        }
                    }
                }
            }
        }
        (pager("/asks", &[("state", state), ("cursor", &cursor)], found.next.as_deref()))
    };
    Ok(page(&who, Part::Asks, "Requests", content))
}

pub(super) async fn show(
    State(desk): State<Desk>,
    who: SignedIn,
    Path(no): Path<i64>,
) -> Result<Shown, Fault> {
    let found = desk.glance(|tx| pending::by_no(tx, AskNo(no)))?;
    let ask = found.ok_or_else(|| Problem::not_found(format!("Request {no}")))?;
    let ask = AskItem::from(ask);
    let title = format!("Request {no}");
    let content = html! {
        p.way { a href="/asks" { "Requests" } }
        h1 { (title) " " (tag(ask.state)) }
        p.lead { (ask.why) }
        dl.fields {
            div { dt { "Device" } dd { @if let Some(id) = &ask.device { a href={ "/devices/" (id) } { (id) } } @else { "not registered" } } }
            div { dt { "Asks for" } dd { (ask.operation) @if let Some(label) = &ask.label { ", profile " (label) } } }
            div { dt { "Evidence" } dd { (ask.evidence) } }
            div { dt { "Came from" } dd { (ask.source.as_deref().unwrap_or("not known")) } }
            div { dt { "Came (UTC)" } dd { (stamp(&ask.opened)) } }
            @if let Some(decided) = &ask.decided { div { dt { "Decided (UTC)" } dd { (stamp(decided)) } } }
            @if let Some(by) = &ask.decided_by { div { dt { "Decided by" } dd { (by) } } }
            div.whole { dt { "Identity" } dd.serial { (ask.identity) } }
            div.whole { dt { "The request names" } dd { (ask.subject) span.hint { " (the certificate's names come from the registry)" } } }
            div.whole { dt { "SHA-256 of the key" } dd.serial { (ask.key) } }
        }
        (decision(&who, &ask))
    };
    Ok(page(&who, Part::Asks, &title, content))
}

fn decision(who: &SignedIn, ask: &AskItem) -> Markup {
    let button = |verb: &str, class: &str, label: &str| {
        html! {
            form method="post" action={ "/asks/" (ask.no) "/" (verb) } {
                (csrf(who))
                button class=(class) type="submit" { (label) }
            }
        }
    };
    html! {
        @match ask.state {
            "waiting" | "quarantined" => {
                @if let Err(problem) = who.may(Approve) {
                    (beyond("Deciding", problem))
                } @else {
                    section.card aria-labelledby="decide" {
                        h2 #decide { "Decide" }
                        p { "Compare the key's SHA-256 with the device itself before you approve. The device gets its certificate when it asks again." }
                        @if ask.device.is_none() { p { "Nobody registered this device: register it before you approve, with " code { "tenure device add" } "." } }
                        div.row { (button("approve", "", "Approve")) (button("refuse", "danger", "Refuse")) }
                    }
                }
            }
            _ => {}
        }
    }
}

async fn decided(
    desk: &Desk,
    posted: &Posted<Nothing>,
    no: i64,
    change: Change,
) -> Result<Redirect, Fault> {
    posted.who.may(Approve)?;
    desk.engine()
        .change(&posted.who.caller.actor(), change)
        .await?;
    Ok(Redirect::to(&format!("/asks/{no}")))
}

pub(super) async fn approve(
    State(desk): State<Desk>,
    Path(no): Path<i64>,
    posted: Posted<Nothing>,
) -> Result<Redirect, Fault> {
    decided(&desk, &posted, no, Change::ApproveAsk(AskNo(no))).await
}

pub(super) async fn refuse(
    State(desk): State<Desk>,
    Path(no): Path<i64>,
    posted: Posted<Nothing>,
) -> Result<Redirect, Fault> {
    decided(&desk, &posted, no, Change::RefuseAsk(AskNo(no))).await
}
