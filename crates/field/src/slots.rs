//! An identity directory: keys, requests and certificates on disk, so that a crash at any moment
//! leaves a usable identity.
//!
//! ```text
//! DIR/lock                held while a program works here
//! DIR/current -> 0002     the identity in use; replaced in one step
//! DIR/0001/               the one before, kept until the next change
//! DIR/0002/key.pem        PKCS#8, mode 0600
//! DIR/0002/request.pem    the PKCS#10 that was sent
//! DIR/0002/certificate.pem, chain.pem    the certificate alone, and followed by its issuers
//! DIR/0003/               the next one: its key is here before anything is sent
//! ```
//!
//! A key is durable before its request leaves the machine: whoever asks again asks with the same
//! key, and the server can tell a retry from a clone. A slot appears whole, by renaming a complete
//! directory; `current` changes by renaming a link. So after a crash there is the old identity, or
//! the new one, never half of one.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use tenure_x509::{KeyPair, Time, pem_encode};
use zeroize::Zeroizing;

use crate::disk::{self, Readers};
use crate::limits::IDENTITY_FILE_BYTES_MAX;
use crate::lock::Lock;

const LOCK: &str = "lock";
const CURRENT: &str = "current";
const FORMING: &str = ".forming";
const KEY: &str = "key.pem";
const REQUEST: &str = "request.pem";
const CERTIFICATE: &str = "certificate.pem";
const CHAIN: &str = "chain.pem";
const RETRY_AT: &str = "retry-at";

/// Why an identity directory could not be used.
#[derive(Debug)]
pub enum Error {
    /// A file could not be read or written.
    File {
        /// Which one.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another program works in this directory.
    Locked {
        /// Its lock file.
        path: PathBuf,
    },
    /// A file does not hold what it should.
    Damaged {
        /// Which one.
        path: PathBuf,
        /// What is wrong.
        what: &'static str,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::File { path, .. } => write!(f, "cannot use {}", path.display()),
            Error::Locked { path } => {
                write!(
                    f,
                    "another program is using this identity: it holds {}",
                    path.display()
                )
            }
            Error::Damaged { path, what } => write!(f, "{} is damaged: {what}", path.display()),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::File { source, .. } => Some(source),
            Error::Locked { .. } | Error::Damaged { .. } => None,
        }
    }
}

/// A slot's place in the order of identities; it only grows.
type Number = u32;

/// An open identity directory. One at a time: the lock is held until it is dropped.
#[derive(Debug)]
pub struct Slots {
    root: PathBuf,
    _lock: Lock,
}

/// The identity in use.
pub struct Current {
    /// Its key.
    pub key: KeyPair,
    /// Its certificate and the issuers to present with it, as PEM.
    pub chain: String,
}

/// An identity on its way: its key is durable, its certificate is not there yet.
pub struct Next {
    number: Number,
    /// Its key.
    pub key: KeyPair,
    /// The PEM of the PKCS#10 to send.
    pub request: String,
    /// When the server wants to be asked again, if it said so.
    pub retry_at: Option<Time>,
}

impl Slots {
    /// Opens a directory, making it (mode 0700) if it is not there.
    pub fn open(root: &Path) -> Result<Slots, Error> {
        let mut builder = fs::DirBuilder::new();
        builder
            .recursive(true)
            .mode(0o700)
            .create(root)
            .map_err(at(root))?;
        let path = root.join(LOCK);
        match Lock::take(&path) {
            Ok(lock) => Ok(Slots {
                root: root.to_owned(),
                _lock: lock,
            }),
            Err(fs::TryLockError::WouldBlock) => Err(Error::Locked { path }),
            Err(fs::TryLockError::Error(source)) => Err(Error::File { path, source }),
        }
    }

    /// Where it is.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The identity in use, if there is one yet.
    pub fn current(&self) -> Result<Option<Current>, Error> {
        let Some(number) = self.current_number()? else {
            return Ok(None);
        };
        let slot = self.slot(number);
        let chain = read_text(&slot.join(CHAIN))?;
        Ok(Some(Current {
            key: read_key(&slot)?,
            chain: chain.to_string(),
        }))
    }

    /// The identity on its way, if one was begun and not finished.
    pub fn next(&self) -> Result<Option<Next>, Error> {
        let after = self.current_number()?.unwrap_or(0);
        let Some(number) = self.numbers()?.into_iter().filter(|n| *n > after).max() else {
            return Ok(None);
        };
        let slot = self.slot(number);
        let request = read_text(&slot.join(REQUEST))?.to_string();
        let retry_at = match read_text(&slot.join(RETRY_AT)) {
            Ok(text) => text.trim().parse().ok().map(Time::from_unix),
            Err(_) => None, // only a hint: asking too early does no harm
        };
        Ok(Some(Next {
            number,
            key: read_key(&slot)?,
            request,
            retry_at,
        }))
    }

    /// Begins an identity: when this returns, its key and its request (DER) will outlive a crash.
    ///
    /// An identity already on its way is given up for the new one.
    pub fn begin(&self, key: KeyPair, request: &[u8]) -> Result<Next, Error> {
        let number = self
            .numbers()?
            .into_iter()
            .max()
            .unwrap_or(0)
            .saturating_add(1);
        // A crash while beginning left one: nothing of it was sent.
        let forming = self.clear_forming()?;
        fs::DirBuilder::new()
            .mode(0o700)
            .create(&forming)
            .map_err(at(&forming))?;
        let pem = key.to_pem().map_err(|_| Error::Damaged {
            path: forming.join(KEY),
            what: "the key has no PEM form",
        })?;
        write_durably(&forming, KEY, pem.as_bytes())?;
        let request = pem_encode("CERTIFICATE REQUEST", request);
        write_durably(&forming, REQUEST, request.as_bytes())?;
        fs::rename(&forming, self.slot(number)).map_err(at(&forming))?;
        sync_directory(&self.root)?;
        Ok(Next {
            number,
            key,
            request,
            retry_at: None,
        })
    }

