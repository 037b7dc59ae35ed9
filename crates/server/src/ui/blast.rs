//! Blast radius: whom it concerns that something is no longer to be trusted.

use std::collections::BTreeMap;

use axum::extract::State;
use maud::{Markup, html};
use serde::Deserialize;
use tenure_domain::blast::{BlastKind, Exposure};
use tenure_engine::store::blast::AffectedFilter;

use super::asked::Query;
use super::device::paging;
use super::fault::Fault;
use super::page::{Part, Shown, choice, number, page, pager, query, stamp, tag};
use super::relying_party;
use super::session::SignedIn;
use crate::api::Desk;
use crate::api::blast::{self, AffectedItem, BlastItem, Centre, TallyItem};
use crate::api::body::some_word;
use crate::api::page::Page;

const PATH: &str = "/blast-radius";

/// Of what, and which page of its devices.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    kind: String,
    name: String,
    exposure: String,
    cursor: Option<String>,
}

/// The way to a radius.
pub(super) fn path(kind: BlastKind, name: &str) -> String {
    format!("{PATH}{}", query(&[("kind", kind.word()), ("name", name)]))
}

pub(super) async fn show(
    State(desk): State<Desk>,
    Query(asked): Query<Asked>,
    who: SignedIn,
) -> Result<Shown, Fault> {
    if asked.kind.is_empty() || asked.name.trim().is_empty() {
        let content = html! {
            h1 { "Blast radius" }
            p { "Whom it concerns that something is no longer to be trusted: how it was, and how much of it is mended." }
            (form(&asked))
        };
        return Ok(page(&who, Part::Blast, "Blast radius", content));
    }
    let centre = Centre {
        kind: asked.kind.clone(),
        name: asked.name.trim().to_owned(),
    };
    let filter = AffectedFilter {
        exposure: some_word("exposure", Some(&asked.exposure))?,
        criticality: None,
    };
    let found = blast::found(&desk, &centre).await?;
    let devices = blast::affected(&desk, &centre, filter, &paging(asked.cursor.clone())).await?;
    let title = format!("Blast radius of {} {}", found.kind, found.name);
    let content = html! {
        h1 { (title) }
        (form(&asked))
        (figures(&found))
        (cuts(&found))
        (parties(&found))
        @if !found.acts.is_empty() {
            section aria-labelledby="acts" {
                h2 #acts { "What was done with it" }
                ul { @for (act, n) in &found.acts { li { (act) " " (number(*n)) } } }
            }
        }
        (listed(&asked, &devices))
    };
    Ok(page(&who, Part::Blast, &title, content))
}

fn form(asked: &Asked) -> Markup {
    let kinds = BlastKind::ALL.iter().map(|kind| kind.word());
    html! {
        form.filters method="get" action=(PATH) role="search" {
            (choice("kind", "Of what", "choose", kinds, &asked.kind))
            div.field {
                label for="name" { "Name, or fingerprint" }
                input id="name" name="name" value=(asked.name) autocomplete="off" spellcheck="false";
            }
            button type="submit" { "Show" }
        }
    }
}

fn figures(found: &BlastItem) -> Markup {
    let devices = &found.devices;
    let of = |exposure| {
        let pairs = [
            ("kind", found.kind.as_str()),
            ("name", &found.name),
            ("exposure", exposure),
        ];
        format!("{PATH}{}#devices", query(&pairs))
    };
    html! {
        p.hint { "As of " (stamp(&found.at)) " (UTC)" }
        ul.figures {
            li { a href=(of("")) { strong { (number(devices.devices)) } " " span { "devices concerned" } } }
            li { a href=(of("exposed")) { strong.bad[devices.exposed > 0] { (number(devices.exposed)) } " " span { "still exposed" } } }
            li { a href=(of("suspended")) { strong { (number(devices.suspended)) } " " span { "suspended" } } }
            li { a href=(of("withdrawn")) { strong { (number(devices.withdrawn)) } " " span { "withdrawn" } } }
            li { a href=(of("")) { strong { (number(devices.going_on)) } " " span { "with another certificate" } } }
            li { a href=(of("")) { strong.wait[devices.cut_off > 0] { (number(devices.cut_off)) } " " span { "cut off until they enroll anew" } } }
            li { a href=(of("")) { strong { (number(found.certificates.all)) } " " span { "certificates, " (number(found.certificates.revoked)) " revoked" } } }
        }
    }
}

