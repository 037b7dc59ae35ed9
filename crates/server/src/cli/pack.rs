//! `tenure pack …`: what a relying party should hold, in a file for those that no network leads to.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use tenure_domain::feed::pack::Pack;
use tenure_domain::feed::site::SitePack;
use tenure_domain::feed::{Digest, Manifest};
use tenure_domain::{Slug, duration};
use tenure_tlog::Note;

use super::api;
use super::device::read_input;
use super::exit::Failure;
use super::output::Output;
use super::session::Session;

#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Make a pack: whom to trust, what is revoked, and for how long that may be relied upon.
    Export(Export),
    /// Take receipts that came back: each says which pack is in use.
    Receipt {
        /// The files; `-` reads standard input.
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
}

#[derive(Debug, Args)]
pub struct Export {
    /// The relying party.
    #[arg(long, value_name = "NAME", required_unless_present = "site")]
    party: Option<String>,
    /// All relying parties at this site and at the sites inside it, in one file.
    #[arg(long, value_name = "SITE", conflicts_with = "party")]
    site: Option<String>,
    /// Relying parties at the site that are to be left out; separated by commas.
    #[arg(long, value_name = "NAMES", value_delimiter = ',', requires = "site")]
    except: Vec<String>,
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
            said(&export, &octets, output)
        }
        Verb::Receipt { files } => {
            for file in files {
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
                output.done(&said, &taken)?;
            }
            Ok(())
        }
    }
}

async fn made(export: &Export, session: &Session) -> Result<Vec<u8>, Failure> {
    let terms = json!({
        "warn_s": export.warn, "restrict_s": export.restrict, "close_s": export.close,
        "receipt_within_s": export.receipt_within,
    });
    let (path, body) = match (&export.site, &export.party) {
        (Some(site), _) => (
            format!("/sites/{}/packs", api::segment(site)),
            json!({ "except": export.except, "terms": terms }),
        ),
        (None, party) => {
            let party = api::segment(party.as_deref().unwrap_or_default());
            (format!("/feeds/{party}/packs"), terms)
        }
    };
    session.api().post_for_bytes(&path, &body).await
}

/// For whom a pack is, under which number.
fn parts(octets: &[u8]) -> Vec<(Slug, i64)> {
    let notes = match SitePack::split(octets) {
        Ok(pack) => pack.notes().to_vec(),
        Err(_) => Pack::split(octets)
            .map(|pack| vec![pack.note()])
            .unwrap_or_default(),
    };
    let manifest = |note: &&[u8]| {
        let note = Note::parse(note).ok()?;
        let manifest = Manifest::parse(note.text()).ok()?;
        Some((manifest.party, manifest.sequence))
    };
    notes.iter().filter_map(manifest).collect()
}

fn said(export: &Export, octets: &[u8], output: &Output) -> Result<(), Failure> {
    let hash = Digest::of(octets);
    let parts = parts(octets);
    let whom: Vec<_> = parts.iter().map(|(party, _)| party.to_string()).collect();
    let said = format!(
        "{} holds what {} should trust and refuse. Carry it there and run\n  \
         tenure-agent pack import FILE --connection CONNECTION --into DIR --receipt RECEIPT\n\
         SHA-256 {hash}",
        export.out.display(),
        whom.join(", ")
    );
    let parts: Vec<_> = parts
        .iter()
        .map(|(party, sequence)| json!({ "party": party, "sequence": sequence }))
        .collect();
    let item = json!({
        "file": export.out, "party": export.party, "site": export.site, "parts": parts,
        "sha256": hash,
    });
    output.done(&said, &item)
}

fn write(path: &Path, octets: &[u8]) -> Result<(), Failure> {
    std::fs::write(path, octets)
        .map_err(|error| Failure::failed(format!("cannot write {}: {error}", path.display())))
}
