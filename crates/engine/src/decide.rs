//! Decisions: may this device be let in there, now? Read the facts in one snapshot, decide, and see to
//! it that the verdict can be made again.
//!
//! A verdict is kept in memory until it ends by its own words, and no longer than until the next
//! withdrawal or other change is on record: the same bell that empties the OCSP answers empties
//! these. What the record gets of it is in [`crate::verdicts`].

use tenure_domain::certificate::CertificateRow;
use tenure_domain::decision::{
    Access, CertificateFacts, ClientUse, Clock, DecisionFacts, DeviceFacts, Kept, Meant,
    OpenFinding, OpenIncident, Place, Purpose, Question, Shown, VALID_FOR_S, Verdict, VerdictId,
    decide,
};
use tenure_domain::exception::ActiveException;
use tenure_domain::facts::clock_went_back;
use tenure_domain::finding::{FindingKind, FindingState, Subject, SubjectKind};
use tenure_domain::ids::{CertificateNo, Slug};
use tenure_domain::incident::IncidentState;
use tenure_domain::issuer::IssuerState;
use tenure_domain::policy::document;
use tenure_domain::relying_party::RelyingParty;
use tenure_domain::rollover::is_of_lines;
use tenure_domain::text::hex;
use tenure_domain::{Device, Refusal, Status};
use tenure_store::{
    ReadTx, StoreError, attestation, certificate, device, finding, incident, registry,
    relying_party, verdict,
};
use tenure_x509::{Cert, Serial, Time, oid, sha256};

use crate::Engine;
use crate::duty::publish::List;
use crate::fault::{FaultCause, Rejection};
use crate::snapshot::Snapshot;
use crate::verdicts::{Asked, Fresh, KnownAlarm};

/// What the asker knows of the identity. That the other side holds the key is for the asker to see
/// to: it made the connection.
#[derive(Debug, Clone)]
pub enum Identity {
    /// Nothing but the device's name, or not even that.
    Named,
    /// A certificate's serial.
    Serial {
        /// Its issuer, where two issuers used the same serial.
        issuer: Option<Slug>,
        /// The serial.
        serial: Serial,
        /// The SHA-256 of the certificate's DER, if known.
        fingerprint: Option<[u8; 32]>,
    },
    /// The SHA-256 of a certificate's DER, and nothing else.
    Fingerprint([u8; 32]),
    /// The certificate itself.
    Certificate(Cert),
}

/// May this one be let in there?
#[derive(Debug, Clone)]
pub struct DecideAsk {
    /// What was shown.
    pub identity: Identity,
    /// Where it wants to go.
    pub question: Question,
}

/// A verdict with its name.
#[derive(Debug, Clone)]
pub struct Decided {
    /// Its name, under which it can be made again.
    pub id: VerdictId,
    /// The verdict.
    pub verdict: Verdict,
    /// The certificate that it rests on, if it was not yet seen in use.
    pub unseen: Option<(Slug, Serial)>,
    /// The device, if it is known.
    pub device: Option<tenure_domain::DeviceId>,
}

/// A verdict made again from what was kept.
#[derive(Debug, Clone)]
pub struct Replayed {
    /// What was asked.
    pub question: Question,
    /// What was known.
    pub facts: DecisionFacts,
    /// What comes of it.
    pub verdict: Verdict,
    /// Whether that is what was said then.
    pub agreement: Agreement,
    /// What was said then.
    pub said: Vec<String>,
}

/// Whether a verdict made again is the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Agreement {
    /// It is.
    Same,
    /// It is not: what was kept, or the program, has changed.
    Different,
}

