//! The first page: the fleet in numbers.

use std::collections::BTreeMap;

use axum::extract::State;
use maud::{Markup, html};
use serde::Deserialize;
use tenure_engine::ceremony::HOUSE;
use tenure_engine::store::{StoreError, event};

use super::asked::Query;
use super::chart;
use super::fault::Fault;
use super::page::{Part, Shown, empty, number, page, query, stamp, tag};
use super::session::SignedIn;
use crate::api::{Desk, fleet, log};

/// What can be looked at ahead, in days.
const SPANS: [u16; 3] = [30, 120, 365];
/// Rows of a table of counts; the largest are shown.
const ROWS_MAX: usize = 20;

/// How far ahead.
#[derive(Deserialize)]
pub(super) struct Ahead {
    days: Option<u16>,
}

/// How far the record is sealed.
struct Sealed {
    recorded: u64,
    newest: Option<String>,
    /// Events under the published checkpoint; none before the first.
    size: Option<u64>,
}

pub(super) async fn show(
    State(desk): State<Desk>,
    Query(ahead): Query<Ahead>,
    who: SignedIn,
) -> Result<Shown, Fault> {
    let span = ahead
        .days
        .filter(|days| SPANS.contains(days))
        .unwrap_or(120);
    let counts = fleet::count(&desk).await?;
    let bars = chart::bars(&fleet::ending(&desk, span).await?);
    let sealed = sealed(&desk).await?;
    // What the house registers of itself when it is founded.
    let ours = counts.by_class.get(HOUSE).copied().unwrap_or(0);
    let content = html! {
        h1 { "Fleet" }
        (attention(&counts))
        @if counts.devices == ours {
            (empty("Nothing but Tenure itself is registered yet.", html! {
                "Register one with " code { "tenure device add" } ", or many from a table with "
                code { "tenure device import" } "."
            }))
        }
        ul.figures {
            (figure("Devices", &number(counts.devices), Some("/devices")))
            @for (standing, n) in &counts.by_standing {
                (figure(standing, &number(*n), Some(&format!("/devices{}", query(&[("standing", standing)])))))
            }
        }
        section aria-labelledby="ends" {
            h2 #ends { "Certificates by the day they end" }
            nav.tabs aria-label="How far ahead" {
                @for days in SPANS {
                    a href={ "/?days=" (days) } aria-current=[(days == span).then_some("true")] { (days) " days" }
                }
            }
            (chart::ends(&bars))
            (chart::table(&bars))
        }
        div.columns {
            (counted("By site", "Site", "site", &counts.by_site))
            (counted("By class", "Class", "class", &counts.by_class))
            (certificates(&counts.certificates))
            (record(&sealed))
        }
    };
    Ok(page(&who, Part::Fleet, "Fleet", content))
}

async fn sealed(desk: &Desk) -> Result<Sealed, Fault> {
    let directory = desk.engine().directory().to_owned();
    let (last, checkpoint) = desk
        .read(move |tx| {
            // What cannot be read is shown as not sealed; the doctor says why.
            let checkpoint = log::newest(&directory).ok().flatten();
            Ok::<_, StoreError>((event::last(tx)?, checkpoint))
        })
        .await?;
    Ok(Sealed {
        recorded: last.map_or(0, |(seq, _)| u64::try_from(seq.0).unwrap_or(0)),
        newest: last.map(|(_, at)| at.to_string()),
        size: checkpoint.map(|(_, checkpoint)| checkpoint.size()),
    })
}

fn figure(name: &str, value: &str, href: Option<&str>) -> Markup {
    html! {
        li {
            @if let Some(href) = href {
                a href=(href) { strong { (value) } " " span { (name) } }
            } @else {
                strong { (value) } " " span { (name) }
            }
        }
    }
}

/// What waits for a person.
fn attention(counts: &fleet::Fleet) -> Markup {
    let waits = |n: u64, one: &str, many: &str| match n {
        1 => format!("1 {one}"),
        1_000.. => format!("1000 {many} or more"),
        n => format!("{} {many}", number(n)),
    };
    html! {
        @if counts.incidents_open > 0 || counts.asks_waiting > 0 || counts.findings_open > 0 {
            section.notice aria-label="What waits for you" {
                ul {
                    @if counts.incidents_open > 0 {
                        li { a href="/incidents" { (waits(counts.incidents_open, "incident is", "incidents are")) " open" } ": somebody has to decide which holder of an identity is the right one." }
                    }
                    @if counts.findings_open > 0 {
                        li { a href="/findings" { (waits(counts.findings_open, "finding is", "findings are")) " open" } ": something is not as it should be." }
                    }
                    @if counts.asks_waiting > 0 {
                        li { a href="/asks" { (waits(counts.asks_waiting, "request waits", "requests wait")) } " for a decision." }
                    }
                }
            }
        } @else {
            p.calm { "No open incident, no open finding, and no request waits for a decision." }
        }
    }
}

fn counted(caption: &str, noun: &str, field: &str, counts: &BTreeMap<String, u64>) -> Markup {
    let mut rows: Vec<_> = counts.iter().collect();
    rows.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
    let more = rows.len().saturating_sub(ROWS_MAX);
    rows.truncate(ROWS_MAX);
    html! {
        div.wide {
            table {
                caption { (caption) }
                thead { tr { th scope="col" { (noun) } th.n scope="col" { "Devices" } } }
                tbody {
                    @for (name, n) in rows {
                        tr {
                            th scope="row" { a href={ "/devices" (query(&[(field, name)])) } { (name) } }
                            td.n { (number(*n)) }
                        }
                    }
                    @if counts.is_empty() { tr { td colspan="2" { "None yet." } } }
                }
            }
            @if more > 0 { p.hint { "And " (more) " with fewer devices." } }
        }
    }
}

fn certificates(counts: &BTreeMap<String, u64>) -> Markup {
    html! {
        div.wide {
            table {
                caption { "Certificates by status" }
                thead { tr { th scope="col" { "Status" } th.n scope="col" { "Certificates" } } }
                tbody {
                    @for (status, n) in counts {
                        tr {
                            th scope="row" { a href={ "/certificates" (query(&[("status", status)])) } { (tag(status)) } }
                            td.n { (number(*n)) }
                        }
                    }
                    @if counts.is_empty() { tr { td colspan="2" { "None yet." } } }
                }
            }
        }
    }
}

fn record(sealed: &Sealed) -> Markup {
    let size = sealed.size.unwrap_or(0);
    html! {
        div.wide {
            table {
                caption { "The record" }
                tbody {
                    tr { th scope="row" { "Events recorded" } td.n { (number(sealed.recorded)) } }
                    tr { th scope="row" { "Sealed in the published checkpoint" } td.n { @if sealed.size.is_some() { (number(size)) } @else { "none yet" } } }
                    tr { th scope="row" { "Recorded and not sealed yet" } td.n { (number(sealed.recorded.saturating_sub(size))) } }
                    @if let Some(newest) = &sealed.newest {
                        tr { th scope="row" { "Newest event (UTC)" } td.n { (stamp(newest)) } }
                    }
                }
            }
        }
    }
}
