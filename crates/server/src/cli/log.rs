//! `tenure log …`: the record, read as an outsider would.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use tenure_tlog::{
    Checkpoint, EntryBundle, Frontier, Hash, Tile, VerifierKey, bundles_between, leaf_hash,
    verify_inclusion,
};

use super::api::Api;
use super::exit::Failure;
use super::output::Output;
use super::session::Session;

mod seen;

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
    /// The log's public key as you know it. Without it: the key kept from the first time, or, that
    /// first time, the one that the server shows.
    #[arg(long)]
    key: Option<String>,
}

#[derive(Debug, Args)]
pub struct Verify {
    #[command(flatten)]
    trust: Key,
    /// Where the log's key and the last verified checkpoint are kept: the record must still contain
    /// that checkpoint, and the one verified now is kept next. Usually a file below
    /// ~/.local/state/tenure/log.
    #[arg(long, value_name = "FILE")]
    seen: Option<PathBuf>,
    /// Keep nothing and remember nothing.
    #[arg(long, conflicts_with = "seen")]
    forget: bool,
}

pub async fn run(verb: Verb, session: &Session, output: &Output) -> Result<(), Failure> {
    let api = session.api();
    match verb {
        Verb::Checkpoint => output.raw(&api.get_text("/log/checkpoint").await?),
        Verb::Prove { event, trust } => prove(event, &trust, api, output).await,
        Verb::Verify(asked) => verify(&asked, session, output).await,
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

/// Reads everything that is published and checks all of it against the signed checkpoint.
async fn verify(asked: &Verify, session: &Session, output: &Output) -> Result<(), Failure> {
    let api = session.api();
    let place = match (&asked.seen, asked.forget) {
        (Some(file), _) => Some(file.clone()),
        (None, true) => None,
        (None, false) => seen::usual_place(session.house()),
    };
    let kept = place.as_deref().map(seen::read).transpose()?.flatten();
    let pinned = kept.as_ref().map(|kept| kept.key.clone());
    let key = Key {
        key: asked.trust.key.clone().or(pinned),
    }
    .key(api)
    .await?;
    let note = api.get_text("/log/checkpoint").await?;
    let checkpoint = open(note.as_bytes(), &key)?;
    let seen = match &kept {
        Some(kept) => Some(open(kept.checkpoint.as_bytes(), &key)?),
        None => None,
    };
    if let Some(seen) = seen.as_ref().filter(|seen| seen.size() > checkpoint.size()) {
        return Err(Failure::failed(format!(
            "the record has shrunk: {} events were seen, now there are {}",
            seen.size(),
            checkpoint.size()
        )));
    }
    rebuild(api, &checkpoint, seen.as_ref(), output).await?;
    if let Some(place) = &place {
        seen::write(
            place,
            &seen::Seen {
                key: key.to_string(),
                checkpoint: note,
            },
        )?;
    }
    let old_size = seen.as_ref().map_or(0, Checkpoint::size);
    let (origin, size) = (checkpoint.origin(), checkpoint.size());
    let mut sentence =
        format!("OK: the record {origin} is whole: {size} events, signed checkpoint");
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

/// Rebuilds the tree from every entry. Each published hash tile must be the one that follows from
/// the entries, the tree must pass through the checkpoint seen last, and end at the signed one.
async fn rebuild(
    api: &Api,
    checkpoint: &Checkpoint,
    seen: Option<&Checkpoint>,
    output: &Output,
) -> Result<(), Failure> {
    let old_size = seen.map_or(0, Checkpoint::size);
    let mut tree = Frontier::new();
    // The right edge: tiles that are not full yet, by the path they will have.
    let mut edge: BTreeMap<String, Tile> = BTreeMap::new();
    let bar = output.progress(checkpoint.size(), "verifying");
    for path in bundles_between(0, checkpoint.size()) {
        let bytes = api.get_bytes(&format!("/log/{path}")).await?;
        let bundle = EntryBundle::parse(&bytes)
            .map_err(|error| Failure::failed(format!("{path} cannot be read: {error}")))?;
        let leaves: Vec<Hash> = bundle
            .entries()
            .take(usize::from(path.width()))
            .map(leaf_hash)
            .collect();
        if leaves.len() != usize::from(path.width()) {
            return Err(Failure::failed(format!(
                "{path} holds {} events instead of {}",
                leaves.len(),
                path.width()
            )));
        }
        let until_seen = usize::try_from(old_size.saturating_sub(tree.size())).unwrap_or(0);
        let (before, after) = leaves.split_at(until_seen.min(leaves.len()));
        for (leaves, is_seen) in [(before, true), (after, false)] {
            for tile in append(&mut tree, leaves)? {
                let full = tile.path.full().to_string();
                if tile.path.is_partial() {
                    edge.insert(full, tile);
                } else {
                    edge.remove(&full);
                    compare(api, &tile).await?;
                }
            }
            if let Some(seen) = seen.filter(|_| is_seen && tree.size() == old_size) {
                same(
                    &tree,
                    seen,
                    "the record was rewritten before the checkpoint seen last",
                )?;
            }
        }
        bar.set_position(tree.size());
    }
    bar.finish_and_clear();
    for tile in edge.values() {
        compare(api, tile).await?;
    }
    same(
        &tree,
        checkpoint,
        "the events do not add up to the signed checkpoint",
    )
}

/// A hash tile as published must be the one computed.
async fn compare(api: &Api, computed: &Tile) -> Result<(), Failure> {
    let published = api.get_bytes(&format!("/log/{}", computed.path)).await?;
    // A partial tile may be served from the full one, of which it is the beginning.
    match published.starts_with(&computed.to_bytes()) {
        true => Ok(()),
        false => Err(Failure::failed(format!(
            "{} does not follow from the events: its hashes were changed",
            computed.path
        ))),
    }
}

fn append(tree: &mut Frontier, leaves: &[Hash]) -> Result<Vec<Tile>, Failure> {
    if leaves.is_empty() {
        return Ok(Vec::new());
    }
    tree.append(leaves)
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