impl Engine {
    /// Says whether a device may be let in. Reads a few rows on this thread if the same was not
    /// asked within the last seconds.
    pub fn decide(&self, ask: &DecideAsk) -> Result<Decided, Rejection> {
        let (now, clock) = self.now_for_deciding();
        // Read before everything else is: a change recorded in between makes the verdict unkept.
        let generation = self.verdicts().generation();
        let snapshot = self.snapshot();
        let mut question = ask.question.clone();
        if !snapshot
            .policy
            .decisions
            .asks_for_source(question.service.as_ref())
        {
            question.source = None;
        }
        let asked = Asked::new(&ask.identity, &question);
        self.counters().decided.inc();
        if let Some(known) = self.verdicts().kept(&asked, now) {
            return Ok(known);
        }
        let about = |tx: &ReadTx<'_>| {
            let (mut facts, alarm) = self.about(tx, &ask.identity, &question, &snapshot, now)?;
            facts.clock = clock;
            Ok::<_, Rejection>((facts, alarm))
        };
        // Whoever is let in may be so on facts a few milliseconds old, in which nothing was withdrawn
        // since; nobody is turned away who has just come to be known.
        let (mut facts, mut alarm) = self.store().peek(about)?;
        let mut verdict = decide(&snapshot.policy.decisions, &question, &facts, now);
        if verdict.access != Access::Allow {
            (facts, alarm) = self.store().glimpse(about)?;
            verdict = decide(&snapshot.policy.decisions, &question, &facts, now);
        }
        let body = serde_json::to_vec(&(&question, &facts))
            .map_err(|_| FaultCause::Corrupt("facts: they cannot be written"))?;
        let hash = sha256(&body);
        let unseen = match &facts.shown {
            Shown::Certificate(shown) if shown.first_used.is_none() => {
                Some((shown.issuer.clone(), shown.serial.clone()))
            }
            _ => None,
        };
        let decided = Decided {
            id: VerdictId::new(&hash, now),
            verdict,
            unseen,
            device: facts.device.as_ref().map(|device| device.id.clone()),
        };
        self.verdicts().keep(
            asked,
            generation,
            Fresh {
                decided: decided.clone(),
                question,
                facts,
                alarm,
                body,
            },
        );
        Ok(decided)
    }

    /// Makes a verdict again from what was kept of it.
    pub fn replay(&self, id: &VerdictId) -> Result<Replayed, Rejection> {
        let kept = self
            .store()
            .glance(|tx| verdict::by_id(tx, &id.facts))?
            .or_else(|| self.verdicts().recent(&id.facts));
        let gone = || Refusal::NotFound {
            what: format!(
                "verdict {id} any more: what it rested on was erased, or it was about someone \
                 unknown and many others came since"
            ),
        };
        let kept = kept.ok_or_else(gone)?;
        if VerdictId::new(&sha256(&kept.body), id.at) != *id {
            return Err(FaultCause::Corrupt("verdict: its facts are not what was hashed").into());
        }
        let (question, facts): (Question, DecisionFacts) = serde_json::from_slice(&kept.body)
            .map_err(|_| FaultCause::Corrupt("verdict: its facts cannot be read"))?;
        let (version, tenant) = (facts.policy.0, self.tenant());
        let text = self
            .store()
            .glance(|tx| tenure_store::policy::at_version(tx, tenant, version))?
            .ok_or(FaultCause::Corrupt("verdict: its policy is gone"))?;
        let policy =
            document::parse(&text, version).map_err(|_| FaultCause::Corrupt("policy document"))?;
        let verdict = decide(&policy.decisions, &question, &facts, id.at);
        let is_said = kept.outcomes.contains(&verdict.outcome());
        // On the same facts time alone turns a verdict, and never back. So if nothing is left of the
        // time before this one, what was said then was erased.
        if !is_said && kept.first > id.at {
            return Err(gone().into());
        }
        let is_same = policy.hash.to_string() == facts.policy.1 && is_said;
        Ok(Replayed {
            question,
            facts,
            agreement: match is_same {
                true => Agreement::Same,
                false => Agreement::Different,
            },
            verdict,
            said: kept.outcomes,
        })
    }

    /// The time, and whether it can be believed.
    fn now_for_deciding(&self) -> (Time, Clock) {
        let (now, last) = (self.clock().now(), self.store().last_recorded());
        match clock_went_back(now, last) {
            true => (now.max(last), Clock::Behind),
            false => (now.max(last), Clock::Sound),
        }
    }

    /// Everything that a decision may look at, in one snapshot of the store.
    fn about(
        &self,
        tx: &ReadTx<'_>,
        identity: &Identity,
        question: &Question,
        snapshot: &Snapshot,
        now: Time,
    ) -> Result<(DecisionFacts, KnownAlarm), Rejection> {
        let tenant = self.tenant();
        let party = match &question.party {
            Some(name) => relying_party::by_name(tx, tenant, name.as_str())?,
            None => None,
        };
        let party = party.map(|known| known.party);
        let (mut shown, holder) = self.shown(tx, identity, question, snapshot)?;
        if let Shown::Certificate(shown) = &mut shown {
            place_issuer(shown, snapshot, party.as_ref());
        }
        let withdrawals = match &shown {
            Shown::Certificate(_) => holder
                .certificate
                .as_ref()
                .map_or(Kept::NotYet, |row| self.kept_until(row, snapshot, now)),
            _ => Kept::Current,
        };
        let (mut incidents, mut findings) = (Vec::new(), Vec::new());
        let mut alarm = KnownAlarm::None;
        if let Some(device) = &holder.device {
            incidents = open_incidents(tx, device)?;
            let mut subjects = vec![Subject::device(&device.id)];
            if let Shown::Certificate(shown) = &shown {
                let serial = shown.serial.to_string();
                subjects.push(Subject::new(SubjectKind::Certificate, &serial));
            }
            for subject in &subjects {
                for found in open_findings(tx, tenant, subject)? {
                    match found.kind {
                        // The incident itself counts.
                        FindingKind::Incident => {}
                        // What a decision said itself is no reason for the next one.
                        FindingKind::FailOperational => alarm = KnownAlarm::Raised,
                        _ => findings.push(found),
                    }
                }
            }
        }
        let (mut device, mut attestations) = (None, Vec::new());
        if let Some(known) = holder.device {
            let said = attestation::of_device(tx, known.no)?;
            attestations = said.into_iter().map(|it| it.said).collect();
            device = Some(described(tx, known)?);
        }
        let exceptions = match &device {
            Some(device) => active_for(snapshot, device, now),
            None => Vec::new(),
        };
        let policy = &snapshot.policy;
        let facts = DecisionFacts {
            policy: (policy.version, policy.hash.to_string()),
            shown,
            device,
            incidents,
            findings,
            attestations,
            exceptions,
            withdrawals,
            clock: Clock::Sound,
            enforce_within_s: party.map(|party| party.enforce_within_s),
        };
        Ok((facts, alarm))
    }

    /// Which certificate was shown, and whose it is.
    fn shown(
        &self,
        tx: &ReadTx<'_>,
        identity: &Identity,
        question: &Question,
        snapshot: &Snapshot,
    ) -> Result<(Shown, Holder), Rejection> {
        let row = match identity {
            Identity::Named => {
                let Some(id) = &question.device else {
                    return Ok((Shown::Nothing, Holder::default()));
                };
                let Some(device) = device::by_id(tx, self.tenant(), id)? else {
                    return Ok((Shown::Nothing, Holder::default()));
                };
                match certificate::head(tx, device.no)? {
                    Some(head) => head.row,
                    None => {
                        let holder = Holder {
                            certificate: None,
                            device: Some(device),
                        };
                        return Ok((Shown::Nothing, holder));
                    }
                }
            }
            Identity::Serial { issuer, serial, .. } => {
                let mut rows = certificate::find_serial(tx, serial)?;
                rows.retain(|row| issuer.as_ref().is_none_or(|name| row.issuer_name == *name));
                if rows.len() > 1 {
                    let what = format!("serial {serial} is of two issuers; say which one");
                    return Err(Refusal::Conflict { what }.into());
                }
                match rows.pop() {
                    Some(row) => row,
                    None => {
                        let serial = serial.to_string();
                        return Ok((Shown::UnknownSerial { serial }, Holder::default()));
                    }
                }
            }
            Identity::Fingerprint(fingerprint) => return self.printed(tx, fingerprint),
            Identity::Certificate(leaf) => {
                let Some(issuer) = snapshot.issuer_named(leaf.issuer()) else {
                    let fingerprint = hex(&leaf.fingerprint());
                    return Ok((Shown::UnknownIssuer { fingerprint }, Holder::default()));
                };
                match certificate::by_serial(tx, issuer.no, leaf.serial())? {
                    Some(row) => row,
                    None => {
                        let serial = leaf.serial().to_string();
                        return Ok((Shown::NotOurs { serial }, Holder::default()));
                    }
                }
            }
        };
        ours(tx, identity, row)
    }

    /// The certificate with this fingerprint.
    fn printed(
        &self,
        tx: &ReadTx<'_>,
        fingerprint: &[u8; 32],
    ) -> Result<(Shown, Holder), Rejection> {
        for no in self.fingerprints().candidates(tx, fingerprint)? {
            let Some(row) = certificate::row(tx, no)? else {
                continue;
            };
            match ours(tx, &Identity::Fingerprint(*fingerprint), row)? {
                (Shown::NotOurs { .. }, _) => {}
                found => return Ok(found),
            }
        }
        let fingerprint = hex(fingerprint);
        Ok((Shown::UnknownFingerprint { fingerprint }, Holder::default()))
    }

    /// Whether withdrawals of this certificate would be known. They would if the list that would name
    /// it is made again and again, and if, after a start, what was published before was compared
    /// with the record.
    fn kept_until(&self, row: &CertificateRow, snapshot: &Snapshot, now: Time) -> Kept {
        let issuer = snapshot
            .issuers
            .iter()
            .find(|issuer| issuer.no == row.issuer);
        let Some(issuer) = issuer else {
            return Kept::NotYet;
        };
        if self.key(&issuer.key).is_some() && self.lists().is_first(&issuer.name) {
            return Kept::NotYet;
        }
        match self.published_list(&issuer.name, List::Shard(row.shard)) {
            None => Kept::NotYet,
            Some(list) if list.next_update > now.plus(*VALID_FOR_S.end()) => Kept::Current,
            Some(list) => Kept::Until {
                at: list.next_update,
            },
        }
    }
}

