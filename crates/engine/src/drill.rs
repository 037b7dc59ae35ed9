//! Drills that the engine can make alone: an issuer's signer is away, and a key is in other hands.
//! What a drill tries is tried with canaries; no key of the house is touched.

use std::time::Instant;

use tenure_domain::blast::BlastKind;
use tenure_domain::canary::{CLASS, Canary, ProbeScope};
use tenure_domain::compromise::waves;
use tenure_domain::drill::{Drill, DrillKind, DrillResult, DrillVerdict, Step, StepVerdict};
use tenure_domain::ids::{DrillNo, Slug};
use tenure_domain::issuer::{Issuer, IssuerKind};
use tenure_domain::operator::{Actor, Permission};
use tenure_domain::{DeviceId, Refusal, TenantId};
use tenure_store::{StoreError, blast, drill, revocation, view};
use tenure_x509::ocsp::{CertStatus, HashKind, OcspRequest, OcspResponse};
use tenure_x509::{KeyKind, KeyPair, Reason, Serial, Time};

use crate::canary::CanaryIdentity;
use crate::duty::publish::List;
use crate::enroll::Answer;
use crate::fault::{FaultCause, Rejection};
use crate::{Engine, KeyCompromise};

/// Who does what a drill does.
const DUTY: &str = "drill";
/// Whom a compromise concerns must be known within so many milliseconds (requirement E6: "seconds").
const RADIUS_MS_MAX: u128 = 10_000;
const DAY_S: i64 = 86_400;

impl Engine {
    /// Records that a drill begins.
    pub async fn begin_drill(
        &self,
        actor: &Actor,
        kind: DrillKind,
        issuers: Vec<Slug>,
    ) -> Result<DrillNo, Rejection> {
        actor.may(Permission::Withdraw)?;
        let (actor, now) = (actor.clone(), self.clock().now());
        let no = self
            .record_as(&actor.clone(), move |tx| {
                Ok(drill::begin(tx, kind, &issuers, &actor, now)?)
            })
            .await?;
        Ok(no)
    }

    /// Records what a drill came to.
    pub async fn end_drill(
        &self,
        no: DrillNo,
        result: DrillResult,
        verdict: DrillVerdict,
    ) -> Result<(), Rejection> {
        let (actor, now) = (Actor::system(DUTY), self.clock().now());
        self.record(move |tx| Ok(drill::end(tx, no, &result, verdict, &actor, now)?))
            .await?;
        Ok(())
    }

    /// Ends the drills that were under way when the last server ended. Nothing may be under way yet.
    pub async fn end_lost_drills(&self) -> Result<(), Rejection> {
        let tenant = self.tenant();
        let lost: Vec<Drill> = self.store().glance(|tx| drill::running(tx, tenant))?;
        for drill in lost {
            let why = "the server ended before the drill did";
            let result = DrillResult {
                steps: vec![Step::at_large("server", StepVerdict::Unknown, why)],
                ..DrillResult::default()
            };
            self.end_drill(drill.no, result, DrillVerdict::CutOff)
                .await?;
        }
        Ok(())
    }

    fn issuing(&self, name: &Slug) -> Result<std::sync::Arc<Issuer>, Refusal> {
        let snapshot = self.snapshot();
        let found = snapshot
            .issuers
            .iter()
            .find(|issuer| issuer.name == *name && issuer.kind == IssuerKind::Issuing);
        found.cloned().ok_or_else(|| Refusal::NotFound {
            what: format!("issuing CA {name}"),
        })
    }

