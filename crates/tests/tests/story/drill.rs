//! Drills: what must work on the bad day, done on an ordinary one, and kept as evidence.

use std::fs;

use serde_json::Value;
use tenure_tests::relying::Checking;
use tenure_tests::{House, text, until};

use super::{TENURE, enforce};

fn step<'d>(drill: &'d Value, what: &str) -> &'d Value {
    let mut steps = drill["steps"].as_array().unwrap().iter();
    let found = steps.find(|step| step["what"] == what);
    found.unwrap_or_else(|| panic!("no step {what}: {drill:#}"))
}

/// Leaves out: that the rehearsed time is also that of the relying party.
#[test]
fn f12_each_drill_ends_with_a_verdict_that_is_evidence() {
    let house = enforce::house();
    let (running, _) = enforce::rustls(&house, "party", Checking::On);

    let revoke = house.ask(&["drill", "revoke", "--party", "party"]);
    assert_eq!(revoke["verdict"], "passed", "{revoke:#}");
    assert_eq!(step(&revoke, "party")["verdict"], "good", "{revoke:#}");
    assert_eq!(revoke["probes"].as_array().unwrap().len(), 1);

    let down = house.ask(&["drill", "ca-down"]);
    assert_eq!(down["verdict"], "passed", "{down:#}");
    for (what, said) in [
        ("enrollment", "503"),
        ("status", "OCSP says good"),
        ("withdrawal", "OCSP says revoked"),
        ("lists", "the first revocation list ends at"),
    ] {
        let found = step(&down, what)["found"].as_str().unwrap();
        assert!(found.contains(said), "{found}");
    }
    let left = down["figures"]["first_list_ends_s"].as_i64().unwrap();
    assert!((1..=86_400 * 2).contains(&left), "{down:#}");
    // The signer was never away for anyone else.
    house.device("pump-1");
    house.ask(&["probe", "run"]);

    let compromise = house.ask(&["drill", "compromise", "--issuer", "issuing-1"]);
    assert_eq!(compromise["verdict"], "passed", "{compromise:#}");
    for what in ["affected set", "withdrawal", "blocked key", "re-key"] {
        assert_eq!(step(&compromise, what)["verdict"], "good", "{compromise:#}");
    }
    assert_eq!(house.ask(&["finding", "list"]), Value::Array(Vec::new()));

    let expiry = house.ask(&["drill", "expiry"]);
    assert_eq!(expiry["verdict"], "passed", "{expiry:#}");
    assert_eq!(step(&expiry, "party")["verdict"], "good", "{expiry:#}");
    let far = house.tenure(&["--json", "drill", "expiry", "--days", "3660"]);
    assert_eq!(far.status.code(), Some(1));
    let far: Value = serde_json::from_slice(&far.stdout).unwrap();
    assert_eq!(far["verdict"], "failed", "{far:#}");
    assert_eq!(step(&far, "root's list")["verdict"], "bad", "{far:#}");

    // One that cannot be asked proves nothing.
    drop(running);
    let silent = house.tenure(&["drill", "revoke"]);
    assert_eq!(silent.status.code(), Some(1));
    assert!(text(&silent.stderr).contains("not everything could be shown"));

    let listed = house.ask(&["drill", "list"]);
    let kinds: Vec<_> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|it| &it["kind"])
        .collect();
    let wanted = [
        "revoke",
        "expiry",
        "expiry",
        "compromise",
        "ca-down",
        "revoke",
    ];
    assert_eq!(kinds, wanted);
    assert_eq!(house.ask(&["drill", "show", "1"]), revoke);
    let events = house.ask(&["events", "--limit", "0"]);
    let of = |what: &str| {
        let events = events.as_array().unwrap().iter();
        events.filter(|event| event["what"] == what).count()
    };
    assert_eq!((of("drill-began"), of("drill-ended")), (6, 6));
}

/// Leaves out: that the interval is a week; here it is a second.
#[test]
fn g9_each_trust_domain_is_drilled_though_nobody_asks() {
    let mut house = House::found(TENURE);
    let file = house.data().join("tenure.toml");
    let known = fs::read_to_string(&file).unwrap();
    let drills = "\n[drill]\nrevoke_every_s = 1\n[probe]\nevery_s = 0\n";
    fs::write(&file, known + drills).unwrap();
    house.start();
    house.tell(&["owner", "add", "Hydraulics"]);
    house.tell(&["site", "add", "Hall 3"]);
    house.tell(&["service", "add", "telemetry"]);
    let (running, _) = enforce::rustls(&house, "party", Checking::On);
    let newest = |house: &House| house.ask(&["drill", "list", "--limit", "1"])[0].clone();
    until("a drill is passed", || {
        newest(&house)["verdict"] == "passed"
    });
    let drill = newest(&house);
    assert_eq!(drill["by"], "drill", "{drill:#}");
    assert_eq!(drill["issuers"][0], "issuing-1", "{drill:#}");
    let metrics = tenure_tests::api::Api::of(&house).text("/metrics");
    let figure = "drill_passed_age_seconds{issuer=\"issuing-1\",kind=\"revoke\"}";
    assert!(metrics.contains(figure), "{metrics}");
    // Whoever could show it before and cannot any more is found.
    drop(running);
    until("it is found to be overdue", || {
        let found = house.ask(&["finding", "list", "--state", "open"]);
        let found = found.as_array().unwrap().iter();
        found
            .map(|it| &it["kind"])
            .any(|kind| kind == "drill-overdue")
    });
}
