//! Sealing: recorded events become leaves of the Merkle log, and a signed checkpoint says so.
//!
//! The events are durable and ordered before this runs, so tiles are a pure function of them:
//! writing a tile twice is harmless, and recovery is to begin again at the last signed size. Only
//! this duty assigns leaf indexes; the leaf of the event with number `n` is at index `n - 1`.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tenure_domain::ids::EventSeq;
use tenure_store::LogState;
use tenure_store::event::{self, StoredEvent};
use tenure_tlog::{
    Checkpoint, EntryBundle, Frontier, Hash, Note, TilePath, VerifierKey, bundles_between,
};

use tenure_x509::KeyAlgorithm;

use crate::fault::{FaultCause, Rejection};
use crate::signer::{Key, SignError};
use crate::{Engine, Step, origin};

/// The name of the log's key in the keyring.
pub const LOG_KEY: &str = "log";

/// How many events are sealed in one go.
const BATCH: u32 = 8192;

/// Where tiles and checkpoint live below the engine's directory.
pub fn log_directory(directory: &Path) -> PathBuf {
    directory.join("log")
}

/// Writes a file so that it is there whole or not at all, and stays after a power cut.
pub fn write_durably(path: &Path, content: &[u8]) -> io::Result<()> {
    write_all_durably(&[(path.to_owned(), content.to_vec())])
}

/// The same for many files, with one flush of each directory at the end.
fn write_all_durably(files: &[(PathBuf, Vec<u8>)]) -> io::Result<()> {
    let mut directories = BTreeSet::new();
    for (path, content) in files {
        let directory = path.parent().unwrap_or(Path::new("."));
        if directories.insert(directory) {
            fs::create_dir_all(directory)?;
        }
        let draft = tempfile_beside(path);
        let mut file = fs::File::create(&draft)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&draft, path)?;
    }
    directories
        .into_iter()
        .try_for_each(|directory| fs::File::open(directory)?.sync_all())
}

fn tempfile_beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(".new");
    path.with_file_name(name)
}

