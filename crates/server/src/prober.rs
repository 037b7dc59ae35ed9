//! The prober: it visits relying parties with canaries, measures how long a revocation takes to be
//! enforced, and keeps what came of it. Each relying party is probed once per interval, spread out,
//! and whenever somebody asks.
//!
//! One round at a time: canaries are made for a round, live in memory, and are gone after it. A round
//! that is cut off leaves certificates whose keys nobody has.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tenure_domain::canary::{Canary, ProbeScope, Reception, Round, Trial};
use tenure_domain::ids::{ProbeNo, Slug};
use tenure_domain::issuer::IssuerKind;
use tenure_domain::relying_party::RelyingParty;
use tenure_engine::store::relying_party::{self, Known};
use tenure_engine::store::{StoreError, probe as stored};
use tenure_engine::{CanaryIdentity, Engine, Rejection};
use tenure_field::http::{Identity, Trust};
use tenure_field::probe::{self, Entered, Live, Pulse, Target, Visit};
use tenure_x509::Time;
use tokio::sync::{Mutex, Semaphore, oneshot};
use tokio::task::JoinSet;

use crate::limits::{PROBED_MAX, VISITS_MAX};
use crate::listen::Stop;

/// The least and the most time between two tries of a revoked canary.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// How long a session may go on after its certificate is refused at the door, before it counts as
/// one that goes on. Never longer than the relying party's own time.
const SESSION_GRACE: Duration = Duration::from_secs(10);

/// Visits relying parties. A cheap handle.
#[derive(Clone)]
pub struct Prober {
    inside: Arc<Inside>,
}

struct Inside {
    engine: Engine,
    turn: Mutex<()>,
    visits: Arc<Semaphore>,
}

/// One relying party with whom it is tried.
struct Guest {
    party: Known,
    target: Target,
    issuers: Vec<Slug>,
    /// Issuers of this house that it is not for.
    others: Vec<Slug>,
}

impl Guest {
    /// What a canary is to it: what it was made to be, or one of an issuer that it is not for.
    fn shown(&self, canary: &CanaryIdentity) -> Option<Canary> {
        if self.issuers.contains(&canary.issuer) {
            return Some(canary.canary);
        }
        let is_stranger = canary.canary == Canary::Valid && self.others.contains(&canary.issuer);
        is_stranger.then_some(Canary::OtherIssuer)
    }
}

impl Prober {
    /// A prober for the relying parties of one engine.
    pub fn new(engine: Engine) -> Prober {
        Prober {
            inside: Arc::new(Inside {
                engine,
                turn: Mutex::new(()),
                visits: Arc::new(Semaphore::new(VISITS_MAX)),
            }),
        }
    }

    /// Probes what is due until it is told to stop: each relying party once in `every`.
    pub async fn keep_on(self, every: Duration, mut stop: Stop) {
        let look = (every / 10).clamp(Duration::from_secs(1), Duration::from_secs(60));
        loop {
            tokio::select! {
                () = stop.asked() => return,
                () = tokio::time::sleep(look) => {}
            }
            let due = match self.due(every).await {
                Ok(due) => due,
                Err(error) => {
                    tracing::error!(duty = "probe", "{error}; it will be tried again");
                    continue;
                }
            };
            tokio::select! {
                () = stop.asked() => return,
                () = self.round_and_report(due, ProbeScope::Matrix) => {}
            }
        }
    }

    /// A round, with what goes wrong in the log.
    pub async fn round_and_report(&self, parties: Vec<Known>, scope: ProbeScope) {
        if parties.is_empty() {
            return;
        }
        if let Err(error) = self.round(parties, scope).await {
            tracing::error!(duty = "probe", "{error}; it will be tried again");
        }
    }

