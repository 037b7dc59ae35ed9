//! The red team: identities that must not be let in are shown at real doors.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tenure_domain::relying_party::PeerProtocol;
use tenure_field::http::{Identity, Trust};
use tenure_field::probe::{self, Target, Visit};
use tenure_tests::http::{Caller, certificate, identity, request};
use tenure_tests::relying::{Checking, Relying, Trust as Published, hang_up};
use tenure_tests::{House, have, revoke, until};
use tenure_x509::{
    CaConstraint, Cert, CertificateSpec, Extensions, KeyKind, KeyPair, KeyUsage, Name, Serial, oid,
};

use super::enforce::Place;
use super::{TENURE, enforce};

fn key() -> KeyPair {
    KeyPair::generate(KeyKind::P256).unwrap()
}

/// The policy with a profile beside `device` that is signed by `hall-4`.
fn with_a_second_domain(document: &str) -> String {
    let begin = document.find("[[profile]]\nname = \"device\"\n").unwrap();
    let rest = &document[begin + 2..];
    let end = rest
        .find("\n[[")
        .map_or(document.len(), |at| begin + 2 + at);
    let block = document[begin..end].replacen(
        "name = \"device\"\n",
        "name = \"device-4\"\nissuer = \"hall-4\"\n",
        1,
    );
    let known = "profiles = [\"device\", \"device-server\"]";
    let both = "profiles = [\"device\", \"device-server\", \"device-4\"]";
    format!("{}\n{block}\n", document.replace(known, both))
}

fn enrolled(house: &House, id: &str, label: &str) -> (Cert, KeyPair) {
    let secret = house.device(id);
    let key = key();
    let answer = Caller::new(&house.root()).enroll(
        &house.est(&format!("{label}/simpleenroll")),
        &request(&key, id),
        Some((id, &secret)),
    );
    (certificate(&answer), key)
}

fn issuer(house: &House, name: &str) -> Cert {
    let answer = Caller::plain().get(&house.public(&format!("/ca/{name}.cer")));
    Cert::from_der(&answer.body).unwrap()
}

/// A certificate that names our issuer, signed by nobody but its own key.
fn look_alike(like: &Cert, pair: &KeyPair) -> Cert {
    let spec = CertificateSpec {
        serial: Serial::from_random([9; 20]),
        signature: pair.signature_algorithm(),
        issuer: like.issuer().clone(),
        validity: like.validity(),
        subject: like.subject().clone(),
        public_key: pair.public().clone(),
        extensions: Extensions {
            ca: CaConstraint::NotCa,
            key_usage: KeyUsage::DIGITAL_SIGNATURE,
            ext_key_usage: vec![oid::CLIENT_AUTH],
            ..Extensions::default()
        },
    };
    let tbs = spec.tbs().unwrap();
    Cert::from_der(&tbs.with_signature(&pair.sign(tbs.as_der()).unwrap())).unwrap()
}

/// A certificate of somebody else's CA for one of our devices, and that CA's own certificate.
fn foreign(like: &Cert, pair: &KeyPair) -> (Cert, Cert) {
    let above = key();
    let signed = |subject: &Name, of: &KeyPair, extensions| {
        let spec = CertificateSpec {
            serial: Serial::from_random([11; 20]),
            signature: above.signature_algorithm(),
            // The same name as our issuer has, and another key.
            issuer: like.issuer().clone(),
            validity: like.validity(),
            subject: subject.clone(),
            public_key: of.public().clone(),
            extensions,
        };
        let tbs = spec.tbs().unwrap();
        Cert::from_der(&tbs.with_signature(&above.sign(tbs.as_der()).unwrap())).unwrap()
    };
    let ca = Extensions {
        ca: CaConstraint::Ca { path_len: None },
        key_usage: KeyUsage::KEY_CERT_SIGN,
        ..Extensions::default()
    };
    let leaf = Extensions {
        ca: CaConstraint::NotCa,
        key_usage: KeyUsage::DIGITAL_SIGNATURE,
        ext_key_usage: vec![oid::CLIENT_AUTH],
        ..Extensions::default()
    };
    (
        signed(like.subject(), pair, leaf),
        signed(like.issuer(), &above, ca),
    )
}

