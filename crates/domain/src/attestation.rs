//! Attestation results: what a verifier says of a device whose evidence it appraised. Words are those
//! of RFC 9334 and draft-ietf-rats-ar4si. The evidence itself, a quote say, is never read here.

use std::fmt;

use serde::{Deserialize, Serialize};
use tenure_x509::Time;

use crate::ids::Slug;
use crate::words::words;

/// How far ahead of our clock a verifier's may be, in seconds.
pub const MADE_AHEAD_MAX_S: i64 = 300;

/// How many verifiers may speak of one device.
pub const VERIFIERS_MAX: usize = 16;

words! {
    /// What a verifier says of a device. Numbers are the trustworthiness tiers of
    /// draft-ietf-rats-ar4si section 2.3.
    AttestationResult ("attestation result") {
        /// The verifier makes no claim.
        None = "none" = 0,
        /// What the device runs is as it should be.
        Affirming = "affirming" = 2,
        /// Somebody should look at the device.
        Warning = "warning" = 32,
        /// The device runs what it must not run.
        Contraindicated = "contraindicated" = 96,
    }
}

/// What one verifier says of one device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attestation {
    /// The verifier.
    pub verifier: Slug,
    /// What it says.
    pub result: AttestationResult,
    /// When the device made the evidence.
    #[serde(with = "crate::text::time")]
    pub made: Time,
    /// The SHA-256 of the evidence, hex.
    pub evidence: String,
}

impl Attestation {
    /// Whether it takes the place of what the same verifier said before. Evidence that is older does
    /// not, and neither does saying nothing after the device was seen to be wrong: silence is no
    /// reason to trust it again.
    pub fn supersedes(&self, before: &Attestation) -> bool {
        let falls_silent =
            self.result == AttestationResult::None && before.result > AttestationResult::Affirming;
        self.made > before.made && !falls_silent
    }
}

impl fmt::Display for Attestation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} by {} at {}", self.result, self.verifier, self.made)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(result: AttestationResult, made: i64) -> Attestation {
        Attestation {
            verifier: "veraison".parse().unwrap(),
            result,
            made: Time::from_unix(made),
            evidence: "00".repeat(32),
        }
    }

    #[test]
    fn newer_evidence_counts_and_silence_settles_nothing() {
        use AttestationResult::*;
        assert!(said(Affirming, 2).supersedes(&said(Contraindicated, 1)));
        assert!(said(Contraindicated, 2).supersedes(&said(Affirming, 1)));
        assert!(said(None, 2).supersedes(&said(Affirming, 1)));
        assert!(!said(Affirming, 1).supersedes(&said(Contraindicated, 1)));
        assert!(!said(Affirming, 1).supersedes(&said(Contraindicated, 2)));
        assert!(!said(None, 2).supersedes(&said(Contraindicated, 1)));
        assert!(!said(None, 2).supersedes(&said(Warning, 1)));
    }
}
