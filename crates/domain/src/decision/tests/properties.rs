//! What holds whatever else does.

use proptest::prelude::*;

use super::*;
use crate::attestation::{Attestation, AttestationResult};

fn kept() -> impl Strategy<Value = Kept> {
    prop_oneof![
        Just(Kept::Current),
        Just(Kept::NotYet),
        (NOW - 5_000..NOW + 5_000).prop_map(|seconds| Kept::Until { at: at(seconds) }),
    ]
}

fn any_case() -> impl Strategy<Value = (DecisionRules, Question, DecisionFacts)> {
    let states = (
        prop::sample::select(Status::ALL),
        prop::sample::select(Standing::ALL),
        prop::sample::select(Criticality::ALL),
        kept(),
        prop::sample::select(Clock::ALL),
        NOW - 5_000..NOW + 5_000,
        prop::option::of(0..NOW),
        prop::sample::select(vec!["telemetry", "historian"]),
        prop::sample::select(vec![Tier::Limited, Tier::Full]),
        prop::sample::select(Place::ALL),
        (
            prop::option::of(prop::sample::select(AttestationResult::ALL)),
            NOW - 200_000..NOW,
            prop::bool::ANY,
        ),
    );
    states.prop_map(
        |(
            status,
            standing,
            criticality,
            kept,
            clock,
            end,
            used,
            service,
            tier,
            place,
            attested,
        )| {
            let (mut rules, mut question, mut facts) = good();
            certificate(&mut facts).status = status;
            certificate(&mut facts).not_after = at(end);
            certificate(&mut facts).first_used = used.map(at);
            certificate(&mut facts).place = place;
            device(&mut facts).standing = standing;
            device(&mut facts).criticality = criticality;
            facts.withdrawals = kept;
            facts.clock = clock;
            let (result, made, is_wanted) = attested;
            facts.attestations.extend(result.map(|result| Attestation {
                verifier: "veraison".parse().unwrap(),
                result,
                made: at(made),
                evidence: "5f".repeat(32),
            }));
            if is_wanted {
                rules.full_needs.push(Need::Attested);
            }
            question.service = Some(title(service));
            rules.fail_operational.push(safety());
            rules.boundaries.push(Boundary {
                name: "tier".parse().unwrap(),
                services: Vec::new(),
                classes: Vec::new(),
                criticality: vec![Criticality::High],
                sites: Vec::new(),
                owners: Vec::new(),
                networks: Vec::new(),
                tier,
            });
            (rules, question, facts)
        },
    )
}

/// How much a verdict lets through; more trust is more.
fn height(verdict: &Verdict) -> (Access, Tier, Trust) {
    (verdict.access, verdict.tier, verdict.trust)
}

proptest! {
    /// Requirement P2: whatever else holds, older or missing input never raises a verdict.
    #[test]
    fn p2_stale_input_never_raises_a_verdict((rules, question, facts) in any_case()) {
        let verdict = decide(&rules, &question, &facts, now());
        let withdrawals = Kept::Until { at: at(NOW - 9_000) };
        let mut worse = vec![DecisionFacts { withdrawals, ..facts.clone() }];
        // What is not known yet may be newer than what is known to be old.
        if !matches!(facts.withdrawals, Kept::Until { at } if at < now()) {
            worse.push(DecisionFacts { withdrawals: Kept::NotYet, ..facts.clone() });
        }
        worse.push(DecisionFacts { clock: Clock::Behind, ..facts.clone() });
        let mut unseen = facts.clone();
        certificate(&mut unseen).first_used = None;
        worse.push(unseen);
        let mut forgotten = facts.clone();
        forgotten.attestations.retain(|it| it.result != AttestationResult::Affirming);
        worse.push(forgotten);
        let mut aged = facts.clone();
        aged.attestations.iter_mut().for_each(|it| it.made = at(0));
        worse.push(aged);
        let mut over = facts.clone();
        certificate(&mut over).not_after = at(NOW - 9_000);
        worse.push(over);
        for facts in worse {
            let lower = decide(&rules, &question, &facts, now());
            prop_assert!(lower.tier <= verdict.tier, "{:?} {:?}", verdict, lower);
            prop_assert!(
                verdict.access == Access::Allow || lower.access == Access::Deny,
                "{:?} {:?}", verdict, lower
            );
            prop_assert!(
                verdict.trust == Trust::Trusted || lower.trust != Trust::Trusted,
                "{:?} {:?}", height(&verdict), height(&lower)
            );
        }
    }

    /// Nobody is let in without a reason that can be named, and no verdict outlives what the policy
    /// says.
    #[test]
    fn every_verdict_has_a_reason_and_an_end((rules, question, facts) in any_case()) {
        let verdict = decide(&rules, &question, &facts, now());
        prop_assert!(!verdict.grounds.is_empty());
        prop_assert!(verdict.valid_until > now());
        prop_assert!(verdict.valid_until <= now().plus(rules.valid_for_s));
        if verdict.access == Access::Allow {
            let first = verdict.grounds.first().copied();
            prop_assert!(
                matches!(first, Some(Ground::CertificateGood | Ground::FailOperational)),
                "{:?}", verdict
            );
        }
    }
}
