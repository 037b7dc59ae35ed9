//! The steps of an issuer's rollover. Each is judged in the transaction that takes it, by what was
//! observed of relying parties and of the issuer's certificates.
//!
//! A root takes what stands below it along: a relying party is never shown a root, only what an issuing CA
//! below it signed, so the two cannot be judged apart.

use std::collections::BTreeMap;
use std::sync::Arc;

use tenure_domain::change::IssuerMove;
use tenure_domain::ids::{Slug, TenantId};
use tenure_domain::issuer::{Issuer, IssuerKind, IssuerState};
use tenure_domain::operator::Actor;
use tenure_domain::refusal::Refusal;
use tenure_domain::rollover::{
    Blocked, NotReady, PartyStanding, QUIET_S, Readiness, Step, Succession, below, leads_to,
    line_allows, line_of,
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
    /// Of a root: the issuers below it that are where it is, and so go along with it.
    below: Vec<(Arc<Issuer>, Scene)>,
}

fn scene(
    tx: &ReadTx<'_>,
    tenant: TenantId,
    all: &[Arc<Issuer>],
    issuer: &Issuer,
    now: Time,
) -> Result<Scene, StoreError> {
    if issuer.kind != IssuerKind::Root {
        return Ok(Scene {
            parties: stored::standings(tx, tenant, all, issuer)?,
            remains: stored::remains(tx, issuer.no, now)?,
            below: Vec::new(),
        });
    }
    // Nobody shows a certificate of a root itself: what stands below it speaks for it.
    let mut of_root = Scene {
        parties: Vec::new(),
        remains: Remains::default(),
        below: Vec::new(),
    };
    for under in below(all, issuer) {
        let scene = scene(tx, tenant, all, under, now)?;
        let remains = &mut of_root.remains;
        remains.leaves += scene.remains.leaves;
        remains.devices.extend(scene.remains.devices.clone());
        remains.last_traffic = remains.last_traffic.max(scene.remains.last_traffic);
        if under.state == issuer.state {
            of_root.below.push((Arc::clone(under), scene));
        }
    }
    of_root.remains.devices.truncate(DEVICES_SHOWN);
    of_root.parties = together(issuer, &of_root.below);
    Ok(of_root)
}

/// How many of the devices that hold something of a root's issuers are named.
const DEVICES_SHOWN: usize = 5;

/// Where each relying party stands towards a root: where it stands towards that issuer below it of which
/// most is left to do there.
fn together(root: &Issuer, below: &[(Arc<Issuer>, Scene)]) -> Vec<PartyStanding> {
    let is_done = |party: &PartyStanding| match root.state {
        IssuerState::Prepared | IssuerState::Distributed | IssuerState::Active => party.accepts(),
        IssuerState::Tainted | IssuerState::Removed => party.refuses_since(root.since),
    };
    let mut parties: BTreeMap<Slug, PartyStanding> = BTreeMap::new();
    for party in below.iter().flat_map(|(_, scene)| &scene.parties) {
        match parties.get(&party.name) {
            Some(known) if !is_done(known) || is_done(party) => {}
            Some(_) | None => {
                parties.insert(party.name.clone(), party.clone());
            }
        }
    }
    parties.into_values().collect()
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
    let to = leads_to(issuer, step)?;
    line_allows(all, issuer, step, terms.succession)?;
    if issuer.kind == IssuerKind::Root {
        return root_blocked(all, issuer, to, step, scene, terms, now);
    }
    match step {
        Step::Distribute | Step::Back | Step::Taint => Ok(to),
        Step::Activate => {
            let readiness = Readiness::of(&scene.parties, terms.except, PartyStanding::accepts);
            // Where nobody is registered nothing was observed.
            if !readiness.is_enough() || scene.parties.is_empty() {
                return Err(not_ready(issuer, step, readiness));
            }
            Ok(to)
        }
        Step::Remove if issuer.state == IssuerState::Prepared => Ok(to),
        Step::Remove => is_needed_by_nobody(issuer, scene, terms, now).map(|()| to),
    }
}

