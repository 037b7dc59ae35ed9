//! The feed of a relying party over the API: for itself alone.

use hyper::StatusCode;
use serde_json::{Value, json};
use tenure_domain::operator::Role;

use super::house::House;

async fn offered() -> (House, String) {
    let house = House::furnished().await;
    let token = house.token(Role::RelyingParty).await;
    house.engine.offer_feeds().await.unwrap();
    (house, token)
}

fn manifest(note: &Value) -> Value {
    let text = note.as_str().unwrap();
    serde_json::from_str(text.lines().next().unwrap()).unwrap()
}

#[tokio::test]
async fn g6_a_manifest_is_fetched_waited_for_and_acknowledged() {
    let (house, token) = offered().await;
    let get = async |path: &str| house.call(Some(&token), "GET", path, Value::Null).await;
    let first = get("/feed/broker-3").await;
    let tag = first.headers["etag"].clone();
    let note = first.ok();
    let found = manifest(&note);
    let sequence = found["sequence"].as_i64().unwrap();
    assert_eq!(found["party"], "broker-3");
    let text = note.as_str().unwrap().lines().next().unwrap().to_owned() + "\n";
    let hash = tenure_domain::text::hex(&tenure_x509::sha256(text.as_bytes()));
    assert_eq!(tag.to_str().unwrap(), format!("\"{sequence}-{hash}\""));
    for item in found["items"].as_array().unwrap() {
        let path = format!("/feed/broker-3/items/{}", item["sha256"].as_str().unwrap());
        assert!(get(&path).await.status.is_success(), "{item}");
    }
    let absent = get(&format!("/feed/broker-3/items/{hash}")).await;
    assert_eq!(absent.status, StatusCode::NOT_FOUND);

    let none = get(&format!("/feed/broker-3?after={sequence}")).await;
    assert_eq!(none.status, StatusCode::NO_CONTENT);
    let waiting = format!("/feed/broker-3?after={sequence}&wait=60");
    let (heard, _) = tokio::join!(get(&waiting), async {
        house.clock.move_to(house.clock.now().plus(7 * 3_600));
        house.engine.publish().await.unwrap();
        house.engine.offer_feeds().await.unwrap();
    });
    let second = manifest(&heard.ok());
    assert!(second["sequence"].as_i64().unwrap() > sequence);

    let ack = json!({ "sequence": sequence, "sha256": hash, "applied_at": "2026-11-22T08:00:00Z" });
    let post = async |body| {
        house
            .call(Some(&token), "POST", "/feed/broker-3/ack", body)
            .await
    };
    assert_eq!(post(ack.clone()).await.ok()["seen"], "first");
    assert_eq!(post(ack).await.ok()["seen"], "known");
    let never = json!({ "sequence": sequence, "sha256": "00".repeat(32), "applied_at": "2026-11-22T08:00:00Z" });
    assert_eq!(post(never).await.status, StatusCode::CONFLICT);
    let shown = house.get("/feeds/broker-3").await.ok();
    assert_eq!(shown["applied"], sequence, "{shown}");
    assert_eq!(shown["current"], false, "{shown}");
    assert_eq!(shown["manifest"], hash, "{shown}");
    assert_eq!(shown["anchors"].as_array().unwrap().len(), 1, "{shown}");
    let listed = house.get("/feeds").await.ok();
    assert_eq!(listed["items"][0], shown);
    let key = house.get("/feed-key").await.ok();
    assert!(key.as_str().unwrap().starts_with("tenure-feed+"), "{key}");
}

#[tokio::test]
async fn i4_a_token_opens_one_feed_and_nothing_else() {
    let (house, token) = offered().await;
    let other = json!({
        "name": "broker-4", "address": "127.0.0.1:8884", "services": ["broker"],
        "owner": "Hydraulics", "site": "Hall 3",
    });
    house.post("/relying-parties", other).await.ok();
    for path in [
        "/feed/broker-4",
        "/feed/nobody",
        "/feeds",
        "/feeds/broker-3",
        "/fleet",
        "/relying-parties",
        "/tokens",
    ] {
        let reply = house.call(Some(&token), "GET", path, Value::Null).await;
        assert_eq!(reply.status, StatusCode::FORBIDDEN, "{path}");
    }
    let reply = house
        .call(Some(&token), "POST", "/feed/broker-4/ack", json!({}))
        .await;
    assert!(reply.status.is_client_error());
    // A fresh token in its place opens the same.
    let rotated = house
        .call(Some(&token), "POST", "/tokens/rotate", json!({}))
        .await
        .ok();
    let fresh = rotated["token"].as_str().unwrap();
    let reply = house
        .call(Some(fresh), "GET", "/feed/broker-3", Value::Null)
        .await;
    assert_eq!(reply.status, StatusCode::OK);
    // It reports what was seen at its own door, and at nobody else's.
    let seen = house.enrolled("pump-77").await;
    let report =
        |service: &str| json!({ "serial": seen.row.serial.to_string(), "service": service });
    let other = house.call(Some(fresh), "POST", "/sightings", report("historian"));
    assert_eq!(other.await.status, StatusCode::FORBIDDEN);
    let own = house.call(Some(fresh), "POST", "/sightings", report("broker"));
    assert_eq!(own.await.ok()["seen"], "first");

    let unbound = json!({ "name": "x", "role": "relying-party" });
    let unbound = house.post("/tokens", unbound).await.ok();
    let reply = house
        .call(
            unbound["token"].as_str(),
            "GET",
            "/feed/broker-3",
            Value::Null,
        )
        .await;
    assert_eq!(reply.status, StatusCode::FORBIDDEN);
    for body in [
        json!({ "name": "x", "role": "admin", "relying_party": "broker-3" }),
        json!({ "name": "x", "role": "relying-party", "relying_party": "nobody" }),
    ] {
        let reply = house.post("/tokens", body).await;
        assert!(reply.status.is_client_error(), "{}", reply.status);
    }
}
