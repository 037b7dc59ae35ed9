//! Drills: what was rehearsed, and what came of it.

use axum::extract::State;
use maud::{Markup, html};
use serde::Deserialize;

use super::asked::{Path, Query};
use super::device::paging;
use super::fault::Fault;
use super::page::{Part, Shown, empty, page, pager, stamp, tag};
use super::session::SignedIn;
use crate::api::Desk;
use crate::api::drill::{self, DrillItem, DrillStepItem};

/// Which page.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    cursor: Option<String>,
}

pub(super) async fn list(
    State(desk): State<Desk>,
    Query(asked): Query<Asked>,
    who: SignedIn,
) -> Result<Shown, Fault> {
    let found = drill::page(&desk, &paging(asked.cursor.clone())).await?;
    let cursor = asked.cursor.unwrap_or_default();
    let content = html! {
        h1 { "Drills" }
        p { "What must work on the bad day, done on an ordinary one. Each issuer is drilled in revocation once a week by itself." }
        @if found.items.is_empty() {
            (empty("None was made yet.", html! {
                "Make one with " code { "tenure drill revoke" } ", " code { "expiry" } ", " code { "ca-down" } " or " code { "compromise" } "."
            }))
        } @else {
            div.wide {
                table {
                    caption { "Drills, newest first" }
                    thead { tr {
                        th scope="col" { "Drill" } th scope="col" { "Kind" } th scope="col" { "Verdict" }
                        th scope="col" { "Issuers" } th scope="col" { "By" } th scope="col" { "Began (UTC)" } th scope="col" { "Ended (UTC)" }
                    } }
                    tbody { @for drill in &found.items { (row(drill)) } }
                }
            }
        }
        (pager("/drills", &[("cursor", &cursor)], found.next.as_deref()))
    };
    Ok(page(&who, Part::Drills, "Drills", content))
}

fn row(drill: &DrillItem) -> Markup {
    html! {
        tr {
            th scope="row" { a href={ "/drills/" (drill.no) } { (drill.no) } }
            td { (drill.kind) } td { (tag(&drill.verdict)) } td { (drill.issuers.join(", ")) } td { (drill.by) }
            td { (stamp(&drill.began)) }
            td { @if let Some(ended) = &drill.ended { (stamp(ended)) } @else { "under way" } }
        }
    }
}

pub(super) async fn show(
    State(desk): State<Desk>,
    who: SignedIn,
    Path(no): Path<i64>,
) -> Result<Shown, Fault> {
    let drill = drill::known(&desk, no)?;
    let title = format!("Drill {no}");
    let content = html! {
        p.way { a href="/drills" { "Drills" } }
        h1 { (title) " " (tag(&drill.verdict)) }
        dl.fields {
            div { dt { "Kind" } dd { (drill.kind) } }
            div { dt { "Issuers" } dd { (drill.issuers.join(", ")) } }
            div { dt { "By" } dd { (drill.by) } }
            div { dt { "Began (UTC)" } dd { (stamp(&drill.began)) } }
            @if let Some(ended) = &drill.ended { div { dt { "Ended (UTC)" } dd { (stamp(ended)) } } }
            @for (name, n) in &drill.figures { div { dt { (name.replace('_', " ")) } dd { (n) } } }
        }
        section aria-labelledby="steps" {
            h2 #steps { "Steps" }
            @if drill.steps.is_empty() { p { "None is through yet." } }
            @else { (steps(&drill.steps)) }
        }
    };
    Ok(page(&who, Part::Drills, &title, content))
}

fn steps(steps: &[DrillStepItem]) -> Markup {
    html! {
        div.wide {
            table {
                caption { "What was looked at and done, in order" }
                thead { tr { th scope="col" { "What" } th scope="col" { "Issuer" } th scope="col" { "It was" } th scope="col" { "Found" } } }
                tbody {
                    @for step in steps {
                        tr {
                            th scope="row" { (step.what) }
                            td { (step.issuer.as_deref().unwrap_or_default()) }
                            td { (verdict(&step.verdict)) }
                            td { (step.found) }
                        }
                    }
                }
            }
        }
    }
}

fn verdict(word: &str) -> Markup {
    let tone = match word {
        "good" => "good",
        "bad" => "bad",
        "unknown" => "wait",
        _ => "plain",
    };
    html! { span class={ "tag " (tone) } { (word) } }
}
