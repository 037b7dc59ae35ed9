//! Revocation lists, OCSP and certificate envelopes, against other implementations.

mod cms;
mod crl;
mod ocsp;
#[allow(dead_code)]
#[path = "../suite/support.rs"]
mod support;

use std::path::Path;

use support::{available, try_run};

/// Runs one of pkilint's programs on a file; it must find nothing worse than a notice.
fn assert_lint(dir: &Path, program: &str, args: &[&str]) {
    if !available(program, &["--help"]) {
        return;
    }
    let all = [&["lint", "-s", "WARNING"], args].concat();
    let (success, text) = try_run(dir, program, &all);
    assert!(
        success && text.trim().is_empty(),
        "{program} {args:?}:\n{text}"
    );
}
