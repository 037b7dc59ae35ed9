//! The whole of policy, as a pure function: policy, ask, facts and time in, decision out.

use std::sync::Arc;

use tenure_x509::{Cert, Csr, KeyAlgorithm, Name, SanName, Time};

use crate::ask::{Ask, Operation, Protocol, SystemCeremony};
use crate::certificate::{CertificateRow, Status};
use crate::evidence::{Evidence, SecretRefusal, Unproved};
use crate::facts::{Earlier, Facts, KeyUse, Repair, ReplayKey, Ruling, Subject};
use crate::ids::{CertificateNo, Slug, Title};
use crate::policy::place::{Place, place_in_chain};
use crate::policy::shape::{issuer, names, validity};
use crate::policy::{Action, Asked, EvidenceKind, Grant, Policy, RuleRef};
use crate::profile::{Profile, ProfileKind};
use crate::refusal::Refusal;
use crate::registry::ServerKeygen;

/// What becomes of an ask.
#[derive(Debug)]
pub enum Decision {
    /// One certificate may be made.
    Allow(Box<Grant>),
    /// It was made before: here it is again.
    Replay(CertificateNo),
    /// Not now: a person has to act first. The same ask, repeated, is decided afresh.
    Hold(HoldReason),
    /// No.
    Refuse(Refused),
}

/// Why an ask waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HoldReason {
    /// A rule wants an operator's approval.
    Approval {
        /// The rule.
        rule: String,
        /// Its own words.
        why: String,
    },
    /// A manufacturer's device that nobody registered.
    Unregistered {
        /// The manufacturer.
        manufacturer: Title,
        /// Its subject `serialNumber`.
        serial: String,
    },
    /// A device of a manufacturer that nobody registered.
    UnknownManufacturer {
        /// The subject of its certificate.
        subject: String,
    },
}

impl HoldReason {
    /// A stable word for metrics, the queue and the record.
    pub fn word(&self) -> &'static str {
        match self {
            HoldReason::Approval { .. } => "approval",
            HoldReason::Unregistered { .. } => "unregistered-device",
            HoldReason::UnknownManufacturer { .. } => "unknown-manufacturer",
        }
    }
}

/// A no, with what has to be done about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// What the other side is told.
    pub refusal: Refusal,
    /// What else must happen.
    pub consequence: Option<Consequence>,
}

/// What a refusal sets off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Consequence {
    /// Hold both branches, quarantine the device, open an incident.
    Fork {
        /// The certificate that was presented.
        presented: CertificateNo,
        /// The head of the other branch.
        head: CertificateNo,
    },
    /// Open an incident: one key, two devices.
    SharedKey {
        /// The other device.
        other: crate::ids::DeviceId,
    },
    /// Count a wrong try against the device's secret.
    SecretFailure,
    /// Record that the right secret came with another key than before.
    SecretMisused,
    /// Tell whoever operates the house why a known manufacturer's device was turned away: the device
    /// itself is not told.
    BadIdevid {
        /// The manufacturer.
        manufacturer: Title,
        /// Why.
        why: String,
    },
    /// Open an incident: a certificate in our name that is not ours.
    NotOurs {
        /// Its serial in hex.
        serial: String,
    },
}

impl Refused {
    /// A stable word for metrics and the record, which may tell more than the other side is told.
    pub fn word(&self) -> &'static str {
        match &self.consequence {
            Some(Consequence::BadIdevid { .. }) => "bad-idevid",
            Some(
                Consequence::Fork { .. }
                | Consequence::SharedKey { .. }
                | Consequence::SecretFailure
                | Consequence::SecretMisused
                | Consequence::NotOurs { .. },
            )
            | None => self.refusal.word(),
        }
    }
}

pub(super) fn no(refusal: Refusal) -> Decision {
    Decision::Refuse(Refused {
        refusal,
        consequence: None,
    })
}

pub(super) fn no_but(refusal: Refusal, consequence: Consequence) -> Decision {
    Decision::Refuse(Refused {
        refusal,
        consequence: Some(consequence),
    })
}

/// What a decision reads of an ask, whether it was made or is only described.
pub(super) struct Question<'a> {
    pub(super) operation: Operation,
    pub(super) protocol: Protocol,
    pub(super) label: Option<&'a Slug>,
    pub(super) proof: Proof<'a>,
    /// The request; none if the ask is only described.
    pub(super) csr: Option<&'a Csr>,
    /// The algorithm of the key to be certified, if it is known.
    pub(super) key: Option<KeyAlgorithm>,
}

