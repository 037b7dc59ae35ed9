//! What the engine counts; the server turns it into metrics.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

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

/// Everything counted since the start.
#[derive(Debug, Default)]
pub struct Counters {
    /// Certificates released.
    pub issued: Count,
    /// Answers given again.
    pub replayed: Count,
    /// Certificates withdrawn.
    pub revoked: Count,
    /// OCSP answers signed.
    pub ocsp: Count,
    /// Verdicts given.
    pub decided: Count,
    refusals: Mutex<BTreeMap<&'static str, u64>>,
}

impl Counters {
    /// One more refusal for a reason.
    pub fn refused(&self, reason: &'static str) {
        *self
            .refusals
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .entry(reason)
            .or_default() += 1;
    }

    /// Refusals by reason.
    pub fn refusals(&self) -> BTreeMap<&'static str, u64> {
        self.refusals
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}
