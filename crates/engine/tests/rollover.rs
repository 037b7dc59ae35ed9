//! The rollover of an issuing CA: each step is refused until what was observed allows it.

mod house;

use house::*;

use tenure_domain::canary::{Canary, ProbeScope, Reception, Round, Trial};
use tenure_domain::certificate::StatusChange;
use tenure_domain::change::{Change, Edit, IssuerMove};
use tenure_domain::device::Criticality;
use tenure_domain::issuer::{Issuer, IssuerState};
use tenure_domain::relying_party::{PeerProtocol, RelyingParty, RevocationCheck, SessionCheck};
use tenure_domain::rollover::{Step, Succession};
use tenure_domain::{Refusal, TenantId};
use tenure_engine::ceremony::{Cross, NewIssuerKeys, Purpose};
use tenure_engine::signer::Doors;
use tenure_engine::store::relying_party;
use tenure_engine::{Observation, Rejection};
use tenure_x509::path::{self, Purpose as Use};
use tenure_x509::{Cert, KeyKind, Reason};

const FLEET: TenantId = TenantId::DEFAULT;

fn new_keys(name: &str) -> NewIssuerKeys {
    NewIssuerKeys {
        issuer: key(name, Doors::ISSUER, KeyKind::P256),
        responder: Some(key(
            &format!("ocsp-{name}"),
            Doors::RESPONDER,
            KeyKind::P256,
        )),
    }
}

async fn begun() -> House {
    let house = House::found().await;
    let root = house.engine.key("root").unwrap();
    let follow = Purpose::Follow("issuing-1".parse().unwrap());
    house
        .engine
        .add_issuer(follow, new_keys("issuing-2"), &root)
        .await
        .unwrap();
    house
}

async fn step(house: &House, issuer: &str, step: Step, why: &str) -> Result<(), String> {
    forced(house, issuer, step, &[], why).await
}

async fn forced(
    house: &House,
    issuer: &str,
    step: Step,
    except: &[&str],
    why: &str,
) -> Result<(), String> {
    let wanted = IssuerMove {
        issuer: issuer.parse().unwrap(),
        step,
        except: except.iter().map(|name| name.parse().unwrap()).collect(),
        why: why.to_owned(),
        succession: Succession::Needed,
    };
    take(house, wanted).await
}

async fn take(house: &House, wanted: IssuerMove) -> Result<(), String> {
    match house.change(Change::MoveIssuer(Box::new(wanted))).await {
        Ok(_) => Ok(()),
        Err(Rejection::Refusal(
            Refusal::Conflict { what } | Refusal::BadRequest { what } | Refusal::NotFound { what },
        )) => Err(what),
        Err(other) => panic!("{other}"),
    }
}

fn state(house: &House, name: &str) -> IssuerState {
    let snapshot = house.engine.snapshot();
    let mut issuers = snapshot.issuers.iter();
    issuers.find(|i| i.name.as_str() == name).unwrap().state
}

async fn party(house: &House, name: &str, criticality: Criticality) {
    let party = RelyingParty {
        name: name.parse().unwrap(),
        address: "broker-3:8883".parse().unwrap(),
        protocol: PeerProtocol::Mqtt,
        server_name: None,
        anchors_pem: String::new(),
        issuers: Vec::new(),
        services: Vec::new(),
        criticality,
        owner: "Acme Plant".parse().unwrap(),
        site: "tenure".parse().unwrap(),
        checks: RevocationCheck::Crl,
        session: SessionCheck::Handshake,
        enforce_within_s: 5,
    };
    house
        .change(Change::PutRelyingParty(Box::new(Edit::new(party))))
        .await
        .unwrap();
}

/// What a prober would have seen.
async fn seen(house: &House, name: &str, canary: Canary, issuer: &str, reception: Reception) {
    let store = house.engine.store();
    let known = store.glance(|tx| relying_party::by_name(tx, FLEET, name));
    let round = Round {
        scope: ProbeScope::Matrix,
        trials: vec![Trial {
            canary,
            issuer: issuer.parse().unwrap(),
            reception,
            how: "so".to_owned(),
        }],
        enforced_ms: None,
    };
    let (known, now) = (known.unwrap().unwrap(), house.clock.now());
    house.engine.record_probe(&known, now, round).await.unwrap();
}

async fn issuer_of_next(house: &House, id: &str) -> String {
    house.enrolled(id).await.row.issuer_name.to_string()
}

