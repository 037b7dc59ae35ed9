//! Keeping an identity: what is on disk, what is sent, and what a failure leaves behind.

mod pki;
mod rude;

use std::path::Path;

use pki::{Ca, days};
use rude::plant::{Plant, certs, issue};
use rude::{Heard, Said};
use tenure_field::device::{Error, Keeper, Place, Progress, Proof};
use tenure_field::est;
use tenure_wire::est::{Credentials, CsrAttrs, WantedKey, parse_enroll};
use tenure_x509::{Cert, Csr, KeyKind};

fn keeper(plant: &Plant, dir: &Path) -> Keeper {
    let place = Place {
        url: plant.server.url.server(),
        label: None,
        device: "pump-7".to_owned(),
    };
    Keeper::create(dir, place, &plant.root.cert.pem()).unwrap()
}

fn secret() -> Proof {
    Proof::Secret(Credentials::new("pump-7", "one time").unwrap())
}

async fn enroll(keeper: &Keeper) -> Cert {
    issued(keeper.enroll_once(&secret(), KeyKind::P256).await.unwrap())
}

fn issued(progress: Progress) -> Cert {
    match progress {
        Progress::Issued(cert) => *cert,
        Progress::Pending { .. } => panic!("pending"),
    }
}

fn csr(heard: &Heard) -> Csr {
    Csr::from_der(&parse_enroll(&heard.body, Some(&heard.media_type)).unwrap()).unwrap()
}

#[tokio::test]
async fn an_identity_is_enrolled_and_renewed() {
    let (plant, dir) = (Plant::start().await, tempfile::tempdir().unwrap());
    let first = {
        let keeper = keeper(&plant, dir.path());
        assert!(keeper.identity().await.unwrap().is_none());
        enroll(&keeper).await
    };

    // All that is needed to renew is in the directory.
    let keeper = Keeper::open(dir.path()).unwrap();
    let identity = keeper.identity().await.unwrap().unwrap();
    assert_eq!(identity.chain, [first.der(), plant.issuing.cert.der()]);
    let second = issued(keeper.renew_once(KeyKind::P384).await.unwrap());
    assert_ne!(second.public_key().hash(), first.public_key().hash());
    assert_eq!(
        keeper.certificate().await.unwrap().unwrap().der(),
        second.der()
    );

    let asked = plant.asked();
    assert_eq!(asked[0].path, "/.well-known/est/simpleenroll");
    assert_eq!(
        csr(&asked[0]).subject().common_name().as_deref(),
        Some("pump-7")
    );
    assert_eq!(asked[1].path, "/.well-known/est/simplereenroll");
    assert_eq!(asked[1].client.as_deref(), Some(first.der()));
    assert_eq!(csr(&asked[1]).subject(), first.subject());

    let status = keeper.status().await.unwrap();
    let current = status.current.unwrap();
    assert_eq!(current.serial, second.serial().to_string());
    assert!(!current.expired && current.renew_at.is_some() && status.next.is_none());
}

#[tokio::test]
async fn an_idevid_enrolls_too() {
    let (plant, dir) = (Plant::start().await, tempfile::tempdir().unwrap());
    let idevid = plant.issuing.device("maker 0815", days(1000));
    let proof = Proof::Certificate(idevid.clone());
    issued(
        keeper(&plant, dir.path())
            .enroll_once(&proof, KeyKind::P256)
            .await
            .unwrap(),
    );
    let asked = plant.asked();
    assert_eq!(
        (asked[0].client.as_ref(), &asked[0].authorization),
        (Some(&idevid.chain[0]), &None)
    );
}

#[tokio::test]
async fn polling_repeats_the_identical_request_even_after_a_restart() {
    let (plant, dir) = (Plant::start().await, tempfile::tempdir().unwrap());
    plant.say(Said::new(202, "").with("retry-after", "9"));
    plant.say(Said::new(202, "").with("retry-after", "9"));
    for _ in 0..2 {
        let keeper = keeper(&plant, dir.path());
        let progress = keeper.enroll_once(&secret(), KeyKind::P256).await.unwrap();
        assert!(matches!(progress, Progress::Pending { retry_after_s: 9 }));
        let status = keeper.status().await.unwrap();
        assert!(status.current.is_none() && status.next.unwrap().retry_at.is_some());
    }
    enroll(&keeper(&plant, dir.path())).await;
    let bodies: Vec<_> = plant.asked().into_iter().map(|heard| heard.body).collect();
    assert_eq!(bodies.len(), 3);
    assert!(bodies.iter().all(|body| *body == bodies[0]));
}

#[tokio::test]
async fn a_lost_answer_is_asked_for_again_with_the_same_key() {
    let (plant, dir) = (Plant::start().await, tempfile::tempdir().unwrap());
    enroll(&keeper(&plant, dir.path())).await;
    plant.say(Said::new(500, "the answer was lost"));
    let before = {
        let keeper = Keeper::open(dir.path()).unwrap();
        let before = keeper.certificate().await.unwrap().unwrap();
        let error = keeper.renew_once(KeyKind::P256).await.unwrap_err();
        assert!(
            matches!(error, Error::Est(est::Error::Refused { .. })),
            "{error:?}"
        );
        before
    };
    let keeper = Keeper::open(dir.path()).unwrap();
    assert_eq!(
        keeper.certificate().await.unwrap().unwrap().der(),
        before.der()
    );
    let after = issued(keeper.renew_once(KeyKind::P256).await.unwrap());
    let asked = plant.asked();
    assert_eq!(asked[1].body, asked[2].body);
    assert_eq!(
        csr(&asked[1]).public_key().hash(),
        after.public_key().hash()
    );
}

