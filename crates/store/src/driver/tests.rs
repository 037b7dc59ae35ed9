use super::numbered;

#[test]
fn dollar_numbers_become_question_mark_numbers_outside_quotes() {
    assert_eq!(numbered("SELECT 1"), "SELECT 1");
    assert_eq!(
        numbered("SET der=$2 WHERE serial=$1"),
        "SET der=?2 WHERE serial=?1"
    );
    assert_eq!(
        numbered("SELECT '$1', \"$2\", $3, $x"),
        "SELECT '$1', \"$2\", ?3, $x"
    );
}

/// The trap itself: without the rewriting, SQLite numbers `$2` before `$1`.
#[test]
fn arguments_arrive_where_their_number_says() {
    let db = rusqlite::Connection::open_in_memory().unwrap();
    db.execute_batch("CREATE TABLE t(k INT, v INT); INSERT INTO t VALUES(1, 0), (2, 0)")
        .unwrap();
    let text = "UPDATE t SET v=$2 WHERE k=$1";
    assert_eq!(
        db.execute(text, rusqlite::params![1, 77]).unwrap(),
        0,
        "SQLite changed its mind"
    );
    assert_eq!(
        db.execute(&numbered(text), rusqlite::params![1, 77])
            .unwrap(),
        1
    );
    let v: i64 = db
        .query_row("SELECT v FROM t WHERE k=1", [], |r| r.get(0))
        .unwrap();
    assert_eq!(v, 77);
}
