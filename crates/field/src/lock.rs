//! One program per directory.

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// The right to work in a directory; the operating system takes it back when the process ends, however
/// it ends.
#[derive(Debug)]
pub(crate) struct Lock(File);

impl Lock {
    /// Makes the file if it is not there.
    pub(crate) fn take(path: &Path) -> Result<Lock, TryLockError> {
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(path)
            .map_err(TryLockError::Error)?;
        file.try_lock()?;
        Ok(Lock(file))
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing is not enough: a program that is just being started (a hook) shares the open file
        // until it runs. If this fails, closing it does the same a moment later.
        let _ = self.0.unlock();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_given_back_though_another_program_is_just_being_started() {
        let directory = tempfile::tempdir().unwrap();
        let take = || Lock::take(&directory.path().join("lock"));
        let lock = take().unwrap();
        let shared = lock.0.try_clone().unwrap();
        assert!(take().is_err());
        drop(lock);
        take().unwrap();
        drop(shared);
    }
}
