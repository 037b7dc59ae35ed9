//! CA keys in a PKCS#11 token, with SoftHSM in the token's place.

use std::path::Path;

use tenure_tests::http::{Caller, certificate, request};
use tenure_tests::{House, have, revoke, text};
use tenure_x509::{KeyKind, KeyPair};

use super::TENURE;

const MODULE: &str = "/usr/lib/softhsm/libsofthsm2.so";

#[test]
fn a_house_whose_ca_keys_live_in_a_token_founds_serves_and_issues() {
    if !have("softhsm2-util") || !Path::new(MODULE).exists() {
        return;
    }
    let mut house = House::unfounded(TENURE);
    let tokens = house.directory().join("tokens");
    std::fs::create_dir(&tokens).unwrap();
    let config = house.directory().join("softhsm2.conf");
    std::fs::write(
        &config,
        format!("directories.tokendir = {}\n", tokens.display()),
    )
    .unwrap();
    house.set("SOFTHSM2_CONF", config.to_str().unwrap());
    house.set("TENURE_PKCS11_PIN", "73915");
    let made = std::process::Command::new("softhsm2-util")
        .args([
            "--init-token",
            "--free",
            "--label",
            "plant",
            "--so-pin",
            "8642",
            "--pin",
            "73915",
        ])
        .env("SOFTHSM2_CONF", &config)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", text(&made.stderr));
    let public = house.public("");
    house.tell(&[
        "init",
        "--name",
        "Acme Plant",
        "--public-url",
        &public,
        "--hsm",
        MODULE,
        "--hsm-token",
        "plant",
    ]);
    for name in ["root", "issuing-1"] {
        let key = std::fs::read_to_string(house.data().join(format!("keys/{name}.key"))).unwrap();
        assert!(!key.contains("PRIVATE KEY"), "{name} is in a file");
    }
    house.start();
    let secret = house.device("pump-1");
    let key = KeyPair::generate(KeyKind::P256).unwrap();
    let caller = Caller::new(&house.root());
    let asked = request(&key, "pump-1");
    let answer = caller.enroll(
        &house.est("simpleenroll"),
        &asked,
        Some(("pump-1", &secret)),
    );
    let serial = certificate(&answer).serial().to_string();
    house.tell(&revoke(&serial));
    assert_eq!(house.stop().code(), Some(0));

    // A wrong PIN is said once and tried once: tokens lock themselves.
    let output = house
        .command(&["serve"])
        .env("TENURE_PKCS11_PIN", "00000")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(13), "{}", text(&output.stderr));
    assert!(
        text(&output.stderr).contains("PIN"),
        "{}",
        text(&output.stderr)
    );
}
