//! What would change: which devices a new policy would treat differently, and how.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tenure_x509::{Time, Validity};

use crate::ask::{Operation, Protocol};
use crate::certificate::Status;
use crate::device::{Criticality, Device, Standing};
use crate::duration::DAY_S;
use crate::facts::{Facts, Subject};
use crate::ids::{DeviceId, Slug, Title};
use crate::policy::decide::permit;
use crate::policy::explain::Said;
use crate::policy::test::imagined_row;
use crate::policy::{Action, DescribedAsk, EvidenceKind, Policy};
use crate::profile::Profile;
use crate::registry::{Class, SiteTree};

/// How many device ids a change lists.
pub const LISTED_MAX: usize = 20;

/// What a new policy would change for a fleet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The hash of the policy in force.
    pub from: String,
    /// The hash of the new one.
    pub to: String,
    /// How many devices were looked at.
    pub devices: u64,
    /// How many of them would be treated differently in at least one case.
    pub affected: u64,
    /// The changes, the one that touches most devices first.
    pub changes: Vec<PlannedChange>,
}

/// One change: the same case, decided differently.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedChange {
    /// What is asked for.
    pub operation: Operation,
    /// What is proved.
    pub evidence: EvidenceKind,
    /// The label it is asked at; none is the plain path, where the class picks the profile.
    pub label: Option<Slug>,
    /// How it is decided now.
    pub from: Treatment,
    /// How it would be decided.
    pub to: Treatment,
    /// What would be different about the certificate, field by field.
    pub certificate: Vec<String>,
    /// How many devices it touches.
    pub devices: u64,
    /// The first of them, at most 20.
    pub first: Vec<DeviceId>,
}

/// How a case is decided.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Treatment {
    /// Yes, wait or no.
    pub action: Action,
    /// The rule or check that says so.
    pub rule: String,
    /// The profile.
    pub profile: Slug,
}

/// An operation with evidence that can serve for it.
const CASES: [(Operation, EvidenceKind); 5] = [
    (Operation::Renew, EvidenceKind::CurrentCertificate),
    (Operation::Enroll, EvidenceKind::Secret),
    (Operation::Enroll, EvidenceKind::Manufacturer),
    (Operation::ServerKeygen, EvidenceKind::Secret),
    (Operation::ServerKeygen, EvidenceKind::Manufacturer),
];

/// When the cases are thought to take place; nothing in them depends on it.
const NOW: Time = Time::from_unix(1_767_225_600);

/// What a decision can see of a device. Devices that look alike are treated alike, so each look is
/// decided once.
#[derive(PartialEq, Eq, Hash)]
struct Look {
    class: Title,
    site: Title,
    owner: Title,
    criticality: Criticality,
    standing: Standing,
    is_bound: bool,
    /// For each profile, whether the device's names can be computed.
    names: Vec<bool>,
}

/// Devices that look alike.
struct Alike {
    device: Device,
    class: Arc<Class>,
    around: Vec<Title>,
    count: u64,
    first: Vec<DeviceId>,
}

/// A case, how it is decided now and how it would be.
type ChangeKey = (Operation, EvidenceKind, Option<Slug>, Treatment, Treatment);

/// Compares two policies over a fleet. Enrollments are thought to come from devices that hold no
/// certificate, renewals from devices that hold a live one.
pub fn plan(
    old: &Policy,
    new: &Policy,
    population: impl IntoIterator<Item = (Device, Arc<Class>)>,
    sites: &SiteTree,
) -> Plan {
    let mut labels: Vec<Option<Slug>> = vec![None];
    for profile in profiles(old).chain(profiles(new)) {
        if !labels
            .iter()
            .any(|label| label.as_ref() == Some(&profile.name))
        {
            labels.push(Some(profile.name.clone()));
        }
    }
    let mut plan = Plan {
        from: old.hash.to_string(),
        to: new.hash.to_string(),
        devices: 0,
        affected: 0,
        changes: Vec::new(),
    };
    let mut changes: BTreeMap<ChangeKey, PlannedChange> = BTreeMap::new();
    for alike in grouped(old, new, population, sites) {
        plan.devices += alike.count;
        let mut touched = false;
        for (operation, evidence) in CASES {
            for label in &labels {
                let asked = DescribedAsk {
                    operation,
                    evidence,
                    protocol: Protocol::Est,
                    label: label.clone(),
                    key: None,
                };
                if let Some(change) = compared(old, new, &asked, &alike) {
                    touched = true;
                    add(&mut changes, change);
                }
            }
        }
        if touched {
            plan.affected += alike.count;
        }
    }
    plan.changes = changes.into_values().collect();
    for change in &mut plan.changes {
        change.first.sort();
        change.first.truncate(LISTED_MAX);
    }
    plan.changes
        .sort_by_key(|change| std::cmp::Reverse(change.devices));
    plan
}

fn profiles(policy: &Policy) -> impl Iterator<Item = &Arc<Profile>> {
    policy
        .profiles
        .values()
        .filter(|profile| profile.kind.is_for_devices())
}

