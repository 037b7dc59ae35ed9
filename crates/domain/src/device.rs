//! A device: a thing that holds keys. It is known by what it proved, never by what it says.

use serde::{Deserialize, Serialize};
use tenure_x509::{Reason, Time};

use crate::ids::{DeviceId, DeviceNo, TenantId, Title};
use crate::words::words;

/// A registered device with everything a decision or a page needs to know of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// Its row.
    pub no: DeviceNo,
    /// Whose it is.
    pub tenant: TenantId,
    /// Its registered name.
    pub id: DeviceId,
    /// Who made it.
    pub manufacturer: String,
    /// The maker's model name.
    pub model: String,
    /// The maker's serial number, compared octet for octet.
    pub serial: String,
    /// The class, which picks the profile.
    pub class: Title,
    /// Where it stands.
    pub site: Title,
    /// Who answers for it.
    pub owner: Title,
    /// The services it talks to; its binding.
    pub services: Vec<Title>,
    /// How bad its failure or impersonation would be.
    pub criticality: Criticality,
    /// Where it is in its life.
    pub standing: Standing,
    /// How often the record changed; a grant remembers the version it was decided on.
    pub version: i64,
    /// When it was registered.
    #[serde(with = "crate::text::time")]
    pub created: Time,
    /// When the record last changed.
    #[serde(with = "crate::text::time")]
    pub updated: Time,
}

/// What an operator registers: the fields of the import's header.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeviceSpec {
    /// The device's registered name.
    pub id: DeviceId,
    /// Who made it.
    #[serde(default)]
    pub manufacturer: String,
    /// The maker's model name.
    #[serde(default)]
    pub model: String,
    /// The maker's serial number.
    #[serde(default)]
    pub serial: String,
    /// The class.
    pub class: Title,
    /// Where it stands.
    pub site: Title,
    /// Who answers for it.
    pub owner: Title,
    /// The services it talks to.
    #[serde(default)]
    pub services: Vec<Title>,
    /// How bad its failure would be.
    #[serde(default)]
    pub criticality: Criticality,
}

/// What a row of a table says of a device. What it does not speak of stays as it is registered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeviceRow {
    /// The device's registered name.
    pub id: DeviceId,
    /// The class.
    pub class: Title,
    /// Where it stands.
    pub site: Title,
    /// Who answers for it.
    pub owner: Title,
    /// Who made it.
    pub manufacturer: Option<String>,
    /// The maker's model name.
    pub model: Option<String>,
    /// The maker's serial number.
    pub serial: Option<String>,
    /// The services it talks to.
    pub services: Option<Vec<Title>>,
    /// How bad its failure would be.
    pub criticality: Option<Criticality>,
}

impl DeviceRow {
    /// The row laid over what is registered, if anything is.
    pub fn over(&self, registered: Option<DeviceSpec>) -> DeviceSpec {
        let was = registered.unwrap_or_else(|| DeviceSpec {
            id: self.id.clone(),
            manufacturer: String::new(),
            model: String::new(),
            serial: String::new(),
            class: self.class.clone(),
            site: self.site.clone(),
            owner: self.owner.clone(),
            services: Vec::new(),
            criticality: Criticality::default(),
        });
        DeviceSpec {
            id: self.id.clone(),
            manufacturer: self.manufacturer.clone().unwrap_or(was.manufacturer),
            model: self.model.clone().unwrap_or(was.model),
            serial: self.serial.clone().unwrap_or(was.serial),
            class: self.class.clone(),
            site: self.site.clone(),
            owner: self.owner.clone(),
            services: self.services.clone().unwrap_or(was.services),
            criticality: self.criticality.unwrap_or(was.criticality),
        }
    }
}

impl From<DeviceSpec> for DeviceRow {
    fn from(spec: DeviceSpec) -> DeviceRow {
        DeviceRow {
            id: spec.id,
            class: spec.class,
            site: spec.site,
            owner: spec.owner,
            manufacturer: Some(spec.manufacturer),
            model: Some(spec.model),
            serial: Some(spec.serial),
            services: Some(spec.services),
            criticality: Some(spec.criticality),
        }
    }
}

