//! A broken machine: the server runs on a C library that fails where a story wants it to.

use std::fs;
use std::path::PathBuf;

use crate::{House, have, tool};

/// What is to be broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Broken {
    /// fsync fails on files whose path contains the text.
    Fsync,
    /// Writing to such files finds no space.
    NoSpace,
    /// Such files cannot be written or opened for writing.
    ReadOnly,
    /// The clock is so many seconds ahead.
    Clock,
}

impl Broken {
    fn file(self) -> &'static str {
        match self {
            Broken::Fsync => "fsync",
            Broken::NoSpace => "nospace",
            Broken::ReadOnly => "readonly",
            Broken::Clock => "clock",
        }
    }
}

/// The means to break things for the commands of one house.
pub struct Shim {
    directory: PathBuf,
}

impl Shim {
    /// Builds the library and puts it before the C library of every command of the house from now
    /// on. `None` without a C compiler, or where the system preloads nothing.
    pub fn under(house: &mut House) -> Option<Shim> {
        if !cfg!(target_os = "linux") || !have("cc") {
            return None;
        }
        let directory = house.directory().join("shim");
        fs::create_dir(&directory).unwrap();
        let library = directory.join("faults.so");
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/shim/faults.c");
        let library = library.to_str().unwrap();
        let build = ["-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"];
        tool(&directory, "cc", &build, b"");
        house.set("LD_PRELOAD", library);
        house.set("TENURE_SHIM", directory.to_str().unwrap());
        Some(Shim { directory })
    }

    /// Breaks something; `what` is a part of a path, or seconds.
    pub fn breaks(&self, broken: Broken, what: &str) {
        // Whole or not at all: the server may be reading it.
        let draft = self.directory.join("draft");
        fs::write(&draft, what).unwrap();
        fs::rename(draft, self.directory.join(broken.file())).unwrap();
    }

    /// Mends it.
    pub fn mends(&self, broken: Broken) {
        fs::remove_file(self.directory.join(broken.file())).unwrap();
    }
}
