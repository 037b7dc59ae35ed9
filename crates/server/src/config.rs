//! `tenure.toml`: how this process runs. What the fleet is stands in the database, and no key is
//! in both. The doc comments of these structs are the manual of the file.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use serde::de::Error;
use serde::{Deserialize, Deserializer};
use tenure_x509::SanName;
use tracing_subscriber::filter::{LevelFilter, Targets};

use crate::limits::Limits;
use crate::listen::Listener;

#[cfg(test)]
mod tests;

/// The name of the file in the data directory.
pub const FILE_NAME: &str = "tenure.toml";

/// The whole file. Every key may be left out; an unknown key stops the start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Names and addresses by which devices and operators reach this server, beside `localhost`
    /// and the loopback addresses. The server's certificate names them all, and is renewed at the
    /// next start when one is added.
    pub hosts: Vec<String>,
    /// Addresses to listen on.
    pub listen: Listen,
    /// Where keys are found.
    pub keys: Keys,
    /// How devices are spoken to.
    pub est: Est,
    /// How often relying parties are probed.
    pub probe: Probe,
    /// How often drills are made without anybody asking.
    pub drill: Drill,
    /// What one client may use.
    pub limits: Limits,
    /// What is logged, and how.
    pub log: Log,
}

/// Listen addresses: `ADDRESS:PORT`, IPv6 in brackets (`"[::1]:8443"`). Port 0 takes any free one.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Listen {
    /// HTTPS for devices: enrollment. Environment: `TENURE_LISTEN_DEVICE`.
    #[serde(deserialize_with = "address")]
    pub device: SocketAddr,
    /// Plain HTTP for everyone: CRLs, OCSP, CA certificates, the log's checkpoint and hash tiles.
    /// Environment: `TENURE_LISTEN_PUBLIC`.
    #[serde(deserialize_with = "address")]
    pub public: SocketAddr,
    /// HTTPS for operators: API, dashboard, metrics. Environment: `TENURE_LISTEN_OPERATOR`.
    #[serde(deserialize_with = "address")]
    pub operator: SocketAddr,
    /// HTTPS for relying parties that ask whether a device may be let in. Closed if left out.
    /// Environment: `TENURE_LISTEN_ACCESS`.
    #[serde(deserialize_with = "address")]
    pub access: Option<SocketAddr>,
}

/// How an address to listen on is written.
const ADDRESS: &str = "write ADDRESS:PORT, for example 0.0.0.0:8443 or [::]:8443";

fn address<'de, D: Deserializer<'de>, T: From<SocketAddr>>(value: D) -> Result<T, D::Error> {
    let text = String::deserialize(value)?;
    let address: Result<SocketAddr, _> = text.parse();
    address
        .map(T::from)
        .map_err(|_| D::Error::custom(format!("{text:?} is not an address; {ADDRESS}")))
}

impl Default for Listen {
    fn default() -> Self {
        let local = |port| SocketAddr::from(([127, 0, 0, 1], port));
        Listen {
            device: local(8443),
            public: local(8080),
            operator: local(9443),
            access: None,
        }
    }
}

impl Listen {
    /// The address of one listener; none for one that stays closed.
    pub fn address(&self, listener: Listener) -> Option<SocketAddr> {
        match listener {
            Listener::Device => Some(self.device),
            Listener::Public => Some(self.public),
            Listener::Operator => Some(self.operator),
            Listener::Access => self.access,
        }
    }

    fn set(&mut self, listener: Listener, address: SocketAddr) {
        match listener {
            Listener::Device => self.device = address,
            Listener::Public => self.public = address,
            Listener::Operator => self.operator = address,
            Listener::Access => self.access = Some(address),
        }
    }
}

/// Where keys are found. Relative paths start at the data directory.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Keys {
    /// The directory of the encrypted key files.
    pub directory: PathBuf,
    /// A file whose first line is the passphrase of the key files. Without it the passphrase comes
    /// from `--passphrase-file`, `TENURE_PASSPHRASE` or a prompt.
    pub passphrase_file: Option<PathBuf>,
    /// A hardware token. Keys that live there are named in the database by their label.
    pub pkcs11: Option<Pkcs11>,
}

impl Default for Keys {
    fn default() -> Self {
        Keys {
            directory: PathBuf::from("keys"),
            passphrase_file: None,
            pkcs11: None,
        }
    }
}

