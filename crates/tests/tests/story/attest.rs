//! What verifiers say of devices, and what becomes of it when the device knocks.

use std::fs;

use serde_json::{Value, json};
use tenure_tests::http::Caller;
use tenure_tests::{House, until};
use tenure_x509::Time;

use super::decide::{first, plant};

pub(super) fn ago(seconds: i64) -> String {
    let now = std::time::SystemTime::now();
    let now = now.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    Time::from_unix(i64::try_from(now).unwrap() - seconds).to_string()
}

fn reasons(verdict: &Value) -> Vec<&str> {
    let reasons = verdict["reasons"].as_array().unwrap().iter();
    reasons.map(|it| it["reason"].as_str().unwrap()).collect()
}

/// A verifier that reports over the API with a token of its own.
struct Verifier<'h> {
    house: &'h House,
    token: String,
}

impl Verifier<'_> {
    fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let bearer = format!("Bearer {}", self.token);
        let headers = [
            ("authorization", bearer.as_str()),
            ("content-type", "application/json"),
        ];
        let url = format!(
            "https://127.0.0.1:{}/api/v1{path}",
            self.house.ports().operator
        );
        let caller = Caller::new(&self.house.root());
        let answer = caller.send("POST", &url, &headers, body.to_string().as_bytes());
        let value = serde_json::from_slice(&answer.body).unwrap_or(Value::Null);
        (answer.status.as_u16(), value)
    }

    fn reports(&self, result: &str, age_s: i64) -> Value {
        let body = json!({ "result": result, "made": ago(age_s), "evidence": "5f".repeat(32) });
        let (status, answer) = self.post("/devices/pump-17/attestation", &body);
        assert_eq!(status, 200, "{answer:#}");
        answer["seen"].clone()
    }
}

