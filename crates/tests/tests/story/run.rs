//! Making, starting, stopping and breaking a house: one message each, and nothing lost.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::time::Instant;

use tenure_tests::http::{Caller, certificate, request};
use tenure_tests::{House, Ports, revoke, text};
use tenure_x509::{KeyKind, KeyPair, pem_certificates};

use super::TENURE;

fn mode(path: &std::path::Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn init_writes_what_it_promises_and_shows_fingerprint_and_token_once() {
    let place = House::unfounded(TENURE);
    let made = place.ask(&["init", "--name", "Acme Plant"]);
    let data = place.data();
    let token = fs::read_to_string(data.join("admin.token")).unwrap();
    assert_eq!(made["admin_token"], token.trim());
    assert_eq!(mode(&data.join("admin.token")), 0o600);
    assert_eq!(mode(&data), 0o700);
    let root = pem_certificates(&fs::read_to_string(data.join("root.pem")).unwrap()).unwrap();
    let print: String = root[0]
        .fingerprint()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert_eq!(made["root_fingerprint"], print);
    assert!(data.join("tenure.toml").exists());
    let warnings = made["warnings"].to_string();
    assert!(
        warnings.contains("only this machine can reach"),
        "{warnings}"
    );
    assert!(warnings.contains("root key lies in"), "{warnings}");
    // Nothing of the making is left beside it.
    let beside: Vec<_> = fs::read_dir(place.directory()).unwrap().collect();
    assert_eq!(beside.len(), 1, "{beside:?}");
}

#[test]
fn init_puts_the_root_key_elsewhere_under_its_own_passphrase() {
    let place = House::unfounded(TENURE);
    let out = place.directory().join("root.key");
    let mut init = place.command(&["init", "--name", "Acme", "--host", "pki.example"]);
    init.arg("--root-out")
        .arg(&out)
        .env("TENURE_ROOT_PASSPHRASE", "another four words apart");
    let output = init.output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(out.exists() && out.with_extension("toml").exists());
    assert!(!place.data().join("keys/root.key").exists());
    assert!(
        !text(&output.stdout).contains("root key lies in"),
        "{}",
        text(&output.stdout)
    );
    assert!(
        !text(&output.stdout).contains("only this machine"),
        "{}",
        text(&output.stdout)
    );
}

#[test]
fn init_refuses_and_leaves_nothing() {
    let place = House::unfounded(TENURE);
    let long = "x".repeat(500);
    for (arguments, environment, code, says) in [
        (
            &["--name", "A", "--host", "https://pki.example"][..],
            None,
            2,
            "https://pki.example",
        ),
        (
            &["--name", "A", "--public-url", "https://pki.example"],
            None,
            2,
            "plain HTTP",
        ),
        (&["--name", ""], None, 2, "--name"),
        (&["--name", &long], None, 2, "--name"),
        (
            &["--name", "A", "--key-algorithm", "rsa2048"],
            None,
            2,
            "too short",
        ),
        (&["--name", "A"], Some("changeme"), 13, "placeholder"),
        (&["--name", "A"], Some("short"), 13, "fewer than"),
        (
            &["--name", "A", "--passphrase-file", "/nonexistent"],
            None,
            14,
            "/nonexistent",
        ),
    ] {
        let mut all = vec!["init"];
        all.extend(arguments);
        let mut init = place.command(&all);
        if let Some(passphrase) = environment {
            init.env("TENURE_PASSPHRASE", passphrase);
        }
        let output = init.output().unwrap();
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(said.contains(says), "{arguments:?}: {said}");
        assert_eq!(
            fs::read_dir(place.directory()).unwrap().count(),
            0,
            "{arguments:?}"
        );
    }
    let output = place
        .command(&["init", "--name", "A"])
        .env_remove("TENURE_PASSPHRASE")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(13));
    assert!(
        text(&output.stderr).contains("TENURE_PASSPHRASE"),
        "{}",
        text(&output.stderr)
    );
    fs::create_dir(place.data()).unwrap();
    fs::write(place.data().join("mine"), "precious").unwrap();
    let output = place.tenure(&["init", "--name", "A"]);
    assert_eq!(output.status.code(), Some(10), "{}", text(&output.stderr));
    assert_eq!(fs::read_dir(place.data()).unwrap().count(), 1);
}

