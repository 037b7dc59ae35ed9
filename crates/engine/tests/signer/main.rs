//! Keys as their users see them: in memory, in files, in a token.

#[path = "../house/mod.rs"]
mod house;
#[cfg(feature = "pkcs11")]
mod softhsm;
mod suite;

use std::process::{Command, Stdio};

/// Whether an external program is there; where it must be, its absence is a failure.
fn available(program: &str, probe: &str) -> bool {
    let found = Command::new(program)
        .arg(probe)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok();
    found || absent(program)
}

/// Says that something is not there, and fails where it must be.
fn absent(what: &str) -> bool {
    let required = std::env::var("TENURE_REQUIRE_INTEROP").is_ok_and(|value| value == "1");
    assert!(!required, "{what} not found, and TENURE_REQUIRE_INTEROP=1");
    eprintln!("skipped: {what} not found");
    false
}
