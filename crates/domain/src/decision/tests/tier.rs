//! How far an identity is trusted, and who goes on while nothing is known.

use super::*;

/// Requirement P6: nobody without an identity is let in, whoever is listed; a listed device whose
/// state is not known goes on for the time that is listed, with an alarm.
#[test]
fn p6_default_is_deny_and_the_list_says_who_goes_on() {
    type Change = fn(&mut DecisionFacts);
    let stale: [Change; 2] = [
        |facts| certificate(facts).not_after = at(NOW - 600),
        |facts| facts.withdrawals = Kept::Until { at: at(NOW - 600) },
    ];
    for change in stale {
        let (mut rules, question, mut facts) = good();
        change(&mut facts);
        rules.fail_operational.push(safety());
        assert_eq!(
            decide(&rules, &question, &facts, now()).access,
            Access::Deny
        );

        device(&mut facts).criticality = Criticality::Safety;
        let verdict = decide(&rules, &question, &facts, now());
        assert_eq!(verdict.access, Access::Allow);
        assert_eq!(verdict.alarm, Alarm::Raised);
        assert_eq!(verdict.trust, Trust::Unknown, "going on is not trust");
        assert_eq!(verdict.tier, Tier::Limited);
        assert_eq!(verdict.grounds.first(), Some(&Ground::FailOperational));
        assert_eq!(verdict.unreachable_until, Some(at(NOW + 3_000)));

        // The time is over.
        let later = now().plus(3_000);
        assert_eq!(
            decide(&rules, &question, &facts, later).access,
            Access::Deny
        );
        // Another service than its own is still another service.
        let elsewhere = Question {
            service: Some(title("historian")),
            ..question.clone()
        };
        assert_eq!(
            decide(&rules, &elsewhere, &facts, now()).access,
            Access::Deny
        );
        // An old certificate of a device that has a newer one is no reason to go on.
        certificate(&mut facts).place = Place::Earlier;
        if certificate(&mut facts).not_after < now() {
            assert_eq!(
                decide(&rules, &question, &facts, now()).access,
                Access::Deny
            );
        }
    }
    let (mut rules, question, mut facts) = good();
    rules.fail_operational.push(FailOperational {
        criticality: Vec::new(),
        ..safety()
    });
    facts.shown = Shown::Nothing;
    let verdict = decide(&rules, &question, &facts, now());
    assert_eq!(verdict.access, Access::Deny, "no identity");
}

/// A relying party that cannot reach us may go on with a listed device's verdict, and with no other.
#[test]
fn p6_a_verdict_says_how_long_it_serves_who_cannot_reach_us() {
    let (mut rules, question, mut facts) = good();
    rules.fail_operational.push(safety());
    assert_eq!(
        decide(&rules, &question, &facts, now()).unreachable_until,
        None
    );
    device(&mut facts).criticality = Criticality::Safety;
    let verdict = decide(&rules, &question, &facts, now());
    assert_eq!(verdict.alarm, Alarm::Quiet);
    assert_eq!(verdict.unreachable_until, Some(now().plus(60 + 3_600)));
}

/// Requirement P7: each rule of promotion, and that a device falls back by itself when it no longer
/// holds.
#[test]
fn p7_each_promotion_rule_holds_a_device_back_until_it_is_met() {
    type Change = fn(&mut DecisionRules, &mut DecisionFacts);
    let changes: [(Change, Ground); 6] = [
        (
            |_, facts| certificate(facts).issuer_state = IssuerState::Tainted,
            Ground::IssuerTainted,
        ),
        (
            |_, facts| certificate(facts).first_used = None,
            Ground::NotSeenInUse,
        ),
        (|rules, _| rules.full_after_s = NOW, Ground::TooNew),
        (
            |_, facts| certificate(facts).status = Status::Replaced,
            Ground::CertificateReplaced,
        ),
        (
            |_, facts| {
                facts.findings.push(OpenFinding {
                    no: 4,
                    kind: FindingKind::Incident,
                    times: 1,
                });
            },
            Ground::FindingOpen,
        ),
        (
            |rules, _| rules.full_needs.push(Need::Attested),
            Ground::NotAttested,
        ),
    ];
    for (change, ground) in changes {
        let (mut rules, question, mut facts) = good();
        assert_eq!(decide(&rules, &question, &facts, now()).tier, Tier::Full);
        change(&mut rules, &mut facts);
        let verdict = decide(&rules, &question, &facts, now());
        assert_eq!(verdict.tier, Tier::Limited, "{ground}");
        assert_eq!(verdict.access, Access::Allow, "{ground}");
        assert!(verdict.grounds.contains(&ground), "{ground}");

        rules.boundaries.push(Boundary {
            name: "only-full".parse().unwrap(),
            services: vec![title("telemetry")],
            classes: Vec::new(),
            criticality: Vec::new(),
            sites: Vec::new(),
            owners: Vec::new(),
            networks: Vec::new(),
            tier: Tier::Full,
        });
        let verdict = decide(&rules, &question, &facts, now());
        assert_eq!(verdict.access, Access::Deny, "{ground}");
        assert_eq!(verdict.grounds.first(), Some(&Ground::TierTooLow));
    }
    // The time alone promotes.
    let (mut rules, question, facts) = good();
    rules.full_after_s = NOW - 100 + 20;
    let verdict = decide(&rules, &question, &facts, now());
    assert_eq!(verdict.tier, Tier::Limited);
    assert_eq!(
        verdict.valid_until,
        now().plus(20),
        "it is asked again then"
    );
    let verdict = decide(&rules, &question, &facts, verdict.valid_until);
    assert_eq!(verdict.tier, Tier::Full);
}
