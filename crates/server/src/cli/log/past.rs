//! Where a log comes from. One that was put back from a copy goes on under another name, and an event
//! in it holds the last checkpoint that the former name is known to have.

use serde::Deserialize;
use serde_json::{Value, json};
use tenure_engine::store::begun_anew_at;
use tenure_tlog::{
    Checkpoint, EntryBundle, Hash, Note, TILE_WIDTH, TilePath, VerifierKey, leaf_hash,
};

use super::open;
use crate::cli::api::Api;
use crate::cli::exit::Failure;

/// One change of a log's name.
pub(super) struct Renamed {
    /// The number of the event that says so.
    pub(super) event: u64,
    /// That event's leaf.
    pub(super) leaf: Hash,
    /// The last checkpoint known of the former name; none if nothing was sealed under it.
    pub(super) old: Option<Checkpoint>,
}

impl Renamed {
    /// How many leaves of this log may be the former one's as well: those before the event.
    pub(super) fn shared(&self) -> u64 {
        self.event - 1
    }

    /// Whether the former log had this name.
    pub(super) fn was(&self, origin: &str) -> bool {
        self.old.as_ref().is_some_and(|old| old.origin() == origin)
    }

    /// For `--json`.
    pub(super) fn to_json(&self) -> Value {
        json!({
            "event": self.event,
            "old_origin": self.old.as_ref().map(Checkpoint::origin),
            "old_size": self.old.as_ref().map_or(0, Checkpoint::size),
        })
    }
}

/// The same key under the name that a log bears now: the name may change, the key may not.
pub(super) fn named_as(note: &str, key: &VerifierKey) -> Result<VerifierKey, Failure> {
    let failed = |error| Failure::failed(format!("the checkpoint cannot be read: {error}"));
    let note = Note::parse(note.as_bytes()).map_err(failed)?;
    let shown: Checkpoint = note.text().parse().map_err(failed)?;
    VerifierKey::ed25519(shown.origin(), *key.public()).map_err(failed)
}

/// Every change of the log's name, the newest first, as its own events tell them.
pub(super) async fn lineage(
    api: &Api,
    key: &VerifierKey,
    checkpoint: &Checkpoint,
) -> Result<Vec<Renamed>, Failure> {
    let mut found: Vec<Renamed> = Vec::new();
    let mut origin = checkpoint.origin().to_owned();
    let mut before = checkpoint.size();
    while let Some(event) = begun_anew_at(&origin) {
        let event = u64::try_from(event.0).unwrap_or(0);
        // Each is older than the one before, so this ends.
        if !(1..=before).contains(&event) {
            return Err(Failure::failed(format!(
                "the log's name {origin} points to event {event}, which cannot be"
            )));
        }
        let leaf = entry(api, event - 1, checkpoint.size()).await?;
        let said: Leaf = serde_json::from_slice(&leaf).map_err(|_| {
            Failure::failed(format!(
                "event {event} should tell how {origin} began, and tells something else"
            ))
        })?;
        let said = said.event.changed;
        if said.new != origin {
            return Err(Failure::failed(format!(
                "event {event} tells how {} began, and not {origin}",
                said.new
            )));
        }
        let old = match said.old.is_empty() {
            true => None,
            false => Some(open(said.old.as_bytes(), &named_as(&said.old, key)?)?),
        };
        origin = old.as_ref().map_or("", Checkpoint::origin).to_owned();
        before = event - 1;
        let leaf = leaf_hash(&leaf);
        found.push(Renamed { event, leaf, old });
    }
    Ok(found)
}

#[derive(Deserialize)]
struct Leaf {
    event: Said,
}

#[derive(Deserialize)]
struct Said {
    #[serde(rename = "log-origin-changed")]
    changed: Changed,
}

#[derive(Deserialize)]
struct Changed {
    new: String,
    old: String,
}

async fn entry(api: &Api, index: u64, size: u64) -> Result<Vec<u8>, Failure> {
    let first = index / TILE_WIDTH * TILE_WIDTH;
    let width = u16::try_from((size - first).min(TILE_WIDTH)).unwrap_or(1);
    let path = TilePath::entries(index / TILE_WIDTH, width).map_err(Failure::failed)?;
    let bytes = api.get_bytes(&format!("/log/{path}")).await?;
    let bundle = EntryBundle::parse(&bytes)
        .map_err(|error| Failure::failed(format!("{path} cannot be read: {error}")))?;
    let place = usize::try_from(index - first).unwrap_or(usize::MAX);
    let entry = bundle.entries().nth(place).map(<[u8]>::to_vec);
    entry.ok_or_else(|| Failure::failed(format!("{path} is too short")))
}
