//! What one source may use: connections at once, and requests over time.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::limits::SOURCES_MAX;

/// Where a connection comes from: one IPv4 address, or one IPv6 /64 (what one customer is given).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Source(IpAddr);

impl From<IpAddr> for Source {
    fn from(ip: IpAddr) -> Self {
        match ip.to_canonical() {
            IpAddr::V4(ip) => Source(ip.into()),
            IpAddr::V6(ip) => {
                let [a, b, c, d, ..] = ip.segments();
                Source(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into())
            }
        }
    }
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            IpAddr::V4(ip) => Ipv4Addr::fmt(&ip, f),
            IpAddr::V6(ip) => write!(f, "{ip}/64"),
        }
    }
}

/// How many requests over time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    per_second: f64,
    burst: f64,
}

impl Rate {
    /// So many a second, and four times as many at once. 0: no limit.
    pub fn per_second(requests: u32) -> Option<Rate> {
        let per_second = f64::from(requests);
        (requests > 0).then_some(Rate {
            per_second,
            burst: per_second * 4.0,
        })
    }

    /// Twice as many, over time and at once.
    pub fn doubled(self) -> Rate {
        Rate {
            per_second: self.per_second * 2.0,
            burst: self.burst * 2.0,
        }
    }

    /// So many a minute, all of them at once if need be. 0: no limit.
    pub fn per_minute(requests: u32) -> Option<Rate> {
        let burst = f64::from(requests);
        (requests > 0).then_some(Rate {
            per_second: burst / 60.0,
            burst,
        })
    }
}

/// A token bucket per key.
#[derive(Debug)]
pub struct Buckets<K> {
    rate: Option<Rate>,
    fills: Mutex<HashMap<K, Fill>>,
}

#[derive(Clone, Copy, Debug)]
struct Fill {
    tokens: f64,
    at: Instant,
}

impl Fill {
    fn later(self, now: Instant, rate: Rate) -> Fill {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        Fill {
            tokens: (self.tokens + passed * rate.per_second).min(rate.burst),
            at: now,
        }
    }
}

impl<K: Eq + Hash + Clone> Buckets<K> {
    /// Buckets that start full. `None` never refuses.
    pub fn new(rate: Option<Rate>) -> Buckets<K> {
        Buckets {
            rate,
            fills: Mutex::new(HashMap::new()),
        }
    }

    /// Takes one token of `key`.
    ///
    /// # Errors
    /// None is left; the value says when the next one will be.
    pub fn take(&self, key: &K, now: Instant) -> Result<(), Duration> {
        let Some(rate) = self.rate else { return Ok(()) };
        let mut fills = self.fills.lock();
        let fill = match fills.get(key) {
            Some(fill) => fill.later(now, rate),
            None => {
                make_room(&mut fills, now, rate);
                Fill {
                    tokens: rate.burst,
                    at: now,
                }
            }
        };
        let taken = fill.tokens >= 1.0;
        let left = if taken {
            Fill {
                tokens: fill.tokens - 1.0,
                at: now,
            }
        } else {
            fill
        };
        fills.insert(key.clone(), left);
        if taken {
            Ok(())
        } else {
            Err(Duration::from_secs_f64(
                (1.0 - fill.tokens) / rate.per_second,
            ))
        }
    }
}

/// Forgets those whose bucket is full again: remembering them changes nothing. If an attacker with
/// very many addresses leaves none of these, all are forgotten, which costs only strictness.
fn make_room<K: Eq + Hash>(fills: &mut HashMap<K, Fill>, now: Instant, rate: Rate) {
    if fills.len() < SOURCES_MAX {
        return;
    }
    fills.retain(|_, fill| fill.later(now, rate).tokens < rate.burst);
    if fills.len() >= SOURCES_MAX {
        fills.clear();
    }
}

/// The connections a listener has room for.
#[derive(Clone, Debug)]
pub struct Places {
    all: usize,
    each: usize,
    taken: Arc<Mutex<Taken>>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by_source: HashMap<Source, usize>,
}

/// The right to keep one connection open; dropping it gives the place back.
#[derive(Debug)]
pub struct Place {
    source: Source,
    taken: Arc<Mutex<Taken>>,
}

impl Places {
    /// Room for `all` connections, and for `each` source. 0: no limit.
    pub fn new(all: usize, each: usize) -> Places {
        let room = |limit| if limit == 0 { usize::MAX } else { limit };
        Places {
            all: room(all),
            each: room(each),
            taken: Arc::default(),
        }
    }

    /// A place for one connection of `source`, if there is one.
    pub fn take(&self, source: Source) -> Option<Place> {
        let mut taken = self.taken.lock();
        let of_source = taken.by_source.get(&source).copied().unwrap_or(0);
        if taken.all >= self.all || of_source >= self.each {
            return None;
        }
        taken.all += 1;
        taken.by_source.insert(source, of_source + 1);
        Some(Place {
            source,
            taken: Arc::clone(&self.taken),
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.taken.lock();
        taken.all = taken.all.saturating_sub(1);
        if let Some(count) = taken.by_source.get_mut(&self.source) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                taken.by_source.remove(&self.source);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(ip: &str) -> Source {
        Source::from(ip.parse::<IpAddr>().unwrap())
    }

    #[test]
    fn a_source_is_an_address_or_a_64() {
        assert_eq!(source("2001:db8::1"), source("2001:db8::ffff"));
        assert_ne!(source("2001:db8::1"), source("2001:db8:0:1::1"));
        assert_eq!(source("::ffff:10.0.0.1"), source("10.0.0.1"));
        assert_eq!(source("2001:db8::1").to_string(), "2001:db8::/64");
        assert_eq!(source("10.0.0.1").to_string(), "10.0.0.1");
    }

    #[test]
    fn a_bucket_empties_refuses_and_fills_again() {
        let buckets = Buckets::new(Rate::per_second(2));
        let start = Instant::now();
        for _ in 0..8 {
            buckets.take(&1, start).unwrap();
        }
        assert_eq!(
            buckets.take(&1, start).unwrap_err(),
            Duration::from_millis(500)
        );
        buckets.take(&2, start).unwrap();
        buckets
            .take(&1, start + Duration::from_millis(500))
            .unwrap();
        buckets
            .take(&1, start + Duration::from_millis(500))
            .unwrap_err();
        // A clock that stands still or goes back gives nothing.
        buckets.take(&1, start).unwrap_err();
    }

    #[test]
    fn no_rate_never_refuses() {
        let buckets = Buckets::new(Rate::per_minute(0));
        let start = Instant::now();
        assert!((0..100_000).all(|_| buckets.take(&1, start).is_ok()));
    }

    #[test]
    fn the_table_never_outgrows_its_bound() {
        let buckets = Buckets::new(Rate::per_second(1));
        let start = Instant::now();
        for key in 0..3 * SOURCES_MAX {
            buckets.take(&key, start).unwrap();
        }
        assert!(buckets.fills.lock().len() <= SOURCES_MAX);
    }

    #[test]
    fn places_are_counted_per_source_and_in_all_and_given_back() {
        let places = Places::new(3, 2);
        let (a, b) = (source("10.0.0.1"), source("10.0.0.2"));
        let first = places.take(a).unwrap();
        let _second = places.take(a).unwrap();
        assert!(places.take(a).is_none());
        let third = places.take(b).unwrap();
        assert!(places.take(b).is_none());
        drop(third);
        let _fourth = places.take(b).unwrap();
        drop(first);
        assert!(places.take(a).is_some());
        assert_eq!(places.taken.lock().by_source.len(), 2);
    }
}
