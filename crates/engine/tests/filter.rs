//! The third rendering: a compact filter and its deltas, as a relying party reads them, beside the
//! lists and the record.

mod house;

use std::fs;
use std::path::PathBuf;

use house::House;
use tenure_domain::certificate::StatusChange;
use tenure_domain::change::Change;
use tenure_domain::finding::{FindingKind, FindingState};
use tenure_engine::duty::publish::{
    FULL_EVERY_S, FilterPart, LAG_MAX_S, List, Rendering, crl_path, delta_path, filter_path,
};
use tenure_engine::store::finding;
use tenure_engine::{RevokeAsk, Target};
use tenure_x509::crl::Crl;
use tenure_x509::filter::{Answer, Delta, Full, Held};
use tenure_x509::{Cert, Reason, Serial, oid};

const DAY: i64 = 86_400;
const ISSUER: &str = "issuing-1";

fn issuer(house: &House) -> Cert {
    let snapshot = house.engine.snapshot();
    let issuer = snapshot.issuers.iter().find(|i| i.name.as_str() == ISSUER);
    issuer.unwrap().certificate.clone()
}

fn path(house: &House, part: FilterPart) -> PathBuf {
    filter_path(house.directory.path(), ISSUER, part)
}

/// The published filter with its delta, if there is one, as a relying party would hold it.
fn held(house: &House) -> Held {
    let full = Full::from_der(&fs::read(path(house, FilterPart::Full)).unwrap()).unwrap();
    let part = FilterPart::Delta(full.sequence());
    let held = full.verify(issuer(house).public_key()).unwrap();
    match fs::read(path(house, part)) {
        Ok(delta) => held.with_delta(Delta::from_der(&delta).unwrap()).unwrap(),
        Err(_) => held,
    }
}

fn ask(house: &House, cert: &Cert) -> Answer {
    held(house)
        .current(house.clock.now(), None)
        .unwrap()
        .ask(cert)
}

async fn change(house: &House, serial: &Serial, change: StatusChange) {
    let target = Target::Certificate {
        issuer: None,
        serial: serial.clone(),
    };
    let ask = RevokeAsk {
        actor: house.admin.clone(),
        target,
        change,
    };
    house.engine.revoke(ask).await.unwrap();
}

fn revoke() -> StatusChange {
    StatusChange::Revoke {
        reason: Reason::KeyCompromise,
        invalidity: None,
    }
}

/// Devices with certificates two days old, and a full filter that covers them.
async fn fleet(house: &House, names: &[&str]) -> Vec<Cert> {
    let mut certs = Vec::new();
    for name in names {
        certs.push(house.enrolled(name).await.cert.clone());
    }
    house.pass(2 * DAY);
    house.device("later").await; // time passes in the record by what is recorded
    house.engine.publish().await.unwrap();
    certs
}

#[tokio::test]
async fn filter_lists_and_record_agree_at_each_epoch() {
    let house = House::found().await;
    let certs = fleet(&house, &["pump-1", "pump-2", "pump-3", "pump-4"]).await;
    let full = held(&house).full();
    for cert in &certs {
        assert_eq!(ask(&house, cert), Answer::Good);
    }
    let young = house.enrolled("pump-9").await;
    house.engine.publish().await.unwrap();
    assert_eq!(ask(&house, &young.cert), Answer::NotCovered);

    change(&house, certs[0].serial(), revoke()).await;
    change(&house, certs[1].serial(), StatusChange::Hold).await;
    change(&house, young.cert.serial(), revoke()).await;
    house.engine.publish().await.unwrap();
    let now = held(&house);
    assert_eq!(now.full(), full, "a delta is enough");
    assert!(now.accepted().sequence > full.sequence);
    let wanted = [Answer::Revoked, Answer::Revoked, Answer::Good, Answer::Good];
    for (cert, wanted) in certs.iter().zip(wanted) {
        assert_eq!(ask(&house, cert), wanted);
        let list = fs::read(crl_path(house.directory.path(), ISSUER, List::Full)).unwrap();
        let listed = Crl::from_der(&list).unwrap().find(cert.serial()).unwrap();
        assert_eq!(listed.is_some(), wanted == Answer::Revoked);
    }
    assert_eq!(
        ask(&house, &young.cert),
        Answer::NotCovered,
        "never a wrong good"
    );

    // Given back, in a delta and in the next full filter.
    change(&house, certs[1].serial(), StatusChange::Release).await;
    house.engine.publish().await.unwrap();
    assert_eq!(ask(&house, &certs[1]), Answer::Good);
    house.pass(FULL_EVERY_S);
    house.engine.publish().await.unwrap();
    let next = held(&house);
    assert_ne!(next.full(), full);
    assert!(next.full().sequence > now.accepted().sequence);
    assert!(!path(&house, FilterPart::Delta(full.sequence)).exists());
    for (cert, wanted) in certs.iter().zip([Answer::Revoked, Answer::Good]) {
        assert_eq!(ask(&house, cert), wanted);
    }
    assert_eq!(house.engine.publish().await.unwrap(), 0, "all is published");
}

