//! Decisions on a whole house: what is read, what is kept for how long, what is recorded, and that
//! every verdict can be made again.

mod house;

use house::{House, issued, pair};
use tenure_domain::canary::{Canary, ProbeScope};
use tenure_domain::change::{Change, Edit};
use tenure_domain::decision::{Access, Alarm, Ground, Tier, Trust};
use tenure_domain::device::Criticality;
use tenure_domain::finding::{FindingKind, FindingState, Matter, NewFinding, Subject};
use tenure_domain::policy::document::DEFAULT_DOCUMENT;
use tenure_domain::{Refusal, Standing};
use tenure_engine::store::certificate::Certificate;
use tenure_engine::store::{device, event, finding};
use tenure_engine::{Agreement, DecideAsk, Decided, Identity, Observation, Rejection};
use tenure_x509::Cert;

fn ask(identity: Identity) -> DecideAsk {
    DecideAsk {
        identity,
        question: tenure_domain::decision::Question {
            service: Some("broker".parse().unwrap()),
            ..Default::default()
        },
    }
}

fn shown(certificate: &Certificate) -> DecideAsk {
    ask(Identity::Certificate(certificate.cert.clone()))
}

fn verdict(house: &House, ask: &DecideAsk) -> Decided {
    house.engine.decide(ask).unwrap()
}

fn first(decided: &Decided) -> Ground {
    decided.verdict.grounds[0]
}

async fn ready() -> House {
    let house = House::found().await;
    house.engine.publish().await.unwrap();
    house
}

async fn stand(house: &House, id: &str, to: Standing) {
    let change = Change::SetStanding {
        device: id.parse().unwrap(),
        to,
        why: "a test".to_owned(),
    };
    house.change(change).await.unwrap();
}

async fn observe(house: &House, certificate: &Certificate) {
    let seen = Observation::InUse {
        actor: house.admin.clone(),
        issuer: None,
        serial: certificate.row.serial.clone(),
        service: "broker".parse().unwrap(),
        at: house.clock.now(),
    };
    house.engine.observe(seen).await.unwrap();
}

/// Requirement P7: from nothing to limited to full, and back by itself.
#[tokio::test]
async fn p7_a_device_rises_by_what_it_shows_and_falls_by_itself() {
    let house = ready().await;
    house.device("pump-1").await;
    let named = DecideAsk {
        question: tenure_domain::decision::Question {
            device: Some("pump-1".parse().unwrap()),
            ..ask(Identity::Named).question
        },
        identity: Identity::Named,
    };
    let decided = verdict(&house, &named);
    assert_eq!(first(&decided), Ground::NoCertificate);
    assert_eq!(decided.verdict.tier, Tier::Quarantine);

    let secret = house.secret("pump-1").await;
    let certificate = issued(house.enroll("pump-1", &secret, &pair()).await);
    let decided = verdict(&house, &named);
    assert_eq!(decided.verdict.tier, Tier::Limited, "{decided:?}");
    assert!(decided.verdict.grounds.contains(&Ground::NotSeenInUse));
    let unseen = decided.unseen.unwrap();
    assert_eq!(unseen.1, certificate.row.serial);

    observe(&house, &certificate).await;
    let decided = verdict(&house, &shown(&certificate));
    assert_eq!(decided.verdict.tier, Tier::Full, "{decided:?}");
    assert_eq!(decided.verdict.access, Access::Allow);

    let matter = Matter {
        kind: FindingKind::RenewalOverdue,
        subject: Subject::device(&"pump-1".parse().unwrap()),
        cause: "a test".to_owned(),
    };
    let found = NewFinding {
        matter: matter.clone(),
        summary: "it should have been renewed".to_owned(),
        evidence: Vec::new(),
        owner: None,
        criticality: Criticality::Low,
    };
    house.engine.raise_finding("watch", found).await.unwrap();
    let decided = verdict(&house, &shown(&certificate));
    assert_eq!(decided.verdict.tier, Tier::Limited, "it falls by itself");
    assert!(decided.verdict.grounds.contains(&Ground::FindingOpen));
    let clear = house.engine.clear_finding("watch", matter, "a test");
    clear.await.unwrap();
    let decided = verdict(&house, &shown(&certificate));
    assert_eq!(decided.verdict.tier, Tier::Full, "and rises again");

    stand(&house, "pump-1", Standing::Suspended).await;
    let decided = verdict(&house, &shown(&certificate));
    assert_eq!(decided.verdict.tier, Tier::Quarantine);
    assert_eq!(decided.verdict.trust, Trust::Untrusted);
    stand(&house, "pump-1", Standing::Enrolled).await;
    assert_eq!(
        verdict(&house, &shown(&certificate)).verdict.tier,
        Tier::Full
    );
    stand(&house, "pump-1", Standing::Retired).await;
    let decided = verdict(&house, &shown(&certificate));
    assert_eq!(first(&decided), Ground::CertificateRevoked);
}

