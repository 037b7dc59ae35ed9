//! The events that say much: what is recorded of a thing, field by field in alphabetical order.

use serde::Serialize;
use tenure_x509::{KeyHash, Serial, Time};

use crate::device::Criticality;
use crate::hook::{HookKind, Wire};
use crate::ids::DeviceId;
use crate::relying_party::{PeerProtocol, RevocationCheck, SessionCheck};
use crate::text;
use crate::trust_change::TrustChangeKind;

/// What is recorded of a device. Who the owner is stays; how to reach them does not enter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[allow(missing_docs)]
pub struct DeviceFields {
    pub class: String,
    pub criticality: Criticality,
    pub id: DeviceId,
    pub manufacturer: String,
    pub model: String,
    pub owner: String,
    pub serial: String,
    pub services: Vec<String>,
    pub site: String,
}

/// What is recorded of a relying party.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[allow(missing_docs)]
pub struct RelyingPartyFields {
    pub address: String,
    pub anchors_hash: String,
    pub checks: RevocationCheck,
    pub criticality: Criticality,
    pub enforce_within_s: i64,
    pub issuers: Vec<String>,
    pub name: String,
    pub owner: String,
    pub protocol: PeerProtocol,
    pub server_name: String,
    pub services: Vec<String>,
    pub session: SessionCheck,
    pub site: String,
}

/// What is recorded of a hook; never its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[allow(missing_docs)]
pub struct HookFields {
    pub address: String,
    pub again_after_s: i64,
    pub anchors_hash: String,
    pub audience: String,
    pub changes: Vec<TrustChangeKind>,
    pub criticality: Criticality,
    pub kind: HookKind,
    pub name: String,
    pub owner: String,
    pub topic: String,
    pub wire: Wire,
}

/// What is recorded of an issued certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[allow(missing_docs)]
pub struct IssuedFields {
    pub certificate_hash: String,
    pub evidence: String,
    pub facts_hash: String,
    pub issuer: String,
    #[serde(with = "text::key_hash")]
    pub key: KeyHash,
    #[serde(with = "text::time")]
    pub not_after: Time,
    #[serde(with = "text::time")]
    pub not_before: Time,
    pub policy: String,
    #[serde(with = "text::serial::option")]
    pub predecessor: Option<Serial>,
    pub profile: String,
    pub rule: String,
    #[serde(with = "text::serial")]
    pub serial: Serial,
    pub shard: u16,
    pub via: String,
}
