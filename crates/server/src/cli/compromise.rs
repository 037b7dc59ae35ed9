//! `tenure compromise …`

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use tenure_domain::compromise::statement;
use tenure_domain::text::{hex, hex32};
use tenure_x509::{KeyHash, KeyPair, PublicKey, pem_encode};

use super::api::{self, query};
use super::exit::Failure;
use super::output::{Column, Form, Output, note};
use super::session::Session;
use super::{Agreed, Page, device};

const COLUMNS: &[Column] = &[
    ("NO", "no"),
    ("KIND", "kind"),
    ("NAME", "name"),
    ("AT", "at"),
    ("HOW", "how"),
    ("DEVICES", "devices"),
    ("CERTIFICATES", "certificates"),
    ("WHY", "why"),
];

const WAVES: &[Column] = &[
    ("WAVE", "wave"),
    ("CRITICALITY", "criticality"),
    ("STATE", "state"),
    ("DEVICES", "devices"),
    ("EXPOSED", "exposed"),
    ("WITHDRAWN", "withdrawn"),
    ("GOING ON", "going_on"),
    ("CUT OFF", "cut_off"),
];

const LISTS: &[Column] = &[
    ("LIST", "name"),
    ("KEYS", "keys"),
    ("HELD", "held"),
    ("FIRST", "first"),
    ("LAST", "last"),
];

/// Keys sent in one call.
const KEYS_A_CALL: usize = 10_000;

#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Say that a key is in other hands: its certificates are revoked, and it is never certified again.
    Key(Key),
    /// Say that an issuer's key is in other hands: it signs nothing new, and devices move to another issuer,
    /// wave by wave.
    Issuer {
        /// The issuer.
        name: String,
        #[command(flatten)]
        told: Told,
    },
    /// List compromises, newest first.
    List(Page),
    /// Show a compromise, and how far it is mended.
    Show {
        /// Its number.
        no: i64,
    },
    /// Revoke what devices of one criticality still hold of a compromised issuer.
    Withdraw {
        /// The compromise.
        no: i64,
        /// low, medium, high or safety.
        #[arg(long)]
        criticality: String,
        /// Those without another certificate too: they can do nothing until they enroll anew.
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        agreed: Agreed,
    },
    /// Block keys that others know: a file with one SHA-256 of a SubjectPublicKeyInfo a line.
    Block {
        /// The list's name.
        #[arg(long)]
        list: String,
        /// The file; `-` reads standard input.
        file: PathBuf,
    },
    /// List lists of known keys.
    Lists(Page),
}

#[derive(Debug, Args)]
pub struct Told {
    /// Why, for the record.
    #[arg(long)]
    why: String,
    /// Since when it must be thought bad, for example 2026-11-20T00:00:00Z; from now on if left out.
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    #[command(flatten)]
    agreed: Agreed,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false, args = ["spki", "pem", "proof"])]
pub struct Key {
    /// The SHA-256 of its SubjectPublicKeyInfo, hex.
    #[arg(long, value_name = "HASH")]
    spki: Option<String>,
    /// A certificate, a request or a public key that holds it.
    #[arg(long, value_name = "FILE")]
    pem: Option<PathBuf>,
    /// The private key itself (PKCS#8, PEM). It stays here: a signature is sent.
    #[arg(long, value_name = "FILE")]
    proof: Option<PathBuf>,
    #[command(flatten)]
    told: Told,
}

