//! The device's own keeper against the real server: what it gets, loses and gets back.

use std::future::Future;
use std::path::Path;
use std::time::Duration;

use tenure_field::device::{Error, Keeper, Place, Progress, Proof};
use tenure_field::est::{self, Answer, Est, Request};
use tenure_field::http::{Client, Identity, Settings, Trust, Url};
use tenure_field::revocation::{Checker, Freshness, Source, Verdict};
use tenure_field::slots::Slots;
use tenure_tests::{House, revoke, until};
use tenure_wire::est::Credentials;
use tenure_x509::path::{self, Purpose, VerifiedChain};
use tenure_x509::{Cert, Csr, KeyKind, KeyPair, Reason, Time, pem_certificates};

use super::TENURE;

fn now<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(work)
}

fn keeper(house: &House, id: &str) -> Keeper {
    let place = Place {
        url: server(house),
        label: None,
        device: id.to_owned(),
    };
    let anchors = std::fs::read_to_string(house.root()).unwrap();
    Keeper::create(&house.directory().join(id), place, &anchors).unwrap()
}

fn server(house: &House) -> String {
    format!("https://127.0.0.1:{}", house.ports().device)
}

fn issued(progress: Result<Progress, Error>) -> Cert {
    match progress.unwrap() {
        Progress::Issued(cert) => *cert,
        Progress::Pending { .. } => panic!("pending"),
    }
}

fn enrolled(house: &House, id: &str) -> (Keeper, Cert) {
    let secret = house.device(id);
    let proof = Proof::Secret(Credentials::new(id, &secret).unwrap());
    let keeper = keeper(house, id);
    let cert = issued(now(keeper.enroll_once(&proof, KeyKind::P256)));
    (keeper, cert)
}

fn certificates(house: &House, id: &str) -> Vec<serde_json::Value> {
    house
        .ask(&["cert", "list", "--device", id])
        .as_array()
        .unwrap()
        .clone()
}

fn was_refused<T: std::fmt::Debug>(outcome: Result<T, Error>, status: u16) {
    match outcome {
        Err(Error::Est(est::Error::Refused { status: got, .. })) => {
            assert_eq!(got.as_u16(), status)
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_device_keeps_its_identity_through_renewals() {
    let house = House::serve(TENURE);
    let (keeper, first) = enrolled(&house, "pump-1");
    let second = issued(now(keeper.renew_once(KeyKind::P256)));
    let third = issued(now(keeper.renew_once(KeyKind::P384)));
    assert_eq!(first.subject(), third.subject());
    assert_eq!(first.san(), third.san());
    let known = certificates(&house, "pump-1");
    let predecessor = |cert: &Cert| {
        let serial = cert.serial().to_string();
        known.iter().find(|row| row["serial"] == serial).unwrap()["predecessor"].clone()
    };
    assert_eq!(predecessor(&third), second.serial().to_string());
    assert_eq!(predecessor(&second), first.serial().to_string());
    assert!(predecessor(&first).is_null());
}

/// Operations 4.7: the server issued, the answer was lost, and the device asks again.
#[test]
fn a_lost_answer_is_given_again() {
    let house = House::serve(TENURE);
    let (keeper, first) = enrolled(&house, "pump-1");
    let identity = now(keeper.identity()).unwrap().unwrap();
    let root = keeper.root().to_owned();
    drop(keeper);

    let key = KeyPair::generate(KeyKind::P256).unwrap();
    let request = Csr::build(&key, first.subject(), first.san()).unwrap();
    Slots::open(&root).unwrap().begin(key, &request).unwrap();
    let lost = now(async {
        let est = est(&house, Some(identity));
        est.reenroll(&Request::from_der(&request).unwrap())
            .await
            .unwrap()
    });
    let Answer::Issued {
        certificate: lost, ..
    } = lost
    else {
        panic!("pending")
    };

    let again = issued(now(Keeper::open(&root).unwrap().renew_once(KeyKind::P256)));
    assert_eq!(again.der(), lost.der());
    assert_eq!(certificates(&house, "pump-1").len(), 2);
}

fn est(house: &House, identity: Option<Identity>) -> Est {
    let trust = Trust::from_pem(&std::fs::read_to_string(house.root()).unwrap()).unwrap();
    let settings = Settings {
        identity,
        ..Settings::new(Some(trust))
    };
    Est::new(
        Client::new(settings).unwrap(),
        Url::parse(&server(house)).unwrap(),
        None,
    )
}

#[test]
fn a_retired_device_gets_nothing_more() {
    let house = House::serve(TENURE);
    let (keeper, _) = enrolled(&house, "pump-1");
    house.tell(&["device", "retire", "pump-1", "--yes"]);
    was_refused(now(keeper.renew_once(KeyKind::P256)), 403);
}

/// A relying party asks the addresses in the certificate, and nothing else.
#[test]
fn a_service_learns_of_a_revocation_by_ocsp_and_by_crl() {
    let house = House::serve(TENURE);
    let (_keeper, cert) = enrolled(&house, "pump-1");
    let chain = chain(&house, &cert);
    let checker = Checker::new(Freshness::Made, Duration::ZERO).unwrap();
    let by_ocsp = || now(checker.check(&chain)).unwrap();
    let by_crl = || now(checker.crl(chain.leaf(), chain.issuer())).unwrap();
    assert_eq!(
        (by_ocsp().verdict(), by_ocsp().source()),
        (Verdict::Good, Source::Ocsp)
    );
    assert_eq!(by_crl().verdict(), Verdict::Good);

    let serial = cert.serial().to_string();
    house.tell(&revoke(&serial));
    let is_revoked = |verdict| {
        matches!(
            verdict,
            Verdict::Revoked {
                reason: Reason::KeyCompromise,
                ..
            }
        )
    };
    assert!(is_revoked(by_ocsp().verdict()), "OCSP never lags");
    until("the list says so too", || is_revoked(by_crl().verdict()));
}

fn chain(house: &House, cert: &Cert) -> VerifiedChain {
    let anchors = pem_certificates(&std::fs::read_to_string(house.root()).unwrap()).unwrap();
    let others = now(est(house, None).ca_certs()).unwrap();
    let since = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    let at = Time::from_unix(since.as_secs().try_into().unwrap());
    path::validate(cert, &others, &anchors, at, Purpose::ClientAuth).unwrap()
}

/// A copied directory: whoever renews second is found out (operations 4.7).
#[test]
fn a_copied_identity_is_found_out() {
    let house = House::serve(TENURE);
    let (keeper, _) = enrolled(&house, "pump-1");
    let copy = house.directory().join("copy");
    copy_directory(keeper.root(), &copy);
    let renewed = issued(now(keeper.renew_once(KeyKind::P256)));
    house.report(&renewed.serial().to_string(), "telemetry");
    let thief = Keeper::open(&copy).unwrap();
    assert!(now(thief.renew_once(KeyKind::P256)).is_err());
    was_refused(now(keeper.renew_once(KeyKind::P256)), 403);
    let incidents = house.ask(&["incident", "list"]);
    assert_eq!(incidents.as_array().unwrap().len(), 1, "{incidents}");
}

fn copy_directory(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            copy_directory(&source, &target);
        } else if kind.is_symlink() {
            std::os::unix::fs::symlink(std::fs::read_link(&source).unwrap(), &target).unwrap();
        } else {
            std::fs::copy(&source, &target).unwrap();
        }
    }
}
