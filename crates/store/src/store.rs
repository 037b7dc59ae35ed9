//! The concrete store: opening it, and the ways into it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::thread::JoinHandle;

use parking_lot::Mutex;
use tenure_domain::EventSeq;
use tenure_x509::Time;
use tokio::sync::{oneshot, watch};

use crate::cache::Cache;
use crate::checkpoint::{self, Mark};
use crate::disk::{self, Disk};
use crate::driver::sqlite::{FILE, LOG, Purpose, connect, said};
use crate::error::{OpenError, StoreError};
use crate::health::Health;
use crate::lock::DirectoryLock;
use crate::lookup::Lookup;
use crate::migrate::{self, Create, Migrated};
use crate::reader::{Age, Desk, Place, Pool, snapshot};
use crate::tx::{Link, ReadTx, Sequence, Tx};
use crate::writer::{self, Closure, Fatal, OperationId, Queue, Rule};

/// How a store is opened.
#[derive(Clone)]
pub struct Options {
    /// Whether a missing store is made.
    pub create: Create,
    /// Threads for reads that scan; at least one.
    pub readers: usize,
    /// Memory for pages of the writer, in KiB.
    pub write_cache_kib: u32,
    /// Memory for pages of each reader, in KiB.
    pub read_cache_kib: u32,
    /// At most so many closures share one commit.
    pub group: usize,
    /// A limit on the database in pages of 4 KiB, or none; a full one acts like a full disk.
    pub page_limit: Option<u32>,
    /// What to do when the disk cannot promise durability any more; it should not return.
    pub fatal: Arc<dyn Fn(&str) + Send + Sync>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            create: Create::Never,
            readers: 2,
            write_cache_kib: 16 * 1024,
            read_cache_kib: 2 * 1024,
            group: 512,
            page_limit: None,
            fatal: Arc::new(leave),
        }
    }
}

/// Ends the process: after a failed fsync nothing that the kernel says about the file can be
/// believed until it is read again from the disk.
fn leave(why: &str) {
    tracing::error!(why, "stopping at once; nothing acknowledged is lost");
    // The log may be buffered or go nowhere; standard error is the last resort.
    eprintln!("tenure: {why}; stopping at once, nothing acknowledged is lost");
    std::process::exit(70);
}

/// The registry, the certificates and the record, in one data directory.
///
/// A cheap handle: clones share the same threads. Dropping the last one finishes what waits and
/// closes the files.
#[derive(Clone)]
pub struct Store {
    inside: Arc<Inside>,
}

struct Inside {
    file: PathBuf,
    migrated: Migrated,
    lookup: Arc<Lookup>,
    health: Arc<Health>,
    queue: Arc<Queue>,
    disk: Arc<Disk>,
    desk: Arc<Desk>,
    /// For what may read the whole fleet.
    surveys: Arc<Desk>,
    pool: Arc<Pool>,
    mark: Arc<Mark>,
    /// When the newest event was recorded, in Unix seconds.
    recorded: Arc<AtomicI64>,
    /// The newest event that is durable.
    newest: Arc<watch::Sender<EventSeq>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    // To close any handle of a file gives back the process's locks on it, those of the connections
    // too: so this one is closed when they are gone.
    _database: Arc<File>,
    // Given back last, when no thread touches the files any more.
    _lock: DirectoryLock,
}

