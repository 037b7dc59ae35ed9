//! What is published of each revocation list, so that its file is not read again and again.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::duty::publish::Published;

/// Number and times of each list by `issuer/file`. Empty after a start; the files say the same.
#[derive(Default)]
pub(crate) struct Lists {
    known: Mutex<HashMap<String, Published>>,
}

impl Lists {
    pub(crate) fn get(&self, key: &str) -> Option<Published> {
        self.known
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(key)
            .copied()
    }

    pub(crate) fn put(&self, key: String, published: Published) {
        self.known
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(key, published);
    }
}
