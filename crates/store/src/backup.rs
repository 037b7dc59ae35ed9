//! Copies of the database: made while others write, verified page by page and leaf by leaf, and put
//! in place of a lost one.

use std::fs;
use std::path::Path;

use rusqlite::{Connection, OpenFlags};
use tenure_x509::Time;

use crate::driver::sqlite::{FILE, Purpose, connect, said};
use crate::error::{OpenError, StoreError};
use crate::event::leaf_hash;
use crate::lock::DirectoryLock;
use crate::migrate::{SCHEMA, copy, version};
use crate::store::Store;

/// What a database copy holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copied {
    /// Its schema.
    pub schema: i64,
    /// Its last event.
    pub events: u64,
    /// When that was recorded.
    pub recorded: Time,
    /// How many leaves its newest checkpoint covers; 0 without one.
    pub sealed: u64,
    /// The checkpoint's origin; empty without one.
    pub origin: String,
}

impl Store {
    /// Copies the whole database, as of one moment, into one new file and makes it durable. Others
    /// go on reading and writing. A file in the way is replaced.
    pub async fn copy_to(&self, to: &Path) -> Result<(), StoreError> {
        let (from, to) = (self.file().to_owned(), to.to_owned());
        let copied = tokio::task::spawn_blocking(move || {
            // A connection of its own: a long copy must not occupy a reading thread.
            let db = connect(&from, Purpose::Checkpoint, 1024)?;
            copy(&db, &to)
        });
        copied
            .await
            .unwrap_or_else(|error| Err(StoreError::Panicked(error.to_string())))
    }
}

/// Reads a copy whole: every page is sound, the events are numbered without a gap, and each leaf has
/// the hash that is stored with it.
pub fn verify(file: &Path) -> Result<Copied, OpenError> {
    if !file.exists() {
        return Err(OpenError::Missing(file.to_owned()));
    }
    let db = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(said)?;
    let schema = version(&db)?;
    if schema == 0 {
        return Err(StoreError::Corrupt("it holds no store".to_owned()).into());
    }
    if schema > SCHEMA {
        return Err(OpenError::Newer {
            found: schema,
            known: SCHEMA,
        });
    }
    let sound: String = db
        .query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))
        .map_err(said)?;
    if sound != "ok" {
        return Err(StoreError::Corrupt(sound).into());
    }
    let (events, recorded) = leaves(&db)?;
    let sealed = db.query_row("SELECT size, origin FROM log_state", [], |row| {
        Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?))
    });
    let (sealed, origin) = match sealed {
        Ok(found) => found,
        Err(rusqlite::Error::QueryReturnedNoRows) => (0, String::new()),
        Err(error) => return Err(said(error).into()),
    };
    Ok(Copied {
        schema,
        events,
        recorded: Time::from_unix(recorded),
        sealed: u64::try_from(sealed).unwrap_or(0),
        origin,
    })
}

fn leaves(db: &Connection) -> Result<(u64, i64), StoreError> {
    let mut statement = db
        .prepare("SELECT seq, at, leaf_hash, leaf FROM event ORDER BY seq")
        .map_err(said)?;
    let mut rows = statement.query([]).map_err(said)?;
    let (mut last, mut recorded) = (0_i64, 0_i64);
    while let Some(row) = rows.next().map_err(said)? {
        let seq: i64 = row.get(0).map_err(said)?;
        let at: i64 = row.get(1).map_err(said)?;
        let hash: [u8; 32] = row.get(2).map_err(said)?;
        let leaf = row.get_ref(3).map_err(said)?;
        let leaf = leaf
            .as_blob()
            .map_err(|_| StoreError::Unreadable { what: "event.leaf" })?;
        if seq != last + 1 {
            return Err(StoreError::Corrupt(format!(
                "event {} is missing",
                last + 1
            )));
        }
        if at < recorded {
            return Err(StoreError::Corrupt(format!(
                "event {seq} is older than the one before"
            )));
        }
        if leaf_hash(leaf) != hash {
            return Err(StoreError::Corrupt(format!(
                "event {seq} is not what it was"
            )));
        }
        (last, recorded) = (seq, at);
    }
    Ok((u64::try_from(last).unwrap_or(0), recorded))
}

/// Puts a verified copy in place of a directory's database. The directory must not be in use; a
/// database that is there is kept beside it as `tenure.db.replaced`.
pub fn restore(from: &Path, directory: &Path) -> Result<Copied, OpenError> {
    let copied = verify(from)?;
    let lock = DirectoryLock::take(directory)?;
    let target = directory.join(FILE);
    let io = OpenError::while_doing;
    let fresh = directory.join("tenure.db.restoring");
    fs::copy(from, &fresh).map_err(io("copying to", &fresh))?;
    fs::File::open(&fresh)
        .and_then(|file| file.sync_all())
        .map_err(io("writing", &fresh))?;
    for (name, kept) in [
        (FILE, "tenure.db.replaced"),
        ("tenure.db-wal", "tenure.db.replaced-wal"),
        ("tenure.db-shm", "tenure.db.replaced-shm"),
    ] {
        let name = directory.join(name);
        if name.exists() {
            fs::rename(&name, directory.join(kept)).map_err(io("moving", &name))?;
        }
    }
    // From here on a crash leaves the new file beside no database, and the step can be repeated.
    fs::rename(&fresh, &target).map_err(io("moving", &fresh))?;
    fs::File::open(directory)
        .and_then(|directory| directory.sync_all())
        .map_err(io("writing", directory))?;
    drop(lock);
    Ok(copied)
}
