//! What relying parties do with canaries: the matrix, and how long revocations took to be enforced.

use axum::extract::State;
use maud::{Markup, html};
use serde::Deserialize;
use tenure_domain::canary::Canary;

use super::asked::Query;
use super::device::paging;
use super::fault::Fault;
use super::page::{Part, Shown, empty, number, page, pager, stamp, tag};
use super::session::SignedIn;
use super::{chart, relying_party};
use crate::api::Desk;
use crate::api::probe::{self, Bucket, CellItem, EnforcementRow, Times};

/// How far back the distribution looks, in days.
const DAYS: u16 = 30;

/// Which page.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    cursor: Option<String>,
}

pub(super) async fn show(
    State(desk): State<Desk>,
    Query(asked): Query<Asked>,
    who: SignedIn,
) -> Result<Shown, Fault> {
    let found = probe::rows(&desk, &paging(asked.cursor.clone())).await?;
    let times = probe::distribution(&desk, DAYS).await?;
    let cursor = asked.cursor.unwrap_or_default();
    let content = html! {
        h1 { "Enforcement" }
        @if found.items.is_empty() {
            (empty("No relying party is registered.", html! {
                "Register one with " code { "tenure relying-party add" } ", then try it with " code { "tenure probe run" } "."
            }))
        } @else {
            p { "Each relying party is tried with identities made for the purpose. It must let the valid one in, and turn all others away." }
            (matrix(&found.items))
            (pager("/enforcement", &[("cursor", &cursor)], found.next.as_deref()))
        }
        (took(&times))
    };
    Ok(page(&who, Part::Enforcement, "Enforcement", content))
}

fn matrix(rows: &[EnforcementRow]) -> Markup {
    let was_tried = |canary: &Canary| {
        let mut cells = rows.iter().flat_map(|row| &row.cells);
        cells.any(|cell| cell.canary == canary.word())
    };
    // What only some houses and some days have is shown where there is any.
    let shown: Vec<_> = Canary::ALL
        .iter()
        .filter(|canary| **canary <= Canary::ConstraintBreaker || was_tried(canary))
        .collect();
    html! {
        div.wide {
            table {
                caption { "Relying parties and canaries" }
                thead { tr {
                    th scope="col" { "Relying party" } th scope="col" { "Verdict" }
                    @for canary in &shown { th scope="col" { (canary) } }
                    th scope="col" { "Probed (UTC)" }
                } }
                tbody {
                    @for row in rows {
                        tr {
                            th scope="row" { (relying_party::link(&row.relying_party)) }
                            td { (tag(&row.verdict)) }
                            @for canary in &shown { td { (cell(row, **canary)) } }
                            td { @if let Some(at) = &row.at { (stamp(at)) } @else { "never" } }
                        }
                    }
                }
            }
        }
    }
}

/// One canary at one relying party; where issuers differ, the one that is not as it must be.
fn cell(row: &EnforcementRow, canary: Canary) -> Markup {
    let of_it = || row.cells.iter().filter(|cell| cell.canary == canary.word());
    let shown = of_it()
        .find(|cell| cell.judgement != "good")
        .or_else(|| of_it().next());
    html! { @if let Some(cell) = shown { (reception(cell)) } @else { "not tried" } }
}

/// What was done with a canary, and how.
pub(super) fn reception(cell: &CellItem) -> Markup {
    let tone = match cell.judgement.as_str() {
        "good" => "good",
        "bad" => "bad",
        _ => "wait",
    };
    html! { span class={ "tag " (tone) } title={ (cell.how) " (" (cell.issuer) ")" } { (cell.reception) } }
}

fn took(times: &Times) -> Markup {
    let said = match (times.all.p50_ms, times.all.p95_ms, times.all.max_ms) {
        (Some(half), Some(most), Some(all)) => format!(
            "{} measured in {DAYS} days: half within {}, 19 of 20 within {}, all within {}.",
            number(times.all.count),
            duration(half),
            duration(most),
            duration(all),
        ),
        _ => "Nothing was measured yet.".to_owned(),
    };
    html! {
        section aria-labelledby="took" {
            h2 #took { "From revocation to refusal" }
            @if times.all.count > 0 {
                (chart::columns("From revocation to refusal", &said, &columns(&times.histogram)))
            } @else {
                p { (said) " " "Measure with " code { "tenure drill revoke" } "." }
            }
            @if !times.relying_parties.is_empty() {
                div.wide {
                    table {
                        caption { "By relying party" }
                        thead { tr {
                            th scope="col" { "Relying party" } th.n scope="col" { "Measured" }
                            th.n scope="col" { "Half within" } th.n scope="col" { "19 of 20 within" } th.n scope="col" { "All within" }
                        } }
                        tbody {
                            @for (name, times) in &times.relying_parties {
                                tr {
                                    th scope="row" { (relying_party::link(name)) }
                                    td.n { (number(times.count)) }
                                    @for ms in [times.p50_ms, times.p95_ms, times.max_ms] { td.n { (ms.map(duration).unwrap_or_default()) } }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn columns(histogram: &[Bucket]) -> Vec<chart::Column> {
    let longest = histogram
        .iter()
        .rev()
        .flat_map(|bucket| bucket.up_to_ms)
        .next();
    let named = histogram.iter().map(|bucket| chart::Column {
        name: match (bucket.up_to_ms, longest) {
            (Some(ms), _) => format!("≤ {}", duration(ms)),
            (None, Some(ms)) => format!("> {}", duration(ms)),
            (None, None) => "any".to_owned(),
        },
        count: bucket.count,
    });
    named.collect()
}

/// Milliseconds, in the largest unit that makes sense.
fn duration(ms: i64) -> String {
    match ms {
        ..1_000 => format!("{ms} ms"),
        1_000..60_000 if ms % 1_000 == 0 => format!("{} s", ms / 1_000),
        1_000..60_000 => format!("{}.{} s", ms / 1_000, ms % 1_000 / 100),
        60_000..3_600_000 => format!("{} min", ms / 60_000),
        _ => format!("{} h", ms / 3_600_000),
    }
}
