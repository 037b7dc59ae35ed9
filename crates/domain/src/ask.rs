//! An ask: someone wants a certificate, in the words of no protocol.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use tenure_x509::{Cert, Csr, KeyHash};

use crate::ids::{DeviceId, Slug, TenantId};
use crate::words::words;

words! {
    /// What is asked for.
    Operation ("operation") {
        /// A first certificate, or a new start.
        Enroll = "enroll" = 1,
        /// The successor of the certificate that authenticates the ask.
        Renew = "renew" = 2,
        /// A first certificate for a key the server makes.
        ServerKeygen = "server-keygen" = 3,
    }
    /// How an ask that was held stands.
    AskState ("state") {
        /// It waits for a decision.
        Waiting = "waiting" = 1,
        /// It waits, and nobody registered the device.
        Quarantined = "quarantined" = 5,
        /// It gets its certificate when it comes again.
        Approved = "approved" = 2,
        /// It was refused.
        Refused = "refused" = 3,
        /// It has its certificate.
        Answered = "answered" = 4,
    }
    /// How an ask reached us.
    Protocol ("protocol") {
        /// RFC 7030.
        Est = "est" = 1,
        /// The operator's API or command line.
        Operator = "operator" = 2,
        /// Our own standing duties.
        System = "system" = 3,
    }
}

/// The protocol and label an ask came through, and from where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Via {
    /// The protocol.
    pub protocol: Protocol,
    /// The label it was addressed to, which names a profile.
    pub label: Option<Slug>,
    /// The address it came from; used for limits and coalescing, never for trust.
    pub source: Option<IpAddr>,
}

/// What the other side showed, before anyone judged it. TLS has proved possession of the key of
/// `chain[0]` and nothing else; `secret` is only claimed.
#[derive(Clone, Default)]
pub struct Presented {
    /// The certificates of the TLS client, leaf first; empty if it showed none.
    pub chain: Vec<Cert>,
    /// The device id and one-time secret of HTTP Basic.
    pub secret: Option<PresentedSecret>,
    /// The key that signed the device's own request, where the certificate is to be for another one
    /// that the server makes. It stands for the asker: the key in the request is another each time.
    pub asker: Option<KeyHash>,
    /// The standing duty or operator that asks for one of our own system certificates.
    pub system: Option<SystemCeremony>,
}

impl std::fmt::Debug for Presented {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Presented")
            .field("chain", &self.chain.len())
            .field("secret", &self.secret.is_some())
            .field("system", &self.system)
            .finish()
    }
}

/// A device id and a secret as presented. Never shown, never logged.
#[derive(Clone)]
pub struct PresentedSecret {
    /// The device it claims to be.
    pub device: DeviceId,
    /// The secret, as text.
    pub secret: String,
}

/// An act of our own that needs a certificate: the making of an issuer, a responder or a server
/// certificate. Only the engine makes one; a protocol folder has no way to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SystemCeremony {
    device: DeviceId,
    profile: Slug,
    names: Vec<tenure_x509::SanName>,
    purpose: &'static str,
    issuer: Option<Slug>,
}

impl SystemCeremony {
    /// Declares that our own system subject `device` needs a certificate of `profile` for
    /// `purpose`, carrying `names`. Dangerous because it is believed without proof.
    pub fn danger_without_proof(
        device: DeviceId,
        profile: Slug,
        names: Vec<tenure_x509::SanName>,
        purpose: &'static str,
    ) -> SystemCeremony {
        SystemCeremony {
            device,
            profile,
            names,
            purpose,
            issuer: None,
        }
    }

    /// The same, to be signed by this issuer and no other.
    pub fn by(self, issuer: Slug) -> SystemCeremony {
        SystemCeremony {
            issuer: Some(issuer),
            ..self
        }
    }

    /// The issuer that must sign; the newest that may if none is named.
    pub fn issuer(&self) -> Option<&Slug> {
        self.issuer.as_ref()
    }

    /// The system subject.
    pub fn device(&self) -> &DeviceId {
        &self.device
    }

    /// The built-in profile.
    pub fn profile(&self) -> &Slug {
        &self.profile
    }

    /// The names the certificate shall carry.
    pub fn names(&self) -> &[tenure_x509::SanName] {
        &self.names
    }

    /// Why, in a few words for the record.
    pub fn purpose(&self) -> &'static str {
        self.purpose
    }
}

/// Someone wants something.
#[derive(Debug, Clone)]
pub struct Ask {
    /// Whose fleet it concerns.
    pub tenant: TenantId,
    /// How it came.
    pub via: Via,
    /// What is asked for.
    pub operation: Operation,
    /// The verified request.
    pub csr: Csr,
    /// What the other side showed.
    pub presented: Presented,
}

impl Ask {
    /// What a stranger is known by: the fingerprint of the certificate that was shown.
    pub fn stranger(&self) -> Option<String> {
        let leaf = self.presented.chain.first()?;
        Some(format!(
            "certificate {}",
            crate::text::hex(&leaf.fingerprint())
        ))
    }

    /// The key by which the same ask is known again, and to which a secret binds.
    pub fn asker(&self) -> KeyHash {
        self.presented
            .asker
            .unwrap_or_else(|| self.csr.public_key().hash())
    }
}
