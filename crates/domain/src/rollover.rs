//! The rollover of an issuer: what it may sign in each state, which step leads where, and whether
//! what was *observed* of relying parties allows that step.
//!
//! A successor has a name and a key of its own. It belongs to the line of the issuer that it was
//! made to follow: profiles, relying parties and trust bundles speak of lines.

use std::fmt;
use std::sync::Arc;

use tenure_x509::{Cert, Time};

use crate::canary::{Canary, Reception};
use crate::device::Criticality;
use crate::ids::{IssuerNo, ProbeNo, Slug};
use crate::issuer::{Issuer, IssuerKind, IssuerState};
use crate::profile::ProfileKind;
use crate::words::words;

words! {
    /// A step of a rollover.
    Step ("rollover step") {
        /// Trust bundles carry the successor from now on.
        Distribute = "distribute" = 1,
        /// The successor signs.
        Activate = "activate" = 2,
        /// One step back: from active to distributed, from distributed to prepared, from tainted to
        /// active.
        Back = "back" = 3,
        /// The former issuer signs nothing new, and what it signed is to be replaced.
        Taint = "taint" = 4,
        /// No trust bundle carries the former issuer any more.
        Remove = "remove" = 5,
    }
}

/// Whether an issuer may be tainted before somebody else signs in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Succession {
    /// Its successor must be active: the orderly way.
    #[default]
    Needed,
    /// It is stopped at once, because its key is not to be trusted; nothing is signed until its
    /// successor is active.
    NotNeeded,
}

/// Of the relying parties that are not critical, so many in a thousand must be ready.
pub const READY_PER_MILLE: usize = 995;

/// For so long nobody may have reported a certificate of an issuer in use before it is removed, in
/// seconds: a day.
pub const QUIET_S: i64 = 86_400;

impl IssuerState {
    /// Whether an issuer in this state signs certificates of this kind. Only an active one signs for
    /// devices; all sign what proves and publishes: canaries, and the responder that answers for
    /// what they signed before. A root that is to come signs the issuing CAs by which it is tried, and
    /// one that goes still says who follows it.
    pub fn signs(self, kind: ProfileKind) -> bool {
        let proves = matches!(kind, ProfileKind::Canary | ProfileKind::OcspSigner);
        match self {
            IssuerState::Active => true,
            IssuerState::Prepared | IssuerState::Distributed => {
                proves || matches!(kind, ProfileKind::IssuingCa | ProfileKind::CrossCa)
            }
            IssuerState::Tainted => proves || kind == ProfileKind::CrossCa,
            IssuerState::Removed => proves,
        }
    }

    /// Whether trust bundles carry an issuer in this state: the rollover set.
    pub fn is_carried(self) -> bool {
        match self {
            IssuerState::Distributed | IssuerState::Active | IssuerState::Tainted => true,
            IssuerState::Prepared | IssuerState::Removed => false,
        }
    }

    /// What a good certificate of an issuer in this state is to a relying party.
    pub fn canary(self) -> Canary {
        match self {
            IssuerState::Prepared | IssuerState::Distributed => Canary::Incoming,
            IssuerState::Active => Canary::Valid,
            IssuerState::Tainted => Canary::Outgoing,
            IssuerState::Removed => Canary::Superseded,
        }
    }
}

/// The line of an issuer, by the row of its oldest member.
pub fn line_of(issuers: &[Arc<Issuer>], issuer: &Issuer) -> IssuerNo {
    let mut no = issuer.no;
    let mut before = issuer.replaces;
    // A successor is younger than what it replaces, so this ends.
    while let Some(older) = before.filter(|older| *older < no) {
        no = older;
        let found = issuers.iter().find(|known| known.no == no);
        before = found.and_then(|found| found.replaces);
    }
    no
}

/// The line of the issuer with this name, if there is one.
pub fn line_of_name(issuers: &[Arc<Issuer>], name: &Slug) -> Option<IssuerNo> {
    let found = issuers.iter().find(|issuer| issuer.name == *name)?;
    Some(line_of(issuers, found))
}

/// Whether an issuer belongs to the line of one of these, or none are named.
pub fn is_of_lines(issuers: &[Arc<Issuer>], named: &[Slug], issuer: &Issuer) -> bool {
    let line = Some(line_of(issuers, issuer));
    named.is_empty() || named.iter().any(|name| line_of_name(issuers, name) == line)
}

/// The root above an issuer; of a root, itself. A house may have several, one for each trust domain and
/// one that follows another.
pub fn root_of<'a>(issuers: &'a [Arc<Issuer>], issuer: &Issuer) -> Option<&'a Arc<Issuer>> {
    let top = issuer.chain.last().unwrap_or(&issuer.certificate);
    issuers
        .iter()
        .find(|known| known.kind == IssuerKind::Root && known.certificate.der() == top.der())
}

