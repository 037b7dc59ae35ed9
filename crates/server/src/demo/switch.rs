//! Whether a door of the demo checks, as a file says: `echo off > DIR/checks/broker-1`. A person can
//! make a door careless while the demo runs, and see it caught.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;

/// Where the files are, in the data directory.
pub(super) const CHECKS: &str = "checks";
/// How often they are looked at.
const LOOK: Duration = Duration::from_millis(200);
/// Longest file that is read for a word, in octets.
const WORD_BYTES_MAX: u64 = 64;

/// Whether a door asks for the status of what it is shown, and ends sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Checks {
    /// It does, at each connection and as long as that lasts.
    On,
    /// It takes what TLS lets through.
    Off,
}

/// The switches of all doors. What they say is looked at until this is dropped.
pub(super) struct Switches {
    directory: PathBuf,
    looking: JoinSet<()>,
}

impl Switches {
    /// A directory for them in `data`.
    pub(super) fn new(data: &Path) -> std::io::Result<Switches> {
        let directory = data.join(CHECKS);
        fs::create_dir(&directory)?;
        Ok(Switches {
            directory,
            looking: JoinSet::new(),
        })
    }

    /// The switch of one door, as it is from now on; with the name of its file.
    pub(super) fn add(
        &mut self,
        door: &str,
        is: Checks,
    ) -> std::io::Result<watch::Receiver<Checks>> {
        let file = self.file(door);
        fs::write(&file, format!("{}\n", is.word()))?;
        let (says, hears) = watch::channel(is);
        self.looking.spawn(async move {
            loop {
                tokio::time::sleep(LOOK).await;
                if let Some(now) = read(&file) {
                    says.send_if_modified(|was| std::mem::replace(was, now) != now);
                }
            }
        });
        Ok(hears)
    }

    /// Where the files are.
    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// The file of one door's switch.
    pub(super) fn file(&self, door: &str) -> PathBuf {
        self.directory.join(door)
    }
}

impl Checks {
    fn word(self) -> &'static str {
        match self {
            Checks::On => "on",
            Checks::Off => "off",
        }
    }
}

/// What a file says; none if it cannot be understood, and then all stays as it was.
fn read(file: &Path) -> Option<Checks> {
    if fs::metadata(file).ok()?.len() > WORD_BYTES_MAX {
        return None;
    }
    match fs::read_to_string(file).ok()?.trim() {
        "on" => Some(Checks::On),
        "off" => Some(Checks::Off),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_door_is_as_its_file_says_and_stays_so_where_that_says_nothing() {
        let place = tempfile::tempdir().unwrap();
        let mut switches = Switches::new(place.path()).unwrap();
        let mut checks = switches.add("broker-1", Checks::On).unwrap();
        let file = switches.file("broker-1");
        assert_eq!(fs::read_to_string(&file).unwrap(), "on\n");
        fs::write(&file, "off").unwrap();
        checks.changed().await.unwrap();
        assert_eq!(*checks.borrow_and_update(), Checks::Off);
        for nonsense in ["", "of", "\u{0}", &"off ".repeat(100)] {
            fs::write(&file, nonsense).unwrap();
            assert_eq!(read(&file), None, "{nonsense:?}");
        }
        fs::remove_file(&file).unwrap();
        assert_eq!(read(&file), None);
        fs::write(&file, "on\n").unwrap();
        checks.changed().await.unwrap();
        assert_eq!(*checks.borrow_and_update(), Checks::On);
    }
}
