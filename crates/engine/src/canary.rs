//! Canaries, made for one round of probes and kept in memory only, and the keeping of what a round
//! came to.
//!
//! Those that our issuers sign go the way of every certificate: ask, grant, lint, reservation. The
//! others are signed by keys that were made for the purpose and trusted by nobody.

use std::sync::Arc;

use tenure_domain::ask::SystemCeremony;
use tenure_domain::canary::{CLASS, Canary, ID_PREFIX, ProbeScope, Round};
use tenure_domain::certificate::StatusChange;
use tenure_domain::device::{Criticality, DeviceSpec};
use tenure_domain::ids::{DeviceId, ProbeNo, Slug, Title};
use tenure_domain::issuer::{Issuer, IssuerKind, IssuerState};
use tenure_domain::operator::Actor;
use tenure_domain::rollover::is_of_lines;
use tenure_domain::{Refusal, Standing};
use tenure_store::relying_party::Known;
use tenure_store::{certificate, device, probe, trust_store};
use tenure_x509::{
    CaConstraint, Cert, CertificateSpec, Csr, Extensions, KeyKind, KeyPair, KeyUsage, Name,
    NameAttribute, PublicKey, Reason, Serial, Time, Validity, oid,
};
use zeroize::Zeroizing;

use crate::enroll::Answer;
use crate::fault::{FaultCause, Rejection};
use crate::revoke::{RevokeAsk, Target};
use crate::{Engine, ceremony, chance};

/// An identity to be tried.
#[derive(Clone)]
pub struct CanaryIdentity {
    /// What is the matter with it.
    pub canary: Canary,
    /// Whose it is, or pretends to be.
    pub issuer: Slug,
    /// DER, its own certificate first.
    pub chain: Vec<Vec<u8>>,
    /// PKCS#8.
    pub key: Zeroizing<Vec<u8>>,
    /// Its serial, if our issuer signed it.
    pub serial: Option<Serial>,
}

impl std::fmt::Debug for CanaryIdentity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CanaryIdentity({} of {})", self.canary, self.issuer)
    }
}

/// Who does what is done here.
const DUTY: &str = "probe";

impl Engine {
    /// The issuers whose canaries a relying party has to be tried with: all of the lines that it is
    /// for, whatever their state, but those that were taken out there. For a drill of revocation only
    /// those that sign.
    ///
    /// # Errors
    /// What was taken out could not be read.
    pub fn probed_issuers(&self, party: &Known, scope: ProbeScope) -> Result<Vec<Slug>, Rejection> {
        let issuers = &self.snapshot().issuers;
        let pruned = self.pruned(party)?;
        Ok(self
            .signing(issuers)
            .filter(|issuer| is_of_lines(issuers, &party.party.issuers, issuer))
            .filter(|issuer| !pruned.contains(&issuer.name))
            .filter(|issuer| scope == ProbeScope::Matrix || issuer.state == IssuerState::Active)
            .map(|issuer| issuer.name.clone())
            .collect())
    }

    /// The active issuers whose devices a relying party must turn away: those that it is not for, and
    /// those that were taken out there.
    ///
    /// # Errors
    /// What was taken out could not be read.
    pub fn other_issuers(&self, party: &Known) -> Result<Vec<Slug>, Rejection> {
        let issuers = &self.snapshot().issuers;
        let pruned = self.pruned(party)?;
        Ok(self
            .signing(issuers)
            .filter(|issuer| issuer.state == IssuerState::Active)
            .filter(|issuer| {
                pruned.contains(&issuer.name) || !is_of_lines(issuers, &party.party.issuers, issuer)
            })
            .map(|issuer| issuer.name.clone())
            .collect())
    }

    fn pruned(&self, party: &Known) -> Result<Vec<Slug>, Rejection> {
        let issuers = Arc::clone(&self.snapshot().issuers);
        Ok(self
            .store()
            .glance(|tx| trust_store::pruned_issuers(tx, &issuers, party.no))?)
    }

    /// The issuing CAs whose keys are at hand.
    fn signing<'a>(&'a self, issuers: &'a [Arc<Issuer>]) -> impl Iterator<Item = &'a Arc<Issuer>> {
        issuers
            .iter()
            .filter(|issuer| issuer.kind == IssuerKind::Issuing && self.key(&issuer.key).is_some())
    }

    /// Makes the canaries of an issuer. The revoked one is the good one after
    /// [`Engine::revoke_canary`]. Of an issuer that is not active there is a good one only, named
    /// for the issuer's state.
    pub async fn make_canaries(
        &self,
        issuer: &Slug,
        scope: ProbeScope,
    ) -> Result<Vec<CanaryIdentity>, Rejection> {
        let snapshot = self.snapshot();
        let found = snapshot.issuers.iter().find(|known| known.name == *issuer);
        let issuer = Arc::clone(found.ok_or_else(|| Refusal::NotFound {
            what: format!("issuer {issuer}"),
        })?);
        let subject = self.canary_subject(&issuer).await?;
        let good = self
            .certified(issuer.state.canary(), &subject, &issuer)
            .await?;
        if scope == ProbeScope::Revocation || issuer.state != IssuerState::Active {
            return Ok(vec![good]);
        }
        let mut canaries = Vec::new();
        for canary in [Canary::Expired, Canary::NotYetValid, Canary::WrongUsage] {
            canaries.push(self.certified(canary, &subject, &issuer).await?);
        }
        let now = self.clock().now();
        canaries.extend(forged(&good, &issuer, now)?);
        canaries.insert(0, good);
        Ok(canaries)
    }

