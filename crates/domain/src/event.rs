//! An event: something that happened, past tense; the only vocabulary of the record.
//!
//! A leaf of the record is the canonical JSON (RFC 8785) of an [`Entry`] with its salt and the time
//! it was recorded. It is encoded once, by [`Entry::told`] and [`Told::leaf`], and never again: the fields of every
//! struct here are declared in alphabetical order so that writing them in order *is* the canonical
//! form, which a test checks for every variant. No leaf holds personal data.

mod fields;

use serde::Serialize;
use tenure_x509::{KeyHash, Reason, Serial, Time};

use crate::attestation::AttestationResult;
use crate::canary::{ProbeScope, ProbeVerdict};
use crate::compromise::ProofOfCompromise;
use crate::device::{Criticality, Standing};
use crate::drill::{DrillKind, DrillVerdict};
use crate::feed::Way;
use crate::ids::{CertificateNo, DeviceId, DeviceNo, OperatorNo, TenantId};
use crate::issuer::IssuerState;
use crate::operator::{Actor, Role};
use crate::text;

pub use fields::{DeviceFields, HookFields, IssuedFields, RelyingPartyFields};

/// What happened. New variants go at the end of their group; none is ever changed or removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)] // The field names are the documentation an auditor reads in the leaf itself.
pub enum Event {
    // The registry.
    OwnerAdded {
        contact_hash: String,
        name: String,
    },
    OwnerChanged {
        contact_hash: String,
        name: String,
    },
    SiteAdded {
        name: String,
        parent: Option<String>,
    },
    SiteChanged {
        name: String,
        parent: Option<String>,
    },
    ClassAdded {
        class: String,
        hash: String,
    },
    ClassChanged {
        class: String,
        hash: String,
    },
    ServiceAdded {
        name: String,
    },
    ServiceChanged {
        name: String,
    },
    ManufacturerAdded {
        name: String,
        roots: Vec<String>,
    },
    ManufacturerChanged {
        name: String,
        roots: Vec<String>,
    },
    DeviceRegistered(DeviceFields),
    DeviceChanged(DeviceFields),
    DeviceStandingChanged {
        from: Standing,
        to: Standing,
        why: String,
    },
    DeviceRecognised {
        anchor: String,
    },
    ImportStarted {
        import: String,
        rows: u64,
    },
    ImportFinished {
        added: u64,
        changed: u64,
        import: String,
        unchanged: u64,
    },

    // Enrollment.
    SecretIssued {
        expires: String,
    },
    SecretRefused {
        why: String,
    },
    CertificateReserved {
        issuer: String,
        #[serde(with = "text::key_hash")]
        key: KeyHash,
        #[serde(with = "text::serial")]
        serial: Serial,
        tbs_hash: String,
    },
    CertificateIssued(Box<IssuedFields>),
    CertificateVoided {
        issuer: String,
        #[serde(with = "text::serial")]
        serial: Serial,
        why: String,
    },
    AskHeld {
        #[serde(with = "text::key_hash")]
        key: KeyHash,
        reason: String,
    },
    AskApproved {
        #[serde(with = "text::key_hash")]
        key: KeyHash,
    },
    AskRefusedByOperator {
        #[serde(with = "text::key_hash")]
        key: KeyHash,
    },
    AskRefused {
        reason: String,
        rule: String,
    },
    /// Refusals of strangers, counted per listener, source prefix, reason and minute.
    StrangersRefused {
        count: u64,
        listener: String,
        minute: String,
        reason: String,
        source_hash: String,
    },
    RepairApproved {
        why: String,
    },

