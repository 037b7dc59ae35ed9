//! Enrollment and renewal, told end to end against a real store and real keys.

mod house;

use house::{House, issued, pair, refusal};
use tenure_domain::change::{Change, Edit};
use tenure_domain::device::DeviceSpec;
use tenure_domain::operator::Actor;
use tenure_domain::policy::DEFAULT_DOCUMENT;
use tenure_domain::registry::{Class, ReplacedRule};
use tenure_domain::{AskNo, Refusal, Standing, Status};
use tenure_engine::store::{certificate, device, incident};
use tenure_engine::{Answer, Observation, Observed};
use tenure_x509::path::{self, Purpose};

#[tokio::test]
async fn a_device_with_its_secret_gets_a_certificate_that_verifies() {
    let house = House::found().await;
    let made = house.enrolled("pump-17").await;
    let issuers = house.engine.snapshot();
    let issuing = issuers.issuers.last().unwrap();
    assert_eq!(made.cert.issuer(), issuing.subject());
    assert_eq!(made.row.status, Status::Issued);
    assert_eq!(made.row.device_id.as_str(), "pump-17");
    assert_eq!(
        made.cert.subject().common_name().as_deref(),
        Some("pump-17")
    );
    let between = [issuing.certificate.clone()];
    let anchors = [house.root.clone()];
    path::validate(
        &made.cert,
        &between,
        &anchors,
        house.clock.now(),
        Purpose::ClientAuth,
    )
    .unwrap();
    let crl = format!("http://127.0.0.1:8080/crl/issuing-1/{}.crl", made.row.shard);
    assert_eq!(made.cert.crl_urls(), [crl]);
}

#[tokio::test]
async fn asking_twice_is_one_issuance_and_another_key_is_refused() {
    let house = House::found().await;
    house.device("pump-17").await;
    let secret = house.secret("pump-17").await;
    let key = pair();
    let first = issued(house.enroll("pump-17", &secret, &key).await);
    let again = issued(house.enroll("pump-17", &secret, &key).await);
    assert_eq!(first.cert.der(), again.cert.der());
    let other = refusal(house.enroll("pump-17", &secret, &pair()).await);
    assert_eq!(other, Refusal::BadCredential);
    house.pass(25 * 3600);
    let late = refusal(house.enroll("pump-17", &secret, &key).await);
    assert_eq!(late, Refusal::BadCredential);
}

#[tokio::test]
async fn five_wrong_secrets_lock_the_device_for_a_while() {
    let house = House::found().await;
    house.device("pump-17").await;
    let secret = house.secret("pump-17").await;
    for _ in 0..5 {
        let wrong = refusal(house.enroll("pump-17", "wrong", &pair()).await);
        assert_eq!(wrong, Refusal::BadCredential);
    }
    let locked = refusal(house.enroll("pump-17", &secret, &pair()).await);
    assert!(
        matches!(
            locked,
            Refusal::Locked {
                retry_after_s: 1..=900
            }
        ),
        "{locked:?}"
    );
    house.pass(16 * 60);
    issued(house.enroll("pump-17", &secret, &pair()).await);
}

/// F6, as the store keeps it. Leaves out: forks, which `withdraw.rs` has, and an export to be verified.
#[tokio::test]
async fn f6_a_renewal_extends_the_chain_and_replaces_its_predecessor() {
    let house = House::found().await;
    let first = house.enrolled("pump-17").await;
    let second = issued(house.renew(&first.cert, &pair()).await);
    assert_eq!(second.row.predecessor, Some(first.row.no));
    let before = house
        .engine
        .store()
        .glance(|tx| certificate::row(tx, first.row.no))
        .unwrap();
    assert_eq!(before.unwrap().status, Status::Replaced);
}

#[tokio::test]
async fn a_device_that_renews_at_once_after_each_answer_is_never_put_off() {
    let house = House::found().await;
    let mut head = house.enrolled("pump-17").await;
    for _ in 0..20 {
        head = issued(house.renew(&head.cert, &pair()).await);
    }
}

#[tokio::test]
async fn a_lost_answer_is_given_again_and_a_lost_key_is_forgiven_once() {
    let house = House::found().await;
    let first = house.enrolled("pump-17").await;
    let key = pair();
    let second = issued(house.renew(&first.cert, &key).await);
    let again = issued(house.renew(&first.cert, &key).await);
    assert_eq!(second.cert.der(), again.cert.der());
    let displaced = issued(house.renew(&first.cert, &pair()).await);
    assert_ne!(displaced.cert.der(), second.cert.der());
    let fork = refusal(house.renew(&first.cert, &pair()).await);
    assert_eq!(fork, Refusal::Standing(Standing::Quarantined));
}

