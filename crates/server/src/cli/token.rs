//! `tenure token …`

use clap::Subcommand;
use serde_json::{Value, json};

use super::Page;
use super::exit::Failure;
use super::output::{Column, Output, note};
use super::session::Session;

const COLUMNS: &[Column] = &[
    ("NO", "no"),
    ("NAME", "name"),
    ("ROLE", "role"),
    ("CREATED", "created"),
    ("EXPIRES", "expires"),
    ("REVOKED", "revoked"),
];

#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Hand out a token and print it, once.
    Create {
        /// Whose it is, or what it is for.
        #[arg(long)]
        name: String,
        /// admin, operator, auditor, reader, relying-party or verifier. To ask for decisions, a
        /// relying party's token has its name; a verifier's token has the verifier's.
        #[arg(long)]
        role: String,
        /// The relying party whose feed it opens, for role relying-party.
        #[arg(long, value_name = "NAME")]
        relying_party: Option<String>,
        /// How many days it is good; without it, until it is revoked.
        #[arg(long)]
        days: Option<u32>,
    },
    /// List tokens. The tokens themselves are known only to their holders.
    List(Page),
    /// Withdraw a token.
    Revoke {
        /// Its number.
        no: i64,
    },
    /// Replace the token this command uses by a fresh one, and keep it where the old one was.
    Rotate,
}

pub async fn run(verb: Verb, session: &Session, output: &Output) -> Result<(), Failure> {
    let api = session.api();
    match verb {
        Verb::Create {
            name,
            role,
            relying_party,
            days,
        } => {
            let body = json!({
                "name": name, "role": role, "relying_party": relying_party, "days": days,
            });
            let answer = api.post("/tokens", &body).await?;
            output.done(secret(&answer)?, &answer)
        }
        Verb::List(page) => output.page(COLUMNS, api.list("/tokens", &[], &page)).await,
        Verb::Revoke { no } => {
            let token = api.delete(&format!("/tokens/{no}")).await?;
            output.done(&format!("token {no} is revoked"), &token)
        }
        Verb::Rotate => {
            let answer = api.post("/tokens/rotate", &json!({})).await?;
            let fresh = secret(&answer)?;
            match session.keep_token(fresh)? {
                Some(path) => note(&format!("the new token is in {}", path.display())),
                None => output.done(fresh, &answer),
            }
        }
    }
}

fn secret(answer: &Value) -> Result<&str, Failure> {
    let token = answer.get("token").and_then(Value::as_str);
    token.ok_or_else(|| Failure::failed("the server sent no token"))
}
