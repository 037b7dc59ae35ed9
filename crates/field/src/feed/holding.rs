//! What a relying party holds of its feed, on disk.
//!
//! ```text
//! DIR/lock                 held while a program works here
//! DIR/state.json           the number and hash taken last, what of it was applied and acknowledged
//! DIR/manifest             the manifest taken last, with its signature
//! DIR/current -> sets/N    what the relying party reads; replaced in one step
//! DIR/sets/N/bundle.pem    whom to trust
//! DIR/sets/N/crl.pem       every list, in PEM one after another, for servers that want one file
//! DIR/sets/N/crl/, filter/ the lists and filters by issuer
//! DIR/sets/N/policy.toml   what the policy says of decisions here, if it came by a pack
//! ```
//!
//! A set is complete and durable before its number is remembered, the number is durable before the
//! link is changed, and the link is put right when the directory is opened. So a crash leaves the old
//! set or the new one, and never a number that could be taken twice.

use std::fmt::Write as _;
use std::fs::{self, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tenure_domain::Slug;
use tenure_domain::feed::{Digest, Item, ItemKind, MANIFEST_BYTES_MAX, Manifest, Rung};
use tenure_domain::text;
use tenure_tlog::VerifierKey;
use tenure_x509::{Time, pem_encode};

use crate::disk::{self, Readers};

use super::{Connection, Error, Hook, Signed, open, read_up_to};
use crate::lock::Lock;

const STATE: &str = "state.json";
const MANIFEST: &str = "manifest";
const CURRENT: &str = "current";
const SETS: &str = "sets";
const FORMING: &str = ".forming";
const STATE_BYTES_MAX: u64 = 64 * 1024;

/// A manifest by number and hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// Its number.
    pub sequence: i64,
    /// The hash of its text.
    pub sha256: Digest,
}

/// That a manifest was taken into use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    /// Which.
    pub held: Held,
    /// When, by our clock.
    #[serde(with = "text::time")]
    pub at: Time,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct State {
    version: u8,
    party: Slug,
    key: String,
    held: Option<Held>,
    applied: Option<Applied>,
    /// The number that the server took our word for.
    acknowledged: i64,
    /// The latest time we know to have been: a clock that was set back makes nothing fresh again.
    #[serde(with = "text::time")]
    seen: Time,
}

/// What became of a manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// It is news, and in place.
    News,
    /// It is what is held already.
    Known,
}

/// How a relying party stands.
#[derive(Debug, Clone, Serialize)]
pub struct Status {
    /// The relying party.
    pub party: Slug,
    /// The number taken last; null before the first.
    pub sequence: Option<i64>,
    /// When it was made (RFC 3339).
    pub made: Option<String>,
    /// The rung of its ladder; before the first manifest, the last rung: closed.
    pub rung: Rung,
    /// The number that the relying party uses.
    pub applied: Option<i64>,
    /// The number that the server knows of.
    pub acknowledged: i64,
}

impl State {
    fn status(&self, manifest: Option<&Manifest>, now: Time) -> Status {
        let now = now.max(self.seen);
        Status {
            party: self.party.clone(),
            sequence: manifest.map(|manifest| manifest.sequence),
            made: manifest.map(|manifest| manifest.made.to_string()),
            rung: manifest.map_or(Rung::Closed, |held| held.ladder.rung(held.made, now)),
            applied: self.applied.map(|applied| applied.held.sequence),
            acknowledged: self.acknowledged,
        }
    }
}

/// How the feed of a connection stands in a directory that another program may be working in. If
/// none does, the time is remembered.
///
/// # Errors
/// There is nothing, or it is damaged or of another feed.
pub fn look(root: &Path, connection: &Connection, now: Time) -> Result<Status, Error> {
    let key = connection.pinned()?;
    match Holding::open(root, &connection.party, &key) {
        Ok(mut holding) => return holding.status(now),
        Err(Error::Locked { .. }) => {}
        Err(error) => return Err(error),
    }
    let state = read_state(&root.join(STATE))?;
    if state.party != connection.party || state.key != key.to_string() {
        let what = "the relying party or the key";
        return Err(Error::OtherFeed { what });
    }
    let manifest = match state.held {
        None => None,
        Some(held) => {
            let path = root.join(SETS).join(held.sequence.to_string());
            let octets = read_up_to(&path.join(MANIFEST), MANIFEST_BYTES_MAX as u64 + 4096)?;
            Some(open(&octets, &key)?.manifest)
        }
    };
    Ok(state.status(manifest.as_ref(), now))
}

/// An open directory. One at a time: the lock is held until it is dropped.
#[derive(Debug)]
pub struct Holding {
    root: PathBuf,
    key: VerifierKey,
    state: State,
    manifest: Option<Manifest>,
    _lock: Lock,
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::File { path, source }
}

