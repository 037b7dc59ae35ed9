//! What becomes of verdicts after they were given: kept for whoever asks the same again, recorded so
//! that each can be made again, counted when they say no.
//!
//! At thousands a second not every verdict can be an event, and it need not be: the facts of a device
//! change rarely, so each state of them is recorded once, with what came of it. The name of a verdict
//! is the hash of its facts and its time, and that is all it takes to make it again. Verdicts on
//! someone unknown rest on nothing of ours: they are counted by the minute, and kept in memory until
//! many others came.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use tenure_domain::decision::{Access, Alarm, DecisionFacts, Ground, Question, Shown, Trust};
use tenure_domain::event::{Entry, Event};
use tenure_domain::finding::{FindingKind, FindingState, Matter, NewFinding, Subject};
use tenure_domain::ids::{DeviceId, DeviceNo, Slug, TenantId, Title};
use tenure_domain::operator::Actor;
use tenure_store::incident::{self, NewIncident};
use tenure_store::verdict::{self, Kept, KeptVerdict, NewVerdict};
use tenure_store::{ReadTx, StoreError, Tx, finding};
use tenure_x509::{Time, sha256};
use tokio::sync::Notify;

use crate::Engine;
use crate::decide::{Decided, Identity};
use crate::fault::Rejection;

/// How many verdicts are kept at hand.
const KEPT_VERDICTS: usize = 262_144;
/// How many wait to be recorded. What comes on top is recorded when it is asked again.
const WAITING_MAX: usize = 65_536;
/// How many recorded verdicts are remembered, so that they are not queued again.
const RECORDED_MAX: usize = 1_048_576;
/// How many verdicts on someone unknown can be made again.
const RECENT_MAX: usize = 8_192;
/// How many (device, relying party, service, reason) lines one minute may have; what comes on top is
/// counted without its device.
const LINES_PER_MINUTE: usize = 4_096;
/// How many are recorded in one transaction.
const BATCH: usize = 64;

/// Who does what is done here.
const DUTY: &str = "decide";

/// What was asked, as one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Asked([u8; 32]);

impl Asked {
    pub(crate) fn new(identity: &Identity, question: &Question) -> Asked {
        let mut text = match identity {
            Identity::Named => vec![0],
            Identity::Serial {
                issuer,
                serial,
                fingerprint,
            } => {
                let issuer = issuer.as_ref().map_or("", |name| name.as_str());
                let mut text = vec![1];
                text.extend(format!("{serial}/{issuer}/{fingerprint:?}").into_bytes());
                text
            }
            Identity::Fingerprint(fingerprint) => {
                let mut text = vec![3];
                text.extend_from_slice(fingerprint);
                text
            }
            Identity::Certificate(leaf) => {
                let mut text = vec![2];
                text.extend_from_slice(leaf.der());
                text
            }
        };
        text.push(0);
        // Writing names into memory cannot fail, and its end is told apart from what is before it.
        text.extend(serde_json::to_vec(question).unwrap_or_default());
        Asked(sha256(&text))
    }
}

/// A verdict that was just made, with all that it rests on.
pub(crate) struct Fresh {
    pub(crate) decided: Decided,
    pub(crate) question: Question,
    pub(crate) facts: DecisionFacts,
    pub(crate) alarm: KnownAlarm,
    pub(crate) body: Vec<u8>,
}

/// Whether somebody was told that a device goes on although it is not known to be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KnownAlarm {
    /// Nobody.
    None,
    /// There is an open finding.
    Raised,
}

impl Fresh {
    /// Whether a finding has to be opened or cleared, whatever is on record of the verdict.
    fn has_news(&self) -> bool {
        let verdict = &self.decided.verdict;
        match (self.alarm, verdict.alarm, verdict.trust) {
            (KnownAlarm::None, Alarm::Raised, _) => true,
            (KnownAlarm::Raised, Alarm::Quiet, Trust::Trusted | Trust::Untrusted) => true,
            (KnownAlarm::None | KnownAlarm::Raised, _, _) => false,
        }
    }
}

/// One line of the count of denials.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Line {
    device: Option<(DeviceNo, DeviceId)>,
    party: Option<Slug>,
    service: Option<Title>,
    ground: Ground,
    minute: i64,
}

/// A verdict at hand, and the line that it counts on if it says no.
struct AtHand {
    decided: Decided,
    line: Line,
}

#[derive(Default)]
struct Answers {
    generation: u64,
    verdicts: HashMap<Asked, Arc<AtHand>>,
}

#[derive(Default)]
struct Waiting {
    queue: VecDeque<Fresh>,
    /// By facts and outcome.
    queued: HashSet<[u8; 32]>,
}

