//! Sealing: recorded events become leaves of the Merkle log, and a signed checkpoint says so.
//!
//! The events are durable and ordered before this runs, so tiles are a pure function of them:
//! writing a tile twice is harmless, and recovery is to begin again at the last signed size. Only
//! this duty assigns leaf indexes; the leaf of the event with number `n` is at index `n - 1`.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use tenure_domain::ids::EventSeq;
use tenure_store::LogState;
use tenure_store::{ReadTx, StoreError, event, log_state};
use tenure_tlog::{
    Checkpoint, EntryBundle, Frontier, Hash, Note, TILE_WIDTH, Tile, TilePath, VerifierKey,
};
use tenure_x509::KeyAlgorithm;

use crate::fault::{FaultCause, Rejection};
use crate::signer::{Key, SignError};
use crate::{Engine, Step, file, origin};

/// The name of the log's key in the keyring.
pub const LOG_KEY: &str = "log";

/// How many events are sealed in one go.
const BATCH: u32 = 8192;
const DIED: &str = "tiles: the sealing thread died";

/// Where tiles and checkpoint live below the engine's directory.
pub fn log_directory(directory: &Path) -> PathBuf {
    directory.join("log")
}

/// How many octets a full tile has.
const TILE_BYTES: u64 = TILE_WIDTH * 32;

/// The file in which a tile of hashes lies, and where in it: the hashes of one level stand one after
/// another, those of 256 tiles (2 MiB) to a file. A tile has no file of its own, because making files
/// is the dearest part of sealing. None for an entry bundle.
pub fn place_of(directory: &Path, path: &TilePath) -> Option<(PathBuf, u64)> {
    let level = path.level()?;
    let row = log_directory(directory)
        .join("hashes")
        .join(level.to_string())
        .join((path.index() / TILE_WIDTH).to_string());
    Some((row, path.index() % TILE_WIDTH * TILE_BYTES))
}

/// Reads one tile of hashes, sealed or not.
pub fn read_tile(directory: &Path, path: &TilePath) -> io::Result<Vec<u8>> {
    let (row, at) = place_of(directory, path).ok_or(io::ErrorKind::NotFound)?;
    let mut hashes = vec![0; usize::from(path.width()) * 32];
    fs::File::open(row)?.read_exact_at(&mut hashes, at)?;
    Ok(hashes)
}

/// Writes tiles where they belong, durably. What is there of them already is written once more, the
/// same; so nothing is lost halfway, and nobody who reads meanwhile sees anything else.
fn write_tiles(directory: &Path, tiles: &[Tile]) -> io::Result<()> {
    let mut rows = BTreeMap::new();
    for tile in tiles {
        let Some((row, at)) = place_of(directory, &tile.path) else {
            continue;
        };
        let file = match rows.entry(row) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => {
                let file = open_row(new.key())?;
                new.insert(file)
            }
        };
        file.write_all_at(&tile.to_bytes(), at)?;
    }
    rows.into_values().try_for_each(|file| file.sync_all())
}

/// Opens a row of tiles; a new one has a durable name.
fn open_row(path: &Path) -> io::Result<fs::File> {
    let mut options = fs::File::options();
    options.write(true);
    match options.open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let directory = path.parent().unwrap_or(Path::new("."));
            fs::create_dir_all(directory)?;
            let file = options.create(true).open(path)?;
            fs::File::open(directory)?.sync_all()?;
            Ok(file)
        }
        opened => opened,
    }
}

