//! `tenure issuer …`

use clap::Subcommand;
use serde_json::{Value, json};

use super::api;
use super::exit::Failure;
use super::output::{Column, Output};
use super::session::Session;

const COLUMNS: &[Column] = &[
    ("NAME", "name"),
    ("KIND", "kind"),
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