/// The issuers below a root, whatever their state.
pub fn below<'a>(
    issuers: &'a [Arc<Issuer>],
    root: &'a Issuer,
) -> impl Iterator<Item = &'a Arc<Issuer>> {
    issuers.iter().filter(|issuer| {
        issuer.kind != IssuerKind::Root
            && root_of(issuers, issuer).is_some_and(|above| above.no == root.no)
    })
}

/// The cross-certificates by which other roots that are carried stand for the root above this issuer.
pub fn cross_certificates<'a>(
    issuers: &'a [Arc<Issuer>],
    issuer: &Issuer,
) -> impl Iterator<Item = &'a Cert> {
    let root = root_of(issuers, issuer).filter(|root| root.state.is_carried());
    let cross = root.into_iter().flat_map(|root| &root.cross);
    cross
        .filter(|cross| {
            let mut signers = issuers.iter();
            signers.any(|signer| signer.no == cross.by && signer.state.is_carried())
        })
        .map(|cross| &cross.certificate)
}

/// The issuing CAs that a relying party for these issuers is meant to trust now, oldest first: the
/// rollover set of their lines. Every issuing CA's if none are named.
pub fn rollover_set<'a>(
    issuers: &'a [Arc<Issuer>],
    named: &'a [Slug],
) -> impl Iterator<Item = &'a Arc<Issuer>> {
    issuers.iter().filter(move |issuer| {
        issuer.kind == IssuerKind::Issuing
            && issuer.state.is_carried()
            && is_of_lines(issuers, named, issuer)
    })
}

/// Up to how many certificates in force are counted.
pub const LEAVES_MAX: u32 = 10_000;

/// What is said after a count of certificates in force, which ends at [`LEAVES_MAX`].
pub fn or_more(certificates: u64) -> &'static str {
    match certificates < u64::from(LEAVES_MAX) {
        true => "",
        false => " or more",
    }
}

/// Why a step cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Blocked {
    /// The step does not lead from the state it is in.
    State {
        /// The issuer.
        issuer: Slug,
        /// Where it is.
        state: IssuerState,
        /// The step.
        step: Step,
    },
    /// It has no successor that signs.
    NoSuccessor {
        /// The issuer.
        issuer: Slug,
    },
    /// What it would go back to is not there any more.
    NoWayBack {
        /// The issuer that would have to sign.
        former: Slug,
        /// Where that one is.
        state: IssuerState,
    },
    /// Its successor is under way, so it stays what is gone back to.
    SuccessorUnderWay {
        /// The successor.
        successor: Slug,
    },
    /// Relying parties are not where they must be.
    NotReady(NotReady),
    /// Certificates of it are still in force.
    Leaves {
        /// How many, counted up to [`LEAVES_MAX`].
        count: u64,
        /// Some of the devices.
        devices: Vec<String>,
    },
    /// A certificate of it was seen in use not long ago.
    Traffic {
        /// When the last was.
        last: Time,
    },
    /// Identities for life of it are in force, and none of them ever ends.
    ForLife {
        /// The issuer.
        issuer: Slug,
        /// How many, counted up to a limit.
        count: u64,
    },
    /// The root above it has not come so far.
    RootBehind {
        /// The root.
        root: Slug,
        /// Where it is.
        state: IssuerState,
        /// The step.
        step: Step,
    },
    /// An issuer below the root has not come so far.
    Below {
        /// The issuer.
        issuer: Slug,
        /// Where it is.
        state: IssuerState,
    },
    /// Another root still stands for it.
    Cross {
        /// The root that signed the cross-certificate.
        by: Slug,
        /// The serial of the cross-certificate.
        serial: String,
    },
}

