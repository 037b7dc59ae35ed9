//! Exceptions as two operators meet them: one proposes, the other approves, time ends it.

use std::process::Output;

use serde_json::json;
use tenure_tests::{House, until};

use super::attest::ago;
use super::decide::{first, plant};

/// A command in another operator's name.
fn as_another(house: &House, token: &str, arguments: &[&str]) -> Output {
    let mut command = house.command(arguments);
    command.env("TENURE_TOKEN", token).output().unwrap()
}

fn add<'a>(until: &'a str, lifts: &'a str) -> Vec<&'a str> {
    vec![
        "exception",
        "add",
        "--device",
        "pump-17",
        "--lifts",
        lifts,
        "--reason",
        "the press stands until Friday",
        "--until",
        until,
    ]
}

/// Requirement K1 at the command line and at a relying party's door. Left out: compensating controls
/// and reviews in between (K2 to K5).
#[test]
fn k1_an_exception_opens_a_door_for_its_time_and_no_longer() {
    let plant = plant();
    let house = &plant.house;
    let pump = plant.enroll("pump-17");
    let made = ago(5);
    let attest = |result: &str| {
        let evidence = "5f".repeat(32);
        house.tell(&[
            "device",
            "attest",
            "pump-17",
            "--verifier",
            "lab",
            "--result",
            result,
            "--made",
            &made,
            "--evidence",
            &evidence,
        ]);
    };
    attest("contraindicated");
    let knock = || plant.decide(&json!({ "certificate": pump.0.pem() })).1;
    assert_eq!(first(&knock()), "attestation-contraindicated");

    // What is revoked stays revoked, and nobody gets more than the policy allows.
    for (until, lifts, said) in [
        (ago(-60), "certificate-revoked", "lifted by no exception"),
        (ago(-60), "device-suspended", "lifted by no exception"),
        (ago(-60), "luck", "luck"),
        (
            ago(-40 * 86_400),
            "attestation-contraindicated",
            "exceptions-max",
        ),
        (ago(1), "attestation-contraindicated", "is over"),
    ] {
        let refused = house.tenure(&add(&until, lifts));
        assert_eq!(refused.status.code(), Some(1), "{lifts}");
        let why = String::from_utf8_lossy(&refused.stderr);
        assert!(why.contains(said), "{why}");
    }

    let operator = house.tell(&["token", "create", "--name", "bob", "--role", "operator"]);
    let until_when = ago(-600);
    let proposed = house.ask(&add(
        &until_when,
        "attestation-contraindicated,finding-open",
    ));
    let no = proposed["no"].to_string();
    assert_eq!(proposed["state"], "proposed");
    let own = house.tenure(&["exception", "approve", &no]);
    assert_eq!(own.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&own.stderr).contains("another operator"));
    assert_eq!(knock()["access"], "deny");
    let approved = as_another(house, &operator, &["exception", "approve", &no]);
    assert!(approved.status.success(), "{approved:?}");
    let allowed = knock();
    assert_eq!(
        (allowed["access"].as_str(), first(&allowed)),
        (Some("allow"), "excepted")
    );
    assert_eq!(allowed["tier"], "limited");
    let named = format!("exception {no} lifts attestation-contraindicated");
    assert!(
        allowed["evidence"].to_string().contains(&named),
        "{allowed:#}"
    );
    let shown = house.ask(&["exception", "show", &no]);
    assert_eq!(
        (&shown["state"], &shown["approved_by"]),
        (&json!("active"), &json!("bob"))
    );
    let active = house.ask(&["exception", "list", "--state", "active"]);
    assert_eq!(active.as_array().map(Vec::len), Some(1));
    house.tell(&["exception", "end", &no, "--why", "it was mended"]);
    assert_eq!(first(&knock()), "attestation-contraindicated");

    // One that is short: the door closes by itself, and the record says so.
    let until_when = ago(-3);
    let short = house.ask(&add(&until_when, "attestation-contraindicated"));
    let no = short["no"].to_string();
    let approved = as_another(house, &operator, &["exception", "approve", &no]);
    assert!(approved.status.success(), "{approved:?}");
    let allowed = knock();
    if allowed["access"] == "allow" {
        assert_eq!(allowed["valid_until"].as_str(), Some(until_when.as_str()));
    }
    until("the door is closed", || knock()["access"] == "deny");
    assert_eq!(house.ask(&["exception", "show", &no])["state"], "lapsed");
    let again = house.ask(&["decide", "replay", allowed["id"].as_str().unwrap()]);
    assert_eq!(again["agreement"], "same", "{again:#}");
    until("it is written down that it lapsed", || {
        let lapsed = house.ask(&["exception", "list", "--state", "lapsed"]);
        lapsed.as_array().is_some_and(|list| !list.is_empty())
    });
}
