use std::collections::HashSet;

use proptest::prelude::*;

use super::*;
use crate::{Error, KeyHash, KeyKind, KeyPair, Serial, sha256};

const AT: Time = Time::from_unix(1_795_305_600);
const HOUR: i64 = 3600;

fn serial(n: u64) -> Serial {
    let hash = KeyHash(sha256(&n.to_be_bytes())).to_string();
    // 159 bits, some of them with zeros in front.
    let first = u8::from_str_radix(&hash[..2], 16).unwrap() & 0x7f;
    Serial::parse_number(&format!("{first:02x}{}", &hash[2..40])).unwrap()
}

fn coverage() -> Coverage {
    Coverage {
        from: AT.plus(-1000 * HOUR),
        to: AT.plus(-2 * HOUR),
        at: AT,
    }
}

fn validity() -> Validity {
    from(AT.plus(-10 * HOUR))
}

fn from(not_before: Time) -> Validity {
    Validity {
        not_before,
        not_after: AT.plus(1000 * HOUR),
    }
}

/// A filter over serials 0 to `covered`, of which `is_revoked` says which are.
fn build(covered: u64, is_revoked: impl Fn(u64) -> bool) -> Body {
    let revoked = (0..covered).filter(|n| is_revoked(*n)).count() as u64;
    let listing = Listing::of(revoked, covered);
    let mut fewer = Fewer::new(coverage(), listing);
    for n in (0..covered).filter(|n| is_revoked(*n) == (listing == Listing::Revoked)) {
        fewer.push(&serial(n), validity());
    }
    let mut sieve = fewer.sieve(covered);
    for n in 0..covered {
        sieve.push(&serial(n), validity());
    }
    sieve.finish().expect("a filter")
}

fn assert_exact(body: &Body, covered: u64, is_revoked: impl Fn(u64) -> bool) {
    for n in 0..covered {
        let wanted = if is_revoked(n) {
            Answer::Revoked
        } else {
            Answer::Good
        };
        assert_eq!(body.answer(&serial(n), validity()), wanted, "serial {n}");
    }
}

fn key() -> KeyPair {
    KeyPair::generate(KeyKind::P256).expect("a key")
}

fn seal(key: &KeyPair, body: &Body, sequence: u64) -> Vec<u8> {
    let spec = FullSpec {
        issuer: key.public().hash(),
        signature: key.signature_algorithm(),
        sequence,
        epoch: sequence,
        next_update: AT.plus(24 * HOUR),
        body,
    };
    sealed(key, &spec.to_seal())
}

fn sealed(key: &KeyPair, parts: &ToSeal) -> Vec<u8> {
    let signature = key.sign(parts.message()).expect("a signature");
    parts.with_signature(&signature).expect("a whole")
}

fn held(key: &KeyPair, der: &[u8]) -> Held {
    let full = Full::from_der(der).expect("a filter");
    full.verify(key.public()).expect("its signature")
}

/// A delta over serials 0 to `covered`: these have changed.
fn delta(key: &KeyPair, base: [u8; 32], covered: u64, changed: &[u64], sequence: u64) -> Vec<u8> {
    let keys: Vec<u64> = changed.iter().map(|n| delta_key(&serial(*n))).collect();
    let others = (0..covered).filter(|n| !changed.contains(n));
    let width = DeltaSpec::width(&keys, others.map(|n| delta_key(&serial(n))));
    let spec = DeltaSpec {
        issuer: key.public().hash(),
        signature: key.signature_algorithm(),
        sequence,
        epoch: sequence,
        created: AT.plus(60),
        next_update: AT.plus(24 * HOUR),
        base,
        changed: keys,
        width,
    };
    sealed(key, &spec.to_seal().expect("a delta"))
}

