use tenure_x509::{Serial, Time};

mod attested;
mod boundary;
mod excepted;
mod properties;
mod tier;

use super::*;
use crate::certificate::{Standstill, Status};
use crate::device::{Criticality, Standing};
use crate::finding::FindingKind;
use crate::ids::{DeviceNo, Title};
use crate::incident::IncidentKind;
use crate::issuer::IssuerState;

fn title(text: &str) -> Title {
    text.parse().unwrap()
}

fn at(seconds: i64) -> Time {
    Time::from_unix(1_000_000 + seconds)
}

const NOW: i64 = 500_000;

fn now() -> Time {
    at(NOW)
}

/// A device with everything in order, at a service that it is bound to.
fn good() -> (DecisionRules, Question, DecisionFacts) {
    let certificate = CertificateFacts {
        issuer: "issuing-1".parse().unwrap(),
        issuer_state: IssuerState::Active,
        meant: Meant::Here,
        serial: Serial::parse_hex("0a17").unwrap(),
        fingerprint: "00".repeat(32),
        status: Status::Issued,
        reason: None,
        standstill: Standstill::None,
        client: ClientUse::Allowed,
        place: Place::Newest,
        not_before: at(0),
        not_after: at(1_000_000),
        first_used: Some(at(100)),
        log_index: 41,
    };
    let device = DeviceFacts {
        no: DeviceNo(7),
        id: "pump-17".parse().unwrap(),
        version: 3,
        standing: Standing::Enrolled,
        class: title("Pump"),
        site: title("Hall 3"),
        around: vec![title("Plant")],
        owner: title("Hydraulics"),
        services: vec![title("telemetry"), title("interlock")],
        criticality: Criticality::High,
        purpose: Purpose::Work,
    };
    let facts = DecisionFacts {
        policy: (4, "5f".to_owned()),
        shown: Shown::Certificate(Box::new(certificate)),
        device: Some(device),
        incidents: Vec::new(),
        findings: Vec::new(),
        attestations: Vec::new(),
        exceptions: Vec::new(),
        withdrawals: Kept::Current,
        clock: Clock::Sound,
        enforce_within_s: None,
    };
    let question = Question {
        service: Some(title("telemetry")),
        ..Question::default()
    };
    (DecisionRules::default(), question, facts)
}

fn certificate(facts: &mut DecisionFacts) -> &mut CertificateFacts {
    match &mut facts.shown {
        Shown::Certificate(certificate) => certificate,
        other => panic!("{other:?}"),
    }
}

fn device(facts: &mut DecisionFacts) -> &mut DeviceFacts {
    facts.device.as_mut().unwrap()
}

fn safety() -> FailOperational {
    FailOperational {
        name: "safety".parse().unwrap(),
        services: Vec::new(),
        classes: Vec::new(),
        criticality: vec![Criticality::Safety],
        for_s: 3_600,
        reason: "stopping is worse".to_owned(),
    }
}

/// Requirement P1, the pure part: verdict, reasons, evidence and an end. Left out: the API, the
/// speed.
#[test]
fn p1_a_verdict_has_reasons_evidence_and_an_end() {
    let (rules, question, facts) = good();
    let verdict = decide(&rules, &question, &facts, now());
    assert_eq!(
        (verdict.trust, verdict.tier, verdict.access, verdict.alarm),
        (Trust::Trusted, Tier::Full, Access::Allow, Alarm::Quiet)
    );
    assert_eq!(
        verdict.grounds,
        [Ground::CertificateGood, Ground::NotAttested]
    );
    assert_eq!(
        verdict.evidence,
        [
            "certificate issuing-1/0a17",
            "log entry 41",
            "device pump-17 version 3",
            "policy 5f"
        ]
    );
    assert_eq!(verdict.valid_until, now().plus(60));
    assert_eq!(verdict.unreachable_until, None);
}

/// The verdict ends at the first time at which it could come out otherwise.
#[test]
fn a_verdict_ends_with_what_it_rests_on() {
    type Change = fn(&mut DecisionFacts);
    let ends: [(Change, i64); 5] = [
        (|facts| certificate(facts).not_after = at(NOW + 7), 7),
        (|facts| certificate(facts).not_before = at(NOW + 9), 9),
        (
            |facts| facts.withdrawals = Kept::Until { at: at(NOW + 11) },
            11,
        ),
        (|facts| facts.enforce_within_s = Some(5), 5),
        (|facts| facts.enforce_within_s = Some(500), 60),
    ];
    for (change, after) in ends {
        let (rules, question, mut facts) = good();
        change(&mut facts);
        let verdict = decide(&rules, &question, &facts, now());
        assert_eq!(verdict.valid_until, now().plus(after), "{facts:?}");
    }
}