    /// An issuer's signer is away: what goes on without it, and for how long. A second engine on the
    /// same store, which does not have the key, is asked; the one that serves does not notice.
    pub async fn drill_ca_down(&self, name: &Slug) -> Result<DrillResult, Rejection> {
        let issuer = self.issuing(name)?;
        let mut result = DrillResult::default();
        let mut step = |what: &str, verdict, found: String| {
            result.steps.push(Step::of(name, what, verdict, found));
        };
        let canary = self.one_canary(name).await?;
        let without = self.without_key(&issuer.key)?;

        match without.make_canaries(name, ProbeScope::Revocation).await {
            Ok(_) => step(
                "enrollment",
                StepVerdict::Bad,
                "a certificate was issued without the issuer's key".to_owned(),
            ),
            Err(Rejection::Fault(fault)) if fault.cause.passes() => step(
                "enrollment",
                StepVerdict::Good,
                "devices are told to come back (503 with Retry-After), and keep what they have"
                    .to_owned(),
            ),
            Err(other) => step("enrollment", StepVerdict::Bad, other.to_string()),
        }
        let status = without.status_of(&canary, &issuer).await?;
        let is_good = status == Some(CertStatus::Good);
        step(
            "status",
            verdict_of(is_good),
            format!("OCSP says {} of a good certificate", said(status)),
        );
        let withdrawn = without.revoke_canary(&canary).await;
        let status = without.status_of(&canary, &issuer).await?;
        let is_told = withdrawn.is_ok() && matches!(status, Some(CertStatus::Revoked { .. }));
        step(
            "withdrawal",
            verdict_of(is_told),
            format!(
                "a revocation is recorded, and OCSP says {} at once",
                said(status)
            ),
        );

        let now = self.clock().now();
        let lists = (0..issuer.shards).map(List::Shard).chain([List::Full]);
        let ends = lists.map(|list| self.published_list(name, list).map(|it| it.next_update));
        let ends: Option<Vec<Time>> = ends.collect();
        let first = ends.and_then(|ends| ends.into_iter().min());
        match first {
            Some(end) => {
                let left = end.unix().saturating_sub(now.unix());
                result.figures.insert("first_list_ends_s".to_owned(), left);
                result.steps.push(Step::of(
                    name,
                    "lists",
                    verdict_of(left > 0),
                    format!(
                        "the first revocation list ends at {end}, in {}; until then who relies on \
                         lists goes on, without news",
                        hours(left)
                    ),
                ));
            }
            None => result.steps.push(Step::of(
                name,
                "lists",
                StepVerdict::Bad,
                "a list was never published",
            )),
        }
        if let Some(filter) = self.published_filter(&issuer) {
            let left = filter.next_update().unix().saturating_sub(now.unix());
            result.figures.insert("filter_ends_s".to_owned(), left);
            let found = format!("the filter is good for {}", hours(left));
            result
                .steps
                .push(Step::of(name, "filter", verdict_of(left > 0), found));
        }
        let tenant = self.tenant();
        let next = self
            .store()
            .read(move |tx| view::next_ends(tx, tenant, now))
            .await?;
        if let Some((class, end)) = next.into_iter().min_by_key(|(_, end)| *end) {
            let left = end.unix().saturating_sub(now.unix());
            let figure = "first_certificate_ends_s".to_owned();
            result.figures.insert(figure, left);
            let found = format!(
                "the first certificate that would not be renewed in time ends at {end}, in {} \
                 (class {class})",
                hours(left)
            );
            result
                .steps
                .push(Step::of(name, "renewal", StepVerdict::Told, found));
        }
        Ok(result)
    }

    /// A canary that is in force.
    async fn one_canary(&self, issuer: &Slug) -> Result<CanaryIdentity, Rejection> {
        let mut made = self
            .make_canaries(issuer, ProbeScope::Revocation)
            .await?
            .into_iter();
        let valid = made.find(|it| it.canary == Canary::Valid);
        valid.ok_or_else(|| FaultCause::Corrupt("canaries: the valid one is missing").into())
    }

    /// A second engine on the same store and directory that lacks one key. It has no duties, and is
    /// gone with the drill.
    fn without_key(&self, absent: &str) -> Result<Engine, Rejection> {
        let keys: Vec<_> = self
            .all_keys()
            .into_iter()
            .filter(|key| key.name() != absent)
            .collect();
        Engine::start(
            self.store().clone(),
            keys,
            self.directory(),
            self.clock().clone(),
            self.settings().clone(),
        )
    }

    /// What the responder says of a canary, if it answers.
    async fn status_of(
        &self,
        canary: &CanaryIdentity,
        issuer: &Issuer,
    ) -> Result<Option<CertStatus>, Rejection> {
        let Some(serial) = &canary.serial else {
            return Ok(None);
        };
        self.status_of_serial(serial, issuer).await
    }

    async fn status_of_serial(
        &self,
        serial: &Serial,
        issuer: &Issuer,
    ) -> Result<Option<CertStatus>, Rejection> {
        let request = OcspRequest::build(
            issuer.subject(),
            issuer.public_key(),
            serial,
            HashKind::Sha256,
            None,
        )
        .map_err(FaultCause::from)?;
        let answer = self.ocsp(&request).await;
        let now = self.clock().now();
        let read = OcspResponse::from_der(&answer.der)
            .and_then(|it| it.verify(&issuer.certificate, serial, None, now));
        Ok(read.ok().map(|it| it.status()))
    }