/// How to reach a PKCS#11 token.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pkcs11 {
    /// The module, as an absolute path (`/usr/lib/softhsm/libsofthsm2.so`).
    pub module: PathBuf,
    /// The token's label.
    pub token: String,
    /// A file whose first line is the user PIN. Without it: `TENURE_PKCS11_PIN`.
    #[serde(default)]
    pub pin_file: Option<PathBuf>,
}

/// Enrollment over EST.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Est {
    /// Labels whose answers are base64 in lines of 64 characters, as clients built on libest want
    /// them. All others get one line, as strongSwan wants it.
    pub wrapped_labels: Vec<String>,
}

/// Probes of relying parties.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Probe {
    /// Seconds from one probe of a relying party to the next, give or take a tenth. 0 probes only
    /// when asked.
    pub every_s: u64,
}

impl Default for Probe {
    fn default() -> Self {
        Probe { every_s: 3_600 }
    }
}

/// Drills that are made without anybody asking.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Drill {
    /// Seconds from one revocation drill of an issuer to the next; a week if left out. 0 drills only
    /// when asked.
    pub revoke_every_s: u64,
}

impl Default for Drill {
    fn default() -> Self {
        Drill {
            revoke_every_s: 7 * 86_400,
        }
    }
}

/// Logging, to standard error.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// `text` or `json`.
    pub format: LogFormat,
    /// `error`, `warn`, `info`, `debug` or `trace`, or a `tracing` filter such as
    /// `info,tenure_server=debug`.
    #[serde(deserialize_with = "filter")]
    pub level: String,
}

/// Each piece of a filter names a level, alone or for a target.
fn filter<'de, D: Deserializer<'de>>(value: D) -> Result<String, D::Error> {
    let text = String::deserialize(value)?;
    let is_level = |piece: &str| {
        let level = piece.rsplit_once('=').map_or(piece, |(_, level)| level);
        !level.trim().is_empty() && level.trim().parse::<LevelFilter>().is_ok()
    };
    match text.split(',').all(is_level) && text.parse::<Targets>().is_ok() {
        true => Ok(text),
        false => Err(D::Error::custom(format!(
            "{text:?} is not a level; use error, warn, info, debug or trace, or a filter such as \
             info,tenure_server=debug"
        ))),
    }
}

impl Default for Log {
    fn default() -> Self {
        Log {
            format: LogFormat::Text,
            level: "info".into(),
        }
    }
}

/// The form of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// One readable line.
    Text,
    /// One JSON object a line.
    Json,
}

