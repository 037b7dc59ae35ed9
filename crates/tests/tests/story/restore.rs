//! A house is put back from a copy: it goes on, and nobody can mistake it for the one that was lost.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tenure_tests::http::{Caller, certificate, request};
use tenure_tests::{House, revoke, text, until};
use tenure_x509::crl::Crl;
use tenure_x509::{KeyKind, KeyPair};

use super::TENURE;

fn enroll(house: &House, id: &str) -> String {
    let secret = house.device(id);
    let key = KeyPair::generate(KeyKind::P256).unwrap();
    let (caller, asked) = (Caller::new(&house.root()), request(&key, id));
    let answer = caller.enroll(&house.est("simpleenroll"), &asked, Some((id, &secret)));
    certificate(&answer).serial().to_string()
}

fn list(house: &House, issuer: &str) -> Crl {
    let answer = Caller::plain().get(&house.public(&format!("/crl/{issuer}/full.crl")));
    assert_eq!(answer.status.as_u16(), 200, "{issuer}");
    Crl::from_der(&answer.body).unwrap()
}

fn fails(house: &House, arguments: &[&str]) -> String {
    let output = house.tenure(arguments);
    assert_eq!(output.status.code(), Some(1), "{arguments:?}");
    text(&output.stderr)
}

/// Everything recorded so far is sealed.
fn sealed(house: &House) -> u64 {
    let events = house.ask(&["events", "--limit", "0"]);
    let last = events.as_array().unwrap().len() as u64;
    let mut size = 0;
    until("everything is sealed", || {
        let found = house.ask(&["log", "verify", "--forget"]);
        size = found["size"].as_u64().unwrap();
        size >= last
    });
    size
}

#[test]
fn a_restored_house_goes_on_under_another_name_and_says_where_it_left_the_former_one() {
    let mut house = House::serve(TENURE);
    let first = enroll(&house, "pump-1");
    sealed(&house);
    let place = |name: &str| house.directory().join(name).to_str().unwrap().to_owned();
    let (early, late, copy) = (place("early"), place("late"), place("copy"));
    let before = house.ask(&["log", "verify", "--seen", &early]);
    let key = house.tell(&["log", "checkpoint"]);
    let origin = key.lines().next().unwrap().to_owned();
    assert_eq!(before["origin"], origin.as_str());

    let inside = house.data().join("copy");
    let inside = inside.to_str().unwrap();
    for (to, why) in [
        ("copy", "absolute"),
        (inside, "data directory"),
        ("/none/copy", "not exist"),
    ] {
        let said = fails(&house, &["backup", "create", "--to", to]);
        assert!(said.contains(why), "{to}: {said}");
    }
    assert_eq!(house.tell(&["backup", "create", "--to", &copy]), copy);
    let mode = fs::metadata(&copy).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o700);
    let said = fails(&house, &["backup", "create", "--to", &copy]);
    assert!(said.contains("exists already"), "{said}");
    house.tell(&["backup", "verify", &copy]);

    // What happens after the copy will be lost, and was seen.
    let second = enroll(&house, "pump-2");
    house.tell(&revoke(&first));
    let size = sealed(&house);
    house.ask(&["log", "verify", "--seen", &late]);
    until("the list names it", || {
        list(&house, "issuing-1").entries().count() == 1
    });
    let number = list(&house, "issuing-1").number().unwrap();
    let root_number = list(&house, "root").number().unwrap();
    house.stop();
    let lost = house.directory().join("lost");
    fs::rename(house.data(), &lost).unwrap();
    let restored = house.ask(&["backup", "restore", &copy]);
    let anew = restored["new_origin"].as_str().unwrap().to_owned();
    assert!(anew.starts_with(&format!("{origin}/")), "{restored:#}");
    fs::copy(lost.join("admin.token"), house.data().join("admin.token")).unwrap();
    house.start();

    // The record is whole, shorter, and says of itself what happened.
    assert!(sealed(&house) < size);
    let found = house.ask(&["log", "verify", "--seen", &early]);
    assert_eq!(found["origin"], anew.as_str());
    assert_eq!(found["grown_from"], before["size"]);
    assert_eq!(found["begun_anew"][0]["old_origin"], origin.as_str());
    let again = house.ask(&["log", "verify", "--seen", &early]);
    assert_eq!(again["grown_from"], found["size"]);
    // Whoever saw more is told what is lost, and may accept it.
    let said = fails(&house, &["log", "verify", "--seen", &late]);
    assert!(said.contains("lost") && said.contains(&anew), "{said}");
    let said = fails(
        &house,
        &["log", "verify", "--seen", &late, "--restored", &origin],
    );
    assert!(said.contains("lost"), "{said}");
    house.tell(&["log", "verify", "--seen", &late, "--restored", &anew]);
    house.tell(&["log", "verify", "--seen", &late]);
    let old_key: serde_json::Value = serde_json::from_slice(&fs::read(&early).unwrap()).unwrap();
    house.tell(&[
        "log",
        "prove",
        "3",
        "--key",
        old_key["key"].as_str().unwrap(),
    ]);

    // What was withdrawn since is not known here, and that is not passed over in silence.
    assert_eq!(house.ask(&["cert", "show", &first])["status"], "issued");
    assert_eq!(
        house.tenure(&["cert", "show", &second]).status.code(),
        Some(3)
    );
    let checks = house.ask(&["doctor"]);
    let checks = checks.as_array().unwrap();
    let check = checks
        .iter()
        .find(|check| check["check"] == "restore")
        .unwrap();
    assert_eq!(check["verdict"], "warning", "{check:#}");
    assert!(check["advice"].as_str().unwrap().contains("revoke again"));
    until(
        "a list of the restored house replaces that of the lost one",
        || list(&house, "issuing-1").number().unwrap() > number,
    );
    assert_eq!(list(&house, "root").number(), Some(root_number));
}

#[test]
fn another_log_is_not_taken_for_the_one_that_is_known() {
    let house = House::serve(TENURE);
    let other = House::serve(TENURE);
    let seen = house.directory().join("seen");
    let seen = seen.to_str().unwrap();
    assert!(Path::new(&house.data()).exists());
    house.tell(&["log", "verify", "--seen", seen]);
    let said = fails(&other, &["log", "verify", "--seen", seen]);
    assert!(said.contains("trusted"), "{said}");
    // The name alone proves nothing: a restored log must hold the event that its name points to.
    let remembered = fs::read_to_string(seen).unwrap();
    let mut kept: serde_json::Value = serde_json::from_str(&remembered).unwrap();
    let name = kept["key"]
        .as_str()
        .unwrap()
        .split('+')
        .next()
        .unwrap()
        .to_owned();
    let other_name = format!("{}x", &name[..name.len() - 1]);
    let public = other_key(&kept, &other_name);
    kept["key"] = public.into();
    fs::write(seen, kept.to_string()).unwrap();
    let said = fails(&house, &["log", "verify", "--seen", seen]);
    assert!(said.contains("another log"), "{said}");
}

/// The same public key under another name.
fn other_key(kept: &serde_json::Value, name: &str) -> String {
    let key: tenure_tlog::VerifierKey = kept["key"].as_str().unwrap().parse().unwrap();
    let renamed = tenure_tlog::VerifierKey::ed25519(name, *key.public()).unwrap();
    renamed.to_string()
}
