//! Hooks: who is told of trust changes, or has sessions ended by us.

use axum::extract::State;
use maud::html;
use serde::Deserialize;

use super::asked::Query;
use super::device::paging;
use super::fault::Fault;
use super::page::{Part, Shown, empty, page, pager, stamp, tag};
use super::session::SignedIn;
use crate::api::{Desk, hook};

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
    let found = hook::page(&desk, &paging(asked.cursor.clone())).await?;
    let cursor = asked.cursor.unwrap_or_default();
    let content = html! {
        h1 { "Hooks" }
        @if found.items.is_empty() {
            (empty("None is registered.", html! {
                "A hook is told of trust changes, or has sessions ended by us. Register one with "
                code { "tenure hook add" } "."
            }))
        } @else {
            div.wide {
                table {
                    caption { "Hooks, by name" }
                    thead { tr {
                        th scope="col" { "Name" } th scope="col" { "Kind" } th scope="col" { "Address" }
                        th scope="col" { "State" } th.n scope="col" { "Waiting" }
                        th scope="col" { "Delivered (UTC)" } th scope="col" { "What went wrong" }
                        th scope="col" { "Owner" }
                    } }
                    tbody {
                        @for hook in &found.items {
                            tr {
                                th scope="row" { (hook.name) }
                                td { (hook.kind) }
                                td { (hook.address) }
                                td { (tag(&hook.state)) }
                                td.n { (hook.waiting) }
                                td { @if let Some(at) = &hook.delivered { (stamp(at)) } @else { "never" } }
                                td { (hook.error) }
                                td { (hook.owner) }
                            }
                        }
                    }
                }
            }
        }
        (pager("/hooks", &[("cursor", &cursor)], found.next.as_deref()))
    };
    Ok(page(&who, Part::Hooks, "Hooks", content))
}