#[test]
fn every_size_and_share_is_answered_without_an_error() {
    for covered in [0_u64, 1, 2, 3, 10, 127, 128, 129, 1000, 20_000] {
        for percent in [0_u64, 1, 10, 50, 90, 99, 100] {
            let is_revoked = |n: u64| n * 37 % 100 < percent;
            let body = build(covered, is_revoked);
            assert_exact(&body, covered, is_revoked);
            let key = key();
            let held = held(&key, &seal(&key, &body, 5));
            assert_eq!(held.body(), &body, "{covered} covered, {percent} % revoked");
        }
    }
}

#[test]
fn one_revoked_of_many_is_found() {
    let body = build(5000, |n| n == 4711);
    assert_exact(&body, 5000, |n| n == 4711);
}

#[test]
fn a_certificate_given_twice_counts_once() {
    let mut fewer = Fewer::new(coverage(), Listing::Revoked);
    for n in [1, 2, 1, 1] {
        fewer.push(&serial(n), validity());
    }
    let mut sieve = fewer.sieve(50);
    for n in (0..50).chain(0..50) {
        sieve.push(&serial(n), validity());
    }
    let body = sieve.finish().expect("a filter");
    assert_exact(&body, 50, |n| n == 1 || n == 2);
}

/// A wrong guess of how many there are costs octets, not answers.
#[test]
fn a_wrong_count_makes_it_larger_only() {
    for told in [0, 10, 1_000_000_000] {
        let mut fewer = Fewer::new(coverage(), Listing::Revoked);
        for n in 0..50 {
            fewer.push(&serial(n), validity());
        }
        let mut sieve = fewer.sieve(told);
        for n in 0..2000 {
            sieve.push(&serial(n), validity());
        }
        let body = sieve.finish().expect("a filter");
        assert_exact(&body, 2000, |n| n < 50);
    }
}

/// The rule of coverage at its edges: whoever shares the last second is covered and in the set;
/// whoever is issued later, or back-dated no further than the issuer allows itself, is not; whoever
/// had ended is not.
#[test]
fn coverage_is_told_from_the_certificate_and_is_never_wrongly_good() {
    let coverage = coverage();
    let ended = Validity {
        not_before: AT.plus(-10 * HOUR),
        not_after: AT.plus(-1),
    };
    let at_the_edge = from(coverage.to);
    let mut fewer = Fewer::new(coverage, Listing::Revoked);
    // Three share the last second, one of them revoked; one comes a second later, revoked.
    fewer.push(&serial(1), at_the_edge);
    fewer.push(&serial(4), from(coverage.to.plus(1)));
    fewer.push(&serial(5), ended);
    let mut sieve = fewer.sieve(3);
    for (n, validity) in [
        (1, at_the_edge),
        (2, at_the_edge),
        (3, at_the_edge),
        (4, from(coverage.to.plus(1))),
        (5, ended),
    ] {
        sieve.push(&serial(n), validity);
    }
    let body = sieve.finish().expect("a filter");
    assert_eq!(body.answer(&serial(1), at_the_edge), Answer::Revoked);
    assert_eq!(body.answer(&serial(2), at_the_edge), Answer::Good);
    assert_eq!(body.answer(&serial(3), at_the_edge), Answer::Good);
    let not_covered = [
        from(coverage.to.plus(1)),
        // Issued after the filter, its notBefore an hour back.
        from(AT.plus(1 - HOUR)),
        from(coverage.from.plus(-1)),
        ended,
    ];
    for validity in not_covered {
        for n in 0..100 {
            assert_eq!(body.answer(&serial(n), validity), Answer::NotCovered);
        }
    }
    let first = from(coverage.from);
    assert_ne!(body.answer(&serial(2), first), Answer::NotCovered);
}

