//! Finding certificates by serial and by key without writing an index page for each of them.
//!
//! Both values look random: an ordinary index dirties one page of its own per certificate, which
//! at a million certificates is most of what an issuance writes. Here the newest entries are in
//! memory only. The certificate rows are what makes them durable: when the store is opened they
//! are made again from the rows after the number that `spilled` tells. Once [`SPILL`] have come
//! together they are written to the tables `serial_lookup` and `key_lookup`, sorted.
//!
//! What a lookup answers are *candidates*: the caller reads the row and compares the whole value.
//! An entry may be there before its row (of a reservation) or twice (in memory and in the table).
//!
//! A snapshot older than a spill does not see what that wrote, so entries stay in memory until the
//! next spill. A snapshot older than that as well looks through the rows themselves.
//!
//! What the tables may hold is known in memory too, so that a value that nobody has is not searched
//! for in vain. After the store was opened it takes a moment until that is gathered.

mod bloom;

use std::collections::BTreeSet;
use std::mem;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::RwLock;
use tenure_x509::Serial;

use self::bloom::Bloom;
use crate::certificate::{key_prefix, serial_hash};
use crate::error::StoreError;
use crate::tx::{Link, ReadTx};
use crate::writer::{self, Fatal};

/// How many entries come together before they are written.
pub(crate) const SPILL: usize = 8192;

/// What a certificate is found by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum By {
    /// [`serial_hash`] of its serial.
    Serial,
    /// The first eight bytes of its key's hash.
    Key,
}

/// One certificate under one of its two values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) by: By,
    pub(crate) value: i64,
    pub(crate) cert: i64,
}

/// The entries of one time between two spills.
#[derive(Default)]
struct Young {
    serials: Entries,
    keys: Entries,
}

/// Entries by one of the two values, as (value, certificate).
#[derive(Default)]
struct Entries {
    sorted: BTreeSet<(i64, i64)>,
    /// One bit for each possible lower end of a value, set where there is an entry: almost every
    /// question is about a value that nobody has, and needs no search.
    ends: Vec<u64>,
}

impl Entries {
    /// So many of the lower bits of a value are its end: 16 KiB of bits, one in sixteen of them set
    /// when the entries are written.
    const END_BITS: u32 = 17;

    fn place(value: i64) -> (usize, u64) {
        let end = value.cast_unsigned() & ((1 << Self::END_BITS) - 1);
        // 17 bits fit everywhere.
        ((end / 64) as usize, 1 << (end % 64))
    }

    fn insert(&mut self, value: i64, cert: i64) {
        self.ends.resize(1 << (Self::END_BITS - 6), 0);
        let (word, bit) = Self::place(value);
        if let Some(word) = self.ends.get_mut(word) {
            *word |= bit;
        }
        self.sorted.insert((value, cert));
    }

    /// The certificates under a value.
    fn of(&self, value: i64) -> impl Iterator<Item = i64> {
        let (word, bit) = Self::place(value);
        let may_be = self.ends.get(word).is_some_and(|word| word & bit != 0);
        let range = may_be.then(|| self.sorted.range((value, i64::MIN)..=(value, i64::MAX)));
        range.into_iter().flatten().map(|(_, cert)| *cert)
    }
}

impl Young {
    fn of(&self, by: By) -> &Entries {
        match by {
            By::Serial => &self.serials,
            By::Key => &self.keys,
        }
    }

    fn insert(&mut self, known: Known) {
        match known.by {
            By::Serial => self.serials.insert(known.value, known.cert),
            By::Key => self.keys.insert(known.value, known.cert),
        }
    }

    fn listed(&self) -> Listed {
        let list = |entries: &Entries| entries.sorted.iter().copied().collect();
        Listed {
            serials: list(&self.serials),
            keys: list(&self.keys),
        }
    }
}

/// Entries as (value, certificate), in order of value: a copy, so that nobody waits while they are
/// written.
struct Listed {
    serials: Vec<(i64, i64)>,
    keys: Vec<(i64, i64)>,
}

#[derive(Default)]
struct State {
    /// How many spills there were since the store was opened.
    spills: u64,
    /// Not in the tables.
    current: Young,
    /// Written by the latest spill.
    previous: Young,
    /// What the tables may hold: what the spills have written, and what was gathered of what had been
    /// there.
    written: Bloom,
    gathered: Gathered,
}

