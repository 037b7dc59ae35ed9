//! `tenure trust-store …` and `tenure anchor …`: whom relying parties trust.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use tenure_engine::trust_store::AUDIT;
use tenure_tlog::{Note, VerifierKey};

use super::exit::Failure;
use super::output::{Column, Form, Output};
use super::session::Session;
use super::{Page, api, device};

const ANCHORS: &[Column] = &[
    ("SHA-256", "fingerprint"),
    ("SUBJECT", "subject"),
    ("NOT AFTER", "not_after"),
    ("ISSUER", "issuer"),
    ("LEGACY UNTIL", "legacy_until"),
    ("FIRST", "first"),
];

const HELD: &[Column] = &[
    ("SHA-256", "fingerprint"),
    ("SUBJECT", "subject"),
    ("STANDING", "standing"),
    ("NOT AFTER", "not_after"),
    ("LAST", "last"),
];

#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Show what a relying party is meant to trust and what it was observed to trust.
    Show {
        /// The relying party.
        name: String,
    },
    /// Report all that a relying party trusts now.
    Report {
        /// The relying party.
        name: String,
        /// Its trust anchors, PEM; `-` reads standard input.
        file: PathBuf,
    },
    /// Print the issuing CAs that a relying party is meant to trust, PEM.
    Bundle {
        /// The relying party.
        name: String,
        /// Only those that were seen in use there in 30 days, and those to come.
        #[arg(long)]
        minimal: bool,
        /// Instead the roots above them, and what these certified of each other while one follows the
        /// other: for relying parties that trust roots.
        #[arg(long, conflicts_with = "minimal")]
        roots: bool,
    },
    /// Say how many anchors a relying party may hold.
    Budget {
        /// The relying party.
        name: String,
        /// The most, 1 to 2000.
        anchors: u32,
    },
    /// Print what every relying party is meant to trust and was observed to trust, signed by the
    /// log's key.
    Audit,
    /// Check the signature of a printed audit.
    Verify {
        /// The audit.
        file: PathBuf,
        /// The log's public key as you know it; otherwise the one that the server shows.
        #[arg(long)]
        key: Option<String>,
    },
    /// Take an anchor that nothing needs out of what a relying party is meant to hold.
    Prune(Anchored),
    /// Put an anchor back that was taken out.
    Restore(Anchored),
}

#[derive(Debug, Args)]
pub struct Anchored {
    /// The relying party.
    name: String,
    /// SHA-256 of the anchor's certificate, in hex.
    anchor: String,
    /// Why, for the record.
    #[arg(long)]
    why: String,
}

#[derive(Debug, Subcommand)]
pub enum AnchorVerb {
    /// List anchors that were observed or registered.
    List(Page),
    /// Show an anchor: where it was observed, what is under it, its rollover and revocation.
    Show {
        /// SHA-256 of its certificate, in hex.
        fingerprint: String,
    },
    /// Register an anchor that is not ours, with who may hold it and until when.
    Legacy(LegacyFields),
}

#[derive(Debug, Args)]
pub struct LegacyFields {
    /// Its certificate, PEM.
    file: PathBuf,
    /// Until when it may be held, for example 2027-06-30T00:00:00Z.
    #[arg(long)]
    until: String,
    /// The relying parties that may hold it; separated by commas.
    #[arg(long, value_delimiter = ',', required = true)]
    relying_parties: Vec<String>,
    /// Who answers for it.
    #[arg(long)]
    owner: String,
    /// Why it is needed.
    #[arg(long)]
    why: String,
}

fn path(name: &str) -> String {
    format!("/relying-parties/{}/trust-store", api::segment(name))
}

fn pem(file: &PathBuf) -> Result<String, Failure> {
    String::from_utf8(device::read_input(file)?)
        .map_err(|_| Failure::Usage(format!("{} is not PEM", file.display())))
}

pub async fn run(verb: Verb, session: &Session, output: &Output) -> Result<(), Failure> {
    let api = session.api();
    match verb {
        Verb::Show { name } => show(&api.get(&path(&name)).await?, output),
        Verb::Report { name, file } => {
            let body = json!({ "pem": pem(&file)? });
            show(&api.post(&path(&name), &body).await?, output)
        }
        Verb::Bundle {
            name,
            minimal,
            roots,
        } => {
            let kind = match (minimal, roots) {
                (true, _) => "minimal",
                (false, true) => "roots",
                (false, false) => "intended",
            };
            let bundle = api
                .get_text(&format!("{}/bundle?kind={kind}", path(&name)))
                .await?;
            output.document(
                &bundle,
                &json!({ "name": name, "kind": kind, "pem": bundle }),
            )
        }
        Verb::Audit => {
            let audit = api.get_text("/trust-stores/audit").await?;
            output.document(&audit, &json!({ "audit": audit }))
        }
        Verb::Verify { file, key } => {
            let key = match key {
                Some(key) => key,
                None => api.get_text("/log/key").await?,
            };
            verify(&file, &key, output)
        }
        Verb::Budget { name, anchors } => {
            let body = json!({ "anchors_max": anchors });
            let store = api.patch(&path(&name), &body).await?;
            output.done(&format!("{name} may hold {anchors} anchors"), &store)
        }
        Verb::Prune(anchored) => step(&anchored, "prune", "taken out of", session, output).await,
        Verb::Restore(anchored) => {
            step(&anchored, "restore", "put back into", session, output).await
        }
    }
}

