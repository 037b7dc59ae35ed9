use std::path::Path;
use std::sync::Arc;

use super::{By, Entries, Known, Lookup, Rest, candidates};
use crate::driver::sqlite::{Purpose, connect};
use crate::migrate;
use crate::tx::{Link, ReadTx};
use crate::writer::Fatal;

fn writer(directory: &Path, lookup: &Arc<Lookup>) -> Link {
    let db = connect(&directory.join("tenure.db"), Purpose::Write, 1024).unwrap();
    migrate::forward(&db, directory).unwrap();
    Link::new(db, Arc::default(), Arc::clone(lookup), Arc::default())
}

fn reader(directory: &Path, lookup: &Arc<Lookup>) -> Link {
    let db = connect(&directory.join("tenure.db"), Purpose::Read, 1024).unwrap();
    Link::new(db, Arc::default(), Arc::clone(lookup), Arc::default())
}

/// Nobody is called: a disk that fails is not what these tests are about.
fn nobody() -> Fatal {
    Arc::new(|why| panic!("{why}"))
}

/// A certificate's row, with its number as both of its values.
fn issue(link: &Link, no: i64) {
    let insert = "INSERT INTO cert(no, tenant, device, issuer, status, nb, na, issued, replaced,
        rev_at, reason, invalidity, shard, class, predecessor, prev, first_used, standstill,
        reserved_event, serial_h, key_h, serial, predecessor_serial, key, replay, profile)
        VALUES(?1, 1, 1, 1, 3, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, ?1, ?1, x'01', NULL, x'02',
        x'03', 'p')";
    link.db.execute(insert, [no]).unwrap();
    let entry = |by| Known {
        by,
        value: no,
        cert: no,
    };
    link.lookup.learn([entry(By::Serial), entry(By::Key)]);
}

fn both(link: &Link, value: i64) -> [Vec<i64>; 2] {
    let tx = ReadTx::new(link);
    [By::Serial, By::Key].map(|by| candidates(&tx, by, value).unwrap())
}

#[test]
fn a_certificate_is_found_once_before_and_after_each_spill() {
    let directory = tempfile::tempdir().unwrap();
    let lookup = Arc::new(Lookup::default());
    let link = writer(directory.path(), &lookup);
    issue(&link, 7);
    for _ in 0..4 {
        assert_eq!(both(&link, 7), [vec![7], vec![7]]);
        assert_eq!(both(&link, 8), [const { Vec::<i64>::new() }; 2]);
        lookup.spill(&link, i64::MAX, &nobody()).unwrap();
    }
}

#[test]
fn a_snapshot_from_before_many_spills_still_finds_what_it_sees() {
    let directory = tempfile::tempdir().unwrap();
    let lookup = Arc::new(Lookup::default());
    let link = writer(directory.path(), &lookup);
    let other = reader(directory.path(), &lookup);
    issue(&link, 7);
    other.execute("BEGIN").unwrap();
    let old = ReadTx::new(&other);
    assert_eq!(candidates(&old, By::Serial, 7).unwrap(), [7]);
    for no in 8..12 {
        lookup.spill(&link, i64::MAX, &nobody()).unwrap();
        assert_eq!(candidates(&old, By::Serial, 7).unwrap(), [7], "spill {no}");
        assert_eq!(candidates(&old, By::Key, 7).unwrap(), [7], "spill {no}");
        issue(&link, no);
    }
}

#[test]
fn what_was_only_in_memory_is_made_again() {
    let directory = tempfile::tempdir().unwrap();
    let lookup = Arc::new(Lookup::default());
    let link = writer(directory.path(), &lookup);
    issue(&link, 1);
    lookup.spill(&link, i64::MAX, &nobody()).unwrap();
    issue(&link, 2);
    let again = Arc::new(Lookup::default());
    let link = Link::new(link.db, Arc::default(), Arc::clone(&again), Arc::default());
    assert_eq!(both(&link, 2), [const { Vec::<i64>::new() }; 2]);
    again.reload(&link, &nobody()).unwrap();
    assert_eq!(
        again.state.read().current.keys.sorted.len(),
        1,
        "only the unwritten one"
    );
    for no in 1..3 {
        assert_eq!(both(&link, no), [vec![no], vec![no]]);
    }
}

