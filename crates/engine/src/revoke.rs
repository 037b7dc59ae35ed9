//! Withdrawal: revoke, hold, release, of one certificate or of all that a device holds.

use std::sync::Arc;

use tenure_domain::certificate::{REVOKE_WITHIN_S, Revocation, StatusChange};
use tenure_domain::device::{Criticality, Device};
use tenure_domain::finding::{FindingKind, Matter, NewFinding, Subject};
use tenure_domain::ids::{DeviceId, Slug, TenantId, Title};
use tenure_domain::operator::{Actor, Permission};
use tenure_domain::{CertificateRow, Refusal, Status};
use tenure_store::issuer::CROSS_PROFILE;
use tenure_store::{ReadTx, StoreError, Tx, certificate, device, finding, withdrawal};
use tenure_x509::{Reason, Serial, Time};

use crate::fault::Rejection;
use crate::{Engine, Promise, Step, permit};

/// Whose certificates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// One certificate, by serial, with its issuer where two have the same.
    Certificate {
        /// The issuer, if said.
        issuer: Option<Slug>,
        /// The serial.
        serial: Serial,
    },
    /// Every certificate of a device that is not revoked yet.
    Device(DeviceId),
}

/// Someone wants certificates withdrawn or given back.
#[derive(Debug, Clone)]
pub struct RevokeAsk {
    /// Who.
    pub actor: Actor,
    /// Whose certificates.
    pub target: Target,
    /// What to do with them.
    pub change: StatusChange,
}

/// What a withdrawal did.
#[derive(Debug, Clone)]
pub struct Withdrawal {
    /// The certificates as they are now.
    pub certificates: Vec<CertificateRow>,
    /// How many of them were changed by this ask; the others already were as wanted.
    pub changed: usize,
}

/// What a withdrawal would touch; shown before anything is done.
#[derive(Debug, Clone)]
pub struct BlastRadius {
    /// The certificates that would change.
    pub certificates: Vec<CertificateRow>,
    /// The devices that would lose their identity.
    pub devices: Vec<DeviceId>,
    /// The services that would refuse them.
    pub services: Vec<Title>,
    /// The highest criticality among the devices.
    pub criticality: Option<Criticality>,
}

impl Engine {
    /// Withdraws or gives back. Asking again changes nothing and says so.
    pub fn revoke(&self, ask: RevokeAsk) -> Promise<'_, Withdrawal> {
        Box::pin(self.withdraw(ask))
    }

    async fn withdraw(&self, ask: RevokeAsk) -> Result<Withdrawal, Rejection> {
        ask.actor.may(Permission::Withdraw)?;
        is_a_reason_to_revoke(&ask.change)?;
        let now = self.now_for_signing()?;
        let (tenant, ask) = (self.tenant(), Arc::new(ask));
        let alone_max = self.settings().revoked_alone_max;
        let by = ask.actor.clone();
        let done = self
            .record_as(&by, move |tx| {
                let mut done = Withdrawal {
                    certificates: Vec::new(),
                    changed: 0,
                };
                // Listed here, so that what was issued until now is among them.
                for row in affected(tx, tenant, &ask.target, now)? {
                    let outcome = one(tx, &row, &ask, now)?;
                    done.changed += usize::from(outcome.before.status != outcome.after.status);
                    done.certificates.push(outcome.after);
                }
                if done.changed == 0 {
                    tx.excuse("every certificate already is as wanted");
                } else if matches!(ask.change, StatusChange::Revoke { .. }) {
                    permit::spend(tx, &ask.actor, done.changed, alone_max, now)?;
                }
                Ok(done)
            })
            .await?;
        self.step(Step::Withdrawn);
        if done.changed > 0 {
            self.feeds().pace.withdrawn();
        }
        let is_cross = |row: &CertificateRow| row.profile.as_str() == CROSS_PROFILE;
        if done.certificates.iter().any(is_cross) {
            self.reload().await?;
        }
        self.wake_publish();
        Ok(done)
    }

    /// What [`Engine::revoke`] would touch.
    pub fn blast_radius(&self, target: &Target) -> Result<BlastRadius, Rejection> {
        let (tenant, now) = (self.tenant(), self.clock().now());
        let certificates = self.store().glance(|tx| affected(tx, tenant, target, now));
        let certificates = certificates.map_err(Conflict::into_rejection)?;
        let mut devices: Vec<Device> = Vec::new();
        for row in &certificates {
            if devices.iter().all(|device| device.no != row.device) {
                devices.extend(self.store().glance(|tx| device::by_no(tx, row.device))?);
            }
        }
        let mut services: Vec<Title> = devices.iter().flat_map(|d| d.services.clone()).collect();
        services.sort();
        services.dedup();
        Ok(BlastRadius {
            criticality: devices.iter().map(|device| device.criticality).max(),
            devices: devices.into_iter().map(|device| device.id).collect(),
            services,
            certificates,
        })
    }
}

/// Whose certificates an ask is about.
fn affected(
    tx: &ReadTx<'_>,
    tenant: TenantId,
    target: &Target,
    now: Time,
) -> Result<Vec<CertificateRow>, Conflict> {
    match target {
        Target::Certificate { issuer, serial } => Ok(vec![one_row(tx, issuer.as_ref(), serial)?]),
        Target::Device(id) => {
            let unknown = || Refusal::NotFound {
                what: format!("device {id}"),
            };
            let device = device::by_id(tx, tenant, id)?.ok_or_else(unknown)?;
            Ok(certificate::withdrawable(tx, device.no, now)?)
        }
    }
}

