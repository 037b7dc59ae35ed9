//! The record, verified from outside: the signed checkpoint and the hash tiles as anyone can fetch
//! them, the entries as an auditor can.

use std::collections::HashMap;
use std::convert::Infallible;
use std::time::Duration;

use tenure_field::http::{Client, Settings, Url};
use tenure_tlog::{
    Checkpoint, EntryBundle, Frontier, Hash, TilePath, VerifierKey, bundles_between, inclusion,
    leaf_hash, verify_inclusion,
};

use crate::cli::api::Api;

/// What an outsider found.
pub(super) struct Found {
    /// How many events the signed checkpoint covers.
    pub(super) events: u64,
    /// How many of them are certificates issued.
    pub(super) issued: usize,
}

/// Fetches the newest checkpoint until it covers `at_least` events, then reads all entries and
/// checks that they, and only they, are what was signed.
pub(super) async fn verify(public: &Url, auditor: &Api, at_least: u64) -> Result<Found, String> {
    let client = Client::new(Settings::new(None)).map_err(|error| error.to_string())?;
    let key: VerifierKey = auditor
        .get_text("/log/key")
        .await
        .map_err(|error| error.to_string())?
        .trim()
        .parse()
        .map_err(|_| "the log's key cannot be read")?;
    let checkpoint = newest(&client, public, &key, at_least).await?;
    let mut tree = Frontier::new();
    let (mut leaves, mut issued) = (Vec::new(), 0);
    for path in bundles_between(0, checkpoint.size()) {
        let bytes = auditor
            .get_bytes(&format!("/log/{path}"))
            .await
            .map_err(|error| error.to_string())?;
        let bundle = EntryBundle::parse(&bytes).map_err(|error| format!("{path}: {error}"))?;
        for entry in bundle.entries().take(usize::from(path.width())) {
            issued += usize::from(is_issuance(entry));
            leaves.push(leaf_hash(entry));
        }
    }
    let tiles = tree.append(&leaves).map_err(|error| error.to_string())?;
    if tree.size() != checkpoint.size() || tree.root() != *checkpoint.root() {
        return Err("the entries do not add up to the signed checkpoint".to_owned());
    }
    // What the public listener serves must be the very same tree.
    let mut served = HashMap::new();
    for tile in &tiles {
        let url = public
            .with_path(&format!("/log/{}", tile.path))
            .map_err(|e| e.to_string())?;
        let answer = client.get(&url).await.map_err(|error| error.to_string())?;
        if answer.status != http::StatusCode::OK || answer.body != tile.to_bytes() {
            return Err(format!("{url} is not the tile that the entries make"));
        }
        served.insert(tile.path.to_string(), answer.body);
    }
    prove_last(&leaves, &checkpoint, &served)?;
    Ok(Found {
        events: checkpoint.size(),
        issued,
    })
}

/// One inclusion proof, made from the public tiles alone: of the newest event.
fn prove_last(
    leaves: &[Hash],
    checkpoint: &Checkpoint,
    served: &HashMap<String, Vec<u8>>,
) -> Result<(), String> {
    let (Some(last), Some(index)) = (leaves.last(), checkpoint.size().checked_sub(1)) else {
        return Err("the record is empty".to_owned());
    };
    let read = |path: &TilePath| -> Result<Vec<u8>, Infallible> {
        Ok(served.get(&path.to_string()).cloned().unwrap_or_default())
    };
    let proof = inclusion(index, checkpoint.size(), read).map_err(|error| error.to_string())?;
    verify_inclusion(index, checkpoint.size(), last, &proof, checkpoint.root())
        .map_err(|error| error.to_string())
}

async fn newest(
    client: &Client,
    public: &Url,
    key: &VerifierKey,
    at_least: u64,
) -> Result<Checkpoint, String> {
    let url = public
        .with_path("/log/checkpoint")
        .map_err(|error| error.to_string())?;
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    loop {
        let note = client
            .get(&url)
            .await
            .map_err(|error| error.to_string())?
            .body;
        let checkpoint = Checkpoint::open(&note, key.name(), key, is_signed)
            .map_err(|error| format!("the checkpoint is not to be trusted: {error}"))?;
        if checkpoint.size() >= at_least {
            return Ok(checkpoint);
        }
        if tokio::time::Instant::now() > deadline {
            let size = checkpoint.size();
            return Err(format!("the log still covers {size} of {at_least} events"));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn is_signed(key: &VerifierKey, text: &[u8], signature: &[u8]) -> bool {
    use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
    UnparsedPublicKey::new(&ED25519, key.public())
        .verify(text, signature)
        .is_ok()
}

fn is_issuance(entry: &[u8]) -> bool {
    let leaf: Option<serde_json::Value> = serde_json::from_slice(entry).ok();
    leaf.as_ref()
        .and_then(|leaf| leaf.get("event")?.get("certificate-issued"))
        .is_some()
}