impl Holding {
    /// Opens the directory of a feed, making it if it is not there. What it holds must be of the same
    /// relying party and under the same key.
    ///
    /// # Errors
    /// It is in use, of another feed, or damaged. A state that cannot be read is an error and not a
    /// beginning: without it, something older could be taken.
    pub fn open(root: &Path, party: &Slug, key: &VerifierKey) -> Result<Holding, Error> {
        fs::create_dir_all(root.join(SETS)).map_err(failed(root))?;
        let path = root.join("lock");
        let lock = match Lock::take(&path) {
            Ok(lock) => lock,
            Err(TryLockError::WouldBlock) => return Err(Error::Locked { path }),
            Err(TryLockError::Error(source)) => return Err(Error::File { path, source }),
        };
        let path = root.join(STATE);
        let state = match path.exists() {
            true => read_state(&path)?,
            false => State {
                version: 1,
                party: party.clone(),
                key: key.to_string(),
                held: None,
                applied: None,
                acknowledged: 0,
                seen: Time::from_unix(0),
            },
        };
        if state.party != *party {
            return Err(Error::OtherFeed {
                what: "the relying party",
            });
        }
        if state.key != key.to_string() {
            return Err(Error::OtherFeed { what: "the key" });
        }
        let mut holding = Holding {
            root: root.to_owned(),
            key: key.clone(),
            state,
            manifest: None,
            _lock: lock,
        };
        holding.mend()?;
        Ok(holding)
    }

    /// Finishes what a crash left: the set of the number that is remembered is the current one.
    fn mend(&mut self) -> Result<(), Error> {
        let Some(held) = self.state.held else {
            return Ok(());
        };
        let path = self.set(held.sequence).join(MANIFEST);
        let octets = read_up_to(&path, MANIFEST_BYTES_MAX as u64 + 4096)?;
        let signed = open(&octets, &self.key)?;
        if signed.manifest().digest() != held.sha256 {
            let what = "it is not the manifest that was taken";
            return Err(Error::Damaged { path, what });
        }
        self.manifest = Some(signed.manifest);
        self.point(held.sequence)
    }

    fn set(&self, sequence: i64) -> PathBuf {
        self.root.join(SETS).join(sequence.to_string())
    }

    /// What the relying party reads.
    pub fn current(&self) -> PathBuf {
        self.root.join(CURRENT)
    }

    /// What was taken last.
    pub fn held(&self) -> Option<Held> {
        self.state.held
    }

    /// What of it was applied, if the server has not heard of it.
    pub fn unacknowledged(&self) -> Option<Applied> {
        let applied = self.state.applied?;
        (applied.held.sequence > self.state.acknowledged).then_some(applied)
    }

    /// What was applied last.
    pub fn applied(&self) -> Option<Applied> {
        self.state.applied
    }

    /// The pinned key.
    pub fn key(&self) -> &VerifierKey {
        &self.key
    }

    /// The relying party.
    pub fn party(&self) -> &Slug {
        &self.state.party
    }

    /// The time, or what was seen of it before if that is later.
    pub fn at_least(&self, now: Time) -> Time {
        now.max(self.state.seen)
    }

    /// Whether a manifest may be taken: of this relying party, not older than what was taken, not
    /// another under the same number, and not too old.
    ///
    /// # Errors
    /// Which of these it is not.
    pub fn judge(&self, signed: &Signed, now: Time) -> Result<Taken, Error> {
        let manifest = signed.manifest();
        if manifest.party != self.state.party {
            return Err(Error::OtherParty {
                party: manifest.party.clone(),
            });
        }
        if let Some(held) = self.state.held {
            if manifest.sequence < held.sequence {
                return Err(Error::Older {
                    offered: manifest.sequence,
                    held: held.sequence,
                });
            }
            if manifest.sequence == held.sequence {
                return match manifest.digest() == held.sha256 {
                    true => Ok(Taken::Known),
                    false => Err(Error::Fork {
                        sequence: held.sequence,
                    }),
                };
            }
        }
        if self.at_least(now) > manifest.valid_until {
            return Err(Error::TooOld {
                until: manifest.valid_until,
            });
        }
        Ok(Taken::News)
    }

    /// An item that is held already, whole.
    pub fn item(&self, item: &Item) -> Option<Vec<u8>> {
        let held = self.manifest.as_ref()?;
        let known = held
            .items
            .iter()
            .find(|known| known.sha256 == item.sha256)?;
        let path = self.set(held.sequence).join(known.path());
        let octets = read_up_to(&path, item.length).ok()?;
        is_as_said(item, &octets).then_some(octets)
    }

    /// Puts a manifest and its items in place. The items come in the manifest's order.
    ///
    /// # Errors
    /// As [`Holding::judge`]; an item is not as the manifest says; or a file cannot be written.
    pub fn take(&mut self, signed: &Signed, items: &[Vec<u8>], now: Time) -> Result<Taken, Error> {
        if self.judge(signed, now)? == Taken::Known {
            return Ok(Taken::Known);
        }
        let manifest = signed.manifest();
        for (i, item) in manifest.items.iter().enumerate() {
            if !items.get(i).is_some_and(|octets| is_as_said(item, octets)) {
                return Err(Error::Item { path: item.path() });
            }
        }
        let before = self.state.held;
        self.lay(signed, items)?;
        let held = Held {
            sequence: manifest.sequence,
            sha256: manifest.digest(),
        };
        self.state.held = Some(held);
        self.state.seen = self.at_least(now).max(manifest.made);
        self.keep()?;
        self.manifest = Some(manifest.clone());
        self.point(held.sequence)?;
        self.clear(before);
        Ok(Taken::News)
    }

