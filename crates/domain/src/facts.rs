//! Facts: what the store knew when we decided. A plain snapshot, so that a decision can be replayed.

use serde::Serialize;
use tenure_x509::Time;

use crate::ask::{Ask, Operation};
use crate::certificate::CertificateRow;
use crate::device::Device;
use crate::evidence::{Evidence, Unproved};
use crate::ids::{CertificateNo, DeviceId, Title};
use crate::issuer::Issuer;
use crate::registry::Class;
use crate::text::hex;
use std::sync::Arc;

/// Everything a decision may look at besides the policy, the ask and the time.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// What was proved.
    pub evidence: Vec<Evidence>,
    /// What was shown and proved nothing.
    pub unproved: Vec<Unproved>,
    /// The device that the evidence points at.
    pub subject: Option<Subject>,
    /// Who else ever held this key.
    pub key_use: Option<KeyUse>,
    /// The issuers that could sign.
    pub issuers: Arc<Vec<Arc<Issuer>>>,
    /// What an operator said about this very ask.
    pub ruling: Option<Ruling>,
    /// The answer given to the same ask before.
    pub earlier: Option<Earlier>,
    /// Another device that would bear the same name under the profile that is asked for.
    pub namesake: Option<DeviceId>,
    /// The identity for life that bears the device's serial number already. Read only for asks
    /// for an identity for life.
    pub identity: Option<IdentityForLife>,
}

/// An identity for life (IDevID) of ours. A serial number has at most one at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentityForLife {
    /// The device that holds it.
    pub device: DeviceId,
    /// Its certificate.
    pub certificate: CertificateNo,
    /// Whether it may be given once more.
    pub repair: Repair,
}

/// Whether an operator approved a repair, after which a device gets another identity for life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repair {
    /// Nobody did.
    NotApproved,
    /// Someone did, and the identity was not given yet.
    Approved,
}

/// The device an ask is about, with its class and the head of its chain.
#[derive(Debug, Clone)]
pub struct Subject {
    /// The device.
    pub device: Device,
    /// Its class.
    pub class: Arc<Class>,
    /// The sites around its own, nearest first. Left empty where no rule speaks of sites.
    pub around: Vec<Title>,
    /// Its newest certificate, if it ever had one.
    pub head: Option<CertificateRow>,
    /// Renewals with a changed key forgiven since the head was last seen in use.
    pub forgiven: u8,
}

/// A key that is already known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyUse {
    /// Another device holds or held it.
    OtherDevice(DeviceId),
    /// It is on the list of keys that must not be certified.
    Blocked {
        /// Why, for people.
        why: String,
    },
}

/// What an operator said about a held ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ruling {
    /// Nothing yet.
    Waiting,
    /// It may have its certificate.
    Approved,
    /// It may not.
    Refused,
}

/// A certificate already released for the same replay key.
#[derive(Debug, Clone)]
pub struct Earlier {
    /// Its row.
    pub certificate: CertificateNo,
    /// The row as it is now.
    pub row: CertificateRow,
}

// How facts are written down, the fields in alphabetical order.

#[derive(Serialize)]
struct Written<'a> {
    device: Option<WrittenDevice<'a>>,
    evidence: Vec<&'static str>,
    identity: Option<WrittenIdentity<'a>>,
    key_use: Option<String>,
    ruling: Option<String>,
    unproved: Vec<String>,
}

#[derive(Serialize)]
struct WrittenDevice<'a> {
    class: &'a Title,
    forgiven: u8,
    head: Option<WrittenHead>,
    id: &'a DeviceId,
    owner: &'a Title,
    services: &'a [Title],
    site: &'a Title,
    standing: &'static str,
    version: i64,
}

#[derive(Serialize)]
struct WrittenHead {
    first_used: Option<String>,
    key: String,
    not_after: String,
    revocation: Option<WrittenRevocation>,
    serial: String,
    standstill: &'static str,
    status: &'static str,
}

#[derive(Serialize)]
struct WrittenRevocation {
    at: String,
    reason: String,
}

#[derive(Serialize)]
struct WrittenIdentity<'a> {
    device: &'a DeviceId,
    repair: String,
}

impl<'a> WrittenDevice<'a> {
    fn of(subject: &'a Subject) -> WrittenDevice<'a> {
        let device = &subject.device;
        WrittenDevice {
            class: &device.class,
            forgiven: subject.forgiven,
            head: subject.head.as_ref().map(WrittenHead::of),
            id: &device.id,
            owner: &device.owner,
            services: &device.services,
            site: &device.site,
            standing: device.standing.word(),
            version: device.version,
        }
    }
}

impl WrittenHead {
    fn of(row: &CertificateRow) -> WrittenHead {
        WrittenHead {
            first_used: row.first_used.map(|at| at.to_string()),
            key: row.key.to_string(),
            not_after: row.validity.not_after.to_string(),
            revocation: row.revocation.map(|revocation| WrittenRevocation {
                at: revocation.at.to_string(),
                reason: revocation.reason.to_string(),
            }),
            serial: row.serial.to_string(),
            standstill: row.standstill.word(),
            status: row.status.word(),
        }
    }
}

impl Facts {
    /// The facts as JSON for the erasable side table; the record holds only a hash of it.
    pub fn to_json(&self) -> String {
        let written = Written {
            device: self.subject.as_ref().map(WrittenDevice::of),
            evidence: self.evidence.iter().map(Evidence::word).collect(),
            identity: self.identity.as_ref().map(|identity| WrittenIdentity {
                device: &identity.device,
                repair: format!("{:?}", identity.repair),
            }),
            key_use: self.key_use.as_ref().map(|known| format!("{known:?}")),
            ruling: self.ruling.map(|ruling| format!("{ruling:?}")),
            unproved: self.unproved.iter().map(|no| format!("{no:?}")).collect(),
        };
        // Strings, integers and lists of them, written into memory: that cannot fail.
        serde_json::to_string(&written).unwrap_or_default()
    }
}

/// What makes two asks the same ask: who asks, for what, under which label, in place of what, for which
/// key. What was approved or issued under one label answers no ask under another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ReplayKey(pub [u8; 32]);

impl ReplayKey {
    /// The key of an ask by an authenticated identity: a device id, or the fingerprint of the
    /// certificate a stranger showed.
    pub fn of(ask: &Ask, identity: &str) -> ReplayKey {
        let predecessor = match ask.operation {
            Operation::Renew => ask.presented.chain.first().map(|leaf| leaf.serial()),
            Operation::Enroll | Operation::ServerKeygen => None,
        };
        let text = format!(
            "{}\n{identity}\n{}\n{}\n{}",
            ask.tenant,
            ask.operation,
            predecessor
                .map(|serial| hex(serial.as_bytes()))
                .unwrap_or_default(),
            ask.asker()
        );
        let text = match &ask.via.label {
            Some(label) => format!("{text}\n{label}"),
            None => text,
        };
        ReplayKey(tenure_x509::sha256(text.as_bytes()))
    }
}

/// Whether a time lies before another by more than the clock skew we tolerate, 5 minutes.
pub fn clock_went_back(now: Time, last: Time) -> bool {
    now.plus(5 * 60) < last
}
