use std::path::Path;
use std::sync::mpsc::channel;

use super::*;
use crate::driver::sqlite::{Purpose, connect};

#[test]
fn moved_pages_that_do_not_reach_the_disk_are_fatal() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tenure.db");
    let db = connect(&path, Purpose::Write, 256).unwrap();
    db.execute_batch("CREATE TABLE t(n INTEGER); INSERT INTO t VALUES(1)")
        .unwrap();
    let pool = Pool::new(
        path.clone(),
        256,
        Arc::default(),
        Arc::default(),
        Arc::default(),
    );
    let cries = |file: &Path| {
        let (cried, cries) = channel();
        let fatal: Fatal = Arc::new(move |why| cried.send(why.to_owned()).unwrap());
        let file = File::open(file).unwrap();
        move_almost_all(&db, &file, &Mark::new(), &pool, &fatal);
        drop(fatal);
        cries.iter().collect::<Vec<_>>()
    };
    assert_eq!(cries(&path), Vec::<String>::new());
    // A device cannot be synced.
    let cries = cries(Path::new("/dev/null"));
    assert!(
        matches!(cries.as_slice(), [why] if why.contains("durable")),
        "{cries:?}"
    );
}
