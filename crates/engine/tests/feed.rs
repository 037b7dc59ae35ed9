//! Feeds: what is offered, what is acknowledged, and what is found when it is not.

mod house;

use std::future::poll_fn;
use std::task::Poll;

use house::{House, START, key};
use tenure_domain::change::{Change, Edit};
use tenure_domain::device::Criticality;
use tenure_domain::feed::pack::Pack;
use tenure_domain::feed::receipt::Receipt;
use tenure_domain::feed::{Digest, ItemKind, Manifest, Way};
use tenure_domain::finding::FindingState;
use tenure_domain::operator::{Actor, Role};
use tenure_domain::relying_party::{PeerProtocol, RelyingParty, RevocationCheck, SessionCheck};
use tenure_domain::{OperatorNo, TenantId};
use tenure_engine::feed::{FEED_KEY, MadePack, PackTerms, item_path};
use tenure_engine::signer::Doors;
use tenure_engine::store::feed::{self, Applied, Feed, Offer};
use tenure_engine::store::{finding, relying_party};
use tenure_engine::{Changed, NewToken, Observation, Observed, RevokeAsk, Target};
use tenure_tlog::{Note, VerifierKey};
use tenure_x509::crl::Crl;
use tenure_x509::filter::Full;
use tenure_x509::{KeyKind, Reason};

const FLEET: TenantId = TenantId::DEFAULT;

fn broker() -> RelyingParty {
    RelyingParty {
        name: "broker-3".parse().unwrap(),
        address: "127.0.0.1:8883".parse().unwrap(),
        protocol: PeerProtocol::Mqtt,
        server_name: None,
        anchors_pem: String::new(),
        issuers: Vec::new(),
        services: vec!["broker".parse().unwrap()],
        criticality: Criticality::High,
        owner: "Hydraulics".parse().unwrap(),
        site: "Hall 3".parse().unwrap(),
        checks: RevocationCheck::Crl,
        session: SessionCheck::Handshake,
        enforce_within_s: 60,
    }
}

fn itself() -> Actor {
    Actor::Operator {
        name: "feed of broker-3".to_owned(),
        no: OperatorNo(2),
        role: Role::RelyingParty,
    }
}

/// A house with a relying party that follows its feed.
async fn followed() -> House {
    let house = House::found().await;
    house
        .engine
        .add_key(key(FEED_KEY, Doors::FEED, KeyKind::Ed25519));
    house
        .change(Change::PutRelyingParty(Box::new(Edit::new(broker()))))
        .await
        .unwrap();
    assert_eq!(house.engine.offer_feeds().await.unwrap().offered, 0);
    connect(&house).await;
    house
}

async fn connect(house: &House) -> NewToken {
    let made = house.change(Change::CreateToken {
        name: "feed of broker-3".parse().unwrap(),
        role: Role::RelyingParty,
        party: Some("broker-3".parse().unwrap()),
        expires: None,
    });
    match made.await.unwrap() {
        Changed::Token(token) => token,
        other => panic!("{other:?}"),
    }
}

fn state(house: &House) -> (Feed, Offer) {
    let found = house.engine.store().glance(|tx| {
        let known = relying_party::by_name(tx, FLEET, "broker-3")?.unwrap();
        Ok::<_, tenure_engine::store::StoreError>((
            feed::of(tx, known.no)?.unwrap(),
            feed::newest(tx, known.no)?.unwrap(),
        ))
    });
    found.unwrap()
}

/// The manifest, verified with the pinned key as a relying party would.
fn open(house: &House, offer: &Offer) -> Manifest {
    let pinned: VerifierKey = house
        .engine
        .feed_verifier()
        .unwrap()
        .unwrap()
        .to_string()
        .parse()
        .unwrap();
    let key = house::key_of(house, FEED_KEY);
    let note = Note::parse(offer.note.as_bytes()).unwrap();
    note.verify(&[pinned], |_, text, signature| {
        key.verify(tenure_x509::SignatureAlgorithm::Ed25519, text, signature)
            .is_ok()
    })
    .unwrap();
    Manifest::parse(note.text()).unwrap()
}

async fn revoke(house: &House, id: &str) {
    let ask = RevokeAsk {
        actor: house.admin.clone(),
        target: Target::Device(id.parse().unwrap()),
        change: tenure_domain::certificate::StatusChange::Revoke {
            reason: Reason::KeyCompromise,
            invalidity: None,
        },
    };
    house.engine.revoke(ask).await.unwrap();
    house.engine.publish().await.unwrap();
}

