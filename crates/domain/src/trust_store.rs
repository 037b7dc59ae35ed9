//! Trust stores: what a relying party is meant to hold, what it was observed to hold, and what of the
//! difference is not as it should be.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};
use tenure_x509::Time;

use crate::duration::DAY_S;
use crate::finding::{FindingKind, Matter, NewFinding, Subject, SubjectKind};
use crate::ids::{Slug, Title};
use crate::issuer::IssuerState;
use crate::operator::Permission;
use crate::relying_party::RelyingParty;
use crate::text::hex;
use crate::words::words;

words! {
    /// What an anchor is to the relying party that holds it.
    AnchorStanding ("anchor standing") {
        /// An issuing CA that it is meant to trust, or what stands above one.
        Meant = "meant" = 1,
        /// Meant, but nothing in force and nobody who connects needs it.
        Stale = "stale" = 2,
        /// One of ours that it is not meant to trust: of another line, or removed.
        NotMeant = "not-meant" = 3,
        /// Not ours, and registered with a scope and an end that hold here and now.
        Legacy = "legacy" = 4,
        /// Registered, but its end is past, or it is not for this relying party.
        OutOfScope = "out-of-scope" = 5,
        /// Nobody said why it is there.
        Unknown = "unknown" = 6,
    }
}

/// How many anchors a trust store may hold if nothing else is said: few enough to be read.
pub const ANCHORS_MAX_DEFAULT: u32 = 16;

/// After how long without a certificate in force and without traffic an anchor is stale, in seconds:
/// 30 days.
pub const STALE_S: i64 = 30 * DAY_S;

/// The SHA-256 of an anchor's DER.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint(pub [u8; 32]);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl std::str::FromStr for Fingerprint {
    type Err = crate::ids::BadName;

    fn from_str(text: &str) -> Result<Fingerprint, crate::ids::BadName> {
        let bad = || crate::ids::BadName {
            what: "fingerprint",
            rule: "write the SHA-256 of the certificate, 64 hex digits",
            given: text.chars().take(80).collect(),
        };
        let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b':').collect();
        let mut print = [0; 32];
        if digits.len() != 64 {
            return Err(bad());
        }
        for (octet, pair) in print.iter_mut().zip(digits.chunks(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| bad())?;
            *octet = u8::from_str_radix(pair, 16).map_err(|_| bad())?;
        }
        Ok(Fingerprint(print))
    }
}

/// Why an anchor that is not ours may be held: requirement I8.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Legacy {
    /// Until when.
    #[serde(with = "crate::text::time")]
    pub until: Time,
    /// The relying parties it is for.
    pub relying_parties: Vec<Slug>,
    /// Who answers for it.
    pub owner: Title,
    /// Why it is needed.
    pub why: String,
}

impl Legacy {
    /// Whether it may be held by this relying party now.
    pub fn covers(&self, party: &Slug, now: Time) -> bool {
        now <= self.until && self.relying_parties.contains(party)
    }
}

/// A change to what is known or meant of a trust store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TrustStoreChange {
    /// A relying party, or who looks after it, says what it trusts now: all of it.
    Report {
        /// The relying party.
        party: Slug,
        /// Its anchors, PEM.
        pem: String,
        /// Within how many seconds the next report is promised; none if nobody promised one.
        again_within_s: Option<u32>,
    },
    /// So many anchors a relying party may hold.
    Budget {
        /// The relying party.
        party: Slug,
        /// How many.
        anchors_max: u32,
    },
    /// An anchor that is not ours may be held.
    Legacy {
        /// Its certificate, PEM.
        pem: String,
        /// By whom, until when and why.
        legacy: Legacy,
    },
    /// Take an anchor out of what a relying party is meant to hold.
    Prune {
        /// The relying party.
        party: Slug,
        /// The anchor.
        anchor: Fingerprint,
        /// Why, for the record.
        why: String,
    },
    /// Put it back.
    Restore {
        /// The relying party.
        party: Slug,
        /// The anchor.
        anchor: Fingerprint,
        /// Why, for the record.
        why: String,
    },
}

impl TrustStoreChange {
    /// The relying parties whose trust stores it is about.
    pub fn parties(&self) -> &[Slug] {
        match self {
            TrustStoreChange::Report { party, .. }
            | TrustStoreChange::Budget { party, .. }
            | TrustStoreChange::Prune { party, .. }
            | TrustStoreChange::Restore { party, .. } => std::slice::from_ref(party),
            TrustStoreChange::Legacy { legacy, .. } => &legacy.relying_parties,
        }
    }

