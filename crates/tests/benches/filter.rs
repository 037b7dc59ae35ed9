//! The compact revocation filter at a million certificates, of which one in a hundred is revoked:
//! its size beside the least that information theory allows, the time to build it, the time and
//! rightness of asking it about every one of them, and the delta after a hundred more revocations.
//!
//! `cargo bench -p tenure-tests --bench filter [-- --filled N]`. No store and no network. It fails if
//! an answer is wrong or a bound is missed. With `--filled N` also the store's part: how long it takes
//! to read what a full filter covers, of N devices with two certificates each.

mod ground;

use std::hint::black_box;
use std::time::{Duration, Instant};

use tenure_domain::TenantId;
use tenure_engine::store::covered::{self, Withdrawal};
use tenure_engine::store::{Options, Store, StoreError, issuer};
use tenure_x509::filter::{
    Answer, Body, Coverage, Current, Delta, DeltaSpec, Fewer, Full, FullSpec, Listing, delta_key,
};
use tenure_x509::{KeyKind, KeyPair, Serial, Time, Validity, sha256};

const COVERED: u64 = 1_000_000;
const REVOKED: u64 = 10_000;
const MORE: u64 = 100;
const NOW: Time = Time::from_unix(1_795_305_600);

/// What the filter promises: times the bound, to build, and octets of the delta.
const RATIO_MAX: f64 = 1.15;
const BUILD_MAX: Duration = Duration::from_secs(1);
const DELTA_OCTETS_MAX: usize = 600;

fn main() {
    let key = KeyPair::generate(KeyKind::P256).expect("a key");
    let serials: Vec<Serial> = (0..COVERED).map(serial).collect();

    let began = Instant::now();
    let body = build(&serials);
    let spec = FullSpec {
        issuer: key.public().hash(),
        signature: key.signature_algorithm(),
        sequence: 1,
        epoch: 1,
        next_update: NOW.plus(86_400),
        body: &body,
    };
    let seal = spec.to_seal();
    let signature = key.sign(seal.message()).expect("a signature");
    let der = seal.with_signature(&signature).expect("a filter");
    let took = began.elapsed();

    let bound = log2_choose(COVERED, REVOKED) / 8.0;
    let ratio = der.len() as f64 / bound;
    println!(
        "filter  {COVERED} certificates, {REVOKED} revoked: {} octets signed; the bound is \
         {bound:.0}, ratio {ratio:.3} (at most {RATIO_MAX})",
        der.len()
    );
    println!(
        "build   {:.3} s for both passes and the signature (at most {:.0} s)",
        took.as_secs_f64(),
        BUILD_MAX.as_secs_f64()
    );

    let full = Full::from_der(&der).expect("a filter");
    let held = full.verify(key.public()).expect("its signature");
    let current = held.current(NOW, None).expect("in time");
    ask_all("full", &current, &serials, REVOKED);

    // A hundred more are revoked.
    let changed: Vec<u64> = (REVOKED..REVOKED + MORE)
        .map(|n| delta_key(&serials[n as usize]))
        .collect();
    let others = serials.iter().enumerate();
    let others = others.filter(|(n, _)| !(REVOKED..REVOKED + MORE).contains(&(*n as u64)));
    let width = DeltaSpec::width(&changed, others.map(|(_, serial)| delta_key(serial)));
    let spec = DeltaSpec {
        issuer: key.public().hash(),
        signature: key.signature_algorithm(),
        sequence: 2,
        epoch: 2,
        created: NOW,
        next_update: NOW.plus(86_400),
        base: held.full().id,
        changed,
        width,
    };
    let seal = spec.to_seal().expect("a delta");
    let signature = key.sign(seal.message()).expect("a signature");
    let delta = seal.with_signature(&signature).expect("a delta");
    let bound = log2_choose(COVERED - REVOKED, MORE) / 8.0;
    println!(
        "delta   {MORE} more revoked: {} octets signed, {width} bits of each key; the bound is \
         {bound:.0} without header and signature (at most {DELTA_OCTETS_MAX})",
        delta.len()
    );
    let octets = delta.len();
    let delta = Delta::from_der(&delta).expect("a delta");
    let held = held.with_delta(delta).expect("its signature");
    let current = held.current(NOW, None).expect("in time");
    ask_all("both", &current, &serials, REVOKED + MORE);

    match ground::argument("--filled", 0) {
        0 => {}
        devices => scan(devices),
    }

    assert!(ratio <= RATIO_MAX, "the filter is too large");
    assert!(took <= BUILD_MAX, "building takes too long");
    assert!(octets < DELTA_OCTETS_MAX, "the delta is too large");
}

