//! The one thread that writes: it takes the closures that wait, runs them one after another in one
//! transaction, commits that, and leaves it to [`crate::disk`] to make it durable and answer them.

use std::any::Any;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};
use tokio::sync::oneshot;

use crate::disk::{Disk, Group};
use crate::driver::sqlite::{is_fatal, said};
use crate::error::StoreError;
use crate::gate::Gate;
use crate::tx::{Excuse, Link, Sequence, Tx};

/// A closure slower than this holds up everybody's commit and is worth a line in the log.
const SLOW: Duration = Duration::from_millis(50);

/// So many closures are worth a commit of their own while the disk is still busy with the last one;
/// fewer wait for it, and for others to come.
const WORTH: usize = 16;

/// Names one recording transaction, so that its outcome can be asked after an unclean stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct OperationId(pub [u8; 16]);

/// What a closure's transaction must have done to be committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rule {
    /// Log at least one event.
    Recorded,
    /// Nothing: its tables may be emptied at any time, or are about the record itself.
    Unrecorded,
}

/// A closure's value. What it worked on comes back with it, to be dropped by whoever made it and
/// not by a thread that others wait for; memory is cheapest to give back where it was taken.
pub(crate) struct Answer<T, E, F> {
    pub(crate) value: Result<T, E>,
    _body: F,
}

/// Where whoever asked waits for it.
pub(crate) type Answered<T, E, F> = oneshot::Receiver<Answer<T, E, F>>;