    /// What the actor must be allowed.
    pub fn permission(&self) -> Permission {
        match self {
            TrustStoreChange::Report { .. } => Permission::Report,
            TrustStoreChange::Budget { .. } => Permission::ChangeFleet,
            TrustStoreChange::Legacy { .. }
            | TrustStoreChange::Prune { .. }
            | TrustStoreChange::Restore { .. } => Permission::ChangePolicy,
        }
    }
}

/// What is known of one of our issuing CAs that a relying party is meant to trust.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meant {
    /// The issuer.
    pub issuer: Slug,
    /// Its certificate.
    pub fingerprint: Fingerprint,
    /// The certificates above it, and what other roots certified of its root.
    pub above: Vec<Fingerprint>,
    /// Where it is.
    pub state: IssuerState,
    /// Since when.
    pub since: Time,
    /// How many of its certificates are in force, counted up to a limit.
    pub leaves: u64,
    /// When a service behind this relying party last reported one in use.
    pub seen_here: Option<Time>,
    /// When any service did.
    pub seen: Option<Time>,
}

impl Meant {
    /// Whether something live needs it: certificates in force, traffic not long ago, or that it is
    /// new and will be needed.
    pub fn is_needed(&self, now: Time) -> bool {
        let lately = |at: Time| at.plus(STALE_S) > now;
        let is_coming = self.state == IssuerState::Distributed;
        is_coming || self.leaves > 0 || self.seen.is_some_and(lately) || lately(self.since)
    }

    /// Whether it was needed here: a service behind this relying party saw one of its certificates
    /// not long ago, or it is to come.
    pub fn is_used_here(&self, now: Time) -> bool {
        let lately = |at: Time| at.plus(STALE_S) > now;
        self.state == IssuerState::Distributed || self.seen_here.is_some_and(lately)
    }

    /// What shows that nothing needs it, for people and the record.
    pub fn proof(&self) -> String {
        let seen = match self.seen {
            Some(at) => format!("last reported in use at {at}"),
            None => "never reported in use".to_owned(),
        };
        format!(
            "issuer {} is {} since {}; {} certificates of it in force; {seen}",
            self.issuer, self.state, self.since, self.leaves
        )
    }
}

/// One anchor that a relying party was observed to hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldAnchor {
    /// Which.
    pub fingerprint: Fingerprint,
    /// Whom it names (RFC 4514).
    pub subject: String,
    /// When it ends.
    pub not_after: Time,
    /// When it was first observed there.
    pub first: Time,
    /// When last.
    pub last: Time,
    /// The issuer or root of ours that it is.
    pub ours: Option<Slug>,
    /// Why it may be held, if it is not ours.
    pub legacy: Option<Legacy>,
}

/// What one relying party is meant to hold and was observed to hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comparison {
    /// The issuing CAs it is meant to trust, those that were pruned left out.
    pub meant: Vec<Meant>,
    /// The anchors that were taken out here, though they are of a line it is for.
    pub pruned: BTreeSet<Fingerprint>,
    /// What it holds.
    pub held: Vec<HeldAnchor>,
    /// How many anchors it may hold.
    pub anchors_max: u32,
    /// By when the next report was promised; none if nobody promised one.
    pub again: Option<Time>,
}

impl Comparison {
    /// What an anchor is to the relying party.
    pub fn standing(&self, party: &Slug, anchor: &HeldAnchor, now: Time) -> AnchorStanding {
        let print = anchor.fingerprint;
        let exact = self.meant.iter().find(|meant| meant.fingerprint == print);
        let below: Vec<_> = self
            .meant
            .iter()
            .filter(|meant| meant.above.contains(&print))
            .collect();
        match (exact, &anchor.ours, &anchor.legacy) {
            (Some(meant), ..) if meant.is_needed(now) => AnchorStanding::Meant,
            (Some(_), ..) => AnchorStanding::Stale,
            (None, ..) if below.iter().any(|meant| meant.is_needed(now)) => AnchorStanding::Meant,
            (None, ..) if !below.is_empty() => AnchorStanding::Stale,
            (None, Some(_), _) => AnchorStanding::NotMeant,
            (None, None, Some(legacy)) if legacy.covers(party, now) => AnchorStanding::Legacy,
            (None, None, Some(_)) => AnchorStanding::OutOfScope,
            (None, None, None) => AnchorStanding::Unknown,
        }
    }

