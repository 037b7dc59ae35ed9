//! `tenure exception …`

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::Page;
use super::exit::Failure;
use super::output::{Column, Output};
use super::session::Session;

const COLUMNS: &[Column] = &[
    ("NO", "no"),
    ("STATE", "state"),
    ("SCOPE", "scope"),
    ("NAME", "name"),
    ("LIFTS", "lifts"),
    ("UNTIL", "until"),
    ("ADDED BY", "added_by"),
    ("APPROVED BY", "approved_by"),
];

#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Propose an exception. It lifts nothing until another operator approves it.
    Add(Proposed),
    /// Approve an exception that another operator proposed.
    Approve {
        /// Its number.
        no: i64,
    },
    /// List exceptions, newest first.
    List {
        /// proposed, active, ended or lapsed.
        #[arg(long)]
        state: Option<String>,
        #[command(flatten)]
        page: Page,
    },
    /// Show one exception.
    Show {
        /// Its number.
        no: i64,
    },
    /// End an exception before its time, or turn a proposed one down.
    End {
        /// Its number.
        no: i64,
        /// Why, for the record.
        #[arg(long)]
        why: String,
    },
}

/// Whom it is for: one of these.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct Scope {
    /// The device that it is for.
    #[arg(long)]
    device: Option<String>,
    /// The class whose devices it is for.
    #[arg(long)]
    class: Option<String>,
    /// The site that it is for, with all sites in it.
    #[arg(long)]
    site: Option<String>,
}

#[derive(Debug, Args)]
pub struct Proposed {
    #[command(flatten)]
    scope: Scope,
    /// The reasons that it lifts, with commas; docs/exceptions.md lists those that can be.
    #[arg(long, value_delimiter = ',', required = true)]
    lifts: Vec<String>,
    /// Why, for the record.
    #[arg(long)]
    reason: String,
    /// When it lapses (RFC 3339). The policy says how far away that may be.
    #[arg(long, value_name = "TIME")]
    until: String,
}

fn done(answer: &Value, what: &str, output: &Output) -> Result<(), Failure> {
    let no = answer.get("no").and_then(Value::as_i64).unwrap_or_default();
    output.done(&format!("exception {no} {what}"), answer)
}

pub async fn run(verb: Verb, session: &Session, output: &Output) -> Result<(), Failure> {
    let api = session.api();
    match verb {
        Verb::Add(new) => {
            let body = json!({
                "device": new.scope.device, "class": new.scope.class, "site": new.scope.site,
                "lifts": new.lifts, "reason": new.reason, "until": new.until,
            });
            let answer = api.post("/exceptions", &body).await?;
            done(
                &answer,
                "is proposed; another operator has to approve it",
                output,
            )
        }
        Verb::Approve { no } => {
            let path = format!("/exceptions/{no}/approve");
            let answer = api.post(&path, &json!({})).await?;
            let until = answer
                .get("until")
                .and_then(Value::as_str)
                .unwrap_or_default();
            done(&answer, &format!("is active until {until}"), output)
        }
        Verb::List { state, page } => {
            let query: Vec<_> = state.into_iter().map(|state| ("state", state)).collect();
            output
                .page(COLUMNS, api.list("/exceptions", &query, &page))
                .await
        }
        Verb::Show { no } => output.record(&api.get(&format!("/exceptions/{no}")).await?),
        Verb::End { no, why } => {
            let path = format!("/exceptions/{no}/end");
            let answer = api.post(&path, &json!({ "why": why })).await?;
            done(&answer, "is ended", output)
        }
    }
}