/// A closure and where its answer goes.
pub(crate) trait Job: Send {
    /// Runs the closure; whether its writes are to be kept.
    fn run(&mut self, tx: &mut Tx<'_>) -> Verdict;
    /// Answers: the closure's own value if the group was committed.
    fn answer(self: Box<Self>, commit: Result<(), StoreError>);
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Keep,
    Discard,
}

pub(crate) struct Closure<T, E, F> {
    operation: OperationId,
    rule: Rule,
    body: F,
    value: Option<Result<T, E>>,
    reply: oneshot::Sender<Answer<T, E, F>>,
}

impl<T, E, F> Closure<T, E, F>
where
    T: Send + 'static,
    E: From<StoreError> + Send + 'static,
    F: Fn(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
{
    pub(crate) fn with_answer(
        operation: OperationId,
        rule: Rule,
        body: F,
    ) -> (Box<dyn Job>, Answered<T, E, F>) {
        let (reply, answer) = oneshot::channel();
        (
            Box::new(Closure {
                operation,
                rule,
                body,
                value: None,
                reply,
            }),
            answer,
        )
    }
}

impl<T, E, F> Job for Closure<T, E, F>
where
    T: Send + 'static,
    E: From<StoreError> + Send + 'static,
    F: Fn(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
{
    fn run(&mut self, tx: &mut Tx<'_>) -> Verdict {
        tx.begin(self.operation.0);
        let began = Instant::now();
        let mut nothing_changed = false;
        let value = match catch_unwind(AssertUnwindSafe(|| (self.body)(tx))) {
            Ok(Ok(value)) if self.rule == Rule::Recorded && tx.events == 0 => {
                // An excuse says that nothing changed; whatever was written all the same is undone.
                nothing_changed = true;
                match tx.excused {
                    Excuse::Given => Ok(value),
                    Excuse::None => Err(StoreError::NoEvent.into()),
                }
            }
            Ok(value) => value,
            Err(panic) => {
                let what = panic_text(panic.as_ref());
                tracing::error!(what, "a transaction stopped unexpectedly and was undone");
                Err(StoreError::Panicked(what).into())
            }
        };
        let took = began.elapsed();
        if took > SLOW {
            tracing::warn!(
                milliseconds = took.as_millis(),
                "a slow transaction held up the others"
            );
        }
        let keep = value.is_ok() && !nothing_changed;
        let verdict = if keep {
            Verdict::Keep
        } else {
            Verdict::Discard
        };
        self.value = Some(value);
        verdict
    }

    fn answer(self: Box<Self>, commit: Result<(), StoreError>) {
        let value = match (commit, self.value) {
            (Ok(()), Some(value)) => value,
            // What the closure itself refused stays refused, whatever became of the others.
            (Err(_), Some(Err(own))) => Err(own),
            (Err(error), _) => Err(error.into()),
            (Ok(()), None) => Err(StoreError::Closed.into()),
        };
        let answer = Answer {
            value,
            _body: self.body,
        };
        // Nobody may be waiting any more; the commit stands all the same.
        let _ = self.reply.send(answer);
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned())
}

/// The closures that wait for the writer.
pub(crate) struct Queue {
    /// At most so many share one commit.
    most: usize,
    state: Mutex<Waiting>,
    arrived: Condvar,
}

struct Waiting {
    jobs: VecDeque<Box<dyn Job>>,
    gate: Gate,
    writer: Writer,
    /// Groups that are not durable yet.
    unsettled: usize,
}

impl Waiting {
    /// Whether the writer should take what waits.
    fn is_ready(&self, most: usize) -> bool {
        let enough = match self.unsettled {
            0 => 1,
            _ => most.min(WORTH),
        };
        self.jobs.len() >= enough || self.gate == Gate::Closed
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Writer {
    Working,
    Asleep,
    /// It slept and was woken, but has not come yet.
    Called,
}

impl Queue {
    pub(crate) fn new(most: usize) -> Queue {
        Queue {
            most: most.max(1),
            state: Mutex::new(Waiting {
                jobs: VecDeque::new(),
                gate: Gate::Open,
                writer: Writer::Working,
                unsettled: 0,
            }),
            arrived: Condvar::new(),
        }
    }

    /// Adds a closure; gives it back if the store is closing.
    pub(crate) fn push(&self, job: Box<dyn Job>) -> Result<(), Box<dyn Job>> {
        let mut state = self.state.lock();
        if state.gate == Gate::Closed {
            return Err(job);
        }
        state.jobs.push_back(job);
        self.wake(state);
        Ok(())
    }

    /// Wakes the writer if it sleeps and has reason not to.
    fn wake(&self, mut state: MutexGuard<'_, Waiting>) {
        let is_due = state.writer == Writer::Asleep && state.is_ready(self.most);
        if is_due {
            state.writer = Writer::Called;
        }
        drop(state);
        if is_due {
            self.arrived.notify_one();
        }
    }

    /// Takes no more closures; those that wait are still run.
    pub(crate) fn close(&self) {
        self.state.lock().gate = Gate::Closed;
        self.arrived.notify_all();
    }

    /// So many groups have become durable.
    pub(crate) fn settled(&self, groups: usize) {
        let mut state = self.state.lock();
        state.unsettled = state.unsettled.saturating_sub(groups);
        self.wake(state);
    }

    /// Waits for closures and moves them into `group`; `None` when closed and empty.
    fn take(&self, group: &mut Vec<Box<dyn Job>>) -> Option<()> {
        let mut state = self.state.lock();
        while !state.is_ready(self.most) {
            state.writer = Writer::Asleep;
            self.arrived.wait(&mut state);
            state.writer = Writer::Working;
        }
        if state.jobs.is_empty() {
            return None;
        }
        let count = state.jobs.len().min(self.most);
        group.extend(state.jobs.drain(..count));
        state.unsettled += 1;
        Some(())
    }
}

/// What is done when durability is in doubt; it does not return in the product.
pub(crate) type Fatal = Arc<dyn Fn(&str) + Send + Sync>;

/// Runs until the queue is closed and empty. Each group that was taken is handed to the disk, with
/// those of its closures that are to be answered once it is durable.
pub(crate) fn run(
    link: Link,
    queue: &Queue,
    disk: &Disk,
    mut sequence: Sequence,
    fatal: &Fatal,
    between: impl Fn(&Link),
) {
    let mut group = Vec::new();
    while queue.take(&mut group).is_some() {
        let jobs = std::mem::take(&mut group);
        let jobs = whole(&link, jobs, disk, &mut sequence, fatal);
        disk.hand_over(Group {
            number: disk.newest(),
            sequence,
            jobs,
        });
        between(&link);
    }
    disk.close();
}

/// Commits the group and returns those of its closures that wait for the disk; the others have been
/// answered.
fn whole(
    link: &Link,
    mut group: Vec<Box<dyn Job>>,
    disk: &Disk,
    sequence: &mut Sequence,
    fatal: &Fatal,
) -> Vec<Box<dyn Job>> {
    let Err(error) = commit(link, &mut group, disk, sequence, fatal) else {
        return group;
    };
    tracing::error!(%error, closures = group.len(), "a group was not committed");
    if group.len() == 1 || !may_be_of_one(&error) {
        refuse(link, group, &error);
        return Vec::new();
    }
    group
        .into_iter()
        .filter_map(|job| alone(link, job, disk, sequence, fatal))
        .collect()
}

/// Whether one closure may have spoilt the group: by a deferred write, by an error that ends a whole
/// transaction, or as there is room for the others and not for it.
fn may_be_of_one(error: &StoreError) -> bool {
    matches!(
        error,
        StoreError::Taken(_) | StoreError::Database(_) | StoreError::DiskFull | StoreError::Io(_)
    )
}

/// Commits one closure of a group that was not committed, or answers it.
fn alone(
    link: &Link,
    job: Box<dyn Job>,
    disk: &Disk,
    sequence: &mut Sequence,
    fatal: &Fatal,
) -> Option<Box<dyn Job>> {
    let mut group = vec![job];
    match commit(link, &mut group, disk, sequence, fatal) {
        Ok(()) => group.pop(),
        Err(error) => {
            refuse(link, group, &error);
            None
        }
    }
}

fn refuse(link: &Link, group: Vec<Box<dyn Job>>, error: &StoreError) {
    link.health.met(error);
    for job in group {
        job.answer(Err(error.clone()));
    }
}

/// Runs the group's closures and commits what they wrote, or undoes all of it.
fn commit(
    link: &Link,
    group: &mut [Box<dyn Job>],
    disk: &Disk,
    sequence: &mut Sequence,
    fatal: &Fatal,
) -> Result<(), StoreError> {
    link.execute("BEGIN IMMEDIATE")?;
    let mut tx = Tx::new(link, *sequence);
    let written = run_closures(&mut tx, group);
    let after = tx.sequence;
    let known = tx.take_known();
    drop(tx);
    disk.begin();
    end(link, written, fatal)?;
    *sequence = after;
    link.lookup.learn(known);
    Ok(())
}

/// Commits what a transaction has written, or undoes it if that came to nothing. Does not return if
/// the disk failed in a way that leaves durability in doubt.
pub(crate) fn end(
    link: &Link,
    written: Result<(), StoreError>,
    fatal: &Fatal,
) -> Result<(), StoreError> {
    let committed = written.and_then(|()| {
        let done = link.prepare("COMMIT").and_then(|mut s| s.execute([]));
        done.map(|_| ()).map_err(|error| {
            if is_fatal(&error) {
                fatal(&format!(
                    "the disk could not make a commit durable: {error}"
                ));
            }
            said(error)
        })
    });
    if committed.is_err() {
        // A full disk may already have ended the transaction; then this says so and that is fine.
        let _ = link.execute("ROLLBACK");
    }
    committed
}

fn run_closures(tx: &mut Tx<'_>, group: &mut [Box<dyn Job>]) -> Result<(), StoreError> {
    for job in group {
        let verdict = job.run(tx);
        tx.is_whole()?;
        match verdict {
            Verdict::Keep => tx.keep()?,
            Verdict::Discard => tx.discard()?,
        }
    }
    tx.finish()
}
