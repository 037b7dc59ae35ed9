use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};

use super::*;
use crate::tx::Tx;
use crate::writer::Verdict;

/// A closure that tells what it was answered.
struct Told(Sender<Result<(), StoreError>>);

impl Job for Told {
    fn run(&mut self, _: &mut Tx<'_>) -> Verdict {
        Verdict::Keep
    }

    fn answer(self: Box<Self>, commit: Result<(), StoreError>) {
        self.0.send(commit).unwrap();
    }
}

const NOTHING_YET: Sequence = Sequence {
    event: 0,
    recorded: 0,
    device: 0,
    certificate: 0,
};

fn group(number: u64, told: &Sender<Result<(), StoreError>>) -> Group {
    Group {
        number,
        sequence: NOTHING_YET,
        jobs: vec![Box::new(Told(told.clone()))],
    }
}

fn begun(disk: &Disk) -> u64 {
    disk.begin();
    disk.newest()
}

#[test]
fn what_is_visible_is_settled_once_the_disk_has_it() {
    let disk = Arc::new(Disk::new());
    // Nothing was written, so nothing is waited for.
    disk.settle();
    let number = begun(&disk);
    let (told, answers) = channel();
    let waiting = std::thread::spawn({
        let disk = Arc::clone(&disk);
        move || {
            disk.settle();
            disk.durable.load(Ordering::SeqCst)
        }
    });
    disk.hand_over(group(number, &told));
    disk.close();
    assert!(answers.try_recv().is_err(), "answered before the disk ran");
    let nobody: Fatal = Arc::new(|why| panic!("{why}"));
    let log = tempfile::tempfile().unwrap();
    run(&log, &disk, &Queue::new(8), &nobody, |_| {});
    assert_eq!(answers.recv().unwrap(), Ok(()));
    assert_eq!(waiting.join().unwrap(), number);
}

#[test]
fn an_fsync_that_ends_late_takes_nothing_back() {
    let disk = Disk::new();
    let (first, second) = (begun(&disk), begun(&disk));
    disk.is_durable(second);
    disk.is_durable(first);
    assert_eq!(disk.durable.load(Ordering::SeqCst), second);
    disk.settle();
}

#[test]
fn a_disk_that_cannot_promise_is_fatal_and_nobody_is_told_otherwise() {
    let disk = Disk::new();
    let (told, answers) = channel();
    disk.hand_over(group(begun(&disk), &told));
    disk.close();
    let (cried, cries) = channel();
    let fatal: Fatal = Arc::new(move |why| cried.send(why.to_owned()).unwrap());
    // A device cannot be synced.
    let log = File::open("/dev/null").unwrap();
    run(&log, &disk, &Queue::new(8), &fatal, |_| {});
    assert!(matches!(answers.recv().unwrap(), Err(StoreError::Io(_))));
    assert!(cries.recv().unwrap().contains("durable"));
}
