//! Incidents, and how they are decided.

use axum::extract::State;
use axum::response::Redirect;
use maud::{Markup, html};
use serde::Deserialize;
use tenure_domain::change::Change;
use tenure_domain::ids::IncidentNo;
use tenure_domain::incident::{Incident, IncidentState};
use tenure_domain::operator::Permission::Approve;
use tenure_engine::store::incident as stored;

use super::asked::{Path, Query};
use super::by_state::Asked;
use super::device::paging;
use super::fault::Fault;
use super::page::{Part, Shown, at, beyond, csrf, empty, page, pager, tabs, tag};
use super::posted::{Posted, needed_why};
use super::session::SignedIn;
use crate::api::Desk;
use crate::api::device::WHY_MAX;
use crate::api::incident;
use crate::problem::Problem;

/// The states by which the list is divided, the first one first.
const STATES: [(&str, Option<IncidentState>); 3] = [
    ("open", Some(IncidentState::Open)),
    ("resolved", Some(IncidentState::Resolved)),
    ("all", None),
];

pub(super) async fn list(
    State(desk): State<Desk>,
    Query(asked): Query<Asked>,
    who: SignedIn,
) -> Result<Shown, Fault> {
    let (word, state) = asked.state(&STATES)?;
    let found = incident::page(&desk, state, &paging(asked.cursor.clone())).await?;
    let cursor = asked.cursor.unwrap_or_default();
    let content = html! {
        h1 { "Incidents" }
        (tabs("Which incidents", "/incidents", &STATES.map(|(word, _)| word), word))
        @if found.items.is_empty() {
            (empty("There is none.", html! { "An incident is opened when two holders of one identity show up, when one key is used for two devices, or when a certificate is seen that should not exist. There is nothing to do." }))
        } @else {
            div.wide {
                table {
                    caption { "Incidents, newest first" }
                    thead { tr {
                        th scope="col" { "Number" } th scope="col" { "State" } th scope="col" { "Kind" }
                        th scope="col" { "Device" } th scope="col" { "What happened" } th scope="col" { "Opened (UTC)" }
                    } }
                    tbody {
                        @for incident in &found.items {
                            tr {
                                th scope="row" { a href={ "/incidents/" (incident.no) } { "Incident " (incident.no) } }
                                td { (tag(incident.state.word())) }
                                td { (incident.kind) }
                                td { (device(incident)) }
                                td { (incident.summary) }
                                td { (at(incident.opened)) }
                            }
                        }
                    }
                }
            }
        }
        (pager("/incidents", &[("state", word), ("cursor", &cursor)], found.next.as_deref()))
    };
    Ok(page(&who, Part::Incidents, "Incidents", content))
}

fn device(incident: &Incident) -> Markup {
    html! {
        @if let Some(id) = &incident.device { a href={ "/devices/" (id) } { (id) } } @else { "not known" }
    }
}

pub(super) async fn show(
    State(desk): State<Desk>,
    who: SignedIn,
    Path(no): Path<i64>,
) -> Result<Shown, Fault> {
    let found = desk.glance(|tx| stored::by_no(tx, IncidentNo(no)))?;
    let incident = found.ok_or_else(|| Problem::not_found(format!("Incident {no}")))?;
    let title = format!("Incident {no}");
    let content = html! {
        p.way { a href="/incidents" { "Incidents" } }
        h1 { (title) " " (tag(incident.state.word())) }
        p.lead { (incident.summary) }
        dl.fields {
            div { dt { "Kind" } dd { (incident.kind) } }
            div { dt { "Device" } dd { (device(&incident)) } }
            div { dt { "Opened (UTC)" } dd { (at(incident.opened)) } }
            @if let Some(resolved) = incident.resolved { div { dt { "Resolved (UTC)" } dd { (at(resolved)) } } }
            @if let Some(outcome) = &incident.outcome { div.whole { dt { "Outcome" } dd { (outcome) } } }
            div.whole { dt { "Certificates concerned" } dd {
                @if incident.serials.is_empty() { "none" }
                @for serial in &incident.serials { a.serial href={ "/certificates/" (serial) } { (serial) } " " }
            } }
        }
        @if incident.state == IncidentState::Open { (decision(&who, &incident)) }
    };
    Ok(page(&who, Part::Incidents, &title, content))
}

fn decision(who: &SignedIn, incident: &Incident) -> Markup {
    if let Err(problem) = who.may(Approve) {
        return beyond("Deciding", problem);
    }
    html! {
        section.card aria-labelledby="decide" {
            h2 #decide { "Decide" }
            form.stack method="post" action={ "/incidents/" (incident.no) "/resolve" } {
                (csrf(who))
                fieldset {
                    legend { "Which certificate is in the right hands?" }
                    @for serial in &incident.serials {
                        label.pick { input type="radio" name="keep" value=(serial) required; span { "Keep " span.serial { (serial) } " and revoke all others of the device" } }
                    }
                    label.pick { input type="radio" name="keep" value="none" required; span { "Keep none: revoke all certificates of the device" } }
                }
                div.field {
                    label for="why" { "Why, for the record" }
                    input #why name="why" required maxlength=(WHY_MAX) autocomplete="off";
                }
                p { "A revocation is for good." }
                button.danger type="submit" { "Decide the incident" }
            }
        }
    }
}

/// How it is decided. `keep` is a serial, or `none`: revoking everything has to be chosen.
#[derive(Deserialize)]
pub(super) struct Resolution {
    #[serde(default)]
    keep: String,
    #[serde(default)]
    why: String,
}

pub(super) async fn resolve(
    State(desk): State<Desk>,
    Path(no): Path<i64>,
    posted: Posted<Resolution>,
) -> Result<Redirect, Fault> {
    posted.who.may(Approve)?;
    let keep = match posted.form.keep.as_str() {
        "" => {
            return Err(Problem::bad_request(
                "Choose the certificate to keep, or none. Nothing was changed.",
            )
            .into());
        }
        "none" => None,
        serial => Some(serial.to_owned()),
    };
    let why = needed_why(&posted.form.why)?;
    let change = Change::ResolveIncident {
        incident: IncidentNo(no),
        keep,
        why,
    };
    desk.engine()
        .change(&posted.who.caller.actor(), change)
        .await?;
    Ok(Redirect::to(&format!("/incidents/{no}")))
}
