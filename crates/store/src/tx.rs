//! What a closure sees of the database: a snapshot to read, and for the writer a place to write.
//!
//! Hot writes are *deferred*: kept in memory until the group commits or until somebody must see
//! them. A closure that fails before any of its writes reached the database costs no savepoint:
//! its deferred writes are forgotten. The first write that must reach the database at once opens
//! one.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::ops::{ControlFlow, Deref};
use std::sync::Arc;

use rusqlite::types::{FromSql, Value};
use rusqlite::{CachedStatement, Connection, ToSql};
use tenure_x509::Time;

use crate::cache::Cache;
use crate::counter::{Counter, write_counts};
use crate::driver::numbered;
use crate::driver::sqlite::said;
use crate::error::StoreError;
use crate::health::Health;
use crate::lookup::{By, Known, Lookup};

/// A connection and the rewritten texts of the statements that ran on it.
pub(crate) struct Link {
    pub(crate) db: Connection,
    texts: RefCell<HashMap<(usize, usize), Arc<str>>>,
    pub(crate) cache: Arc<Cache>,
    pub(crate) lookup: Arc<Lookup>,
    pub(crate) health: Arc<Health>,
}

impl Link {
    pub(crate) fn new(
        db: Connection,
        cache: Arc<Cache>,
        lookup: Arc<Lookup>,
        health: Arc<Health>,
    ) -> Link {
        Link {
            db,
            texts: RefCell::default(),
            cache,
            lookup,
            health,
        }
    }

    /// Runs a statement without arguments.
    pub(crate) fn execute(&self, sql: &'static str) -> Result<(), StoreError> {
        self.prepare(sql)
            .and_then(|mut statement| statement.execute([]))
            .map_err(|error| self.said(error))?;
        Ok(())
    }

    pub(crate) fn prepare(&self, sql: &'static str) -> rusqlite::Result<CachedStatement<'_>> {
        // A static text is known by where it is, so finding its rewriting costs one small hash.
        let key = (sql.as_ptr() as usize, sql.len());
        let mut texts = self.texts.borrow_mut();
        let text = texts.entry(key).or_insert_with(|| numbered(sql).into());
        let text = Arc::clone(text);
        drop(texts);
        self.db.prepare_cached(&text)
    }

    /// Our word for an error of the database; damage is remembered.
    pub(crate) fn said(&self, error: rusqlite::Error) -> StoreError {
        let error = said(error);
        self.health.met(&error);
        error
    }
}

/// A row that a deferred write of this group has changed, and that must therefore be written before
/// it is read again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Touched {
    Device(i64),
    Certificate(i64),
    Reservation(i64),
    Secret(i64),
}

struct Deferred {
    sql: &'static str,
    args: Vec<Value>,
}

impl Deferred {
    /// Its place among those of the same text.
    fn order(&self) -> i64 {
        match self.args.first() {
            Some(Value::Integer(first)) => *first,
            _ => 0,
        }
    }
}

/// The writes of a group that have not reached the database.
#[derive(Default)]
pub(crate) struct Pending {
    writes: Vec<Deferred>,
    counts: Vec<(Counter, i64)>,
    /// Entries of the lookup for rows of this group.
    known: Vec<Known>,
    /// Where the writes, counts and entries of the present closure begin.
    own_writes: usize,
    own_counts: usize,
    own_known: usize,
    touched: HashSet<Touched>,
    savepoint: Savepoint,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Savepoint {
    #[default]
    Closed,
    Open,
}

/// A consistent snapshot of the database.
pub struct ReadTx<'c> {
    link: &'c Link,
    pending: RefCell<Pending>,
    memory: Memory,
    /// How many spills of the lookup there were before this snapshot was taken.
    spills: u64,
    /// What [`ReadTx::number_once`] has read.
    numbers: RefCell<Vec<Numbered>>,
    /// The statements of [`ReadTx::first`] at rest: a group asks the same few again and again.
    firsts: RefCell<Vec<(&'static str, CachedStatement<'c>)>>,
}

