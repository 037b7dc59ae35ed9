//! Compromises: keys and issuers in other hands, whom that concerns, and how far it is mended.

use axum::extract::State;
use maud::{Markup, html};
use serde::Deserialize;

use super::asked::{Path, Query};
use super::device::paging;
use super::fault::Fault;
use super::page::{Part, Shown, empty, number, page, pager, query, stamp, tag};
use super::session::SignedIn;
use crate::api::Desk;
use crate::api::compromise::{self, CompromiseItem, KeyListItem, StandingItem, WaveItem};
use crate::api::page::Paging;

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
    let found = compromise::page(&desk, &paging(asked.cursor.clone())).await?;
    let found = found.map(CompromiseItem::from);
    let lists = compromise::key_lists(&desk, Paging::default()).await?;
    let cursor = asked.cursor.unwrap_or_default();
    let content = html! {
        h1 { "Compromises" }
        p { "Keys and issuers in other hands. A key that was reported is blocked for ever: its certificates are revoked, and no new one is made for it." }
        @if found.items.is_empty() {
            (empty("None was reported.", html! {
                "Report one with " code { "tenure compromise key" } " or " code { "tenure compromise issuer" } "."
            }))
        } @else {
            div.wide {
                table {
                    caption { "Compromises, newest first" }
                    thead { tr {
                        th scope="col" { "Compromise" } th scope="col" { "Of" } th scope="col" { "Told (UTC)" }
                        th.n scope="col" { "Devices then" } th.n scope="col" { "Certificates then" }
                        th scope="col" { "How we know" } th scope="col" { "By" } th scope="col" { "Why" }
                    } }
                    tbody { @for each in &found.items { (row(each)) } }
                }
            }
        }
        (pager("/compromises", &[("cursor", &cursor)], found.next.as_deref()))
        @if !lists.items.is_empty() { (known_keys(&lists.items)) }
    };
    Ok(page(&who, Part::Compromises, "Compromises", content))
}

fn row(each: &CompromiseItem) -> Markup {
    html! {
        tr {
            th scope="row" { a href={ "/compromises/" (each.no) } { (each.no) } }
            td { (of(each)) }
            td { (stamp(&each.at)) }
            td.n { (number(each.devices)) } td.n { (number(each.certificates)) }
            td { (each.how) } td { (each.by) } td { (each.why) }
        }
    }
}

/// What is in other hands, short enough for a table.
fn of(each: &CompromiseItem) -> Markup {
    html! {
        (each.kind) " "
        @match each.name.get(..16) {
            Some(short) if each.kind == "key" => code title=(each.name) { (short) "…" },
            Some(_) | None => code { (each.name) },
        }
    }
}

fn known_keys(lists: &[KeyListItem]) -> Markup {
    html! {
        section aria-labelledby="lists" {
            h2 #lists { "Keys that others know" }
            div.wide {
                table {
                    caption { "Lists of blocked keys, by name" }
                    thead { tr {
                        th scope="col" { "List" } th.n scope="col" { "Blocked keys" } th.n scope="col" { "In certificates of ours" }
                        th scope="col" { "First (UTC)" } th scope="col" { "Last (UTC)" }
                    } }
                    tbody {
                        @for list in lists {
                            tr {
                                th scope="row" { (list.name) }
                                td.n { (number(list.keys)) } td.n { (number(list.held)) }
                                td { (stamp(&list.first)) } td { (stamp(&list.last)) }
                            }
                        }
                    }
                }
            }
        }
    }
}

pub(super) async fn show(
    State(desk): State<Desk>,
    who: SignedIn,
    Path(no): Path<i64>,
) -> Result<Shown, Fault> {
    let standing = compromise::standing(&desk, no).await?;
    let what = &standing.compromise;
    let title = format!("Compromise {no}");
    let content = html! {
        p.way { a href="/compromises" { "Compromises" } }
        h1 { (title) }
        dl.fields {
            div { dt { "Of" } dd { (what.kind) " " code { (what.name) } } }
            div { dt { "Why" } dd { (what.why) } }
            div { dt { "How we know" } dd { (what.how) } }
            div { dt { "Told by" } dd { (what.by) } }
            div { dt { "Told (UTC)" } dd { (stamp(&what.at)) } }
            @if let Some(since) = &what.since { div { dt { "Bad since (UTC)" } dd { (stamp(since)) } } }
            div { dt { "Concerned then" } dd { (number(what.devices)) " devices, " (number(what.certificates)) " certificates" } }
            div { dt { "The key" } dd { (blocked(what)) } }
        }
        (now(&standing))
        (waves(&standing.waves))
    };
    Ok(page(&who, Part::Compromises, &title, content))
}

/// What became of the key itself.
fn blocked(what: &CompromiseItem) -> Markup {
    html! {
        @if what.kind == "key" {
            "It is blocked: whoever asks for a certificate with it is refused."
        } @else {
            "It is the issuer's own. " a href={ "/issuers/" (what.name) "/rollover" } { "Its rollover" }
            " says which issuer takes its place; what devices hold of it is withdrawn wave by wave, see below."
        }
    }
}

/// Whom it concerns now.
fn now(standing: &StandingItem) -> Markup {
    let (devices, certificates) = (&standing.devices, &standing.certificates);
    let of = &standing.compromise;
    let radius = query(&[("kind", &of.kind), ("name", &of.name)]);
    html! {
        section aria-labelledby="now" {
            h2 #now { "Now" }
            ul.figures {
                li { strong { (number(devices.devices)) } " " span { "devices concerned" } }
                li { strong.bad[devices.exposed > 0] { (number(devices.exposed)) } " " span { "still exposed" } }
                li { strong { (number(devices.withdrawn)) } " " span { "withdrawn" } }
                li { strong { (number(devices.going_on)) } " " span { "with another certificate" } }
                li { strong.wait[devices.cut_off > 0] { (number(devices.cut_off)) } " " span { "cut off until they enroll anew" } }
                li { strong { (number(certificates.revoked)) } " " span { "of " (number(certificates.all)) " certificates revoked" } }
            }
            p { a href={ "/blast-radius" (radius) } { "Which devices, sites and relying parties" } }
        }
    }
}

/// How far the new keys are.
fn waves(waves: &[WaveItem]) -> Markup {
    html! {
        section aria-labelledby="waves" {
            h2 #waves { "New keys, wave by wave" }
            @if waves.is_empty() { p { "No device is concerned." } }
            @else {
                p.hint { "What matters most comes first. A wave is done when none of its devices is exposed or cut off." }
                div.wide {
                    table {
                        caption { "Waves, in the order in which devices get new keys" }
                        thead { tr {
                            th scope="col" { "Wave" } th scope="col" { "Criticality" } th scope="col" { "State" }
                            th.n scope="col" { "Devices" } th.n scope="col" { "Exposed" } th.n scope="col" { "Cut off" }
                            th.n scope="col" { "With another certificate" } th scope="col" { "Mended" }
                        } }
                        tbody {
                            @for wave in waves {
                                @let devices = &wave.devices;
                                @let mended = devices.devices.saturating_sub(devices.exposed.max(devices.cut_off));
                                tr {
                                    th scope="row" { (wave.wave) } td { (wave.criticality) } td { (tag(&wave.state)) }
                                    td.n { (number(devices.devices)) } td.n { (number(devices.exposed)) }
                                    td.n { (number(devices.cut_off)) } td.n { (number(devices.going_on)) }
                                    td { progress max=(devices.devices.max(1)) value=(mended) { (mended) " of " (devices.devices) } }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}
