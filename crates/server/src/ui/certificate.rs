//! Certificates: the list, and one with its chain of predecessors.

use axum::extract::State;
use maud::{Markup, html};
use serde::Deserialize;
use tenure_domain::certificate::{CertificateRow, Status};
use tenure_engine::store::{StoreError, certificate as stored, sighting};
use tenure_x509::Time;

use super::action;
use super::asked::{Path, Query};
use super::device::paging;
use super::fault::Fault;
use super::page::{Part, Shown, at, choice, distance, empty, page, pager, tag};
use super::session::SignedIn;
use crate::api::Desk;
use crate::api::certificate::{self, Named};
use crate::problem::Problem;

/// Certificates of one device looked at for the chain.
const CHAIN_MAX: usize = 1_000;

/// Which certificates, and which page of them.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    status: String,
    issuer: String,
    /// The first day they end on, YYYY-MM-DD.
    from: String,
    /// The last.
    to: String,
    cursor: Option<String>,
}

impl Asked {
    fn filter(&self) -> Result<certificate::Filter, Problem> {
        let given = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        let midnight = |text: &str| given(text).map(|day| format!("{day}T00:00:00Z"));
        let before = match midnight(&self.to) {
            Some(last) => {
                let last = Time::parse_rfc3339(&last).map_err(|_| {
                    Problem::bad_request(format!(
                        "to: {:?} is not a day; write it as 2026-11-22",
                        self.to
                    ))
                })?;
                Some(last.plus(86_400).to_string())
            }
            None => None,
        };
        Ok(certificate::Filter {
            device: None,
            service: None,
            status: given(&self.status),
            issuer: given(&self.issuer),
            expires_within_days: None,
            expires_after: midnight(&self.from),
            expires_before: before,
        })
    }

    fn pairs(&self) -> Vec<(&str, &str)> {
        vec![
            ("status", &self.status),
            ("issuer", &self.issuer),
            ("from", &self.from),
            ("to", &self.to),
            ("cursor", self.cursor.as_deref().unwrap_or_default()),
        ]
    }
}

pub(super) async fn list(
    State(desk): State<Desk>,
    Query(asked): Query<Asked>,
    who: SignedIn,
) -> Result<Shown, Fault> {
    let now = desk.now();
    let page_of = paging(asked.cursor.clone());
    let found = certificate::rows(&desk, &asked.filter()?, page_of, now).await?;
    let snapshot = desk.engine().snapshot();
    let issuers = snapshot.issuers.iter().map(|issuer| issuer.name.as_str());
    let statuses = [
        Status::Issued,
        Status::Replaced,
        Status::Held,
        Status::Revoked,
    ];
    let day = |name: &str, label: &str, value: &str| {
        html! {
            div.field {
                label for=(name) { (label) }
                input type="date" id=(name) name=(name) value=(value);
            }
        }
    };
    let is_filtered = asked.pairs().iter().any(|(_, value)| !value.is_empty());
    let content = html! {
        h1 { "Certificates" }
        form.filters method="get" action="/certificates" {
            (choice("status", "Status", "any", statuses.iter().map(|status| status.word()), &asked.status))
            (choice("issuer", "Issuer", "any", issuers, &asked.issuer))
            (day("from", "Ends from", &asked.from))
            (day("to", "Ends until", &asked.to))
            button type="submit" { "Show" }
        }
        @if found.items.is_empty() && found.next.is_none() {
            @if is_filtered {
                (empty("No certificate is like that.", html! { a href="/certificates" { "Show all certificates" } }))
            } @else {
                (empty("No certificate was issued yet.", html! {
                    "Register a device with " code { "tenure device add" } ", give it a one-time secret with "
                    code { "tenure device secret ID" } ", and let it enroll."
                }))
            }
        } @else {
            (table(&found.items, now, "Certificates on this page"))
        }
        (pager("/certificates", &asked.pairs(), found.next.as_deref()))
    };
    Ok(page(&who, Part::Certificates, "Certificates", content))
}

fn path(row: &CertificateRow) -> String {
    format!("/issuers/{}/certificates/{}", row.issuer_name, row.serial)
}

/// What a certificate is now: its status, or that its time is over.
fn state(row: &CertificateRow, now: Time) -> &'static str {
    match row.status {
        Status::Issued | Status::Held if row.validity.not_after < now => "expired",
        status => status.word(),
    }
}

