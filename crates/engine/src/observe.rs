//! Observation: what others saw of our certificates, what verifiers say of devices, and what relying
//! parties say that they applied.

use tenure_domain::Status;
use tenure_domain::attestation::Attestation;
use tenure_domain::certificate::Revocation;
use tenure_domain::certificate::Standstill;
use tenure_domain::ids::{DeviceId, Slug, Title};
use tenure_domain::incident::IncidentKind;
use tenure_domain::operator::{Actor, Permission};
use tenure_domain::profile::ProfileKind;
use tenure_domain::registry::ReplacedRule;
use tenure_store::feed::Applied;
use tenure_store::{StoreError, certificate, device, incident, rollover, sighting, withdrawal};
use tenure_x509::{Reason, Serial, Time};

use crate::fault::Rejection;
use crate::life;
use crate::revoke::{Conflict, one_row};
use crate::snapshot::Snapshot;
use crate::{Engine, Promise};

/// Someone saw something.
#[derive(Debug, Clone)]
pub enum Observation {
    /// A relying party saw a certificate in use.
    InUse {
        /// Who reports.
        actor: Actor,
        /// The certificate's issuer, if said.
        issuer: Option<Slug>,
        /// The certificate's serial.
        serial: Serial,
        /// The service that saw it.
        service: Title,
        /// When.
        at: Time,
    },
    /// A verifier appraised a device's evidence.
    Attested {
        /// Who reports.
        actor: Actor,
        /// The device.
        device: DeviceId,
        /// What the verifier says.
        said: Attestation,
    },
    /// A relying party applied what its feed offered.
    FeedApplied {
        /// Who reports.
        actor: Actor,
        /// The relying party.
        party: Slug,
        /// What it applied.
        applied: Applied,
    },
}

/// What an observation came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Observed {
    /// News, recorded.
    First,
    /// News of a time that is over: recorded, and what came later goes on to count.
    Older,
    /// Nothing new.
    Known,
    /// A certificate that its device had given up: an incident is open.
    Alarm,
}

impl Engine {
    /// Takes a report. The first use of a certificate settles the renewal chain up to it; the use
    /// of one that its device gave up is a sign of a clone.
    pub fn observe(&self, seen: Observation) -> Promise<'_, Observed> {
        Box::pin(self.hear(seen))
    }

    async fn hear(&self, seen: Observation) -> Result<Observed, Rejection> {
        let (actor, issuer, serial, service, at) = match seen {
            Observation::InUse {
                actor,
                issuer,
                serial,
                service,
                at,
            } => (actor, issuer, serial, service, at),
            Observation::FeedApplied {
                actor,
                party,
                applied,
            } => return self.feed_applied(actor, party, applied).await,
            Observation::Attested {
                actor,
                device,
                said,
            } => return self.attested(actor, device, said).await,
        };
        actor.may(Permission::Report)?;
        let now = self.clock().now();
        let at = at.min(now);
        let row = self
            .store()
            .glimpse(|tx| one_row(tx, issuer.as_ref(), &serial))
            .map_err(Conflict::into_rejection)?;
        self.note_use(&row, &service, at).await?;
        let is_news = self
            .store()
            .glimpse(|tx| rollover::is_news(tx, row.issuer, service.as_str(), at))?;
        if row.first_used.is_some() && row.standstill == Standstill::None && !is_news {
            return Ok(Observed::Known);
        }
        let classes = self.snapshot();
        let (observed, withdrawn) = self
            .store()
            .record::<_, StoreError, _>(self.operation()?, move |tx| {
                let Some(row) = certificate::row(tx, row.no)? else {
                    return Ok((Observed::Known, Withdrawn::Nothing));
                };
                rollover::seen_in_use(tx, row.issuer, service.as_str(), at)?;
                if row.first_used.is_some() && row.standstill == Standstill::None {
                    tx.excuse("its first use is on record");
                    return Ok((Observed::Known, Withdrawn::Nothing));
                }
                sighting::first_used(tx, &row, service.as_str(), &actor, at)?;
                let Some(device) = device::by_no(tx, row.device)? else {
                    return Ok((Observed::First, Withdrawn::Nothing));
                };
                if row.standstill == Standstill::Abandoned {
                    alarm(tx, &device, &row, now)?;
                    return Ok((Observed::Alarm, Withdrawn::Something));
                }
                let rule = classes
                    .classes
                    .get(&device.class)
                    .map(|class| class.replaced);
                let withdrawn = match rule {
                    Some(ReplacedRule::RevokeWhenConfirmed) => {
                        retire_predecessor(tx, &classes, &row, now)?
                    }
                    _ => Withdrawn::Nothing,
                };
                Ok((Observed::First, withdrawn))
            })
            .await?;
        if withdrawn == Withdrawn::Something {
            self.wake_publish();
        }
        Ok(observed)
    }
}

/// Whether an observation has withdrawn a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Withdrawn {
    Nothing,
    Something,
}

fn retire_predecessor(
    tx: &mut tenure_store::Tx<'_>,
    snapshot: &Snapshot,
    row: &tenure_domain::CertificateRow,
    now: Time,
) -> Result<Withdrawn, StoreError> {
    let Some(predecessor) = row.predecessor else {
        return Ok(Withdrawn::Nothing);
    };
    let Some(before) = certificate::row(tx, predecessor)? else {
        return Ok(Withdrawn::Nothing);
    };
    // An identity for life stays when the first operational one follows it.
    let is_for_life = snapshot
        .policy
        .profile(&before.profile)
        .is_some_and(|profile| profile.kind == ProfileKind::IDevId);
    if before.status == Status::Replaced && !is_for_life {
        let how = Revocation::new(Reason::Superseded, now);
        withdrawal::revoke(tx, predecessor, how, &Actor::system("confirm"))?;
        return Ok(Withdrawn::Something);
    }
    Ok(Withdrawn::Nothing)
}

fn alarm(
    tx: &mut tenure_store::Tx<'_>,
    device: &tenure_domain::Device,
    row: &tenure_domain::CertificateRow,
    now: Time,
) -> Result<(), StoreError> {
    let us = Actor::system("watch");
    let why = "a certificate that its device gave up is in use";
    let serials = life::quarantine(tx, device.no, &[row.no], (why, why), &us, now)?;
    incident::open(
        tx,
        &incident::NewIncident {
            kind: IncidentKind::AbandonedUsed,
            device: Some((device.no, device.id.clone())),
            serials,
            summary: format!("{}: {why}", device.id),
        },
        &us,
        now,
    )?;
    Ok(())
}
