//! Whom relying parties trust: domains that do not trust each other, and stores that are looked at.

use std::fs;
use std::path::PathBuf;

use std::os::unix::fs::symlink;
use std::time::Duration;

use serde_json::Value;
use tenure_field::feed::{Connection, Observer, Seen};
use tenure_tests::http::Caller;
use tenure_tests::relying::{Checking, Relying, ServerPki};
use tenure_tests::{House, have, text, tool};
use tenure_x509::{
    CaConstraint, Cert, CertificateSpec, Extensions, KeyKind, KeyPair, Name, NameAttribute, Serial,
    Time, Validity, pem_certificates,
};

use super::TENURE;

fn furnished(house: &House) {
    house.tell(&["owner", "add", "Hydraulics"]);
    house.tell(&["site", "add", "Hall 3"]);
    house.tell(&["service", "add", "telemetry"]);
}

fn issuing(house: &House, name: &str) -> Cert {
    let der = Caller::plain().get(&house.public(&format!("/ca/{name}.cer")));
    Cert::from_der(&der.body).unwrap()
}

fn register(house: &House, name: &str, port: u16, pki: &ServerPki, issuer: &str) {
    let address = format!("127.0.0.1:{port}");
    let anchors = pki.anchor.display().to_string();
    house.tell(&[
        "relying-party",
        "add",
        name,
        "--address",
        &address,
        "--anchors",
        &anchors,
        "--issuers",
        issuer,
        "--services",
        "telemetry",
        "--owner",
        "Hydraulics",
        "--site",
        "Hall 3",
        "--criticality",
        "high",
        "--enforce-within",
        "10",
    ]);
}

fn file(house: &House, name: &str, content: &str) -> PathBuf {
    let path = house.directory().join(name);
    fs::write(&path, content).unwrap();
    path
}

fn open_findings(house: &House) -> Vec<(String, String)> {
    let found = house.ask(&["finding", "list", "--state", "open"]);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let found = found.as_array().unwrap().iter();
    found
        .map(|finding| (text(&finding["kind"]), text(&finding["cause"])))
        .collect()
}

/// Leaves out: separate roots, and the drill of a compromise.
#[test]
fn e6_three_trust_domains_turn_each_others_devices_away() {
    let mut house = House::serve(TENURE);
    furnished(&house);
    house.stop();
    let names = ["issuing-1", "valves-1", "cameras-1"];
    for name in &names[1..] {
        house.tell(&["issuer", "add", name, "--kind", "issuing"]);
    }
    house.start();
    let pki = ServerPki::new(house.directory());
    let mut running = Vec::new();
    for name in names {
        let anchors = file(&house, &format!("{name}.pem"), &issuing(&house, name).pem());
        let port = Relying::port();
        running.push(Relying::rustls(port, &pki, &anchors, Checking::On));
        register(&house, &format!("for-{name}"), port, &pki, name);
    }
    let probed = house.tenure(&["probe", "run"]);
    let matrix = house.ask(&["probe", "matrix"]);
    assert!(
        probed.status.success(),
        "{}{matrix:#}",
        text(&probed.stderr)
    );
    for row in matrix.as_array().unwrap() {
        let own = row["relying_party"].as_str().unwrap().replace("for-", "");
        let cells = row["cells"].as_array().unwrap();
        for name in names {
            let canary = if name == own { "valid" } else { "other-issuer" };
            let cell = cells
                .iter()
                .find(|cell| cell["issuer"] == name && cell["canary"] == canary);
            let expected = if name == own { "accepted" } else { "refused" };
            assert_eq!(
                cell.unwrap()["reception"],
                expected,
                "{own} {name}: {row:#}"
            );
        }
    }
    assert_eq!(open_findings(&house), []);

    // One that trusts the root trusts all that is below it, and is found.
    let root = fs::read_to_string(house.root()).unwrap();
    let anchors = file(&house, "broad.pem", &root);
    let port = Relying::port();
    running.push(Relying::rustls(port, &pki, &anchors, Checking::On));
    register(&house, "broad", port, &pki, "issuing-1");
    house.tenure(&["probe", "run", "--relying-party", "broad"]);
    let causes: Vec<_> = open_findings(&house)
        .into_iter()
        .map(|(_, cause)| cause)
        .collect();
    assert!(
        causes.contains(&"other-issuer of valves-1".to_owned()),
        "{causes:?}"
    );
    assert!(
        causes.contains(&"other-issuer of cameras-1".to_owned()),
        "{causes:?}"
    );
}

