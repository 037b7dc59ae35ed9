//! The decision itself.

use tenure_x509::Time;

use super::appraisal::appraise;
use super::lifting::Lifting;
use super::{
    Access, Alarm, Boundary, CertificateFacts, ClientUse, Clock, DecisionFacts, DecisionRules,
    DeviceFacts, FailOperational, Ground, Kept, Meant, Need, Place, Purpose, Question, Shown, Tier,
    Trust, Verdict,
};
use crate::certificate::{Standstill, Status};
use crate::device::Standing;
use crate::ids::Title;
use crate::issuer::IssuerState;

/// What speaks for and against an identity, sorted by what it means.
#[derive(Default)]
struct Grounds {
    /// It is not to be trusted.
    against: Vec<Ground>,
    /// It is not known.
    doubts: Vec<Ground>,
    /// It is not to be let in there.
    outside: Vec<Ground>,
    /// It is not trusted fully.
    lowering: Vec<Ground>,
    /// What verifiers say of it, whatever follows from that.
    appraised: Option<Ground>,
}

/// Decides. The verdict follows from the arguments and from nothing else.
///
/// An identity is trusted if nothing speaks against it and everything that has to be known of it is
/// known. It is let in if it is trusted, within every boundary, and of the tier that the service
/// wants; or if it would be, were its state known, and the policy lists it as fail-operational.
/// Facts that are old or missing add grounds, and no ground ever raises anything.
pub fn decide(
    rules: &DecisionRules,
    question: &Question,
    facts: &DecisionFacts,
    now: Time,
) -> Verdict {
    let mut grounds = Grounds::default();
    let mut end = End::at(now.plus(rules.valid_for_s));
    if let Some(within_s) = facts.enforce_within_s {
        end.no_later(now.plus(within_s), now);
    }
    identity(question, facts, now, &mut grounds, &mut end);
    let knowledge = state(facts, now, &mut grounds, &mut end);
    promotion(rules, facts, now, &mut grounds, &mut end);
    attested(rules, facts, now, &mut grounds, &mut end);
    let mut lifting = Lifting::of(facts, now);
    lifting.lift_grave(&mut grounds.against);
    lifting.lift_grave(&mut grounds.doubts);
    lifting.lift(&mut grounds.lowering);

    let trust = match (grounds.against.is_empty(), grounds.doubts.is_empty()) {
        (false, _) => Trust::Untrusted,
        (true, false) => Trust::Unknown,
        (true, true) => Trust::Trusted,
    };
    if let Some(device) = &facts.device {
        within(rules, question, device, &mut grounds);
    } else if question.service.is_none() {
        grounds.outside.push(Ground::NoService);
    }
    lifting.lift(&mut grounds.outside);

    // Going on without knowing is for those who would otherwise be let in.
    let listed = fail_operational(rules, question, facts);
    let last = listed.and_then(|listed| knowledge.goes_on_until(listed, now));
    let goes_on = match trust {
        Trust::Unknown => last,
        Trust::Trusted | Trust::Untrusted => None,
    };
    let reached = match (trust, goes_on) {
        (Trust::Trusted, _) if grounds.lowering.is_empty() && !lifting.is_grave() => Tier::Full,
        (Trust::Trusted, _) | (Trust::Unknown, Some(_)) => Tier::Limited,
        (Trust::Untrusted | Trust::Unknown, _) => Tier::Quarantine,
    };
    if let Some(device) = &facts.device {
        least_tier(rules, question, device, reached, &mut grounds);
    }
    if let Some(lapse) = lifting.until() {
        end.no_later(lapse, now);
    }
    let is_within = grounds.outside.is_empty();
    let (access, alarm) = match (trust, goes_on) {
        (Trust::Trusted, _) if is_within => (Access::Allow, Alarm::Quiet),
        (Trust::Unknown, Some(last)) if is_within => {
            end.no_later(last, now);
            (Access::Allow, Alarm::Raised)
        }
        (Trust::Trusted | Trust::Untrusted | Trust::Unknown, _) => (Access::Deny, Alarm::Quiet),
    };
    let tier = match (trust, access) {
        (Trust::Untrusted | Trust::Unknown, Access::Deny) => Tier::Quarantine,
        (Trust::Trusted | Trust::Untrusted | Trust::Unknown, _) => reached,
    };
    let unreachable_until = match (access, trust, listed) {
        (Access::Allow, Trust::Trusted, Some(listed)) => Some(end.at.plus(listed.for_s)),
        (Access::Allow, Trust::Unknown, Some(_)) => last,
        (Access::Allow | Access::Deny, _, _) => None,
    };
    Verdict {
        trust,
        tier,
        access,
        alarm,
        grounds: said(grounds, facts, alarm, &lifting),
        evidence: evidence(facts, &lifting),
        decided: now,
        valid_until: end.at,
        unreachable_until,
    }
}