/// What was proved, as far as a decision reads it.
pub(super) enum Proof<'a> {
    Manufacturer,
    /// A certificate of ours; a described ask has no octets, and perhaps no certificate at all.
    Current {
        row: Option<&'a CertificateRow>,
        certificate: Option<&'a Cert>,
    },
    /// A secret that was spent gets the same answer again, and nothing new.
    Secret {
        spent: Option<Time>,
    },
    System(&'a SystemCeremony),
}

impl<'a> Question<'a> {
    fn of(ask: &'a Ask, evidence: &'a Evidence) -> Question<'a> {
        Question {
            operation: ask.operation,
            protocol: ask.via.protocol,
            label: ask.via.label.as_ref(),
            proof: match evidence {
                Evidence::Manufacturer(_) => Proof::Manufacturer,
                Evidence::Current(current) => Proof::Current {
                    row: Some(current.row()),
                    certificate: Some(current.certificate()),
                },
                Evidence::Secret(secret) => Proof::Secret {
                    spent: secret.spent(),
                },
                Evidence::System(ceremony) => Proof::System(ceremony),
            },
            csr: Some(&ask.csr),
            key: Some(ask.csr.public_key().algorithm()),
        }
    }

    /// The profile that is asked for, whether or not the policy has it.
    pub(super) fn profile_name(&self, subject: &'a Subject) -> &'a Slug {
        match (&self.proof, self.label) {
            (Proof::System(ceremony), _) => ceremony.profile(),
            (_, Some(label)) => label,
            (_, None) => &subject.class.profile,
        }
    }

    /// What the rules see of it; `None` for our own acts, which no rule speaks about.
    pub(super) fn asked(&self, subject: &'a Subject) -> Option<Asked<'a>> {
        let evidence = match self.proof {
            Proof::Manufacturer => EvidenceKind::Manufacturer,
            Proof::Current { .. } => EvidenceKind::CurrentCertificate,
            Proof::Secret { .. } => EvidenceKind::Secret,
            Proof::System(_) => return None,
        };
        Some(Asked {
            operation: self.operation,
            evidence,
            protocol: self.protocol,
            device: &subject.device,
            around: &subject.around,
            profile: self.profile_name(subject),
        })
    }
}

/// What would be allowed, before anyone asks who signs: the part of a decision that rests on the
/// policy and the device alone.
pub(super) struct Permit {
    pub(super) rule: RuleRef,
    pub(super) profile: Arc<Profile>,
    pub(super) place: Place,
    pub(super) subject: Name,
    pub(super) san: Vec<SanName>,
}

/// Decides an ask. Reads nothing but its arguments; asked twice with the same ones, it says the
/// same.
pub fn decide(policy: &Policy, ask: &Ask, facts: &Facts, now: Time) -> Decision {
    let (evidence, subject) = match (facts.evidence.first(), &facts.subject) {
        (Some(evidence), Some(subject)) => (evidence, subject),
        _ => return without_proof(ask, facts, now),
    };
    decide_for(policy, ask, facts, evidence, subject, now).unwrap_or_else(|decision| decision)
}

/// Nothing was proved that points at a registered device.
fn without_proof(ask: &Ask, facts: &Facts, now: Time) -> Decision {
    let Some(unproved) = facts.unproved.first() else {
        return no(Refusal::NotAuthenticated);
    };
    let bad_idevid = |manufacturer: &Title, why: &str| {
        let why = why.to_owned();
        let manufacturer = manufacturer.clone();
        no_but(
            Refusal::BadCredential,
            Consequence::BadIdevid { manufacturer, why },
        )
    };
    match unproved {
        // Nobody waits in quarantine for a renewal.
        Unproved::UnknownManufacturer { .. } | Unproved::UnregisteredDevice { .. }
            if ask.operation == Operation::Renew =>
        {
            no(Refusal::BadCredential)
        }
        Unproved::BadChain { manufacturer, why } => bad_idevid(manufacturer, why),
        Unproved::NoSerialNumber { manufacturer } => {
            bad_idevid(manufacturer, "its subject has no serialNumber")
        }
        Unproved::UnknownManufacturer { subject } => unless_refused(
            facts,
            HoldReason::UnknownManufacturer {
                subject: subject.clone(),
            },
        ),
        Unproved::UnregisteredDevice {
            manufacturer,
            serial,
        } => unless_refused(
            facts,
            HoldReason::Unregistered {
                manufacturer: manufacturer.clone(),
                serial: serial.clone(),
            },
        ),
        Unproved::Secret {
            why: SecretRefusal::Locked { until },
            ..
        } => {
            let seconds = until.unix().saturating_sub(now.unix()).clamp(1, 3600);
            // The clamp keeps it within u32.
            no(Refusal::Locked {
                retry_after_s: u32::try_from(seconds).unwrap_or(3600),
            })
        }
        Unproved::Secret {
            why: SecretRefusal::Wrong,
            ..
        } => no_but(Refusal::BadCredential, Consequence::SecretFailure),
        Unproved::Secret {
            why: SecretRefusal::OtherKey,
            ..
        } => no_but(Refusal::BadCredential, Consequence::SecretMisused),
        Unproved::NotOurs { serial } => no_but(
            Refusal::BadCredential,
            Consequence::NotOurs {
                serial: serial.clone(),
            },
        ),
        Unproved::Secret { .. } | Unproved::NoSecret => no(Refusal::BadCredential),
    }
}

/// The story for a device that proved who it is. `Err` is an early answer.
fn decide_for(
    policy: &Policy,
    ask: &Ask,
    facts: &Facts,
    evidence: &Evidence,
    subject: &Subject,
    now: Time,
) -> Result<Decision, Decision> {
    is_about(evidence, subject)?;
    let question = Question::of(ask, evidence);
    let permit = permit(policy, &question, facts, subject, now)?;
    let issuer = issuer(&question, facts, &permit.profile)?;
    let validity = validity(&permit.profile, &issuer, now)?;
    let Permit {
        rule,
        profile,
        place,
        subject: subject_name,
        san,
    } = permit;
    Ok(Decision::Allow(Box::new(Grant {
        rule,
        operation: ask.operation,
        device: Arc::new(subject.device.clone()),
        profile,
        issuer,
        validity,
        subject: subject_name,
        san,
        key: ask.csr.public_key().hash(),
        asker: ask.asker(),
        replay: ReplayKey::of(ask, subject.device.id.as_str()),
        as_stranger: match evidence {
            Evidence::Manufacturer(_) => ask.stranger().map(|who| ReplayKey::of(ask, &who)),
            Evidence::Secret(_) | Evidence::Current(_) | Evidence::System(_) => None,
        },
        predecessor: place.predecessor,
        displaced: place.displaced,
        spends: evidence.secret().map(|secret| secret.no()),
        evidence: evidence.word(),
    })))
}

/// Evidence that names a device by row must name this one. The facts were gathered so; a slip
/// there must not become a certificate.
fn is_about(evidence: &Evidence, subject: &Subject) -> Result<(), Decision> {
    let named = match evidence {
        Evidence::Secret(secret) => secret.device(),
        Evidence::Current(current) => current.row().device,
        Evidence::Manufacturer(_) | Evidence::System(_) => subject.device.no,
    };
    if named == subject.device.no {
        Ok(())
    } else {
        Err(no(Refusal::BadCredential))
    }
}

/// Whether the device may have the certificate at all, by which rule, and whom it would name. One
/// function for asks that were made and asks that are only described.
pub(super) fn permit(
    policy: &Policy,
    question: &Question<'_>,
    facts: &Facts,
    subject: &Subject,
    now: Time,
) -> Result<Permit, Decision> {
    let standing = subject.device.standing.may_enroll();
    standing.map_err(|standing| no(Refusal::Standing(standing)))?;
    label_is_known(policy, question)?;
    not_a_second_one_for_life(policy, question, facts, subject, now)?;
    let place = place_in_chain(policy, question, facts, subject, now)?;
    // Our own certificates are renewed for the same key, so the same ask is not the same wish.
    let is_ours = matches!(question.proof, Proof::System(_));
    if let Some(earlier) = still_good(facts.earlier.as_ref(), subject, now).filter(|_| !is_ours) {
        return Err(Decision::Replay(earlier.certificate));
    }
    if let Proof::Secret { spent: Some(_) } = question.proof {
        return Err(no(Refusal::BadCredential));
    }
    key_is_acceptable(question, facts, subject)?;
    has_what_every_certificate_needs(subject)?;
    let profile = profile(policy, question, subject)?;
    is_the_only_one_so_named(facts, subject, &profile)?;
    not_renewed_if_for_life(question, &profile)?;
    let rule = rule(policy, question, facts, subject)?;
    takes_key(&profile, question.key)?;
    let (name, mut san) = names(question, facts, &profile, subject)?;
    keeps_its_names(policy, question, subject, (&name, &san))?;
    if let Proof::System(ceremony) = question.proof {
        san.extend(ceremony.names().iter().cloned());
    }
    let rule = RuleRef {
        rule,
        policy: policy.hash,
        version: policy.version,
    };
    Ok(Permit {
        rule,
        profile,
        place,
        subject: name,
        san,
    })
}

/// An answer is given again only while it is the device's newest certificate and in force.
pub(super) fn still_good<'a>(
    earlier: Option<&'a Earlier>,
    subject: &Subject,
    now: Time,
) -> Option<&'a Earlier> {
    earlier.filter(|earlier| {
        earlier.row.status == Status::Issued
            && earlier.row.validity.contains(now)
            && subject
                .head
                .as_ref()
                .is_some_and(|head| head.no == earlier.certificate)
    })
}

