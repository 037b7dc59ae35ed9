//! A feed at the relying party: what it should trust and refuse is fetched or carried in, checked
//! against the pinned key, put in place as a whole, taken into use by a hook, and acknowledged.
//!
//! Nothing older than what was taken before is ever taken again, also after a restart; see [`Holding`].

mod deployed;
mod follow;
mod holding;
mod hook;
mod line;
mod pack;
mod wake;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tenure_domain::Slug;
use tenure_domain::feed::{BadManifest, KEY_NAME, Manifest};
use tenure_tlog::{Note, VerifierKey};
use tenure_x509::Time;

pub use deployed::{Observer, Seen, deployed};
pub use follow::{Follower, Step};
pub use holding::{Applied, Held, Holding, Status, Taken, look};
pub use hook::Hook;
pub use pack::{Opened, receipt};
pub use wake::{Called, Lost, Wake, broker};

use crate::http;
use crate::limits::CONNECTION_BYTES_MAX;

#[cfg(test)]
mod tests;

/// What a relying party needs to follow its feed, as `tenure feed connect` writes it.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Connection {
    /// 1.
    pub version: u8,
    /// The operator listener, `https://host:port`.
    pub url: String,
    /// The relying party.
    pub party: Slug,
    /// The token that opens its feed. A secret.
    pub token: String,
    /// The key that manifests are signed with (C2SP signed-note), pinned.
    pub key: String,
    /// What the listener's certificate must lead to, PEM.
    pub ca_pem: String,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("url", &self.url)
            .field("party", &self.party)
            .finish_non_exhaustive()
    }
}

impl Connection {
    /// Reads the file.
    ///
    /// # Errors
    /// It cannot be read, or is no such file.
    pub fn read(path: &Path) -> Result<Connection, Error> {
        let octets = read_up_to(path, CONNECTION_BYTES_MAX)?;
        let damaged = |what| Error::Damaged {
            path: path.to_owned(),
            what,
        };
        let connection: Connection = serde_json::from_slice(&octets)
            .map_err(|_| damaged("it is not what `tenure feed connect` writes"))?;
        if connection.version != 1 {
            return Err(damaged("it is of another version"));
        }
        connection
            .pinned()
            .map_err(|_| damaged("its key is not one that signs manifests"))?;
        Ok(connection)
    }

    /// The pinned key.
    ///
    /// # Errors
    /// It is none.
    pub fn pinned(&self) -> Result<VerifierKey, Error> {
        pinned(&self.key)
    }
}

/// A key in its text form that signs manifests.
fn pinned(text: &str) -> Result<VerifierKey, Error> {
    let key: VerifierKey = text.parse().map_err(|_| Error::NotSigned)?;
    match key.name() {
        KEY_NAME => Ok(key),
        _ => Err(Error::NotSigned),
    }
}

