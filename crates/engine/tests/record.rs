//! The record as an outsider reads it: from tiles, entries and a signed checkpoint alone.

mod house;

use house::{House, outsider};
use tenure_domain::change::{Change, Edit};
use tenure_domain::registry::Site;
use tenure_domain::{Refusal, Standing};
use tenure_engine::duty::integrate::{entry_bundle, log_directory, read_tile};
use tenure_engine::store::{Options, Store, backup, begun_anew_at, event, log_state};
use tenure_engine::{Engine, Rejection, Settings};
use tenure_tlog::{TilePath, bundles_between, consistency, verify_consistency};

async fn sites(house: &House, from: usize, to: usize) {
    for no in from..to {
        let site = Site {
            name: format!("Cell {no}").parse().unwrap(),
            parent: None,
        };
        house
            .change(Change::PutSite(Edit::new(site)))
            .await
            .unwrap();
    }
}

/// L4, of an honest record. Leaves out: one that was changed, which the stories try.
#[tokio::test]
async fn l4_what_is_sealed_is_read_and_verified_from_outside_and_only_grows() {
    let house = House::found().await;
    house.engine.integrate().await.unwrap();
    let first = outsider(&house);
    sites(&house, 0, 300).await;
    house.engine.integrate().await.unwrap();
    let second = outsider(&house);
    assert_eq!(second.size(), first.size() + 300);
    let directory = house.directory.path();
    let read = |path: &TilePath| read_tile(directory, path);
    let proof = consistency(first.size(), second.size(), read).unwrap();
    verify_consistency(
        first.size(),
        first.root(),
        second.size(),
        second.root(),
        &proof,
    )
    .unwrap();
    let sealed_again = house.engine.integrate().await.unwrap();
    assert_eq!(sealed_again, second.size(), "nothing new, nothing sealed");
}

#[tokio::test]
async fn lost_tiles_are_made_again_from_the_record_and_match() {
    let house = House::found().await;
    sites(&house, 0, 20).await;
    house.engine.integrate().await.unwrap();
    let before = outsider(&house);
    std::fs::remove_dir_all(log_directory(house.directory.path())).unwrap();
    house.engine.integrate().await.unwrap();
    assert_eq!(outsider(&house).size(), before.size());
    std::fs::remove_dir_all(log_directory(house.directory.path())).unwrap();
    sites(&house, 20, 21).await;
    house.engine.integrate().await.unwrap();
    let after = outsider(&house);
    assert_eq!(after.size(), before.size() + 1);
}

#[tokio::test]
async fn what_no_bundle_could_hold_is_refused_and_the_record_goes_on() {
    let house = House::found().await;
    house.device("pump-17").await;
    house.engine.integrate().await.unwrap();
    let before = outsider(&house);
    let suspend = |why: String| Change::SetStanding {
        device: "pump-17".parse().unwrap(),
        to: Standing::Suspended,
        why,
    };
    let refused = house.change(suspend("x".repeat(70_000))).await;
    let Err(Rejection::Refusal(Refusal::BadRequest { what })) = refused else {
        panic!("{refused:?}");
    };
    assert!(what.contains("fewer words"), "{what}");
    house.change(suspend("x".repeat(60_000))).await.unwrap();
    house.engine.integrate().await.unwrap();
    assert_eq!(outsider(&house).size(), before.size() + 1);
}

#[tokio::test]
async fn a_leaf_names_what_happened_and_holds_no_personal_data() {
    let house = House::found().await;
    house.enrolled("pump-17").await;
    house.engine.integrate().await.unwrap();
    let checkpoint = outsider(&house);
    let mut words = Vec::new();
    for path in bundles_between(0, checkpoint.size()) {
        let store = house.engine.store();
        let bundle = store.glance(|tx| entry_bundle(tx, &path)).unwrap().unwrap();
        for entry in bundle.entries() {
            let text = std::str::from_utf8(entry).unwrap();
            assert!(
                !text.contains("h@acme.example"),
                "a contact entered the record: {text}"
            );
            let leaf: serde_json::Value = serde_json::from_str(text).unwrap();
            words.extend(leaf["event"].as_object().unwrap().keys().cloned());
        }
    }
    for word in [
        "device-registered",
        "secret-issued",
        "certificate-reserved",
        "certificate-issued",
    ] {
        assert!(
            words.iter().any(|said| said == word),
            "no {word} in the record"
        );
    }
}

/// Every file below a directory.
fn files(directory: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(files(&path)),
            false => found.push(path),
        }
    }
    found
}

#[tokio::test]
async fn whatever_a_lost_power_supply_leaves_of_the_tiles_they_are_made_again() {
    let house = House::found().await;
    sites(&house, 0, 300).await;
    house.engine.integrate().await.unwrap();
    let mut before = outsider(&house);
    let tears: [fn(&mut Vec<u8>); 4] = [
        Vec::clear,
        |bytes| bytes.truncate(bytes.len() / 2),
        |bytes| bytes.fill(0),
        |bytes| bytes.extend_from_slice(b"more"),
    ];
    for (n, tear) in tears.into_iter().enumerate() {
        for file in files(&log_directory(house.directory.path())) {
            let mut bytes = std::fs::read(&file).unwrap();
            tear(&mut bytes);
            std::fs::write(&file, bytes).unwrap();
        }
        sites(&house, 300 + n, 301 + n).await;
        house.engine.integrate().await.unwrap();
        let after = outsider(&house);
        assert_eq!(after.size(), before.size() + 1, "tear {n}");
        before = after;
    }
}