    /// Revokes a canary, as any certificate is; nothing happens to one that is none of ours.
    pub async fn revoke_canary(&self, canary: &CanaryIdentity) -> Result<(), Rejection> {
        let Some(serial) = canary.serial.clone() else {
            return Ok(());
        };
        let ask = RevokeAsk {
            actor: Actor::system(DUTY),
            target: Target::Certificate {
                issuer: Some(canary.issuer.clone()),
                serial,
            },
            change: StatusChange::Revoke {
                reason: Reason::CessationOfOperation,
                invalidity: None,
            },
        };
        self.revoke(ask).await.map(|_| ())
    }

    /// Keeps what a probe of a relying party came to, with the findings that follow from it.
    pub async fn record_probe(
        &self,
        party: &Known,
        began: Time,
        round: Round,
    ) -> Result<ProbeNo, Rejection> {
        let (party, now) = (party.clone(), self.clock().now());
        let no = self
            .record(move |tx| {
                let whom = (party.no, &party.party);
                let actor = Actor::system(DUTY);
                Ok(probe::add(tx, whom, began, &round, &actor, now)?)
            })
            .await?;
        Ok(no)
    }

    /// The registered subject of an issuer's canaries: one of our own, beside the servers'.
    pub(crate) async fn canary_subject(&self, issuer: &Issuer) -> Result<DeviceId, Rejection> {
        let id: DeviceId = format!("{ID_PREFIX}{}", issuer.no)
            .parse()
            .map_err(|_| FaultCause::Corrupt("canary's name"))?;
        let server: DeviceId = ceremony::SERVER
            .parse()
            .map_err(|_| FaultCause::Corrupt("system subject's name"))?;
        let tenant = self.tenant();
        let (known, ours) = self.store().glance(|tx| {
            let found = (
                device::by_id(tx, tenant, &id)?,
                device::by_id(tx, tenant, &server)?,
            );
            Ok::<_, tenure_store::StoreError>(found)
        })?;
        let ours = ours.ok_or(FaultCause::Corrupt("system subject: it is gone"))?;
        let class: Title = CLASS
            .parse()
            .map_err(|_| FaultCause::Corrupt("built-in class's name"))?;
        if let Some(known) = known {
            if known.class != class
                || known.standing != Standing::Enrolled && known.standing != Standing::Expected
            {
                let what = format!(
                    "{id} is the name of our canaries, but it is a device of class {} that is {}",
                    known.class, known.standing
                );
                return Err(Refusal::Conflict { what }.into());
            }
            return Ok(id);
        }
        let spec = DeviceSpec {
            id: id.clone(),
            manufacturer: ours.manufacturer.clone(),
            model: format!("Canary of {}", issuer.name)
                .chars()
                .take(64)
                .collect(),
            serial: id.to_string(),
            class,
            site: ours.site.clone(),
            owner: ours.owner.clone(),
            services: ours.services.clone(),
            criticality: Criticality::Low,
        };
        let now = self.clock().now();
        self.record(move |tx| Ok(device::add(tx, &spec, &Actor::system(DUTY), now)?))
            .await?;
        Ok(id)
    }

    /// One of ours, through the chain of types.
    async fn certified(
        &self,
        canary: Canary,
        subject: &DeviceId,
        issuer: &Issuer,
    ) -> Result<CanaryIdentity, Rejection> {
        let profile = match canary {
            Canary::Expired => "tenure-canary-expired",
            Canary::NotYetValid => "tenure-canary-early",
            Canary::WrongUsage => "tenure-canary-usage",
            Canary::Valid
            | Canary::Revoked
            | Canary::OtherDomain
            | Canary::LookAlike
            | Canary::ConstraintBreaker
            | Canary::Incoming
            | Canary::Outgoing
            | Canary::Superseded
            | Canary::OtherIssuer
            | Canary::LiveSession => "tenure-canary",
        };
        let pair = KeyPair::generate(KeyKind::P256).map_err(FaultCause::from)?;
        let answer = self.certify_canary(profile, subject, issuer, &pair).await?;
        let Answer::Issued(made) = answer else {
            return Err(FaultCause::Corrupt("built-in rule: it does not hold our own asks").into());
        };
        Ok(CanaryIdentity {
            canary,
            issuer: issuer.name.clone(),
            chain: chain(&made, issuer),
            key: pair.to_pkcs8().map_err(FaultCause::from)?,
            serial: Some(made.row.serial.clone()),
        })
    }

