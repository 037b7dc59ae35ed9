//! What relying parties see: OCSP answers and revocation lists, before and after a withdrawal.

mod house;

use std::sync::{Arc, Mutex, mpsc};

use house::{House, issued, pair};
use tenure_domain::certificate::StatusChange;
use tenure_domain::change::{Change, Edit};
use tenure_domain::registry::Class;
use tenure_domain::{Standing, Status};
use tenure_engine::duty::publish::{List, crl_path};
use tenure_engine::store::{Options, ReadTx, StoreError};
use tenure_engine::{RevokeAsk, Target};
use tenure_x509::crl::Crl;
use tenure_x509::ocsp::{CertStatus, HashKind, OcspRequest, OcspResponse};
use tenure_x509::{Cert, Reason, Serial};

fn issuer(house: &House) -> Cert {
    house
        .engine
        .snapshot()
        .issuers
        .last()
        .unwrap()
        .certificate
        .clone()
}

fn ocsp_request(issuer: &Cert, serial: &Serial, nonce: Option<&[u8]>) -> Vec<u8> {
    let (name, key) = (issuer.subject(), issuer.public_key());
    OcspRequest::build(name, key, serial, HashKind::Sha256, nonce).unwrap()
}

async fn ask_ocsp(house: &House, serial: &Serial, nonce: Option<&[u8]>) -> CertStatus {
    let issuer = issuer(house);
    let answer = house
        .engine
        .ocsp(&ocsp_request(&issuer, serial, nonce))
        .await;
    assert_eq!(answer.keep.is_some(), nonce.is_none());
    let response = OcspResponse::from_der(&answer.der).unwrap();
    response
        .verify(&issuer, serial, nonce, house.clock.now())
        .unwrap()
        .status()
}

fn listed(house: &House, list: List, serial: &Serial) -> Option<Reason> {
    let der = std::fs::read(crl_path(house.directory.path(), "issuing-1", list)).unwrap();
    let crl = Crl::from_der(&der).unwrap();
    crl.verify(issuer(house).public_key()).unwrap();
    crl.find(serial).unwrap().map(|entry| entry.reason)
}

fn change(house: &House, serial: &Serial, change: StatusChange) -> RevokeAsk {
    let target = Target::Certificate {
        issuer: None,
        serial: serial.clone(),
    };
    RevokeAsk {
        actor: house.admin.clone(),
        target,
        change,
    }
}

#[tokio::test]
async fn a_revocation_is_answered_at_once_and_listed_at_the_next_publication() {
    let house = House::found().await;
    let made = house.enrolled("pump-17").await;
    let serial = &made.row.serial;
    assert_eq!(ask_ocsp(&house, serial, None).await, CertStatus::Good);
    let revoke = StatusChange::Revoke {
        reason: Reason::KeyCompromise,
        invalidity: None,
    };
    let done = house
        .engine
        .revoke(change(&house, serial, revoke.clone()))
        .await
        .unwrap();
    assert_eq!(
        (done.changed, done.certificates[0].status),
        (1, Status::Revoked)
    );
    assert!(matches!(
        ask_ocsp(&house, serial, None).await,
        CertStatus::Revoked {
            reason: Reason::KeyCompromise,
            ..
        }
    ));
    house.engine.publish().await.unwrap();
    for list in [List::Shard(made.row.shard), List::Full] {
        assert_eq!(listed(&house, list, serial), Some(Reason::KeyCompromise));
    }
    let again = house
        .engine
        .revoke(change(&house, serial, revoke))
        .await
        .unwrap();
    assert_eq!(again.changed, 0, "revoking twice is one revocation");
    let release = house
        .engine
        .revoke(change(&house, serial, StatusChange::Release))
        .await;
    assert!(release.is_err(), "a revocation is for good");
}

#[tokio::test]
async fn a_hold_can_be_released() {
    let house = House::found().await;
    let made = house.enrolled("pump-17").await;
    let serial = &made.row.serial;
    house
        .engine
        .revoke(change(&house, serial, StatusChange::Hold))
        .await
        .unwrap();
    assert!(matches!(
        ask_ocsp(&house, serial, Some(&[7; 32])).await,
        CertStatus::Revoked {
            reason: Reason::CertificateHold,
            ..
        }
    ));
    house.engine.publish().await.unwrap();
    let list = List::Shard(made.row.shard);
    assert_eq!(listed(&house, list, serial), Some(Reason::CertificateHold));
    house
        .engine
        .revoke(change(&house, serial, StatusChange::Release))
        .await
        .unwrap();
    assert_eq!(ask_ocsp(&house, serial, None).await, CertStatus::Good);
    house.engine.publish().await.unwrap();
    assert_eq!(listed(&house, list, serial), None);
}

