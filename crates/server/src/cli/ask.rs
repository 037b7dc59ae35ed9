//! `tenure ask …`: the approval queue.

use clap::Subcommand;
use serde_json::json;

use super::Page;
use super::exit::Failure;
use super::output::{Column, Output};
use super::session::Session;

const COLUMNS: &[Column] = &[
    ("NO", "no"),
    ("STATE", "state"),
    ("DEVICE", "device"),
    ("WHO", "identity"),
    ("OPERATION", "operation"),
    ("WHY", "why"),
    ("OPENED", "opened"),
];

#[derive(Debug, Subcommand)]
pub enum Verb {
    /// List requests that wait for a decision.
    List {
        /// waiting, approved or refused.
        #[arg(long)]
        state: Option<String>,
        #[command(flatten)]
        page: Page,
    },
    /// Show one request.
    Show {
        /// Its number.
        no: i64,
    },
    /// Let it have its certificate the next time it asks.
    Approve {
        /// Its number.
        no: i64,
    },
    /// Refuse it.
    Refuse {
        /// Its number.
        no: i64,
    },
}

pub async fn run(verb: Verb, session: &Session, output: &Output) -> Result<(), Failure> {
    let api = session.api();
    match verb {
        Verb::List { state, page } => {
            let query: Vec<_> = state.into_iter().map(|state| ("state", state)).collect();
            output.page(COLUMNS, &api.list("/asks", &query, &page).await?)
        }
        Verb::Show { no } => output.record(&api.get(&format!("/asks/{no}")).await?),
        Verb::Approve { no } => {
            let ask = api.post(&format!("/asks/{no}/approve"), &json!({})).await?;
            output.done(&format!("ask {no} is approved"), &ask)
        }
        Verb::Refuse { no } => {
            let ask = api.post(&format!("/asks/{no}/refuse"), &json!({})).await?;
            output.done(&format!("ask {no} is refused"), &ask)
        }
    }
}