/// The bundle of entries at a place (C2SP tlog-tiles), made from the record: leaves are kept there and
/// nowhere else. None where the signed log does not reach yet, and for a tile of hashes.
pub fn entry_bundle(tx: &ReadTx<'_>, path: &TilePath) -> Result<Option<EntryBundle>, StoreError> {
    let first = path.index().saturating_mul(TILE_WIDTH);
    let end = first.saturating_add(u64::from(path.width()));
    let size = log_state(tx)?.map_or(0, |state| state.size);
    if path.level().is_some() || end > size {
        return Ok(None);
    }
    let unreadable = StoreError::Unreadable { what: "event.leaf" };
    let mut bundle = EntryBundle::new();
    event::each_leaf_after(tx, seq_of(first), u32::from(path.width()), |leaf| {
        bundle.push(leaf).map_err(|_| unreadable.clone())
    })?;
    match bundle.len() == path.width() {
        true => Ok(Some(bundle)),
        false => Err(unreadable),
    }
}

/// The number of the event before the one whose leaf is at `index`.
fn seq_of(index: u64) -> EventSeq {
    EventSeq(i64::try_from(index).unwrap_or(i64::MAX))
}

/// The verifier key of a log: its origin and the public half of the log's key.
pub fn verifier(origin: &str, key: &tenure_x509::PublicKey) -> Result<VerifierKey, FaultCause> {
    // RFC 8410 section 4: an Ed25519 SubjectPublicKeyInfo is 12 fixed octets and the 32 of the key.
    let raw = match (key.algorithm(), key.spki_der().last_chunk::<32>()) {
        (KeyAlgorithm::Ed25519, Some(raw)) => *raw,
        _ => return Err(FaultCause::Corrupt("log key: it is not Ed25519")),
    };
    VerifierKey::ed25519(origin, raw).map_err(|_| FaultCause::Corrupt("log origin"))
}

impl Engine {
    /// One tile of hashes, for whoever asks; none where the signed log does not reach yet.
    pub fn tile(&self, path: &TilePath) -> Result<Option<Vec<u8>>, FaultCause> {
        let state = self.store().glimpse(log_state).map_err(FaultCause::Store)?;
        let size = state.map_or(0, |state| state.size);
        if path.level().is_none() || path.tree_size_min().is_none_or(|least| least > size) {
            return Ok(None);
        }
        read_tile(self.directory(), path)
            .map(Some)
            .map_err(|error| FaultCause::File {
                doing: "reading the log's tiles",
                error,
            })
    }

    /// Seals every event recorded so far and publishes the checkpoint. Returns the log's size.
    pub async fn integrate(&self) -> Result<u64, Rejection> {
        let key = self
            .key(LOG_KEY)
            .ok_or_else(|| FaultCause::NoKey(LOG_KEY.to_owned()))?;
        self.keep_to_one_history(&key, &origin::state(self.store())?)
            .await?;
        loop {
            let state = origin::state(self.store())?;
            let after = seq_of(state.size);
            let events = self
                .store()
                .read(move |tx| event::leaf_hashes_after(tx, after, BATCH))
                .await?;
            if events.is_empty() {
                let look = move |engine: &Engine| {
                    // Lost tiles are made again, whether or not anything happens.
                    engine.frontier(&state)?;
                    engine.publish_checkpoint(&state)?;
                    Ok::<_, Rejection>(state.size)
                };
                return self.aside(DIED, look).await;
            }
            let full = events.len() >= BATCH as usize;
            let key = key.clone();
            let seal = move |engine: &Engine| engine.seal(&key, &state, &events);
            let (expected, next) = self.aside(DIED, seal).await?;
            let size = next.size;
            let stored = next.clone();
            self.store()
                .advance_log(Some(expected), stored)
                .await
                .map_err(FaultCause::Seal)?;
            self.step(Step::LogAdvanced);
            // From here on the checkpoint is ours for good. A crash before the next line leaves an
            // older one published, which the next run mends.
            let publish = move |engine: &Engine| engine.publish_checkpoint(&next);
            self.aside(DIED, publish).await?;
            self.step(Step::CheckpointPublished);
            if !full {
                return Ok(size);
            }
        }
    }