pub async fn run(verb: Verb, session: &Session, output: &Output) -> Result<(), Failure> {
    let api = session.api();
    match verb {
        Verb::Key(key) => self::key(key, session, output).await,
        Verb::Issuer { name, told } => {
            let body = json!({
                "kind": "issuer", "name": name, "why": told.why, "since": told.since,
            });
            let what = "let it sign nothing new from now on; nothing is revoked yet";
            tell("issuer", &name, &body, what, told.agreed, session, output).await?;
            match output.form() {
                Form::Json => Ok(()),
                Form::Text => note(&plan(&api.get(&rollover_of(&name)).await?, &name)),
            }
        }
        Verb::List(page) => {
            output
                .page(COLUMNS, api.list("/compromises", &[], &page))
                .await
        }
        Verb::Show { no } => shown(&api.get(&format!("/compromises/{no}")).await?, output),
        Verb::Withdraw {
            no,
            criticality,
            all,
            agreed,
        } => {
            let whom = if all { "all" } else { "moved" };
            let effect = format!(
                "revoke what {whom} devices of criticality {criticality} hold of the issuer of \
                 compromise {no}"
            );
            session.agree(&effect, agreed)?;
            withdraw(no, &criticality, whom, session, output).await
        }
        Verb::Block { list, file } => block(&list, &file, session, output).await,
        Verb::Lists(page) => output.page(LISTS, api.list("/key-lists", &[], &page)).await,
    }
}

fn text_of(file: &Path) -> Result<String, Failure> {
    let bytes = device::read_input(&file.to_path_buf())?;
    String::from_utf8(bytes).map_err(|_| Failure::Usage(format!("{} is not UTF-8", file.display())))
}

async fn key(key: Key, session: &Session, output: &Output) -> Result<(), Failure> {
    let cannot = |file: &Path, error: tenure_x509::Error| {
        Failure::Usage(format!("{}: {error}", file.display()))
    };
    let (hash, proof) = match (&key.spki, &key.pem, &key.proof) {
        (Some(spki), _, _) => {
            let hash = hex32(&spki.to_ascii_lowercase()).map(KeyHash);
            let hash = hash.ok_or_else(|| {
                Failure::Usage("--spki: write the SHA-256 of the key, 64 hex digits".to_owned())
            })?;
            (hash, Value::Null)
        }
        (_, Some(file), _) => {
            let public =
                PublicKey::from_pem(&text_of(file)?).map_err(|error| cannot(file, error))?;
            (public.hash(), Value::Null)
        }
        (_, _, Some(file)) => {
            let pair = KeyPair::from_pem(&text_of(file)?).map_err(|error| cannot(file, error))?;
            let hash = pair.public().hash();
            let signature = pair
                .sign(&statement(&hash))
                .map_err(|error| cannot(file, error))?;
            let public_key = pem_encode("PUBLIC KEY", pair.public().spki_der());
            (
                hash,
                json!({ "public_key": public_key, "signature": hex(&signature) }),
            )
        }
        // Clap asks for one of them.
        (None, None, None) => {
            return Err(Failure::Usage("name the key".to_owned()));
        }
    };
    let body = json!({
        "kind": "key", "name": hash.to_string(), "why": key.told.why, "since": key.told.since,
        "proof": proof,
    });
    let what = "revoke them for good (keyCompromise), and never certify the key again";
    let name = hash.to_string();
    tell("key", &name, &body, what, key.told.agreed, session, output).await
}

fn rollover_of(name: &str) -> String {
    format!("/issuers/{}/rollover", api::segment(name))
}

/// What comes next after an issuer was stopped.
fn plan(progress: &Value, name: &str) -> String {
    let stages = progress["issuers"].as_array();
    let stages = || stages.into_iter().flatten();
    let is = |state: &'static str| stages().rfind(|stage| stage["state"] == state);
    let next = |stage: &Value| stage["name"].as_str().unwrap_or_default().to_owned();
    let first = match (is("active"), is("distributed"), is("prepared")) {
        (Some(active), _, _) => format!("{} signs in its place", next(active)),
        (None, Some(coming), _) => format!("tenure issuer rollover activate {}", next(coming)),
        (None, None, Some(coming)) => {
            format!("tenure issuer rollover distribute {}", next(coming))
        }
        (None, None, None) => format!(
            "nobody signs in its place yet: tenure issuer rollover begin {name} (the server is \
             stopped for it)"
        ),
    };
    format!(
        "{name} signs nothing new. Next: {first}; let devices renew; then withdraw wave by wave \
         (tenure compromise withdraw)"
    )
}

