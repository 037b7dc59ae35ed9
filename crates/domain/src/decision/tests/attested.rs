//! What verifiers say of a device, and what follows.

use super::*;
use crate::attestation::{Attestation, AttestationResult};

fn said(verifier: &str, result: AttestationResult, age_s: i64) -> Attestation {
    Attestation {
        verifier: verifier.parse().unwrap(),
        result,
        made: at(NOW - age_s),
        evidence: "5f".repeat(32),
    }
}

/// A verifier, what it says, and how old that is, in seconds.
type Told = (&'static str, AttestationResult, i64);

/// A policy that wants attestation within an hour.
fn wanting() -> DecisionRules {
    DecisionRules {
        full_needs: vec![Need::SeenInUse, Need::Attested],
        attested_within_s: 3_600,
        ..DecisionRules::default()
    }
}

/// Requirements P2 and P7: what is affirmed on new evidence meets the policy; what is old or missing
/// lowers and nothing more; what speaks against the device speaks against it.
#[test]
fn p7_attestation_counts_by_its_result_and_its_age() {
    use AttestationResult::*;
    let cases: [(&[Told], Ground, Trust, Tier); 9] = [
        (&[], Ground::NotAttested, Trust::Trusted, Tier::Limited),
        (
            &[("a", None, 1)],
            Ground::NotAttested,
            Trust::Trusted,
            Tier::Limited,
        ),
        (
            &[("a", Affirming, 10)],
            Ground::Attested,
            Trust::Trusted,
            Tier::Full,
        ),
        (
            &[("a", Affirming, 3_600)],
            Ground::Attested,
            Trust::Trusted,
            Tier::Full,
        ),
        (
            &[("a", Affirming, 3_601)],
            Ground::AttestationStale,
            Trust::Trusted,
            Tier::Limited,
        ),
        (
            &[("a", Warning, 10)],
            Ground::AttestationWarning,
            Trust::Trusted,
            Tier::Limited,
        ),
        (
            &[("a", Affirming, 10), ("b", Warning, 9_000)],
            Ground::AttestationWarning,
            Trust::Trusted,
            Tier::Limited,
        ),
        (
            &[("a", Contraindicated, 10)],
            Ground::AttestationContraindicated,
            Trust::Untrusted,
            Tier::Quarantine,
        ),
        (
            &[("a", Affirming, 10), ("b", Contraindicated, 900_000)],
            Ground::AttestationContraindicated,
            Trust::Untrusted,
            Tier::Quarantine,
        ),
    ];
    let grounds = [
        Ground::NotAttested,
        Ground::Attested,
        Ground::AttestationStale,
        Ground::AttestationWarning,
        Ground::AttestationContraindicated,
    ];
    for (results, ground, trust, tier) in cases {
        let (_, question, mut facts) = good();
        let results = results.iter();
        facts.attestations = results
            .map(|(who, result, age)| said(who, *result, *age))
            .collect();
        let verdict = decide(&wanting(), &question, &facts, now());
        assert_eq!((verdict.trust, verdict.tier), (trust, tier), "{facts:?}");
        let told: Vec<_> = grounds
            .iter()
            .filter(|it| verdict.grounds.contains(it))
            .collect();
        assert_eq!(told, [&ground], "one of these is said, and it is true");
        // A policy that does not ask is told the same, and lowers only what somebody warns of.
        let verdict = decide(&DecisionRules::default(), &question, &facts, now());
        assert_eq!(verdict.trust, trust);
        let is_lowered = ground == Ground::AttestationWarning || trust == Trust::Untrusted;
        assert_eq!(verdict.tier < Tier::Full, is_lowered, "{ground}");
    }
}

/// A verdict ends when what is affirmed grows too old, and names what it rests on.
#[test]
fn a_verdict_ends_with_the_attestation_that_it_rests_on() {
    let (_, question, mut facts) = good();
    facts.attestations = vec![said("veraison", AttestationResult::Affirming, 3_580)];
    let verdict = decide(&wanting(), &question, &facts, now());
    assert_eq!(
        (verdict.tier, verdict.valid_until),
        (Tier::Full, now().plus(20))
    );
    let named = verdict.evidence.iter().any(|it| {
        it.starts_with("attestation affirming by veraison at ") && it.ends_with("5f5f5f5f5f5f5f5f")
    });
    assert!(named, "{:?}", verdict.evidence);
    let later = decide(&wanting(), &question, &facts, now().plus(21));
    assert_eq!(later.tier, Tier::Limited);
    assert!(later.grounds.contains(&Ground::AttestationStale));
}

/// What was kept before there were attestations is read as nothing attested, and says the same again.
#[test]
fn p1_a_verdict_from_before_attestation_can_be_made_again() {
    let (rules, question, facts) = good();
    let mut old = serde_json::to_value(&facts).unwrap();
    let fields = old.as_object_mut().unwrap();
    fields.remove("attestations").unwrap();
    fields.insert("attestation".to_owned(), "none".into());
    let read: DecisionFacts = serde_json::from_value(old).unwrap();
    assert_eq!(read, facts);
    let verdict = decide(&rules, &question, &read, now());
    assert_eq!(
        verdict.outcome(),
        "allow trusted full quiet certificate-good,not-attested"
    );
}
