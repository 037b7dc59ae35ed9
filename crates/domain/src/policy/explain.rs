//! Why: what the policy would say to an ask that nobody has made yet, rule by rule.

use std::fmt;

use serde::{Deserialize, Serialize};
use tenure_x509::{KeyAlgorithm, KeyKind, Time};

use crate::ask::{Operation, Protocol};
use crate::durability::Durability;
use crate::facts::{Facts, Ruling, Subject};
use crate::ids::Slug;
use crate::policy::decide::{Permit, Proof, Question, permit};
use crate::policy::shape::{issuer, validity};
use crate::policy::{Action, Decision, EvidenceKind, HoldReason, Policy, Refused};
use crate::refusal::Refusal;
use crate::words::words;

/// An ask without a request: what someone would ask for, and what they would prove.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DescribedAsk {
    /// What would be asked for.
    pub operation: Operation,
    /// What would be proved; a renewal is thought to come from the device's newest certificate.
    pub evidence: EvidenceKind,
    /// How it would come.
    pub protocol: Protocol,
    /// The label it would be addressed to.
    pub label: Option<Slug>,
    /// The key that would be certified; if unknown, any key is thought to be taken.
    pub key: Option<KeyKind>,
}

impl DescribedAsk {
    pub(super) fn question<'a>(&'a self, subject: &'a Subject) -> Question<'a> {
        Question {
            operation: self.operation,
            protocol: self.protocol,
            label: self.label.as_ref(),
            proof: match self.evidence {
                EvidenceKind::Manufacturer => Proof::Manufacturer,
                EvidenceKind::Secret => Proof::Secret { spent: None },
                EvidenceKind::CurrentCertificate => Proof::Current {
                    row: subject.head.as_ref(),
                    certificate: None,
                },
            },
            csr: None,
            key: self.key.map(|key| match key {
                KeyKind::P256 => KeyAlgorithm::P256,
                KeyKind::P384 => KeyAlgorithm::P384,
                KeyKind::Ed25519 => KeyAlgorithm::Ed25519,
                KeyKind::Rsa2048 => KeyAlgorithm::Rsa(2048),
                KeyKind::Rsa3072 => KeyAlgorithm::Rsa(3072),
                KeyKind::Rsa4096 => KeyAlgorithm::Rsa(4096),
            }),
        }
    }
}

words! {
    /// What became of a rule when an ask was held against it.
    RuleReading ("reading of a rule") {
        /// It is the first that matches: it decides.
        Decides = "decides" = 1,
        /// It matches, but a rule above it decides.
        Later = "matches-later" = 2,
        /// It does not match.
        Unmatched = "does-not-match" = 3,
    }
}

/// One rule, and why it did or did not match.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleNote {
    /// The rule.
    pub rule: Slug,
    /// What it says.
    pub action: Action,
    /// What became of it.
    pub reading: RuleReading,
    /// Each condition that was not met: what the ask has, and what the rule wants.
    pub unmet: Vec<String>,
}

/// What the policy says to an ask, and why. For a hold, the certificate is the one that an approval
/// would bring.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// The version of the policy.
    pub version: i64,
    /// Its hash in hex.
    pub policy: String,
    /// What it says.
    pub decision: Action,
    /// The rule that says so; the word of the check if it was none of the document's rules.
    pub rule: String,
    /// In words.
    pub why: String,
    /// Every rule of the document, in order.
    pub rules: Vec<RuleNote>,
    /// The profile that is asked for, by label or by class.
    pub profile: Option<Slug>,
    /// How long the certificate would live.
    pub life: Option<String>,
    /// Whether it would need people's attention.
    #[serde(default)]
    pub durability: Option<Durability>,
    /// Who would sign it.
    pub issuer: Option<Slug>,
    /// Whom it would name, RFC 4514.
    pub subject: Option<String>,
    /// Its other names.
    pub names: Vec<String>,
    /// From when it would be good.
    pub not_before: Option<String>,
    /// Until when it would be good.
    pub not_after: Option<String>,
}

/// A decision in a few words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) action: Action,
    pub(super) rule: String,
    pub(super) why: String,
}

impl Said {
    pub(super) fn of(result: &Result<Permit, Decision>) -> Said {
        match result {
            Ok(permit) => Said {
                action: Action::Allow,
                rule: permit.rule.rule.clone(),
                why: "a rule allows it".to_owned(),
            },
            Err(decision) => Said::instead(decision),
        }
    }

    fn instead(decision: &Decision) -> Said {
        let (action, rule, why) = match decision {
            Decision::Allow(grant) => (
                Action::Allow,
                grant.rule().rule.clone(),
                "a rule allows it".to_owned(),
            ),
            Decision::Replay(_) => {
                let why = "the same ask was answered before and gets the same certificate";
                (Action::Allow, "replay".to_owned(), why.to_owned())
            }
            Decision::Hold(HoldReason::Approval { rule, why }) => {
                (Action::Hold, rule.clone(), why.clone())
            }
            Decision::Hold(
                reason @ (HoldReason::Unregistered { .. } | HoldReason::UnknownManufacturer { .. }),
            ) => (
                Action::Hold,
                reason.word().to_owned(),
                "nobody registered it".to_owned(),
            ),
            Decision::Refuse(Refused {
                refusal: Refusal::NotAllowed { rule, why },
                ..
            }) => (Action::Refuse, rule.clone(), why.clone()),
            Decision::Refuse(Refused { refusal, .. }) => (
                Action::Refuse,
                refusal.word().to_owned(),
                refusal.to_string(),
            ),
        };
        Said { action, rule, why }
    }
}