    /// The relying parties whose last probe is an interval ago, give or take a tenth.
    async fn due(&self, every: Duration) -> Result<Vec<Known>, StoreError> {
        let engine = &self.inside.engine;
        let (tenant, now) = (engine.tenant(), engine.clock().now());
        engine
            .store()
            .read(move |tx| {
                let mut due = Vec::new();
                for known in relying_party::list(tx, tenant, "", PROBED_MAX)? {
                    let last = stored::last_verdict(tx, known.no)?;
                    if last.is_none_or(|(_, at)| now >= next(&known, at, every)) {
                        due.push(known);
                    }
                }
                Ok(due)
            })
            .await
    }

    /// Probes these relying parties together. Answers when all are through and on record.
    ///
    /// # Errors
    /// The canaries could not be made, or what came of a probe could not be kept.
    pub async fn round(
        &self,
        parties: Vec<Known>,
        scope: ProbeScope,
    ) -> Result<Vec<ProbeNo>, Rejection> {
        let _turn = self.inside.turn.lock().await;
        let engine = &self.inside.engine;
        let began = engine.clock().now();
        let guests: Vec<_> = parties
            .into_iter()
            .map(|party| self.guest(party, scope))
            .collect::<Result<_, _>>()?;
        let admitted: BTreeSet<Slug> = guests.iter().flat_map(|g| g.issuers.clone()).collect();
        let others: BTreeSet<Slug> = guests.iter().flat_map(|g| g.others.clone()).collect();
        let mut canaries = Vec::new();
        for issuer in &admitted {
            canaries.extend(engine.make_canaries(issuer, scope).await?);
        }
        for issuer in others.difference(&admitted) {
            // Only the good one is shown where its issuer is a stranger.
            let good = ProbeScope::Revocation;
            canaries.extend(engine.make_canaries(issuer, good).await?);
        }
        let canaries = Arc::new(canaries);

        let mut first = JoinSet::new();
        for guest in guests {
            let (prober, canaries) = (self.clone(), Arc::clone(&canaries));
            first.spawn(async move {
                let trials = prober.try_all(&guest, &canaries).await;
                let sessions = prober.stay(&guest, &canaries, &trials).await;
                (guest, trials, sessions)
            });
        }
        let tried = first.join_all().await;
        // From here on the valid ones are revoked. So are the early ones, before their time comes.
        let revoked = Instant::now();
        for canary in canaries.iter() {
            if is_good(canary) || canary.canary == Canary::NotYetValid {
                engine.revoke_canary(canary).await?;
            }
        }
        let mut second = JoinSet::new();
        for (guest, trials, sessions) in tried {
            let (prober, canaries) = (self.clone(), Arc::clone(&canaries));
            second.spawn(async move {
                let (refused, at_the_door) = oneshot::channel();
                let deadline = revoked + within(&guest);
                let round = prober.enforced(&guest, &canaries, trials, scope, revoked);
                let round = async {
                    let round = round.await;
                    // Nobody waits for it if there is no session.
                    let _ = refused.send(Instant::now());
                    round
                };
                let outlived = outlive(sessions, revoked, deadline, at_the_door);
                let (mut round, sessions) = tokio::join!(round, outlived);
                round.trials.extend(sessions);
                let engine = &prober.inside.engine;
                engine.record_probe(&guest.party, began, round).await
            });
        }
        let kept: Result<Vec<_>, Rejection> = second.join_all().await.into_iter().collect();
        let kept = kept?;
        engine.watch_drift().await?;
        Ok(kept)
    }

    fn guest(&self, party: Known, scope: ProbeScope) -> Result<Guest, Rejection> {
        let engine = &self.inside.engine;
        Ok(Guest {
            target: target(engine, &party.party),
            issuers: engine.probed_issuers(&party, scope)?,
            others: match scope {
                ProbeScope::Matrix => engine.other_issuers(&party)?,
                ProbeScope::Revocation => Vec::new(),
            },
            party,
        })
    }