    // Withdrawal.
    CertificateRevoked {
        #[serde(with = "text::time::option")]
        invalidity: Option<Time>,
        issuer: String,
        #[serde(with = "text::reason")]
        reason: Reason,
        #[serde(with = "text::serial")]
        serial: Serial,
    },
    CertificateHeld {
        issuer: String,
        #[serde(with = "text::serial")]
        serial: Serial,
        why: String,
    },
    CertificateReleased {
        issuer: String,
        #[serde(with = "text::serial")]
        serial: Serial,
    },
    CertificateFirstUsed {
        #[serde(with = "text::serial")]
        serial: Serial,
        service: String,
    },
    /// Lists, filters and OCSP answers of one UTC day. A day in which a server stops is told in parts.
    StatusSigned {
        count: u64,
        day: String,
        issuer: String,
    },

    // Incidents.
    IncidentOpened {
        incident: i64,
        kind: String,
        serials: Vec<String>,
    },
    IncidentResolved {
        incident: i64,
        outcome: String,
    },

    // Findings.
    FindingOpened {
        cause: String,
        criticality: Criticality,
        evidence: Vec<String>,
        finding: i64,
        kind: String,
        owner: Option<String>,
        subject: String,
        times: i64,
    },
    FindingAcknowledged {
        finding: i64,
        why: String,
    },
    FindingCleared {
        finding: i64,
        why: String,
    },

    // Relying parties.
    RelyingPartyAdded(Box<RelyingPartyFields>),
    RelyingPartyChanged(Box<RelyingPartyFields>),
    RelyingPartyRemoved {
        name: String,
    },
    /// One probe: what became of each canary, as `valid of issuing-1: accepted (HTTP 200)`.
    RelyingPartyProbed {
        enforced_ms: Option<i64>,
        name: String,
        probe: i64,
        scope: ProbeScope,
        trials: Vec<String>,
        verdict: ProbeVerdict,
    },
    /// New manifests for so many relying parties. The digest is over a line for each, in the order
    /// of their names: `NAME SEQUENCE HASH`.
    FeedsOffered {
        digest: String,
        feeds: u64,
    },
    /// A relying party says that it applied a manifest.
    FeedApplied {
        manifest: String,
        name: String,
        sequence: i64,
        way: Way,
    },

    // Decisions.
    /// The first verdict that rests on these facts.
    AccessDecided {
        access: String,
        facts_hash: String,
        party: Option<String>,
        reasons: Vec<String>,
        service: Option<String>,
        tier: String,
        verdict: String,
    },
    /// Denials, counted per device, relying party, service, reason and minute.
    AccessDenied {
        count: u64,
        minute: String,
        party: Option<String>,
        reason: String,
        service: Option<String>,
    },
    /// What a verifier says of a device.
    DeviceAttested {
        evidence_hash: String,
        #[serde(with = "text::time")]
        made: Time,
        result: AttestationResult,
        verifier: String,
    },
    ExceptionAdded {
        exception: i64,
        lifts: Vec<String>,
        reason: String,
        scope: String,
        #[serde(with = "text::time")]
        until: Time,
    },
    ExceptionApproved {
        exception: i64,
    },
    ExceptionEnded {
        exception: i64,
        why: String,
    },
    ExceptionLapsed {
        exception: i64,
    },
    /// An operator lets another one withdraw more than one may alone.
    RevocationsPermitted {
        operator: i64,
        permit: i64,
        revocations: u32,
        #[serde(with = "text::time")]
        until: Time,
        why: String,
    },

    // Hooks.
    HookAdded(Box<HookFields>),
    HookChanged(Box<HookFields>),
    HookRemoved {
        name: String,
    },
    HookSetBack {
        after: i64,
        name: String,
    },

    // Compromises and drills.
    KeyCompromised {
        certificates: u64,
        devices: u64,
        how: ProofOfCompromise,
        #[serde(with = "text::time::option")]
        invalidity: Option<Time>,
        #[serde(with = "text::key_hash")]
        key: KeyHash,
        why: String,
    },
    IssuerCompromised {
        certificates: u64,
        devices: u64,
        issuer: String,
        why: String,
    },
    KeysListed {
        added: u64,
        hash: String,
        list: String,
    },
    DrillBegan {
        drill: i64,
        kind: DrillKind,
        subjects: Vec<String>,
    },
    /// What a drill came to: each step as `good enrollment: …`, and the hash of the whole result.
    DrillEnded {
        drill: i64,
        kind: DrillKind,
        result_hash: String,
        steps: Vec<String>,
        subjects: Vec<String>,
        verdict: DrillVerdict,
    },

