//! Small tables kept in memory by the readers of one process.
//!
//! Rows here are never deleted and numbers never given twice, so a name found in one snapshot holds
//! in every later one. What can change is kept with the version it was read at, and the version is
//! read in each snapshot. The writer has a cache of its own that it never fills with rows it might
//! still undo: names and documents are only remembered by transactions that cannot write.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use tenure_domain::issuer::Issuer;
use tenure_domain::registry::Class;
use tenure_domain::{TenantId, Title};

#[derive(Default)]
pub(crate) struct Cache {
    state: Mutex<State>,
}

#[derive(Default)]
pub(crate) struct State {
    pub(crate) names: HashMap<(Noun, i64), Title>,
    pub(crate) classes: HashMap<i64, (i64, Arc<Class>)>,
    pub(crate) issuers: HashMap<TenantId, (i64, Issuers)>,
}

/// The issuers of a tenant, oldest first.
pub(crate) type Issuers = Arc<Vec<Arc<Issuer>>>;

/// What a name names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Noun {
    Owner,
    Site,
    Class,
}

impl Cache {
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}
