//! `tenure permit …`

use clap::Subcommand;
use serde_json::json;

use super::Page;
use super::exit::Failure;
use super::output::{Column, Output};
use super::session::Session;

const COLUMNS: &[Column] = &[
    ("NO", "no"),
    ("OPERATOR", "operator"),
    ("NAME", "name"),
    ("REVOCATIONS", "revocations"),
    ("USED", "used"),
    ("UNTIL", "until"),
    ("GRANTED BY", "granted_by"),
    ("WHY", "why"),
];

#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Let another operator withdraw more certificates for good than one may alone.
    Grant {
        /// The number of that operator's token, as the refusal and `tenure token list` show it.
        operator: i64,
        /// How many more certificates.
        #[arg(long)]
        revocations: u32,
        /// For how many hours, at most 168.
        #[arg(long, default_value_t = 1)]
        hours: u32,
        /// Why, for the record.
        #[arg(long)]
        why: String,
    },
    /// List permits, newest first.
    List {
        #[command(flatten)]
        page: Page,
    },
}

pub async fn run(verb: Verb, session: &Session, output: &Output) -> Result<(), Failure> {
    let api = session.api();
    match verb {
        Verb::Grant {
            operator,
            revocations,
            hours,
            why,
        } => {
            let body = json!({
                "operator": operator, "revocations": revocations,
                "life_s": i64::from(hours) * 3_600, "why": why,
            });
            let answer = api.post("/permits", &body).await?;
            let said = format!("operator {operator} may withdraw {revocations} more");
            output.done(&said, &answer)
        }
        Verb::List { page } => output.page(COLUMNS, api.list("/permits", &[], &page)).await,
    }
}
