//! The keyring: a directory of keys, each with its record, all locked by a passphrase.
//!
//! `NAME.toml` is the record, open to read: what the key may sign, where it lies, its public half.
//! `NAME.key` begins with the [seal](seal) over both files; for a key kept in a file, its
//! `ENCRYPTED PRIVATE KEY` follows, which OpenSSL reads as it stands. The record is written last:
//! a key without one was never handed out.

mod error;
mod file;
mod passphrase;
mod record;
mod seal;
mod stored;
mod token;

pub use error::{KeyringError, TokenError};
pub use passphrase::{PASSPHRASE_BYTES_MAX, PASSPHRASE_CHARS_MIN, Passphrase, Weakness};
pub use record::{Custody, KeyRecord, NewKey, OpenedBy, PinSource, TokenKey};

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use parking_lot::{Mutex, RwLock};

use self::stored::{Files, Place, Stored};
use super::Key;

/// The keys of one directory, opened or not.
pub struct Keyring {
    directory: PathBuf,
    entries: RwLock<BTreeMap<String, Entry>>,
    /// Held while files are written, so that two makers cannot take one name.
    writing: Mutex<()>,
}

struct Entry {
    record: KeyRecord,
    key: Option<Key>,
}

/// What became of a key whose passphrase was to be changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rewrap {
    /// It had the old passphrase and now has the new one.
    Done,
    /// It had the new one already, as after an interrupted change.
    Already,
}

impl std::fmt::Debug for Keyring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keyring")
            .field("directory", &self.directory)
            .finish_non_exhaustive()
    }
}

impl Keyring {
    /// Makes the directory of a new keyring, for its owner alone.
    ///
    /// # Errors
    /// [`KeyringError::NotEmpty`] or [`KeyringError::File`].
    pub fn create(directory: &Path) -> Result<Keyring, KeyringError> {
        file::make_directory(directory)?;
        Ok(Keyring::of(directory, BTreeMap::new()))
    }

    /// Opens every key that the server opens. Keys of ceremonies stay locked.
    ///
    /// # Errors
    /// Any; the first by name. No key is open then.
    pub fn open(directory: &Path, passphrase: &Passphrase) -> Result<Keyring, KeyringError> {
        Keyring::open_without(directory, passphrase, &[])
    }

    /// As [`Keyring::open`], but the keys named stay locked too.
    ///
    /// # Errors
    /// As [`Keyring::open`].
    pub fn open_without(
        directory: &Path,
        passphrase: &Passphrase,
        without: &[&str],
    ) -> Result<Keyring, KeyringError> {
        file::check_directory(directory)?;
        let stored = stored::all(directory)?;
        let mut entries = BTreeMap::new();
        // One after another on one thread: scrypt takes 16 MiB a time, and what each thread once took
        // stays with it for good.
        for stored in stored {
            let record = &stored.record;
            let stays =
                record.opened_by == OpenedBy::Ceremony || without.contains(&record.name.as_str());
            let key = match stays {
                true => None,
                false => Some(stored.unlock(passphrase, Place::Keyring)?),
            };
            let record = stored.record;
            entries.insert(record.name.clone(), Entry { record, key });
        }
        Ok(Keyring::of(directory, entries))
    }

    /// The keyring with all keys locked, for which no passphrase is needed. The seals are not
    /// checked: its records are what the files say, and good for showing only.
    ///
    /// # Errors
    /// [`KeyringError::Malformed`] or [`KeyringError::File`].
    pub fn locked(directory: &Path) -> Result<Keyring, KeyringError> {
        let entries = stored::all(directory)?.into_iter().map(|stored| {
            (
                stored.record.name.clone(),
                Entry {
                    record: stored.record,
                    key: None,
                },
            )
        });
        Ok(Keyring::of(directory, entries.collect()))
    }

    /// An opened key; `None` if there is none of this name or it stayed locked.
    pub fn key(&self, name: &str) -> Option<Key> {
        self.read(|entries| entries.get(name).and_then(|entry| entry.key.clone()))
    }

    /// All opened keys, by name.
    pub fn keys(&self) -> Vec<Key> {
        self.read(|entries| {
            entries
                .values()
                .filter_map(|entry| entry.key.clone())
                .collect()
        })
    }

    /// All records by name, of opened and of locked keys.
    pub fn records(&self) -> Vec<KeyRecord> {
        self.read(|entries| entries.values().map(|entry| entry.record.clone()).collect())
    }