impl fmt::Display for Blocked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Blocked::State {
                issuer,
                state,
                step,
            } => write!(f, "issuer {issuer} is {state}; {}", way_to(*step)),
            Blocked::NoSuccessor { issuer } => write!(
                f,
                "issuer {issuer} has no active successor, so nobody would sign in its place; begin a \
                 rollover (`tenure issuer rollover begin {issuer}`) and activate it first, or, if its \
                 key is stolen, stop it all the same (--without-successor)"
            ),
            Blocked::NoWayBack { former, state } => write!(
                f,
                "there is no way back: {former} is {state}; take it back to active first \
                 (`tenure issuer rollover back {former}`)"
            ),
            Blocked::SuccessorUnderWay { successor } => write!(
                f,
                "{successor} follows it; take that one back first, or taint this one"
            ),
            Blocked::NotReady(why) => why.fmt(f),
            Blocked::Leaves { count, devices } => write!(
                f,
                "{count}{} of its certificates are in force ({}{}); renew or revoke them first",
                or_more(*count),
                devices.join(", "),
                if u64::try_from(devices.len()).unwrap_or(u64::MAX) < *count {
                    ", …"
                } else {
                    ""
                }
            ),
            Blocked::Traffic { last } => write!(
                f,
                "a service reported a certificate of it in use at {last}; a day must pass without \
                 any, because whoever uses one would be shut out"
            ),
            Blocked::ForLife { issuer, count } => write!(
                f,
                "identities for life of {issuer} are in force ({count}) and never end; it stays tainted, \
                 signs nothing new, and is kept to verify them"
            ),
            Blocked::RootBehind { root, state, step } => write!(
                f,
                "the root {root} above it is {state}; it comes along when the root goes on (`tenure \
                 issuer rollover {step} {root}`)"
            ),
            Blocked::Below { issuer, state } => write!(
                f,
                "{issuer} below it is {state}; it has to be tainted first (`tenure issuer rollover \
                 taint {issuer}`)"
            ),
            Blocked::Cross { by, serial } => write!(
                f,
                "whoever trusts {by} still trusts it, by a cross-certificate; revoke that (`tenure cert \
                 revoke {by}/{serial}`) and sign the list anew (`tenure issuer crl-refresh {by}`)"
            ),
        }
    }
}

/// From where a step is taken, for who asked at the wrong moment.
fn way_to(step: Step) -> &'static str {
    match step {
        Step::Distribute => "only a prepared one is distributed",
        Step::Activate => {
            "only a distributed one is activated: relying parties must know it before it signs"
        }
        Step::Back => "there is no step to take back",
        Step::Taint => "only an active one is tainted",
        Step::Remove => {
            "only a tainted one is removed, after what it signed is replaced, or a prepared one that \
             is given up"
        }
    }
}

/// The state that a step leads to, by the state it is in alone.
///
/// # Errors
/// The step does not lead from there.
pub fn leads_to(issuer: &Issuer, step: Step) -> Result<IssuerState, Blocked> {
    match (step, issuer.state) {
        (Step::Distribute, IssuerState::Prepared) => Ok(IssuerState::Distributed),
        (Step::Activate, IssuerState::Distributed) => Ok(IssuerState::Active),
        (Step::Back, IssuerState::Distributed) => Ok(IssuerState::Prepared),
        (Step::Back, IssuerState::Active) if issuer.replaces.is_some() => {
            Ok(IssuerState::Distributed)
        }
        (Step::Back, IssuerState::Tainted) => Ok(IssuerState::Active),
        (Step::Taint, IssuerState::Active) => Ok(IssuerState::Tainted),
        // One that was only prepared may be given up.
        (Step::Remove, IssuerState::Tainted | IssuerState::Prepared) => Ok(IssuerState::Removed),
        (step, state) => Err(Blocked::State {
            issuer: issuer.name.clone(),
            state,
            step,
        }),
    }
}

/// What must hold of the other issuers of a line before a step. Active issuers stay active beside
/// their successors, so that one can go back; what they do not do is sign, because the newest active
/// one of a line does.
///
/// # Errors
/// The line would be left without an issuer that signs, or the step is not the next.
pub fn line_allows(
    issuers: &[Arc<Issuer>],
    issuer: &Issuer,
    step: Step,
    succession: Succession,
) -> Result<(), Blocked> {
    if issuer.kind != IssuerKind::Root
        && let Some(root) = root_of(issuers, issuer)
    {
        let is_far_enough = match step {
            Step::Distribute => root.state.is_carried(),
            Step::Activate => root.state == IssuerState::Active,
            Step::Back | Step::Taint | Step::Remove => true,
        };
        if !is_far_enough {
            return Err(Blocked::RootBehind {
                root: root.name.clone(),
                state: root.state,
                step,
            });
        }
    }
    let successor = || {
        let mut found = issuers.iter();
        found.find(|known| known.replaces == Some(issuer.no) && known.state != IssuerState::Removed)
    };
    match step {
        Step::Taint if succession == Succession::NotNeeded => Ok(()),
        Step::Taint => match successor() {
            Some(next) if next.state == IssuerState::Active => Ok(()),
            _ => Err(Blocked::NoSuccessor {
                issuer: issuer.name.clone(),
            }),
        },
        Step::Back if issuer.state == IssuerState::Active => {
            if let Some(next) = successor() {
                return Err(Blocked::SuccessorUnderWay {
                    successor: next.name.clone(),
                });
            }
            let former = issuers
                .iter()
                .find(|known| Some(known.no) == issuer.replaces);
            match former {
                Some(former) if former.state != IssuerState::Active => Err(Blocked::NoWayBack {
                    former: former.name.clone(),
                    state: former.state,
                }),
                Some(_) | None => Ok(()),
            }
        }
        Step::Back | Step::Distribute | Step::Activate | Step::Remove => Ok(()),
    }
}

