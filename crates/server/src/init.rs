//! `tenure init`: founds a house in a new data directory.
//!
//! Everything is made in a directory beside the wanted one, which gets its name when all is done: a
//! crash leaves nothing half, and an error leaves nothing at all.

use std::fs;
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};
use tenure_domain::policy::DEFAULT_DOCUMENT;
use tenure_domain::profile::is_authority;
use tenure_domain::text::hex;
use tenure_engine::Clock;
use tenure_engine::ceremony::{self, Founded, Founding, FoundingKeys};
use tenure_engine::signer::{
    Custody, Doors, Key, Keyring, NewKey, OpenedBy, Passphrase, PinSource, TokenKey,
};
use tenure_engine::store::{Create, Options, Store};
use tenure_x509::{Cert, KeyKind};

use crate::cli::exit::Failure;
use crate::cli::output::Output;
use crate::config::{self, FILE_NAME};
use crate::passphrase::{Prompt, ROOT_VARIABLE, VARIABLE, Wanted};
use crate::start::StartError;

#[cfg(test)]
mod tests;

/// The trust anchor in the data directory.
pub const ROOT_FILE: &str = "root.pem";
/// The bootstrap copy of the first admin token.
pub const TOKEN_FILE: &str = "admin.token";
/// Where key files are, below the data directory.
const KEYS: &str = "keys";
/// Into how many parts the issuing CA's revocation list is cut.
const SHARDS: u16 = 16;
/// The port of the public listener, for the base URL when none is given.
const PUBLIC_PORT: u16 = 8080;

/// `tenure init`
#[derive(Clone, Debug, Args)]
pub struct Init {
    /// Your organization; it stands in the CA certificates and owns them.
    #[arg(long)]
    pub name: String,
    /// A name or address by which devices and operators reach this server; may be repeated.
    /// localhost and the loopback addresses are always there.
    #[arg(long = "host", value_name = "HOST")]
    pub hosts: Vec<String>,
    /// Where relying parties will fetch revocation lists and status; written into every
    /// certificate. [default: port 8080 of the first --host]
    #[arg(long, value_name = "URL")]
    pub public_url: Option<String>,
    /// Where to put the root key instead of the data directory, under a passphrase of its own
    /// (TENURE_ROOT_PASSPHRASE, --root-passphrase-file or a prompt).
    #[arg(long, value_name = "FILE")]
    pub root_out: Option<PathBuf>,
    /// A file whose first line is the passphrase of the root key at --root-out.
    #[arg(long, value_name = "FILE", requires = "root_out")]
    pub root_passphrase_file: Option<PathBuf>,
    /// The kind of the CA keys: p256, p384, ed25519 or rsa3072.
    #[arg(long, value_name = "KIND", default_value = "p256", value_parser = key_kind)]
    pub key_algorithm: KeyKind,
    /// A file whose first line is the passphrase of the keys. Otherwise TENURE_PASSPHRASE or a
    /// prompt.
    #[arg(long, value_name = "FILE")]
    pub passphrase_file: Option<PathBuf>,
    /// Keep the CA keys in a PKCS#11 token: the module's absolute path.
    #[arg(long, value_name = "MODULE", requires = "hsm_token")]
    pub hsm: Option<PathBuf>,
    /// The token's label.
    #[arg(long, value_name = "LABEL", requires = "hsm")]
    pub hsm_token: Option<String>,
    /// Where the token's PIN is: passphrase, environment:NAME or file:PATH.
    #[arg(long, value_name = "PLACE", default_value = "environment:TENURE_PKCS11_PIN",
          value_parser = pin_source)]
    pub hsm_pin: PinSource,
}

fn key_kind(text: &str) -> Result<KeyKind, String> {
    match text.parse() {
        Ok(KeyKind::Rsa2048) => Err("a CA key of 2048 bits is too short for ten years".to_owned()),
        Ok(kind) => Ok(kind),
        Err(_) => Err("known kinds are p256, p384, ed25519, rsa3072 and rsa4096".to_owned()),
    }
}

fn pin_source(text: &str) -> Result<PinSource, String> {
    text.parse()
}

/// What `init` made.
#[derive(Debug)]
pub struct Made {
    /// The data directory.
    pub data: PathBuf,
    /// The trust anchor.
    pub root: Cert,
    /// The first admin token.
    pub admin_token: String,
    /// What the operator should know.
    pub warnings: Vec<String>,
}

