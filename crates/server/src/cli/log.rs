//! `tenure log …`: the record, read as an outsider would.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use tenure_tlog::{
    Checkpoint, EntryBundle, Frontier, Hash, Note, Tile, VerifierKey, bundles_between, leaf_hash,
    verify_inclusion,
};

use super::api::Api;
use super::exit::Failure;
use super::output::{Form, Output};
use super::session::Session;

mod past;
mod seen;
mod withdrawn;

use past::Renamed;
use withdrawn::Withdrawn;

/// How a line of a note begins that holds a signature.
const SIGNED_BY: &str = "\u{2014} ";

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
    /// Re-read the whole record and check it against its checkpoint, and the revocations in it against
    /// the database.
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
    /// Accept that the record was put back from a copy and lost events that were seen: the log's
    /// present name, as the refusal to accept it shows it.
    #[arg(long, value_name = "NAME")]
    restored: Option<String>,
}

pub async fn run(verb: Verb, session: &Session, output: &Output) -> Result<(), Failure> {
    let api = session.api();
    match verb {
        Verb::Checkpoint => {
            let note = api.get_text("/log/checkpoint").await?;
            match output.form() {
                Form::Text => output.raw(&note),
                Form::Json => output.record(&parsed(&note)?),
            }
        }
        Verb::Prove { event, trust } => prove(event, &trust, api, output).await,
        Verb::Verify(asked) => verify(&asked, session, output).await,
    }
}

/// The lines of a signed checkpoint by name, and the whole of it.
fn parsed(note: &str) -> Result<Value, Failure> {
    let unreadable = |error| Failure::failed(format!("the checkpoint cannot be read: {error}"));
    let signed = Note::parse(note.as_bytes()).map_err(unreadable)?;
    let checkpoint: Checkpoint = signed.text().parse().map_err(unreadable)?;
    let signatures = note.lines().filter(|line| line.starts_with(SIGNED_BY));
    Ok(json!({
        "origin": checkpoint.origin(),
        "size": checkpoint.size(),
        "root": checkpoint.root().to_string(),
        "signatures": signatures.collect::<Vec<_>>(),
        "checkpoint": note,
    }))
}

async fn prove(event: i64, trust: &Key, api: &Api, output: &Output) -> Result<(), Failure> {
    let key = trust.key(api).await?;
    let answer = api.get(&format!("/log/prove/{event}")).await?;
    let text = |name: &str| answer.get(name).and_then(Value::as_str).unwrap_or_default();
    let note = text("checkpoint");
    let checkpoint = open(note.as_bytes(), &past::named_as(note, &key)?)?;
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
        (None, false) => seen::usual_place(&session.house()),
    };
    let kept = place.as_deref().map(seen::read).transpose()?.flatten();
    let pinned = kept.as_ref().map(|kept| kept.key.clone());
    let pinned = Key {
        key: asked.trust.key.clone().or(pinned),
    }
    .key(api)
    .await?;
    let note = api.get_text("/log/checkpoint").await?;
    let key = past::named_as(&note, &pinned)?;
    let checkpoint = open(note.as_bytes(), &key)?;
    let lineage = past::lineage(api, &key, &checkpoint).await?;
    let (origin, size) = (checkpoint.origin(), checkpoint.size());
    if pinned.name() != origin && !lineage.iter().any(|change| change.was(pinned.name())) {
        return Err(Failure::failed(format!(
            "this is another log: you know {}, this one is {origin} and does not come from it",
            pinned.name()
        )));
    }
    let accepted = asked.restored.as_deref() == Some(origin);
    let seen = match &kept {
        Some(kept) if !accepted => Some(open(
            kept.checkpoint.as_bytes(),
            &past::named_as(&kept.checkpoint, &pinned)?,
        )?),
        _ => None,
    };
    let old_size = seen.as_ref().map_or(0, Checkpoint::size);
    let stops = stops(&checkpoint, &lineage, seen)?;
    let withdrawn = rebuild(api, &checkpoint, &stops, &lineage, output).await?;
    withdrawn.still_stand(api).await?;
    if let Some(place) = &place {
        seen::write(
            place,
            &seen::Seen {
                key: key.to_string(),
                checkpoint: note.clone(),
            },
        )?;
    }
    let mut sentence =
        format!("OK: the record {origin} is whole: {size} events, signed checkpoint");
    if old_size > 0 {
        sentence += &format!(", grown from the {old_size} seen last");
    }
    for change in &lineage {
        sentence += &format!(
            "\nPlease note: event {} says that the record was put back from a copy. {}",
            change.event,
            match &change.old {
                Some(old) => format!(
                    "Whoever holds a checkpoint of {} over more than {} events saw some that are \
                     lost",
                    old.origin(),
                    change.shared()
                ),
                None => "Nothing was sealed before".to_owned(),
            }
        );
    }
    let found = json!({
        "ok": true,
        "origin": origin,
        "size": size,
        "root": checkpoint.root().to_string(),
        "grown_from": old_size,
        "begun_anew": lineage.iter().map(Renamed::to_json).collect::<Vec<_>>(),
    });
    output.done(&sentence, &found)
}

