//! The one signer: four verbs (`enroll`, `revoke`, `observe`, `change`) and the standing duties that
//! make what is into what should be.
//!
//! **Absences.** No HTTP, no SQL text, no protocol. Nothing outside this crate can make a key sign:
//! a certificate is signed only when it is reserved, a list or an answer only when it was drafted
//! from the store.
//!
//! Read first: [`Engine::enroll`], the story every protocol shares, and [`signer::Key`], the doors.

mod attest;
mod blast;
mod canary;
pub mod ceremony;
mod chance;
mod change;
mod clock;
mod compromise;
mod counters;
mod decide;
mod drill;
pub mod duty;
mod enroll;
mod exception;
pub mod facts;
mod fault;
pub mod feed;
mod file;
mod finding;
mod fingerprint;
mod hook;
mod life;
mod lists;
mod news;
mod observe;
pub mod origin;
mod permit;
mod policy;
mod relying_party;
mod revoke;
pub mod rollover;
mod running;
mod signed;
pub mod signer;
mod snapshot;
pub mod status;
mod step;
mod strangers;
pub mod trust_store;
mod verdicts;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

pub use blast::{Blast, Reached};
pub use canary::CanaryIdentity;
pub use change::{Changed, NewSecretText, NewToken};
pub use clock::Clock;
pub use compromise::{KeyCompromise, Of, Standing as CompromiseStanding, WaveStep};
pub use counters::Counters;
pub use decide::{Agreement, DecideAsk, Decided, Identity, Replayed};
pub use enroll::Answer;
pub use fault::{Chain, Fault, FaultCause, Rejection};
pub use hook::MESSAGES;
pub use news::{Board, Newest, Topic};
pub use observe::{Observation, Observed};
pub use revoke::{BlastRadius, RevokeAsk, Target, Withdrawal};
pub use snapshot::{Maker, Snapshot};
pub use step::Step;
pub use tenure_store as store;

use parking_lot::{Mutex, MutexGuard, RwLock};
use tenure_domain::event::{Entry, Event};
use tenure_domain::ids::TenantId;
use tenure_domain::operator::Actor;
use tenure_store::{OperationId, Store, StoreError};
use tenure_x509::SanName;
use tokio::sync::{Notify, watch};

use crate::signer::Key;

/// What a verb comes to. Boxed, because an `async` body is otherwise compiled once more in every part
/// of every crate that awaits it, and the verbs are large.
pub type Promise<'a, T> = Pin<Box<dyn Future<Output = Result<T, Rejection>> + Send + 'a>>;

/// The engine. A cheap handle: clones share everything.
#[derive(Clone)]
pub struct Engine {
    inside: Arc<Inside>,
}

struct Inside {
    tenant: TenantId,
    settings: Settings,
    system: watch::Sender<()>,
    directory: PathBuf,
    store: Store,
    clock: Clock,
    keys: RwLock<HashMap<String, Key>>,
    snapshot: RwLock<Arc<Snapshot>>,
    counters: Counters,
    strangers: strangers::Strangers,
    signed: signed::Signed,
    verdicts: verdicts::Verdicts,
    fingerprints: fingerprint::Fingerprints,
    status: status::Responders,
    lists: lists::Lists,
    feeds: feed::Feeds,
    news: news::News,
    behind: duty::publish::Behind,
    publish: Notify,
    trust: watch::Sender<()>,
    /// Since when something may wait to be published.
    unpublished: Mutex<Option<Instant>>,
    hooks: watch::Sender<()>,
    watch: OnceLock<fn(Step)>,
}

/// How this process runs, as far as the engine must know.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// The names and addresses that our server certificate must carry.
    pub hosts: Vec<SanName>,
    /// How many certificates one operator may withdraw for good within an hour before another one has
    /// to agree; 0 is no bound.
    pub revoked_alone_max: u32,
}

