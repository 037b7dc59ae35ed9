//! Time: read here and handed on as an argument.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use tenure_x509::Time;

/// What time it is: the system's clock, or one that a test sets.
#[derive(Debug, Clone)]
pub struct Clock {
    set: Option<Arc<AtomicI64>>,
}

impl Clock {
    /// The system's clock.
    pub fn system() -> Clock {
        Clock { set: None }
    }

    /// A clock that stands at `at` until it is moved.
    pub fn standing(at: Time) -> Clock {
        Clock {
            set: Some(Arc::new(AtomicI64::new(at.unix()))),
        }
    }

    /// Moves a standing clock; the system's clock is not ours to move.
    pub fn move_to(&self, at: Time) {
        if let Some(set) = &self.set {
            set.store(at.unix(), Ordering::SeqCst);
        }
    }

    /// Now, in whole seconds.
    pub fn now(&self) -> Time {
        match &self.set {
            Some(set) => Time::from_unix(set.load(Ordering::SeqCst)),
            None => {
                let since = SystemTime::now()
                    .duration_since(UNIX_EPOCH)
                    .unwrap_or_default();
                Time::from_unix(i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
            }
        }
    }
}
