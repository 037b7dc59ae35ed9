//! `tenure issuer add` and `tenure issuer rollover begin`: the ceremony that gives a founded house
//! another issuer, without a server.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use serde_json::json;
use tenure_domain::issuer::{Issuer, IssuerKind};
use tenure_engine::ceremony::{ISSUING, NewIssuerKeys, Purpose, ROOT, responder_key_name};
use tenure_engine::signer::{
    Custody, Doors, Key, KeyRecord, Keyring, NewKey, OpenedBy, Passphrase, TokenKey,
};
use tenure_engine::store::{Options, Store};
use tenure_engine::{Clock, Engine, Settings};

use crate::cli::exit::Failure;
use crate::cli::key;
use crate::cli::output::Output;
use crate::init::responder_kind;
use crate::passphrase::{Prompt, ROOT_VARIABLE, VARIABLE, Wanted};

#[derive(Debug, Args)]
pub struct Add {
    /// Its short name, for good: lower-case letters, digits and hyphens.
    #[arg(default_value = "idevid-1")]
    name: String,
    /// What it shall sign.
    #[arg(long, value_enum)]
    kind: Kind,
    #[command(flatten)]
    access: Access,
}

#[derive(Debug, Args)]
pub struct Begin {
    /// The issuer that is to be followed.
    name: String,
    /// The successor's short name, for good; the next number if not given.
    #[arg(long = "as", value_name = "NAME")]
    successor: Option<String>,
    #[command(flatten)]
    access: Access,
}

/// How the keys of a ceremony are opened.
#[derive(Debug, Args)]
struct Access {
    /// A file whose first line is the passphrase of the server's keys. Otherwise TENURE_PASSPHRASE
    /// or a prompt.
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    /// The root's key file, if it is not in the data directory.
    #[arg(long, value_name = "FILE")]
    root: Option<PathBuf>,
    /// A file whose first line is the passphrase of the root's key at --root. Otherwise
    /// TENURE_ROOT_PASSPHRASE or a prompt.
    #[arg(long, value_name = "FILE", requires = "root")]
    root_passphrase_file: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// Identities for life (IEEE 802.1AR); it never ends.
    Idevid,
    /// Devices of a trust domain of their own; it signs for the profiles that name it.
    Issuing,
}

/// Makes the keys, has the root sign the certificate and publishes the lists. Cut off anywhere, the
/// same command finishes it.
pub async fn run(add: &Add, data: Option<&Path>, output: &Output) -> Result<(), Failure> {
    let purpose = match add.kind {
        Kind::Idevid => Purpose::Lives,
        Kind::Issuing => Purpose::Domain,
    };
    let ground = Ground::open(&add.access, data)?;
    let issuer = ground.make(&add.name, purpose).await?;
    let said = match issuer.kind {
        IssuerKind::IDevId => format!(
            "issuer {} is made and never ends; it signs profiles of kind idevid from the next start \
             of the server on",
            issuer.name
        ),
        IssuerKind::Issuing | IssuerKind::Root => format!(
            "issuer {} is made; from the next start of the server on it signs the profiles that name \
             it (issuer = \"{}\")",
            issuer.name, issuer.name
        ),
    };
    output.done(&said, &shown(&issuer))
}

/// Makes the successor of an issuer. It is prepared: nobody but canaries shows it yet.
pub async fn begin(begin: &Begin, data: Option<&Path>, output: &Output) -> Result<(), Failure> {
    let followed = begin.name.parse();
    let followed = followed.map_err(|error| Failure::Usage(format!("{error}")))?;
    let ground = Ground::open(&begin.access, data)?;
    let name = match &begin.successor {
        Some(name) => name.clone(),
        None => ground.next_name(&begin.name),
    };
    let issuer = ground.make(&name, Purpose::Follow(followed)).await?;
    output.done(
        &format!(
            "issuer {} is prepared to follow {}. Start the server, then let trust bundles carry it: \
             tenure issuer rollover distribute {}",
            issuer.name, begin.name, issuer.name
        ),
        &shown(&issuer),
    )
}

fn shown(issuer: &Issuer) -> serde_json::Value {
    json!({
        "name": issuer.name,
        "kind": issuer.kind.to_string(),
        "state": issuer.state.to_string(),
        "subject": issuer.subject().to_string(),
        "not_after": issuer.certificate.validity().not_after.to_string(),
        "shards": issuer.shards,
        "base_url": issuer.base_url,
    })
}

/// A data directory whose server is stopped, with its keys at hand.
struct Ground {
    engine: Engine,
    ring: Keyring,
    passphrase: Passphrase,
    root: Key,
    clock: Clock,
}