/// Says whom it concerns, and does it when agreed.
async fn tell(
    kind: &str,
    name: &str,
    body: &Value,
    what: &str,
    agreed: Agreed,
    session: &Session,
    output: &Output,
) -> Result<(), Failure> {
    let api = session.api();
    let fields = [("kind", kind.to_owned()), ("name", name.to_owned())];
    let blast = api.get(&format!("/blast-radius{}", query(&fields))).await?;
    let count = |of: &str, field: &str| blast[of][field].as_u64().unwrap_or(0);
    let effect = format!(
        "{what}:\n  {} certificate(s) of {} device(s), {} of them exposed now\n  {} relying \
         part(ies) reached",
        count("certificates", "all"),
        count("devices", "devices"),
        count("devices", "exposed"),
        blast["relying_parties"].as_array().map_or(0, Vec::len),
    );
    session.agree(&effect, agreed)?;
    shown(&api.post("/compromises", body).await?, output)
}

/// A compromise with its waves.
fn shown(standing: &Value, output: &Output) -> Result<(), Failure> {
    if output.form() == Form::Json {
        return output.record(standing);
    }
    output.record(&standing["compromise"])?;
    let waves = standing["waves"].as_array().into_iter().flatten();
    let waves: Vec<Value> = waves
        .map(|wave| {
            let mut row = wave["devices"].clone();
            for field in ["wave", "criticality", "state"] {
                row[field] = wave[field].clone();
            }
            row
        })
        .collect();
    output.list(WAVES, &waves)?;
    let n = |field: &str| standing["devices"][field].as_u64().unwrap_or(0);
    note(&format!(
        "{} devices are still exposed, {} must enroll anew; `tenure blast {} {} --devices` lists them",
        n("exposed"),
        n("cut_off"),
        standing["compromise"]["kind"].as_str().unwrap_or_default(),
        standing["compromise"]["name"].as_str().unwrap_or_default(),
    ))
}

/// Step by step until nothing is left.
async fn withdraw(
    no: i64,
    criticality: &str,
    of: &str,
    session: &Session,
    output: &Output,
) -> Result<(), Failure> {
    let (mut devices, mut certificates) = (0, 0);
    let mut cursor = Value::Null;
    loop {
        let body = json!({ "criticality": criticality, "of": of, "cursor": cursor });
        let path = format!("/compromises/{no}/withdraw");
        let step = session.api().post(&path, &body).await?;
        devices += step["devices"].as_u64().unwrap_or(0);
        certificates += step["certificates"].as_u64().unwrap_or(0);
        cursor = step["next"].clone();
        if cursor.is_null() {
            break;
        }
    }
    let done = json!({ "devices": devices, "certificates": certificates });
    let sentence = format!("{certificates} certificate(s) of {devices} device(s) revoked");
    output.done(&sentence, &done)
}

async fn block(list: &str, file: &Path, session: &Session, output: &Output) -> Result<(), Failure> {
    let text = text_of(file)?;
    let lines: Vec<&str> = text.lines().collect();
    let path = format!("/key-lists{}", query(&[("list", list.to_owned())]));
    let (mut added, mut known, mut held) = (0, 0, Vec::new());
    let is_key = |line: &&str| !line.trim().is_empty() && !line.trim_start().starts_with('#');
    for part in lines.chunks(KEYS_A_CALL) {
        if !part.iter().any(is_key) {
            continue;
        }
        let body = part.join("\n").into_bytes();
        let done = session.api().post_bytes(&path, "text/plain", body).await?;
        added += done["added"].as_u64().unwrap_or(0);
        known += done["known"].as_u64().unwrap_or(0);
        held.extend(done["held"].as_array().cloned().unwrap_or_default());
    }
    let sentence = format!(
        "{added} keys are blocked now, {known} were before; {} certificates of ours hold one",
        held.len()
    );
    let done = json!({ "list": list, "added": added, "known": known, "held": held });
    output.done(&sentence, &done)
}