fn is_needed_by_nobody(
    issuer: &Issuer,
    scene: &Scene,
    terms: &Terms<'_>,
    now: Time,
) -> Result<(), Blocked> {
    let Remains {
        leaves,
        devices,
        last_traffic,
    } = &scene.remains;
    if *leaves > 0 && issuer.kind == IssuerKind::IDevId {
        return Err(Blocked::ForLife {
            issuer: issuer.name.clone(),
            count: *leaves,
        });
    }
    if *leaves > 0 {
        return Err(Blocked::Leaves {
            count: *leaves,
            devices: devices.iter().map(ToString::to_string).collect(),
        });
    }
    if let Some(last) = last_traffic.filter(|last| last.plus(QUIET_S) > now) {
        return Err(Blocked::Traffic { last });
    }
    let readiness = Readiness::of(&scene.parties, terms.except, |party| {
        party.refuses_since(issuer.since)
    });
    match readiness.is_whole() {
        true => Ok(()),
        false => Err(not_ready(issuer, Step::Remove, readiness)),
    }
}

/// Whether a root may take a step that leads to this state, and with it whatever below it is where it is.
fn root_blocked(
    all: &[Arc<Issuer>],
    root: &Issuer,
    to: IssuerState,
    step: Step,
    scene: &Scene,
    terms: &Terms<'_>,
    now: Time,
) -> Result<IssuerState, Blocked> {
    // The others are judged as they will be: with the root gone ahead.
    let after: Vec<_> = all
        .iter()
        .map(|known| match known.no == root.no {
            true => Arc::new(Issuer {
                state: to,
                ..Issuer::clone(known)
            }),
            false => Arc::clone(known),
        })
        .collect();
    let mut tried = 0;
    for (under, scene) in &scene.below {
        if leads_to(under, step).is_err() {
            continue;
        }
        // Relying parties never see an identity for life, so there is nothing to wait for.
        if under.kind == IssuerKind::IDevId && step == Step::Activate {
            line_allows(&after, under, step, terms.succession)?;
            continue;
        }
        blocked(&after, under, step, scene, terms, now)?;
        tried += 1;
    }
    match step {
        Step::Activate if tried == 0 => Err(not_ready(root, step, Readiness::default())),
        Step::Remove => stands_for_nothing(all, root).map(|()| to),
        Step::Distribute | Step::Activate | Step::Back | Step::Taint => Ok(to),
    }
}

/// Whether nothing below a root goes on when it goes, and no other root stands for it.
fn stands_for_nothing(all: &[Arc<Issuer>], root: &Issuer) -> Result<(), Blocked> {
    let goes_on =
        |issuer: &&Arc<Issuer>| issuer.state != root.state && issuer.state != IssuerState::Removed;
    if let Some(under) = below(all, root).find(goes_on) {
        return Err(Blocked::Below {
            issuer: under.name.clone(),
            state: under.state,
        });
    }
    for cross in &root.cross {
        let mut signers = all.iter();
        if let Some(signer) = signers.find(|known| known.no == cross.by && known.state.is_carried())
        {
            return Err(Blocked::Cross {
                by: signer.name.clone(),
                serial: cross.certificate.serial().to_string(),
            });
        }
    }
    Ok(())
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
    for (under, _) in &scene.below {
        if let Ok(to) = leads_to(under, wanted.step) {
            stored::move_to(tx, under, to, &exceptions, why, actor, now)?;
        }
    }
    Ok(())
}

/// Whether an issuer had to be stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stopped {
    /// It signed until now.
    Now,
    /// It signed nothing for devices any more, or not yet.
    Before,
}

/// Stops an issuer whose key is in other hands, though nobody may sign in its place: one that signs is
/// tainted, and one that is to come is taken out of trust bundles again.
pub(crate) fn stop(
    tx: &mut Tx<'_>,
    tenant: TenantId,
    name: &Slug,
    why: &str,
    actor: &Actor,
    now: Time,
) -> Result<Stopped, Conflict> {
    let all = issuers::all(tx, tenant)?;
    let found = all.iter().find(|known| known.name == *name);
    let step = match found.map(|issuer| issuer.state) {
        Some(IssuerState::Active) => Step::Taint,
        Some(IssuerState::Distributed) => Step::Back,
        Some(IssuerState::Prepared | IssuerState::Tainted | IssuerState::Removed) | None => {
            return Ok(Stopped::Before);
        }
    };
    let wanted = IssuerMove {
        issuer: name.clone(),
        step,
        except: Vec::new(),
        why: match why.trim() {
            "" => "its key is in other hands".to_owned(),
            why => format!("its key is in other hands: {why}"),
        },
        succession: Succession::NotNeeded,
    };
    take(tx, tenant, &wanted, actor, now)?;
    Ok(Stopped::Now)
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
