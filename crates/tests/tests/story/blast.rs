//! Whom it concerns: blast radius, compromised keys and what comes of them, asked of the command
//! line.

use serde_json::Value;
use tenure_tests::House;
use tenure_tests::http::{Caller, certificate, request};
use tenure_x509::{Cert, KeyKind, KeyPair};

use super::TENURE;

fn key() -> KeyPair {
    KeyPair::generate(KeyKind::P256).unwrap()
}

fn enrolled(house: &House, id: &str) -> (Cert, KeyPair) {
    let secret = house.device(id);
    enrolled_with(house, id, &secret)
}

fn enrolled_with(house: &House, id: &str, secret: &str) -> (Cert, KeyPair) {
    let key = key();
    let answer = Caller::new(&house.root()).enroll(
        &house.est("simpleenroll"),
        &request(&key, id),
        Some((id, secret)),
    );
    (certificate(&answer), key)
}

fn ids(listed: &Value) -> Vec<&str> {
    let listed = listed.as_array().unwrap().iter();
    listed
        .map(|device| device["id"].as_str().unwrap())
        .collect()
}

/// Leaves out: figures that are exact on a graph of every kind of thing, which the store's test has.
#[test]
fn r3_a_blast_radius_tells_before_and_after() {
    let house = House::serve(TENURE);
    for id in ["pump-1", "pump-2"] {
        enrolled(&house, id);
    }
    house.device("pump-3");
    house.tell(&[
        "relying-party",
        "add",
        "broker",
        "--address",
        "127.0.0.1:1",
        "--services",
        "telemetry",
        "--owner",
        "Hydraulics",
        "--site",
        "Hall 3",
    ]);
    let before = house.ask(&["blast", "issuer", "issuing-1"]);
    assert_eq!(before["by_class"]["pump"]["exposed"], 2, "{before:#}");
    assert_eq!(before["by_site"]["Hall 3"]["devices"], 2, "{before:#}");
    let party = &before["relying_parties"][0];
    assert_eq!(party["name"], "broker");
    assert_eq!(party["trusts"][0], "issuing-1");
    assert_eq!(party["serves"][0], "telemetry");
    assert_eq!(party["verdict"], "unverified");
    let root = house.ask(&["blast", "anchor", "root"]);
    assert_eq!(root["by_class"]["pump"], before["by_class"]["pump"]);

    house.tell(&[
        "cert",
        "revoke",
        "--device",
        "pump-1",
        "--reason",
        "keyCompromise",
        "--yes",
    ]);
    let after = house.ask(&["blast", "issuer", "issuing-1"]);
    assert_eq!(after["devices"]["devices"], before["devices"]["devices"]);
    assert_eq!(after["by_class"]["pump"]["exposed"], 1, "{after:#}");
    assert_eq!(after["by_class"]["pump"]["cut_off"], 1, "{after:#}");
    let cut = ["blast", "site", "Hall 3", "--devices", "--exposure"];
    let of = |exposure: &str| house.ask(&[cut.as_slice(), &[exposure]].concat());
    assert_eq!(ids(&of("withdrawn")), ["pump-1"]);
    assert_eq!(ids(&of("exposed")), ["pump-2"]);
    assert_eq!(ids(&of("without")), ["pump-3"]);
    // Everything here was done with the first token.
    let operator = house.ask(&["blast", "operator", "1"]);
    assert_eq!(operator["by_class"]["pump"]["devices"], 3, "{operator:#}");
    assert_eq!(operator["acts"]["device-registered"], 3, "{operator:#}");
    let none = house.tenure(&["blast", "issuer", "nobody"]);
    assert_eq!(none.status.code(), Some(3));
}

fn refused(answer: &tenure_field::http::Response) -> String {
    assert_eq!(answer.status.as_u16(), 400);
    tenure_tests::text(&answer.body)
}

