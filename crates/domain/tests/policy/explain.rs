use tenure_domain::ask::Protocol;
use tenure_domain::device::Criticality;
use tenure_domain::durability::Durability;
use tenure_domain::policy::{Action, DescribedAsk, EvidenceKind, RuleReading, decide, explain};
use tenure_domain::{Decision, Facts, Operation, Standing};
use tenure_x509::KeyKind;

use crate::fixture::*;

fn described(operation: Operation, evidence: EvidenceKind) -> DescribedAsk {
    DescribedAsk {
        operation,
        evidence,
        protocol: Protocol::Est,
        label: None,
        key: None,
    }
}

fn facts(house: &House, subject: tenure_domain::facts::Subject) -> Facts {
    let ask = ask(Operation::Enroll, csr(&key()));
    Facts {
        evidence: Vec::new(),
        ..house.facts(subject, secret(&ask))
    }
}

#[test]
fn an_explanation_says_for_each_rule_why_it_did_or_did_not_match() {
    let house = House::new();
    let mut pump = subject(device("pump-17"));
    pump.device.criticality = Criticality::Safety;
    let asked = described(Operation::Enroll, EvidenceKind::Secret);
    let explanation = explain(&house.policy, &asked, &facts(&house, pump), NOW);
    assert_eq!(explanation.decision, Action::Hold);
    assert_eq!(explanation.rule, "safety-first");
    let readings: Vec<_> = explanation
        .rules
        .iter()
        .map(|note| (note.rule.as_str(), note.reading))
        .collect();
    assert_eq!(
        readings,
        [
            ("renew", RuleReading::Unmatched),
            ("identity-for-life", RuleReading::Unmatched),
            ("safety-first", RuleReading::Decides),
            ("first-by-manufacturer", RuleReading::Unmatched),
            ("first-by-secret", RuleReading::Later),
            ("first-by-own-identity", RuleReading::Unmatched),
        ]
    );
    assert_eq!(
        explanation.rules[0].unmet,
        [
            "operation is enroll; the rule wants renew",
            "evidence is secret; the rule wants current-certificate"
        ]
    );
    // What an approval would bring is shown as well.
    assert_eq!(explanation.subject.as_deref(), Some("CN=pump-17"));
    assert_eq!(explanation.issuer.as_ref().unwrap().as_str(), "issuing-1");
    assert_eq!(explanation.life.as_deref(), Some("90d"));
    assert_eq!(explanation.durability, Some(Durability::Durable));
    assert_eq!(
        explanation.not_after,
        Some(NOW.plus(90 * DAY - 1).to_string())
    );

    let text = explanation.to_string();
    assert!(text.starts_with("hold, rule safety-first: "), "{text}");
    assert!(
        text.contains("first-by-secret (allow)  matches-later"),
        "{text}"
    );
    let json = serde_json::to_string(&explanation).unwrap();
    assert_eq!(
        serde_json::from_str::<tenure_domain::policy::Explanation>(&json).unwrap(),
        explanation
    );
}

/// One path for both: whatever is explained is decided so, and the other way round.
#[test]
fn what_is_explained_is_what_is_decided() {
    let house = House::new();
    let (holder, certificate, _) = house.enrolled();
    let fresh = subject(device("pump-17"));
    for standing in Standing::ALL {
        for criticality in Criticality::ALL {
            for label in [
                None,
                Some("device-server"),
                Some("idevid"),
                Some("nope"),
                Some("tenure-ocsp"),
            ] {
                for operation in Operation::ALL {
                    for evidence in [EvidenceKind::Secret, EvidenceKind::CurrentCertificate] {
                        let mut subject = match evidence {
                            EvidenceKind::CurrentCertificate => holder.clone(),
                            _ => fresh.clone(),
                        };
                        subject.device.standing = *standing;
                        subject.device.criticality = *criticality;
                        let mut ask = ask(*operation, csr(&key()));
                        ask.via.label = label.map(|label| label.parse().unwrap());
                        let proof = match evidence {
                            EvidenceKind::CurrentCertificate => {
                                current(&certificate, holder.head.as_ref().unwrap())
                            }
                            _ => secret(&ask),
                        };
                        let facts = house.facts(subject, proof);
                        let decision = decide(&house.policy, &ask, &facts, NOW);
                        let asked = DescribedAsk {
                            operation: *operation,
                            evidence,
                            protocol: Protocol::Est,
                            label: ask.via.label.clone(),
                            key: Some(KeyKind::P256),
                        };
                        let said = explain(&house.policy, &asked, &facts, NOW);
                        let action = match &decision {
                            Decision::Allow(_) | Decision::Replay(_) => Action::Allow,
                            Decision::Hold(_) => Action::Hold,
                            Decision::Refuse(_) => Action::Refuse,
                        };
                        // A hold whose approval would bring nothing is explained as the refusal.
                        let in_vain = action == Action::Hold && said.decision == Action::Refuse;
                        assert!(
                            said.decision == action || in_vain,
                            "{asked:?}: {said} {decision:?}"
                        );
                        if let Decision::Allow(grant) = &decision {
                            assert_eq!(said.rule, grant.rule().rule);
                            assert_eq!(said.subject, Some(grant.subject().to_string()));
                            assert_eq!(
                                said.not_after,
                                Some(grant.validity().not_after.to_string())
                            );
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn an_explanation_needs_a_device_and_says_what_is_missing() {
    let house = House::new();
    let asked = described(Operation::Enroll, EvidenceKind::Secret);
    let nobody = explain(&house.policy, &asked, &Facts::default(), NOW);
    assert_eq!(nobody.decision, Action::Refuse);
    assert!(nobody.why.contains("no registered device"));

    let fresh = subject(device("pump-17"));
    let asked = described(Operation::Renew, EvidenceKind::CurrentCertificate);
    let nothing = explain(&house.policy, &asked, &facts(&house, fresh.clone()), NOW);
    assert_eq!(nothing.decision, Action::Refuse);
    assert!(
        nothing.why.contains("holds no certificate"),
        "{}",
        nothing.why
    );

    let asked = described(Operation::Enroll, EvidenceKind::Secret);
    let no_issuer = Facts {
        subject: Some(fresh),
        ..Facts::default()
    };
    let said = explain(&house.policy, &asked, &no_issuer, NOW);
    assert_eq!(said.decision, Action::Refuse);
    assert!(said.why.contains("no issuer"), "{}", said.why);
}
