//! The threads that read, and the connections for a glance from the caller's own thread.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use crate::cache::Cache;
use crate::driver::sqlite::{Purpose, connect};
use crate::error::StoreError;
use crate::gate::Gate;
use crate::health::Health;
use crate::lookup::Lookup;
use crate::tx::{Link, ReadTx};

/// Runs `body` on one snapshot of `link`.
pub(crate) fn snapshot<T, E: From<StoreError>>(
    link: &Link,
    body: impl FnOnce(&ReadTx<'_>) -> Result<T, E>,
) -> Result<T, E> {
    link.execute("BEGIN")?;
    let value = guarded(&ReadTx::new(link), body);
    link.execute("COMMIT")?;
    value
}

fn guarded<T, E: From<StoreError>>(
    tx: &ReadTx<'_>,
    body: impl FnOnce(&ReadTx<'_>) -> Result<T, E>,
) -> Result<T, E> {
    match catch_unwind(AssertUnwindSafe(|| body(tx))) {
        Ok(value) => value,
        Err(_) => Err(StoreError::Panicked("a read panicked".to_owned()).into()),
    }
}

type Work = Box<dyn FnOnce(&Link) + Send>;

/// Where work stands that waits for a reading thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// Before all that waits.
    First,
    /// Behind all that waits.
    Last,
}

/// What waits for a reading thread.
pub(crate) struct Desk {
    state: Mutex<(VecDeque<Work>, Gate)>,
    arrived: Condvar,
}

impl Desk {
    pub(crate) fn new() -> Desk {
        Desk {
            state: Mutex::new((VecDeque::new(), Gate::Open)),
            arrived: Condvar::new(),
        }
    }

    /// Adds work; when the store is closing it is dropped, and with it the way to its asker.
    pub(crate) fn push(&self, work: Work, place: Place) {
        let mut state = self.state.lock();
        if state.1 == Gate::Open {
            match place {
                Place::First => state.0.push_front(work),
                Place::Last => state.0.push_back(work),
            }
            drop(state);
            self.arrived.notify_one();
        }
    }

    pub(crate) fn close(&self) {
        self.state.lock().1 = Gate::Closed;
        self.arrived.notify_all();
    }

    /// Reads until closed and empty.
    pub(crate) fn serve(&self, link: &Link) {
        loop {
            let mut state = self.state.lock();
            let work = loop {
                if let Some(work) = state.0.pop_front() {
                    break work;
                }
                if state.1 == Gate::Closed {
                    return;
                }
                self.arrived.wait(&mut state);
            };
            drop(state);
            work(link);
        }
    }
}

/// How old the snapshot of a glance may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Age {
    /// It sees everything that was committed before.
    New,
    /// It may be a little older, at most [`RECENT`], but not from before [`Pool::outdate`].
    Recent,
}

/// A snapshot younger than this may serve another glance: beginning one means reading every page
/// again that a commit has changed anywhere in the database.
const RECENT: Duration = Duration::from_millis(5);

/// A connection at rest, and the snapshot it still holds.
struct Idle {
    link: Link,
    held: Option<Held>,
}

#[derive(Clone, Copy)]
struct Held {
    since: Instant,
    /// How often the past had been left behind before it began.
    outdated: u64,
    /// Spills of the lookup before it began.
    spills: u64,
}

impl Idle {
    /// The connection in a snapshot of the wanted age.
    fn begin(&mut self, age: Age, outdated: u64) -> Result<Held, StoreError> {
        match self.held {
            Some(held)
                if age == Age::Recent
                    && held.outdated == outdated
                    && held.since.elapsed() < RECENT =>
            {
                Ok(held)
            }
            _ => {
                self.let_go()?;
                let held = Held {
                    since: Instant::now(),
                    outdated,
                    spills: self.link.lookup.spills(),
                };
                self.link.execute("BEGIN")?;
                self.held = Some(held);
                Ok(held)
            }
        }
    }

    fn let_go(&mut self) -> Result<(), StoreError> {
        match self.held.take() {
            Some(_) => self.link.execute("COMMIT"),
            None => Ok(()),
        }
    }
}

/// Idle connections for reads on the caller's own thread.
pub(crate) struct Pool {
    file: PathBuf,
    cache_kib: u32,
    cache: Arc<Cache>,
    lookup: Arc<Lookup>,
    pub(crate) health: Arc<Health>,
    idle: Mutex<Vec<Idle>>,
    /// Counts the times that the past was left behind.
    outdated: AtomicU64,
}

impl Pool {
    pub(crate) fn new(
        file: PathBuf,
        cache_kib: u32,
        cache: Arc<Cache>,
        lookup: Arc<Lookup>,
        health: Arc<Health>,
    ) -> Pool {
        Pool {
            file,
            cache_kib,
            cache,
            lookup,
            health,
            idle: Mutex::new(Vec::new()),
            outdated: AtomicU64::new(0),
        }
    }

    pub(crate) fn with<T, E: From<StoreError>>(
        &self,
        age: Age,
        body: impl FnOnce(&ReadTx<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let taken = self.idle.lock().pop();
        let mut taken = match taken {
            Some(idle) => idle,
            None => self.open()?,
        };
        let held = taken.begin(age, self.outdated.load(Ordering::SeqCst))?;
        let value = guarded(&ReadTx::since(&taken.link, held.spills), body);
        if age == Age::New {
            taken.let_go()?;
        }
        self.idle.lock().push(taken);
        value
    }

    fn open(&self) -> Result<Idle, StoreError> {
        let db = connect(&self.file, Purpose::Read, self.cache_kib)?;
        let link = Link::new(
            db,
            Arc::clone(&self.cache),
            Arc::clone(&self.lookup),
            Arc::clone(&self.health),
        );
        Ok(Idle { link, held: None })
    }

    /// From now on no snapshot is used that began before.
    pub(crate) fn outdate(&self) {
        self.outdated.fetch_add(1, Ordering::SeqCst);
    }

    /// Ends every snapshot that a resting connection holds: it would keep the write-ahead log from
    /// being used again from its beginning.
    pub(crate) fn let_go(&self) {
        self.idle.lock().retain_mut(|idle| idle.let_go().is_ok());
    }

    pub(crate) fn close(&self) {
        self.idle.lock().clear();
    }
}
