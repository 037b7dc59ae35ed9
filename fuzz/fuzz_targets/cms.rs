#![no_main]
//! No message makes the parser panic, and what is read can be wrapped and read again.

use libfuzzer_sys::fuzz_target;
use tenure_x509::cms::{certs_only, parse_certs_only};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(found) = parse_certs_only(bytes) {
        let ders: Vec<&[u8]> = found.iter().map(|cert| cert.der()).collect();
        assert!(parse_certs_only(&certs_only(&ders)).is_ok_and(|again| again.len() == ders.len()));
    }
});