/// Whether all that the tables held when the store was opened has been gathered.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Gathered {
    #[default]
    NotYet,
    Wholly,
}

impl State {
    /// Where a snapshot taken after `spills` spills finds what is not in memory.
    fn rest(&self, spills: u64) -> Rest {
        if self.spills <= spills + 1 {
            Rest::InTables
        } else {
            Rest::InRows
        }
    }

    /// The same for one value.
    fn rest_of(&self, value: i64, spills: u64) -> Rest {
        match self.rest(spills) {
            Rest::InTables
                if self.gathered == Gathered::Wholly && !self.written.may_hold(value) =>
            {
                Rest::Nowhere
            }
            rest => rest,
        }
    }
}

/// The newest entries, shared by everything that reads or writes one store.
#[derive(Default)]
pub(crate) struct Lookup {
    state: RwLock<State>,
    is_closing: AtomicBool,
}

/// The pause after each page that is gathered: a server that starts has better use for the processor.
const BREATH: Duration = Duration::from_millis(2);

/// For no more certificates is room made beforehand (32 MiB).
const EXPECTED_MAX: i64 = 1 << 24;

/// So many values are added under one lock: nobody who looks up should have to sleep for it.
const AT_ONCE: usize = 64;

impl Lookup {
    /// How many spills there were: a snapshot taken after this was asked sees what they wrote.
    pub(crate) fn spills(&self) -> u64 {
        self.state.read().spills
    }

    /// Adds the entries of rows that are now committed. Each alone: whoever looks up meanwhile waits
    /// for one insertion and need not sleep.
    pub(crate) fn learn(&self, known: impl IntoIterator<Item = Known>) {
        for known in known {
            self.state.write().current.insert(known);
        }
    }

    /// Takes note that the tables hold these values, or are about to.
    fn note(&self, mut values: impl ExactSizeIterator<Item = i64>) {
        while values.len() > 0 {
            let mut state = self.state.write();
            let some = values.by_ref().take(AT_ONCE);
            some.for_each(|value| state.written.insert(value));
        }
    }

    /// Candidates that are in memory, and where a snapshot taken after `spills` spills finds every
    /// other one.
    fn young(&self, by: By, value: i64, spills: u64, found: &mut Vec<i64>) -> Rest {
        let state = self.state.read();
        for young in [&state.current, &state.previous] {
            found.extend(young.of(by).of(value));
        }
        state.rest_of(value, spills)
    }

    /// The values of serials in memory nearest below and above `value` that are wanted, and where the
    /// rest is.
    fn young_beside(
        &self,
        value: i64,
        is_wanted: impl Fn(i64) -> bool,
        spills: u64,
    ) -> (Option<i64>, Option<i64>, Rest) {
        let state = self.state.read();
        let (mut below, mut above) = (None, None);
        for young in [
            &state.current.serials.sorted,
            &state.previous.serials.sorted,
        ] {
            let near = |(near, _): &(i64, i64)| is_wanted(*near).then_some(*near);
            let lower = young.range(..(value, i64::MIN)).rev().find_map(near);
            let higher = young.range((value, i64::MAX)..).find_map(near);
            below = below.max(lower);
            above = match (above, higher) {
                (Some(one), Some(other)) => Some(i64::min(one, other)),
                (one, other) => one.or(other),
            };
        }
        (below, above, state.rest(spills))
    }

    /// Writes the current entries to the tables once there are enough of them. If that fails they
    /// stay in memory and the next group's end tries again.
    pub(crate) fn spill_if_due(&self, link: &Link, fatal: &Fatal) {
        if self.state.read().current.serials.sorted.len() < SPILL {
            return;
        }
        if let Err(error) = self.spill(link, i64::MAX, fatal) {
            tracing::warn!(%error, "the lookup of serials and keys was not written; trying again");
        }
    }

