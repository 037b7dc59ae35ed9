//! Relying parties, asked as a client would.

use hyper::StatusCode;
use serde_json::{Value, json};

use super::house::House;

fn broker(name: &str) -> Value {
    json!({
        "name": name, "address": "broker.plant.example:8883", "protocol": "mqtt",
        "services": ["broker"], "owner": "Hydraulics", "site": "Hall 3",
    })
}

#[tokio::test]
async fn a_relying_party_is_added_changed_listed_and_taken_away() {
    let house = House::furnished().await;
    for name in ["b", "a", "c"] {
        let made = house.post("/relying-parties", broker(name)).await.ok();
        assert_eq!(made["server_name"], "broker.plant.example");
        assert_eq!(
            (&made["checks"], &made["session"], &made["enforce_within_s"]),
            (&json!("crl"), &json!("handshake"), &json!(300))
        );
    }
    let names = |list: Value| {
        let items = list["items"].as_array().unwrap().clone();
        items
            .into_iter()
            .map(|item| item["name"].clone())
            .collect::<Vec<_>>()
    };
    let first = house.get("/relying-parties?limit=2").await.ok();
    assert_eq!(first["next"], "b");
    assert_eq!(names(first), ["a", "b"]);
    let second = house.get("/relying-parties?limit=2&cursor=b").await.ok();
    assert_eq!(names(second), ["c"]);

    let mut changed = broker("a");
    changed["issuers"] = json!(["issuing-1"]);
    changed["criticality"] = json!("safety");
    changed["enforce_within_s"] = json!(5);
    house.post("/relying-parties", changed.clone()).await.ok();
    house.post("/relying-parties", changed).await.ok();
    let shown = house.get("/relying-parties/a").await.ok();
    assert_eq!(
        (&shown["criticality"], &shown["issuers"]),
        (&json!("safety"), &json!(["issuing-1"]))
    );
    let events = house.get("/events?limit=1000").await.ok();
    let said = events["items"].to_string();
    let news = "\"what\":\"relying-party-changed\"";
    assert_eq!(
        said.matches(news).count(),
        1,
        "the same put twice is no news"
    );

    let path = "/relying-parties/a";
    let gone = house.call(Some(&house.admin), "DELETE", path, Value::Null);
    assert_eq!(gone.await.ok()["name"], "a");
    assert_eq!(house.get(path).await.status, StatusCode::NOT_FOUND);
    let left = house.get("/relying-parties").await.ok();
    assert_eq!(names(left), ["b", "c"]);
    house.post("/relying-parties", broker("a")).await.ok();
    assert_eq!(house.get(path).await.ok()["criticality"], "medium");
}

#[tokio::test]
async fn a_relying_party_that_cannot_be_probed_is_not_taken() {
    let house = House::furnished().await;
    for (field, value) in [
        ("name", json!("..")),
        ("address", json!("broker")),
        ("protocol", json!("ftp")),
        ("owner", json!("Nobody")),
        ("site", json!("Nowhere")),
        ("services", json!(["historian"])),
        ("issuers", json!(["root"])),
        ("anchors_pem", json!("no certificate")),
        ("enforce_within_s", json!(0)),
        ("checks", json!("sometimes")),
        ("colour", json!("red")),
    ] {
        let mut wrong = broker("a");
        wrong[field] = value;
        let reply = house.post("/relying-parties", wrong).await;
        assert_eq!(
            reply.status,
            StatusCode::BAD_REQUEST,
            "{field}: {}",
            reply.body
        );
    }
}
