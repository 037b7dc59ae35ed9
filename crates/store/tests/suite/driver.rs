//! Transactions: what is kept, what is undone, and what a broken disk or file is called.

use std::path::Path;
use std::sync::Arc;

use tenure_domain::TenantId;
use tenure_domain::event::{Entry, Event};
use tenure_domain::registry::Service;
use tenure_store::{Create, OpenError, Options, SCHEMA, Store, StoreError, event, registry};

use crate::fixture::{House, actor, at, op, open, options, runtime, title};

fn put(tx: &mut tenure_store::Tx<'_>, name: &str) -> Result<registry::Put, StoreError> {
    let service = Service {
        name: title(name),
        address: String::new(),
    };
    registry::put_service(tx, &service, &actor(), at(1))
}

fn names(store: &Store) -> Vec<String> {
    let services = store
        .glance(|tx| registry::services(tx, TenantId::DEFAULT))
        .unwrap();
    services
        .into_iter()
        .map(|service| service.name.into())
        .collect()
}

#[test]
fn a_change_that_records_nothing_is_not_made() {
    let directory = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let store = open(directory.path()).unwrap();
        let nothing = store.record::<_, StoreError, _>(op(), |_| Ok(())).await;
        assert_eq!(nothing, Err(StoreError::NoEvent));
        let excused = store
            .record::<_, StoreError, _>(op(), |tx| {
                tx.excuse("nothing to do");
                Ok(7)
            })
            .await;
        assert_eq!(excused, Ok(7));
        assert_eq!(store.glance(event::last).unwrap(), None);
    });
}

/// Tells on which thread it was dropped.
struct Dropped(std::sync::mpsc::Sender<std::thread::ThreadId>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.send(std::thread::current().id()).unwrap();
    }
}

#[test]
fn what_a_change_works_on_is_dropped_by_whoever_asked() {
    let directory = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let store = open(directory.path()).unwrap();
        let (tell, told) = std::sync::mpsc::channel();
        let on = Dropped(tell);
        store
            .record::<_, StoreError, _>(op(), move |tx| {
                let _ = &on;
                put(tx, "telemetry").map(|_| ())
            })
            .await
            .unwrap();
        assert_eq!(told.try_recv(), Ok(std::thread::current().id()));
    });
}

#[test]
fn an_error_or_a_panic_undoes_its_own_writes_only() {
    let directory = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let store = open(directory.path()).unwrap();
        let mut waiting = Vec::new();
        for n in 0..90 {
            let store = store.clone();
            waiting.push(tokio::spawn(async move {
                store
                    .record::<_, StoreError, _>(op(), move |tx| {
                        put(tx, &format!("service {n}"))?;
                        match n % 3 {
                            0 => Ok(()),
                            1 => Err(StoreError::Closed),
                            _ => panic!("on purpose"),
                        }
                    })
                    .await
            }));
        }
        for (n, task) in waiting.into_iter().enumerate() {
            match (n % 3, task.await.unwrap()) {
                (0, Ok(())) | (1, Err(StoreError::Closed)) => {}
                (2, Err(StoreError::Panicked(what))) => assert_eq!(what, "on purpose"),
                (_, other) => panic!("closure {n}: {other:?}"),
            }
        }
        let mut kept = names(&store);
        kept.sort();
        let mut wanted: Vec<_> = (0..90)
            .filter(|n| n % 3 == 0)
            .map(|n| format!("service {n}"))
            .collect();
        wanted.sort();
        assert_eq!(kept, wanted);
        let events = store
            .glance(|tx| event::after(tx, tenure_domain::EventSeq(0), 1000))
            .unwrap();
        assert_eq!(events.len(), wanted.len());
        assert!(
            events
                .iter()
                .enumerate()
                .all(|(n, event)| event.seq.0 == n as i64 + 1)
        );
    });
}

#[test]
fn one_taken_value_does_not_spoil_the_group() {
    let directory = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let store = Arc::new(open(directory.path()).unwrap());
        let mut waiting = Vec::new();
        for n in 0..40 {
            let store = Arc::clone(&store);
            waiting.push(tokio::spawn(async move {
                // Two closures at a time want one hash, which only the database notices.
                let hash = [(n / 2) as u8; 32];
                store
                    .record(op(), move |tx| {
                        let role = tenure_domain::Role::Reader;
                        tenure_store::token::create(
                            tx,
                            "t",
                            (role, None),
                            &hash,
                            None,
                            &actor(),
                            at(1),
                        )
                    })
                    .await
            }));
        }
        let mut kept = 0;
        for task in waiting {
            match task.await.unwrap() {
                Ok(_) => kept += 1,
                Err(StoreError::Taken(what)) => assert!(what.contains("token.hash"), "{what}"),
                Err(other) => panic!("{other:?}"),
            }
        }
        assert_eq!(kept, 20);
    });
}