#[tokio::test]
async fn an_older_database_under_a_newer_checkpoint_goes_on_under_another_name() {
    let house = House::found().await;
    sites(&house, 0, 5).await;
    house.engine.integrate().await.unwrap();
    let kept = outsider(&house);
    let state = house.engine.store().glance(log_state).unwrap().unwrap();
    let copy = house.directory.path().join("copy.db");
    house.engine.store().copy_to(&copy).await.unwrap();
    sites(&house, 5, 9).await;
    house.engine.integrate().await.unwrap();
    let lost = outsider(&house);
    let note = std::fs::read(log_directory(house.directory.path()).join("checkpoint")).unwrap();

    // Somebody stops the server and puts the older database in its place.
    let keys: Vec<_> = [
        "root",
        "issuing-1",
        "ocsp-issuing-1",
        "log",
        "tenure-server",
    ]
    .iter()
    .map(|name| house.engine.key(name).unwrap())
    .collect();
    let House {
        directory,
        engine,
        clock,
        root,
        admin,
    } = house;
    engine.store().close();
    drop(engine);
    backup::restore(&copy, directory.path()).unwrap();
    let store = Store::open(directory.path(), Options::default()).unwrap();
    let settings = Settings::default();
    let engine = Engine::start(store, keys, directory.path(), clock.clone(), settings).unwrap();
    let house = House {
        directory,
        engine,
        clock,
        root,
        admin,
    };
    house.engine.integrate().await.unwrap();
    let now = house.engine.store().glance(log_state).unwrap().unwrap();
    assert_ne!(now.origin, state.origin);
    let begun = begun_anew_at(&now.origin).unwrap();
    let event = house.engine.store().glance(|tx| event::at(tx, begun));
    let leaf = event.unwrap().unwrap().leaf;
    let leaf: serde_json::Value = serde_json::from_slice(&leaf).unwrap();
    let said = &leaf["event"]["log-origin-changed"];
    assert_eq!(said["new"], now.origin.as_str());
    assert_eq!(said["old"], String::from_utf8(note).unwrap());
    // The tree is the former one's up to the copy; the former one's later checkpoint is of another.
    let after = outsider(&house);
    assert_eq!(after.size(), kept.size() + 1);
    assert!(after.size() < lost.size());
    let directory = house.directory.path();
    let read = |path: &TilePath| read_tile(directory, path);
    let proof = consistency(kept.size(), after.size(), read).unwrap();
    verify_consistency(kept.size(), kept.root(), after.size(), after.root(), &proof).unwrap();
    // Once is enough, and a second time is told apart from the first.
    house.engine.integrate().await.unwrap();
    let again = house.engine.store().glance(log_state).unwrap().unwrap();
    assert_eq!(again.origin, now.origin);
    let anew =
        tenure_engine::origin::restored(house.engine.store(), "00".into(), house.clock.now());
    let second = anew.await.unwrap();
    let (base, _) = now.origin.rsplit_once('/').unwrap();
    assert!(second.starts_with(&format!("{base}/")) && second != now.origin);
    assert_eq!(base, state.origin);
}

#[tokio::test]
async fn each_start_and_end_is_told_and_a_clock_far_behind_the_record_once() {
    let house = House::found().await;
    assert!(house.leaves("server-started").is_empty());
    house.engine.record_started("1.2.3").await.unwrap();
    assert!(house.leaves("server-started")[0].contains("1.2.3"));
    house.pass(-300);
    house.engine.record_started("1.2.3").await.unwrap();
    assert!(house.leaves("clock-set-back").is_empty());
    house.pass(-7200);
    house.engine.record_started("1.2.3").await.unwrap();
    let told = house.leaves("clock-set-back");
    assert_eq!(told.len(), 1);
    assert!(told[0].contains(r#""behind_s":7500"#), "{}", told[0]);
    house.engine.start_duties().stop(&house.engine).await;
    assert_eq!(house.leaves("server-started").len(), 3);
    assert_eq!(house.leaves("server-stopped").len(), 1);
    let sealed = house.engine.integrate().await.unwrap();
    let newest = house.engine.store().glance(event::last).unwrap().unwrap();
    assert_eq!(i64::try_from(sealed).unwrap(), newest.0.0, "sealed last");
}

#[tokio::test]
async fn what_is_signed_of_status_is_told_once_a_day_for_each_issuer() {
    let house = House::found().await;
    let told = |day: &str, issuer: &str| -> usize {
        let day = format!(r#""day":"{day}""#);
        let mut told = house.leaves("status-signed");
        told.retain(|leaf| leaf.contains(&day) && leaf.contains(issuer));
        told.len()
    };
    // What the ceremony signed itself.
    assert_eq!(told("2026-09-21", "root"), 1);
    assert_eq!(told("2026-09-21", "issuing-1"), 1);
    // Nothing changes, and the lists are made again in the evening, at night and in the morning.
    for _ in 0..3 {
        house.pass(7 * 3600);
        house.engine.publish().await.unwrap();
        house.engine.record_signed(house.clock.now()).await.unwrap();
    }
    assert_eq!(told("2026-09-21", "issuing-1"), 2);
    assert_eq!(told("2026-09-22", ""), 0, "the day is not over");
    house.pass(86_400);
    for _ in 0..2 {
        house.engine.record_signed(house.clock.now()).await.unwrap();
    }
    assert_eq!(told("2026-09-22", "issuing-1"), 1);
    // Its key is at hand in this house.
    assert_eq!(told("2026-09-22", "root"), 1);
}
