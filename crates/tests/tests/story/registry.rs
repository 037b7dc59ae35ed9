//! What is known of devices and their certificates, by the number of the requirement.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tenure_tests::api::Api;
use tenure_tests::http::{Caller, certificate, request};
use tenure_tests::{House, text};
use tenure_x509::{Cert, KeyKind, KeyPair};

use super::TENURE;

fn enroll(house: &House, id: &str, secret: &str) -> Cert {
    let key = KeyPair::generate(KeyKind::P256).unwrap();
    let caller = Caller::new(&house.root());
    let answer = caller.enroll(
        &house.est("simpleenroll"),
        &request(&key, id),
        Some((id, secret)),
    );
    certificate(&answer)
}

/// The values of one field.
fn words<'a>(rows: impl IntoIterator<Item = &'a Value>, field: &str) -> BTreeSet<String> {
    rows.into_iter()
        .map(|row| row[field].as_str().unwrap().to_owned())
        .collect()
}

/// B1. Leaves out: certificates that others issued, which come with discovery, and a check by night: no
/// duty makes one, because a row cannot lack any of it (`attention/tests.rs` tries every status).
#[test]
fn b1_every_certificate_has_its_owner_its_window_and_what_is_next() {
    let house = House::serve(TENURE);
    for id in ["pump-1", "pump-2", "pump-3", "pump-4"] {
        let secret = house.device(id);
        enroll(&house, id, &secret);
    }
    house.tell(&["device", "suspend", "pump-2", "--yes"]);
    house.tell(&["device", "retire", "pump-3", "--yes"]);
    let listed = Api::of(&house).all("/certificates?limit=3");
    // Those of the house itself are among them.
    assert!(listed.len() >= 8, "{listed:#?}");
    for row in &listed {
        for field in [
            "owner",
            "not_before",
            "not_after",
            "renew_from",
            "next_action",
            "next_action_at",
            "durability",
        ] {
            assert!(
                row[field].as_str().is_some_and(|value| !value.is_empty()),
                "{field} is missing: {row:#}"
            );
        }
    }
    let of = |id: &str| listed.iter().find(|row| row["device"] == id).unwrap();
    let next = |id: &str| of(id)["next_action"].as_str().unwrap();
    assert_eq!(
        [next("pump-1"), next("pump-2"), next("pump-3")],
        ["renew", "decide", "unlist"]
    );
    let pump = of("pump-1");
    assert_eq!(pump["owner"], "Hydraulics");
    assert_eq!(pump["next_action_at"], pump["renew_from"]);
    let at = |field: &str| pump[field].as_str().unwrap();
    assert!(at("not_before") < at("renew_from") && at("renew_from") < at("not_after"));
}

/// Leaves out: assets that are no devices of ours.
#[test]
fn b3_certificates_are_found_by_asset_and_by_service_and_lead_back_to_both() {
    let house = House::serve(TENURE);
    house.tell(&["service", "add", "historian"]);
    let bound: [(&str, &[&str]); 3] = [
        ("pump-1", &["telemetry"]),
        ("pump-2", &["telemetry", "historian"]),
        ("pump-3", &["historian"]),
    ];
    for (id, services) in bound {
        let secret = house.device(id);
        let mut edit = vec!["device", "edit", id];
        services
            .iter()
            .for_each(|name| edit.extend(["--service", name]));
        house.tell(&edit);
        enroll(&house, id, &secret);
    }
    let by_service = |name: &str| house.ask(&["cert", "list", "--service", name]);
    let holders = |name: &str| words(by_service(name).as_array().unwrap(), "device");
    let set = |ids: &[&str]| ids.iter().map(|id| id.to_string()).collect::<BTreeSet<_>>();
    assert_eq!(holders("telemetry"), set(&["pump-1", "pump-2"]));
    assert_eq!(holders("historian"), set(&["pump-2", "pump-3"]));
    // Page by page it is the same list.
    let api = Api::of(&house);
    let paged = api.all("/certificates?service=historian&limit=1");
    assert_eq!(words(&paged, "serial").len(), 2);
    assert_eq!(words(&paged, "device"), set(&["pump-2", "pump-3"]));
    let unknown = api.call("GET", "/certificates?service=nobody", &Value::Null);
    assert!(matches!(unknown.0, 400 | 404), "{unknown:?}");
    // By the asset: its serial number leads to the device, the device to its certificate.
    let found = house.ask(&["device", "list", "--search", "pump-2"]);
    assert_eq!(found[0]["serial"], "pump-2");
    let held = house.ask(&["cert", "list", "--device", "pump-2"]);
    let serial = held[0]["serial"].as_str().unwrap();
    // And back.
    let shown = house.ask(&["cert", "show", serial]);
    assert_eq!(shown["device"], "pump-2");
    assert_eq!(shown["services"], json!(["telemetry", "historian"]));
    // A retired one is found as what it is.
    house.tell(&["device", "retire", "pump-3", "--yes"]);
    let revoked = api.all("/certificates?service=historian&status=revoked");
    assert_eq!(words(&revoked, "device"), set(&["pump-3"]));
}