/// The exceptions for a device that are active, in their order.
fn active_for(snapshot: &Snapshot, device: &DeviceFacts, now: Time) -> Vec<ActiveException> {
    let exceptions = snapshot.exceptions.iter();
    exceptions
        .filter(|one| now < one.until && one.scope.holds(device))
        .map(|one| ActiveException {
            no: one.no.0,
            lifts: one.lifts.clone(),
            until: one.until,
        })
        .collect()
}

/// Says where a certificate's issuer stands, and whether the asking relying party is for its devices.
/// One that is not known any more counts as removed.
fn place_issuer(shown: &mut CertificateFacts, snapshot: &Snapshot, party: Option<&RelyingParty>) {
    let issuers = &snapshot.issuers;
    let Some(issuer) = issuers.iter().find(|issuer| issuer.name == shown.issuer) else {
        return;
    };
    shown.issuer_state = issuer.state;
    let named = party.map_or(&[][..], |party| &party.issuers);
    if is_of_lines(issuers, named, issuer) {
        shown.meant = Meant::Here;
    }
}

/// Whose certificate it is.
#[derive(Default)]
struct Holder {
    certificate: Option<CertificateRow>,
    device: Option<Device>,
}

/// A certificate whose row we have: is it the one that was shown?
fn ours(
    tx: &ReadTx<'_>,
    identity: &Identity,
    row: CertificateRow,
) -> Result<(Shown, Holder), Rejection> {
    let issued = certificate::der(tx, row.no)?;
    let serial = row.serial.to_string();
    let fingerprint = issued.as_deref().map(sha256);
    let is_the_one = match identity {
        Identity::Named => true,
        Identity::Serial {
            fingerprint: shown, ..
        } => shown.is_none() || *shown == fingerprint,
        Identity::Fingerprint(shown) => fingerprint.as_ref() == Some(shown),
        Identity::Certificate(leaf) => issued.as_deref() == Some(leaf.der()),
    };
    if !is_the_one {
        return Ok((Shown::NotOurs { serial }, Holder::default()));
    }
    let cert = issued.as_deref().map(Cert::from_der).transpose();
    let cert = cert.map_err(|_| StoreError::Unreadable {
        what: "cert_der.der",
    })?;
    let client = match cert.as_ref().map(Cert::ext_key_usage) {
        // One that was never released serves nobody, which its status says.
        None | Some(None) => ClientUse::Allowed,
        Some(Some(usages)) if usages.contains(&oid::CLIENT_AUTH) => ClientUse::Allowed,
        Some(Some(_)) => ClientUse::Forbidden,
    };
    let device = device::by_no(tx, row.device)?;
    let is_newest = match &device {
        Some(device) => is_head(tx, device, row.no)?,
        None => false,
    };
    let facts = CertificateFacts {
        issuer: row.issuer_name.clone(),
        // Both are said by who knows the issuers.
        issuer_state: IssuerState::Removed,
        meant: Meant::Elsewhere,
        serial: row.serial.clone(),
        fingerprint: fingerprint.map(|hash| hex(&hash)).unwrap_or_default(),
        status: row.status,
        reason: match row.status {
            Status::Revoked | Status::Held => row.revocation.as_ref().map(|how| how.reason),
            Status::Reserved | Status::Voided | Status::Issued | Status::Replaced => None,
        },
        standstill: row.standstill,
        client,
        place: match is_newest {
            true => Place::Newest,
            false => Place::Earlier,
        },
        not_before: row.validity.not_before,
        not_after: row.validity.not_after,
        first_used: row.first_used,
        log_index: certificate::log_index(tx, row.no)?,
    };
    let holder = Holder {
        certificate: Some(row),
        device,
    };
    Ok((Shown::Certificate(Box::new(facts)), holder))
}