/// Reads what a filter over everything would cover, as its two passes do.
fn scan(devices: usize) {
    let house = ground::house(devices);
    let store = Store::open(&house.data(), Options::default()).expect("a store");
    let all = Coverage {
        from: Time::from_unix(0),
        to: NOW.plus(100 * 365 * 86_400),
        at: Time::from_unix(0),
    };
    for pass in ["first", "second"] {
        let began = Instant::now();
        let (mut covered, mut withdrawn) = (0_u64, 0_u64);
        store
            .glance::<_, StoreError>(|tx| {
                for issuer in issuer::all(tx, TenantId::DEFAULT)? {
                    covered::for_each::<StoreError>(tx, issuer.no, all, |found| {
                        covered += 1;
                        withdrawn += u64::from(found.standing == Withdrawal::Withdrawn);
                        Ok(())
                    })?;
                }
                Ok(())
            })
            .expect("certificates");
        println!(
            "scan    {covered} certificates, {withdrawn} withdrawn, read from the store in {:.2} s \
             ({pass} pass)",
            began.elapsed().as_secs_f64()
        );
    }
}

fn build(serials: &[Serial]) -> Body {
    let coverage = Coverage {
        from: NOW.plus(-90 * 86_400),
        to: NOW.plus(-7200),
        at: NOW,
    };
    let mut fewer = Fewer::new(coverage, Listing::of(REVOKED, COVERED));
    for serial in &serials[..REVOKED as usize] {
        fewer.push(serial, validity());
    }
    let mut sieve = fewer.sieve(COVERED);
    for serial in serials {
        sieve.push(serial, validity());
    }
    sieve.finish().expect("a filter")
}

/// Asks about every certificate; the first `revoked` are. Beside it, the SHA-256 of a serial: what
/// asking cannot do without.
fn ask_all(what: &str, current: &Current<'_>, serials: &[Serial], revoked: u64) {
    let began = Instant::now();
    let wrong = serials.iter().enumerate().filter(|(n, serial)| {
        let wanted = if (*n as u64) < revoked {
            Answer::Revoked
        } else {
            Answer::Good
        };
        current.answer(serial, validity()) != wanted
    });
    let wrong = wrong.count();
    let asked = began.elapsed();
    let began = Instant::now();
    for serial in serials {
        black_box(sha256(serial.as_bytes()));
    }
    let hashed = began.elapsed();
    println!(
        "ask     {what}: {wrong} wrong of {COVERED}; {:.0} ns each, {:.2} times one SHA-256",
        asked.as_nanos() as f64 / COVERED as f64,
        asked.as_secs_f64() / hashed.as_secs_f64()
    );
    assert_eq!(wrong, 0, "an answer is wrong");
}

fn validity() -> Validity {
    Validity {
        not_before: NOW.plus(-10 * 86_400),
        not_after: NOW.plus(80 * 86_400),
    }
}

fn serial(n: u64) -> Serial {
    let hash = sha256(&n.to_be_bytes());
    let mut octets = [0; 20];
    octets.copy_from_slice(&hash[..20]);
    Serial::from_random(octets)
}

/// The bits it takes to say which `r` of `n`.
fn log2_choose(n: u64, r: u64) -> f64 {
    (0..r)
        .map(|i| ((n - i) as f64).log2() - ((r - i) as f64).log2())
        .sum()
}