fn key_is_acceptable(
    question: &Question<'_>,
    facts: &Facts,
    subject: &Subject,
) -> Result<(), Decision> {
    match &facts.key_use {
        None => {}
        Some(KeyUse::OtherDevice(other)) => {
            let what = "another device holds or held it; make a new one".to_owned();
            let consequence = Consequence::SharedKey {
                other: other.clone(),
            };
            return Err(no_but(Refusal::KeyRejected { what }, consequence));
        }
        Some(KeyUse::Blocked { why }) => {
            return Err(no(Refusal::KeyRejected {
                what: format!("it is blocked: {why}"),
            }));
        }
    }
    let key = question.csr.map(|csr| csr.public_key().hash());
    let was_revoked =
        |head: &CertificateRow| Some(head.key) == key && head.status == Status::Revoked;
    if subject.head.as_ref().is_some_and(was_revoked) {
        let what = "it was in a certificate that was revoked; make a new one".to_owned();
        return Err(no(Refusal::KeyRejected { what }));
    }
    Ok(())
}

/// A label is the name of a profile that devices may ask for. Our own profiles have no label.
fn label_is_known(policy: &Policy, question: &Question<'_>) -> Result<(), Decision> {
    let is_known = |label: &Slug| {
        let profile = policy.profile(label);
        profile.is_some_and(|profile| profile.kind.is_for_devices())
    };
    match question.label {
        Some(label) if !is_known(label) => Err(no(Refusal::UnknownLabel)),
        Some(_) | None => Ok(()),
    }
}

