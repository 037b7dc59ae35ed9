//! Files, links and directories that after a power cut are as they were or as they were to be.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};

/// Who may read a new file.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Readers {
    /// Its owner alone (mode 0600).
    Owner,
    /// Whomever the umask of the process lets.
    Umask,
}

/// Writes a file whose name is durable once its directory is synced.
pub(crate) fn write(path: &Path, octets: &[u8], readers: Readers) -> io::Result<()> {
    let mode = match readers {
        Readers::Owner => 0o600,
        Readers::Umask => 0o666,
    };
    let mut file = OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(mode)
        .open(path)?;
    file.write_all(octets)?;
    file.sync_all()
}

/// Puts a file in the place of another, whole or not at all.
pub(crate) fn replace(path: &Path, octets: &[u8], readers: Readers) -> io::Result<()> {
    let draft = draft(path);
    write(&draft, octets, readers)?;
    fs::rename(&draft, path)?;
    sync(directory_of(path))
}

/// Points a symbolic link at another target in one step.
pub(crate) fn relink(link: &Path, target: &Path) -> io::Result<()> {
    let draft = draft(link);
    // Left by a crash.
    or_absent(fs::remove_file(&draft))?;
    symlink(target, &draft)?;
    fs::rename(&draft, link)?;
    sync(directory_of(link))
}

/// Removes a directory with everything in it; none is fine.
pub(crate) fn clear(directory: &Path) -> io::Result<()> {
    or_absent(fs::remove_dir_all(directory))
}

/// Makes what was made, renamed or removed in a directory durable.
pub(crate) fn sync(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

fn or_absent(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

fn draft(path: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".new");
    directory_of(path).join(name)
}

fn directory_of(path: &Path) -> &Path {
    path.parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_file_is_replaced_over_what_a_crash_left() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key.pem");
        fs::write(
            directory.path().join(".key.pem.new"),
            "half of a longer one",
        )
        .unwrap();
        fs::write(&path, "old").unwrap();
        replace(&path, b"new", Readers::Owner).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_for_its_owner_is_read_by_no_other() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key.pem");
        replace(&path, b"key", Readers::Owner).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_link_is_moved_and_a_directory_cleared_twice() {
        let directory = tempfile::tempdir().unwrap();
        let link = directory.path().join("current");
        for target in ["0001", "0002"] {
            relink(&link, Path::new(target)).unwrap();
            assert_eq!(fs::read_link(&link).unwrap(), Path::new(target));
        }
        let forming = directory.path().join("forming");
        fs::create_dir_all(forming.join("crl")).unwrap();
        for _ in 0..2 {
            clear(&forming).unwrap();
            assert!(!forming.exists());
        }
    }
}
