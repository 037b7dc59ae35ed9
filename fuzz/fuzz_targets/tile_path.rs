#![no_main]
//! A tile path that parses is written again octet for octet, and climbs out of no directory.

use libfuzzer_sys::fuzz_target;
use tenure_tlog::TilePath;

fuzz_target!(|text: &str| {
    if let Ok(path) = text.parse::<TilePath>() {
        assert_eq!(path.to_string(), text);
        assert!(!text.contains(".."));
        let _ = path.tree_size_min();
    }
});
