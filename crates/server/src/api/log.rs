//! `/log`: the tamper-evident record, as C2SP tiles and proofs.

use std::io;
use std::path::Path as FilePath;

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use tenure_domain::ids::EventSeq;
use tenure_domain::operator::Permission::{ReadFleet, ReadRecord};
use tenure_engine::duty::integrate::{LOG_KEY, entry_bundle, log_directory, read_tile, verifier};
use tenure_engine::store::event;
use tenure_tlog::{Checkpoint, Note, TilePath, VerifierKey, inclusion, leaf_hash};
use utoipa::ToSchema;

use super::body::{Json, Path, answer};
use super::{Desk, Route};
use crate::problem::Problem;

const BYTES: &str = "application/octet-stream";
const TEXT: &str = "text/plain; charset=utf-8";

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get(
            "/log/checkpoint",
            ReadFleet,
            "The signed checkpoint (C2SP tlog-checkpoint)",
            checkpoint,
        )
        .answers_text("text/plain"),
        Route::get(
            "/log/key",
            ReadFleet,
            "The log's verifier key (C2SP signed-note)",
            key,
        )
        .answers_text("text/plain"),
        Route::get(
            "/log/prove/{event}",
            ReadRecord,
            "Prove that an event is in the record",
            prove,
        )
        .answers::<Proof>(),
        Route::get(
            "/log/tile/entries/{*path}",
            ReadRecord,
            "An entry bundle (C2SP tlog-tiles)",
            entries,
        )
        .answers_text(BYTES),
        Route::get(
            "/log/tile/{*path}",
            ReadFleet,
            "A hash tile (C2SP tlog-tiles)",
            tile,
        )
        .answers_text(BYTES),
    ]
}

/// That one event is in the record.
#[derive(Serialize, ToSchema)]
struct Proof {
    /// The event's number.
    event: i64,
    /// Its place in the log, from 0.
    index: u64,
    /// Its leaf: canonical JSON, hashed as it stands.
    leaf: String,
    /// The leaf's hash (RFC 6962), base64.
    leaf_hash: String,
    /// The hashes beside the way to the root, from the leaf up, base64.
    proof: Vec<String>,
    /// The signed checkpoint that the proof leads to.
    checkpoint: String,
}

/// The newest published checkpoint, as published and as read; `None` before the first. It was
/// signed by us and is only read here; whoever relies on it checks the signature.
///
/// # Errors
/// The file is there and cannot be read.
pub(crate) fn newest(directory: &FilePath) -> io::Result<Option<(String, Checkpoint)>> {
    let note = match std::fs::read_to_string(log_directory(directory).join("checkpoint")) {
        Ok(note) => note,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let text = Note::parse(note.as_bytes()).map_err(io::Error::other)?;
    let checkpoint = text.text().parse().map_err(io::Error::other)?;
    Ok(Some((note, checkpoint)))
}

/// The same for an answer.
pub(super) async fn published(desk: &Desk) -> Result<(String, Checkpoint), Problem> {
    let directory = desk.engine().directory().to_owned();
    let read = tokio::task::spawn_blocking(move || newest(&directory)).await;
    let read = read
        .map_err(|_| Problem::internal())?
        .map_err(|_| Problem::internal())?;
    read.ok_or_else(|| Problem::unavailable("Nothing is sealed yet; ask again in a second."))
}

async fn checkpoint(State(desk): State<Desk>) -> Result<Response, Problem> {
    Ok(answer(TEXT, published(&desk).await?.0))
}

/// The log's verifier key.
pub(super) async fn verifier_key(desk: &Desk) -> Result<VerifierKey, Problem> {
    let (_, checkpoint) = published(desk).await?;
    let key = desk.engine().key(LOG_KEY).ok_or_else(Problem::internal)?;
    verifier(checkpoint.origin(), key.public()).map_err(|_| Problem::internal())
}

async fn key(State(desk): State<Desk>) -> Result<Response, Problem> {
    Ok(answer(TEXT, format!("{}\n", verifier_key(&desk).await?)))
}

fn parse(path: String) -> Result<TilePath, Problem> {
    path.parse()
        .map_err(|_| Problem::not_found(format!("Tile {path}")))
}

async fn tile(State(desk): State<Desk>, Path(path): Path<String>) -> Result<Response, Problem> {
    let tile = parse(format!("tile/{path}"))?;
    let engine = desk.engine().clone();
    let read = tokio::task::spawn_blocking(move || engine.tile(&tile)).await;
    match read.map_err(|_| Problem::internal())? {
        Ok(Some(hashes)) => Ok(answer(BYTES, hashes)),
        // Entries are for auditors and have a route of their own.
        Ok(None) => Err(Problem::not_found(format!("Tile {tile}"))),
        Err(_) => Err(Problem::internal()),
    }
}

async fn entries(State(desk): State<Desk>, Path(path): Path<String>) -> Result<Response, Problem> {
    let tile = parse(format!("tile/entries/{path}"))?;
    let store = desk.engine().store();
    let found = store.read(move |tx| entry_bundle(tx, &tile)).await?;
    let bundle = found.ok_or_else(|| Problem::not_found(format!("Tile {tile}")))?;
    Ok(answer(BYTES, bundle.as_bytes().to_vec()))
}

async fn prove(State(desk): State<Desk>, Path(event): Path<i64>) -> Result<Json<Proof>, Problem> {
    let absent = || Problem::not_found(format!("Event {event}"));
    let index = u64::try_from(event)
        .ok()
        .and_then(|seq| seq.checked_sub(1))
        .ok_or_else(absent)?;
    let found = desk
        .glance(|tx| event::at(tx, EventSeq(event)))?
        .ok_or_else(absent)?;
    let (note, checkpoint) = published(&desk).await?;
    if index >= checkpoint.size() {
        return Err(Problem::unavailable(
            "The event is recorded and not sealed yet; ask again in a second.",
        ));
    }
    let (directory, size) = (desk.engine().directory().to_owned(), checkpoint.size());
    let hashes = tokio::task::spawn_blocking(move || {
        inclusion(index, size, |path| read_tile(&directory, path)).map_err(|_| ())
    });
    let hashes = hashes
        .await
        .map_err(|_| Problem::internal())?
        .map_err(|()| Problem::internal())?;
    let leaf = String::from_utf8(found.leaf).map_err(|_| Problem::internal())?;
    Ok(Json(Proof {
        event,
        index,
        leaf_hash: leaf_hash(leaf.as_bytes()).to_string(),
        leaf,
        proof: hashes.iter().map(ToString::to_string).collect(),
        checkpoint: note,
    }))
}
