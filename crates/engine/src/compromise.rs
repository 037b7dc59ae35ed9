//! A key or an issuer in other hands: what rests on it is withdrawn, the key is blocked for ever, and
//! the devices get new keys in waves.

use tenure_domain::blast::{BlastKind, Exposure, Radius};
use tenure_domain::certificate::Revocation;
use tenure_domain::compromise::{
    Compromise, CompromiseKind, ProofOfCompromise, Wave, statement, waves,
};
use tenure_domain::device::{Criticality, Device};
use tenure_domain::finding::{FindingKind, Matter, NewFinding, Subject, SubjectKind};
use tenure_domain::ids::{CompromiseNo, Slug};
use tenure_domain::operator::{Actor, Permission};
use tenure_domain::{CertificateRow, Refusal, Status};
use tenure_store::blast::{AffectedFilter, Centre};
use tenure_store::blocked_key::{self, Listed};
use tenure_store::compromise::{self, Compromised, NewCompromise, Noted};
use tenure_store::{StoreError, Tx, certificate, device, finding, withdrawal};
use tenure_x509::{KeyHash, PublicKey, Reason, SignatureAlgorithm, Time};

use crate::Engine;
use crate::ceremony::HOUSE;
use crate::fault::Rejection;
use crate::revoke::Conflict;
use crate::rollover::{self, Stopped};

/// Who does what is done here without an operator.
const DUTY: &str = "compromise";
/// Most devices whose certificates are withdrawn in one transaction.
const WAVE_BATCH: usize = 200;

/// Someone says that a key is in other hands.
#[derive(Debug, Clone)]
pub struct KeyCompromise {
    /// The key.
    pub key: KeyHash,
    /// Since when it must be thought bad, if earlier than now.
    pub since: Option<Time>,
    /// Why we think so.
    pub why: String,
    /// The key itself and its signature over [`statement`], if whoever says so holds it.
    pub proof: Option<(PublicKey, Vec<u8>)>,
}

/// A compromise with what the record says of it now.
#[derive(Debug, Clone)]
pub struct Standing {
    /// What was recorded.
    pub compromise: Compromise,
    /// Whom it concerns, before and now.
    pub radius: Radius,
    /// In which order devices get new keys, and how far that is.
    pub waves: Vec<Wave>,
}

/// Which devices of a wave lose what rests on a compromised issuer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Of {
    /// Those with another certificate in force.
    TheMoved,
    /// All of them: the others can do nothing until they enroll anew.
    All,
}

/// What one step of withdrawing a wave did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WaveStep {
    /// Devices that lost something.
    pub devices: u64,
    /// Certificates that were revoked.
    pub certificates: u64,
    /// Where the next step begins; none after the last.
    pub next: Option<String>,
}

impl Engine {
    /// Records that a key is in other hands: every certificate with it is revoked (keyCompromise), the
    /// key is never certified again, and its devices wait for new ones. Saying it again changes
    /// nothing, unless a certificate with the key came up since.
    pub async fn compromise_key(
        &self,
        actor: &Actor,
        told: KeyCompromise,
    ) -> Result<CompromiseNo, Rejection> {
        actor.may(Permission::Withdraw)?;
        let now = self.now_for_signing()?;
        let how = proved(&told)?;
        self.is_no_key_of_ours(told.key)?;
        let since = told.since.filter(|since| *since < now);
        let actor = actor.clone();
        let (key, why, tenant) = (told.key, told.why, self.tenant());
        let no = self
            .record_as(&actor.clone(), move |tx| {
                let rows = certificate::of_key(tx, key)?;
                let devices = holders(tx, &rows)?;
                if let Some(ours) = devices.iter().find(|it| it.class.as_str() == HOUSE) {
                    let what = format!(
                        "{} is a subject of this house, and its key is not a device's; give the \
                         server or the responder a new key instead",
                        ours.id
                    );
                    return Err(Refusal::Conflict { what }.into());
                }
                let new = NewCompromise {
                    what: Compromised::Key(key),
                    since,
                    why: why.clone(),
                    how,
                    devices: devices.len() as u64,
                    certificates: rows.len() as u64,
                };
                let noted = compromise::add(tx, &new, &actor, now)?;
                let revoked = revoke_all(tx, &rows, Reason::KeyCompromise, since, &actor, now)?;
                if matches!(noted, Noted::Known(_)) && revoked == 0 {
                    tx.excuse("the compromise is known, and nothing is left to revoke");
                } else if devices
                    .iter()
                    .any(|it| !Engine::is_canary(it.class.as_str()))
                {
                    finding::raise(tx, &to_rekey(&new, &devices, noted.no()), &actor, now)?;
                }
                let subject = Subject::new(SubjectKind::Key, &key.to_string());
                for found in finding::about(tx, tenant, &subject)? {
                    if found.matter.kind == FindingKind::ListedKey {
                        let why = "its certificates are revoked";
                        finding::clear(tx, &found.matter, why, &actor, now)?;
                    }
                }
                Ok(noted.no())
            })
            .await?;
        self.wake_publish();
        Ok(no)
    }

