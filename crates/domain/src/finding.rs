//! A finding: something that is not as it should be, for a person. Everything watchful feeds the one
//! list of them.

use std::fmt;

use serde::{Deserialize, Serialize};
use tenure_x509::Time;

use crate::device::Criticality;
use crate::ids::{DeviceId, FindingNo, Slug, Title};
use crate::words::words;

words! {
    /// What is not as it should be.
    FindingKind ("finding kind") {
        /// An incident waits for a decision; the cause is the incident's kind.
        Incident = "incident" = 1,
        /// A relying party lets in what was revoked; the cause is the issuer.
        AcceptsRevoked = "accepts-revoked" = 10,
        /// A relying party lets in another certificate that it must refuse.
        AcceptsUnfit = "accepts-unfit" = 11,
        /// A relying party refuses a good certificate; the cause is the issuer.
        RefusesValid = "refuses-valid" = 12,
        /// A relying party cannot be asked.
        NotReached = "not-reached" = 13,
        /// A session at a relying party goes on after its certificate was revoked; the cause is the
        /// issuer.
        SessionSurvives = "session-survives" = 14,
        /// A rendering of an issuer's revocation sets is behind the record; the cause is which.
        PublicationLag = "publication-lag" = 16,
        /// A certificate was revoked long after it should have been; the cause is since when.
        RevocationLate = "revocation-late" = 17,
        /// A hook does not get through to its receiver; the cause says to what end.
        HookFailing = "hook-failing" = 30,
        /// A relying party has not said in time that it applied its feed; the cause is which: not
        /// acknowledged, or too old.
        FeedNotApplied = "feed-not-applied" = 31,
        /// A relying party trusts an anchor that nothing needs, or that is not meant for it; the
        /// cause is the anchor.
        AnchorStale = "anchor-stale" = 40,
        /// A relying party trusts an anchor that nobody accounts for; the cause is the anchor.
        AnchorUnknown = "anchor-unknown" = 41,
        /// A relying party trusts an anchor past its end; the cause is the anchor.
        AnchorExpired = "anchor-expired" = 42,
        /// A relying party does not trust an issuer that it needs; the cause is the issuer.
        AnchorMissing = "anchor-missing" = 43,
        /// A relying party trusts more anchors than its budget.
        TrustStoreTooLarge = "trust-store-too-large" = 44,
        /// The trust store of a relying party was to be reported again and was not; the cause is
        /// always the same.
        TrustStoreSilent = "trust-store-silent" = 46,
        /// Relying parties of one service treat the same canary differently; the cause is which and
        /// where.
        TrustDrift = "trust-drift" = 45,
        /// A device is let in although it is not known to be trusted; the cause is why not.
        FailOperational = "fail-operational" = 60,
        /// A verifier says that a device runs what it must not run; the cause is the verifier.
        Contraindicated = "contraindicated" = 61,
        /// Devices must get new keys after a compromise; the cause is which.
        Rekey = "rekey" = 80,
        /// A key on a list of known keys is in a certificate of ours; the cause is the list.
        ListedKey = "listed-key" = 81,
        /// A drill was not passed for too long; the cause is which.
        DrillOverdue = "drill-overdue" = 82,
        /// Certificates should have been renewed; the cause is where, and whose.
        RenewalOverdue = "renewal-overdue" = 83,
        /// Expired certificates are used at a service, which therefore lets them in.
        ExpiredInUse = "expired-in-use" = 84,
        /// A check of `doctor` is not good; the cause is which.
        Doctor = "doctor" = 85,
        /// Revoked certificates are used at a service, which therefore lets them in.
        RevokedInUse = "revoked-in-use" = 86,
    }
    /// Where a finding is.
    FindingState ("finding state") {
        /// Nobody has taken it up.
        Open = "open" = 1,
        /// Somebody knows of it and said why it stands.
        Acknowledged = "acknowledged" = 2,
        /// What was found is gone; if it returns, the same finding opens again.
        Cleared = "cleared" = 3,
    }
    /// What a finding is about.
    SubjectKind ("subject") {
        /// A device.
        Device = "device" = 1,
        /// A certificate, by its serial.
        Certificate = "certificate" = 2,
        /// An issuer.
        Issuer = "issuer" = 3,
        /// A relying party.
        RelyingParty = "relying-party" = 4,
        /// A hook.
        Hook = "hook" = 9,
        /// A key, by the SHA-256 of its SubjectPublicKeyInfo.
        Key = "key" = 20,
        /// A class of devices.
        Class = "class" = 21,
        /// A service.
        Service = "service" = 22,
        /// The house itself.
        House = "house" = 23,
    }
}

/// What a finding is about: one thing, by the name people know.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Subject {
    /// Which kind of thing.
    pub kind: SubjectKind,
    /// Its name.
    pub name: String,
}

impl Subject {
    /// A device.
    pub fn device(id: &DeviceId) -> Subject {
        Subject::new(SubjectKind::Device, id.as_str())
    }

    /// A certificate.
    pub fn certificate(serial: &tenure_x509::Serial) -> Subject {
        Subject::new(SubjectKind::Certificate, &serial.to_string())
    }

    /// An issuer.
    pub fn issuer(name: &Slug) -> Subject {
        Subject::new(SubjectKind::Issuer, name.as_str())
    }

    /// A thing of this kind and name.
    pub fn new(kind: SubjectKind, name: &str) -> Subject {
        Subject {
            kind,
            name: name.to_owned(),
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.name)
    }
}

/// What makes two findings the same one: it is open once, however often it is seen.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Matter {
    /// What is not as it should be.
    pub kind: FindingKind,
    /// What it is about.
    pub subject: Subject,
    /// What exactly, in words that are the same each time.
    pub cause: String,
}

/// A finding to be raised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewFinding {
    /// What it is.
    pub matter: Matter,
    /// What is wrong and what to do, in a sentence or two.
    pub summary: String,
    /// What shows it, as `incident 3`, `probe 17` or `event 412`.
    pub evidence: Vec<String>,
    /// Who answers for it, if somebody does.
    pub owner: Option<Title>,
    /// What its going unheeded would mean.
    pub criticality: Criticality,
}

/// That somebody knows of a finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledgement {
    /// When.
    #[serde(with = "crate::text::time")]
    pub at: Time,
    /// Who, by the name of the token.
    pub by: String,
    /// Why it stands.
    pub why: String,
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Its row.
    pub no: FindingNo,
    /// What it is.
    pub matter: Matter,
    /// Where it is.
    pub state: FindingState,
    /// What is wrong and what to do.
    pub summary: String,
    /// What showed it the last time it opened.
    pub evidence: Vec<String>,
    /// Who answers for it.
    pub owner: Option<Title>,
    /// What its going unheeded would mean.
    pub criticality: Criticality,
    /// How often it has opened.
    pub times: i64,
    /// When it opened for the first time.
    pub first: Time,
    /// When it opened the last time.
    pub opened: Time,
    /// Who knows of it, since it opened the last time.
    pub acknowledged: Option<Acknowledgement>,
    /// When what was found was gone.
    pub cleared: Option<Time>,
}
