//! Findings, and saying that one is known.

use axum::extract::State;
use axum::response::Redirect;
use maud::{Markup, html};
use serde::Deserialize;
use tenure_domain::blast::BlastKind;
use tenure_domain::change::Change;
use tenure_domain::finding::{Finding, FindingState, Subject, SubjectKind};
use tenure_domain::ids::FindingNo;
use tenure_domain::operator::Permission::Approve;
use tenure_engine::store::finding as stored;

use super::asked::{Path, Query};
use super::blast;
use super::by_state::Asked;
use super::device::paging;
use super::fault::Fault;
use super::page::{Part, Shown, at, beyond, csrf, empty, page, pager, query, tabs, tag};
use super::posted::{Posted, needed_why};
use super::session::SignedIn;
use crate::api::Desk;
use crate::api::device::WHY_MAX;
use crate::api::finding;
use crate::problem::Problem;

/// The states by which the list is divided, the first one first.
const STATES: [(&str, Option<FindingState>); 4] = [
    ("open", Some(FindingState::Open)),
    ("acknowledged", Some(FindingState::Acknowledged)),
    ("cleared", Some(FindingState::Cleared)),
    ("all", None),
];

pub(super) async fn list(
    State(desk): State<Desk>,
    Query(asked): Query<Asked>,
    who: SignedIn,
) -> Result<Shown, Fault> {
    let (word, state) = asked.state(&STATES)?;
    let found = finding::page(&desk, state, &paging(asked.cursor.clone())).await?;
    let cursor = asked.cursor.unwrap_or_default();
    let content = html! {
        h1 { "Findings" }
        (tabs("Which findings", "/findings", &STATES.map(|(word, _)| word), word))
        @if found.items.is_empty() {
            (empty("There is none.", html! { "Whatever is watched here is as it should be, as far as this list goes. There is nothing to do." }))
        } @else {
            div.wide {
                table {
                    caption { "Findings, newest first" }
                    thead { tr {
                        th scope="col" { "Number" } th scope="col" { "State" } th scope="col" { "Criticality" }
                        th scope="col" { "Kind" } th scope="col" { "About" } th scope="col" { "What is wrong" }
                        th scope="col" { "Opened (UTC)" }
                    } }
                    tbody {
                        @for finding in &found.items {
                            tr {
                                th scope="row" { a href={ "/findings/" (finding.no) } { "Finding " (finding.no) } }
                                td { (tag(finding.state.word())) }
                                td { (finding.criticality) }
                                td { (finding.matter.kind) }
                                td { (subject(&finding.matter.subject)) }
                                td { (finding.summary) }
                                td { (at(finding.opened)) }
                            }
                        }
                    }
                }
            }
        }
        (pager("/findings", &[("state", word), ("cursor", &cursor)], found.next.as_deref()))
    };
    Ok(page(&who, Part::Findings, "Findings", content))
}

/// What a finding is about, with the way to its page where there is one.
fn subject(subject: &Subject) -> Markup {
    let name = &subject.name;
    html! {
        @match subject.kind {
            SubjectKind::Device => a href={ "/devices/" (name) } { (name) },
            SubjectKind::Certificate => a.serial href={ "/certificates/" (name) } { (name) },
            SubjectKind::RelyingParty => a href={ "/relying-parties/" (name) } { (name) },
            SubjectKind::Hook => a href="/hooks" { (subject.name) },
            SubjectKind::Issuer => a href=(blast::path(BlastKind::Issuer, name)) { (name) },
            SubjectKind::Key => a.serial href=(blast::path(BlastKind::Key, name)) { (name) },
            SubjectKind::Service => a href=(blast::path(BlastKind::Service, name)) { (name) },
            SubjectKind::Class => a href={ "/devices" (query(&[("class", name)])) } { (name) },
            SubjectKind::House => (subject),
        }
    }
}

pub(super) async fn show(
    State(desk): State<Desk>,
    who: SignedIn,
    Path(no): Path<i64>,
) -> Result<Shown, Fault> {
    let found = desk.glance(|tx| stored::by_no(tx, FindingNo(no)))?;
    let finding = found.ok_or_else(|| Problem::not_found(format!("Finding {no}")))?;
    let title = format!("Finding {no}");
    let content = html! {
        p.way { a href="/findings" { "Findings" } }
        h1 { (title) " " (tag(finding.state.word())) }
        p.lead { (finding.summary) }
        dl.fields {
            div { dt { "Kind" } dd { (finding.matter.kind) } }
            div { dt { "About" } dd { (subject(&finding.matter.subject)) } }
            div { dt { "Cause" } dd { (finding.matter.cause) } }
            div { dt { "Criticality" } dd { (finding.criticality) } }
            @if let Some(owner) = &finding.owner { div { dt { "Owner" } dd { (owner) } } }
            div { dt { "Opened (UTC)" } dd { (at(finding.opened)) } }
            @if finding.times > 1 { div { dt { "First opened (UTC)" } dd { (at(finding.first)) ", " (finding.times) " times since" } } }
            @if let Some(said) = &finding.acknowledged {
                div { dt { "Acknowledged (UTC)" } dd { (at(said.at)) " by " (said.by) } }
                div.whole { dt { "Why it stands" } dd { (said.why) } }
            }
            @if let Some(cleared) = finding.cleared { div { dt { "Cleared (UTC)" } dd { (at(cleared)) } } }
            div.whole { dt { "What shows it" } dd {
                @if finding.evidence.is_empty() { "nothing but the summary" }
                @for (i, each) in finding.evidence.iter().enumerate() { @if i > 0 { ", " } (evidence(each)) }
            } }
        }
        @if finding.state == FindingState::Open { (acknowledgement(&who, &finding)) }
    };
    Ok(page(&who, Part::Findings, &title, content))
}

fn evidence(text: &str) -> Markup {
    html! {
        @match text.split_once(' ') {
            Some(("incident", no)) => a href={ "/incidents/" (no) } { (text) },
            _ => (text),
        }
    }
}

fn acknowledgement(who: &SignedIn, finding: &Finding) -> Markup {
    if let Err(problem) = who.may(Approve) {
        return beyond("Acknowledging", problem);
    }
    html! {
        section.card aria-labelledby="acknowledge" {
            h2 #acknowledge { "Acknowledge" }
            p { "It stays on the list as acknowledged, and is cleared when what was found is gone." }
            form.stack method="post" action={ "/findings/" (finding.no) "/acknowledge" } {
                (csrf(who))
                div.field {
                    label for="why" { "Why it stands, for the record" }
                    input #why name="why" required maxlength=(WHY_MAX) autocomplete="off";
                }
                button type="submit" { "Acknowledge" }
            }
        }
    }
}

/// Why it stands.
#[derive(Deserialize)]
pub(super) struct Acknowledged {
    #[serde(default)]
    why: String,
}

pub(super) async fn acknowledge(
    State(desk): State<Desk>,
    Path(no): Path<i64>,
    posted: Posted<Acknowledged>,
) -> Result<Redirect, Fault> {
    posted.who.may(Approve)?;
    let why = needed_why(&posted.form.why)?;
    let change = Change::AcknowledgeFinding {
        finding: FindingNo(no),
        why,
    };
    desk.engine()
        .change(&posted.who.caller.actor(), change)
        .await?;
    Ok(Redirect::to(&format!("/findings/{no}")))
}
