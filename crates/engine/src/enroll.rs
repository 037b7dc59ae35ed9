//! The one story every protocol shares: an ask becomes a certificate, or we say why not.

use std::sync::Arc;

use tenure_domain::ask::Ask;
use tenure_domain::draft::{CHANCE_BYTES, Draft};
use tenure_domain::event::{Entry, Event};
use tenure_domain::evidence::Unproved;
use tenure_domain::facts::{Facts, ReplayKey, clock_went_back};
use tenure_domain::ids::{CertificateNo, DeviceId, TenantId};
use tenure_domain::incident::IncidentKind;
use tenure_domain::operator::Actor;
use tenure_domain::policy::{self, Consequence, Decision, GrantIssuer, HoldReason, Refused};
use tenure_domain::{Evidence, Refusal};
use tenure_store::certificate::{
    self, Certificate, Completed, Completion, Reservation, ReserveError, Reserved,
};
use tenure_store::incident::{self, NewIncident, Opened};
use tenure_store::pending::{self, HoldError, NewAsk};
use tenure_store::{ReadTx, StoreError, Tx, device, secret};
use tenure_x509::Time;

use crate::fault::{FaultCause, Rejection};
use crate::life;
use crate::{Engine, Promise, Step, facts};

/// What an ask comes to.
#[derive(Debug, Clone)]
pub enum Answer {
    /// Here is the certificate; the same one if the ask was answered before.
    Issued(Arc<Certificate>),
    /// Ask again, unchanged, after so many seconds.
    Pending {
        /// Seconds to wait.
        retry_after_s: u32,
    },
}

/// How long the asker of a held ask should wait: people answer in minutes, not in seconds.
const APPROVAL_RETRY_S: u32 = 60;
/// How long a stranger's device should wait.
const QUARANTINE_RETRY_S: u32 = 600;
/// How often an ask is decided again because the facts moved under the decision.
const STALE_TRIES: u32 = 3;

