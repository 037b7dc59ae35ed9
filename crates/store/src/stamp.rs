//! Who makes a change, and when.

use tenure_domain::event::{Entry, Event};
use tenure_domain::{Actor, TenantId};
use tenure_x509::Time;

/// What every change carries besides itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stamp<'a> {
    /// Whose fleet.
    pub(crate) tenant: TenantId,
    /// Who does it.
    pub(crate) actor: &'a Actor,
    /// What the clock says.
    pub(crate) at: Time,
}

impl<'a> Stamp<'a> {
    /// A stamp in the default tenant.
    pub(crate) fn new(actor: &'a Actor, at: Time) -> Stamp<'a> {
        Stamp {
            tenant: TenantId::DEFAULT,
            actor,
            at,
        }
    }

    /// The event with this stamp on it.
    pub(crate) fn entry(&self, event: Event) -> Entry {
        Entry {
            tenant: self.tenant,
            actor: self.actor.clone(),
            valid: self.at,
            device: None,
            certificate: None,
            event,
        }
    }
}
