//! SQLite through rusqlite: how a connection is opened and what its errors mean to us.

use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, ffi};

use crate::error::StoreError;

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// The one connection that writes.
    Write,
    /// Reading only.
    Read,
    /// Moving pages from the write-ahead log into the database file.
    Checkpoint,
}

/// The database's name inside the data directory.
pub(crate) const FILE: &str = "tenure.db";

/// The name of its write-ahead log.
pub(crate) const LOG: &str = "tenure.db-wal";

const PREPARED: usize = 256;

/// Opens one connection; creates the file only for the writer.
pub(crate) fn connect(
    file: &Path,
    purpose: Purpose,
    cache_kib: u32,
) -> Result<Connection, StoreError> {
    let mut flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    if purpose == Purpose::Write {
        flags |= OpenFlags::SQLITE_OPEN_CREATE;
    }
    let db = Connection::open_with_flags(file, flags).map_err(said)?;
    db.set_prepared_statement_cache_capacity(PREPARED);
    db.busy_timeout(std::time::Duration::from_secs(10))
        .map_err(said)?;
    if purpose == Purpose::Write {
        // Before the first table; no effect on a database that exists.
        db.pragma_update(None, "page_size", 4096).map_err(said)?;
        let mode: String = db
            .pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))
            .map_err(said)?;
        if !mode.eq_ignore_ascii_case("wal") {
            // SQLite says so instead of failing when it may not write beside the file.
            return Err(StoreError::ReadOnly);
        }
    }
    // The writer's commits are made durable by `crate::disk`, so NORMAL is enough there: the log is
    // synced before its pages are moved and before it begins anew. The automatic checkpoint would run
    // inside a commit; a thread of its own does it instead. Nothing is spilled before the commit, so
    // that the commit alone can find the disk unable to keep a promise.
    let cache = -i64::from(cache_kib);
    let synchronous = match purpose {
        Purpose::Write => "NORMAL",
        Purpose::Read | Purpose::Checkpoint => "FULL",
    };
    db.execute_batch(&format!(
        "PRAGMA synchronous={synchronous}; PRAGMA foreign_keys=OFF; PRAGMA temp_store=FILE;
         PRAGMA cache_size={cache}; PRAGMA cache_spill=OFF; PRAGMA wal_autocheckpoint=0;
         PRAGMA trusted_schema=OFF;"
    ))
    .map_err(said)?;
    // Without the guarantee a statement over a table with a partial index is planned anew for every
    // value bound to it, which costs more than running it.
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)
        .map_err(said)?;
    if purpose == Purpose::Read {
        db.pragma_update(None, "query_only", true).map_err(said)?;
    }
    Ok(db)
}

/// Our word for an error of the database.
pub(crate) fn said(error: rusqlite::Error) -> StoreError {
    match &error {
        rusqlite::Error::SqliteFailure(code, message) => {
            let text = message.clone().unwrap_or_else(|| code.to_string());
            match code.code {
                ErrorCode::DiskFull => StoreError::DiskFull,
                ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied => {
                    StoreError::ReadOnly
                }
                ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => StoreError::Corrupt(text),
                ErrorCode::SystemIoFailure if code.extended_code == ffi::SQLITE_IOERR_WRITE => {
                    StoreError::Io(
                        "a write was refused; its file system may have become read-only, or a \
                         quota is used up"
                            .to_owned(),
                    )
                }
                ErrorCode::SystemIoFailure => {
                    StoreError::Io(format!("{text} (code {})", code.extended_code))
                }
                ErrorCode::ConstraintViolation => {
                    let what = text.rsplit(": ").next().unwrap_or(&text);
                    StoreError::Taken(what.to_owned())
                }
                _ => StoreError::Database(text),
            }
        }
        _ => StoreError::Database(error.to_string()),
    }
}

/// Whether durability itself is in doubt: after a failed fsync the kernel may have dropped the
/// dirty pages, so a later success would prove nothing. Only leaving and reading the disk again is
/// safe.
pub(crate) fn is_fatal(error: &rusqlite::Error) -> bool {
    matches!(
        error,
        rusqlite::Error::SqliteFailure(code, _)
            if matches!(
                code.extended_code,
                ffi::SQLITE_IOERR_FSYNC | ffi::SQLITE_IOERR_DIR_FSYNC | ffi::SQLITE_IOERR_TRUNCATE
            )
    )
}
