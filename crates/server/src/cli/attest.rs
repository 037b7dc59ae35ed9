//! `tenure device attest …`

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};
use tenure_domain::text::hex;

use super::device::{path, read_input};
use super::exit::Failure;
use super::output::Output;
use super::session::Session;

/// What a verifier says of a device.
#[derive(Debug, Args)]
pub struct Attest {
    /// The device.
    id: String,
    /// affirming, warning, contraindicated or none.
    #[arg(long)]
    result: String,
    /// When the device made the evidence (RFC 3339).
    #[arg(long, value_name = "TIME")]
    made: String,
    /// The SHA-256 of the evidence, hex.
    #[arg(
        long,
        value_name = "SHA-256",
        required_unless_present = "evidence_file"
    )]
    evidence: Option<String>,
    /// The evidence itself, to be hashed here; it is not sent. `-` is standard input.
    #[arg(long, value_name = "FILE", conflicts_with = "evidence")]
    evidence_file: Option<PathBuf>,
    /// Who appraised it. A token of role verifier speaks in its own name.
    #[arg(long)]
    verifier: Option<String>,
}

pub async fn run(said: Attest, session: &Session, output: &Output) -> Result<(), Failure> {
    let evidence = match (said.evidence, &said.evidence_file) {
        (Some(hash), _) => hash,
        (None, Some(file)) => hex(&tenure_x509::sha256(&read_input(file)?)),
        (None, None) => String::new(),
    };
    let body = json!({
        "verifier": said.verifier, "result": said.result, "made": said.made, "evidence": evidence,
    });
    let to = format!("{}/attestation", path(&said.id));
    let answer = session.api().post(&to, &body).await?;
    let outcome = match answer.get("seen").and_then(Value::as_str) {
        Some("first") => format!("device {} is attested: {}", said.id, said.result),
        Some("older") => "on record; what the verifier said before goes on to count".to_owned(),
        _ => "this was on record already".to_owned(),
    };
    output.done(&outcome, &answer)
}
