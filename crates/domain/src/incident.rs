//! An incident: something that must not happen did, and a person has to decide.

use serde::{Deserialize, Serialize};
use tenure_x509::Time;

use crate::ids::{DeviceId, IncidentNo};
use crate::words::words;

words! {
    /// What happened.
    IncidentKind ("incident kind") {
        /// Two holders of one identity: the renewal chain forked.
        Fork = "fork" = 1,
        /// One key was presented for two devices.
        SharedKey = "shared-key" = 2,
        /// A certificate in the name of our issuer that we did not issue.
        NotOurs = "not-ours" = 3,
        /// A certificate that its device gave up unused is being used.
        AbandonedUsed = "abandoned-used" = 4,
    }
    /// Where an incident is.
    IncidentState ("incident state") {
        /// Waiting for a person.
        Open = "open" = 1,
        /// Decided.
        Resolved = "resolved" = 2,
    }
}

impl IncidentKind {
    /// Whether the device's certificates are on hold until somebody decides.
    pub fn quarantines(self) -> bool {
        match self {
            IncidentKind::Fork | IncidentKind::AbandonedUsed => true,
            IncidentKind::SharedKey | IncidentKind::NotOurs => false,
        }
    }
}

/// One incident.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incident {
    /// Its row.
    pub no: IncidentNo,
    /// What happened.
    pub kind: IncidentKind,
    /// Where it is.
    pub state: IncidentState,
    /// The device, if one is known.
    pub device: Option<DeviceId>,
    /// The serials concerned, in hex; for a fork one of each branch.
    pub serials: Vec<String>,
    /// What happened, in one sentence.
    pub summary: String,
    /// When it was opened.
    #[serde(with = "crate::text::time")]
    pub opened: Time,
    /// When it was decided.
    #[serde(with = "crate::text::time::option")]
    pub resolved: Option<Time>,
    /// How it was decided.
    pub outcome: Option<String>,
}
