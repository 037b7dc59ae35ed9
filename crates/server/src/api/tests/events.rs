//! The record as a list.

use hyper::StatusCode;
use serde_json::{Value, json};

use super::house::House;

/// Numbers of a list's events, and its cursor.
async fn events(house: &House, query: &str) -> (Vec<i64>, Value) {
    let page = house.get(&format!("/events?{query}")).await.ok();
    let items = page["items"].as_array().unwrap().iter();
    let numbers = items.map(|event| event["seq"].as_i64().unwrap()).collect();
    (numbers, page["next"].clone())
}

#[tokio::test]
async fn the_record_is_read_from_either_end() {
    let house = House::furnished().await;
    house.device("pump-1").await;
    let (all, _) = events(&house, "limit=1000").await;
    let mut back = Vec::new();
    let mut cursor = String::new();
    loop {
        let (page, next) = events(&house, &format!("order=newest&limit=4{cursor}")).await;
        back.extend(page);
        let Some(next) = next.as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert!(all.len() > 8, "{all:?}");
    assert!(all.iter().rev().eq(&back), "{all:?} {back:?}");
    let after = all[all.len() - 3];
    let query = format!("order=newest&after={after}");
    let last: Vec<_> = all.iter().rev().take(2).copied().collect();
    assert_eq!(events(&house, &query).await, (last, Value::Null));
    let (said, _) = events(&house, "order=oldest&limit=2").await;
    assert_eq!(said, all[..2]);

    let (of_pump, _) = events(&house, "device=pump-1&order=newest").await;
    assert_eq!(of_pump, events(&house, "device=pump-1").await.0);
    for query in ["order=size", "device=pump-1&order=oldest"] {
        let refused = house.get(&format!("/events?{query}")).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST);
        let said = refused.body["detail"].as_str().unwrap();
        assert!(said.starts_with("order: "), "{said}");
    }
}

#[tokio::test]
async fn a_revocation_is_counted_whatever_it_comes_with() {
    let house = House::furnished().await;
    let counted = async || {
        let metrics = house.metrics().await;
        let mut lines = metrics.lines();
        let line = lines.find(|line| line.starts_with("tenure_certificates_withdrawn_total "));
        line.unwrap().rsplit(' ').next().unwrap().to_owned()
    };
    house.enrolled("pump-1").await;
    let second = house.enrolled("pump-2").await;
    assert_eq!(counted().await, "0");
    let retire = house.post("/devices/pump-1/retire", json!({})).await;
    retire.ok();
    assert_eq!(counted().await, "1");
    let path = format!("/certificates/{}/revoke", second.row.serial);
    house
        .post(&path, json!({ "reason": "superseded" }))
        .await
        .ok();
    assert_eq!(counted().await, "2");
}
