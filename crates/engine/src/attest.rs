//! What verifiers say of devices.

use tenure_domain::Device;
use tenure_domain::Refusal;
use tenure_domain::attestation::{Attestation, AttestationResult, MADE_AHEAD_MAX_S, VERIFIERS_MAX};
use tenure_domain::finding::{FindingKind, Matter, NewFinding, Subject};
use tenure_domain::ids::DeviceId;
use tenure_domain::operator::{Actor, Permission, Role};
use tenure_store::attestation::{self, Taken};
use tenure_store::{Tx, device, finding};
use tenure_x509::Time;

use crate::Engine;
use crate::fault::Rejection;
use crate::observe::Observed;
use crate::revoke::Conflict;

impl Engine {
    /// Takes what a verifier says of a device. That a device runs what it must not run is a finding
    /// until the same verifier says otherwise.
    pub(crate) async fn attested(
        &self,
        actor: Actor,
        id: DeviceId,
        mut said: Attestation,
    ) -> Result<Observed, Rejection> {
        actor.may(Permission::Attest)?;
        let speaks_for_itself = match &actor {
            Actor::Operator { name, role, .. } if *role == Role::Verifier => {
                *name == said.verifier.as_str()
            }
            _ => true,
        };
        if !speaks_for_itself {
            let needs = "a token of the verifier's own name".to_owned();
            return Err(Refusal::Forbidden { needs }.into());
        }
        let now = self.now_for_signing()?;
        if said.made > now.plus(MADE_AHEAD_MAX_S) {
            let what = format!(
                "made: {} is ahead of our clock, which says {now}; see whether the clocks agree",
                said.made
            );
            return Err(Refusal::BadRequest { what }.into());
        }
        said.made = said.made.min(now);
        let tenant = self.tenant();
        let taken = self
            .record_as(&actor.clone(), move |tx| {
                let found = device::by_id(tx, tenant, &id)?;
                let device = found.ok_or_else(|| Refusal::NotFound {
                    what: format!("device {id}"),
                })?;
                let taken = attestation::report(tx, &device, &said, &actor, now)?;
                match taken {
                    Taken::Newest => settle(tx, &device, &said, &actor, now)?,
                    Taken::Recorded | Taken::Known | Taken::TooMany => {}
                }
                Ok(taken)
            })
            .await?;
        match taken {
            Taken::Newest => {
                self.forget_verdicts();
                Ok(Observed::First)
            }
            Taken::Recorded => Ok(Observed::Older),
            Taken::Known => Ok(Observed::Known),
            Taken::TooMany => Err(Refusal::Conflict {
                what: format!("{VERIFIERS_MAX} verifiers speak of this device already"),
            }
            .into()),
        }
    }
}

/// Opens or clears the finding about what a verifier says.
fn settle(
    tx: &mut Tx<'_>,
    device: &Device,
    said: &Attestation,
    actor: &Actor,
    now: Time,
) -> Result<(), Conflict> {
    let matter = Matter {
        kind: FindingKind::Contraindicated,
        subject: Subject::device(&device.id),
        cause: said.verifier.to_string(),
    };
    if said.result != AttestationResult::Contraindicated {
        finding::clear(tx, &matter, &said.to_string(), actor, now)?;
        return Ok(());
    }
    let new = NewFinding {
        summary: format!(
            "{} says that {} runs what it must not run, so that it is let in nowhere. Bring the device \
             back to what it should run and have it attested again.",
            said.verifier, device.id
        ),
        matter,
        evidence: vec![format!("attestation {said}")],
        owner: Some(device.owner.clone()),
        criticality: device.criticality,
    };
    finding::raise(tx, &new, actor, now)?;
    Ok(())
}
