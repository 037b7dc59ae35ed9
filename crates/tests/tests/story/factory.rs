//! Identities for life, as a factory gives them.

use std::collections::HashSet;
use std::sync::Barrier;

use serde_json::json;
use tenure_tests::api::Api;
use tenure_tests::http::{Caller, certificate, identity, request};
use tenure_tests::{House, text};
use tenure_x509::{Cert, KeyKind, KeyPair, Time};

use super::TENURE;

fn key() -> KeyPair {
    KeyPair::generate(KeyKind::P256).unwrap()
}

/// A house that gives identities for life to whoever shows a device's secret.
fn factory() -> House {
    let mut house = House::found(TENURE);
    let made = house.ask(&["issuer", "add", "--kind", "idevid"]);
    assert_eq!(made["not_after"], "9999-12-31T23:59:59Z", "{made:#}");
    house.start();
    let policy = house.ask(&["policy", "show"]);
    let document = policy["document"].as_str().unwrap();
    let open = document
        .replace(
            "action = \"hold\"\nreason = \"an identity for life is made",
            "action = \"allow\"\nreason = \"an identity for life is made",
        )
        .replace(
            "label = \"idevid\"\nexpect = \"hold\"",
            "label = \"idevid\"\nexpect = \"allow\"",
        );
    assert_ne!(open, document);
    let file = house.directory().join("policy.toml");
    std::fs::write(&file, open).unwrap();
    house.tell(&["policy", "apply", file.to_str().unwrap(), "--yes"]);
    house
}

fn import(house: &House, devices: usize) {
    let mut table =
        String::from("id,manufacturer,model,serial,class,site,owner,services,criticality\n");
    for n in 0..devices {
        table.push_str(&format!(
            "pump-{n},Acme,P1,SN-{n:05},pump,Line 1,Factory,test-bench,medium\n"
        ));
    }
    let file = house.directory().join("devices.csv");
    std::fs::write(&file, table).unwrap();
    house.tell(&[
        "device",
        "import",
        file.to_str().unwrap(),
        "--create-missing",
    ]);
}

/// What the station on the line does for each device: a secret, a key, an identity.
fn give(house: &House, numbers: impl Iterator<Item = usize>) -> Vec<(Cert, KeyPair)> {
    let (api, caller) = (Api::of(house), Caller::new(&house.root()));
    let label = house.est("idevid/simpleenroll");
    numbers
        .map(|n| {
            let id = format!("pump-{n}");
            let secret = api.post(&format!("/devices/{id}/secret"), &json!({}));
            let secret = secret["secret"].as_str().unwrap();
            let key = key();
            let answer = caller.enroll(&label, &request(&key, &id), Some((&id, secret)));
            (certificate(&answer), key)
        })
        .collect()
}