/// When the verdict ends: at the first time at which it could come out otherwise.
struct End {
    at: Time,
}

impl End {
    fn at(at: Time) -> End {
        End { at }
    }

    /// Ends no later than `limit`, if that is still to come.
    fn no_later(&mut self, limit: Time, now: Time) {
        if limit > now && limit < self.at {
            self.at = limit;
        }
    }
}

/// Who it is: the certificate, the device, and what is open about them.
fn identity(
    question: &Question,
    facts: &DecisionFacts,
    now: Time,
    grounds: &mut Grounds,
    end: &mut End,
) {
    match &facts.shown {
        Shown::Nothing if facts.device.is_some() => grounds.doubts.push(Ground::NoCertificate),
        Shown::Nothing if question.device.is_some() => grounds.doubts.push(Ground::UnknownDevice),
        Shown::Nothing => grounds.doubts.push(Ground::NoIdentity),
        Shown::UnknownSerial { .. } | Shown::UnknownFingerprint { .. } => {
            grounds.doubts.push(Ground::UnknownCertificate);
        }
        Shown::UnknownIssuer { .. } => grounds.doubts.push(Ground::UnknownIssuer),
        Shown::NotOurs { .. } => grounds.against.push(Ground::NotOurs),
        Shown::Certificate(certificate) => credential(certificate, now, grounds, end),
    }
    let Some(device) = &facts.device else {
        // A certificate whose device is not there vouches for nobody.
        if matches!(facts.shown, Shown::Certificate(_)) {
            grounds.doubts.push(Ground::UnknownDevice);
        }
        return;
    };
    if question.device.as_ref().is_some_and(|id| *id != device.id) {
        grounds.against.push(Ground::OtherDevice);
    }
    match device.standing {
        // One that was never seen holds no certificate, which is said above.
        Standing::Expected | Standing::Enrolled => {}
        Standing::Suspended => grounds.against.push(Ground::DeviceSuspended),
        Standing::Quarantined => grounds.against.push(Ground::DeviceQuarantined),
        Standing::InTransfer => grounds.against.push(Ground::DeviceInTransfer),
        Standing::Retired | Standing::Destroyed => grounds.against.push(Ground::DeviceRetired),
    }
    if !facts.incidents.is_empty() {
        grounds.against.push(Ground::IncidentOpen);
    }
}

fn credential(certificate: &CertificateFacts, now: Time, grounds: &mut Grounds, end: &mut End) {
    match certificate.status {
        Status::Issued | Status::Replaced => {}
        Status::Reserved | Status::Voided => grounds.against.push(Ground::CertificateVoided),
        Status::Held => grounds.against.push(Ground::CertificateHeld),
        Status::Revoked => grounds.against.push(Ground::CertificateRevoked),
    }
    match certificate.issuer_state {
        // One that is tainted signs nothing new, and what it signed is good until it is removed.
        IssuerState::Prepared
        | IssuerState::Distributed
        | IssuerState::Active
        | IssuerState::Tainted => {}
        IssuerState::Removed => grounds.against.push(Ground::IssuerRemoved),
    }
    if certificate.meant == Meant::Elsewhere {
        grounds.outside.push(Ground::OtherIssuer);
    }
    if certificate.standstill == Standstill::Abandoned {
        grounds.against.push(Ground::CertificateAbandoned);
    }
    if certificate.client == ClientUse::Forbidden {
        grounds.against.push(Ground::WrongUsage);
    }
    if now < certificate.not_before {
        grounds.against.push(Ground::NotYetValid);
        end.no_later(certificate.not_before, now);
    } else if now > certificate.not_after {
        grounds.doubts.push(Ground::CertificateExpired);
    } else {
        end.no_later(certificate.not_after, now);
    }
}

