//! `tenure issuer …`

pub mod add;
mod ground;
pub mod rollover;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use tenure_domain::issuer::{Issuer, IssuerKind};
use tenure_engine::ceremony::ROOT;
use tenure_engine::duty::publish::List;
use tenure_engine::signer::{Key, Keyring, Passphrase};
use tenure_engine::store::{Options, Store};
use tenure_engine::{Clock, Engine, Settings};

use super::exit::Failure;
use super::output::{Column, Output};
use super::session::Session;
use super::{Page, api};
use crate::passphrase::{Prompt, ROOT_VARIABLE, VARIABLE, Wanted};

const COLUMNS: &[Column] = &[
    ("NAME", "name"),
    ("KIND", "kind"),
    ("STATE", "state"),
    ("ALGORITHM", "algorithm"),
    ("NOT AFTER", "not_after"),
    ("SHARDS", "shards"),
    ("BASE URL", "base_url"),
];

#[derive(Debug, Subcommand)]
pub enum Verb {
    /// List issuers.
    List(Page),
    /// Show one issuer.
    Show {
        /// Its short name.
        name: String,
    },
    /// Print an issuer's certificate and those above it, as PEM.
    Export {
        /// Its short name.
        name: String,
        /// Print instead what other roots certified of its root: for devices that know only those.
        #[arg(long)]
        cross: bool,
    },
    /// Change where its status is published, for certificates issued from now on.
    Edit {
        /// Its short name.
        name: String,
        /// The public listener as relying parties reach it, for example http://pki.example.
        #[arg(long)]
        public_url: String,
    },
    /// Make another issuer. Needs the root's key; the server must be stopped meanwhile.
    Add(add::Add),
    /// Let one issuer take over from another, step by step.
    #[command(subcommand)]
    Rollover(rollover::Verb),
    /// Sign the root's revocation list anew, good for a year. Needs the root's key; the server must
    /// be stopped meanwhile.
    CrlRefresh(Refresh),
}

#[derive(Debug, Args)]
pub struct Refresh {
    /// The root. Without a name the one whose key is at --root, or every root whose key is in the data
    /// directory.
    name: Option<String>,
    /// The root's key file, if it is not in the data directory.
    #[arg(long, value_name = "FILE")]
    root: Option<PathBuf>,
    /// A file whose first line is the passphrase of the root's key. Otherwise
    /// TENURE_ROOT_PASSPHRASE (with --root), TENURE_PASSPHRASE (without) or a prompt.
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

pub async fn run(verb: Verb, session: &Session, output: &Output) -> Result<(), Failure> {
    let api = session.api();
    match verb {
        Verb::List(page) => output.page(COLUMNS, api.list("/issuers", &[], &page)).await,
        Verb::Show { name } => output.record(&api.get(&path(&name)).await?),
        Verb::Export { name, cross } => {
            let issuer = api.get(&path(&name)).await?;
            let wanted = if cross { "cross_pem" } else { "chain_pem" };
            match issuer.get(wanted).and_then(Value::as_str) {
                Some("") => Err(Failure::failed(format!(
                    "no other root stands for the root of {name}"
                ))),
                Some(pem) => output.document(pem, &json!({ "name": name, "pem": pem })),
                None => Err(Failure::failed("the server sent no certificate")),
            }
        }
        // Done before a session was looked for.
        Verb::Add(_) | Verb::CrlRefresh(_) => Ok(()),
        Verb::Rollover(verb) => rollover::run(verb, session, output).await,
        Verb::Edit { name, public_url } => {
            let issuer = api
                .patch(&path(&name), &json!({ "base_url": public_url }))
                .await?;
            output.done(
                &format!("issuer {name} now publishes at {public_url}"),
                &issuer,
            )
        }
    }
}

fn path(name: &str) -> String {
    format!("/issuers/{}", api::segment(name))
}

/// `tenure issuer crl-refresh`: one act with the root's key, without a server.
pub async fn crl_refresh(
    refresh: &Refresh,
    data: Option<&Path>,
    output: &Output,
) -> Result<(), Failure> {
    let data = data.ok_or_else(|| Failure::Usage("say whose list: --data DIR".to_owned()))?;
    // First, so that a running server is named before anyone looks for a passphrase.
    let store = Store::open(data, Options::default()).map_err(Failure::failed)?;
    let engine = Engine::start(store, [], data, Clock::system(), Settings::default());
    let engine = engine.map_err(Failure::failed)?;
    let variable = if refresh.root.is_some() {
        ROOT_VARIABLE
    } else {
        VARIABLE
    };
    let wanted = Wanted {
        what: "the root key",
        file: refresh.passphrase_file.as_deref(),
        variable,
        prompt: Prompt::Once,
    };
    let passphrase = wanted.find()?;
    let keys = match &refresh.root {
        Some(path) => vec![Keyring::open_at(path, &passphrase).map_err(Failure::failed)?],
        None => roots_at_hand(&engine, refresh, data, &passphrase)?,
    };
    let mut signed = Vec::new();
    for key in &keys {
        let issuer = engine.sign_root_lists(key).await.map_err(Failure::failed)?;
        if refresh
            .name
            .as_ref()
            .is_some_and(|name| issuer.name.as_str() != name)
        {
            return Err(Failure::failed(format!(
                "the key at --root is that of {}, and its list is signed",
                issuer.name
            )));
        }
        let list = engine.published_list(&issuer.name, List::Full);
        let list = list.ok_or_else(|| Failure::failed("the list was not published"))?;
        signed.push((issuer, list));
    }
    engine.store().close();
    let said: Vec<_> = signed
        .iter()
        .map(|(issuer, list)| {
            format!(
                "the revocation list of {} is signed, good until {}",
                issuer.name, list.next_update
            )
        })
        .collect();
    let lists: Vec<_> = signed
        .iter()
        .map(|(issuer, list)| {
            json!({
                "issuer": issuer.name,
                "number": list.number,
                "next_update": list.next_update.to_string(),
            })
        })
        .collect();
    output.done(&said.join("\n"), &json!({ "lists": lists }))
}

/// The keys of roots in the data directory: of the one that is named, or of all.
fn roots_at_hand(
    engine: &Engine,
    refresh: &Refresh,
    data: &Path,
    passphrase: &Passphrase,
) -> Result<Vec<Key>, Failure> {
    let ring = Keyring::locked(&super::key::directory(data)?).map_err(Failure::failed)?;
    let snapshot = engine.snapshot();
    let records = ring.records();
    let is_here = |issuer: &Issuer| records.iter().any(|record| record.name == issuer.key);
    let roots: Vec<_> = snapshot
        .issuers
        .iter()
        .filter(|issuer| issuer.kind == IssuerKind::Root)
        .filter(|issuer| match &refresh.name {
            Some(name) => issuer.name.as_str() == name,
            None => is_here(issuer),
        })
        .collect();
    if roots.is_empty() {
        // The one that is missing says so.
        return Ok(vec![
            ring.unlock(ROOT, passphrase).map_err(Failure::failed)?,
        ]);
    }
    roots
        .iter()
        .map(|root| ring.unlock(&root.key, passphrase).map_err(Failure::failed))
        .collect()
}
