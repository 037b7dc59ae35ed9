//! `tenure device …`

use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::{ArgGroup, Args, Subcommand, value_parser};
use serde_json::{Value, json};

use super::exit::Failure;
use super::output::{Column, Form, Output, note};
use super::session::Session;
use super::{Agreed, Page, api};

const COLUMNS: &[Column] = &[
    ("ID", "id"),
    ("STANDING", "standing"),
    ("CLASS", "class"),
    ("SITE", "site"),
    ("OWNER", "owner"),
    ("MODEL", "model"),
    ("SERIAL", "serial"),
    ("SERVICES", "services"),
];

#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Register one device.
    Add(Fields),
    /// Change a registered device; what is not named stays.
    Edit(Edits),
    /// List devices.
    List {
        #[command(flatten)]
        filter: Filter,
        #[command(flatten)]
        page: Page,
    },
    /// Show one device with its certificates.
    Show {
        /// The device.
        id: String,
    },
    /// Show what was registered and issued of a device, when, and by whom.
    History {
        /// The device.
        id: String,
    },
    /// Register many devices from a table.
    Import(super::import::Import),
    /// Print the registry, or what the filters leave of it, whole, in a form that `import` takes.
    Export {
        #[command(flatten)]
        filter: Filter,
        /// csv or jsonl; without it csv, or one JSON array with --json.
        #[arg(long)]
        format: Option<String>,
    },
    /// Make a one-time enrollment secret and print it, alone. It replaces the former one.
    Secret {
        /// The device.
        id: String,
        /// How many hours it is good: 1 to 2160, which is 90 days.
        #[arg(long, default_value_t = 168)]
        #[arg(value_parser = value_parser!(u32).range(1..=2_160))]
        hours: u32,
    },
    /// Let a device have another identity for life, once, after a repair that took its key away. The
    /// former one is revoked when the new one is made.
    Repair {
        /// The device.
        id: String,
        /// Why, for the record.
        #[arg(long)]
        why: String,
    },
    /// Report what a verifier says of a device, after it appraised the device's evidence.
    Attest(super::attest::Attest),
    /// Stop a device for now: its certificates are put on hold.
    Suspend(Move),
    /// Let a suspended or quarantined device go on.
    Resume(Move),
    /// End a device's life: its certificates are revoked and it can never come back.
    Retire(Move),
}

#[derive(Debug, Args)]
pub struct Fields {
    /// The device's name: 1 to 64 of A-Z a-z 0-9 . _ -
    id: String,
    /// The class, which picks the profile.
    #[arg(long)]
    class: String,
    /// Where it stands.
    #[arg(long)]
    site: String,
    /// Who answers for it.
    #[arg(long)]
    owner: String,
    /// A service it talks to; repeat for several.
    #[arg(long = "service")]
    services: Vec<String>,
    /// Who made it.
    #[arg(long, default_value = "")]
    manufacturer: String,
    /// The maker's model name.
    #[arg(long, default_value = "")]
    model: String,
    /// The maker's serial number.
    #[arg(long, default_value = "")]
    serial: String,
    /// low, medium, high or safety.
    #[arg(long, default_value = "medium")]
    criticality: String,
}

#[derive(Debug, Args)]
pub struct Edits {
    /// The device.
    id: String,
    /// The class, which picks the profile.
    #[arg(long)]
    class: Option<String>,
    /// Where it stands.
    #[arg(long)]
    site: Option<String>,
    /// Who answers for it.
    #[arg(long)]
    owner: Option<String>,
    /// All services it talks to; repeat for several.
    #[arg(long = "service")]
    services: Vec<String>,
    /// Who made it.
    #[arg(long)]
    manufacturer: Option<String>,
    /// The maker's model name.
    #[arg(long)]
    model: Option<String>,
    /// The maker's serial number.
    #[arg(long)]
    serial: Option<String>,
    /// low, medium, high or safety.
    #[arg(long)]
    criticality: Option<String>,
}