impl Store {
    /// Opens the store in `directory`, alone, and brings it to this release's schema.
    ///
    /// Errors: [`OpenError`]; each says what to do.
    pub fn open(directory: &Path, options: Options) -> Result<Store, OpenError> {
        let file = directory.join(FILE);
        if options.create == Create::Never && !file.exists() {
            return Err(OpenError::Missing(directory.to_owned()));
        }
        let lock = DirectoryLock::take(directory)?;
        // The database would take an empty file for a new one.
        if options.create == Create::Never && file.metadata().is_ok_and(|found| found.len() == 0) {
            return Err(StoreError::Corrupt("its file is empty".to_owned()).into());
        }
        let db = connect(&file, Purpose::Write, options.write_cache_kib)?;
        let database = File::open(&file)
            .map(Arc::new)
            .map_err(OpenError::while_doing("opening", &file))?;
        let migrated = migrate::forward(&db, directory)?;
        if let Some(pages) = options.page_limit {
            db.pragma_update(None, "max_page_count", pages)
                .map_err(said)?;
        }
        let cache = Arc::new(Cache::default());
        let lookup = Arc::new(Lookup::default());
        let health = Arc::new(Health::default());
        let link = Link::new(db, Arc::default(), Arc::clone(&lookup), Arc::clone(&health));
        lookup.reload(&link, &options.fatal)?;
        let sequence = last_numbers(&link)?;
        let queue = Arc::new(Queue::new(options.group));
        let disk = Arc::new(Disk::new());
        let (desk, surveys) = (Arc::new(Desk::new()), Arc::new(Desk::new()));
        let mark = Mark::new();
        let mut threads = Threads {
            handles: Vec::new(),
        };
        let recorded = Arc::new(AtomicI64::new(sequence.recorded));
        let newest = Arc::new(watch::Sender::new(EventSeq(sequence.event)));
        let pool = Arc::new(Pool::new(
            file.clone(),
            options.read_cache_kib,
            Arc::clone(&cache),
            Arc::clone(&lookup),
            Arc::clone(&health),
        ));
        // The reads above have made it if it was not there.
        let log = directory.join(LOG);
        threads.start_disk(&log, &queue, &disk, (&recorded, &newest), &options)?;
        threads.start_writer(link, &queue, &disk, (&mark, &pool), sequence, &options)?;
        let readers = std::iter::repeat_n(&desk, options.readers.max(1));
        for (number, desk) in readers.chain([&surveys]).enumerate() {
            let db = connect(&file, Purpose::Read, options.read_cache_kib)?;
            threads.start_reader(
                number,
                Link::new(
                    db,
                    Arc::clone(&cache),
                    Arc::clone(&lookup),
                    Arc::clone(&health),
                ),
                desk,
            )?;
        }
        threads.start_checkpointer(&file, &database, &mark, &pool, &options)?;
        // It reads each page once.
        let db = connect(&file, Purpose::Read, 256)?;
        threads.start_gathering(Link::new(
            db,
            Arc::clone(&cache),
            Arc::clone(&lookup),
            Arc::clone(&health),
        ))?;
        Ok(Store {
            inside: Arc::new(Inside {
                pool,
                file,
                migrated,
                lookup,
                health,
                queue,
                disk,
                desk,
                surveys,
                mark,
                recorded,
                newest,
                threads: Mutex::new(threads.handles),
                _database: database,
                _lock: lock,
            }),
        })
    }

    /// What opening found.
    pub fn migrated(&self) -> &Migrated {
        &self.inside.migrated
    }

    /// The database file.
    pub fn file(&self) -> &Path {
        &self.inside.file
    }

    /// When the newest event was recorded; the beginning of 1970 before the first.
    pub fn last_recorded(&self) -> Time {
        Time::from_unix(self.inside.recorded.load(Ordering::Acquire))
    }

    /// The newest event that is durable, and how to wait for the next.
    pub fn newest(&self) -> watch::Receiver<EventSeq> {
        self.inside.newest.subscribe()
    }

    /// Why the store cannot do its work, if so: damage that some read or write has met, until the
    /// store is opened again; or what the disk failed in last, until a write succeeds or a minute has
    /// passed.
    pub fn ailment(&self) -> Option<StoreError> {
        self.inside.health.ailment()
    }