fn grouped(
    old: &Policy,
    new: &Policy,
    population: impl IntoIterator<Item = (Device, Arc<Class>)>,
    sites: &SiteTree,
) -> Vec<Alike> {
    let mut shapes: Vec<&Profile> = profiles(old).map(|profile| &**profile).collect();
    for profile in profiles(new) {
        let is_same = |seen: &&Profile| seen.subject == profile.subject && seen.san == profile.san;
        if !shapes.iter().any(is_same) {
            shapes.push(profile);
        }
    }
    let mut alike: HashMap<Look, Alike> = HashMap::new();
    for (device, class) in population {
        let look = Look {
            class: device.class.clone(),
            site: device.site.clone(),
            owner: device.owner.clone(),
            criticality: device.criticality,
            standing: device.standing,
            is_bound: !device.services.is_empty(),
            names: shapes
                .iter()
                .map(|profile| profile.names(&device).is_ok())
                .collect(),
        };
        let id = device.id.clone();
        let group = alike.entry(look).or_insert_with(|| Alike {
            around: sites.around(&device.site),
            device,
            class,
            count: 0,
            first: Vec::new(),
        });
        group.count += 1;
        if group.first.len() < LISTED_MAX {
            group.first.push(id);
        }
    }
    alike.into_values().collect()
}

fn treated(policy: &Policy, asked: &DescribedAsk, alike: &Alike) -> Treatment {
    let head = match asked.operation {
        Operation::Renew => {
            let validity = Validity {
                not_before: NOW.plus(-DAY_S),
                not_after: NOW.plus(DAY_S),
            };
            // A profile that does not exist is one that is not for life.
            let profile = asked.label.as_ref().unwrap_or(&alike.class.profile);
            imagined_row(&alike.device, profile, Status::Issued, validity)
        }
        Operation::Enroll | Operation::ServerKeygen => None,
    };
    let subject = Subject {
        device: alike.device.clone(),
        class: Arc::clone(&alike.class),
        around: alike.around.clone(),
        head,
        forgiven: 0,
    };
    let question = asked.question(&subject);
    let said = Said::of(&permit(policy, &question, &Facts::default(), &subject, NOW));
    let profile = question.profile_name(&subject).clone();
    Treatment {
        action: said.action,
        rule: said.rule,
        profile,
    }
}

/// The change in one case, if there is one. That another rule says the same is none.
fn compared(
    old: &Policy,
    new: &Policy,
    asked: &DescribedAsk,
    alike: &Alike,
) -> Option<PlannedChange> {
    let from = treated(old, asked, alike);
    let to = treated(new, asked, alike);
    let certificate = match (from.action, to.action) {
        (Action::Refuse, _) | (_, Action::Refuse) => Vec::new(),
        _ => match (old.profile(&from.profile), new.profile(&to.profile)) {
            (Some(before), Some(after)) => differences(before, after),
            _ => Vec::new(),
        },
    };
    (from.action != to.action || !certificate.is_empty()).then(|| PlannedChange {
        operation: asked.operation,
        evidence: asked.evidence,
        label: asked.label.clone(),
        from,
        to,
        certificate,
        devices: alike.count,
        first: alike.first.clone(),
    })
}

fn add(changes: &mut BTreeMap<ChangeKey, PlannedChange>, change: PlannedChange) {
    let key = (
        change.operation,
        change.evidence,
        change.label.clone(),
        change.from.clone(),
        change.to.clone(),
    );
    match changes.get_mut(&key) {
        Some(known) => {
            known.devices += change.devices;
            known.first.extend(change.first);
        }
        None => {
            changes.insert(key, change);
        }
    }
}

/// What would be different about the certificates of a profile.
fn differences(before: &Profile, after: &Profile) -> Vec<String> {
    fn listed<T: ToString>(values: &[T]) -> String {
        match values {
            [] => "nothing".to_owned(),
            values => values
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(", "),
        }
    }
    fn subject(profile: &Profile) -> String {
        let parts: Vec<_> = profile
            .subject
            .iter()
            .map(|(a, t)| format!("{a}:{t}"))
            .collect();
        listed(&parts)
    }
    fn issuer(profile: &Profile) -> String {
        profile
            .issuer
            .as_ref()
            .map_or("the newest".to_owned(), ToString::to_string)
    }
    let seconds = crate::duration::show;
    let fields = [
        ("kind", before.kind.to_string(), after.kind.to_string()),
        ("issuer", issuer(before), issuer(after)),
        ("life", before.life.to_string(), after.life.to_string()),
        (
            "backdate",
            seconds(before.backdate_s),
            seconds(after.backdate_s),
        ),
        (
            "renew-at",
            format!("{}%", before.renew_percent),
            format!("{}%", after.renew_percent),
        ),
        ("keys", listed(&before.keys), listed(&after.keys)),
        ("usage", listed(&before.usage), listed(&after.usage)),
        ("subject", subject(before), subject(after)),
        ("san", listed(&before.san), listed(&after.san)),
        (
            "revocation",
            listed(&before.revocation),
            listed(&after.revocation),
        ),
    ];
    fields
        .into_iter()
        .filter(|(_, before, after)| before != after)
        .map(|(field, before, after)| format!("{field}: {before} becomes {after}"))
        .collect()
}