/// Requirement P1: a verdict at hand is used until it ends by its own words, and not beyond the next
/// withdrawal.
#[tokio::test]
async fn p1_a_kept_verdict_ends_when_it_says_and_dies_with_a_withdrawal() {
    let house = ready().await;
    let certificate = house.enrolled("pump-1").await;
    observe(&house, &certificate).await;
    let ask = shown(&certificate);
    let decided = verdict(&house, &ask);
    assert_eq!(decided.verdict.access, Access::Allow);

    // What the engine is not told of does not reach a verdict at hand, until it ends.
    house.pass(59);
    let same = verdict(&house, &ask);
    assert_eq!(same.verdict, decided.verdict);
    assert_eq!(same.id, decided.id);
    house.pass(1);
    let next = verdict(&house, &ask);
    assert_eq!(next.verdict.decided, decided.verdict.valid_until);
    assert_eq!(next.id.facts, decided.id.facts, "nothing has changed");

    stand(&house, "pump-1", Standing::Suspended).await;
    let after = verdict(&house, &ask);
    assert_eq!(after.verdict.access, Access::Deny);
    assert_eq!(after.verdict.decided, next.verdict.decided, "at once");

    // Another certificate of another device is not drawn in.
    let other = house.enrolled("pump-2").await;
    assert_eq!(
        verdict(&house, &shown(&other)).verdict.access,
        Access::Allow
    );
}

/// Requirement P1: a verdict at hand may be wrong, but for no longer than it says. A renewal drops
/// none, so what it changes is seen when the verdict ends, and not a second later.
#[tokio::test]
async fn p1_a_kept_verdict_is_wrong_for_no_longer_than_it_says() {
    let house = ready().await;
    house.device("pump-1").await;
    let secret = house.secret("pump-1").await;
    let key = pair();
    let first = issued(house.enroll("pump-1", &secret, &key).await);
    observe(&house, &first).await;
    let said = verdict(&house, &shown(&first));
    assert_eq!(said.verdict.tier, Tier::Full);
    issued(house.renew(&first.cert, &pair()).await);
    while house.clock.now() < said.verdict.valid_until {
        assert_eq!(verdict(&house, &shown(&first)).verdict, said.verdict);
        house.pass(1);
    }
    // The minute has passed within the milliseconds for which a snapshot is used again.
    house.engine.store().outdate();
    let now = verdict(&house, &shown(&first));
    assert_eq!(now.verdict.tier, Tier::Limited);
    assert!(
        now.verdict.grounds.contains(&Ground::CertificateReplaced),
        "{now:?}"
    );
}

/// A certificate that was never issued, or is not what was issued, or is shown for another device.
#[tokio::test]
async fn p2_who_is_not_known_is_unknown_and_who_pretends_is_untrusted() {
    let house = ready().await;
    let certificate = house.enrolled("pump-1").await;
    let serial = |serial: &str, fingerprint| {
        ask(Identity::Serial {
            issuer: None,
            serial: tenure_x509::Serial::parse_hex(serial).unwrap(),
            fingerprint,
        })
    };
    let mine = certificate.row.serial.to_string();
    let known = certificate.cert.fingerprint();
    let good = verdict(&house, &serial(&mine, Some(known)));
    assert_eq!(good.verdict.access, Access::Allow);
    assert_eq!(
        first(&verdict(&house, &serial(&mine, Some([7; 32])))),
        Ground::NotOurs
    );

    let stranger = verdict(&house, &serial("0badc0de", None));
    assert_eq!(stranger.verdict.trust, Trust::Unknown);
    assert_eq!(first(&stranger), Ground::UnknownCertificate);
    let again = house.engine.replay(&stranger.id).unwrap();
    assert_eq!(again.agreement, Agreement::Same);

    assert_eq!(
        first(&verdict(&house, &ask(Identity::Named))),
        Ground::NoIdentity
    );

    let mut borrowed = shown(&certificate);
    borrowed.question.device = Some("pump-2".parse().unwrap());
    let borrowed = verdict(&house, &borrowed);
    assert_eq!(first(&borrowed), Ground::OtherDevice);
    assert_eq!(borrowed.verdict.trust, Trust::Untrusted);
}