/// The commands of docs/trust-stores.md.
#[test]
fn i5_i9_each_anchor_is_reported_and_the_audit_of_all_stores_is_signed() {
    let house = House::serve(TENURE);
    furnished(&house);
    let pki = ServerPki::new(house.directory());
    register(&house, "broker-3", Relying::port(), &pki, "issuing-1");
    let ours = issuing(&house, "issuing-1").pem();
    let stranger = fs::read_to_string(&pki.anchor).unwrap();
    let held = file(&house, "held.pem", &(ours.clone() + &stranger));
    let held = held.display().to_string();
    let shown = house.ask(&["trust-store", "report", "broker-3", &held]);
    assert_eq!(shown["held"][0]["standing"], "meant", "{shown:#}");
    assert_eq!(shown["held"][1]["standing"], "unknown", "{shown:#}");
    let print = shown["held"][1]["fingerprint"].as_str().unwrap().to_owned();
    assert_eq!(
        open_findings(&house),
        [("anchor-unknown".to_owned(), print.clone())]
    );
    let bundle = house.tell(&["trust-store", "bundle", "broker-3"]);
    let named = house.ask(&["trust-store", "bundle", "broker-3"]);
    assert_eq!(named["pem"].as_str().unwrap().trim_end(), bundle.trim_end());
    assert_eq!(pem_certificates(&bundle).unwrap().len(), 1);
    let about = house.ask(&["anchor", "show", &print]);
    assert_eq!(about["relying_parties"][0]["name"], "broker-3", "{about:#}");

    // I5: what proves inventory, renewal and revocation for an anchor of ours.
    let own = shown["held"][0]["fingerprint"].as_str().unwrap();
    let about = house.ask(&["anchor", "show", own]);
    let under = &about["issuers"][0];
    assert_eq!(under["issuer"], "issuing-1", "{about:#}");
    assert_eq!(under["state"], "active", "{about:#}");
    assert_eq!(under["successor"], Value::Null, "{about:#}");
    assert!(
        under["certificates"].as_u64() >= Some(1),
        "the server's own: {about:#}"
    );
    let list = under["revocation_list"].as_str().unwrap();
    assert_eq!(Caller::plain().get(list).status.as_u16(), 200, "{about:#}");
    assert_eq!(about["relying_parties"][0]["name"], "broker-3", "{about:#}");

    let audit = house.tell(&["trust-store", "audit"]) + "\n";
    assert!(house.ask(&["trust-store", "audit"])["audit"].is_string());
    assert!(house.ask(&["feed", "key"])["key"].is_string());
    assert!(
        audit.contains(&print) && audit.contains("\"standing\":\"unknown\""),
        "{audit}"
    );
    let signed = file(&house, "audit.txt", &audit).display().to_string();
    house.tell(&["trust-store", "verify", &signed]);
    let forged = audit.replace("\"unknown\"", "\"legacy\"");
    let forged = file(&house, "forged.txt", &forged).display().to_string();
    let refused = house.tenure(&["trust-store", "verify", &forged]);
    assert_eq!(refused.status.code(), Some(1), "{}", text(&refused.stdout));
    let events = house.ask(&["events", "--limit", "0"]).to_string();
    assert!(events.contains("export-made") && events.contains("trust-store-reported"));
    with_openssl(&house, &audit);

    let pruned = house.ask(&[
        "trust-store",
        "prune",
        "broker-3",
        &print,
        "--why",
        "nobody's",
    ]);
    assert_eq!(pruned["pruned"][0], print.as_str(), "{pruned:#}");
    let held = file(&house, "held.pem", &ours).display().to_string();
    house.tell(&["trust-store", "report", "broker-3", &held]);
    assert_eq!(open_findings(&house), []);
    let all = house.ask(&["anchor", "list"]);
    assert_eq!(all.as_array().unwrap().len(), 2, "{all:#}");
}

/// A root of nobody we know, which ended yesterday.
fn ended() -> Cert {
    let key = KeyPair::generate(KeyKind::P256).unwrap();
    let subject = Name::build(&[(NameAttribute::CommonName, "Old plant CA")]).unwrap();
    let today = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let today = Time::from_unix(i64::try_from(today).unwrap());
    let spec = CertificateSpec {
        serial: Serial::from_random([7; 20]),
        signature: key.signature_algorithm(),
        issuer: subject.clone(),
        validity: Validity {
            not_before: today.plus(-30 * 86_400),
            not_after: today.plus(-86_400),
        },
        subject,
        public_key: key.public().clone(),
        extensions: Extensions {
            ca: CaConstraint::Ca { path_len: None },
            ..Extensions::default()
        },
    };
    let tbs = spec.tbs().unwrap();
    let signature = key.sign(tbs.as_der()).unwrap();
    Cert::from_der(&tbs.with_signature(&signature)).unwrap()
}

