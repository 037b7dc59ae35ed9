//! Devices: the list, and one with its certificates and its history.

use axum::extract::State;
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::Value;
use tenure_domain::blast::BlastKind;
use tenure_domain::device::{Device, Standing};
use tenure_engine::store::attestation::Attested;
use tenure_engine::store::{StoreError, attestation, certificate};

use super::action;
use super::asked::{Path, Query};
use super::blast;
use super::certificate::table;
use super::decision;
use super::fault::Fault;
use super::page::{Part, Shown, at, choice, empty, page, pager, stamp, tag};
use super::session::SignedIn;
use crate::api::event::{self, EventItem};
use crate::api::page::{Page, Paging};
use crate::api::{Desk, device};

/// Rows of a list.
const ROWS: u32 = 50;
/// Certificates shown with a device.
const CERTIFICATES: usize = 100;

/// Which devices, and which page of them.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    search: String,
    standing: String,
    site: String,
    class: String,
    owner: String,
    cursor: Option<String>,
}

impl Asked {
    fn filter(&self) -> device::Filter {
        let given = |text: &str| Some(text.trim().to_owned());
        device::Filter {
            search: given(&self.search),
            standing: given(&self.standing),
            site: given(&self.site),
            class: given(&self.class),
            owner: given(&self.owner),
            service: None,
            show: None,
        }
    }

    fn pairs(&self) -> Vec<(&str, &str)> {
        vec![
            ("search", &self.search),
            ("standing", &self.standing),
            ("site", &self.site),
            ("class", &self.class),
            ("owner", &self.owner),
            ("cursor", self.cursor.as_deref().unwrap_or_default()),
        ]
    }

    fn is_filtered(&self) -> bool {
        self.pairs().iter().any(|(_, value)| !value.is_empty())
    }
}

/// A page of a list, of the dashboard's length.
pub(super) fn paging(cursor: Option<String>) -> Paging {
    Paging {
        limit: Some(ROWS),
        cursor: cursor.filter(|cursor| !cursor.is_empty()),
    }
}

pub(super) async fn list(
    State(desk): State<Desk>,
    Query(asked): Query<Asked>,
    who: SignedIn,
) -> Result<Shown, Fault> {
    let found = device::page(&desk, asked.filter().read()?, paging(asked.cursor.clone())).await?;
    let content = html! {
        h1 { "Devices" }
        (filters(&asked))
        @if found.items.is_empty() && found.next.is_none() {
            @if asked.is_filtered() {
                (empty("No device is like that.", html! { a href="/devices" { "Show all devices" } }))
            } @else {
                (empty("No device is registered yet.", html! {
                    "Register one with " code { "tenure device add" } ", or many from a table with "
                    code { "tenure device import" } "."
                }))
            }
        } @else {
            (rows(&found))
        }
        (pager("/devices", &asked.pairs(), found.next.as_deref()))
    };
    Ok(page(&who, Part::Devices, "Devices", content))
}

fn filters(asked: &Asked) -> Markup {
    let text = |name: &str, label: &str, value: &str| {
        html! {
            div.field {
                label for=(name) { (label) }
                input id=(name) name=(name) value=(value) autocomplete="off" spellcheck="false";
            }
        }
    };
    let standings = Standing::ALL.iter().map(|standing| standing.word());
    html! {
        form.filters method="get" action="/devices" role="search" {
            (text("search", "Begins with (id, serial or model)", &asked.search))
            (choice("standing", "Standing", "any", standings, &asked.standing))
            (text("site", "Site", &asked.site))
            (text("class", "Class", &asked.class))
            (text("owner", "Owner", &asked.owner))
            button type="submit" { "Show" }
        }
    }
}

fn rows(found: &Page<Device>) -> Markup {
    html! {
        div.wide {
            table {
                caption { "Devices on this page: " (found.items.len()) }
                thead { tr {
                    th scope="col" { "Device" } th scope="col" { "Standing" } th scope="col" { "Class" }
                    th scope="col" { "Site" } th scope="col" { "Owner" } th scope="col" { "Model" }
                    th scope="col" { "Serial" } th scope="col" { "Criticality" }
                } }
                tbody {
                    @for device in &found.items {
                        tr {
                            th scope="row" { a href={ "/devices/" (device.id) } { (device.id) } }
                            td { (tag(device.standing.word())) }
                            td { (device.class) } td { (device.site) } td { (device.owner) }
                            td { (device.model) } td { (device.serial) } td { (device.criticality) }
                        }
                    }
                    @if found.items.is_empty() { tr { td colspan="8" { "None among those looked at so far; go on to the next page." } } }
                }
            }
        }
    }
}

/// Which events of a device.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Older {
    cursor: Option<String>,
}

