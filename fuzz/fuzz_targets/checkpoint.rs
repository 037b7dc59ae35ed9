#![no_main]
//! A checkpoint that parses is written again octet for octet.

use libfuzzer_sys::fuzz_target;
use tenure_tlog::Checkpoint;

fuzz_target!(|text: &str| {
    if let Ok(checkpoint) = text.parse::<Checkpoint>() {
        assert_eq!(checkpoint.to_string(), text);
    }
});