/// Certificates as a table.
pub(super) fn table(rows: &[CertificateRow], now: Time, caption: &str) -> Markup {
    html! {
        div.wide {
            table {
                caption { (caption) }
                thead { tr {
                    th scope="col" { "Serial" } th scope="col" { "Status" } th scope="col" { "Device" }
                    th scope="col" { "Issuer" } th scope="col" { "Profile" } th scope="col" { "Until (UTC)" }
                    th scope="col" { "First seen (UTC)" } th scope="col" { "Replaced" }
                } }
                tbody {
                    @for row in rows {
                        tr {
                            th scope="row" { a.serial href=(path(row)) { (row.serial) } }
                            td { (tag(state(row, now))) }
                            td { a href={ "/devices/" (row.device_id) } { (row.device_id) } }
                            td { (row.issuer_name) }
                            td { (row.profile) }
                            td { (at(row.validity.not_after)) }
                            td { @if let Some(used) = row.first_used { (at(used)) } @else { "not yet" } }
                            td { @if let Some(serial) = &row.predecessor_serial {
                                a.serial href={ "/issuers/" (row.issuer_name) "/certificates/" (serial) } { (serial) }
                            } @else { "none" } }
                        }
                    }
                    @if rows.is_empty() { tr { td colspan="8" { "None among those looked at so far; go on to the next page." } } }
                }
            }
        }
    }
}

/// The certificates that led to one, the newest first, itself included.
fn chain(mut all: Vec<CertificateRow>, row: &CertificateRow) -> Vec<CertificateRow> {
    let mut chain = Vec::new();
    let mut next = Some(row.no);
    while let Some(i) = next.and_then(|no| all.iter().position(|row| row.no == no)) {
        // Taken out of the rest, so that the walk ends whatever the rows say.
        let found = all.swap_remove(i);
        next = found.predecessor;
        chain.push(found);
    }
    chain
}

pub(super) async fn show(
    State(desk): State<Desk>,
    who: SignedIn,
    Path(named): Path<Named>,
) -> Result<Shown, Fault> {
    let (row, now) = (named.row(&desk)?, desk.now());
    let (no, device) = (row.no, row.device);
    let (found, seen, all) = desk
        .read(move |tx| {
            Ok::<_, StoreError>((
                stored::by_no(tx, no)?,
                sighting::of_certificate(tx, no)?,
                stored::of_device(tx, device, CHAIN_MAX)?,
            ))
        })
        .await?;
    let found = found.ok_or_else(|| Problem::not_found(format!("Certificate {}", row.serial)))?;
    let (row, cert) = (found.row, found.cert);
    let seen: Vec<_> = seen.into_iter().map(|(service, _)| service).collect();
    let names: Vec<_> = cert.san().iter().map(ToString::to_string).collect();
    let successors: Vec<_> = all
        .iter()
        .filter(|other| other.predecessor == Some(row.no))
        .cloned()
        .collect();
    let validity = row.validity;
    let title = format!("Certificate {}", row.serial);
    let content = html! {
        p.way { a href="/devices" { "Devices" } " / " a href={ "/devices/" (row.device_id) } { (row.device_id) } }
        h1 { "Certificate " span.serial { (row.serial) } " " (tag(state(&row, now))) }
        (action::of_certificate(&who, &path(&row), row.status))
        dl.fields {
            div { dt { "Device" } dd { a href={ "/devices/" (row.device_id) } { (row.device_id) } } }
            div { dt { "Issuer" } dd { (row.issuer_name) } }
            div { dt { "Profile" } dd { (row.profile) } }
            div { dt { "Valid from (UTC)" } dd { (at(validity.not_before)) } }
            div { dt { "Valid until (UTC)" } dd { (at(validity.not_after)) @if validity.not_after != Time::NEVER { " (" (distance(now, validity.not_after)) ")" } } }
            div { dt { "Released (UTC)" } dd { (at(row.issued)) } }
            div { dt { "First seen in use (UTC)" } dd { @if let Some(used) = row.first_used { (at(used)) } @else { "not yet" } } }
            div { dt { "Seen by" } dd { @if seen.is_empty() { "no service yet" } @else { (seen.join(", ")) } } }
            @if let Some(how) = &row.revocation {
                div { dt { "Withdrawn (UTC)" } dd { (at(how.at)) } }
                div { dt { "Reason" } dd { (how.reason) } }
                @if let Some(since) = how.invalidity {
                    div { dt { "Key bad since (UTC)" } dd { (at(since)) } }
                }
            }
            div { dt { "Subject" } dd { (cert.subject()) } }
            div { dt { "Other names" } dd { @if names.is_empty() { "none" } @else { (names.join(", ")) } } }
            div { dt { "Key" } dd { (cert.public_key().algorithm().name()) } }
            div.whole { dt { "SHA-256 of the key" } dd.serial { (row.key) } }
            div.whole { dt { "SHA-256 of the certificate" } dd.serial { (tenure_domain::text::hex(&cert.fingerprint())) } }
            div.whole { dt { "Revocation list" } dd.serial { @for url in cert.crl_urls() { (url) " " } } }
        }
        section aria-labelledby="chain" {
            h2 #chain { "Chain of identity" }
            @if !successors.is_empty() { (table(&successors, now, "Replaced by")) }
            (table(&chain(all, &row), now, "This certificate and those before it, newest first"))
        }
        details {
            summary { "The certificate, PEM" }
            pre tabindex="0" { (cert.pem()) }
        }
    };
    Ok(page(&who, Part::Certificates, &title, content))
}