/// Requirement A7: no two devices share an identity.
fn is_the_only_one_so_named(
    facts: &Facts,
    subject: &Subject,
    profile: &Profile,
) -> Result<(), Decision> {
    let Some(other) = &facts.namesake else {
        return Ok(());
    };
    let what = format!(
        "device {other} would bear the same name as {} under profile {}; register one of them under \
         another id or serial number, or name {{device.id}} in the profile",
        subject.device.id, profile.name
    );
    Err(no(Refusal::Conflict { what }))
}

/// A device that renews keeps its identity: no label names it otherwise than the profile of the
/// certificate it renews. One that the policy has no more binds nobody.
fn keeps_its_names(
    policy: &Policy,
    question: &Question<'_>,
    subject: &Subject,
    (name, san): (&Name, &[SanName]),
) -> Result<(), Decision> {
    let (Operation::Renew, Some(label), Proof::Current { row: Some(row), .. }) =
        (question.operation, question.label, &question.proof)
    else {
        return Ok(());
    };
    let before = policy
        .profile(&row.profile)
        .and_then(|profile| profile.names(&subject.device).ok());
    if before.is_none_or(|(was, names)| was.matches(name) && names == san) {
        return Ok(());
    }
    let what = format!(
        "profile {label} names the device otherwise than {}, which the certificate being renewed is \
         of; renew without a label or under that one, or enroll for {label}",
        row.profile
    );
    Err(no(Refusal::BadRequest { what }))
}

/// Requirement B4: an owner, a binding, an expiry and a defined revocation path. The owner is a
/// column that cannot be empty, and the expiry and the path belong to the profile.
fn has_what_every_certificate_needs(subject: &Subject) -> Result<(), Decision> {
    if subject.device.services.is_empty() {
        let what = format!(
            "device {} is bound to no service; add one with `tenure device edit {} --service …`",
            subject.device.id, subject.device.id
        );
        return Err(no(Refusal::Incomplete { what }));
    }
    Ok(())
}