#[derive(Debug, Args)]
pub struct Filter {
    /// Only devices whose id, serial number or model begins with this.
    #[arg(long)]
    search: Option<String>,
    /// Only devices at this site or below it.
    #[arg(long)]
    site: Option<String>,
    /// Only devices of this class.
    #[arg(long)]
    class: Option<String>,
    /// Only devices of this owner.
    #[arg(long)]
    owner: Option<String>,
    /// Only devices that talk to this service.
    #[arg(long)]
    service: Option<String>,
    /// Only devices of this standing.
    #[arg(long)]
    standing: Option<String>,
    /// `all` lists the house's own subjects too: servers, responders, authorities.
    #[arg(long, value_parser = ["all"])]
    show: Option<String>,
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("devices").required(true).multiple(true))]
pub struct Move {
    /// The devices.
    #[arg(group = "devices")]
    ids: Vec<String>,
    /// A file with more of them, one a line; `-` reads standard input.
    #[arg(long, value_name = "FILE", group = "devices")]
    from: Option<PathBuf>,
    /// Why, for the record.
    #[arg(long, default_value = "")]
    why: String,
    #[command(flatten)]
    agreed: Agreed,
}

pub async fn run(verb: Verb, session: &Session, output: &Output) -> Result<(), Failure> {
    let api = session.api();
    match verb {
        Verb::Add(fields) => {
            let device = api.post("/devices", &fields.json()).await?;
            output.done(&format!("device {} is registered", fields.id), &device)
        }
        Verb::Edit(edits) => {
            let device = api.patch(&path(&edits.id), &edits.json()).await?;
            output.done(&format!("device {} is changed", edits.id), &device)
        }
        Verb::List { filter, page } => {
            let query = filter.query();
            output
                .page(COLUMNS, api.list("/devices", &query, &page))
                .await
        }
        Verb::Import(import) => super::import::run(import, session, output).await,
        Verb::Export { filter, format } => {
            let as_array = format.is_none() && output.form() == Form::Json;
            let usual = if as_array { "jsonl" } else { "csv" };
            let mut fields = filter.query();
            fields.push(("format", format.unwrap_or_else(|| usual.to_owned())));
            let query = super::api::query(&fields);
            let path = format!("/export/devices{query}");
            if !as_array {
                return api.download(&path, |piece| output.octets(piece)).await;
            }
            let (mut lines, mut items) = (Lines::default(), output.items());
            let take = |piece: &[u8]| {
                let mut rows = lines.whole(piece)?.into_iter();
                rows.try_for_each(|row| items.add("", &row))
            };
            api.download(&path, take).await?;
            items.end()
        }
        Verb::Show { id } => output.record(&api.get(&path(&id)).await?),
        Verb::History { id } => history(&api.get(&format!("{}/history", path(&id))).await?, output),
        Verb::Secret { id, hours } => {
            let body = json!({ "life_s": i64::from(hours) * 3600 });
            let answer = api.post(&format!("{}/secret", path(&id)), &body).await?;
            match answer.get("secret").and_then(Value::as_str) {
                Some(secret) => output.done(secret, &answer),
                None => Err(Failure::failed("the server sent no secret")),
            }
        }
        Verb::Repair { id, why } => {
            let answer = api
                .post(&format!("{}/repair", path(&id)), &json!({ "why": why }))
                .await?;
            let said = format!("device {id} may enroll for another identity for life, once");
            output.done(&said, &answer)
        }
        Verb::Attest(said) => super::attest::run(said, session, output).await,
        Verb::Suspend(devices) => stand(devices, "suspend", session, output).await,
        Verb::Resume(devices) => stand(devices, "resume", session, output).await,
        Verb::Retire(devices) => stand(devices, "retire", session, output).await,
    }
}

/// JSON lines, as they come in pieces.
#[derive(Default)]
struct Lines {
    begun: Vec<u8>,
}

impl Lines {
    /// What stands in the lines that are whole with this piece.
    fn whole(&mut self, piece: &[u8]) -> Result<Vec<Value>, Failure> {
        self.begun.extend_from_slice(piece);
        let end = self.begun.iter().rposition(|octet| *octet == b'\n');
        let rest = self.begun.split_off(end.map_or(0, |end| end + 1));
        let lines = std::mem::replace(&mut self.begun, rest);
        serde_json::Deserializer::from_slice(&lines)
            .into_iter()
            .collect::<Result<_, _>>()
            .map_err(|error| Failure::failed(format!("the answer is not JSON: {error}")))
    }
}

