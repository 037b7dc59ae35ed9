//! A policy document as an operator may send it. Nothing may panic; what is understood runs its own
//! tests, and is understood the same the second time.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tenure_domain::policy::document::parse;

fuzz_target!(|text: &str| {
    match parse(text, 1) {
        Ok(policy) => {
            assert_eq!(policy.run_tests().len(), policy.tests.len());
            assert_eq!(parse(text, 1).as_ref().map(|again| again.hash), Ok(policy.hash));
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