    /// Asks for one of ours, of a built-in profile and with this key.
    pub(crate) async fn certify_canary(
        &self,
        profile: &str,
        subject: &DeviceId,
        issuer: &Issuer,
        pair: &KeyPair,
    ) -> Result<Answer, Rejection> {
        let profile: Slug = profile
            .parse()
            .map_err(|_| FaultCause::Corrupt("built-in profile's name"))?;
        let request = request(pair)?;
        let ceremony =
            SystemCeremony::danger_without_proof(subject.clone(), profile, Vec::new(), DUTY);
        self.enroll(self.own_ask(request, ceremony.by(issuer.name.clone())))
            .await
    }
}

/// A request of nobody in particular.
fn request(pair: &KeyPair) -> Result<Csr, FaultCause> {
    Ok(Csr::from_der(&Csr::build(pair, &Name::build(&[])?, &[])?)?)
}

/// A certificate with those between it and the root.
fn chain(made: &certificate::Certificate, issuer: &Issuer) -> Vec<Vec<u8>> {
    let between = issuer
        .chain
        .iter()
        .filter(|cert| cert.subject() != cert.issuer());
    let above = std::iter::once(&issuer.certificate).chain(between);
    std::iter::once(&made.cert)
        .chain(above)
        .map(|cert| cert.der().to_vec())
        .collect()
}

/// The canaries that no issuer of ours would sign.
fn forged(
    valid: &CanaryIdentity,
    issuer: &Issuer,
    now: Time,
) -> Result<Vec<CanaryIdentity>, FaultCause> {
    let validity = Validity {
        not_before: now.plus(-300),
        not_after: now.plus(3_600),
    };
    let subject = Name::build(&[(NameAttribute::CommonName, "tenure-canary")])?;
    let bird = |canary, pair: &KeyPair, chain: Vec<Vec<u8>>| {
        Ok::<_, FaultCause>(CanaryIdentity {
            canary,
            issuer: issuer.name.clone(),
            chain,
            key: pair.to_pkcs8()?,
            serial: None,
        })
    };
    let leaf = |by: &Forger<'_>, pair: &KeyPair| {
        by.sign(&subject, pair.public(), validity, CaConstraint::NotCa)
    };

    let stranger = KeyPair::generate(KeyKind::P256)?;
    let pair = KeyPair::generate(KeyKind::P256)?;
    let abroad = Name::build(&[(NameAttribute::CommonName, "tenure-canary other domain")])?;
    let other = Forger::new(&abroad, &stranger, stranger.public().key_id().to_vec());
    let top = CaConstraint::Ca { path_len: Some(0) };
    let root = other.sign(&abroad, stranger.public(), validity, top)?;
    let other = bird(Canary::OtherDomain, &pair, vec![leaf(&other, &pair)?, root])?;

    // Our issuer's name and key identifier, and another key.
    let key_id = issuer
        .certificate
        .subject_key_id()
        .unwrap_or_default()
        .to_vec();
    let alike = Forger::new(issuer.subject(), &stranger, key_id);
    let above = alike.sign(issuer.subject(), stranger.public(), validity, top)?;
    let alike = bird(Canary::LookAlike, &pair, vec![leaf(&alike, &pair)?, above])?;

    // A good certificate that signs another, as only a CA may.
    let held = KeyPair::from_pkcs8(&valid.key)?;
    let first = valid.chain.first().map(Vec::as_slice).unwrap_or_default();
    let holder = Cert::from_der(first)?;
    let key_id = holder.subject_key_id().unwrap_or_default().to_vec();
    let breaker = Forger::new(holder.subject(), &held, key_id);
    let mut below = vec![leaf(&breaker, &pair)?];
    below.extend(valid.chain.iter().cloned());
    let breaker = bird(Canary::ConstraintBreaker, &pair, below)?;
    Ok(vec![other, alike, breaker])
}

/// Whoever signs what it may not.
struct Forger<'a> {
    name: &'a Name,
    pair: &'a KeyPair,
    key_id: Vec<u8>,
}

impl<'a> Forger<'a> {
    fn new(name: &'a Name, pair: &'a KeyPair, key_id: Vec<u8>) -> Forger<'a> {
        Forger { name, pair, key_id }
    }

    fn sign(
        &self,
        subject: &Name,
        public: &PublicKey,
        validity: Validity,
        ca: CaConstraint,
    ) -> Result<Vec<u8>, FaultCause> {
        let is_ca = matches!(ca, CaConstraint::Ca { .. });
        let spec = CertificateSpec {
            serial: Serial::from_random(chance::bytes()?),
            signature: self.pair.signature_algorithm(),
            issuer: self.name.clone(),
            validity,
            subject: subject.clone(),
            public_key: public.clone(),
            extensions: Extensions {
                ca,
                key_usage: if is_ca {
                    KeyUsage::KEY_CERT_SIGN
                } else {
                    KeyUsage::DIGITAL_SIGNATURE
                },
                ext_key_usage: if is_ca {
                    Vec::new()
                } else {
                    vec![oid::CLIENT_AUTH]
                },
                subject_key_id: Some(public.key_id().to_vec()),
                authority_key_id: Some(self.key_id.clone()),
                ..Extensions::default()
            },
        };
        let tbs = spec.tbs()?;
        let signature = self.pair.sign(tbs.as_der())?;
        Ok(tbs.with_signature(&signature))
    }
}
