//! Trust stores: what is reported is compared with what is meant, and nothing that is needed is taken
//! out.

mod house;

use house::*;

use tenure_domain::change::{Change, Edit};
use tenure_domain::device::Criticality;
use tenure_domain::finding::{FindingKind, FindingState};
use tenure_domain::relying_party::{PeerProtocol, RelyingParty, RevocationCheck, SessionCheck};
use tenure_domain::trust_store::{AnchorStanding, Fingerprint, Legacy, TrustStoreChange};
use tenure_domain::{Refusal, TenantId};
use tenure_engine::ceremony::{NewIssuerKeys, Purpose};
use tenure_engine::signer::Doors;
use tenure_engine::store::relying_party::{self, Known};
use tenure_engine::store::{finding, trust_store as stored};
use tenure_engine::trust_store::{self, BundleKind};
use tenure_engine::{Observation, Rejection};
use tenure_x509::{Cert, KeyKind};

const FLEET: TenantId = TenantId::DEFAULT;
const DAY: i64 = 86_400;

async fn party(house: &House) -> Known {
    party_named(house, "broker-3").await
}

async fn party_named(house: &House, name: &str) -> Known {
    let party = RelyingParty {
        name: name.parse().unwrap(),
        address: "broker-3:8883".parse().unwrap(),
        protocol: PeerProtocol::Mqtt,
        server_name: None,
        anchors_pem: String::new(),
        issuers: Vec::new(),
        services: vec!["broker".parse().unwrap()],
        criticality: Criticality::Safety,
        owner: "Hydraulics".parse().unwrap(),
        site: "Hall 3".parse().unwrap(),
        checks: RevocationCheck::Crl,
        session: SessionCheck::Handshake,
        enforce_within_s: 5,
    };
    house
        .change(Change::PutRelyingParty(Box::new(Edit::new(party))))
        .await
        .unwrap();
    let store = house.engine.store();
    let known = store.glance(|tx| relying_party::by_name(tx, FLEET, name));
    known.unwrap().unwrap()
}

async fn change(house: &House, change: TrustStoreChange) -> Result<(), String> {
    match house.change(Change::TrustStore(Box::new(change))).await {
        Ok(_) => Ok(()),
        Err(Rejection::Refusal(
            Refusal::Conflict { what } | Refusal::BadRequest { what } | Refusal::NotFound { what },
        )) => Err(what),
        Err(other) => panic!("{other}"),
    }
}

async fn report(house: &House, anchors: &[&Cert]) {
    let told = TrustStoreChange::Report {
        party: "broker-3".parse().unwrap(),
        pem: anchors.iter().map(|cert| cert.pem()).collect(),
        again_within_s: None,
    };
    change(house, told).await.unwrap();
}

fn open(house: &House) -> Vec<(FindingKind, String)> {
    let store = house.engine.store();
    let found = store.glance(|tx| finding::list(tx, FLEET, Some(FindingState::Open), None, 50));
    let found = found.unwrap().into_iter();
    found.map(|f| (f.matter.kind, f.matter.cause)).collect()
}

fn issuer(house: &House, name: &str) -> Cert {
    let snapshot = house.engine.snapshot();
    let mut issuers = snapshot.issuers.iter();
    let found = issuers.find(|i| i.name.as_str() == name).unwrap();
    found.certificate.clone()
}

fn print(cert: &Cert) -> Fingerprint {
    Fingerprint(cert.fingerprint())
}

/// A CA of somebody else.
async fn stranger() -> Cert {
    House::found().await.root.clone()
}

async fn another_domain(house: &House) {
    let root = house.engine.key("root").unwrap();
    let keys = NewIssuerKeys {
        issuer: key("valves-1", Doors::ISSUER, KeyKind::P256),
        responder: Some(key("ocsp-valves-1", Doors::RESPONDER, KeyKind::P256)),
    };
    let made = house.engine.add_issuer(Purpose::Domain, keys, &root).await;
    made.unwrap();
}

#[tokio::test]
async fn i3_a_stale_unknown_or_missing_anchor_is_found_when_it_is_reported() {
    let house = House::found().await;
    house.enrolled("pump-1").await;
    party(&house).await;
    let (ours, theirs) = (issuer(&house, "issuing-1"), stranger().await);
    assert_eq!(open(&house), []);
    report(&house, &[&theirs]).await;
    let unknown = (FindingKind::AnchorUnknown, print(&theirs).to_string());
    let missing = (FindingKind::AnchorMissing, "issuing-1".to_owned());
    let mut found = open(&house);
    found.sort_by_key(|(kind, _)| kind.code());
    assert_eq!(found, [unknown, missing]);
    report(&house, &[&ours]).await;
    assert_eq!(open(&house), []);
}

