//! `tenure ask …`: the approval queue.

use clap::Subcommand;
use serde_json::{Value, json};

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
    ("LABEL", "label"),
    ("WHY", "why"),
    ("OPENED", "opened"),
];

#[derive(Debug, Subcommand)]
pub enum Verb {
    /// List requests that wait for a decision.
    List {
        /// waiting, quarantined, approved, refused or answered.
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
            output.page(COLUMNS, api.list("/asks", &query, &page)).await
        }
        Verb::Show { no } => output.record(&api.get(&format!("/asks/{no}")).await?),
        Verb::Approve { no } => {
            let ask = api.post(&format!("/asks/{no}/approve"), &json!({})).await?;
            ruled(no, "approved", &ask, output)
        }
        Verb::Refuse { no } => {
            let ask = api.post(&format!("/asks/{no}/refuse"), &json!({})).await?;
            ruled(no, "refused", &ask, output)
        }
    }
}

/// What an ask is after its ruling: an earlier one stands.
fn ruled(no: i64, wanted: &str, ask: &Value, output: &Output) -> Result<(), Failure> {
    match ask.get("state").and_then(Value::as_str) {
        Some(state) if state != wanted => Err(Failure::failed(format!(
            "ask {no} was {state} before and stays so; it is not {wanted}"
        ))),
        _ => output.done(&format!("ask {no} is {wanted}"), ask),
    }
}

#[cfg(test)]
mod tests {
    use super::super::output::Form;
    use super::*;

    #[test]
    fn an_earlier_ruling_is_no_success() {
        let output = Output::new(Form::Text);
        ruled(2, "approved", &json!({ "state": "approved" }), &output).unwrap();
        let failure = ruled(2, "approved", &json!({ "state": "refused" }), &output).unwrap_err();
        let said = "ask 2 was refused before and stays so; it is not approved";
        assert_eq!((failure.code(), failure.to_string().as_str()), (1, said));
    }
}
