//! What can go wrong with a keyring, said so that its owner knows what to do.

use std::path::PathBuf;
use std::{fmt, io};

use super::Weakness;

/// Why a keyring, or one key of it, cannot be opened, made or changed.
#[derive(Debug)]
#[non_exhaustive]
pub enum KeyringError {
    /// The passphrase is not one to protect keys with.
    WeakPassphrase(Weakness),
    /// The passphrase is not the one this key was locked with.
    WrongPassphrase {
        /// The key.
        key: String,
    },
    /// The record or the key file is not as it was when the key was made.
    Changed {
        /// The key.
        key: String,
    },
    /// The private key found does not belong to the public key in the record.
    PublicMismatch {
        /// The key.
        key: String,
    },
    /// The record, or the key file around the key, cannot be read.
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The record is there, the key file is not.
    Missing {
        /// The key.
        key: String,
        /// Where the key file should be.
        path: PathBuf,
    },
    /// There is a key of this name already.
    Exists {
        /// The key.
        key: String,
    },
    /// There is no key of this name.
    Unknown {
        /// The key.
        key: String,
    },
    /// No key may have this name.
    BadName {
        /// The name.
        name: String,
    },
    /// Another record already speaks for the same private key; two would open each other's doors.
    SameKey {
        /// The new key.
        key: String,
        /// The key that is there.
        other: String,
    },
    /// Others may read the key file, or write where it lies.
    Exposed {
        /// The file or directory.
        path: PathBuf,
        /// The permission bits found.
        mode: u32,
        /// The permission bits wanted.
        wanted: u32,
    },
    /// The directory for a new key is not there.
    NoDirectory {
        /// The directory.
        path: PathBuf,
    },
    /// The directory for a new keyring is not empty.
    NotEmpty {
        /// The directory.
        path: PathBuf,
    },
    /// The file system failed.
    File {
        /// What was being done.
        doing: &'static str,
        /// With which file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The key itself cannot be made, written or read.
    Key {
        /// The key.
        key: String,
        /// What is wrong.
        source: tenure_x509::Error,
    },
    /// The token that holds the key failed.
    Token {
        /// The key.
        key: String,
        /// What is wrong.
        source: TokenError,
    },
    /// The cryptographic library failed.
    Cryptography {
        /// What it was asked to do.
        doing: &'static str,
    },
}

impl fmt::Display for KeyringError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WeakPassphrase(weakness) => {
                write!(f, "{weakness}: choose one that is used nowhere else")
            }
            Self::WrongPassphrase { key } => {
                write!(f, "the passphrase does not open key {key}")
            }
            Self::Changed { key } => write!(
                f,
                "the record or the file of key {key} was changed since the key was made: \
                 restore both from a backup, and find out who changed them"
            ),
            Self::PublicMismatch { key } => write!(
                f,
                "the private key of {key} does not belong to the public key in its record: \
                 restore both files from one backup"
            ),
            Self::Malformed { path, why } => {
                write!(f, "cannot read {}: {why}", path.display())
            }
            Self::Missing { key, path } => write!(
                f,
                "key {key} has a record but no key file: restore {} from a backup",
                path.display()
            ),
            Self::Exists { key } => write!(f, "there is a key {key} already"),
            Self::Unknown { key } => write!(f, "there is no key {key}"),
            Self::BadName { name } => write!(
                f,
                "{name:?} cannot name a key: use up to 63 lower-case letters, digits and hyphens, \
                 beginning with a letter or digit"
            ),
            Self::SameKey { key, other } => write!(
                f,
                "key {key} would be the same private key as {other}: give it another label"
            ),
            Self::Exposed { path, mode, wanted } => write!(
                f,
                "{} is open to other users (mode {mode:04o}): run chmod {wanted:o} {}",
                path.display(),
                path.display()
            ),
            Self::NoDirectory { path } => write!(
                f,
                "there is no directory {} for the key: make it first, or mount its medium",
                path.display()
            ),
            Self::NotEmpty { path } => write!(
                f,
                "{} is not empty: a new keyring needs a directory of its own",
                path.display()
            ),
            Self::File {
                doing,
                path,
                source,
            } => {
                write!(f, "cannot {doing} {}: {source}", path.display())
            }
            Self::Key { key, source } => write!(f, "key {key}: {source}"),
            Self::Token { key, source } => write!(f, "key {key}: {source}"),
            Self::Cryptography { doing } => write!(f, "the cryptographic library cannot {doing}"),
        }
    }
}

impl std::error::Error for KeyringError {} // Display says it whole

/// What is wrong with a token, or with a key in it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TokenError {
    /// This program was built without PKCS#11.
    NotBuilt,
    /// The module cannot be loaded.
    Module {
        /// The library.
        path: PathBuf,
        /// What the system said.
        why: String,
    },
    /// No token with this label is present.
    NoToken {
        /// The label.
        token: String,
    },
    /// There is no PIN where the record says it is.
    NoPin {
        /// Where that is.
        place: String,
        /// What is wrong there.
        why: String,
    },
    /// The token refused the PIN; it is not tried again, since tokens lock themselves.
    PinRefused {
        /// The token.
        token: String,
        /// What the token said.
        why: String,
    },
    /// The token holds no private key with this label.
    NoKey {
        /// The label.
        label: String,
    },
    /// The token holds several private keys with this label.
    SeveralKeys {
        /// The label.
        label: String,
    },
    /// The private key may leave the token.
    Extractable {
        /// The label.
        label: String,
    },
    /// The key with this label is of another kind.
    OtherKind {
        /// The label.
        label: String,
        /// What was asked for.
        wanted: tenure_x509::KeyKind,
        /// What the token holds.
        found: tenure_x509::KeyAlgorithm,
    },
    /// The token cannot make or use keys of this kind.
    Unsupported {
        /// The kind.
        kind: String,
        /// What the token said.
        why: String,
    },
    /// The token answered with something that makes no sense.
    Nonsense {
        /// What it was asked for.
        what: &'static str,
    },
    /// A call failed.
    Call {
        /// What the module said.
        why: String,
    },
}

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotBuilt => f.write_str(
                "it lies in a PKCS#11 token, and this program was built without the pkcs11 feature",
            ),
            Self::Module { path, why } => {
                write!(
                    f,
                    "cannot load the PKCS#11 module {}: {why}",
                    path.display()
                )
            }
            Self::NoToken { token } => write!(
                f,
                "no token labelled {token:?} is present: connect it, or check the module's settings"
            ),
            Self::NoPin { place, why } => write!(f, "no PIN in {place}: {why}"),
            Self::PinRefused { token, why } => write!(
                f,
                "token {token:?} refused the PIN ({why}); it is not tried again before a restart"
            ),
            Self::NoKey { label } => {
                write!(f, "the token holds no private key labelled {label:?}")
            }
            Self::SeveralKeys { label } => {
                write!(
                    f,
                    "the token holds several private keys labelled {label:?}: relabel them"
                )
            }
            Self::Extractable { label } => write!(
                f,
                "the private key labelled {label:?} may leave the token: make one that may not"
            ),
            Self::OtherKind {
                label,
                wanted,
                found,
            } => {
                write!(f, "the key labelled {label:?} is {found}, not {wanted}")
            }
            Self::Unsupported { kind, why } => {
                write!(f, "the token cannot use keys of kind {kind}: {why}")
            }
            Self::Nonsense { what } => write!(f, "the token gave no sensible {what}"),
            Self::Call { why } => write!(f, "the token failed: {why}"),
        }
    }
}

impl std::error::Error for TokenError {}
