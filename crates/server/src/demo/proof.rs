//! The proof of enforcement: two relying parties, of which one does not look at revocations.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::plant::SERVICE;
use super::{service_name, text_of};
use crate::cli::api::Api;

/// The relying party that checks.
pub(super) const CAREFUL: &str = "telemetry-in";
/// The one that does not.
pub(super) const CARELESS: &str = "old-gateway";

/// How long each may take to enforce a revocation, in seconds.
const WITHIN_S: i64 = 3;
/// How long a round may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often it is asked whether the round is through.
const ASK_EVERY: Duration = Duration::from_millis(100);

/// Registers both, has them probed, and says whether the one is proven and the other caught; how
/// long the first took, in milliseconds.
pub(super) async fn prove(
    operator: &Api,
    careful: SocketAddr,
    careless: SocketAddr,
) -> Result<i64, String> {
    let parties = [(CAREFUL, careful, "ocsp"), (CARELESS, careless, "none")];
    for (name, address, checks) in parties {
        let party = json!({
            "name": name, "address": address.to_string(), "protocol": "tls",
            "server_name": service_name(), "services": [SERVICE], "owner": "Platform",
            "site": "Plant North", "criticality": "high", "checks": checks,
            "enforce_within_s": WITHIN_S, "session": "continuous",
        });
        post(operator, "/relying-parties", &party).await?;
    }
    let started = post(operator, "/probes", &json!({})).await?;
    let after = started.get("after").and_then(Value::as_i64).unwrap_or(0);
    let began = Instant::now();
    let probes = loop {
        let path = format!("/probes?after={after}");
        let page = operator.get(&path).await.map_err(|e| e.to_string())?;
        let items = page.get("items").and_then(Value::as_array).cloned();
        match items.unwrap_or_default() {
            all if all.len() == parties.len() => break all,
            _ if began.elapsed() > PATIENCE => return Err("the round does not end".to_owned()),
            _ => tokio::time::sleep(ASK_EVERY).await,
        }
    };
    let of = |name| {
        let found = probes
            .iter()
            .find(|p| text_of(p, "relying_party") == Ok(name));
        found.ok_or_else(|| format!("{name} was not probed"))
    };
    let (good, bad) = (of(CAREFUL)?, of(CARELESS)?);
    if text_of(good, "verdict")? != "proven" {
        return Err(format!("{CAREFUL} is not proven: {good}"));
    }
    if text_of(bad, "verdict")? != "failing" {
        return Err(format!("{CARELESS} was not caught: {bad}"));
    }
    let took = good.get("enforced_ms").and_then(Value::as_i64);
    took.ok_or_else(|| "nothing was measured".to_owned())
}

async fn post(operator: &Api, path: &str, body: &Value) -> Result<Value, String> {
    let done = operator.post(path, body).await;
    done.map_err(|error| format!("{path}: {error}"))
}
