//! `tenure key …`: the keyring in the data directory. Works while the server runs and without it.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use tenure_domain::event::{Entry, Event};
use tenure_domain::operator::Actor;
use tenure_engine::Clock;
use tenure_engine::signer::{Custody, Keyring, OpenedBy, Passphrase, Rewrap};
use tenure_engine::store::{OpenError, OperationId, Options, Store, StoreError, Tx};

use super::exit::Failure;
use super::output::{Column, Output, note};
use crate::config::Config;
use crate::passphrase::{Prompt, VARIABLE, Wanted};

/// The variable that may hold the passphrase to come.
pub const NEW_VARIABLE: &str = "TENURE_NEW_PASSPHRASE";

const COLUMNS: &[Column] = &[
    ("NAME", "name"),
    ("SIGNS", "doors"),
    ("KIND", "kind"),
    ("OPENED BY", "opened_by"),
    ("WHERE", "custody"),
    ("MADE", "created"),
];

#[derive(Debug, Subcommand)]
pub enum Verb {
    /// List the keys: what each may sign, and where it lies. Needs no passphrase.
    List,
    /// Change the passphrase of the key files. Cut off anywhere, the same command finishes it.
    Rewrap(Change),
}

#[derive(Debug, Args)]
pub struct Change {
    /// Only this key; all of them if left out.
    name: Option<String>,
    /// A key file elsewhere, such as the root's, instead of those in the data directory.
    #[arg(long, value_name = "FILE", conflicts_with = "name")]
    file: Option<PathBuf>,
    /// A file whose first line is the present passphrase. Otherwise TENURE_PASSPHRASE or a prompt.
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    /// A file whose first line is the new one. Otherwise TENURE_NEW_PASSPHRASE or a prompt.
    #[arg(long, value_name = "FILE")]
    new_passphrase_file: Option<PathBuf>,
}

pub async fn run(verb: Verb, data: Option<&Path>, output: &Output) -> Result<(), Failure> {
    match verb {
        Verb::List => list(data, output),
        Verb::Rewrap(change) => rewrap(&change, data, output).await,
    }
}

fn data_of(data: Option<&Path>) -> Result<&Path, Failure> {
    data.ok_or_else(|| Failure::Usage("say whose keys: --data DIR".to_owned()))
}

/// The directory of the key files.
pub fn directory(data: &Path) -> Result<PathBuf, Failure> {
    let config = Config::load(data, |name| std::env::var(name).ok());
    let config = config.map_err(|error| Failure::Usage(error.to_string()))?;
    Ok(data.join(config.keys.directory))
}

fn list(data: Option<&Path>, output: &Output) -> Result<(), Failure> {
    let ring = Keyring::locked(&directory(data_of(data)?)?).map_err(Failure::failed)?;
    let keys: Vec<Value> = ring
        .records()
        .iter()
        .map(|record| {
            json!({
                "name": record.name,
                "doors": record.doors.to_string(),
                "kind": record.kind.to_string(),
                "opened_by": match record.opened_by {
                    OpenedBy::Serve => "the server",
                    OpenedBy::Ceremony => "a person",
                },
                "custody": record.custody.to_string(),
                "created": record.created.to_string(),
            })
        })
        .collect();
    output.list(COLUMNS, &keys)
}

async fn rewrap(change: &Change, data: Option<&Path>, output: &Output) -> Result<(), Failure> {
    let old = Wanted {
        what: "the keys as they are",
        file: change.passphrase_file.as_deref(),
        variable: VARIABLE,
        prompt: Prompt::Once,
    };
    let new = Wanted {
        what: "the keys from now on",
        file: change.new_passphrase_file.as_deref(),
        variable: NEW_VARIABLE,
        prompt: Prompt::Twice,
    };
    if let Some(path) = &change.file {
        let (old, new) = (old.find()?, new.find()?);
        Keyring::rewrap_at(path, &old, &new).map_err(Failure::failed)?;
        let sentence = format!("{} has the new passphrase", path.display());
        return output.done(&sentence, &json!([path.display().to_string()]));
    }
    let data = data_of(data)?;
    let ring = Keyring::locked(&directory(data)?).map_err(Failure::failed)?;
    let names: Vec<String> = ring
        .records()
        .into_iter()
        .filter(|record| record.custody == Custody::File)
        .map(|record| record.name)
        .filter(|name| change.name.as_ref().is_none_or(|wanted| wanted == name))
        .collect();
    if names.is_empty() {
        return Err(Failure::NotFound(
            "there is no key file of this name".to_owned(),
        ));
    }
    let (old, new) = (old.find()?, new.find()?);
    let done = each(&ring, &names, &old, &new)?;
    record(data, &done).await?;
    let sentence = match done.is_empty() {
        true => "every key already had the new passphrase".to_owned(),
        false => format!(
            "{} has the new passphrase; the server needs it at its next start",
            done.join(", ")
        ),
    };
    output.done(&sentence, &json!(done))
}

fn each(
    ring: &Keyring,
    names: &[String],
    old: &Passphrase,
    new: &Passphrase,
) -> Result<Vec<String>, Failure> {
    let mut done = Vec::new();
    for name in names {
        match ring.rewrap(name, old, new) {
            Ok(Rewrap::Done) => done.push(name.clone()),
            Ok(Rewrap::Already) => {}
            Err(error) if done.is_empty() => return Err(Failure::failed(error)),
            Err(error) => {
                return Err(Failure::failed(format!(
                    "{error}\n{} already has the new passphrase; the same command goes on with the rest",
                    done.join(", ")
                )));
            }
        }
    }
    Ok(done)
}

/// Puts it on record, if the record is free: a running server holds it.
async fn record(data: &Path, done: &[String]) -> Result<(), Failure> {
    if done.is_empty() {
        return Ok(());
    }
    let store = match Store::open(data, Options::default()) {
        Ok(store) => store,
        Err(OpenError::InUse { .. }) => {
            return note("the server is running, so this is not in its record");
        }
        Err(error) => return Err(Failure::failed(error)),
    };
    let (us, now) = (Actor::system("key rewrap"), Clock::system().now());
    let entries: Vec<Entry> = done
        .iter()
        .map(|key| Entry::new(us.clone(), now, Event::KeyRewrapped { key: key.clone() }))
        .collect();
    let mut operation = [0; 16];
    aws_lc_rs::rand::fill(&mut operation)
        .map_err(|_| Failure::failed("the system gave no random bytes"))?;
    let said = move |tx: &mut Tx<'_>| -> Result<(), StoreError> {
        entries
            .iter()
            .try_for_each(|entry| tx.log(entry).map(|_| ()))
    };
    store
        .record(OperationId(operation), said)
        .await
        .map_err(Failure::failed)?;
    store.close();
    Ok(())
}