#[test]
fn the_time_of_recording_never_goes_back_and_operations_can_be_asked_for() {
    let directory = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let store = open(directory.path()).unwrap();
        let mut operations = Vec::new();
        for second in [10, 20, 5] {
            let operation = op();
            operations.push(operation);
            store
                .record::<_, StoreError, _>(operation, move |tx| {
                    let said = Event::ServerStopped {};
                    tx.log(&Entry::new(actor(), at(second), said)).map(|_| ())
                })
                .await
                .unwrap();
        }
        assert_eq!(store.last_recorded(), at(20));
        let events = store
            .glance(|tx| event::after(tx, tenure_domain::EventSeq(0), 9))
            .unwrap();
        let times: Vec<_> = events.iter().map(|event| event.at).collect();
        assert_eq!(times, [at(10), at(20), at(20)]);
        for event in &events {
            let leaf: serde_json::Value = serde_json::from_slice(&event.leaf).unwrap();
            assert_eq!(leaf["recorded"], event.at.to_string());
            let hashed = [&[0], event.leaf.as_slice()].concat();
            assert_eq!(event.leaf_hash, tenure_x509::sha256(&hashed));
        }
        for (n, operation) in operations.into_iter().enumerate() {
            let found = store
                .glance(|tx| event::of_operation(tx, operation, tenure_domain::EventSeq(0)))
                .unwrap();
            assert_eq!(found, Some(events[n].seq));
        }
        let unknown = store
            .glance(|tx| event::of_operation(tx, op(), tenure_domain::EventSeq(0)))
            .unwrap();
        assert_eq!(unknown, None);
        assert_eq!(
            store.glance(|tx| event::last_at(tx, at(15))).unwrap(),
            events[0].seq
        );
    });
}

#[test]
fn a_second_process_on_the_directory_is_told_who_holds_it() {
    let directory = tempfile::tempdir().unwrap();
    let first = open(directory.path()).unwrap();
    let message = match open(directory.path()) {
        Err(error @ OpenError::InUse { .. }) => error.to_string(),
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("both were let in"),
    };
    assert!(
        message.contains(&std::process::id().to_string()),
        "{message}"
    );
    first.close();
    drop(first);
    open(directory.path()).unwrap();
}

#[test]
fn a_missing_store_is_not_made_unless_asked() {
    let directory = tempfile::tempdir().unwrap();
    let asked = Store::open(directory.path(), Options::default());
    assert!(matches!(asked, Err(OpenError::Missing(_))));
}

#[test]
fn newer_data_is_refused_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    drop(open(directory.path()).unwrap());
    let db = rusqlite::Connection::open(directory.path().join("tenure.db")).unwrap();
    db.execute(
        "INSERT INTO schema_version(version) VALUES(?1)",
        [SCHEMA + 1],
    )
    .unwrap();
    drop(db);
    match open(directory.path()) {
        Err(OpenError::Newer { found, known }) => assert_eq!((found, known), (SCHEMA + 1, SCHEMA)),
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("opened"),
    }
}

#[test]
fn a_damaged_page_is_called_that() {
    let directory = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let house = House::new(directory.path()).await;
        for n in 0..50 {
            house.device(&format!("pump-{n}")).await;
        }
    });
    let file = directory.path().join("tenure.db");
    let mut bytes = std::fs::read(&file).unwrap();
    assert!(bytes.len() > 20 * 4096);
    for page in 1..bytes.len() / 4096 {
        bytes[page * 4096..page * 4096 + 64].fill(0xa5);
    }
    std::fs::write(&file, &bytes).unwrap();
    let error = match open(directory.path()) {
        Err(OpenError::Store(error)) => error,
        Err(other) => panic!("{other:?}"),
        Ok(store) => store
            .glance(|tx| registry::services(tx, TenantId::DEFAULT))
            .unwrap_err(),
    };
    assert!(matches!(error, StoreError::Corrupt(_)), "{error:?}");
    assert!(error.to_string().contains("restore"), "{error}");
}

