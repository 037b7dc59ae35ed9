//! `tenure feed …`

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde_json::{Value, json};

use super::exit::Failure;
use super::output::{Column, Output};
use super::session::Session;
use super::{Page, api};

const COLUMNS: &[Column] = &[
    ("NAME", "name"),
    ("WAY", "way"),
    ("OFFERED", "offered"),
    ("APPLIED", "applied"),
    ("BEHIND SINCE", "behind_since"),
    ("ACKNOWLEDGED", "acknowledged"),
];

#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Hand out what a relying party needs to follow its feed, in one file that holds a secret: give
    /// it to `tenure-agent feed follow` there.
    Connect {
        /// The relying party.
        name: String,
        /// The file to write; it must not be there yet.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// Where the relying party reaches the operator listener, if not where this command does.
        #[arg(long, value_name = "URL")]
        at: Option<String>,
        /// How many days it is good; without it, until its token is revoked.
        #[arg(long)]
        days: Option<u32>,
    },
    /// List who should hold what, and who applied it.
    List(Page),
    /// Show one relying party's feed.
    Show {
        /// The relying party.
        name: String,
    },
    /// Print the key that manifests are signed with, as relying parties pin it.
    Key,
}

pub async fn run(verb: Verb, session: &Session, output: &Output) -> Result<(), Failure> {
    let api = session.api();
    match verb {
        Verb::Connect {
            name,
            out,
            at,
            days,
        } => {
            let made = connect(&name, &out, at.as_deref(), days, session).await?;
            let said = format!(
                "{} opens the feed of {name}; it holds a secret. Take it there and run\n  \
                 tenure-agent feed follow --connection {} --into DIR --hook COMMAND",
                out.display(),
                out.display()
            );
            output.done(&said, &made)
        }
        Verb::List(page) => output.page(COLUMNS, api.list("/feeds", &[], &page)).await,
        Verb::Show { name } => {
            let path = format!("/feeds/{}", api::segment(&name));
            output.record(&api.get(&path).await?)
        }
        Verb::Key => {
            let key = api.get_text("/feed-key").await?;
            output.document(&key, &json!({ "key": key.trim_end() }))
        }
    }
}

async fn connect(
    name: &str,
    out: &Path,
    at: Option<&str>,
    days: Option<u32>,
    session: &Session,
) -> Result<Value, Failure> {
    let api = session.api();
    let cannot = |error| Failure::failed(format!("cannot write {}: {error}", out.display()));
    // Before a token is made that nobody would get to see.
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(out)
        .map_err(cannot)?;
    let asked = json!({
        "name": format!("feed of {name}"), "role": "relying-party", "relying_party": name,
        "days": days,
    });
    let made = async {
        let key = api.get_text("/feed-key").await?;
        let token = api.post("/tokens", &asked).await?;
        Ok::<_, Failure>((key, token))
    };
    let (key, token) = match made.await {
        Ok(made) => made,
        Err(failure) => {
            // An empty file opens nothing and would be in the way of the next try.
            let _ = std::fs::remove_file(out);
            return Err(failure);
        }
    };
    let connection = json!({
        "version": 1,
        "url": at.map_or_else(|| api.server().to_string(), str::to_owned),
        "party": name,
        "token": token["token"],
        "key": key.trim(),
        "ca_pem": session.root_pem(),
    });
    file.write_all(format!("{connection:#}\n").as_bytes())
        .and_then(|()| file.sync_all())
        .map_err(cannot)?;
    Ok(json!({ "file": out, "party": name, "token": token["no"] }))
}