/// Requirements P1, P2 and P7 for attestation: what a verifier affirms meets a policy that wants it
/// while it is new enough, what is old or missing lowers, and what speaks against a device keeps it
/// out. Left out: appraising evidence, which verifiers do.
#[test]
fn p7_a_verifier_reports_and_the_verdict_follows() {
    let plant = plant();
    let house = &plant.house;
    let policy = house.tell(&["policy", "show"]);
    let wanting = policy.replace(
        "full-needs = [\"seen-in-use\"]",
        "full-needs = [\"seen-in-use\", \"attested\"]\nattested-within = \"1h\"",
    );
    assert_ne!(wanting, policy);
    fs::write(house.directory().join("policy.toml"), wanting).unwrap();
    house.tell(&["policy", "apply", "policy.toml", "--yes"]);
    let pump = plant.enroll("pump-17");
    plant.decide(&json!({ "certificate": pump.0.pem() }));
    let show = ["trust", "show", "pump-17", "--service", "telemetry"];
    until("it was seen in use", || {
        !reasons(&house.ask(&show)).contains(&"not-seen-in-use")
    });
    let before = house.ask(&show);
    assert_eq!(
        (before["tier"].as_str(), before["access"].as_str()),
        (Some("limited"), Some("allow"))
    );
    assert!(reasons(&before).contains(&"not-attested"), "{before:#}");

    let token = house.tell(&[
        "token", "create", "--name", "veraison", "--role", "verifier",
    ]);
    let veraison = Verifier { house, token };
    assert_eq!(veraison.reports("affirming", 7_200), "first");
    let stale = house.ask(&show);
    assert_eq!(stale["tier"], "limited");
    assert!(reasons(&stale).contains(&"attestation-stale"), "{stale:#}");

    assert_eq!(veraison.reports("affirming", 60), "first");
    let full = house.ask(&show);
    assert_eq!(full["tier"], "full", "{full:#}");
    assert!(reasons(&full).contains(&"attested"));
    assert!(!reasons(&full).contains(&"not-attested"));
    assert!(
        full["evidence"].to_string().contains("by veraison at"),
        "{full:#}"
    );

    // The relying party hears of it at its next question, whatever it was told a moment ago.
    let allowed = plant.decide(&json!({ "certificate": pump.0.pem() })).1;
    assert_eq!(allowed["access"], "allow");
    assert_eq!(veraison.reports("contraindicated", 30), "first");
    let refused = plant.decide(&json!({ "certificate": pump.0.pem() })).1;
    assert_eq!(
        first(&refused),
        "attestation-contraindicated",
        "{refused:#}"
    );
    assert_eq!(
        (refused["access"].as_str(), refused["verdict"].as_str()),
        (Some("deny"), Some("untrusted"))
    );
    let findings = house.ask(&["finding", "list", "--state", "open"]);
    assert!(
        findings.to_string().contains("contraindicated"),
        "{findings:#}"
    );
    // Saying nothing, or something about the time before, settles nothing.
    assert_eq!(veraison.reports("none", 20), "older");
    assert_eq!(veraison.reports("affirming", 50), "older");
    assert_eq!(house.ask(&show)["access"], "deny");
    assert_eq!(veraison.reports("affirming", 10), "first");
    assert_eq!(house.ask(&show)["tier"], "full");
    let findings = house.ask(&["finding", "list", "--state", "open"]);
    assert!(
        !findings.to_string().contains("contraindicated"),
        "{findings:#}"
    );

    // By hand, for a verifier that cannot report itself; the file is hashed, not sent.
    let quote = house.directory().join("quote.bin");
    fs::write(&quote, b"a quote").unwrap();
    let made = ago(5);
    let attest = [
        "device",
        "attest",
        "pump-17",
        "--verifier",
        "lab",
        "--result",
        "warning",
        "--made",
        &made,
        "--evidence-file",
        quote.to_str().unwrap(),
    ];
    house.tell(&attest);
    assert!(house.tell(&attest).contains("already"));
    assert!(reasons(&house.ask(&show)).contains(&"attestation-warning"));
    let device = house.ask(&["device", "show", "pump-17"]);
    let by: Vec<_> = device["attestations"].as_array().unwrap().iter().collect();
    assert_eq!(by.len(), 2);
    assert_eq!(
        by[0]["evidence"],
        tenure_domain::text::hex(&tenure_x509::sha256(b"a quote"))
    );
    assert_eq!(
        (by[1]["verifier"].as_str(), by[1]["result"].as_str()),
        (Some("veraison"), Some("affirming"))
    );

    // Every verdict can be made again.
    for then in [&before, &stale, &full, &refused] {
        let again = house.ask(&["decide", "replay", then["id"].as_str().unwrap()]);
        assert_eq!(again["agreement"], "same", "{again:#}");
        assert_eq!(again["verdict"]["reasons"], then["reasons"]);
    }

    // A verifier speaks in its own name, of the past, in words that are known, and does nothing else.
    let with = |field: &str, value: &str| {
        let mut body =
            json!({ "result": "affirming", "made": ago(1), "evidence": "5f".repeat(32) });
        body[field] = json!(value);
        veraison.post("/devices/pump-17/attestation", &body).0
    };
    assert_eq!(with("verifier", "lab"), 403);
    assert_eq!(with("result", "fine"), 400);
    assert_eq!(with("made", &ago(-3_600)), 400);
    assert_eq!(with("evidence", "5f"), 400);
    let suspend = json!({ "why": "a try" });
    assert_eq!(veraison.post("/devices/pump-17/suspend", &suspend).0, 403);
    assert_eq!(
        veraison.post("/decide", &json!({ "device": "pump-17" })).0,
        403
    );
    let mut body = json!({ "result": "affirming", "made": ago(1), "evidence": "5f".repeat(32) });
    assert_eq!(veraison.post("/devices/pump-99/attestation", &body).0, 404);
    body["quote"] = json!("…");
    assert_eq!(veraison.post("/devices/pump-17/attestation", &body).0, 400);
}
