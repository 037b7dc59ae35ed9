//! `tenure decide …` and `tenure trust …`

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::Page;
use super::api;
use super::exit::Failure;
use super::output::{Column, Output};
use super::session::Session;

const SAID: &[Column] = &[
    ("AT", "at"),
    ("SERVICE", "service"),
    ("ACCESS", "access"),
    ("VERDICT", "verdict"),
    ("TIER", "tier"),
    ("REASONS", "reasons"),
    ("ID", "id"),
];

#[derive(Debug, Subcommand)]
pub enum Decide {
    /// Ask whether a device may be let in. Exit code 1 if not.
    Ask(Asked),
    /// Make a verdict again from what was kept of it. Exit code 1 if it comes out otherwise.
    Replay {
        /// Its id, as every verdict shows it.
        id: String,
    },
}

/// Who knocks, and where.
#[derive(Debug, Args)]
pub struct Asked {
    /// The device's name.
    #[arg(long)]
    device: Option<String>,
    /// A file with the certificate that was shown (PEM).
    #[arg(long, value_name = "FILE", conflicts_with_all = ["serial", "fingerprint"])]
    certificate: Option<PathBuf>,
    /// The serial of the certificate that was shown, hex.
    #[arg(long)]
    serial: Option<String>,
    /// Its issuer's short name, where two issuers used the same serial.
    #[arg(long, requires = "serial")]
    issuer: Option<String>,
    /// The SHA-256 of the certificate, hex; alone, or with a serial.
    #[arg(long)]
    fingerprint: Option<String>,
    /// The service that the device wants to reach.
    #[arg(long)]
    service: Option<String>,
    /// The site at which the device must stand.
    #[arg(long)]
    site: Option<String>,
    /// The address that it comes from; ignored unless the policy asks for it.
    #[arg(long)]
    source: Option<String>,
}

#[derive(Debug, Subcommand)]
pub enum Trust {
    /// What is known of a device, and whether it may be let in somewhere.
    Show {
        /// The device.
        device: String,
        /// The service that it wants to reach.
        #[arg(long)]
        service: Option<String>,
        /// The site at which it must stand.
        #[arg(long)]
        site: Option<String>,
    },
    /// What was said of a device, newest first.
    Said {
        /// The device.
        device: String,
        #[command(flatten)]
        page: Page,
    },
}

pub async fn decide(verb: Decide, session: &Session, output: &Output) -> Result<(), Failure> {
    let api = session.api();
    match verb {
        Decide::Ask(asked) => {
            let verdict = api.post("/decide", &asked.body()?).await?;
            output.record(&verdict)?;
            match verdict.get("access").and_then(Value::as_str) {
                Some("allow") => Ok(()),
                _ => Err(Failure::failed("it is not let in")),
            }
        }
        Decide::Replay { id } => {
            let again = api.get(&format!("/decisions/{id}")).await?;
            output.record(&again)?;
            match again.get("agreement").and_then(Value::as_str) {
                Some("same") => Ok(()),
                _ => Err(Failure::failed("it comes out otherwise than it was said")),
            }
        }
    }
}

pub async fn trust(verb: Trust, session: &Session, output: &Output) -> Result<(), Failure> {
    let api = session.api();
    match verb {
        Trust::Show {
            device,
            service,
            site,
        } => {
            let pairs = [("service", service), ("site", site)];
            let query: Vec<_> = pairs
                .into_iter()
                .filter_map(|(name, value)| Some((name, value?)))
                .collect();
            let path = format!("/trust/{}{}", api::segment(&device), api::query(&query));
            let verdict = api.get(&path).await?;
            output.record(&verdict)
        }
        Trust::Said { device, page } => {
            let query = [("device", device)];
            output
                .page(SAID, api.list("/decisions", &query, &page))
                .await
        }
    }
}

impl Asked {
    fn body(self) -> Result<Value, Failure> {
        let certificate = match &self.certificate {
            Some(path) => Some(std::fs::read_to_string(path).map_err(|error| {
                Failure::Usage(format!("cannot read {}: {error}", path.display()))
            })?),
            None => None,
        };
        let pairs = [
            ("device", self.device),
            ("certificate", certificate),
            ("serial", self.serial),
            ("issuer", self.issuer),
            ("fingerprint", self.fingerprint),
            ("service", self.service),
            ("site", self.site),
            ("source", self.source),
        ];
        let said: Map<_, _> = pairs
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), json!(value?))))
            .collect();
        Ok(Value::Object(said))
    }
}
