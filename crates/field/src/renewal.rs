//! When to renew, and when to try again.

use std::time::Duration;

use tenure_x509::{Cert, Time};

/// First pause after a failed renewal.
const PAUSE_FIRST: Duration = Duration::from_secs(60);
/// Longest pause between tries.
const PAUSE_MAX: Duration = Duration::from_secs(3600);

/// When a certificate should be renewed: somewhere in [1/2, 5/6] of its life, two thirds on
/// average. The place in that window follows from the certificate's own octets, so it survives a
/// restart, and devices made on one day do not all come back on one day. `None` for one that
/// never ends.
pub fn renew_at(cert: &Cert) -> Option<Time> {
    let validity = cert.validity();
    let [a, b, c, d, ..] = cert.fingerprint();
    let spread = u32::from_be_bytes([a, b, c, d]);
    (!validity.not_after.is_never())
        .then(|| place_in_life(validity.not_before, validity.not_after, spread))
}

/// `spread` of the whole range of `u32` maps evenly to [1/2, 5/6] of the life.
fn place_in_life(not_before: Time, not_after: Time, spread: u32) -> Time {
    let start = i128::from(not_before.unix());
    let life = (i128::from(not_after.unix()) - start).max(0);
    let at = start + life / 2 + life * i128::from(spread) / 3 / (1 << 32);
    Time::from_unix(i64::try_from(at).unwrap_or(i64::MAX))
}

/// How long to wait after `failures` failures in a row: a minute, doubling to an hour, each
/// between half and the whole of that, as `random` falls. So devices that lost their server
/// together do not come back together.
pub fn pause_after(failures: u32, random: u32) -> Duration {
    let doubled = PAUSE_FIRST.saturating_mul(1 << failures.saturating_sub(1).min(16));
    let whole = doubled.min(PAUSE_MAX);
    let half = whole / 2;
    half + half.mul_f64(f64::from(random) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn renewal_falls_between_half_and_five_sixths_of_a_life() {
        let life = (Time::from_unix(1_000), Time::from_unix(1_000 + 90 * 86_400));
        let at = |spread| place_in_life(life.0, life.1, spread).unix() - 1_000;
        assert_eq!(at(0), 45 * 86_400);
        assert_eq!(at(u32::MAX / 2 + 1), 60 * 86_400);
        assert_eq!(at(u32::MAX), 75 * 86_400 - 1);
    }

    #[test]
    fn pauses_grow_to_an_hour() {
        let pauses: Vec<u64> = (1..10)
            .map(|n| pause_after(n, u32::MAX).as_secs())
            .collect();
        assert_eq!(pauses, [60, 120, 240, 480, 960, 1920, 3600, 3600, 3600]);
        assert_eq!(pause_after(1, 0).as_secs(), 30);
        assert_eq!(pause_after(u32::MAX, 0).as_secs(), 1800);
    }

    proptest! {
        #[test]
        fn any_life_has_its_place(start: i64, end: i64, spread: u32) {
            let (start, end) = (Time::from_unix(start), Time::from_unix(end));
            let at = place_in_life(start, end, spread);
            prop_assert!(at >= start && (at <= end || end < start));
        }
    }
}