#[tokio::test]
async fn a_clone_that_renews_after_its_victim_freezes_both_branches() {
    let house = House::found().await;
    let first = house.enrolled("pump-17").await;
    let second = issued(house.renew(&first.cert, &pair()).await);
    let seen = Observation::InUse {
        actor: house.admin.clone(),
        issuer: None,
        serial: second.row.serial.clone(),
        service: "broker".parse().unwrap(),
        at: house.clock.now(),
    };
    assert_eq!(
        house.engine.observe(seen.clone()).await.unwrap(),
        Observed::First
    );
    assert_eq!(house.engine.observe(seen).await.unwrap(), Observed::Known);
    let fork = refusal(house.renew(&first.cert, &pair()).await);
    assert_eq!(fork, Refusal::Standing(Standing::Quarantined));
    for no in [first.row.no, second.row.no] {
        let row = house
            .engine
            .store()
            .glance(|tx| certificate::row(tx, no))
            .unwrap()
            .unwrap();
        assert_eq!(row.status, Status::Held);
    }
    let open = house
        .engine
        .store()
        .glance(|tx| incident::by_no(tx, tenure_domain::IncidentNo(1)));
    let open = open.unwrap().unwrap();
    assert_eq!(open.serials.len(), 2);
    let keep = Change::ResolveIncident {
        incident: open.no,
        keep: Some(second.row.serial.to_string()),
        why: "the thief was found".into(),
    };
    house.change(keep).await.unwrap();
    let kept = house
        .engine
        .store()
        .glance(|tx| certificate::row(tx, second.row.no))
        .unwrap();
    assert_eq!(kept.unwrap().status, Status::Issued);
    let gone = house
        .engine
        .store()
        .glance(|tx| certificate::row(tx, first.row.no))
        .unwrap();
    assert_eq!(gone.unwrap().status, Status::Revoked);
    issued(house.renew(&second.cert, &pair()).await);
}

/// H4, for one certificate. Leaves out: several, lists and doors, which the story `retire` follows, and a
/// planned end of life.
#[tokio::test]
async fn h4_a_retired_device_keeps_nothing_and_has_no_way_back() {
    let house = House::found().await;
    let first = house.enrolled("pump-17").await;
    let secret = house.secret("pump-17").await;
    let retire = Change::SetStanding {
        device: "pump-17".parse().unwrap(),
        to: Standing::Retired,
        why: "scrapped".into(),
    };
    house.change(retire).await.unwrap();
    let row = house
        .engine
        .store()
        .glance(|tx| certificate::row(tx, first.row.no))
        .unwrap();
    assert_eq!(row.unwrap().status, Status::Revoked);
    let renew = refusal(house.renew(&first.cert, &pair()).await);
    assert_eq!(renew, Refusal::Standing(Standing::Retired));
    assert!(house.enroll("pump-17", &secret, &pair()).await.is_err());
    let new_secret = Change::NewSecret {
        device: "pump-17".parse().unwrap(),
        life_s: 3600,
    };
    assert!(house.change(new_secret).await.is_err());
}

