//! Drills as they are run: begun on record, made, and ended on record. One at a time. Each issuer is
//! drilled in revocation once per interval without anybody asking, and is found when it was not.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tenure_domain::canary::{Canary, ProbeScope, Reception, Trial};
use tenure_domain::device::Criticality;
use tenure_domain::drill::{DrillKind, DrillResult, Step, StepVerdict};
use tenure_domain::finding::{FindingKind, Matter, NewFinding, Subject};
use tenure_domain::ids::{DrillNo, ProbeNo, Slug};
use tenure_domain::issuer::{IssuerKind, IssuerState};
use tenure_domain::operator::Actor;
use tenure_engine::store::relying_party::{self, Known};
use tenure_engine::store::{StoreError, drill, probe};
use tenure_engine::{Engine, Rejection};
use tenure_x509::Time;
use tokio::sync::Mutex;

use crate::limits::PROBED_MAX;
use crate::listen::Stop;
use crate::prober::Prober;

/// Room for what a drill does besides waiting for relying parties, in seconds.
const MARGIN_S: i64 = 150;

/// Runs drills. A cheap handle.
#[derive(Clone)]
pub struct Driller {
    engine: Engine,
    prober: Prober,
    turn: Arc<Mutex<()>>,
}

/// A drill that somebody wants.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Which.
    pub kind: DrillKind,
    /// The issuers it is about.
    pub issuers: Vec<Slug>,
    /// The relying parties that take part in it.
    pub parties: Vec<Known>,
    /// How far time is thought forward, in days.
    pub days: u16,
}

impl Wanted {
    /// When it must be through, in seconds after it began.
    pub fn within_s(&self) -> i64 {
        let slowest = self
            .parties
            .iter()
            .map(|known| known.party.enforce_within_s);
        slowest.max().unwrap_or(0).saturating_add(MARGIN_S)
    }
}

impl Driller {
    /// A driller for one engine.
    pub fn new(engine: Engine, prober: Prober) -> Driller {
        Driller {
            engine,
            prober,
            turn: Arc::default(),
        }
    }

    /// The active issuers whose devices somebody is to let in, each with who does.
    ///
    /// # Errors
    /// The store failed.
    pub fn trusted(&self, parties: &[Known]) -> Result<BTreeMap<Slug, Vec<Known>>, Rejection> {
        let mut trusted: BTreeMap<Slug, Vec<Known>> = BTreeMap::new();
        for known in parties {
            for issuer in self.engine.probed_issuers(known, ProbeScope::Revocation)? {
                trusted.entry(issuer).or_default().push(known.clone());
            }
        }
        Ok(trusted)
    }

    /// Begins a drill on record and makes it in the background.
    ///
    /// # Errors
    /// The actor may not, or it could not be recorded.
    pub async fn start(&self, actor: &Actor, wanted: Wanted) -> Result<DrillNo, Rejection> {
        let no = self
            .engine
            .begin_drill(actor, wanted.kind, wanted.issuers.clone())
            .await?;
        let driller = self.clone();
        tokio::spawn(async move { driller.finish(no, wanted).await });
        Ok(no)
    }

    /// Makes a drill and records what it came to.
    async fn finish(&self, no: DrillNo, wanted: Wanted) {
        let _turn = self.turn.lock().await;
        let result = self.make(no, &wanted).await.unwrap_or_else(|error| {
            let found = format!("it could not be made: {error}");
            DrillResult {
                steps: vec![Step::at_large("drill", StepVerdict::Unknown, found)],
                ..DrillResult::default()
            }
        });
        let verdict = result.verdict(None);
        if let Err(error) = self.engine.end_drill(no, result, verdict).await {
            tracing::error!(duty = "drill", drill = no.0, "{error}");
        }
    }

