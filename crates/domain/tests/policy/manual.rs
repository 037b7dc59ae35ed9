//! What the manual shows is true.

use tenure_domain::policy::document::{self, DEFAULT_DOCUMENT};
use tenure_domain::policy::{DescribedAsk, EvidenceKind, explain};
use tenure_domain::words::nearest;
use tenure_domain::{Operation, ask::Protocol, device::Criticality};

use crate::fixture::*;

const MANUAL: &str = include_str!("../../../../docs/policy.md");

#[test]
fn every_example_of_the_manual_fits_into_the_default_document() {
    let blocks: Vec<_> = MANUAL
        .split("```toml\n")
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap())
        .collect();
    assert!(blocks.len() >= 4);
    for block in blocks {
        let text = format!("{block}\n{DEFAULT_DOCUMENT}");
        let policy = document::parse_tested(&text, 1)
            .unwrap_or_else(|error| panic!("{error}\nin this example:\n{block}"));
        assert!(
            block.contains("[[test]]"),
            "an example without a test:\n{block}"
        );
        assert!(policy.tests.len() > document::parse(DEFAULT_DOCUMENT, 1).unwrap().tests.len());
    }
}

#[test]
fn every_field_and_every_word_is_in_the_manual() {
    let mistake = document::parse("[[rule]]\nx = 1\n[[profile]]\nx = 1\n[[test]]\nx = 1\n", 1);
    let mistakes = mistake.expect_err("it was taken").0;
    let mut fields = 0;
    for mistake in mistakes
        .iter()
        .filter(|mistake| mistake.field.as_deref() == Some("x"))
    {
        let (_, known) = mistake.what.split_once("known are: ").unwrap();
        for field in known.split(", ") {
            assert!(
                MANUAL.contains(&format!("`{field}`")),
                "{field} is not explained"
            );
            fields += 1;
        }
    }
    assert_eq!(fields, 37);
    let words = Operation::ALL.iter().map(|word| word.word());
    let words = words.chain(EvidenceKind::ALL.iter().map(|word| word.word()));
    let words = words.chain(Criticality::ALL.iter().map(|word| word.word()));
    for word in words.chain(tenure_domain::Standing::ALL.iter().map(|word| word.word())) {
        assert!(
            MANUAL.contains(&format!("`{word}`")),
            "{word} is not explained"
        );
    }
}

#[test]
fn the_explanation_in_the_manual_is_the_one_that_is_given() {
    let house = House::new();
    let mut pump = subject(device("pump-17"));
    pump.device.criticality = Criticality::Safety;
    let proof = secret(&ask(Operation::Enroll, csr(&key())));
    let asked = DescribedAsk {
        operation: Operation::Enroll,
        evidence: EvidenceKind::Secret,
        protocol: Protocol::Est,
        label: None,
        key: None,
    };
    let text = explain(&house.policy, &asked, &house.facts(pump, proof), NOW).to_string();
    let shown = MANUAL.split_once("--evidence secret\n").unwrap().1;
    let shown: Vec<_> = shown
        .lines()
        .take_while(|line| !line.contains('…'))
        .collect();
    assert!(shown.len() > 10);
    for (shown, given) in shown.iter().zip(text.lines()) {
        assert_eq!(shown.trim(), given.trim());
    }
    // And so are the mistakes.
    assert_eq!(
        nearest("safty", &["low", "medium", "high", "safety"]),
        Some("safety")
    );
    let error = document::parse("[[profile]]\nlife = \"90 days\"\n", 1).expect_err("it was taken");
    let wrong = error
        .0
        .iter()
        .find(|mistake| mistake.field.as_deref() == Some("life"))
        .unwrap();
    assert!(MANUAL.contains(&wrong.what), "{}", wrong.what);
}
