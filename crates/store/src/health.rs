//! What the disk did to the store last, for those who ask whether it can do its work.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::error::StoreError;

/// So long a failed write speaks for the next ones, if none has been tried: whoever asks before sending
/// work would otherwise never send any again.
const SPEAKS_FOR: Duration = Duration::from_secs(60);

/// Shared by every connection of a store.
#[derive(Default)]
pub(crate) struct Health {
    /// The first damage that was met. Only a restored database is without it.
    damage: OnceLock<StoreError>,
    /// Why the last group of writes was not committed, and when; `None` if it was.
    unwritten: Mutex<Option<(StoreError, Instant)>>,
}

impl Health {
    /// Something failed, which may be damage.
    pub(crate) fn met(&self, error: &StoreError) {
        if matches!(error, StoreError::Corrupt(_)) {
            // The first is as good as any.
            let _ = self.damage.set(error.clone());
        }
    }

    /// A group was committed.
    pub(crate) fn wrote(&self) {
        *self.unwritten.lock() = None;
    }

    /// A group was not committed; the disk may be the reason.
    pub(crate) fn could_not_write(&self, error: &StoreError) {
        self.met(error);
        if error.passes() {
            *self.unwritten.lock() = Some((error.clone(), Instant::now()));
        }
    }

    /// Why the store cannot do its work, if so.
    pub(crate) fn ailment(&self) -> Option<StoreError> {
        let damage = self.damage.get().cloned();
        damage.or_else(|| {
            let unwritten = self.unwritten.lock();
            let recent = unwritten
                .as_ref()
                .filter(|(_, at)| at.elapsed() < SPEAKS_FOR);
            recent.map(|(error, _)| error.clone())
        })
    }
}