    async fn make(&self, no: DrillNo, wanted: &Wanted) -> Result<DrillResult, Rejection> {
        let mut result = DrillResult::default();
        match wanted.kind {
            DrillKind::Revoke => {
                let probes = self.probes(wanted, ProbeScope::Revocation).await?;
                told(&mut result, &wanted.issuers, &probes, &[Canary::Revoked]);
            }
            DrillKind::Expiry => {
                result = self.engine.drill_expiry(wanted.days).await?;
                let probes = self.probes(wanted, ProbeScope::Matrix).await?;
                told(&mut result, &wanted.issuers, &probes, &[Canary::Expired]);
            }
            DrillKind::CaDown => {
                for issuer in &wanted.issuers {
                    add(
                        &mut result,
                        self.engine.drill_ca_down(issuer).await?,
                        issuer,
                    );
                }
            }
            DrillKind::Compromise => {
                for issuer in &wanted.issuers {
                    let of_it = self.engine.drill_compromise(no, issuer).await?;
                    add(&mut result, of_it, issuer);
                }
            }
        }
        Ok(result)
    }

    async fn probes(
        &self,
        wanted: &Wanted,
        scope: ProbeScope,
    ) -> Result<Vec<probe::Probe>, Rejection> {
        if wanted.parties.is_empty() {
            return Ok(Vec::new());
        }
        let made: Vec<ProbeNo> = self.prober.round(wanted.parties.clone(), scope).await?;
        let read = self.engine.store().glance(|tx| {
            let found = made.iter().map(|no| probe::by_no(tx, *no));
            found.collect::<Result<Vec<_>, StoreError>>()
        })?;
        Ok(read.into_iter().flatten().collect())
    }

    /// Ends what a former server left under way, then drills what is due until it is told to stop.
    pub async fn keep_on(self, every: Duration, mut stop: Stop) {
        if let Err(error) = self.engine.end_lost_drills().await {
            tracing::error!(duty = "drill", "{error}");
        }
        if every.is_zero() {
            return;
        }
        let look = (every / 10).clamp(Duration::from_millis(500), Duration::from_secs(60));
        loop {
            tokio::select! {
                () = stop.asked() => return,
                () = tokio::time::sleep(look) => {}
            }
            tokio::select! {
                () = stop.asked() => return,
                done = self.look(every) => if let Err(error) = done {
                    tracing::error!(duty = "drill", "{error}; it will be tried again");
                }
            }
        }
    }

    /// Drills the issuers whose last revocation drill is an interval ago, and says which are overdue.
    async fn look(&self, every: Duration) -> Result<(), Rejection> {
        let (tenant, now) = (self.engine.tenant(), self.engine.clock().now());
        let parties = self
            .engine
            .store()
            .read(move |tx| relying_party::list(tx, tenant, "", PROBED_MAX))
            .await?;
        let trusted = self.trusted(&parties)?;
        let every_s = i64::try_from(every.as_secs())
            .unwrap_or(i64::MAX / 4)
            .max(1);
        let mut due = Vec::new();
        for issuer in trusted.keys() {
            let last = self
                .engine
                .store()
                .glance(|tx| drill::last(tx, issuer, DrillKind::Revoke))?;
            let born = self.born(issuer);
            if now >= last.ended.unwrap_or(born).plus(every_s) {
                due.push(issuer.clone());
            }
            let passed = last.passed.unwrap_or(born);
            // Half an interval of patience: one that has just failed is tried again first.
            self.overdue(issuer, passed, now >= passed.plus(every_s + every_s / 2))
                .await?;
        }
        if due.is_empty() {
            return Ok(());
        }
        let wanted = Wanted {
            kind: DrillKind::Revoke,
            parties: taking_part(&trusted, &due),
            issuers: due,
            days: 0,
        };
        let us = Actor::system("drill");
        let no = self
            .engine
            .begin_drill(&us, wanted.kind, wanted.issuers.clone())
            .await?;
        self.finish(no, wanted).await;
        Ok(())
    }

    /// From when on an issuer is to be drilled.
    fn born(&self, name: &Slug) -> Time {
        let snapshot = self.engine.snapshot();
        let issuer = snapshot.issuers.iter().find(|issuer| issuer.name == *name);
        issuer.map_or(Time::from_unix(0), |issuer| {
            issuer.certificate.validity().not_before
        })
    }

