//! `tenure cert …`

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use tenure_x509::Reason;

use super::exit::Failure;
use super::output::{Column, Output};
use super::session::Session;
use super::{Agreed, Page, api, device};

const COLUMNS: &[Column] = &[
    ("SERIAL", "serial"),
    ("STATUS", "status"),
    ("EXPIRED", "expired"),
    ("DEVICE", "device"),
    ("ISSUER", "issuer"),
    ("PROFILE", "profile"),
    ("NOT BEFORE", "not_before"),
    ("NOT AFTER", "not_after"),
    ("NEXT", "next_action"),
    ("DUE", "next_action_at"),
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
    /// Only those of this issuer.
    #[arg(long)]
    issuer: Option<String>,
    /// Only those of devices that talk to this service.
    #[arg(long, conflicts_with_all = ["device", "expires_within_days"])]
    service: Option<String>,
    /// Only those that end within so many days.
    #[arg(long)]
    expires_within_days: Option<u32>,
    #[command(flatten)]
    page: Page,
}

#[derive(Debug, Args)]
pub struct Revoke {
    /// SERIAL or ISSUER/SERIAL.
    #[arg(required_unless_present = "device")]
    serials: Vec<String>,
    /// All certificates of this device, instead of serials.
    #[arg(long, conflicts_with = "serials")]
    device: Option<String>,
    /// An RFC 5280 reason, such as keyCompromise, superseded or cessationOfOperation.
    #[arg(long, default_value = "unspecified", value_parser = reason)]
    reason: Reason,
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
            let query = filter.query();
            let found = api.list("/certificates", &query, &filter.page);
            output.page(COLUMNS, found).await
        }
        Verb::Show { serial, pem } => {
            let certificate = api.get(&path(&serial)).await?;
            match certificate.get("pem").and_then(Value::as_str) {
                Some(text) if pem => output.raw(text),
                _ => output.record(&certificate),
            }
        }
        Verb::Revoke(revoke) => self::revoke(revoke, session, output).await,
        Verb::Hold { serial } => act(&serial, "hold", "held", session, output).await,
        Verb::Release { serial } => {
            let certificate = api.get(&path(&serial)).await?;
            match certificate.get("status").and_then(Value::as_str) {
                Some(status @ ("issued" | "replaced")) => Err(Failure::failed(format!(
                    "certificate {serial} was not held: it is {status}"
                ))),
                _ => act(&serial, "release", "released", session, output).await,
            }
        }
    }
}

fn reason(text: &str) -> Result<Reason, String> {
    text.parse().map_err(|_| {
        let names: Vec<_> = Reason::for_good().map(Reason::name).collect();
        format!("use one of {}", names.join(", "))
    })
}

/// Says what a revocation would touch, and does it when agreed.
async fn revoke(revoke: Revoke, session: &Session, output: &Output) -> Result<(), Failure> {
    let api = session.api();
    let targets: Vec<String> = match &revoke.device {
        Some(id) => vec![device::path(id)],
        None => revoke.serials.iter().map(|serial| path(serial)).collect(),
    };
    let mut effect = format!("revoke for good ({}):", revoke.reason);
    for target in &targets {
        let radius = api.get(&format!("{target}/blast-radius")).await?;
        effect.push_str(&touched(&radius));
    }
    session.agree(&effect, revoke.agreed)?;
    let body = json!({ "reason": revoke.reason.name(), "invalid_since": revoke.invalid_since });
    let mut done = Vec::new();
    for target in &targets {
        let answer = api.post(&format!("{target}/revoke"), &body).await?;
        match answer.get("certificates") {
            Some(Value::Array(several)) => done.extend(several.iter().cloned()),
            _ => done.push(answer),
        }
    }
    let sentence = format!("{} certificate(s) revoked", done.len());
    output.done(&sentence, &Value::Array(done))
}

/// One line for each thing that a withdrawal would touch.
pub fn touched(radius: &Value) -> String {
    let names = |name: &str| -> Vec<&str> {
        let list = radius.get(name).and_then(Value::as_array);
        list.into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect()
    };
    let count = |name: &str| radius.get(name).and_then(Value::as_u64).unwrap_or_default();
    let mut lines = String::new();
    for (what, count, named) in [
        (
            "certificate(s)",
            count("certificate_count"),
            names("certificates"),
        ),
        ("device(s)", count("device_count"), names("devices")),
    ] {
        let more = if (named.len() as u64) < count {
            ", …"
        } else {
            ""
        };
        lines.push_str(&format!("\n  {count} {what}: {}{more}", named.join(", ")));
    }
    let services = names("services");
    if !services.is_empty() {
        lines.push_str(&format!(
            "\n  refused from then on by: {}",
            services.join(", ")
        ));
    }
    if let Some(criticality) = radius.get("criticality").and_then(Value::as_str) {
        lines.push_str(&format!("\n  highest criticality: {criticality}"));
    }
    lines
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
            ("issuer", &self.issuer),
            ("service", &self.service),
            ("expires_within_days", &days),
        ];
        named
            .into_iter()
            .filter_map(|(name, value)| Some((name, value.clone()?)))
            .collect()
    }
}
