//! One process per data directory.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;

use crate::error::OpenError;

const FILE: &str = "tenure.lock";

/// The right to use a data directory; the operating system takes it back when the process ends,
/// however it ends.
pub(crate) struct DirectoryLock {
    _file: File,
}

impl DirectoryLock {
    pub(crate) fn take(directory: &Path) -> Result<DirectoryLock, OpenError> {
        let path = directory.join(FILE);
        let failed = |doing| OpenError::while_doing(doing, &path);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(failed("opening"))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // Only a courtesy to the reader of the message.
                let _ = file.take(200).read_to_string(&mut holder);
                return Err(OpenError::InUse {
                    path: directory.to_owned(),
                    holder: holder.trim().to_owned(),
                });
            }
            Err(TryLockError::Error(cause)) => return Err(failed("locking")(cause)),
        }
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "process {}", std::process::id()))
            .map_err(failed("writing"))?;
        Ok(DirectoryLock { _file: file })
    }
}
