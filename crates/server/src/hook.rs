//! Hooks at work: each goes through the record at its own pace, tells its receiver or ends sessions,
//! and keeps how far it has come.
//!
//! Nothing is lost: an event counts as told only once the receiver has said so and that is durable. So
//! a receiver may be told twice, and knows it by the id, which is the event's. What a receiver will not
//! have is offered a few times and then put aside, so that it does not stand in the way of the rest.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tenure_domain::Status;
use tenure_domain::finding::{FindingKind, Matter, NewFinding, Subject, SubjectKind};
use tenure_domain::hook::{HookKind, Purpose};
use tenure_domain::ids::{EventSeq, HookNo};
use tenure_domain::trust_change::{TrustChange, TrustChangeKind};
use tenure_engine::store::hook::{self, Known, Place, Refused};
use tenure_engine::store::trust_change::{self, More};
use tenure_engine::store::{StoreError, certificate};
use tenure_engine::{Engine, Newest, Rejection, Topic};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::limits::{HOOKS_MAX, STREAM_BATCH};
use crate::listen::Stop;
use crate::stream::news::{self, Feeds, Heard, NewsMessage};

mod broker;
pub mod caep;
mod post;

/// How long one delivery may take.
const DELIVERY: Duration = Duration::from_secs(10);
/// How often the record is looked at though nobody said that anything changed.
const LOOK: Duration = Duration::from_secs(1);
/// The first pause after a failure, doubled with each further one.
const PAUSE: Duration = Duration::from_secs(1);
/// The longest pause of a hook that tells.
const TELL_PAUSE_MAX: Duration = Duration::from_secs(300);
/// The longest pause of a hook that ends sessions: while it waits, a stolen device goes on.
const END_PAUSE_MAX: Duration = Duration::from_secs(15);
/// After so many failures in a row somebody must look.
const FAILURES_FOUND: i64 = 3;
/// How often something is offered to a receiver that says no to it.
const OFFERS_MAX: i64 = 5;
const DUTY: &str = "hooks";

/// Why something was not delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Undelivered {
    /// The receiver was not reached, or is not ready: it may be later.
    NotReached(String),
    /// The receiver says no to this.
    Refused(String),
}

impl fmt::Display for Undelivered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Undelivered::NotReached(why) | Undelivered::Refused(why) => f.write_str(why),
        }
    }
}

/// Runs a task for each hook, as hooks come and go, until it is told to stop.
pub async fn keep_on(engine: Engine, mut stop: Stop) {
    let mut changes = engine.hook_changes();
    let mut running: HashMap<HookNo, (Known, Running)> = HashMap::new();
    loop {
        changes.mark_unchanged();
        let tenant = engine.tenant();
        let listed = engine
            .store()
            .read(move |tx| hook::list(tx, tenant, "", HOOKS_MAX))
            .await;
        match listed {
            Ok(known) => {
                running.retain(|no, (was, _)| known.iter().any(|is| is.no == *no && is == was));
                for known in known {
                    running.entry(known.no).or_insert_with(|| {
                        let courier = Courier::new(engine.clone(), known.clone());
                        (known, Running(tokio::spawn(courier.run())))
                    });
                }
            }
            Err(error) => tracing::error!(duty = DUTY, "{error}; it will be tried again"),
        }
        tokio::select! {
            () = stop.asked() => return,
            // An error says that the engine is gone, and with it the server.
            changed = changes.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(Duration::from_secs(60)) => {}
        }
    }
}

/// A task that ends when this is dropped.
struct Running(JoinHandle<()>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.abort();
    }
}

struct Courier {
    engine: Engine,
    known: Arc<Known>,
}

/// What is delivered.
#[derive(Clone, Copy)]
enum What<'a> {
    /// A change of trust, from the record.
    Change(&'a TrustChange),
    /// Something that is published or offered.
    News(&'a Topic, &'a NewsMessage),
}

/// Which of a hook's two ways through the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pass {
    /// Everything, as soon as it is there.
    First,
    /// Sessions that are ended once more.
    Again,
}