    async fn overdue(
        &self,
        issuer: &Slug,
        passed: Time,
        is_overdue: bool,
    ) -> Result<(), Rejection> {
        let matter = Matter {
            kind: FindingKind::DrillOverdue,
            subject: Subject::issuer(issuer),
            cause: DrillKind::Revoke.to_string(),
        };
        if !is_overdue {
            let why = "the drill was passed";
            self.engine.clear_finding("drill", matter, why).await?;
            return Ok(());
        }
        let finding = NewFinding {
            matter,
            summary: format!(
                "No revocation of {issuer} was shown to be enforced everywhere since {passed}. Look at \
                 `tenure drill list`, mend what it names, and run `tenure drill revoke`."
            ),
            evidence: Vec::new(),
            owner: None,
            criticality: Criticality::High,
        };
        self.engine.raise_finding("drill", finding).await?;
        Ok(())
    }
}

/// Adds what was found with one issuer; its figures get its name if there are several.
fn add(result: &mut DrillResult, of_it: DrillResult, issuer: &Slug) {
    result.steps.extend(of_it.steps);
    for (name, n) in of_it.figures {
        let name = match result.figures.contains_key(&name) {
            true => format!("{issuer}.{name}"),
            false => name,
        };
        result.figures.insert(name, n);
    }
}

/// What relying parties did with the canaries that must be refused.
fn told(result: &mut DrillResult, issuers: &[Slug], probes: &[probe::Probe], canaries: &[Canary]) {
    for issuer in issuers {
        let mut is_shown = false;
        for probe in probes {
            let of = |canary| {
                let mut trials = probe.round.trials.iter();
                trials.find(|it| it.canary == canary && it.issuer == *issuer)
            };
            for trial in canaries.iter().filter_map(|canary| of(*canary)) {
                is_shown = true;
                let (verdict, found) = judged(trial, of(Canary::Valid), probe.round.enforced_ms);
                let step = Step::of(issuer, probe.party.as_str(), verdict, found);
                result.steps.push(step);
            }
        }
        if !is_shown {
            let found = "no relying party is registered that lets in its devices";
            let step = Step::of(issuer, "relying parties", StepVerdict::Unknown, found);
            result.steps.push(step);
        }
    }
    result.probes.extend(probes.iter().map(|probe| probe.no.0));
    let times = probes.iter().filter_map(|probe| probe.round.enforced_ms);
    if let Some(slowest) = times.max() {
        result.figures.insert("slowest_ms".to_owned(), slowest);
    }
}

fn judged(trial: &Trial, valid: Option<&Trial>, enforced_ms: Option<i64>) -> (StepVerdict, String) {
    let Trial { canary, how, .. } = trial;
    let was_let_in = valid.is_some_and(|valid| valid.reception == Reception::Accepted);
    match trial.reception {
        Reception::Accepted => (
            StepVerdict::Bad,
            format!("it lets the {canary} canary in ({how})"),
        ),
        Reception::Unreachable => (
            StepVerdict::Unknown,
            format!("it could not be asked ({how})"),
        ),
        Reception::Refused if !was_let_in => (
            StepVerdict::Unknown,
            format!("it refuses the {canary} canary, and the valid one too ({how})"),
        ),
        Reception::Refused => {
            let after = match (canary, enforced_ms) {
                (Canary::Revoked, Some(ms)) => format!(" after {ms} ms"),
                _ => String::new(),
            };
            (
                StepVerdict::Good,
                format!("it refuses the {canary} canary{after} ({how})"),
            )
        }
    }
}

/// The relying parties that let in devices of any of these issuers, each once.
pub fn taking_part(trusted: &BTreeMap<Slug, Vec<Known>>, issuers: &[Slug]) -> Vec<Known> {
    let mut found: BTreeMap<&Slug, &Known> = BTreeMap::new();
    for issuer in issuers {
        for known in trusted.get(issuer).into_iter().flatten() {
            found.insert(&known.party.name, known);
        }
    }
    found.into_values().cloned().collect()
}

/// The issuers a drill is about if nobody names one: every active issuing CA whose key is at hand.
pub fn every_issuer(engine: &Engine) -> Vec<Slug> {
    let snapshot = engine.snapshot();
    let issuing = snapshot
        .issuers
        .iter()
        .filter(|it| it.kind == IssuerKind::Issuing && it.state == IssuerState::Active)
        .filter(|it| engine.key(&it.key).is_some());
    issuing.map(|issuer| issuer.name.clone()).collect()
}