/// A piece of a manufacturer's proof by which a device is recognised.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Anchor {
    /// An IDevID: the manufacturer it chains to and its subject `serialNumber`.
    IDevId {
        /// The registered manufacturer.
        manufacturer: Title,
        /// The subject `serialNumber` attribute, octet for octet.
        serial: String,
    },
}

words! {
    /// Where a device is in its life. Only `Expected` and `Enrolled` may hold certificates.
    Standing ("standing") {
        /// Registered, not yet seen.
        Expected = "expected" = 1,
        /// Holds an identity of ours.
        Enrolled = "enrolled" = 2,
        /// Stopped by an operator; its certificates are on hold.
        Suspended = "suspended" = 3,
        /// Stopped by us: a fork or another incident is open.
        Quarantined = "quarantined" = 4,
        /// Between two owners.
        InTransfer = "in-transfer" = 5,
        /// At the end of its life; no way back in.
        Retired = "retired" = 6,
        /// Gone for good.
        Destroyed = "destroyed" = 7,
    }
    /// How bad a device's failure or impersonation would be.
    Criticality ("criticality") {
        /// An inconvenience.
        Low = "low" = 1,
        /// Work stops somewhere.
        Medium = "medium" = 2,
        /// Production or service stops.
        High = "high" = 3,
        /// People may be hurt.
        Safety = "safety" = 4,
    }
}

#[expect(clippy::derivable_impls, reason = "lists of words derive no default")]
impl Default for Criticality {
    fn default() -> Self {
        Criticality::Medium
    }
}

impl Standing {
    /// Whether a device of this standing may be given a certificate.
    pub fn may_enroll(self) -> Result<(), Standing> {
        match self {
            Standing::Expected | Standing::Enrolled => Ok(()),
            Standing::Suspended
            | Standing::Quarantined
            | Standing::InTransfer
            | Standing::Retired
            | Standing::Destroyed => Err(self),
        }
    }

    /// Why a device that comes to this standing loses all its certificates for good, if it does
    /// (requirement H5).
    pub fn withdraws(self) -> Option<Reason> {
        match self {
            Standing::Retired | Standing::Destroyed => Some(Reason::CessationOfOperation),
            Standing::InTransfer => Some(Reason::AffiliationChanged),
            Standing::Expected
            | Standing::Enrolled
            | Standing::Suspended
            | Standing::Quarantined => None,
        }
    }

    /// The standings that can follow this one (glossary: B7's life of a device).
    pub fn next(self) -> &'static [Standing] {
        use Standing::*;
        match self {
            Expected => &[Enrolled, Suspended, Quarantined, InTransfer, Retired],
            Enrolled => &[Suspended, Quarantined, InTransfer, Retired],
            Suspended => &[Expected, Enrolled, Quarantined, InTransfer, Retired],
            Quarantined => &[Expected, Enrolled, Suspended, InTransfer, Retired],
            InTransfer => &[Expected, Quarantined, Retired],
            Retired => &[Destroyed],
            Destroyed => &[],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Requirement B7, the device's part: the transitions are declared, and no sequence of them
    /// leads out of retirement. Left out: the certificate's transitions, which the store makes.
    #[test]
    fn b7_no_way_leads_back_from_retirement() {
        for from in Standing::ALL {
            let next = from.next();
            assert!(!next.contains(from), "{from} follows itself");
            assert_eq!(next.is_empty(), *from == Standing::Destroyed, "{from}");
            // Every device can be retired, whatever became of it.
            let is_over = matches!(from, Standing::Retired | Standing::Destroyed);
            assert_eq!(next.contains(&Standing::Retired), !is_over, "{from}");
        }
        let mut reached = vec![Standing::Retired];
        let mut position = 0;
        while let Some(standing) = reached.get(position).copied() {
            let new = standing
                .next()
                .iter()
                .filter(|next| !reached.contains(next));
            let new: Vec<_> = new.copied().collect();
            reached.extend(new);
            position += 1;
        }
        assert!(
            reached
                .iter()
                .all(|standing| standing.may_enroll().is_err()),
            "{reached:?}"
        );
    }
}