/// How a round ended.
enum Round {
    /// Everything is told.
    Done,
    /// There may be more at once.
    More,
    /// It is to be tried again after a while.
    Pause(Duration),
}

impl Courier {
    fn new(engine: Engine, known: Known) -> Courier {
        Courier {
            engine,
            known: Arc::new(known),
        }
    }

    async fn run(self) {
        let mut bell = self.engine.trust_changes();
        let mut news = self.engine.news();
        // Nobody is told of publications twice but after a start, and then of the newest alone.
        let mut heard = Heard::default();
        let wants_news = TrustChangeKind::NEWS
            .iter()
            .any(|kind| self.known.hook.wants_news(*kind));
        loop {
            bell.mark_unchanged();
            let fresh = match wants_news {
                true => heard.news(&news.borrow_and_update(), &Feeds::Everybodys),
                false => Vec::new(),
            };
            let round = match self.round().await {
                Ok(Round::Done) => self.tell_news(fresh, &mut heard).await,
                other => other,
            };
            let pause = match round {
                Ok(Round::More) => continue,
                Ok(Round::Done) => None,
                Ok(Round::Pause(pause)) => Some(pause),
                Err(error) => {
                    tracing::error!(duty = DUTY, "{error}; it will be tried again");
                    Some(PAUSE)
                }
            };
            match pause {
                Some(pause) => tokio::time::sleep(pause).await,
                None => {
                    // An error says that the engine is gone; then so is this task, soon.
                    let rung = async {
                        tokio::select! {
                            changed = bell.changed() => changed,
                            changed = news.changed(), if wants_news => changed,
                        }
                    };
                    let _ = timeout(LOOK, rung).await;
                }
            }
        }
    }

    /// Tells what is new on the board. What the receiver will not have is left: something newer will
    /// come.
    async fn tell_news(
        &self,
        fresh: Vec<(Topic, Newest)>,
        heard: &mut Heard,
    ) -> Result<Round, Rejection> {
        if fresh.is_empty() {
            return Ok(Round::Done);
        }
        let (hook, known) = (&self.known.hook, Arc::clone(&self.known));
        let mut place = self.engine.store().glance(|tx| hook::place(tx, &known))?;
        for (topic, newest) in fresh {
            if !hook.wants_news(news::kind(&topic)) {
                heard.told(topic, &newest);
                continue;
            }
            let message = NewsMessage::of(&topic, &newest);
            match self.deliver(What::News(&topic, &message)).await {
                Ok(()) => self.succeeded(&mut place).await?,
                Err(Undelivered::Refused(why)) => {
                    tracing::warn!(hook = hook.name.as_str(), %why, "the receiver will not have it");
                }
                Err(why) => {
                    let evidence = format!("{} {}", message.what, message.sequence);
                    return self.not_reached(place, &evidence, &why).await;
                }
            }
            heard.told(topic, &newest);
        }
        Ok(Round::Done)
    }

    async fn round(&self) -> Result<Round, Rejection> {
        let known = Arc::clone(&self.known);
        let mut place = self.engine.store().glance(|tx| hook::place(tx, &known))?;
        let page = self.page(EventSeq(place.told)).await?;
        let mut ended = HashSet::new();
        for change in &page.changes {
            if !self.known.hook.wants(change) || !is_new(&mut ended, self.known.hook.kind, change) {
                continue;
            }
            match self.deliver(What::Change(change)).await {
                Ok(()) => {
                    place.told = change.seq.0;
                    self.succeeded(&mut place).await?;
                }
                Err(why) => return self.failed(place, change, why, Pass::First).await,
            }
        }
        if page.through.0 > place.told {
            place.told = page.through.0;
            self.keep(&place, None).await?;
        }
        match page.more {
            More::Perhaps => Ok(Round::More),
            More::No if self.known.hook.kind.purpose() == Purpose::EndSessions => {
                self.once_more(place).await
            }
            More::No => Ok(Round::Done),
        }
    }

