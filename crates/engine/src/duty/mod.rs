//! The standing duties: loops that make what is into what should be. Each may be stopped anywhere
//! and run again; none remembers anything that it could not find out anew.

pub mod integrate;
pub mod prune;
pub mod publish;
pub mod system;
pub mod watch;

use std::time::{Duration, Instant};

use tokio::sync::watch as signal;
use tokio::task::JoinSet;

use crate::Engine;

/// How long the integrate duty gathers events before it seals them: a checkpoint a second at most,
/// and none later than that.
const SEAL_EVERY: Duration = Duration::from_millis(500);
/// How often the publish duty looks by itself.
const PUBLISH_EVERY: Duration = Duration::from_secs(30);
/// The least time between two publications: what comes in between shares the next one.
const PUBLISH_PAUSE: Duration = Duration::from_millis(100);
/// How often reservations are pruned and strangers' refusals recorded.
const PRUNE_EVERY: Duration = Duration::from_secs(20);
/// How long verdicts gather before they are recorded: often and few, so that those who ask meanwhile
/// are not held up.
const DECIDED_EVERY: Duration = Duration::from_millis(50);
/// How long they wait if the store would not have them.
const DECIDED_AGAIN: Duration = Duration::from_secs(1);
/// How often our own certificates are looked at.
const SYSTEM_EVERY: Duration = Duration::from_secs(600);

/// How often the fleet is watched.
const WATCH_EVERY: Duration = Duration::from_secs(300);

/// The running duties.
pub struct Duties {
    stop: signal::Sender<()>,
    running: JoinSet<()>,
}

impl Engine {
    /// Starts all duties on the current runtime.
    pub fn start_duties(&self) -> Duties {
        let (stop, stopped) = signal::channel(());
        let mut running = JoinSet::new();
        let engine = self.clone();
        running.spawn(until(stopped.clone(), async move {
            let mut newest = engine.store().newest();
            loop {
                newest.mark_unchanged();
                report("integrate", engine.integrate().await);
                let _ = tokio::time::timeout(PUBLISH_EVERY, newest.changed()).await;
                tokio::time::sleep(SEAL_EVERY).await;
            }
        }));
        let engine = self.clone();
        running.spawn(until(stopped.clone(), async move {
            loop {
                let rung = engine.publish_bell().notified();
                let began = Instant::now();
                report("publish", engine.publish().await);
                report("publish", engine.watch_publication().await);
                let again = engine.feed_round().await;
                let took = began.elapsed();
                let _ = tokio::time::timeout(again.min(PUBLISH_EVERY), rung).await;
                // In a storm of withdrawals half of the time is for other work.
                tokio::time::sleep(took.max(PUBLISH_PAUSE)).await;
            }
        }));
        let engine = self.clone();
        running.spawn(until(stopped.clone(), async move {
            loop {
                report("prune", engine.prune().await);
                report(
                    "strangers",
                    engine.record_strangers(engine.clock().now()).await,
                );
                report("decide", engine.record_denials(engine.clock().now()).await);
                report("signed", engine.record_signed(engine.clock().now()).await);
                report("prune", engine.lapse_exceptions().await);
                report("prune", engine.erase_old().await);
                report("prune", engine.erase_abandoned_imports().await);
                tokio::time::sleep(PRUNE_EVERY).await;
            }
        }));
        let engine = self.clone();
        running.spawn(until(stopped.clone(), async move {
            loop {
                engine.verdicts().gathered().await;
                tokio::time::sleep(DECIDED_EVERY).await;
                let recorded = engine.record_verdicts().await;
                if recorded.is_err() {
                    report("decide", recorded);
                    tokio::time::sleep(DECIDED_AGAIN).await;
                }
            }
        }));
        let engine = self.clone();
        running.spawn(until(stopped.clone(), async move {
            loop {
                engine.fingerprints().wanted().notified().await;
                report("decide", engine.index_fingerprints().await);
            }
        }));
        let engine = self.clone();
        running.spawn(until(stopped.clone(), async move {
            loop {
                tokio::time::sleep(WATCH_EVERY).await;
                report("watch", engine.watch_fleet().await);
            }
        }));
        let engine = self.clone();
        running.spawn(until(stopped, async move {
            loop {
                tokio::time::sleep(SYSTEM_EVERY).await;
                report("system", engine.renew_system().await);
                report("trust-stores", engine.review_trust_stores().await);
                report("trust-stores", engine.watch_drift().await);
            }
        }));
        Duties { stop, running }
    }
}

impl Engine {
    /// Offers what is published, and looks whether it is applied. How soon to look again.
    async fn feed_round(&self) -> Duration {
        let mut again = Vec::new();
        match self.offer_feeds().await {
            Ok(round) => again.extend(round.again_s),
            Err(error) => report::<()>("feed", Err(error)),
        }
        match self.watch_feeds().await {
            Ok(next) => again.extend(next),
            Err(error) => report::<()>("feed", Err(error)),
        }
        let soonest = again.into_iter().min();
        soonest.map_or(PUBLISH_EVERY, |in_s| Duration::from_secs(in_s.max(1)))
    }
}

async fn until(mut stopped: signal::Receiver<()>, work: impl Future<Output = ()>) {
    tokio::select! {
        () = work => {}
        // An error says that the sender is gone, which is the signal.
        _ = stopped.changed() => {}
    }
}

fn report<T>(duty: &'static str, done: Result<T, crate::Rejection>) {
    if let Err(error) = done {
        tracing::error!(duty, "{error}; it will be tried again");
    }
}

impl Duties {
    /// Stops all duties, each at its next await, records the server's end, and seals the record.
    pub async fn stop(mut self, engine: &Engine) {
        drop(self.stop);
        while self.running.join_next().await.is_some() {}
        report(
            "strangers",
            engine.record_strangers(tenure_x509::Time::NEVER).await,
        );
        report("decide", engine.record_verdicts().await);
        report(
            "decide",
            engine.record_denials(tenure_x509::Time::NEVER).await,
        );
        report(
            "signed",
            engine.record_signed(tenure_x509::Time::NEVER).await,
        );
        report("stop", engine.record_stopped().await);
        report("integrate", engine.integrate().await);
    }
}
