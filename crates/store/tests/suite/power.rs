//! Loss of power. What was synchronised is on the disk; of what was written after that, any part may
//! be: the log of the database ends somewhere, or goes on with what the disk held before.

use std::path::Path;

use tenure_domain::EventSeq;
use tenure_domain::certificate::Status;
use tenure_store::{StoreError, certificate, event};
use tenure_x509::Serial;

use crate::fixture::{House, at, open, runtime};

/// A page in the write-ahead log with its header, and the header of the log itself (SQLite's file
/// format, section 4.1).
const FRAME: usize = 24 + 4096;
const HEADER: usize = 32;

/// How long the log was when this was acknowledged.
struct Acknowledged {
    length: usize,
    serial: Serial,
    events: i64,
}

/// What the disk shows where the last writes did not arrive.
#[derive(Debug, Clone, Copy)]
enum Rest {
    Nothing,
    Zeros,
    Noise,
}

fn log_of(directory: &Path) -> std::path::PathBuf {
    directory.join("tenure.db-wal")
}

#[test]
fn what_was_acknowledged_survives_wherever_the_log_is_cut_and_the_rest_is_absent_whole() {
    let directory = tempfile::tempdir().unwrap();
    let (house, reader, acknowledged) = runtime().block_on(fill(directory.path()));
    let log = std::fs::read(log_of(directory.path())).unwrap();
    let frames = (log.len() - HEADER) / FRAME;
    assert!(frames > 20, "{frames} frames say too little");
    assert!(acknowledged.windows(2).all(|w| w[0].length < w[1].length));
    let boundaries = (0..=frames).map(|frame| HEADER + frame * FRAME);
    let cuts: Vec<_> = boundaries
        // At a boundary, in a frame's header, in its page, and one byte before its end.
        .flat_map(|at| [at, at + 11, at + 2000, at + FRAME - 1])
        .chain([0, 17])
        .filter(|cut| *cut <= log.len())
        .collect();
    for (n, cut) in cuts.into_iter().enumerate() {
        let rest = [Rest::Nothing, Rest::Zeros, Rest::Noise][n % 3];
        let copy = tempfile::tempdir().unwrap();
        let database = copy.path().join("tenure.db");
        std::fs::copy(directory.path().join("tenure.db"), database).unwrap();
        let mut left = log[..cut].to_vec();
        match rest {
            Rest::Nothing => {}
            Rest::Zeros => left.resize(log.len(), 0),
            Rest::Noise => left.resize(log.len(), 0x5a),
        }
        std::fs::write(log_of(copy.path()), left).unwrap();
        check(
            copy.path(),
            &acknowledged,
            cut,
            &format!("{rest:?} after byte {cut}"),
        );
    }
    drop(reader);
    house.store.close();
}

/// A house with everything in its database file, and then enrollments of which only the log knows.
async fn fill(directory: &Path) -> (House, rusqlite::Connection, Vec<Acknowledged>) {
    let house = House::new(directory).await;
    for n in 0..4 {
        house.device(&format!("pump-{n}")).await;
    }
    let reader = rusqlite::Connection::open(directory.join("tenure.db")).unwrap();
    let moved: i64 = reader
        .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))
        .unwrap();
    assert_eq!(moved, 0, "somebody was in the way");
    // As long as this snapshot is open, nothing newer is moved from the log into the file.
    reader.execute_batch("BEGIN").unwrap();
    let events = "SELECT count(*) FROM event";
    reader.query_row(events, [], |_| Ok(())).unwrap();
    let mut acknowledged = Vec::new();
    for n in 0..4 {
        let issued = house.enroll(&format!("pump-{n}"), at(10 + n)).await;
        let last = house.store.glance(event::last).unwrap().unwrap();
        acknowledged.push(Acknowledged {
            length: std::fs::metadata(log_of(directory)).unwrap().len() as usize,
            serial: issued.row.serial.clone(),
            events: last.0.0,
        });
    }
    (house, reader, acknowledged)
}

fn check(directory: &Path, acknowledged: &[Acknowledged], cut: usize, what: &str) {
    let store = open(directory).unwrap_or_else(|error| panic!("{what}: {error}"));
    store
        .glance::<_, StoreError>(|tx| {
            let events = event::after(tx, EventSeq(0), u32::MAX)?;
            let numbered = events
                .iter()
                .zip(1..)
                .all(|(event, seq)| event.seq.0 == seq);
            assert!(numbered, "{what}: a gap in the record");
            let mut released = 0;
            for one in acknowledged {
                let rows = certificate::find_serial(tx, &one.serial)?;
                let issued: Vec<_> = rows
                    .iter()
                    .filter(|row| row.status == Status::Issued)
                    .collect();
                let wanted = usize::from(one.length <= cut);
                assert_eq!(issued.len(), wanted, "{what}: {}", one.serial);
                for row in issued {
                    let found = certificate::by_no(tx, row.no)?.expect("a row without its bytes");
                    assert_eq!(*found.cert.serial(), one.serial);
                    assert!(events.len() as i64 >= one.events, "{what}: events are lost");
                    released += 1;
                }
            }
            let told = events
                .iter()
                .filter(|event| event.kind == "certificate-issued");
            assert_eq!(
                told.count(),
                released,
                "{what}: events and certificates differ"
            );
            Ok(())
        })
        .unwrap();
    let sound: String = rusqlite::Connection::open(directory.join("tenure.db"))
        .unwrap()
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .unwrap();
    assert_eq!(sound, "ok", "{what}");
    store.close();
}
