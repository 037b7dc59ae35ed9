//! Our own certificates: the servers' and the responders'. They are asked for like anyone's, under
//! built-in profiles, and renewed when two thirds of their life are over.

use std::sync::Arc;

use tenure_domain::ask::{Ask, Operation, Presented, Protocol, SystemCeremony, Via};
use tenure_domain::ids::{DeviceId, Slug};
use tenure_domain::issuer::{Issuer, IssuerKind, IssuerState};
use tenure_domain::rollover::root_of;
use tenure_domain::{CertificateRow, Status};
use tenure_store::certificate::{self, Certificate};
use tenure_store::{StoreError, device};
use tenure_x509::ocsp::Responder;
use tenure_x509::{Cert, Csr, Name, SanName, Time};

use crate::duty::integrate::LOG_KEY;
use crate::enroll::Answer;
use crate::fault::{FaultCause, Rejection};
use crate::signer::Key;
use crate::status::Desk;
use crate::{Engine, ceremony};

/// A certificate of ours with the certificates above it and its key.
#[derive(Debug, Clone)]
pub struct ServerIdentity {
    /// Leaf first, the root last: `login` compares the root's fingerprint. Before it what other roots
    /// certified of it, for devices that know only those.
    pub chain: Vec<Cert>,
    /// The key; it opens only the handshake door.
    pub key: Key,
}

impl Engine {
    /// Renews what is due and takes it into use. Returns how many were renewed.
    pub async fn renew_system(&self) -> Result<usize, Rejection> {
        let mut renewed = 0;
        let hosts = self.hosts().to_vec();
        if self.is_due(ceremony::SERVER, &hosts)? || self.is_by_outgoing(ceremony::SERVER)? {
            self.certify(
                ceremony::SERVER,
                ceremony::SERVER_PROFILE,
                hosts,
                None,
                "server certificate",
            )
            .await?;
            renewed += 1;
        }
        let issuers = Arc::clone(&self.snapshot().issuers);
        for issuer in issuers
            .iter()
            .filter(|issuer| issuer.kind == IssuerKind::Issuing)
        {
            let name = responder_name(issuer);
            if self.key(&name).is_some() && self.is_due(&name, &[])? {
                self.certify_responder(issuer).await?;
                renewed += 1;
            }
        }
        self.open_responders()?;
        if renewed > 0 {
            self.ring_system();
        }
        Ok(renewed)
    }

    /// The servers' identity, if there is one in force.
    pub fn server_identity(&self) -> Result<Option<ServerIdentity>, Rejection> {
        let Some(found) = self.newest(ceremony::SERVER)? else {
            return Ok(None);
        };
        let Some(key) = self.key(ceremony::SERVER) else {
            return Ok(None);
        };
        let mut chain = vec![found.cert];
        let issuers = self.snapshot();
        if let Some(issuer) = issuers
            .issuers
            .iter()
            .find(|issuer| issuer.no == found.row.issuer)
        {
            chain.push(issuer.certificate.clone());
            // Also of a root that is gone: who still knows only that one finds the way.
            let root = root_of(&issuers.issuers, issuer);
            let cross = root.into_iter().flat_map(|root| &root.cross);
            chain.extend(cross.map(|cross| cross.certificate.clone()));
            chain.extend(issuer.chain.iter().cloned());
        }
        Ok(Some(ServerIdentity { chain, key }))
    }

    /// A certificate for the responder of an issuer, by that issuer itself, which is the only one
    /// whose answers it may sign (RFC 6960 section 4.2.2.2).
    pub(crate) async fn certify_responder(&self, issuer: &Issuer) -> Result<(), Rejection> {
        self.certify(
            &responder_name(issuer),
            ceremony::OCSP_PROFILE,
            Vec::new(),
            Some(issuer.name.clone()),
            "responder certificate",
        )
        .await
        .map(drop)
    }

    /// Asks ourselves for a certificate of one of our system subjects, by this issuer if one is
    /// named.
    pub(crate) async fn certify(
        &self,
        subject: &str,
        profile: &'static str,
        names: Vec<SanName>,
        by: Option<Slug>,
        purpose: &'static str,
    ) -> Result<Arc<Certificate>, Rejection> {
        let key = self
            .key(subject)
            .ok_or_else(|| FaultCause::NoKey(subject.to_owned()))?;
        let nobody = Name::build(&[]).map_err(|_| FaultCause::Corrupt("empty name"))?;
        let request = key.request(&nobody)?;
        let csr = Csr::from_der(&request).map_err(|_| FaultCause::Corrupt("own request"))?;
        let device: DeviceId = subject
            .parse()
            .map_err(|_| FaultCause::Corrupt("system subject's name"))?;
        let profile: Slug = profile
            .parse()
            .map_err(|_| FaultCause::Corrupt("built-in profile's name"))?;
        let mut ceremony = SystemCeremony::danger_without_proof(device, profile, names, purpose);
        if let Some(issuer) = by {
            ceremony = ceremony.by(issuer);
        }
        match self.enroll(self.own_ask(csr, ceremony)).await? {
            Answer::Issued(certificate) => Ok(certificate),
            Answer::Pending { .. } => {
                Err(FaultCause::Corrupt("built-in rule: it does not hold our own asks").into())
            }
        }
    }

