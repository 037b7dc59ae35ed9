//! The life of a certificate, told through the store.

use tenure_domain::certificate::{Revocation, Standstill, Status};
use tenure_domain::device::Standing;
use tenure_domain::{CertificateNo, EventSeq};
use tenure_store::certificate::{self, Completed, ReserveError};
use tenure_store::revocation::{self, CertState};
use tenure_store::{StoreError, device, event, withdrawal};
use tenure_x509::{KeyKind, KeyPair, Reason};

use crate::fixture::{House, actor, at, op, runtime, title};

#[test]
fn an_expected_device_gets_its_first_certificate_and_is_enrolled() {
    let directory = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let house = House::new(directory.path()).await;
        house.device("pump-1").await;
        let issued = house.enroll("pump-1", at(10)).await;
        let device = house.find("pump-1");
        assert_eq!(device.standing, Standing::Enrolled);
        assert_eq!(issued.row.status, Status::Issued);
        house
            .store
            .glance::<_, StoreError>(|tx| {
                let found = certificate::by_no(tx, issued.row.no)?.unwrap();
                assert_eq!(found.row, issued.row);
                assert_eq!(found.cert.der(), issued.cert.der());
                let head = certificate::head(tx, device.no)?.unwrap();
                assert_eq!((head.row, head.forgiven), (issued.row.clone(), 0));
                let serial = &issued.row.serial;
                assert_eq!(
                    revocation::state(tx, house.issuer.no, serial)?,
                    CertState::Good
                );
                assert_eq!(
                    certificate::find_serial(tx, serial)?,
                    vec![issued.row.clone()]
                );
                let kinds: Vec<_> = event::of_device(tx, device.no, None, 10)?
                    .into_iter()
                    .map(|event| event.kind)
                    .collect();
                assert_eq!(
                    kinds,
                    [
                        "certificate-issued",
                        "device-standing-changed",
                        "certificate-reserved",
                        "device-registered"
                    ]
                );
                assert!(
                    certificate::facts(tx, issued.row.no)?
                        .unwrap()
                        .contains("system")
                );
                Ok(())
            })
            .unwrap();
    });
}

#[test]
fn a_renewal_replaces_its_predecessor_in_the_same_commit() {
    let directory = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let house = House::new(directory.path()).await;
        house.device("pump-1").await;
        let first = house.enroll("pump-1", at(10)).await;
        let second = house.renew(&first, at(100)).await;
        assert_eq!(second.row.predecessor, Some(first.row.no));
        assert_eq!(
            second.row.predecessor_serial,
            Some(first.row.serial.clone())
        );
        let rows = house
            .store
            .glance(|tx| certificate::of_device(tx, second.row.device, 10))
            .unwrap();
        assert_eq!(rows.len(), 2);
        assert_eq!(
            (rows[0].no, rows[0].status),
            (second.row.no, Status::Issued)
        );
        assert_eq!(
            (rows[1].no, rows[1].status),
            (first.row.no, Status::Replaced)
        );
    });
}

#[test]
fn two_answers_to_one_device_are_one_certificate() {
    let directory = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let house = House::new(directory.path()).await;
        let device = house.device("pump-1").await;
        let key = KeyPair::generate(KeyKind::P256).unwrap();
        let one = house
            .reserve(house.draft(&device, &key, None, at(1)), at(1))
            .await
            .unwrap();
        let two = house
            .reserve(house.draft(&device, &key, None, at(1)), at(1))
            .await
            .unwrap();
        let lost = two.serial().clone();
        let (one, two) = (house.sign(one), house.sign(two));
        let kept = match house.complete(one, at(2)).await.unwrap() {
            Completed::Released(certificate) => certificate,
            Completed::Voided { why } => panic!("{why}"),
        };
        assert!(matches!(
            house.complete(two, at(2)).await.unwrap(),
            Completed::Voided { .. }
        ));
        house
            .store
            .glance::<_, StoreError>(|tx| {
                let head = certificate::head(tx, device.no)?.unwrap();
                assert_eq!(head.row.no, kept.row.no);
                let state = revocation::state(tx, house.issuer.no, &lost)?;
                assert!(matches!(state, CertState::Revoked { .. }), "{state:?}");
                assert_eq!(certificate::of_device(tx, device.no, 10)?.len(), 1);
                Ok(())
            })
            .unwrap();
    });
}

