//! `tenure log …`: the record, read as an outsider would.

use std::fs;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use tenure_tlog::{
    Checkpoint, EntryBundle, Frontier, Hash, VerifierKey, bundles_between, leaf_hash,
    verify_inclusion,
};

use super::api::Api;
use super::exit::Failure;
use super::output::Output;
use super::session::Session;

#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Print the signed checkpoint: the whole record in three lines.
    Checkpoint,
    /// Prove that an event is in the record, and check the proof.
    Prove {
        /// The event's number, as `tenure events` shows it.
        event: i64,
        #[command(flatten)]
        trust: Key,
    },
    /// Re-read the whole record and check it against its checkpoint.
    Verify(Verify),
}

#[derive(Debug, Args)]
pub struct Key {
    /// The log's public key as you know it; without it, the server is asked for it.
    #[arg(long)]
    key: Option<String>,
}

#[derive(Debug, Args)]
pub struct Verify {
    #[command(flatten)]
    trust: Key,
    /// Where the last verified checkpoint is kept: the record must still contain it, and this one
    /// is kept next.
    #[arg(long, value_name = "FILE")]
    seen: Option<PathBuf>,
}

pub async fn run(verb: Verb, session: &Session, output: &Output) -> Result<(), Failure> {
    let api = session.api();
    match verb {
        Verb::Checkpoint => output.raw(&api.get_text("/log/checkpoint").await?),
        Verb::Prove { event, trust } => prove(event, &trust, api, output).await,
        Verb::Verify(asked) => verify(&asked, api, output).await,
    }
}

async fn prove(event: i64, trust: &Key, api: &Api, output: &Output) -> Result<(), Failure> {
    let key = trust.key(api).await?;
    let answer = api.get(&format!("/log/prove/{event}")).await?;
    let text = |name: &str| answer.get(name).and_then(Value::as_str).unwrap_or_default();
    let checkpoint = open(text("checkpoint").as_bytes(), &key)?;
    let index = answer
        .get("index")
        .and_then(Value::as_u64)
        .unwrap_or(u64::MAX);
    let hashes = answer
        .get("proof")
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    let proof = hashes
        .iter()
        .map(|hash| Hash::from_base64(hash.as_str().unwrap_or_default()))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| Failure::failed(format!("the proof cannot be read: {error}")))?;
    let leaf = leaf_hash(text("leaf").as_bytes());
    verify_inclusion(index, checkpoint.size(), &leaf, &proof, checkpoint.root())
        .map_err(|_| Failure::failed(format!("event {event} is NOT in the record")))?;
    let sentence = format!(
        "event {event} is leaf {index} of the {} in the record:\n{}",
        checkpoint.size(),
        text("leaf")
    );
    output.done(&sentence, &answer)
}

/// Rebuilds the tree from every entry and compares it with the signed checkpoint.
async fn verify(asked: &Verify, api: &Api, output: &Output) -> Result<(), Failure> {
    let key = asked.trust.key(api).await?;
    let note = api.get_text("/log/checkpoint").await?;
    let checkpoint = open(note.as_bytes(), &key)?;
    let seen = match asked.seen.as_ref().map(fs::read) {
        Some(Ok(note)) => Some(open(&note, &key)?),
        _ => None,
    };
    if let Some(seen) = seen.as_ref().filter(|seen| seen.size() > checkpoint.size()) {
        return Err(Failure::failed(format!(
            "the record has shrunk: {} events were seen, now there are {}",
            seen.size(),
            checkpoint.size()
        )));
    }
    let old_size = seen.as_ref().map_or(0, Checkpoint::size);
    let mut tree = Frontier::new();
    for path in bundles_between(0, checkpoint.size()) {
        let bytes = api.get_bytes(&format!("/log/{path}")).await?;
        let bundle = EntryBundle::parse(&bytes)
            .map_err(|error| Failure::failed(format!("{path} cannot be read: {error}")))?;
        for entry in bundle.entries().take(usize::from(path.width())) {
            append(&mut tree, entry)?;
            if let Some(seen) = seen.as_ref().filter(|_| tree.size() == old_size) {
                same(
                    &tree,
                    seen,
                    "the record was rewritten before the checkpoint seen last",
                )?;
            }
        }
    }
    if tree.size() != checkpoint.size() {
        return Err(Failure::failed(format!(
            "the checkpoint promises {} events, {} were served",
            checkpoint.size(),
            tree.size()
        )));
    }
    same(
        &tree,
        &checkpoint,
        "the events do not add up to the signed checkpoint",
    )?;
    if let Some(path) = &asked.seen {
        super::session::write_private(path, &note)?;
    }
    let (origin, size) = (checkpoint.origin(), checkpoint.size());
    let mut sentence = format!("the record {origin} is whole: {size} events, signed checkpoint");
    if old_size > 0 {
        sentence += &format!(", grown from the {old_size} seen last");
    }
    let found = json!({
        "ok": true,
        "origin": origin,
        "size": size,
        "root": checkpoint.root().to_string(),
        "grown_from": old_size,
    });
    output.done(&sentence, &found)
}

fn append(tree: &mut Frontier, entry: &[u8]) -> Result<(), Failure> {
    tree.append(&[leaf_hash(entry)])
        .map(|_| ())
        .map_err(|error| Failure::failed(format!("the record cannot be rebuilt: {error}")))
}

fn same(tree: &Frontier, checkpoint: &Checkpoint, otherwise: &str) -> Result<(), Failure> {
    if tree.root() == *checkpoint.root() {
        Ok(())
    } else {
        Err(Failure::failed(otherwise))
    }
}

impl Key {
    async fn key(&self, api: &Api) -> Result<VerifierKey, Failure> {
        let text = match &self.key {
            Some(text) => text.clone(),
            None => api.get_text("/log/key").await?,
        };
        text.trim()
            .parse()
            .map_err(|error| Failure::Usage(format!("this is no key of a log: {error}")))
    }
}

/// A checkpoint that `key` has signed; the log's origin is the key's name.
fn open(note: &[u8], key: &VerifierKey) -> Result<Checkpoint, Failure> {
    Checkpoint::open(note, key.name(), key, |key, text, signature| {
        use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
        UnparsedPublicKey::new(&ED25519, key.public())
            .verify(text, signature)
            .is_ok()
    })
    .map_err(|error| Failure::failed(format!("the checkpoint is not to be trusted: {error}")))
}
