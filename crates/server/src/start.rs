//! Why a server cannot be made, started or kept running: one message and one exit code each.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use tenure_engine::signer::KeyringError;
use tenure_engine::store::{OpenError, StoreError};
use tenure_engine::{Chain, FaultCause, Rejection};

use crate::config::ConfigError;
use crate::listen::BindError;

/// Why `init`, `serve` or `demo` stopped. The codes of [`StartError::code`] are part of the
/// interface; docs/operations.md lists them.
#[derive(Debug)]
pub enum StartError {
    /// The command line or `tenure.toml` is wrong.
    Configuration(String),
    /// Something is where nothing should be, or the other way round.
    Place(String),
    /// Another process uses the data directory.
    InUse(String),
    /// An address cannot be listened on.
    Address(BindError),
    /// A key cannot be opened: no passphrase, a wrong one, or a file that is not as it was.
    Key(String),
    /// The data directory cannot be read or written, or its disk is full.
    Disk(String),
    /// The database is damaged, or made by a newer release.
    Data(String),
    /// The clock is behind what is recorded.
    Clock(String),
    /// Anything else.
    Other(String),
}

impl StartError {
    /// The exit code of the process.
    pub fn code(&self) -> u8 {
        match self {
            StartError::Other(_) => 1,
            StartError::Configuration(_) => 2,
            StartError::Place(_) => 10,
            StartError::InUse(_) => 11,
            StartError::Address(_) => 12,
            StartError::Key(_) => 13,
            StartError::Disk(_) => 14,
            StartError::Data(_) => 15,
            StartError::Clock(_) => 16,
        }
    }

    /// A file that could not be read or written.
    pub fn file(doing: &str, path: &Path, error: &io::Error) -> StartError {
        let path = path.display();
        StartError::Disk(match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                format!("the disk is full: cannot {doing} {path}. Free some space and try again")
            }
            io::ErrorKind::ReadOnlyFilesystem => format!(
                "cannot {doing} {path}: its file system is read-only. Mount it writable, or use \
                 another data directory"
            ),
            io::ErrorKind::PermissionDenied => format!(
                "cannot {doing} {path}: permission denied. Give it to the user that runs tenure"
            ),
            _ => format!("cannot {doing} {path}: {error}"),
        })
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Address(error) => error.fmt(f),
            StartError::Configuration(what)
            | StartError::Place(what)
            | StartError::InUse(what)
            | StartError::Key(what)
            | StartError::Disk(what)
            | StartError::Data(what)
            | StartError::Clock(what)
            | StartError::Other(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for StartError {}

impl From<ConfigError> for StartError {
    fn from(error: ConfigError) -> StartError {
        match error {
            ConfigError::Unreadable {
                ref path,
                error: ref cause,
            } => match cause.kind() {
                io::ErrorKind::NotFound => StartError::Place(error.to_string()),
                _ => StartError::file("read", path, cause),
            },
            other => StartError::Configuration(other.to_string()),
        }
    }
}

impl From<BindError> for StartError {
    fn from(error: BindError) -> StartError {
        StartError::Address(error)
    }
}

impl From<KeyringError> for StartError {
    fn from(error: KeyringError) -> StartError {
        match error {
            KeyringError::WrongPassphrase { .. } => StartError::Key(format!(
                "{error}. Nothing was changed; start again with the passphrase given to `tenure \
                 init` (or the one set by `tenure key rewrap`)"
            )),
            KeyringError::File {
                doing,
                ref path,
                ref source,
            } => StartError::file(doing, path, source),
            KeyringError::NoDirectory { .. } => StartError::Place(error.to_string()),
            other => StartError::Key(other.to_string()),
        }
    }
}

impl From<OpenError> for StartError {
    fn from(error: OpenError) -> StartError {
        match error {
            OpenError::InUse { .. } => StartError::InUse(error.to_string()),
            OpenError::Missing(_) => StartError::Place(error.to_string()),
            OpenError::Newer { .. } => StartError::Data(error.to_string()),
            OpenError::Io {
                doing,
                ref path,
                ref cause,
            } => StartError::file(&verb(doing), path, cause),
            OpenError::NoBackup(_) | OpenError::Migration { .. } => {
                StartError::Data(Chain(&error).to_string())
            }
            OpenError::Store(error) => error.into(),
        }
    }
}

/// `opening` → `open`: the store says what it was doing, we say what cannot be done.
fn verb(doing: &str) -> String {
    let mut words = doing.split(' ');
    let first = words.next().unwrap_or_default();
    let stem = first.strip_suffix("ing").unwrap_or(first);
    let stem = match stem {
        "writ" => "write",
        "mak" => "make",
        other => other,
    };
    std::iter::once(stem)
        .chain(words)
        .collect::<Vec<_>>()
        .join(" ")
}

impl From<StoreError> for StartError {
    fn from(error: StoreError) -> StartError {
        let what = error.to_string();
        match error {
            StoreError::DiskFull | StoreError::ReadOnly | StoreError::Io(_) => {
                StartError::Disk(what)
            }
            StoreError::Corrupt(_) | StoreError::Unreadable { .. } => StartError::Data(what),
            StoreError::NoEvent
            | StoreError::Panicked(_)
            | StoreError::Closed
            | StoreError::Taken(_)
            | StoreError::TooLong(_)
            | StoreError::Database(_) => StartError::Other(what),
        }
    }
}

impl From<Rejection> for StartError {
    fn from(rejection: Rejection) -> StartError {
        let fault = match rejection {
            Rejection::Refusal(refusal) => return StartError::Other(refusal.to_string()),
            Rejection::Fault(fault) => fault,
        };
        match fault.cause {
            FaultCause::Store(error) => error.into(),
            FaultCause::ClockSetBack(_) => StartError::Clock(fault.cause.to_string()),
            FaultCause::File { doing, error } => {
                StartError::file(doing, &PathBuf::from("a file"), &error)
            }
            FaultCause::Sign(_)
            | FaultCause::NoKey(_)
            | FaultCause::OtherKey(_)
            | FaultCause::Canary(_) => StartError::Key(Chain(&fault.cause).to_string()),
            FaultCause::Corrupt(_) | FaultCause::Seal(_) => {
                StartError::Data(Chain(&fault.cause).to_string())
            }
            FaultCause::Draft(_) | FaultCause::NoChance => {
                StartError::Other(Chain(&fault.cause).to_string())
            }
        }
    }
}
