//! Brings a data directory forward to this release's schema, one step at a time.

use std::path::{Path, PathBuf};

use rusqlite::Connection;

use crate::driver::sqlite::said;
use crate::error::{OpenError, StoreError};

/// Every step there ever was, in order; step N leads to schema N + 1. Steps are never edited.
const STEPS: &[&str] = &[
    include_str!("../schema/sqlite/0001_foundation.sql"),
    include_str!("../schema/sqlite/0002_finding.sql"),
    include_str!("../schema/sqlite/0003_identity.sql"),
    include_str!("../schema/sqlite/0004_relying_party.sql"),
    include_str!("../schema/sqlite/0005_probe.sql"),
    include_str!("../schema/sqlite/0006_lookup.sql"),
    include_str!("../schema/sqlite/0007_canary.sql"),
    include_str!("../schema/sqlite/0008_operator_event.sql"),
    include_str!("../schema/sqlite/0009_trust_change.sql"),
    include_str!("../schema/sqlite/0010_rollover.sql"),
    include_str!("../schema/sqlite/0011_trust_store.sql"),
    include_str!("../schema/sqlite/0012_verdict.sql"),
    include_str!("../schema/sqlite/0013_hook.sql"),
    include_str!("../schema/sqlite/0014_compromise.sql"),
    include_str!("../schema/sqlite/0015_feed.sql"),
    include_str!("../schema/sqlite/0016_wrong_use.sql"),
    include_str!("../schema/sqlite/0017_trust_store_again.sql"),
    include_str!("../schema/sqlite/0018_cross.sql"),
    include_str!("../schema/sqlite/0019_attestation.sql"),
    include_str!("../schema/sqlite/0020_exception.sql"),
    include_str!("../schema/sqlite/0021_permit.sql"),
    include_str!("../schema/sqlite/0022_event_trust_again.sql"),
    include_str!("../schema/sqlite/0023_incident_same.sql"),
    include_str!("../schema/sqlite/0024_ask_reason.sql"),
    include_str!("../schema/sqlite/0025_device_namesake.sql"),
];

/// The schema this release reads and writes.
pub const SCHEMA: i64 = STEPS.len() as i64;

/// Whether a database without any table may be given one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Create {
    /// Make the store if there is none.
    IfMissing,
    /// The store must be there.
    Never,
}

/// What opening found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Migrated {
    /// The schema was this release's already.
    Current,
    /// The store was made.
    Created,
    /// Steps were taken; a copy from before is in this file.
    Forward {
        /// The schema found.
        from: i64,
        /// Where the copy is.
        backup: PathBuf,
    },
}

pub(crate) fn forward(db: &Connection, directory: &Path) -> Result<Migrated, OpenError> {
    through(STEPS, db, directory)
}

fn through(steps: &[&str], db: &Connection, directory: &Path) -> Result<Migrated, OpenError> {
    let known = i64::try_from(steps.len()).unwrap_or(i64::MAX);
    let found = version(db)?;
    if found == known {
        return Ok(Migrated::Current);
    }
    if !(0..=known).contains(&found) {
        return Err(OpenError::Newer { found, known });
    }
    let done = if found == 0 {
        Migrated::Created
    } else {
        let backup = directory.join(format!("before-schema-{known}.db"));
        copy(db, &backup).map_err(OpenError::NoBackup)?;
        tracing::info!(from = found, to = known, backup = %backup.display(), "migrating");
        Migrated::Forward {
            from: found,
            backup,
        }
    };
    for (to, step) in (1..).zip(steps).filter(|(to, _)| *to > found) {
        take(db, to, step).map_err(|cause| OpenError::Migration { to, cause })?;
    }
    Ok(done)
}

/// The schema of the file; 0 for an empty one.
pub(crate) fn version(db: &Connection) -> Result<i64, StoreError> {
    let tables: i64 = db
        .query_row(
            "SELECT count(*) FROM sqlite_schema WHERE name = 'schema_version'",
            [],
            |row| row.get(0),
        )
        .map_err(said)?;
    if tables == 0 {
        return Ok(0);
    }
    db.query_row(
        "SELECT coalesce(max(version), 0) FROM schema_version",
        [],
        |row| row.get(0),
    )
    .map_err(said)
}

fn take(db: &Connection, to: i64, step: &str) -> Result<(), StoreError> {
    let all = format!(
        "BEGIN IMMEDIATE; {step}; INSERT INTO schema_version(version) VALUES({to}); COMMIT;"
    );
    db.execute_batch(&all).map_err(|error| {
        // The step may have ended the transaction itself by failing.
        let _ = db.execute_batch("ROLLBACK");
        said(error)
    })
}

/// A complete copy in one file, made while others read and write.
pub(crate) fn copy(db: &Connection, to: &Path) -> Result<(), StoreError> {
    match std::fs::remove_file(to) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(StoreError::Io(format!("{}: {error}", to.display()))),
    }
    let path = to
        .to_str()
        .ok_or_else(|| StoreError::Io("the path is not UTF-8".to_owned()))?;
    db.execute("VACUUM INTO ?1", [path]).map_err(said)?;
    std::fs::File::open(to)
        .and_then(|file| file.sync_all())
        .map_err(|error| StoreError::Io(format!("{}: {error}", to.display())))
}

#[cfg(test)]
mod tests;