/// Whatever is issued at the edge of what is covered is covered and right, or not covered.
#[tokio::test]
async fn a_certificate_is_covered_only_once_it_is_in_a_filter() {
    let house = House::found().await;
    let mut made = Vec::new();
    for n in 0..24 {
        house.pass(FULL_EVERY_S / 5);
        let cert = house.enrolled(&format!("pump-{n}")).await.cert.clone();
        if n % 3 == 0 {
            change(&house, cert.serial(), revoke()).await;
        }
        made.push((cert, n % 3 == 0));
        house.engine.publish().await.unwrap();
        for (cert, is_revoked) in &made {
            let answer = ask(&house, cert);
            let right = match is_revoked {
                true => Answer::Revoked,
                false => Answer::Good,
            };
            assert!(
                answer == right || answer == Answer::NotCovered,
                "{answer:?}"
            );
        }
    }
    assert_eq!(ask(&house, &made[0].0), Answer::Revoked, "in the end");
    assert_eq!(ask(&house, &made[1].0), Answer::Good, "in the end");
}

#[tokio::test]
async fn numbers_only_grow_whatever_is_lost() {
    let house = House::found().await;
    let certs = fleet(&house, &["pump-1"]).await;
    let before = held(&house).accepted();
    // A filter that somebody changed is as good as none, and what is made anew is newer.
    let full = path(&house, FilterPart::Full);
    let mut der = fs::read(&full).unwrap();
    *der.last_mut().unwrap() ^= 1;
    fs::write(&full, &der).unwrap();
    change(&house, certs[0].serial(), revoke()).await;
    house.pass(FULL_EVERY_S);
    house.engine.publish().await.unwrap();
    let after = held(&house).accepted();
    assert!(after.sequence > before.sequence);
    assert_eq!(ask(&house, &certs[0]), Answer::Revoked);
}

/// A rendering that cannot be written is a finding within its bound, and no other suffers.
#[tokio::test]
async fn a_rendering_that_lags_is_a_finding_until_it_does_not() {
    let house = House::found().await;
    let certs = fleet(&house, &["pump-1"]).await;
    let lag = |rendering| {
        let lags = house.engine.publication_lag().unwrap();
        let of = lags
            .into_iter()
            .find(|lag| lag.issuer.as_str() == ISSUER && lag.rendering == rendering);
        of.unwrap().seconds
    };
    let open = || {
        let tenant = house.engine.tenant();
        let all = house
            .engine
            .store()
            .glance(|tx| finding::list(tx, tenant, Some(FindingState::Open), None, 10))
            .unwrap();
        let all = all.into_iter();
        all.filter(|one| one.matter.kind == FindingKind::PublicationLag)
            .map(|one| one.matter.cause)
            .collect::<Vec<_>>()
    };
    house.engine.watch_publication().await.unwrap();
    assert_eq!(open(), Vec::<String>::new());

    let full = held(&house).full();
    let mut blocked = path(&house, FilterPart::Delta(full.sequence)).into_os_string();
    blocked.push(".new");
    fs::create_dir(&blocked).unwrap();
    change(&house, certs[0].serial(), revoke()).await;
    assert!(house.engine.publish().await.is_err());
    let list = fs::read(crl_path(house.directory.path(), ISSUER, List::Full)).unwrap();
    let listed = Crl::from_der(&list).unwrap().find(certs[0].serial());
    assert!(listed.unwrap().is_some(), "the lists are out");
    house.engine.watch_publication().await.unwrap();
    house.pass(LAG_MAX_S + 1);
    house.engine.watch_publication().await.unwrap();
    assert_eq!(lag(Rendering::Filter), LAG_MAX_S + 1);
    assert_eq!((lag(Rendering::Crl), lag(Rendering::Ocsp)), (0, 0));
    assert_eq!(open(), ["filter"]);

    fs::remove_dir(&blocked).unwrap();
    house.engine.publish().await.unwrap();
    house.engine.watch_publication().await.unwrap();
    assert_eq!(lag(Rendering::Filter), 0);
    assert_eq!(open(), Vec::<String>::new());
    assert_eq!(ask(&house, &certs[0]), Answer::Revoked);
}