#[tokio::test]
async fn i1_a_budget_bounds_a_trust_store_and_the_minimal_bundle_is_what_is_used() {
    let house = House::found().await;
    let held = house.enrolled("pump-1").await;
    another_domain(&house).await;
    let known = party(&house).await;
    let (one, two) = (issuer(&house, "issuing-1"), issuer(&house, "valves-1"));
    let budget = |anchors_max| TrustStoreChange::Budget {
        party: "broker-3".parse().unwrap(),
        anchors_max,
    };
    report(&house, &[&one, &two]).await;
    change(&house, budget(1)).await.unwrap();
    let large = [(FindingKind::TrustStoreTooLarge, "anchors".to_owned())];
    assert_eq!(open(&house), large);
    change(&house, budget(2)).await.unwrap();
    assert_eq!(open(&house), []);

    let bundle = |kind| {
        let (store, now) = (house.engine.store(), house.clock.now());
        let found = store.glance(|tx| trust_store::bundle(tx, FLEET, &known, kind, now));
        let names = found
            .unwrap()
            .into_iter()
            .map(|issuer| issuer.name.to_string());
        names.collect::<Vec<_>>()
    };
    assert_eq!(bundle(BundleKind::Intended), ["issuing-1", "valves-1"]);
    assert_eq!(bundle(BundleKind::Minimal), [""; 0]);
    let seen = Observation::InUse {
        actor: house.admin.clone(),
        issuer: None,
        serial: held.row.serial.clone(),
        service: "broker".parse().unwrap(),
        at: house.clock.now(),
    };
    house.engine.observe(seen).await.unwrap();
    assert_eq!(bundle(BundleKind::Minimal), ["issuing-1"]);
}

/// Leaves out: the probe, which the story of the command line has.
#[tokio::test]
async fn i2_what_nothing_needs_is_pruned_with_proof_and_can_be_put_back() {
    let house = House::found().await;
    house.enrolled("pump-1").await;
    another_domain(&house).await;
    let known = party(&house).await;
    let (one, two) = (issuer(&house, "issuing-1"), issuer(&house, "valves-1"));
    report(&house, &[&one, &two]).await;
    let prune = |cert: &Cert, why: &str| TrustStoreChange::Prune {
        party: "broker-3".parse().unwrap(),
        anchor: print(cert),
        why: why.to_owned(),
    };
    let why = change(&house, prune(&one, "small")).await.unwrap_err();
    assert!(
        why.contains("2 certificates of it in force"),
        "the server's too: {why}"
    );
    let why = change(&house, prune(&two, "small")).await.unwrap_err();
    assert!(why.contains("is needed"), "it is new: {why}");
    house.pass(31 * DAY);
    house.engine.review_trust_stores().await.unwrap();
    let stale = [(FindingKind::AnchorStale, print(&two).to_string())];
    assert_eq!(open(&house), stale);
    assert!(change(&house, prune(&two, " ")).await.is_err());
    change(&house, prune(&two, "small")).await.unwrap();
    let standing = |cert: &Cert| {
        let (store, now) = (house.engine.store(), house.clock.now());
        let compared = store.glance(|tx| trust_store::compare(tx, FLEET, &known, now));
        let compared = compared.unwrap();
        let mut held = compared.held.iter();
        let found = held.find(|held| held.fingerprint == print(cert));
        found.map(|held| compared.standing(&known.party.name, held, now))
    };
    assert_eq!(standing(&two), Some(AnchorStanding::NotMeant));
    // The prober shows its canary as one that must be refused.
    let issuers = house
        .engine
        .probed_issuers(&known, tenure_domain::canary::ProbeScope::Matrix);
    assert_eq!(issuers.unwrap(), ["issuing-1".parse().unwrap()]);
    let others = house.engine.other_issuers(&known).unwrap();
    assert_eq!(others, ["valves-1".parse().unwrap()]);
    let back = TrustStoreChange::Restore {
        party: "broker-3".parse().unwrap(),
        anchor: print(&two),
        why: "a valve came back".to_owned(),
    };
    change(&house, back.clone()).await.unwrap();
    assert_eq!(standing(&two), Some(AnchorStanding::Stale));
    assert!(change(&house, back).await.is_err());
    change(&house, prune(&two, "small")).await.unwrap();
    report(&house, &[&one]).await;
    assert_eq!((standing(&two), open(&house)), (None, vec![]));
}