async fn apply(house: &House, sequence: i64, hash: Digest) -> Result<Observed, String> {
    let seen = Observation::FeedApplied {
        actor: itself(),
        party: "broker-3".parse().unwrap(),
        applied: Applied {
            sequence,
            hash,
            at: house.clock.now(),
            way: Way::Pull,
        },
    };
    let observed = house.engine.observe(seen).await;
    observed.map_err(|error| error.to_string())
}

fn open_findings(house: &House) -> Vec<String> {
    let all = house
        .engine
        .store()
        .glance(|tx| finding::list(tx, FLEET, Some(FindingState::Open), None, 100))
        .unwrap();
    all.into_iter().map(|found| found.matter.cause).collect()
}

#[tokio::test]
async fn i4_a_number_rises_with_the_contents_and_with_nothing_else() {
    let house = followed().await;
    house.enrolled("pump-1").await;
    assert_eq!(house.engine.offer_feeds().await.unwrap().offered, 1);
    let (_, first) = state(&house);
    let manifest = open(&house, &first);
    assert_eq!(manifest.sequence, START.unix());
    assert_eq!(first.hash, manifest.digest());
    assert_eq!(house.engine.offer_feeds().await.unwrap().offered, 0);

    let mut kinds: Vec<_> = manifest.items.iter().map(|item| item.kind).collect();
    kinds.sort();
    let two_lists_and_a_filter = [
        ItemKind::Bundle,
        ItemKind::Crl,
        ItemKind::Crl,
        ItemKind::Filter,
    ];
    assert_eq!(kinds, two_lists_and_a_filter);
    for item in &manifest.items {
        let path = item_path(house.engine.directory(), item.sha256);
        let octets = std::fs::read(path).unwrap();
        assert_eq!(Digest::of(&octets), item.sha256);
        assert_eq!(octets.len() as u64, item.length);
    }
    let hash = Digest::of(house.root.der());
    assert_eq!(first.anchors, [hash]);

    // Within the same second the number goes one ahead of the clock, and not two.
    revoke(&house, "pump-1").await;
    assert_eq!(house.engine.offer_feeds().await.unwrap().offered, 1);
    let (_, second) = state(&house);
    assert_eq!(second.sequence, first.sequence + 1);
    house.enrolled("pump-2").await;
    revoke(&house, "pump-2").await;
    let round = house.engine.offer_feeds().await.unwrap();
    assert_eq!((round.offered, round.again_s), (0, Some(1)));
    house.pass(1);
    assert_eq!(house.engine.offer_feeds().await.unwrap().offered, 1);
    assert_eq!(state(&house).1.sequence, first.sequence + 2);
    // The items of the offer before can still be fetched.
    for item in open(&house, &second).items {
        assert!(item_path(house.engine.directory(), item.sha256).exists());
    }
}

#[tokio::test]
async fn g6_only_what_was_offered_can_be_acknowledged_and_never_less_than_before() {
    let house = followed().await;
    house.enrolled("pump-1").await;
    house.engine.offer_feeds().await.unwrap();
    let (_, first) = state(&house);
    let never = apply(&house, first.sequence + 9, first.hash).await;
    assert!(never.unwrap_err().contains("was not offered"));
    let other = apply(&house, first.sequence, Digest::of(b"other")).await;
    assert!(other.is_err());
    assert_eq!(
        apply(&house, first.sequence, first.hash).await,
        Ok(Observed::First)
    );
    assert_eq!(
        apply(&house, first.sequence, first.hash).await,
        Ok(Observed::Known)
    );
    house.pass(5);
    revoke(&house, "pump-1").await;
    house.engine.offer_feeds().await.unwrap();
    let (_, second) = state(&house);
    assert_eq!(
        apply(&house, second.sequence, second.hash).await,
        Ok(Observed::First)
    );
    let back = apply(&house, first.sequence, first.hash).await;
    assert!(back.unwrap_err().contains("cannot go back"));
    let (feed, _) = state(&house);
    assert_eq!((feed.applied, feed.behind), (second.sequence, None));
    assert_eq!(house.engine.counters().published.all().len(), 1);
    let applied = house.engine.feed_times();
    assert_eq!(applied.counts.iter().sum::<u64>(), 1);
}

