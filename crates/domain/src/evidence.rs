//! Evidence: something proved, already verified. Each variant wraps a value that only its verifier
//! can build, so holding one *is* the proof.

use tenure_x509::{Cert, KeyHash, Time, VerifiedChain};

use crate::ask::SystemCeremony;
use crate::certificate::CertificateRow;
use crate::ids::{DeviceId, DeviceNo, SecretNo, Title};

/// What the other side proved.
#[derive(Debug, Clone)]
pub enum Evidence {
    /// An IDevID that chains to a registered manufacturer.
    Manufacturer(ManufacturerProof),
    /// Possession of the key of a certificate of ours.
    Current(CurrentProof),
    /// Knowledge of the one-time secret of one device.
    Secret(SecretProof),
    /// Our own act.
    System(SystemCeremony),
}

impl Evidence {
    /// The word that policy rules and the record use.
    pub fn word(&self) -> &'static str {
        match self {
            Evidence::Manufacturer(_) => "manufacturer",
            Evidence::Current(_) => "current-certificate",
            Evidence::Secret(_) => "secret",
            Evidence::System(_) => "system",
        }
    }

    /// The one-time secret, if that is what it is.
    pub fn secret(&self) -> Option<&SecretProof> {
        match self {
            Evidence::Secret(secret) => Some(secret),
            Evidence::Manufacturer(_) | Evidence::Current(_) | Evidence::System(_) => None,
        }
    }
}

/// An IDevID chain that ends in a registered manufacturer's root.
#[derive(Debug, Clone)]
pub struct ManufacturerProof {
    manufacturer: Title,
    chain: VerifiedChain,
    serial: String,
}

impl ManufacturerProof {
    /// Reads the subject `serialNumber` of a verified chain; `None` if the IDevID has none
    /// (IEEE 802.1AR requires it).
    pub fn new(manufacturer: Title, chain: VerifiedChain) -> Option<ManufacturerProof> {
        let serial = chain.leaf().subject().serial_number()?;
        Some(ManufacturerProof {
            manufacturer,
            chain,
            serial,
        })
    }

    /// The manufacturer it chains to.
    pub fn manufacturer(&self) -> &Title {
        &self.manufacturer
    }

    /// The subject `serialNumber`, octet for octet.
    pub fn serial(&self) -> &str {
        &self.serial
    }

    /// The IDevID.
    pub fn leaf(&self) -> &Cert {
        self.chain.leaf()
    }
}

/// A certificate of ours whose key the other side holds: byte for byte the one we issued.
#[derive(Debug, Clone)]
pub struct CurrentProof {
    row: CertificateRow,
    certificate: Cert,
}

impl CurrentProof {
    /// Compares what was presented with the bytes we issued for that row.
    pub fn new(presented: &Cert, row: CertificateRow, issued_der: &[u8]) -> Option<CurrentProof> {
        (presented.der() == issued_der).then(|| CurrentProof {
            row,
            certificate: presented.clone(),
        })
    }

    /// The certificate as the store knows it.
    pub fn row(&self) -> &CertificateRow {
        &self.row
    }

    /// The certificate itself.
    pub fn certificate(&self) -> &Cert {
        &self.certificate
    }
}

/// A one-time secret that matched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretProof {
    no: SecretNo,
    device: DeviceNo,
    spent: Option<Time>,
}

impl SecretProof {
    /// The secret's row, to be spent when the certificate is complete.
    pub fn no(&self) -> SecretNo {
        self.no
    }

    /// The device it belongs to.
    pub fn device(&self) -> DeviceNo {
        self.device
    }

    /// When its certificate was complete. From then on it gets that certificate again, and no other.
    pub fn spent(&self) -> Option<Time> {
        self.spent
    }
}

/// A device's one-time secret as the store keeps it.
#[derive(Debug, Clone)]
pub struct SecretRow {
    /// Its row.
    pub no: SecretNo,
    /// Whose it is.
    pub device: DeviceNo,
    /// SHA-256 of salt and secret. The secret has 160 random bits, so a slow hash adds nothing.
    pub hash: [u8; 32],
    /// The salt.
    pub salt: [u8; 16],
    /// When it stops being accepted.
    pub expires: Time,
    /// The key it was first presented with.
    pub bound_to: Option<KeyHash>,
    /// When the certificate was complete.
    pub spent: Option<Time>,
    /// Wrong tries since the last right one.
    pub failures: i64,
    /// Until when every try is refused.
    pub locked_until: Option<Time>,
}

/// Why a secret was not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretRefusal {
    /// The hash does not match.
    Wrong,
    /// Its time is over.
    Expired,
    /// It was presented with another key before.
    OtherKey,
    /// It was spent, and the time for asking again is over.
    Spent,
    /// Too many wrong tries.
    Locked {
        /// Until when.
        until: Time,
    },
}

/// How long the holder of a spent secret may ask again for the answer, in seconds.
pub const SPENT_SECRET_REPLAY_S: i64 = 24 * 3600;

impl SecretRow {
    /// Judges a presented secret. `digest` is SHA-256 of this row's salt followed by the secret,
    /// computed by the caller; the comparison takes the same time for every wrong value.
    pub fn judge(
        &self,
        digest: &[u8; 32],
        key: KeyHash,
        now: Time,
    ) -> Result<SecretProof, SecretRefusal> {
        if let Some(until) = self.locked_until.filter(|until| now < *until) {
            return Err(SecretRefusal::Locked { until });
        }
        let difference = self
            .hash
            .iter()
            .zip(digest)
            .fold(0, |acc, (a, b)| acc | (a ^ b));
        if difference != 0 {
            return Err(SecretRefusal::Wrong);
        }
        if self.bound_to.is_some_and(|bound| bound != key) {
            return Err(SecretRefusal::OtherKey);
        }
        match self.spent {
            Some(at) if now > at.plus(SPENT_SECRET_REPLAY_S) => Err(SecretRefusal::Spent),
            None if now > self.expires => Err(SecretRefusal::Expired),
            _ => Ok(SecretProof {
                no: self.no,
                device: self.device,
                spent: self.spent,
            }),
        }
    }
}

/// Something that was shown and did not prove anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unproved {
    /// No registered manufacturer's root is above the chain.
    UnknownManufacturer {
        /// The subject of the certificate, for the operator.
        subject: String,
    },
    /// The chain ends in a registered root but does not validate.
    BadChain {
        /// The manufacturer.
        manufacturer: Title,
        /// Why.
        why: String,
    },
    /// An IDevID without a subject `serialNumber`.
    NoSerialNumber {
        /// The manufacturer.
        manufacturer: Title,
    },
    /// An IDevID of a known manufacturer for a device that is not registered.
    UnregisteredDevice {
        /// The manufacturer.
        manufacturer: Title,
        /// The subject `serialNumber`.
        serial: String,
    },
    /// A certificate in the name of one of our issuers that we did not issue.
    NotOurs {
        /// Its serial in hex.
        serial: String,
    },
    /// A one-time secret that was not accepted.
    Secret {
        /// The device claimed; known to us.
        device: DeviceId,
        /// Why.
        why: SecretRefusal,
    },
    /// A one-time secret for a device that does not exist or has none.
    NoSecret,
}
