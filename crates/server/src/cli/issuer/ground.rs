//! A data directory whose server is stopped, with the keys of a ceremony at hand.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use tenure_domain::ids::Slug;
use tenure_domain::issuer::{Issuer, IssuerKind};
use tenure_engine::ceremony::{ISSUING, NewIssuerKeys, Purpose, ROOT, SERVER, responder_key_name};
use tenure_engine::signer::{
    Custody, Doors, Key, KeyRecord, Keyring, NewKey, OpenedBy, Passphrase, TokenKey,
};
use tenure_engine::store::{Options, Store};
use tenure_engine::{Clock, Engine, Settings};

use crate::cli::exit::Failure;
use crate::cli::key;
use crate::cli::session::ROOT_FILE;
use crate::init::responder_kind;
use crate::passphrase::{Prompt, ROOT_VARIABLE, VARIABLE, Wanted};

/// How the keys of a ceremony are opened.
#[derive(Debug, Args)]
pub(super) struct Access {
    /// A file whose first line is the passphrase of the server's keys. Otherwise TENURE_PASSPHRASE
    /// or a prompt.
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    /// The signing root's key file, if it is not in the data directory.
    #[arg(long, value_name = "FILE")]
    root: Option<PathBuf>,
    /// A file whose first line is the passphrase of the root's key at --root. Otherwise
    /// TENURE_ROOT_PASSPHRASE or a prompt.
    #[arg(long, value_name = "FILE", requires = "root")]
    root_passphrase_file: Option<PathBuf>,
}

/// Where the key of a new root goes.
#[derive(Debug, Args)]
pub(super) struct Out {
    /// Where to put the new root's key instead of the data directory, under a passphrase of its own.
    #[arg(long, value_name = "FILE")]
    root_out: Option<PathBuf>,
    /// A file whose first line is the passphrase of the key at --root-out. Otherwise
    /// TENURE_ROOT_PASSPHRASE or a prompt.
    #[arg(long, value_name = "FILE", requires = "root_out")]
    root_out_passphrase_file: Option<PathBuf>,
}

/// A data directory whose server is stopped, with its keys at hand.
pub(super) struct Ground<'a> {
    pub(super) engine: Engine,
    data: &'a Path,
    access: &'a Access,
    ring: Keyring,
    passphrase: Passphrase,
    clock: Clock,
}