#[test]
fn a_server_starts_fast_stops_when_asked_and_comes_back() {
    let mut house = House::serve(TENURE);
    let secret = house.device("pump-17");
    let key = KeyPair::generate(KeyKind::P256).unwrap();
    let asked = request(&key, "pump-17");
    let caller = Caller::new(&house.root());
    let first = caller.enroll(
        &house.est("simpleenroll"),
        &asked,
        Some(("pump-17", &secret)),
    );
    let first = certificate(&first);
    let begun = Instant::now();
    assert_eq!(house.stop().code(), Some(0));
    assert!(begun.elapsed().as_secs() < 15, "{:?}", begun.elapsed());
    assert!(!house.data().join("run.json").exists());
    house.start();
    let caller = Caller::new(&house.root());
    let again = caller.enroll(
        &house.est("simpleenroll"),
        &asked,
        Some(("pump-17", &secret)),
    );
    assert_eq!(certificate(&again).der(), first.der());
    let events = house.ask(&["events", "--limit", "0"]);
    let told: Vec<_> = events.as_array().unwrap().iter().collect();
    let times = |what| told.iter().filter(|event| event["what"] == what).count();
    assert_eq!((times("server-started"), times("server-stopped")), (2, 1));
    assert_eq!(times("clock-set-back"), 0);
    let signed = |issuer| {
        let mut of_day = told.iter().filter(|it| it["what"] == "status-signed");
        of_day.any(|it| it.to_string().contains(issuer))
    };
    assert!(signed("root") && signed("issuing-1"), "{events:#}");
}

#[test]
fn what_was_acknowledged_survives_a_kill() {
    let mut house = House::serve(TENURE);
    let secret = house.device("pump-17");
    let key = KeyPair::generate(KeyKind::P256).unwrap();
    let asked = request(&key, "pump-17");
    let caller = Caller::new(&house.root());
    let first = caller.enroll(
        &house.est("simpleenroll"),
        &asked,
        Some(("pump-17", &secret)),
    );
    let serial = certificate(&first).serial().to_string();
    house.kill();
    house.start();
    let listed = house.ask(&["cert", "list", "--device", "pump-17"]);
    assert_eq!(listed[0]["serial"], serial, "{listed:#}");
    house.tell(&revoke(&serial));
    house.kill();
    house.start();
    let listed = house.ask(&["cert", "list", "--device", "pump-17"]);
    assert_eq!(listed[0]["status"], "revoked", "{listed:#}");
    house.tell(&["log", "verify"]);
}

#[test]
fn a_second_server_on_the_same_directory_is_refused() {
    let house = House::serve(TENURE);
    let output = house.tenure(&["serve"]);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(11), "{said}");
    assert!(said.contains("in use by another process"), "{said}");
    // The first one noticed nothing.
    house.tell(&["device", "list"]);
}

#[test]
fn a_port_in_use_is_named_with_the_key_that_changes_it() {
    let house = House::found(TENURE);
    let Ports { operator, .. } = house.ports();
    let _taken = TcpListener::bind(("127.0.0.1", operator)).unwrap();
    let output = house.tenure(&["serve"]);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(12), "{said}");
    assert!(said.contains(&format!("127.0.0.1:{operator}")), "{said}");
    assert!(said.contains("TENURE_LISTEN_OPERATOR"), "{said}");
    assert!(!house.data().join("run.json").exists());
}

#[test]
fn a_wrong_passphrase_changes_nothing() {
    let mut house = House::found(TENURE);
    let output = house
        .command(&["serve"])
        .env("TENURE_PASSPHRASE", "not the one at all")
        .output()
        .unwrap();
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(13), "{said}");
    assert!(said.contains("does not open key"), "{said}");
    house.start();
}