#[tokio::test]
async fn a_serial_we_never_issued_is_never_good() {
    let house = House::found().await;
    let status = ask_ocsp(&house, &Serial::from_random([9; 20]), None).await;
    assert_ne!(status, CertStatus::Good);
}

/// What a change of standing does to a device's certificates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Effect {
    InForce,
    OnHold,
    Gone(Reason),
}

use Effect::{Gone, InForce, OnHold};
use Standing::{Destroyed, Enrolled, Expected, InTransfer, Quarantined, Retired, Suspended};

const ENDED: Effect = Gone(Reason::CessationOfOperation);
const PASSED_ON: Effect = Gone(Reason::AffiliationChanged);

/// Every declared edge. What was withdrawn before stays withdrawn, with its first reason.
const EFFECTS: [(Standing, Standing, Effect); 23] = [
    (Expected, Enrolled, InForce),
    (Expected, Suspended, OnHold),
    (Expected, Quarantined, OnHold),
    (Expected, InTransfer, PASSED_ON),
    (Expected, Retired, ENDED),
    (Enrolled, Suspended, OnHold),
    (Enrolled, Quarantined, OnHold),
    (Enrolled, InTransfer, PASSED_ON),
    (Enrolled, Retired, ENDED),
    (Suspended, Expected, InForce),
    (Suspended, Enrolled, InForce),
    (Suspended, Quarantined, OnHold),
    (Suspended, InTransfer, PASSED_ON),
    (Suspended, Retired, ENDED),
    (Quarantined, Expected, InForce),
    (Quarantined, Enrolled, InForce),
    (Quarantined, Suspended, OnHold),
    (Quarantined, InTransfer, PASSED_ON),
    (Quarantined, Retired, ENDED),
    (InTransfer, Expected, PASSED_ON),
    (InTransfer, Quarantined, PASSED_ON),
    (InTransfer, Retired, PASSED_ON),
    (Retired, Destroyed, ENDED),
];

/// How a device that is enrolled comes to a standing.
fn way_to(standing: Standing) -> &'static [Standing] {
    match standing {
        Enrolled => &[],
        Expected => &[Suspended, Expected],
        Suspended => &[Suspended],
        Quarantined => &[Quarantined],
        InTransfer => &[InTransfer],
        Retired => &[Retired],
        Destroyed => &[Retired, Destroyed],
    }
}

async fn effect(house: &House, serial: &Serial) -> Effect {
    match ask_ocsp(house, serial, None).await {
        CertStatus::Good => InForce,
        CertStatus::Revoked {
            reason: Reason::CertificateHold,
            ..
        } => OnHold,
        CertStatus::Revoked { reason, .. } => Gone(reason),
        other => panic!("{serial} is ours: {other:?}"),
    }
}

/// H5, over every edge that is declared, and no other is taken. Leaves out: the chain that an undecided
/// fork freezes, which is in `withdraw.rs`, and a transfer with its papers, which is not built yet.
#[tokio::test]
async fn h5_every_change_of_standing_has_its_effect_on_every_certificate() {
    let declared = Standing::ALL.iter().flat_map(|from| {
        let next = from.next().iter();
        next.map(move |to| (*from, *to))
    });
    let told = EFFECTS.iter().map(|(from, to, _)| (*from, *to));
    assert!(declared.eq(told), "the table is not that of Standing::next");

    let house = House::found().await;
    for from in Standing::ALL.iter().copied() {
        for to in Standing::ALL.iter().copied().filter(|to| *to != from) {
            let id = format!("{from}-{to}");
            let replaced = house.enrolled(&id).await;
            let by_hand = issued(house.renew(&replaced.cert, &pair()).await);
            let current = issued(house.renew(&by_hand.cert, &pair()).await);
            let hold = change(&house, &by_hand.row.serial, StatusChange::Hold);
            house.engine.revoke(hold).await.unwrap();
            let set = |to| Change::SetStanding {
                device: id.parse().unwrap(),
                to,
                why: "a test".to_owned(),
            };
            for step in way_to(from) {
                house.change(set(*step)).await.unwrap();
            }
            let serials = [&replaced, &by_hand, &current].map(|made| &made.row.serial);
            let mut before = Vec::new();
            for serial in serials {
                before.push(effect(&house, serial).await);
            }

            let edge = EFFECTS.iter().find(|edge| (edge.0, edge.1) == (from, to));
            let done = house.change(set(to)).await;
            let Some((_, _, wanted)) = edge else {
                assert!(done.is_err(), "{id}: {done:?}");
                for (serial, before) in serials.into_iter().zip(before) {
                    assert_eq!(effect(&house, serial).await, before, "{id}");
                }
                continue;
            };
            done.unwrap();
            assert_eq!(effect(&house, serials[0]).await, *wanted, "{id}");
            assert_eq!(effect(&house, serials[2]).await, *wanted, "{id}");
            // What a hand put on hold is given back by a hand alone.
            let kept = match wanted {
                InForce | OnHold => OnHold,
                Gone(_) => *wanted,
            };
            assert_eq!(effect(&house, serials[1]).await, kept, "{id}");
            let renewed = house.renew(&current.cert, &pair()).await;
            assert_eq!(renewed.is_ok(), *wanted == InForce, "{id}: {renewed:?}");
        }
    }
}

