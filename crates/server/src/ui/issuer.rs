//! Issuers: their certificates and what they publish.

use axum::extract::State;
use maud::html;
use tenure_domain::blast::BlastKind;
use tenure_engine::duty::publish::List;

use super::blast;
use super::fault::Fault;
use super::page::{Part, Shown, at, distance, page, query, tag};
use super::session::SignedIn;
use crate::api::Desk;

pub(super) async fn list(State(desk): State<Desk>, who: SignedIn) -> Result<Shown, Fault> {
    let (snapshot, now) = (desk.engine().snapshot(), desk.now());
    let content = html! {
        h1 { "Issuers" }
        p { a href="/trust-graph" { "Who trusts whom, as a picture" } }
        @for issuer in snapshot.issuers.iter() {
            @let validity = issuer.certificate.validity();
            @let is_here = desk.engine().key(&issuer.key).is_some();
            section.card aria-labelledby={ "issuer-" (issuer.name) } {
                h2 id={ "issuer-" (issuer.name) } { (issuer.name) " " (tag(issuer.kind.word())) " " (tag(issuer.state.word())) " " (tag(if is_here { "at hand" } else { "elsewhere" })) }
                dl.fields {
                    div { dt { "Subject" } dd { (issuer.subject()) } }
                    div { dt { "Signs with" } dd { (issuer.public_key().algorithm().name()) } }
                    div { dt { "Valid from (UTC)" } dd { (at(validity.not_before)) } }
                    div { dt { "Valid until (UTC)" } dd { (at(validity.not_after)) } }
                    div { dt { "Key" } dd { @if is_here { "this server can sign with it" } @else { "kept elsewhere" } } }
                    div { dt { "Status is published at" } dd.serial { (issuer.base_url) } }
                    @if let Some(list) = desk.engine().published_list(&issuer.name, List::Full) {
                        div { dt { "Revocation list signed (UTC)" } dd { (at(list.this_update)) } }
                        div { dt { "Good until (UTC)" } dd { (at(list.next_update)) " (" (distance(now, list.next_update)) ")" } }
                    } @else {
                        div { dt { "Revocation list" } dd { "not published yet" } }
                    }
                    div.whole { dt { "Serial" } dd.serial { (issuer.certificate.serial()) } }
                    div.whole { dt { "SHA-256 of the certificate" } dd.serial { (tenure_domain::text::hex(&issuer.certificate.fingerprint())) } }
                }
                p { a href={ "/certificates" (query(&[("issuer", issuer.name.as_str())])) } { "Certificates of " (issuer.name) } }
                p { a href=(blast::path(BlastKind::Issuer, issuer.name.as_str())) { "Blast radius of " (issuer.name) } }
                p { a href={ "/issuers/" (issuer.name) "/rollover" } { "Rollover of " (issuer.name) } }
                details {
                    summary { "Its certificate, PEM" }
                    pre tabindex="0" { (issuer.certificate.pem()) }
                }
            }
        }
    };
    Ok(page(&who, Part::Issuers, "Issuers", content))
}