/// Every canary that a relying party must refuse is refused, each for its own reason, and the valid one
/// is let in, though it is bound to no service.
#[tokio::test]
async fn p8_each_canary_is_judged_by_what_is_the_matter_with_it() {
    let house = ready().await;
    let issuer = "issuing-1".parse().unwrap();
    let canaries = house
        .engine
        .make_canaries(&issuer, ProbeScope::Matrix)
        .await
        .unwrap();
    assert_eq!(canaries.len(), 7);
    for canary in &canaries {
        let cert = Cert::from_der(&canary.chain[0]).unwrap();
        let decided = verdict(&house, &ask(Identity::Certificate(cert)));
        let (access, ground) = match canary.canary {
            Canary::Valid => (Access::Allow, Ground::CertificateGood),
            Canary::Revoked => (Access::Deny, Ground::CertificateRevoked),
            Canary::Expired => (Access::Deny, Ground::CertificateExpired),
            Canary::NotYetValid => (Access::Deny, Ground::NotYetValid),
            Canary::WrongUsage => (Access::Deny, Ground::WrongUsage),
            Canary::OtherDomain | Canary::ConstraintBreaker => {
                (Access::Deny, Ground::UnknownIssuer)
            }
            Canary::LookAlike => (Access::Deny, Ground::NotOurs),
            other => panic!("a house with one issuer makes no {other}"),
        };
        assert_eq!(
            (decided.verdict.access, first(&decided)),
            (access, ground),
            "{canary:?}"
        );
    }
    house.engine.revoke_canary(&canaries[0]).await.unwrap();
    let cert = Cert::from_der(&canaries[0].chain[0]).unwrap();
    let decided = verdict(&house, &ask(Identity::Certificate(cert)));
    assert_eq!(first(&decided), Ground::CertificateRevoked);
}

/// Requirement P1: each state of the facts is on record once, and every verdict can be made again,
/// also after the device has changed.
#[tokio::test]
async fn p1_every_verdict_can_be_made_again() {
    let house = ready().await;
    let certificate = house.enrolled("pump-1").await;
    let ask = shown(&certificate);
    let mut said = vec![verdict(&house, &ask)];
    house.pass(100);
    said.push(verdict(&house, &ask));
    observe(&house, &certificate).await;
    said.push(verdict(&house, &ask));
    stand(&house, "pump-1", Standing::Suspended).await;
    house.pass(100);
    said.push(verdict(&house, &ask));
    assert_eq!(house.engine.record_verdicts().await.unwrap(), 3);
    assert_eq!(house.engine.record_verdicts().await.unwrap(), 0);
    // Asked again after a start, it is found to be on record.
    verdict(&house, &ask);
    assert_eq!(house.engine.record_verdicts().await.unwrap(), 0);

    let text = format!("{DEFAULT_DOCUMENT}\n[[boundary]]\nname = \"x\"\nowners = [\"Nobody\"]\n");
    let apply = Change::ApplyPolicy { document: text };
    house.change(apply).await.unwrap();
    stand(&house, "pump-1", Standing::Enrolled).await;
    for then in &said {
        let again = house.engine.replay(&then.id).unwrap();
        assert_eq!(again.agreement, Agreement::Same, "{again:?}");
        assert_eq!(again.verdict, then.verdict);
    }
    assert_eq!(first(&verdict(&house, &ask)), Ground::OutsideBoundary);

    let unknown = "00000000000000000000000000000000-0".parse().unwrap();
    match house.engine.replay(&unknown) {
        Err(Rejection::Refusal(Refusal::NotFound { .. })) => {}
        other => panic!("{other:?}"),
    }
    let pump = house
        .engine
        .store()
        .glance(|tx| device::by_id(tx, house.engine.tenant(), &"pump-1".parse().unwrap()))
        .unwrap()
        .unwrap();
    let events = house
        .engine
        .store()
        .glance(|tx| event::of_device(tx, pump.no, None, 100))
        .unwrap();
    let decided = events.iter().filter(|e| e.kind == "access-decided").count();
    assert_eq!(decided, 3, "the last one waits");
}