impl Engine {
    /// Turns an ask into a certificate, or says why not. Asking again gives the same answer.
    ///
    /// A crash before `reserve` changed nothing. After it, the serial and the exact bytes are
    /// durable but nothing is signed or released: the prune duty voids the reservation, and the
    /// same ask, repeated, is decided afresh. After `complete` the answer is recorded, and the
    /// same ask gets it again.
    pub fn enroll(&self, ask: Ask) -> Promise<'_, Answer> {
        Box::pin(self.answer(ask))
    }

    async fn answer(&self, ask: Ask) -> Result<Answer, Rejection> {
        for tried in 0..STALE_TRIES {
            let now = self.now_for_signing()?;
            let snapshot = self.snapshot();
            let about = |tx: &ReadTx<'_>| facts::about(tx, &ask, &snapshot, now);
            // What is allowed is checked again by `reserve` and `complete`, so it may rest on facts a
            // few milliseconds old, or not durable yet. Any other answer is given on new and durable
            // ones, and so is the one after they were found to be too old.
            let mut facts = match tried {
                0 => self.store().peek(about)?,
                _ => self.store().glance(about)?,
            };
            let mut decision = policy::decide(&snapshot.policy, &ask, &facts, now);
            if !matches!(decision, Decision::Allow(_)) {
                facts = self.store().glance(about)?;
                decision = policy::decide(&snapshot.policy, &ask, &facts, now);
            }
            let grant = match decision {
                Decision::Allow(grant) => *grant,
                Decision::Replay(certificate) => return self.again(certificate),
                Decision::Hold(why) => return self.hold(&ask, &facts, why, now).await,
                Decision::Refuse(no) => return self.refuse(&ask, &facts, no, now).await,
            };
            let draft = grant.draft(&ask.csr, crate::chance::bytes::<CHANCE_BYTES>()?)?;
            self.step(Step::Decided);
            match self.issue(draft, &ask, &facts, now).await? {
                Issue::Released(certificate) => return Ok(Answer::Issued(certificate)),
                Issue::Stale => self.reload().await?,
            }
        }
        Err(Refusal::TooSoon { retry_after_s: 1 }.into())
    }

    /// Reserve, sign, complete.
    async fn issue(
        &self,
        draft: Draft,
        ask: &Ask,
        facts: &Facts,
        now: Time,
    ) -> Result<Issue, Rejection> {
        let actor = actor(ask, facts);
        let key = self.key_for(draft.grant().issuer())?;
        let reservation = Reservation::new(Arc::new(draft), &actor, now)?;
        let Some(reserved) = self.reserve(reservation).await? else {
            return Ok(Issue::Stale);
        };
        self.step(Step::Reserved);
        // From here on a crash leaves a reservation without a certificate, and nothing else.
        let signed = match key.blocks() {
            // A device behind the key may take its time; it must not hold up a thread of ours.
            true => tokio::task::spawn_blocking(move || key.sign_certificate(reserved))
                .await
                .map_err(|_| FaultCause::Corrupt("signature: the signing thread died"))??,
            false => key.sign_certificate(reserved)?,
        };
        self.step(Step::Signed);
        let via = ask.via.protocol.word();
        let completion = Completion::new(signed, actor, via, facts.to_json(), now)?;
        let completed = self
            .store()
            .record(self.operation()?, move |tx| {
                certificate::complete(tx, &completion)
            })
            .await?;
        self.step(Step::Completed);
        match completed {
            Completed::Released(certificate) => {
                self.counters().issued.inc();
                if facts.identity.is_some() {
                    // The identity before the repair was revoked with it.
                    self.wake_publish();
                }
                Ok(Issue::Released(certificate))
            }
            // The device, its issuer or its predecessor changed while we were signing.
            Completed::Voided { .. } => {
                self.wake_publish();
                Ok(Issue::Stale)
            }
        }
    }

    async fn reserve(&self, reservation: Reservation) -> Result<Option<Reserved>, Rejection> {
        let reserved = self
            .store()
            .record(self.operation()?, move |tx| {
                certificate::reserve(tx, &reservation)
            })
            .await;
        match reserved {
            Ok(reserved) => Ok(Some(reserved)),
            Err(ReserveError::Stale | ReserveError::SerialTaken) => Ok(None),
            Err(ReserveError::Store(error)) => Err(error.into()),
        }
    }

    fn again(&self, no: CertificateNo) -> Result<Answer, Rejection> {
        let found = self.store().glance(|tx| certificate::by_no(tx, no))?;
        let certificate = found.ok_or(FaultCause::Corrupt("certificate to be given again"))?;
        self.counters().replayed.inc();
        Ok(Answer::Issued(Arc::new(certificate)))
    }

    async fn hold(
        &self,
        ask: &Ask,
        facts: &Facts,
        why: HoldReason,
        now: Time,
    ) -> Result<Answer, Rejection> {
        let (identity, device, retry_after_s) = match (&facts.subject, ask.stranger()) {
            (Some(subject), _) => {
                let device = &subject.device;
                (
                    device.id.as_str().to_owned(),
                    Some((device.no, device.id.clone())),
                    APPROVAL_RETRY_S,
                )
            }
            (None, Some(stranger)) => (stranger, None, QUARANTINE_RETRY_S),
            (None, None) => return Err(Refusal::NotAuthenticated.into()),
        };
        let held = Arc::new(NewAsk {
            tenant: ask.tenant,
            replay: ReplayKey::of(ask, &identity),
            identity,
            device,
            key: ask.asker(),
            csr: ask.csr.der().to_vec(),
            operation: ask.operation,
            reason: why.word().to_owned(),
            why: explain(&why),
            evidence: facts
                .evidence
                .first()
                .map_or("none", Evidence::word)
                .to_owned(),
            via: ask.via.clone(),
            binds: facts
                .evidence
                .first()
                .and_then(Evidence::secret)
                .map(|secret| secret.no()),
        });
        let (asked, actor) = (Arc::clone(&held), actor(ask, facts));
        // Whoever asks again while the ask waits, or while the queue is full, takes no turn of the
        // writer.
        let room = self.store().read(move |tx| pending::may_hold(tx, &asked));
        let outcome = match room.await {
            Ok(()) => {
                let record = self.store().record(self.operation()?, move |tx| {
                    pending::hold(tx, &held, &actor, now)
                });
                record.await.map(|_| ())
            }
            Err(no) => Err(no),
        };
        match outcome {
            Ok(()) | Err(HoldError::Known(_)) => Ok(Answer::Pending { retry_after_s }),
            Err(HoldError::Full) => {
                let refusal = Refusal::TooSoon {
                    retry_after_s: 3600,
                };
                if facts.subject.is_none() {
                    self.strangers()
                        .count("device", ask.via.source, refusal.word(), now);
                }
                Err(refusal.into())
            }
            Err(HoldError::Store(error)) => Err(error.into()),
        }
    }

    async fn refuse(
        &self,
        ask: &Ask,
        facts: &Facts,
        no: Refused,
        now: Time,
    ) -> Result<Answer, Rejection> {
        self.counters().refused(no.word());
        let Some(subject) = &facts.subject else {
            return self.refuse_stranger(ask, facts, no, now).await;
        };
        let device = subject.device.clone();
        let actor = actor(ask, facts);
        let refusal = no.refusal.clone();
        let consequence = no.consequence;
        let rule = match &refusal {
            Refusal::NotAllowed { rule, .. } => rule.clone(),
            _ => "built-in".to_owned(),
        };
        let word = refusal.word().to_owned();
        let shown = facts.evidence.first().and_then(Evidence::secret);
        let shown = shown.map(|secret| (secret.no(), ask.asker()));
        self.store()
            .record::<(), StoreError, _>(self.operation()?, move |tx| {
                let said = Event::AskRefused {
                    reason: word.clone(),
                    rule: rule.clone(),
                };
                tx.log(&Entry::new(actor.clone(), now, said).about(device.no, &device.id))?;
                // A secret is bound by the first key that it comes with, whatever the answer.
                if let Some((secret, key)) = shown {
                    secret::bind(tx, secret, key)?;
                }
                match &consequence {
                    Some(Consequence::Fork { presented, head }) => {
                        freeze(tx, &device, *presented, *head, now)
                    }
                    Some(Consequence::SharedKey { other }) => {
                        let summary = format!(
                            "{} asked for a certificate for a key that {other} holds or held",
                            device.id
                        );
                        incident::open(
                            tx,
                            &NewIncident {
                                kind: IncidentKind::SharedKey,
                                device: Some((device.no, device.id.clone())),
                                serials: Vec::new(),
                                summary,
                            },
                            &Actor::system("enroll"),
                            now,
                        )?;
                        Ok(())
                    }
                    Some(
                        Consequence::SecretFailure
                        | Consequence::SecretMisused
                        | Consequence::BadIdevid { .. }
                        | Consequence::NotOurs { .. },
                    )
                    | None => Ok(()),
                }
            })
            .await?;
        self.wake_publish();
        Err(refusal.into())
    }

    /// Refuses someone who proved nothing: a wrong secret is counted against its device, a forged
    /// certificate opens an incident, and the rest is coalesced by the minute, with the forged
    /// certificates that open none.
    async fn refuse_stranger(
        &self,
        ask: &Ask,
        facts: &Facts,
        no: Refused,
        now: Time,
    ) -> Result<Answer, Rejection> {
        let word = no.word();
        match no.consequence {
            Some(ref why @ (Consequence::SecretFailure | Consequence::SecretMisused)) => {
                let is_misuse = *why == Consequence::SecretMisused;
                if let Some(Unproved::Secret { device, .. }) = facts.unproved.first() {
                    self.record_secret_refused(ask.tenant, device.clone(), is_misuse, now)
                        .await?;
                }
            }
            Some(Consequence::NotOurs { serial }) => {
                let opened = self.record_not_ours(&serial, now).await?;
                if !opened.is_new() {
                    let reason = IncidentKind::NotOurs.word();
                    self.strangers()
                        .count("device", ask.via.source, reason, now);
                }
            }
            Some(Consequence::BadIdevid { manufacturer, why }) => {
                let source = ask.via.source;
                // Told as seldom as it is recorded.
                if self.strangers().count("device", source, word, now) == 1 {
                    tracing::warn!(%manufacturer, why, ?source, "an IDevID was not accepted");
                }
            }
            Some(Consequence::Fork { .. } | Consequence::SharedKey { .. }) | None => {
                self.strangers().count("device", ask.via.source, word, now);
            }
        }
        Err(no.refusal.into())
    }

    /// Opens an incident, unless the same one is open or too many are. The writer is not troubled
    /// with what a read can tell: whoever makes certificates in our name can make any number.
    async fn record_not_ours(&self, serial: &str, now: Time) -> Result<Opened, Rejection> {
        let new = NewIncident::not_ours(serial, "presented");
        // A refusal promises nothing of the incidents that it saw, so they need not be durable.
        if let Some(opened) = self.store().glimpse(|tx| incident::foreseen(tx, &new))? {
            return Ok(opened);
        }
        let opened = self
            .store()
            .record::<_, StoreError, _>(self.operation()?, move |tx| {
                let opened = incident::open(tx, &new, &Actor::system("enroll"), now)?;
                if !opened.is_new() {
                    tx.excuse("the incident is open and says the same, or too many are open");
                }
                Ok(opened)
            })
            .await?;
        Ok(opened)
    }

    async fn record_secret_refused(
        &self,
        tenant: TenantId,
        id: DeviceId,
        is_misuse: bool,
        now: Time,
    ) -> Result<(), Rejection> {
        self.store()
            .record::<(), StoreError, _>(self.operation()?, move |tx| {
                let Some(device) = device::by_id(tx, tenant, &id)? else {
                    tx.excuse("the device is gone");
                    return Ok(());
                };
                if !is_misuse {
                    return secret::failed(tx, &device, now);
                }
                let said = Event::SecretRefused {
                    why: "presented with another key".to_owned(),
                };
                tx.log(&Entry::new(Actor::Anonymous, now, said).about(device.no, &device.id))?;
                Ok(())
            })
            .await?;
        Ok(())
    }

    pub(crate) fn now_for_signing(&self) -> Result<Time, FaultCause> {
        let now = self.clock().now();
        let last = self.store().last_recorded();
        if clock_went_back(now, last) {
            return Err(FaultCause::ClockSetBack(last.unix() - now.unix()));
        }
        Ok(now.max(last))
    }

    fn key_for(&self, issuer: &GrantIssuer) -> Result<crate::signer::Key, FaultCause> {
        let name = match issuer {
            GrantIssuer::Ours(issuer) => issuer.key.as_str(),
            GrantIssuer::Itself { name, .. } => name.as_str(),
        };
        self.key(name)
            .ok_or_else(|| FaultCause::NoKey(name.to_owned()))
    }
}

