//! The steps of an issuer's rollover. Each is judged in the transaction that takes it, by what was
//! observed of relying parties and of the issuer's certificates.

use std::sync::Arc;

use tenure_domain::change::IssuerMove;
use tenure_domain::ids::{Slug, TenantId};
use tenure_domain::issuer::{Issuer, IssuerState};
use tenure_domain::operator::Actor;
use tenure_domain::refusal::Refusal;
use tenure_domain::rollover::{
    Blocked, NotReady, PartyStanding, QUIET_S, Readiness, Step, Succession, leads_to, line_allows,
    line_of,
};
use tenure_store::rollover::{self as stored, Remains};
use tenure_store::{ReadTx, StoreError, Tx, issuer as issuers};
use tenure_x509::Time;

use crate::revoke::Conflict;

/// How far the rollover of a line has come.
#[derive(Debug, Clone)]
pub struct Progress {
    /// Its issuers, oldest first, each with what was observed.
    pub issuers: Vec<Stage>,
}

/// Where one issuer of a line is.
#[derive(Debug, Clone)]
pub struct Stage {
    /// The issuer.
    pub issuer: Arc<Issuer>,
    /// Where each relying party stands towards it.
    pub parties: Vec<PartyStanding>,
    /// What is left of its work.
    pub remains: Remains,
    /// The steps that lead on from here, each with what stands in its way.
    pub steps: Vec<(Step, Option<Blocked>)>,
}

impl Stage {
    /// How many relying parties were observed to accept it.
    pub fn accepting(&self) -> Readiness {
        Readiness::of(&self.parties, &[], PartyStanding::accepts)
    }

    /// How many were observed to turn it away since it came into its present state.
    pub fn refusing(&self) -> Readiness {
        Readiness::of(&self.parties, &[], |party| {
            party.refuses_since(self.issuer.since)
        })
    }
}

/// How far the rollover of the line of an issuer has come.
pub fn progress(
    tx: &ReadTx<'_>,
    tenant: TenantId,
    of: &Issuer,
    now: Time,
) -> Result<Progress, StoreError> {
    let all: Vec<_> = issuers::all(tx, tenant)?
        .into_iter()
        .map(Arc::new)
        .collect();
    let line = line_of(&all, of);
    let mut stages = Vec::new();
    for issuer in all.iter().filter(|known| line_of(&all, known) == line) {
        let scene = scene(tx, tenant, &all, issuer, now)?;
        let steps = Step::ALL
            .iter()
            .filter(|step| leads_to(issuer, **step).is_ok())
            .map(|step| {
                (*step, {
                    let orderly = Terms::default();
                    blocked(&all, issuer, *step, &scene, &orderly, now).err()
                })
            })
            .collect();
        stages.push(Stage {
            issuer: Arc::clone(issuer),
            parties: scene.parties,
            remains: scene.remains,
            steps,
        });
    }
    Ok(Progress { issuers: stages })
}

/// What was observed of one issuer.
struct Scene {
    parties: Vec<PartyStanding>,
    remains: Remains,
}

fn scene(
    tx: &ReadTx<'_>,
    tenant: TenantId,
    all: &[Arc<Issuer>],
    issuer: &Issuer,
    now: Time,
) -> Result<Scene, StoreError> {
    Ok(Scene {
        parties: stored::standings(tx, tenant, all, issuer)?,
        remains: stored::remains(tx, issuer.no, now)?,
    })
}

/// What a step may pass over.
#[derive(Default)]
struct Terms<'a> {
    except: &'a [Slug],
    succession: Succession,
}

