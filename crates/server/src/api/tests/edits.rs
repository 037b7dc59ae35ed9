//! Edits: what is not named stays, and nobody undoes what he has not seen.

use hyper::StatusCode;
use serde_json::{Value, json};
use tenure_engine::MESSAGES;
use tenure_engine::signer::{Doors, Key};
use tenure_x509::{KeyKind, KeyPair};

use super::house::{House, Reply};

impl House {
    async fn patch(&self, path: &str, body: Value) -> Reply {
        self.call(Some(&self.admin), "PATCH", path, body).await
    }
}

/// The fields of `said` are so in what is shown at `path`.
async fn holds(house: &House, path: &str, said: Value) {
    let shown = house.get(path).await.ok();
    for (field, value) in said.as_object().unwrap() {
        assert_eq!(&shown[field], value, "{field} of {path}");
    }
}

#[tokio::test]
async fn what_an_edit_does_not_name_stays() {
    let house = House::furnished().await;
    let full = json!({
        "name": "valve", "connectivity": "offline", "exposure": "isolated", "impact": "safety",
        "renewability": "manual", "server_keygen": "allowed", "replaced": "revoke-when-confirmed",
        "fork_allowance": 3,
    });
    house.post("/classes", full.clone()).await.ok();
    let one = json!({ "name": "valve", "impact": "low" });
    house.post("/classes", one).await.ok();
    let mut want = full;
    want["impact"] = json!("low");
    want["profile"] = json!("device");
    holds(&house, "/classes/valve", want).await;

    let inner = json!({ "name": "Cell 1", "parent": "Hall 3" });
    house.post("/sites", inner.clone()).await.ok();
    house.post("/sites", json!({ "name": "Cell 1" })).await.ok();
    holds(&house, "/sites/Cell%201", inner).await;
    let out = json!({ "name": "Cell 1", "parent": "" });
    house.post("/sites", out).await.ok();
    holds(&house, "/sites/Cell%201", json!({ "parent": null })).await;

    let owner = json!({ "name": "Water", "contact": "w@acme.example" });
    house.post("/owners", owner.clone()).await.ok();
    house.post("/owners", json!({ "name": "Water" })).await.ok();
    holds(&house, "/owners/Water", owner).await;
}

#[tokio::test]
async fn a_relying_party_and_a_hook_keep_what_an_edit_does_not_name() {
    let house = House::furnished().await;
    let party = json!({
        "name": "b", "address": "broker.plant.example:8883", "protocol": "mqtt",
        "server_name": "mqtt.plant.example", "services": ["broker"], "issuers": ["issuing-1"],
        "criticality": "safety", "owner": "Hydraulics", "site": "Hall 3", "checks": "ocsp",
        "session": "continuous", "enforce_within_s": 5,
    });
    let path = "/relying-parties/b";
    house.post("/relying-parties", party.clone()).await.ok();
    let edit = json!({ "enforce_within_s": 60 });
    house.patch(path, edit).await.ok();
    let mut want = party;
    want["enforce_within_s"] = json!(60);
    holds(&house, path, want).await;
    // A new address brings its own name.
    let moved = json!({ "address": "other.plant.example:8883" });
    let shown = house.patch(path, moved).await.ok();
    assert_eq!(shown["server_name"], "other.plant.example");
    let cleared = json!({ "issuers": [] });
    assert_eq!(house.patch(path, cleared).await.ok()["issuers"], json!([]));

    let pair = KeyPair::generate(KeyKind::P256).unwrap();
    let messages = Key::in_memory(MESSAGES, Doors::MESSAGES, pair);
    house.engine.add_key(messages);
    let hook = json!({
        "name": "sec", "kind": "caep", "address": "https://siem.plant.example/set",
        "secret": "a bearer token", "changes": ["certificate-revoked"], "again_after_s": 9,
        "owner": "Hydraulics", "criticality": "high",
    });
    house.post("/hooks", hook).await.ok();
    let edit = json!({ "address": "https://other.plant.example/set" });
    house.patch("/hooks/sec", edit).await.ok();
    let want = json!({
        "address": "https://other.plant.example/set", "again_after_s": 9, "has_secret": true,
        // It was left to the address, and follows it.
        "audience": "https://other.plant.example/set",
        "changes": ["certificate-revoked"], "criticality": "high",
    });
    holds(&house, "/hooks/sec", want).await;

    for path in ["/relying-parties/b", "/hooks/sec"] {
        let renamed = house.patch(path, json!({ "name": "c" })).await;
        assert_eq!(renamed.status, StatusCode::BAD_REQUEST);
        assert!(renamed.body.to_string().contains("name: "));
        let unknown = path.rsplit_once('/').unwrap().0.to_owned() + "/nobody";
        let reply = house.patch(&unknown, json!({})).await;
        assert_eq!(reply.status, StatusCode::NOT_FOUND);
    }
}

/// Each names another field of the same thing at the same time: whoever is told that it was done
/// finds it done, whoever came too late is told so.
#[tokio::test]
async fn two_operators_at_once_do_not_undo_each_other() {
    let house = House::furnished().await;
    house.device("pump-17").await;
    house
        .post("/classes", json!({ "name": "valve" }))
        .await
        .ok();
    let (class, device) = ("/classes/valve", "/devices/pump-17");
    let put = async |body: Value| {
        let reply = house.post("/classes", body.clone()).await;
        (class, body, reply)
    };
    let patch = async |body: Value| {
        let reply = house.patch(device, body.clone()).await;
        (device, body, reply)
    };
    let replies = tokio::join!(
        put(json!({ "name": "valve", "impact": "safety" })),
        put(json!({ "name": "valve", "exposure": "isolated" })),
        put(json!({ "name": "valve", "fork_allowance": 3 })),
        patch(json!({ "model": "P2" })),
        patch(json!({ "serial": "SN-2" })),
        patch(json!({ "criticality": "safety" })),
    );
    let mut done = 0;
    for (path, said, reply) in <[(&str, Value, Reply); 6]>::from(replies) {
        match reply.status {
            StatusCode::OK => {
                done += 1;
                holds(&house, path, said).await;
            }
            status => assert_eq!(
                (status, reply.word()),
                (StatusCode::CONFLICT, "conflict"),
                "{}",
                reply.body
            ),
        }
    }
    assert!((2..6).contains(&done), "{done} of six were done");
}
