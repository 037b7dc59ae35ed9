//! How far the rollover of an issuer has come, and who is not ready.

use axum::extract::State;
use maud::{Markup, html};
use tenure_domain::rollover::or_more;

use super::asked::Path;
use super::fault::Fault;
use super::page::{Part, Shown, number, page, stamp, tag};
use super::relying_party;
use super::session::SignedIn;
use crate::api::Desk;
use crate::api::rollover::{self, CountItem, PartyItem, StageItem};

/// The way of an issuer, in order.
const WAY: [&str; 5] = ["prepared", "distributed", "active", "tainted", "removed"];

pub(super) async fn show(
    State(desk): State<Desk>,
    who: SignedIn,
    Path(name): Path<String>,
) -> Result<Shown, Fault> {
    let progress = rollover::progress(&desk, &name).await?;
    let title = format!("Rollover of {name}");
    let content = html! {
        p.way { a href="/issuers" { "Issuers" } }
        h1 { (title) }
        p { "A successor is made, then carried by trust bundles, and signs only after relying parties were seen to accept it. The former issuer is taken out only after they were seen to refuse it and nothing needs it." }
        @for stage in &progress.issuers { (card(stage)) }
    };
    Ok(page(&who, Part::Issuers, &title, content))
}

fn card(stage: &StageItem) -> Markup {
    let id = format!("stage-{}", stage.name);
    html! {
        section.card aria-labelledby=(id) {
            h2 id=(id) { (stage.name) " " (tag(&stage.state)) }
            ol.steps {
                @for word in WAY {
                    li aria-current=[(word == stage.state).then_some("step")] { @if word == stage.state { strong { (word) } } @else { (word) } }
                }
            }
            dl.fields {
                div { dt { "Since (UTC)" } dd { (stamp(&stage.since)) } }
                @if let Some(former) = &stage.replaces { div { dt { "Follows" } dd { (former) } } }
                div { dt { "Relying parties seen to accept it" } dd { (count(&stage.accepted_by)) } }
                div { dt { "Seen to refuse it in this state" } dd { (count(&stage.refused_by)) } }
                div { dt { "Certificates in force" } dd { (number(stage.certificates)) (or_more(stage.certificates)) @if !stage.devices.is_empty() { " (" (stage.devices.join(", ")) ")" } } }
                div { dt { "Last reported in use (UTC)" } dd { @if let Some(at) = &stage.last_used { (stamp(at)) } @else { "never" } } }
            }
            @if !stage.steps.is_empty() {
                h3 { "What comes next" }
                ul {
                    @for step in &stage.steps {
                        li {
                            code { "tenure issuer rollover " (step.step) " " (stage.name) }
                            @match &step.blocked {
                                Some(why) => { " " (tag("waiting")) " " (why) }
                                None => { " " (tag("ready")) }
                            }
                        }
                    }
                }
            }
            (parties(&stage.relying_parties))
        }
    }
}

fn count(count: &CountItem) -> Markup {
    html! { (count.ready) " of " (count.of) ", of these " (count.critical_ready) " of " (count.critical) " critical" }
}

fn parties(parties: &[PartyItem]) -> Markup {
    html! {
        @if parties.is_empty() { p { "No relying party is registered for it." } }
        @else {
            details open[parties.len() <= 25] {
                summary { "Relying parties" }
                div.wide {
                    table {
                        thead { tr { th scope="col" { "Relying party" } th scope="col" { "Criticality" } th scope="col" { "A certificate of it was" } th scope="col" { "How" } th scope="col" { "When (UTC)" } } }
                        tbody {
                            @for party in parties {
                                tr {
                                    th scope="row" { (relying_party::link(&party.name)) }
                                    td { (party.criticality) }
                                    td { @match &party.observed { Some(word) => { (tag(word)) } None => { "not tried" } } }
                                    td { (party.how.as_deref().unwrap_or_default()) }
                                    td { @if let Some(at) = &party.at { (stamp(at)) } }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}
