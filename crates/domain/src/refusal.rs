//! A refusal: what the other side may be told when we say no. Each protocol renders all of them.

use std::fmt;

use crate::device::Standing;

/// We say no.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// Nothing was shown that could prove who is asking.
    NotAuthenticated,
    /// What was shown does not prove it. Deliberately without detail.
    BadCredential,
    /// Too many wrong tries.
    Locked {
        /// Seconds until the next try is looked at.
        retry_after_s: u32,
    },
    /// The device may not have a certificate in its present standing.
    Standing(Standing),
    /// A policy rule says no, or no rule says yes.
    NotAllowed {
        /// The rule, or `none`.
        rule: String,
        /// The rule's own words.
        why: String,
    },
    /// The registry lacks what every certificate must have.
    Incomplete {
        /// What is missing and how to mend it.
        what: String,
    },
    /// The label names no profile.
    UnknownLabel,
    /// The request cannot be read or does not fit the operation.
    BadRequest {
        /// What is wrong, naming the field.
        what: String,
    },
    /// The key is too weak, blocked, or already another device's.
    KeyRejected {
        /// What is wrong with it.
        what: String,
    },
    /// The request contradicts what is recorded.
    Conflict {
        /// With what.
        what: String,
    },
    /// No such thing.
    NotFound {
        /// What was looked for.
        what: String,
    },
    /// The caller's role does not allow it.
    Forbidden {
        /// What it would take.
        needs: String,
    },
    /// Too much at once.
    TooSoon {
        /// Seconds until it is worth trying again.
        retry_after_s: u32,
    },
}

impl Refusal {
    /// A stable word for metrics and the record.
    pub fn word(&self) -> &'static str {
        match self {
            Refusal::NotAuthenticated => "not-authenticated",
            Refusal::BadCredential => "bad-credential",
            Refusal::Locked { .. } => "locked",
            Refusal::Standing(_) => "standing",
            Refusal::NotAllowed { .. } => "not-allowed",
            Refusal::Incomplete { .. } => "incomplete",
            Refusal::UnknownLabel => "unknown-label",
            Refusal::BadRequest { .. } => "bad-request",
            Refusal::KeyRejected { .. } => "key-rejected",
            Refusal::Conflict { .. } => "conflict",
            Refusal::NotFound { .. } => "not-found",
            Refusal::Forbidden { .. } => "forbidden",
            Refusal::TooSoon { .. } => "too-soon",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::NotAuthenticated => {
                f.write_str("no credential was presented; use a client certificate or the device's one-time secret")
            }
            Refusal::BadCredential => f.write_str("the credential was not accepted"),
            Refusal::Locked { retry_after_s } => {
                write!(f, "too many wrong tries; try again in {retry_after_s} s")
            }
            Refusal::Standing(standing) => {
                write!(f, "the device is {standing} and may not hold a certificate")
            }
            Refusal::NotAllowed { rule, why } => write!(f, "policy says no (rule {rule}): {why}"),
            Refusal::Incomplete { what } => f.write_str(what),
            Refusal::UnknownLabel => f.write_str("no profile has this label"),
            Refusal::BadRequest { what } => f.write_str(what),
            Refusal::KeyRejected { what } => write!(f, "the key was not accepted: {what}"),
            Refusal::Conflict { what } => f.write_str(what),
            Refusal::NotFound { what } => write!(f, "there is no {what}"),
            Refusal::Forbidden { needs } => write!(f, "this needs {needs}"),
            Refusal::TooSoon { retry_after_s } => write!(f, "try again in {retry_after_s} s"),
        }
    }
}

impl std::error::Error for Refusal {}