impl Made {
    /// SHA-256 of the root certificate, in hex.
    pub fn fingerprint(&self) -> String {
        hex(&self.root.fingerprint())
    }

    /// For `--json`.
    pub fn to_json(&self) -> Value {
        json!({
            "data": self.data,
            "root_fingerprint": self.fingerprint(),
            "admin_token": self.admin_token,
            "warnings": self.warnings,
        })
    }

    /// For people.
    pub fn to_text(&self) -> String {
        let data = self.data.display();
        let mut text = format!(
            "Made {data}.\n\n\
             Root fingerprint  {}\n\
             Admin token       {}\n\n\
             The token is shown this once; a copy for this machine is in {data}/{TOKEN_FILE}.\n\
             Next: tenure serve --data {data}",
            self.fingerprint(),
            self.admin_token,
        );
        for warning in &self.warnings {
            text.push_str(&format!("\n\nPlease note: {warning}"));
        }
        text
    }
}

/// `tenure init --data DIR …`
///
/// # Errors
/// As [`init`].
pub async fn command(asked: &Init, data: Option<&Path>, output: &Output) -> Result<(), Failure> {
    let data = data.ok_or_else(|| Failure::Usage("say where to make it: --data DIR".to_owned()))?;
    let made = init(asked, data).await?;
    output.done(&made.to_text(), &made.to_json())
}

/// Founds a house in `data`, which must not be there yet, or be empty.
///
/// # Errors
/// Nothing was made, and the message says why.
pub async fn init(init: &Init, data: &Path) -> Result<Made, StartError> {
    is_free(data)?;
    let name = tenure_domain::ids::fresh(&init.name).map_err(|error| {
        StartError::Configuration(format!("--name {:?} cannot be used: {error}", init.name))
    })?;
    let hosts = config::server_names(&init.hosts).map_err(|host| {
        StartError::Configuration(format!(
            "--host {host:?} is neither a DNS name nor an IP address; write it without scheme and \
             port, for example pki.example"
        ))
    })?;
    let public_url = public_url(init)?;
    let passphrase = Wanted {
        what: "the keys",
        file: init.passphrase_file.as_deref(),
        variable: VARIABLE,
        prompt: Prompt::Twice,
    }
    .find()?;
    let root_passphrase = match init.root_out {
        None => None,
        Some(_) => Some(
            Wanted {
                what: "the root key",
                file: init.root_passphrase_file.as_deref(),
                variable: ROOT_VARIABLE,
                prompt: Prompt::Twice,
            }
            .find()?,
        ),
    };

    let parent = parent_of(data)?;
    let beside = tempfile::Builder::new()
        .prefix(".tenure-init-")
        .permissions(fs::Permissions::from_mode(0o700))
        .tempdir_in(&parent)
        .map_err(|error| StartError::file("write into", &parent, &error))?;
    let forming = beside.path();
    let keys = Keys {
        init,
        passphrase: &passphrase,
        root_passphrase: root_passphrase.as_ref(),
    };
    let keys = keys.make(forming)?;
    let leftover = Leftover(init.root_out.as_deref());
    let founding = Founding {
        name,
        public_url: public_url.clone(),
        hosts,
        policy: DEFAULT_DOCUMENT.to_owned(),
        shards: SHARDS,
    };
    let options = Options {
        create: Create::IfMissing,
        ..Options::default()
    };
    let store = Store::open(forming, options)?;
    let Founded {
        engine,
        root,
        admin_token,
    } = ceremony::found(store, forming, Clock::system(), keys, founding).await?;
    engine.store().close();
    drop(engine);
    write(&forming.join(ROOT_FILE), root.pem().as_bytes(), 0o644)?;
    write(
        &forming.join(TOKEN_FILE),
        format!("{admin_token}\n").as_bytes(),
        0o600,
    )?;
    write(
        &forming.join(FILE_NAME),
        config_text(init, &public_url).as_bytes(),
        0o644,
    )?;
    sync(forming)
        .and_then(|()| fs::rename(forming, data))
        .and_then(|()| sync(&parent))
        .map_err(|error| StartError::file("make", data, &error))?;
    leftover.stays();
    // It has its new name; nothing is left to be removed.
    let _ = beside.keep();
    let warnings = warnings(init, data, &public_url);
    Ok(Made {
        data: data.to_owned(),
        root,
        admin_token,
        warnings,
    })
}

