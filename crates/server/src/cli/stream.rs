//! `tenure stream`

use std::time::Duration;

use clap::Args;
use serde_json::Value;
use tenure_field::http::Followed;

use super::api;
use super::exit::Failure;
use super::output::{Form, Output, note};
use super::session::Session;

/// How long to wait before a stream that ended is opened again.
const PAUSE: Duration = Duration::from_secs(2);

/// `tenure stream`
#[derive(Debug, Args)]
pub struct Stream {
    /// Begin after the event of this number; 0 for all there ever were. Without it, what comes from
    /// now on.
    #[arg(long)]
    after: Option<i64>,
    /// End after so many changes.
    #[arg(long)]
    count: Option<u64>,
    /// Of what: trust (changes of trust), publications (lists and filters that are out, feeds that have
    /// a new number), or all.
    #[arg(long, default_value = "trust")]
    about: String,
}

pub async fn run(asked: Stream, session: &Session, output: &Output) -> Result<(), Failure> {
    let mut after = asked.after.map(|after| after.to_string());
    let path = format!("/stream{}", api::query(&[("about", asked.about)]));
    let mut left = asked.count.unwrap_or(u64::MAX);
    while left > 0 {
        let mut following = match session.api().follow(&path, after.as_deref()).await {
            Ok(Followed::Open(following)) => following,
            Ok(Followed::Refused { status, body }) => {
                return Err(session.api().refused(status, &body));
            }
            Err(failure) if after.is_none() => return Err(failure),
            Err(_) => {
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        while left > 0 {
            let Ok(Some(event)) = following.next().await else {
                break;
            };
            let first = after.is_none();
            after = event.id.clone().or(after);
            match event.kind.as_str() {
                "begin" if first => {
                    note(&format!("following; resume with --after {}", id(&after)))?
                }
                "begin" => {}
                "end" => note(&format!("the server ended the stream: {}", event.data))?,
                _ => {
                    show(&event.data, output)?;
                    left -= 1;
                }
            }
        }
        if left > 0 {
            tokio::time::sleep(PAUSE).await;
        }
    }
    Ok(())
}

fn id(after: &Option<String>) -> &str {
    after.as_deref().unwrap_or("0")
}

/// One change, one line.
fn show(data: &str, output: &Output) -> Result<(), Failure> {
    if output.form() == Form::Json {
        return output.raw(data);
    }
    let change: Value = serde_json::from_str(data)
        .map_err(|error| Failure::failed(format!("the server sent what is no JSON: {error}")))?;
    let text = |name: &str| change.get(name).and_then(Value::as_str);
    let mut line = format!(
        "{}  {:<24}",
        text("at").unwrap_or_default(),
        text("what").unwrap_or_default()
    );
    for (name, said) in [
        ("device", "device"),
        ("party", "of"),
        ("rendering", "list"),
        ("serial", "serial"),
        ("issuer", "of"),
        ("reason", "because of"),
        ("to", "is"),
    ] {
        if let Some(value) = text(name) {
            line.push_str(&format!("  {said} {value}"));
        }
    }
    if let Some(sequence) = change.get("sequence").and_then(Value::as_i64) {
        line.push_str(&format!("  number {sequence}"));
    }
    output.raw(&line)
}