    /// An issuer or a key is in other hands: whom it concerns and in which order they would get new
    /// keys, with real figures; and a canary's key is compromised, blocked and replaced for real.
    pub async fn drill_compromise(
        &self,
        no: DrillNo,
        name: &Slug,
    ) -> Result<DrillResult, Rejection> {
        let issuer = self.issuing(name)?;
        let mut result = DrillResult::default();
        let began = Instant::now();
        let blast = self.radius(BlastKind::Issuer, name.as_str()).await?;
        let took = began.elapsed().as_millis();
        let radius = blast.radius;
        let figure = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        for (name, n) in [
            ("devices", figure(radius.devices.devices)),
            ("exposed", figure(radius.devices.exposed)),
            ("certificates", figure(radius.certificates.all())),
            (
                "relying_parties",
                figure(blast.relying_parties.len() as u64),
            ),
            ("radius_ms", i64::try_from(took).unwrap_or(i64::MAX)),
        ] {
            result.figures.insert(name.to_owned(), n);
        }
        let mut step = |what: &str, verdict, found: String| {
            result.steps.push(Step::of(name, what, verdict, found));
        };
        step(
            "affected set",
            verdict_of(took <= RADIUS_MS_MAX),
            format!(
                "{} devices with {} certificates, and {} relying parties, known after {took} ms",
                radius.devices.devices,
                radius.certificates.all(),
                blast.relying_parties.len()
            ),
        );
        for wave in waves(&radius) {
            step(
                &format!("wave {}", wave.no),
                StepVerdict::Told,
                format!(
                    "criticality {}: {} devices, {} of them exposed",
                    wave.criticality, wave.devices.devices, wave.devices.exposed
                ),
            );
        }
        let tenant = self.tenant();
        let others = |engine: &Engine| epochs_of_others(engine, tenant, &issuer);
        let before = others(self)?;
        for (what, verdict, found) in self.rekey_a_canary(no, &issuer).await? {
            step(what, verdict, found);
        }
        let after = others(self)?;
        let is_same = before == after;
        step(
            "other issuers",
            if is_same {
                StepVerdict::Good
            } else {
                StepVerdict::Told
            },
            match (is_same, before.len()) {
                (true, 0) => "there is no other".to_owned(),
                (true, n) => format!("the revocation sets of {n} others did not change"),
                (false, _) => "something else was revoked there in the meantime".to_owned(),
            },
        );
        Ok(result)
    }

    async fn rekey_a_canary(
        &self,
        no: DrillNo,
        issuer: &Issuer,
    ) -> Result<Vec<(&'static str, StepVerdict, String)>, Rejection> {
        let mut steps = Vec::new();
        let subject = self.canary_subject(issuer).await?;
        let lost = KeyPair::generate(KeyKind::P256).map_err(FaultCause::from)?;
        let first = self.canary_with(&subject, issuer, &lost).await?;
        let Answer::Issued(first) = first else {
            return Err(FaultCause::Corrupt("built-in rule: it does not hold our own asks").into());
        };
        let told = KeyCompromise {
            key: lost.public().hash(),
            since: None,
            why: format!("drill {no}"),
            proof: None,
        };
        self.compromise_key(&Actor::system(DUTY), told).await?;
        let status = self.status_of_serial(&first.row.serial, issuer).await?;
        let is_revoked = matches!(
            status,
            Some(CertStatus::Revoked {
                reason: Reason::KeyCompromise,
                ..
            })
        );
        steps.push((
            "withdrawal",
            verdict_of(is_revoked),
            format!("OCSP says {} of the compromised canary", said(status)),
        ));
        let again = self.canary_with(&subject, issuer, &lost).await;
        let (is_refused, found) = match again {
            Err(Rejection::Refusal(refusal @ Refusal::KeyRejected { .. })) => {
                (true, refusal.to_string())
            }
            Err(other) => (false, other.to_string()),
            Ok(_) => (false, "the blocked key was certified again".to_owned()),
        };
        steps.push(("blocked key", verdict_of(is_refused), found));
        let fresh = KeyPair::generate(KeyKind::P256).map_err(FaultCause::from)?;
        match self.canary_with(&subject, issuer, &fresh).await? {
            Answer::Issued(made) => {
                let found = format!("it has certificate {} with a new key", made.row.serial);
                steps.push(("re-key", StepVerdict::Good, found));
                let identity = CanaryIdentity {
                    canary: Canary::Valid,
                    issuer: issuer.name.clone(),
                    chain: Vec::new(),
                    key: zeroize::Zeroizing::new(Vec::new()),
                    serial: Some(made.row.serial.clone()),
                };
                self.revoke_canary(&identity).await?;
            }
            Answer::Pending { .. } => {
                let found = "the new key waits for a decision".to_owned();
                steps.push(("re-key", StepVerdict::Bad, found));
            }
        }
        Ok(steps)
    }

