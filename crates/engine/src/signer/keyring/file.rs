//! Private files: written whole or not at all, readable by their owner alone.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::KeyringError;

/// The largest record or key file; an RSA key of 16384 bits would fit.
const FILE_BYTES_MAX: u64 = 64 * 1024;

const FILE_MODE: u32 = 0o600;
const DIRECTORY_MODE: u32 = 0o700;

/// Makes an error of an [`io::Error`].
pub(super) fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> KeyringError {
    let path = path.to_owned();
    move |source| KeyringError::File {
        doing,
        path,
        source,
    }
}

/// Makes a directory that only its owner may enter. An empty one that is there is taken.
pub(super) fn make_directory(path: &Path) -> Result<(), KeyringError> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, DIRECTORY_MODE);
    builder
        .create(path)
        .map_err(failed("make directory", path))?;
    let mut entries = fs::read_dir(path).map_err(failed("read directory", path))?;
    if entries.next().is_some() {
        return Err(KeyringError::NotEmpty {
            path: path.to_owned(),
        });
    }
    #[cfg(unix)]
    {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(DIRECTORY_MODE);
        fs::set_permissions(path, mode).map_err(failed("set the permissions of", path))?;
    }
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => sync_directory(parent),
        _ => Ok(()),
    }
}

/// Refuses a directory that others may write into: they could replace what lies in it.
pub(super) fn check_directory(path: &Path) -> Result<(), KeyringError> {
    check_mode(path, 0o022, DIRECTORY_MODE)
}

/// Refuses a key file that others may read or write.
pub(super) fn check_file(path: &Path) -> Result<(), KeyringError> {
    check_mode(path, 0o077, FILE_MODE)
}

#[cfg(unix)]
fn check_mode(path: &Path, forbidden: u32, wanted: u32) -> Result<(), KeyringError> {
    use std::os::unix::fs::PermissionsExt;
    let metadata = fs::metadata(path).map_err(failed("read", path))?;
    let mode = metadata.permissions().mode() & 0o7777;
    match mode & forbidden {
        0 => Ok(()),
        _ => Err(KeyringError::Exposed {
            path: path.to_owned(),
            mode,
            wanted,
        }),
    }
}

#[cfg(not(unix))]
fn check_mode(_: &Path, _: u32, _: u32) -> Result<(), KeyringError> {
    Ok(())
}

/// Reads a text file of bounded size; `None` if there is none.
pub(super) fn read(path: &Path) -> Result<Option<Zeroizing<String>>, KeyringError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed("open", path)(error)),
    };
    let mut text = Zeroizing::new(String::new());
    file.take(FILE_BYTES_MAX + 1)
        .read_to_string(&mut text)
        .map_err(failed("read", path))?;
    if text.len() as u64 > FILE_BYTES_MAX {
        let why = format!("it is longer than {FILE_BYTES_MAX} bytes");
        return Err(KeyringError::Malformed {
            path: path.to_owned(),
            why,
        });
    }
    Ok(Some(text))
}

/// Puts a file in place: after a crash there is the old file or the new one, whole.
pub(super) fn write(path: &Path, text: &str) -> Result<(), KeyringError> {
    let new = beside(path, "new");
    remove(&new)?; // left by a crash
    let written = write_new(&new, text).and_then(|()| {
        fs::rename(&new, path).map_err(failed("put in place", path))?;
        sync_directory(directory_of(path))
    });
    if written.is_err() {
        let _ = fs::remove_file(&new); // the first error is the one to tell
    }
    written
}

fn write_new(path: &Path, text: &str) -> Result<(), KeyringError> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, FILE_MODE);
    let mut file = options.open(path).map_err(failed("make", path))?;
    file.write_all(text.as_bytes())
        .map_err(failed("write", path))?;
    file.sync_all().map_err(failed("write to disk", path))
}

/// Removes a file durably; none is fine.
pub(super) fn remove(path: &Path) -> Result<(), KeyringError> {
    match fs::remove_file(path) {
        Ok(()) => sync_directory(directory_of(path)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(failed("remove", path)(error)),
    }
}

/// Whether something lies there.
pub(super) fn exists(path: &Path) -> Result<bool, KeyringError> {
    path.try_exists().map_err(failed("look for", path))
}

/// `path` with `.suffix` behind it.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    PathBuf::from(name)
}

fn directory_of(path: &Path) -> &Path {
    path.parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

/// Makes renames and removals in a directory survive a power cut.
fn sync_directory(path: &Path) -> Result<(), KeyringError> {
    File::open(path)
        .and_then(|directory| directory.sync_all())
        .map_err(failed("sync", path))
}
