//! `tenure issuer add`: the ceremony that gives a founded house another issuer, without a server.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use serde_json::json;
use tenure_engine::ceremony::{ISSUING, ROOT};
use tenure_engine::signer::{
    Custody, Doors, Key, KeyRecord, Keyring, NewKey, OpenedBy, Passphrase, TokenKey,
};
use tenure_engine::store::{Options, Store};
use tenure_engine::{Clock, Engine, Settings};

use crate::cli::exit::Failure;
use crate::cli::key;
use crate::cli::output::Output;
use crate::passphrase::{Prompt, ROOT_VARIABLE, VARIABLE, Wanted};

#[derive(Debug, Args)]
pub struct Add {
    /// Its short name, for good: lower-case letters, digits and hyphens.
    #[arg(default_value = "idevid-1")]
    name: String,
    /// What it shall sign.
    #[arg(long, value_enum)]
    kind: Kind,
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
}

/// Makes the key, has the root sign its certificate and publishes its lists. Cut off anywhere, the
/// same command finishes it.
pub async fn run(add: &Add, data: Option<&Path>, output: &Output) -> Result<(), Failure> {
    let Kind::Idevid = add.kind;
    let data = data.ok_or_else(|| Failure::Usage("say whose issuer: --data DIR".to_owned()))?;
    // First, so that a running server is named before anyone looks for a passphrase.
    let store = Store::open(data, Options::default()).map_err(Failure::failed)?;
    let ring = Keyring::locked(&key::directory(data)?).map_err(Failure::failed)?;
    let passphrase = Wanted {
        what: "the keys",
        file: add.passphrase_file.as_deref(),
        variable: VARIABLE,
        prompt: Prompt::Once,
    }
    .find()?;
    let root = root(add, &ring, &passphrase)?;
    let clock = Clock::system();
    let engine = Engine::start(store, [], data, clock.clone(), Settings::default());
    let engine = engine.map_err(Failure::failed)?;
    let new = new_key(&add.name, &ring, &passphrase, &clock)?;
    let issuer = engine
        .add_idevid_issuer(&new, &root)
        .await
        .map_err(Failure::failed)?;
    engine.store().close();
    output.done(
        &format!(
            "issuer {} is made and never ends; it signs profiles of kind idevid from the next start \
             of the server on",
            issuer.name
        ),
        &json!({
            "name": issuer.name,
            "kind": issuer.kind.to_string(),
            "subject": issuer.subject().to_string(),
            "not_after": issuer.certificate.validity().not_after.to_string(),
            "shards": issuer.shards,
            "base_url": issuer.base_url,
        }),
    )
}

fn root(add: &Add, ring: &Keyring, passphrase: &Passphrase) -> Result<Key, Failure> {
    let root = match &add.root {
        None => ring.unlock(ROOT, passphrase),
        Some(path) => {
            let wanted = Wanted {
                what: "the root key",
                file: add.root_passphrase_file.as_deref(),
                variable: ROOT_VARIABLE,
                prompt: Prompt::Once,
            };
            Keyring::open_at(path, &wanted.find()?)
        }
    };
    root.map_err(Failure::failed)
}

/// A key of the kind of the first issuing CA's, kept where that is kept. One that an interrupted
/// ceremony left is taken up.
fn new_key(
    name: &str,
    ring: &Keyring,
    passphrase: &Passphrase,
    clock: &Clock,
) -> Result<Key, Failure> {
    // All keys that the server opens have one passphrase; a wrong one must not lock the new key.
    ring.unlock(ISSUING, passphrase).map_err(Failure::failed)?;
    let records = ring.records();
    let named = |wanted: &str| records.iter().find(|record| record.name == wanted);
    let made = match (named(name), named(ISSUING)) {
        (Some(record), _) if record.doors == Doors::ISSUER => ring.unlock(name, passphrase),
        (Some(_), _) => {
            return Err(Failure::Usage(format!(
                "there is a key named {name} that signs other things; choose another name"
            )));
        }
        (None, Some(model)) => ring.make(like(model, name, clock), passphrase),
        (None, None) => return Err(Failure::failed(format!("there is no key {ISSUING}"))),
    };
    made.map_err(Failure::failed)
}

fn like(model: &KeyRecord, name: &str, clock: &Clock) -> NewKey {
    NewKey {
        name: name.to_owned(),
        doors: Doors::ISSUER,
        kind: model.kind,
        opened_by: OpenedBy::Serve,
        custody: match &model.custody {
            Custody::File => Custody::File,
            Custody::Pkcs11(place) => Custody::Pkcs11(TokenKey {
                label: format!("tenure-{name}"),
                ..place.clone()
            }),
        },
        created: clock.now(),
    }
}