    /// Records that an issuer's key is in other hands: it signs nothing new from this moment on, though
    /// nobody may sign in its place yet; a root takes what is below it along. Nothing is withdrawn yet:
    /// devices move to another issuer first, wave by wave.
    pub async fn compromise_issuer(
        &self,
        actor: &Actor,
        issuer: &Slug,
        since: Option<Time>,
        why: &str,
    ) -> Result<CompromiseNo, Rejection> {
        actor.may(Permission::Withdraw)?;
        let blast = self.radius(BlastKind::Issuer, issuer.as_str()).await?;
        let now = self.clock().now();
        let new = NewCompromise {
            what: Compromised::Issuer(issuer.to_string()),
            since: since.filter(|since| *since < now),
            why: why.to_owned(),
            how: ProofOfCompromise::Said,
            devices: blast.radius.devices.devices,
            certificates: blast.radius.certificates.all(),
        };
        let (actor, tenant, issuer) = (actor.clone(), self.tenant(), issuer.clone());
        let no = self
            .record_as(&actor.clone(), move |tx| {
                let noted = compromise::add(tx, &new, &actor, now)?;
                let stopped = rollover::stop(tx, tenant, &issuer, &new.why, &actor, now)?;
                match (noted, stopped) {
                    (Noted::Known(_), Stopped::Before) => tx.excuse("the compromise is known"),
                    (Noted::Known(_), Stopped::Now) => {}
                    (Noted::New(no), _) => {
                        finding::raise(tx, &to_move(&new, no), &actor, now)?;
                    }
                }
                Ok(noted.no())
            })
            .await?;
        self.reload().await?;
        if let Err(error) = self.renew_system().await {
            // Nobody may sign in its place yet; the system duty will try again.
            tracing::error!(duty = "system", "{error}; it will be tried again");
        }
        Ok(no)
    }

    /// A compromise, and how far it is mended.
    pub async fn compromise(&self, no: CompromiseNo) -> Result<Standing, Rejection> {
        let found = self.store().glance(|tx| compromise::by_no(tx, no))?;
        let compromise = found.ok_or_else(|| Refusal::NotFound {
            what: format!("compromise {no}"),
        })?;
        let kind = match compromise.kind {
            CompromiseKind::Key => BlastKind::Key,
            CompromiseKind::Issuer => BlastKind::Issuer,
        };
        let radius = self.radius(kind, &compromise.name).await?.radius;
        Ok(Standing {
            compromise,
            waves: waves(&radius),
            radius,
        })
    }

