//! `tenure drill …`

use std::time::{Duration, Instant};

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::Page;
use super::exit::Failure;
use super::output::{Column, Form, Output, note};
use super::session::Session;

const DRILLS: &[Column] = &[
    ("NO", "no"),
    ("KIND", "kind"),
    ("ISSUERS", "issuers"),
    ("VERDICT", "verdict"),
    ("BY", "by"),
    ("BEGAN", "began"),
    ("ENDED", "ended"),
];

const STEPS: &[Column] = &[
    ("VERDICT", "verdict"),
    ("ISSUER", "issuer"),
    ("WHAT", "what"),
    ("FOUND", "found"),
];

/// How often the server is asked whether a drill has ended.
const ASK_EVERY: Duration = Duration::from_millis(200);

#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Revoke a canary and measure how long each relying party takes to refuse it.
    Revoke(Which),
    /// Think time forward: what would end, and which relying parties let the expired in.
    Expiry {
        #[command(flatten)]
        which: Which,
        /// How many days.
        #[arg(long, default_value_t = 30)]
        days: u16,
    },
    /// Think an issuer's signer away: what goes on, and for how long.
    CaDown {
        /// The issuer; every issuing CA if left out.
        #[arg(long)]
        issuer: Option<String>,
    },
    /// Think an issuer's key in other hands: whom it concerns, in which order they get new keys; a
    /// canary is re-keyed for real.
    Compromise {
        /// The issuer; every issuing CA if left out.
        #[arg(long)]
        issuer: Option<String>,
    },
    /// List drills, newest first.
    List(Page),
    /// Show a drill and what it came to.
    Show {
        /// Its number.
        no: i64,
    },
}

#[derive(Debug, Args)]
pub struct Which {
    /// This relying party only; may be given more than once.
    #[arg(long, visible_alias = "party", value_name = "NAME")]
    relying_party: Vec<String>,
    /// This issuer only; every issuing CA if left out.
    #[arg(long)]
    issuer: Option<String>,
}

pub async fn run(verb: Verb, session: &Session, output: &Output) -> Result<(), Failure> {
    let api = session.api();
    let body = match verb {
        Verb::List(page) => {
            return output.page(DRILLS, api.list("/drills", &[], &page)).await;
        }
        Verb::Show { no } => return shown(&api.get(&format!("/drills/{no}")).await?, output),
        Verb::Revoke(which) => json!({
            "kind": "revoke", "relying_parties": which.relying_party, "issuer": which.issuer,
        }),
        Verb::Expiry { which, days } => json!({
            "kind": "expiry", "relying_parties": which.relying_party, "issuer": which.issuer,
            "days": days,
        }),
        Verb::CaDown { issuer } => json!({ "kind": "ca-down", "issuer": issuer }),
        Verb::Compromise { issuer } => json!({ "kind": "compromise", "issuer": issuer }),
    };
    let started = api.post("/drills", &body).await?;
    let number = |name: &str| started.get(name).and_then(Value::as_i64).unwrap_or(0);
    let within = u64::try_from(number("within_s")).unwrap_or(0);
    let deadline = Instant::now() + Duration::from_secs(within);
    let path = format!("/drills/{}", number("no"));
    loop {
        let drill = api.get(&path).await?;
        if drill["verdict"] != "running" {
            shown(&drill, output)?;
            return judged(&drill);
        }
        if Instant::now() > deadline {
            return Err(Failure::failed(format!(
                "drill {} did not end within {within} s; `tenure drill show {}` tells when it has",
                number("no"),
                number("no")
            )));
        }
        tokio::time::sleep(ASK_EVERY).await;
    }
}

/// A drill with its steps.
fn shown(drill: &Value, output: &Output) -> Result<(), Failure> {
    if output.form() == Form::Json {
        return output.record(drill);
    }
    let steps = drill["steps"].as_array().cloned().unwrap_or_default();
    output.list(STEPS, &steps)?;
    let figures = drill["figures"].as_object().into_iter().flatten();
    let figures: Vec<_> = figures.map(|(name, n)| format!("{name} {n}")).collect();
    if !figures.is_empty() {
        note(&figures.join(", "))?;
    }
    let said = |name: &str| drill[name].as_str().unwrap_or_default().to_owned();
    note(&format!(
        "drill {} ({}): {}",
        drill["no"],
        said("kind"),
        said("verdict")
    ))
}

/// A failure if it was not passed.
fn judged(drill: &Value) -> Result<(), Failure> {
    match drill["verdict"].as_str() {
        Some("passed") => Ok(()),
        Some("failed") => Err(Failure::failed(
            "the drill was not passed; `tenure finding list` says what to do",
        )),
        _ => Err(Failure::failed("not everything could be shown")),
    }
}