/// A relying party may be shown any number of certificates that somebody made up in our name.
#[tokio::test]
async fn forged_certificates_open_so_many_incidents_and_each_is_counted() {
    let house = ready().await;
    let certificate = house.look_alike().await;
    let mut forged = ask(Identity::Certificate(certificate.clone()));
    forged.question.party = Some("broker-3".parse().unwrap());
    house.fill_with_look_alikes().await;
    let before = house.look_alikes();
    assert_eq!(first(&verdict(&house, &forged)), Ground::NotOurs);
    assert_eq!(house.engine.record_verdicts().await.unwrap(), 0);
    assert_eq!(house.look_alikes(), before);
    let denied = house.engine.record_denials(tenure_x509::Time::NEVER);
    denied.await.unwrap();
    let [counted] = <[_; 1]>::try_from(house.leaves("access-denied")).unwrap();
    for part in [r#""party":"broker-3""#, r#""reason":"not-ours""#] {
        assert!(counted.contains(part), "{counted}");
    }

    house.decide(before[0].no).await;
    for new in [1, 0] {
        house.pass(100);
        verdict(&house, &forged);
        assert_eq!(house.engine.record_verdicts().await.unwrap(), new);
    }
    let newest = house.look_alikes().swap_remove(0);
    assert_eq!(newest.serials, [certificate.serial().to_string()]);
}

/// Denials are counted by the minute, whoever they are about.
#[tokio::test]
async fn denials_become_one_event_a_minute() {
    let house = ready().await;
    let certificate = house.enrolled("pump-1").await;
    stand(&house, "pump-1", Standing::Suspended).await;
    for _ in 0..5 {
        verdict(&house, &shown(&certificate));
        verdict(&house, &ask(Identity::Named));
    }
    let count = |house: &House| {
        let all = house
            .engine
            .store()
            .glance(|tx| event::after(tx, tenure_domain::EventSeq(0), 1_000))
            .unwrap();
        let denied = all
            .into_iter()
            .filter(|event| event.kind == "access-denied");
        denied
            .map(|event| String::from_utf8(event.leaf).unwrap())
            .collect::<Vec<_>>()
    };
    house
        .engine
        .record_denials(house.clock.now())
        .await
        .unwrap();
    assert_eq!(count(&house).len(), 0, "the minute is not over");
    house.pass(60);
    house
        .engine
        .record_denials(house.clock.now())
        .await
        .unwrap();
    let leaves = count(&house);
    assert_eq!(leaves.len(), 2, "{leaves:?}");
    assert!(leaves.iter().all(|leaf| leaf.contains("\"count\":5")));
}