fn cuts(found: &BlastItem) -> Markup {
    let cuts: [(&str, &BTreeMap<String, TallyItem>); 5] = [
        ("criticality", &found.by_criticality),
        ("class", &found.by_class),
        ("site", &found.by_site),
        ("owner", &found.by_owner),
        ("service", &found.by_service),
    ];
    html! {
        @for (by, cut) in cuts {
            @if !cut.is_empty() {
                div.wide {
                    table {
                        caption { "Devices by " (by) }
                        thead { tr {
                            th scope="col" { (by) } th.n scope="col" { "Before" } th.n scope="col" { "Exposed" }
                            th.n scope="col" { "Suspended" } th.n scope="col" { "Withdrawn" } th.n scope="col" { "Without" }
                            th.n scope="col" { "Going on" } th.n scope="col" { "Cut off" }
                        } }
                        tbody {
                            @for (name, tally) in cut {
                                tr {
                                    th scope="row" { (name) }
                                    @for n in [tally.devices, tally.exposed, tally.suspended, tally.withdrawn, tally.without, tally.going_on, tally.cut_off] {
                                        td.n { (number(n)) }
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn parties(found: &BlastItem) -> Markup {
    html! {
        section aria-labelledby="parties" {
            h2 #parties { "Relying parties" }
            @if found.relying_parties.is_empty() { p { "None is reached." } }
            @else {
                div.wide {
                    table {
                        caption { "Those that let its certificates in, or through which its devices reach a service" }
                        thead { tr {
                            th scope="col" { "Relying party" } th scope="col" { "Criticality" } th scope="col" { "Site" }
                            th scope="col" { "Lets in devices of" } th scope="col" { "Serves" } th scope="col" { "Refuses the revoked" }
                        } }
                        tbody {
                            @for party in &found.relying_parties {
                                tr {
                                    th scope="row" { (relying_party::link(&party.name)) }
                                    td { (party.criticality) } td { (party.site) }
                                    td { (party.trusts.join(", ")) } td { (party.serves.join(", ")) }
                                    td { (tag(&party.verdict)) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn listed(asked: &Asked, devices: &Page<AffectedItem>) -> Markup {
    let cursor = asked.cursor.as_deref().unwrap_or_default();
    let pairs = [
        ("kind", asked.kind.as_str()),
        ("name", asked.name.trim()),
        ("exposure", asked.exposure.as_str()),
        ("cursor", cursor),
    ];
    html! {
        section aria-labelledby="devices" {
            h2 #devices { "Devices" }
            nav.tabs aria-label="Exposure" {
                @for word in std::iter::once("").chain(Exposure::ALL.iter().map(|it| it.word())) {
                    @let way = query(&[("kind", &asked.kind), ("name", asked.name.trim()), ("exposure", word)]);
                    a href={ (PATH) (way) "#devices" } aria-current=[(word == asked.exposure).then_some("true")] {
                        @if word.is_empty() { "all" } @else { (word) }
                    }
                }
            }
            @if devices.items.is_empty() { p { "None on this page." } }
            @else {
                div.wide {
                    table {
                        caption { "Devices on this page: " (devices.items.len()) }
                        thead { tr {
                            th scope="col" { "Device" } th scope="col" { "Exposure" } th scope="col" { "Another certificate" }
                            th scope="col" { "Criticality" } th scope="col" { "Class" } th scope="col" { "Site" } th scope="col" { "Owner" }
                        } }
                        tbody {
                            @for device in &devices.items {
                                tr {
                                    th scope="row" { a href={ "/devices/" (device.id) } { (device.id) } }
                                    td { (tag(&device.exposure)) }
                                    td { @if device.goes_on { "yes" } @else { "no" } }
                                    td { (device.criticality) } td { (device.class) } td { (device.site) } td { (device.owner) }
                                }
                            }
                        }
                    }
                }
            }
            (pager(PATH, &pairs, devices.next.as_deref()))
        }
    }
}