/// The place in the file where a table begins.
fn beginning_of(file: &Path, table: &str) -> usize {
    let db = rusqlite::Connection::open(file).unwrap();
    let sql = "SELECT rootpage FROM sqlite_schema WHERE name = ?1";
    let page: i64 = db.query_row(sql, [table], |row| row.get(0)).unwrap();
    (page as usize - 1) * 4096
}

#[test]
fn damage_that_a_read_has_met_is_remembered() {
    let directory = tempfile::tempdir().unwrap();
    let runtime = runtime();
    runtime.block_on(async {
        let store = open(directory.path()).unwrap();
        store.record(op(), |tx| put(tx, "telemetry")).await.unwrap();
    });
    let file = directory.path().join("tenure.db");
    let begins = beginning_of(&file, "service");
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[begins..begins + 64].fill(0xa5);
    std::fs::write(&file, &bytes).unwrap();
    let store = open(directory.path()).unwrap();
    assert_eq!(store.ailment(), None);
    let read = store.glance(|tx| registry::services(tx, TenantId::DEFAULT));
    assert!(matches!(read, Err(StoreError::Corrupt(_))), "{read:?}");
    store.glance(event::last).unwrap();
    assert!(matches!(store.ailment(), Some(StoreError::Corrupt(_))));
}

#[test]
fn a_file_that_is_no_database_is_called_damaged() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("tenure.db"), vec![7; 8192]).unwrap();
    let refused = open(directory.path());
    assert!(matches!(
        refused,
        Err(OpenError::Store(StoreError::Corrupt(_)))
    ));
}

#[test]
fn a_directory_that_cannot_be_written_is_called_that() {
    let refused = open(Path::new("/proc"));
    let message = match refused {
        Err(error) => error.to_string(),
        Ok(_) => panic!("opened in /proc"),
    };
    assert!(message.contains("/proc"), "{message}");
}

/// A store on a disk that is soon full.
fn small(directory: &Path) -> Store {
    let options = Options {
        page_limit: Some(90),
        ..options()
    };
    Store::open(directory, options).unwrap()
}

#[test]
fn a_full_disk_loses_nothing_that_was_acknowledged() {
    let directory = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let store = small(directory.path());
        let mut kept = 0;
        let error = loop {
            let name = format!("{kept:0>120}");
            let put = store.record(op(), move |tx| put(tx, &name)).await;
            match put {
                Ok(_) => kept += 1,
                Err(error) => break error,
            }
            assert!(kept < 10_000, "the limit has no effect");
        };
        assert_eq!(error, StoreError::DiskFull);
        assert!(error.to_string().contains("free some space"));
        assert_eq!(store.ailment(), Some(StoreError::DiskFull));
        let nothing = store.record::<_, StoreError, _>(op(), |_| Ok(())).await;
        assert_eq!(nothing, Err(StoreError::NoEvent));
        assert_eq!(
            store.ailment(),
            Some(StoreError::DiskFull),
            "nothing was written"
        );
        assert_eq!(names(&store).len(), kept);
        store.close();
        drop(store);
        let store = Store::open(
            directory.path(),
            Options {
                create: Create::Never,
                ..options()
            },
        )
        .unwrap();
        assert_eq!(names(&store).len(), kept);
        assert_eq!(store.ailment(), None);
        store.record(op(), |tx| put(tx, "one more")).await.unwrap();
        assert_eq!(names(&store).len(), kept + 1);
    });
}

/// Records an entry whose text is `length` long.
fn say(tx: &mut tenure_store::Tx<'_>, length: usize) -> Result<(), StoreError> {
    let said = Event::ExportMade {
        hash: String::new(),
        what: "x".repeat(length),
    };
    tx.log(&Entry::new(actor(), at(1), said)).map(|_| ())
}

/// Where a closure that has no room stands in its group.
#[derive(Clone, Copy)]
enum Place {
    First,
    Last,
}