/// A1. Leaves out: by default 200 devices instead of 10,000; `TENURE_A1_DEVICES=10000` takes them all. Who
/// asks at the same moment for the same number is in the test below.
#[test]
fn a1_each_device_gets_one_identity_for_life_and_another_only_after_a_repair() {
    let devices = std::env::var("TENURE_A1_DEVICES")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(200);
    let house = factory();
    import(&house, devices);
    let stations = 4;
    let given: Vec<(Cert, KeyPair)> = std::thread::scope(|scope| {
        let stations: Vec<_> = (0..stations)
            .map(|station| {
                let house = &house;
                scope.spawn(move || give(house, (station..devices).step_by(stations)))
            })
            .collect();
        let given = stations.into_iter().flat_map(|one| one.join().unwrap());
        given.collect()
    });

    // What was given out: each number and each key once, and none of them ends.
    let unique = |what: &dyn Fn(&Cert) -> String| {
        let all: HashSet<_> = given.iter().map(|(cert, _)| what(cert)).collect();
        assert_eq!(all.len(), devices);
    };
    unique(&|cert| {
        format!(
            "{} {}",
            cert.issuer(),
            cert.subject().serial_number().unwrap()
        )
    });
    unique(&|cert| cert.public_key().hash().to_string());
    unique(&|cert| cert.serial().to_string());
    assert!(
        given
            .iter()
            .all(|(cert, _)| cert.validity().not_after == Time::NEVER)
    );
    // What the store says of it.
    let listed = Api::of(&house).all("/certificates?issuer=idevid-1&limit=1000");
    assert_eq!(listed.len(), devices);
    let holders: HashSet<_> = listed.iter().map(|row| row["device"].to_string()).collect();
    assert_eq!(holders.len(), devices);

    // A new key for a number that has one, however it is asked for.
    let again = |id: &str| {
        let secret = house.tell(&["device", "secret", id]);
        let (caller, key) = (Caller::new(&house.root()), key());
        let label = house.est("idevid/simpleenroll");
        caller.enroll(&label, &request(&key, id), Some((id, &secret)))
    };
    let refused = again("pump-0");
    assert_eq!(refused.status.as_u16(), 409, "{}", text(&refused.body));
    assert!(text(&refused.body).contains("device repair pump-0"));
    let place = ["--class", "pump", "--site", "Line 1", "--owner", "Factory"];
    let mut twin = vec!["device", "add", "twin", "--serial", "SN-00000"];
    twin.extend(place);
    twin.extend(["--service", "test-bench"]);
    house.tell(&twin);
    assert_eq!(again("twin").status.as_u16(), 409);
    // Not even once the first one is withdrawn, or under another number.
    house.tell(&["device", "edit", "pump-1", "--serial", "SN-other"]);
    assert_eq!(again("pump-1").status.as_u16(), 409);
    let first = listed.iter().find(|row| row["device"] == "pump-2").unwrap();
    let serial = first["serial"].as_str().unwrap();
    house.tell(&[
        "cert",
        "revoke",
        serial,
        "--reason",
        "keyCompromise",
        "--yes",
    ]);
    assert_eq!(again("pump-2").status.as_u16(), 409);

    // An approved repair allows one more, and takes the former one back.
    let early = house.tenure(&["device", "repair", "twin", "--why", "new board"]);
    assert!(!early.status.success(), "a device without an identity");
    house.tell(&["device", "repair", "pump-0", "--why", "RMA 4711: new board"]);
    let second = certificate(&again("pump-0"));
    assert_eq!(second.subject(), given[0].0.subject());
    assert_eq!(again("pump-0").status.as_u16(), 409);
    let held = house.ask(&["cert", "list", "--device", "pump-0"]);
    let status_of = |cert: &Cert| {
        let serial = cert.serial().to_string();
        let rows = held.as_array().unwrap();
        let row = rows.iter().find(|row| row["serial"] == serial.as_str());
        row.unwrap()["status"].clone()
    };
    assert_eq!(status_of(&second), "issued");
    assert_eq!(status_of(&given[0].0), "revoked");
    let events = house.ask(&["events", "--device", "pump-0"]).to_string();
    assert!(
        events.contains("RMA 4711") && events.contains("admin"),
        "{events}"
    );
}

