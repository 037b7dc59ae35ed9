//! `tenure relying-party …`

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::exit::Failure;
use super::output::{Column, Output};
use super::session::Session;
use super::{Page, api, device};

const PATH: &str = "/relying-parties";

const COLUMNS: &[Column] = &[
    ("NAME", "name"),
    ("ADDRESS", "address"),
    ("PROTOCOL", "protocol"),
    ("CHECKS", "checks"),
    ("CRITICALITY", "criticality"),
    ("SERVICES", "services"),
    ("OWNER", "owner"),
    ("SITE", "site"),
];

#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Add a relying party; what is not named takes its default.
    Add {
        /// Its short name.
        name: String,
        #[command(flatten)]
        fields: Fields,
    },
    /// Change a relying party; what is not named stays.
    Edit {
        /// Its short name.
        name: String,
        #[command(flatten)]
        fields: Fields,
    },
    /// Add or change many: one JSON object a line, with the fields that `show --json` prints.
    Import {
        /// The file; `-` reads standard input.
        file: PathBuf,
    },
    /// List relying parties.
    List(Page),
    /// Show one relying party.
    Show {
        /// Its short name.
        name: String,
    },
    /// Take a relying party away. What was found about it is cleared.
    Remove {
        /// Its short name.
        name: String,
    },
}

#[derive(Debug, Args)]
pub struct Fields {
    /// Where it listens, HOST:PORT.
    #[arg(long)]
    address: Option<String>,
    /// tls, https or mqtt.
    #[arg(long)]
    protocol: Option<String>,
    /// The name its certificate must carry, if not the host of the address.
    #[arg(long)]
    server_name: Option<String>,
    /// What its certificate must lead to, PEM, if not our own roots.
    #[arg(long, value_name = "FILE")]
    anchors: Option<PathBuf>,
    /// The issuers whose devices it is to let in, if not every issuing CA; separated by commas.
    #[arg(long, value_delimiter = ',')]
    issuers: Option<Vec<String>>,
    /// The services that devices reach through it; separated by commas.
    #[arg(long, value_delimiter = ',')]
    services: Option<Vec<String>>,
    /// low, medium, high or safety.
    #[arg(long)]
    criticality: Option<String>,
    /// Who answers for it.
    #[arg(long)]
    owner: Option<String>,
    /// Where it stands.
    #[arg(long)]
    site: Option<String>,
    /// How it says that it learns of withdrawals: none, crl, ocsp, filter or decision.
    #[arg(long)]
    checks: Option<String>,
    /// When it says that it checks: handshake or continuous.
    #[arg(long)]
    session: Option<String>,
    /// How long after a withdrawal it may still let the device in, in seconds.
    #[arg(long, value_name = "SECONDS")]
    enforce_within: Option<i64>,
}

impl Fields {
    fn json(self, name: Option<&str>) -> Result<Value, Failure> {
        let anchors = match self.anchors {
            None => None,
            Some(file) => Some(
                String::from_utf8(device::read_input(&file)?)
                    .map_err(|_| Failure::Usage(format!("{} is not PEM", file.display())))?,
            ),
        };
        Ok(api::given(json!({
            "name": name,
            "address": self.address,
            "protocol": self.protocol,
            "server_name": self.server_name,
            "anchors_pem": anchors,
            "issuers": self.issuers,
            "services": self.services,
            "criticality": self.criticality,
            "owner": self.owner,
            "site": self.site,
            "checks": self.checks,
            "session": self.session,
            "enforce_within_s": self.enforce_within,
        })))
    }
}

pub async fn run(verb: Verb, session: &Session, output: &Output) -> Result<(), Failure> {
    let api = session.api();
    let one = |name: &str| format!("{PATH}/{}", api::segment(name));
    match verb {
        Verb::Add { name, fields } => {
            let put = api.post(PATH, &fields.json(Some(&name))?).await?;
            output.done(&format!("relying party {name} is registered"), &put)
        }
        Verb::Edit { name, fields } => {
            let put = api.patch(&one(&name), &fields.json(None)?).await?;
            output.done(&format!("relying party {name} is changed"), &put)
        }
        Verb::Import { file } => import(&file, session, output).await,
        Verb::List(page) => output.page(COLUMNS, api.list(PATH, &[], &page)).await,
        Verb::Show { name } => output.record(&api.get(&one(&name)).await?),
        Verb::Remove { name } => {
            let gone = api.delete(&one(&name)).await?;
            output.done(&format!("relying party {name} is taken away"), &gone)
        }
    }
}

async fn import(file: &PathBuf, session: &Session, output: &Output) -> Result<(), Failure> {
    let text = String::from_utf8(device::read_input(file)?)
        .map_err(|_| Failure::Usage(format!("{} is not UTF-8", file.display())))?;
    let mut parties = Vec::new();
    for (i, line) in text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty())
    {
        let read = serde_json::from_str::<Map<String, Value>>(line);
        let party = read.map_err(|error| {
            Failure::Usage(format!("line {}: this is no JSON object: {error}", i + 1))
        })?;
        parties.push((i + 1, Value::Object(party)));
    }
    let mut put = Vec::new();
    for (line, party) in parties {
        let done = session.api().post(PATH, &party).await;
        put.push(done.inspect_err(|_| {
            // The failure itself is printed by whoever called.
            let _ = super::output::note(&format!("line {line} was not taken; those before were"));
        })?);
    }
    output.list(COLUMNS, &put)
}
