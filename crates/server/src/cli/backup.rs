//! `tenure backup …`: made by a running server, verified and restored without one.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde_json::{Value, json};
use tenure_domain::event::{Entry, Event};
use tenure_domain::operator::Actor;
use tenure_domain::text::hex;
use tenure_engine::Clock;
use tenure_engine::store::backup::{self, Copied};
use tenure_engine::store::{OperationId, Options, Store, StoreError, Tx};

use super::exit::Failure;
use super::output::Output;
use super::session::Session;
use crate::api::backup::{DATABASE, KEPT, copy};

#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Have the running server copy everything below DIR/backups, and verify the copy.
    Create,
    /// Read a backup whole: every page and every event must be what it was.
    Verify {
        /// The backup's directory.
        path: PathBuf,
    },
    /// Make a data directory from a backup. The server of the old one must never run again.
    Restore {
        /// The backup's directory.
        path: PathBuf,
    },
}

/// What needs no server is done here; the rest is handed back.
pub async fn offline(
    verb: Verb,
    data: Option<&Path>,
    output: &Output,
) -> Result<Option<Verb>, Failure> {
    match verb {
        Verb::Create => return Ok(Some(verb)),
        Verb::Verify { path } => {
            let found = verified(&path)?;
            let sentence = format!("OK: {}", described(&found));
            output.done(&sentence, &shown(&path, &found))?;
        }
        Verb::Restore { path } => {
            let data = data.ok_or_else(|| {
                Failure::Usage("say where to: --data DIR, which must be empty or absent".into())
            })?;
            let found = restore(&path, data).await?;
            let sentence = format!(
                "restored into {}: {}\nWhatever happened after the last event is lost: compare with \
                 what you know. Start it with `tenure serve --data {}`.",
                data.display(),
                described(&found),
                data.display()
            );
            output.done(&sentence, &shown(&path, &found))?;
        }
    }
    Ok(None)
}

/// `tenure backup create`
pub async fn create(session: &Session, output: &Output) -> Result<(), Failure> {
    let made = session.api().post("/backups", &json!({})).await?;
    let path = made.get("path").and_then(Value::as_str).unwrap_or_default();
    output.done(path, &made)
}

fn verified(path: &Path) -> Result<Copied, Failure> {
    let missing: Vec<_> = ["keys", "tenure.toml", "root.pem"]
        .into_iter()
        .filter(|name| !path.join(name).exists())
        .collect();
    if !missing.is_empty() {
        return Err(Failure::failed(format!(
            "{} is no whole backup: it lacks {}",
            path.display(),
            missing.join(", ")
        )));
    }
    backup::verify(&path.join(DATABASE))
        .map_err(|error| Failure::failed(format!("{} does not verify: {error}", path.display())))
}

fn described(found: &Copied) -> String {
    format!(
        "{} events, the last recorded {}, {} of them sealed",
        found.events, found.recorded, found.sealed
    )
}

fn shown(path: &Path, found: &Copied) -> Value {
    json!({
        "path": path.display().to_string(),
        "events": found.events,
        "recorded": found.recorded.to_string(),
        "sealed": found.sealed,
        "origin": found.origin,
    })
}

async fn restore(path: &Path, data: &Path) -> Result<Copied, Failure> {
    verified(path)?;
    let failed = |error: &dyn std::fmt::Display| {
        Failure::failed(format!("cannot restore into {}: {error}", data.display()))
    };
    let is_empty = match fs::read_dir(data) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => true,
        Err(error) => return Err(failed(&error)),
    };
    if !is_empty {
        return Err(Failure::Usage(format!(
            "{} is not empty; restore into a new directory, so that nothing is lost by a slip",
            data.display()
        )));
    }
    fs::create_dir_all(data).map_err(|error| failed(&error))?;
    for name in KEPT {
        let from = path.join(name);
        if from.exists() {
            copy(&from, &data.join(name)).map_err(|error| failed(&error))?;
        }
    }
    let found = backup::restore(&path.join(DATABASE), data).map_err(|error| failed(&error))?;
    record(path, data).await.map_err(|error| failed(&error))?;
    Ok(found)
}

/// The restored record says that it was restored, and from which copy.
async fn record(path: &Path, data: &Path) -> Result<(), Failure> {
    let copied = fs::read(path.join(DATABASE)).map_err(Failure::failed)?;
    let from = hex(&tenure_x509::sha256(&copied));
    let store = Store::open(data, Options::default()).map_err(Failure::failed)?;
    let now = Clock::system().now();
    let entry = Entry::new(
        Actor::system("restore"),
        now,
        Event::BackupRestored { from },
    );
    let mut operation = [0; 16];
    aws_lc_rs::rand::fill(&mut operation)
        .map_err(|_| Failure::failed("the system gave no random bytes"))?;
    let said = move |tx: &mut Tx<'_>| -> Result<(), StoreError> { tx.log(&entry).map(|_| ()) };
    store
        .record(OperationId(operation), said)
        .await
        .map_err(Failure::failed)?;
    store.close();
    Ok(())
}