/// The one certificate that a serial means; says how to be clearer if two have it.
pub(crate) fn one_row(
    tx: &ReadTx<'_>,
    issuer: Option<&Slug>,
    serial: &Serial,
) -> Result<CertificateRow, Conflict> {
    let mut found = certificate::find_serial(tx, serial)?;
    found.retain(|row| issuer.is_none_or(|issuer| row.issuer_name == *issuer));
    if found.len() > 1 {
        let named: Vec<_> = found
            .iter()
            .map(|row| format!("{}/{serial}", row.issuer_name))
            .collect();
        let what = format!(
            "two issuers used serial {serial}; name one: {}",
            named.join(", ")
        );
        return Err(Refusal::Conflict { what }.into());
    }
    let unknown = || Refusal::NotFound {
        what: format!("certificate with serial {serial}"),
    };
    Ok(found.pop().ok_or_else(unknown)?)
}

fn is_a_reason_to_revoke(change: &StatusChange) -> Result<(), Refusal> {
    match change {
        StatusChange::Revoke {
            reason: Reason::CertificateHold,
            ..
        } => Err(Refusal::BadRequest {
            what: "certificateHold is not a revocation; use hold".to_owned(),
        }),
        StatusChange::Revoke {
            reason: Reason::RemoveFromCrl,
            ..
        } => Err(Refusal::BadRequest {
            what: "removeFromCRL is not a revocation; use release".to_owned(),
        }),
        StatusChange::Revoke { .. } | StatusChange::Hold | StatusChange::Release => Ok(()),
    }
}

fn one(
    tx: &mut Tx<'_>,
    row: &CertificateRow,
    ask: &RevokeAsk,
    now: Time,
) -> Result<withdrawal::Withdrawn, Conflict> {
    // The row is read again in this transaction: it may have changed since it was shown.
    let row = certificate::row(tx, row.no)?.ok_or(Conflict::Gone)?;
    let conflict = |what: String| Conflict::Refused(Refusal::Conflict { what });
    match (&ask.change, row.status) {
        (_, Status::Reserved | Status::Voided) => Err(conflict(format!(
            "certificate {} was never released",
            row.serial
        ))),
        (StatusChange::Revoke { reason, invalidity }, _) => {
            let how = Revocation {
                reason: *reason,
                at: now,
                invalidity: *invalidity,
            };
            let withdrawn = withdrawal::revoke(tx, row.no, how, &ask.actor)?;
            let is_late = how.lag_s().is_some_and(|lag| lag > REVOKE_WITHIN_S);
            if is_late && withdrawn.before.status != withdrawn.after.status {
                let late = late(tx, &withdrawn.after, &how)?;
                finding::raise(tx, &late, &ask.actor, now)?;
            }
            Ok(withdrawn)
        }
        (StatusChange::Hold | StatusChange::Release, Status::Revoked) => Err(conflict(format!(
            "certificate {} is revoked for good",
            row.serial
        ))),
        (StatusChange::Hold, _) => Ok(withdrawal::hold(
            tx,
            row.no,
            "by an operator",
            &ask.actor,
            now,
        )?),
        (StatusChange::Release, Status::Held) => {
            let device = device::by_no(tx, row.device)?.ok_or(Conflict::Gone)?;
            // Requirement H5: what its standing keeps on hold, only its standing lets go.
            device.standing.may_enroll().map_err(|standing| {
                conflict(format!(
                    "device {} is {standing}; its certificates go on when it does",
                    device.id
                ))
            })?;
            Ok(withdrawal::release(tx, row.no, &ask.actor, now)?)
        }
        (StatusChange::Release, Status::Issued | Status::Replaced) => Ok(withdrawal::Withdrawn {
            before: row.clone(),
            after: row,
        }),
    }
}

/// That a certificate was revoked later than it must be (requirement G10).
fn late(tx: &ReadTx<'_>, row: &CertificateRow, how: &Revocation) -> Result<NewFinding, StoreError> {
    let device = device::by_no(tx, row.device)?;
    let (hours, most) = (how.lag_s().unwrap_or(0) / 3_600, REVOKE_WITHIN_S / 3_600);
    let since = how.invalidity.unwrap_or(how.at);
    Ok(NewFinding {
        matter: Matter {
            kind: FindingKind::RevocationLate,
            subject: Subject::certificate(&row.serial),
            cause: format!("since {since}"),
        },
        summary: format!(
            "Certificate {} of {} was revoked {hours} hours after it must not be believed any more \
             ({since}), and {most} are allowed. See what it was used for meanwhile, and why nobody \
             knew or acted; then acknowledge this",
            row.serial, row.device_id
        ),
        evidence: Vec::new(),
        owner: device.as_ref().map(|device| device.owner.clone()),
        criticality: device.map_or(Criticality::High, |device| device.criticality),
    })
}

/// Why a recording transaction gave up.
#[derive(Debug)]
pub(crate) enum Conflict {
    Refused(Refusal),
    Gone,
    Store(StoreError),
}

impl From<StoreError> for Conflict {
    fn from(error: StoreError) -> Conflict {
        Conflict::Store(error)
    }
}

impl From<Refusal> for Conflict {
    fn from(refusal: Refusal) -> Conflict {
        Conflict::Refused(refusal)
    }
}

impl Conflict {
    pub(crate) fn into_rejection(self) -> Rejection {
        match self {
            Conflict::Refused(refusal) => refusal.into(),
            Conflict::Gone => Refusal::NotFound {
                what: "such certificate any more".into(),
            }
            .into(),
            Conflict::Store(error) => error.into(),
        }
    }
}