    /// Reads one snapshot on a reading thread. For anything that scans. All of what it has seen is
    /// durable when this answers. It is not read at all if nobody waits for it any more.
    pub async fn read<T, E, F>(&self, body: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
        F: FnOnce(&ReadTx<'_>) -> Result<T, E> + Send + 'static,
    {
        self.read_at(&self.inside.desk, Place::Last, body).await
    }

    /// The same before everyone else: for what must not wait for those who only look, such as the
    /// publication of what is revoked.
    pub async fn read_first<T, E, F>(&self, body: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
        F: FnOnce(&ReadTx<'_>) -> Result<T, E> + Send + 'static,
    {
        self.read_at(&self.inside.desk, Place::First, body).await
    }

    /// The same for what may read the whole fleet and take seconds, such as a blast radius: one such
    /// read at a time, on a thread of its own, so that nothing else waits for it.
    pub async fn survey<T, E, F>(&self, body: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
        F: FnOnce(&ReadTx<'_>) -> Result<T, E> + Send + 'static,
    {
        self.read_at(&self.inside.surveys, Place::Last, body).await
    }

    async fn read_at<T, E, F>(&self, desk: &Desk, place: Place, body: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
        F: FnOnce(&ReadTx<'_>) -> Result<T, E> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let disk = Arc::clone(&self.inside.disk);
        let work = move |link: &Link| {
            if reply.is_closed() {
                return;
            }
            let value = snapshot(link, body);
            disk.settle();
            // Nobody may be waiting any more.
            let _ = reply.send(value);
        };
        desk.push(Box::new(work), place);
        answer
            .await
            .unwrap_or_else(|_| Err(StoreError::Closed.into()))
    }

    /// Reads one snapshot on the caller's own thread: for a few rows found by their keys, where a
    /// hop to another thread would cost more than the read. All of what it has seen is durable when
    /// this returns; while somebody writes, that may take an fsync.
    pub fn glance<T, E: From<StoreError>>(
        &self,
        body: impl FnOnce(&ReadTx<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let value = self.glimpse(body);
        self.inside.disk.settle();
        value
    }

    /// The same without the wait: what it has seen may be lost if the power fails now. For answers about
    /// this moment that promise nothing of it, such as a certificate's status.
    pub fn glimpse<T, E: From<StoreError>>(
        &self,
        body: impl FnOnce(&ReadTx<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        self.inside.pool.with(Age::New, body)
    }

    /// The same, and a few milliseconds old at most, but no older than the last [`Store::outdate`]: for
    /// what a grant rests on that is checked again where it is recorded, which is then later in the
    /// same log, and for what may rest on anything that was not withdrawn. Whatever else comes of it
    /// needs a [`Store::glance`] or a [`Store::glimpse`].
    pub fn peek<T, E: From<StoreError>>(
        &self,
        body: impl FnOnce(&ReadTx<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        self.inside.pool.with(Age::Recent, body)
    }

    /// Says that something was recorded that must count at once: each [`Store::peek`] from now on sees
    /// everything that was committed before.
    pub fn outdate(&self) {
        self.inside.pool.outdate();
    }

    /// Makes a change that the record will show. When this answers `Ok`, it is durable.
    ///
    /// The closure may be run more than once and must have no effect but its writes. It must log at
    /// least one event, or nothing of it is kept ([`StoreError::NoEvent`]). Its error undoes its own
    /// writes only.
    pub async fn record<T, E, F>(&self, operation: OperationId, body: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
        F: Fn(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
    {
        self.write(operation, Rule::Recorded, body).await
    }

    /// Writes to tables that may be emptied at any time without harm, without an event.
    pub async fn scratch<T, E, F>(&self, body: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
        F: Fn(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
    {
        self.unrecorded(body).await
    }

    /// Writes what is a fact about the record rather than in it.
    pub(crate) async fn unrecorded<T, E, F>(&self, body: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
        F: Fn(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
    {
        self.write(OperationId([0; 16]), Rule::Unrecorded, body)
            .await
    }

    async fn write<T, E, F>(&self, operation: OperationId, rule: Rule, body: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
        F: Fn(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
    {
        let (job, answer) = Closure::with_answer(operation, rule, body);
        if self.inside.queue.push(job).is_err() {
            return Err(StoreError::Closed.into());
        }
        answer
            .await
            .map_or_else(|_| Err(StoreError::Closed.into()), |answer| answer.value)
    }

    /// Finishes what waits, then closes the files. Later calls answer [`StoreError::Closed`].
    pub fn close(&self) {
        self.inside.close();
    }
}

impl Inside {
    fn close(&self) {
        self.queue.close();
        self.desk.close();
        self.surveys.close();
        self.mark.close();
        self.lookup.close();
        let threads = std::mem::take(&mut *self.threads.lock());
        for thread in threads {
            // The last handle may be dropped by a closure on one of these threads themselves.
            if thread.thread().id() != std::thread::current().id() {
                // A panic of that thread has been reported by the thread itself.
                let _ = thread.join();
            }
        }
        self.pool.close();
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        self.close();
    }
}

fn last_numbers(link: &Link) -> Result<Sequence, StoreError> {
    let tx = ReadTx::new(link);
    let event = tx.number("SELECT max(seq) FROM event", &[])?;
    let recorded = tx.number("SELECT at FROM event WHERE seq = $1", &[&event])?;
    let certificate = tx
        .number("SELECT max(no) FROM cert", &[])?
        .max(tx.number("SELECT max(no) FROM reservation", &[])?);
    let device = tx.number("SELECT max(no) FROM device", &[])?;
    Ok(Sequence {
        event,
        recorded,
        device,
        certificate,
    })
}

struct Threads {
    handles: Vec<JoinHandle<()>>,
}

impl Threads {
    fn spawn(
        &mut self,
        name: String,
        body: impl FnOnce() + Send + 'static,
    ) -> Result<(), OpenError> {
        let handle =
            std::thread::Builder::new()
                .name(name)
                .spawn(body)
                .map_err(OpenError::while_doing(
                    "starting a thread for",
                    Path::new(FILE),
                ))?;
        self.handles.push(handle);
        Ok(())
    }

    fn start_writer(
        &mut self,
        link: Link,
        queue: &Arc<Queue>,
        disk: &Arc<Disk>,
        (mark, pool): (&Arc<Mark>, &Arc<Pool>),
        sequence: Sequence,
        options: &Options,
    ) -> Result<(), OpenError> {
        let mut link = link;
        let (disk, pool) = (Arc::clone(disk), Arc::clone(pool));
        let (told, health) = (Arc::clone(mark), Arc::clone(&link.health));
        link.db
            .wal_hook(Some(
                move |_: &mut rusqlite::hooks::Wal, pages: std::ffi::c_int| {
                    told.log_holds(u64::try_from(pages).unwrap_or(0));
                    health.wrote();
                    Ok(())
                },
            ))
            .map_err(said)?;
        let (queue, mark) = (Arc::clone(queue), Arc::clone(mark));
        let fatal: Fatal = Arc::clone(&options.fatal);
        self.spawn("store-write".to_owned(), move || {
            let between = |link: &Link| {
                if mark.take_last().is_some() {
                    // Before, so that every page may be moved; after, so that nobody needs the log
                    // any more and the next commit may begin it anew.
                    pool.let_go();
                    checkpoint::checkpoint(&link.db, &link.health, &fatal);
                    pool.let_go();
                }
                link.lookup.spill_if_due(link, &fatal);
            };
            writer::run(link, &queue, &disk, sequence, &fatal, between);
        })
    }

    fn start_disk(
        &mut self,
        log: &Path,
        queue: &Arc<Queue>,
        disk: &Arc<Disk>,
        told: (&Arc<AtomicI64>, &Arc<watch::Sender<EventSeq>>),
        options: &Options,
    ) -> Result<(), OpenError> {
        for number in 0..disk::THREADS {
            // Each opens it anew: of those that share an opened file only one is told of an error.
            let file = disk::open(log).map_err(OpenError::while_doing("opening", log))?;
            let disk = Arc::clone(disk);
            let queue = Arc::clone(queue);
            let (recorded, newest) = (Arc::clone(told.0), Arc::clone(told.1));
            let fatal: Fatal = Arc::clone(&options.fatal);
            self.spawn(format!("store-disk-{number}"), move || {
                let told = |last: Sequence| {
                    recorded.fetch_max(last.recorded, Ordering::Release);
                    newest.send_if_modified(|newest| {
                        let is_news = newest.0 < last.event;
                        newest.0 = newest.0.max(last.event);
                        is_news
                    });
                };
                disk::run(&file, &disk, &queue, &fatal, told);
            })?;
        }
        Ok(())
    }

    fn start_reader(
        &mut self,
        number: usize,
        link: Link,
        desk: &Arc<Desk>,
    ) -> Result<(), OpenError> {
        let desk = Arc::clone(desk);
        self.spawn(format!("store-read-{number}"), move || desk.serve(&link))
    }

    fn start_gathering(&mut self, link: Link) -> Result<(), OpenError> {
        self.spawn("store-gather".to_owned(), move || link.lookup.gather(&link))
    }

    fn start_checkpointer(
        &mut self,
        file: &Path,
        database: &Arc<File>,
        mark: &Arc<Mark>,
        pool: &Arc<Pool>,
        options: &Options,
    ) -> Result<(), OpenError> {
        let db = connect(file, Purpose::Checkpoint, 256)?;
        let database = Arc::clone(database);
        let (mark, pool) = (Arc::clone(mark), Arc::clone(pool));
        let fatal: Fatal = Arc::clone(&options.fatal);
        self.spawn("store-checkpoint".to_owned(), move || {
            checkpoint::run(&db, &database, &mark, &pool, &fatal)
        })
    }
}