    /// The issuing CAs that it needs and does not hold, neither themselves nor what stands above.
    pub fn missing(&self) -> impl Iterator<Item = &Meant> {
        self.meant.iter().filter(|meant| {
            !self.held.iter().any(|held| {
                held.fingerprint == meant.fingerprint || meant.above.contains(&held.fingerprint)
            })
        })
    }

    /// Everything that is not as it should be.
    pub fn findings(&self, party: &RelyingParty, evidence: &str, now: Time) -> Vec<NewFinding> {
        let finding = |kind, cause: String, summary: String| NewFinding {
            matter: Matter {
                kind,
                subject: Subject::new(SubjectKind::RelyingParty, party.name.as_str()),
                cause,
            },
            summary,
            evidence: vec![evidence.to_owned()],
            owner: Some(party.owner.clone()),
            criticality: party.criticality,
        };
        let name = &party.name;
        let mut findings = Vec::new();
        for anchor in &self.held {
            let (print, subject) = (anchor.fingerprint, &anchor.subject);
            let (kind, why) = match self.standing(name, anchor, now) {
                AnchorStanding::Meant | AnchorStanding::Legacy => (None, String::new()),
                AnchorStanding::Stale => (
                    Some(FindingKind::AnchorStale),
                    "nothing in force and nobody who connects needs it; prune it (`tenure \
                     trust-store prune`)"
                        .to_owned(),
                ),
                AnchorStanding::NotMeant => (
                    Some(FindingKind::AnchorStale),
                    "it is not meant for this relying party, or was removed; take it out".to_owned(),
                ),
                AnchorStanding::OutOfScope => (
                    Some(FindingKind::AnchorUnknown),
                    "it is registered as legacy, but not for here or not any more; take it out or \
                     register it anew"
                        .to_owned(),
                ),
                AnchorStanding::Unknown => (
                    Some(FindingKind::AnchorUnknown),
                    "nobody said why it is there; take it out, or register it with an end (`tenure \
                     anchor legacy`)"
                        .to_owned(),
                ),
            };
            if let Some(kind) = kind {
                let summary = format!("{name} trusts {subject} (SHA-256 {print}): {why}");
                findings.push(finding(kind, print.to_string(), summary));
            }
            if anchor.not_after < now {
                findings.push(finding(
                    FindingKind::AnchorExpired,
                    print.to_string(),
                    format!(
                        "{name} trusts {subject} (SHA-256 {print}), which ended at {}; take it out, \
                         because some software goes on trusting an anchor after its end",
                        anchor.not_after
                    ),
                ));
            }
        }
        for meant in self.missing() {
            let issuer = &meant.issuer;
            findings.push(finding(
                FindingKind::AnchorMissing,
                issuer.to_string(),
                format!(
                    "{name} holds neither {issuer} nor what stands above it, so it turns its devices \
                     away; give it the bundle (`tenure trust-store bundle {name}`)"
                ),
            ));
        }
        if let Some(again) = self.again.filter(|again| *again < now) {
            findings.push(finding(
                FindingKind::TrustStoreSilent,
                "reports".to_owned(),
                format!(
                    "whom {name} trusts was to be reported again by {again}, and was not; see that \
                     `tenure-agent` runs there and what it says"
                ),
            ));
        }
        let (count, most) = (self.held.len(), self.anchors_max);
        if count > usize::try_from(most).unwrap_or(usize::MAX) {
            findings.push(finding(
                FindingKind::TrustStoreTooLarge,
                "anchors".to_owned(),
                format!(
                    "{name} trusts {count} anchors, more than the {most} it may; take out what it \
                     does not need (`tenure trust-store show {name}` says what that is), or raise its \
                     budget"
                ),
            ));
        }
        findings
    }
}

/// The kinds of finding that a comparison raises, and so clears.
pub const KINDS: [FindingKind; 6] = [
    FindingKind::AnchorStale,
    FindingKind::AnchorUnknown,
    FindingKind::AnchorExpired,
    FindingKind::AnchorMissing,
    FindingKind::TrustStoreTooLarge,
    FindingKind::TrustStoreSilent,
];

#[cfg(test)]
mod tests;
