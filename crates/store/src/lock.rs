//! One process per data directory.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;

use crate::error::OpenError;

const FILE: &str = "tenure.lock";

/// The right to use a data directory; the operating system takes it back when the process ends,
/// however it ends.
pub(crate) struct DirectoryLock {
    file: File,
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
        Ok(DirectoryLock { file })
    }
}

impl Drop for DirectoryLock {
    fn drop(&mut self) {
        // Closing is not enough: a program that another thread is just starting shares the open file
        // until it runs. If this fails, closing it does the same a moment later.
        let _ = self.file.unlock();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_given_back_though_another_program_is_just_being_started() {
        let directory = tempfile::tempdir().unwrap();
        let take = || DirectoryLock::take(directory.path());
        let lock = take().unwrap();
        let shared = lock.file.try_clone().unwrap();
        assert!(take().is_err());
        drop(lock);
        take().unwrap();
        drop(shared);
    }
}
