#![no_main]
//! A bundle that parses is rebuilt octet for octet from its entries.

use libfuzzer_sys::fuzz_target;
use tenure_tlog::EntryBundle;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(bundle) = EntryBundle::parse(bytes) {
        let mut again = EntryBundle::new();
        for entry in bundle.entries() {
            assert_eq!(again.push(entry), Ok(()));
        }
        assert_eq!(again.as_bytes(), bytes);
    }
});