    /// Puts another request (DER) beside the key that is already there.
    pub fn rewrite_request(&self, next: &mut Next, request: &[u8]) -> Result<(), Error> {
        next.request = pem_encode("CERTIFICATE REQUEST", request);
        write_durably(&self.slot(next.number), REQUEST, next.request.as_bytes())
    }

    /// Notes when to ask again.
    pub fn postpone(&self, next: &Next, retry_at: Time) -> Result<(), Error> {
        let text = format!("{}\n", retry_at.unix());
        write_durably(&self.slot(next.number), RETRY_AT, text.as_bytes())
    }

    /// Gives up an identity on its way: its key will not be used again.
    pub fn abandon(&self, next: Next) -> Result<(), Error> {
        // Out of sight in one step first, so that no crash leaves half of it to be found.
        let forming = self.clear_forming()?;
        let slot = self.slot(next.number);
        fs::rename(&slot, &forming).map_err(at(&slot))?;
        sync_directory(&self.root)?;
        self.clear_forming().map(|_| ())
    }

    /// Makes the next identity the current one. `chain` is DER, the own certificate first; the
    /// caller has checked that it belongs to the key and leads to a trust anchor.
    pub fn commit(&self, next: Next, chain: &[&[u8]]) -> Result<Current, Error> {
        let slot = self.slot(next.number);
        let pem: Vec<String> = chain
            .iter()
            .map(|der| pem_encode("CERTIFICATE", der))
            .collect();
        let own = pem.first().map(String::as_str).unwrap_or_default();
        write_durably(&slot, CERTIFICATE, own.as_bytes())?;
        let chain = pem.concat();
        write_durably(&slot, CHAIN, chain.as_bytes())?;
        let before = self.current_number()?;
        self.point_current_at(next.number)?;
        self.forget_all_but(before, next.number);
        Ok(Current {
            key: next.key,
            chain,
        })
    }

    /// The place where slots are put together and taken apart, with nothing there.
    fn clear_forming(&self) -> Result<PathBuf, Error> {
        let forming = self.root.join(FORMING);
        disk::clear(&forming).map_err(at(&forming))?;
        Ok(forming)
    }

    /// Replaces the `current` link in one step: a crash leaves the old link or the new one.
    fn point_current_at(&self, number: Number) -> Result<(), Error> {
        let link = self.root.join(CURRENT);
        disk::relink(&link, Path::new(&slot_name(number))).map_err(at(&link))
    }

    /// Removes identities that are neither in use nor the one before. Failing to is no failure:
    /// the next change tries again.
    fn forget_all_but(&self, before: Option<Number>, current: Number) {
        for number in self.numbers().unwrap_or_default() {
            if number < current && Some(number) != before {
                let _ = fs::remove_dir_all(self.slot(number));
            }
        }
    }

    fn slot(&self, number: Number) -> PathBuf {
        self.root.join(slot_name(number))
    }

    fn current_number(&self) -> Result<Option<Number>, Error> {
        let link = self.root.join(CURRENT);
        let target = match fs::read_link(&link) {
            Ok(target) => target,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(at(&link)(error)),
        };
        match target.to_str().and_then(slot_number) {
            Some(number) => Ok(Some(number)),
            None => Err(Error::Damaged {
                path: link,
                what: "it does not point at an identity",
            }),
        }
    }

    fn numbers(&self) -> Result<Vec<Number>, Error> {
        let entries = fs::read_dir(&self.root).map_err(at(&self.root))?;
        let mut numbers = Vec::new();
        for entry in entries {
            let entry = entry.map_err(at(&self.root))?;
            numbers.extend(entry.file_name().to_str().and_then(slot_number));
        }
        Ok(numbers)
    }
}

fn slot_name(number: Number) -> String {
    format!("{number:04}")
}

fn slot_number(name: &str) -> Option<Number> {
    let number = name.parse().ok()?;
    (slot_name(number) == name).then_some(number)
}

fn read_key(slot: &Path) -> Result<KeyPair, Error> {
    let path = slot.join(KEY);
    let pem = read_text(&path)?;
    KeyPair::from_pem(&pem).map_err(|_| Error::Damaged {
        path,
        what: "it holds no key we can use",
    })
}

/// A text file of reasonable size.
pub(crate) fn read_text(path: &Path) -> Result<Zeroizing<String>, Error> {
    let file = File::open(path).map_err(at(path))?;
    let mut octets = Zeroizing::new(Vec::new());
    file.take(IDENTITY_FILE_BYTES_MAX + 1)
        .read_to_end(&mut octets)
        .map_err(at(path))?;
    if octets.len() as u64 > IDENTITY_FILE_BYTES_MAX {
        return Err(Error::Damaged {
            path: path.to_owned(),
            what: "it is too large",
        });
    }
    match std::str::from_utf8(&octets) {
        Ok(text) => Ok(Zeroizing::new(text.to_owned())),
        Err(_) => Err(Error::Damaged {
            path: path.to_owned(),
            what: "it is not text",
        }),
    }
}

/// Puts a file (mode 0600) in place: after a crash it is either whole or as it was before.
pub(crate) fn write_durably(directory: &Path, name: &str, octets: &[u8]) -> Result<(), Error> {
    let path = directory.join(name);
    disk::replace(&path, octets, Readers::Owner).map_err(at(&path))
}

fn sync_directory(directory: &Path) -> Result<(), Error> {
    disk::sync(directory).map_err(at(directory))
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::File { path, source }
}

#[cfg(test)]
mod tests;
