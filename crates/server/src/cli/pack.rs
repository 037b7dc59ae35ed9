//! `tenure pack …`: what a relying party should hold, in a file for those that no network leads to.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use tenure_domain::duration;

use super::api;
use super::device::read_input;
use super::exit::Failure;
use super::output::Output;
use super::session::Session;

#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Make a pack: whom to trust, what is revoked, and for how long that may be relied upon.
    Export(Export),
    /// Take a receipt that came back: it says which pack is in use.
    Receipt {
        /// The file; `-` reads standard input.
        file: PathBuf,
    },
}

#[derive(Debug, Args)]
pub struct Export {
    /// The relying party.
    #[arg(long, value_name = "NAME")]
    party: String,
    /// The file to write.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// From this age on somebody there is to be told.
    #[arg(long, default_value = "7d", value_parser = duration::parse)]
    warn: i64,
    /// From this age on nobody new is to be let in.
    #[arg(long, default_value = "14d", value_parser = duration::parse)]
    restrict: i64,
    /// From this age on nobody is to be let in. Where criticality is safety, everybody is told
    /// instead.
    #[arg(long, default_value = "30d", value_parser = duration::parse)]
    close: i64,
    /// How long the receipt may take to come back before it is a finding.
    #[arg(long, default_value = "7d", value_parser = duration::parse)]
    receipt_within: i64,
}

pub async fn run(verb: Verb, session: &Session, output: &Output) -> Result<(), Failure> {
    match verb {
        Verb::Export(export) => {
            let octets = made(&export, session).await?;
            write(&export.out, &octets)?;
            let hash = tenure_domain::feed::Digest::of(&octets);
            let said = format!(
                "{} holds what {} should trust and refuse. Carry it there and run\n  \
                 tenure-agent pack import FILE --connection CONNECTION --into DIR --receipt RECEIPT\n\
                 SHA-256 {hash}",
                export.out.display(),
                export.party
            );
            let item = json!({ "file": export.out, "party": export.party, "sha256": hash });
            output.done(&said, &item)
        }
        Verb::Receipt { file } => {
            let octets = read_input(&file)?;
            let api = session.api();
            let taken = api
                .post_bytes("/pack-receipts", "text/plain", octets)
                .await?;
            let text = |field: &str| match &taken[field] {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            let said = format!("{} uses number {}", text("name"), text("sequence"));
            output.done(&said, &taken)
        }
    }
}

async fn made(export: &Export, session: &Session) -> Result<Vec<u8>, Failure> {
    let terms = json!({
        "warn_s": export.warn, "restrict_s": export.restrict, "close_s": export.close,
        "receipt_within_s": export.receipt_within,
    });
    let path = format!("/feeds/{}/packs", api::segment(&export.party));
    session.api().post_for_bytes(&path, &terms).await
}

fn write(path: &Path, octets: &[u8]) -> Result<(), Failure> {
    std::fs::write(path, octets)
        .map_err(|error| Failure::failed(format!("cannot write {}: {error}", path.display())))
}