#[tokio::test]
async fn i6_who_trusts_an_anchor_is_what_was_observed() {
    let house = House::found().await;
    party(&house).await;
    let theirs = stranger().await;
    report(&house, &[&theirs]).await;
    house.pass(60);
    report(&house, &[]).await;
    let store = house.engine.store();
    let found = store.glance(|tx| stored::by_fingerprint(tx, FLEET, print(&theirs)));
    let anchor = found.unwrap().unwrap();
    let holders = store
        .glance(|tx| stored::holders(tx, anchor.no, ""))
        .unwrap();
    assert_eq!(holders.len(), 1);
    assert_eq!(holders[0].party.as_str(), "broker-3");
    assert_eq!(holders[0].gone, Some(house.clock.now()));
    let none = store.glance(|tx| {
        let ours = print(&issuer(&house, "issuing-1"));
        stored::by_fingerprint(tx, FLEET, ours)
    });
    assert_eq!(none.unwrap(), None, "what is only meant is held by nobody");
}

#[tokio::test]
async fn i8_a_legacy_anchor_has_an_end_and_a_scope() {
    let house = House::found().await;
    party(&house).await;
    let (ours, theirs) = (issuer(&house, "issuing-1"), stranger().await);
    report(&house, &[&ours, &theirs]).await;
    assert_eq!(open(&house).len(), 1);
    let legacy = |until, parties: &[&str]| TrustStoreChange::Legacy {
        pem: theirs.pem(),
        legacy: Legacy {
            until,
            relying_parties: parties.iter().map(|name| name.parse().unwrap()).collect(),
            owner: "Hydraulics".parse().unwrap(),
            why: "the old pumps of hall 3".to_owned(),
        },
    };
    let soon = house.clock.now().plus(10 * DAY);
    assert!(
        change(&house, legacy(house.clock.now(), &["broker-3"]))
            .await
            .is_err()
    );
    assert!(change(&house, legacy(soon, &[])).await.is_err());
    assert!(change(&house, legacy(soon, &["nobody"])).await.is_err());
    change(&house, legacy(soon, &["broker-3"])).await.unwrap();
    assert_eq!(open(&house), []);
    house.pass(10 * DAY + 1);
    house.engine.review_trust_stores().await.unwrap();
    let ended = [(FindingKind::AnchorUnknown, print(&theirs).to_string())];
    assert_eq!(open(&house), ended);
}

/// Leaves out: vendors, which are no property of a relying party.
#[tokio::test]
async fn i7_relying_parties_of_one_site_that_differ_on_a_canary_are_found() {
    use tenure_domain::canary::{Canary, ProbeScope, Reception, Round, Trial};
    let house = House::found().await;
    let seen = |known: Known, canary, reception| {
        let round = Round {
            scope: ProbeScope::Matrix,
            trials: vec![Trial {
                canary,
                issuer: "issuing-1".parse().unwrap(),
                reception,
                how: "so".to_owned(),
            }],
            enforced_ms: None,
        };
        let engine = house.engine.clone();
        let now = house.clock.now();
        async move {
            engine.record_probe(&known, now, round).await.unwrap();
            engine.watch_drift().await.unwrap();
        }
    };
    let drift = || {
        let found = open(&house).into_iter();
        let found = found.filter(|(kind, _)| *kind == FindingKind::TrustDrift);
        found.map(|(_, cause)| cause).collect::<Vec<_>>()
    };
    let (one, two) = (party(&house).await, party_named(&house, "broker-4").await);
    use Reception::{Accepted, Refused};
    seen(one.clone(), Canary::Expired, Refused).await;
    seen(two.clone(), Canary::Expired, Refused).await;
    assert_eq!(drift(), [""; 0]);
    seen(two.clone(), Canary::Expired, Accepted).await;
    assert_eq!(drift(), ["expired at Hall 3"]);
    // How far a rollover has come is no drift.
    seen(one, Canary::Incoming, Refused).await;
    seen(two.clone(), Canary::Incoming, Accepted).await;
    assert_eq!(drift(), ["expired at Hall 3"]);
    seen(two, Canary::Expired, Refused).await;
    assert_eq!(drift(), [""; 0]);
}
