//! `tenure hook …`

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::exit::Failure;
use super::output::{Column, Output, note};
use super::session::Session;
use super::{Page, api, device};

const PATH: &str = "/hooks";

const COLUMNS: &[Column] = &[
    ("NAME", "name"),
    ("KIND", "kind"),
    ("ADDRESS", "address"),
    ("STATE", "state"),
    ("TOLD", "told"),
    ("WAITING", "waiting"),
    ("DELIVERED", "delivered"),
    ("ERROR", "error"),
    ("OWNER", "owner"),
];

#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Add a hook; what is not named takes its default. Prints a webhook's secret, once.
    Add {
        /// Its short name.
        name: String,
        #[command(flatten)]
        fields: Fields,
    },
    /// Change a hook; what is not named stays.
    Edit {
        /// Its short name.
        name: String,
        #[command(flatten)]
        fields: Fields,
        /// Make a webhook a fresh secret, and print it, once.
        #[arg(long)]
        fresh_secret: bool,
    },
    /// List hooks, and how far each has come.
    List(Page),
    /// Show one hook, with what its receiver would not have.
    Show {
        /// Its short name.
        name: String,
    },
    /// Tell a hook again of everything after an event.
    Redeliver {
        /// Its short name.
        name: String,
        /// After the event of this number; 0 for all there ever were.
        #[arg(long)]
        after: i64,
    },
    /// Take a hook away, with its secret.
    Remove {
        /// Its short name.
        name: String,
    },
}

#[derive(Debug, Args)]
pub struct Fields {
    /// webhook, caep, mqtt, mosquitto or emqx.
    #[arg(long)]
    kind: Option<String>,
    /// Where: https://HOST[:PORT]/PATH, or mqtts://HOST[:PORT].
    #[arg(long)]
    address: Option<String>,
    /// What the receiver's certificate must lead to, PEM, if not our own roots.
    #[arg(long, value_name = "FILE")]
    anchors: Option<PathBuf>,
    /// The receiver's secret, in the first line of a file; `-` reads standard input.
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
    /// encrypted, or clear where somebody else protects the way.
    #[arg(long)]
    wire: Option<String>,
    /// Of which changes, if not of all of trust; separated by commas. `publication` and `feed` tell a
    /// webhook or an MQTT hook of what is published and offered.
    #[arg(long, value_delimiter = ',')]
    changes: Option<Vec<String>>,
    /// Where an MQTT hook publishes, if not to tenure/trust.
    #[arg(long)]
    topic: Option<String>,
    /// For whom the tokens of a CAEP hook are, if not its address.
    #[arg(long)]
    audience: Option<String>,
    /// When sessions are ended once more, in seconds after the withdrawal.
    #[arg(long, value_name = "SECONDS")]
    again_after: Option<i64>,
    /// Who answers for it.
    #[arg(long)]
    owner: Option<String>,
    /// low, medium, high or safety.
    #[arg(long)]
    criticality: Option<String>,
}

impl Fields {
    fn json(self, name: Option<&str>, fresh_secret: bool) -> Result<Value, Failure> {
        let text = |file: Option<PathBuf>| -> Result<Option<String>, Failure> {
            let Some(file) = file else { return Ok(None) };
            let read = String::from_utf8(device::read_input(&file)?);
            let read = read.map_err(|_| Failure::Usage(format!("{} is no text", file.display())));
            read.map(Some)
        };
        let secret = text(self.secret_file)?;
        let secret = secret.map(|text| text.lines().next().unwrap_or_default().to_owned());
        Ok(api::given(json!({
            "name": name,
            "kind": self.kind,
            "address": self.address,
            "anchors_pem": text(self.anchors)?,
            "secret": secret,
            "fresh_secret": fresh_secret,
            "wire": self.wire,
            "changes": self.changes,
            "topic": self.topic,
            "audience": self.audience,
            "again_after_s": self.again_after,
            "owner": self.owner,
            "criticality": self.criticality,
        })))
    }
}

pub async fn run(verb: Verb, session: &Session, output: &Output) -> Result<(), Failure> {
    let api = session.api();
    let one = |name: &str| format!("{PATH}/{}", api::segment(name));
    match verb {
        Verb::Add { name, fields } => {
            let put = api.post(PATH, &fields.json(Some(&name), false)?).await?;
            done(&format!("hook {name} is registered"), &put, output)
        }
        Verb::Edit {
            name,
            fields,
            fresh_secret,
        } => {
            let put = api
                .patch(&one(&name), &fields.json(None, fresh_secret)?)
                .await?;
            done(&format!("hook {name} is changed"), &put, output)
        }
        Verb::List(page) => output.page(COLUMNS, api.list(PATH, &[], &page)).await,
        Verb::Show { name } => output.record(&api.get(&one(&name)).await?),
        Verb::Redeliver { name, after } => {
            let path = format!("{}/redeliver", one(&name));
            let told = api.post(&path, &json!({ "after": after })).await?;
            output.done(&format!("hook {name} goes on after event {after}"), &told)
        }
        Verb::Remove { name } => {
            let gone = api.delete(&one(&name)).await?;
            output.done(&format!("hook {name} is taken away"), &gone)
        }
    }
}

/// Says what was done; a fresh secret stands alone, so that it can be piped to where it belongs.
fn done(sentence: &str, put: &Value, output: &Output) -> Result<(), Failure> {
    match put.get("secret").and_then(Value::as_str) {
        Some(secret) => {
            note(&format!("{sentence}; its secret, shown this once:"))?;
            output.done(secret, put)
        }
        None => output.done(sentence, put),
    }
}