/// What was last observed of a relying party and an issuer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    /// The canary that was shown.
    pub canary: Canary,
    /// What was done with it.
    pub reception: Reception,
    /// How, in a few words.
    pub how: String,
    /// When.
    pub at: Time,
    /// In which probe.
    pub probe: ProbeNo,
}

/// Where one relying party stands towards an issuer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartyStanding {
    /// Its short name.
    pub name: Slug,
    /// What its letting in the wrong device would mean.
    pub criticality: Criticality,
    /// What its last probe with a good certificate of the issuer showed.
    pub observed: Option<Observed>,
    /// When it acknowledged a bundle that carries the issuer.
    pub acknowledged: Option<Time>,
}

impl PartyStanding {
    /// Whether nobody may be left behind there.
    pub fn is_critical(&self) -> bool {
        matches!(self.criticality, Criticality::High | Criticality::Safety)
    }

    /// Whether it has been seen to accept the issuer: a canary was let in, or it said that it
    /// applied a bundle with it and no later canary was turned away.
    pub fn accepts(&self) -> bool {
        let refused_since = |said: Time| {
            let seen = self.observed.as_ref();
            seen.is_some_and(|seen| seen.reception == Reception::Refused && seen.at > said)
        };
        self.was(Reception::Accepted) || self.acknowledged.is_some_and(|said| !refused_since(said))
    }

    /// Whether it has been seen to turn a good certificate of the issuer away since then.
    pub fn refuses_since(&self, since: Time) -> bool {
        let seen = self.observed.as_ref();
        seen.is_some_and(|seen| seen.reception == Reception::Refused && seen.at >= since)
    }

    fn was(&self, reception: Reception) -> bool {
        let seen = self.observed.as_ref();
        seen.is_some_and(|seen| seen.reception == reception)
    }
}

/// How many of the relying parties are where they must be.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Readiness {
    /// Critical ones, and how many of them are ready.
    pub critical: (usize, usize),
    /// The others, and how many of them are ready.
    pub rest: (usize, usize),
    /// Those that are not ready, by name.
    pub missing: Vec<Slug>,
}

impl Readiness {
    /// Counts relying parties, those named in `except` left out.
    pub fn of<'a>(
        parties: impl IntoIterator<Item = &'a PartyStanding>,
        except: &[Slug],
        is_ready: impl Fn(&PartyStanding) -> bool,
    ) -> Readiness {
        let mut readiness = Readiness::default();
        for party in parties {
            if except.contains(&party.name) {
                continue;
            }
            let of_kind = match party.is_critical() {
                true => &mut readiness.critical,
                false => &mut readiness.rest,
            };
            of_kind.0 += 1;
            if is_ready(party) {
                of_kind.1 += 1;
            } else {
                readiness.missing.push(party.name.clone());
            }
        }
        readiness
    }

    /// Whether that is enough: all critical ones, and 995 in a thousand of the others.
    pub fn is_enough(&self) -> bool {
        let (all, ready) = self.rest;
        let (critical, ready_critical) = self.critical;
        critical == ready_critical && ready * 1_000 >= all * READY_PER_MILLE
    }

    /// Whether all are.
    pub fn is_whole(&self) -> bool {
        self.missing.is_empty()
    }

    /// How many there are, and how many are ready.
    pub fn total(&self) -> (usize, usize) {
        (self.critical.0 + self.rest.0, self.critical.1 + self.rest.1)
    }
}

/// Relying parties that are not where they must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotReady {
    /// The issuer.
    pub issuer: Slug,
    /// What was wanted of them.
    pub step: Step,
    /// How many are.
    pub readiness: Readiness,
}

impl fmt::Display for NotReady {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Readiness {
            critical,
            rest,
            missing,
        } = &self.readiness;
        let done = match self.step {
            Step::Remove => "refuse a certificate of",
            Step::Distribute | Step::Activate | Step::Back | Step::Taint => "accept",
        };
        if critical.0 + rest.0 == 0 {
            return write!(
                f,
                "no relying party is registered that would show it; register them, or force it with \
                 a reason (--why)"
            );
        }
        let named: Vec<_> = missing.iter().map(Slug::as_str).take(50).collect();
        write!(
            f,
            "{} of {} critical and {} of {} other relying parties were observed to {done} {}; \
             not: {}{}. Probe them again (`tenure probe run`), mend them, or name them as exceptions \
             with a reason (--except NAME --why REASON)",
            critical.1,
            critical.0,
            rest.1,
            rest.0,
            self.issuer,
            named.join(", "),
            if missing.len() > named.len() {
                ", …"
            } else {
                ""
            }
        )
    }
}

#[cfg(test)]
mod tests;