/// Whether a door lets somebody in.
pub(super) fn is_let_in(
    port: u16,
    anchor: &Path,
    protocol: PeerProtocol,
    identity: Identity,
) -> bool {
    let target = Target {
        address: format!("127.0.0.1:{port}"),
        server_name: "127.0.0.1".to_owned(),
        trust: Trust::from_pem(&fs::read_to_string(anchor).unwrap()).unwrap(),
        protocol,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    match runtime.block_on(probe::visit(&target, identity)) {
        Visit::Accepted(_) => true,
        Visit::Refused(_) => false,
        Visit::Unreachable(why) => panic!("the door could not be asked: {why}"),
    }
}

fn said(found: &Value, field: &str) -> Vec<String> {
    let found = found.as_array().unwrap().iter();
    let words = found.map(|it| it[field].as_str().unwrap_or_default().to_owned());
    words.collect()
}

/// Two sites, each with an issuer of its own. What is stolen at one is refused at the door of the
/// other, as are the revoked and the look-alike, and none is let renew; a door that would let the other
/// site in becomes a finding. Expired ones, wrong usage, other houses and constraint breakers are
/// canaries here. Doors of other makers are below.
#[test]
fn p9_whatever_a_thief_shows_is_refused_and_told() {
    let mut house = House::found(TENURE);
    house.tell(&["issuer", "add", "hall-4", "--kind", "issuing"]);
    house.start();
    let policy = with_a_second_domain(&house.tell(&["policy", "show"]));
    fs::write(house.directory().join("policy.toml"), policy).unwrap();
    house.tell(&["policy", "apply", "policy.toml", "--yes"]);
    let (own, own_key) = enrolled(&house, "pump-3", "device");
    let (other, other_key) = enrolled(&house, "pump-4", "device-4");
    let (lost, lost_key) = enrolled(&house, "pump-5", "device");
    let hall_4 = issuer(&house, "hall-4");
    assert_eq!(other.issuer(), hall_4.subject());

    let place = enforce::place(&house);
    let strict: PathBuf = house.directory().join("hall-3.pem");
    fs::write(&strict, issuer(&house, "issuing-1").pem()).unwrap();
    let port = Relying::port();
    let door = Relying::rustls(port, &place.pki, &strict, Checking::On);
    let anchor = &place.pki.anchor;
    let enters = |identity| is_let_in(port, anchor, PeerProtocol::Tls, identity);
    let mut stolen = identity(&other, &other_key);
    stolen.chain.push(hall_4.der().to_vec());
    let alike_key = key();
    let alike = look_alike(&own, &alike_key);
    assert!(enters(identity(&own, &own_key)), "its own devices enter");
    assert!(enters(identity(&lost, &lost_key)), "and this one, for now");
    assert!(!enters(stolen), "stolen at another site");
    assert!(!enters(identity(&alike, &alike_key)), "a look-alike");
    house.tell(&revoke(&lost.serial().to_string()));
    assert!(!enters(identity(&lost, &lost_key)), "revoked");

    // None of them is let renew, and who is known is named in the record.
    for (thief, pair) in [(&lost, &lost_key), (&alike, &alike_key)] {
        let caller = Caller::with_identity(&house.root(), identity(thief, pair));
        let answer = caller.enroll(
            &house.est("simplereenroll"),
            &request(&key(), "pump-5"),
            None,
        );
        assert!(!answer.status.is_success(), "{}", answer.status);
    }
    let events = house.ask(&["events", "--limit", "0"]);
    assert!(said(&events, "what").contains(&"ask-refused".to_owned()));

    // The same by canaries, whose trials are all in the record.
    enforce::register(&house, "door-3", port, "tls", anchor, "5");
    house.tell(&["relying-party", "edit", "door-3", "--issuers", "issuing-1"]);
    let shown = house.tenure(&["--json", "probe", "run"]);
    let matrix = house.ask(&["probe", "matrix"]);
    assert!(shown.status.success(), "{matrix:#}");
    assert_eq!(matrix[0]["verdict"], "proven", "{matrix:#}");
    let standing = house.ask(&["finding", "list", "--state", "open"]);
    assert_eq!(said(&standing, "kind"), ["incident"], "{standing:#}");
    assert_eq!(said(&standing, "cause"), ["not-ours"], "{standing:#}");
    drop(door);

    // A door that trusts everything below the root lets the other site in, which is found at once.
    let lax: PathBuf = house.directory().join("lax.pem");
    let above = fs::read_to_string(house.root()).unwrap();
    fs::write(&lax, issuer(&house, "issuing-1").pem() + &above).unwrap();
    let _door = Relying::rustls(port, &place.pki, &lax, Checking::On);
    let probed = house.tenure(&["probe", "run"]);
    assert_eq!(probed.status.code(), Some(1));
    let standing = house.ask(&["finding", "list", "--state", "open"]);
    let kinds = said(&standing, "kind");
    assert!(kinds.contains(&"accepts-unfit".to_owned()), "{standing:#}");
    let events = house.ask(&["events", "--limit", "0"]);
    assert!(said(&events, "what").contains(&"finding-opened".to_owned()));
}

/// A door of some maker, for the devices of `issuing-1` alone.
struct Door {
    protocol: PeerProtocol,
    start: fn(&Place, u16) -> Relying,
    /// Whether it reads lists from a file, and whether it has to be told that the file is new.
    lists: Lists,
    /// What is found of it though it refuses whom it must.
    known: &'static [&'static str],
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Lists {
    /// Read when it is told.
    Told,
    /// Watched by itself.
    Watched,
    /// Fetched by itself.
    Fetched,
}

/// The thief's whole set at one door. Leaves out: what the door itself writes down of a thief, which
/// stays there; what is told here is what the prober sees and what the house is asked.
fn turns_the_thief_away(door: &Door) {
    let mut house = House::found(TENURE);
    house.tell(&["issuer", "add", "hall-4", "--kind", "issuing"]);
    house.start();
    let policy = with_a_second_domain(&house.tell(&["policy", "show"]));
    fs::write(house.directory().join("policy.toml"), policy).unwrap();
    house.tell(&["policy", "apply", "policy.toml", "--yes"]);
    let (own, own_key) = enrolled(&house, "pump-3", "device");
    let (other, other_key) = enrolled(&house, "pump-4", "device-4");
    let (lost, lost_key) = enrolled(&house, "pump-5", "device");
    let hall_4 = issuer(&house, "hall-4");

    let place = enforce::place(&house);
    let trust = || Published::fetch(&house, &place.directory);
    drop(trust());
    let port = Relying::port();
    let start = || {
        let running = (door.start)(&place, port);
        let id = running.id();
        match door.lists {
            Lists::Told => running.refreshed(trust(), move || hang_up(id)),
            Lists::Watched => running.refreshed(trust(), || {}),
            Lists::Fetched => running,
        }
    };
    let running = start();
    let anchor = &place.pki.anchor;
    let enters = |identity| is_let_in(port, anchor, door.protocol, identity);
    let below = |cert: &Cert, key: &KeyPair, above: &Cert| {
        let mut shown = identity(cert, key);
        shown.chain.push(above.der().to_vec());
        shown
    };
    let issuing = issuer(&house, "issuing-1");
    let alike_key = key();
    let alike = look_alike(&own, &alike_key);
    let (theirs, their_ca) = foreign(&own, &alike_key);
    assert!(enters(identity(&own, &own_key)), "its own devices enter");
    assert!(enters(identity(&lost, &lost_key)), "and this one, for now");
    for (what, shown) in [
        ("stolen at another site", below(&other, &other_key, &hall_4)),
        ("the same, without its chain", identity(&other, &other_key)),
        ("self-signed", identity(&alike, &alike_key)),
        (
            "self-signed, with our chain",
            below(&alike, &alike_key, &issuing),
        ),
        ("another house's", below(&theirs, &alike_key, &their_ca)),
        (
            "another house's, with our chain",
            below(&theirs, &alike_key, &issuing),
        ),
    ] {
        assert!(!enters(shown), "{what}");
    }
    let serial = lost.serial().to_string();
    house.tell(&revoke(&serial));
    until("the revoked one is refused", || {
        !enters(identity(&lost, &lost_key))
    });
    assert!(
        enters(identity(&own, &own_key)),
        "and the others enter as before"
    );

    // Expired, not yet valid, wrong usage, constraint breakers: the same by canaries, of which each trial
    // is in the record.
    let protocol = door.protocol.to_string();
    enforce::register(&house, "door-3", port, &protocol, anchor, "30");
    house.tell(&["relying-party", "edit", "door-3", "--issuers", "issuing-1"]);
    let shown = house.tenure(&["--json", "probe", "run"]);
    let matrix = house.ask(&["probe", "matrix"]);
    assert!(shown.status.success(), "{matrix:#}");
    assert_eq!(matrix[0]["verdict"], "proven", "{matrix:#}");
    let cells = matrix[0]["cells"].as_array().unwrap();
    let tried = |canary: &str| {
        let cell = cells.iter().find(|cell| cell["canary"] == canary);
        cell.unwrap_or_else(|| panic!("{canary}: {matrix:#}"))["reception"].clone()
    };
    assert_eq!(tried("valid"), "accepted");
    for canary in [
        "revoked",
        "expired",
        "not-yet-valid",
        "wrong-usage",
        "other-domain",
        "look-alike",
        "constraint-breaker",
        "other-issuer",
    ] {
        assert_eq!(tried(canary), "refused", "{canary}");
    }
    let standing = house.ask(&["finding", "list", "--state", "open"]);
    assert_eq!(said(&standing, "kind"), door.known, "{standing:#}");
    drop(running);

    // The door is left open for the other site, and that is told at once.
    let lax = fs::read_to_string(place.path("ca.pem")).unwrap() + &hall_4.pem();
    fs::write(place.path("ca.pem"), lax).unwrap();
    let list = Caller::plain().get(&house.public("/crl/hall-4/full.crl"));
    let lists = fs::read_to_string(place.path("crl.pem")).unwrap();
    let list = tenure_x509::pem_encode("X509 CRL", &list.body);
    fs::write(place.path("crl.pem"), lists + &list).unwrap();
    let _running = (door.start)(&place, port);
    assert!(enters(below(&other, &other_key, &hall_4)), "it is open");
    house.tell(&["relying-party", "edit", "door-3", "--enforce-within", "1"]);
    let probed = house.tenure(&["probe", "run"]);
    assert_eq!(probed.status.code(), Some(1));
    let standing = house.ask(&["finding", "list", "--state", "open"]);
    let causes = said(&standing, "cause");
    assert!(
        causes.contains(&"other-issuer of hall-4".to_owned()),
        "{standing:#}"
    );
    let events = house.ask(&["events", "--limit", "0"]);
    let told = said(&events, "what");
    assert!(told.contains(&"finding-opened".to_owned()));
    assert!(told.contains(&"relying-party-probed".to_owned()));
}

/// It trusts the root, and has the lists of its own site alone: whose list it lacks, it refuses.
#[test]
fn p9_nginx_turns_the_thief_away() {
    if have("nginx") {
        turns_the_thief_away(&Door {
            protocol: PeerProtocol::Https,
            start: |place, port| enforce::nginx(place, port, Checking::On),
            lists: Lists::Told,
            known: &[],
        });
    }
}

/// As nginx.
#[test]
fn p9_mosquitto_turns_the_thief_away() {
    if have("mosquitto") {
        turns_the_thief_away(&Door {
            protocol: PeerProtocol::Mqtt,
            start: |place, port| enforce::mosquitto(place, port, Checking::On),
            lists: Lists::Told,
            known: &["session-survives"],
        });
    }
}

/// As nginx.
#[test]
fn p9_envoy_turns_the_thief_away() {
    if have("envoy") {
        turns_the_thief_away(&Door {
            protocol: PeerProtocol::Https,
            start: |place, port| enforce::envoy(place, port, Checking::On),
            lists: Lists::Watched,
            known: &["session-survives"],
        });
    }
}

/// It trusts the issuing CA of its own site, and not the root.
#[test]
fn p9_openssl_turns_the_thief_away() {
    if have("openssl") {
        turns_the_thief_away(&Door {
            protocol: PeerProtocol::Tls,
            start: |place, port| {
                let all = fs::read_to_string(place.path("ca.pem")).unwrap();
                // All but the root, which stands behind the first.
                let mut certs = tenure_x509::pem_certificates(&all).unwrap();
                certs.remove(1);
                let trusted: String = certs.iter().map(Cert::pem).collect();
                let trusted = place.write("issuing.pem", &trusted);
                let mut command = std::process::Command::new("openssl");
                command
                    .args(["s_server", "-accept", &format!("127.0.0.1:{port}")])
                    .args(["-Verify", "2", "-verify_return_error", "-www", "-no_ticket"])
                    .args(["-partial_chain", "-crl_check", "-crl_download"])
                    .arg("-verifyCAfile")
                    .arg(trusted)
                    .arg("-cert")
                    .arg(&place.pki.cert)
                    .arg("-key")
                    .arg(&place.pki.key);
                Relying::start(port, &mut command)
            },
            lists: Lists::Fetched,
            known: &[],
        });
    }
}
