//! What is published of each revocation list and filter, so that its file is not read again and
//! again.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};

use tenure_domain::Slug;

use crate::duty::publish::{Published, PublishedFilter};

/// Number and times of each list by `issuer/file`. Empty after a start; the files say the same.
#[derive(Default)]
pub(crate) struct Lists {
    known: Mutex<HashMap<String, Published>>,
    filters: Mutex<HashMap<Slug, PublishedFilter>>,
    /// By the same names, the complete lists that deltas are made to.
    bases: Mutex<HashMap<String, Published>>,
    /// Issuers whose last list from before the start was compared with the record.
    compared: Mutex<HashSet<Slug>>,
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

    pub(crate) fn filter(&self, issuer: &Slug) -> Option<PublishedFilter> {
        self.filters
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(issuer)
            .cloned()
    }

    pub(crate) fn put_filter(&self, issuer: Slug, published: PublishedFilter) {
        self.filters
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(issuer, published);
    }

    pub(crate) fn is_first(&self, issuer: &Slug) -> bool {
        let compared = self.compared.lock().unwrap_or_else(PoisonError::into_inner);
        !compared.contains(issuer)
    }

    pub(crate) fn compared(&self, issuer: Slug) {
        let mut compared = self.compared.lock().unwrap_or_else(PoisonError::into_inner);
        compared.insert(issuer);
    }

    pub(crate) fn base(&self, key: &str) -> Option<Published> {
        let bases = self.bases.lock().unwrap_or_else(PoisonError::into_inner);
        bases.get(key).copied()
    }

    pub(crate) fn begin(&self, key: String, published: Published) {
        let mut bases = self.bases.lock().unwrap_or_else(PoisonError::into_inner);
        bases.insert(key, published);
    }
}
