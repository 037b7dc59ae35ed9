//! `tenure as-of`, `tenure events` and `tenure doctor`.

use clap::Args;
use serde_json::{Value, json};

use super::Page;
use super::api::query;
use super::exit::Failure;
use super::output::{Column, Output};
use super::session::Session;

/// `tenure as-of`
#[derive(Debug, Args)]
pub struct AsOf {
    /// The time, RFC 3339, for example 2026-11-22T00:00:00Z.
    time: String,
    /// List the certificates of this device; without it and --site, the fleet is counted.
    #[arg(long)]
    device: Option<String>,
    /// List those of the devices that were at this site then.
    #[arg(long)]
    site: Option<String>,
    /// What was known at that time, rather than what is known about it now; of one device.
    #[arg(long, requires = "device")]
    as_known_then: bool,
    #[command(flatten)]
    page: Page,
}

/// `tenure events`
#[derive(Debug, Args)]
pub struct Events {
    /// Only events of this device: its newest, and with the cursor those before them.
    #[arg(long)]
    device: Option<String>,
    /// Only events after this number.
    #[arg(long, default_value_t = 0)]
    after: i64,
    /// The newest first, and with the cursor those before them.
    #[arg(long)]
    newest: bool,
    #[command(flatten)]
    page: Page,
}

pub async fn as_of(asked: AsOf, session: &Session, output: &Output) -> Result<(), Failure> {
    const COLUMNS: &[Column] = &[
        ("SERIAL", "serial"),
        ("STATE", "state"),
        ("DEVICE", "device"),
        ("ISSUER", "issuer"),
        ("NOT BEFORE", "not_before"),
        ("NOT AFTER", "not_after"),
        ("REASON", "reason"),
    ];
    let known = asked.as_known_then.then(|| "then".to_string());
    let is_of_some = asked.device.is_some() || asked.site.is_some();
    let named = [
        ("at", Some(asked.time)),
        ("device", asked.device),
        ("site", asked.site),
        ("known", known),
    ];
    let mut fields: Vec<_> = named
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect();
    let api = session.api();
    if is_of_some {
        return output
            .page(COLUMNS, api.list("/as-of", &fields, &asked.page))
            .await;
    }
    // Counts have no pages, as the server will say.
    fields.extend(asked.page.cursor.map(|cursor| ("cursor", cursor)));
    let past = api.get(&format!("/as-of{}", query(&fields))).await?;
    let counts = past.get("counts").cloned().unwrap_or_default();
    let count = |name: &str| counts.get(name).and_then(Value::as_u64).unwrap_or_default();
    let sentence = format!(
        "active {}, expired {}, held {}, revoked {}",
        count("active"),
        count("expired"),
        count("held"),
        count("revoked")
    );
    output.done(&sentence, &past)
}

pub async fn events(asked: Events, session: &Session, output: &Output) -> Result<(), Failure> {
    const COLUMNS: &[Column] = &[
        ("EVENT", "seq"),
        ("AT", "at"),
        ("WHAT", "what"),
        ("DEVICE", "device"),
        ("BY", "by"),
    ];
    let mut fields = vec![("after", asked.after.to_string())];
    // The server lists a device's events newest first.
    let newest_last = asked.device.is_some() && !asked.newest;
    fields.extend(asked.device.map(|device| ("device", device)));
    fields.extend(asked.newest.then(|| ("order", "newest".to_owned())));
    let events = session.api().list("/events", &fields, &asked.page);
    if !newest_last {
        return output.page(COLUMNS, events).await;
    }
    let mut events = events.whole().await?;
    events.items.reverse();
    output.list(COLUMNS, &events.items)?;
    output.more(events.next.as_deref())
}

/// Every check with its verdict; fails if one of them found something wrong.
pub async fn doctor(session: &Session, output: &Output) -> Result<(), Failure> {
    const COLUMNS: &[Column] = &[
        ("CHECK", "check"),
        ("VERDICT", "verdict"),
        ("FOUND", "found"),
        ("WHAT TO DO", "advice"),
    ];
    let answer = session.api().get("/doctor").await?;
    let checks = answer
        .get("checks")
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    output.list(COLUMNS, &checks)?;
    match checks
        .iter()
        .filter(|check| check.get("verdict") == Some(&json!("bad")))
        .count()
    {
        0 => Ok(()),
        bad => Err(Failure::failed(format!(
            "{bad} check(s) found something wrong"
        ))),
    }
}