#[tokio::test]
async fn g6_who_does_not_acknowledge_in_time_is_found_until_it_does() {
    let house = followed().await;
    house.engine.offer_feeds().await.unwrap();
    let (_, first) = state(&house);
    assert_eq!(house.engine.watch_feeds().await.unwrap(), Some(60));
    house.pass(59);
    house.engine.watch_feeds().await.unwrap();
    assert_eq!(open_findings(&house), [""; 0]);
    house.pass(1);
    for _ in 0..2 {
        house.engine.watch_feeds().await.unwrap();
        assert_eq!(open_findings(&house), ["not acknowledged"]);
    }
    apply(&house, first.sequence, first.hash).await.unwrap();
    assert_eq!(open_findings(&house), [""; 0]);

    // What it holds grows old if nothing newer reaches it.
    house.pass(8 * 3_600);
    house.engine.watch_feeds().await.unwrap();
    assert_eq!(open_findings(&house), ["too old"]);
    house.engine.publish().await.unwrap();
    house.engine.offer_feeds().await.unwrap();
    let (_, second) = state(&house);
    apply(&house, second.sequence, second.hash).await.unwrap();
    house.engine.watch_feeds().await.unwrap();
    assert_eq!(open_findings(&house), [""; 0]);
}

#[tokio::test]
async fn a_feed_ends_with_its_last_token() {
    let house = followed().await;
    let second = connect(&house).await.no;
    house.engine.offer_feeds().await.unwrap();
    house.pass(60);
    house.engine.watch_feeds().await.unwrap();
    assert_eq!(open_findings(&house), ["not acknowledged"]);
    for no in [OperatorNo(second.0 - 1), second] {
        house.change(Change::RevokeToken(no)).await.unwrap();
    }
    house.engine.watch_feeds().await.unwrap();
    assert_eq!(open_findings(&house), [""; 0]);
    house.pass(7 * 3_600);
    house.engine.publish().await.unwrap();
    assert_eq!(house.engine.offer_feeds().await.unwrap().offered, 0);
    let none = house.change(Change::CreateToken {
        name: "x".parse().unwrap(),
        role: Role::Operator,
        party: Some("broker-3".parse().unwrap()),
        expires: None,
    });
    assert!(none.await.is_err(), "an operator is bound to nothing");
}

const WEEK_S: i64 = 7 * 86_400;

async fn export(house: &House) -> MadePack {
    let terms = PackTerms {
        warn_s: WEEK_S,
        restrict_s: 2 * WEEK_S,
        close_s: 4 * WEEK_S,
        receipt_within_s: WEEK_S,
    };
    let party = "broker-3".parse().unwrap();
    let made = house.engine.export_pack(&house.admin, &party, terms).await;
    made.unwrap()
}

#[tokio::test]
async fn g11_a_pack_is_whole_lasts_and_is_confirmed_by_its_receipt_alone() {
    let house = followed().await;
    let token = connect(&house).await.token;
    let pump = house.enrolled("pump-1").await;
    revoke(&house, "pump-1").await;
    house.engine.integrate().await.unwrap();
    let made = export(&house).await;
    let pack = Pack::split(&made.octets).unwrap();
    let (_, offer) = state(&house);
    assert_eq!(offer.note.as_bytes(), pack.note());
    let manifest = open(&house, &offer);
    assert_eq!((manifest.sequence, offer.way), (made.sequence, Way::Pack));
    let items = pack.items(&manifest).unwrap();
    let (mut lists, mut filters, mut policies) = (0, 0, 0);
    for (item, octets) in manifest.items.iter().zip(items) {
        assert_eq!(Digest::of(octets), item.sha256);
        if item.kind == ItemKind::Filter {
            let filter = Full::from_der(octets).unwrap();
            assert!(filter.next_update() >= manifest.valid_until);
            filters += 1;
        }
        if item.kind == ItemKind::Policy {
            let rules: toml::Table = std::str::from_utf8(octets).unwrap().parse().unwrap();
            assert_eq!(
                rules["relying-party"]["services"][0].as_str(),
                Some("broker")
            );
            let hash = house.engine.snapshot().policy.hash.to_string();
            assert_eq!(rules["policy"]["sha256"].as_str(), Some(hash.as_str()));
            policies += 1;
        }
        if item.kind == ItemKind::Crl {
            let list = Crl::from_der(octets).unwrap();
            assert!(list.next_update().unwrap() >= manifest.valid_until);
            let is_ours = item.name.as_str() == "issuing-1";
            let found = list.find(pump.cert.serial()).unwrap();
            assert_eq!(found.is_some(), is_ours);
            lists += 1;
        }
    }
    assert_eq!((lists, filters, policies), (2, 1, 1));

    // It is carried from now on: nothing is offered that nobody would fetch.
    house.pass(7 * 3_600);
    house.engine.publish().await.unwrap();
    assert_eq!(house.engine.offer_feeds().await.unwrap().offered, 0);
    house.engine.watch_feeds().await.unwrap();
    assert_eq!(open_findings(&house), [""; 0]);
    house.pass(WEEK_S);
    house.engine.watch_feeds().await.unwrap();
    assert_eq!(open_findings(&house), ["not acknowledged"]);

    let receipt = |made: &MadePack, hash| Receipt {
        applied_at: house.clock.now(),
        manifest: hash,
        party: "broker-3".parse().unwrap(),
        sequence: made.sequence,
        version: 1,
    };
    let first = receipt(&made, manifest.digest());
    let key = Digest::of(token.as_bytes()).0;
    let take = async |file: String| {
        house
            .engine
            .take_receipt(&house.admin, file.as_bytes())
            .await
    };
    assert!(
        take(first.seal(&[7; 32])).await.is_err(),
        "sealed by another"
    );
    let (taken, observed) = take(first.seal(&key)).await.unwrap();
    assert_eq!((taken, observed), (first.clone(), Observed::First));
    house.engine.watch_feeds().await.unwrap();
    assert_eq!(open_findings(&house), ["too old"], "it is in use, and old");

    let newer = export(&house).await;
    let hash = state(&house).1.hash;
    take(receipt(&newer, hash).seal(&key)).await.unwrap();
    house.engine.watch_feeds().await.unwrap();
    assert_eq!(open_findings(&house), [""; 0]);
    assert!(take(first.seal(&key)).await.is_err(), "it does not go back");
    // One that acknowledges over the network is on the network again.
    let third = export(&house).await;
    apply(&house, third.sequence, state(&house).1.hash)
        .await
        .unwrap();
    assert_eq!(state(&house).0.way(), Way::Pull);
    house.pass(1);
    assert_eq!(house.engine.offer_feeds().await.unwrap().offered, 1);
}

