//! `tenure incident …`

use clap::Subcommand;
use serde_json::{Value, json};

use super::exit::Failure;
use super::output::{Column, Output};
use super::session::Session;
use super::{Agreed, Page, cert, device};

const COLUMNS: &[Column] = &[
    ("NO", "no"),
    ("KIND", "kind"),
    ("STATE", "state"),
    ("DEVICE", "device"),
    ("OPENED", "opened"),
    ("SUMMARY", "summary"),
];

#[derive(Debug, Subcommand)]
pub enum Verb {
    /// List incidents.
    List {
        /// open or resolved.
        #[arg(long)]
        state: Option<String>,
        #[command(flatten)]
        page: Page,
    },
    /// Show one incident.
    Show {
        /// Its number.
        no: i64,
    },
    /// Decide it. For a fork: keep one branch, revoke the others; or revoke all.
    Resolve {
        /// Its number.
        no: i64,
        /// The certificate of the branch to keep. Without it none is kept: every certificate of the
        /// device is revoked for good.
        #[arg(long, value_name = "SERIAL")]
        keep: Option<String>,
        /// Why, for the record.
        #[arg(long, default_value = "")]
        why: String,
        #[command(flatten)]
        agreed: Agreed,
    },
}

pub async fn run(verb: Verb, session: &Session, output: &Output) -> Result<(), Failure> {
    let api = session.api();
    match verb {
        Verb::List { state, page } => {
            let query: Vec<_> = state.into_iter().map(|state| ("state", state)).collect();
            output
                .page(COLUMNS, api.list("/incidents", &query, &page))
                .await
        }
        Verb::Show { no } => output.record(&api.get(&format!("/incidents/{no}")).await?),
        Verb::Resolve {
            no,
            keep,
            why,
            agreed,
        } => {
            let path = format!("/incidents/{no}");
            let keep = keep.filter(|keep| !keep.is_empty());
            let incident = api.get(&path).await?;
            let field = |name: &str| incident.get(name).and_then(Value::as_str);
            if let (None, Some("open"), Some(device)) = (&keep, field("state"), field("device")) {
                let radius = format!("{}/blast-radius", device::path(device));
                let touched = cert::touched(&api.get(&radius).await?);
                let effect = format!("revoke for good (keyCompromise), keeping none:{touched}");
                session.agree(&effect, agreed)?;
            }
            let body = json!({ "keep": keep, "why": why });
            let incident = api.post(&format!("{path}/resolve"), &body).await?;
            output.done(&format!("incident {no} is resolved"), &incident)
        }
    }
}