/// A checkpoint through which the tree must pass, and what it means if it does not.
struct Stop {
    checkpoint: Checkpoint,
    otherwise: String,
}

/// The checkpoints through which the tree must pass, smallest first: those that its own events name,
/// and the one seen last.
fn stops(
    checkpoint: &Checkpoint,
    lineage: &[Renamed],
    seen: Option<Checkpoint>,
) -> Result<Vec<Stop>, Failure> {
    let mut stops = Vec::new();
    for change in lineage {
        if let Some(old) = &change.old
            && old.size() <= change.shared()
        {
            stops.push(Stop {
                checkpoint: old.clone(),
                otherwise: format!(
                    "the record does not contain the checkpoint of {} that its event {} names",
                    old.origin(),
                    change.event
                ),
            });
        }
    }
    if let Some(seen) = seen {
        stops.push(seen_last(seen, checkpoint, lineage)?);
    }
    stops.retain(|stop| stop.checkpoint.size() > 0);
    stops.sort_by_key(|stop| stop.checkpoint.size());
    Ok(stops)
}

fn seen_last(
    seen: Checkpoint,
    checkpoint: &Checkpoint,
    lineage: &[Renamed],
) -> Result<Stop, Failure> {
    let (size, origin) = (seen.size(), checkpoint.origin());
    let (end, otherwise) = match lineage.iter().find(|change| change.was(seen.origin())) {
        Some(change) => (
            change.shared(),
            format!(
                "the record was put back from a copy (event {}) and does not contain the {size} \
                 events seen last: some of them are lost. If you know of it, accept the record as \
                 it is now: `tenure log verify --restored {origin}`",
                change.event
            ),
        ),
        None => (
            checkpoint.size(),
            "the record was rewritten before the checkpoint seen last".to_owned(),
        ),
    };
    match (size <= end, end == checkpoint.size()) {
        (true, _) => Ok(Stop {
            checkpoint: seen,
            otherwise,
        }),
        (false, true) => Err(Failure::failed(format!(
            "the record has shrunk: {size} events were seen, now there are {end}"
        ))),
        (false, false) => Err(Failure::failed(otherwise)),
    }
}

/// Rebuilds the tree from every entry. Each published hash tile must be the one that follows from
/// the entries, and the tree must pass through every stop and end at the signed checkpoint. Answers
/// what the entries tell of revocations.
async fn rebuild(
    api: &Api,
    checkpoint: &Checkpoint,
    stops: &[Stop],
    lineage: &[Renamed],
    output: &Output,
) -> Result<Withdrawn, Failure> {
    let mut tree = Frontier::new();
    let mut withdrawn = Withdrawn::default();
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
            .inspect(|leaf| withdrawn.read(leaf))
            .map(leaf_hash)
            .collect();
        if leaves.len() != usize::from(path.width()) {
            return Err(Failure::failed(format!(
                "{path} holds {} events instead of {}",
                leaves.len(),
                path.width()
            )));
        }
        for change in lineage {
            let place = change.shared().checked_sub(tree.size());
            let read = place.and_then(|place| leaves.get(usize::try_from(place).ok()?));
            if read.is_some_and(|read| *read != change.leaf) {
                return Err(Failure::failed(format!(
                    "event {} was shown in two versions",
                    change.event
                )));
            }
        }
        let mut rest = leaves.as_slice();
        while !rest.is_empty() {
            let ahead = stops.iter().map(|stop| stop.checkpoint.size());
            let next = ahead.filter(|size| *size > tree.size()).min();
            let until = next.map_or(u64::MAX, |size| size - tree.size());
            let count = usize::try_from(until).unwrap_or(usize::MAX);
            let (now, later) = rest.split_at(count.min(rest.len()));
            rest = later;
            for tile in append(&mut tree, now)? {
                let full = tile.path.full().to_string();
                if tile.path.is_partial() {
                    edge.insert(full, tile);
                } else {
                    edge.remove(&full);
                    compare(api, &tile).await?;
                }
            }
            for stop in stops {
                if stop.checkpoint.size() == tree.size() {
                    same(&tree, &stop.checkpoint, &stop.otherwise)?;
                }
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
    )?;
    Ok(withdrawn)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_has_a_name_for_each_line() {
        let root = Hash::empty_tree().to_string();
        let signature = format!("\u{2014} tenure/log {}", "A".repeat(92));
        let note = format!("tenure/log\n0\n{root}\n\n{signature}\n");
        let found = parsed(&note).unwrap();
        let wanted = json!({
            "origin": "tenure/log", "size": 0, "root": root, "signatures": [signature],
            "checkpoint": note,
        });
        assert_eq!(found, wanted);
        assert_eq!(parsed("tenure/log\n").unwrap_err().code(), 1);
    }
}
