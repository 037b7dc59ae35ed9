//! Every route against every role: what a token may not do answers 403 and shows nothing, and
//! without a token that works everything answers 401.

use hyper::StatusCode;
use serde_json::{Value, json};
use tenure_domain::operator::Role;

use super::house::House;
use crate::api::{Needs, routes};

/// A path with something in each place that varies.
fn concrete(path: &str) -> String {
    let pieces = path.split('/').map(|piece| match piece {
        "{*path}" => "0/000".to_owned(),
        "{no}" | "{event}" => "1".to_owned(),
        "{serial}" => "01".to_owned(),
        "{party}" => "broker-3".to_owned(),
        "{issuer}" => "issuing-1".to_owned(),
        piece if piece.starts_with('{') => "pump-1".to_owned(),
        piece => piece.to_owned(),
    });
    pieces.collect::<Vec<_>>().join("/")
}

#[tokio::test]
async fn each_role_may_exactly_what_it_should() {
    let house = House::furnished().await;
    house.enrolled("pump-1").await;
    let mut tokens = Vec::new();
    for role in Role::ALL {
        tokens.push((*role, house.token(*role).await));
    }
    for route in routes() {
        let Needs::Permission(permission) = route.needs else {
            continue;
        };
        for (role, token) in &tokens {
            if role.may(permission).is_ok() {
                continue;
            }
            let path = concrete(route.path);
            let reply = house
                .call(Some(token), route.method.as_str(), &path, Value::Null)
                .await;
            let what = format!("{role}: {} {path}: {}", route.method, reply.body);
            assert_eq!(reply.status, StatusCode::FORBIDDEN, "{what}");
            assert_eq!(reply.word(), "forbidden", "{what}");
            let said = reply.body.to_string();
            assert!(
                !said.contains("Hall 3") && !said.contains("PRIVATE"),
                "{what}"
            );
        }
    }
}

#[tokio::test]
async fn each_role_gets_through_where_it_may() {
    let house = House::furnished().await;
    house.enrolled("pump-1").await;
    let mut tokens = Vec::new();
    for role in Role::ALL {
        tokens.push((*role, house.token(*role).await));
    }
    for route in routes()
        .into_iter()
        .filter(|route| route.method == hyper::Method::GET)
    {
        for (role, token) in &tokens {
            let may = match route.needs {
                Needs::Nothing | Needs::AnyToken => true,
                Needs::Permission(permission) => role.may(permission).is_ok(),
            };
            if may {
                let path = concrete(route.path);
                let reply = house.call(Some(token), "GET", &path, Value::Null).await;
                let status = reply.status;
                let refused = [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN].contains(&status);
                assert!(!refused, "{role}: GET {path}: {status}");
                assert!(
                    !status.is_server_error(),
                    "{role}: GET {path}: {status} {}",
                    reply.body
                );
            }
        }
    }
}

#[tokio::test]
async fn without_a_token_that_works_everything_is_closed() {
    let house = House::furnished().await;
    let revoked = house.token(Role::Admin).await;
    let listed = house.get("/tokens").await.ok();
    let no = listed["items"]
        .as_array()
        .unwrap()
        .iter()
        .find(|t| t["name"] == "a admin")
        .unwrap();
    let path = format!("/tokens/{}", no["no"]);
    house
        .call(Some(&house.admin), "DELETE", &path, Value::Null)
        .await
        .ok();
    let expired = house
        .post(
            "/tokens",
            json!({ "name": "short", "role": "admin", "days": 1 }),
        )
        .await
        .ok();
    let expired = expired["token"].as_str().unwrap();
    house.clock.move_to(house.clock.now().plus(2 * 86_400));
    for route in routes() {
        for token in [
            None,
            Some(""),
            Some("tnr_00"),
            Some(revoked.as_str()),
            Some(expired),
        ] {
            let path = concrete(route.path);
            let reply = house
                .call(token, route.method.as_str(), &path, Value::Null)
                .await;
            if route.needs == Needs::Nothing {
                assert_eq!(reply.status, StatusCode::OK, "{path}");
                continue;
            }
            assert_eq!(
                reply.status,
                StatusCode::UNAUTHORIZED,
                "{} {path}",
                route.method
            );
            assert_eq!(reply.headers["www-authenticate"], "Bearer");
        }
    }
}

#[tokio::test]
async fn what_is_not_there_is_404_and_a_wrong_method_405() {
    let house = House::found().await;
    assert_eq!(house.get("/nothing").await.status, StatusCode::NOT_FOUND);
    let reply = house
        .call(Some(&house.admin), "DELETE", "/fleet", Value::Null)
        .await;
    assert_eq!(reply.status, StatusCode::METHOD_NOT_ALLOWED);
    for path in [
        "/devices/nobody",
        "/issuers/nobody",
        "/certificates/00ff",
        "/asks/9",
        "/owners/x",
    ] {
        let reply = house.get(path).await;
        assert_eq!(
            reply.status,
            StatusCode::NOT_FOUND,
            "{path}: {}",
            reply.body
        );
        assert_eq!(reply.headers["content-type"], "application/problem+json");
    }
}

#[tokio::test]
async fn a_refused_call_is_on_record_with_its_caller() {
    let house = House::furnished().await;
    let reader = house.token(Role::Reader).await;
    let body = json!({ "name": "mine", "role": "admin" });
    let reply = house.call(Some(&reader), "POST", "/tokens", body).await;
    assert_eq!(reply.status, StatusCode::FORBIDDEN);
    let events = house.get("/events?limit=1000").await.ok();
    let last = events["items"].as_array().unwrap().last().unwrap();
    assert_eq!(
        (&last["what"], &last["by"]),
        (&json!("ask-refused"), &json!("a reader (reader)"))
    );
    let rule = last["detail"]["rule"].as_str().unwrap();
    assert!(rule.ends_with("POST /api/v1/tokens"), "{rule}");

    // What one may do, but not now, is on record as well; reading is not.
    house.device("pump-17").await;
    let retire = "/devices/pump-17/retire";
    house.post(retire, json!({ "why": "scrapped" })).await.ok();
    let resumed = house.post("/devices/pump-17/resume", json!({})).await;
    assert_eq!(resumed.status, StatusCode::CONFLICT);
    house.get("/devices/nobody").await;
    let events = house.get("/events?limit=1000").await.ok();
    let last = events["items"].as_array().unwrap().last().unwrap();
    assert_eq!(
        (&last["what"], &last["by"], &last["detail"]["reason"]),
        (
            &json!("ask-refused"),
            &json!("admin (admin)"),
            &json!("conflict")
        )
    );
    let rule = last["detail"]["rule"].as_str().unwrap();
    assert!(rule.ends_with("/devices/pump-17/resume"), "{rule}");

    // Strangers are counted by the minute, however many they are.
    for _ in 0..3 {
        house.call(None, "GET", "/fleet", Value::Null).await;
    }
    house
        .engine
        .record_strangers(tenure_x509::Time::NEVER)
        .await
        .unwrap();
    let events = house.get("/events?limit=1000").await.ok();
    let last = events["items"].as_array().unwrap().last().unwrap();
    assert_eq!(
        (&last["what"], &last["detail"]["count"]),
        (&json!("strangers-refused"), &json!(3))
    );
}