/// Says what the policy would do with an ask, and why. Of the facts it reads the subject, the
/// issuers and what an operator ruled.
pub fn explain(policy: &Policy, described: &DescribedAsk, facts: &Facts, now: Time) -> Explanation {
    let mut explanation = Explanation {
        version: policy.version,
        policy: policy.hash.to_string(),
        decision: Action::Refuse,
        rule: Refusal::NotAuthenticated.word().to_owned(),
        why: "there is no registered device to decide about".to_owned(),
        rules: Vec::new(),
        profile: None,
        life: None,
        durability: None,
        issuer: None,
        subject: None,
        names: Vec::new(),
        not_before: None,
        not_after: None,
    };
    let Some(subject) = &facts.subject else {
        return explanation;
    };
    let question = described.question(subject);
    explanation.rules = read_rules(policy, &question, subject);
    explanation.profile = Some(question.profile_name(subject).clone());
    let permitted = permit(policy, &question, facts, subject, now);
    explanation.say(Said::of(&permitted));
    let permitted = match permitted {
        Err(Decision::Hold(_)) => {
            let approved = Facts {
                ruling: Some(Ruling::Approved),
                ..facts.clone()
            };
            permit(policy, &question, &approved, subject, now)
        }
        other => other,
    };
    match permitted {
        Ok(permit) => explanation.show(&permit, &question, facts, subject, now),
        // A hold whose approval would change nothing is a refusal in waiting; say so now.
        Err(decision @ Decision::Refuse(_)) => explanation.say(Said::instead(&decision)),
        Err(Decision::Allow(_) | Decision::Replay(_) | Decision::Hold(_)) => {}
    }
    explanation
}

fn read_rules(policy: &Policy, question: &Question<'_>, subject: &Subject) -> Vec<RuleNote> {
    let Some(asked) = question.asked(subject) else {
        return Vec::new();
    };
    let mut decided = false;
    let notes = policy.rules.iter().map(|rule| {
        let unmet = rule.unmet(&asked);
        let reading = match (unmet.is_empty(), decided) {
            (true, false) => RuleReading::Decides,
            (true, true) => RuleReading::Later,
            (false, _) => RuleReading::Unmatched,
        };
        decided |= unmet.is_empty();
        RuleNote {
            rule: rule.name.clone(),
            action: rule.action,
            reading,
            unmet,
        }
    });
    notes.collect()
}

impl Explanation {
    fn say(&mut self, said: Said) {
        self.decision = said.action;
        self.rule = said.rule;
        self.why = said.why;
    }

    fn show(
        &mut self,
        permit: &Permit,
        question: &Question<'_>,
        facts: &Facts,
        subject: &Subject,
        now: Time,
    ) {
        let profile = &permit.profile;
        self.life = Some(profile.life.to_string());
        self.subject = Some(permit.subject.to_string());
        self.names = permit.san.iter().map(ToString::to_string).collect();
        let signed = issuer(question, facts, profile)
            .and_then(|issuer| validity(profile, &issuer, now).map(|dates| (issuer, dates)));
        match signed {
            Ok((issuer, dates)) => {
                self.issuer = Some(issuer.name().clone());
                self.not_before = Some(dates.not_before.to_string());
                self.not_after = Some(dates.not_after.to_string());
                let life = dates.not_after.unix().saturating_sub(now.unix());
                self.durability = Some(Durability::of_life(life, subject.class.renewability));
            }
            Err(decision) => self.say(Said::instead(&decision)),
        }
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}, rule {}: {}", self.decision, self.rule, self.why)?;
        for (position, note) in self.rules.iter().enumerate() {
            write!(
                f,
                "{:3} {} ({})  {}",
                position + 1,
                note.rule,
                note.action,
                note.reading
            )?;
            match note.unmet.as_slice() {
                [] => writeln!(f)?,
                unmet => writeln!(f, ": {}", unmet.join("; "))?,
            }
        }
        let line = |f: &mut fmt::Formatter<'_>, label: &str, value: &Option<String>| match value {
            Some(value) => writeln!(f, "{label:<9} {value}"),
            None => Ok(()),
        };
        let text = |slug: &Option<Slug>| slug.as_ref().map(ToString::to_string);
        line(f, "profile", &text(&self.profile))?;
        line(f, "life", &self.life)?;
        line(f, "subject", &self.subject)?;
        let san = (!self.names.is_empty()).then(|| self.names.join(", "));
        line(f, "names", &san)?;
        line(f, "issuer", &text(&self.issuer))?;
        line(f, "from", &self.not_before)?;
        line(f, "until", &self.not_after)?;
        write!(f, "policy    version {}, {}", self.version, self.policy)
    }
}
