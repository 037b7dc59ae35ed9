//! The readers of bytes from anyone that live in this crate, where fuzzing reaches them. Each is the
//! very function that its listener calls.

use std::path::{Path, PathBuf};

use tenure_domain::device::DeviceRow;

use crate::api::import;
use crate::listen::trace;
use crate::status::{ocsp, public};

/// The devices in a CSV table as an operator uploads it; none if there is a mistake in it.
pub fn import_table(text: &str) -> Option<Vec<DeviceRow>> {
    import::read_table(text)
}

/// The devices in JSON lines; none if there is a mistake in them.
pub fn import_lines(text: &str) -> Option<Vec<DeviceRow>> {
    import::read_lines(text)
}

/// The request, DER, in the path of an OCSP GET.
pub fn ocsp_path(path: &str) -> Option<Vec<u8>> {
    ocsp::in_path(path)
}

/// The file that a path of the public listener names in a data directory.
pub fn public_path(directory: &Path, path: &str) -> Option<PathBuf> {
    public::file_named(directory, path)
}

/// The trace id in a `traceparent`.
pub fn traceparent(said: &str) -> Option<String> {
    trace::read(said)
}
