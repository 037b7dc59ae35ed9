//! What a decision looks at. It is kept, so that the decision can be made again.
//!
//! Nothing in here changes from one second to the next unless something happened: the same state of
//! the fleet gives the same facts, and so the same hash of them.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use tenure_x509::{Reason, Serial, Time};

use crate::attestation::Attestation;
use crate::certificate::{Standstill, Status};
use crate::device::{Criticality, Standing};
use crate::exception::ActiveException;
use crate::finding::FindingKind;
use crate::ids::{DeviceId, DeviceNo, Slug, Title};
use crate::incident::IncidentKind;
use crate::issuer::IssuerState;
use crate::words::words;

/// What is asked: may this one be let in there?
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// The device that is meant, if it was named.
    pub device: Option<DeviceId>,
    /// The relying party that asks.
    pub party: Option<Slug>,
    /// The service that the device wants to reach.
    pub service: Option<Title>,
    /// The site at which the device must stand.
    pub site: Option<Title>,
    /// Where it comes from. Left out unless the policy asks for it: an address proves nothing.
    pub source: Option<IpAddr>,
}

/// Everything else that a decision may look at, besides the policy and the time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DecisionFacts {
    /// The policy in force, by its version and its hash.
    pub policy: (i64, String),
    /// What the identity rests on.
    pub shown: Shown,
    /// The device.
    pub device: Option<DeviceFacts>,
    /// Incidents of the device that wait for a decision.
    pub incidents: Vec<OpenIncident>,
    /// Findings about the device and its certificate that nobody has acknowledged. One that somebody
    /// acknowledged is an exception that this person answers for.
    pub findings: Vec<OpenFinding>,
    /// What verifiers say of the device, each with its newest.
    #[serde(default)]
    pub attestations: Vec<Attestation>,
    /// Exceptions for the device that are active.
    #[serde(default)]
    pub exceptions: Vec<ActiveException>,
    /// Whether what we know of withdrawals is kept up to date.
    pub withdrawals: Kept,
    /// Whether our clock can be believed.
    pub clock: Clock,
    /// How long after a withdrawal the asking relying party may still let the device in, in seconds.
    pub enforce_within_s: Option<i64>,
}

/// What the identity rests on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "kebab-case")]
pub enum Shown {
    /// Nothing was shown, and no device of ours that holds a certificate was named.
    Nothing,
    /// A serial that nobody ever issued.
    UnknownSerial {
        /// The serial, hex.
        serial: String,
    },
    /// A fingerprint that no certificate of ours has.
    UnknownFingerprint {
        /// The fingerprint, hex.
        fingerprint: String,
    },
    /// A certificate of somebody else's issuer.
    UnknownIssuer {
        /// Its fingerprint, hex.
        fingerprint: String,
    },
    /// A certificate in the name of our issuer that is not what we issued.
    NotOurs {
        /// The serial, hex.
        serial: String,
    },
    /// A certificate of ours: the one that was shown, or the newest of the device that was named.
    Certificate(Box<CertificateFacts>),
}

/// One certificate of ours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateFacts {
    /// Its issuer.
    pub issuer: Slug,
    /// Where the issuer is between its making and its end.
    pub issuer_state: IssuerState,
    /// Whether the asking relying party is for devices of this issuer, or of one that it follows.
    pub meant: Meant,
    /// Its serial.
    #[serde(with = "crate::text::serial")]
    pub serial: Serial,
    /// The SHA-256 of its DER, hex.
    pub fingerprint: String,
    /// Where it is in its life.
    pub status: Status,
    /// Why it was withdrawn or held.
    #[serde(with = "crate::text::reason::option")]
    pub reason: Option<Reason>,
    /// Whether its device gave it up.
    pub standstill: Standstill,
    /// Whether a client may use it.
    pub client: ClientUse,
    /// Whether it is its device's newest.
    pub place: Place,
    /// From when on it may be used.
    #[serde(with = "crate::text::time")]
    pub not_before: Time,
    /// Until when it may be used.
    #[serde(with = "crate::text::time")]
    pub not_after: Time,
    /// When it was first seen in use.
    #[serde(with = "crate::text::time::option")]
    pub first_used: Option<Time>,
    /// The place in the record of the event that reserved it, from 0.
    pub log_index: i64,
}

/// One device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceFacts {
    /// Its row.
    pub no: DeviceNo,
    /// Its name.
    pub id: DeviceId,
    /// How often its record changed.
    pub version: i64,
    /// Where it is in its life.
    pub standing: Standing,
    /// Its class.
    pub class: Title,
    /// Where it stands.
    pub site: Title,
    /// The sites around that one, nearest first.
    pub around: Vec<Title>,
    /// Who answers for it.
    pub owner: Title,
    /// The services it is bound to.
    pub services: Vec<Title>,
    /// How bad its failure or impersonation would be.
    pub criticality: Criticality,
    /// What it is for.
    pub purpose: Purpose,
}

/// An incident that waits for a decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenIncident {
    /// Its number.
    pub no: i64,
    /// What happened.
    pub kind: IncidentKind,
}

/// A finding that is open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenFinding {
    /// Its number.
    pub no: i64,
    /// What it is.
    pub kind: FindingKind,
    /// How often it has opened.
    pub times: i64,
}

/// Whether what we know of withdrawals is kept up to date. While we can make the revocation list that
/// would name the certificate, we can record withdrawals too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "kebab-case")]
pub enum Kept {
    /// It is, for longer than any verdict lasts.
    Current,
    /// It is said to be until then, which is near or past.
    Until {
        /// When the list runs out.
        #[serde(with = "crate::text::time")]
        at: Time,
    },
    /// It was not yet made since we started: what a restored copy forgot is not yet compared.
    NotYet,
}

words! {
    /// Whether a relying party is for the devices of an issuer.
    Meant ("meaning") {
        /// It is, or nobody asked who is for somebody in particular.
        Here = "here" = 1,
        /// It is for other issuers.
        Elsewhere = "elsewhere" = 2,
    }
    /// Whether a certificate may be used by a client.
    ClientUse ("client use") {
        /// It may.
        Allowed = "allowed" = 1,
        /// It may not.
        Forbidden = "forbidden" = 2,
    }
    /// Where a certificate is in its device's chain.
    Place ("place") {
        /// The newest.
        Newest = "newest" = 1,
        /// Another one.
        Earlier = "earlier" = 2,
    }
    /// What a registered device is for.
    Purpose ("purpose") {
        /// The plant.
        Work = "work" = 1,
        /// To see who lets it in.
        Canary = "canary" = 2,
    }
    /// Whether our clock can be believed.
    Clock ("clock") {
        /// It can.
        Sound = "sound" = 1,
        /// It is behind what is recorded.
        Behind = "behind" = 2,
    }
}
