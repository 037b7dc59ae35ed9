use std::sync::Arc;

use tenure_domain::device::{Criticality, Device};
use tenure_domain::policy::{Action, EvidenceKind, Plan, Policy, document, plan};
use tenure_domain::registry::{Class, SiteTree};
use tenure_domain::{Operation, Standing};

use crate::fixture::*;

fn policy(text: &str) -> Policy {
    document::parse(text, 1).unwrap_or_else(|error| panic!("{error}"))
}

fn fleet() -> Vec<(Device, Arc<Class>)> {
    let class = Arc::new(Class::new(
        "pump".parse().unwrap(),
        "device".parse().unwrap(),
    ));
    (0..100)
        .map(|n| {
            let mut device = device(&format!("pump-{n:02}"));
            device.criticality = if n % 10 == 0 {
                Criticality::Safety
            } else {
                Criticality::Low
            };
            device.standing = if n < 3 {
                Standing::Retired
            } else {
                Standing::Enrolled
            };
            (device, Arc::clone(&class))
        })
        .collect()
}

fn planned(to: &str) -> Plan {
    plan(
        &policy(document::DEFAULT_DOCUMENT),
        &policy(to),
        fleet(),
        &SiteTree::default(),
    )
}

#[test]
fn the_same_policy_changes_nothing() {
    let same = planned(document::DEFAULT_DOCUMENT);
    assert_eq!((same.devices, same.affected), (100, 0));
    assert_eq!(same.changes, []);
    assert_eq!(same.from, same.to);
}

#[test]
fn another_rule_of_the_same_mind_changes_nothing() {
    let renamed = document::DEFAULT_DOCUMENT.replace("first-by-secret", "with-secret");
    let plan = planned(&renamed);
    assert_eq!(plan.affected, 0);
    assert_ne!(plan.from, plan.to);
}

#[test]
fn a_plan_counts_and_names_the_devices_that_would_be_treated_differently() {
    let text = document::DEFAULT_DOCUMENT.replace(
        "criticality = [\"safety\"]\naction = \"hold\"",
        "criticality = [\"low\"]\naction = \"hold\"",
    );
    let text = text.split_once("[[test]]").unwrap().0;
    let plan = planned(text);
    // All but the three that are retired, whom no policy gives anything.
    assert_eq!(plan.affected, 97);
    let secret = |from: Action, to: Action| {
        let mut found = plan.changes.iter().filter(|change| {
            change.operation == Operation::Enroll
                && change.evidence == EvidenceKind::Secret
                && change.label.is_none()
                && (change.from.action, change.to.action) == (from, to)
        });
        let change = found.next().unwrap();
        assert!(found.next().is_none());
        change
    };
    let held = secret(Action::Allow, Action::Hold);
    assert_eq!(held.devices, 88);
    assert_eq!(held.first.len(), 20);
    assert_eq!(held.first[0].as_str(), "pump-03");
    assert_eq!(
        (held.from.rule.as_str(), held.to.rule.as_str()),
        ("first-by-secret", "safety-first")
    );
    let freed = secret(Action::Hold, Action::Allow);
    assert_eq!(freed.devices, 9);
    assert_eq!(freed.first[0].as_str(), "pump-10");
    assert!(
        plan.changes
            .iter()
            .all(|change| change.operation != Operation::Renew)
    );
}

#[test]
fn a_plan_says_what_would_be_different_about_the_certificates() {
    let text = document::DEFAULT_DOCUMENT.replacen("life = \"90d\"", "life = \"30d\"", 1);
    let plan = planned(&text);
    let renewal = plan
        .changes
        .iter()
        .find(|change| change.operation == Operation::Renew && change.label.is_none())
        .unwrap();
    assert_eq!(renewal.devices, 97);
    assert_eq!(renewal.certificate, ["life: 90d becomes 30d"]);
}

/// Devices are decided in groups that look alike; one whose names cannot be computed looks
/// different.
#[test]
fn a_device_whose_names_no_longer_fit_is_told_apart() {
    let text = document::DEFAULT_DOCUMENT.replacen(
        "san = [\"uri:https://device.internal/{device.id}\"]",
        "san = [\"dns:{device.id}.example\"]",
        1,
    );
    let mut fleet = fleet();
    fleet[50].0.id = "pump_50".parse().unwrap();
    let plan = plan(
        &policy(document::DEFAULT_DOCUMENT),
        &policy(&text),
        fleet,
        &SiteTree::default(),
    );
    let lost: Vec<_> = plan
        .changes
        .iter()
        .filter(|change| {
            change.operation == Operation::Renew
                && change.label.is_none()
                && change.to.action == Action::Refuse
        })
        .collect();
    assert_eq!(lost.len(), 1);
    assert_eq!((lost[0].devices, lost[0].first[0].as_str()), (1, "pump_50"));
    assert_eq!(lost[0].to.rule, "incomplete");
}