    /// Tries each canary once.
    async fn try_all(&self, guest: &Guest, canaries: &[CanaryIdentity]) -> Vec<Trial> {
        let mut trials = Vec::new();
        for canary in canaries {
            let Some(shown) = guest.shown(canary) else {
                continue;
            };
            let visit = self.visit(guest, canary).await;
            trials.push(trial(canary, shown, visit));
        }
        trials
    }

    /// Enters with each valid canary that was let in, and stays.
    async fn stay(
        &self,
        guest: &Guest,
        canaries: &[CanaryIdentity],
        trials: &[Trial],
    ) -> Vec<(Slug, Session)> {
        let mut sessions = Vec::new();
        for trial in trials
            .iter()
            .filter(|t| t.canary == Canary::Valid && t.reception == Reception::Accepted)
        {
            let of = |c: &&CanaryIdentity| c.canary == Canary::Valid && c.issuer == trial.issuer;
            let Some(canary) = canaries.iter().find(of) else {
                continue;
            };
            let session = match probe::enter(&guest.target, identity(canary)).await {
                Entered::Held(live) => {
                    // Who serves one connection at a time would have nobody in beside it.
                    let beside = self.visit(guest, canary).await;
                    if !matches!(beside, Visit::Accepted(_)) {
                        continue;
                    }
                    Session::Open(Box::new(live))
                }
                Entered::Over(Visit::Accepted(_)) => Session::NotKept,
                // It was let in a moment ago; there is nothing to say about sessions.
                Entered::Over(Visit::Refused(_) | Visit::Unreachable(_)) => continue,
            };
            sessions.push((trial.issuer.clone(), session));
        }
        sessions
    }

    /// Tries the good canaries again, now that they are revoked, until they are refused or the
    /// relying party's time is over. One of an issuer that comes or goes is tried again only where it
    /// was let in.
    async fn enforced(
        &self,
        guest: &Guest,
        canaries: &[CanaryIdentity],
        mut trials: Vec<Trial>,
        scope: ProbeScope,
        revoked: Instant,
    ) -> Round {
        let deadline = revoked + within(guest);
        let mut slowest = Some(0);
        let good = |c: &&CanaryIdentity| is_good(c) && guest.issuers.contains(&c.issuer);
        for canary in canaries.iter().filter(good) {
            let was_let_in = trials.iter().any(|trial| {
                trial.canary == canary.canary
                    && trial.issuer == canary.issuer
                    && trial.reception == Reception::Accepted
            });
            if !was_let_in && canary.canary != Canary::Valid {
                continue;
            }
            let mut visit = self.visit(guest, canary).await;
            while was_let_in && !matches!(visit, Visit::Refused(_)) && Instant::now() < deadline {
                let pause = (revoked.elapsed() / 8).clamp(PAUSES.0, PAUSES.1);
                tokio::time::sleep_until((Instant::now() + pause).min(deadline).into()).await;
                visit = self.visit(guest, canary).await;
            }
            let took = i64::try_from(revoked.elapsed().as_millis()).unwrap_or(i64::MAX);
            let is_proof = was_let_in && matches!(visit, Visit::Refused(_));
            slowest = slowest
                .filter(|_| is_proof)
                .map(|slowest: i64| slowest.max(took));
            trials.push(trial(canary, Canary::Revoked, visit));
        }
        if guest.issuers.is_empty() {
            slowest = None;
        }
        Round {
            scope,
            trials,
            enforced_ms: slowest,
        }
    }

    async fn visit(&self, guest: &Guest, canary: &CanaryIdentity) -> Visit {
        // The semaphore is never closed; without a permit the visit is made all the same.
        let _permit = self.inside.visits.acquire().await;
        probe::visit(&guest.target, identity(canary)).await
    }
}

/// Whether a canary is good in itself, and so has to be revoked in the end.
fn is_good(canary: &CanaryIdentity) -> bool {
    matches!(
        canary.canary,
        Canary::Valid | Canary::Incoming | Canary::Outgoing | Canary::Superseded
    )
}

fn identity(canary: &CanaryIdentity) -> Identity {
    Identity {
        chain: canary.chain.clone(),
        key: canary.key.clone(),
    }
}