fn is_free(data: &Path) -> Result<(), StartError> {
    match fs::read_dir(data) {
        Ok(mut entries) => match entries.next() {
            None => Ok(()),
            Some(_) => Err(StartError::Place(format!(
                "{} is not empty, and nothing in it was touched. Choose a new directory with --data",
                data.display()
            ))),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            Err(StartError::Place(format!(
                "{} is a file. Choose a new directory with --data",
                data.display()
            )))
        }
        Err(error) => Err(StartError::file("read", data, &error)),
    }
}

/// The directory around `data`, which must be there: a path that leads nowhere is a slip.
fn parent_of(data: &Path) -> Result<PathBuf, StartError> {
    let absolute =
        std::path::absolute(data).map_err(|error| StartError::file("find", data, &error))?;
    let parent = absolute.parent().ok_or_else(|| {
        StartError::Place(format!("{} cannot be a data directory", data.display()))
    })?;
    match parent.is_dir() {
        true => Ok(parent.to_owned()),
        false => Err(StartError::Place(format!(
            "{} does not exist; make it first, or choose another place with --data",
            parent.display()
        ))),
    }
}

/// `http://HOST[:PORT]`, without a path: it becomes the beginning of every status address.
fn public_url(init: &Init) -> Result<String, StartError> {
    let given = match (&init.public_url, init.hosts.first()) {
        (Some(url), _) => url.trim_end_matches('/').to_owned(),
        (None, Some(host)) => format!("http://{}:{PUBLIC_PORT}", bracketed(host)),
        (None, None) => format!("http://127.0.0.1:{PUBLIC_PORT}"),
    };
    let authority = given.strip_prefix("http://").unwrap_or_default();
    match is_authority(authority) {
        true => Ok(given),
        false => Err(StartError::Configuration(format!(
            "--public-url {given:?} is not http://HOST or http://HOST:PORT with a DNS name or \
             an address, and a port up to 65535. (Status is served over \
             plain HTTP: it is signed, and a checker could not verify https without status)"
        ))),
    }
}

fn bracketed(host: &str) -> String {
    match host.parse() {
        Ok(IpAddr::V6(ip)) => format!("[{ip}]"),
        Ok(IpAddr::V4(_)) | Err(_) => host.to_owned(),
    }
}

fn is_loopback(url: &str) -> bool {
    let authority = url.strip_prefix("http://").unwrap_or(url);
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
        _ => authority,
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn warnings(init: &Init, data: &Path, public_url: &str) -> Vec<String> {
    let mut warnings = Vec::new();
    if is_loopback(public_url) {
        warnings.push(format!(
            "certificates will point to {public_url} for their status, which only this machine \
             can reach. Before the first device enrolls, run `tenure issuer edit issuing-1 \
             --public-url http://HOST:PORT`, or begin again with --public-url."
        ));
    }
    if init.root_out.is_none() && init.hsm.is_none() {
        warnings.push(format!(
            "the root key lies in {}/{KEYS}, beside the keys that the server uses. The server \
             never opens it: move root.key and root.toml to a medium that you lock away, or begin \
             again with --root-out.",
            data.display()
        ));
    }
    warnings
}

/// A root key made elsewhere belongs to nothing if the rest fails, and goes with it.
struct Leftover<'a>(Option<&'a Path>);

impl Leftover<'_> {
    fn stays(mut self) {
        self.0 = None;
    }
}

impl Drop for Leftover<'_> {
    fn drop(&mut self) {
        if let Some(path) = self.0 {
            // If it cannot be removed, the next try says that it is there.
            let _ = fs::remove_file(path);
            let _ = fs::remove_file(path.with_extension("toml"));
        }
    }
}

/// Makes the keys of a founding.
struct Keys<'a> {
    init: &'a Init,
    passphrase: &'a Passphrase,
    root_passphrase: Option<&'a Passphrase>,
}

