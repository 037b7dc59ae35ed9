//! What is published of each revocation list and filter, so that its file is not read again and
//! again.

use std::collections::{HashMap, HashSet};

use parking_lot::Mutex;
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
        self.known.lock().get(key).copied()
    }

    pub(crate) fn put(&self, key: String, published: Published) {
        self.known.lock().insert(key, published);
    }

    pub(crate) fn filter(&self, issuer: &Slug) -> Option<PublishedFilter> {
        self.filters.lock().get(issuer).cloned()
    }

    pub(crate) fn put_filter(&self, issuer: Slug, published: PublishedFilter) {
        self.filters.lock().insert(issuer, published);
    }

    pub(crate) fn is_first(&self, issuer: &Slug) -> bool {
        let compared = self.compared.lock();
        !compared.contains(issuer)
    }

    pub(crate) fn compared(&self, issuer: Slug) {
        let mut compared = self.compared.lock();
        compared.insert(issuer);
    }

    pub(crate) fn base(&self, key: &str) -> Option<Published> {
        let bases = self.bases.lock();
        bases.get(key).copied()
    }

    pub(crate) fn begin(&self, key: String, published: Published) {
        let mut bases = self.bases.lock();
        bases.insert(key, published);
    }
}