/// A1. Leaves out: numbers of other makers, under which we make no identities.
#[test]
fn a1_of_those_who_ask_at_once_for_one_number_one_gets_an_identity() {
    let house = factory();
    let rounds = 8;
    import(&house, rounds);
    let api = Api::of(&house);
    for n in 0..rounds {
        // The device's own station twice, with two keys, and another device of the same number.
        let (id, twin, number) = (
            format!("pump-{n}"),
            format!("twin-{n}"),
            format!("SN-{n:05}"),
        );
        let place = ["--class", "pump", "--site", "Line 1", "--owner", "Factory"];
        let add = ["device", "add", &twin, "--serial", &number];
        house.tell(&[&add[..], &place, &["--service", "test-bench"]].concat());
        let secret = |id: &str| {
            let made = api.post(&format!("/devices/{id}/secret"), &json!({}));
            made["secret"].as_str().unwrap().to_owned()
        };
        let own = secret(&id);
        let askers = [(&id, own.clone()), (&id, own), (&twin, secret(&twin))];
        let start = Barrier::new(askers.len());
        let answers: Vec<u16> = std::thread::scope(|scope| {
            let asking: Vec<_> = askers
                .iter()
                .map(|(id, secret)| {
                    let (house, start) = (&house, &start);
                    scope.spawn(move || {
                        let (caller, key) = (Caller::new(&house.root()), key());
                        let asked = request(&key, id);
                        caller.get(&house.est("cacerts"));
                        start.wait();
                        let label = house.est("idevid/simpleenroll");
                        let answer = caller.enroll(&label, &asked, Some((id, secret)));
                        answer.status.as_u16()
                    })
                })
                .collect();
            asking.into_iter().map(|one| one.join().unwrap()).collect()
        });
        let given = answers.iter().filter(|code| **code == 200).count();
        assert_eq!(given, 1, "{id}: {answers:?}");
        let refused = answers.iter().filter(|code| matches!(code, 401 | 409));
        assert_eq!(refused.count(), 2, "{id}: {answers:?}");
    }
    let listed = api.all("/certificates?issuer=idevid-1&limit=1000");
    let numbers: HashSet<_> = listed.iter().map(|row| row["serial"].to_string()).collect();
    assert_eq!((listed.len(), numbers.len()), (rounds, rounds));
    assert!(listed.iter().all(|row| row["status"] == "issued"));
}

/// With its root an issuer of identities for life is followed by another. It signs nothing new, is never
/// removed while one of its identities is in force, and these go on proving whose they are.
#[test]
fn a1_the_issuer_of_identities_for_life_is_followed_and_kept_to_verify_them() {
    let mut house = factory();
    import(&house, 2);
    let (before, own) = give(&house, 0..1).remove(0);
    house.stop();
    house.tell(&["issuer", "rollover", "begin", "root"]);
    house.start();
    let rollover = |step: &str, name: &str, why: &str| {
        house.tenure(&["issuer", "rollover", step, name, "--why", why])
    };
    let state = |name: &str| house.ask(&["issuer", "show", name])["state"].clone();
    assert!(rollover("distribute", "root-2", "").status.success());
    // Nobody is registered who would show it, so it takes a reason.
    assert!(!rollover("activate", "root-2", "").status.success());
    assert!(
        rollover("activate", "root-2", "a new plant")
            .status
            .success()
    );
    let [former, newer] = ["idevid-1", "idevid-2"].map(|name| {
        let der = Caller::plain().get(&house.public(&format!("/ca/{name}.cer")));
        Cert::from_der(&der.body).unwrap()
    });
    let (after, _) = give(&house, 1..2).remove(0);
    assert_eq!(
        (before.issuer(), after.issuer()),
        (former.subject(), newer.subject())
    );

    assert!(rollover("taint", "root", "root-2 signs").status.success());
    for name in ["idevid-1", "root"] {
        let refused = rollover("remove", name, "");
        let said = text(&refused.stderr);
        assert!(said.contains("of idevid-1 are in force (1)"), "{said}");
        assert_eq!(state(name), "tainted");
    }
    assert!(rollover("remove", "issuing-1", "").status.success());
    let carried = Caller::new(&house.root()).get(&house.est("idevid/cacerts"));
    let carried = tenure_field::est::parse_certs(&carried.body).unwrap();
    for wanted in [&former, &newer] {
        assert!(carried.iter().any(|cert| cert.der() == wanted.der()));
    }
    let caller = Caller::with_identity(&house.root(), identity(&before, &own));
    let answer = caller.enroll(&house.est("simpleenroll"), &request(&key(), "pump-0"), None);
    certificate(&answer);
}