impl Engine {
    /// Starts the engine on an open store with the keys that are at hand. `directory` is where
    /// published artifacts and tiles are kept.
    pub fn start(
        store: Store,
        keys: impl IntoIterator<Item = Key>,
        directory: &Path,
        clock: Clock,
        settings: Settings,
    ) -> Result<Engine, Rejection> {
        let tenant = TenantId::DEFAULT;
        let snapshot = store.glance(|tx| Snapshot::load(tx, tenant))?;
        let keys = keys
            .into_iter()
            .map(|key| (key.name().to_owned(), key))
            .collect();
        let engine = Engine {
            inside: Arc::new(Inside {
                tenant,
                settings,
                system: watch::Sender::new(()),
                directory: directory.to_owned(),
                store,
                clock,
                keys: RwLock::new(keys),
                snapshot: RwLock::new(Arc::new(snapshot)),
                counters: Counters::default(),
                strangers: strangers::Strangers::default(),
                signed: signed::Signed::default(),
                verdicts: verdicts::Verdicts::default(),
                fingerprints: fingerprint::Fingerprints::default(),
                status: status::Responders::default(),
                lists: lists::Lists::default(),
                feeds: feed::Feeds::default(),
                news: news::News::default(),
                behind: duty::publish::Behind::default(),
                publish: Notify::new(),
                trust: watch::Sender::new(()),
                unpublished: Mutex::default(),
                hooks: watch::Sender::new(()),
                watch: OnceLock::new(),
            }),
        };
        engine.keys_are_the_issuers()?;
        engine.open_responders()?;
        Ok(engine)
    }

    /// A key of another data directory under the right name would sign what nobody can verify.
    fn keys_are_the_issuers(&self) -> Result<(), FaultCause> {
        for issuer in self.snapshot().issuers.iter() {
            if let Some(key) = self.key(&issuer.key)
                && key.public().hash() != issuer.public_key().hash()
            {
                return Err(FaultCause::OtherKey(issuer.key.clone()));
            }
        }
        Ok(())
    }

    /// The names and addresses that our server certificate must carry.
    pub fn hosts(&self) -> &[SanName] {
        &self.inside.settings.hosts
    }

    /// Changes whenever one of our own certificates was renewed.
    pub fn system_renewals(&self) -> watch::Receiver<()> {
        self.inside.system.subscribe()
    }

    pub(crate) fn ring_system(&self) {
        self.inside.system.send_replace(());
    }

    /// The tenant served.
    pub fn tenant(&self) -> TenantId {
        self.inside.tenant
    }

    /// The store, for reading views.
    pub fn store(&self) -> &Store {
        &self.inside.store
    }

    /// Where published artifacts and tiles are kept.
    pub fn directory(&self) -> &Path {
        &self.inside.directory
    }

    /// The clock.
    pub fn clock(&self) -> &Clock {
        &self.inside.clock
    }

    /// What has been counted since the start.
    pub fn counters(&self) -> &Counters {
        &self.inside.counters
    }