/// Whether a step may be taken now on these terms; the state it leads to.
fn blocked(
    all: &[Arc<Issuer>],
    issuer: &Issuer,
    step: Step,
    scene: &Scene,
    terms: &Terms<'_>,
    now: Time,
) -> Result<IssuerState, Blocked> {
    let except = terms.except;
    let to = leads_to(issuer, step)?;
    line_allows(all, issuer, step, terms.succession)?;
    match step {
        Step::Distribute | Step::Back | Step::Taint => Ok(to),
        Step::Activate => {
            let readiness = Readiness::of(&scene.parties, except, PartyStanding::accepts);
            // Where nobody is registered nothing was observed.
            if !readiness.is_enough() || scene.parties.is_empty() {
                return Err(not_ready(issuer, step, readiness));
            }
            Ok(to)
        }
        Step::Remove if issuer.state == IssuerState::Prepared => Ok(to),
        Step::Remove => {
            let Remains {
                leaves,
                devices,
                last_traffic,
            } = &scene.remains;
            if *leaves > 0 {
                return Err(Blocked::Leaves {
                    count: *leaves,
                    devices: devices.iter().map(ToString::to_string).collect(),
                });
            }
            if let Some(last) = last_traffic.filter(|last| last.plus(QUIET_S) > now) {
                return Err(Blocked::Traffic { last });
            }
            let readiness = Readiness::of(&scene.parties, except, |party| {
                party.refuses_since(issuer.since)
            });
            match readiness.is_whole() {
                true => Ok(to),
                false => Err(not_ready(issuer, step, readiness)),
            }
        }
    }
}

fn not_ready(issuer: &Issuer, step: Step, readiness: Readiness) -> Blocked {
    Blocked::NotReady(NotReady {
        issuer: issuer.name.clone(),
        step,
        readiness,
    })
}

/// Takes a step. It is forced only past relying parties that are named one by one, with a reason.
pub(crate) fn take(
    tx: &mut Tx<'_>,
    tenant: TenantId,
    wanted: &IssuerMove,
    actor: &Actor,
    now: Time,
) -> Result<(), Conflict> {
    let all: Vec<_> = issuers::all(tx, tenant)?
        .into_iter()
        .map(Arc::new)
        .collect();
    let found = all.iter().find(|known| known.name == wanted.issuer);
    let issuer = found.ok_or_else(|| Refusal::NotFound {
        what: format!("issuer {}", wanted.issuer),
    })?;
    let scene = scene(tx, tenant, &all, issuer, now)?;
    let why = wanted.why.trim();
    let known = |name: &&Slug| scene.parties.iter().any(|party| party.name == **name);
    if let Some(stranger) = wanted.except.iter().find(|name| !known(name)) {
        let what = format!(
            "except: {stranger} is no relying party for issuer {}",
            issuer.name
        );
        return Err(Refusal::BadRequest { what }.into());
    }
    if why.is_empty() && (!wanted.except.is_empty() || needs_reason(wanted.step)) {
        let what = format!(
            "say why (--why): the step {} of issuer {} becomes part of the record with its reason",
            wanted.step, issuer.name
        );
        return Err(Refusal::BadRequest { what }.into());
    }
    let terms = Terms {
        except: &wanted.except,
        succession: wanted.succession,
    };
    let judged = blocked(&all, issuer, wanted.step, &scene, &terms, now);
    let to = match judged {
        // Nobody to be observed, and a reason was given.
        Err(Blocked::NotReady(_)) if scene.parties.is_empty() && !why.is_empty() => {
            leads_to(issuer, wanted.step)
        }
        judged => judged,
    };
    let to = to.map_err(|blocked| Refusal::Conflict {
        what: format!("{} cannot be taken: {blocked}", said(wanted.step, issuer)),
    })?;
    let exceptions: Vec<_> = wanted.except.iter().map(ToString::to_string).collect();
    stored::move_to(tx, issuer, to, &exceptions, why, actor, now)?;
    Ok(())
}

/// Whether a step is one that nobody takes without saying why.
fn needs_reason(step: Step) -> bool {
    match step {
        Step::Back | Step::Taint => true,
        Step::Distribute | Step::Activate | Step::Remove => false,
    }
}

fn said(step: Step, issuer: &Issuer) -> String {
    format!("the step {step} of issuer {}", issuer.name)
}
