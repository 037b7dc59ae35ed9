#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| tenure_fuzz::readers::traceparent(octets));
