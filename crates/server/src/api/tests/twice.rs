//! The same call twice is done once.

use std::future::poll_fn;
use std::task::Poll;

use axum::body::Body;
use hyper::{Request, StatusCode};
use serde_json::{Value, json};
use tenure_domain::operator::Role;
use tenure_engine::store::idempotency;

use super::house::{House, Reply};

async fn keyed(house: &House, token: &str, key: &str, path: &str, body: &Value) -> Reply {
    let request = Request::post(format!("/api/v1{path}"))
        .header("authorization", format!("Bearer {token}"))
        .header("content-type", "application/json")
        .header("idempotency-key", key)
        .body(Body::from(body.to_string()));
    house.send(request.unwrap()).await
}

fn pump(id: &str) -> Value {
    json!({
        "id": id, "class": "pump", "site": "Hall 3", "owner": "Hydraulics", "services": ["broker"],
    })
}

#[tokio::test]
async fn a_repeated_call_gets_the_first_answer() {
    let house = House::furnished().await;
    let first = keyed(&house, &house.admin, "k1", "/devices", &pump("pump-1")).await;
    let again = keyed(&house, &house.admin, "k1", "/devices", &pump("pump-1")).await;
    assert_eq!(first.status, StatusCode::OK);
    assert_eq!(again.status, StatusCode::OK);
    assert_eq!(first.body, again.body);
    assert_eq!(again.headers["idempotency-replayed"], "true");
    // A problem is an answer too.
    let first = keyed(&house, &house.admin, "k2", "/devices", &pump("pump-1")).await;
    let again = keyed(&house, &house.admin, "k2", "/devices", &pump("pump-1")).await;
    assert_eq!(
        (first.status, again.status),
        (StatusCode::CONFLICT, StatusCode::CONFLICT)
    );
    assert_eq!(first.body, again.body);
}

#[tokio::test]
async fn another_body_under_the_same_key_is_a_conflict() {
    let house = House::furnished().await;
    keyed(&house, &house.admin, "k1", "/devices", &pump("pump-1"))
        .await
        .ok();
    let other = keyed(&house, &house.admin, "k1", "/devices", &pump("pump-2")).await;
    assert_eq!(other.status, StatusCode::CONFLICT);
    assert_eq!(other.word(), "idempotency-key");
    assert_eq!(
        house.get("/devices/pump-2").await.status,
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn a_key_belongs_to_its_token_and_lasts_a_day() {
    let house = House::furnished().await;
    let other = house.token(Role::Operator).await;
    keyed(&house, &house.admin, "k1", "/devices", &pump("pump-1"))
        .await
        .ok();
    keyed(&house, &other, "k1", "/devices", &pump("pump-2"))
        .await
        .ok();
    house.clock.move_to(house.clock.now().plus(25 * 3600));
    keyed(&house, &house.admin, "k1", "/devices", &pump("pump-3"))
        .await
        .ok();
}

#[tokio::test]
async fn a_secret_is_never_kept_to_be_shown_again() {
    let house = House::furnished().await;
    house.device("pump-1").await;
    let path = "/devices/pump-1/secret";
    let first = keyed(&house, &house.admin, "k1", path, &json!({}))
        .await
        .ok();
    let again = keyed(&house, &house.admin, "k1", path, &json!({})).await;
    assert_eq!(again.status, StatusCode::CONFLICT);
    assert_eq!(again.word(), "shown-once");
    assert!(
        !again
            .body
            .to_string()
            .contains(first["secret"].as_str().unwrap())
    );
}

#[tokio::test]
async fn an_endless_key_is_refused() {
    let house = House::furnished().await;
    let reply = keyed(
        &house,
        &house.admin,
        &"k".repeat(500),
        "/devices",
        &pump("p"),
    )
    .await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_call_that_the_servers_end_cut_short_is_not_done_again() {
    let house = House::furnished().await;
    let (key, path) = ("k1", "/devices/pump-1/secret");
    house.device("pump-1").await;
    let first = keyed(&house, &house.admin, key, path, &json!({})).await;
    assert_eq!(first.status, StatusCode::OK);
    // As it is kept while the call is carried out.
    let store = house.engine.store();
    let now = house.clock.now();
    let caller = "token 1";
    let mut kept = store
        .glance(|tx| idempotency::kept(tx, caller, key, now))
        .unwrap()
        .unwrap();
    kept.status = 1;
    let (caller, named) = (caller.to_owned(), key.to_owned());
    store.keep_answer(caller, named, kept, now).await.unwrap();
    let again = keyed(&house, &house.admin, key, path, &json!({})).await;
    assert_eq!(again.status, StatusCode::CONFLICT);
    assert_eq!(again.word(), "cut-short");
}

#[tokio::test]
async fn a_change_is_carried_out_to_the_end_though_its_caller_hangs_up() {
    let house = House::furnished().await;
    let classes = || house.engine.snapshot().classes.len();
    let before = classes();
    let valve = json!({ "name": "valve", "profile": "device" });
    let mut call = Box::pin(house.post("/classes", valve));
    let begun = poll_fn(|context| Poll::Ready(call.as_mut().poll(context)));
    assert!(begun.await.is_pending(), "answered before it was recorded");
    drop(call);
    for _ in 0..1000 {
        if classes() > before {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    panic!("recorded or not, the class never came into force");
}
