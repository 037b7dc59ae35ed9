//! A drill: something that must work on the bad day, done on an ordinary one. Its result is kept as
//! evidence, and what it shows is judged here.

use serde::{Deserialize, Serialize};
use tenure_x509::Time;

use crate::ids::{DrillNo, Slug};
use crate::words::words;

words! {
    /// What is rehearsed.
    DrillKind ("kind of drill") {
        /// A canary is revoked, and each relying party must refuse it in time.
        Revoke = "revoke" = 1,
        /// Time is thought forward: what would end, and who would let the expired in.
        Expiry = "expiry" = 2,
        /// An issuer's signer is away: what goes on, and for how long.
        CaDown = "ca-down" = 3,
        /// A key or an issuer is in other hands: who is concerned, and a canary is re-keyed.
        Compromise = "compromise" = 4,
    }
    /// What a drill came to.
    DrillVerdict ("drill verdict") {
        /// It is under way.
        Running = "running" = 1,
        /// Everything was as it must be.
        Passed = "passed" = 2,
        /// Something was not.
        Failed = "failed" = 3,
        /// Nothing was wrong, and not everything could be shown.
        Unproven = "unproven" = 4,
        /// The server ended before it did.
        CutOff = "cut-off" = 5,
    }
    /// What one step of a drill showed.
    StepVerdict ("step verdict") {
        /// It was as it must be.
        Good = "good" = 1,
        /// It was not.
        Bad = "bad" = 2,
        /// It could not be shown.
        Unknown = "unknown" = 3,
        /// It is told, and nothing is demanded of it.
        Told = "told" = 4,
    }
}

/// One thing that was looked at or done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Of which issuer, if of one.
    pub issuer: Option<Slug>,
    /// What, in a word or two: the name of a relying party, `enrollment`, `re-key`.
    pub what: String,
    /// What it showed.
    pub verdict: StepVerdict,
    /// In a sentence.
    pub found: String,
}

impl Step {
    /// A step about an issuer.
    pub fn of(
        issuer: &Slug,
        what: impl Into<String>,
        verdict: StepVerdict,
        found: impl Into<String>,
    ) -> Step {
        Step {
            issuer: Some(issuer.clone()),
            what: what.into(),
            verdict,
            found: found.into(),
        }
    }

    /// A step about everything.
    pub fn at_large(
        what: impl Into<String>,
        verdict: StepVerdict,
        found: impl Into<String>,
    ) -> Step {
        Step {
            issuer: None,
            what: what.into(),
            verdict,
            found: found.into(),
        }
    }
}

/// Everything a drill showed. Kept whole as JSON; the record holds its hash.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrillResult {
    /// Each step in order.
    pub steps: Vec<Step>,
    /// The probes that were made for it.
    pub probes: Vec<i64>,
    /// Figures, by name.
    pub figures: std::collections::BTreeMap<String, i64>,
}

impl DrillResult {
    /// What it comes to, for one issuer or for all.
    pub fn verdict(&self, issuer: Option<&Slug>) -> DrillVerdict {
        let is_of_it = |step: &Step| {
            issuer.is_none() || step.issuer.is_none() || step.issuer.as_ref() == issuer
        };
        let shows = |verdict| {
            let mut steps = self.steps.iter();
            steps.any(|step| step.verdict == verdict && is_of_it(step))
        };
        if shows(StepVerdict::Bad) {
            DrillVerdict::Failed
        } else if shows(StepVerdict::Good) && !shows(StepVerdict::Unknown) {
            DrillVerdict::Passed
        } else {
            DrillVerdict::Unproven
        }
    }
}

/// A drill that was begun, and what it came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drill {
    /// Its row.
    pub no: DrillNo,
    /// What was rehearsed.
    pub kind: DrillKind,
    /// The issuers it was about.
    pub issuers: Vec<Slug>,
    /// What it came to.
    pub verdict: DrillVerdict,
    /// Who began it.
    pub by: String,
    /// When it began.
    pub began: Time,
    /// When it ended; none while it is under way.
    pub ended: Option<Time>,
    /// What it showed.
    pub result: DrillResult,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_bad_step_fails_and_one_unknown_leaves_it_unproven() {
        use StepVerdict::*;
        let issuer: Slug = "issuing-1".parse().unwrap();
        let other: Slug = "issuing-2".parse().unwrap();
        let verdict = |verdicts: &[StepVerdict]| {
            let steps = verdicts.iter().map(|it| Step::of(&issuer, "x", *it, ""));
            DrillResult {
                steps: steps.collect(),
                ..DrillResult::default()
            }
            .verdict(Some(&issuer))
        };
        assert_eq!(verdict(&[]), DrillVerdict::Unproven);
        assert_eq!(verdict(&[Told]), DrillVerdict::Unproven);
        assert_eq!(verdict(&[Good, Told]), DrillVerdict::Passed);
        assert_eq!(verdict(&[Good, Unknown]), DrillVerdict::Unproven);
        assert_eq!(verdict(&[Unknown, Bad, Good]), DrillVerdict::Failed);

        let both = DrillResult {
            steps: vec![
                Step::of(&issuer, "x", Good, ""),
                Step::of(&other, "x", Bad, ""),
            ],
            ..DrillResult::default()
        };
        assert_eq!(both.verdict(Some(&issuer)), DrillVerdict::Passed);
        assert_eq!(both.verdict(Some(&other)), DrillVerdict::Failed);
        assert_eq!(both.verdict(None), DrillVerdict::Failed);
    }
}