enum Issue {
    Released(Arc<Certificate>),
    Stale,
}

/// Who is asking, for the record.
fn actor(ask: &Ask, facts: &Facts) -> Actor {
    match (&ask.presented.system, &facts.subject) {
        (Some(ceremony), _) => Actor::system(ceremony.purpose()),
        (None, Some(subject)) => Actor::Device {
            device: subject.device.id.clone(),
        },
        (None, None) => Actor::Anonymous,
    }
}

fn explain(why: &HoldReason) -> String {
    match why {
        HoldReason::Approval { why, .. } => why.clone(),
        HoldReason::Unregistered {
            manufacturer,
            serial,
        } => {
            format!("{manufacturer} made a device with serial {serial} that is not registered")
        }
        HoldReason::UnknownManufacturer { subject } => {
            format!("no registered manufacturer stands behind {subject}")
        }
    }
}

/// Holds both branches of a forked chain and what else the device has, quarantines the device and opens an incident.
fn freeze(
    tx: &mut Tx<'_>,
    device: &tenure_domain::Device,
    presented: CertificateNo,
    head: CertificateNo,
    now: Time,
) -> Result<(), StoreError> {
    let us = Actor::system("fork");
    let said = (
        "the renewal chain forked",
        "two holders of one identity: the renewal chain forked",
    );
    let serials = life::quarantine(tx, device.no, &[presented, head], said, &us, now)?;
    let summary = format!(
        "{} renewed from a certificate that was already replaced: two holders of one identity",
        device.id
    );
    incident::open(
        tx,
        &NewIncident {
            kind: IncidentKind::Fork,
            device: Some((device.no, device.id.clone())),
            serials,
            summary,
        },
        &us,
        now,
    )?;
    Ok(())
}