    // Issuers, policy, operators and the house itself.
    IssuerCreated {
        algorithm: String,
        certificate_hash: String,
        issuer: String,
        shards: u16,
    },
    IssuerChanged {
        base_url: String,
        issuer: String,
    },
    /// An issuer was made to follow another.
    RolloverBegun {
        issuer: String,
        replaces: String,
    },
    /// The key of a root was certified by another root.
    RootCrossCertified {
        by: String,
        issuer: String,
        #[serde(with = "text::serial")]
        serial: Serial,
    },
    IssuerMoved {
        exceptions: Vec<String>,
        from: IssuerState,
        issuer: String,
        to: IssuerState,
        why: String,
    },
    /// All that a relying party was reported to trust; anchors by SHA-256.
    TrustStoreReported {
        added: Vec<String>,
        anchors: u64,
        name: String,
        removed: Vec<String>,
    },
    TrustStoreBudgeted {
        anchors_max: u32,
        name: String,
    },
    /// An anchor that is not ours may be held.
    AnchorRegistered {
        fingerprint: String,
        owner: String,
        relying_parties: Vec<String>,
        #[serde(with = "text::time")]
        until: Time,
        why: String,
    },
    /// An anchor is taken out of what a relying party is meant to hold; the proof says why nothing
    /// needs it.
    AnchorPruned {
        fingerprint: String,
        name: String,
        proof: String,
        why: String,
    },
    AnchorRestored {
        fingerprint: String,
        name: String,
        why: String,
    },
    PolicyApplied {
        hash: String,
        version: i64,
    },
    TokenCreated {
        name: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        party: Option<String>,
        role: Role,
        token: i64,
    },
    TokenRevoked {
        name: String,
        token: i64,
    },
    KeyRewrapped {
        key: String,
    },
    ExportMade {
        hash: String,
        what: String,
    },
    BackupCreated {
        hash: String,
    },
    BackupRestored {
        from: String,
    },
    ServerStarted {
        version: String,
    },
    ServerStopped {},
    LogOriginChanged {
        new: String,
        old: String,
    },
    /// A server started with a clock so far behind the last event before.
    ClockSetBack {
        behind_s: i64,
    },
}

macro_rules! kinds {
    ($($variant:ident = $word:literal = $code:literal),+ $(,)?) => {
        impl Event {
            /// The number the store keeps for the kind; never reused.
            pub fn code(&self) -> i64 {
                match self { $(Event::$variant { .. } => $code),+ }
            }

            /// The word for the kind, as it stands in the leaf.
            pub fn word(&self) -> &'static str {
                match self { $(Event::$variant { .. } => $word),+ }
            }

            /// The word for a stored number.
            pub fn word_of(code: i64) -> Option<&'static str> {
                match code { $($code => Some($word),)+ _ => None }
            }
        }
    };
}

