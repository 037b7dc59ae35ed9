//! What the disk did to the store last, for those who ask whether it can do its work.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::error::StoreError;

/// So long a failure speaks for what comes, if nothing was written since: whoever asks before sending work
/// would otherwise never send any again.
const SPEAKS_FOR: Duration = Duration::from_secs(60);

/// Shared by every connection of a store.
#[derive(Default)]
pub(crate) struct Health {
    /// The first damage that was met. Only a restored database is without it.
    damage: OnceLock<StoreError>,
    /// The last failure of the disk since something was written, and when.
    failure: Mutex<Option<(StoreError, Instant)>>,
}

impl Health {
    /// Something failed; the disk may be the reason.
    pub(crate) fn met(&self, error: &StoreError) {
        if matches!(error, StoreError::Corrupt(_)) {
            // The first is as good as any.
            let _ = self.damage.set(error.clone());
        } else if error.passes() {
            *self.failure.lock() = Some((error.clone(), Instant::now()));
        }
    }

    /// A commit has reached the log.
    pub(crate) fn wrote(&self) {
        *self.failure.lock() = None;
    }

    /// Why the store cannot do its work, if so.
    pub(crate) fn ailment(&self) -> Option<StoreError> {
        let recent = || {
            let failure = self.failure.lock();
            let recent = failure.as_ref().filter(|(_, at)| at.elapsed() < SPEAKS_FOR);
            recent.map(|(error, _)| error.clone())
        };
        self.damage.get().cloned().or_else(recent)
    }
}
