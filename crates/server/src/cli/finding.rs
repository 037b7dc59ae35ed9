//! `tenure finding …`

use clap::Subcommand;
use serde_json::json;

use super::Page;
use super::exit::Failure;
use super::output::{Column, Output};
use super::session::Session;

const COLUMNS: &[Column] = &[
    ("NO", "no"),
    ("STATE", "state"),
    ("CRITICALITY", "criticality"),
    ("KIND", "kind"),
    ("SUBJECT", "subject"),
    ("CAUSE", "cause"),
    ("OPENED", "opened"),
];

#[derive(Debug, Subcommand)]
pub enum Verb {
    /// List findings, newest first.
    List {
        /// open, acknowledged or cleared.
        #[arg(long)]
        state: Option<String>,
        #[command(flatten)]
        page: Page,
    },
    /// Show one finding: what is wrong, what to do, and what shows it.
    Show {
        /// Its number.
        no: i64,
    },
    /// Say that it is known, and why it stands. It is cleared when what was found is gone.
    Acknowledge {
        /// Its number.
        no: i64,
        /// Why, for the record.
        #[arg(long)]
        why: String,
    },
}

pub async fn run(verb: Verb, session: &Session, output: &Output) -> Result<(), Failure> {
    let api = session.api();
    match verb {
        Verb::List { state, page } => {
            let query: Vec<_> = state.into_iter().map(|state| ("state", state)).collect();
            output
                .page(COLUMNS, api.list("/findings", &query, &page))
                .await
        }
        Verb::Show { no } => output.record(&api.get(&format!("/findings/{no}")).await?),
        Verb::Acknowledge { no, why } => {
            let path = format!("/findings/{no}/acknowledge");
            let finding = api.post(&path, &json!({ "why": why })).await?;
            output.done(&format!("finding {no} is acknowledged"), &finding)
        }
    }
}