/// How long a relying party has.
fn within(guest: &Guest) -> Duration {
    Duration::from_secs(u64::try_from(guest.party.party.enforce_within_s).unwrap_or(0))
}

/// What a relying party gave a visitor who wanted to stay.
enum Session {
    /// A session that is open.
    Open(Box<Live>),
    /// It keeps none.
    NotKept,
}

/// Watches sessions until they have ended or are known to go on: at the relying party's own time, or
/// a while after it refuses the same certificate at the door.
async fn outlive(
    sessions: Vec<(Slug, Session)>,
    revoked: Instant,
    deadline: Instant,
    mut at_the_door: oneshot::Receiver<Instant>,
) -> Vec<Trial> {
    let mut trials = Vec::new();
    let mut until = deadline;
    for (issuer, session) in sessions {
        let (reception, how) = match session {
            Session::NotKept => (Reception::Refused, "it keeps no session open".to_owned()),
            Session::Open(mut live) => loop {
                match live.pulse().await {
                    Pulse::Ended(refusal) => {
                        let ms = revoked.elapsed().as_millis();
                        let how = format!("ended {ms} ms after the revocation: {refusal}");
                        break (Reception::Refused, how);
                    }
                    Pulse::Unclear(why) => break (Reception::Unreachable, why),
                    Pulse::Alive if Instant::now() >= until => {
                        let s = revoked.elapsed().as_secs();
                        let how = format!("it goes on {s} s after the revocation");
                        break (Reception::Accepted, how);
                    }
                    Pulse::Alive => {}
                }
                if let Ok(refused) = at_the_door.try_recv() {
                    until = deadline.min(refused + SESSION_GRACE);
                }
                let pause = (revoked.elapsed() / 8).clamp(PAUSES.0, Duration::from_secs(1));
                tokio::time::sleep_until((Instant::now() + pause).min(until).into()).await;
            },
        };
        trials.push(Trial {
            canary: Canary::LiveSession,
            issuer,
            reception,
            how: how.chars().take(200).collect(),
        });
    }
    trials
}

fn trial(canary: &CanaryIdentity, shown: Canary, visit: Visit) -> Trial {
    let (reception, how) = match visit {
        Visit::Accepted(how) => (Reception::Accepted, how),
        Visit::Refused(refusal) => (Reception::Refused, refusal.to_string()),
        Visit::Unreachable(why) => (Reception::Unreachable, why),
    };
    Trial {
        canary: shown,
        issuer: canary.issuer.clone(),
        reception,
        how: how.chars().take(200).collect(),
    }
}

/// Where a relying party is, and how it is known to be the right one.
fn target(engine: &Engine, party: &RelyingParty) -> Target {
    Target {
        address: party.address.to_string(),
        server_name: party.expected_name().to_owned(),
        trust: Trust::from_pem(&party.anchors_pem).unwrap_or_else(|_| own_roots(engine)),
        protocol: party.protocol,
    }
}

/// Our own roots, as what another's certificate leads to.
pub(crate) fn own_roots(engine: &Engine) -> Trust {
    let issuers = engine.snapshot();
    let roots = issuers
        .issuers
        .iter()
        .filter(|issuer| issuer.kind == IssuerKind::Root);
    Trust::Anchors(roots.map(|root| root.certificate.der().to_vec()).collect())
}

/// When a relying party is due again: after an interval, less or more a tenth, so that they spread.
fn next(known: &Known, last: Time, every: Duration) -> Time {
    let mut hasher = DefaultHasher::new();
    (known.no.0, last.unix()).hash(&mut hasher);
    let every = i64::try_from(every.as_secs()).unwrap_or(i64::MAX / 2);
    // Between 90 and 110 hundredths.
    let hundredths = 90 + i64::try_from(hasher.finish() % 21).unwrap_or(10);
    last.plus(every.saturating_mul(hundredths) / 100)
}
