//! Pruning: reservations that never became certificates are given up, and their serials listed as
//! revoked. Only a fresh, decided ask ever makes a certificate; this duty never does. And what was
//! kept beside the record for a time is erased when that is over.

use tenure_domain::duration::DAY_S;
use tenure_domain::operator::Actor;
use tenure_store::{StoreError, Tx, certificate, import, probe, verdict};

use crate::Engine;
use crate::fault::Rejection;

/// A reservation older than this is nobody's any more, in seconds.
const RESERVED_MAX_S: i64 = 300;
/// How many are given up in one transaction.
const BATCH: u32 = 500;

/// How long it can be said what a verdict rested on, or what a probe tried, in seconds: a year, and
/// the time to look into it.
const KEPT_S: i64 = 400 * DAY_S;
/// How many rows of verdicts are kept at most, and how many of probes.
const VERDICTS_MAX: i64 = 4_000_000;
const PROBES_MAX: i64 = 1_000_000;
/// A table of devices that was not taken in whole after this is nobody's any more, in seconds.
const TAKEN_IN_S: i64 = DAY_S;
/// How many rows are erased in one transaction: a few milliseconds of the writer's time.
const ERASED_AT_ONCE: u32 = 200;
/// How many such transactions a round has at most; the next round goes on.
const ERASED_IN_A_ROUND: usize = 50;

impl Engine {
    /// Erases what verdicts rested on and what probes tried, where that is too old or too much. The
    /// record keeps what was said. Returns how many rows.
    pub async fn erase_old(&self) -> Result<usize, Rejection> {
        let before = self.clock().now().plus(-KEPT_S);
        let mut erased = 0;
        for _ in 0..ERASED_IN_A_ROUND {
            let old = self
                .store()
                .glance(|tx| verdict::oldest(tx, before, VERDICTS_MAX, ERASED_AT_ONCE))?;
            let Some(through) = old else { break };
            let erase = move |tx: &mut Tx<'_>| verdict::erase(tx, through);
            erased += self.store().scratch::<_, StoreError, _>(erase).await?;
            // Some of it may be what verdicts rest on even now: then it is recorded once more.
            self.verdicts().record_anew();
        }
        for _ in 0..ERASED_IN_A_ROUND {
            let old = self
                .store()
                .glance(|tx| probe::oldest(tx, before, PROBES_MAX, ERASED_AT_ONCE))?;
            if old.is_empty() {
                break;
            }
            erased += old.len();
            let erase = move |tx: &mut Tx<'_>| probe::erase(tx, &old);
            self.store().scratch::<_, StoreError, _>(erase).await?;
        }
        Ok(erased)
    }

    /// Erases what is left of imports that a crash cut off before they were staged.
    pub async fn erase_abandoned_imports(&self) -> Result<(), Rejection> {
        let before = self.clock().now().plus(-TAKEN_IN_S);
        for _ in 0..ERASED_IN_A_ROUND {
            let abandoned = self.store().glance(|tx| import::abandoned(tx, before))?;
            let Some(abandoned) = abandoned else { break };
            let erase = move |tx: &mut Tx<'_>| import::erase(tx, abandoned, ERASED_AT_ONCE);
            self.store().scratch::<_, StoreError, _>(erase).await?;
        }
        Ok(())
    }

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
        }
        Ok(voided)
    }
}