#[test]
fn a_changed_bit_anywhere_is_refused() {
    let key = key();
    let body = build(300, |n| n % 50 == 0);
    let full = seal(&key, &body, 5);
    let held = held(&key, &full);
    let delta = delta(&key, held.full().id, 300, &[3, 4, 100], 6);
    for at in 0..full.len() * 8 {
        let mut bad = full.clone();
        bad[at / 8] ^= 1 << (at % 8);
        let accepted = Full::from_der(&bad).and_then(|full| full.verify(key.public()));
        assert!(accepted.is_err(), "bit {at} of the full filter");
    }
    for at in 0..delta.len() * 8 {
        let mut bad = delta.clone();
        bad[at / 8] ^= 1 << (at % 8);
        let accepted = Delta::from_der(&bad).and_then(|delta| held.with_delta(delta));
        assert!(accepted.is_err(), "bit {at} of the delta");
    }
    for end in 0..full.len() {
        assert!(Full::from_der(&full[..end]).is_err());
    }
    for end in 0..delta.len() {
        assert!(Delta::from_der(&delta[..end]).is_err());
    }
}

#[test]
fn another_issuers_filter_is_refused() {
    let (ours, theirs) = (key(), key());
    let body = build(10, |_| false);
    let full = Full::from_der(&seal(&theirs, &body, 1)).expect("a filter");
    assert!(full.clone().verify(ours.public()).is_err());
    assert!(full.verify(theirs.public()).is_ok());
}

#[test]
fn nothing_older_is_accepted_after_something_newer() {
    let key = key();
    let body = build(100, |n| n < 5);
    let der = seal(&key, &body, 10);
    let full = held(&key, &der);
    let apply = |held: &Held, changed: &[u64], sequence| -> Result<Held, Error> {
        let delta = delta(&key, full.full().id, 100, changed, sequence);
        held.with_delta(Delta::from_der(&delta).expect("a delta"))
    };
    let newer = apply(&full, &[50], 12).expect("a newer delta");
    // An older delta after a newer one, and one older than its full filter.
    assert!(apply(&newer, &[], 11).is_err());
    assert!(apply(&full, &[], 9).is_err());
    // Another under the same number.
    assert!(apply(&newer, &[51], 12).is_err());
    // After a restart: the full filter alone is now too old, with the delta it is not.
    let known = newer.accepted();
    assert_eq!(known.sequence, 12);
    assert!(full.current(AT, Some(known)).is_err());
    let current = newer.current(AT.plus(60), Some(known)).expect("the same");
    assert_eq!(current.answer(&serial(50), validity()), Answer::Revoked);
    let next = held(&key, &seal(&key, &body, 13));
    assert!(next.current(AT, Some(known)).is_ok());
    assert!(newer.current(AT.plus(60), Some(next.accepted())).is_err());
    // A delta belongs to one full filter.
    let stranger = delta(&key, full.full().id, 100, &[], 14);
    assert!(
        next.with_delta(Delta::from_der(&stranger).expect("a delta"))
            .is_err()
    );
}

#[test]
fn a_filter_is_used_within_its_time_only() {
    let key = key();
    let held = held(&key, &seal(&key, &build(10, |_| false), 1));
    assert!(held.current(AT.plus(-301), None).is_err());
    assert!(held.current(AT.plus(-300), None).is_ok());
    assert!(held.current(AT.plus(24 * HOUR), None).is_ok());
    assert!(held.current(AT.plus(24 * HOUR + 1), None).is_err());
}

#[test]
fn a_delta_changes_exactly_what_it_names_both_ways() {
    let key = key();
    let covered = 5000;
    let was = |n: u64| n.is_multiple_of(100);
    let full = held(&key, &seal(&key, &build(covered, was), 1));
    // 4 and 77 are withdrawn, 300 and 4900 given back.
    let changed = [4, 77, 300, 4900];
    let delta = delta(&key, full.full().id, covered, &changed, 2);
    let delta = Delta::from_der(&delta).expect("a delta");
    assert_eq!(delta.len(), 4);
    let held = full.with_delta(delta).expect("a delta of this filter");
    let current = held.current(AT.plus(60), None).expect("in time");
    for n in 0..covered {
        let is_revoked = was(n) != changed.contains(&n);
        let wanted = if is_revoked {
            Answer::Revoked
        } else {
            Answer::Good
        };
        assert_eq!(current.answer(&serial(n), validity()), wanted);
    }
    let later = from(AT);
    assert_eq!(current.answer(&serial(4), later), Answer::NotCovered);
}