    /// Policy, issuers, manufacturers and classes as of the last change.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.inside.snapshot.read())
    }

    /// Reads policy, issuers, manufacturers and classes anew. A newer copy that somebody else has read
    /// meanwhile stays.
    pub async fn reload(&self) -> Result<(), Rejection> {
        let tenant = self.inside.tenant;
        let snapshot = self
            .store()
            .read(move |tx| Snapshot::load(tx, tenant))
            .await?;
        let mut held = self.inside.snapshot.write();
        if snapshot.as_of >= held.as_of {
            *held = Arc::new(snapshot);
        }
        drop(held);
        self.forget_verdicts();
        Ok(())
    }

    /// A key by name, if it is at hand.
    pub fn key(&self, name: &str) -> Option<Key> {
        self.inside.keys.read().get(name).cloned()
    }

    /// Every key at hand.
    pub(crate) fn all_keys(&self) -> Vec<Key> {
        self.inside.keys.read().values().cloned().collect()
    }

    /// How this process runs.
    pub(crate) fn settings(&self) -> &Settings {
        &self.inside.settings
    }

    /// Takes another key into use.
    pub fn add_key(&self, key: Key) {
        let mut keys = self.inside.keys.write();
        keys.insert(key.name().to_owned(), key);
    }

    /// Says that the revocation sets may have changed. Losing this loses nothing: the publish duty
    /// also looks by itself.
    pub fn wake_publish(&self) {
        self.inside.status.forget();
        self.forget_verdicts();
        self.unpublished().get_or_insert_with(Instant::now);
        self.inside.publish.notify_one();
        self.inside.trust.send_replace(());
    }

    pub(crate) fn fingerprints(&self) -> &fingerprint::Fingerprints {
        &self.inside.fingerprints
    }

    /// Says that a verdict may come out otherwise than before.
    pub(crate) fn forget_verdicts(&self) {
        // In this order: who sees the new generation of verdicts reads what made it.
        self.store().outdate();
        self.inside.verdicts.forget();
    }

    pub(crate) fn unpublished(&self) -> MutexGuard<'_, Option<Instant>> {
        self.inside.unpublished.lock()
    }

    /// Changes whenever trust may have been withdrawn or given back. Losing this loses nothing:
    /// whoever follows trust changes also looks by itself.
    pub fn trust_changes(&self) -> watch::Receiver<()> {
        self.inside.trust.subscribe()
    }

    /// Changes whenever a hook was put or taken away.
    pub fn hook_changes(&self) -> watch::Receiver<()> {
        self.inside.hooks.subscribe()
    }

    pub(crate) fn ring_hooks(&self) {
        self.inside.hooks.send_replace(());
    }

    pub(crate) fn strangers(&self) -> &strangers::Strangers {
        &self.inside.strangers
    }

    pub(crate) fn signed(&self) -> &signed::Signed {
        &self.inside.signed
    }

    pub(crate) fn verdicts(&self) -> &verdicts::Verdicts {
        &self.inside.verdicts
    }

    pub(crate) fn responders(&self) -> &status::Responders {
        &self.inside.status
    }

    pub(crate) fn lists(&self) -> &lists::Lists {
        &self.inside.lists
    }

    pub(crate) fn feeds(&self) -> &feed::Feeds {
        &self.inside.feeds
    }

    pub(crate) fn behind(&self) -> &duty::publish::Behind {
        &self.inside.behind
    }

    pub(crate) fn publish_bell(&self) -> &Notify {
        &self.inside.publish
    }

    /// Has `watch` told of each step from now on, on the thread that took it. For tests that stop
    /// there; nothing in a configuration leads here.
    #[doc(hidden)]
    pub fn watch_steps(&self, watch: fn(Step)) {
        // Only the first watch counts: a test has one.
        let _ = self.inside.watch.set(watch);
    }

    pub(crate) fn step(&self, step: Step) {
        if let Some(watch) = self.inside.watch.get() {
            watch(step);
        }
    }

    /// Does what waits for a disk or a device on a thread that serves nobody. A panic there is ours
    /// alone, told as `died`.
    pub(crate) async fn aside<T, E, F>(&self, died: &'static str, work: F) -> Result<T, Rejection>
    where
        T: Send + 'static,
        E: Into<Rejection> + Send + 'static,
        F: FnOnce(&Engine) -> Result<T, E> + Send + 'static,
    {
        let engine = self.clone();
        match tokio::task::spawn_blocking(move || work(&engine)).await {
            Ok(done) => done.map_err(Into::into),
            Err(_) => Err(FaultCause::Corrupt(died).into()),
        }
    }

    /// Records what changes nothing else and has to be told.
    pub(crate) async fn note(&self, actor: &Actor, events: Vec<Event>) -> Result<(), Rejection> {
        if events.is_empty() {
            return Ok(());
        }
        let now = self.clock().now();
        let entry = |event| Entry::new(actor.clone(), now, event);
        let entries: Vec<_> = events.into_iter().map(entry).collect();
        self.store()
            .record::<(), StoreError, _>(self.operation()?, move |tx| {
                for entry in &entries {
                    tx.log(entry)?;
                }
                Ok(())
            })
            .await?;
        Ok(())
    }

    /// A fresh name for one recording transaction.
    pub(crate) fn operation(&self) -> Result<OperationId, FaultCause> {
        chance::operation()
    }
}
