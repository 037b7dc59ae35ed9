//! Data that earlier releases left, served by this one.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tenure_server::api::backup::copy;
use tenure_tests::http::{Caller, certificate, request};
use tenure_tests::{House, until};
use tenure_x509::{KeyKind, KeyPair};

use super::TENURE;

/// Every data directory that is kept.
fn kept() -> Vec<PathBuf> {
    let all = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let entries = fs::read_dir(all)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    entries.filter(|path| path.is_dir()).collect()
}

/// Lays out a data directory as its release left it.
fn lay_out(kept: &Path, data: &Path) {
    fs::create_dir(data).unwrap();
    for name in [
        "keys",
        "crl",
        "log",
        "tenure.toml",
        "root.pem",
        "admin.token",
    ] {
        copy(&kept.join(name), &data.join(name)).unwrap();
    }
    // What a checkout does not keep.
    let private = fs::Permissions::from_mode(0o600);
    fs::set_permissions(data.join("admin.token"), private.clone()).unwrap();
    for entry in fs::read_dir(data.join("keys")).unwrap() {
        fs::set_permissions(entry.unwrap().path(), private.clone()).unwrap();
    }
    let dump = fs::read_to_string(kept.join("database.sql")).unwrap();
    let database = rusqlite::Connection::open(data.join("tenure.db")).unwrap();
    database.execute_batch(&dump).unwrap();
}

fn json(file: &Path) -> Value {
    serde_json::from_slice(&fs::read(file).unwrap()).unwrap()
}

#[test]
fn what_an_earlier_release_left_is_served_whole_and_goes_on() {
    let kept = kept();
    assert!(!kept.is_empty());
    for kept in kept {
        eprintln!("{}", kept.display());
        goes_on(&kept);
    }
}

fn goes_on(kept: &Path) {
    let mut house = House::unfounded(TENURE);
    lay_out(kept, &house.data());
    house.start();

    let before = json(&kept.join("certificates.json"));
    let now = house.ask(&["cert", "list", "--limit", "0"]);
    let now = now.as_array().unwrap();
    for was in before.as_array().unwrap() {
        let found = now.iter().find(|cert| cert["serial"] == was["serial"]);
        let found = found.unwrap_or_else(|| panic!("lost: {was:#}"));
        for same in ["device", "issuer", "not_before", "not_after", "predecessor"] {
            assert_eq!(found[same], was[same], "{same} of {was:#}");
        }
        // Our own are renewed when they are old.
        let renewed = was["status"] == "issued" && found["status"] == "replaced";
        assert!(renewed || found["status"] == was["status"], "{found:#}");
    }

    // The record is the same one, and has only grown.
    let seen = house.directory().join("seen");
    fs::copy(kept.join("seen.json"), &seen).unwrap();
    let verify = ["log", "verify", "--seen", seen.to_str().unwrap()];
    let verified = house.ask(&verify);
    assert!(verified["grown_from"].as_u64().unwrap() > 0, "{verified:#}");

    let secret = house.device("newcomer");
    let key = KeyPair::generate(KeyKind::P256).unwrap();
    let (caller, asked) = (Caller::new(&house.root()), request(&key, "newcomer"));
    let url = house.est("simpleenroll");
    let answer = caller.enroll(&url, &asked, Some(("newcomer", &secret)));
    let serial = certificate(&answer).serial().to_string();
    let withdrawn = ["cert", "revoke", &serial, "--reason", "superseded", "--yes"];
    house.tell(&withdrawn);
    until("the record has grown", || {
        house.ask(&verify)["grown_from"].as_u64() > verified["size"].as_u64()
    });

    // A second start finds nothing left to be brought forward.
    assert_eq!(house.stop().code(), Some(0));
    house.start();
    assert_eq!(house.ask(&["cert", "show", &serial])["status"], "revoked");
    house.tell(&verify);
}