/// The answer of a statement to one argument.
struct Numbered {
    sql: &'static str,
    arg: i64,
    number: Option<i64>,
}

/// Whether rows of this transaction may be remembered beyond it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Memory {
    /// They are committed.
    Committed,
    /// They might still be undone.
    Open,
}

impl<'c> ReadTx<'c> {
    pub(crate) fn new(link: &'c Link) -> ReadTx<'c> {
        ReadTx::since(link, link.lookup.spills())
    }

    /// A snapshot that was begun when there had been so many spills of the lookup.
    pub(crate) fn since(link: &'c Link, spills: u64) -> ReadTx<'c> {
        ReadTx {
            link,
            pending: RefCell::default(),
            memory: Memory::Committed,
            spills,
            numbers: RefCell::default(),
            firsts: RefCell::default(),
        }
    }

    pub(crate) fn lookup(&self) -> &Lookup {
        &self.link.lookup
    }

    pub(crate) fn spills(&self) -> u64 {
        self.spills
    }

    /// Candidates among the rows that this group has not committed.
    pub(crate) fn unwritten(&self, by: By, value: i64) -> Vec<i64> {
        let pending = self.pending.borrow();
        let known = pending.known.iter();
        known
            .filter(|known| known.by == by && known.value == value)
            .map(|known| known.cert)
            .collect()
    }

    /// Whether what was read here may be kept in memory for other transactions.
    pub(crate) fn may_remember(&self) -> bool {
        self.memory == Memory::Committed
    }

    pub(crate) fn cache(&self) -> &Cache {
        &self.link.cache
    }

    /// The first row, if any.
    pub(crate) fn one<T>(
        &self,
        sql: &'static str,
        args: &[&dyn ToSql],
        map: impl FnOnce(&Row<'_>) -> Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        self.settle()?;
        self.first(sql, args, map)
    }

    /// The first row, if any, of a statement that reads only `row`: what other closures of the group
    /// have deferred is written first only if it concerns that row.
    pub(crate) fn peek<T>(
        &self,
        row: Touched,
        sql: &'static str,
        args: &[&dyn ToSql],
        map: impl FnOnce(&Row<'_>) -> Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        if self.pending.borrow().touched.contains(&row) {
            self.settle()?;
        }
        self.first(sql, args, map)
    }

    /// The first row, if any, of a statement over rows that are never deferred.
    pub(crate) fn first<T>(
        &self,
        sql: &'static str,
        args: &[&dyn ToSql],
        map: impl FnOnce(&Row<'_>) -> Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        let mut statement = self.statement_at_rest(sql)?;
        let mut rows = statement
            .query(args)
            .map_err(|error| self.link.said(error))?;
        let value = match rows.next().map_err(|error| self.link.said(error))? {
            Some(row) => map(&Row(row)).map(Some),
            None => Ok(None),
        };
        drop(rows);
        self.firsts.borrow_mut().push((sql, statement));
        value
    }

    fn statement_at_rest(&self, sql: &'static str) -> Result<CachedStatement<'c>, StoreError> {
        let mut firsts = self.firsts.borrow_mut();
        match firsts.iter().position(|(text, _)| std::ptr::eq(*text, sql)) {
            Some(place) => Ok(firsts.swap_remove(place).1),
            None => self
                .link
                .prepare(sql)
                .map_err(|error| self.link.said(error)),
        }
    }

    /// The number in the first row, if there is one, of a statement over rows that are never deferred
    /// and hardly ever change: read once for a whole group, and again after anything was written at
    /// once or undone.
    pub(crate) fn number_once(
        &self,
        sql: &'static str,
        arg: i64,
    ) -> Result<Option<i64>, StoreError> {
        let numbers = self.numbers.borrow();
        let known = numbers
            .iter()
            .find(|known| std::ptr::eq(known.sql, sql) && known.arg == arg);
        if let Some(known) = known {
            return Ok(known.number);
        }
        drop(numbers);
        let number = self
            .first(sql, &[&arg], |row| row.get::<Option<i64>>(0))?
            .flatten();
        self.numbers
            .borrow_mut()
            .push(Numbered { sql, arg, number });
        Ok(number)
    }

    /// Every row, in order.
    pub(crate) fn all<T>(
        &self,
        sql: &'static str,
        args: &[&dyn ToSql],
        mut map: impl FnMut(&Row<'_>) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        let mut out = Vec::new();
        self.each(sql, args, |row| {
            out.push(map(row)?);
            Ok(())
        })?;
        Ok(out)
    }

    /// Calls `visit` with every row, in order, holding one at a time.
    pub(crate) fn each<E: From<StoreError>>(
        &self,
        sql: &'static str,
        args: &[&dyn ToSql],
        visit: impl FnMut(&Row<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.settle()?;
        self.each_settled(sql, args, visit)
    }

    /// The same for rows that are never deferred.
    pub(crate) fn each_settled<E: From<StoreError>>(
        &self,
        sql: &'static str,
        args: &[&dyn ToSql],
        mut visit: impl FnMut(&Row<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut statement = self
            .link
            .prepare(sql)
            .map_err(|error| self.link.said(error))?;
        let mut rows = statement
            .query(args)
            .map_err(|error| self.link.said(error))?;
        while let Some(row) = rows.next().map_err(|error| self.link.said(error))? {
            visit(&Row(row))?;
        }
        Ok(())
    }

    /// Calls `visit` with each row, in order, until it breaks.
    pub(crate) fn walk(
        &self,
        sql: &'static str,
        args: &[&dyn ToSql],
        mut visit: impl FnMut(&Row<'_>) -> Result<ControlFlow<()>, StoreError>,
    ) -> Result<(), StoreError> {
        self.settle()?;
        let mut statement = self
            .link
            .prepare(sql)
            .map_err(|error| self.link.said(error))?;
        let mut rows = statement
            .query(args)
            .map_err(|error| self.link.said(error))?;
        while let Some(row) = rows.next().map_err(|error| self.link.said(error))? {
            if visit(&Row(row))?.is_break() {
                break;
            }
        }
        Ok(())
    }

    /// The single number a statement answers; 0 when there is no row.
    pub(crate) fn number(&self, sql: &'static str, args: &[&dyn ToSql]) -> Result<i64, StoreError> {
        Ok(self
            .one(sql, args, |row| row.get::<Option<i64>>(0))?
            .flatten()
            .unwrap_or(0))
    }

    /// Writes what is deferred, so that a read sees it.
    fn settle(&self) -> Result<(), StoreError> {
        let mut pending = self.pending.borrow_mut();
        if pending.writes.is_empty() && pending.counts.is_empty() {
            return Ok(());
        }
        let own =
            pending.writes.len() > pending.own_writes || pending.counts.len() > pending.own_counts;
        if own {
            self.open_savepoint(&mut pending)?;
        }
        self.write_all(&mut pending)
    }

    /// Gives the present closure a savepoint; what other closures deferred goes before it.
    fn open_savepoint(&self, pending: &mut Pending) -> Result<(), StoreError> {
        if pending.savepoint == Savepoint::Open {
            return Ok(());
        }
        let own_writes = pending.writes.split_off(pending.own_writes);
        let own_counts = pending.counts.split_off(pending.own_counts);
        self.write_all(pending)?;
        self.statement("SAVEPOINT closure")?;
        pending.savepoint = Savepoint::Open;
        pending.writes = own_writes;
        pending.counts = own_counts;
        Ok(())
    }

    fn write_all(&self, pending: &mut Pending) -> Result<(), StoreError> {
        write_deferred(self.link, &mut pending.writes)?;
        write_counts(self.link, &mut pending.counts)?;
        pending.own_writes = 0;
        pending.own_counts = 0;
        pending.touched.clear();
        Ok(())
    }

    fn statement(&self, sql: &'static str) -> Result<usize, StoreError> {
        self.link
            .prepare(sql)
            .and_then(|mut s| s.execute([]))
            .map_err(|error| self.link.said(error))
    }
}

/// Writes the deferred statements, those of one text together, texts in order of appearance.
fn write_deferred(link: &Link, writes: &mut Vec<Deferred>) -> Result<(), StoreError> {
    let mut texts: Vec<&'static str> = Vec::new();
    for write in writes.iter() {
        if !texts.iter().any(|text| std::ptr::eq(*text, write.sql)) {
            texts.push(write.sql);
        }
    }
    for text in texts {
        let mut statement = link.prepare(text).map_err(|error| link.said(error))?;
        let mut of_text: Vec<&Deferred> = writes
            .iter()
            .filter(|write| std::ptr::eq(write.sql, text))
            .collect();
        // Neighbours after each other: fewer pages are touched, and a table that grows at its end is
        // not split in its middle.
        of_text.sort_by_key(|write| write.order());
        for write in of_text {
            statement
                .execute(rusqlite::params_from_iter(write.args.iter()))
                .map_err(|error| link.said(error))?;
        }
    }
    writes.clear();
    Ok(())
}

/// The numbers that only the writer gives out.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sequence {
    /// The last event.
    pub(crate) event: i64,
    /// When it was recorded, in Unix seconds.
    pub(crate) recorded: i64,
    /// The last device.
    pub(crate) device: i64,
    /// The last certificate or reservation.
    pub(crate) certificate: i64,
}

/// Whether a closure said why it logs no event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Excuse {
    None,
    Given,
}

/// A transaction that may write. It reads like a [`ReadTx`] and sees its own writes.
pub struct Tx<'c> {
    read: ReadTx<'c>,
    pub(crate) sequence: Sequence,
    /// The sequence as the present closure found it.
    before: Sequence,
    pub(crate) operation: [u8; 16],
    pub(crate) events: u32,
    pub(crate) excused: Excuse,
}

impl<'c> Deref for Tx<'c> {
    type Target = ReadTx<'c>;

    fn deref(&self) -> &ReadTx<'c> {
        &self.read
    }
}

impl<'c> Tx<'c> {
    pub(crate) fn new(link: &'c Link, sequence: Sequence) -> Tx<'c> {
        Tx {
            read: ReadTx {
                memory: Memory::Open,
                ..ReadTx::new(link)
            },
            sequence,
            before: sequence,
            operation: [0; 16],
            events: 0,
            excused: Excuse::None,
        }
    }

    /// Writes at once; answers how many rows changed.
    pub(crate) fn run(&self, sql: &'static str, args: &[&dyn ToSql]) -> Result<usize, StoreError> {
        self.before_writing()?;
        self.read
            .link
            .prepare(sql)
            .and_then(|mut s| s.execute(args))
            .map_err(|error| self.read.link.said(error))
    }

    /// Writes at once a row whose statement ends in `RETURNING` one number, and answers that.
    pub(crate) fn insert(&self, sql: &'static str, args: &[&dyn ToSql]) -> Result<i64, StoreError> {
        self.before_writing()?;
        self.read
            .link
            .prepare(sql)
            .and_then(|mut s| s.query_row(args, |row| row.get(0)))
            .map_err(|error| self.read.link.said(error))
    }

    /// What a write that must reach the database at once needs before it.
    fn before_writing(&self) -> Result<(), StoreError> {
        self.read.numbers.borrow_mut().clear();
        let mut pending = self.read.pending.borrow_mut();
        self.read.open_savepoint(&mut pending)?;
        self.read.write_all(&mut pending)
    }

    /// Writes when the group commits, or before the row is read again. Deferred writes of one group
    /// must not depend on each other's order: those of one text are sorted by their first argument,
    /// which is best the number of the row.
    pub(crate) fn defer(&self, sql: &'static str, args: Vec<Value>) {
        self.read
            .pending
            .borrow_mut()
            .writes
            .push(Deferred { sql, args });
    }

    /// Says that a deferred write changes `row`.
    pub(crate) fn touch(&self, row: Touched) {
        self.read.pending.borrow_mut().touched.insert(row);
    }

    /// Adds to a counter when the group commits.
    pub(crate) fn count(&self, counter: Counter, by: i64) {
        self.read.pending.borrow_mut().counts.push((counter, by));
    }

    /// Adds an entry to the lookup when the group is committed.
    pub(crate) fn index(&self, known: Known) {
        self.read.pending.borrow_mut().known.push(known);
    }

    /// The entries to be learnt now that the group is written.
    pub(crate) fn take_known(&mut self) -> Vec<Known> {
        std::mem::take(&mut self.read.pending.borrow_mut().known)
    }

    /// Begins a closure.
    pub(crate) fn begin(&mut self, operation: [u8; 16]) {
        self.operation = operation;
        self.events = 0;
        self.excused = Excuse::None;
        self.before = self.sequence;
        let mut pending = self.read.pending.borrow_mut();
        pending.own_writes = pending.writes.len();
        pending.own_counts = pending.counts.len();
        pending.own_known = pending.known.len();
    }

    /// Whether the transaction still stands. Some errors, such as a failing disk, make SQLite undo the
    /// whole of it; what was written after that would be committed statement by statement.
    pub(crate) fn is_whole(&self) -> Result<(), StoreError> {
        if self.read.link.db.is_autocommit() {
            let what = "an error of one closure undid the whole group";
            return Err(StoreError::Database(what.to_owned()));
        }
        Ok(())
    }

    /// Keeps what the present closure wrote.
    pub(crate) fn keep(&mut self) -> Result<(), StoreError> {
        let mut pending = self.read.pending.borrow_mut();
        if pending.savepoint == Savepoint::Open {
            self.read.statement("RELEASE closure")?;
            pending.savepoint = Savepoint::Closed;
        }
        Ok(())
    }

    /// Forgets what the present closure wrote.
    pub(crate) fn discard(&mut self) -> Result<(), StoreError> {
        self.sequence = self.before;
        self.read.numbers.borrow_mut().clear();
        let mut pending = self.read.pending.borrow_mut();
        let known = pending.own_known;
        pending.known.truncate(known);
        if pending.savepoint == Savepoint::Open {
            // Everything deferred by others was written before the savepoint.
            pending.writes.clear();
            pending.counts.clear();
            self.read.statement("ROLLBACK TO closure")?;
            self.read.statement("RELEASE closure")?;
            pending.savepoint = Savepoint::Closed;
        } else {
            let (writes, counts) = (pending.own_writes, pending.own_counts);
            pending.writes.truncate(writes);
            pending.counts.truncate(counts);
        }
        Ok(())
    }

    /// Writes everything deferred; the group is about to commit.
    pub(crate) fn finish(&mut self) -> Result<(), StoreError> {
        let mut pending = self.read.pending.borrow_mut();
        self.read.write_all(&mut pending)
    }
}

/// One row of an answer.
pub(crate) struct Row<'r>(&'r rusqlite::Row<'r>);

impl Row<'_> {
    pub(crate) fn get<T: FromSql>(&self, column: usize) -> Result<T, StoreError> {
        self.0.get(column).map_err(said)
    }

    pub(crate) fn text(&self, column: usize) -> Result<&str, StoreError> {
        self.0
            .get_ref(column)
            .map_err(said)?
            .as_str()
            .map_err(|_| StoreError::Unreadable {
                what: "a text column",
            })
    }

    pub(crate) fn blob(&self, column: usize) -> Result<&[u8], StoreError> {
        self.0
            .get_ref(column)
            .map_err(said)?
            .as_blob()
            .map_err(|_| StoreError::Unreadable {
                what: "a blob column",
            })
    }

    pub(crate) fn time(&self, column: usize) -> Result<Time, StoreError> {
        Ok(Time::from_unix(self.get(column)?))
    }

    /// A time whose absence is stored as 0.
    pub(crate) fn some_time(&self, column: usize) -> Result<Option<Time>, StoreError> {
        let unix: i64 = self.get(column)?;
        Ok((unix != 0).then(|| Time::from_unix(unix)))
    }
}