/// While revocations go on nothing published is ever as new as the record, and nothing lags.
#[tokio::test]
async fn what_is_never_as_new_as_the_record_and_goes_on_does_not_lag() {
    let house = House::found().await;
    let certs = fleet(&house, &["pump-1", "pump-2", "pump-3", "pump-4"]).await;
    let lag = || {
        let lags = house.engine.publication_lag().unwrap();
        lags.iter().map(|lag| lag.seconds).max().unwrap()
    };
    for cert in &certs {
        change(&house, cert.serial(), revoke()).await;
        assert_eq!(lag(), 0);
        house.pass(LAG_MAX_S);
        house.engine.publish().await.unwrap();
    }
}

/// B4: too short-lived to be withdrawn, as the certificate says (RFC 9608); withdrawn all the same,
/// it is let in nowhere that asks us.
#[tokio::test]
async fn b4_a_short_lived_certificate_points_nowhere_and_can_still_be_withdrawn() {
    let house = House::found().await;
    let document = tenure_domain::policy::document::DEFAULT_DOCUMENT
        .replace("life = \"90d\"", "life = \"6d\"")
        .replace(
            "revocation = [\"crl\", \"ocsp\"]",
            "revocation = [\"none-short-lived\"]",
        );
    house
        .change(Change::ApplyPolicy { document })
        .await
        .unwrap();
    let made = house.enrolled("pump-1").await;
    assert!(made.cert.extension(&oid::NO_REV_AVAIL).is_some());
    assert!(made.cert.crl_urls().is_empty() && made.cert.ocsp_urls().is_empty());

    change(&house, made.cert.serial(), revoke()).await;
    house.engine.publish().await.unwrap();
    for list in [List::Shard(made.row.shard), List::Full] {
        let list = fs::read(crl_path(house.directory.path(), ISSUER, list)).unwrap();
        let found = Crl::from_der(&list).unwrap().find(made.cert.serial());
        assert!(found.unwrap().is_some());
    }
    assert_eq!(
        house::refusal(house.renew(&made.cert, &house::pair()).await),
        tenure_domain::Refusal::BadCredential
    );
    house.pass(2 * DAY);
    house.device("later").await;
    house.engine.publish().await.unwrap();
    assert_eq!(ask(&house, &made.cert), Answer::Revoked);
}

/// For gateways: what has changed in a shard since a list they hold, at a path that nothing names.
#[tokio::test]
async fn a_delta_list_and_its_complete_list_say_the_same() {
    let house = House::found().await;
    let held = house.enrolled("pump-1").await;
    let shard = held.row.shard;
    let directory = house.directory.path();
    let read = |path: PathBuf| Crl::from_der(&fs::read(path).unwrap()).unwrap();
    let complete = || read(crl_path(directory, ISSUER, List::Shard(shard)));
    let delta = || read(delta_path(directory, ISSUER, shard));
    let reason = |crl: &Crl| crl.find(held.cert.serial()).unwrap().map(|e| e.reason);
    let base = complete();
    assert!(!delta_path(directory, ISSUER, shard).exists());
    house.pass(2 * 3600);
    change(&house, held.cert.serial(), StatusChange::Hold).await;
    house.engine.publish().await.unwrap();
    assert_eq!(reason(&delta()), Some(Reason::CertificateHold));

    house.pass(2 * 3600);
    change(&house, held.cert.serial(), StatusChange::Release).await;
    house.engine.publish().await.unwrap();
    let (newer, change_list) = (complete(), delta());
    change_list.verify(issuer(&house).public_key()).unwrap();
    assert_eq!(change_list.delta_to(), base.number());
    assert!(
        change_list.unusual().is_some(),
        "nobody takes it for complete"
    );
    assert_eq!(change_list.number(), newer.number());
    assert_eq!(change_list.scope(), newer.scope());
    assert_eq!(reason(&newer), None);
    assert_eq!(reason(&change_list), Some(Reason::RemoveFromCrl));

    change(&house, held.cert.serial(), revoke()).await;
    house.engine.publish().await.unwrap();
    assert_eq!(delta().delta_to(), base.number(), "the same base");
    assert_eq!(reason(&delta()), Some(Reason::KeyCompromise));
    // After a day deltas are made to a newer list.
    house.pass(DAY + 60);
    house.engine.publish().await.unwrap();
    assert!(!delta_path(directory, ISSUER, shard).exists());
}