#[test]
fn a_grant_on_old_facts_is_stale() {
    let directory = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let house = House::new(directory.path()).await;
        let device = house.device("pump-1").await;
        let key = KeyPair::generate(KeyKind::P256).unwrap();
        let draft = house.draft(&device, &key, None, at(1));
        let mut spec = house.spec("pump-1");
        spec.site = title("Hall 2");
        house
            .store
            .record(op(), move |tx| {
                device::edit(tx, &spec, &actor(), at(2)).map(|_| ())
            })
            .await
            .unwrap();
        assert_eq!(
            house.reserve(draft, at(3)).await.unwrap_err(),
            ReserveError::Stale
        );
    });
}

#[test]
fn a_device_suspended_while_its_certificate_is_signed_gets_none() {
    let directory = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let house = House::new(directory.path()).await;
        let device = house.device("pump-1").await;
        let key = KeyPair::generate(KeyKind::P256).unwrap();
        let draft = house.draft(&device, &key, None, at(1));
        let signed = house.sign(house.reserve(draft, at(1)).await.unwrap());
        let no = device.no;
        house
            .store
            .record::<_, StoreError, _>(op(), move |tx| {
                device::set_standing(tx, no, Standing::Suspended, "stolen", &actor(), at(2))
            })
            .await
            .unwrap();
        let serial = signed.draft().serial().clone();
        assert!(matches!(
            house.complete(signed, at(3)).await.unwrap(),
            Completed::Voided { .. }
        ));
        let state = house
            .store
            .glance(|tx| revocation::state(tx, house.issuer.no, &serial))
            .unwrap();
        assert!(matches!(state, CertState::Revoked { .. }));
    });
}

#[test]
fn revoke_hold_and_release_move_the_epoch_and_the_set() {
    let directory = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let house = House::new(directory.path()).await;
        house.device("pump-1").await;
        let first = house.enroll("pump-1", at(10)).await;
        let (no, issuer, shard) = (first.row.no, house.issuer.no, first.row.shard);
        let epoch = || {
            let epochs = house
                .store
                .glance(|tx| revocation::epochs(tx, issuer))
                .unwrap();
            epochs.into_iter().find(|(s, _)| *s == shard).unwrap().1
        };
        let listed = || {
            let mut reasons = Vec::new();
            house
                .store
                .glance::<_, StoreError>(|tx| {
                    revocation::for_each(tx, issuer, Some(shard), at(0), |entry| {
                        assert_eq!(entry.serial, first.row.serial.as_bytes());
                        reasons.push(entry.reason);
                        Ok::<_, StoreError>(())
                    })
                })
                .unwrap();
            reasons
        };
        let mut last = epoch();
        for step in 0..4 {
            let done = house
                .store
                .record::<_, StoreError, _>(op(), move |tx| match step {
                    0 | 2 => withdrawal::hold(tx, no, "lost", &actor(), at(20 + step)),
                    1 => withdrawal::release(tx, no, &actor(), at(20 + step)),
                    _ => {
                        let how = Revocation {
                            reason: Reason::KeyCompromise,
                            at: at(20 + step),
                            invalidity: Some(at(11)),
                        };
                        withdrawal::revoke(tx, no, how, &actor())
                    }
                })
                .await
                .unwrap();
            let (status, reasons) = match step {
                0 | 2 => (Status::Held, vec![Reason::CertificateHold]),
                1 => (Status::Issued, vec![]),
                _ => (Status::Revoked, vec![Reason::KeyCompromise]),
            };
            assert_eq!(done.after.status, status);
            assert_eq!(listed(), reasons);
            assert!(epoch() > last);
            last = epoch();
        }
        // Asked again, nothing changes and nothing is recorded.
        let events = house.store.glance(event::last).unwrap();
        house
            .store
            .record::<_, StoreError, _>(op(), move |tx| {
                tx.excuse("asked again");
                withdrawal::release(tx, no, &actor(), at(99))
            })
            .await
            .unwrap();
        assert_eq!(house.store.glance(event::last).unwrap(), events);
        assert_eq!(epoch(), last);
    });
}