    /// An ask of our own.
    pub(crate) fn own_ask(&self, csr: Csr, ceremony: SystemCeremony) -> Ask {
        Ask {
            tenant: self.tenant(),
            via: Via {
                protocol: Protocol::System,
                label: None,
                source: None,
            },
            operation: Operation::Enroll,
            csr,
            presented: Presented {
                system: Some(ceremony),
                ..Presented::default()
            },
        }
    }

    fn newest(&self, subject: &str) -> Result<Option<Certificate>, Rejection> {
        let Ok(id) = subject.parse::<DeviceId>() else {
            return Ok(None);
        };
        let tenant = self.tenant();
        Ok(self.store().glance(|tx| {
            let Some(device) = device::by_id(tx, tenant, &id)? else {
                return Ok(None);
            };
            match certificate::head(tx, device.no)? {
                Some(head) => certificate::by_no(tx, head.row.no),
                None => Ok::<_, StoreError>(None),
            }
        })?)
    }

    fn is_due(&self, subject: &str, names: &[SanName]) -> Result<bool, Rejection> {
        let now = self.clock().now();
        Ok(self.newest(subject)?.is_none_or(|found| {
            let missing = names.iter().any(|name| !found.cert.san().contains(name));
            missing || is_old(&found.row, now)
        }))
    }

    /// Whether a certificate of ours is by an issuer that signs nothing new. Responders are not
    /// asked: theirs is always by the issuer they answer for.
    fn is_by_outgoing(&self, subject: &str) -> Result<bool, Rejection> {
        let snapshot = self.snapshot();
        let Some(found) = self.newest(subject)? else {
            return Ok(false);
        };
        let mut issuers = snapshot.issuers.iter();
        Ok(issuers.any(|issuer| {
            issuer.no == found.row.issuer
                && matches!(issuer.state, IssuerState::Tainted | IssuerState::Removed)
        }))
    }

    /// Makes the OCSP responders from the issuers and the responder certificates in force.
    pub(crate) fn open_responders(&self) -> Result<(), Rejection> {
        let mut desks = Vec::new();
        for issuer in self.snapshot().issuers.iter() {
            let name = responder_name(issuer);
            let (Some(key), Some(found)) = (self.key(&name), self.newest(&name)?) else {
                continue;
            };
            let responder = Responder::delegated(
                issuer.subject(),
                issuer.public_key(),
                &found.cert,
                key.algorithm(),
            );
            let responder = responder.map_err(|_| FaultCause::Corrupt("responder certificate"))?;
            desks.push(Desk {
                issuer: issuer.no,
                responder,
                key,
            });
        }
        self.responders().replace(desks);
        Ok(())
    }
}

impl Engine {
    /// The keys without which this house cannot do its work, and which are not at hand: those of its
    /// issuers, of their responders, and the log's.
    pub fn missing_keys(&self) -> Vec<String> {
        let snapshot = self.snapshot();
        let working = snapshot.issuers.iter().filter(|issuer| {
            issuer.kind != IssuerKind::Root && issuer.state != IssuerState::Removed
        });
        let of_issuer = |issuer: &Arc<Issuer>| {
            let answers = issuer.kind == IssuerKind::Issuing;
            let responder = answers.then(|| responder_name(issuer));
            [Some(issuer.key.clone()), responder].into_iter().flatten()
        };
        working
            .flat_map(of_issuer)
            .chain([LOG_KEY.to_owned()])
            .filter(|name| self.key(name).is_none())
            .collect()
    }
}

/// The system subject and key that answer for an issuer.
pub(crate) fn responder_name(issuer: &Issuer) -> String {
    responder_name_of(issuer.name.as_str())
}

pub(crate) fn responder_name_of(issuer: &str) -> String {
    format!("ocsp-{issuer}")
}

fn is_old(row: &CertificateRow, now: Time) -> bool {
    let begin = row.issued.unix();
    let life = row.validity.not_after.unix() - begin;
    row.status != Status::Issued || now.unix() >= begin + life / 3 * 2
}
