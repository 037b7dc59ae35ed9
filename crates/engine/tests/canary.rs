//! Canaries: each is unfit in its own way, and none of them stands in a count of the fleet.

mod house;

use std::collections::BTreeMap;

use house::{House, START};
use tenure_domain::canary::{Canary, ProbeScope, Reception, Round, Trial};
use tenure_domain::certificate::StatusChange;
use tenure_domain::change::{Change, Edit};
use tenure_domain::finding::{FindingKind, FindingState};
use tenure_domain::relying_party::{PeerProtocol, RelyingParty, RevocationCheck, SessionCheck};
use tenure_domain::{Slug, Status, TenantId};
use tenure_engine::CanaryIdentity;
use tenure_engine::duty::publish::{List, crl_path};
use tenure_engine::store::{asof, certificate, finding, probe, relying_party, view};
use tenure_x509::crl::Crl;
use tenure_x509::path::{self, PathFault, Purpose};
use tenure_x509::{Cert, Time};

const FLEET: TenantId = TenantId::DEFAULT;

fn issuing() -> Slug {
    "issuing-1".parse().unwrap()
}

fn judge(house: &House, canary: &CanaryIdentity, at: Time) -> Result<(), PathFault> {
    let certs: Vec<_> = canary
        .chain
        .iter()
        .map(|der| Cert::from_der(der).unwrap())
        .collect();
    let (leaf, between) = certs.split_first().unwrap();
    let anchors = [house.root.clone()];
    path::validate(leaf, between, &anchors, at, Purpose::ClientAuth)
        .map(|_| ())
        .map_err(|error| error.fault)
}

#[tokio::test]
async fn each_canary_is_unfit_in_its_own_way_and_only_the_valid_one_is_fit() {
    let house = House::found().await;
    let made = house
        .engine
        .make_canaries(&issuing(), ProbeScope::Matrix)
        .await
        .unwrap();
    let faults: BTreeMap<_, _> = made
        .iter()
        .map(|canary| (canary.canary, judge(&house, canary, START)))
        .collect();
    assert_eq!(faults[&Canary::Valid], Ok(()));
    assert_eq!(faults[&Canary::Expired], Err(PathFault::Expired));
    assert_eq!(faults[&Canary::NotYetValid], Err(PathFault::NotYetValid));
    assert_eq!(faults[&Canary::WrongUsage], Err(PathFault::WrongPurpose));
    assert_eq!(faults[&Canary::OtherDomain], Err(PathFault::UnknownIssuer));
    let alike = &faults[&Canary::LookAlike];
    assert!(
        matches!(
            alike,
            Err(PathFault::UnknownIssuer | PathFault::BadSignature)
        ),
        "{alike:?}"
    );
    assert_eq!(faults[&Canary::ConstraintBreaker], Err(PathFault::NotCa));
    assert_eq!(
        faults.len(),
        Canary::ALL.len() - 6,
        "two are the valid one later, and four are good ones of other issuers"
    );

    // The early one has ten minutes of life, in an hour.
    let early = made
        .iter()
        .find(|c| c.canary == Canary::NotYetValid)
        .unwrap();
    assert_eq!(judge(&house, early, START.plus(3_601)), Ok(()));
    assert_eq!(
        judge(&house, early, START.plus(4_200)),
        Err(PathFault::Expired)
    );

    let drilled = house
        .engine
        .make_canaries(&issuing(), ProbeScope::Revocation)
        .await
        .unwrap();
    let [valid] = &drilled[..] else {
        panic!("{drilled:?}")
    };
    house.engine.revoke_canary(valid).await.unwrap();
    house.engine.publish().await.unwrap();
    let list = crl_path(house.directory.path(), "issuing-1", List::Full);
    let list = Crl::from_der(&std::fs::read(list).unwrap()).unwrap();
    assert!(list.find(valid.serial.as_ref().unwrap()).unwrap().is_some());
}

/// Everything that counts the fleet.
fn counts(
    house: &House,
) -> (
    BTreeMap<Status, u64>,
    view::DeviceCounts,
    asof::CountsAt,
    u64,
) {
    let now = house.clock.now();
    let counted = house.engine.store().glance(|tx| {
        let ends = view::ends_by_day(tx, FLEET, now, 3)?;
        Ok::<_, tenure_engine::store::StoreError>((
            view::certificate_counts(tx, FLEET)?,
            view::device_counts(tx, FLEET)?,
            asof::fleet(tx, FLEET, now)?,
            ends.iter().map(|day| day.all).sum(),
        ))
    });
    counted.unwrap()
}

#[tokio::test]
async fn canaries_stand_in_no_count() {
    let house = House::found().await;
    house.enrolled("pump-1").await;
    let before = counts(&house);
    for _ in 0..2 {
        let made = house
            .engine
            .make_canaries(&issuing(), ProbeScope::Matrix)
            .await
            .unwrap();
        assert_eq!(counts(&house), before);
        for canary in made.iter().filter(|c| c.serial.is_some()) {
            house.engine.revoke_canary(canary).await.unwrap();
        }
        assert_eq!(counts(&house), before);
        house.pass(4_300);
        assert_eq!(counts(&house).0, before.0);
        assert_eq!(counts(&house).2, before.2);
    }
}