impl Keys<'_> {
    fn make(&self, forming: &Path) -> Result<FoundingKeys, StartError> {
        let ring = Keyring::create(&forming.join(KEYS))?;
        let file = |name: &str, doors, kind| -> Result<Key, StartError> {
            Ok(ring.make(
                self.new_key(name, doors, kind, OpenedBy::Serve, Custody::File),
                self.passphrase,
            )?)
        };
        let kind = self.init.key_algorithm;
        let issuing = self.new_key(
            ceremony::ISSUING,
            Doors::ISSUER,
            kind,
            OpenedBy::Serve,
            self.custody(ceremony::ISSUING),
        );
        Ok(FoundingKeys {
            issuing: ring.make(issuing, self.passphrase)?,
            responder: file(RESPONDER, Doors::RESPONDER, responder_kind(kind))?,
            log: file(
                tenure_engine::duty::integrate::LOG_KEY,
                Doors::LOG,
                KeyKind::Ed25519,
            )?,
            server: file(ceremony::SERVER, Doors::TLS, KeyKind::P256)?,
            // The last one: a failure of those before it leaves no root behind.
            root: self.root(&ring)?,
        })
    }

    fn root(&self, ring: &Keyring) -> Result<Key, StartError> {
        let kind = self.init.key_algorithm;
        let new = |custody| {
            self.new_key(
                ceremony::ROOT,
                Doors::ISSUER,
                kind,
                OpenedBy::Ceremony,
                custody,
            )
        };
        Ok(match (&self.init.root_out, self.root_passphrase) {
            (Some(path), Some(passphrase)) => {
                Keyring::make_at(path, new(Custody::File), passphrase)?
            }
            _ => ring.make(new(self.custody(ceremony::ROOT)), self.passphrase)?,
        })
    }

    fn custody(&self, name: &str) -> Custody {
        match (&self.init.hsm, &self.init.hsm_token) {
            (Some(module), Some(token)) => Custody::Pkcs11(TokenKey {
                module: module.clone(),
                token: token.clone(),
                label: format!("tenure-{name}"),
                pin: self.init.hsm_pin.clone(),
            }),
            _ => Custody::File,
        }
    }

    fn new_key(
        &self,
        name: &str,
        doors: Doors,
        kind: KeyKind,
        opened_by: OpenedBy,
        custody: Custody,
    ) -> NewKey {
        let created = Clock::system().now();
        NewKey {
            name: name.to_owned(),
            doors,
            kind,
            opened_by,
            custody,
            created,
        }
    }
}

/// The responder's key by its well-known name.
const RESPONDER: &str = "ocsp-issuing-1";

/// A checker that knows only RSA must be able to read status as well; all others take P-256.
pub(crate) fn responder_kind(ca: KeyKind) -> KeyKind {
    match ca {
        KeyKind::Rsa2048 | KeyKind::Rsa3072 | KeyKind::Rsa4096 => KeyKind::Rsa2048,
        KeyKind::P256 | KeyKind::P384 | KeyKind::Ed25519 => KeyKind::P256,
    }
}

fn config_text(init: &Init, public_url: &str) -> String {
    let hosts: Vec<String> = init.hosts.iter().map(|host| format!("{host:?}")).collect();
    format!(
        "# How this server runs. What the fleet is stands in the database; no setting is in both.\n\
         # Every key may be left out; docs/operations.md explains them all.\n\
         \n\
         # Names and addresses by which this server is reached, beside localhost.\n\
         hosts = [{}]\n\
         \n\
         [listen]\n\
         # HTTPS for devices (enrollment). To let them in from elsewhere: \"0.0.0.0:8443\" or\n\
         # \"[::]:8443\".\n\
         device = \"127.0.0.1:8443\"\n\
         # Plain HTTP for everyone (revocation lists, OCSP, CA certificates, the log). Certificates\n\
         # point to {public_url}, which must lead here.\n\
         public = \"127.0.0.1:8080\"\n\
         # HTTPS for operators (API, dashboard, metrics).\n\
         operator = \"127.0.0.1:9443\"\n\
         \n\
         [keys]\n\
         # A file whose first line is the passphrase; otherwise TENURE_PASSPHRASE or a prompt.\n\
         # passphrase_file = \"/run/credentials/tenure/passphrase\"\n\
         \n\
         [log]\n\
         # text or json\n\
         format = \"text\"\n\
         level = \"info\"\n",
        hosts.join(", ")
    )
}

fn write(path: &Path, content: &[u8], mode: u32) -> Result<(), StartError> {
    let written = || -> io::Result<()> {
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(path)?;
        file.write_all(content)?;
        file.sync_all()
    };
    written().map_err(|error| StartError::file("write", path, &error))
}

fn sync(directory: &Path) -> io::Result<()> {
    fs::File::open(directory)?.sync_all()
}
