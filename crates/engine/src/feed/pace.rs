//! How long a revocation takes until a relying party says that it applied it. Measured from the moment
//! the revocation was durable, by this process alone.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tenure_domain::RelyingPartyNo;

/// The upper ends of the buckets, in seconds.
pub const BOUNDS_S: [f64; 12] = [
    0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0,
];

/// At most so many withdrawals are waited for at once; beyond that a sample is enough.
const WAITING_MAX: usize = 4_096;

/// A distribution of times.
#[derive(Debug, Clone, Default)]
pub struct Times {
    /// How many are in each bucket of [`BOUNDS_S`] alone, and last those above all.
    pub counts: [u64; BOUNDS_S.len() + 1],
    /// Their sum, in seconds.
    pub sum_s: f64,
}

impl Times {
    fn add(&mut self, took: Duration) {
        let took = took.as_secs_f64();
        let bucket = BOUNDS_S.iter().position(|bound| took <= *bound);
        // There is one bucket more than there are bounds.
        self.counts[bucket.unwrap_or(BOUNDS_S.len())] += 1;
        self.sum_s += took;
    }
}

/// What is under way.
#[derive(Default)]
pub(crate) struct Pace {
    inside: Mutex<Inside>,
}

#[derive(Default)]
struct Inside {
    /// Durable, not published.
    withdrawn: Vec<Instant>,
    /// Being published.
    publishing: Vec<Instant>,
    /// Published, not offered.
    published: Vec<Instant>,
    /// Being offered.
    offering: Vec<Instant>,
    /// Offered under these numbers, not applied.
    offered: HashMap<RelyingPartyNo, Vec<(i64, Instant)>>,
    until_applied: Times,
}

fn extend(waiting: &mut Vec<Instant>, more: Vec<Instant>) {
    let room = WAITING_MAX.saturating_sub(waiting.len());
    waiting.extend(more.into_iter().take(room));
}

impl Pace {
    fn with<T>(&self, work: impl FnOnce(&mut Inside) -> T) -> T {
        work(&mut self.inside.lock())
    }

    /// A withdrawal is durable.
    pub(crate) fn withdrawn(&self) {
        self.with(|inside| extend(&mut inside.withdrawn, vec![Instant::now()]));
    }

    /// From here on the record is read to be published.
    pub(crate) fn publishing(&self) {
        self.with(|inside| {
            let more = std::mem::take(&mut inside.withdrawn);
            extend(&mut inside.publishing, more);
        });
    }

    /// What was read is published.
    pub(crate) fn published(&self) {
        self.with(|inside| {
            let done = std::mem::take(&mut inside.publishing);
            extend(&mut inside.published, done);
        });
    }

    /// From here on what is published is read to be offered.
    pub(super) fn offering(&self) {
        self.with(|inside| {
            let more = std::mem::take(&mut inside.published);
            extend(&mut inside.offering, more);
        });
    }

    /// A relying party was offered what was read, under this number.
    pub(super) fn offered(&self, party: RelyingPartyNo, sequence: i64) {
        self.with(|inside| {
            let waiting = inside.offered.entry(party).or_default();
            let room = WAITING_MAX.saturating_sub(waiting.len());
            let more = inside.offering.iter().take(room);
            waiting.extend(more.map(|since| (sequence, *since)));
        });
    }

    /// Everybody was offered what was read.
    pub(super) fn all_offered(&self) {
        self.with(|inside| inside.offering.clear());
    }

    /// A relying party applied everything up to this number.
    pub(super) fn applied(&self, party: RelyingPartyNo, sequence: i64) {
        self.with(|inside| {
            let waiting = inside.offered.entry(party).or_default();
            let (done, still): (Vec<_>, Vec<_>) = waiting
                .drain(..)
                .partition(|(number, _)| *number <= sequence);
            *waiting = still;
            for (_, since) in done {
                inside.until_applied.add(since.elapsed());
            }
        });
    }

    /// Until applied.
    pub(super) fn times(&self) -> Times {
        self.with(|inside| inside.until_applied.clone())
    }
}
