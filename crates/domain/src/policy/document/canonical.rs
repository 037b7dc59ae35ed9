//! The canonical form of a document: what it says, without comments, spacing, the order of its
//! profiles, or which defaults were written out. Its hash names the policy in the record.

use serde::Serialize;

use crate::decision::{Boundary, FailOperational};
use crate::policy::document::Written;
use crate::policy::document::decision::Settings;
use crate::policy::{Example, PolicyHash, Rule};
use crate::profile::Profile;

/// Field names are in alphabetical order, so that the JSON is canonical (RFC 8785).
#[derive(Serialize)]
struct Document<'a> {
    // Left out where nothing is said, so that documents from before there were decisions keep their
    // hash.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    boundaries: Vec<BoundaryForm<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    decision: Option<DecisionForm>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    fail_operational: Vec<FailOperationalForm<'a>>,
    format: &'static str,
    profiles: Vec<ProfileForm>,
    rules: Vec<RuleForm<'a>>,
    tests: Vec<&'a Example>,
}

#[derive(Serialize)]
struct RuleForm<'a> {
    action: &'static str,
    classes: Vec<&'a str>,
    criticality: Vec<&'static str>,
    evidence: Vec<&'static str>,
    name: &'a str,
    operations: Vec<&'static str>,
    owners: Vec<&'a str>,
    profiles: Vec<&'a str>,
    protocols: Vec<&'static str>,
    reason: &'a str,
    sites: Vec<&'a str>,
}

#[derive(Serialize)]
struct DecisionForm {
    #[serde(skip_serializing_if = "Option::is_none")]
    attested_within_s: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exceptions_max_s: Option<i64>,
    full_after_s: i64,
    full_needs: Vec<&'static str>,
    valid_for_s: i64,
}

#[derive(Serialize)]
struct BoundaryForm<'a> {
    classes: Vec<&'a str>,
    criticality: Vec<&'static str>,
    name: &'a str,
    networks: Vec<String>,
    owners: Vec<&'a str>,
    services: Vec<&'a str>,
    sites: Vec<&'a str>,
    tier: &'static str,
}

#[derive(Serialize)]
struct FailOperationalForm<'a> {
    classes: Vec<&'a str>,
    criticality: Vec<&'static str>,
    for_s: i64,
    name: &'a str,
    reason: &'a str,
    services: Vec<&'a str>,
}

/// The order within a condition says nothing.
fn in_order<T: Ord>(values: impl Iterator<Item = T>) -> Vec<T> {
    let mut values: Vec<T> = values.collect();
    values.sort();
    values
}

impl<'a> BoundaryForm<'a> {
    fn of(boundary: &'a Boundary) -> BoundaryForm<'a> {
        BoundaryForm {
            classes: in_order(boundary.classes.iter().map(|name| name.as_str())),
            criticality: in_order(boundary.criticality.iter().map(|value| value.word())),
            name: boundary.name.as_str(),
            networks: in_order(boundary.networks.iter().map(ToString::to_string)),
            owners: in_order(boundary.owners.iter().map(|name| name.as_str())),
            services: in_order(boundary.services.iter().map(|name| name.as_str())),
            sites: in_order(boundary.sites.iter().map(|name| name.as_str())),
            tier: boundary.tier.word(),
        }
    }
}

impl<'a> FailOperationalForm<'a> {
    fn of(listed: &'a FailOperational) -> FailOperationalForm<'a> {
        FailOperationalForm {
            classes: in_order(listed.classes.iter().map(|name| name.as_str())),
            criticality: in_order(listed.criticality.iter().map(|value| value.word())),
            for_s: listed.for_s,
            name: listed.name.as_str(),
            reason: &listed.reason,
            services: in_order(listed.services.iter().map(|name| name.as_str())),
        }
    }
}

impl DecisionForm {
    fn of(settings: &Settings) -> DecisionForm {
        DecisionForm {
            full_after_s: settings.full_after_s,
            attested_within_s: settings.attested_within_s,
            exceptions_max_s: settings.exceptions_max_s,
            full_needs: in_order(settings.full_needs.iter().map(|need| need.word())),
            valid_for_s: settings.valid_for_s,
        }
    }
}

#[derive(Serialize, PartialEq, Eq, PartialOrd, Ord)]
struct ProfileForm {
    backdate_s: i64,
    issuer: Option<String>,
    keys: Vec<&'static str>,
    kind: &'static str,
    life: String,
    name: String,
    renew_percent: u8,
    revocation: Vec<&'static str>,
    san: Vec<String>,
    subject: Vec<String>,
    usage: Vec<&'static str>,
}

impl<'a> RuleForm<'a> {
    fn of(rule: &'a Rule) -> RuleForm<'a> {
        RuleForm {
            action: rule.action.word(),
            classes: in_order(rule.classes.iter().map(|class| class.as_str())),
            criticality: in_order(rule.criticality.iter().map(|value| value.word())),
            evidence: in_order(rule.evidence.iter().map(|value| value.word())),
            name: rule.name.as_str(),
            operations: in_order(rule.operations.iter().map(|value| value.word())),
            owners: in_order(rule.owners.iter().map(|owner| owner.as_str())),
            profiles: in_order(rule.profiles.iter().map(|profile| profile.as_str())),
            protocols: in_order(rule.protocols.iter().map(|value| value.word())),
            reason: &rule.reason,
            sites: in_order(rule.sites.iter().map(|site| site.as_str())),
        }
    }
}

impl ProfileForm {
    fn of(profile: &Profile) -> ProfileForm {
        ProfileForm {
            backdate_s: profile.backdate_s,
            issuer: profile.issuer.as_ref().map(ToString::to_string),
            keys: profile.keys.iter().map(|key| key.name()).collect(),
            kind: profile.kind.word(),
            life: profile.life.to_string(),
            name: profile.name.to_string(),
            renew_percent: profile.renew_percent,
            revocation: profile.revocation.iter().map(|path| path.word()).collect(),
            san: profile.san.iter().map(ToString::to_string).collect(),
            subject: profile
                .subject
                .iter()
                .map(|(a, t)| format!("{a}:{t}"))
                .collect(),
            usage: profile.usage.iter().map(|usage| usage.word()).collect(),
        }
    }
}

/// The SHA-256 of the canonical form.
pub(super) fn hash(written: &Written) -> PolicyHash {
    let mut profiles: Vec<_> = written
        .profiles
        .iter()
        .map(|p| ProfileForm::of(&p.value))
        .collect();
    profiles.sort_by(|a, b| a.name.cmp(&b.name));
    let mut boundaries: Vec<_> = written
        .boundaries
        .iter()
        .map(|boundary| BoundaryForm::of(&boundary.value))
        .collect();
    // All of them count, so their order says nothing either.
    boundaries.sort_by(|a, b| a.name.cmp(b.name));
    let document = Document {
        boundaries,
        decision: written
            .decisions
            .first()
            .map(|said| DecisionForm::of(&said.value)),
        fail_operational: written
            .fail_operational
            .iter()
            .map(|listed| FailOperationalForm::of(&listed.value))
            .collect(),
        format: "tenure-policy-v1",
        profiles,
        rules: written
            .rules
            .iter()
            .map(|rule| RuleForm::of(&rule.value))
            .collect(),
        tests: written.tests.iter().map(|test| &test.value).collect(),
    };
    // Serialising strings, integers and lists of them into memory cannot fail.
    PolicyHash(tenure_x509::sha256(
        &serde_json::to_vec(&document).unwrap_or_default(),
    ))
}
