//! `tenure cert …`

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::exit::Failure;
use super::output::{Column, Output};
use super::session::Session;
use super::{Agreed, Limit, api};

const COLUMNS: &[Column] = &[
    ("SERIAL", "serial"),
    ("STATUS", "status"),
    ("EXPIRED", "expired"),
    ("DEVICE", "device"),
    ("ISSUER", "issuer"),
    ("PROFILE", "profile"),
    ("NOT BEFORE", "not_before"),
    ("NOT AFTER", "not_after"),
];

#[derive(Debug, Subcommand)]
pub enum Verb {
    /// List certificates.
    List(Filter),
    /// Show one certificate.
    Show {
        /// SERIAL, or ISSUER/SERIAL where two issuers have used it.
        serial: String,
        /// Print only the certificate, as PEM.
        #[arg(long)]
        pem: bool,
    },
    /// Withdraw certificates for good.
    Revoke(Revoke),
    /// Suspend a certificate.
    Hold {
        /// SERIAL or ISSUER/SERIAL.
        serial: String,
    },
    /// End a suspension.
    Release {
        /// SERIAL or ISSUER/SERIAL.
        serial: String,
    },
}

#[derive(Debug, Args)]
pub struct Filter {
    /// Only those of this device.
    #[arg(long)]
    device: Option<String>,
    /// issued, replaced, held or revoked.
    #[arg(long)]
    status: Option<String>,
    /// Only those that end within so many days.
    #[arg(long)]
    expires_within_days: Option<u32>,
    #[command(flatten)]
    limit: Limit,
}

#[derive(Debug, Args)]
pub struct Revoke {
    /// SERIAL or ISSUER/SERIAL.
    #[arg(required = true)]
    serials: Vec<String>,
    /// keyCompromise, affiliationChanged, superseded, cessationOfOperation, privilegeWithdrawn, …
    #[arg(long, default_value = "unspecified")]
    reason: String,
    /// Since when the key must be thought bad (RFC 3339).
    #[arg(long)]
    invalid_since: Option<String>,
    #[command(flatten)]
    agreed: Agreed,
}

pub async fn run(verb: Verb, session: &Session, output: &Output) -> Result<(), Failure> {
    let api = session.api();
    match verb {
        Verb::List(filter) => {
            let found = api
                .list("/certificates", &filter.query(), filter.limit.limit)
                .await?;
            output.list(COLUMNS, &found)
        }
        Verb::Show { serial, pem } => {
            let certificate = api.get(&path(&serial)).await?;
            match certificate.get("pem").and_then(Value::as_str) {
                Some(text) if pem => output.raw(text),
                _ => output.record(&certificate),
            }
        }
        Verb::Revoke(revoke) => {
            let mut named = Vec::new();
            for serial in &revoke.serials {
                let found = api.get(&path(serial)).await?;
                let device = found.get("device").and_then(Value::as_str).unwrap_or("?");
                named.push(format!("  {serial} of device {device}"));
            }
            let effect = format!(
                "revoke {} certificate(s) for good ({}):\n{}",
                named.len(),
                revoke.reason,
                named.join("\n")
            );
            session.agree(&effect, revoke.agreed)?;
            let body = json!({ "reason": revoke.reason, "invalidity": revoke.invalid_since });
            let mut done = Vec::new();
            for serial in &revoke.serials {
                done.push(api.post(&format!("{}/revoke", path(serial)), &body).await?);
            }
            let sentence = format!("{} certificate(s) revoked", done.len());
            output.done(&sentence, &Value::Array(done))
        }
        Verb::Hold { serial } => act(&serial, "hold", "held", session, output).await,
        Verb::Release { serial } => act(&serial, "release", "released", session, output).await,
    }
}

async fn act(
    serial: &str,
    verb: &str,
    past: &str,
    session: &Session,
    output: &Output,
) -> Result<(), Failure> {
    let done = session
        .api()
        .post(&format!("{}/{verb}", path(serial)), &json!({}))
        .await?;
    output.done(&format!("certificate {serial} is {past}"), &done)
}

/// The API path of a certificate.
fn path(serial: &str) -> String {
    match serial.rsplit_once('/') {
        Some((issuer, serial)) => {
            format!(
                "/issuers/{}/certificates/{}",
                api::segment(issuer),
                api::segment(serial)
            )
        }
        None => format!("/certificates/{}", api::segment(serial)),
    }
}

impl Filter {
    fn query(&self) -> Vec<(&'static str, String)> {
        let days = self.expires_within_days.map(|days| days.to_string());
        let named = [
            ("device", &self.device),
            ("status", &self.status),
            ("expires_within_days", &days),
        ];
        named
            .into_iter()
            .filter_map(|(name, value)| Some((name, value.clone()?)))
            .collect()
    }
}