    /// Writes a set, durable and whole.
    fn lay(&self, signed: &Signed, items: &[Vec<u8>]) -> Result<(), Error> {
        let manifest = signed.manifest();
        let forming = self.root.join(SETS).join(FORMING);
        // What a crash left of another one.
        disk::clear(&forming).map_err(failed(&forming))?;
        for directory in ["crl", "filter"] {
            fs::create_dir_all(forming.join(directory)).map_err(failed(&forming))?;
        }
        let mut lists = String::new();
        for (item, octets) in manifest.items.iter().zip(items) {
            write(&forming.join(item.path()), octets)?;
            if item.kind == ItemKind::Crl {
                // Writing into a string cannot fail.
                let _ = write!(lists, "{}", pem_encode("X509 CRL", octets));
            }
        }
        write(&forming.join("crl.pem"), lists.as_bytes())?;
        write(&forming.join(MANIFEST), signed.note().as_bytes())?;
        for directory in ["crl", "filter", "."] {
            sync(&forming.join(directory))?;
        }
        let set = self.set(manifest.sequence);
        // One of the same number was laid and never remembered: it was not in use.
        disk::clear(&set).map_err(failed(&set))?;
        fs::rename(&forming, &set).map_err(failed(&set))?;
        sync(&self.root.join(SETS))
    }

    /// Makes a set the current one.
    fn point(&self, sequence: i64) -> Result<(), Error> {
        let target = Path::new(SETS).join(sequence.to_string());
        let current = self.current();
        if fs::read_link(&current).is_ok_and(|found| found == target) {
            return Ok(());
        }
        disk::relink(&current, &target).map_err(failed(&current))
    }

    /// Removes every set but the current one and the one before: a server may still be reading that.
    fn clear(&self, before: Option<Held>) {
        let kept = [self.state.held, before].map(|held| held.map(|held| held.sequence.to_string()));
        let Ok(entries) = fs::read_dir(self.root.join(SETS)) else {
            return;
        };
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if !kept.contains(&Some(name)) {
                // One that stays does no harm and is tried again with the next.
                let _ = fs::remove_dir_all(entry.path());
            }
        }
    }

    /// Has the hook take what is held into use; nothing to do if it is in use already.
    ///
    /// # Errors
    /// The hook did not succeed.
    pub fn apply(&mut self, hook: Option<&Hook>, now: Time) -> Result<Option<Applied>, Error> {
        let Some(held) = self.state.held else {
            return Ok(None);
        };
        if let Some(applied) = self.state.applied
            && applied.held == held
        {
            return Ok(Some(applied));
        }
        if let Some(hook) = hook {
            hook.run(&self.current(), &held)?;
        }
        let applied = Applied { held, at: now };
        self.state.applied = Some(applied);
        self.keep()?;
        Ok(Some(applied))
    }

    /// Remembers what the server took our word for.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn acknowledged(&mut self, sequence: i64) -> Result<(), Error> {
        self.state.acknowledged = self.state.acknowledged.max(sequence);
        self.keep()
    }

    /// How it stands at `now`, which is remembered.
    ///
    /// # Errors
    /// The time cannot be written.
    pub fn status(&mut self, now: Time) -> Result<Status, Error> {
        let now = self.at_least(now);
        if now > self.state.seen {
            self.state.seen = now;
            self.keep()?;
        }
        Ok(self.state.status(self.manifest.as_ref(), now))
    }

    fn keep(&self) -> Result<(), Error> {
        let path = self.root.join(STATE);
        // Strings and integers always serialise.
        let text = serde_json::to_string_pretty(&self.state).unwrap_or_default() + "\n";
        disk::replace(&path, text.as_bytes(), Readers::Umask).map_err(failed(&path))
    }
}

fn read_state(path: &Path) -> Result<State, Error> {
    let damaged = |what| Error::Damaged {
        path: path.to_owned(),
        what,
    };
    let state: State = serde_json::from_slice(&read_up_to(path, STATE_BYTES_MAX)?)
        .map_err(|_| damaged("it cannot be read"))?;
    match state.version {
        1 => Ok(state),
        _ => Err(damaged("it is of another version")),
    }
}

/// Whether octets are those that a manifest names.
pub(super) fn is_as_said(item: &Item, octets: &[u8]) -> bool {
    octets.len() as u64 == item.length && Digest::of(octets) == item.sha256
}

fn write(path: &Path, octets: &[u8]) -> Result<(), Error> {
    disk::write(path, octets, Readers::Umask).map_err(failed(path))
}

fn sync(directory: &Path) -> Result<(), Error> {
    disk::sync(directory).map_err(failed(directory))
}
