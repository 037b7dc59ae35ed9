//! One rule: which asks it speaks about and what it says.

use crate::ask::{Operation, Protocol};
use crate::device::{Criticality, Device};
use crate::ids::{Slug, Title};
use crate::policy::{Action, EvidenceKind};
use crate::words::words;

/// One rule. An empty list matches anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Its name, unique in the document; every decision names it.
    pub name: Slug,
    /// Which operations.
    pub operations: Vec<Operation>,
    /// Which evidence; any one of these.
    pub evidence: Vec<EvidenceKind>,
    /// Which protocols.
    pub protocols: Vec<Protocol>,
    /// Which classes.
    pub classes: Vec<Title>,
    /// Which sites, with all that is inside them.
    pub sites: Vec<Title>,
    /// Which owners.
    pub owners: Vec<Title>,
    /// Which criticalities.
    pub criticality: Vec<Criticality>,
    /// Which profiles, whether asked for by label or picked by the class.
    pub profiles: Vec<Slug>,
    /// What it says.
    pub action: Action,
    /// Its own words, shown with every refusal and hold.
    pub reason: String,
}

words! {
    /// One condition of a rule.
    Condition ("condition") {
        /// What is asked for.
        Operation = "operation" = 1,
        /// What was proved.
        Evidence = "evidence" = 2,
        /// How it came.
        Protocol = "protocol" = 3,
        /// The device's class.
        Class = "class" = 4,
        /// The device's site.
        Site = "site" = 5,
        /// The device's owner.
        Owner = "owner" = 6,
        /// The device's criticality.
        Criticality = "criticality" = 7,
        /// The profile.
        Profile = "profile" = 8,
    }
}

/// What the rules see of an ask.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// What is asked for.
    pub operation: Operation,
    /// What was proved.
    pub evidence: EvidenceKind,
    /// How it came.
    pub protocol: Protocol,
    /// The device it is about.
    pub device: &'a Device,
    /// The sites around the device's own.
    pub around: &'a [Title],
    /// The profile, by label or by class.
    pub profile: &'a Slug,
}

fn listed<T: PartialEq>(wanted: &[T], value: &T) -> bool {
    wanted.is_empty() || wanted.contains(value)
}

fn covers<T: PartialEq>(wider: &[T], narrower: &[T]) -> bool {
    wider.is_empty() || (!narrower.is_empty() && narrower.iter().all(|value| wider.contains(value)))
}

fn joined<T: ToString>(values: &[T]) -> String {
    values
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(", ")
}

impl Rule {
    /// Whether the rule speaks about this ask.
    pub fn matches(&self, asked: &Asked<'_>) -> bool {
        Condition::ALL
            .iter()
            .all(|condition| self.meets(*condition, asked))
    }

    /// Whether the ask meets one condition.
    pub fn meets(&self, condition: Condition, asked: &Asked<'_>) -> bool {
        match condition {
            Condition::Operation => listed(&self.operations, &asked.operation),
            Condition::Evidence => listed(&self.evidence, &asked.evidence),
            Condition::Protocol => listed(&self.protocols, &asked.protocol),
            Condition::Class => listed(&self.classes, &asked.device.class),
            Condition::Site => {
                listed(&self.sites, &asked.device.site)
                    || asked.around.iter().any(|site| self.sites.contains(site))
            }
            Condition::Owner => listed(&self.owners, &asked.device.owner),
            Condition::Criticality => listed(&self.criticality, &asked.device.criticality),
            Condition::Profile => listed(&self.profiles, asked.profile),
        }
    }

    /// For each condition that the ask does not meet, what the rule wants and what the ask has.
    pub fn unmet(&self, asked: &Asked<'_>) -> Vec<String> {
        let unmet = Condition::ALL
            .iter()
            .filter(|condition| !self.meets(**condition, asked));
        unmet
            .map(|condition| {
                let (wanted, given) = self.compared(*condition, asked);
                format!("{condition} is {given}; the rule wants {wanted}")
            })
            .collect()
    }

    fn compared(&self, condition: Condition, asked: &Asked<'_>) -> (String, String) {
        match condition {
            Condition::Operation => (joined(&self.operations), asked.operation.to_string()),
            Condition::Evidence => (joined(&self.evidence), asked.evidence.to_string()),
            Condition::Protocol => (joined(&self.protocols), asked.protocol.to_string()),
            Condition::Class => (joined(&self.classes), asked.device.class.to_string()),
            Condition::Site => (joined(&self.sites), asked.device.site.to_string()),
            Condition::Owner => (joined(&self.owners), asked.device.owner.to_string()),
            Condition::Criticality => (
                joined(&self.criticality),
                asked.device.criticality.to_string(),
            ),
            Condition::Profile => (joined(&self.profiles), asked.profile.to_string()),
        }
    }

    /// Whether this rule matches every ask that `other` matches.
    pub fn covers(&self, other: &Rule) -> bool {
        Condition::ALL.iter().all(|condition| match condition {
            Condition::Operation => covers(&self.operations, &other.operations),
            Condition::Evidence => covers(&self.evidence, &other.evidence),
            Condition::Protocol => covers(&self.protocols, &other.protocols),
            Condition::Class => covers(&self.classes, &other.classes),
            Condition::Site => covers(&self.sites, &other.sites),
            Condition::Owner => covers(&self.owners, &other.owners),
            Condition::Criticality => covers(&self.criticality, &other.criticality),
            Condition::Profile => covers(&self.profiles, &other.profiles),
        })
    }
}
