//! Canaries: identities made only to see who lets them in, and what a round of them shows.
//!
//! A relying party must let the valid one in and turn all others away. That it turns the revoked one
//! away proves something only if it let the same one in before it was revoked.

use serde::{Deserialize, Serialize};

use crate::finding::{FindingKind, Matter, NewFinding, Subject, SubjectKind};
use crate::ids::Slug;
use crate::relying_party::{RelyingParty, SessionCheck};
use crate::words::words;

words! {
    /// An identity made to be tried.
    Canary ("canary") {
        /// A good one; the only one to be let in.
        Valid = "valid" = 1,
        /// The same one, after it was revoked and that was published.
        Revoked = "revoked" = 2,
        /// One whose time is over.
        Expired = "expired" = 3,
        /// One whose time has not come.
        NotYetValid = "not-yet-valid" = 4,
        /// One that may only be a server.
        WrongUsage = "wrong-usage" = 5,
        /// One of another house's CA.
        OtherDomain = "other-domain" = 6,
        /// One that names our issuer, under a key that is not our issuer's.
        LookAlike = "look-alike" = 7,
        /// One signed by a device's certificate, which may sign nothing.
        ConstraintBreaker = "constraint-breaker" = 8,
        /// A good one of an issuer that is to follow; who lets it in is ready.
        Incoming = "incoming" = 9,
        /// A good one of an issuer that is being replaced; it may be let in until the issuer is
        /// removed.
        Outgoing = "outgoing" = 10,
        /// One of an issuer that was removed.
        Superseded = "superseded" = 11,
        /// A good one of an issuer of this house that the relying party is not for.
        OtherIssuer = "other-issuer" = 12,
        /// The session that the valid one opened before it was revoked: whether it ended then.
        LiveSession = "live-session" = 20,
    }
    /// What a relying party did with a canary.
    Reception ("reception") {
        /// It let it in.
        Accepted = "accepted" = 1,
        /// It turned it away.
        Refused = "refused" = 2,
        /// It could not be asked.
        Unreachable = "unreachable" = 3,
    }
    /// What a probe showed.
    ProbeVerdict ("probe verdict") {
        /// Everything was as it must be.
        Proven = "proven" = 1,
        /// Something was let in or turned away that must not be.
        Failing = "failing" = 2,
        /// Nothing is known: it could not be asked, or lets nobody in.
        Unverified = "unverified" = 3,
    }
    /// What is tried.
    ProbeScope ("probe scope") {
        /// Every canary.
        Matrix = "matrix" = 1,
        /// The valid one, until it is refused after its revocation.
        Revocation = "revocation" = 2,
    }
}

/// The built-in class of canaries. What is of it stands in no count of the fleet.
pub const CLASS: &str = "tenure-canary";

/// How the registered names of canaries begin; with an issuer's number they are whole.
pub const ID_PREFIX: &str = "tenure-canary-";

impl Canary {
    /// What a relying party must do with it.
    pub fn expected(self) -> Reception {
        match self {
            Canary::Valid | Canary::Incoming => Reception::Accepted,
            Canary::Revoked
            | Canary::Expired
            | Canary::NotYetValid
            | Canary::WrongUsage
            | Canary::OtherDomain
            | Canary::LookAlike
            | Canary::ConstraintBreaker
            | Canary::Outgoing
            | Canary::Superseded
            | Canary::OtherIssuer
            | Canary::LiveSession => Reception::Refused,
        }
    }

    /// Whether it only shows how far a rollover has come: what is done with it is neither right nor
    /// wrong.
    pub fn is_progress(self) -> bool {
        matches!(self, Canary::Incoming | Canary::Outgoing)
    }
}

/// What a relying party did with one canary of one issuer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trial {
    /// The canary.
    pub canary: Canary,
    /// Whose.
    pub issuer: Slug,
    /// What was done with it.
    pub reception: Reception,
    /// How, in a few words: `alert 44 certificate_revoked`.
    pub how: String,
}

/// What one probe of one relying party came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Round {
    /// What was tried.
    pub scope: ProbeScope,
    /// Everything that was tried.
    pub trials: Vec<Trial>,
    /// From the revocation on record to the first refusal, in milliseconds; none if the valid canary
    /// was never let in, or the revoked one never refused.
    pub enforced_ms: Option<i64>,
}

impl Round {
    fn of(&self, issuer: &Slug, canary: Canary) -> Option<&Trial> {
        self.trials
            .iter()
            .find(|trial| trial.canary == canary && trial.issuer == *issuer)
    }

