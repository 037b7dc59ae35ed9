//! `tenure incident …`

use clap::Subcommand;
use serde_json::{Value, json};
use tenure_x509::Serial;

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
            output.page(COLUMNS, &api.list("/incidents", &query, &page).await?)
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
            if let Some(effect) = effect(&api.get(&path).await?, keep.as_deref(), session).await? {
                session.agree(&effect, agreed)?;
            }
            let body = json!({ "keep": keep, "why": why });
            let incident = api.post(&format!("{path}/resolve"), &body).await?;
            output.done(&format!("incident {no} is resolved"), &incident)
        }
    }
}

/// What a decision would withdraw for good; none where it withdraws nothing, or the server refuses it.
async fn effect(
    incident: &Value,
    keep: Option<&str>,
    session: &Session,
) -> Result<Option<String>, Failure> {
    let field = |name: &str| incident.get(name).and_then(Value::as_str);
    let (Some("open"), Some(device)) = (field("state"), field("device")) else {
        return Ok(None);
    };
    let kept = keep.map(Serial::parse_number).transpose();
    let Ok(kept) = kept.map(|kept| kept.map(|serial| json!(serial.to_string()))) else {
        return Ok(None);
    };
    let concerned = incident.get("serials").and_then(Value::as_array);
    let is_concerned = |kept: &Value| concerned.is_some_and(|serials| serials.contains(kept));
    if !kept.as_ref().is_none_or(is_concerned) {
        return Ok(None);
    }
    let radius = format!("{}/blast-radius", device::path(device));
    let mut radius = session.api().get(&radius).await?;
    let keeping = match &kept {
        None => "none",
        Some(kept) => {
            spare(&mut radius, kept);
            kept.as_str().unwrap_or_default()
        }
    };
    let touched = cert::touched(&radius);
    Ok(Some(format!(
        "revoke for good (keyCompromise), keeping {keeping}:{touched}"
    )))
}

/// Takes a certificate out of what a withdrawal would touch.
fn spare(radius: &mut Value, kept: &Value) {
    let count = radius.get("certificate_count").and_then(Value::as_u64);
    let Some(Value::Array(serials)) = radius.get_mut("certificates") else {
        return;
    };
    let before = serials.len();
    serials.retain(|serial| serial != kept);
    let spared = (before - serials.len()) as u64;
    if let (Some(count), Some(fields)) = (count, radius.as_object_mut()) {
        let left = count.saturating_sub(spared);
        fields.insert("certificate_count".to_owned(), json!(left));
    }
}
