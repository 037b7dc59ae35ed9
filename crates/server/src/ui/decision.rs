//! Why a device was let in or turned away: ask for any device at any service, and see each reason
//! with what it rests on.

use axum::extract::State;
use maud::{Markup, html};
use serde::Deserialize;

use super::asked::Query;
use super::device::paging;
use super::fault::Fault;
use super::page::{Part, Shown, empty, page, pager, query, stamp, tag};
use super::session::SignedIn;
use crate::api::Desk;
use crate::api::decide::{self, SaidItem, VerdictItem};
use crate::api::page::Page;
use crate::problem::Problem;

/// Who wants to get in where.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    device: String,
    service: String,
    site: String,
    cursor: Option<String>,
}

pub(super) async fn show(
    State(desk): State<Desk>,
    Query(asked): Query<Asked>,
    who: SignedIn,
) -> Result<Shown, Fault> {
    let device = asked.device.trim();
    let found = match device {
        "" => None,
        device => Some(answer(&desk, device, &asked)),
    };
    let content = html! {
        h1 { "Decisions" }
        p.lead { "Ask whether a device would be let in at a service now, and why not." }
        (form(&asked))
        @match &found {
            None => (empty("Nothing is asked yet.", html! {
                "Name a device and a service that it wants to reach. Relying parties ask the same through "
                code { "POST /api/v1/decide" } "."
            })),
            Some(Err(problem)) => div.empty role="alert" {
                p { strong { (problem.title) } }
                p { (problem.detail.as_deref().unwrap_or_default()) }
            },
            Some(Ok((verdict, said))) => {
                (shown(verdict))
                (before(&asked, said))
            }
        }
    };
    Ok(page(&who, Part::Decisions, "Decisions", content))
}

type Answer = (VerdictItem, Page<SaidItem>);

fn answer(desk: &Desk, device: &str, asked: &Asked) -> Result<Answer, Problem> {
    let (service, site) = (asked.service.trim(), asked.site.trim());
    let decided = decide::of_device(desk, device, Some(service), Some(site))?;
    let said = decide::said_of(desk, Some(device), &paging(asked.cursor.clone()))?;
    Ok(((&decided).into(), said))
}

fn form(asked: &Asked) -> Markup {
    let text = |name: &str, label: &str, value: &str| {
        html! {
            div.field {
                label for=(name) { (label) }
                input id=(name) name=(name) value=(value) autocomplete="off" spellcheck="false";
            }
        }
    };
    html! {
        form.filters method="get" action="/decisions" role="search" {
            (text("device", "Device", &asked.device))
            (text("service", "Service it wants to reach", &asked.service))
            (text("site", "Site it must stand at, if any", &asked.site))
            button type="submit" { "Ask" }
        }
    }
}

fn shown(verdict: &VerdictItem) -> Markup {
    html! {
        section.card aria-labelledby="verdict" {
            h2 #verdict {
                (if verdict.access == "allow" { "It is let in" } else { "It is turned away" })
                " " (tag(&verdict.verdict))
            }
            ol.history {
                @for ground in &verdict.reasons {
                    li { p { strong { (ground.reason) } " " (ground.text) } }
                }
            }
            dl.fields {
                div { dt { "Tier" } dd { (verdict.tier) } }
                div { dt { "Alarm" } dd { (verdict.alarm) } }
                div { dt { "Made (UTC)" } dd { (stamp(&verdict.decided)) } }
                div { dt { "Good until (UTC)" } dd { time datetime=(verdict.valid_until) { (verdict.valid_until) } } }
                @if let Some(until) = &verdict.unreachable_until {
                    div { dt { "If we cannot be reached, until (UTC)" } dd { (stamp(until)) } }
                }
                div.whole { dt { "What it rests on" } dd {
                    ul { @for each in &verdict.evidence { li { (evidence(each)) } } }
                } }
                div.whole { dt { "Verdict" } dd { code { (verdict.id) } } }
            }
            p.hint { "This is about the device's newest certificate. One that shows an older one is judged by that." }
        }
    }
}

/// What a verdict rests on, with the way to it where there is a page.
fn evidence(text: &str) -> Markup {
    html! {
        @match text.split_once(' ') {
            Some(("certificate", named)) => {
                @match named.split_once('/') {
                    Some((issuer, serial)) => a.serial href={ "/issuers/" (issuer) "/certificates/" (serial) } { (text) },
                    None => (text),
                }
            },
            Some(("device", named)) => {
                @let id = named.split(' ').next().unwrap_or_default();
                a href={ "/devices/" (id) } { (text) }
            },
            Some(("incident", no)) => a href={ "/incidents/" (no) } { (text) },
            Some(("finding", no)) => a href={ "/findings/" (no) } { (text) },
            Some(("exception", named)) => {
                @let no = named.split(' ').next().unwrap_or_default();
                a href={ "/exceptions/" (no) } { (text) }
            },
            _ => (text),
        }
    }
}

fn before(asked: &Asked, said: &Page<SaidItem>) -> Markup {
    let cursor = asked.cursor.clone().unwrap_or_default();
    let pairs = [
        ("device", asked.device.as_str()),
        ("service", asked.service.as_str()),
        ("site", asked.site.as_str()),
        ("cursor", cursor.as_str()),
    ];
    html! {
        section aria-labelledby="said" {
            h2 #said { "What was said before" }
            @if said.items.is_empty() {
                (empty("Nothing was said of this device yet.", html! {
                    "Each verdict is kept once for each state of what it rests on, a second after it was given."
                }))
            } @else {
                div.wide {
                    table {
                        caption { "Verdicts on this device, newest first" }
                        thead { tr {
                            th scope="col" { "First said (UTC)" } th scope="col" { "Service" }
                            th scope="col" { "Asked by" } th scope="col" { "Access" } th scope="col" { "Verdict" }
                            th scope="col" { "Tier" } th scope="col" { "Reasons" }
                        } }
                        tbody { @for one in &said.items { tr {
                            th scope="row" { (stamp(&one.at)) }
                            td { (one.service.as_deref().unwrap_or("none")) }
                            td { (one.relying_party.as_deref().unwrap_or("an operator")) }
                            td { (one.access) } td { (tag(&one.verdict)) } td { (one.tier) }
                            td { (one.reasons.join(", ")) }
                        } } }
                    }
                }
            }
            (pager("/decisions", &pairs, said.next.as_deref()))
        }
    }
}

/// The way from a device's page to its decisions.
pub(super) fn link(device: &str, service: Option<&str>) -> Markup {
    let pairs = [("device", device), ("service", service.unwrap_or_default())];
    html! {
        p { a href={ "/decisions" (query(&pairs)) } { "Would it be let in, and why not?" } }
    }
}
