//! The whole of policy, as a pure function: policy, ask, facts and time in, decision out.

use std::sync::Arc;

use tenure_x509::{SignatureAlgorithm, Time, Validity};

use crate::ask::{Ask, Operation};
use crate::certificate::{CertificateRow, Status};
use crate::device::Standing;
use crate::evidence::{CurrentProof, Evidence, SecretRefusal, Unproved};
use crate::facts::{Earlier, Facts, KeyUse, ReplayKey, Ruling, Subject};
use crate::ids::{CertificateNo, IssuerNo, Slug, Title};
use crate::issuer::IssuerKind;
use crate::policy::{Action, EvidenceKind, Grant, GrantIssuer, Policy, Rule, RuleRef};
use crate::profile::{Life, Profile, ProfileKind};
use crate::refusal::Refusal;
use crate::registry::ServerKeygen;
use crate::renewal::{self, Step};

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
    /// Open an incident: a certificate in our name that is not ours.
    NotOurs {
        /// Its serial in hex.
        serial: String,
    },
}

fn no(refusal: Refusal) -> Decision {
    Decision::Refuse(Refused {
        refusal,
        consequence: None,
    })
}

fn no_but(refusal: Refusal, consequence: Consequence) -> Decision {
    Decision::Refuse(Refused {
        refusal,
        consequence: Some(consequence),
    })
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
    if ask.operation == Operation::Renew && !matches!(unproved, Unproved::NotOurs { .. }) {
        return no(Refusal::BadCredential);
    }
    match unproved {
        Unproved::UnknownManufacturer { subject } => {
            Decision::Hold(HoldReason::UnknownManufacturer {
                subject: subject.clone(),
            })
        }
        Unproved::UnregisteredDevice {
            manufacturer,
            serial,
        } => Decision::Hold(HoldReason::Unregistered {
            manufacturer: manufacturer.clone(),
            serial: serial.clone(),
        }),
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
        Unproved::NotOurs { serial } => no_but(
            Refusal::BadCredential,
            Consequence::NotOurs {
                serial: serial.clone(),
            },
        ),
        Unproved::BadChain { .. }
        | Unproved::NoSerialNumber { .. }
        | Unproved::Secret { .. }
        | Unproved::NoSecret => no(Refusal::BadCredential),
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
    let device = &subject.device;
    device
        .standing
        .may_enroll()
        .map_err(|standing| no(Refusal::Standing(standing)))?;
    let place = place_in_chain(ask, facts, evidence, subject, now)?;
    let replay = ReplayKey::of(ask, device.id.as_str());
    // Our own certificates are renewed for the same key, so the same ask is not the same wish.
    let is_ours = matches!(evidence, Evidence::System(_));
    if let Some(earlier) = still_good(facts.earlier.as_ref(), subject, now).filter(|_| !is_ours) {
        return Ok(Decision::Replay(earlier.certificate));
    }
    key_is_acceptable(facts)?;
    has_what_every_certificate_needs(subject)?;
    let profile = profile(policy, ask, evidence, subject)?;
    let rule = rule(policy, ask, facts, evidence, subject, &profile)?;
    if !profile.takes_key(ask.csr.public_key().algorithm()) {
        let taken: Vec<_> = profile.keys.iter().map(ToString::to_string).collect();
        let what = format!("profile {} takes {}", profile.name, taken.join(", "));
        return Err(no(Refusal::KeyRejected { what }));
    }
    let issuer = issuer(ask, facts, &profile)?;
    let validity = validity(&profile, &issuer, now)?;
    let (subject_name, san) = match evidence {
        Evidence::System(ceremony) => {
            let (name, mut san) = names(&profile, subject)?;
            san.extend(ceremony.names().iter().cloned());
            (name, san)
        }
        _ => names(&profile, subject)?,
    };
    Ok(Decision::Allow(Box::new(Grant {
        rule: RuleRef {
            rule,
            policy: policy.hash,
            version: policy.version,
        },
        operation: ask.operation,
        device: Arc::new(device.clone()),
        profile,
        issuer,
        validity,
        subject: subject_name,
        san,
        key: ask.csr.public_key().hash(),
        predecessor: place.predecessor,
        displaced: place.displaced,
        spends: match evidence {
            Evidence::Secret(secret) => Some(secret.no()),
            _ => None,
        },
        replay,
        evidence: evidence.word(),
    })))
}

struct Place {
    predecessor: Option<CertificateRow>,
    displaced: Option<CertificateNo>,
}

/// Where the new certificate would stand in its device's chain.
fn place_in_chain(
    ask: &Ask,
    facts: &Facts,
    evidence: &Evidence,
    subject: &Subject,
    now: Time,
) -> Result<Place, Decision> {
    let head = subject.head.as_ref();
    match (ask.operation, evidence) {
        (Operation::Renew, Evidence::Current(current)) => renewed(ask, current, subject, now),
        (Operation::Renew, _) => Err(no(Refusal::BadRequest {
            what: "renewal must be authenticated with the certificate being renewed".to_owned(),
        })),
        (_, Evidence::Current(_)) => Err(no(Refusal::BadRequest {
            what: "this certificate can only be renewed; use simplereenroll".to_owned(),
        })),
        // An IDevID proves the maker's device, not that its owner wants it to start anew.
        (_, Evidence::Manufacturer(_)) => match head {
            Some(row) if row.is_live(now) && facts.ruling != Some(Ruling::Approved) => {
                if still_good(facts.earlier.as_ref(), subject, now).is_some() {
                    return Ok(Place {
                        predecessor: head.cloned(),
                        displaced: None,
                    });
                }
                Err(ruled(
                    facts,
                    "re-enrollment",
                    "the device already holds a live certificate",
                ))
            }
            _ => Ok(Place {
                predecessor: head.cloned(),
                displaced: None,
            }),
        },
        (_, Evidence::Secret(_) | Evidence::System(_)) => Ok(Place {
            predecessor: head.cloned(),
            displaced: None,
        }),
    }
}

fn renewed(
    ask: &Ask,
    current: &CurrentProof,
    subject: &Subject,
    now: Time,
) -> Result<Place, Decision> {
    let row = current.row();
    match row.status {
        Status::Issued | Status::Replaced => {}
        Status::Reserved | Status::Voided | Status::Held | Status::Revoked => {
            return Err(no(Refusal::BadCredential));
        }
    }
    if !row.validity.contains(now) {
        return Err(no(Refusal::BadRequest {
            what: "the certificate being renewed has expired; enroll again".to_owned(),
        }));
    }
    names_are_unchanged(ask, current)?;
    let Some(head) = &subject.head else {
        return Err(no(Refusal::BadCredential));
    };
    let key = ask.csr.public_key().hash();
    if key == row.key {
        return Err(no(Refusal::BadRequest {
            what: "a renewal needs a new key; this one is in the certificate being renewed"
                .to_owned(),
        }));
    }
    match renewal::judge(
        row,
        head,
        key,
        subject.forgiven,
        subject.class.fork_allowance,
    ) {
        Step::Extend => Ok(Place {
            predecessor: Some(row.clone()),
            displaced: None,
        }),
        Step::Displace(displaced) => Ok(Place {
            predecessor: Some(row.clone()),
            displaced: Some(displaced),
        }),
        Step::Replay(certificate) if head.is_live(now) => Err(Decision::Replay(certificate)),
        Step::Replay(_) => Err(no(Refusal::BadCredential)),
        Step::Fork { .. } if !matches!(head.status, Status::Issued | Status::Replaced) => {
            Err(no(Refusal::BadCredential))
        }
        Step::Fork { head } => Err(no_but(
            Refusal::Standing(Standing::Quarantined),
            Consequence::Fork {
                presented: row.no,
                head,
            },
        )),
    }
}

/// RFC 7030 section 4.2.2: subject and SAN of a renewal are those of the current certificate. We
/// also take a request that names nothing, since the names come from the registry anyway.
fn names_are_unchanged(ask: &Ask, current: &CurrentProof) -> Result<(), Decision> {
    let certificate = current.certificate();
    if !ask.csr.subject().is_empty() && ask.csr.subject() != certificate.subject() {
        let what = format!(
            "the subject {} is not that of the certificate being renewed, {}; leave it out or repeat it",
            ask.csr.subject(),
            certificate.subject()
        );
        return Err(no(Refusal::BadRequest { what }));
    }
    if !ask.csr.san().is_empty() && ask.csr.san() != certificate.san() {
        return Err(no(Refusal::BadRequest {
            what: "the subject alternative names are not those of the certificate being renewed; \
                   leave them out or repeat them"
                .to_owned(),
        }));
    }
    Ok(())
}

/// An answer is given again only while it is the device's newest certificate and in force.
fn still_good<'a>(
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

fn key_is_acceptable(facts: &Facts) -> Result<(), Decision> {
    match &facts.key_use {
        None => Ok(()),
        Some(KeyUse::OtherDevice(other)) => Err(no_but(
            Refusal::KeyRejected {
                what: "another device holds or held it; make a new one".to_owned(),
            },
            Consequence::SharedKey {
                other: other.clone(),
            },
        )),
        Some(KeyUse::Blocked { why }) => Err(no(Refusal::KeyRejected {
            what: format!("it is blocked: {why}"),
        })),
    }
}

/// Requirement B4: an owner, a binding, an expiry and a defined revocation path. The owner is a
/// column that cannot be empty, and the expiry and the path belong to the profile.
fn has_what_every_certificate_needs(subject: &Subject) -> Result<(), Decision> {
    if subject.device.services.is_empty() {
        let what = format!(
            "device {} is bound to no service; add one with `tenure device edit {} --services …`",
            subject.device.id, subject.device.id
        );
        return Err(no(Refusal::Incomplete { what }));
    }
    Ok(())
}

fn profile(
    policy: &Policy,
    ask: &Ask,
    evidence: &Evidence,
    subject: &Subject,
) -> Result<Arc<Profile>, Decision> {
    let name = match (evidence, &ask.via.label) {
        (Evidence::System(ceremony), _) => ceremony.profile(),
        (_, Some(label)) => label,
        (_, None) => &subject.class.profile,
    };
    let found = policy.profile(name).cloned();
    let profile = found.ok_or_else(|| match &ask.via.label {
        Some(_) => no(Refusal::UnknownLabel),
        None => no(Refusal::Incomplete {
            what: format!(
                "class {} names profile {name}, which the policy does not have",
                subject.class.name
            ),
        }),
    })?;
    let is_system = matches!(evidence, Evidence::System(_));
    let is_for_devices = matches!(profile.kind, ProfileKind::IDevId | ProfileKind::LDevId);
    if !is_for_devices && !is_system {
        return Err(no(Refusal::NotAllowed {
            rule: "built-in".to_owned(),
            why: format!("profile {} is not for devices", profile.name),
        }));
    }
    if profile.revocation.is_empty() && is_for_devices {
        return Err(no(Refusal::Incomplete {
            what: format!("profile {} defines no revocation path", profile.name),
        }));
    }
    if ask.operation == Operation::ServerKeygen
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

/// The name of the rule that says yes.
fn rule(
    policy: &Policy,
    ask: &Ask,
    facts: &Facts,
    evidence: &Evidence,
    subject: &Subject,
    profile: &Profile,
) -> Result<String, Decision> {
    let kind = match evidence {
        Evidence::System(_) => return Ok("built-in".to_owned()),
        Evidence::Manufacturer(_) => EvidenceKind::Manufacturer,
        Evidence::Current(_) => EvidenceKind::CurrentCertificate,
        Evidence::Secret(_) => EvidenceKind::Secret,
    };
    let found = policy
        .rules
        .iter()
        .find(|rule| rule.matches(ask, kind, subject, profile));
    let Some(rule) = found else {
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
        Action::Hold => Err(ruled(facts, &name, &why)),
    }
}

/// A hold, unless an operator has already refused this very ask.
fn ruled(facts: &Facts, rule: &str, why: &str) -> Decision {
    match facts.ruling {
        Some(Ruling::Refused) => no(Refusal::NotAllowed {
            rule: rule.to_owned(),
            why: "an operator refused this request".to_owned(),
        }),
        Some(Ruling::Waiting | Ruling::Approved) | None => Decision::Hold(HoldReason::Approval {
            rule: rule.to_owned(),
            why: why.to_owned(),
        }),
    }
}

impl Rule {
    /// Whether the rule speaks about this ask.
    pub fn matches(
        &self,
        ask: &Ask,
        evidence: EvidenceKind,
        subject: &Subject,
        profile: &Profile,
    ) -> bool {
        fn any<T: PartialEq>(wanted: &[T], value: &T) -> bool {
            wanted.is_empty() || wanted.contains(value)
        }
        any(&self.operations, &ask.operation)
            && any(&self.evidence, &evidence)
            && any(&self.protocols, &ask.via.protocol)
            && any(&self.classes, &subject.device.class)
            && any(&self.sites, &subject.device.site)
            && any(&self.owners, &subject.device.owner)
            && any(&self.criticality, &subject.device.criticality)
            && any(&self.profiles, &profile.name)
    }
}

fn issuer(ask: &Ask, facts: &Facts, profile: &Profile) -> Result<GrantIssuer, Decision> {
    let wanted = match profile.kind {
        ProfileKind::RootCa => {
            let algorithm = ask.csr.public_key().algorithm().default_signature();
            if algorithm == SignatureAlgorithm::Other {
                let what = "it cannot sign certificates".to_owned();
                return Err(no(Refusal::KeyRejected { what }));
            }
            // A root is only ever made in a ceremony, and its subject's name is its short name.
            let subject = ask
                .presented
                .system
                .as_ref()
                .map(|ceremony| ceremony.device().as_str());
            let name = subject.and_then(|name| name.parse().ok()).ok_or_else(|| {
                no(Refusal::Incomplete {
                    what: "a root needs a short name".to_owned(),
                })
            })?;
            return Ok(GrantIssuer::Itself {
                no: IssuerNo(1),
                name,
                algorithm,
            });
        }
        ProfileKind::IssuingCa => IssuerKind::Root,
        ProfileKind::IDevId
        | ProfileKind::LDevId
        | ProfileKind::Server
        | ProfileKind::OcspSigner => IssuerKind::Issuing,
    };
    let named = |name: &Slug| profile.issuer.as_ref().is_none_or(|wanted| wanted == name);
    let mut candidates = facts
        .issuers
        .iter()
        .filter(|i| i.kind == wanted && named(&i.name));
    candidates
        .next_back()
        .cloned()
        .map(GrantIssuer::Ours)
        .ok_or_else(|| {
            no(Refusal::Incomplete {
                what: format!("profile {} has no issuer to sign it", profile.name),
            })
        })
}

/// The certificate's life, never longer than its issuer's.
fn validity(profile: &Profile, issuer: &GrantIssuer, now: Time) -> Result<Validity, Decision> {
    let not_before = now.plus(-profile.backdate_s);
    let wanted = match profile.life {
        Life::Forever => Time::NEVER,
        // Validity is inclusive at both ends (RFC 5280 section 4.1.2.5).
        Life::Seconds(seconds) => now.plus(seconds.saturating_sub(1)),
    };
    let Some(ours) = (match issuer {
        GrantIssuer::Ours(issuer) => Some(issuer.certificate.validity()),
        GrantIssuer::Itself { .. } => None,
    }) else {
        return Ok(Validity {
            not_before,
            not_after: wanted,
        });
    };
    if !ours.contains(now) {
        return Err(no(Refusal::Incomplete {
            what: format!("issuer {} is not valid now; make a new one", issuer.name()),
        }));
    }
    Ok(Validity {
        not_before: not_before.max(ours.not_before),
        not_after: wanted.min(ours.not_after),
    })
}

fn names(
    profile: &Profile,
    subject: &Subject,
) -> Result<(tenure_x509::Name, Vec<tenure_x509::SanName>), Decision> {
    profile.names(&subject.device).map_err(|error| {
        let what = format!(
            "the names for profile {} cannot be computed: {error}",
            profile.name
        );
        no(Refusal::Incomplete { what })
    })
}
