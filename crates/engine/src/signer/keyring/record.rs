//! The record of a key: what it is, what it may sign, where it lies.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use tenure_x509::{KeyKind, PublicKey, Time};
#[cfg(feature = "pkcs11")]
use zeroize::Zeroizing;

use super::super::Doors;
use super::KeyringError;
#[cfg(feature = "pkcs11")]
use super::{Passphrase, TokenError, file};

const HEAD: &str = "# What this key is and what it may sign. Sealed together with the key: an edit \
                    is found and refused.\n";

/// What is known of a key without opening it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRecord {
    /// Its name, unique in its keyring.
    pub name: String,
    /// What it may sign.
    pub doors: Doors,
    /// What kind of key it is.
    pub kind: KeyKind,
    /// Who opens it.
    pub opened_by: OpenedBy,
    /// Where the private half lies.
    pub custody: Custody,
    /// The public half.
    pub public: PublicKey,
    /// When the key was made, or taken over from a token.
    pub created: Time,
}

/// A key to be made.
#[derive(Debug, Clone)]
pub struct NewKey {
    /// Its name: up to 63 lower-case letters, digits and hyphens.
    pub name: String,
    /// What it may sign.
    pub doors: Doors,
    /// What kind of key to make.
    pub kind: KeyKind,
    /// Who will open it.
    pub opened_by: OpenedBy,
    /// Where to keep the private half.
    pub custody: Custody,
    /// The time now.
    pub created: Time,
}

/// Who opens a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OpenedBy {
    /// The running server, with all others of its kind, when it starts.
    Serve,
    /// A person, for one act, such as signing with the root. The server never opens it.
    Ceremony,
}

/// Where a private key lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Custody {
    /// In a file, encrypted under the passphrase.
    File,
    /// In a token that does not give it away.
    Pkcs11(TokenKey),
}

impl fmt::Display for Custody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Custody::File => f.write_str("file"),
            Custody::Pkcs11(place) => write!(f, "token {} ({})", place.token, place.label),
        }
    }
}

/// Where in which token a key lies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct TokenKey {
    /// The PKCS#11 library, by its absolute path.
    pub module: PathBuf,
    /// The token's label.
    pub token: String,
    /// The private key's label.
    pub label: String,
    /// Where the token's PIN comes from. The PIN itself is never written down.
    pub pin: PinSource,
}

/// Where a token's PIN comes from: `passphrase`, `environment:NAME` or `file:PATH`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum PinSource {
    /// The keyring's passphrase is the PIN.
    Passphrase,
    /// An environment variable of this name.
    Environment(String),
    /// The first line of this file.
    File(PathBuf),
}

impl PinSource {
    #[cfg(feature = "pkcs11")]
    pub(super) fn read(&self, passphrase: &Passphrase) -> Result<Zeroizing<String>, TokenError> {
        let absent = |why: &str| TokenError::NoPin {
            place: self.to_string(),
            why: why.into(),
        };
        let pin = match self {
            PinSource::Passphrase => Zeroizing::new(passphrase.as_str().to_owned()),
            PinSource::Environment(name) => std::env::var(name)
                .map(Zeroizing::new)
                .map_err(|_| absent("the variable is not set"))?,
            PinSource::File(path) => {
                let text = file::read(path).map_err(|error| absent(&error.to_string()))?;
                let text = text.ok_or_else(|| absent("there is no such file"))?;
                Zeroizing::new(text.lines().next().unwrap_or_default().to_owned())
            }
        };
        if pin.is_empty() {
            return Err(absent("it is empty"));
        }
        Ok(pin)
    }
}

impl fmt::Display for PinSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PinSource::Passphrase => f.write_str("passphrase"),
            PinSource::Environment(name) => write!(f, "environment:{name}"),
            PinSource::File(path) => write!(f, "file:{}", path.display()),
        }
    }
}

impl FromStr for PinSource {
    type Err = String;

    fn from_str(text: &str) -> Result<PinSource, String> {
        match text.split_once(':') {
            None if text == "passphrase" => Ok(PinSource::Passphrase),
            Some(("environment", name)) if !name.is_empty() => {
                Ok(PinSource::Environment(name.to_owned()))
            }
            Some(("file", path)) if !path.is_empty() => Ok(PinSource::File(path.into())),
            // the text itself may be the PIN
            _ => Err("a PIN source is passphrase, environment:NAME or file:PATH".to_owned()),
        }
    }
}

impl TryFrom<String> for PinSource {
    type Error = String;

    fn try_from(text: String) -> Result<PinSource, String> {
        text.parse()
    }
}

impl From<PinSource> for String {
    fn from(source: PinSource) -> String {
        source.to_string()
    }
}

/// The record as it stands in its file.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Written {
    name: String,
    doors: Doors,
    kind: String,
    opened_by: OpenedBy,
    created: String,
    public_key: String,
    custody: WrittenCustody,
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
enum WrittenCustody {
    File {},
    Pkcs11(TokenKey),
}

impl KeyRecord {
    pub(super) fn to_text(&self) -> Result<String, KeyringError> {
        let written = Written {
            name: self.name.clone(),
            doors: self.doors,
            kind: self.kind.to_string(),
            opened_by: self.opened_by,
            created: self.created.to_string(),
            public_key: STANDARD.encode(self.public.spki_der()),
            custody: match &self.custody {
                Custody::File => WrittenCustody::File {},
                Custody::Pkcs11(place) => WrittenCustody::Pkcs11(place.clone()),
            },
        };
        // Fails for a module path that is not Unicode.
        let text = toml::to_string(&written).map_err(|error| KeyringError::Malformed {
            path: PathBuf::from(&self.name),
            why: error.to_string(),
        })?;
        Ok(format!("{HEAD}{text}"))
    }

    pub(super) fn from_text(text: &str) -> Result<KeyRecord, String> {
        let written: Written = toml::from_str(text).map_err(|error| error.message().to_owned())?;
        let spki = STANDARD
            .decode(&written.public_key)
            .map_err(|_| "public-key is not base64")?;
        let public = PublicKey::from_spki_der(&spki).map_err(|error| error.to_string())?;
        check_name(&written.name).map_err(|error| error.to_string())?;
        Ok(KeyRecord {
            name: written.name,
            doors: written.doors,
            kind: written
                .kind
                .parse()
                .map_err(|error: tenure_x509::Error| error.to_string())?,
            opened_by: written.opened_by,
            custody: match written.custody {
                WrittenCustody::File {} => Custody::File,
                WrittenCustody::Pkcs11(place) => Custody::Pkcs11(place),
            },
            public,
            created: Time::parse_rfc3339(&written.created).map_err(|error| error.to_string())?,
        })
    }
}

/// A name becomes a file name, so it says nothing that a file system could read otherwise.
pub(super) fn check_name(name: &str) -> Result<(), KeyringError> {
    let right = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if matches!(name.len(), 1..=63) && name.chars().all(right) && !name.starts_with('-') {
        Ok(())
    } else {
        Err(KeyringError::BadName {
            name: name.to_owned(),
        })
    }
}
