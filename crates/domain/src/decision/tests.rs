use std::net::IpAddr;

use proptest::prelude::*;
use tenure_x509::{Serial, Time};

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
        attestation: Attestation::None,
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
    let changes: [(Change, Ground); 7] = [
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

/// Requirement P4, the pure part: an address changes nothing unless the policy asks for it.
#[test]
fn p4_where_it_comes_from_counts_only_if_the_policy_asks() {
    let (mut rules, mut question, facts) = good();
    let here = decide(&rules, &question, &facts, now());
    question.source = Some("203.0.113.9".parse().unwrap());
    assert_eq!(decide(&rules, &question, &facts, now()), here);
    assert!(!rules.asks_for_source(question.service.as_ref()));

    rules.boundaries.push(Boundary {
        name: "plant".parse().unwrap(),
        services: vec![title("telemetry")],
        classes: Vec::new(),
        criticality: Vec::new(),
        sites: Vec::new(),
        owners: Vec::new(),
        networks: vec!["10.3.0.0/16".parse().unwrap()],
        tier: Tier::Limited,
    });
    assert!(rules.asks_for_source(question.service.as_ref()));
    let there = decide(&rules, &question, &facts, now());
    assert_eq!(there.access, Access::Deny);
    assert_eq!(there.grounds.first(), Some(&Ground::OtherNetwork));
    assert_eq!(there.trust, Trust::Trusted, "it still is who it is");
    question.source = Some("10.3.7.7".parse().unwrap());
    assert_eq!(
        decide(&rules, &question, &facts, now()).access,
        Access::Allow
    );
    question.source = None;
    assert_eq!(
        decide(&rules, &question, &facts, now()).access,
        Access::Deny
    );
}

/// Requirement P6: nobody without an identity is let in, whoever is listed; a listed device whose
/// state is not known goes on for the time that is listed, with an alarm.
#[test]
fn p6_default_is_deny_and_the_list_says_who_goes_on() {
    type Change = fn(&mut DecisionFacts);
    let stale: [Change; 2] = [
        |facts| certificate(facts).not_after = at(NOW - 600),
        |facts| facts.withdrawals = Kept::Until { at: at(NOW - 600) },
    ];
    for change in stale {
        let (mut rules, question, mut facts) = good();
        change(&mut facts);
        rules.fail_operational.push(safety());
        assert_eq!(
            decide(&rules, &question, &facts, now()).access,
            Access::Deny
        );

        device(&mut facts).criticality = Criticality::Safety;
        let verdict = decide(&rules, &question, &facts, now());
        assert_eq!(verdict.access, Access::Allow);
        assert_eq!(verdict.alarm, Alarm::Raised);
        assert_eq!(verdict.trust, Trust::Unknown, "going on is not trust");
        assert_eq!(verdict.tier, Tier::Limited);
        assert_eq!(verdict.grounds.first(), Some(&Ground::FailOperational));
        assert_eq!(verdict.unreachable_until, Some(at(NOW + 3_000)));

        // The time is over.
        let later = now().plus(3_000);
        assert_eq!(
            decide(&rules, &question, &facts, later).access,
            Access::Deny
        );
        // Another service than its own is still another service.
        let elsewhere = Question {
            service: Some(title("historian")),
            ..question.clone()
        };
        assert_eq!(
            decide(&rules, &elsewhere, &facts, now()).access,
            Access::Deny
        );
        // An old certificate of a device that has a newer one is no reason to go on.
        certificate(&mut facts).place = Place::Earlier;
        if certificate(&mut facts).not_after < now() {
            assert_eq!(
                decide(&rules, &question, &facts, now()).access,
                Access::Deny
            );
        }
    }
    let (mut rules, question, mut facts) = good();
    rules.fail_operational.push(FailOperational {
        criticality: Vec::new(),
        ..safety()
    });
    facts.shown = Shown::Nothing;
    let verdict = decide(&rules, &question, &facts, now());
    assert_eq!(verdict.access, Access::Deny, "no identity");
}

/// A relying party that cannot reach us may go on with a listed device's verdict, and with no other.
#[test]
fn p6_a_verdict_says_how_long_it_serves_who_cannot_reach_us() {
    let (mut rules, question, mut facts) = good();
    rules.fail_operational.push(safety());
    assert_eq!(
        decide(&rules, &question, &facts, now()).unreachable_until,
        None
    );
    device(&mut facts).criticality = Criticality::Safety;
    let verdict = decide(&rules, &question, &facts, now());
    assert_eq!(verdict.alarm, Alarm::Quiet);
    assert_eq!(verdict.unreachable_until, Some(now().plus(60 + 3_600)));
}

/// Requirement P7: each rule of promotion, and that a device falls back by itself when it no longer
/// holds.
#[test]
fn p7_each_promotion_rule_holds_a_device_back_until_it_is_met() {
    type Change = fn(&mut DecisionRules, &mut DecisionFacts);
    let changes: [(Change, Ground); 6] = [
        (
            |_, facts| certificate(facts).issuer_state = IssuerState::Tainted,
            Ground::IssuerTainted,
        ),
        (
            |_, facts| certificate(facts).first_used = None,
            Ground::NotSeenInUse,
        ),
        (|rules, _| rules.full_after_s = NOW, Ground::TooNew),
        (
            |_, facts| certificate(facts).status = Status::Replaced,
            Ground::CertificateReplaced,
        ),
        (
            |_, facts| {
                facts.findings.push(OpenFinding {
                    no: 4,
                    kind: FindingKind::Incident,
                    times: 1,
                });
            },
            Ground::FindingOpen,
        ),
        (
            |rules, _| rules.full_needs.push(Need::Attested),
            Ground::NotAttested,
        ),
    ];
    for (change, ground) in changes {
        let (mut rules, question, mut facts) = good();
        assert_eq!(decide(&rules, &question, &facts, now()).tier, Tier::Full);
        change(&mut rules, &mut facts);
        let verdict = decide(&rules, &question, &facts, now());
        assert_eq!(verdict.tier, Tier::Limited, "{ground}");
        assert_eq!(verdict.access, Access::Allow, "{ground}");
        assert!(verdict.grounds.contains(&ground), "{ground}");

        rules.boundaries.push(Boundary {
            name: "only-full".parse().unwrap(),
            services: vec![title("telemetry")],
            classes: Vec::new(),
            criticality: Vec::new(),
            sites: Vec::new(),
            owners: Vec::new(),
            networks: Vec::new(),
            tier: Tier::Full,
        });
        let verdict = decide(&rules, &question, &facts, now());
        assert_eq!(verdict.access, Access::Deny, "{ground}");
        assert_eq!(verdict.grounds.first(), Some(&Ground::TierTooLow));
    }
    // The time alone promotes.
    let (mut rules, question, facts) = good();
    rules.full_after_s = NOW - 100 + 20;
    let verdict = decide(&rules, &question, &facts, now());
    assert_eq!(verdict.tier, Tier::Limited);
    assert_eq!(
        verdict.valid_until,
        now().plus(20),
        "it is asked again then"
    );
    let verdict = decide(&rules, &question, &facts, verdict.valid_until);
    assert_eq!(verdict.tier, Tier::Full);
}

/// Requirement P8, the pure part: the right identity at the wrong place is turned away.
#[test]
fn p8_only_the_right_identity_within_its_boundary_is_let_in() {
    let (mut rules, question, facts) = good();
    let ask = |question: &Question, rules: &DecisionRules| {
        let verdict = decide(rules, question, &facts, now());
        (verdict.access, verdict.grounds.first().copied())
    };
    let at_site = |site: &str| Question {
        site: Some(title(site)),
        ..question.clone()
    };
    let good = (Access::Allow, Some(Ground::CertificateGood));
    assert_eq!(ask(&at_site("Hall 3"), &rules), good);
    assert_eq!(ask(&at_site("Plant"), &rules), good);
    let elsewhere = (Access::Deny, Some(Ground::OtherSite));
    assert_eq!(ask(&at_site("Hall 4"), &rules), elsewhere);
    let historian = Question {
        service: Some(title("historian")),
        ..question.clone()
    };
    let other = (Access::Deny, Some(Ground::OtherService));
    assert_eq!(ask(&historian, &rules), other);
    let mut foreign = facts.clone();
    certificate(&mut foreign).meant = Meant::Elsewhere;
    let verdict = decide(&rules, &question, &foreign, now());
    assert_eq!(verdict.access, Access::Deny);
    assert_eq!(verdict.grounds.first(), Some(&Ground::OtherIssuer));
    let nowhere = Question::default();
    let none = (Access::Deny, Some(Ground::NoService));
    assert_eq!(ask(&nowhere, &rules), none);

    let boundary = Boundary {
        name: "plant".parse().unwrap(),
        services: vec![title("telemetry")],
        classes: Vec::new(),
        criticality: Vec::new(),
        sites: vec![title("Plant")],
        owners: vec![title("Hydraulics")],
        networks: Vec::new(),
        tier: Tier::Limited,
    };
    rules.boundaries = vec![boundary.clone()];
    assert_eq!(ask(&question, &rules), good, "Hall 3 is in the plant");
    let outside = (Access::Deny, Some(Ground::OutsideBoundary));
    rules.boundaries[0].sites = vec![title("Hall 4")];
    assert_eq!(ask(&question, &rules), outside);
    rules.boundaries = vec![Boundary {
        owners: vec![title("Electrics")],
        ..boundary.clone()
    }];
    assert_eq!(ask(&question, &rules), outside);
    rules.boundaries[0].services = vec![title("historian")];
    assert_eq!(ask(&question, &rules), good, "it speaks of another service");
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
fn a_network_holds_what_begins_like_it() {
    let holds = |network: &str, address: &str| {
        let network: Network = network.parse().unwrap();
        network.holds(address.parse::<IpAddr>().unwrap())
    };
    assert!(holds("10.3.0.0/16", "10.3.255.1"));
    assert!(holds("10.3.0.0/16", "::ffff:10.3.255.1"));
    assert!(!holds("10.3.0.0/16", "10.4.0.1"));
    assert!(holds("0.0.0.0/0", "203.0.113.9"));
    assert!(!holds("0.0.0.0/0", "fd00::1"));
    assert!(holds("fd00::/8", "fdff::1"));
    assert!(!holds("fd00::/8", "fe80::1"));
    assert!(holds("::/0", "fe80::1"));
    assert!(holds("10.3.0.7/32", "10.3.0.7"));
    for bad in [
        "",
        "10.3.0.0",
        "10.3.0.0/33",
        "10.3.0.1/16",
        "x/8",
        "::/129",
    ] {
        assert!(bad.parse::<Network>().is_err(), "{bad:?} was taken");
    }
}

fn kept() -> impl Strategy<Value = Kept> {
    prop_oneof![
        Just(Kept::Current),
        Just(Kept::NotYet),
        (NOW - 5_000..NOW + 5_000).prop_map(|seconds| Kept::Until { at: at(seconds) }),
    ]
}

fn any_case() -> impl Strategy<Value = (DecisionRules, Question, DecisionFacts)> {
    let states = (
        prop::sample::select(Status::ALL),
        prop::sample::select(Standing::ALL),
        prop::sample::select(Criticality::ALL),
        kept(),
        prop::sample::select(Clock::ALL),
        NOW - 5_000..NOW + 5_000,
        prop::option::of(0..NOW),
        prop::sample::select(vec!["telemetry", "historian"]),
        prop::sample::select(vec![Tier::Limited, Tier::Full]),
        prop::sample::select(Place::ALL),
    );
    states.prop_map(
        |(status, standing, criticality, kept, clock, end, used, service, tier, place)| {
            let (mut rules, mut question, mut facts) = good();
            certificate(&mut facts).status = status;
            certificate(&mut facts).not_after = at(end);
            certificate(&mut facts).first_used = used.map(at);
            certificate(&mut facts).place = place;
            device(&mut facts).standing = standing;
            device(&mut facts).criticality = criticality;
            facts.withdrawals = kept;
            facts.clock = clock;
            question.service = Some(title(service));
            rules.fail_operational.push(safety());
            rules.boundaries.push(Boundary {
                name: "tier".parse().unwrap(),
                services: Vec::new(),
                classes: Vec::new(),
                criticality: vec![Criticality::High],
                sites: Vec::new(),
                owners: Vec::new(),
                networks: Vec::new(),
                tier,
            });
            (rules, question, facts)
        },
    )
}

/// How much a verdict lets through; more trust is more.
fn height(verdict: &Verdict) -> (Access, Tier, Trust) {
    (verdict.access, verdict.tier, verdict.trust)
}

proptest! {
    /// Requirement P2: whatever else holds, older or missing input never raises a verdict.
    #[test]
    fn p2_stale_input_never_raises_a_verdict((rules, question, facts) in any_case()) {
        let verdict = decide(&rules, &question, &facts, now());
        let withdrawals = Kept::Until { at: at(NOW - 9_000) };
        let mut worse = vec![DecisionFacts { withdrawals, ..facts.clone() }];
        // What is not known yet may be newer than what is known to be old.
        if !matches!(facts.withdrawals, Kept::Until { at } if at < now()) {
            worse.push(DecisionFacts { withdrawals: Kept::NotYet, ..facts.clone() });
        }
        worse.push(DecisionFacts { clock: Clock::Behind, ..facts.clone() });
        let mut unseen = facts.clone();
        certificate(&mut unseen).first_used = None;
        worse.push(unseen);
        let mut over = facts.clone();
        certificate(&mut over).not_after = at(NOW - 9_000);
        worse.push(over);
        for facts in worse {
            let lower = decide(&rules, &question, &facts, now());
            prop_assert!(lower.tier <= verdict.tier, "{:?} {:?}", verdict, lower);
            prop_assert!(
                verdict.access == Access::Allow || lower.access == Access::Deny,
                "{:?} {:?}", verdict, lower
            );
            prop_assert!(
                verdict.trust == Trust::Trusted || lower.trust != Trust::Trusted,
                "{:?} {:?}", height(&verdict), height(&lower)
            );
        }
    }

    /// Nobody is let in without a reason that can be named, and no verdict outlives what the policy
    /// says.
    #[test]
    fn every_verdict_has_a_reason_and_an_end((rules, question, facts) in any_case()) {
        let verdict = decide(&rules, &question, &facts, now());
        prop_assert!(!verdict.grounds.is_empty());
        prop_assert!(verdict.valid_until > now());
        prop_assert!(verdict.valid_until <= now().plus(rules.valid_for_s));
        if verdict.access == Access::Allow {
            let first = verdict.grounds.first().copied();
            prop_assert!(
                matches!(first, Some(Ground::CertificateGood | Ground::FailOperational)),
                "{:?}", verdict
            );
        }
    }
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
    ] {
        assert!(bad.parse::<VerdictId>().is_err(), "{bad:?} was taken");
    }
}
