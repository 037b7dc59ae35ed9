//! What the watch duty finds, and that it lets go of what is mended.

mod house;

use house::{House, issued, pair};
use tenure_domain::TenantId;
use tenure_domain::finding::{FindingKind, FindingState};
use tenure_engine::Observation;
use tenure_engine::store::certificate::Certificate;
use tenure_engine::store::finding;

fn open(house: &House) -> Vec<(FindingKind, String, String, i64)> {
    let found = house
        .engine
        .store()
        .glance(|tx| finding::list(tx, TenantId::DEFAULT, Some(FindingState::Open), None, 100));
    let found = found.unwrap().into_iter();
    found
        // Our own certificates are renewed by a duty that nobody started here.
        .filter(|it| it.matter.subject.name != "tenure")
        .map(|it| {
            let matter = it.matter;
            (matter.kind, matter.subject.name, matter.cause, it.times)
        })
        .collect()
}

/// To when a twentieth of a certificate's life is left.
fn grow_old(house: &House, certificate: &Certificate) {
    let end = certificate.row.validity.not_after;
    let life = end.unix() - certificate.row.issued.unix();
    house.clock.move_to(end.plus(-life / 20));
}

#[tokio::test]
async fn renewals_that_are_overdue_are_one_finding_for_all_devices_of_a_place() {
    let house = House::found().await;
    let mut current = Vec::new();
    for id in ["pump-1", "pump-2"] {
        current.push(house.enrolled(id).await);
    }
    house.engine.watch_renewals().await.unwrap();
    assert_eq!(open(&house), []);
    for times in [1, 2] {
        grow_old(&house, &current[0]);
        house.engine.watch_renewals().await.unwrap();
        house.engine.watch_renewals().await.unwrap();
        let found = (
            FindingKind::RenewalOverdue,
            "pump".to_owned(),
            "Hall 3, Hydraulics".to_owned(),
            times,
        );
        assert_eq!(open(&house), std::slice::from_ref(&found));
        for (i, before) in current.clone().into_iter().enumerate() {
            house.engine.watch_renewals().await.unwrap();
            assert_eq!(
                open(&house),
                std::slice::from_ref(&found),
                "{i} are renewed"
            );
            current[i] = issued(house.renew(&before.cert, &pair()).await);
        }
        house.engine.watch_renewals().await.unwrap();
        assert_eq!(open(&house), []);
    }
}

#[tokio::test]
async fn a_certificate_used_after_its_end_is_found_where_it_was_let_in() {
    let house = House::found().await;
    let certificate = house.enrolled("pump-1").await;
    let seen = || Observation::InUse {
        actor: house.admin.clone(),
        issuer: None,
        serial: certificate.row.serial.clone(),
        service: "broker".parse().unwrap(),
        at: house.clock.now(),
    };
    house.engine.observe(seen()).await.unwrap();
    assert_eq!(open(&house), []);
    house
        .clock
        .move_to(certificate.row.validity.not_after.plus(60));
    house.engine.observe(seen()).await.unwrap();
    let found = (
        FindingKind::ExpiredInUse,
        "broker".to_owned(),
        "reported".to_owned(),
        1,
    );
    assert!(open(&house).contains(&found), "{:?}", open(&house));
    house.pass(3_600);
    house.engine.watch_fleet().await.unwrap();
    assert!(open(&house).contains(&found), "{:?}", open(&house));
    house.pass(90_000);
    house.engine.watch_fleet().await.unwrap();
    assert!(!open(&house).contains(&found), "{:?}", open(&house));
}
