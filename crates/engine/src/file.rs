//! Files in the place of others: whole or not at all, and still there after a power cut.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Puts a small file in the place of another.
pub(crate) fn replace(target: &Path, contents: &[u8]) -> io::Result<()> {
    let mut file = draft(target)?;
    file.write_all(contents)?;
    put(&file, target)
}

/// A new file beside its place; what a crash left there is gone.
pub(crate) fn draft(target: &Path) -> io::Result<File> {
    if let Some(directory) = target.parent() {
        fs::create_dir_all(directory)?;
    }
    File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(draft_path(target))
}

/// Puts a draft in its place.
pub(crate) fn put(draft: &File, target: &Path) -> io::Result<()> {
    draft.sync_all()?;
    fs::rename(draft_path(target), target)?;
    match target.parent() {
        Some(directory) => File::open(directory)?.sync_all(),
        None => Ok(()),
    }
}

fn draft_path(target: &Path) -> PathBuf {
    let mut name = target.as_os_str().to_owned();
    name.push(".new");
    PathBuf::from(name)
}
