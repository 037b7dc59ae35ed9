//! `tenure incident …`

use clap::Subcommand;
use serde_json::json;

use super::Page;
use super::exit::Failure;
use super::output::{Column, Output};
use super::session::Session;

const COLUMNS: &[Column] = &[
    ("NO", "no"),
    ("KIND", "kind"),
    ("STATE", "state"),
    ("DEVICE", "device"),
    ("OPENED", "opened"),
    ("SUMMARY", "summary"),
];

#[derive(Debug, Subcommand)]
pub enum Verb {
    /// List incidents.
    List {
        /// open or resolved.
        #[arg(long)]
        state: Option<String>,
        #[command(flatten)]
        page: Page,
    },
    /// Show one incident.
    Show {
        /// Its number.
        no: i64,
    },
    /// Decide it. For a fork: keep one branch, revoke the others; or revoke all.
    Resolve {
        /// Its number.
        no: i64,
        /// The certificate of the branch to keep.
        #[arg(long, value_name = "SERIAL")]
        keep: Option<String>,
        /// Why, for the record.
        #[arg(long, default_value = "")]
        why: String,
    },
}

pub async fn run(verb: Verb, session: &Session, output: &Output) -> Result<(), Failure> {
    let api = session.api();
    match verb {
        Verb::List { state, page } => {
            let query: Vec<_> = state.into_iter().map(|state| ("state", state)).collect();
            output.page(COLUMNS, &api.list("/incidents", &query, &page).await?)
        }
        Verb::Show { no } => output.record(&api.get(&format!("/incidents/{no}")).await?),
        Verb::Resolve { no, keep, why } => {
            let body = json!({ "keep": keep, "why": why });
            let incident = api.post(&format!("/incidents/{no}/resolve"), &body).await?;
            output.done(&format!("incident {no} is resolved"), &incident)
        }
    }
}
