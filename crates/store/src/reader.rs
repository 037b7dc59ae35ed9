//! The threads that read, and the connections for a glance from the caller's own thread.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::cache::Cache;
use crate::driver::sqlite::{Purpose, connect};
use crate::error::StoreError;
use crate::lookup::Lookup;
use crate::tx::{Link, ReadTx};

/// Runs `body` on one snapshot of `link`.
pub(crate) fn snapshot<T, E: From<StoreError>>(
    link: &Link,
    body: impl FnOnce(&ReadTx<'_>) -> Result<T, E>,
) -> Result<T, E> {
    link.execute("BEGIN")?;
    let value = catch_unwind(AssertUnwindSafe(|| body(&ReadTx::new(link))));
    link.execute("COMMIT")?;
    match value {
        Ok(value) => value,
        Err(_) => Err(StoreError::Panicked("a read panicked".to_owned()).into()),
    }
}

type Work = Box<dyn FnOnce(&Link) + Send>;

/// What waits for a reading thread.
pub(crate) struct Desk {
    state: Mutex<(VecDeque<Work>, Gate)>,
    arrived: Condvar,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Gate {
    Open,
    Closed,
}

impl Desk {
    pub(crate) fn new() -> Desk {
        Desk {
            state: Mutex::new((VecDeque::new(), Gate::Open)),
            arrived: Condvar::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, (VecDeque<Work>, Gate)> {
        // The lock is never held across foreign code, so a poisoned one still holds a whole state.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds work; when the store is closing it is dropped, and with it the way to its asker.
    pub(crate) fn push(&self, work: Work) {
        let mut state = self.state();
        if state.1 == Gate::Open {
            state.0.push_back(work);
            drop(state);
            self.arrived.notify_one();
        }
    }

    pub(crate) fn close(&self) {
        self.state().1 = Gate::Closed;
        self.arrived.notify_all();
    }

    /// Reads until closed and empty.
    pub(crate) fn serve(&self, link: &Link) {
        loop {
            let mut state = self.state();
            let work = loop {
                if let Some(work) = state.0.pop_front() {
                    break work;
                }
                if state.1 == Gate::Closed {
                    return;
                }
                state = self
                    .arrived
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner);
            };
            drop(state);
            work(link);
        }
    }
}

/// Idle connections for reads on the caller's own thread.
pub(crate) struct Pool {
    file: PathBuf,
    cache_kib: u32,
    cache: Arc<Cache>,
    lookup: Arc<Lookup>,
    idle: Mutex<Vec<Link>>,
}

impl Pool {
    pub(crate) fn new(
        file: PathBuf,
        cache_kib: u32,
        cache: Arc<Cache>,
        lookup: Arc<Lookup>,
    ) -> Pool {
        Pool {
            file,
            cache_kib,
            cache,
            lookup,
            idle: Mutex::new(Vec::new()),
        }
    }

    pub(crate) fn with<T, E: From<StoreError>>(
        &self,
        body: impl FnOnce(&ReadTx<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let idle = self
            .idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        let link = match idle {
            Some(link) => link,
            None => {
                let db = connect(&self.file, Purpose::Read, self.cache_kib)?;
                Link::new(db, Arc::clone(&self.cache), Arc::clone(&self.lookup))
            }
        };
        let value = snapshot(&link, body);
        self.idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(link);
        value
    }

    pub(crate) fn close(&self) {
        self.idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }
}
