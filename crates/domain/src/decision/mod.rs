//! A decision: may this device be let in there, now? The whole of it is one pure function,
//! [`decide`], so that every verdict can be made again from what it rested on.
//!
//! What is not known is neither trusted nor untrusted, nobody is let in without a reason to, and
//! what is old or missing can only lower a verdict.

mod appraisal;
mod decide;
mod facts;
mod id;
mod lifting;
mod rules;
mod verdict;

pub use decide::decide;
pub use facts::{
    CertificateFacts, ClientUse, Clock, DecisionFacts, DeviceFacts, Kept, Meant, OpenFinding,
    OpenIncident, Place, Purpose, Question, Shown,
};
pub use id::{BadVerdictId, VerdictId};
pub use rules::{
    ATTESTED_WITHIN_DEFAULT_S, BadNetwork, Boundary, DecisionRules, EXCEPTIONS_MAX_DEFAULT_S,
    FailOperational, Need, Network, VALID_FOR_DEFAULT_S, VALID_FOR_S,
};
pub use verdict::{Access, Alarm, Ground, Tier, Trust, Verdict};

#[cfg(test)]
mod tests;
