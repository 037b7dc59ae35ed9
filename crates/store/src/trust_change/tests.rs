use std::sync::Arc;

use super::AFTER;
use crate::driver::numbered;
use crate::driver::sqlite::{Purpose, connect};
use crate::event::INSERT;
use crate::migrate;

/// What SQLite makes of a statement over a store of this schema: the column `column` of `EXPLAIN`.
fn explained(how: &str, text: &str, column: usize) -> Vec<Arc<str>> {
    let directory = tempfile::tempdir().unwrap();
    let db = connect(&directory.path().join("tenure.db"), Purpose::Write, 1024).unwrap();
    migrate::forward(&db, directory.path()).unwrap();
    let mut statement = db.prepare(&format!("{how} {}", numbered(text))).unwrap();
    let values = rusqlite::params_from_iter(vec![1_i64; statement.parameter_count()]);
    let rows = statement.query_map(values, |row| row.get(column)).unwrap();
    rows.map(Result::unwrap).collect()
}

#[test]
fn trust_changes_are_found_by_their_index() {
    let plan = explained("EXPLAIN QUERY PLAN", AFTER, 3).concat();
    assert_eq!(plan, "SEARCH event USING INDEX event_trust (seq>?)");
}

/// Every change of anything inserts an event, so what that index costs, everything costs.
#[test]
fn to_insert_an_event_takes_no_table_of_its_own() {
    let steps = explained("EXPLAIN", INSERT, 1);
    assert!(steps.iter().any(|step| &**step == "IdxInsert"), "{steps:?}");
    assert!(
        !steps.iter().any(|step| &**step == "OpenEphemeral"),
        "{steps:?}"
    );
}