#[test]
fn a_directory_that_is_not_there_or_damaged_is_named() {
    let place = House::unfounded(TENURE);
    let output = place.tenure(&["serve"]);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(10), "{said}");
    assert!(said.contains("tenure init"), "{said}");

    let house = House::found(TENURE);
    fs::write(
        house.data().join("tenure.toml"),
        "[listen]\ndevise = \"[::]:1\"\n",
    )
    .unwrap();
    let output = house.tenure(&["serve"]);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(
        said.contains("line 2") && said.contains("`devise`"),
        "{said}"
    );

    let house = House::found(TENURE);
    fs::write(house.data().join("tenure.db"), vec![0x5a; 8192]).unwrap();
    let output = house.tenure(&["serve"]);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(15), "{said}");
    assert!(
        said.contains("damaged") && said.contains("restore"),
        "{said}"
    );
}

#[test]
fn an_added_host_is_in_the_servers_certificate_after_the_next_start() {
    let mut house = House::found(TENURE);
    house.start();
    assert_eq!(house.stop().code(), Some(0));
    let path = house.data().join("tenure.toml");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(
        &path,
        text.replace("hosts = []", "hosts = [\"pki.example\"]"),
    )
    .unwrap();
    house.start();
    let caller = Caller::new(&house.root());
    let answer = caller.get(&house.est("cacerts"));
    let leaf = tenure_x509::Cert::from_der(&answer.peer_chain[0]).unwrap();
    assert!(
        leaf.san()
            .contains(&tenure_x509::SanName::Dns("pki.example".into())),
        "{leaf:?}"
    );
    assert!(
        leaf.san()
            .contains(&tenure_x509::SanName::Dns("localhost".into())),
        "{leaf:?}"
    );
    assert_eq!(
        answer.peer_chain.len(),
        3,
        "leaf, issuing CA and root, so that login can compare"
    );
}

#[test]
fn a_place_that_cannot_be_written_is_named() {
    let place = House::unfounded(TENURE);
    let output = place.tenure(&["init", "--name", "A", "--data", "/proc/plant"]);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(14), "{said}");
    assert!(said.contains("/proc"), "{said}");
    let output = place.tenure(&["init", "--name", "A", "--data", "/nonexistent/plant"]);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(10), "{said}");
    assert!(said.contains("/nonexistent does not exist"), "{said}");
}

#[test]
fn limits_and_labels_of_the_configuration_are_kept() {
    let mut house = House::found(TENURE);
    let path = house.data().join("tenure.toml");
    let config = fs::read_to_string(&path).unwrap()
        + "\n[limits]\nrequests_per_device_min = 2\n\n[est]\nwrapped_labels = [\"device\"]\n";
    fs::write(&path, config).unwrap();
    house.start();
    let secret = house.device("pump-1");
    let caller = Caller::new(&house.root());
    let wrapped = text(&caller.get(&house.est("device/cacerts")).body);
    assert!(wrapped.lines().count() > 4 && wrapped.lines().all(|line| line.len() <= 64));
    assert_eq!(
        text(&caller.get(&house.est("cacerts")).body)
            .trim_end()
            .lines()
            .count(),
        1
    );
    let asked = request(&KeyPair::generate(KeyKind::P256).unwrap(), "pump-1");
    let ask = || {
        caller.enroll(
            &house.est("simpleenroll"),
            &asked,
            Some(("pump-1", &secret)),
        )
    };
    assert_eq!((ask().status.as_u16(), ask().status.as_u16()), (200, 200));
    let third = ask();
    assert_eq!(third.status.as_u16(), 429);
    assert!(third.header("retry-after").is_some());
    // It is one device's share, not everyone's.
    let other = house.device("pump-2");
    let key = KeyPair::generate(KeyKind::P256).unwrap();
    let asked = request(&key, "pump-2");
    let answer = caller.enroll(&house.est("simpleenroll"), &asked, Some(("pump-2", &other)));
    certificate(&answer);
}