/// The whole way of a rollover, and each gate on it.
#[tokio::test]
async fn e6_a_successor_signs_only_after_it_was_seen_to_be_trusted() {
    let house = begun().await;
    let held = house.enrolled("pump-1").await;
    assert_eq!(held.row.issuer_name.as_str(), "issuing-1");
    party(&house, "broker", Criticality::Safety).await;
    party(&house, "gate", Criticality::Low).await;
    assert_eq!(state(&house, "issuing-2"), IssuerState::Prepared);

    // It signs canaries and nothing else.
    let made = house
        .engine
        .make_canaries(&"issuing-2".parse().unwrap(), ProbeScope::Matrix)
        .await
        .unwrap();
    let [incoming] = &made[..] else {
        panic!("{made:?}")
    };
    assert_eq!(incoming.canary, Canary::Incoming);
    assert_eq!(issuer_of_next(&house, "pump-2").await, "issuing-1");

    let why = step(&house, "issuing-2", Step::Activate, "").await;
    assert!(why.unwrap_err().contains("only a distributed one"));
    step(&house, "issuing-2", Step::Distribute, "")
        .await
        .unwrap();
    let why = step(&house, "issuing-2", Step::Activate, "")
        .await
        .unwrap_err();
    assert!(why.contains("broker") && why.contains("gate"), "{why}");

    use Reception::{Accepted, Refused};
    seen(&house, "gate", Canary::Incoming, "issuing-2", Accepted).await;
    seen(&house, "broker", Canary::Incoming, "issuing-2", Refused).await;
    let why = step(&house, "issuing-2", Step::Activate, "in a hurry").await;
    assert!(why.unwrap_err().contains("0 of 1 critical"));
    // An exception needs a reason, and must be one.
    let why = forced(&house, "issuing-2", Step::Activate, &["broker"], " ").await;
    assert!(why.unwrap_err().contains("--why"));
    let why = forced(&house, "issuing-2", Step::Activate, &["nobody"], "x").await;
    assert!(why.unwrap_err().contains("nobody"));
    let past = forced(
        &house,
        "issuing-2",
        Step::Activate,
        &["broker"],
        "it is replaced on Monday",
    );
    past.await.unwrap();
    assert_eq!(issuer_of_next(&house, "pump-3").await, "issuing-2");

    // Back from active: the former one signs again.
    step(&house, "issuing-2", Step::Back, "the broker is needed")
        .await
        .unwrap();
    assert_eq!(issuer_of_next(&house, "pump-4").await, "issuing-1");
    seen(&house, "broker", Canary::Incoming, "issuing-2", Accepted).await;
    step(&house, "issuing-2", Step::Activate, "").await.unwrap();
    let renewed = issued(house.renew(&held.cert, &pair()).await);
    assert_eq!(renewed.row.issuer_name.as_str(), "issuing-2");

    // Both publish all the time.
    house.engine.publish().await.unwrap();
    let lags = house.engine.publication_lag().unwrap();
    assert!(lags.iter().all(|lag| lag.seconds == 0), "{lags:?}");
}

