//! What the engine counts; the server turns it into metrics.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

/// One number that only grows.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// One more.
    pub fn inc(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// So far.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The last so many lengths of time are kept.
const SPANS_KEPT: usize = 1_024;

/// How long something took, the last times it happened.
#[derive(Debug, Default)]
pub struct Spans(Mutex<VecDeque<i64>>);

impl Spans {
    /// It happened once more.
    pub fn add(&self, took: Duration) {
        let mut spans = self.0.lock();
        if spans.len() == SPANS_KEPT {
            spans.pop_front();
        }
        spans.push_back(i64::try_from(took.as_millis()).unwrap_or(i64::MAX));
    }

    /// In milliseconds, oldest first.
    pub fn all(&self) -> Vec<i64> {
        let spans = self.0.lock();
        spans.iter().copied().collect()
    }
}

/// Everything counted since the start.
#[derive(Debug, Default)]
pub struct Counters {
    /// Certificates released.
    pub issued: Count,
    /// Answers given again.
    pub replayed: Count,
    /// OCSP answers signed.
    pub ocsp: Count,
    /// Verdicts given.
    pub decided: Count,
    /// From a withdrawal on record to the lists that hold it.
    pub published: Spans,
    refusals: Mutex<BTreeMap<&'static str, u64>>,
}

impl Counters {
    /// One more refusal for a reason.
    pub fn refused(&self, reason: &'static str) {
        *self.refusals.lock().entry(reason).or_default() += 1;
    }

    /// Refusals by reason.
    pub fn refusals(&self) -> BTreeMap<&'static str, u64> {
        self.refusals.lock().clone()
    }
}
