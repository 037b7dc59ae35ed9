use super::{COUNT, SAME};
use crate::driver::explained;
use crate::driver::sqlite::{Purpose, connect};
use crate::migrate;

/// Both are asked on the writer's thread, and as often as a stranger likes.
#[test]
fn what_may_be_open_already_is_found_by_its_index() {
    let directory = tempfile::tempdir().unwrap();
    let db = connect(&directory.path().join("tenure.db"), Purpose::Write, 1024).unwrap();
    migrate::forward(&db, directory.path()).unwrap();
    let plan = |sql| explained(&db, "EXPLAIN QUERY PLAN", sql, 3).join("; ");
    let same = "SEARCH incident USING COVERING INDEX incident_same \
                (tenant=? AND state=? AND kind=? AND device=? AND serials=?)";
    assert_eq!(plan(SAME), same);
    let count = "USING COVERING INDEX incident_same (tenant=? AND state=? AND kind=?)";
    assert!(plan(COUNT).contains(count), "{}", plan(COUNT));
}