/// Leaves out: the hook of a repository scanner, which would call the same operation.
#[test]
fn r6_a_key_in_other_hands_is_found_withdrawn_and_never_certified_again() {
    let house = House::serve(TENURE);
    let (cert, pair) = enrolled(&house, "pump-1");
    enrolled(&house, "pump-2");
    let file = house.directory().join("found.key");
    std::fs::write(&file, pair.to_pem().unwrap().as_bytes()).unwrap();
    let file = file.display().to_string();
    let hash = pair.public().hash().to_string();
    let since = cert.validity().not_before.plus(60).to_string();
    let told = [
        "compromise",
        "key",
        "--proof",
        &file,
        "--why",
        "it was public",
    ];

    // First it is said whom it concerns, and nothing is done.
    let asked = house.tenure(&told);
    assert_eq!(asked.status.code(), Some(6));
    let said = tenure_tests::text(&asked.stderr);
    assert!(said.contains("1 certificate(s) of 1 device(s)"), "{said}");
    let agreed = [told.as_slice(), &["--since", &since, "--yes"]].concat();
    let standing = house.ask(&agreed);
    let compromise = &standing["compromise"];
    assert_eq!(compromise["name"], hash.as_str(), "{standing:#}");
    assert_eq!(compromise["how"], "proved");
    assert_eq!(standing["devices"]["withdrawn"], 1);
    assert_eq!(standing["waves"][0]["state"], "now");
    let shown = house.ask(&["cert", "show", &cert.serial().to_string()]);
    assert_eq!(shown["status"], "revoked", "{shown:#}");
    assert_eq!(shown["reason"], "keyCompromise", "{shown:#}");
    assert_eq!(shown["invalid_since"], since.as_str(), "{shown:#}");
    let other = house.ask(&["cert", "list", "--device", "pump-2"]);
    assert_eq!(other[0]["status"], "issued");

    // The key is refused to whomever shows it, its own device first.
    for id in ["pump-1", "pump-3"] {
        let secret = match id {
            "pump-1" => house.tell(&["device", "secret", id]),
            other => house.device(other),
        };
        let answer = Caller::new(&house.root()).enroll(
            &house.est("simpleenroll"),
            &request(&pair, id),
            Some((id, &secret)),
        );
        let said = refused(&answer);
        assert!(said.contains("blocked: it is compromised"), "{said}");
    }
    let events = house.ask(&["events", "--limit", "0"]);
    let whats = || events.as_array().unwrap().iter().map(|it| &it["what"]);
    assert_eq!(
        whats().filter(|what| **what == "key-compromised").count(),
        1
    );
    assert_eq!(whats().filter(|what| **what == "ask-refused").count(), 2);

    // Its device waits for a new key, and is found until it has one.
    let finding = house.ask(&["finding", "list", "--state", "open"]);
    assert_eq!(finding[0]["kind"], "rekey", "{finding:#}");
    assert_eq!(finding[0]["owner"], "Hydraulics");
    let secret = house.tell(&["device", "secret", "pump-1"]);
    enrolled_with(&house, "pump-1", &secret);
    let standing = house.ask(&["compromise", "show", "1"]);
    assert_eq!(standing["devices"]["going_on"], 1, "{standing:#}");
    assert_eq!(standing["waves"][0]["state"], "done", "{standing:#}");
    // Said again it is the same compromise.
    let again = house.ask(&agreed);
    assert_eq!(again["compromise"]["no"], compromise["no"]);
}

