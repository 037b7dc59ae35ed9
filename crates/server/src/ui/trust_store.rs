//! The trust store of a relying party: whom it is meant to trust, and whom it does.

use axum::extract::State;
use maud::{Markup, html};
use tenure_domain::rollover::or_more;

use super::asked::Path;
use super::fault::Fault;
use super::page::{Part, Shown, empty, number, page, stamp, tag};
use super::relying_party;
use super::session::SignedIn;
use crate::api::Desk;
use crate::api::trust_store::{self, HeldItem, IntendedItem};

pub(super) async fn show(
    State(desk): State<Desk>,
    who: SignedIn,
    Path(name): Path<String>,
) -> Result<Shown, Fault> {
    let known = crate::api::relying_party::known(&desk, &name)?;
    let store = trust_store::item(&desk, &known).await?;
    let title = format!("Trust store of {name}");
    let content = html! {
        p.way { (relying_party::link(&name)) }
        h1 { (title) }
        dl.fields {
            div { dt { "Last reported (UTC)" } dd { @if let Some(at) = &store.reported { (stamp(at)) } @else { "never" } } }
            @if let Some(again) = &store.again { div { dt { "To be reported again by (UTC)" } dd { (stamp(again)) } } }
            div { dt { "Anchors it holds" } dd { (store.held.len()) " of at most " (store.anchors_max) } }
            div { dt { "Missing" } dd { @if store.missing.is_empty() { "none" } @else { (store.missing.join(", ")) } } }
        }
        section aria-labelledby="held" {
            h2 #held { "What it was observed to trust" }
            @if store.reported.is_none() {
                (empty("Nothing was reported.", html! { "Report it with " code { "tenure trust-store report " (name) " FILE" } "." }))
            } @else { (held(&store.held)) }
        }
        section aria-labelledby="meant" {
            h2 #meant { "What it is meant to trust" }
            (meant(&store.intended))
            p { "Print it with " code { "tenure trust-store bundle " (name) } ", or of it only what is in use there with " code { "--minimal" } "." }
        }
    };
    Ok(page(&who, Part::RelyingParties, &title, content))
}

fn held(held: &[HeldItem]) -> Markup {
    html! {
        div.wide {
            table {
                thead { tr { th scope="col" { "Anchor" } th scope="col" { "It is" } th scope="col" { "Ends (UTC)" } th scope="col" { "First seen (UTC)" } th scope="col" { "Last seen (UTC)" } th scope="col" { "Why it can go" } } }
                tbody {
                    @for anchor in held {
                        tr {
                            th scope="row" { (anchor.subject) br; span.serial { (anchor.fingerprint) } }
                            td { (tag(&anchor.standing)) }
                            td { (stamp(&anchor.not_after)) }
                            td { (stamp(&anchor.first)) }
                            td { (stamp(&anchor.last)) }
                            td { (anchor.prune.as_deref().unwrap_or_default()) }
                        }
                    }
                }
            }
        }
    }
}

fn meant(intended: &[IntendedItem]) -> Markup {
    html! {
        div.wide {
            table {
                thead { tr { th scope="col" { "Issuer" } th scope="col" { "State" } th.n scope="col" { "Certificates in force" } th scope="col" { "Last in use here (UTC)" } th scope="col" { "Needed" } } }
                tbody {
                    @for item in intended {
                        tr {
                            th scope="row" { a href={ "/issuers/" (item.issuer) "/rollover" } { (item.issuer) } }
                            td { (tag(&item.state)) }
                            td.n { (number(item.certificates)) (or_more(item.certificates)) }
                            td { @if let Some(at) = &item.seen_here { (stamp(at)) } @else { "never" } }
                            td { @if item.needed { "yes" } @else { "no" } }
                        }
                    }
                }
            }
        }
    }
}