    /// Writes the current entries, which are those of every row up to `known` that is not written.
    fn spill(&self, link: &Link, known: i64, fatal: &Fatal) -> Result<(), StoreError> {
        let listed = self.state.read().current.listed();
        for entries in [&listed.serials, &listed.keys] {
            self.note(entries.iter().map(|(value, _)| *value));
        }
        link.execute("BEGIN IMMEDIATE")?;
        let written = write(link, &listed, known);
        writer::end(link, written, fatal)?;
        let mut state = self.state.write();
        let current = mem::take(&mut state.current);
        let forgotten = mem::replace(&mut state.previous, current);
        state.spills += 1;
        // Thousands of entries, which nobody should wait for.
        drop(state);
        drop(forgotten);
        Ok(())
    }

    /// Takes note of what the tables held when the store was opened. For a thread of its own; until it
    /// is done every question goes to the tables, and if it fails that stays so.
    pub(crate) fn gather(&self, link: &Link) {
        match self.gather_all(link) {
            Ok(gathered) => self.state.write().gathered = gathered,
            Err(error) => tracing::warn!(
                %error,
                "the lookup of serials and keys was not read into memory; it is slower without"
            ),
        }
    }

    fn gather_all(&self, link: &Link) -> Result<Gathered, StoreError> {
        let tx = ReadTx::new(link);
        let certificates = tx.number("SELECT cert FROM spilled", &[])?;
        let values = certificates.clamp(0, EXPECTED_MAX) * 2;
        // No more than 2^25, which fits everywhere.
        self.state.write().written.make_room(values as usize);
        for sql in [
            "SELECT serial_h FROM serial_lookup WHERE serial_h >= $1 ORDER BY serial_h LIMIT $2",
            "SELECT key_h FROM key_lookup WHERE key_h >= $1 ORDER BY key_h LIMIT $2",
        ] {
            let mut from = Some(i64::MIN);
            while let Some(first) = from {
                if self.is_closing.load(Ordering::Relaxed) {
                    return Ok(Gathered::NotYet);
                }
                let values: Vec<i64> = tx.all(sql, &[&first, &PAGE], |row| row.get(0))?;
                self.note(values.iter().copied());
                from = values.last().and_then(|last| last.checked_add(1));
                if from.is_some() {
                    std::thread::sleep(BREATH);
                }
            }
        }
        Ok(Gathered::Wholly)
    }

    /// Ends a [`Lookup::gather`] that is not done.
    pub(crate) fn close(&self) {
        self.is_closing.store(true, Ordering::Relaxed);
    }

    /// Makes the entries again that were only in memory when the store was last open.
    pub(crate) fn reload(&self, link: &Link, fatal: &Fatal) -> Result<(), StoreError> {
        let tx = ReadTx::new(link);
        let mut after = tx.number("SELECT cert FROM spilled", &[])?;
        loop {
            let mut known = Vec::new();
            let mut last = None;
            tx.each::<StoreError>(
                "SELECT no, serial_h, key_h FROM cert WHERE no > $1 ORDER BY no LIMIT $2",
                &[&after, &PAGE],
                |row| {
                    let cert = row.get(0)?;
                    last = Some(cert);
                    for (by, value) in [(By::Serial, row.get(1)?), (By::Key, row.get(2)?)] {
                        known.push(Known { by, value, cert });
                    }
                    Ok(())
                },
            )?;
            self.learn(known);
            let Some(last) = last else { break };
            after = last;
            if self.state.read().current.serials.sorted.len() >= SPILL {
                self.spill(link, last, fatal)?;
            }
        }
        let mut known = Vec::new();
        tx.each::<StoreError>("SELECT no, serial FROM reservation", &[], |row| {
            let serial = Serial::from_der_value(row.blob(1)?);
            known.push(Known::serial(&serial, row.get(0)?));
            Ok(())
        })?;
        self.learn(known);
        Ok(())
    }
}

/// How many rows are read at a time when the entries are made again.
const PAGE: i64 = 8192;

#[derive(Debug, PartialEq, Eq)]
enum Rest {
    Nowhere,
    InTables,
    InRows,
}

impl Known {
    pub(crate) fn serial(serial: &Serial, cert: i64) -> Known {
        Known {
            by: By::Serial,
            value: serial_hash(serial),
            cert,
        }
    }

    pub(crate) fn key(key: &[u8; 32], cert: i64) -> Known {
        Known {
            by: By::Key,
            value: key_prefix(key),
            cert,
        }
    }
}