/// The former issuer goes only when nothing needs it any more and nobody trusts it.
#[tokio::test]
async fn i2_the_former_issuer_is_removed_when_nothing_needs_it_and_all_refuse_it() {
    let house = begun().await;
    let held = house.enrolled("pump-1").await;
    party(&house, "broker", Criticality::Safety).await;
    use Reception::{Accepted, Refused};
    step(&house, "issuing-2", Step::Distribute, "")
        .await
        .unwrap();
    let why = step(&house, "issuing-1", Step::Taint, "it is old").await;
    assert!(why.unwrap_err().contains("no active successor"));
    seen(&house, "broker", Canary::Incoming, "issuing-2", Accepted).await;
    step(&house, "issuing-2", Step::Activate, "").await.unwrap();
    let why = step(&house, "issuing-1", Step::Taint, "").await;
    assert!(why.unwrap_err().contains("--why"));
    step(&house, "issuing-1", Step::Taint, "it is old")
        .await
        .unwrap();
    let why = step(&house, "issuing-2", Step::Back, "too soon").await;
    assert!(why.unwrap_err().contains("issuing-1 is tainted"));

    let why = step(&house, "issuing-1", Step::Remove, "")
        .await
        .unwrap_err();
    assert!(why.contains("pump-1"), "{why}");
    let service = "broker".parse().unwrap();
    let seen_in_use = Observation::InUse {
        actor: house.admin.clone(),
        issuer: None,
        serial: held.row.serial.clone(),
        service,
        at: house.clock.now(),
    };
    house.engine.observe(seen_in_use).await.unwrap();
    let ask = tenure_engine::RevokeAsk {
        actor: house.admin.clone(),
        target: tenure_engine::Target::Certificate {
            issuer: None,
            serial: held.row.serial.clone(),
        },
        change: StatusChange::Revoke {
            reason: Reason::Superseded,
            invalidity: None,
        },
    };
    house.engine.revoke(ask).await.unwrap();
    let why = step(&house, "issuing-1", Step::Remove, "")
        .await
        .unwrap_err();
    assert!(why.contains("in use"), "{why}");
    house.pass(86_401);
    let why = step(&house, "issuing-1", Step::Remove, "")
        .await
        .unwrap_err();
    assert!(why.contains("broker"), "{why}");
    seen(&house, "broker", Canary::Outgoing, "issuing-1", Accepted).await;
    assert!(step(&house, "issuing-1", Step::Remove, "").await.is_err());
    seen(&house, "broker", Canary::Outgoing, "issuing-1", Refused).await;
    step(&house, "issuing-1", Step::Remove, "").await.unwrap();
    assert_eq!(state(&house, "issuing-1"), IssuerState::Removed);

    // From here on whoever lets one of it in is a finding.
    let made = house
        .engine
        .make_canaries(&"issuing-1".parse().unwrap(), ProbeScope::Matrix)
        .await
        .unwrap();
    assert_eq!(made[0].canary, Canary::Superseded);
    seen(&house, "broker", Canary::Superseded, "issuing-1", Accepted).await;
    let found = house
        .engine
        .store()
        .glance(|tx| tenure_engine::store::finding::list(tx, FLEET, None, None, 10))
        .unwrap();
    assert!(
        found
            .iter()
            .any(|f| f.matter.cause == "superseded of issuing-1"),
        "{found:?}"
    );
}

/// An issuer of another trust domain signs for profiles that name it, and for nobody else.
#[tokio::test]
async fn another_domains_issuer_signs_only_where_it_is_named() {
    let house = House::found().await;
    let root = house.engine.key("root").unwrap();
    house
        .engine
        .add_issuer(Purpose::Domain, new_keys("valves-1"), &root)
        .await
        .unwrap();
    assert_eq!(issuer_of_next(&house, "pump-1").await, "issuing-1");
    let snapshot = house.engine.snapshot();
    let names: Vec<_> = snapshot
        .issuers
        .iter()
        .map(|i| i.subject().to_string())
        .collect();
    let mut distinct = names.clone();
    distinct.sort();
    distinct.dedup();
    assert_eq!(names.len(), distinct.len(), "{names:?}");
}

#[tokio::test]
async fn a_rollover_is_begun_once() {
    let house = begun().await;
    let root = house.engine.key("root").unwrap();
    for former in ["issuing-1", "issuing-2", "root"] {
        let follow = Purpose::Follow(former.parse().unwrap());
        let again = house
            .engine
            .add_issuer(follow, new_keys("issuing-3"), &root)
            .await;
        assert!(matches!(again, Err(Rejection::Refusal(_))), "{former}");
    }
    step(&house, "issuing-2", Step::Remove, "").await.unwrap();
    let follow = Purpose::Follow("issuing-1".parse().unwrap());
    house
        .engine
        .add_issuer(follow, new_keys("issuing-3"), &root)
        .await
        .unwrap();
}

/// Leaves out: who is affected (the blast radius), and renewal ahead of time.
#[tokio::test]
async fn r3_an_issuer_whose_key_is_stolen_is_stopped_at_once_and_followed_under_pressure() {
    let house = begun().await;
    let other = Purpose::Domain;
    let root = house.engine.key("root").unwrap();
    house
        .engine
        .add_issuer(other, new_keys("valves-1"), &root)
        .await
        .unwrap();
    party(&house, "broker", Criticality::Safety).await;
    let stop = IssuerMove {
        issuer: "issuing-1".parse().unwrap(),
        step: Step::Taint,
        except: Vec::new(),
        why: "its key was found on a laptop".to_owned(),
        succession: Succession::NotNeeded,
    };
    take(&house, stop).await.unwrap();
    house.device("pump-1").await;
    let secret = house.secret("pump-1").await;
    let key = pair();
    let refused = refusal(house.enroll("pump-1", &secret, &key).await);
    assert!(
        refused.to_string().contains("issuing-1 is tainted"),
        "{refused}"
    );
    assert_eq!(state(&house, "valves-1"), IssuerState::Active, "untouched");
    step(&house, "issuing-2", Step::Distribute, "")
        .await
        .unwrap();
    let past = forced(
        &house,
        "issuing-2",
        Step::Activate,
        &["broker"],
        "it is stolen",
    );
    past.await.unwrap();
    let got = issued(house.enroll("pump-1", &secret, &key).await);
    assert_eq!(got.row.issuer_name.as_str(), "issuing-2");
}

