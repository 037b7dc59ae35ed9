//! Copies, their verification and their return.

use tenure_domain::TenantId;
use tenure_store::{OpenError, StoreError, backup, event, view};

use crate::fixture::{House, at, open, runtime};

#[test]
fn a_copy_made_while_others_write_is_whole_and_can_be_put_back() {
    let directory = tempfile::tempdir().unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let copy = elsewhere.path().join("copy.db");
    runtime().block_on(async {
        let house = House::new(directory.path()).await;
        for n in 0..5 {
            house.device(&format!("pump-{n}")).await;
        }
        let writing = async {
            for n in 0..5 {
                house.enroll(&format!("pump-{n}"), at(10 + n)).await;
            }
        };
        let (copied, ()) = tokio::join!(house.store.copy_to(&copy), writing);
        copied.unwrap();
        house.store.close();
    });
    let found = backup::verify(&copy).unwrap();
    assert!(found.events >= 11, "{found:?}");

    let restored = tempfile::tempdir().unwrap();
    assert_eq!(backup::restore(&copy, restored.path()).unwrap(), found);
    let store = open(restored.path()).unwrap();
    let last = store.glance(event::last).unwrap().unwrap();
    assert_eq!(last.0.0, found.events as i64);
    let devices = store
        .glance(|tx| view::device_counts(tx, TenantId::DEFAULT))
        .unwrap();
    assert_eq!(devices.by_standing.values().sum::<u64>(), 5);
    // Not over the head of whoever uses the directory.
    let refused = backup::restore(&copy, restored.path());
    assert!(matches!(refused, Err(OpenError::InUse { .. })));
}

#[test]
fn a_copy_that_was_changed_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let copy = directory.path().join("copy.db");
    runtime().block_on(async {
        let house = House::new(directory.path()).await;
        house.device("pump-1").await;
        house.store.copy_to(&copy).await.unwrap();
    });
    let changes = [
        "UPDATE event SET leaf = CAST(replace(CAST(leaf AS TEXT), 'Ops', 'Opz') AS BLOB)",
        "DELETE FROM event WHERE seq = 3",
        "UPDATE event SET at = at - 100000 WHERE seq = 4",
    ];
    for change in changes {
        let changed = directory.path().join("changed.db");
        std::fs::copy(&copy, &changed).unwrap();
        rusqlite::Connection::open(&changed)
            .unwrap()
            .execute(change, [])
            .unwrap();
        let refused = backup::verify(&changed);
        assert!(
            matches!(refused, Err(OpenError::Store(StoreError::Corrupt(_)))),
            "{change}: {refused:?}"
        );
    }
    let missing = backup::verify(&directory.path().join("nothing.db"));
    assert!(matches!(missing, Err(OpenError::Missing(_))));
}