impl Ground {
    fn open(access: &Access, data: Option<&Path>) -> Result<Ground, Failure> {
        let data = data.ok_or_else(|| Failure::Usage("say whose issuer: --data DIR".to_owned()))?;
        // First, so that a running server is named before anyone looks for a passphrase.
        let store = Store::open(data, Options::default()).map_err(Failure::failed)?;
        let ring = Keyring::locked(&key::directory(data)?).map_err(Failure::failed)?;
        let passphrase = Wanted {
            what: "the keys",
            file: access.passphrase_file.as_deref(),
            variable: VARIABLE,
            prompt: Prompt::Once,
        }
        .find()?;
        let root = root(access, &ring, &passphrase)?;
        let clock = Clock::system();
        let engine = Engine::start(store, [], data, clock.clone(), Settings::default());
        Ok(Ground {
            engine: engine.map_err(Failure::failed)?,
            ring,
            passphrase,
            root,
            clock,
        })
    }

    async fn make(&self, name: &str, purpose: Purpose) -> Result<std::sync::Arc<Issuer>, Failure> {
        let responder = match purpose {
            Purpose::Lives => None,
            Purpose::Domain | Purpose::Follow(_) => {
                let name = responder_key_name(name);
                Some(self.key(&name, Doors::RESPONDER)?)
            }
        };
        let keys = NewIssuerKeys {
            issuer: self.key(name, Doors::ISSUER)?,
            responder,
        };
        let made = self.engine.add_issuer(purpose, keys, &self.root).await;
        self.engine.store().close();
        made.map_err(Failure::failed)
    }

    /// `issuing-1` is followed by `issuing-2`, or the next number that nobody has.
    fn next_name(&self, name: &str) -> String {
        let stem = name.trim_end_matches(|c: char| c.is_ascii_digit());
        let digits = name.strip_prefix(stem).unwrap_or_default();
        let (stem, number) = match digits.parse::<u32>() {
            Ok(number) => (stem.to_owned(), number),
            Err(_) => (format!("{name}-"), 1),
        };
        let snapshot = self.engine.snapshot();
        let is_free = |candidate: &String| {
            let mut issuers = snapshot.issuers.iter();
            issuers.all(|issuer| issuer.name.as_str() != candidate)
        };
        (number.saturating_add(1)..)
            .map(|next| format!("{stem}{next}"))
            .find(is_free)
            .unwrap_or_default()
    }

    /// A key that is kept where the first issuing CA's is. One that an interrupted ceremony left is
    /// taken up.
    fn key(&self, name: &str, doors: Doors) -> Result<Key, Failure> {
        // All keys that the server opens have one passphrase; a wrong one must not lock the new key.
        self.ring
            .unlock(ISSUING, &self.passphrase)
            .map_err(Failure::failed)?;
        let records = self.ring.records();
        let named = |wanted: &str| records.iter().find(|record| record.name == wanted);
        let made = match (named(name), named(ISSUING)) {
            (Some(record), _) if record.doors == doors => self.ring.unlock(name, &self.passphrase),
            (Some(_), _) => {
                return Err(Failure::Usage(format!(
                    "there is a key named {name} that signs other things; choose another name"
                )));
            }
            (None, Some(model)) => self
                .ring
                .make(like(model, name, doors, &self.clock), &self.passphrase),
            (None, None) => return Err(Failure::failed(format!("there is no key {ISSUING}"))),
        };
        made.map_err(Failure::failed)
    }
}

fn root(access: &Access, ring: &Keyring, passphrase: &Passphrase) -> Result<Key, Failure> {
    let root = match &access.root {
        None => ring.unlock(ROOT, passphrase),
        Some(path) => {
            let wanted = Wanted {
                what: "the root key",
                file: access.root_passphrase_file.as_deref(),
                variable: ROOT_VARIABLE,
                prompt: Prompt::Once,
            };
            Keyring::open_at(path, &wanted.find()?)
        }
    };
    root.map_err(Failure::failed)
}

fn like(model: &KeyRecord, name: &str, doors: Doors, clock: &Clock) -> NewKey {
    let is_responder = doors == Doors::RESPONDER;
    NewKey {
        name: name.to_owned(),
        doors,
        kind: match is_responder {
            true => responder_kind(model.kind),
            false => model.kind,
        },
        opened_by: OpenedBy::Serve,
        custody: match &model.custody {
            Custody::Pkcs11(place) if !is_responder => Custody::Pkcs11(TokenKey {
                label: format!("tenure-{name}"),
                ..place.clone()
            }),
            Custody::Pkcs11(_) | Custody::File => Custody::File,
        },
        created: clock.now(),
    }
}
