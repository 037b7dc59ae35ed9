//! `/backups`: a copy of everything that a restored server needs, made while this one serves.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path as FilePath, PathBuf};

use axum::extract::State;
use serde::{Deserialize, Serialize};
use tenure_domain::event::{Entry, Event};
use tenure_domain::operator::Permission::Administer;
use tenure_engine::store::{OperationId, StoreError, Tx, backup};
use utoipa::ToSchema;

use super::body::Json;
use super::{Caller, Desk, Route};
use crate::problem::Problem;
use crate::sums;

/// Where backups are made, below the data directory; may be a link to another disk.
pub const DIRECTORY: &str = "backups";
/// The database in a backup.
pub const DATABASE: &str = "tenure.db";
/// What else is in a backup, besides the database. No token is. The lists are there for the root's,
/// which only the root's key could make again.
pub const KEPT: [&str; 6] = ["keys", "log", "crl", "filter", "tenure.toml", "root.pem"];

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::post(
            "/backups",
            Administer,
            "Make a backup and verify it",
            create,
        )
        .takes::<BackupAsked>()
        .answers::<BackupMade>(),
    ]
}

/// Where a backup is wanted.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct BackupAsked {
    /// A directory on the server that does not exist yet, by its absolute path; its parent must
    /// exist. Left out: one named after the time, below `backups` in the data directory, with a
    /// number if others were made in the same second.
    #[serde(default)]
    to: Option<String>,
}

/// A backup that was made and verified.
#[derive(Serialize, ToSchema)]
struct BackupMade {
    /// Where it is, on the server.
    path: String,
    /// The last event in it.
    events: u64,
    /// How many of them are sealed in its checkpoint.
    sealed: u64,
    /// When its last event was recorded (RFC 3339).
    recorded: String,
    /// SHA-256 of its database, in hex.
    hash: String,
}

async fn create(
    State(desk): State<Desk>,
    caller: Caller,
    Json(asked): Json<BackupAsked>,
) -> Result<Json<BackupMade>, Problem> {
    let target = match asked.to {
        Some(to) => {
            let target = elsewhere(desk.data(), &to)?;
            claim(&target).map_err(|error| cannot(&target, &error))?;
            target
        }
        None => {
            let stamp = desk.now().to_string().replace([':', '-'], "");
            let all = desk.data().join(DIRECTORY);
            claim_one_of(&all, &stamp).map_err(|error| cannot(&all, &error))?
        }
    };
    let (data, to) = (desk.data().to_owned(), target.clone());
    // The tiles first: those in a backup must never say more than its database.
    let copied = tokio::task::spawn_blocking(move || surroundings(&data, &to)).await;
    copied
        .map_err(|_| Problem::internal())?
        .map_err(|error| cannot(&target, &error))?;
    let database = target.join(DATABASE);
    desk.engine().store().copy_to(&database).await?;
    let whole = target.clone();
    let read = tokio::task::spawn_blocking(move || {
        let verified = backup::verify(&database).map_err(|error| error.to_string())?;
        let hash = sums::of_file(&database).map_err(|error| error.to_string())?;
        sums::write(&whole).map_err(|error| error.to_string())?;
        Ok::<_, String>((verified, hash))
    });
    let (verified, hash) = read
        .await
        .map_err(|_| Problem::internal())?
        .map_err(|why| Problem::unavailable(format!("The copy does not verify: {why}")))?;
    let entry = Entry::new(
        caller.actor(),
        desk.now(),
        Event::BackupCreated { hash: hash.clone() },
    );
    let mut operation = [0; 16];
    aws_lc_rs::rand::fill(&mut operation).map_err(|_| Problem::internal())?;
    let said = move |tx: &mut Tx<'_>| -> Result<(), StoreError> { tx.log(&entry).map(|_| ()) };
    desk.engine()
        .store()
        .record(OperationId(operation), said)
        .await?;
    Ok(Json(BackupMade {
        path: target.display().to_string(),
        events: verified.events,
        sealed: verified.sealed,
        recorded: verified.recorded.to_string(),
        hash,
    }))
}

fn cannot(target: &FilePath, error: &io::Error) -> Problem {
    if error.kind() == io::ErrorKind::AlreadyExists {
        let target = target.display();
        return Problem::conflict(format!("{target} exists already; name another directory"));
    }
    Problem::unavailable(format!(
        "The backup cannot be written to {}: {error}",
        target.display()
    ))
}

/// A place that the caller named: nothing that is there is ever written over, and what the server
/// works with stays free of copies.
fn elsewhere(data: &FilePath, to: &str) -> Result<PathBuf, Problem> {
    let target = PathBuf::from(to);
    let no = |why: &str| Problem::bad_request(format!("to: {to:?} {why}"));
    if !target.is_absolute() {
        return Err(no("is not an absolute path"));
    }
    if target.symlink_metadata().is_ok() {
        return Err(no("exists already; name a directory that does not"));
    }
    let parent = target.parent().map(FilePath::canonicalize);
    let Some(Ok(parent)) = parent else {
        return Err(no(
            "lies in a directory that does not exist; make that first",
        ));
    };
    let data = data.canonicalize().map_err(|_| Problem::internal())?;
    match parent.starts_with(&data) && !parent.starts_with(data.join(DIRECTORY)) {
        true => Err(no(
            "lies in the data directory; only its `backups` may hold copies",
        )),
        false => Ok(target),
    }
}

/// Makes the directory of one backup. One that is there belongs to another: that is an error.
fn claim(target: &FilePath) -> io::Result<()> {
    // Nobody else reads the keys, encrypted as they are, nor the fleet.
    fs::DirBuilder::new().mode(0o700).create(target)
}

/// Makes a directory named after the time, with a number if others were made in the same second.
fn claim_one_of(all: &FilePath, stamp: &str) -> io::Result<PathBuf> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(all)?;
    let mut target = all.join(stamp);
    let mut number = 1_u64;
    loop {
        match claim(&target) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                number += 1;
                target = all.join(format!("{stamp}-{number}"));
            }
            made => return made.map(|()| target),
        }
    }
}

fn surroundings(data: &FilePath, to: &FilePath) -> io::Result<()> {
    for name in KEPT {
        let from = data.join(name);
        if from.exists() {
            copy(&from, &to.join(name))?;
        }
    }
    Ok(())
}

/// Copies a file, or a directory with all in it. Permissions go with it: key files stay 0600.
///
/// # Errors
/// Something cannot be read or written.
pub fn copy(from: &FilePath, to: &FilePath) -> io::Result<()> {
    if !from.is_dir() {
        fs::copy(from, to)?;
        return fs::File::open(to)?.sync_all();
    }
    fs::create_dir_all(to)?;
    fs::set_permissions(to, fs::metadata(from)?.permissions())?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        match copy(&entry.path(), &to.join(entry.file_name())) {
            // A tile may be replaced by a fuller one meanwhile; the record makes it again.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            copied => copied?,
        }
    }
    Ok(())
}