/// What stands in the files of a relying party is reported by `tenure-agent`, whoever put it there.
/// Leaves out: the wait between two looks.
#[test]
fn i3_i6_an_anchor_slipped_into_a_trust_store_is_found_at_the_next_look() {
    let mut house = House::serve(TENURE);
    furnished(&house);
    house.stop();
    house.tell(&["issuer", "add", "valves-1", "--kind", "issuing"]);
    house.start();
    let pki = ServerPki::new(house.directory());
    register(&house, "broker-3", Relying::port(), &pki, "issuing-1");
    let connection = house.directory().join("broker-3.feed.json");
    let out = connection.display().to_string();
    house.tell(&["feed", "connect", "broker-3", "--out", &out]);
    let connection = Connection::read(&connection).unwrap();
    let trusted = house.directory().join("trusted");
    fs::create_dir(&trusted).unwrap();
    let slip = |name: &str, cert: &Cert| fs::write(trusted.join(name), cert.pem()).unwrap();
    slip("ours.pem", &issuing(&house, "issuing-1"));
    let every = Some(Duration::from_secs(60));
    let mut observer = Observer::new(&connection, std::slice::from_ref(&trusted), every).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut look = || runtime.block_on(observer.look());
    let in_order = Seen::Reported {
        anchors: 1,
        wrong: Vec::new(),
        missing: Vec::new(),
    };
    assert_eq!(look().unwrap(), in_order);
    assert_eq!(look().unwrap(), Seen::Unchanged);
    assert_eq!(open_findings(&house), []);
    let shown = house.ask(&["trust-store", "show", "broker-3"]);
    assert!(shown["again"].is_string(), "{shown:#}");

    // As OpenSSL's directories are: a link with the hash of a name, to somewhere else.
    symlink(&pki.anchor, trusted.join("9d66eef0.0")).unwrap();
    let ended = ended();
    slip("ended.crt", &ended);
    slip("valves.pem", &issuing(&house, "valves-1"));
    let Seen::Reported { anchors, wrong, .. } = look().unwrap() else {
        panic!("it has changed");
    };
    assert_eq!((anchors, wrong.len()), (4, 3), "{wrong:?}");
    let print = |cert: &Cert| tenure_domain::text::hex(&cert.fingerprint());
    let stranger = fs::read_to_string(&pki.anchor).unwrap();
    let stranger = print(&pem_certificates(&stranger).unwrap()[0]);
    let (old, valves) = (print(&ended), print(&issuing(&house, "valves-1")));
    let mut expected = vec![
        ("anchor-expired".to_owned(), old.clone()),
        ("anchor-stale".to_owned(), valves),
        ("anchor-unknown".to_owned(), old),
        ("anchor-unknown".to_owned(), stranger.clone()),
    ];
    let mut found = open_findings(&house);
    found.sort();
    expected.sort();
    assert_eq!(found, expected);

    // I6: who trusts it is known from what was seen there.
    let about = house.ask(&["anchor", "show", &stranger]);
    assert_eq!(about["relying_parties"][0]["name"], "broker-3", "{about:#}");

    // What cannot be read is no shorter report.
    fs::write(trusted.join("broken.pem"), "-----BEGIN CERTIFICATE-----\n@").unwrap();
    assert!(look().is_err());
    for name in ["broken.pem", "9d66eef0.0", "ended.crt", "valves.pem"] {
        fs::remove_file(trusted.join(name)).unwrap();
    }
    assert_eq!(look().unwrap(), in_order);
    assert_eq!(open_findings(&house), []);
}

/// The signature of an audit, checked by somebody who has never heard of us.
fn with_openssl(house: &House, audit: &str) {
    use base64::Engine;
    if !have("openssl") {
        return;
    }
    let decode = |text: &str| {
        base64::engine::general_purpose::STANDARD
            .decode(text)
            .unwrap()
    };
    let (content, signature) = audit.rsplit_once("\n\n").unwrap();
    let signature = decode(signature.trim().rsplit_once(' ').unwrap().1);
    fs::write(house.directory().join("text"), format!("{content}\n")).unwrap();
    fs::write(house.directory().join("sig"), &signature[4..]).unwrap();
    let key = tenure_tests::api::Api::of(house).send("GET", "/log/key", &[], b"");
    let key = text(&key.body);
    let raw = decode(key.trim().splitn(3, '+').nth(2).unwrap());
    // RFC 8410 section 4: twelve fixed octets before the 32 of the key; type 1 is Ed25519.
    let mut spki = b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00".to_vec();
    spki.extend(&raw[1..]);
    fs::write(house.directory().join("key.der"), spki).unwrap();
    let arguments =
        "pkeyutl -verify -pubin -keyform DER -inkey key.der -rawin -in text -sigfile sig";
    let arguments: Vec<_> = arguments.split(' ').collect();
    tool(house.directory(), "openssl", &arguments, b"");
}
