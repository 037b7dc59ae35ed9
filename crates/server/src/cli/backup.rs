//! `tenure backup …`: made by a running server, verified and restored without one.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde_json::{Value, json};
use tenure_engine::store::backup::{self, Copied};
use tenure_engine::store::{Options, Store};
use tenure_engine::{Clock, origin};

use super::exit::Failure;
use super::output::Output;
use super::session::Session;
use crate::api::backup::{DATABASE, KEPT, copy};
use crate::sums;

#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Have the running server copy everything, and verify the copy.
    Create {
        /// Where to, on the server: a directory that does not exist yet, by its absolute path.
        /// Usually one below DIR/backups.
        #[arg(long, value_name = "PATH")]
        to: Option<PathBuf>,
    },
    /// Read a backup whole: every file, every page and every event must be what it was.
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
        Verb::Create { .. } => return Ok(Some(verb)),
        Verb::Verify { path } => {
            let found = verified(&path)?;
            let sentence = format!("OK: {}", described(&found));
            output.done(&sentence, &shown(&path, &found))?;
        }
        Verb::Restore { path } => {
            let data = data.ok_or_else(|| {
                Failure::Usage("say where to: --data DIR, which must be empty or absent".into())
            })?;
            let (found, origin) = restore(&path, data).await?;
            let sentence = format!(
                "restored into {}: {}\nWhatever happened after the last event is lost. Compare with \
                 what you know, and revoke again what was revoked since.\nThe log goes on as \
                 {origin}, for {} may have been seen to be longer.\nStart it with `tenure serve \
                 --data {}`.",
                data.display(),
                described(&found),
                found.origin,
                data.display()
            );
            let mut shown = shown(&path, &found);
            if let Some(fields) = shown.as_object_mut() {
                fields.insert("new_origin".to_owned(), json!(origin));
            }
            output.done(&sentence, &shown)?;
        }
    }
    Ok(None)
}

/// `tenure backup create`
pub async fn create(to: Option<&Path>, session: &Session, output: &Output) -> Result<(), Failure> {
    let asked = match to {
        Some(to) => json!({ "to": to.display().to_string() }),
        None => json!({}),
    };
    let made = session.api().post("/backups", &asked).await?;
    let path = made.get("path").and_then(Value::as_str).unwrap_or_default();
    output.done(path, &made)
}

fn verified(path: &Path) -> Result<Copied, Failure> {
    let missing: Vec<_> = ["keys", "tenure.toml", "root.pem", sums::FILE]
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
    sums::check(path)
        .map_err(|error| Failure::failed(format!("{} does not verify: {error}", path.display())))?;
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

async fn restore(path: &Path, data: &Path) -> Result<(Copied, String), Failure> {
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
    // It bears the former name; the server signs the first one of the new name when it starts.
    match fs::remove_file(data.join("log").join("checkpoint")) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(&error)),
        _ => {}
    }
    let found = backup::restore(&path.join(DATABASE), data).map_err(|error| failed(&error))?;
    let origin = record(path, data).await.map_err(|error| failed(&error))?;
    Ok((found, origin))
}

/// The restored record says that it was restored, and from which copy. Answers the log's new name.
async fn record(path: &Path, data: &Path) -> Result<String, Failure> {
    let from = sums::of_file(&path.join(DATABASE)).map_err(Failure::failed)?;
    let store = Store::open(data, Options::default()).map_err(Failure::failed)?;
    let origin = origin::restored(&store, from, Clock::system().now()).await;
    store.close();
    origin.map_err(Failure::failed)
}