/// Leaves out: firmware, which comes with a later part.
#[test]
fn b5_a_device_tells_each_value_with_its_history_and_its_source() {
    let house = House::serve(TENURE);
    let secret = house.device("pump-1");
    enroll(&house, "pump-1", &secret);
    house.tell(&["owner", "add", "Maintenance"]);
    house.tell(&["device", "edit", "pump-1", "--owner", "Maintenance"]);
    house.tell(&["device", "edit", "pump-1", "--model", "P2"]);
    house.tell(&["device", "retire", "pump-1", "--yes"]);
    let told = house.ask(&["device", "history", "pump-1"]);
    let events = house.ask(&["events", "--device", "pump-1"]);
    let values = |name: &str| -> Vec<Value> {
        let spans = told["values"][name].as_array().unwrap();
        for (n, span) in spans.iter().enumerate() {
            // Each line leads to an entry of the record, and says who made it.
            let all = events.as_array().unwrap();
            let event = all.iter().find(|event| event["seq"] == span["event"]);
            let event = event.unwrap_or_else(|| panic!("no event behind {span}"));
            assert_eq!((&event["by"], &event["at"]), (&span["by"], &span["since"]));
            let ended = spans.get(n + 1).map_or(&Value::Null, |next| &next["since"]);
            assert_eq!(&span["until"], ended);
        }
        spans.iter().map(|span| span["value"].clone()).collect()
    };
    assert_eq!(values("owner"), ["Hydraulics", "Maintenance"]);
    assert_eq!(values("model"), ["", "P2"]);
    assert_eq!(values("standing"), ["expected", "enrolled", "retired"]);
    assert_eq!(values("services"), [json!(["telemetry"])]);
    assert_eq!(told["values"]["owner"][0]["by"], "admin (admin)");
    assert_eq!(told["values"]["standing"][1]["by"], "device pump-1");
    let steps = words(told["certificates"].as_array().unwrap(), "what");
    for step in ["certificate-issued", "certificate-revoked"] {
        assert!(steps.contains(step), "{told:#}");
    }
}

/// Leaves out: trust stores and other systems' inventories and scans as sources; what kind of thing
/// an entry is, is its class.
#[test]
fn b6_all_that_holds_a_certificate_is_registered_and_importing_it_again_changes_nothing() {
    let house = House::serve(TENURE);
    let mut table =
        String::from("id,manufacturer,model,serial,class,site,owner,services,criticality\n");
    let kinds = [
        "sensor",
        "gateway",
        "hsm",
        "handheld tool",
        "historian server",
    ];
    for (n, kind) in kinds.iter().enumerate() {
        table.push_str(&format!(
            "thing-{n},Acme,M{n},SN-{n},{kind},Hall 3,Hydraulics,telemetry;erp,high\n"
        ));
    }
    let file = house.directory().join("register.csv");
    std::fs::write(&file, table).unwrap();
    let import = [
        "device",
        "import",
        file.to_str().unwrap(),
        "--create-missing",
    ];
    let first = house.ask(&import);
    assert_eq!(first["added"], kinds.len(), "{first:#}");
    let before = house.ask(&["events"]).as_array().unwrap().len();
    let again = house.ask(&import);
    assert_eq!(
        (&again["added"], &again["changed"], &again["unchanged"]),
        (&json!(0), &json!(0), &json!(kinds.len())),
        "{again:#}"
    );
    let registered = |what: &str| -> Vec<Value> {
        let after = house.ask(&["events"]);
        let new = after.as_array().unwrap().iter().skip(before);
        new.filter(|event| event["what"] == what).cloned().collect()
    };
    assert!(registered("device-registered").is_empty());
    assert!(registered("device-changed").is_empty());
    let classes = house.ask(&["class", "list"]);
    let names = words(classes.as_array().unwrap(), "name");
    assert!(kinds.iter().all(|kind| names.contains(*kind)), "{names:?}");
    let services = house.ask(&["service", "list"]);
    let names = words(services.as_array().unwrap(), "name");
    assert!(names.contains("erp") && names.contains("telemetry"));
    // Authorities are entries of their own.
    let issuers = house.ask(&["issuer", "list"]);
    let names = words(issuers.as_array().unwrap(), "name");
    assert!(names.contains("root") && names.contains("issuing-1"));
}