async fn revoked(house: &House, target: tenure_engine::Target) {
    let ask = tenure_engine::RevokeAsk {
        actor: house.admin.clone(),
        target,
        change: StatusChange::Revoke {
            reason: Reason::Superseded,
            invalidity: None,
        },
    };
    house.engine.revoke(ask).await.unwrap();
}

async fn root_begun(cross: Cross) -> House {
    let house = House::found().await;
    let former = house.engine.key("root").unwrap();
    let new = key("root-2", Doors::ISSUER, KeyKind::P256);
    // Cut off anywhere, the same again finishes it.
    for _ in 0..2 {
        let follows = "root".parse().unwrap();
        house.engine.add_root(&new, Some(&follows)).await.unwrap();
        let crossed = house.engine.cross_certify(&former, &new, cross).await;
        crossed.unwrap();
        for under in house.engine.to_be_followed(&follows) {
            let name = under.name.as_str().replace('1', "2");
            let follow = Purpose::Follow(under.name.clone());
            let mut keys = new_keys(&name);
            keys.responder = keys.responder.filter(|_| name != "idevid-2");
            house.engine.add_issuer(follow, keys, &new).await.unwrap();
        }
    }
    house
}

fn issuer(house: &House, name: &str) -> std::sync::Arc<Issuer> {
    let snapshot = house.engine.snapshot();
    let mut issuers = snapshot.issuers.iter();
    issuers.find(|i| i.name.as_str() == name).unwrap().clone()
}

/// RFC 9810 section 4.4: who trusts only the former root reaches what is below the new one through
/// NewWithOld, and who trusts only the new one what is below the former through OldWithNew.
#[tokio::test]
async fn cross_certificates_lead_from_each_root_to_the_other() {
    let house = root_begun(Cross::Both).await;
    let [former, new, old_ca, new_ca] =
        ["root", "root-2", "issuing-1", "issuing-2"].map(|name| issuer(&house, name));
    assert_eq!(new_ca.chain.last().unwrap().der(), new.certificate.der());
    assert_ne!(former.subject(), new.subject());
    let (new_with_old, old_with_new) = (&new.cross[..], &former.cross[..]);
    assert_eq!((new_with_old.len(), old_with_new.len()), (1, 1));
    let (new_with_old, old_with_new) = (&new_with_old[0], &old_with_new[0]);
    assert_eq!((new_with_old.by, old_with_new.by), (former.no, new.no));
    let now = house.clock.now();
    let leads = |ca: &Issuer, cross: Option<&Cert>, anchor: &Issuer| {
        let between: Vec<Cert> = cross.into_iter().cloned().collect();
        let anchors = [anchor.certificate.clone()];
        path::validate(&ca.certificate, &between, &anchors, now, Use::Issuing).is_ok()
    };
    assert!(leads(&new_ca, Some(&new_with_old.certificate), &former));
    assert!(leads(&old_ca, Some(&old_with_new.certificate), &new));
    assert!(!leads(&new_ca, None, &former) && !leads(&old_ca, None, &new));
    assert!(!leads(&new_ca, Some(&old_with_new.certificate), &former));
    for cross in [new_with_old, old_with_new] {
        assert_eq!(cross.certificate.path_len(), Some(1));
        assert!(cross.certificate.validity().not_after < now.plus(3 * 365 * 86_400));
    }

    // A stolen root is stood for by nobody.
    let house = root_begun(Cross::NewWithOld).await;
    assert_eq!(issuer(&house, "root").cross.len(), 0);
    assert_eq!(issuer(&house, "root-2").cross.len(), 1);
}