#[tokio::test]
async fn d4_a_stranger_without_anything_is_refused_and_recorded_by_the_minute() {
    let house = House::found().await;
    let presented = tenure_domain::Presented::default();
    let ask = house::ask(tenure_domain::Operation::Enroll, &pair(), presented);
    let refused = refusal(house.engine.enroll(ask).await);
    assert_eq!(refused, Refusal::NotAuthenticated);
    house
        .engine
        .record_strangers(tenure_x509::Time::NEVER)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_forged_certificate_presented_twice_is_one_incident_and_counted_besides() {
    let house = House::found().await;
    let forged = house.look_alike().await;
    for _ in 0..3 {
        let refused = refusal(house.renew(&forged, &pair()).await);
        assert_eq!(refused, Refusal::BadCredential);
    }
    let [open] = <[_; 1]>::try_from(house.look_alikes()).unwrap();
    assert_eq!(open.serials, [forged.serial().to_string()]);
    let strangers = house.engine.record_strangers(tenure_x509::Time::NEVER);
    strangers.await.unwrap();
    let [counted] = <[_; 1]>::try_from(house.leaves("strangers-refused")).unwrap();
    for part in [r#""count":2"#, r#""reason":"not-ours""#] {
        assert!(counted.contains(part), "{counted}");
    }
}

#[tokio::test]
async fn strangers_open_so_many_incidents_and_the_rest_is_counted_by_the_minute() {
    let house = House::found().await;
    house.fill_with_look_alikes().await;
    let before = house.look_alikes();
    assert_eq!(before.len(), incident::NOT_OURS_MAX as usize);
    let findings = house.leaves("finding-opened").len();
    for _ in 0..3 {
        let forged = house.look_alike().await;
        let refused = refusal(house.renew(&forged, &pair()).await);
        assert_eq!(refused, Refusal::BadCredential);
    }
    assert_eq!(house.look_alikes(), before);
    assert_eq!(house.leaves("finding-opened").len(), findings);
    let strangers = house.engine.record_strangers(tenure_x509::Time::NEVER);
    strangers.await.unwrap();
    let [counted] = <[_; 1]>::try_from(house.leaves("strangers-refused")).unwrap();
    for part in [r#""count":3"#, r#""reason":"not-ours""#] {
        assert!(counted.contains(part), "{counted}");
    }

    house.decide(before[0].no).await;
    let forged = house.look_alike().await;
    refusal(house.renew(&forged, &pair()).await);
    let newest = house.look_alikes().swap_remove(0);
    assert_eq!(newest.serials, [forged.serial().to_string()]);
}

#[tokio::test]
async fn a_device_that_may_not_change_anything_is_told_so() {
    let house = House::found().await;
    house.device("pump-17").await;
    let device = Actor::Device {
        device: "pump-17".parse().unwrap(),
    };
    let retire = Change::SetStanding {
        device: "pump-17".parse().unwrap(),
        to: Standing::Retired,
        why: "x".into(),
    };
    assert!(house.engine.change(&device, retire).await.is_err());
    let id = "pump-17".parse().unwrap();
    let found = house
        .engine
        .store()
        .glance(|tx| device::by_id(tx, house.engine.tenant(), &id));
    assert_eq!(found.unwrap().unwrap().standing, Standing::Expected);
}

#[tokio::test]
async fn nothing_is_signed_while_the_clock_is_far_behind_the_record() {
    let house = House::found().await;
    house.device("pump-17").await;
    let secret = house.secret("pump-17").await;
    house.pass(-3600);
    assert!(matches!(
        house.enroll("pump-17", &secret, &pair()).await,
        Err(tenure_engine::Rejection::Fault(_))
    ));
    house.pass(3600);
    let answer = house.enroll("pump-17", &secret, &pair()).await;
    assert!(matches!(answer, Ok(Answer::Issued(_))));
}

#[tokio::test]
async fn the_first_use_of_a_successor_revokes_an_operational_certificate_and_never_one_for_life() {
    let house = House::found().await;
    let open = DEFAULT_DOCUMENT
        .replace(
            "action = \"hold\"\nreason = \"an identity for life",
            "action = \"allow\"\nreason = \"an identity for life",
        )
        .replace(
            "label = \"idevid\"\nexpect = \"hold\"",
            "label = \"idevid\"\nexpect = \"allow\"",
        )
        // The only issuer of this house ends; so does this identity.
        .replace("life = \"never\"", "life = \"1y\"\nissuer = \"issuing-1\"");
    let apply = Change::ApplyPolicy { document: open };
    house.change(apply).await.unwrap();
    let from = Class::new("pump".parse().unwrap(), "device".parse().unwrap());
    let edit = Edit {
        to: Class {
            replaced: ReplacedRule::RevokeWhenConfirmed,
            ..from.clone()
        },
        from: Some(from),
    };
    house.change(Change::PutClass(edit)).await.unwrap();

    house.device("pump-17").await;
    let secret = house.secret("pump-17").await;
    let mut ask = house::first_ask("pump-17", &secret, &pair());
    ask.via.label = Some("idevid".parse().unwrap());
    let for_life = issued(house.engine.enroll(ask).await);
    assert_eq!(for_life.row.profile.as_str(), "idevid");
    let presented = tenure_domain::Presented {
        chain: vec![for_life.cert.clone()],
        ..tenure_domain::Presented::default()
    };
    let ask = house::ask(tenure_domain::Operation::Enroll, &pair(), presented);
    let first = issued(house.engine.enroll(ask).await);
    assert_eq!(first.row.predecessor, Some(for_life.row.no));
    let second = issued(house.renew(&first.cert, &pair()).await);
    let status = |no| {
        let row = house.engine.store().glance(|tx| certificate::row(tx, no));
        row.unwrap().unwrap().status
    };
    for (seen, after) in [
        (&first, [Status::Replaced, Status::Replaced]),
        (&second, [Status::Replaced, Status::Revoked]),
    ] {
        let seen = Observation::InUse {
            actor: house.admin.clone(),
            issuer: None,
            serial: seen.row.serial.clone(),
            service: "broker".parse().unwrap(),
            at: house.clock.now(),
        };
        let observed = house.engine.observe(seen).await.unwrap();
        assert_eq!(observed, Observed::First);
        assert_eq!([status(for_life.row.no), status(first.row.no)], after);
    }
}

/// An operator's yes is to what was asked: the same key under another label is another ask.
#[tokio::test]
async fn an_approval_is_for_the_profile_that_was_asked_for() {
    let house = House::found().await;
    house.device("pump-17").await;
    house.make_safety("pump-17").await;
    let (secret, key) = (house.secret("pump-17").await, pair());
    let under = |label: &str| {
        let mut ask = house::first_ask("pump-17", &secret, &key);
        ask.via.label = Some(label.parse().unwrap());
        house.engine.enroll(ask)
    };
    let waits = |answer| assert!(matches!(answer, Ok(Answer::Pending { .. })), "{answer:?}");
    waits(under("device").await);
    house.change(Change::ApproveAsk(AskNo(1))).await.unwrap();
    waits(under("device-server").await);
    let made = issued(under("device").await);
    assert_eq!(made.row.profile.as_str(), "device");
    // The secret is spent, and the answer to one ask answers no other.
    assert_eq!(
        refusal(under("device-server").await),
        Refusal::BadCredential
    );
    assert_eq!(issued(under("device").await).cert.der(), made.cert.der());
}

#[tokio::test]
async fn a_renewal_under_another_label_does_not_change_who_the_device_is() {
    let house = House::found().await;
    let first = house.enrolled("pump-17").await;
    let under = |label: &str| {
        let mut ask = house::renewal(&first.cert, &pair());
        ask.via.label = Some(label.parse().unwrap());
        house.engine.enroll(ask)
    };
    let refused = refusal(under("device-server").await);
    assert!(matches!(refused, Refusal::BadRequest { .. }), "{refused:?}");
    issued(under("device").await);
}

/// Ruling 2: the first key that comes with a secret binds it, whatever the answer.
#[tokio::test]
async fn a_secret_stays_with_the_key_it_first_came_with_though_that_was_refused() {
    let house = House::found().await;
    house.device("pump-17").await;
    let (secret, key) = (house.secret("pump-17").await, pair());
    let mut ask = house::first_ask("pump-17", &secret, &key);
    ask.via.label = Some("nothing".parse().unwrap());
    assert_eq!(
        refusal(house.engine.enroll(ask).await),
        Refusal::UnknownLabel
    );
    let other = house.enroll("pump-17", &secret, &pair()).await;
    assert_eq!(refusal(other), Refusal::BadCredential);
    issued(house.enroll("pump-17", &secret, &key).await);
    assert_eq!(
        house.leaves("ask-refused").len(),
        1,
        "one event, with its reason"
    );
    assert!(house.leaves("ask-refused")[0].contains("unknown-label"));
}

/// A7: no two devices bear one name, though their ids differ in what DNS does not tell apart.
#[tokio::test]
async fn a7_no_two_devices_bear_the_same_name() {
    let house = House::found().await;
    let under = async |id: &str, label: &str| {
        let secret = house.secret(id).await;
        let mut ask = house::first_ask(id, &secret, &pair());
        ask.via.label = Some(label.parse().unwrap());
        house.engine.enroll(ask).await
    };
    house.device("Pump-17").await;
    let first = issued(under("Pump-17", "device-server").await);
    house.device("pump-17").await;
    let refused = refusal(under("pump-17", "device-server").await);
    assert!(refused.to_string().contains("device Pump-17"), "{refused}");
    issued(under("pump-17", "device").await);
    issued(house.renew(&first.cert, &pair()).await);
    house.device("pump-18").await;
    issued(under("pump-18", "device-server").await);

    // By its serial number alone a device is no other maker's either.
    let by_serial = DEFAULT_DOCUMENT.replace(
        "san = [\"uri:https://device.internal/{device.id}\"]",
        "san = [\"uri:urn:dev:{device.serial}\"]",
    );
    let apply = Change::ApplyPolicy {
        document: by_serial,
    };
    house.change(apply).await.unwrap();
    let twin = DeviceSpec {
        id: "fan-1".parse().unwrap(),
        manufacturer: "Other".to_owned(),
        ..house.spec("pump-18")
    };
    house.change(Change::AddDevice(twin)).await.unwrap();
    let refused = refusal(under("fan-1", "device").await);
    assert!(refused.to_string().contains("device pump-18"), "{refused}");
}

/// Whoever serves does this before it binds a socket: an expired certificate would lock everyone out.
#[tokio::test]
async fn an_expired_certificate_of_the_server_is_renewed_by_itself() {
    let house = House::found().await;
    let shown = || {
        let identity = house.engine.server_identity().unwrap().unwrap();
        identity.chain[0].clone()
    };
    let first = shown();
    house.clock.move_to(first.validity().not_after.plus(3_600));
    assert!(!first.validity().contains(house.clock.now()));
    // The server's, and its responder's, which lives shorter.
    assert_eq!(house.engine.renew_system().await.unwrap(), 2);
    let second = shown();
    assert!(second.validity().contains(house.clock.now()));
    assert_ne!(second.serial(), first.serial());
    assert_eq!(second.san(), first.san());
    assert_eq!(house.engine.renew_system().await.unwrap(), 0);
}
