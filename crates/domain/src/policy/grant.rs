//! A grant: permission to make one specific certificate, used once.

use std::sync::Arc;

use tenure_x509::{KeyHash, Name, SanName, SignatureAlgorithm, Validity};

use crate::ask::Operation;
use crate::certificate::CertificateRow;
use crate::device::Device;
use crate::facts::ReplayKey;
use crate::ids::{CertificateNo, IssuerNo, SecretNo, Slug};
use crate::issuer::Issuer;
use crate::policy::PolicyHash;
use crate::profile::Profile;

/// The rule that decided, and the policy it stands in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleRef {
    /// The rule's name.
    pub rule: String,
    /// The policy's hash.
    pub policy: PolicyHash,
    /// The policy's version.
    pub version: i64,
}

/// Who will sign.
#[derive(Debug, Clone)]
pub enum GrantIssuer {
    /// An issuer we have.
    Ours(Arc<Issuer>),
    /// The certificate signs itself: a root is being made.
    Itself {
        /// The row the new root will have.
        no: IssuerNo,
        /// Its short name.
        name: Slug,
        /// Its key's algorithm.
        algorithm: SignatureAlgorithm,
    },
}

impl GrantIssuer {
    /// The issuer's row.
    pub fn no(&self) -> IssuerNo {
        match self {
            GrantIssuer::Ours(issuer) => issuer.no,
            GrantIssuer::Itself { no, .. } => *no,
        }
    }

    /// The issuer's short name.
    pub fn name(&self) -> &Slug {
        match self {
            GrantIssuer::Ours(issuer) => &issuer.name,
            GrantIssuer::Itself { name, .. } => name,
        }
    }
}

/// Permission to make one certificate. Only [`super::decide`] makes one, and drafting consumes it.
#[derive(Debug)]
pub struct Grant {
    pub(super) rule: RuleRef,
    pub(super) operation: Operation,
    pub(super) device: Arc<Device>,
    pub(super) profile: Arc<Profile>,
    pub(super) issuer: GrantIssuer,
    pub(super) validity: Validity,
    pub(super) subject: Name,
    pub(super) san: Vec<SanName>,
    pub(super) key: KeyHash,
    pub(super) asker: KeyHash,
    pub(super) predecessor: Option<CertificateRow>,
    pub(super) displaced: Option<CertificateNo>,
    pub(super) spends: Option<SecretNo>,
    pub(super) replay: ReplayKey,
    pub(super) as_stranger: Option<ReplayKey>,
    pub(super) evidence: &'static str,
}

impl Grant {
    /// The rule that allowed it.
    pub fn rule(&self) -> &RuleRef {
        &self.rule
    }

    /// What was asked for.
    pub fn operation(&self) -> Operation {
        self.operation
    }

    /// The device, as it was when we decided.
    pub fn device(&self) -> &Arc<Device> {
        &self.device
    }

    /// The profile.
    pub fn profile(&self) -> &Arc<Profile> {
        &self.profile
    }

    /// Who will sign.
    pub fn issuer(&self) -> &GrantIssuer {
        &self.issuer
    }

    /// From when to when.
    pub fn validity(&self) -> Validity {
        self.validity
    }

    /// The key that a one-time secret binds to: the same, unless the server made it.
    pub fn asker(&self) -> KeyHash {
        self.asker
    }

    /// The subject, computed.
    pub fn subject(&self) -> &Name {
        &self.subject
    }

    /// The alternative names, computed.
    pub fn san(&self) -> &[SanName] {
        &self.san
    }

    /// The only key it may be made for.
    pub fn key(&self) -> KeyHash {
        self.key
    }

    /// The certificate it will replace.
    pub fn predecessor(&self) -> Option<&CertificateRow> {
        self.predecessor.as_ref()
    }

    /// A head that nobody used and that is given up for this one.
    pub fn displaced(&self) -> Option<CertificateNo> {
        self.displaced
    }

    /// The one-time secret it spends.
    pub fn spends(&self) -> Option<SecretNo> {
        self.spends
    }

    /// What makes another ask the same ask.
    pub fn replay(&self) -> ReplayKey {
        self.replay
    }

    /// The same while nobody had registered the device: such an ask may still wait in quarantine.
    pub fn as_stranger(&self) -> Option<ReplayKey> {
        self.as_stranger
    }

    /// What kind of evidence it rests on, for the record.
    pub fn evidence(&self) -> &'static str {
        self.evidence
    }
}
