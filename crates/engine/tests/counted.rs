//! What is counted by the minute and recorded when the minute is over.

mod house;

use std::collections::BTreeSet;
use std::net::IpAddr;

use house::House;
use tenure_domain::decision::Question;
use tenure_domain::text::hex;
use tenure_engine::store::StoreError;
use tenure_engine::store::idempotency::Kept;
use tenure_engine::{DecideAsk, Identity};
use tenure_x509::{Time, sha256};

/// More than what room is left in the pages that are begun.
const LINES: u8 = 200;

/// Leaves no room in the database; answers the names of what takes it.
async fn fill(house: &House) -> Vec<String> {
    let mut names = Vec::new();
    for octets in [65_536, 4_096, 64] {
        loop {
            let name = names.len().to_string();
            let kept = Kept {
                request: [0; 32],
                status: 200,
                answer: vec![0; octets],
            };
            let store = house.engine.store();
            let now = house.clock.now();
            match store
                .keep_answer("test".into(), name.clone(), kept, now)
                .await
            {
                Ok(()) => names.push(name),
                Err(StoreError::DiskFull) => break,
                Err(error) => panic!("{error}"),
            }
        }
    }
    names
}

#[tokio::test]
async fn what_a_full_disk_does_not_take_is_recorded_when_there_is_room() {
    let house = House::found_small(2_000).await;
    let engine = &house.engine;
    let refuse = |n| engine.count_stranger("device", Some(IpAddr::from([10, 0, n, 1])), "so");
    let deny = |n| {
        let party = format!("party-{n}").parse().unwrap();
        let question = Question {
            party: Some(party),
            ..Question::default()
        };
        let identity = Identity::Named;
        engine.decide(&DecideAsk { identity, question }).unwrap();
    };
    (0..LINES).for_each(refuse);
    (0..LINES).for_each(deny);
    let full = fill(&house).await;
    assert!(engine.record_strangers(Time::NEVER).await.is_err());
    assert!(engine.record_denials(Time::NEVER).await.is_err());
    refuse(0);
    deny(0);
    for name in full {
        let forgotten = engine.store().forget_answer("test".into(), name);
        forgotten.await.unwrap();
    }
    engine.record_strangers(Time::NEVER).await.unwrap();
    engine.record_denials(Time::NEVER).await.unwrap();
    for kind in ["strangers-refused", "access-denied"] {
        let leaves = house.leaves(kind);
        assert_eq!(leaves.len(), usize::from(LINES), "{kind}");
        let twice = leaves.iter().filter(|leaf| leaf.contains("\"count\":2"));
        assert_eq!(twice.count(), 1, "{kind}");
    }
}

#[tokio::test]
async fn a_source_network_cannot_be_found_from_its_hash() {
    let house = House::found().await;
    let mut recorded = Vec::new();
    for _ in 0..2 {
        for (n, why) in [(0, "no secret"), (0, "bad secret"), (1, "bad secret")] {
            let source = IpAddr::from([10, 0, n, 1]);
            house.engine.count_stranger("device", Some(source), why);
        }
        house.engine.record_strangers(Time::NEVER).await.unwrap();
        let leaves = house.leaves("strangers-refused");
        let hashes: BTreeSet<_> = leaves.iter().map(|leaf| source_hash(leaf)).collect();
        recorded.push(hashes);
    }
    let [first, both] = <[_; 2]>::try_from(recorded).unwrap();
    assert_eq!(
        (first.len(), both.len()),
        (2, 4),
        "they are told apart once"
    );
    let minute = Time::from_unix(house::START.unix().div_euclid(60) * 60);
    for n in [0, 1] {
        let tried = sha256(format!("{minute} 10.0.{n}.0").as_bytes());
        assert!(!both.contains(&hex(&tried)));
    }
}

fn source_hash(leaf: &str) -> String {
    let (_, rest) = leaf.split_once(r#""source_hash":""#).unwrap();
    rest.split('"').next().unwrap().to_owned()
}