/// Leaves out: alerts that are sent; when they are due is told.
#[test]
fn b16_durable_and_ephemeral_credentials_are_told_apart_and_watched_differently() {
    let house = House::serve(TENURE);
    let policy = house.ask(&["policy", "show"]);
    let document = policy["document"].as_str().unwrap();
    let short = document
        .replace(
            "profiles = [\"device\", \"device-server\"]",
            "profiles = [\"device\", \"device-server\", \"day\"]",
        )
        .replace(
            "[[test]]\nname = \"a device renews",
            "[[profile]]\nname = \"day\"\nkind = \"ldevid\"\nlife = \"1d\"\nkeys = [\"p256\"]\n\
             usage = [\"client\"]\nsubject = [\"common-name:{device.id}\"]\nrevocation = [\"crl\"]\n\n\
             [[test]]\nname = \"a device renews",
        );
    let file = house.directory().join("policy.toml");
    std::fs::write(&file, short).unwrap();
    house.tell(&["policy", "apply", file.to_str().unwrap(), "--yes"]);
    house.tell(&[
        "class",
        "add",
        "robot",
        "--profile",
        "day",
        "--renewability",
        "autonomous",
    ]);
    house.tell(&[
        "class",
        "add",
        "valve",
        "--profile",
        "day",
        "--renewability",
        "manual",
    ]);
    house.tell(&[
        "class",
        "add",
        "press",
        "--profile",
        "device",
        "--renewability",
        "autonomous",
    ]);
    let shown = |class: &str| {
        let id = format!("{class}-1");
        let add = ["device", "add", &id, "--class", class, "--site", "Hall 3"];
        let more = ["--owner", "Hydraulics", "--service", "telemetry"];
        house.tell(&[&add[..], &more[..]].concat());
        let secret = house.tell(&["device", "secret", &id]);
        let cert = enroll(&house, &id, &secret);
        house.ask(&["cert", "show", &cert.serial().to_string()])
    };
    house.device("pump-0");
    let [robot, valve, press] = ["robot", "valve", "press"].map(shown);
    let class_of = |row: &Value| row["durability"].as_str().unwrap().to_owned();
    assert_eq!(class_of(&robot), "ephemeral");
    assert_eq!(class_of(&valve), "durable", "a person renews it");
    assert_eq!(class_of(&press), "durable", "it lives for 90 days");
    let alerts = |row: &Value| row["alerts"].as_array().unwrap().len();
    assert_eq!((alerts(&robot), alerts(&valve), alerts(&press)), (1, 4, 4));
    assert!(robot["review_at"].is_null() && valve["review_at"].is_string());
}

/// Leaves out: protocols other than EST, and trust bundles for each class.
#[test]
fn d3_an_allowed_device_gets_nothing_over_a_protocol_or_profile_that_is_not_its_own() {
    let house = House::serve(TENURE);
    let policy = house.ask(&["policy", "show"]);
    let document = policy["document"].as_str().unwrap();
    // Pumps only through an operator; valves through EST, and by one issuer for good.
    let bound = document
        .replacen(
            "[[rule]]\nname = \"first-by-secret\"",
            "[[rule]]\nname = \"pumps-by-hand\"\nclasses = [\"pump\"]\nprotocols = [\"operator\"]\n\
             action = \"allow\"\n\n[[rule]]\nname = \"no-other-pumps\"\nclasses = [\"pump\"]\n\
             action = \"refuse\"\nreason = \"pumps enroll at the bench\"\n\n\
             [[rule]]\nname = \"first-by-secret\"",
            1,
        )
        .replacen(
            "name = \"device\"\nkind = \"ldevid\"",
            "name = \"device\"\nkind = \"ldevid\"\nissuer = \"issuing-1\"",
            1,
        );
    assert!(bound.contains("pumps-by-hand") && bound.contains("issuer = \"issuing-1\""));
    let file = house.directory().join("policy.toml");
    std::fs::write(&file, bound).unwrap();
    house.device("pump-0");
    house.device_of_class("valve-0", "valve");
    house.tell(&["policy", "apply", file.to_str().unwrap(), "--yes"]);
    let ask = |id: &str, at: &str| {
        let secret = house.tell(&["device", "secret", id]);
        let key = KeyPair::generate(KeyKind::P256).unwrap();
        let caller = Caller::new(&house.root());
        caller.enroll(&house.est(at), &request(&key, id), Some((id, &secret)))
    };
    let refused = ask("pump-0", "simpleenroll");
    assert_eq!(refused.status.as_u16(), 403, "{}", text(&refused.body));
    assert!(text(&refused.body).contains("no-other-pumps"));
    let listed = house.ask(&["cert", "list", "--device", "pump-0"]);
    assert!(listed.as_array().unwrap().is_empty());
    // The other class is served by its issuer, under its profile and no other.
    let valve = certificate(&ask("valve-0", "simpleenroll"));
    let issuer = Caller::plain().get(&house.public("/ca/issuing-1.cer"));
    let issuer = Cert::from_der(&issuer.body).unwrap();
    assert_eq!(valve.issuer(), issuer.subject());
    assert_eq!(
        ask("valve-0", "tenure-server/simpleenroll").status.as_u16(),
        404
    );
    // A profile that is known, and not for its class: waiting is no way to it either.
    let held = ask("valve-0", "idevid/simpleenroll");
    assert_eq!(held.status.as_u16(), 202, "{}", text(&held.body));
    house.refuse_profile("valve", "device-server", "valves serve nothing");
    let refused = ask("valve-0", "device-server/simpleenroll");
    assert_eq!(refused.status.as_u16(), 403, "{}", text(&refused.body));
    assert!(text(&refused.body).contains("no-device-server-for-valve"));
    let listed = house.ask(&["cert", "list", "--device", "valve-0"]);
    assert_eq!(listed.as_array().unwrap().len(), 1, "{listed:#}");
    let events = house.ask(&["events", "--device", "pump-0"]).to_string();
    assert!(events.contains("no-other-pumps"), "{events}");
}
