//! A directory's `SHA256SUMS`, as `sha256sum -c` reads it: whether a copy is what was made.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;

use aws_lc_rs::digest;
use tenure_domain::text::hex;

/// The file with the sums.
pub const FILE: &str = "SHA256SUMS";

/// Why a directory is not what its sums say.
#[derive(Debug)]
pub enum Wrong {
    /// It cannot be read.
    Io(io::Error),
    /// A line is not a sum and a name, or names something outside.
    Line(String),
    /// These files were changed, cut short or removed.
    Changed(Vec<String>),
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Wrong::Io(error) => write!(f, "{FILE} or a file it names cannot be read: {error}"),
            Wrong::Line(line) => write!(f, "{FILE} holds a line that is no sum: {line:?}"),
            Wrong::Changed(names) => write!(f, "changed or missing: {}", names.join(", ")),
        }
    }
}

impl std::error::Error for Wrong {}

impl From<io::Error> for Wrong {
    fn from(error: io::Error) -> Wrong {
        Wrong::Io(error)
    }
}

/// The SHA-256 of a file of any length, in hex.
///
/// # Errors
/// It cannot be read.
pub fn of_file(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut sum = digest::Context::new(&digest::SHA256);
    let mut page = vec![0; 1 << 16];
    loop {
        match file.read(&mut page)? {
            0 => return Ok(hex(sum.finish().as_ref())),
            // `read` never answers more than the buffer holds.
            read => sum.update(page.get(..read).unwrap_or_default()),
        }
    }
}

/// Sums up everything below a directory, durably, in a file of its own.
///
/// # Errors
/// Something cannot be read or written, or a name is not UTF-8.
pub fn write(directory: &Path) -> io::Result<()> {
    let mut sums = BTreeMap::new();
    gather(directory, "", &mut sums)?;
    let mut file = File::create(directory.join(FILE))?;
    for (name, sum) in &sums {
        writeln!(file, "{sum}  {name}")?;
    }
    file.sync_all()?;
    File::open(directory)?.sync_all()
}

fn gather(directory: &Path, below: &str, sums: &mut BTreeMap<String, String>) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_str().ok_or(io::ErrorKind::InvalidFilename)?;
        let full = format!("{below}{name}");
        if entry.file_type()?.is_dir() {
            gather(&entry.path(), &format!("{full}/"), sums)?;
        } else if full != FILE {
            sums.insert(full, of_file(&entry.path())?);
        }
    }
    Ok(())
}

/// Compares everything with its sum.
///
/// # Errors
/// [`Wrong`].
pub fn check(directory: &Path) -> Result<(), Wrong> {
    let mut changed = Vec::new();
    for line in fs::read_to_string(directory.join(FILE))?.lines() {
        let named = line.split_once("  ");
        let is_inside = |name: &str| name.split('/').all(|part| !matches!(part, "" | "." | ".."));
        let Some((sum, name)) = named.filter(|(_, name)| is_inside(name)) else {
            return Err(Wrong::Line(line.to_owned()));
        };
        match of_file(&directory.join(name)) {
            Ok(found) if found == sum => {}
            Ok(_) => changed.push(name.to_owned()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => changed.push(name.to_owned()),
            Err(error) => return Err(error.into()),
        }
    }
    match changed.is_empty() {
        true => Ok(()),
        false => Err(Wrong::Changed(changed)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_change_is_found_and_named() {
        let directory = tempfile::tempdir().unwrap();
        let below = directory.path().join("keys");
        fs::create_dir(&below).unwrap();
        fs::write(directory.path().join("a"), "one").unwrap();
        fs::write(below.join("b"), vec![7; 200_000]).unwrap();
        assert!(matches!(check(directory.path()), Err(Wrong::Io(_))));
        write(directory.path()).unwrap();
        write(directory.path()).unwrap();
        check(directory.path()).unwrap();
        fs::write(below.join("b"), vec![7; 199_999]).unwrap();
        fs::remove_file(directory.path().join("a")).unwrap();
        match check(directory.path()) {
            Err(Wrong::Changed(names)) => assert_eq!(names, ["a", "keys/b"]),
            other => panic!("{other:?}"),
        }
        for line in ["00", "00  ../a", "00  /a", "00  "] {
            fs::write(directory.path().join(FILE), line).unwrap();
            assert!(
                matches!(check(directory.path()), Err(Wrong::Line(_))),
                "{line}"
            );
        }
    }
}