/// Why a feed cannot be followed.
#[derive(Debug)]
pub enum Error {
    /// A file could not be read or written.
    File {
        /// Which one.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file does not hold what it should.
    Damaged {
        /// Which one.
        path: PathBuf,
        /// What is wrong.
        what: &'static str,
    },
    /// Another program works in this directory.
    Locked {
        /// Its lock file.
        path: PathBuf,
    },
    /// The directory belongs to another relying party or another key.
    OtherFeed {
        /// What differs.
        what: &'static str,
    },
    /// The manifest is not signed by the pinned key.
    NotSigned,
    /// What is signed is no manifest.
    Manifest(BadManifest),
    /// The manifest is of another relying party.
    OtherParty {
        /// Which.
        party: Slug,
    },
    /// The manifest is older than what was taken before.
    Older {
        /// The number it has.
        offered: i64,
        /// The number that was taken.
        held: i64,
    },
    /// Another manifest was taken under the same number.
    Fork {
        /// The number.
        sequence: i64,
    },
    /// The manifest may not be taken up any more.
    TooOld {
        /// Since when.
        until: Time,
    },
    /// An item is not what the manifest says.
    Item {
        /// Its file.
        path: String,
    },
    /// The pack is not one.
    Pack {
        /// What is wrong.
        what: &'static str,
    },
    /// The hook did not succeed.
    Hook {
        /// How it ended.
        how: String,
    },
    /// Something was asked for that cannot be.
    Setting(String),
    /// The server was not reached, or is not the one it should be.
    Http(http::Error),
    /// The server said no.
    Refused {
        /// The status.
        status: ::http::StatusCode,
        /// What it said.
        said: String,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::File { path, .. } => write!(f, "cannot use {}", path.display()),
            Error::Damaged { path, what } => write!(f, "{} is damaged: {what}", path.display()),
            Error::Locked { path } => write!(
                f,
                "another program follows a feed here: it holds {}",
                path.display()
            ),
            Error::OtherFeed { what } => write!(
                f,
                "this directory belongs to another feed: {what} differs. Use a fresh directory"
            ),
            Error::NotSigned => {
                f.write_str("it is not signed by the pinned key; nothing was taken")
            }
            Error::Manifest(why) => write!(f, "it is no manifest: {why}; nothing was taken"),
            Error::OtherParty { party } => {
                write!(f, "it is for {party}; nothing was taken")
            }
            Error::Older { offered, held } => write!(
                f,
                "number {offered} is older than number {held}, which was taken before; nothing was \
                 taken"
            ),
            Error::Fork { sequence } => write!(
                f,
                "it differs from what was taken before under the same number {sequence}; nothing was \
                 taken. Tell who runs the server: somebody may have its key"
            ),
            Error::TooOld { until } => write!(
                f,
                "it could be taken up until {until} and no longer; nothing was taken"
            ),
            Error::Item { path } => {
                write!(f, "{path} is not what the manifest says; nothing was taken")
            }
            Error::Pack { what } => write!(f, "this is no pack: {what}"),
            Error::Hook { how } => write!(f, "the hook {how}; nothing was acknowledged"),
            Error::Setting(what) => f.write_str(what),
            Error::Http(_) => f.write_str("the server was not reached"),
            Error::Refused { status, said } => write!(f, "the server said {status}: {said}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::File { source, .. } => Some(source),
            Error::Http(source) => Some(source),
            _ => None,
        }
    }
}

impl From<http::Error> for Error {
    fn from(error: http::Error) -> Error {
        Error::Http(error)
    }
}

/// A manifest that the pinned key has signed. There is no other way to one than [`open`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    manifest: Manifest,
    note: String,
}

impl Signed {
    /// The manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// With its signature, as it came.
    pub fn note(&self) -> &str {
        &self.note
    }
}

/// Verifies a signed manifest with the pinned key.
///
/// # Errors
/// [`Error::NotSigned`] or [`Error::Manifest`].
pub fn open(note: &[u8], key: &VerifierKey) -> Result<Signed, Error> {
    let parsed = Note::parse(note).map_err(|_| Error::NotSigned)?;
    parsed
        .verify(std::slice::from_ref(key), is_signed)
        .map_err(|_| Error::NotSigned)?;
    let manifest = Manifest::parse(parsed.text()).map_err(Error::Manifest)?;
    Ok(Signed {
        manifest,
        note: parsed.to_string(),
    })
}

fn is_signed(key: &VerifierKey, text: &[u8], signature: &[u8]) -> bool {
    use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
    UnparsedPublicKey::new(&ED25519, key.public())
        .verify(text, signature)
        .is_ok()
}

/// Reads a file that has no business being larger.
fn read_up_to(path: &Path, most: u64) -> Result<Vec<u8>, Error> {
    use std::io::Read;
    let failed = |source| Error::File {
        path: path.to_owned(),
        source,
    };
    let file = std::fs::File::open(path).map_err(failed)?;
    let mut octets = Vec::new();
    file.take(most + 1)
        .read_to_end(&mut octets)
        .map_err(failed)?;
    if octets.len() as u64 > most {
        return Err(Error::Damaged {
            path: path.to_owned(),
            what: "it is too large",
        });
    }
    Ok(octets)
}
