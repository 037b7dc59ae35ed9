//! `tenure policy …`

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use tenure_domain::policy::Explanation;

use super::exit::Failure;
use super::output::{Column, Output};
use super::session::Session;
use super::{Agreed, device};

const EXAMPLES: &[Column] = &[
    ("EXAMPLE", "name"),
    ("OK", "ok"),
    ("EXPECTED", "expected"),
    ("GOT", "got"),
    ("RULE", "rule"),
];
const CHANGES: &[Column] = &[
    ("DEVICES", "devices"),
    ("OPERATION", "operation"),
    ("EVIDENCE", "evidence"),
    ("LABEL", "label"),
    ("NOW", "now"),
    ("THEN", "then"),
    ("CERTIFICATE", "certificate"),
    ("FIRST", "first"),
];

#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Put a policy document in force, after its own examples have been tested.
    Apply {
        /// The TOML document; - reads standard input.
        file: PathBuf,
        #[command(flatten)]
        agreed: Agreed,
    },
    /// Print the policy in force.
    Show,
    /// Say what the policy would answer a device, and by which rule.
    Explain(Question),
    /// Test a document against the examples inside it; without a file, the policy in force.
    Test {
        /// The TOML document; - reads standard input.
        file: Option<PathBuf>,
    },
    /// Say which devices a document would treat differently from the policy in force.
    Plan {
        /// The TOML document; - reads standard input.
        file: PathBuf,
    },
}

#[derive(Debug, Args)]
pub struct Question {
    /// The device that asks.
    #[arg(long)]
    device: String,
    /// enroll, renew or server-keygen.
    #[arg(long, default_value = "enroll")]
    operation: String,
    /// What it proves: manufacturer, secret or current-certificate; what suits the operation if
    /// left out.
    #[arg(long)]
    evidence: Option<String>,
    /// The label it asks at, which names a profile.
    #[arg(long)]
    label: Option<String>,
    /// The key it brings: p256, p384, ed25519, rsa2048, rsa3072 or rsa4096.
    #[arg(long)]
    key: Option<String>,
}

pub async fn run(verb: Verb, session: &Session, output: &Output) -> Result<(), Failure> {
    let api = session.api();
    match verb {
        Verb::Apply { file, agreed } => {
            let document = device::read_input(&file)?;
            let plan = api
                .post_bytes("/policy/plan", TOML, document.clone())
                .await?;
            let affected = plan
                .get("affected")
                .and_then(Value::as_u64)
                .unwrap_or_default();
            if affected > 0 {
                let effect = format!(
                    "treat {affected} device(s) differently; `tenure policy plan` lists them"
                );
                session.agree(&effect, agreed)?;
            }
            let policy = api.put("/policy", TOML, document).await?;
            let version = policy
                .get("version")
                .and_then(Value::as_i64)
                .unwrap_or_default();
            output.done(&format!("policy version {version} is in force"), &policy)
        }
        Verb::Show => {
            let policy = api.get("/policy").await?;
            let document = policy
                .get("document")
                .and_then(Value::as_str)
                .unwrap_or_default();
            output.done(document, &policy)
        }
        Verb::Explain(question) => {
            let body = json!({
                "device": question.device,
                "operation": question.operation,
                "evidence": question.evidence,
                "label": question.label,
                "key": question.key,
            });
            let answer = api.post("/policy/explain", &body).await?;
            let said = serde_json::from_value::<Explanation>(answer.clone()).map_err(|error| {
                Failure::failed(format!("the answer is not understood: {error}"))
            })?;
            output.done(&said.to_string(), &answer)
        }
        Verb::Test { file } => {
            let document = match file {
                Some(file) => device::read_input(&file)?,
                None => {
                    let policy = api.get("/policy").await?;
                    let document = policy.get("document").and_then(Value::as_str);
                    document.unwrap_or_default().as_bytes().to_vec()
                }
            };
            let tested = api.post_bytes("/policy/test", TOML, document).await?;
            output.list(EXAMPLES, items(&tested, "examples"))?;
            match items(&tested, "examples")
                .iter()
                .filter(|e| e.get("ok") != Some(&json!(true)))
                .count()
            {
                0 => Ok(()),
                failed => Err(Failure::failed(format!(
                    "{failed} example(s) came out differently"
                ))),
            }
        }
        Verb::Plan { file } => {
            let document = device::read_input(&file)?;
            let plan = api.post_bytes("/policy/plan", TOML, document).await?;
            output.list(CHANGES, items(&plan, "changes"))
        }
    }
}

const TOML: &str = "application/toml";

fn items<'a>(answer: &'a Value, name: &str) -> &'a [Value] {
    answer
        .get(name)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}