#[derive(Default)]
struct Recent {
    order: VecDeque<[u8; 16]>,
    bodies: HashMap<[u8; 16], KeptVerdict>,
}

/// All of it.
#[derive(Default)]
pub(crate) struct Verdicts {
    generation: AtomicU64,
    answers: Mutex<Answers>,
    waiting: Mutex<Waiting>,
    recent: Mutex<Recent>,
    denied: Mutex<HashMap<Line, u64>>,
    /// Rings when a verdict waits for the record.
    queued: Notify,
}

impl Verdicts {
    /// Counts the changes that may turn a verdict.
    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::SeqCst)
    }

    /// Drops every verdict at hand: something was withdrawn, given back or changed.
    pub(crate) fn forget(&self) {
        self.generation.fetch_add(1, Ordering::SeqCst);
    }

    /// Has every state of the facts recorded once more when it is asked about: some were erased.
    pub(crate) fn record_anew(&self) {
        self.waiting.lock().queued.clear();
    }

    pub(crate) fn kept(&self, asked: &Asked, now: Time) -> Option<Decided> {
        let generation = self.generation();
        let found = {
            let answers = self.answers.lock();
            if answers.generation != generation {
                return None;
            }
            Arc::clone(answers.verdicts.get(asked)?)
        };
        let verdict = &found.decided.verdict;
        if now < verdict.decided || now >= verdict.valid_until {
            return None;
        }
        self.count(&found, now);
        Some(found.decided.clone())
    }

    /// Keeps a fresh verdict for whoever asks the same again, and for the record.
    pub(crate) fn keep(&self, asked: Asked, generation: u64, fresh: Fresh) {
        let now = fresh.decided.verdict.decided;
        let first = fresh.decided.verdict.grounds.first().copied();
        let device = fresh.facts.device.as_ref();
        let at_hand = Arc::new(AtHand {
            line: Line {
                device: device.map(|device| (device.no, device.id.clone())),
                party: fresh.question.party.clone(),
                service: fresh.question.service.clone(),
                ground: first.unwrap_or(Ground::NoIdentity),
                minute: 0,
            },
            decided: fresh.decided.clone(),
        });
        self.count(&at_hand, now);
        // The next one may come out otherwise a moment later, and no bell is rung for it: the device comes
        // to be known, or is let in and thereby seen for the first time.
        let verdict = &fresh.decided.verdict;
        let is_seen_now = verdict.access == Access::Allow && fresh.decided.unseen.is_some();
        let is_passing = verdict.trust == Trust::Unknown || is_seen_now;
        if fresh.facts.device.is_some() || is_forged(&fresh) {
            self.queue(fresh);
        } else {
            self.remember(&fresh);
        }
        if is_passing {
            return;
        }
        let mut answers = self.answers.lock();
        if answers.generation > generation {
            return;
        }
        if answers.generation < generation || answers.verdicts.len() >= KEPT_VERDICTS {
            answers.verdicts.clear();
            answers.generation = generation;
        }
        answers.verdicts.insert(asked, at_hand);
    }

    fn count(&self, at_hand: &AtHand, now: Time) {
        if at_hand.decided.verdict.access == Access::Allow {
            return;
        }
        let mut line = at_hand.line.clone();
        line.minute = now.unix().div_euclid(60);
        deny(&mut self.denied.lock(), line, 1);
    }

    fn queue(&self, fresh: Fresh) {
        let mut name = fresh.body.clone();
        name.extend(fresh.decided.verdict.outcome().into_bytes());
        let name = sha256(&name);
        let mut waiting = self.waiting.lock();
        if waiting.queued.len() >= RECORDED_MAX {
            // What is forgotten is queued once more and found to be recorded.
            waiting.queued.clear();
        }
        // Whether a forged certificate opens an incident turns on which are open, so it is asked
        // each time; and what strangers make up crowds out no name of a known state.
        if waiting.queue.len() < WAITING_MAX
            && (is_forged(&fresh) || waiting.queued.insert(name) || fresh.has_news())
        {
            waiting.queue.push_back(fresh);
            self.queued.notify_one();
        }
    }

    /// Returns once a verdict waits for the record.
    pub(crate) async fn gathered(&self) {
        self.queued.notified().await;
    }

    fn remember(&self, fresh: &Fresh) {
        let mut recent = self.recent.lock();
        let id = fresh.decided.id.facts;
        let outcome = fresh.decided.verdict.outcome();
        if let Some(known) = recent.bodies.get_mut(&id) {
            if !known.outcomes.contains(&outcome) {
                known.outcomes.push(outcome);
            }
            return;
        }
        if recent.order.len() >= RECENT_MAX
            && let Some(oldest) = recent.order.pop_front()
        {
            recent.bodies.remove(&oldest);
        }
        recent.order.push_back(id);
        let kept = KeptVerdict {
            body: fresh.body.clone(),
            outcomes: vec![outcome],
            first: fresh.decided.verdict.decided,
        };
        recent.bodies.insert(id, kept);
    }

    /// What is kept in memory of a verdict, because it is about someone unknown or not yet recorded.
    pub(crate) fn recent(&self, id: &[u8; 16]) -> Option<KeptVerdict> {
        if let Some(kept) = self.recent.lock().bodies.get(id) {
            return Some(kept.clone());
        }
        let waiting = self.waiting.lock();
        let mut found = waiting
            .queue
            .iter()
            .filter(|fresh| fresh.decided.id.facts == *id)
            .peekable();
        let oldest = found.peek()?;
        let (body, first) = (oldest.body.clone(), oldest.decided.verdict.decided);
        let outcomes = found.map(|fresh| fresh.decided.verdict.outcome());
        Some(KeptVerdict {
            outcomes: outcomes.collect(),
            body,
            first,
        })
    }

    fn take(&self) -> Vec<Fresh> {
        let mut waiting = self.waiting.lock();
        let many = waiting.queue.len().min(BATCH);
        waiting.queue.drain(..many).collect()
    }

    fn give_back(&self, batch: Vec<Fresh>) {
        let mut waiting = self.waiting.lock();
        for fresh in batch.into_iter().rev() {
            waiting.queue.push_front(fresh);
        }
        self.queued.notify_one();
    }

    fn take_denied_before(&self, minute: i64) -> Vec<(Line, u64)> {
        let mut denied = self.denied.lock();
        let over: Vec<_> = denied
            .keys()
            .filter(|line| line.minute < minute)
            .cloned()
            .collect();
        over.into_iter()
            .filter_map(|line| denied.remove_entry(&line))
            .collect()
    }

    fn give_back_denied(&self, over: Vec<(Line, u64)>) {
        let mut denied = self.denied.lock();
        for (line, count) in over {
            deny(&mut denied, line, count);
        }
    }
}

