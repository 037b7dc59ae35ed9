//! What can go wrong between the product and its database, by what the reader can do about it.

use std::fmt;
use std::path::{Path, PathBuf};

/// Why a data directory could not be opened.
#[derive(Debug)]
pub enum OpenError {
    /// Another process holds the directory.
    InUse {
        /// The directory.
        path: PathBuf,
        /// Who holds it, if it said so: the text of the lock file.
        holder: String,
    },
    /// There is no database and none was to be made.
    Missing(PathBuf),
    /// The database was written by a newer release.
    Newer {
        /// The schema version found.
        found: i64,
        /// The newest version this release knows.
        known: i64,
    },
    /// The automatic backup before a migration could not be made; nothing was changed.
    NoBackup(StoreError),
    /// A migration step failed and was undone.
    Migration {
        /// The version that could not be reached.
        to: i64,
        /// What happened.
        cause: StoreError,
    },
    /// The operating system said no.
    Io {
        /// What was being done.
        doing: &'static str,
        /// On which file.
        path: PathBuf,
        /// What it said.
        cause: std::io::Error,
    },
    /// The database said no.
    Store(StoreError),
}

impl OpenError {
    /// What the operating system says no with, while something was being done on a file.
    pub(crate) fn while_doing(
        doing: &'static str,
        path: &Path,
    ) -> impl FnOnce(std::io::Error) -> OpenError + use<> {
        let path = path.to_owned();
        move |cause| OpenError::Io { doing, path, cause }
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OpenError::InUse { path, holder } => {
                write!(f, "{} is in use by another process", path.display())?;
                if !holder.is_empty() {
                    write!(f, " ({holder})")?;
                }
                f.write_str("; stop it first, or use another data directory")
            }
            OpenError::Missing(path) => write!(
                f,
                "there is no store at {}; make one with `tenure init`",
                path.display()
            ),
            OpenError::Newer { found, known } => write!(
                f,
                "the data was written by a newer release (schema {found}, this release knows up \
                 to {known}); run that release, or restore a backup made by this one"
            ),
            OpenError::NoBackup(_) => f.write_str(
                "the data must be brought to this release's schema, but the backup before that \
                 could not be made; nothing was changed",
            ),
            OpenError::Migration { to, .. } => write!(
                f,
                "the data could not be brought to schema {to}; the step was undone and the \
                 backup made before it is in the data directory"
            ),
            OpenError::Io { doing, path, .. } => {
                write!(f, "{doing} {} failed", path.display())
            }
            OpenError::Store(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            OpenError::NoBackup(cause) | OpenError::Migration { cause, .. } => Some(cause),
            OpenError::Io { cause, .. } => Some(cause),
            OpenError::Store(error) => std::error::Error::source(error),
            OpenError::InUse { .. } | OpenError::Missing(_) | OpenError::Newer { .. } => None,
        }
    }
}

impl From<StoreError> for OpenError {
    fn from(error: StoreError) -> Self {
        OpenError::Store(error)
    }
}

/// Why a transaction was not made. Nothing of it persists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreError {
    /// A recording transaction logged no event.
    NoEvent,
    /// The closure panicked; only its own writes were undone.
    Panicked(String),
    /// The store is shutting down.
    Closed,
    /// There is no room left on the disk.
    DiskFull,
    /// The files or the directory cannot be written.
    ReadOnly,
    /// A page of the database is damaged, or the file is no database.
    Corrupt(String),
    /// A stored value is not one that this release writes.
    Unreadable {
        /// Which table and column.
        what: &'static str,
    },
    /// A unique value was taken twice.
    Taken(String),
    /// What is to be recorded makes a leaf of so many octets, more than [`crate::event::LEAF_BYTES_MAX`].
    TooLong(usize),
    /// The operating system failed a read or a write.
    Io(String),
    /// Anything else the database said.
    Database(String),
}

impl StoreError {
    /// Whether it may be over by itself or by an operator's hand, so that whoever asked should come
    /// back.
    pub fn passes(&self) -> bool {
        matches!(
            self,
            StoreError::DiskFull | StoreError::ReadOnly | StoreError::Io(_) | StoreError::Closed
        )
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreError::NoEvent => {
                f.write_str("a change that records no event is not made; this is a defect")
            }
            StoreError::Panicked(what) => write!(f, "a transaction stopped unexpectedly: {what}"),
            StoreError::Closed => f.write_str("the store is shutting down"),
            StoreError::DiskFull => f.write_str(
                "the disk is full: nothing was written and nothing is lost; free some space and \
                 try again",
            ),
            StoreError::ReadOnly => f.write_str(
                "the data directory cannot be written; check its permissions and its file system",
            ),
            StoreError::Corrupt(what) => write!(
                f,
                "the database is damaged ({what}); stop the server, keep the files, and restore \
                 the last good backup with `tenure backup restore`"
            ),
            StoreError::Unreadable { what } => {
                write!(f, "{what} holds a value that this release does not know")
            }
            StoreError::Taken(what) => write!(f, "{what} is already taken"),
            StoreError::TooLong(octets) => write!(
                f,
                "an entry of the record has {} octets at most, and this one would have {octets}; \
                 say it in fewer words",
                crate::event::LEAF_BYTES_MAX
            ),
            StoreError::Io(what) => write!(f, "the disk failed: {what}"),
            StoreError::Database(what) => write!(f, "the database refused: {what}"),
        }
    }
}

impl std::error::Error for StoreError {}
