//! The threads that make committed groups durable, while the writer works on the next.
//!
//! A commit puts its pages into the write-ahead log; an fsync of that file makes them durable, and
//! with them everything that was committed before. Only then are the closures of the group answered.
//! There are two such threads, so that a group need not wait for the end of an fsync that began too
//! early for it; the later fsync may well end first, and covers what the other one does.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Condvar, Mutex};
use tokio::runtime::{Handle, RuntimeFlavor};

use crate::error::StoreError;
use crate::gate::Gate;
use crate::tx::Sequence;
use crate::writer::{Fatal, Job, Queue};

/// A group that is committed, or was undone, and waits for the disk.
pub(crate) struct Group {
    /// The number of its last commit; commits are numbered from 1 as they are begun.
    pub(crate) number: u64,
    /// The numbers given out up to its end.
    pub(crate) sequence: Sequence,
    /// Those that are answered once it is durable.
    pub(crate) jobs: Vec<Box<dyn Job>>,
}

/// So many threads call fsync.
pub(crate) const THREADS: usize = 2;

/// Shared by the writer, the threads that call fsync, and whoever must not tell of anything before
/// it is durable.
pub(crate) struct Disk {
    /// The number of the newest commit that may be visible.
    begun: AtomicU64,
    /// The number of the newest durable commit.
    durable: AtomicU64,
    state: Mutex<State>,
    arrived: Condvar,
    settled: Condvar,
}

struct State {
    groups: Vec<Group>,
    gate: Gate,
}

impl Disk {
    pub(crate) fn new() -> Disk {
        Disk {
            begun: AtomicU64::new(0),
            durable: AtomicU64::new(0),
            state: Mutex::new(State {
                groups: Vec::new(),
                gate: Gate::Open,
            }),
            arrived: Condvar::new(),
            settled: Condvar::new(),
        }
    }

    /// Says that a commit is about to make what it holds visible. It is handed over under the number
    /// of the newest, with whatever was begun and not handed over before it.
    pub(crate) fn begin(&self) {
        self.begun.fetch_add(1, Ordering::SeqCst);
    }

    /// The number of the newest commit that was begun.
    pub(crate) fn newest(&self) -> u64 {
        self.begun.load(Ordering::SeqCst)
    }

    pub(crate) fn hand_over(&self, group: Group) {
        self.state.lock().groups.push(group);
        self.arrived.notify_one();
    }

    pub(crate) fn close(&self) {
        self.state.lock().gate = Gate::Closed;
        self.arrived.notify_all();
    }

    /// Returns once everything is durable that was visible when it was called: after two fsyncs at
    /// most, and at once if nothing was written lately.
    pub(crate) fn settle(&self) {
        let seen = self.newest();
        if self.durable.load(Ordering::SeqCst) >= seen {
            return;
        }
        aside(|| self.wait_for(seen));
    }

    fn wait_for(&self, seen: u64) {
        let mut state = self.state.lock();
        while self.durable.load(Ordering::SeqCst) < seen {
            self.settled.wait(&mut state);
        }
    }

    fn next(&self) -> Option<Vec<Group>> {
        let mut state = self.state.lock();
        while state.groups.is_empty() {
            if state.gate == Gate::Closed {
                return None;
            }
            self.arrived.wait(&mut state);
        }
        Some(std::mem::take(&mut state.groups))
    }

    fn is_durable(&self, number: u64) {
        let state = self.state.lock();
        self.durable.fetch_max(number, Ordering::SeqCst);
        drop(state);
        self.settled.notify_all();
    }
}

/// Waits without holding up what else this thread has to do, if it is one of a runtime's several.
fn aside(wait: impl FnOnce()) {
    match Handle::try_current().map(|runtime| runtime.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(wait),
        _ => wait(),
    }
}

/// Opens the write-ahead log for its fsyncs, and makes durable its name and what it holds: a process
/// that was killed may have left commits there that no fsync has covered, and they are visible now.
pub(crate) fn open(log: &Path) -> io::Result<File> {
    let file = File::open(log)?;
    file.sync_data()?;
    if let Some(directory) = log.parent() {
        File::open(directory)?.sync_all()?;
    }
    Ok(file)
}

/// Runs until closed and empty.
pub(crate) fn run(
    log: &File,
    disk: &Disk,
    queue: &Queue,
    fatal: &Fatal,
    recorded: impl Fn(Sequence),
) {
    while let Some(groups) = disk.next() {
        // The data and, where the file has grown, its length; not when it was last written.
        let synced = log.sync_data().map_err(|error| {
            fatal(&format!(
                "the disk could not make a commit durable: {error}"
            ));
            StoreError::Io(error.to_string())
        });
        if let Some(last) = groups.last() {
            recorded(last.sequence);
            disk.is_durable(last.number);
        }
        queue.settled(groups.len());
        for job in groups.into_iter().flat_map(|group| group.jobs) {
            job.answer(synced.clone());
        }
    }
}

#[cfg(test)]
mod tests;