/// Since when too little is known, where the identity itself is beyond doubt.
#[derive(Default)]
struct Knowledge {
    /// The earliest end of what was known.
    since: Option<Time>,
    /// Whether something is in doubt that does not pass with time.
    is_hopeless: bool,
}

impl Knowledge {
    fn ended(&mut self, at: Time) {
        self.since = Some(self.since.map_or(at, |since| since.min(at)));
    }

    /// Until when a fail-operational device goes on.
    fn goes_on_until(&self, listed: &FailOperational, now: Time) -> Option<Time> {
        if self.is_hopeless {
            return None;
        }
        let last = self.since.unwrap_or(now).plus(listed.for_s);
        (last > now).then_some(last)
    }
}

/// Whether what is known is new enough to rest anything on.
fn state(facts: &DecisionFacts, now: Time, grounds: &mut Grounds, end: &mut End) -> Knowledge {
    let mut knowledge = Knowledge {
        since: None,
        is_hopeless: grounds
            .doubts
            .iter()
            .any(|doubt| *doubt != Ground::CertificateExpired),
    };
    if let Shown::Certificate(certificate) = &facts.shown {
        if now > certificate.not_after {
            // Whoever has a newer one and shows an old one that is over does not go on with it.
            knowledge.is_hopeless |= certificate.place == Place::Earlier;
            knowledge.ended(certificate.not_after);
        }
        match facts.withdrawals {
            Kept::Current => {}
            Kept::Until { at } if now <= at => end.no_later(at, now),
            Kept::Until { at } => {
                grounds.doubts.push(Ground::StateStale);
                knowledge.ended(at);
            }
            Kept::NotYet => grounds.doubts.push(Ground::StateStale),
        }
    }
    match facts.clock {
        Clock::Sound => {}
        Clock::Behind => grounds.doubts.push(Ground::ClockUncertain),
    }
    knowledge
}

/// What keeps the device from the full tier.
fn promotion(
    rules: &DecisionRules,
    facts: &DecisionFacts,
    now: Time,
    grounds: &mut Grounds,
    end: &mut End,
) {
    if let Shown::Certificate(certificate) = &facts.shown {
        if certificate.place == Place::Earlier || certificate.status == Status::Replaced {
            grounds.lowering.push(Ground::CertificateReplaced);
        }
        if certificate.issuer_state == IssuerState::Tainted {
            grounds.lowering.push(Ground::IssuerTainted);
        }
        let wants_use = rules.full_needs.contains(&Need::SeenInUse) || rules.full_after_s > 0;
        match certificate.first_used {
            None if wants_use => grounds.lowering.push(Ground::NotSeenInUse),
            None => {}
            Some(first) => {
                let grown = first.plus(rules.full_after_s);
                if now < grown {
                    grounds.lowering.push(Ground::TooNew);
                    end.no_later(grown, now);
                }
            }
        }
    }
    if !facts.findings.is_empty() {
        grounds.lowering.push(Ground::FindingOpen);
    }
}

/// What verifiers say of what the device runs.
fn attested(
    rules: &DecisionRules,
    facts: &DecisionFacts,
    now: Time,
    grounds: &mut Grounds,
    end: &mut End,
) {
    if facts.device.is_none() {
        return;
    }
    let appraisal = appraise(rules, facts, now);
    if let Some(until) = appraisal.until {
        end.no_later(until, now);
    }
    if appraisal.ground == Ground::AttestationContraindicated {
        grounds.against.push(appraisal.ground);
    } else if appraisal.lowers(rules) {
        grounds.lowering.push(appraisal.ground);
    }
    grounds.appraised = Some(appraisal.ground);
}