fn profile(
    policy: &Policy,
    question: &Question<'_>,
    subject: &Subject,
) -> Result<Arc<Profile>, Decision> {
    let name = question.profile_name(subject);
    let is_system = matches!(question.proof, Proof::System(_));
    let profile = policy
        .profile(name)
        .cloned()
        .ok_or_else(|| match question.label {
            Some(_) => no(Refusal::UnknownLabel),
            None if is_system => no(Refusal::Incomplete {
                what: format!("there is no profile {name}"),
            }),
            None => no(Refusal::Incomplete {
                what: format!(
                    "class {} names profile {name}, which the policy does not have",
                    subject.class.name
                ),
            }),
        })?;
    if !profile.kind.is_for_devices() && !is_system {
        return Err(no(Refusal::NotAllowed {
            rule: "built-in".to_owned(),
            why: format!("profile {} is not for devices", profile.name),
        }));
    }
    if profile.revocation.is_empty() && profile.kind.is_for_devices() {
        return Err(no(Refusal::Incomplete {
            what: format!("profile {} defines no revocation path", profile.name),
        }));
    }
    if question.operation == Operation::ServerKeygen
        && subject.class.server_keygen == ServerKeygen::Forbidden
    {
        return Err(no(Refusal::NotAllowed {
            rule: "built-in".to_owned(),
            why: format!(
                "class {} does not allow keys made by the server",
                subject.class.name
            ),
        }));
    }
    Ok(profile)
}

/// Requirement A1: a serial number has one identity for life. Another is made only after an operator
/// approved the device's repair.
fn not_a_second_one_for_life(
    policy: &Policy,
    question: &Question<'_>,
    facts: &Facts,
    subject: &Subject,
    now: Time,
) -> Result<(), Decision> {
    let is_for_life = policy
        .profile(question.profile_name(subject))
        .is_some_and(|profile| profile.kind == ProfileKind::IDevId);
    let Some(identity) = facts.identity.as_ref().filter(|_| is_for_life) else {
        return Ok(());
    };
    let id = &subject.device.id;
    if identity.device != *id {
        let what = format!(
            "serial number {} is already in the identity for life of device {}",
            subject.device.serial, identity.device
        );
        return Err(no(Refusal::Conflict { what }));
    }
    let is_asked_again = still_good(facts.earlier.as_ref(), subject, now).is_some();
    if identity.repair == Repair::Approved || is_asked_again {
        return Ok(());
    }
    let what = format!(
        "device {id} has its identity for life; after a repair that took its key away an operator \
         lets it have another: `tenure device repair {id} --why …`"
    );
    Err(no(Refusal::Conflict { what }))
}

fn not_renewed_if_for_life(question: &Question<'_>, profile: &Profile) -> Result<(), Decision> {
    if profile.kind != ProfileKind::IDevId || question.operation != Operation::Renew {
        return Ok(());
    }
    let what = format!("profile {} is for life and is not renewed", profile.name);
    Err(no(Refusal::BadRequest { what }))
}

fn takes_key(profile: &Profile, key: Option<KeyAlgorithm>) -> Result<(), Decision> {
    if key.is_none_or(|key| profile.takes_key(key)) {
        return Ok(());
    }
    let taken: Vec<_> = profile.keys.iter().map(ToString::to_string).collect();
    let what = format!("profile {} takes {}", profile.name, taken.join(", "));
    Err(no(Refusal::KeyRejected { what }))
}

/// The name of the rule that says yes.
fn rule(
    policy: &Policy,
    question: &Question<'_>,
    facts: &Facts,
    subject: &Subject,
) -> Result<String, Decision> {
    let Some(asked) = question.asked(subject) else {
        return Ok("built-in".to_owned());
    };
    let Some(rule) = policy.rules.iter().find(|rule| rule.matches(&asked)) else {
        return Err(no(Refusal::NotAllowed {
            rule: "none".to_owned(),
            why: "no rule of the policy matches this ask".to_owned(),
        }));
    };
    let (name, why) = (rule.name.to_string(), rule.reason.clone());
    match rule.action {
        Action::Allow => Ok(name),
        Action::Refuse => Err(no(Refusal::NotAllowed { rule: name, why })),
        Action::Hold if facts.ruling == Some(Ruling::Approved) => Ok(name),
        Action::Hold => Err(unless_refused(
            facts,
            HoldReason::Approval { rule: name, why },
        )),
    }
}

/// A hold, unless an operator has already refused this very ask.
pub(super) fn unless_refused(facts: &Facts, hold: HoldReason) -> Decision {
    match facts.ruling {
        Some(Ruling::Refused) => no(Refusal::NotAllowed {
            rule: match hold {
                HoldReason::Approval { rule, .. } => rule,
                HoldReason::Unregistered { .. } | HoldReason::UnknownManufacturer { .. } => {
                    "built-in".to_owned()
                }
            },
            why: "an operator refused this request".to_owned(),
        }),
        Some(Ruling::Waiting | Ruling::Approved) | None => Decision::Hold(hold),
    }
}
