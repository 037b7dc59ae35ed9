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
    let key = key();
    let answer = Caller::new(&house.root()).enroll(
        &house.est("simpleenroll"),
        &request(&key, id),
        Some((id, &secret)),
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