#[test]
fn r6_lists_of_known_keys_are_blocked_and_found_in_the_fleet() {
    let house = House::serve(TENURE);
    let (_, pair) = enrolled(&house, "pump-1");
    let weak = key();
    let file = house.directory().join("known.txt");
    let text = format!(
        "# keys of a famous firmware\n{} in pump-1\n{}\n",
        pair.public().hash(),
        weak.public().hash()
    );
    std::fs::write(&file, text).unwrap();
    let block = ["compromise", "block", "--list", "firmware-7", "known.txt"];
    let done = house.ask(&block);
    assert_eq!(done["added"], 2, "{done:#}");
    assert_eq!(done["held"][0]["device"], "pump-1", "{done:#}");
    assert_eq!(house.ask(&block)["known"], 2);
    let finding = house.ask(&["finding", "list", "--state", "open"]);
    assert_eq!(finding[0]["kind"], "listed-key", "{finding:#}");
    let secret = house.device("pump-2");
    let answer = Caller::new(&house.root()).enroll(
        &house.est("simpleenroll"),
        &request(&weak, "pump-2"),
        Some(("pump-2", &secret)),
    );
    let said = refused(&answer);
    assert!(
        said.contains("blocked: it is on the list firmware-7"),
        "{said}"
    );
    // What was found is withdrawn like any other compromise, which clears it.
    let hash = pair.public().hash().to_string();
    let told = [
        "compromise",
        "key",
        "--spki",
        &hash,
        "--why",
        "listed",
        "--yes",
    ];
    house.tell(&told);
    let finding = house.ask(&["finding", "list", "--state", "open"]);
    let kinds: Vec<_> = finding
        .as_array()
        .unwrap()
        .iter()
        .map(|it| &it["kind"])
        .collect();
    assert_eq!(kinds, ["rekey"], "{finding:#}");
    let issuer = Caller::plain().get(&house.public("/ca/issuing-1.cer"));
    let issuer = Cert::from_der(&issuer.body).unwrap();
    std::fs::write(house.directory().join("ca.pem"), issuer.pem()).unwrap();
    let wrong = house.tenure(&[
        "compromise",
        "key",
        "--pem",
        "ca.pem",
        "--why",
        "x",
        "--yes",
    ]);
    assert_eq!(wrong.status.code(), Some(1));
    let said = tenure_tests::text(&wrong.stderr);
    assert!(
        said.contains("tenure compromise issuer issuing-1"),
        "{said}"
    );
}

/// The part of E6 that a drill shows with one issuing CA: what concerns an issuer is known in
/// seconds, is mended in waves, and withdrawing a wave touches no other.
#[test]
fn e6_a_compromised_issuer_is_withdrawn_wave_by_wave() {
    let house = House::serve(TENURE);
    let (low, _) = enrolled(&house, "pump-1");
    let (high, _) = enrolled(&house, "pump-2");
    house.tell(&["device", "edit", "pump-1", "--criticality", "low"]);
    house.tell(&["device", "edit", "pump-2", "--criticality", "safety"]);
    let told = [
        "compromise",
        "issuer",
        "issuing-1",
        "--why",
        "opened",
        "--yes",
    ];
    let standing = house.ask(&told);
    let waves = standing["waves"].as_array().unwrap();
    assert_eq!(waves[0]["criticality"], "safety", "{standing:#}");
    assert_eq!(waves[0]["state"], "now");
    assert_eq!(waves.last().unwrap()["criticality"], "low");
    let finding = house.ask(&["finding", "list", "--state", "open"]);
    assert_eq!(finding[0]["kind"], "rekey");
    assert_eq!(finding[0]["subject"], "issuing-1");
    // It signs nothing new, and nobody does in its place yet.
    assert_eq!(
        house.ask(&["issuer", "show", "issuing-1"])["state"],
        "tainted"
    );
    let secret = house.device("pump-3");
    let key = KeyPair::generate(KeyKind::P256).unwrap();
    let answer = Caller::new(&house.root()).enroll(
        &house.est("simpleenroll"),
        &request(&key, "pump-3"),
        Some(("pump-3", &secret)),
    );
    assert_ne!(answer.status.as_u16(), 200);
    let step = |more: &[&str]| {
        let wave = [
            "compromise",
            "withdraw",
            "1",
            "--criticality",
            "low",
            "--yes",
        ];
        house.ask(&[wave.as_slice(), more].concat())
    };
    // Without another certificate it would be cut off.
    assert_eq!(step(&[])["certificates"], 0);
    assert_eq!(step(&["--all"])["certificates"], 1);
    assert_eq!(step(&["--all"])["certificates"], 0);
    let status =
        |cert: &Cert| house.ask(&["cert", "show", &cert.serial().to_string()])["status"].clone();
    assert_eq!(status(&low), "revoked");
    assert_eq!(status(&high), "issued");
}