#[tokio::test]
async fn a_key_the_server_rejects_is_replaced() {
    let (plant, dir) = (Plant::start().await, tempfile::tempdir().unwrap());
    let keeper = keeper(&plant, dir.path());
    enroll(&keeper).await;
    plant.say(Said::new(400, "this kind of key is no longer accepted"));
    keeper.renew_once(KeyKind::P256).await.unwrap_err();
    assert!(keeper.status().await.unwrap().next.is_none());
    issued(keeper.renew_once(KeyKind::P384).await.unwrap());
    let asked = plant.asked();
    assert_ne!(
        csr(&asked[1]).public_key().hash(),
        csr(&asked[2]).public_key().hash()
    );
}

#[tokio::test]
async fn a_certificate_of_a_strange_ca_is_not_put_in_use() {
    let (plant, dir) = (Plant::start().await, tempfile::tempdir().unwrap());
    let keeper = keeper(&plant, dir.path());
    let first = enroll(&keeper).await;

    // Begin a renewal, so that the key is known, then have a stranger certify it.
    plant.say(Said::new(500, ""));
    keeper.renew_once(KeyKind::P256).await.unwrap_err();
    let stranger = Ca::root("root").issuing("issuing");
    plant.say(certs(&[
        &issue(&stranger, &plant.asked()[1], days(30)),
        &stranger.cert,
    ]));
    let error = keeper.renew_once(KeyKind::P256).await.unwrap_err();
    assert!(matches!(error, Error::Path(_)), "{error:?}");
    assert_eq!(
        keeper.certificate().await.unwrap().unwrap().der(),
        first.der()
    );

    assert_ne!(
        issued(keeper.renew_once(KeyKind::P256).await.unwrap()).der(),
        first.der()
    );
}

#[tokio::test]
async fn a_renewal_after_a_broken_first_enrollment_keeps_the_key_and_takes_the_right_names() {
    let (plant, dir) = (Plant::start().await, tempfile::tempdir().unwrap());
    let keeper = keeper(&plant, dir.path());
    let first = enroll(&keeper).await;
    plant.say(Said::new(503, "").with("retry-after", "5"));
    let error = keeper
        .enroll_once(&secret(), KeyKind::P256)
        .await
        .unwrap_err();
    assert_eq!(error.retry_after().as_secs(), 5);
    keeper.renew_once(KeyKind::P256).await.unwrap();
    let asked = plant.asked();
    let (broken, renewed) = (csr(&asked[1]), csr(&asked[2]));
    assert_eq!(broken.public_key().hash(), renewed.public_key().hash());
    assert_eq!(renewed.subject(), first.subject());
}

#[tokio::test]
async fn renewals_at_the_same_time_take_turns() {
    let (plant, dir) = (Plant::start().await, tempfile::tempdir().unwrap());
    let keeper = keeper(&plant, dir.path());
    enroll(&keeper).await;
    let (a, b) = tokio::join!(
        keeper.renew_once(KeyKind::P256),
        keeper.renew_once(KeyKind::P256)
    );
    let serials = [
        issued(a.unwrap()).serial().clone(),
        issued(b.unwrap()).serial().clone(),
    ];
    assert_ne!(serials[0], serials[1]);
    assert!(serials.contains(keeper.certificate().await.unwrap().unwrap().serial()));
    let asked = plant.asked();
    assert_ne!(
        asked[1].client, asked[2].client,
        "the second renews the first one's successor"
    );
}

#[tokio::test]
async fn the_server_may_wish_for_a_kind_of_key() {
    let (plant, dir) = (Plant::start().await, tempfile::tempdir().unwrap());
    let keeper = keeper(&plant, dir.path());
    assert_eq!(keeper.wished_key().await.unwrap(), KeyKind::P256, "no wish");
    for (wish, kind) in [
        (WantedKey::P384, KeyKind::P384),
        (WantedKey::Ed25519, KeyKind::Ed25519),
        (WantedKey::Rsa(3072), KeyKind::Rsa3072),
        (WantedKey::P521, KeyKind::P256),
    ] {
        *plant.wish.lock().unwrap() = CsrAttrs::for_key(wish);
        assert_eq!(keeper.wished_key().await.unwrap(), kind);
    }
}

#[tokio::test]
async fn what_cannot_work_says_so() {
    let (plant, dir) = (Plant::start().await, tempfile::tempdir().unwrap());
    assert!(matches!(Keeper::open(dir.path()), Err(Error::NotEnrolled)));
    let fresh = keeper(&plant, dir.path());
    assert!(matches!(
        fresh.renew_once(KeyKind::P256).await,
        Err(Error::NotEnrolled)
    ));
    enroll(&fresh).await;
    assert!(
        matches!(Keeper::open(dir.path()), Err(Error::Directory(_))),
        "one at a time"
    );
    drop(fresh);

    std::fs::copy(
        dir.path().join("anchors.pem"),
        dir.path().join("current/chain.pem"),
    )
    .unwrap();
    let keeper = Keeper::open(dir.path()).unwrap();
    assert!(matches!(keeper.status().await, Err(Error::Damaged { .. })));

    let place = |url: &str, label: Option<&str>| Place {
        url: url.to_owned(),
        label: label.map(str::to_owned),
        device: "pump-7".to_owned(),
    };
    let elsewhere = dir.path().join("elsewhere");
    let anchors = plant.root.cert.pem();
    for (place, anchors) in [
        (place("ca.example", None), anchors.as_str()),
        (place("https://ca.example", Some("a/b")), anchors.as_str()),
        (place("https://ca.example", None), "no anchor"),
    ] {
        assert!(Keeper::create(&elsewhere, place, anchors).is_err());
        assert!(!elsewhere.join("device.json").exists());
    }
}
