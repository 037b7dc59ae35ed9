#![no_main]
//! No octets make the readers of filters and deltas panic, and whatever is read can be asked.

use libfuzzer_sys::fuzz_target;
use tenure_x509::filter::{Answer, Delta, Full};
use tenure_x509::{Serial, Validity};

fuzz_target!(|bytes: &[u8]| {
    let _ = Delta::from_der(bytes).map(|delta| (delta.len(), delta.base()));
    let Ok(full) = Full::from_der(bytes) else { return };
    let coverage = full.body().coverage();
    let within = Validity { not_before: coverage.from, not_after: coverage.at };
    let answer = full.body().answer(&Serial::from_der_value(bytes), within);
    assert!(answer != Answer::NotCovered || coverage.to < coverage.from);
});