    /// Makes a key, locks it with the passphrase and opens it. When this returns, key and record
    /// are on disk. A key in a token is taken over if the token holds one with this label.
    ///
    /// # Errors
    /// Any. After a crash or an error, a key without a record may be left; making the key again
    /// puts that file aside as `NAME.key.unrecorded`, so that nothing is ever overwritten.
    pub fn make(&self, new: NewKey, passphrase: &Passphrase) -> Result<Key, KeyringError> {
        record::check_name(&new.name)?;
        let _writing = self.writing.lock();
        let files = Files::of(&self.directory, &new.name);
        if file::exists(&files.record)? {
            return Err(KeyringError::Exists { key: new.name });
        }
        let (record, key) = stored::make(&files, new, passphrase, &self.records())?;
        let entry = Entry {
            record,
            key: Some(key.clone()),
        };
        self.write(|entries| entries.insert(key.name().to_owned(), entry));
        Ok(key)
    }

    /// Opens one key that stayed locked, for one act. The keyring does not keep it.
    ///
    /// # Errors
    /// [`KeyringError::Unknown`], and any that opening a key gives.
    pub fn unlock(&self, name: &str, passphrase: &Passphrase) -> Result<Key, KeyringError> {
        self.stored(name)?.unlock(passphrase, Place::Keyring)
    }

    /// Forgets a key and removes its files. A key in a token stays in its token.
    ///
    /// # Errors
    /// [`KeyringError::Unknown`] or [`KeyringError::File`].
    pub fn remove(&self, name: &str) -> Result<(), KeyringError> {
        let _writing = self.writing.lock();
        if self.read(|entries| !entries.contains_key(name)) {
            return Err(KeyringError::Unknown {
                key: name.to_owned(),
            });
        }
        let files = Files::of(&self.directory, name);
        file::remove(&files.record)?;
        file::remove(&files.key)?;
        self.write(|entries| entries.remove(name));
        Ok(())
    }

    /// Locks a key with another passphrase. After a crash at any moment the old one or the new one
    /// opens it, and doing it again finishes. The PIN of a token is not changed.
    ///
    /// # Errors
    /// [`KeyringError::Unknown`], [`KeyringError::WrongPassphrase`] if neither passphrase opens
    /// it, and any that reading or writing it gives.
    pub fn rewrap(
        &self,
        name: &str,
        old: &Passphrase,
        new: &Passphrase,
    ) -> Result<Rewrap, KeyringError> {
        let _writing = self.writing.lock();
        self.stored(name)?.rewrap(old, new)
    }

    /// Makes a key outside of any keyring: `path` is the key file's, the record gets the same name
    /// ending in `.toml`. The directory must be there: a path that leads nowhere is a mistake or
    /// a medium that is not mounted.
    ///
    /// # Errors
    /// [`KeyringError::Exists`] if either file is there, and any that making a key gives.
    pub fn make_at(path: &Path, new: NewKey, passphrase: &Passphrase) -> Result<Key, KeyringError> {
        record::check_name(&new.name)?;
        let files = Files::at(path)?;
        let directory = path.parent().filter(|named| !named.as_os_str().is_empty());
        if let Some(missing) = directory.filter(|directory| !directory.is_dir()) {
            let path = missing.to_owned();
            return Err(KeyringError::NoDirectory { path });
        }
        if file::exists(&files.record)? || file::exists(&files.key)? {
            return Err(KeyringError::Exists { key: new.name });
        }
        stored::make(&files, new, passphrase, &[]).map(|(_, key)| key)
    }

    /// Opens a key made with [`Keyring::make_at`]. Permissions are not checked: removable media
    /// often have none.
    ///
    /// # Errors
    /// Any that opening a key gives.
    pub fn open_at(path: &Path, passphrase: &Passphrase) -> Result<Key, KeyringError> {
        Stored::read(Files::at(path)?)?.unlock(passphrase, Place::Elsewhere)
    }

    /// [`Keyring::rewrap`] for a key made with [`Keyring::make_at`].
    ///
    /// # Errors
    /// As [`Keyring::rewrap`].
    pub fn rewrap_at(
        path: &Path,
        old: &Passphrase,
        new: &Passphrase,
    ) -> Result<Rewrap, KeyringError> {
        Stored::read(Files::at(path)?)?.rewrap(old, new)
    }

    fn of(directory: &Path, entries: BTreeMap<String, Entry>) -> Keyring {
        let entries = RwLock::new(entries);
        Keyring {
            directory: directory.to_owned(),
            entries,
            writing: Mutex::default(),
        }
    }

    fn read<R>(&self, work: impl FnOnce(&BTreeMap<String, Entry>) -> R) -> R {
        work(&self.entries.read())
    }

    fn write<R>(&self, work: impl FnOnce(&mut BTreeMap<String, Entry>) -> R) -> R {
        work(&mut self.entries.write())
    }

    fn stored(&self, name: &str) -> Result<Stored, KeyringError> {
        record::check_name(name)?;
        let files = Files::of(&self.directory, name);
        if !file::exists(&files.record)? {
            return Err(KeyringError::Unknown {
                key: name.to_owned(),
            });
        }
        Stored::read(files)
    }
}

#[cfg(test)]
mod tests;
