//! The end of a device: whatever it kept opens no door any more.

use serde_json::Value;
use tenure_domain::relying_party::PeerProtocol;
use tenure_field::http::Response;
use tenure_tests::http::{Caller, certificate, identity, request};
use tenure_tests::pki::{Maker, now};
use tenure_tests::relying::{Checking, Relying, Trust};
use tenure_tests::{House, PLACE, text, until};
use tenure_x509::crl::Crl;
use tenure_x509::ocsp::{CertStatus, HashKind, OcspRequest, OcspResponse};
use tenure_x509::{Cert, KeyKind, KeyPair, Reason};

use super::redteam::is_let_in;
use super::{TENURE, enforce};

fn key() -> KeyPair {
    KeyPair::generate(KeyKind::P256).unwrap()
}

fn status(response: &Response) -> u16 {
    response.status.as_u16()
}

/// Of a registered maker's device, `pump-1`, what its maker gave it.
fn made(house: &House, id: &str) -> (Cert, KeyPair) {
    let maker = Maker::new("Acme Pumps");
    let roots = house.directory().join("maker.pem");
    std::fs::write(&roots, maker.root_pem()).unwrap();
    let roots = roots.to_str().unwrap();
    house.tell(&["manufacturer", "add", "acme-pumps", "--roots", roots]);
    house.device("pump-0"); // owner, site, class and service
    let what = ["--service", "telemetry", "--manufacturer", "acme-pumps"];
    let add = [
        "device",
        "add",
        id,
        "--class",
        "pump",
        "--serial",
        "SN-000417",
    ];
    house.tell(&[&add[..], &PLACE, &what].concat());
    maker.device("SN-000417")
}

/// What anyone is told of a certificate by OCSP.
fn ocsp(issuer: &Cert, cert: &Cert, url: &str) -> CertStatus {
    let (name, key, serial) = (issuer.subject(), issuer.public_key(), cert.serial());
    let asked = OcspRequest::build(name, key, serial, HashKind::Sha256, None).unwrap();
    let headers = [("content-type", "application/ocsp-request")];
    let answer = Caller::plain().send("POST", url, &headers, &asked);
    let response = OcspResponse::from_der(&answer.body).unwrap();
    let verified = response.verify(issuer, serial, None, now()).unwrap();
    verified.status()
}

/// Whether a published list withdraws a certificate, and why.
fn listed(issuer: &Cert, cert: &Cert, url: &str) -> Option<Reason> {
    let list = Crl::from_der(&Caller::plain().get(url).body).unwrap();
    list.verify(issuer.public_key()).unwrap();
    list.find(cert.serial()).unwrap().map(|entry| entry.reason)
}

/// G4 and H4: a retired device keeps no valid certificate and no way back in. Leaves out: SSH keys, ACME
/// accounts and sub-identities, which no device has here; tokens, which are people's; and relying parties
/// that look neither at lists nor at OCSP, which the prober finds.
#[test]
fn g4_h4_a_retired_device_has_no_way_back_in() {
    let house = House::serve(TENURE);
    let id = "pump-1";
    let (factory, factory_key) = made(&house, id);
    let by_factory = || Caller::with_identity(&house.root(), identity(&factory, &factory_key));
    let (first_key, second_key, waiting_key) = (key(), key(), key());
    let (enroll, renew) = (house.est("simpleenroll"), house.est("simplereenroll"));
    let renewed = |cert: &Cert, own: &KeyPair, new: &KeyPair| {
        let caller = Caller::with_identity(&house.root(), identity(cert, own));
        caller.enroll(&renew, &request(new, id), None)
    };
    let first = by_factory().enroll(&enroll, &request(&first_key, ""), None);
    let first = certificate(&first);
    let second = certificate(&renewed(&first, &first_key, &second_key));
    let held = [(&first, &first_key), (&second, &second_key)];
    // One more is asked for, which a person has to decide.
    house.tell(&["device", "edit", id, "--criticality", "safety"]);
    let secret = house.tell(&["device", "secret", id]);
    let polls = || {
        let caller = Caller::new(&house.root());
        caller.enroll(&enroll, &request(&waiting_key, id), Some((id, &secret)))
    };
    assert_eq!(status(&polls()), 202);
    let waiting = house.ask(&["ask", "list"])[0]["no"].to_string();

    // One relying party asks for the status, another holds the lists.
    let place = enforce::place(&house);
    let trust = Trust::fetch(&house, &place.directory);
    let (anchors, anchor) = (trust.anchors(), &place.pki.anchor);
    let asking_port = Relying::port();
    let _asking = Relying::rustls(asking_port, &place.pki, &anchors, Checking::On);
    let listing = || Relying::listing(Relying::port(), &place.pki, &trust);
    let enters = |port: u16, (cert, key): (&Cert, &KeyPair)| {
        is_let_in(port, anchor, PeerProtocol::Tls, identity(cert, key))
    };
    let before = listing();
    for one in held {
        assert!(enters(asking_port, one) && enters(before.address.port(), one));
    }
    drop(before);

    house.tell(&["device", "retire", id, "--yes"]);

    // What it held is withdrawn, in every rendering, and opens no door.
    let issuer = Caller::plain().get(&house.public("/ca/issuing-1.cer"));
    let issuer = Cert::from_der(&issuer.body).unwrap();
    let all = house.ask(&["cert", "list", "--device", id]);
    let all = all.as_array().unwrap();
    assert_eq!(all.len(), held.len(), "{all:#?}");
    assert!(all.iter().all(|cert| cert["status"] == "revoked"));
    let gone = Reason::CessationOfOperation;
    for (cert, _) in held {
        let told = ocsp(&issuer, cert, &cert.ocsp_urls()[0]);
        let is_so = matches!(told, CertStatus::Revoked { reason, .. } if reason == gone);
        assert!(is_so, "{told:?}");
        let full = house.public("/crl/issuing-1/full.crl");
        for url in [&cert.crl_urls()[0], &full] {
            until("it is listed", || listed(&issuer, cert, url) == Some(gone));
        }
    }
    let after = listing();
    for one in held {
        assert!(!enters(asking_port, one) && !enters(after.address.port(), one));
    }

    // Nothing it could show gets it anything: not what it held, its maker's identity or its secret.
    for (cert, own) in held {
        let refused = renewed(cert, own, &key());
        assert_eq!(status(&refused), 403, "{}", text(&refused.body));
    }
    for asked in [&first_key, &key()] {
        let refused = by_factory().enroll(&enroll, &request(asked, ""), None);
        assert_eq!(status(&refused), 403, "{}", text(&refused.body));
    }
    let by_secret = Caller::new(&house.root());
    for asked in [&waiting_key, &second_key, &key()] {
        let refused = by_secret.enroll(&enroll, &request(asked, id), Some((id, &secret)));
        let code = status(&refused);
        assert!(matches!(code, 401 | 403), "{}", text(&refused.body));
    }
    // Nor does anyone who means well: not the one who was about to agree.
    assert!(matches!(status(&polls()), 401 | 403));
    assert_eq!(
        house.ask(&["ask", "list", "--state", "waiting"]),
        Value::Array(vec![])
    );
    for no_more in [
        &["ask", "approve", &waiting][..],
        &["device", "secret", id],
        &["device", "resume", id, "--yes"],
        &["device", "repair", id, "--why", "back from the workshop"],
    ] {
        let done = house.tenure(no_more);
        assert!(
            !done.status.success(),
            "{no_more:?}: {}",
            text(&done.stdout)
        );
    }
    assert_eq!(
        house
            .ask(&["cert", "list", "--device", id])
            .as_array()
            .unwrap(),
        all
    );
}
