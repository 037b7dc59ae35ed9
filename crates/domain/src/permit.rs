//! Permits: one operator alone may withdraw so many certificates for good within an hour; for more,
//! another one gives a permit. Suspending is never held back: it can be undone.

use tenure_x509::Time;

use crate::ids::OperatorNo;

/// What one operator may do alone counts for so many seconds.
pub const ALONE_WINDOW_S: i64 = 3_600;
/// The longest that a permit may be good for, in seconds.
pub const LIFE_MAX_S: i64 = 7 * 86_400;
/// The most that one permit may allow.
pub const REVOCATIONS_MAX: u32 = 1_000_000;

/// A permit that is to be given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewPermit {
    /// The token of the operator who may withdraw more.
    pub operator: OperatorNo,
    /// How many more certificates.
    pub revocations: u32,
    /// How long, in seconds.
    pub life_s: i64,
    /// Why, for the record.
    pub why: String,
}

/// A permit that was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permit {
    /// Its row.
    pub no: i64,
    /// The token of the operator whom it is for.
    pub operator: OperatorNo,
    /// The name of that token.
    pub name: String,
    /// How many certificates it allows.
    pub revocations: u32,
    /// How many of them are withdrawn.
    pub used: u32,
    /// Until when it is good.
    pub until: Time,
    /// When it was given.
    pub granted: Time,
    /// Who gave it.
    pub granted_by: String,
    /// Why.
    pub why: String,
}