    /// Revokes what devices of one criticality still hold of a compromised issuer, a batch of them at
    /// a time, from `cursor` on. Again and again it changes nothing.
    pub async fn withdraw_wave(
        &self,
        actor: &Actor,
        no: CompromiseNo,
        criticality: Criticality,
        of: Of,
        cursor: Option<String>,
    ) -> Result<WaveStep, Rejection> {
        actor.may(Permission::Withdraw)?;
        let now = self.now_for_signing()?;
        let found = self.store().glance(|tx| compromise::by_no(tx, no))?;
        let is_issuer = |it: &Compromise| it.kind == CompromiseKind::Issuer;
        let compromise = found.filter(is_issuer).ok_or_else(|| Refusal::NotFound {
            what: format!("compromise {no} of an issuer"),
        })?;
        let filter = AffectedFilter {
            exposure: Some(Exposure::Exposed),
            criticality: Some(criticality),
        };
        let whom = (BlastKind::Issuer, compromise.name.as_str());
        let page = self
            .affected_devices(whom, filter, cursor, WAVE_BATCH)
            .await?;
        let is_due = |it: &tenure_domain::blast::Affected| {
            (of == Of::All || it.seen.goes_on()) && it.device.class.as_str() != HOUSE
        };
        let devices: Vec<Device> = page
            .items
            .into_iter()
            .filter(is_due)
            .map(|it| it.device)
            .collect();
        let mut step = WaveStep {
            devices: devices.len() as u64,
            certificates: 0,
            next: page.next,
        };
        if devices.is_empty() {
            return Ok(step);
        }
        let issuers = self.issuers_of(&compromise.name)?;
        let (actor, since) = (actor.clone(), compromise.since);
        let revoked = self
            .record(move |tx| {
                let mut revoked = 0;
                for device in &devices {
                    let mut rows = certificate::of_device(tx, device.no, usize::MAX)?;
                    rows.retain(|row| {
                        issuers.contains(&row.issuer) && row.validity.not_after >= now
                    });
                    revoked += revoke_all(tx, &rows, Reason::CaCompromise, since, &actor, now)?;
                }
                if revoked == 0 {
                    tx.excuse("everything was revoked meanwhile");
                }
                Ok(revoked)
            })
            .await?;
        step.certificates = revoked;
        self.wake_publish();
        Ok(step)
    }

    fn issuers_of(&self, name: &str) -> Result<Vec<tenure_domain::IssuerNo>, Rejection> {
        let (tenant, snapshot) = (self.tenant(), self.snapshot());
        let centre = self
            .store()
            .glance(|tx| crate::blast::centre(tx, tenant, &snapshot, BlastKind::Issuer, name))?;
        Ok(match centre {
            Centre::Issuers(issuers) => issuers,
            _ => Vec::new(),
        })
    }

    /// Adds keys of a list that others know: none of them is ever certified. Certificates of ours that
    /// hold one are found, and nothing is done to them: see [`Engine::compromise_key`].
    pub async fn list_keys(
        &self,
        actor: &Actor,
        list: &Slug,
        keys: Vec<KeyHash>,
        hash: String,
    ) -> Result<Listed, Rejection> {
        actor.may(Permission::Withdraw)?;
        let (actor, list, now) = (actor.clone(), list.clone(), self.clock().now());
        let listed = self
            .record_as(&actor.clone(), move |tx| {
                let listed = blocked_key::list_keys(tx, &list, &keys, &hash, &actor, now)?;
                for row in &listed.held {
                    if let Some(device) = device::by_no(tx, row.device)? {
                        finding::raise(tx, &listed_key(&list, row, &device), &actor, now)?;
                    }
                }
                Ok(listed)
            })
            .await?;
        Ok(listed)
    }

    /// Clears the finding of each compromise whose devices are all mended, and opens it again if one is
    /// not any more.
    pub async fn watch_compromises(&self) -> Result<(), Rejection> {
        let tenant = self.tenant();
        let known = self
            .store()
            .glance(|tx| compromise::list(tx, tenant, None, COMPROMISES_MAX))?;
        for compromise in known {
            let matter = matter(compromise.kind, &compromise.name);
            let open = self
                .store()
                .glance(|tx| finding::of_matter(tx, tenant, &matter))?;
            let is_open = open
                .is_some_and(|found| found.state != tenure_domain::finding::FindingState::Cleared);
            // A key whose devices are mended stays so: it is blocked. An issuer may be made to sign again.
            if !is_open {
                continue;
            }
            let standing = self.compromise(compromise.no).await?;
            let devices = standing.radius.devices;
            if devices.exposed == 0 && devices.cut_off == 0 {
                let why = "every device has a new key, or is gone";
                self.clear_finding(DUTY, matter, why).await?;
            }
        }
        Ok(())
    }

    /// A key of an issuer is not compromised like a device's.
    fn is_no_key_of_ours(&self, key: KeyHash) -> Result<(), Refusal> {
        let snapshot = self.snapshot();
        let issuer = snapshot
            .issuers
            .iter()
            .find(|issuer| issuer.public_key().hash() == key);
        match issuer {
            None => Ok(()),
            Some(issuer) => Err(Refusal::Conflict {
                what: format!(
                    "this is the key of issuer {}; use `tenure compromise issuer {}`",
                    issuer.name, issuer.name
                ),
            }),
        }
    }
}

/// How many compromises are watched; the newest.
const COMPROMISES_MAX: u32 = 1_000;