fn deny(denied: &mut HashMap<Line, u64>, mut line: Line, count: u64) {
    if denied.len() >= LINES_PER_MINUTE && !denied.contains_key(&line) {
        line.device = None;
    }
    *denied.entry(line).or_default() += count;
}

/// Whether a relying party was shown a certificate that somebody made up in our name.
fn is_forged(fresh: &Fresh) -> bool {
    fresh.question.party.is_some() && matches!(fresh.facts.shown, Shown::NotOurs { .. })
}

impl Engine {
    /// Records the verdicts that wait: each state of a device's facts once, with what came of it, and
    /// what follows from it for people. Returns how many were new.
    pub async fn record_verdicts(&self) -> Result<usize, Rejection> {
        let mut new = 0;
        loop {
            let batch = self.verdicts().take();
            if batch.is_empty() {
                break;
            }
            match self.record_batch(&batch).await {
                Ok(more) => new += more,
                Err(error) => {
                    self.verdicts().give_back(batch);
                    return Err(error);
                }
            }
        }
        Ok(new)
    }

    async fn record_batch(&self, batch: &[Fresh]) -> Result<usize, Rejection> {
        let mut jobs: Vec<Job> = batch.iter().map(Job::of).collect();
        self.store().glimpse(|tx| forget_known(tx, &mut jobs))?;
        if jobs.is_empty() {
            return Ok(0);
        }
        let tenant = self.tenant();
        let recorded = self
            .store()
            .record::<usize, StoreError, _>(self.operation()?, move |tx| {
                let mut new = 0;
                for job in &jobs {
                    new += job.record(tx, tenant)?;
                }
                if new == 0 {
                    tx.excuse("these verdicts are on record");
                }
                Ok(new)
            })
            .await?;
        Ok(recorded)
    }

    /// Records the denials of the minutes that are over; with `at` at the end of time, all of them.
    pub async fn record_denials(&self, at: Time) -> Result<(), Rejection> {
        let over = self.verdicts().take_denied_before(at.unix().div_euclid(60));
        if over.is_empty() {
            return Ok(());
        }
        let recorded = self.record_counted(over.clone()).await;
        if recorded.is_err() {
            self.verdicts().give_back_denied(over);
        }
        recorded
    }