impl Config {
    /// Reads `DIR/tenure.toml` and lays the environment over it.
    ///
    /// # Errors
    /// The file cannot be read, or says something that is not understood.
    pub fn load(
        data: &Path,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Config, ConfigError> {
        let path = data.join(FILE_NAME);
        let text = std::fs::read_to_string(&path).map_err(|error| ConfigError::Unreadable {
            path: path.clone(),
            error,
        })?;
        let mut config = Config::parse(&text)?;
        config.overlay(variable)?;
        Ok(config)
    }

    /// Reads the text of a configuration file.
    ///
    /// # Errors
    /// Not TOML, an unknown key, or a value of the wrong kind.
    pub fn parse(text: &str) -> Result<Config, ConfigError> {
        toml::from_str(text).map_err(|error| ConfigError::from_toml(text, &error))
    }

    /// All names of the server's certificate: `localhost`, the loopback addresses and `hosts`.
    ///
    /// # Errors
    /// An entry of `hosts` is neither a DNS name nor an IP address.
    pub fn server_names(&self) -> Result<Vec<SanName>, ConfigError> {
        server_names(&self.hosts).map_err(|value| ConfigError::BadHost { value })
    }

    /// Lays the listen addresses of the environment over those of the file.
    ///
    /// # Errors
    /// A variable is set and is no address.
    pub fn overlay(
        &mut self,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<(), ConfigError> {
        for listener in Listener::ALL {
            let name = listener.variable();
            if let Some(value) = variable(name) {
                let address = value
                    .parse()
                    .map_err(|_| ConfigError::BadAddress { name, value })?;
                self.listen.set(listener, address);
            }
        }
        Ok(())
    }
}

/// The names of a server's certificate that is reached at `hosts` and from its own machine. The
/// error is the entry that is no host.
pub fn server_names(hosts: &[String]) -> Result<Vec<SanName>, String> {
    let mut names = vec![
        SanName::Dns("localhost".to_owned()),
        SanName::Ip(Ipv4Addr::LOCALHOST.into()),
        SanName::Ip(Ipv6Addr::LOCALHOST.into()),
    ];
    for host in hosts {
        let name = match host.parse::<IpAddr>() {
            Ok(ip) => SanName::Ip(ip),
            Err(_) if is_dns_name(host) => SanName::Dns(host.to_ascii_lowercase()),
            Err(_) => return Err(host.clone()),
        };
        if !names.contains(&name) {
            names.push(name);
        }
    }
    Ok(names)
}

/// Letters, digits and hyphens in labels of at most 63, 253 in all (RFC 1123 section 2.1). An
/// address written wrongly is no name: the last label has a letter in it.
fn is_dns_name(host: &str) -> bool {
    let label = |label: &str| {
        matches!(label.len(), 1..=63)
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let last = host.rsplit('.').next().unwrap_or_default();
    host.len() <= 253 && host.split('.').all(label) && last.bytes().any(|b| b.is_ascii_alphabetic())
}

/// Why the configuration cannot be used.
#[derive(Debug)]
pub enum ConfigError {
    /// The file could not be read.
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// A key that does not exist.
    UnknownKey {
        /// Line of the file, from 1.
        line: usize,
        /// The key as written.
        key: String,
        /// The existing key that looks most like it.
        nearest: Option<String>,
    },
    /// Anything else that is wrong with the file.
    Malformed {
        /// Line of the file, from 1.
        line: usize,
        /// The key whose value it is, if the line has one.
        key: Option<String>,
        /// What is wrong.
        what: String,
    },
    /// An entry of `hosts` is no host.
    BadHost {
        /// The entry.
        value: String,
    },
    /// A listen address from the environment is none.
    BadAddress {
        /// The variable.
        name: &'static str,
        /// Its value.
        value: String,
    },
}

impl ConfigError {
    fn from_toml(text: &str, error: &toml::de::Error) -> ConfigError {
        let start = error.span().map_or(0, |span| span.start);
        let line = 1 + text
            .bytes()
            .take(start)
            .filter(|byte| *byte == b'\n')
            .count();
        // serde says: unknown field `a`, expected one of `b`, `c`
        if let Some(rest) = error.message().strip_prefix("unknown field ") {
            let mut quoted = rest.split('`').skip(1).step_by(2);
            if let Some(key) = quoted.next() {
                return ConfigError::UnknownKey {
                    line,
                    key: key.to_string(),
                    nearest: nearest(key, quoted).map(str::to_string),
                };
            }
        }
        let written = text
            .lines()
            .nth(line - 1)
            .and_then(|line| line.split_once('='));
        ConfigError::Malformed {
            line,
            key: written.map(|(key, _)| key.trim().to_owned()),
            what: error.message().to_string(),
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConfigError::Unreadable { path, error }
                if error.kind() == std::io::ErrorKind::NotFound =>
            {
                write!(
                    f,
                    "{} does not exist. Make a data directory with `tenure init --data DIR`, \
                     or name the right one with --data.",
                    path.display()
                )
            }
            ConfigError::Unreadable { path, error } => {
                write!(f, "cannot read {}: {error}", path.display())
            }
            ConfigError::UnknownKey { line, key, nearest } => {
                write!(f, "{FILE_NAME} line {line}: unknown key `{key}`")?;
                match nearest {
                    Some(known) => write!(f, "; did you mean `{known}`?"),
                    None => write!(f, "; remove it"),
                }
            }
            ConfigError::Malformed { line, key, what } => {
                write!(f, "{FILE_NAME} line {line}: ")?;
                match key {
                    Some(key) => write!(f, "`{key}`: {what}"),
                    None => f.write_str(what),
                }
            }
            ConfigError::BadHost { value } => write!(
                f,
                "{FILE_NAME}: {value:?} under `hosts` is neither a DNS name nor an IP address; \
                 write it without scheme and port, for example \"pki.example\""
            ),
            ConfigError::BadAddress { name, value } => {
                write!(f, "{name}={value} is not an address; {ADDRESS}")
            }
        }
    }
}

impl std::error::Error for ConfigError {}

/// The candidate with the fewest edits from `word`.
fn nearest<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    candidates.min_by_key(|candidate| edits(word, candidate))
}

/// Levenshtein's distance.
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut next = vec![i + 1];
        for ((to, above), diagonal) in b.iter().zip(row.iter().skip(1)).zip(&row) {
            let left = next.last().copied().unwrap_or(i + 1);
            next.push(
                (diagonal + usize::from(from != *to))
                    .min(above + 1)
                    .min(left + 1),
            );
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}