    /// Writes the tiles of these events and signs the checkpoint over them. Nothing of it counts
    /// until the log's state is advanced.
    fn seal(
        &self,
        key: &Key,
        state: &LogState,
        events: &[(EventSeq, [u8; 32])],
    ) -> Result<(u64, LogState), Rejection> {
        let mut frontier = self.frontier(state)?;
        self.lay(&mut frontier, events)?;
        self.step(Step::TilesWritten);
        let checkpoint = Checkpoint::new(&state.origin, frontier.size(), frontier.root())
            .map_err(|_| FaultCause::Corrupt("log origin"))?;
        let verifier = verifier(&state.origin, key.public())?;
        let mut note = Note::unsigned(&checkpoint.to_string())
            .map_err(|_| FaultCause::Corrupt("checkpoint text"))?;
        note.sign(&verifier, |text| key.sign_checkpoint(text))
            .map_err(|error: SignError| Rejection::from(error))?;
        self.step(Step::CheckpointSigned);
        let next = LogState {
            origin: state.origin.clone(),
            size: frontier.size(),
            root: frontier.root().0,
            checkpoint: note.to_string().into_bytes(),
            at: self.clock().now(),
        };
        Ok((state.size, next))
    }

    /// The right edge of the tree as last signed, from the tiles; if they are lost or torn, from
    /// the events.
    fn frontier(&self, state: &LogState) -> Result<Frontier, Rejection> {
        let directory = self.directory();
        let found = Frontier::from_tiles(state.size, |path| read_tile(directory, path));
        if let Ok(frontier) = found
            && frontier.root().0 == state.root
        {
            return Ok(frontier);
        }
        tracing::warn!("the log's tiles are incomplete; they are made again from the record");
        let frontier = self.rebuild(state)?;
        // Where earlier versions kept one file for each tile and bundle.
        let _ = fs::remove_dir_all(log_directory(self.directory()).join("tile"));
        Ok(frontier)
    }

    fn rebuild(&self, state: &LogState) -> Result<Frontier, Rejection> {
        let mut frontier = Frontier::new();
        while frontier.size() < state.size {
            let done = frontier.size();
            let want = u32::try_from(state.size - done).unwrap_or(BATCH).min(BATCH);
            let events = self
                .store()
                .glance(|tx| event::leaf_hashes_after(tx, seq_of(done), want))?;
            if events.is_empty() {
                return Err(
                    FaultCause::Corrupt("record: it is shorter than its checkpoint").into(),
                );
            }
            self.lay(&mut frontier, &events)?;
        }
        if frontier.root().0 != state.root {
            return Err(FaultCause::Corrupt("record: it does not match its checkpoint").into());
        }
        Ok(frontier)
    }

    /// Appends the events after the frontier's size to it, and writes every tile that gained something.
    fn lay(
        &self,
        frontier: &mut Frontier,
        events: &[(EventSeq, [u8; 32])],
    ) -> Result<(), Rejection> {
        for (expected, (seq, _)) in (frontier.size() + 1..).zip(events) {
            if u64::try_from(seq.0) != Ok(expected) {
                return Err(FaultCause::Corrupt("event sequence: it has a gap").into());
            }
        }
        let leaves: Vec<Hash> = events.iter().map(|(_, leaf)| Hash(*leaf)).collect();
        let tiles = frontier
            .append(&leaves)
            .map_err(|_| FaultCause::Corrupt("log: it is full"))?;
        write_tiles(self.directory(), &tiles).map_err(|error| {
            FaultCause::File {
                doing: "writing the log's tiles",
                error,
            }
            .into()
        })
    }

    fn publish_checkpoint(&self, state: &LogState) -> Result<(), Rejection> {
        let path = log_directory(self.directory()).join("checkpoint");
        if fs::read(&path).is_ok_and(|published| published == state.checkpoint) {
            return Ok(());
        }
        file::replace(&path, &state.checkpoint).map_err(|error| {
            FaultCause::File {
                doing: "publishing the checkpoint",
                error,
            }
            .into()
        })
    }
}