/// One line for each value and each certificate's step; with `--json` the whole answer.
fn history(answer: &Value, output: &Output) -> Result<(), Failure> {
    const COLUMNS: &[Column] = &[
        ("WHAT", "what"),
        ("VALUE", "value"),
        ("SINCE", "since"),
        ("UNTIL", "until"),
        ("BY", "by"),
        ("EVENT", "event"),
    ];
    if output.form() == Form::Json {
        return output.record(answer);
    }
    let line = |what: &Value, value: &str, since: &str, of: &Value| {
        let field = |name: &str| of.get(name).cloned().unwrap_or_default();
        json!({
            "what": what,
            "value": field(value),
            "since": field(since),
            "until": field("until"),
            "by": field("by"),
            "event": field("event"),
        })
    };
    let mut lines = Vec::new();
    let values = answer.get("values").and_then(Value::as_object);
    for (name, spans) in values.into_iter().flatten() {
        let spans = spans.as_array().into_iter().flatten();
        lines.extend(spans.map(|span| line(&json!(name), "value", "since", span)));
    }
    let steps = answer.get("certificates").and_then(Value::as_array);
    for step in steps.into_iter().flatten() {
        let what = step.get("what").cloned().unwrap_or_default();
        lines.push(line(&what, "serial", "at", step));
    }
    output.list(COLUMNS, &lines)
}

/// Moves devices along their life, after saying what that touches.
async fn stand(
    devices: Move,
    verb: &'static str,
    session: &Session,
    output: &Output,
) -> Result<(), Failure> {
    let api = session.api();
    let ids = devices.all()?;
    if ids.len() > 1 || verb == "retire" {
        let mut certificates = 0;
        let mut services = BTreeSet::new();
        let bar = output.progress(ids.len() as u64, "counting");
        for id in bar.wrap_iter(ids.iter()) {
            let radius = api.get(&format!("{}/blast-radius", path(id))).await?;
            let count = radius.get("certificate_count").and_then(Value::as_u64);
            certificates += count.unwrap_or_default();
            let named = radius.get("services").and_then(Value::as_array);
            let named = named.into_iter().flatten().filter_map(Value::as_str);
            services.extend(named.map(str::to_owned));
        }
        bar.finish_and_clear();
        let mut effect = format!("{verb} {} device(s)", ids.len());
        effect.push_str(&format!(", which concerns {certificates} certificate(s)"));
        if !services.is_empty() {
            let services: Vec<_> = services.into_iter().collect();
            effect.push_str(&format!(" at {}", services.join(", ")));
        }
        session.agree(&effect, devices.agreed)?;
    }
    let bar = output.progress(ids.len() as u64, verb);
    let mut items = output.items();
    let (mut outcome, mut said, mut done) = (Ok(()), Ok(()), 0);
    for id in &ids {
        let body = json!({ "why": devices.why });
        let device = match api.post(&format!("{}/{verb}", path(id)), &body).await {
            Ok(device) => device,
            Err(refused) => {
                outcome = Err(refused);
                break;
            }
        };
        done += 1;
        bar.inc(1);
        let standing = device.get("standing").and_then(Value::as_str);
        let line = format!("device {id} is {}", standing.unwrap_or("?"));
        // What was agreed to is done, whether or not anybody reads of it.
        said = said.and_then(|()| bar.suspend(|| items.add(&line, &device)));
    }
    bar.finish_and_clear();
    // Each is an ask of its own: those before the refused one are done.
    if done > 0 {
        said = said.and_then(|()| items.end());
    }
    if let Some(next) = ids.get(done).filter(|_| ids.len() > 1) {
        note(&format!("{done} of {} are done; next is {next}", ids.len()))?;
    }
    outcome.and(said)
}

/// The API path of a device.
pub fn path(id: &str) -> String {
    format!("/devices/{}", super::api::segment(id))
}

