use rusqlite::Connection;

use super::{Migrated, through, version};
use crate::error::OpenError;

const FIRST: &str = "CREATE TABLE schema_version(version INTEGER NOT NULL) STRICT;
    CREATE TABLE pet(name TEXT NOT NULL) STRICT";
const SECOND: &str = "ALTER TABLE pet ADD COLUMN legs INTEGER NOT NULL DEFAULT 4";
const BROKEN: &str = "ALTER TABLE pet ADD COLUMN tail INTEGER NOT NULL DEFAULT 1; NO SUCH THING";

fn database(directory: &std::path::Path) -> Connection {
    Connection::open(directory.join("tenure.db")).unwrap()
}

#[test]
fn old_data_is_copied_and_then_brought_forward() {
    let directory = tempfile::tempdir().unwrap();
    let db = database(directory.path());
    assert_eq!(
        through(&[FIRST], &db, directory.path()).unwrap(),
        Migrated::Created
    );
    db.execute("INSERT INTO pet(name) VALUES('Rex')", [])
        .unwrap();
    assert_eq!(
        through(&[FIRST], &db, directory.path()).unwrap(),
        Migrated::Current
    );

    let moved = through(&[FIRST, SECOND], &db, directory.path()).unwrap();
    let Migrated::Forward { from: 1, backup } = moved else {
        panic!("{moved:?}")
    };
    let legs: i64 = db
        .query_row("SELECT legs FROM pet", [], |row| row.get(0))
        .unwrap();
    assert_eq!((legs, version(&db).unwrap()), (4, 2));
    let before = Connection::open(backup).unwrap();
    assert_eq!(version(&before).unwrap(), 1);
    let name: String = before
        .query_row("SELECT name FROM pet", [], |row| row.get(0))
        .unwrap();
    assert_eq!(name, "Rex");
}

#[test]
fn a_step_that_fails_leaves_nothing_of_itself() {
    let directory = tempfile::tempdir().unwrap();
    let db = database(directory.path());
    through(&[FIRST], &db, directory.path()).unwrap();
    let failed = through(&[FIRST, BROKEN], &db, directory.path());
    assert!(
        matches!(failed, Err(OpenError::Migration { to: 2, .. })),
        "{failed:?}"
    );
    assert_eq!(version(&db).unwrap(), 1);
    assert!(db.prepare("SELECT tail FROM pet").is_err());
    through(&[FIRST, SECOND], &db, directory.path()).unwrap();
}

#[test]
fn no_backup_no_migration() {
    let directory = tempfile::tempdir().unwrap();
    let db = database(directory.path());
    through(&[FIRST], &db, directory.path()).unwrap();
    let gone = directory.path().join("no/such/directory");
    let failed = through(&[FIRST, SECOND], &db, &gone);
    assert!(matches!(failed, Err(OpenError::NoBackup(_))), "{failed:?}");
    assert_eq!(version(&db).unwrap(), 1);
}
