//! What a revocation filter speaks for: nothing is ever added to an interval that was closed.

use std::collections::BTreeSet;

use tenure_domain::certificate::Revocation;
use tenure_store::covered::{self, Covered, Withdrawal};
use tenure_store::{StoreError, withdrawal};
use tenure_x509::filter::{Coverage, delta_key};
use tenure_x509::{Reason, Serial, Time};

use crate::fixture::{House, actor, at, op, runtime};

const DAY: i64 = 86_400;

fn all(house: &House, coverage: Coverage) -> Vec<Covered> {
    let mut found = Vec::new();
    house
        .store
        .glance(|tx| {
            covered::for_each(tx, house.issuer.no, coverage, |one| {
                found.push(one);
                Ok::<(), StoreError>(())
            })
        })
        .unwrap();
    found
}

fn closed_to(house: &House) -> Time {
    house
        .store
        .glance(|tx| covered::closed_to(tx, house.issuer.no))
        .unwrap()
}

fn coverage(house: &House, at: Time) -> Coverage {
    Coverage {
        from: house.issuer.certificate.validity().not_before,
        to: closed_to(house),
        at,
    }
}

/// Two begin in the same second, back-dated by an hour; a third is made days later, and a fourth
/// stays on its way all that time.
#[test]
fn what_was_closed_is_in_the_snapshot_and_nothing_is_added() {
    let directory = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let house = House::new(directory.path()).await;
        for name in ["pump-1", "pump-2", "pump-3", "pump-4"] {
            house.device(name).await;
        }
        let first = house.enroll("pump-1", at(10)).await;
        let second = house.enroll("pump-2", at(10)).await;
        let begins = first.row.validity.not_before;
        assert_eq!(second.row.validity.not_before, begins);
        assert!(closed_to(&house) < begins, "too young to be covered");
        let pump = house.find("pump-4");
        let key = tenure_x509::KeyPair::generate(tenure_x509::KeyKind::P256).unwrap();
        let late = house.draft(&pump, &key, None, at(20));

        let now = at(10 + DAY + 600 - 3600);
        house.enroll("pump-3", now).await;
        assert_eq!(closed_to(&house), begins, "the second itself is closed");
        let mut serials = [first.row.serial.clone(), second.row.serial.clone()];
        let found = all(&house, coverage(&house, now));
        let found: Vec<Serial> = found.into_iter().map(|one| one.serial).collect();
        serials.sort();
        assert_eq!(
            found.iter().collect::<BTreeSet<_>>(),
            serials.iter().collect()
        );

        // Ten seconds later than what is closed: it may still be reserved, and is not covered.
        house.reserve(late, now).await.unwrap();
        let late = house.draft(&house.find("pump-4"), &key, None, at(20));
        let moved = now.plus(30);
        house.renew(&second, moved).await;
        assert!(
            closed_to(&house) < at(20).plus(-3600),
            "what is reserved keeps its second open"
        );
        let refused = house.reserve(late, moved).await;
        assert!(
            refused.is_err(),
            "what begins in a closed second is stale: {refused:?}"
        );
    });
}

#[test]
fn what_has_changed_since_is_found_both_ways() {
    let directory = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let house = House::new(directory.path()).await;
        let mut made = Vec::new();
        for n in 0..12 {
            let name = format!("pump-{n}");
            house.device(&name).await;
            made.push(house.enroll(&name, at(10)).await);
        }
        let (revoked, held) = (made[3].row.no, made[5].row.no);
        let now = at(3 * DAY);
        let change = |then: Time| {
            house.store.record::<_, StoreError, _>(op(), move |tx| {
                let how = Revocation {
                    reason: Reason::KeyCompromise,
                    at: then,
                    invalidity: None,
                };
                withdrawal::revoke(tx, revoked, how, &actor())?;
                withdrawal::hold(tx, held, "a test", &actor(), then)?;
                withdrawal::release(tx, held, &actor(), then.plus(5))
            })
        };
        change(now).await.unwrap();
        let coverage = coverage(&house, now);
        let mut suspects = Vec::new();
        house
            .store
            .glance(|tx| {
                covered::for_each_suspect(tx, house.issuer.no, coverage, |one| {
                    suspects.push((one.serial, one.standing));
                    Ok::<(), StoreError>(())
                })
            })
            .unwrap();
        let of = |n: usize| made[n].row.serial.clone();
        assert_eq!(
            suspects,
            [(of(3), Withdrawal::Withdrawn), (of(5), Withdrawal::InForce)]
        );
        let withdrawn = all(&house, coverage).into_iter();
        let withdrawn: Vec<Serial> = withdrawn
            .filter(|one| one.standing == Withdrawal::Withdrawn)
            .map(|one| one.serial)
            .collect();
        assert_eq!(withdrawn, [of(3)]);

        let changed: BTreeSet<u64> = [of(3), of(5)].iter().map(delta_key).collect();
        let width = house
            .store
            .glance(|tx| covered::width(tx, &changed))
            .unwrap();
        let prefixes: BTreeSet<u64> = changed.iter().map(|key| key >> (64 - width)).collect();
        let others = made.iter().map(|one| delta_key(&one.row.serial));
        for other in others.filter(|key| !changed.contains(key)) {
            assert!(!prefixes.contains(&(other >> (64 - width))), "{width} bits");
        }
    });
}