/// Requirement P6: a safety device goes on past the end of its certificate, with a finding, for as long
/// as the policy says; and past the time for which withdrawals are known.
#[tokio::test]
async fn p6_a_safety_device_goes_on_with_an_alarm_and_for_a_time() {
    let house = ready().await;
    let plain = house.enrolled("pump-1").await;
    house.device("interlock-1").await;
    let edit = tenure_domain::device::DeviceSpec {
        id: "interlock-1".parse().unwrap(),
        manufacturer: "Acme".into(),
        model: "P1".into(),
        serial: "SN-interlock-1".into(),
        class: "pump".parse().unwrap(),
        site: "Hall 3".parse().unwrap(),
        owner: "Hydraulics".parse().unwrap(),
        services: vec!["broker".parse().unwrap()],
        criticality: tenure_domain::device::Criticality::Medium,
    };
    let secret = house.secret("interlock-1").await;
    let safety = issued(house.enroll("interlock-1", &secret, &pair()).await);
    let edit = Edit {
        to: tenure_domain::device::DeviceSpec {
            criticality: tenure_domain::device::Criticality::Safety,
            ..edit.clone()
        },
        from: Some(edit),
    };
    let change = Change::EditDevice(Box::new(edit));
    house.change(change).await.unwrap();
    let decided = verdict(&house, &shown(&safety));
    assert_eq!(decided.verdict.access, Access::Allow);
    let alone = decided.verdict.unreachable_until.unwrap();
    assert_eq!(alone, decided.verdict.valid_until.plus(72 * 3_600));

    // Nothing published for two days: whoever was revoked meanwhile might pass.
    house.pass(2 * 86_400);
    let decided = verdict(&house, &shown(&plain));
    assert_eq!(first(&decided), Ground::StateStale);
    assert_eq!(decided.verdict.access, Access::Deny);
    let decided = verdict(&house, &shown(&safety));
    assert_eq!(decided.verdict.access, Access::Allow);
    assert_eq!(decided.verdict.alarm, Alarm::Raised);
    assert_eq!(decided.verdict.trust, Trust::Unknown);
    house.engine.record_verdicts().await.unwrap();
    assert_eq!(open(&house), ["interlock-1"]);
    house.engine.publish().await.unwrap();
    let decided = verdict(&house, &shown(&safety));
    assert_eq!(decided.verdict.trust, Trust::Trusted, "{decided:?}");
    house.engine.record_verdicts().await.unwrap();
    assert_eq!(open(&house), [""; 0]);

    // An hour past the end of both certificates, with lists that are made all the time.
    house.pass(90 * 86_400);
    house.engine.publish().await.unwrap();
    let decided = verdict(&house, &shown(&plain));
    assert_eq!(first(&decided), Ground::CertificateExpired);
    assert_eq!(decided.verdict.access, Access::Deny);
    let decided = verdict(&house, &shown(&safety));
    assert_eq!(first(&decided), Ground::FailOperational, "{decided:?}");
    assert_eq!(decided.verdict.access, Access::Allow);
    // Nothing makes up for what is known to be bad.
    stand(&house, "interlock-1", Standing::Quarantined).await;
    let decided = verdict(&house, &shown(&safety));
    assert_eq!(decided.verdict.access, Access::Deny);
    stand(&house, "interlock-1", Standing::Enrolled).await;
    house.pass(3 * 86_400);
    house.engine.publish().await.unwrap();
    let decided = verdict(&house, &shown(&safety));
    assert_eq!(decided.verdict.access, Access::Deny, "the time is over");
}

fn open(house: &House) -> Vec<String> {
    let state = Some(FindingState::Open);
    let found = house
        .engine
        .store()
        .glance(|tx| finding::list(tx, house.engine.tenant(), state, None, 100))
        .unwrap();
    let alarms = found
        .into_iter()
        .filter(|found| found.matter.kind == FindingKind::FailOperational);
    alarms.map(|found| found.matter.subject.name).collect()
}

/// Whoever knows nothing but a certificate's fingerprint finds it, also if it was issued a moment ago.
/// Issuing writes nothing for that: the index is made when it is first asked for.
#[tokio::test]
async fn a_certificate_is_found_by_its_fingerprint_alone() {
    let house = ready().await;
    let before = house.enrolled("pump-1").await;
    let by = |fingerprint| ask(Identity::Fingerprint(fingerprint));
    let early = house.engine.decide(&by(before.cert.fingerprint()));
    let Err(Rejection::Refusal(early)) = early else {
        panic!("{early:?}")
    };
    assert!(matches!(early, Refusal::TooSoon { .. }), "{early}");
    house.engine.index_fingerprints().await.unwrap();
    let after = house.enrolled("pump-2").await;
    for (certificate, id) in [(&before, "pump-1"), (&after, "pump-2")] {
        let decided = verdict(&house, &by(certificate.cert.fingerprint()));
        assert_eq!(decided.verdict.access, Access::Allow, "{decided:?}");
        assert_eq!(decided.device.unwrap().as_str(), id);
    }
    let decided = verdict(&house, &by([9; 32]));
    assert_eq!(first(&decided), Ground::UnknownCertificate);
    assert_eq!(decided.verdict.trust, Trust::Unknown);
    let mut near = after.cert.fingerprint();
    near[31] ^= 1;
    assert_eq!(
        first(&verdict(&house, &by(near))),
        Ground::UnknownCertificate
    );

    stand(&house, "pump-2", Standing::Retired).await;
    let decided = verdict(&house, &by(after.cert.fingerprint()));
    assert_eq!(first(&decided), Ground::CertificateRevoked);
}