kinds! {
    OwnerAdded = "owner-added" = 1,
    OwnerChanged = "owner-changed" = 2,
    SiteAdded = "site-added" = 3,
    SiteChanged = "site-changed" = 4,
    ClassAdded = "class-added" = 5,
    ClassChanged = "class-changed" = 6,
    ServiceAdded = "service-added" = 7,
    ServiceChanged = "service-changed" = 8,
    ManufacturerAdded = "manufacturer-added" = 9,
    ManufacturerChanged = "manufacturer-changed" = 10,
    DeviceRegistered = "device-registered" = 11,
    DeviceChanged = "device-changed" = 12,
    DeviceStandingChanged = "device-standing-changed" = 13,
    DeviceRecognised = "device-recognised" = 14,
    ImportStarted = "import-started" = 15,
    ImportFinished = "import-finished" = 16,
    SecretIssued = "secret-issued" = 20,
    SecretRefused = "secret-refused" = 21,
    CertificateReserved = "certificate-reserved" = 22,
    CertificateIssued = "certificate-issued" = 23,
    CertificateVoided = "certificate-voided" = 24,
    AskHeld = "ask-held" = 25,
    AskApproved = "ask-approved" = 26,
    AskRefusedByOperator = "ask-refused-by-operator" = 27,
    AskRefused = "ask-refused" = 28,
    StrangersRefused = "strangers-refused" = 29,
    RepairApproved = "repair-approved" = 30,
    CertificateRevoked = "certificate-revoked" = 40,
    CertificateHeld = "certificate-held" = 41,
    CertificateReleased = "certificate-released" = 42,
    CertificateFirstUsed = "certificate-first-used" = 43,
    // Not 44: an epoch changes with what is revoked, held, released or voided, which says so.
    StatusSigned = "status-signed" = 45,
    IncidentOpened = "incident-opened" = 50,
    IncidentResolved = "incident-resolved" = 51,
    FindingOpened = "finding-opened" = 52,
    FindingAcknowledged = "finding-acknowledged" = 53,
    FindingCleared = "finding-cleared" = 54,
    RelyingPartyAdded = "relying-party-added" = 80,
    RelyingPartyChanged = "relying-party-changed" = 81,
    RelyingPartyRemoved = "relying-party-removed" = 82,
    RelyingPartyProbed = "relying-party-probed" = 83,
    FeedsOffered = "feeds-offered" = 84,
    FeedApplied = "feed-applied" = 85,
    AccessDecided = "access-decided" = 100,
    AccessDenied = "access-denied" = 101,
    DeviceAttested = "device-attested" = 102,
    ExceptionAdded = "exception-added" = 103,
    ExceptionApproved = "exception-approved" = 104,
    ExceptionEnded = "exception-ended" = 105,
    ExceptionLapsed = "exception-lapsed" = 106,
    RevocationsPermitted = "revocations-permitted" = 107,
    HookAdded = "hook-added" = 90,
    HookChanged = "hook-changed" = 91,
    HookRemoved = "hook-removed" = 92,
    HookSetBack = "hook-set-back" = 93,
    KeyCompromised = "key-compromised" = 130,
    IssuerCompromised = "issuer-compromised" = 131,
    KeysListed = "keys-listed" = 132,
    DrillBegan = "drill-began" = 133,
    DrillEnded = "drill-ended" = 134,
    IssuerCreated = "issuer-created" = 60,
    IssuerChanged = "issuer-changed" = 61,
    RolloverBegun = "rollover-begun" = 120,
    IssuerMoved = "issuer-moved" = 121,
    TrustStoreReported = "trust-store-reported" = 122,
    TrustStoreBudgeted = "trust-store-budgeted" = 123,
    AnchorRegistered = "anchor-registered" = 124,
    AnchorPruned = "anchor-pruned" = 125,
    AnchorRestored = "anchor-restored" = 126,
    RootCrossCertified = "root-cross-certified" = 127,
    PolicyApplied = "policy-applied" = 62,
    TokenCreated = "token-created" = 63,
    TokenRevoked = "token-revoked" = 64,
    KeyRewrapped = "key-rewrapped" = 65,
    ExportMade = "export-made" = 66,
    BackupCreated = "backup-created" = 67,
    BackupRestored = "backup-restored" = 68,
    ServerStarted = "server-started" = 69,
    ServerStopped = "server-stopped" = 70,
    LogOriginChanged = "log-origin-changed" = 71,
    ClockSetBack = "clock-set-back" = 72,
}