#[tokio::test]
async fn nobody_else_can_be_registered_out_of_all_counts() {
    let house = House::found().await;
    house.device("pump-1").await;
    let spec = house.engine.store().glance(|tx| {
        let found = tenure_engine::store::device::by_id(tx, FLEET, &"pump-1".parse().unwrap())?;
        Ok::<_, tenure_engine::store::StoreError>(found.unwrap())
    });
    let device = spec.unwrap();
    let spec = tenure_domain::device::DeviceSpec {
        id: "pump-2".parse().unwrap(),
        manufacturer: device.manufacturer,
        model: device.model,
        serial: "SN-2".to_owned(),
        class: tenure_domain::canary::CLASS.parse().unwrap(),
        site: device.site,
        owner: device.owner,
        services: device.services,
        criticality: device.criticality,
    };
    assert!(house.change(Change::AddDevice(spec)).await.is_err());
}

fn party() -> RelyingParty {
    RelyingParty {
        name: "broker-3".parse().unwrap(),
        address: "broker-3:8883".parse().unwrap(),
        protocol: PeerProtocol::Mqtt,
        server_name: None,
        anchors_pem: String::new(),
        issuers: Vec::new(),
        services: Vec::new(),
        criticality: tenure_domain::device::Criticality::Safety,
        owner: "Acme Plant".parse().unwrap(),
        site: "tenure".parse().unwrap(),
        checks: RevocationCheck::Crl,
        session: SessionCheck::Handshake,
        enforce_within_s: 5,
    }
}

#[tokio::test]
async fn a_probe_is_kept_with_its_findings_in_one_transaction() {
    let house = House::found().await;
    house
        .change(Change::PutRelyingParty(Box::new(Edit::new(party()))))
        .await
        .unwrap();
    let find = |name: &'static str| {
        let found = house
            .engine
            .store()
            .glance(|tx| relying_party::by_name(tx, FLEET, name));
        found.unwrap().unwrap()
    };
    let known = find("broker-3");
    let round = |revoked| Round {
        scope: ProbeScope::Matrix,
        trials: [
            (Canary::Valid, Reception::Accepted),
            (Canary::Revoked, revoked),
        ]
        .map(|(canary, reception)| Trial {
            canary,
            issuer: issuing(),
            reception,
            how: "so".to_owned(),
        })
        .to_vec(),
        enforced_ms: None,
    };
    let findings = || {
        let found = house
            .engine
            .store()
            .glance(|tx| finding::list(tx, FLEET, None, None, 10));
        let found = found.unwrap().into_iter();
        found
            .map(|f| (f.matter.kind, f.state, f.times))
            .collect::<Vec<_>>()
    };
    for (reception, state, times) in [
        (Reception::Accepted, FindingState::Open, 1),
        (Reception::Accepted, FindingState::Open, 1),
        (Reception::Refused, FindingState::Cleared, 1),
        (Reception::Accepted, FindingState::Open, 2),
    ] {
        let no = house
            .engine
            .record_probe(&known, START, round(reception))
            .await
            .unwrap();
        assert_eq!(findings(), [(FindingKind::AcceptsRevoked, state, times)]);
        let cells = house
            .engine
            .store()
            .glance(|tx| probe::cells(tx, known.no))
            .unwrap();
        assert_eq!((cells.len(), cells[1].probe), (2, no));
        assert_eq!(cells[1].trial.reception, reception);
    }
    // After its time a probe is erased, but for the newest trial of each canary.
    assert_eq!(house.engine.erase_old().await.unwrap(), 0);
    house.pass(401 * 86_400);
    assert_eq!(house.engine.erase_old().await.unwrap(), 3);
    assert_eq!(house.engine.erase_old().await.unwrap(), 0);
    let left = house.engine.store().glance(|tx| {
        let cells = probe::cells(tx, known.no)?;
        let probes = probe::list(tx, house.engine.tenant(), None, None, 10)?;
        Ok::<_, tenure_engine::store::StoreError>((cells, probes))
    });
    let (cells, probes) = left.unwrap();
    assert_eq!((cells.len(), probes.len()), (2, 1));
    assert_eq!(cells[1].probe, probes[0].no);
    let gone = Change::RemoveRelyingParty("broker-3".parse().unwrap());
    house.change(gone).await.unwrap();
    assert_eq!(findings()[0].1, FindingState::Cleared);
}

/// Leaves out: the metric and its alert, and triggers from other systems, which come with their
/// connectors.
#[tokio::test]
async fn g10_when_the_trigger_was_earlier_the_list_says_since_when_the_key_was_bad() {
    let house = House::found().await;
    let held = house.enrolled("pump-1").await;
    house.pass(600);
    let ask = tenure_engine::RevokeAsk {
        actor: house.admin.clone(),
        target: tenure_engine::Target::Certificate {
            issuer: None,
            serial: held.row.serial.clone(),
        },
        change: StatusChange::Revoke {
            reason: tenure_x509::Reason::KeyCompromise,
            invalidity: Some(START.plus(60)),
        },
    };
    house.engine.revoke(ask).await.unwrap();
    let row = house
        .engine
        .store()
        .glance(|tx| certificate::row(tx, held.row.no));
    let told = row.unwrap().unwrap().revocation.unwrap();
    let lag = told.at.unix() - told.invalidity.unwrap().unix();
    assert_eq!(lag, 540);
    house.engine.publish().await.unwrap();
    let list = crl_path(house.directory.path(), "issuing-1", List::Full);
    let list = Crl::from_der(&std::fs::read(list).unwrap()).unwrap();
    let entry = list.find(&held.row.serial).unwrap().unwrap();
    assert_eq!(entry.invalid_since, Some(START.plus(60)));
}
