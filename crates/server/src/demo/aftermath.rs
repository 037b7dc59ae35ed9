//! What happens while the demo goes on: what is withdrawn, who loses a session, who is proven or caught.

use std::collections::HashMap;
use std::convert::Infallible;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;
use tenure_field::http::Followed;
use tokio::sync::mpsc;

use super::crowd::{Crowd, News};
use super::proof::Proof;
use crate::cli::api::Api;

/// How often it is asked what probes found.
const ASK_EVERY: Duration = Duration::from_millis(500);
/// How long to wait before the stream is followed again after it ended.
const FOLLOW_PAUSE: Duration = Duration::from_secs(1);
/// What the devices of canaries are called.
const CANARY: &str = "tenure-canary-";

/// Says line by line what happens, for ever.
pub(super) async fn narrate(reader: &Api, crowd: &mut Crowd, proofs: &[Proof]) -> Infallible {
    let (tell, mut lines) = mpsc::unbounded_channel();
    let known = proofs
        .iter()
        .map(|proof| (proof.party.clone(), proof.verdict.clone()));
    let withdrawals = withdrawals(reader, tell.clone());
    let verdicts = verdicts(reader, known.collect(), tell);
    tokio::pin!(withdrawals, verdicts);
    loop {
        let line = tokio::select! {
            never = &mut withdrawals => match never {},
            never = &mut verdicts => match never {},
            Some(line) = lines.recv() => line,
            Some(news) = crowd.news.recv() => said(news),
            else => std::future::pending().await,
        };
        eprintln!("  {}  {line}", clock());
    }
}

fn said(news: News) -> String {
    match news {
        News::Lost { device } => format!("{device}: its live MQTT session has ended"),
        News::Refused { device, why } => format!("{device}: wants back in and is refused ({why})"),
        News::Back { device } => format!("{device}: is connected again"),
    }
}

/// Hears of what is withdrawn from devices and given back.
async fn withdrawals(reader: &Api, tell: mpsc::UnboundedSender<String>) -> Infallible {
    let mut after = None::<String>;
    loop {
        if let Ok(Followed::Open(mut stream)) = reader.follow("/stream", after.as_deref()).await {
            while let Ok(Some(event)) = stream.next().await {
                after = event.id.clone().or(after);
                let said: Value = serde_json::from_str(&event.data).unwrap_or_default();
                let text = |name| said.get(name).and_then(Value::as_str).unwrap_or_default();
                let device = text("device");
                let what = match event.kind.as_str() {
                    "certificate-revoked" => format!("was revoked ({})", text("reason")),
                    "certificate-held" => "was put on hold".to_owned(),
                    "certificate-released" => "was given back its certificate".to_owned(),
                    _ => continue,
                };
                if !device.starts_with(CANARY) {
                    let number = event.id.unwrap_or_default();
                    // It is this very task's loop that listens.
                    let _ = tell.send(format!("{device}: {what}, event {number}"));
                }
            }
        }
        tokio::time::sleep(FOLLOW_PAUSE).await;
    }
}

/// Looks at what probes found, and tells of each relying party that is not what it was.
async fn verdicts(
    reader: &Api,
    mut known: HashMap<String, String>,
    tell: mpsc::UnboundedSender<String>,
) -> Infallible {
    let mut after = 0;
    loop {
        let path = format!("/probes?after={after}");
        let page = reader.get(&path).await.unwrap_or_default();
        let probes = page.get("items").and_then(Value::as_array).cloned();
        let mut probes: Vec<Proof> = probes
            .unwrap_or_default()
            .iter()
            .filter_map(|probe| Proof::read(probe).ok())
            .collect();
        probes.sort_by_key(|probe| probe.no);
        for proof in probes {
            after = after.max(proof.no);
            let was = known.insert(proof.party.clone(), proof.verdict.clone());
            if was.as_ref() != Some(&proof.verdict) {
                // It is this very task's loop that listens.
                let _ = tell.send(proof.to_string());
            }
        }
        tokio::time::sleep(ASK_EVERY).await;
    }
}

/// The time of day (UTC), with milliseconds.
fn clock() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let ms = since.map_or(0, |since| since.as_millis());
    let (s, ms) = (ms / 1_000, ms % 1_000);
    let (h, m, s) = (s / 3_600 % 24, s / 60 % 60, s % 60);
    format!("{h:02}:{m:02}:{s:02}.{ms:03}")
}
