//! `tenure probe …`

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};
use tenure_domain::canary::Canary;

use super::Page;
use super::api::Api;
use super::exit::Failure;
use super::output::{Column, Form, Output, note};
use super::session::Session;

const PROBES: &[Column] = &[
    ("NO", "no"),
    ("RELYING PARTY", "relying_party"),
    ("SCOPE", "scope"),
    ("VERDICT", "verdict"),
    ("ENFORCED (MS)", "enforced_ms"),
    ("ENDED", "ended"),
];

const MATRIX: &[Column] = &[
    ("RELYING PARTY", "relying_party"),
    ("VERDICT", "verdict"),
    ("VALID", "valid"),
    ("REVOKED", "revoked"),
    ("EXPIRED", "expired"),
    ("NOT YET VALID", "not-yet-valid"),
    ("WRONG USAGE", "wrong-usage"),
    ("OTHER DOMAIN", "other-domain"),
    ("LOOK-ALIKE", "look-alike"),
    ("CONSTRAINT BREAKER", "constraint-breaker"),
    ("LIVE SESSION", "live-session"),
    ("PROBED", "at"),
];

/// How often the server is asked whether a round is through.
const ASK_EVERY: Duration = Duration::from_millis(200);

#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Try every canary at relying parties now, and wait for what comes of it.
    Run(Which),
    /// Show what each relying party did with each canary the last time.
    Matrix(Page),
    /// List probes, newest first.
    List {
        /// Of this relying party only.
        #[arg(long, value_name = "NAME")]
        relying_party: Option<String>,
        #[command(flatten)]
        page: Page,
    },
    /// Show one probe with everything that was tried.
    Show {
        /// Its number.
        no: i64,
    },
    /// Show how long revocations took to be enforced.
    Times {
        /// Of the last so many days.
        #[arg(long, default_value_t = 30)]
        days: u16,
    },
}

#[derive(Debug, Args)]
pub struct Which {
    /// This relying party only; may be given more than once.
    #[arg(long, value_name = "NAME")]
    relying_party: Vec<String>,
}

pub async fn run(verb: Verb, session: &Session, output: &Output) -> Result<(), Failure> {
    let api = session.api();
    match verb {
        Verb::Run(which) => round(which, "matrix", session, output).await,
        Verb::Matrix(page) => {
            let mut listed = api.list("/enforcement", &[], &page);
            if output.form() == Form::Text {
                listed = listed.shown(flat);
            }
            output.page(MATRIX, listed).await
        }
        Verb::List {
            relying_party,
            page,
        } => {
            let query: Vec<_> = relying_party
                .into_iter()
                .map(|name| ("relying_party", name))
                .collect();
            output
                .page(PROBES, api.list("/probes", &query, &page))
                .await
        }
        Verb::Show { no } => output.record(&api.get(&format!("/probes/{no}")).await?),
        Verb::Times { days } => {
            output.record(&api.get(&format!("/enforcement/times?days={days}")).await?)
        }
    }
}

/// A row of the matrix with its receptions as fields of their own.
fn flat(row: Value) -> Value {
    let Value::Object(mut fields) = row else {
        return row;
    };
    if let Some(Value::Object(receptions)) = fields.remove("receptions") {
        fields.extend(receptions);
    }
    Value::Object(fields)
}

/// Starts a round and waits until each relying party of it is through.
async fn round(
    which: Which,
    scope: &str,
    session: &Session,
    output: &Output,
) -> Result<(), Failure> {
    let api = session.api();
    let body = json!({ "relying_parties": which.relying_party, "scope": scope });
    let started = api.post("/probes", &body).await?;
    let names = started.get("relying_parties").and_then(Value::as_array);
    let mut open: BTreeSet<String> = names
        .into_iter()
        .flatten()
        .filter_map(|name| name.as_str().map(str::to_owned))
        .collect();
    let number = |name: &str| started.get(name).and_then(Value::as_i64).unwrap_or(0);
    let within = u64::try_from(number("within_s")).unwrap_or(0);
    let deadline = Instant::now() + Duration::from_secs(within);
    let mut after = number("after");
    let mut probes = Vec::new();
    while !open.is_empty() {
        for probe in newer(api, &mut after).await? {
            let field = |name: &str| probe.get(name).and_then(Value::as_str).unwrap_or_default();
            if field("scope") == scope && open.remove(field("relying_party")) {
                probes.push(probe);
            }
        }
        if Instant::now() > deadline {
            let missing: Vec<_> = open.into_iter().collect();
            return Err(Failure::failed(format!(
                "no result of {} within {within} s; the server's log says why",
                missing.join(", ")
            )));
        }
        if !open.is_empty() {
            tokio::time::sleep(ASK_EVERY).await;
        }
    }
    output.list(PROBES, &probes)?;
    judged(&probes)
}

async fn newer(api: &Api, after: &mut i64) -> Result<Vec<Value>, Failure> {
    let found = api.all("/probes", &[("after", after.to_string())]).await?;
    let last = found.last().and_then(|probe| probe.get("no"));
    *after = last.and_then(Value::as_i64).unwrap_or(*after);
    Ok(found)
}

/// What is not as it must be, one line each; a failure if anything is.
fn judged(probes: &[Value]) -> Result<(), Failure> {
    let mut wrong = 0;
    for probe in probes {
        let trials = probe.get("trials").and_then(Value::as_array);
        for trial in trials.into_iter().flatten().filter_map(Value::as_object) {
            let said = |name: &str| word(trial, name);
            if said("reception") != said("expected") {
                // Who says that it checks at handshakes only keeps its word; it is a finding.
                let is_known = said("canary") == Canary::LiveSession.word()
                    && probe.get("verdict").and_then(Value::as_str) == Some("proven");
                wrong += usize::from(!is_known);
                let party = probe.get("relying_party").and_then(Value::as_str);
                note(&format!(
                    "{}: {} of {} is {}, and must be {} ({})",
                    party.unwrap_or_default(),
                    said("canary"),
                    said("issuer"),
                    said("reception"),
                    said("expected"),
                    said("how"),
                ))?;
            }
        }
    }
    if wrong == 0 {
        return Ok(());
    }
    Err(Failure::failed(format!(
        "{wrong} of what was tried is not as it must be; `tenure finding list` says what to do"
    )))
}

fn word<'a>(trial: &'a Map<String, Value>, name: &str) -> &'a str {
    trial.get(name).and_then(Value::as_str).unwrap_or_default()
}