#[test]
fn a_delta_of_nothing_says_so() {
    let key = key();
    let full = held(&key, &seal(&key, &build(50, |n| n == 1), 1));
    let delta = delta(&key, full.full().id, 50, &[], 2);
    let delta = Delta::from_der(&delta).expect("a delta");
    assert!(delta.is_empty());
    assert_eq!(full.with_delta(delta).expect("a delta").epoch(), 2);
}

#[test]
fn the_width_is_the_least_that_tells_apart() {
    let keys = [0xff00 << 48, 0x0f00 << 48];
    assert_eq!(DeltaSpec::width(&keys, []), 1);
    assert_eq!(DeltaSpec::width(&keys, [0x0e00 << 48]), 8);
    assert_eq!(
        DeltaSpec::width(&keys, [0x0e00 << 48, 0xff00 << 48 | 1]),
        64
    );
    assert_eq!(DeltaSpec::width(&[], [1, 2, 3]), 1);
}

/// The same set gives the same octets on every machine and in every version: others have built
/// their readers on them.
#[test]
fn the_encoding_is_what_it_was() {
    let issuer = KeyHash(sha256(b"issuer"));
    let body = build(1000, |n| n.is_multiple_of(97));
    let spec = FullSpec {
        issuer,
        signature: crate::SignatureAlgorithm::EcdsaSha256,
        sequence: 1_795_305_600,
        epoch: 1_795_305_599,
        next_update: AT.plus(24 * HOUR),
        body: &body,
    };
    let seal = spec.to_seal();
    let keys: Vec<u64> = [3, 5, 97].map(|n| delta_key(&serial(n))).to_vec();
    let others = (0..1000).filter(|n| ![3, 5, 97].contains(n));
    let width = DeltaSpec::width(&keys, others.map(|n| delta_key(&serial(n))));
    let delta = DeltaSpec {
        issuer,
        signature: crate::SignatureAlgorithm::EcdsaSha256,
        sequence: 1_795_305_660,
        epoch: 1_795_305_660,
        created: AT.plus(60),
        next_update: AT.plus(24 * HOUR),
        base: sha256(seal.message()),
        changed: keys,
        width,
    };
    let delta = delta.to_seal().expect("a delta");
    let hex = |octets: &[u8]| {
        octets
            .iter()
            .map(|o| format!("{o:02x}"))
            .collect::<String>()
    };
    assert_eq!(
        (
            hex(&sha256(seal.message())).as_str(),
            hex(delta.message()).as_str()
        ),
        (
            include_str!("vectors/full.sha256").trim(),
            include_str!("vectors/delta.hex").trim()
        )
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn random_sets_are_told_apart_exactly(
        covered in 0_u64..3000,
        revoked in prop::collection::hash_set(0_u64..3000, 0..400),
        changed in prop::collection::hash_set(0_u64..3000, 0..60),
    ) {
        let is_revoked = |n: u64| revoked.contains(&n);
        let body = build(covered, is_revoked);
        assert_exact(&body, covered, is_revoked);
        let key = key();
        let full = held(&key, &seal(&key, &body, 1));
        let changed: HashSet<u64> = changed.into_iter().filter(|n| *n < covered).collect();
        let list: Vec<u64> = changed.iter().copied().collect();
        let delta = delta(&key, full.full().id, covered, &list, 2);
        let held = full.with_delta(Delta::from_der(&delta).expect("a delta")).expect("its delta");
        let current = held.current(AT.plus(60), None).expect("in time");
        for n in 0..covered {
            let wanted = if is_revoked(n) != changed.contains(&n) {
                Answer::Revoked
            } else {
                Answer::Good
            };
            prop_assert_eq!(current.answer(&serial(n), validity()), wanted);
        }
    }

    #[test]
    fn no_octets_make_the_readers_panic(octets in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = Full::from_der(&octets);
        let _ = Delta::from_der(&octets);
    }
}
