//! Facts: what the store knew when we decided. A plain snapshot, so that a decision can be replayed.

use serde_json::{Value, json};
use tenure_x509::Time;

use crate::ask::{Ask, Operation};
use crate::certificate::{CertificateRow, Revocation};
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

fn revocation(revocation: &Revocation) -> Value {
    json!({"reason": revocation.reason.to_string(), "at": revocation.at.to_string()})
}

fn row(row: &CertificateRow) -> Value {
    json!({
        "serial": row.serial.to_string(),
        "status": row.status.word(),
        "not_after": row.validity.not_after.to_string(),
        "key": row.key.to_string(),
        "first_used": row.first_used.map(|at| at.to_string()),
        "standstill": row.standstill.word(),
        "revocation": row.revocation.as_ref().map(revocation),
    })
}

impl Facts {
    /// The facts as JSON for the erasable side table; the record holds only a hash of it.
    pub fn to_json(&self) -> Value {
        json!({
            "evidence": self.evidence.iter().map(Evidence::word).collect::<Vec<_>>(),
            "unproved": self.unproved.iter().map(|u| format!("{u:?}")).collect::<Vec<_>>(),
            "device": self.subject.as_ref().map(|s| json!({
                "id": s.device.id.as_str(),
                "class": s.device.class.as_str(),
                "site": s.device.site.as_str(),
                "owner": s.device.owner.as_str(),
                "services": s.device.services.iter().map(|s| s.as_str()).collect::<Vec<_>>(),
                "standing": s.device.standing.word(),
                "version": s.device.version,
                "head": s.head.as_ref().map(row),
                "forgiven": s.forgiven,
            })),
            "key_use": self.key_use.as_ref().map(|k| format!("{k:?}")),
            "ruling": self.ruling.map(|r| format!("{r:?}")),
            "identity": self.identity.as_ref().map(|i| json!({
                "device": i.device.as_str(),
                "repair": format!("{:?}", i.repair),
            })),
        })
    }
}

/// What makes two asks the same ask: who asks, for what, in place of what, for which key.
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
        ReplayKey(tenure_x509::sha256(text.as_bytes()))
    }
}

/// Whether a time lies before another by more than the clock skew we tolerate, 5 minutes.
pub fn clock_went_back(now: Time, last: Time) -> bool {
    now.plus(5 * 60) < last
}