/// An event with who, whom and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Whose fleet.
    pub tenant: TenantId,
    /// Who did it.
    pub actor: Actor,
    /// Since when it is true; the recording may come later.
    pub valid: Time,
    /// The device it concerns.
    pub device: Option<(DeviceNo, DeviceId)>,
    /// The certificate it concerns.
    pub certificate: Option<CertificateNo>,
    /// What happened.
    pub event: Event,
}

/// What stands in a leaf before the time of recording and the salt.
#[derive(Serialize)]
struct Head<'a> {
    actor: &'a Actor,
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<&'a DeviceId>,
    event: &'a Event,
}

/// What stands in a leaf after them.
#[derive(Serialize)]
struct Tail {
    tenant: TenantId,
    v: u8,
    #[serde(with = "text::time")]
    valid: Time,
}

/// The version of the leaf encoding.
pub const LEAF_VERSION: u8 = 1;

impl Entry {
    /// An event of the default tenant that concerns no device.
    pub fn new(actor: Actor, at: Time, event: Event) -> Entry {
        Entry {
            tenant: TenantId::DEFAULT,
            actor,
            valid: at,
            device: None,
            certificate: None,
            event,
        }
    }

    /// The same, about a device.
    pub fn about(mut self, no: DeviceNo, id: &DeviceId) -> Entry {
        self.device = Some((no, id.clone()));
        self
    }

    /// The same, about a certificate.
    pub fn on(mut self, certificate: CertificateNo) -> Entry {
        self.certificate = Some(certificate);
        self
    }

    /// The entry in the words of its leaf.
    pub fn told(&self) -> Told {
        let head = Head {
            actor: &self.actor,
            device: self.device.as_ref().map(|(_, id)| id),
            event: &self.event,
        };
        let tail = Tail {
            tenant: self.tenant,
            v: LEAF_VERSION,
            valid: self.valid,
        };
        Told {
            tenant: self.tenant,
            kind: self.event.code(),
            device: self.device.as_ref().map(|(no, _)| *no),
            operator: match &self.actor {
                Actor::Operator { no, .. } => Some(*no),
                _ => None,
            },
            valid: self.valid,
            head: json(&head, 1024),
            tail: json(&tail, 64),
        }
    }
}

/// A part of a leaf, with room for so many octets to begin with.
fn json(part: &impl Serialize, room: usize) -> Vec<u8> {
    // Serialising strings, integers and lists of them into memory cannot fail: every map key is a field
    // name, and no value is a float.
    let mut bytes = Vec::with_capacity(room);
    let _ = serde_json::to_writer(&mut bytes, part);
    bytes
}

/// An entry in the words of its leaf, all but the two that the record itself adds: when it was recorded,
/// and a salt. To put it into words is most of the work of recording it, and needs nobody's turn.
#[derive(Debug, Clone)]
pub struct Told {
    /// Whose fleet.
    pub tenant: TenantId,
    /// [`Event::code`] of what happened.
    pub kind: i64,
    /// The device it concerns.
    pub device: Option<DeviceNo>,
    /// The operator who did it, if it was one.
    pub operator: Option<OperatorNo>,
    /// Since when it is true.
    pub valid: Time,
    /// An object each.
    head: Vec<u8>,
    tail: Vec<u8>,
}

impl Told {
    /// The leaf: canonical JSON (RFC 8785) in UTF-8. `salt` is 16 fresh random bytes, so that a
    /// leaf's hash tells nothing about what is in it.
    pub fn leaf(&self, salt: [u8; 16], recorded: Time) -> Vec<u8> {
        // The two objects become one: without the brace that ends the first and the one that begins
        // the second.
        let head = self.head.strip_suffix(b"}").unwrap_or_default();
        let tail = self.tail.strip_prefix(b"{").unwrap_or_default();
        let (recorded, salt) = (recorded.to_string(), text::hex(&salt));
        [
            head,
            b",\"recorded\":\"",
            recorded.as_bytes(),
            b"\",\"salt\":\"",
            salt.as_bytes(),
            b"\",",
            tail,
        ]
        .concat()
    }
}

#[cfg(test)]
mod tests;
