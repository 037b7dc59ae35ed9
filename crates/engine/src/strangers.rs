//! Refusals of people who proved nothing: counted per listener, source prefix, reason and minute,
//! and recorded as one event each when the minute is over. A flood must not become a flood of
//! events.

use std::collections::HashMap;
use std::net::IpAddr;

use parking_lot::Mutex;
use tenure_domain::event::Event;
use tenure_domain::operator::Actor;
use tenure_domain::text::hex;
use tenure_x509::Time;

use crate::Engine;
use crate::fault::Rejection;

/// How many (listener, source, reason) lines one minute may have; what comes on top is counted
/// under the empty source.
const LINES_PER_MINUTE: usize = 4096;
const SALT_BYTES: usize = 16;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Line {
    listener: &'static str,
    prefix: Option<IpAddr>,
    reason: &'static str,
    minute: i64,
}

/// The counts of the minutes that are not recorded yet.
#[derive(Debug, Default)]
pub(crate) struct Strangers {
    counts: Mutex<HashMap<Line, u64>>,
}

/// The network a source belongs to: /24 or /64.
fn prefix(source: IpAddr) -> IpAddr {
    match source {
        IpAddr::V4(address) => {
            let [a, b, c, _] = address.octets();
            IpAddr::from([a, b, c, 0])
        }
        IpAddr::V6(address) => {
            let mut segments = address.segments();
            segments[4..].fill(0);
            IpAddr::from(segments)
        }
    }
}

/// The count of a line with so many more.
fn add(counts: &mut HashMap<Line, u64>, mut line: Line, more: u64) -> u64 {
    if counts.len() >= LINES_PER_MINUTE && !counts.contains_key(&line) {
        line.prefix = None;
    }
    let count = counts.entry(line).or_default();
    *count += more;
    *count
}

impl Strangers {
    /// Counts one more; how many of its kind the minute has so far.
    pub(crate) fn count(
        &self,
        listener: &'static str,
        source: Option<IpAddr>,
        reason: &'static str,
        now: Time,
    ) -> u64 {
        let mut counts = self.counts.lock();
        let minute = now.unix().div_euclid(60);
        let line = Line {
            listener,
            prefix: source.map(prefix),
            reason,
            minute,
        };
        add(&mut counts, line, 1)
    }

    fn take_before(&self, minute: i64) -> Vec<(Line, u64)> {
        let mut counts = self.counts.lock();
        let over: Vec<_> = counts
            .keys()
            .filter(|line| line.minute < minute)
            .cloned()
            .collect();
        over.into_iter()
            .filter_map(|line| counts.remove_entry(&line))
            .collect()
    }

    fn give_back(&self, over: Vec<(Line, u64)>) {
        let mut counts = self.counts.lock();
        for (line, count) in over {
            add(&mut counts, line, count);
        }
    }
}

impl Engine {
    /// Counts a refusal of someone who proved nothing, to be recorded when the minute is over.
    pub fn count_stranger(
        &self,
        listener: &'static str,
        source: Option<IpAddr>,
        reason: &'static str,
    ) {
        let now = self.clock().now();
        self.strangers().count(listener, source, reason, now);
    }

    /// Records that someone who proved who they are was refused `what`, for a reason of one word.
    pub async fn record_denied(
        &self,
        actor: &Actor,
        reason: &str,
        what: &str,
    ) -> Result<(), Rejection> {
        let event = Event::AskRefused {
            reason: reason.to_owned(),
            rule: what.to_owned(),
        };
        self.note(actor, vec![event]).await
    }

    /// Records the minutes that are over; with `at` at the end of time, all of them.
    pub async fn record_strangers(&self, at: Time) -> Result<(), Rejection> {
        let over = self.strangers().take_before(at.unix().div_euclid(60));
        if over.is_empty() {
            return Ok(());
        }
        let recorded = self.record_refused(over.clone()).await;
        if recorded.is_err() {
            self.strangers().give_back(over);
        }
        recorded
    }

    /// An address is personal data, so the leaf holds only a salted hash of the network's prefix. The
    /// salt is in no leaf and gone with this call, because all prefixes are soon tried: lines that are
    /// recorded together can be told apart, and no others joined.
    async fn record_refused(&self, over: Vec<(Line, u64)>) -> Result<(), Rejection> {
        let salt = hex(&crate::chance::bytes::<SALT_BYTES>()?);
        let said = |(line, count): (Line, u64)| {
            let minute = Time::from_unix(line.minute * 60).to_string();
            let source = line
                .prefix
                .map(|p| format!("{salt} {minute} {p}"))
                .unwrap_or_default();
            Event::StrangersRefused {
                count,
                listener: line.listener.to_owned(),
                minute,
                reason: line.reason.to_owned(),
                source_hash: hex(&tenure_x509::sha256(source.as_bytes())),
            }
        };
        let events = over.into_iter().map(said).collect();
        self.note(&Actor::Anonymous, events).await
    }
}