/// Whether the device may be let in there at all.
fn within(rules: &DecisionRules, question: &Question, device: &DeviceFacts, grounds: &mut Grounds) {
    let Some(service) = &question.service else {
        grounds.outside.push(Ground::NoService);
        return;
    };
    if device.purpose == Purpose::Canary {
        return;
    }
    if !device.services.contains(service) {
        grounds.outside.push(Ground::OtherService);
    }
    let stands_at = |site: &Title| device.site == *site || device.around.contains(site);
    if question.site.as_ref().is_some_and(|site| !stands_at(site)) {
        grounds.outside.push(Ground::OtherSite);
    }
    let spoken = rules
        .boundaries
        .iter()
        .filter(|boundary| boundary.speaks_of(device, question));
    for boundary in spoken {
        let mut add = |ground| {
            if !grounds.outside.contains(&ground) {
                grounds.outside.push(ground);
            }
        };
        if !boundary.holds(device) {
            add(Ground::OutsideBoundary);
        }
        if !boundary.admits(question.source) {
            add(Ground::OtherNetwork);
        }
    }
}

/// Whether a trusted device has the tier that the service takes.
fn least_tier(
    rules: &DecisionRules,
    question: &Question,
    device: &DeviceFacts,
    reached: Tier,
    grounds: &mut Grounds,
) {
    let wants_more =
        |boundary: &Boundary| boundary.speaks_of(device, question) && reached < boundary.tier;
    let is_held = device.purpose == Purpose::Work && reached > Tier::Quarantine;
    if is_held && rules.boundaries.iter().any(wants_more) {
        grounds.outside.push(Ground::TierTooLow);
    }
}

fn fail_operational<'r>(
    rules: &'r DecisionRules,
    question: &Question,
    facts: &DecisionFacts,
) -> Option<&'r FailOperational> {
    let device = facts.device.as_ref()?;
    let mut listed = rules.fail_operational.iter();
    listed.find(|listed| listed.speaks_of(device, question))
}

/// The reasons in the order in which they decide.
fn said(
    grounds: Grounds,
    facts: &DecisionFacts,
    alarm: Alarm,
    lifting: &Lifting<'_>,
) -> Vec<Ground> {
    let is_good = grounds.against.is_empty() && grounds.doubts.is_empty();
    let mut said = Vec::new();
    if alarm == Alarm::Raised {
        said.push(Ground::FailOperational);
    }
    said.extend(grounds.against);
    said.extend(grounds.doubts);
    said.extend(grounds.outside);
    if is_good && !lifting.is_grave() {
        said.push(Ground::CertificateGood);
    }
    if lifting.is_grave() {
        said.extend(lifting.said());
    }
    if is_good {
        said.extend(grounds.lowering);
    }
    if !lifting.is_grave() {
        said.extend(lifting.said());
    }
    let device = facts.device.as_ref();
    if device.is_some_and(|device| device.purpose == Purpose::Canary) {
        said.push(Ground::Canary);
    }
    if let Some(appraised) = grounds.appraised.filter(|ground| !said.contains(ground)) {
        said.push(appraised);
    }
    said
}

fn evidence(facts: &DecisionFacts, lifting: &Lifting<'_>) -> Vec<String> {
    let mut evidence = Vec::new();
    match &facts.shown {
        Shown::Nothing => {}
        Shown::UnknownSerial { serial } | Shown::NotOurs { serial } => {
            evidence.push(format!("serial {serial}"));
        }
        Shown::UnknownFingerprint { fingerprint } | Shown::UnknownIssuer { fingerprint } => {
            evidence.push(format!("fingerprint {fingerprint}"))
        }
        Shown::Certificate(certificate) => {
            evidence.push(format!(
                "certificate {}/{}",
                certificate.issuer, certificate.serial
            ));
            evidence.push(format!("log entry {}", certificate.log_index));
        }
    }
    if let Some(device) = &facts.device {
        evidence.push(format!("device {} version {}", device.id, device.version));
    }
    evidence.extend(facts.attestations.iter().map(|said| {
        let begin = said.evidence.get(..16).unwrap_or_default();
        format!("attestation {said}, evidence {begin}")
    }));
    evidence.extend(facts.incidents.iter().map(|i| format!("incident {}", i.no)));
    evidence.extend(facts.findings.iter().map(|f| format!("finding {}", f.no)));
    evidence.extend(lifting.evidence());
    evidence.push(format!("policy {}", facts.policy.1));
    evidence
}