#[test]
fn a_reservation_nobody_finished_is_given_up_and_listed() {
    let directory = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let house = House::new(directory.path()).await;
        let device = house.device("pump-1").await;
        let key = KeyPair::generate(KeyKind::P256).unwrap();
        let reserved = house
            .reserve(house.draft(&device, &key, None, at(1)), at(1))
            .await
            .unwrap();
        let open = house
            .store
            .glance(|tx| certificate::stale_reservations(tx, at(60), 10))
            .unwrap();
        assert_eq!(open.len(), 1);
        assert_eq!(&open[0].serial, reserved.serial());
        let one = open[0].clone();
        house
            .store
            .record::<_, StoreError, _>(op(), move |tx| {
                certificate::void(tx, &one, "nobody came back", &actor(), at(61))
            })
            .await
            .unwrap();
        let left = house
            .store
            .glance(|tx| certificate::stale_reservations(tx, at(99), 10))
            .unwrap();
        assert!(left.is_empty());
        // Whoever comes back too late gets nothing.
        let signed = house.sign(reserved);
        assert!(matches!(
            house.complete(signed, at(62)).await.unwrap(),
            Completed::Voided { .. }
        ));
        let head = house
            .store
            .glance(|tx| certificate::head(tx, device.no))
            .unwrap();
        assert!(head.is_none());
    });
}

#[test]
fn a_head_given_up_for_another_is_marked_abandoned() {
    let directory = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let house = House::new(directory.path()).await;
        house.device("pump-1").await;
        let first = house.enroll("pump-1", at(10)).await;
        let lost = house.renew(&first, at(100)).await;
        let current = house
            .store
            .glance(|tx| certificate::by_no(tx, first.row.no))
            .unwrap();
        let again = house.renew(&current.unwrap(), at(200)).await;
        house
            .store
            .glance::<_, StoreError>(|tx| {
                let lost = certificate::row(tx, lost.row.no)?.unwrap();
                assert_eq!(lost.standstill, Standstill::Abandoned);
                assert_eq!(lost.status, Status::Replaced);
                let head = certificate::head(tx, again.row.device)?.unwrap();
                assert_eq!((head.row.no, head.forgiven), (again.row.no, 1));
                Ok(())
            })
            .unwrap();
    });
}

#[test]
fn pages_of_a_device_history_join_without_a_gap() {
    let directory = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let house = House::new(directory.path()).await;
        let device = house.device("pump-1").await;
        let mut current = house.enroll("pump-1", at(10)).await;
        for turn in 1..6 {
            current = house.renew(&current, at(turn * 1000)).await;
        }
        let whole = house
            .store
            .glance(|tx| event::of_device(tx, device.no, None, 1000))
            .unwrap();
        let all: Vec<_> = house
            .store
            .glance(|tx| event::after(tx, EventSeq(0), 1000))
            .unwrap()
            .into_iter()
            .rev()
            .filter(|event| event.device == Some(device.no))
            .collect();
        assert_eq!(whole, all);
        for size in [1, 2, 3, 5] {
            let mut pages = Vec::new();
            let mut cursor = None;
            loop {
                let page = house
                    .store
                    .glance(|tx| event::of_device(tx, device.no, cursor, size))
                    .unwrap();
                let Some(last) = page.last() else { break };
                cursor = Some(last.seq);
                pages.extend(page);
            }
            assert_eq!(pages, whole, "pages of {size}");
        }
        assert!(
            whole
                .iter()
                .any(|event| event.certificate == Some(CertificateNo(1)))
        );
    });
}
