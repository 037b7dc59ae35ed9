//! What a relying party says to the prober: no octets may panic, and only an answer of the protocol
//! has a code.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tenure_field::probe::{connack, http_status};

fuzz_target!(|octets: &[u8]| {
    if let Some(status) = http_status(octets) {
        assert!((100..=599).contains(&status) && octets.starts_with(b"HTTP/1."));
    }
    if let Some(code) = connack(octets) {
        assert_eq!(octets.get(3), Some(&code));
    }
});
