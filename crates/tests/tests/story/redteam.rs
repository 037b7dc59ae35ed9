//! The red team: identities that must not be let in are shown at real doors.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tenure_domain::relying_party::PeerProtocol;
use tenure_field::http::{Identity, Trust};
use tenure_field::probe::{self, Target, Visit};
use tenure_tests::House;
use tenure_tests::http::{Caller, certificate, identity, request};
use tenure_tests::relying::{Checking, Relying};
use tenure_x509::{
    CaConstraint, Cert, CertificateSpec, Extensions, KeyKind, KeyPair, KeyUsage, Serial, oid,
};

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

/// Whether a door lets somebody in.
fn is_let_in(port: u16, anchor: &Path, identity: Identity) -> bool {
    let target = Target {
        address: format!("127.0.0.1:{port}"),
        server_name: "127.0.0.1".to_owned(),
        trust: Trust::from_pem(&fs::read_to_string(anchor).unwrap()).unwrap(),
        protocol: PeerProtocol::Tls,
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
/// canaries here, and at nginx, mosquitto, Envoy and OpenSSL in the tests of G7. Leaves out: doors of
/// other makers with an issuer of their own.
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
    let enters = |identity| is_let_in(port, anchor, identity);
    let mut stolen = identity(&other, &other_key);
    stolen.chain.push(hall_4.der().to_vec());
    let alike_key = key();
    let alike = look_alike(&own, &alike_key);
    assert!(enters(identity(&own, &own_key)), "its own devices enter");
    assert!(enters(identity(&lost, &lost_key)), "and this one, for now");
    assert!(!enters(stolen), "stolen at another site");
    assert!(!enters(identity(&alike, &alike_key)), "a look-alike");
    house.tell(&[
        "cert",
        "revoke",
        &lost.serial().to_string(),
        "--reason",
        "keyCompromise",
        "--yes",
    ]);
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
