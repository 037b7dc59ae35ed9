//! The two files of a key: reading, unlocking, making and locking them anew.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tenure_x509::{KeyPair, PublicKey};
use zeroize::Zeroizing;

use super::super::{Key, Signer, SoftSigner};
use super::seal::{Broken, Seal};
use super::{Custody, KeyRecord, KeyringError, NewKey, Passphrase, Rewrap, file, token};

/// The most keys in one directory.
const KEYS_MAX: usize = 1024;

/// The two files of a key.
pub(super) struct Files {
    pub(super) record: PathBuf,
    pub(super) key: PathBuf,
}

impl Files {
    pub(super) fn of(directory: &Path, name: &str) -> Files {
        let record = directory.join(format!("{name}.toml"));
        Files {
            record,
            key: directory.join(format!("{name}.key")),
        }
    }

    pub(super) fn at(path: &Path) -> Result<Files, KeyringError> {
        let record = path.with_extension("toml");
        if record == path {
            let why = "a key file cannot end in .toml, its record does".to_owned();
            return Err(KeyringError::Malformed {
                path: path.to_owned(),
                why,
            });
        }
        Ok(Files {
            record,
            key: path.to_owned(),
        })
    }
}

/// Whether the permissions of a key file are ours to insist on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Keyring,
    Elsewhere,
}

/// A record as read, with nothing checked yet but its form.
pub(super) struct Stored {
    pub(super) record: KeyRecord,
    text: Zeroizing<String>,
    files: Files,
}

impl Stored {
    pub(super) fn read(files: Files) -> Result<Stored, KeyringError> {
        let malformed = |why| KeyringError::Malformed {
            path: files.record.clone(),
            why,
        };
        let text = file::read(&files.record)?
            .ok_or_else(|| malformed("there is no such record".to_owned()))?;
        let record = KeyRecord::from_text(&text).map_err(malformed)?;
        Ok(Stored {
            record,
            text,
            files,
        })
    }

    /// The key file: its seal, and what is sealed.
    fn key_file(&self) -> Result<(Seal, Zeroizing<String>), KeyringError> {
        let path = &self.files.key;
        let text = file::read(path)?.ok_or_else(|| KeyringError::Missing {
            key: self.record.name.clone(),
            path: path.clone(),
        })?;
        let (seal, key) = Seal::take(&text).ok_or_else(|| KeyringError::Malformed {
            path: path.clone(),
            why: "it does not begin with a seal".to_owned(),
        })?;
        Ok((seal, Zeroizing::new(key.to_owned())))
    }

    pub(super) fn unlock(
        &self,
        passphrase: &Passphrase,
        place: Place,
    ) -> Result<Key, KeyringError> {
        let (seal, key) = self.key_file()?;
        if place == Place::Keyring {
            file::check_file(&self.files.key)?;
        }
        self.check_seal(&seal, passphrase, &key)?;
        // From here on the record is believed.
        let name = &self.record.name;
        let signer: Arc<dyn Signer> = match &self.record.custody {
            Custody::File => Arc::new(SoftSigner::new(self.decrypt(&key, passphrase)?)),
            Custody::Pkcs11(place) => token::open(name, place, passphrase)?,
        };
        self.check_public(signer.public())?;
        Ok(Key::new(name, self.record.doors, signer))
    }

    pub(super) fn rewrap(
        &self,
        old: &Passphrase,
        new: &Passphrase,
    ) -> Result<Rewrap, KeyringError> {
        let (seal, key) = self.key_file()?;
        if let Err(error) = self.check_seal(&seal, old, &key) {
            return match self.check_seal(&seal, new, &key) {
                Ok(()) => Ok(Rewrap::Already),
                Err(_) => Err(error),
            };
        }
        let key = match &self.record.custody {
            Custody::File => {
                let pair = self.decrypt(&key, old)?;
                self.check_public(pair.public())?;
                let pem = encrypt(&self.record.name, &pair, new)?;
                // The old file goes when the new one comes: see it opened before.
                self.check_public(self.decrypt(&pem, new)?.public())?;
                pem
            }
            Custody::Pkcs11(_) => key.to_string(),
        };
        let seal = Seal::make(new, &self.text, &key)?;
        self.check_seal(&seal, new, &key)?;
        file::write(&self.files.key, &(seal.line() + &key))?;
        Ok(Rewrap::Done)
    }