/// Whether whoever says so holds the key.
fn proved(told: &KeyCompromise) -> Result<ProofOfCompromise, Refusal> {
    let Some((public, signature)) = &told.proof else {
        return Ok(ProofOfCompromise::Said);
    };
    let bad = |what: &str| Refusal::BadRequest {
        what: format!("the proof: {what}"),
    };
    if public.hash() != told.key {
        return Err(bad("it is of another key"));
    }
    let algorithm: SignatureAlgorithm = public.algorithm().default_signature();
    public
        .verify(algorithm, &statement(&told.key), signature)
        .map_err(|_| bad("the signature does not verify"))?;
    Ok(ProofOfCompromise::Proved)
}

fn holders(tx: &Tx<'_>, rows: &[CertificateRow]) -> Result<Vec<Device>, StoreError> {
    let mut devices: Vec<Device> = Vec::new();
    for row in rows {
        if devices.iter().all(|device| device.no != row.device) {
            devices.extend(device::by_no(tx, row.device)?);
        }
    }
    Ok(devices)
}

fn revoke_all(
    tx: &mut Tx<'_>,
    rows: &[CertificateRow],
    reason: Reason,
    since: Option<Time>,
    actor: &Actor,
    now: Time,
) -> Result<u64, Conflict> {
    let mut revoked = 0;
    for row in rows {
        if matches!(row.status, Status::Issued | Status::Replaced | Status::Held) {
            let how = Revocation {
                reason,
                at: now,
                // A certificate was not bad before it was made.
                invalidity: since.map(|since| since.max(row.validity.not_before)),
            };
            withdrawal::revoke(tx, row.no, how, actor)?;
            revoked += 1;
        }
    }
    Ok(revoked)
}

fn matter(kind: CompromiseKind, name: &str) -> Matter {
    let of = match kind {
        CompromiseKind::Key => SubjectKind::Key,
        CompromiseKind::Issuer => SubjectKind::Issuer,
    };
    Matter {
        kind: FindingKind::Rekey,
        subject: Subject::new(of, name),
        cause: "compromised".to_owned(),
    }
}

fn to_rekey(new: &NewCompromise, devices: &[Device], no: CompromiseNo) -> NewFinding {
    let first = devices.first();
    let owner = first.map(|device| device.owner.clone());
    let is_one_owners = devices
        .iter()
        .all(|device| Some(&device.owner) == owner.as_ref());
    let named: Vec<_> = devices
        .iter()
        .take(10)
        .map(|it| it.id.to_string())
        .collect();
    NewFinding {
        matter: matter(CompromiseKind::Key, &new.what.name()),
        summary: format!(
            "The key of {} is in other hands ({}). Its certificates are revoked and the key is never \
             certified again: enroll with a new key, which takes a one-time secret or the maker's \
             identity.",
            named.join(", "),
            new.why
        ),
        evidence: vec![format!("compromise {no}")],
        owner: owner.filter(|_| is_one_owners),
        criticality: devices
            .iter()
            .map(|device| device.criticality)
            .max()
            .unwrap_or_default(),
    }
}

fn to_move(new: &NewCompromise, no: CompromiseNo) -> NewFinding {
    NewFinding {
        matter: matter(CompromiseKind::Issuer, &new.what.name()),
        summary: format!(
            "The key of issuer {} is in other hands ({}). It signs nothing new. {} devices rest on it. Let \
             another take over (`tenure issuer rollover status {}` says what comes next), let them renew, \
             and withdraw wave by wave; `tenure compromise show {no}` tells how far it is.",
            new.what.name(),
            new.why,
            new.devices,
            new.what.name(),
        ),
        evidence: vec![format!("compromise {no}")],
        owner: None,
        criticality: Criticality::Safety,
    }
}

fn listed_key(list: &Slug, row: &CertificateRow, device: &Device) -> NewFinding {
    NewFinding {
        matter: Matter {
            kind: FindingKind::ListedKey,
            subject: Subject::new(SubjectKind::Key, &row.key.to_string()),
            cause: list.to_string(),
        },
        summary: format!(
            "The key of {} (certificate {}) is on the list {list}: others know it. Withdraw it with \
             `tenure compromise key --spki {}`.",
            device.id, row.serial, row.key
        ),
        evidence: vec![format!("certificate {}", row.serial)],
        owner: Some(device.owner.clone()),
        criticality: device.criticality,
    }
}