async fn step(
    anchored: &Anchored,
    verb: &str,
    done: &str,
    session: &Session,
    output: &Output,
) -> Result<(), Failure> {
    let Anchored { name, anchor, why } = anchored;
    let body = json!({ "anchor": anchor, "why": why });
    let to = format!("{}/{verb}", path(name));
    let store = session.api().post(&to, &body).await?;
    let said = format!("anchor {anchor} is {done} what {name} is meant to hold");
    output.done(&said, &store)
}

/// Checks that an audit is whole and signed by this key.
fn verify(file: &PathBuf, key: &str, output: &Output) -> Result<(), Failure> {
    let untrue = |why: &dyn std::fmt::Display| {
        Failure::failed(format!("the audit is not to be trusted: {why}"))
    };
    let key: VerifierKey = key
        .trim()
        .parse()
        .map_err(|error| Failure::Usage(format!("this is no key of a log: {error}")))?;
    let note = Note::parse(&device::read_input(file)?).map_err(|error| untrue(&error))?;
    let signed = note.verify(std::slice::from_ref(&key), |key, text, signature| {
        use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
        UnparsedPublicKey::new(&ED25519, key.public())
            .verify(text, signature)
            .is_ok()
    });
    signed.map_err(|error| untrue(&error))?;
    let mut lines = note.text().lines();
    let (what, origin, made) = (lines.next(), lines.next(), lines.next());
    if what != Some(AUDIT) || origin != Some(key.name()) {
        return Err(untrue(
            &"it is signed, but it is no audit of this log's house",
        ));
    }
    let (made, stores) = (made.unwrap_or_default(), lines.count());
    let said = format!(
        "the audit of {stores} trust stores, made at {made}, is signed by {}",
        key.name()
    );
    output.done(
        &said,
        &json!({ "made": made, "trust_stores": stores, "key": key.name() }),
    )
}

/// What is meant and what is missing in a sentence each, and what is held as a table.
fn show(store: &Value, output: &Output) -> Result<(), Failure> {
    let names = |list: &str, field: Option<&str>| -> String {
        let items = store
            .get(list)
            .and_then(Value::as_array)
            .into_iter()
            .flatten();
        let named = items.filter_map(|item| match field {
            Some(field) => item.get(field).and_then(Value::as_str),
            None => item.as_str(),
        });
        let named: Vec<_> = named.collect();
        match named.is_empty() {
            true => "none".to_owned(),
            false => named.join(", "),
        }
    };
    let reported = store.get("reported").and_then(Value::as_str);
    let again = store.get("again").and_then(Value::as_str);
    let again = again.map_or_else(String::new, |at| format!(", to be again by {at}"));
    let lines = format!(
        "meant: {}\nmissing: {}\nreported: {}{again}",
        names("intended", Some("issuer")),
        names("missing", None),
        reported.unwrap_or("never")
    );
    output.done(&lines, store)?;
    let held = store.get("held").and_then(Value::as_array);
    match (output.form(), held) {
        (Form::Text, Some(held)) if !held.is_empty() => output.list(HELD, held),
        _ => Ok(()),
    }
}

pub async fn anchor(verb: AnchorVerb, session: &Session, output: &Output) -> Result<(), Failure> {
    let api = session.api();
    match verb {
        AnchorVerb::List(page) => output.page(ANCHORS, api.list("/anchors", &[], &page)).await,
        AnchorVerb::Show { fingerprint } => {
            let path = format!("/anchors/{}", api::segment(&fingerprint));
            output.record(&api.get(&path).await?)
        }
        AnchorVerb::Legacy(fields) => {
            let body = json!({
                "pem": pem(&fields.file)?,
                "until": fields.until,
                "relying_parties": fields.relying_parties,
                "owner": fields.owner,
                "why": fields.why,
            });
            let anchor = api.post("/anchors", &body).await?;
            let said = format!(
                "the anchor may be held by {} until {}",
                fields.relying_parties.join(", "),
                fields.until
            );
            output.done(&said, &anchor)
        }
    }
}
