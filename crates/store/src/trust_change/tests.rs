use super::AFTER;
use crate::driver::explained;
use crate::driver::sqlite::{Purpose, connect};
use crate::event::INSERT;
use crate::migrate;

fn store() -> (tempfile::TempDir, rusqlite::Connection) {
    let directory = tempfile::tempdir().unwrap();
    let db = connect(&directory.path().join("tenure.db"), Purpose::Write, 1024).unwrap();
    migrate::forward(&db, directory.path()).unwrap();
    (directory, db)
}

#[test]
fn trust_changes_are_found_by_their_index() {
    let (_directory, db) = store();
    let plan = explained(&db, "EXPLAIN QUERY PLAN", AFTER, 3);
    assert_eq!(plan, ["SEARCH event USING INDEX event_trust (seq>?)"]);
}

/// Every change of anything inserts an event, so what that index costs, everything costs.
#[test]
fn to_insert_an_event_takes_no_table_of_its_own() {
    let (_directory, db) = store();
    let steps = explained(&db, "EXPLAIN", INSERT, 1);
    assert!(steps.iter().any(|step| step == "IdxInsert"), "{steps:?}");
    assert!(
        !steps.iter().any(|step| step == "OpenEphemeral"),
        "{steps:?}"
    );
}