/// A round that finds a pack being made does not wait for it, nor undo what it does.
#[tokio::test]
async fn g11_a_round_leaves_a_party_alone_while_its_first_pack_is_made() {
    let house = followed().await;
    house.enrolled("pump-1").await;
    revoke(&house, "pump-1").await;
    let mut making = std::pin::pin!(export(&house));
    let begun = poll_fn(|cx| Poll::Ready(making.as_mut().poll(cx))).await;
    assert!(
        begun.is_pending(),
        "it waits for its list, and has its turn"
    );
    house.pass(1);
    let (round, _) = tokio::join!(house.engine.offer_feeds(), making);
    let round = round.unwrap();
    assert_eq!((round.offered, round.again_s), (0, Some(1)));
    assert_eq!(state(&house).0.way(), Way::Pack);
    assert_eq!(house.engine.offer_feeds().await.unwrap().offered, 0);
}

/// A relying party that says it applied a bundle with the successor is ready, before any probe.
#[tokio::test]
async fn e6_an_acknowledged_feed_lets_a_successor_be_activated() {
    use tenure_domain::change::IssuerMove;
    use tenure_domain::rollover::{Step, Succession};
    use tenure_engine::ceremony::{NewIssuerKeys, Purpose};
    let house = followed().await;
    let root = house.engine.key("root").unwrap();
    let keys = NewIssuerKeys {
        issuer: key("issuing-2", Doors::ISSUER, KeyKind::P256),
        responder: Some(key("ocsp-issuing-2", Doors::RESPONDER, KeyKind::P256)),
    };
    let follow = Purpose::Follow("issuing-1".parse().unwrap());
    let made = house.engine.add_issuer(follow, keys, &root).await;
    made.unwrap();
    let step = |step| {
        house.change(Change::MoveIssuer(Box::new(IssuerMove {
            issuer: "issuing-2".parse().unwrap(),
            step,
            except: Vec::new(),
            why: String::new(),
            succession: Succession::Needed,
        })))
    };
    house.pass(10);
    house.engine.offer_feeds().await.unwrap();
    let (_, before) = state(&house);
    apply(&house, before.sequence, before.hash).await.unwrap();
    house.pass(10);
    step(Step::Distribute).await.unwrap();
    assert!(
        step(Step::Activate).await.is_err(),
        "it holds the one before"
    );
    house.pass(10);
    house.engine.offer_feeds().await.unwrap();
    let (_, offer) = state(&house);
    assert!(offer.sequence > before.sequence);
    assert!(step(Step::Activate).await.is_err(), "offered, not applied");
    apply(&house, offer.sequence, offer.hash).await.unwrap();
    step(Step::Activate).await.unwrap();
}
