//! The proof of enforcement: three relying parties, of which one does not look at revocations.

use std::fmt;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::door::{Door, Speech};
use super::plant::SERVICE;
use super::text_of;
use crate::cli::api::Api;

/// The broker, which checks.
pub(super) const BROKER: &str = "broker-1";
/// The service, which checks.
pub(super) const CAREFUL: &str = "telemetry-in";
/// The one that does not.
pub(super) const CARELESS: &str = "old-gateway";

/// How long each may take to enforce a revocation, in seconds.
const WITHIN_S: i64 = 3;
/// How long a round may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often it is asked whether the round is through.
const ASK_EVERY: Duration = Duration::from_millis(100);

/// What canaries found at a relying party.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Proof {
    /// The number of the probe.
    pub(super) no: i64,
    /// Whose.
    pub(super) party: String,
    /// proven, failing or unverified.
    pub(super) verdict: String,
    /// From the revocation to the refusal, in milliseconds, if there was one.
    pub(super) enforced_ms: Option<i64>,
    /// What became of a canary's live session, in words.
    pub(super) session: String,
    /// The canaries that were not treated as they must be.
    pub(super) amiss: Vec<String>,
}

impl Proof {
    /// Reads a probe as the API shows it.
    pub(super) fn read(probe: &Value) -> Result<Proof, String> {
        let trials = probe.get("trials").and_then(Value::as_array);
        let trials = trials.ok_or("the answer has no trials")?;
        let text = |trial, name| text_of(trial, name).unwrap_or_default().to_owned();
        let live = trials
            .iter()
            .find(|trial| text(trial, "canary") == "live-session");
        let amiss = trials.iter().filter(|trial| {
            !text(trial, "expected").is_empty()
                && text(trial, "reception") != text(trial, "expected")
        });
        Ok(Proof {
            no: probe.get("no").and_then(Value::as_i64).unwrap_or(0),
            party: text_of(probe, "relying_party")?.to_owned(),
            verdict: text_of(probe, "verdict")?.to_owned(),
            enforced_ms: probe.get("enforced_ms").and_then(Value::as_i64),
            session: live.map(|live| text(live, "how")).unwrap_or_default(),
            amiss: amiss.map(|trial| text(trial, "canary")).collect(),
        })
    }

    /// As JSON, for the summary.
    pub(super) fn to_json(&self) -> Value {
        json!({
            "relying_party": self.party,
            "verdict": self.verdict,
            "enforced_ms": self.enforced_ms,
            "live_session": self.session,
            "not_as_it_must_be": self.amiss,
        })
    }
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Proof { party, session, .. } = self;
        match (self.verdict.as_str(), self.enforced_ms) {
            ("proven", Some(ms)) => write!(
                f,
                "{party}: GREEN, refuses what it must, {ms} ms after a revocation; a live session {session}"
            ),
            ("failing", _) => write!(
                f,
                "{party}: RED, not as it must be with {}; a live session: {session}",
                self.amiss.join(", ")
            ),
            (verdict, _) => write!(f, "{party}: {verdict}"),
        }
    }
}

/// Registers a door as a relying party.
async fn register(
    operator: &Api,
    name: &str,
    door: &Door,
    speech: Speech,
    checks: &str,
) -> Result<(), String> {
    let protocol = match speech {
        Speech::Text => "tls",
        Speech::Mqtt => "mqtt",
    };
    let party = json!({
        "name": name, "address": door.address.to_string(), "protocol": protocol,
        "server_name": door.name, "services": [SERVICE], "owner": "Platform",
        "site": "Plant North", "criticality": "high", "checks": checks,
        "enforce_within_s": WITHIN_S, "session": "continuous",
    });
    post(operator, "/relying-parties", &party).await?;
    Ok(())
}

/// Registers all three, has them probed, and says whether two are proven and the third is caught.
pub(super) async fn prove(
    operator: &Api,
    broker: &Door,
    careful: &Door,
    careless: &Door,
) -> Result<Vec<Proof>, String> {
    register(operator, BROKER, broker, Speech::Mqtt, "ocsp").await?;
    register(operator, CAREFUL, careful, Speech::Text, "ocsp").await?;
    register(operator, CARELESS, careless, Speech::Text, "none").await?;
    let names = [BROKER, CAREFUL, CARELESS];
    let started = post(operator, "/probes", &json!({ "relying_parties": names })).await?;
    let after = started.get("after").and_then(Value::as_i64).unwrap_or(0);
    let began = Instant::now();
    let proofs = loop {
        let path = format!("/probes?after={after}");
        let page = operator.get(&path).await.map_err(|e| e.to_string())?;
        let items = page.get("items").and_then(Value::as_array).cloned();
        let items = items.unwrap_or_default();
        let probes: Vec<Proof> = items.iter().map(Proof::read).collect::<Result<_, _>>()?;
        // The newest of each: it may have been probed on schedule meanwhile.
        let of = |name: &str| probes.iter().rev().find(|proof| proof.party == name);
        let newest: Vec<Proof> = names.iter().filter_map(|name| of(name).cloned()).collect();
        if newest.len() == names.len() {
            break newest;
        }
        if began.elapsed() > PATIENCE {
            return Err("the round does not end".to_owned());
        }
        tokio::time::sleep(ASK_EVERY).await;
    };
    for proof in &proofs {
        let expected = match proof.party == CARELESS {
            true => "failing",
            false => "proven",
        };
        if proof.verdict != expected {
            return Err(format!("it should be {expected}: {proof}"));
        }
    }
    Ok(proofs)
}

async fn post(operator: &Api, path: &str, body: &Value) -> Result<Value, String> {
    let done = operator.post(path, body).await;
    done.map_err(|error| format!("{path}: {error}"))
}