#[tokio::test]
async fn i2_a_root_takes_what_is_below_it_along_and_goes_only_when_nothing_needs_it() {
    let house = root_begun(Cross::Both).await;
    for name in ["broker", "gate"] {
        party(&house, name, Criticality::Safety).await;
    }
    house.enrolled("pump-1").await;
    let both = |root: IssuerState, below: IssuerState| {
        assert_eq!(
            (state(&house, "root-2"), state(&house, "issuing-2")),
            (root, below)
        );
    };
    both(IssuerState::Prepared, IssuerState::Prepared);
    for ahead in [Step::Distribute, Step::Activate] {
        let why = step(&house, "issuing-2", ahead, "").await.unwrap_err();
        assert!(why.contains("root-2") || why.contains("only a"), "{why}");
    }
    step(&house, "root-2", Step::Distribute, "").await.unwrap();
    both(IssuerState::Distributed, IssuerState::Distributed);
    let activate = Step::Activate;
    assert!(step(&house, "issuing-2", activate, "").await.is_err());
    seen(
        &house,
        "broker",
        Canary::Incoming,
        "issuing-2",
        Reception::Accepted,
    )
    .await;
    let why = step(&house, "root-2", activate, "now").await.unwrap_err();
    assert!(why.contains("not: gate"), "{why}");
    seen(
        &house,
        "gate",
        Canary::Incoming,
        "issuing-2",
        Reception::Accepted,
    )
    .await;
    step(&house, "root-2", activate, "").await.unwrap();
    both(IssuerState::Active, IssuerState::Active);
    assert_eq!(issuer_of_next(&house, "pump-2").await, "issuing-2");
    step(&house, "root-2", Step::Back, "a doubt").await.unwrap();
    both(IssuerState::Distributed, IssuerState::Distributed);
    assert_eq!(issuer_of_next(&house, "pump-3").await, "issuing-1");
    step(&house, "root-2", activate, "").await.unwrap();

    step(&house, "root", Step::Taint, "it is followed")
        .await
        .unwrap();
    assert_eq!(state(&house, "issuing-1"), IssuerState::Tainted);
    let why = step(&house, "root", Step::Remove, "").await.unwrap_err();
    assert!(why.contains("pump-1"), "{why}");
    for id in ["pump-1", "pump-3"] {
        let device = tenure_engine::Target::Device(id.parse().unwrap());
        revoked(&house, device).await;
    }
    house.pass(1);
    let why = step(&house, "root", Step::Remove, "").await.unwrap_err();
    assert!(why.contains("0 of 2 critical"), "{why}");
    for name in ["broker", "gate"] {
        seen(
            &house,
            name,
            Canary::Outgoing,
            "issuing-1",
            Reception::Refused,
        )
        .await;
    }
    let why = step(&house, "root", Step::Remove, "").await.unwrap_err();
    assert!(why.contains("tenure cert revoke root-2/"), "{why}");
    let cross = issuer(&house, "root").cross[0].certificate.serial().clone();
    let cross = tenure_engine::Target::Certificate {
        issuer: Some("root-2".parse().unwrap()),
        serial: cross,
    };
    revoked(&house, cross).await;
    assert_eq!(issuer(&house, "root").cross.len(), 0);
    step(&house, "root", Step::Remove, "").await.unwrap();
    assert_eq!(state(&house, "root"), IssuerState::Removed);
    assert_eq!(state(&house, "issuing-1"), IssuerState::Removed);
    assert_eq!(issuer_of_next(&house, "pump-4").await, "issuing-2");
}

#[tokio::test]
async fn a_root_that_was_only_prepared_is_given_up_with_what_is_below_it() {
    let house = root_begun(Cross::Both).await;
    let why = step(&house, "root-2", Step::Remove, "").await.unwrap_err();
    assert!(why.contains("tenure cert revoke root/"), "{why}");
    let cross = tenure_engine::Target::Certificate {
        issuer: Some("root".parse().unwrap()),
        serial: issuer(&house, "root-2").cross[0]
            .certificate
            .serial()
            .clone(),
    };
    revoked(&house, cross).await;
    step(&house, "root-2", Step::Remove, "").await.unwrap();
    for name in ["root-2", "issuing-2"] {
        assert_eq!(state(&house, name), IssuerState::Removed);
    }
    let left = house.engine.to_be_followed(&"root".parse().unwrap());
    assert_eq!(left.len(), 1);
    assert_eq!(issuer_of_next(&house, "pump-1").await, "issuing-1");
}
