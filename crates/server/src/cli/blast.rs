//! `tenure blast …`

use clap::Args;
use serde_json::{Map, Value, json};

use super::Page;
use super::api::query;
use super::exit::Failure;
use super::output::{Column, Form, Output, note};
use super::session::Session;

const TALLIES: &[Column] = &[
    ("BY", "by"),
    ("NAME", "name"),
    ("DEVICES", "devices"),
    ("EXPOSED", "exposed"),
    ("SUSPENDED", "suspended"),
    ("WITHDRAWN", "withdrawn"),
    ("WITHOUT", "without"),
    ("GOING ON", "going_on"),
    ("CUT OFF", "cut_off"),
];

const PARTIES: &[Column] = &[
    ("RELYING PARTY", "name"),
    ("CRITICALITY", "criticality"),
    ("SITE", "site"),
    ("TRUSTS", "trusts"),
    ("SERVES", "serves"),
    ("REFUSES THE REVOKED", "verdict"),
];

const DEVICES: &[Column] = &[
    ("DEVICE", "id"),
    ("EXPOSURE", "exposure"),
    ("GOES ON", "goes_on"),
    ("CRITICALITY", "criticality"),
    ("CLASS", "class"),
    ("SITE", "site"),
    ("OWNER", "owner"),
    ("SERVICES", "services"),
];

/// How the counts are cut, and the field of the answer that holds each.
const CUTS: [(&str, &str); 5] = [
    ("criticality", "by_criticality"),
    ("class", "by_class"),
    ("site", "by_site"),
    ("owner", "by_owner"),
    ("service", "by_service"),
];

#[derive(Debug, Args)]
pub struct Asked {
    /// issuer, anchor, key, device, operator, manufacturer, owner, site or service.
    kind: String,
    /// Its name. For an anchor: a root's name, or the SHA-256 of its certificate. For a key: the
    /// SHA-256 of its SubjectPublicKeyInfo. For an operator: a token's name or number.
    name: String,
    /// List the devices instead of counting them.
    #[arg(long)]
    devices: bool,
    /// Only devices that are exposed, suspended, withdrawn or without; with --devices.
    #[arg(long, requires = "devices")]
    exposure: Option<String>,
    /// Only devices of this criticality; with --devices.
    #[arg(long, requires = "devices")]
    criticality: Option<String>,
    #[command(flatten)]
    page: Page,
}

pub async fn run(asked: Asked, session: &Session, output: &Output) -> Result<(), Failure> {
    let api = session.api();
    let mut fields = vec![("kind", asked.kind), ("name", asked.name)];
    if asked.devices {
        fields.extend(asked.exposure.map(|word| ("exposure", word)));
        fields.extend(asked.criticality.map(|word| ("criticality", word)));
        let found = api.list("/blast-radius/devices", &fields, &asked.page);
        return output.page(DEVICES, found).await;
    }
    let blast = api.get(&format!("/blast-radius{}", query(&fields))).await?;
    match output.form() {
        Form::Json => output.record(&blast),
        Form::Text => told(&blast, output),
    }
}

/// A radius for people: the counts, whom it reaches, and what it comes to.
pub fn told(blast: &Value, output: &Output) -> Result<(), Failure> {
    let mut rows = vec![row("all", "", &blast["devices"])];
    for (by, field) in CUTS {
        let cut = blast[field].as_object().into_iter().flatten();
        rows.extend(cut.map(|(name, tally)| row(by, name, tally)));
    }
    output.list(TALLIES, &rows)?;
    let parties = blast["relying_parties"].as_array();
    if let Some(parties) = parties.filter(|parties| !parties.is_empty()) {
        output.list(PARTIES, parties)?;
    }
    if let Some(acts) = blast["acts"].as_object().filter(|acts| !acts.is_empty()) {
        let said: Vec<_> = acts.iter().map(|(word, n)| format!("{word} {n}")).collect();
        note(&format!("what was done: {}", said.join(", ")))?;
    }
    let n = |of: &str, field: &str| blast[of][field].as_u64().unwrap_or(0);
    note(&format!(
        "{} certificates of {} devices; {} devices are still exposed, {} are cut off until they \
         enroll anew",
        n("certificates", "all"),
        n("devices", "devices"),
        n("devices", "exposed"),
        n("devices", "cut_off"),
    ))
}

fn row(by: &str, name: &str, tally: &Value) -> Value {
    let mut row = Map::from_iter([
        ("by".to_owned(), json!(by)),
        ("name".to_owned(), json!(name)),
    ]);
    row.extend(tally.as_object().cloned().unwrap_or_default());
    Value::Object(row)
}