    /// Ends once more the sessions that were ended a while ago: whoever came back before its relying
    /// party refused the certificate at the door.
    async fn once_more(&self, mut place: Place) -> Result<Round, Rejection> {
        let ripe = self
            .engine
            .clock()
            .now()
            .plus(-self.known.hook.again_after_s);
        let page = self.page(EventSeq(place.again)).await?;
        let mut ended = HashSet::new();
        let mut through = place.again;
        for change in page.changes.iter().take_while(|change| change.at <= ripe) {
            through = change.seq.0;
            let wanted = self.known.hook.wants(change)
                && is_new(&mut ended, self.known.hook.kind, change)
                && self.is_withdrawn(change)?;
            if !wanted {
                continue;
            }
            if let Err(why) = self.deliver(What::Change(change)).await {
                return self.failed(place, change, why, Pass::Again).await;
            }
            place.again = through;
            self.succeeded(&mut place).await?;
        }
        let is_ripe = page.changes.iter().all(|change| change.at <= ripe);
        if is_ripe {
            // What follows the last change, or is all there is, changes no trust.
            through = page.through.0;
        }
        if through > place.again {
            place.again = through;
            self.keep(&place, None).await?;
        }
        match page.more {
            More::Perhaps if is_ripe => Ok(Round::More),
            More::Perhaps | More::No => Ok(Round::Done),
        }
    }