pub(super) async fn show(
    State(desk): State<Desk>,
    who: SignedIn,
    Path(id): Path<String>,
    Query(older): Query<Older>,
) -> Result<Shown, Fault> {
    let device = device::known(&desk, &id)?;
    let (no, now) = (device.no, desk.now());
    let (certificates, attested) = desk
        .read(move |tx| {
            let certificates = certificate::of_device(tx, no, CERTIFICATES)?;
            Ok::<_, StoreError>((certificates, attestation::of_device(tx, no)?))
        })
        .await?;
    let cursor = older.cursor.clone().unwrap_or_default();
    let events = event::of_device(&desk, no, &paging(older.cursor)).await?;
    let path = format!("/devices/{}", device.id);
    let content = html! {
        p.way { a href="/devices" { "Devices" } }
        h1 { (device.id) " " (tag(device.standing.word())) }
        (action::of_device(&who, &device))
        (fields(&device))
        p { a href=(blast::path(BlastKind::Device, device.id.as_str())) { "Blast radius of " (device.id) } }
        (decision::link(device.id.as_str(), device.services.first().map(|service| service.as_str())))
        section aria-labelledby="certificates" {
            h2 #certificates { "Certificates" }
            @if certificates.is_empty() {
                (empty("It has no certificate yet.", html! {
                    "Make a one-time secret with " code { "tenure device secret " (device.id) }
                    " and enroll the device with it."
                }))
            } @else {
                (table(&certificates, now, "Certificates of this device, newest first; each names the one it replaced"))
            }
        }
        (attestations(&attested))
        section aria-labelledby="history" {
            h2 #history { "History" }
            (history(&events.items))
            (pager(&path, &[("cursor", &cursor)], events.next.as_deref()))
        }
    };
    Ok(page(&who, Part::Devices, device.id.as_str(), content))
}

/// What verifiers say of it; nothing where none ever did.
fn attestations(attested: &[Attested]) -> Markup {
    html! {
        @if !attested.is_empty() {
            section aria-labelledby="attestation" {
                h2 #attestation { "Attestation" }
                div.wide {
                    table {
                        caption { "What each verifier said last" }
                        thead { tr {
                            th scope="col" { "Verifier" } th scope="col" { "Result" }
                            th scope="col" { "Evidence made (UTC)" } th scope="col" { "Reported (UTC)" }
                            th scope="col" { "SHA-256 of the evidence" }
                        } }
                        tbody { @for it in attested { tr {
                            th scope="row" { (it.said.verifier) }
                            td { (tag(it.said.result.word())) }
                            td { (at(it.said.made)) } td { (at(it.reported)) }
                            td.serial { (it.said.evidence) }
                        } } }
                    }
                }
            }
        }
    }
}

fn fields(device: &Device) -> Markup {
    let services: Vec<_> = device.services.iter().map(ToString::to_string).collect();
    html! {
        dl.fields {
            div { dt { "Class" } dd { (device.class) } }
            div { dt { "Site" } dd { (device.site) } }
            div { dt { "Owner" } dd { (device.owner) } }
            div { dt { "Criticality" } dd { (device.criticality) } }
            div { dt { "Services" } dd { @if services.is_empty() { "none" } @else { (services.join(", ")) } } }
            div { dt { "Manufacturer" } dd { (shown(&device.manufacturer)) } }
            div { dt { "Model" } dd { (shown(&device.model)) } }
            div { dt { "Serial number" } dd { (shown(&device.serial)) } }
            div { dt { "Registered (UTC)" } dd { (at(device.created)) } }
            div { dt { "Last changed (UTC)" } dd { (at(device.updated)) } }
        }
    }
}

fn shown(text: &str) -> &str {
    if text.is_empty() { "not given" } else { text }
}

fn history(events: &[EventItem]) -> Markup {
    html! {
        @if events.is_empty() { p { "Nothing is recorded before this." } }
        ol.history {
            @for event in events {
                li {
                    p {
                        strong { (event.what) } " "
                        (stamp(&event.at))
                        @if let Some(since) = &event.since { ", true since " (stamp(since)) }
                        span.by { " by " (event.by) }
                        span.hint { " · event " (event.seq) }
                    }
                    (particulars(&event.detail))
                }
            }
        }
    }
}

/// The particulars of an event, as far as they are words and numbers. Hashes are for proofs.
fn particulars(detail: &Value) -> Markup {
    let Some(named) = detail.as_object() else {
        return html! {};
    };
    let told: Vec<_> = named
        .iter()
        .filter(|(name, _)| !name.ends_with("_hash"))
        .filter_map(|(name, value)| Some((name.replace('_', " "), told(value)?)))
        .collect();
    html! {
        @if !told.is_empty() {
            dl.small { @for (name, value) in told { div { dt { (name) } dd { (value) } } } }
        }
    }
}

fn told(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) if text.is_empty() => None,
        Value::String(text) => Some(text.clone()),
        Value::Bool(yes) => Some(if *yes { "yes" } else { "no" }.to_owned()),
        Value::Number(n) => Some(n.to_string()),
        Value::Array(all) => {
            let words: Vec<_> = all.iter().filter_map(told).collect();
            (!words.is_empty()).then(|| words.join(", "))
        }
        Value::Object(_) => None,
    }
}