/// The numbers of the certificates that may have this value, newest first, each once.
pub(crate) fn candidates(tx: &ReadTx<'_>, by: By, value: i64) -> Result<Vec<i64>, StoreError> {
    let mut found = tx.unwritten(by, value);
    let rest = tx.lookup().young(by, value, tx.spills(), &mut found);
    let sql = match (rest, by) {
        (Rest::Nowhere, _) => return Ok(newest_first(found)),
        (Rest::InTables, By::Serial) => "SELECT cert FROM serial_lookup WHERE serial_h = $1",
        (Rest::InTables, By::Key) => "SELECT cert FROM key_lookup WHERE key_h = $1",
        (Rest::InRows, By::Serial) => {
            "SELECT cert FROM serial_lookup WHERE serial_h = $1
             UNION SELECT no FROM cert WHERE no > (SELECT cert FROM spilled) AND serial_h = $1"
        }
        (Rest::InRows, By::Key) => {
            "SELECT cert FROM key_lookup WHERE key_h = $1
             UNION SELECT no FROM cert WHERE no > (SELECT cert FROM spilled) AND key_h = $1"
        }
    };
    tx.each_settled::<StoreError>(sql, &[&value], |row| {
        found.push(row.get(0)?);
        Ok(())
    })?;
    Ok(newest_first(found))
}

fn newest_first(mut found: Vec<i64>) -> Vec<i64> {
    found.sort_unstable_by_key(|cert| std::cmp::Reverse(*cert));
    found.dedup();
    found
}

/// The values of serials nearest below and above `value` for which `is_wanted`.
pub(crate) fn neighbours(
    tx: &ReadTx<'_>,
    value: i64,
    is_wanted: impl Fn(i64) -> bool,
) -> Result<Vec<i64>, StoreError> {
    let (mut below, mut above, rest) = tx.lookup().young_beside(value, &is_wanted, tx.spills());
    let nearer = |sql, better: fn(i64, i64) -> i64, best: &mut Option<i64>| {
        tx.walk(sql, &[&value], |row| {
            let near = row.get::<i64>(0)?;
            if !is_wanted(near) {
                return Ok(ControlFlow::Continue(()));
            }
            *best = Some(best.map_or(near, |best| better(best, near)));
            Ok(ControlFlow::Break(()))
        })
    };
    nearer(
        "SELECT serial_h FROM serial_lookup WHERE serial_h < $1 ORDER BY serial_h DESC",
        i64::max,
        &mut below,
    )?;
    nearer(
        "SELECT serial_h FROM serial_lookup WHERE serial_h > $1 ORDER BY serial_h",
        i64::min,
        &mut above,
    )?;
    if let Rest::InRows = rest {
        nearer(
            "SELECT serial_h FROM cert WHERE no > (SELECT cert FROM spilled) AND serial_h < $1
             ORDER BY serial_h DESC",
            i64::max,
            &mut below,
        )?;
        nearer(
            "SELECT serial_h FROM cert WHERE no > (SELECT cert FROM spilled) AND serial_h > $1
             ORDER BY serial_h",
            i64::min,
            &mut above,
        )?;
    }
    Ok(below.into_iter().chain(above).collect())
}

fn write(link: &Link, listed: &Listed, known: i64) -> Result<(), StoreError> {
    for (entries, sql) in [
        (
            &listed.serials,
            "INSERT INTO serial_lookup(serial_h, cert) VALUES($1, $2) ON CONFLICT DO NOTHING",
        ),
        (
            &listed.keys,
            "INSERT INTO key_lookup(key_h, cert) VALUES($1, $2) ON CONFLICT DO NOTHING",
        ),
    ] {
        let mut statement = link.prepare(sql).map_err(|error| link.said(error))?;
        for (value, cert) in entries {
            statement
                .execute([value, cert])
                .map_err(|error| link.said(error))?;
        }
    }
    // A reservation's row may yet come to a number below those of rows that are there already.
    link.prepare(
        "UPDATE spilled SET cert = max(cert, min(
           $1,
           (SELECT coalesce(max(no), 0) FROM cert),
           (SELECT coalesce(min(no) - 1, $1) FROM reservation)))",
    )
    .and_then(|mut statement| statement.execute([known]))
    .map_err(|error| link.said(error))?;
    Ok(())
}

#[cfg(test)]
mod tests;
