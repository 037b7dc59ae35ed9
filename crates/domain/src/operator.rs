//! Operators: who may do what through the API.

use serde::{Deserialize, Serialize};

use crate::ids::{DeviceId, OperatorNo, Slug};
use crate::refusal::Refusal;
use crate::words::words;

words! {
    /// What an operator is.
    Role ("role") {
        /// Everything.
        Admin = "admin" = 1,
        /// Runs the fleet: registers, approves, revokes.
        Operator = "operator" = 2,
        /// Reads everything, including the record's leaves.
        Auditor = "auditor" = 3,
        /// Reads the fleet.
        Reader = "reader" = 4,
        /// A relying party: asks for decisions about its own services if the token bears its name, follows
        /// its own feed if the token is bound to it, hears what anyone may know of withdrawals, and reports
        /// what it saw.
        RelyingParty = "relying-party" = 5,
        /// A verifier of attestation evidence: reports what it says of devices, in the token's name.
        Verifier = "verifier" = 6,
    }
    /// What a call needs.
    Permission ("permission") {
        /// To look at devices, certificates, issuers and counts.
        ReadFleet = "read-fleet" = 1,
        /// To read the record's leaves and exports.
        ReadRecord = "read-record" = 2,
        /// To register and edit devices and what surrounds them.
        ChangeFleet = "change-fleet" = 3,
        /// To decide held asks and incidents, to hand out secrets.
        Approve = "approve" = 4,
        /// To revoke, hold, release, suspend and retire.
        Withdraw = "withdraw" = 5,
        /// To change policy, issuers and manufacturers.
        ChangePolicy = "change-policy" = 6,
        /// To hand out and withdraw operator tokens, to make backups, to change keys.
        Administer = "administer" = 7,
        /// To report what relying parties saw.
        Report = "report" = 8,
        /// To follow the stream of trust changes.
        FollowTrust = "follow-trust" = 9,
        /// To ask whether a device may be let in.
        Decide = "decide" = 10,
        /// To follow a feed and to say that it was applied.
        Feed = "feed" = 11,
        /// To report attestation results.
        Attest = "attest" = 12,
    }
}

impl Role {
    /// Whether the role includes the permission; says what it would take if not.
    pub fn may(self, permission: Permission) -> Result<(), Refusal> {
        use Permission::*;
        let granted = match self {
            Role::Admin => true,
            Role::Operator => {
                matches!(
                    permission,
                    ReadFleet
                        | ChangeFleet
                        | Approve
                        | Withdraw
                        | Report
                        | FollowTrust
                        | Decide
                        | Attest
                )
            }
            Role::Auditor => matches!(permission, ReadFleet | ReadRecord | FollowTrust),
            Role::Reader => matches!(permission, ReadFleet | FollowTrust),
            Role::RelyingParty => matches!(permission, Report | FollowTrust | Decide | Feed),
            Role::Verifier => permission == Attest,
        };
        if granted {
            return Ok(());
        }
        let least = match permission {
            ReadFleet => "role reader",
            ReadRecord => "role auditor or admin",
            ChangeFleet | Approve | Withdraw => "role operator or admin",
            Report => "role relying-party, operator or admin",
            FollowTrust => "role relying-party or reader",
            ChangePolicy | Administer => "role admin",
            Decide => "role relying-party, operator or admin",
            Feed => "role relying-party or admin",
            Attest => "role verifier, operator or admin",
        };
        Err(Refusal::Forbidden {
            needs: least.to_owned(),
        })
    }
}

/// Who did something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "kebab-case")]
pub enum Actor {
    /// An operator, by token.
    Operator {
        /// The token's name.
        name: String,
        /// The token's row.
        no: OperatorNo,
        /// Its role at the time.
        role: Role,
    },
    /// A device that proved who it is.
    Device {
        /// The device.
        device: DeviceId,
    },
    /// Someone who proved nothing.
    Anonymous,
    /// Ourselves.
    System {
        /// Which duty or act.
        duty: String,
    },
}

impl Actor {
    /// Ourselves, in the named duty or act.
    pub fn system(duty: &str) -> Actor {
        Actor::System {
            duty: duty.to_owned(),
        }
    }

    /// Whether the actor may do it. Devices and strangers may change nothing.
    pub fn may(&self, permission: Permission) -> Result<(), Refusal> {
        match self {
            Actor::Operator { role, .. } => role.may(permission),
            Actor::System { .. } => Ok(()),
            Actor::Device { .. } | Actor::Anonymous => Err(Refusal::Forbidden {
                needs: "an operator's token".to_owned(),
            }),
        }
    }
}

/// One operator token as listed; the token itself is known only to its holder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// Its row.
    pub no: OperatorNo,
    /// Its name.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// The relying party whose feed it opens; for role relying-party alone.
    pub party: Option<Slug>,
    /// When it was made.
    #[serde(with = "crate::text::time")]
    pub created: tenure_x509::Time,
    /// When it stops working, if ever.
    #[serde(with = "crate::text::time::option")]
    pub expires: Option<tenure_x509::Time>,
    /// When it was withdrawn.
    #[serde(with = "crate::text::time::option")]
    pub revoked: Option<tenure_x509::Time>,
}

impl Token {
    /// Whether it opens anything: it is neither withdrawn nor over.
    pub fn works(&self, now: tenure_x509::Time) -> bool {
        self.revoked.is_none() && self.expires.is_none_or(|end| now < end)
    }
}
