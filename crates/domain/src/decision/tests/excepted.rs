//! Requirement K1 where it matters: what an exception lifts, for whom, and until when.

use super::*;
use crate::exception::{ActiveException, LIFTABLE, Scope};

fn excepted(no: i64, lifts: &[Ground], for_s: i64) -> ActiveException {
    ActiveException {
        no,
        lifts: lifts.to_vec().try_into().unwrap(),
        until: now().plus(for_s),
    }
}

/// At its end it lapses and enforcement resumes, to the second; until then it is named, and no verdict
/// outlives it.
#[test]
fn k1_at_its_end_an_exception_lapses_and_enforcement_resumes() {
    let (rules, question, mut facts) = good();
    certificate(&mut facts).not_after = at(NOW - 600);
    let before = decide(&rules, &question, &facts, now());
    assert_eq!(
        (before.access, before.trust),
        (Access::Deny, Trust::Unknown)
    );

    facts.exceptions = vec![excepted(7, &[Ground::CertificateExpired], 40)];
    let verdict = decide(&rules, &question, &facts, now());
    assert_eq!(
        (verdict.access, verdict.trust),
        (Access::Allow, Trust::Trusted)
    );
    assert_eq!(verdict.tier, Tier::Limited, "it is never more than that");
    assert_eq!(verdict.alarm, Alarm::Quiet);
    assert_eq!(
        verdict.valid_until,
        now().plus(40),
        "it is cut to the exception's end"
    );
    assert_eq!(
        verdict.grounds,
        [
            Ground::Excepted,
            Ground::CertificateExpired,
            Ground::NotAttested
        ]
    );
    let named = "exception 7 lifts certificate-expired".to_owned();
    assert!(verdict.evidence.contains(&named), "{:?}", verdict.evidence);

    let last = decide(&rules, &question, &facts, now().plus(39));
    assert_eq!(last.access, Access::Allow);
    let over = decide(&rules, &question, &facts, now().plus(40));
    assert_eq!((over.access, over.trust), (before.access, before.trust));
    assert_eq!(over.grounds, before.grounds);
    assert_eq!(over.evidence, before.evidence);
}

/// What is lifted does not count, and nothing else changes.
#[test]
fn k1_an_exception_lifts_what_it_names_and_nothing_else() {
    type Change = fn(&mut DecisionFacts);
    let never: [(Change, Ground); 5] = [
        (
            |facts| certificate(facts).status = Status::Revoked,
            Ground::CertificateRevoked,
        ),
        (
            |facts| device(facts).standing = Standing::Suspended,
            Ground::DeviceSuspended,
        ),
        (
            |facts| device(facts).standing = Standing::Retired,
            Ground::DeviceRetired,
        ),
        (
            |facts| facts.withdrawals = Kept::Until { at: at(NOW - 1) },
            Ground::StateStale,
        ),
        (
            |facts| {
                facts.incidents.push(OpenIncident {
                    no: 3,
                    kind: IncidentKind::Fork,
                });
            },
            Ground::IncidentOpen,
        ),
    ];
    for (change, ground) in never {
        let (rules, question, mut facts) = good();
        certificate(&mut facts).not_after = at(NOW - 1);
        facts.exceptions = vec![excepted(7, &LIFTABLE, 1_000)];
        assert_eq!(
            decide(&rules, &question, &facts, now()).access,
            Access::Allow
        );
        change(&mut facts);
        let verdict = decide(&rules, &question, &facts, now());
        assert_eq!(verdict.access, Access::Deny, "{ground}");
        assert_eq!(verdict.tier, Tier::Quarantine, "{ground}");
        assert_eq!(verdict.grounds.first(), Some(&ground));
    }
    // One that names something else.
    let (rules, question, mut facts) = good();
    certificate(&mut facts).not_after = at(NOW - 1);
    facts.exceptions = vec![excepted(7, &[Ground::FindingOpen], 10)];
    let verdict = decide(&rules, &question, &facts, now());
    assert_eq!(verdict.access, Access::Deny);
    assert!(!verdict.grounds.contains(&Ground::Excepted));
    // One that is not needed is not named, and cuts nothing.
    let (rules, question, mut facts) = good();
    let plain = decide(&rules, &question, &facts, now());
    facts.exceptions = vec![excepted(7, &LIFTABLE, 10)];
    let verdict = decide(&rules, &question, &facts, now());
    assert_eq!(verdict.valid_until, plain.valid_until);
    assert!(
        !verdict
            .evidence
            .iter()
            .any(|it| it.starts_with("exception"))
    );
}

#[test]
fn k1_what_only_lowers_is_lifted_to_the_full_tier() {
    let (rules, question, mut facts) = good();
    facts.findings.push(OpenFinding {
        no: 4,
        kind: FindingKind::RenewalOverdue,
        times: 1,
    });
    facts.exceptions = vec![
        excepted(7, &[Ground::FindingOpen], 10),
        excepted(8, &[Ground::FindingOpen], 20),
    ];
    let verdict = decide(&rules, &question, &facts, now());
    assert_eq!((verdict.access, verdict.tier), (Access::Allow, Tier::Full));
    assert_eq!(verdict.valid_until, now().plus(20), "the longer one counts");
    assert_eq!(
        verdict.grounds,
        [
            Ground::CertificateGood,
            Ground::Excepted,
            Ground::FindingOpen,
            Ground::NotAttested
        ]
    );
    let mut elsewhere = question.clone();
    elsewhere.site = Some(title("Hall 4"));
    assert_eq!(
        decide(&rules, &elsewhere, &facts, now()).access,
        Access::Deny
    );
    facts.exceptions.push(excepted(9, &[Ground::OtherSite], 30));
    let verdict = decide(&rules, &elsewhere, &facts, now());
    assert_eq!((verdict.access, verdict.tier), (Access::Allow, Tier::Full));
}

/// A canary is there to see what happens to everybody else.
#[test]
fn k1_nothing_is_lifted_for_a_canary() {
    let (rules, question, mut facts) = good();
    device(&mut facts).purpose = Purpose::Canary;
    certificate(&mut facts).not_after = at(NOW - 1);
    facts.exceptions = vec![excepted(7, &LIFTABLE, 1_000)];
    assert_eq!(
        decide(&rules, &question, &facts, now()).access,
        Access::Deny
    );
}

#[test]
fn k1_a_scope_holds_the_devices_that_it_names() {
    let (_, _, facts) = good();
    let device = facts.device.unwrap();
    for scope in [
        Scope::Device("pump-17".parse().unwrap()),
        Scope::Class(title("Pump")),
        Scope::Site(title("Hall 3")),
        Scope::Site(title("Plant")),
    ] {
        assert!(scope.holds(&device), "{scope}");
        let read = Scope::read(scope.kind(), scope.name());
        assert_eq!(read, Some(scope));
    }
    for scope in [
        Scope::Device("pump-18".parse().unwrap()),
        Scope::Class(title("Valve")),
        Scope::Site(title("Hall 4")),
    ] {
        assert!(!scope.holds(&device), "{scope}");
    }
}