    /// What it shows, all in all, of a relying party that says it checks at such times. Of one that
    /// checks at handshakes only, a session that goes on is known: a finding, and no failure.
    pub fn verdict(&self, session: SessionCheck) -> ProbeVerdict {
        let is_known = |trial: &Trial| {
            trial.canary == Canary::LiveSession && session == SessionCheck::Handshake
        };
        let judged: Vec<_> = self
            .trials
            .iter()
            .filter(|trial| !trial.canary.is_progress() && !is_known(trial))
            .collect();
        let wrong = |trial: &&Trial| {
            trial.canary.expected() == Reception::Refused && trial.reception == Reception::Accepted
        };
        let proved = |trial: &&Trial| trial.reception == trial.canary.expected();
        if judged.iter().any(wrong) {
            ProbeVerdict::Failing
        } else if !judged.is_empty() && judged.iter().all(proved) {
            ProbeVerdict::Proven
        } else {
            ProbeVerdict::Unverified
        }
    }
}

/// What a round says about one matter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Conclusion {
    /// It is so.
    Raise(Box<NewFinding>),
    /// It is not, or no longer.
    Clear(Matter),
}

/// What a round of `party` means for the findings about it. `probe` is the number it is kept under.
/// A relying party that could not be asked keeps the findings it has.
pub fn conclude(party: &RelyingParty, round: &Round, probe: i64) -> Vec<Conclusion> {
    let matter = |kind, cause: String| Matter {
        kind,
        subject: Subject::new(SubjectKind::RelyingParty, party.name.as_str()),
        cause,
    };
    let raise = |matter: Matter, summary: String| {
        Conclusion::Raise(Box::new(NewFinding {
            matter,
            summary,
            evidence: vec![format!("probe {probe}")],
            owner: Some(party.owner.clone()),
            criticality: party.criticality,
        }))
    };
    let mut conclusions = Vec::new();
    if round.trials.is_empty() {
        return conclusions;
    }
    let silent = round
        .trials
        .iter()
        .find(|trial| trial.reception == Reception::Unreachable);
    let unreached = matter(FindingKind::NotReached, "probe".to_owned());
    conclusions.push(match silent {
        Some(trial) => raise(
            unreached,
            format!(
                "{} at {} could not be asked ({}), so nothing proves that it refuses what it must; \
                 see that it runs, that its address is right, and that its certificate leads to \
                 the anchors registered for it",
                party.name, party.address, trial.how
            ),
        ),
        None => Conclusion::Clear(unreached),
    });
    for trial in &round.trials {
        let (name, how, issuer) = (&party.name, &trial.how, &trial.issuer);
        if trial.canary.is_progress() || trial.canary == Canary::Superseded {
            // It need not be let in any more, or not yet.
            let cause = issuer.to_string();
            conclusions.push(Conclusion::Clear(matter(FindingKind::RefusesValid, cause)));
        }
        if trial.canary.is_progress() {
            continue;
        }
        let (kind, cause, summary) = match trial.canary {
            Canary::Valid => (
                FindingKind::RefusesValid,
                issuer.to_string(),
                format!(
                    "{name} refuses a good certificate of {issuer} ({how}), so that its refusing the \
                     others proves nothing; give it the issuer's chain as trust anchor, or see \
                     why it is turned away"
                ),
            ),
            Canary::Revoked => (
                FindingKind::AcceptsRevoked,
                issuer.to_string(),
                format!(
                    "{name} still lets in a certificate of {issuer} {} seconds after it was revoked \
                     ({how}); switch revocation checking on and see that it gets new lists",
                    party.enforce_within_s
                ),
            ),
            Canary::LiveSession => (
                FindingKind::SessionSurvives,
                issuer.to_string(),
                format!(
                    "{name} checks when a connection is made and then no more: a session of {issuer} \
                     goes on after its certificate was revoked ({how}); end sessions with a hook \
                     (`tenure hook add`), have it follow the stream of trust changes, or limit how \
                     long a session may last"
                ),
            ),
            other => (
                FindingKind::AcceptsUnfit,
                format!("{other} of {issuer}"),
                format!(
                    "{name} lets in a certificate that it must refuse: {other} of {issuer} ({how}); \
                     see which anchors it trusts and what it verifies"
                ),
            ),
        };
        let matter = matter(kind, cause);
        // A refusal after the revocation is no proof if the same one was refused before.
        let was_let_in = !matches!(trial.canary, Canary::Revoked | Canary::LiveSession)
            || [
                Canary::Valid,
                Canary::Incoming,
                Canary::Outgoing,
                Canary::Superseded,
            ]
            .into_iter()
            .any(|good| {
                round
                    .of(issuer, good)
                    .is_some_and(|trial| trial.reception == Reception::Accepted)
            });
        if trial.reception == Reception::Unreachable {
            continue;
        } else if trial.reception != trial.canary.expected() {
            conclusions.push(raise(matter, summary));
        } else if was_let_in {
            conclusions.push(Conclusion::Clear(matter));
        }
    }
    conclusions
}

#[cfg(test)]
mod tests;