#[test]
fn what_the_tables_held_is_known_once_it_is_gathered() {
    let directory = tempfile::tempdir().unwrap();
    let lookup = Arc::new(Lookup::default());
    let link = writer(directory.path(), &lookup);
    issue(&link, i64::MAX);
    issue(&link, 1);
    lookup.spill(&link, i64::MAX, &nobody()).unwrap();
    let again = Arc::new(Lookup::default());
    let link = Link::new(link.db, Arc::default(), Arc::clone(&again), Arc::default());
    again.reload(&link, &nobody()).unwrap();
    let rest_of = |value| again.state.read().rest_of(value, 0);
    assert_eq!(rest_of(2), Rest::InTables, "before it is gathered");
    again.gather(&reader(directory.path(), &again));
    assert_eq!(rest_of(2), Rest::Nowhere);
    for no in [1, i64::MAX] {
        assert_eq!(rest_of(no), Rest::InTables);
        assert_eq!(both(&link, no), [vec![no], vec![no]]);
    }
    // What is written later is known as well, to a snapshot from before it too.
    issue(&link, 2);
    for spills in 1..4 {
        again.spill(&link, i64::MAX, &nobody()).unwrap();
        assert_eq!(rest_of(3) == Rest::Nowhere, spills < 2);
        assert_eq!(both(&link, 2), [vec![2], vec![2]]);
    }
}

#[test]
fn what_is_not_gathered_to_its_end_is_not_trusted() {
    let directory = tempfile::tempdir().unwrap();
    let lookup = Arc::new(Lookup::default());
    let link = writer(directory.path(), &lookup);
    lookup.close();
    lookup.gather(&link);
    assert_eq!(lookup.state.read().rest_of(2, 0), Rest::InTables);
}

#[test]
fn an_open_reservation_keeps_later_rows_to_be_read_again() {
    let directory = tempfile::tempdir().unwrap();
    let lookup = Arc::new(Lookup::default());
    let link = writer(directory.path(), &lookup);
    let reserve = "INSERT INTO reservation(no, tenant, at, event, device, issuer, shard, nb, na,
        serial, key, profile, tbs) VALUES(1, 1, 0, 0, 1, 1, 0, 0, 0, x'05', x'02', 'p', x'00')";
    link.db.execute(reserve, []).unwrap();
    issue(&link, 2);
    lookup.spill(&link, i64::MAX, &nobody()).unwrap();
    // The reserved one is completed after the spill, and the process dies.
    link.db.execute("DELETE FROM reservation", []).unwrap();
    issue(&link, 1);
    let again = Arc::new(Lookup::default());
    let link = Link::new(link.db, Arc::default(), Arc::clone(&again), Arc::default());
    again.reload(&link, &nobody()).unwrap();
    for no in 1..3 {
        assert_eq!(both(&link, no), [vec![no], vec![no]]);
    }
}

#[test]
fn values_with_one_end_are_told_apart() {
    let mut entries = Entries::default();
    let (one, other) = (5, 5 + (1 << Entries::END_BITS));
    assert_eq!(entries.of(one).count(), 0);
    for (value, cert) in [(one, 1), (one, 2), (-1, 3), (i64::MIN, 4)] {
        entries.insert(value, cert);
    }
    let of = |value| entries.of(value).collect::<Vec<_>>();
    assert_eq!([of(one), of(other)], [vec![1, 2], vec![]]);
    assert_eq!([of(-1), of(i64::MIN), of(0)], [vec![3], vec![4], vec![]]);
}
