//! What verifiers say of a device, as one reason.

use tenure_x509::Time;

use super::{DecisionFacts, DecisionRules, Ground, Need};
use crate::attestation::AttestationResult;

/// What the attestation results of a device come to.
pub(super) struct Appraisal {
    /// The reason.
    pub(super) ground: Ground,
    /// When time alone makes it another one.
    pub(super) until: Option<Time>,
}

/// The worst of what verifiers say counts, however old it is; what they affirm counts while it is new
/// enough.
pub(super) fn appraise(rules: &DecisionRules, facts: &DecisionFacts, now: Time) -> Appraisal {
    let of = |result| {
        let said = facts.attestations.iter();
        said.filter(move |said| said.result == result)
            .map(|said| said.made)
            .max()
    };
    let because = |ground| Appraisal {
        ground,
        until: None,
    };
    if of(AttestationResult::Contraindicated).is_some() {
        return because(Ground::AttestationContraindicated);
    }
    if of(AttestationResult::Warning).is_some() {
        return because(Ground::AttestationWarning);
    }
    let Some(made) = of(AttestationResult::Affirming) else {
        return because(Ground::NotAttested);
    };
    let end = made.plus(rules.attested_within_s);
    match now <= end {
        true => Appraisal {
            ground: Ground::Attested,
            until: Some(end),
        },
        false => because(Ground::AttestationStale),
    }
}

impl Appraisal {
    /// Whether it keeps a trusted device from the full tier.
    pub(super) fn lowers(&self, rules: &DecisionRules) -> bool {
        let is_wanted = rules.full_needs.contains(&Need::Attested);
        match self.ground {
            Ground::AttestationWarning => true,
            Ground::NotAttested | Ground::AttestationStale => is_wanted,
            _ => false,
        }
    }
}
