//! What this client remembers of a log: its key and the last checkpoint it verified. Without it a
//! server could show each visitor another past.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::cli::exit::Failure;
use crate::cli::session::write_private;

/// What is remembered.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Seen {
    /// The log's verifier key.
    pub(super) key: String,
    /// The signed checkpoint.
    pub(super) checkpoint: String,
}

/// Below the state directory of the XDG base directory specification, one file per house.
pub(super) fn usual_place(house: &str) -> Option<PathBuf> {
    let from = |name| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let state = from("XDG_STATE_HOME")
        .or_else(|| from("HOME").map(|home| home.join(".local").join("state")))?;
    Some(
        state
            .join("tenure")
            .join("log")
            .join(format!("{house}.json")),
    )
}

/// What is remembered in a file; nothing if there is none.
///
/// # Errors
/// The file is there and cannot be read: it is not passed over, since that is what an attacker would
/// like.
pub(super) fn read(path: &Path) -> Result<Option<Seen>, Failure> {
    let broken = |error: &dyn std::fmt::Display| {
        Failure::failed(format!(
            "{} cannot be read ({error}); if you know why, remove it and verify anew",
            path.display()
        ))
    };
    match fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|error| broken(&error)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(broken(&error)),
    }
}

/// Remembers.
///
/// # Errors
/// The directory cannot be made or written to.
pub(super) fn write(path: &Path, seen: &Seen) -> Result<(), Failure> {
    if let Some(directory) = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
    {
        fs::create_dir_all(directory).map_err(|error| {
            Failure::failed(format!("cannot make {}: {error}", directory.display()))
        })?;
    }
    let text = serde_json::to_string_pretty(seen).map_err(Failure::failed)?;
    write_private(path, &text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_is_read_as_written_and_never_passed_over() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("deep").join("seen.json");
        assert_eq!(read(&path).unwrap(), None);
        let seen = Seen {
            key: "k".to_owned(),
            checkpoint: "c\n".to_owned(),
        };
        write(&path, &seen).unwrap();
        assert_eq!(read(&path).unwrap(), Some(seen));
        fs::write(&path, "{").unwrap();
        assert!(read(&path).is_err());
    }
}