/// Reads one tile or bundle; a full one stands in for a partial one that was cleared away.
pub fn read_tile(directory: &Path, path: &TilePath) -> io::Result<Vec<u8>> {
    let root = log_directory(directory);
    fs::read(root.join(path.to_string())).or_else(|error| {
        if error.kind() == io::ErrorKind::NotFound && path.is_partial() {
            return fs::read(root.join(path.full().to_string()));
        }
        Err(error)
    })
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
    /// Seals every event recorded so far and publishes the checkpoint. Returns the log's size.
    pub async fn integrate(&self) -> Result<u64, Rejection> {
        let key = self
            .key(LOG_KEY)
            .ok_or_else(|| FaultCause::NoKey(LOG_KEY.to_owned()))?;
        self.keep_to_one_history(&key, &origin::state(self.store())?)
            .await?;
        loop {
            let state = origin::state(self.store())?;
            let after = EventSeq(i64::try_from(state.size).unwrap_or(i64::MAX));
            let events = self
                .store()
                .read(move |tx| event::after(tx, after, BATCH))
                .await?;
            if events.is_empty() {
                self.publish_checkpoint(&state)?;
                return Ok(state.size);
            }
            let full = events.len() >= BATCH as usize;
            let (engine, key) = (self.clone(), key.clone());
            let next = tokio::task::spawn_blocking(move || engine.seal(&key, &state, &events))
                .await
                .map_err(|_| FaultCause::Corrupt("tiles: the sealing thread died"))??;
            let (expected, next) = next;
            let size = next.size;
            let stored = next.clone();
            self.store()
                .advance_log(Some(expected), stored)
                .await
                .map_err(FaultCause::Seal)?;
            self.step(Step::LogAdvanced);
            // From here on the checkpoint is ours for good. A crash before the next line leaves an
            // older one published, which the next run mends.
            self.publish_checkpoint(&next)?;
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
        events: &[StoredEvent],
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
        self.rebuild(state)
    }

    fn rebuild(&self, state: &LogState) -> Result<Frontier, Rejection> {
        let mut frontier = Frontier::new();
        while frontier.size() < state.size {
            let done = frontier.size();
            let after = EventSeq(i64::try_from(done).unwrap_or(i64::MAX));
            let want = u32::try_from(state.size - done).unwrap_or(BATCH).min(BATCH);
            let events = self.store().glance(|tx| event::after(tx, after, want))?;
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

    /// Appends the events after the frontier's size to it, and writes every tile and entry bundle
    /// that gained something.
    fn lay(&self, frontier: &mut Frontier, events: &[StoredEvent]) -> Result<(), Rejection> {
        let old_size = frontier.size();
        for (expected, event) in (old_size + 1..).zip(events) {
            if u64::try_from(event.seq.0) != Ok(expected) {
                return Err(FaultCause::Corrupt("event sequence: it has a gap").into());
            }
        }
        let leaves: Vec<Hash> = events.iter().map(|event| Hash(event.leaf_hash)).collect();
        let tiles = frontier
            .append(&leaves)
            .map_err(|_| FaultCause::Corrupt("log: it is full"))?;
        let doing = "writing the log's tiles";
        let file = |error| FaultCause::File { doing, error };
        let mut pages: Vec<(TilePath, Vec<u8>)> = tiles
            .into_iter()
            .map(|tile| (tile.path, tile.to_bytes()))
            .collect();
        pages.extend(self.bundles(old_size, events).map_err(file)?);
        let root = log_directory(self.directory());
        let files: Vec<_> = pages
            .iter()
            .map(|(path, content)| (root.join(path.to_string()), content.clone()))
            .collect();
        write_all_durably(&files).map_err(file)?;
        for (path, _) in pages.iter().filter(|(path, _)| !path.is_partial()) {
            clear_partials(&root, path);
        }
        Ok(())
    }

    /// The entry bundles that gain an entry: `events` are those after `old_size`.
    fn bundles(
        &self,
        old_size: u64,
        events: &[StoredEvent],
    ) -> io::Result<Vec<(TilePath, Vec<u8>)>> {
        let new_size = old_size + events.len() as u64;
        let mut fresh = events.iter();
        let mut bundles = Vec::new();
        for path in bundles_between(old_size, new_size) {
            let first = path.index() * 256;
            let mut bundle = match old_size.checked_sub(first) {
                Some(kept @ 1..) => {
                    let before = TilePath::entries(path.index(), u16::try_from(kept).unwrap_or(0))
                        .map_err(io::Error::other)?;
                    let bytes = self.read_bundle(&before, first, kept)?;
                    EntryBundle::parse(&bytes).map_err(io::Error::other)?
                }
                _ => EntryBundle::new(),
            };
            while bundle.len() < path.width() {
                let Some(event) = fresh.next() else { break };
                bundle.push(&event.leaf).map_err(io::Error::other)?;
            }
            bundles.push((path, bundle.as_bytes().to_vec()));
        }
        Ok(bundles)
    }

    /// A partial bundle as published, or made again from the record if it is lost.
    fn read_bundle(&self, path: &TilePath, first: u64, width: u64) -> io::Result<Vec<u8>> {
        if let Ok(bytes) = read_tile(self.directory(), path)
            && EntryBundle::parse(&bytes).is_ok_and(|found| u64::from(found.len()) == width)
        {
            return Ok(bytes);
        }
        let after = EventSeq(i64::try_from(first).unwrap_or(i64::MAX));
        let want = u32::try_from(width).unwrap_or(256);
        let events = self
            .store()
            .glance(|tx| event::after(tx, after, want))
            .map_err(|error: tenure_store::StoreError| io::Error::other(error))?;
        let mut bundle = EntryBundle::new();
        for event in &events {
            bundle.push(&event.leaf).map_err(io::Error::other)?;
        }
        Ok(bundle.as_bytes().to_vec())
    }

    fn publish_checkpoint(&self, state: &LogState) -> Result<(), Rejection> {
        let path = log_directory(self.directory()).join("checkpoint");
        if fs::read(&path).is_ok_and(|published| published == state.checkpoint) {
            return Ok(());
        }
        write_durably(&path, &state.checkpoint).map_err(|error| {
            FaultCause::File {
                doing: "publishing the checkpoint",
                error,
            }
            .into()
        })
    }
}

/// Partial bundles and tiles may go once the full one is there (C2SP tlog-tiles).
fn clear_partials(root: &Path, full: &TilePath) {
    let mut partials = root.join(full.to_string()).into_os_string();
    partials.push(".p");
    // Leaving them costs only space, and they may not be there at all.
    let _ = fs::remove_dir_all(partials);
}
