//! Moves pages from the write-ahead log into the database file, away from the path of commits.

use std::fmt::Display;
use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use rusqlite::Connection;

use crate::driver::sqlite::{is_fatal, said};
use crate::health::Health;
use crate::reader::Pool;
use crate::writer::Fatal;

/// Pages in the write-ahead log at which a checkpoint begins (64 MB), and by which the log must have
/// grown before the next one is tried if a reader kept the former from finishing.
const STEP: u64 = 16_000;

/// So few pages are the writer's to move: what it moves and syncs holds up everybody's commit.
const FEW: u64 = 256;

/// How often the thread tries to leave no more than that, while commits go on.
const TRIES: u32 = 4;

/// How long a log with pages in it may lie untouched.
const IDLE: Duration = Duration::from_secs(5);

/// Shared by the writer and the checkpointing thread.
pub(crate) struct Mark {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    step: Step,
    /// Pages in the log after the last commit.
    pages: u64,
    /// Pages at which the next checkpoint begins.
    next: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// Nothing to do.
    Resting,
    /// The thread is to move what the log holds.
    Wanted,
    /// The thread has moved almost everything; the writer moves the last pages between two groups,
    /// so that the next commit starts the log afresh.
    Last,
    Closing,
}

impl Mark {
    pub(crate) fn new() -> Arc<Mark> {
        Arc::new(Mark {
            state: Mutex::new(State {
                step: Step::Resting,
                pages: 0,
                next: STEP,
            }),
            changed: Condvar::new(),
        })
    }

    /// Told by SQLite after each commit.
    pub(crate) fn log_holds(&self, pages: u64) {
        let mut state = self.state.lock();
        if pages < state.pages {
            state.next = STEP;
        }
        state.pages = pages;
        if pages >= state.next && state.step == Step::Resting {
            state.step = Step::Wanted;
            self.changed.notify_one();
        }
    }

    /// Asked by the writer between two groups: whether the last pages are its to move.
    pub(crate) fn take_last(&self) -> Option<()> {
        let mut state = self.state.lock();
        if state.step != Step::Last {
            return None;
        }
        state.step = Step::Resting;
        state.next = state.pages + STEP;
        Some(())
    }

    pub(crate) fn close(&self) {
        self.state.lock().step = Step::Closing;
        self.changed.notify_all();
    }

    fn pages(&self) -> u64 {
        self.state.lock().pages
    }

    fn moved(&self) {
        let mut state = self.state.lock();
        if state.step != Step::Closing {
            state.step = Step::Last;
        }
    }

    /// Waits until a checkpoint is wanted, or the log has lain idle; `None` when closing.
    fn next(&self) -> Option<()> {
        let mut state = self.state.lock();
        loop {
            match state.step {
                Step::Closing => return None,
                Step::Wanted => return Some(()),
                Step::Resting | Step::Last => {}
            }
            let before = state.pages;
            let waited = self.changed.wait_for(&mut state, IDLE);
            if waited.timed_out() && state.pages == before && before > 0 {
                state.pages = 0;
                return Some(());
            }
        }
    }
}

/// Runs until closed. `file` is the database that `db` is connected to.
pub(crate) fn run(db: &Connection, file: &File, mark: &Mark, pool: &Pool, fatal: &Fatal) {
    while mark.next().is_some() {
        move_almost_all(db, file, mark, pool, fatal);
        mark.moved();
    }
}

fn move_almost_all(db: &Connection, file: &File, mark: &Mark, pool: &Pool, fatal: &Fatal) {
    for _ in 0..TRIES {
        pool.let_go();
        let moved = checkpoint(db, &pool.health, fatal);
        // SQLite syncs the file only when nothing is left in the log; while commits go on that is
        // the writer's last step, which would have to wait for all of these pages.
        if let Err(error) = file.sync_data() {
            lost(&error, fatal);
        }
        if moved.is_none_or(|moved| mark.pages().saturating_sub(moved) <= FEW) {
            break;
        }
    }
}

/// One checkpoint: how many of the log's pages are moved now. A failed one loses nothing: the pages
/// stay in the log.
pub(crate) fn checkpoint(db: &Connection, health: &Health, fatal: &Fatal) -> Option<u64> {
    // Its answer is whether it was held up, the log's pages and how many of them are moved.
    let done = db.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| {
        row.get::<_, i64>(2)
    });
    match done {
        Ok(moved) => u64::try_from(moved).ok(),
        Err(error) => {
            if is_fatal(&error) {
                lost(&error, fatal);
            }
            let error = said(error);
            tracing::warn!(%error, "a checkpoint failed and will be tried again");
            health.met(&error);
            None
        }
    }
}

fn lost(error: &dyn Display, fatal: &Fatal) {
    fatal(&format!(
        "the disk could not make a checkpoint durable: {error}"
    ));
}

#[cfg(test)]
mod tests;