    async fn record_counted(&self, over: Vec<(Line, u64)>) -> Result<(), Rejection> {
        let now = self.clock().now();
        self.store()
            .record::<(), StoreError, _>(self.operation()?, move |tx| {
                for (line, count) in &over {
                    let event = Event::AccessDenied {
                        count: *count,
                        minute: Time::from_unix(line.minute * 60).to_string(),
                        party: line.party.as_ref().map(ToString::to_string),
                        reason: line.ground.to_string(),
                        service: line.service.as_ref().map(ToString::to_string),
                    };
                    let mut entry = Entry::new(Actor::system(DUTY), now, event);
                    if let Some((no, id)) = &line.device {
                        entry = entry.about(*no, id);
                    }
                    tx.log(&entry)?;
                }
                Ok(())
            })
            .await?;
        Ok(())
    }
}

/// What is to be done about one verdict.
enum Job {
    /// Keep it, and say or unsay that the device goes on unknown.
    Keep(Box<NewVerdict>, Alert),
    /// Somebody shows a certificate that we did not issue.
    Forged(NewIncident, Time),
    /// Nothing.
    Nothing,
}

/// Drops the jobs that would write nothing, as far as a read can tell: whoever makes certificates
/// in our name can make any number, and each is counted among the denials of its minute.
fn forget_known(tx: &ReadTx<'_>, jobs: &mut Vec<Job>) -> Result<(), StoreError> {
    for job in jobs.iter_mut() {
        if let Job::Forged(new, _) = job
            && incident::foreseen(tx, new)?.is_some()
        {
            *job = Job::Nothing;
        }
    }
    jobs.retain(|job| !matches!(job, Job::Nothing));
    Ok(())
}

/// Whether a device goes on although it is not known to be trusted.
enum Alert {
    Raise(NewFinding),
    Clear(Matter, &'static str),
    Leave,
}

impl Job {
    fn of(fresh: &Fresh) -> Job {
        let verdict = &fresh.decided.verdict;
        let Some(device) = &fresh.facts.device else {
            return match (&fresh.facts.shown, &fresh.question.party) {
                (Shown::NotOurs { serial }, Some(party)) => Job::Forged(
                    NewIncident::not_ours(serial, &format!("shown to {party}")),
                    verdict.decided,
                ),
                _ => Job::Nothing,
            };
        };
        let matter = Matter {
            kind: FindingKind::FailOperational,
            subject: Subject::device(&device.id),
            cause: "decision".to_owned(),
        };
        let alert = match (verdict.alarm, verdict.trust) {
            (Alarm::Raised, _) => {
                let why = verdict.grounds.iter().find(|ground| {
                    !matches!(ground, Ground::FailOperational | Ground::NotAttested)
                });
                let why = why.map_or("", |ground| ground.sentence());
                Alert::Raise(NewFinding {
                    summary: format!(
                        "{} is let in although it is not known to be trusted, because the policy \
                         lists it as fail-operational. {why}",
                        device.id
                    ),
                    matter,
                    evidence: vec![format!("verdict {}", fresh.decided.id)],
                    owner: Some(device.owner.clone()),
                    criticality: device.criticality,
                })
            }
            (Alarm::Quiet, Trust::Trusted) => Alert::Clear(matter, "it is trusted again"),
            (Alarm::Quiet, Trust::Untrusted) => Alert::Clear(matter, "it is not let in any more"),
            (Alarm::Quiet, Trust::Unknown) => Alert::Leave,
        };
        let new = NewVerdict {
            body: fresh.body.clone(),
            question: fresh.question.clone(),
            verdict: verdict.clone(),
            device: (device.no, device.id.clone()),
        };
        Job::Keep(Box::new(new), alert)
    }

    /// Does it; how many events that made.
    fn record(&self, tx: &mut Tx<'_>, tenant: TenantId) -> Result<usize, StoreError> {
        let us = Actor::system(DUTY);
        match self {
            Job::Keep(new, alert) => {
                let kept = verdict::keep(tx, new, &us)?;
                let now = new.verdict.decided;
                let told = match alert {
                    Alert::Raise(found) => {
                        let raised = finding::raise(tx, found, &us, now)?;
                        usize::from(matches!(raised, finding::Raised::Opened(_)))
                    }
                    Alert::Clear(matter, why) => {
                        let known = finding::of_matter(tx, tenant, matter)?;
                        let is_open =
                            known.is_some_and(|known| known.state != FindingState::Cleared);
                        if is_open {
                            finding::clear(tx, matter, why, &us, now)?;
                        }
                        usize::from(is_open)
                    }
                    Alert::Leave => 0,
                };
                Ok(told + usize::from(kept == Kept::New))
            }
            Job::Forged(new, at) => {
                let opened = incident::open(tx, new, &us, *at)?;
                Ok(usize::from(opened.is_new()))
            }
            Job::Nothing => Ok(0),
        }
    }
}