impl<'a> Ground<'a> {
    pub(super) fn open(access: &'a Access, data: Option<&'a Path>) -> Result<Ground<'a>, Failure> {
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
        // All keys that the server opens have one passphrase; a wrong one must not lock a new key.
        let known = model(&ring.records())?.name.clone();
        ring.unlock(&known, &passphrase).map_err(Failure::failed)?;
        let clock = Clock::system();
        let engine = Engine::start(store, [], data, clock.clone(), Settings::default());
        Ok(Ground {
            engine: engine.map_err(Failure::failed)?,
            data,
            access,
            ring,
            passphrase,
            clock,
        })
    }

    /// Closes the store, so that a server can be started on it.
    pub(super) fn close(&self) {
        self.engine.store().close();
    }

    /// An issuer of this house.
    pub(super) fn known(&self, name: &str) -> Result<Arc<Issuer>, Failure> {
        let snapshot = self.engine.snapshot();
        let found = snapshot
            .issuers
            .iter()
            .find(|issuer| issuer.name.as_str() == name);
        found
            .cloned()
            .ok_or_else(|| Failure::failed(format!("there is no issuer {name}")))
    }

    /// The key of a root: at --root, or in the data directory.
    pub(super) fn root_key(&self, root: &Issuer) -> Result<Key, Failure> {
        let key = match &self.access.root {
            None => self.ring.unlock(&root.key, &self.passphrase),
            Some(path) => {
                let wanted = Wanted {
                    what: "the root key",
                    file: self.access.root_passphrase_file.as_deref(),
                    variable: ROOT_VARIABLE,
                    prompt: Prompt::Once,
                };
                Keyring::open_at(path, &wanted.find()?)
            }
        };
        key.map_err(Failure::failed)
    }

    /// The key of a new root, which the server never opens. One that an interrupted ceremony left is
    /// taken up.
    pub(super) fn new_root_key(&self, name: &str, out: &Out) -> Result<Key, Failure> {
        let Some(path) = &out.root_out else {
            return self.key(name, Doors::ISSUER, OpenedBy::Ceremony);
        };
        let wanted = Wanted {
            what: "the new root's key",
            file: out.root_out_passphrase_file.as_deref(),
            variable: ROOT_VARIABLE,
            prompt: match path.exists() {
                true => Prompt::Once,
                false => Prompt::Twice,
            },
        };
        let passphrase = wanted.find()?;
        if path.exists() {
            return Keyring::open_at(path, &passphrase).map_err(Failure::failed);
        }
        let records = self.ring.records();
        let model = model(&records)?;
        let new = NewKey {
            custody: Custody::File,
            ..like(model, name, Doors::ISSUER, OpenedBy::Ceremony, &self.clock)
        };
        Keyring::make_at(path, new, &passphrase).map_err(Failure::failed)
    }

    /// Makes an issuer that is signed by this root.
    pub(super) async fn make(
        &self,
        name: &str,
        purpose: Purpose,
        root: &Key,
    ) -> Result<Arc<Issuer>, Failure> {
        let lives = match &purpose {
            Purpose::Lives => true,
            Purpose::Domain => false,
            Purpose::Follow(former) => self.known(former.as_str())?.kind == IssuerKind::IDevId,
        };
        let responder = match lives {
            true => None,
            false => {
                let name = responder_key_name(name);
                Some(self.key(&name, Doors::RESPONDER, OpenedBy::Serve)?)
            }
        };
        let keys = NewIssuerKeys {
            issuer: self.key(name, Doors::ISSUER, OpenedBy::Serve)?,
            responder,
        };
        let made = self.engine.add_issuer(purpose, keys, root).await;
        made.map_err(Failure::failed)
    }

    /// The root that signs: the one of this name, or the newest in the line of the house's first.
    pub(super) fn signing_root(&self, name: Option<&str>) -> Result<Arc<Issuer>, Failure> {
        if let Some(name) = name {
            let root = self.known(name)?;
            return match root.kind {
                IssuerKind::Root => Ok(root),
                kind => Err(Failure::Usage(format!(
                    "--under names a root; {name} is of kind {kind}"
                ))),
            };
        }
        let first: Slug = ROOT
            .parse()
            .map_err(|error| Failure::failed(format!("{error}")))?;
        self.engine.root_above(&first).map_err(Failure::failed)
    }

    /// `issuing-1` is followed by `issuing-2`, or the next number that nobody has.
    pub(super) fn next_name(&self, name: &str) -> String {
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

    /// Lets the command line on this machine, and whoever copies the file, trust another root beside
    /// those in it.
    pub(super) fn trust_too(&self, root: &Issuer) -> Result<(), Failure> {
        let path = self.data.join(ROOT_FILE);
        let failed = |error| Failure::failed(format!("cannot write {}: {error}", path.display()));
        let held = fs::read_to_string(&path).map_err(failed)?;
        let pem = root.certificate.pem();
        if held.contains(pem.trim()) {
            return Ok(());
        }
        // As a whole, so that nobody ever reads half of it.
        let draft = path.with_extension("new");
        fs::write(&draft, format!("{}\n{pem}", held.trim_end())).map_err(failed)?;
        fs::rename(&draft, &path).map_err(failed)
    }

    /// A key that is kept where the first issuing CA's is. One that an interrupted ceremony left is
    /// taken up.
    fn key(&self, name: &str, doors: Doors, opened_by: OpenedBy) -> Result<Key, Failure> {
        let records = self.ring.records();
        let made = match records.iter().find(|record| record.name == name) {
            Some(record) if record.doors == doors && record.opened_by == opened_by => {
                self.ring.unlock(name, &self.passphrase)
            }
            Some(_) => {
                return Err(Failure::Usage(format!(
                    "there is a key named {name} that signs other things; choose another name"
                )));
            }
            None => {
                let new = like(model(&records)?, name, doors, opened_by, &self.clock);
                self.ring.make(new, &self.passphrase)
            }
        };
        made.map_err(Failure::failed)
    }
}

/// The key that a new one is like: the first issuing CA's, or, where that is lost, another that the
/// server opens.
fn model(records: &[KeyRecord]) -> Result<&KeyRecord, Failure> {
    let named = |name: &str| records.iter().find(|record| record.name == name);
    let signs =
        |record: &&KeyRecord| record.doors == Doors::ISSUER && record.opened_by == OpenedBy::Serve;
    let found = named(ISSUING).or_else(|| records.iter().find(signs));
    let found = found.or_else(|| named(SERVER));
    found.ok_or_else(|| Failure::failed(format!("there is no key {ISSUING}")))
}

fn like(model: &KeyRecord, name: &str, doors: Doors, opened_by: OpenedBy, clock: &Clock) -> NewKey {
    let is_responder = doors == Doors::RESPONDER;
    NewKey {
        name: name.to_owned(),
        doors,
        kind: match is_responder {
            true => responder_kind(model.kind),
            false => model.kind,
        },
        opened_by,
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