#[test]
fn each_thing_against_an_identity_makes_it_untrusted() {
    type Change = fn(&mut DecisionFacts);
    let changes: [(Change, Ground); 16] = [
        (
            |facts| certificate(facts).issuer_state = IssuerState::Removed,
            Ground::IssuerRemoved,
        ),
        (
            |facts| certificate(facts).status = Status::Revoked,
            Ground::CertificateRevoked,
        ),
        (
            |facts| certificate(facts).status = Status::Held,
            Ground::CertificateHeld,
        ),
        (
            |facts| certificate(facts).status = Status::Voided,
            Ground::CertificateVoided,
        ),
        (
            |facts| certificate(facts).status = Status::Reserved,
            Ground::CertificateVoided,
        ),
        (
            |facts| certificate(facts).standstill = Standstill::Abandoned,
            Ground::CertificateAbandoned,
        ),
        (
            |facts| certificate(facts).not_before = at(NOW + 1),
            Ground::NotYetValid,
        ),
        (
            |facts| certificate(facts).client = ClientUse::Forbidden,
            Ground::WrongUsage,
        ),
        (
            |facts| device(facts).id = "pump-18".parse().unwrap(),
            Ground::OtherDevice,
        ),
        (
            |facts| device(facts).standing = Standing::Suspended,
            Ground::DeviceSuspended,
        ),
        (
            |facts| device(facts).standing = Standing::Quarantined,
            Ground::DeviceQuarantined,
        ),
        (
            |facts| device(facts).standing = Standing::InTransfer,
            Ground::DeviceInTransfer,
        ),
        (
            |facts| device(facts).standing = Standing::Retired,
            Ground::DeviceRetired,
        ),
        (
            |facts| device(facts).standing = Standing::Destroyed,
            Ground::DeviceRetired,
        ),
        (
            |facts| {
                facts.incidents.push(OpenIncident {
                    no: 3,
                    kind: IncidentKind::Fork,
                });
            },
            Ground::IncidentOpen,
        ),
        (
            |facts| {
                facts.shown = Shown::NotOurs {
                    serial: "0a".to_owned(),
                }
            },
            Ground::NotOurs,
        ),
    ];
    for (change, ground) in changes {
        let (mut rules, mut question, mut facts) = good();
        question.device = Some("pump-17".parse().unwrap());
        change(&mut facts);
        // Fail-operational is for what is not known, never for what is known to be bad.
        rules.fail_operational.push(FailOperational {
            criticality: Vec::new(),
            ..safety()
        });
        let verdict = decide(&rules, &question, &facts, now());
        assert_eq!(verdict.trust, Trust::Untrusted, "{ground}");
        assert_eq!(verdict.access, Access::Deny, "{ground}");
        assert_eq!(verdict.tier, Tier::Quarantine, "{ground}");
        assert_eq!(verdict.grounds.first(), Some(&ground));
        assert_eq!(verdict.unreachable_until, None);
    }
}

/// Requirement P2: what is not known is neither trusted nor untrusted, and is let in nowhere.
#[test]
fn p2_unknown_is_neither_trusted_nor_untrusted() {
    type Change = fn(&mut DecisionFacts);
    let changes: [(Change, Ground); 8] = [
        (
            |facts| {
                (facts.shown, facts.device) = (Shown::Nothing, None);
            },
            Ground::NoIdentity,
        ),
        (|facts| facts.shown = Shown::Nothing, Ground::NoCertificate),
        (
            |facts| {
                let serial = "0b".to_owned();
                (facts.shown, facts.device) = (Shown::UnknownSerial { serial }, None);
            },
            Ground::UnknownCertificate,
        ),
        (
            |facts| {
                let fingerprint = "0b".to_owned();
                (facts.shown, facts.device) = (Shown::UnknownFingerprint { fingerprint }, None);
            },
            Ground::UnknownCertificate,
        ),
        (
            |facts| {
                let fingerprint = "0b".to_owned();
                (facts.shown, facts.device) = (Shown::UnknownIssuer { fingerprint }, None);
            },
            Ground::UnknownIssuer,
        ),
        (
            |facts| certificate(facts).not_after = at(NOW - 1),
            Ground::CertificateExpired,
        ),
        (
            |facts| facts.withdrawals = Kept::Until { at: at(NOW - 1) },
            Ground::StateStale,
        ),
        (|facts| facts.clock = Clock::Behind, Ground::ClockUncertain),
    ];
    for (change, ground) in changes {
        let (rules, question, mut facts) = good();
        change(&mut facts);
        let verdict = decide(&rules, &question, &facts, now());
        assert_eq!(verdict.trust, Trust::Unknown, "{ground}");
        assert_eq!(verdict.access, Access::Deny, "{ground}");
        assert_eq!(verdict.grounds.first(), Some(&ground));
    }
}

/// A canary is let in wherever its certificate is good: it is there to see just that.
#[test]
fn a_canary_has_no_boundaries_and_no_mercy() {
    let (rules, question, mut facts) = good();
    device(&mut facts).purpose = Purpose::Canary;
    device(&mut facts).services.clear();
    let verdict = decide(&rules, &question, &facts, now());
    assert_eq!(verdict.access, Access::Allow);
    assert!(verdict.grounds.contains(&Ground::Canary));
    certificate(&mut facts).status = Status::Revoked;
    let verdict = decide(&rules, &question, &facts, now());
    assert_eq!(verdict.access, Access::Deny);
}

/// What was kept says the same when it is read back: every verdict can be made again.
#[test]
fn p1_what_is_kept_gives_the_same_verdict() {
    let (rules, question, facts) = good();
    let text = serde_json::to_string(&(&question, &facts)).unwrap();
    let (asked, known): (Question, DecisionFacts) = serde_json::from_str(&text).unwrap();
    assert_eq!((&asked, &known), (&question, &facts));
    assert_eq!(
        decide(&rules, &asked, &known, now()),
        decide(&rules, &question, &facts, now())
    );
}

#[test]
fn a_verdict_is_named_by_what_it_rests_on_and_its_time() {
    let id = VerdictId::new(&[0xa7; 32], at(0));
    assert_eq!(id.to_string(), format!("{}-f4240", "a7".repeat(16)));
    assert_eq!(id.to_string().parse(), Ok(id));
    for bad in [
        "",
        "a7-1",
        "+1-1",
        &"a7".repeat(16),
        &format!("+{}-1", "1".repeat(31)),
        &format!("{}--5", "a7".repeat(16)),
        &format!("{}-", "a7".repeat(16)),
        &format!("{}-{}", "a7".repeat(16), "f".repeat(16)),
    ] {
        assert!(bad.parse::<VerdictId>().is_err(), "{bad:?} was taken");
    }
}