/// Whether a certificate is the newest of its device. Canaries are made several at a time.
fn is_head(tx: &ReadTx<'_>, device: &Device, no: CertificateNo) -> Result<bool, StoreError> {
    if is_canary(device) {
        return Ok(true);
    }
    let head = certificate::head(tx, device.no)?;
    Ok(head.is_some_and(|head| head.row.no == no))
}

fn is_canary(device: &Device) -> bool {
    device.class.as_str() == tenure_domain::canary::CLASS
}

fn described(tx: &ReadTx<'_>, device: Device) -> Result<DeviceFacts, StoreError> {
    let around = registry::site::around(tx, device.tenant, &device.site)?;
    Ok(DeviceFacts {
        no: device.no,
        version: device.version,
        standing: device.standing,
        around,
        purpose: match is_canary(&device) {
            true => Purpose::Canary,
            false => Purpose::Work,
        },
        class: device.class,
        site: device.site,
        owner: device.owner,
        services: device.services,
        criticality: device.criticality,
        id: device.id,
    })
}

fn open_incidents(tx: &ReadTx<'_>, device: &Device) -> Result<Vec<OpenIncident>, StoreError> {
    let known = incident::of_device(tx, device.no)?;
    let open = known
        .into_iter()
        .filter(|incident| incident.state == IncidentState::Open);
    Ok(open
        .map(|incident| OpenIncident {
            no: incident.no.0,
            kind: incident.kind,
        })
        .collect())
}

fn open_findings(
    tx: &ReadTx<'_>,
    tenant: tenure_domain::TenantId,
    subject: &Subject,
) -> Result<Vec<OpenFinding>, StoreError> {
    let known = finding::about(tx, tenant, subject)?;
    let open = |state| match state {
        FindingState::Open => true,
        FindingState::Acknowledged | FindingState::Cleared => false,
    };
    Ok(known
        .into_iter()
        .filter(|found| open(found.state))
        .map(|found| OpenFinding {
            no: found.no.0,
            kind: found.matter.kind,
            times: found.times,
        })
        .collect())
}