#[tokio::test]
async fn g2_a_number_is_never_used_twice_even_if_the_clock_stands_still() {
    let house = House::found().await;
    let mut last = 0;
    for n in 0..3 {
        let made = house.enrolled(&format!("pump-{n}")).await;
        let revoke = StatusChange::Revoke {
            reason: Reason::Unspecified,
            invalidity: None,
        };
        house
            .engine
            .revoke(change(&house, &made.row.serial, revoke))
            .await
            .unwrap();
        house.engine.publish().await.unwrap();
        let der = std::fs::read(crl_path(house.directory.path(), "issuing-1", List::Full)).unwrap();
        let number = Crl::from_der(&der).unwrap().number().unwrap();
        assert!(number > last, "number {number} after {last}");
        last = number;
    }
}

#[tokio::test]
async fn g2_a_withdrawal_in_the_second_of_the_last_list_is_in_the_next_one() {
    let house = House::found().await;
    let made = house.enrolled("pump-17").await;
    // The lists are renewed and bear this second as their number; so does the epoch of the change.
    house.pass(7 * 3600);
    assert!(house.engine.publish().await.unwrap() > 0);
    let revoke = StatusChange::Revoke {
        reason: Reason::Superseded,
        invalidity: None,
    };
    let ask = change(&house, &made.row.serial, revoke);
    house.engine.revoke(ask).await.unwrap();
    // The shard's list, the list over all, and the filter.
    assert_eq!(house.engine.publish().await.unwrap(), 3);
    for list in [List::Shard(made.row.shard), List::Full] {
        let found = listed(&house, list, &made.row.serial);
        assert_eq!(found, Some(Reason::Superseded), "{list:?}");
    }
    assert_eq!(house.engine.publish().await.unwrap(), 0);
}

#[tokio::test]
async fn no_status_is_signed_while_the_clock_is_behind_the_record() {
    let house = House::found().await;
    let made = house.enrolled("pump-17").await;
    let serial = &made.row.serial;
    house.engine.publish().await.unwrap();
    let revoke = StatusChange::Revoke {
        reason: Reason::Superseded,
        invalidity: None,
    };
    let ask = change(&house, serial, revoke);
    house.engine.revoke(ask).await.unwrap();
    house.pass(-7200);
    // A list made now would end before the one that is out.
    let refused = house.engine.publish().await.unwrap_err();
    assert!(refused.to_string().contains("behind"), "{refused}");
    assert_eq!(listed(&house, List::Full, serial), None);
    let request = ocsp_request(&issuer(&house), serial, None);
    // OCSPResponseStatus tryLater (RFC 6960, section 4.2.1).
    assert_eq!(
        house.engine.ocsp(&request).await.der[..],
        [0x30, 3, 0x0a, 1, 3]
    );
    house.pass(7200);
    house.engine.publish().await.unwrap();
    let found = listed(&house, List::Full, serial);
    assert_eq!(found, Some(Reason::Superseded));
}

/// What keeps answers at hand is told as soon as a change is recorded, whatever comes of the rest.
#[tokio::test]
async fn a_change_counts_before_it_is_read_anew() {
    let house = House::found().await;
    // Every reading thread is taken, so nothing is read anew.
    let (release, held) = mpsc::channel::<()>();
    let held = Arc::new(Mutex::new(held));
    for _ in 0..Options::default().readers {
        let (store, held) = (house.engine.store().clone(), Arc::clone(&held));
        tokio::spawn(async move {
            let wait = move |_: &ReadTx<'_>| Ok::<_, StoreError>(held.lock().unwrap().recv());
            store.read(wait).await
        });
    }
    tokio::task::yield_now().await;
    let mut told = house.engine.trust_changes();
    told.mark_unchanged();
    let class = Class::new("valve".parse().unwrap(), "device".parse().unwrap());
    let mut change = std::pin::pin!(house.change(Change::PutClass(Edit::new(class))));
    tokio::select! {
        rung = told.changed() => rung.unwrap(),
        _ = &mut change => panic!("it was read anew"),
    }
    drop(release);
    change.await.unwrap();
}