    /// Time is thought forward by so many days: what would end if nothing were renewed, of devices
    /// and of ours. Who lets the expired in is shown by probes.
    pub async fn drill_expiry(&self, days: u16) -> Result<DrillResult, Rejection> {
        let (tenant, now) = (self.tenant(), self.clock().now());
        let until = now.plus(i64::from(days) * DAY_S);
        let ending = self
            .store()
            .read(move |tx| blast::ending(tx, tenant, now, until))
            .await?;
        let mut result = DrillResult::default();
        let (mut all, mut over) = (0, 0);
        for class in ending {
            all += class.ending;
            over += class.over;
            if class.ending + class.over > 0 {
                let found = format!(
                    "{} certificates without a successor end within {days} days; {} ended before",
                    class.ending, class.over
                );
                let what = format!("class {}", class.class);
                result
                    .steps
                    .push(Step::at_large(what, StepVerdict::Told, found));
            }
        }
        let figure = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        result.figures.insert("ending".to_owned(), figure(all));
        result.figures.insert("ended".to_owned(), figure(over));
        for issuer in self.snapshot().issuers.iter() {
            let end = issuer.certificate.validity().not_after;
            let (verdict, found) = match end <= until {
                true => (
                    StepVerdict::Bad,
                    format!("its own certificate ends at {end}: everything below it ends with it"),
                ),
                false => (
                    StepVerdict::Good,
                    format!("its own certificate ends at {end}"),
                ),
            };
            let step = Step::of(&issuer.name, "issuer's certificate", verdict, found);
            result.steps.push(step);
            if issuer.kind == IssuerKind::Root
                && let Some(list) = self.published_list(&issuer.name, List::Full)
            {
                let (verdict, found) = match list.next_update <= until {
                    true => (
                        StepVerdict::Bad,
                        format!(
                            "its list ends at {}; make a new one with `tenure issuer crl-refresh`",
                            list.next_update
                        ),
                    ),
                    false => (
                        StepVerdict::Good,
                        format!("its list ends at {}", list.next_update),
                    ),
                };
                let step = Step::of(&issuer.name, "root's list", verdict, found);
                result.steps.push(step);
            }
        }
        Ok(result)
    }

    /// Whether a device is one of our canaries.
    pub(crate) fn is_canary(class: &str) -> bool {
        class == CLASS
    }

    /// A canary with a key of the caller's making, through the chain of types.
    async fn canary_with(
        &self,
        subject: &DeviceId,
        issuer: &Issuer,
        pair: &KeyPair,
    ) -> Result<Answer, Rejection> {
        self.certify_canary("tenure-canary", subject, issuer, pair)
            .await
    }
}

fn epochs_of_others(
    engine: &Engine,
    tenant: TenantId,
    issuer: &Issuer,
) -> Result<Vec<(Slug, i64)>, StoreError> {
    let snapshot = engine.snapshot();
    let others = snapshot
        .issuers
        .iter()
        .filter(|other| other.no != issuer.no && other.tenant == tenant);
    others
        .map(|other| {
            let epochs = engine
                .store()
                .glance(|tx| revocation::epochs(tx, other.no))?;
            let newest = epochs.into_iter().map(|(_, epoch)| epoch).max();
            Ok((other.name.clone(), newest.unwrap_or(0)))
        })
        .collect()
}

fn verdict_of(is_good: bool) -> StepVerdict {
    match is_good {
        true => StepVerdict::Good,
        false => StepVerdict::Bad,
    }
}

fn said(status: Option<CertStatus>) -> String {
    match status {
        None => "nothing".to_owned(),
        Some(CertStatus::Good) => "good".to_owned(),
        Some(CertStatus::Revoked { reason, .. }) => format!("revoked ({reason})"),
        Some(CertStatus::NeverIssued) => "that it was never issued".to_owned(),
        Some(CertStatus::Unknown) => "that it does not know".to_owned(),
    }
}

fn hours(seconds: i64) -> String {
    match seconds {
        ..0 => "the past".to_owned(),
        0..7_200 => format!("{} minutes", seconds / 60),
        7_200..172_800 => format!("{} hours", seconds / 3_600),
        _ => format!("{} days", seconds / DAY_S),
    }
}
