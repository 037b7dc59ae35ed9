//! `tenure issuer …`

pub mod add;
pub mod rollover;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use tenure_engine::ceremony::ROOT;
use tenure_engine::duty::publish::List;
use tenure_engine::signer::Keyring;
use tenure_engine::store::{Options, Store};
use tenure_engine::{Clock, Engine, Settings};

use super::api;
use super::exit::Failure;
use super::output::{Column, Output};
use super::session::Session;
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
    List,
    /// Show one issuer.
    Show {
        /// Its short name.
        name: String,
    },
    /// Print an issuer's certificate and those above it, as PEM.
    Export {
        /// Its short name.
        name: String,
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
        Verb::List => output.list(COLUMNS, &api.list("/issuers", &[], 0).await?),
        Verb::Show { name } => output.record(&api.get(&path(&name)).await?),
        Verb::Export { name } => {
            let issuer = api.get(&path(&name)).await?;
            match issuer.get("chain_pem").and_then(Value::as_str) {
                Some(pem) => output.raw(pem),
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
    let root = match &refresh.root {
        Some(path) => Keyring::open_at(path, &passphrase),
        None => Keyring::locked(&super::key::directory(data)?)
            .and_then(|ring| ring.unlock(ROOT, &passphrase)),
    };
    let root = root.map_err(Failure::failed)?;
    let engine = Engine::start(
        store,
        [root.clone()],
        data,
        Clock::system(),
        Settings::default(),
    )
    .map_err(Failure::failed)?;
    engine
        .sign_root_lists(&root)
        .await
        .map_err(Failure::failed)?;
    let snapshot = engine.snapshot();
    let issuer = snapshot
        .issuers
        .iter()
        .find(|issuer| issuer.key == root.name());
    let list = issuer.and_then(|issuer| engine.published_list(&issuer.name, List::Full));
    let list = list.ok_or_else(|| Failure::failed("the list was not published"))?;
    engine.store().close();
    output.done(
        &format!(
            "the root's revocation list is signed, good until {}",
            list.next_update
        ),
        &json!({ "number": list.number, "next_update": list.next_update.to_string() }),
    )
}
