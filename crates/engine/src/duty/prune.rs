//! Pruning: reservations that never became certificates are given up, and their serials listed as
//! revoked. Only a fresh, decided ask ever makes a certificate; this duty never does.

use tenure_domain::operator::Actor;
use tenure_store::{StoreError, certificate};

use crate::Engine;
use crate::fault::Rejection;

/// A reservation older than this is nobody's any more, in seconds.
const RESERVED_MAX_S: i64 = 300;
/// How many are given up in one transaction.
const BATCH: u32 = 500;

impl Engine {
    /// Voids abandoned reservations. Returns how many.
    pub async fn prune(&self) -> Result<usize, Rejection> {
        let now = self.clock().now();
        let before = now.plus(-RESERVED_MAX_S);
        let mut voided = 0;
        loop {
            let stale = self
                .store()
                .glance(|tx| certificate::stale_reservations(tx, before, BATCH))?;
            if stale.is_empty() {
                break;
            }
            voided += stale.len();
            self.store()
                .record::<(), StoreError, _>(self.operation()?, move |tx| {
                    for reservation in &stale {
                        let us = Actor::system("prune");
                        certificate::void(tx, reservation, "it was never completed", &us, now)?;
                    }
                    Ok(())
                })
                .await?;
        }
        if voided > 0 {
            self.wake_publish();
            self.wake_integrate();
        }
        Ok(voided)
    }
}