impl Fields {
    fn json(&self) -> Value {
        json!({
            "id": self.id,
            "class": self.class,
            "site": self.site,
            "owner": self.owner,
            "services": self.services,
            "manufacturer": self.manufacturer,
            "model": self.model,
            "serial": self.serial,
            "criticality": self.criticality,
        })
    }
}

impl Move {
    /// All that are named, each once, in the order in which they first are.
    fn all(&self) -> Result<Vec<String>, Failure> {
        let mut ids = self.ids.clone();
        if let Some(file) = &self.from {
            let text = String::from_utf8(read_input(file)?).map_err(|_| {
                Failure::Usage(format!(
                    "{} is not UTF-8: one device a line",
                    file.display()
                ))
            })?;
            let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
            let lines = text.lines().map(str::trim);
            ids.extend(lines.filter(|id| !id.is_empty()).map(str::to_owned));
            if ids.is_empty() {
                let file = file.display();
                return Err(Failure::Usage(format!("{file} names no device")));
            }
        }
        let mut seen = BTreeSet::new();
        ids.retain(|id| seen.insert(id.clone()));
        Ok(ids)
    }
}

impl Edits {
    fn json(&self) -> Value {
        let services = (!self.services.is_empty()).then_some(&self.services);
        api::given(json!({
            "class": self.class,
            "site": self.site,
            "owner": self.owner,
            "services": services,
            "manufacturer": self.manufacturer,
            "model": self.model,
            "serial": self.serial,
            "criticality": self.criticality,
        }))
    }
}

impl Filter {
    fn query(&self) -> Vec<(&'static str, String)> {
        let named = [
            ("search", &self.search),
            ("site", &self.site),
            ("class", &self.class),
            ("owner", &self.owner),
            ("service", &self.service),
            ("standing", &self.standing),
            ("show", &self.show),
        ];
        named
            .into_iter()
            .filter_map(|(name, value)| Some((name, value.clone()?)))
            .collect()
    }
}

/// Where a file argument points; `-` is standard input.
pub fn read_input(path: &PathBuf) -> Result<Vec<u8>, Failure> {
    use std::io::Read;
    let mut bytes = Vec::new();
    let read = if path.as_os_str() == "-" {
        std::io::stdin().read_to_end(&mut bytes).map(|_| ())
    } else {
        std::fs::read(path).map(|read| bytes = read)
    };
    read.map_err(|error| Failure::Usage(format!("cannot read {}: {error}", path.display())))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_named_on_the_line_and_in_a_file() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("ids");
        let named = |ids: &[&str], content: &[u8]| {
            std::fs::write(&file, content).unwrap();
            let devices = Move {
                ids: ids.iter().map(|id| (*id).to_owned()).collect(),
                from: Some(file.clone()),
                why: String::new(),
                agreed: Agreed { yes: true },
            };
            devices.all()
        };
        let content = b"\xef\xbb\xbfpump-2\r\n\n  pump-3 \npump-1\npump-2";
        let all = named(&["pump-1"], content).unwrap();
        assert_eq!(all, ["pump-1", "pump-2", "pump-3"]);
        for (content, says) in [(&b"\n \n"[..], "names no device"), (b"\xff\n", "not UTF-8")] {
            let failure = named(&[], content).unwrap_err();
            assert_eq!(failure.code(), 2);
            assert!(failure.to_string().contains(says), "{failure}");
        }
        let missing = Move {
            ids: Vec::new(),
            from: Some(directory.path().join("none")),
            why: String::new(),
            agreed: Agreed { yes: true },
        };
        assert!(
            missing
                .all()
                .unwrap_err()
                .to_string()
                .contains("cannot read")
        );
    }

    #[test]
    fn lines_are_read_wherever_they_are_cut() {
        let text = b"{\"id\":\"a\"}\n{\"id\":\"b\"}\n{\"id\":\"c\"}\n";
        for cut in 0..=text.len() {
            let mut lines = Lines::default();
            let (first, second) = text.split_at(cut);
            let mut read = lines.whole(first).unwrap();
            read.extend(lines.whole(second).unwrap());
            let ids: Vec<_> = read.iter().map(|row| row["id"].as_str()).collect();
            assert_eq!(ids, [Some("a"), Some("b"), Some("c")], "{cut}");
        }
    }
}
