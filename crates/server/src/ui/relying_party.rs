//! Relying parties.

use axum::extract::State;
use maud::{Markup, html};
use serde::Deserialize;
use tenure_domain::TenantId;
use tenure_domain::blast::BlastKind;
use tenure_domain::finding::{Finding, FindingState, Subject, SubjectKind};
use tenure_domain::relying_party::RelyingParty;
use tenure_engine::store::finding;

use super::asked::{Path, Query};
use super::blast;
use super::device::paging;
use super::fault::Fault;
use super::page::{Part, Shown, empty, page, pager, stamp, tag};
use super::session::SignedIn;
use crate::api::Desk;
use crate::api::{feed, probe, relying_party};

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
    let found = relying_party::page(&desk, &paging(asked.cursor.clone())).await?;
    let cursor = asked.cursor.unwrap_or_default();
    let content = html! {
        h1 { "Relying parties" }
        @if found.items.is_empty() {
            (empty("None is registered.", html! {
                "A relying party is an address where devices are let in or turned away. Register one with "
                code { "tenure relying-party add" } "."
            }))
        } @else {
            div.wide {
                table {
                    caption { "Relying parties, by name" }
                    thead { tr {
                        th scope="col" { "Name" } th scope="col" { "Address" } th scope="col" { "Protocol" }
                        th scope="col" { "Checks" } th scope="col" { "Criticality" } th scope="col" { "Services" }
                        th scope="col" { "Owner" } th scope="col" { "Site" }
                    } }
                    tbody {
                        @for party in found.items.iter().map(|known| &known.party) {
                            tr {
                                th scope="row" { a href={ "/relying-parties/" (party.name) } { (party.name) } }
                                td { (party.address) }
                                td { (party.protocol) }
                                td { (party.checks) }
                                td { (party.criticality) }
                                td { (services(party)) }
                                td { (party.owner) }
                                td { (party.site) }
                            }
                        }
                    }
                }
            }
        }
        (pager("/relying-parties", &[("cursor", &cursor)], found.next.as_deref()))
    };
    Ok(page(&who, Part::RelyingParties, "Relying parties", content))
}

/// The way to a relying party's page.
pub(super) fn link(name: &str) -> Markup {
    html! { a href={ "/relying-parties/" (name) } { (name) } }
}

fn services(party: &RelyingParty) -> Markup {
    let names: Vec<_> = party.services.iter().map(|name| name.as_str()).collect();
    html! { (names.join(", ")) }
}

pub(super) async fn show(
    State(desk): State<Desk>,
    who: SignedIn,
    Path(name): Path<String>,
) -> Result<Shown, Fault> {
    let known = relying_party::known(&desk, &name)?;
    let cells = probe::cells(&desk, &known)?;
    let held = feed::state(&desk, &known)?;
    let party = known.party;
    let subject = Subject::new(SubjectKind::RelyingParty, &name);
    let findings = desk.glance(|tx| finding::about(tx, TenantId::DEFAULT, &subject))?;
    let issuers: Vec<_> = party.issuers.iter().map(|issuer| issuer.as_str()).collect();
    let content = html! {
        p.way { a href="/relying-parties" { "Relying parties" } }
        h1 { (name) }
        dl.fields {
            div { dt { "Address" } dd { (party.address) } }
            div { dt { "Protocol" } dd { (party.protocol) } }
            div { dt { "Its certificate names" } dd { (party.expected_name()) } }
            div { dt { "Lets in devices of" } dd { @if issuers.is_empty() { "every issuing CA" } @else { @for (i, issuer) in issuers.iter().enumerate() { @if i > 0 { ", " } a href=(blast::path(BlastKind::Issuer, issuer)) { (issuer) } } } } }
            div { dt { "Services" } dd { (services(&party)) } }
            div { dt { "Criticality" } dd { (party.criticality) } }
            div { dt { "Owner" } dd { (party.owner) } }
            div { dt { "Site" } dd { (party.site) } }
            div { dt { "Says it checks" } dd { (party.checks) ", " (party.session) } }
            div { dt { "Enforces within" } dd { (party.enforce_within_s) " seconds" } }
        }
        @if !party.services.is_empty() {
            p { "Blast radius of " @for (i, service) in party.services.iter().enumerate() {
                @if i > 0 { ", " }
                a href=(blast::path(BlastKind::Service, service.as_str())) { (service) }
            } }
        }
        p { a href={ "/relying-parties/" (name) "/trust-store" } { "Trust store of " (name) } }
        section aria-labelledby="feed" {
            h2 #feed { "Feed" }
            @match &held {
                Some(held) => (held.shown()),
                None => p { "It follows none. Connect it with " code { "tenure feed connect " (name) } "." },
            }
        }
        section aria-labelledby="canaries" {
            h2 #canaries { "Canaries" }
            @if cells.is_empty() { p { "It was never tried. Try it with " code { "tenure probe run --relying-party " (name) } "." } }
            @else {
                div.wide {
                    table {
                        caption { "What it did with each the last time" }
                        thead { tr { th scope="col" { "Canary" } th scope="col" { "Issuer" } th scope="col" { "It was" } th scope="col" { "How" } th scope="col" { "When (UTC)" } } }
                        tbody {
                            @for cell in &cells {
                                tr {
                                    th scope="row" { (cell.canary) } td { (cell.issuer) } td { (super::enforcement::reception(cell)) }
                                    td { (cell.how) } td { (stamp(&cell.at)) }
                                }
                            }
                        }
                    }
                }
            }
        }
        (found(&findings))
    };
    Ok(page(&who, Part::RelyingParties, &name, content))
}

fn found(findings: &[Finding]) -> Markup {
    let standing = |finding: &&Finding| finding.state != FindingState::Cleared;
    html! {
        section aria-labelledby="findings" {
            h2 #findings { "Findings" }
            @if findings.iter().filter(standing).count() == 0 { p { "None." } }
            ul {
                @for finding in findings.iter().filter(standing) {
                    li { a href={ "/findings/" (finding.no) } { (finding.summary) } " " (tag(finding.state.word())) }
                }
            }
        }
    }
}

impl feed::FeedItem {
    /// What it should hold and what it applied.
    fn shown(&self) -> Markup {
        let or_none = |text: &Option<String>| text.clone().unwrap_or_else(|| "never".to_owned());
        html! {
            dl.fields {
                div { dt { "Reached by" } dd { (self.way) } }
                div { dt { "Offered" } dd { "number " (self.offered) } }
                div { dt { "Applied" } dd { @if self.applied == 0 { "nothing yet" } @else { "number " (self.applied) } } }
                div { dt { "Acknowledged" } dd { (or_none(&self.acknowledged)) } }
                @if let Some(since) = &self.behind_since {
                    div { dt { "Has something to apply since" } dd { (since) " (it may take " (self.within_s) " seconds)" } }
                }
            }
        }
    }
}