    fn check_seal(
        &self,
        seal: &Seal,
        passphrase: &Passphrase,
        key: &str,
    ) -> Result<(), KeyringError> {
        let name = self.record.name.clone();
        match seal.verify(passphrase, &self.text, key)? {
            Ok(()) => Ok(()),
            Err(Broken::OtherPassphrase) => Err(KeyringError::WrongPassphrase { key: name }),
            Err(Broken::Changed) => Err(KeyringError::Changed { key: name }),
        }
    }

    fn decrypt(&self, pem: &str, passphrase: &Passphrase) -> Result<KeyPair, KeyringError> {
        let key = self.record.name.clone();
        KeyPair::from_encrypted_pem(pem, passphrase.as_bytes()).map_err(|source| match source {
            tenure_x509::Error::WrongPassphrase => KeyringError::WrongPassphrase { key },
            source => KeyringError::Key { key, source },
        })
    }

    fn check_public(&self, public: &PublicKey) -> Result<(), KeyringError> {
        if *public == self.record.public {
            Ok(())
        } else {
            Err(KeyringError::PublicMismatch {
                key: self.record.name.clone(),
            })
        }
    }
}

/// Makes the key and its files; the record last.
pub(super) fn make(
    files: &Files,
    new: NewKey,
    passphrase: &Passphrase,
    others: &[KeyRecord],
) -> Result<(KeyRecord, Key), KeyringError> {
    let name = new.name;
    let (signer, pem): (Arc<dyn Signer>, String) = match &new.custody {
        Custody::File => {
            let pair = KeyPair::generate(new.kind).map_err(|source| KeyringError::Key {
                key: name.clone(),
                source,
            })?;
            let pem = encrypt(&name, &pair, passphrase)?;
            (Arc::new(SoftSigner::new(pair)), pem)
        }
        Custody::Pkcs11(place) => (
            token::find_or_make(&name, place, new.kind, passphrase)?,
            String::new(),
        ),
    };
    if let Some(other) = others.iter().find(|other| other.public == *signer.public()) {
        return Err(KeyringError::SameKey {
            key: name,
            other: other.name.clone(),
        });
    }
    let record = KeyRecord {
        name,
        doors: new.doors,
        kind: new.kind,
        opened_by: new.opened_by,
        custody: new.custody,
        public: signer.public().clone(),
        created: new.created,
    };
    let text = record.to_text()?;
    let seal = Seal::make(passphrase, &text, &pem)?;
    put_aside(&files.key)?;
    file::write(&files.key, &(seal.line() + &pem))?;
    file::write(&files.record, &text)?;
    let key = Key::new(&record.name, record.doors, signer);
    Ok((record, key))
}

/// A key file without a record is what a crash left, or all that is left of a key.
fn put_aside(path: &Path) -> Result<(), KeyringError> {
    if !file::exists(path)? {
        return Ok(());
    }
    let aside = file::beside(path, "unrecorded");
    if file::exists(&aside)? {
        let why = "it has no record, and an earlier one like it lies beside: \
                   see which is needed, move both away, and try again";
        return Err(KeyringError::Malformed {
            path: path.to_owned(),
            why: why.to_owned(),
        });
    }
    fs::rename(path, &aside).map_err(file::failed("put aside", path))
}

fn encrypt(name: &str, pair: &KeyPair, passphrase: &Passphrase) -> Result<String, KeyringError> {
    pair.to_encrypted_pem(passphrase.as_bytes())
        .map_err(|source| KeyringError::Key {
            key: name.to_owned(),
            source,
        })
}

/// The records of a directory, by name.
pub(super) fn all(directory: &Path) -> Result<Vec<Stored>, KeyringError> {
    let mut names = Vec::new();
    let entries = fs::read_dir(directory).map_err(file::failed("read directory", directory))?;
    for entry in entries {
        let entry = entry.map_err(file::failed("read directory", directory))?;
        let file_name = entry.file_name();
        let Some(name) = file_name
            .to_str()
            .and_then(|name| name.strip_suffix(".toml"))
        else {
            continue;
        };
        names.push(name.to_owned());
        if names.len() > KEYS_MAX {
            let why = format!("it holds more than {KEYS_MAX} records");
            return Err(KeyringError::Malformed {
                path: directory.to_owned(),
                why,
            });
        }
    }
    names.sort();
    names
        .into_iter()
        .map(|name| {
            let stored = Stored::read(Files::of(directory, &name))?;
            if stored.record.name == name {
                return Ok(stored);
            }
            let why = format!("it is the record of {}", stored.record.name);
            Err(KeyringError::Malformed {
                path: stored.files.record,
                why,
            })
        })
        .collect()
}