    async fn page(&self, after: EventSeq) -> Result<trust_change::Page, Rejection> {
        let tenant = self.engine.tenant();
        let read = move |tx: &tenure_engine::store::ReadTx<'_>| {
            trust_change::after(tx, tenant, after, STREAM_BATCH)
        };
        Ok(self.engine.store().read::<_, StoreError, _>(read).await?)
    }

    /// Whether the certificate is still withdrawn: one that was given back meanwhile may come back.
    fn is_withdrawn(&self, change: &TrustChange) -> Result<bool, Rejection> {
        let Some(named) = change.certificate() else {
            return Ok(false);
        };
        let rows = self
            .engine
            .store()
            .glance(|tx| certificate::find_serial(tx, &named.serial))?;
        Ok(rows.iter().any(|row| {
            row.issuer_name == named.issuer && matches!(row.status, Status::Held | Status::Revoked)
        }))
    }

    async fn deliver(&self, what: What<'_>) -> Result<(), Undelivered> {
        let secret = self.engine.hook_secret(&self.known);
        let secret = secret.map_err(|error| Undelivered::NotReached(error.to_string()))?;
        let secret = secret.as_ref().map(|secret| secret.as_str());
        let (engine, hook) = (&self.engine, &self.known.hook);
        let delivery = async {
            match (hook.kind, what) {
                (HookKind::Webhook, what) => post::webhook(engine, hook, secret, &what).await,
                (HookKind::Mqtt, what) => broker::publish(engine, hook, secret, &what).await,
                (HookKind::Caep, What::Change(change)) => {
                    caep::push(engine, hook, secret, change).await
                }
                (HookKind::Mosquitto, What::Change(change)) => {
                    broker::end_sessions(engine, hook, secret, change).await
                }
                (HookKind::Emqx, What::Change(change)) => {
                    post::end_session(engine, hook, secret, change).await
                }
                // `Hook::wants_news` says no for these.
                (HookKind::Caep | HookKind::Mosquitto | HookKind::Emqx, What::News(..)) => Ok(()),
            }
        };
        let done = timeout(DELIVERY, delivery).await.unwrap_or_else(|_| {
            let s = DELIVERY.as_secs();
            Err(Undelivered::NotReached(format!("no answer within {s} s")))
        });
        let (name, id) = (hook.name.as_str(), post::id(&what));
        match &done {
            Ok(()) => tracing::info!(hook = name, id, "delivered"),
            Err(why) => tracing::warn!(hook = name, id, %why, "not delivered"),
        }
        done
    }

    async fn succeeded(&self, place: &mut Place) -> Result<(), Rejection> {
        let had_failed = place.failures > 0;
        place.failing = None;
        place.failures = 0;
        place.delivered = Some(self.engine.clock().now());
        place.error = String::new();
        self.keep(place, None).await?;
        if had_failed {
            let why = "the receiver has been reached again";
            self.engine
                .clear_finding(DUTY, self.matter("delivery"), why)
                .await?;
        }
        Ok(())
    }

    async fn failed(
        &self,
        mut place: Place,
        change: &TrustChange,
        why: Undelivered,
        pass: Pass,
    ) -> Result<Round, Rejection> {
        let evidence = format!("event {}", change.seq);
        let is_over = matches!(why, Undelivered::Refused(_)) && place.failures + 1 >= OFFERS_MAX;
        if is_over {
            let now = self.engine.clock().now();
            place.error = shortened(&why);
            match pass {
                Pass::First => place.told = change.seq.0,
                Pass::Again => place.again = change.seq.0,
            }
            place.failing = None;
            place.failures = 0;
            let refused = Refused {
                event: change.seq,
                at: now,
                why: place.error.clone(),
            };
            self.keep(&place, Some(refused)).await?;
            self.found("refused", &evidence, &place).await?;
            return Ok(Round::More);
        }
        self.not_reached(place, &evidence, &why).await
    }

    /// It is to be tried again, later and later.
    async fn not_reached(
        &self,
        mut place: Place,
        evidence: &str,
        why: &Undelivered,
    ) -> Result<Round, Rejection> {
        place.failing.get_or_insert(self.engine.clock().now());
        place.failures += 1;
        place.error = shortened(why);
        self.keep(&place, None).await?;
        if place.failures >= FAILURES_FOUND {
            self.found("delivery", evidence, &place).await?;
        }
        let doublings = u32::try_from(place.failures - 1).unwrap_or(0).min(16);
        let most = match self.known.hook.kind.purpose() {
            Purpose::Tell => TELL_PAUSE_MAX,
            Purpose::EndSessions => END_PAUSE_MAX,
        };
        Ok(Round::Pause((PAUSE * 2_u32.pow(doublings)).min(most)))
    }

    async fn keep(&self, place: &Place, refused: Option<Refused>) -> Result<(), Rejection> {
        self.engine
            .keep_hook_place(&self.known, place.clone(), refused)
            .await
    }

    async fn found(&self, cause: &str, evidence: &str, place: &Place) -> Result<(), Rejection> {
        let hook = &self.known.hook;
        let (name, address, error) = (&hook.name, &hook.address, &place.error);
        let means = match hook.kind.purpose() {
            Purpose::Tell => "whoever listens there does not learn of withdrawals",
            Purpose::EndSessions => "sessions of withdrawn devices go on there",
        };
        let summary = match cause {
            "refused" => format!(
                "{name} at {address} will not have {evidence} ({error}); it was put aside. See that \
                 the receiver takes what is sent, then `tenure hook redeliver {name} --after N`"
            ),
            _ => format!(
                "{name} does not get through to {address} ({error}): {means}. It goes on trying; see \
                 that the receiver runs, that the address, the anchors and the secret are right"
            ),
        };
        let finding = NewFinding {
            matter: self.matter(cause),
            summary,
            evidence: vec![evidence.to_owned()],
            owner: Some(hook.owner.clone()),
            criticality: hook.criticality,
        };
        self.engine.raise_finding(DUTY, finding).await.map(|_| ())
    }

    fn matter(&self, cause: &str) -> Matter {
        Matter {
            kind: FindingKind::HookFailing,
            subject: Subject::new(SubjectKind::Hook, self.known.hook.name.as_str()),
            cause: cause.to_owned(),
        }
    }
}

fn shortened(why: &Undelivered) -> String {
    why.to_string().chars().take(300).collect()
}

/// Whether sessions of this device were not ended yet in this round; who is told is told everything.
fn is_new(ended: &mut HashSet<String>, kind: HookKind, change: &TrustChange) -> bool {
    match (kind.purpose(), &change.device) {
        (Purpose::EndSessions, Some(device)) => ended.insert(device.to_string()),
        (Purpose::EndSessions, None) | (Purpose::Tell, _) => true,
    }
}

#[cfg(test)]
mod tests;