/// Of a group of three, one has no room.
fn no_room_for_one(place: Place) {
    let directory = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let store = small(directory.path());
        // While this one is at it, the others wait, and then share a commit.
        let (here, is_here) = tokio::sync::oneshot::channel();
        let (go, gone) = std::sync::mpsc::channel::<()>();
        let gate = std::sync::Mutex::new((Some(here), gone));
        let first = store.record::<_, StoreError, _>(op(), move |tx| {
            let mut gate = gate.lock().unwrap();
            if let Some(here) = gate.0.take() {
                here.send(()).unwrap();
            }
            let _ = gate.1.recv();
            say(tx, 10)
        });
        let others = async {
            is_here.await.unwrap();
            let too_much = || {
                store
                    .record::<_, StoreError, _>(op(), |tx| (0..400).try_for_each(|_| say(tx, 3000)))
            };
            // Its read writes what the one before has deferred, outside of any savepoint.
            let reads = store.record::<_, StoreError, _>(op(), |tx| {
                registry::services(tx, TenantId::DEFAULT)?;
                say(tx, 10)
            });
            let last = store.record::<_, StoreError, _>(op(), |tx| say(tx, 10));
            let release = async { drop(go) };
            match place {
                Place::First => tokio::join!(too_much(), reads, last, release),
                Place::Last => {
                    let (reads, last, too_much, ()) =
                        tokio::join!(reads, last, too_much(), release);
                    (too_much, reads, last, ())
                }
            }
        };
        let (first, (too_much, reads, last, ())) = tokio::join!(first, others);
        assert_eq!(too_much, Err(StoreError::DiskFull));
        assert_eq!((first, reads, last), (Ok(()), Ok(()), Ok(())));
        let (newest, _) = store.glance(event::last).unwrap().unwrap();
        assert_eq!(newest.0, 3, "each event has its row, and no other is there");
        store
            .record::<_, StoreError, _>(op(), |tx| say(tx, 10))
            .await
            .unwrap();
    });
}

#[test]
fn a_closure_that_has_no_room_takes_no_other_with_it() {
    no_room_for_one(Place::First);
    no_room_for_one(Place::Last);
}

#[test]
fn a_checkpoint_row_is_changed_by_one_sequencer_only() {
    let directory = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let store = open(directory.path()).unwrap();
        let state = |size| tenure_store::LogState {
            origin: "example/log".to_owned(),
            size,
            root: [size as u8; 32],
            checkpoint: b"note".to_vec(),
            at: at(1),
        };
        store.advance_log(None, state(3)).await.unwrap();
        store.advance_log(Some(3), state(5)).await.unwrap();
        for expected in [None, Some(3), Some(9)] {
            let lost = store.advance_log(expected, state(7)).await;
            assert_eq!(lost, Err(tenure_store::SealError::Lost { found: Some(5) }));
        }
        let kept = store.glance(tenure_store::log_state).unwrap().unwrap();
        assert_eq!(kept, state(5));
        // A checkpoint is about the record, not in it.
        assert_eq!(store.glance(event::last).unwrap(), None);
    });
}

#[test]
fn a_logs_name_says_whether_and_where_it_was_begun_anew() {
    let begun = |origin: &str| tenure_store::begun_anew_at(origin).map(|event| event.0);
    assert_eq!(begun("tenure.invalid/c195aa805eca4a4a"), None);
    assert_eq!(
        begun("tenure.invalid/c195aa805eca4a4a/41-00ff12ab"),
        Some(41)
    );
    for not in [
        "",
        "/",
        "a/-00ff12ab",
        "a/-4-00ff12ab",
        "a/4-00ff12a",
        "a/4-00ff12ag",
        "a/4x-00ff12ab",
    ] {
        assert_eq!(begun(not), None, "{not}");
    }
}

#[test]
fn a_log_begun_anew_twice_keeps_its_first_name_and_says_both() {
    let directory = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let store = open(directory.path()).unwrap();
        let first = tenure_store::LogState {
            origin: "example/log".to_owned(),
            size: 0,
            root: [0; 32],
            checkpoint: b"note\n".to_vec(),
            at: at(1),
        };
        store.advance_log(None, first).await.unwrap();
        let anew = |known: Option<&'static str>, chance| {
            store.record::<_, StoreError, _>(op(), move |tx| {
                tenure_store::begin_anew(tx, known, chance, &actor(), at(2))
            })
        };
        assert_eq!(
            anew(None, [0, 0, 0, 1]).await.unwrap(),
            "example/log/1-00000001"
        );
        let second = anew(Some("kept"), [0, 0, 0, 2]).await.unwrap();
        assert_eq!(second, "example/log/2-00000002");
        let state = store.glance(tenure_store::log_state).unwrap().unwrap();
        assert_eq!((state.origin, state.checkpoint), (second, Vec::new()));
        let said = |seq| {
            let found = store.glance(|tx| event::at(tx, tenure_domain::EventSeq(seq)));
            String::from_utf8(found.unwrap().unwrap().leaf).unwrap()
        };
        assert!(said(1).contains(r#""old":"note\n""#), "{}", said(1));
        assert!(said(2).contains(r#""old":"kept""#), "{}", said(2));
    });
}
