use std::collections::HashMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::Query;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Router, body::Bytes};
use serde_json::json;
use tokio::sync::Semaphore;

use super::*;
use crate::cli::output::{Column, json_pages, text_pages};
use crate::limits::Limits;
use crate::listen::{Bound, Listener, Stop, StopSwitch, Transport};
use crate::metrics::Metrics;

/// An API of one list of `total` items, and one thing that can be posted to.
fn router(total: u64) -> Router {
    let list = move |Query(query): Query<HashMap<String, String>>| async move {
        let number = |name: &str| query.get(name).and_then(|text| text.parse::<u64>().ok());
        let start = number("cursor").unwrap_or(0);
        let end = (start + number("limit").unwrap_or(2).min(2)).min(total);
        let items: Vec<_> = (start..end).map(|no| json!({ "no": no })).collect();
        Json(json!({ "items": items, "next": (end < total).then(|| end.to_string()) }))
    };
    let echo = async |headers: HeaderMap, body: Bytes| -> Response {
        let text = |name: &str| {
            headers
                .get(name)
                .and_then(|v| v.to_str().ok())
                .unwrap_or("")
        };
        if text("authorization") != "Bearer good" {
            return Problem::unauthorized().into_response();
        }
        let body = String::from_utf8(body.to_vec()).unwrap();
        Json(json!({ "key": text("idempotency-key").len(), "body": body })).into_response()
    };
    Router::new()
        .route("/api/v1/list", get(list))
        .route(
            "/api/v1/thing",
            get(async || Problem::not_found("thing")).post(echo),
        )
        .route(
            "/api/v1/busy",
            get(async || Problem::conflict("it is retired")),
        )
        .route(
            "/api/v1/html",
            get(async || (http::StatusCode::BAD_GATEWAY, "<html>")),
        )
}

async fn start(router: Router) -> (String, StopSwitch) {
    start_with(router, Limits::default()).await
}

async fn start_with(router: Router, limits: Limits) -> (String, StopSwitch) {
    let bound = Bound::bind(Listener::Operator, "127.0.0.1:0".parse().unwrap())
        .await
        .unwrap();
    let url = format!("http://{}", bound.address());
    let (switch, stop) = Stop::new();
    let edge = Metrics::new().edge(Listener::Operator);
    tokio::spawn(async move {
        bound
            .serve(Transport::Plain, router, &limits, edge, stop)
            .await;
    });
    (url, switch)
}

fn api(url: &str, token: &str) -> Api {
    Api::new(url, Trust::Fingerprint([0; 32]), token).unwrap()
}

#[tokio::test]
async fn a_list_is_read_page_by_page_up_to_the_limit() {
    let (url, _switch) = start(router(7)).await;
    let api = api(&url, "good");
    let read = async |limit, cursor: Option<&str>| {
        let page = Page {
            limit: Limit { limit },
            cursor: cursor.map(str::to_owned),
        };
        let listed = api.list("/list", &[], &page).whole().await.unwrap();
        (listed.items.len(), listed.next)
    };
    assert_eq!(read(0, None).await, (7, None));
    assert_eq!(read(5, None).await, (5, Some("5".to_owned())));
    assert_eq!(read(100, None).await, (7, None));
    assert_eq!(read(5, Some("5")).await, (2, None));
    assert_eq!(read(3, Some("2")).await, (3, Some("5".to_owned())));
    assert_eq!(api.all("/list", &[]).await.unwrap().len(), 7);
    let (url, _switch) = start(router(0)).await;
    let empty = self::api(&url, "good").all("/list", &[]).await.unwrap();
    assert!(empty.is_empty());
}

/// A full page of ours names a next one, whether or not anything follows.
#[tokio::test]
async fn a_list_that_ends_with_a_full_page_has_no_more() {
    let full = async |Query(query): Query<HashMap<String, String>>| match query.get("cursor") {
        None => Json(json!({ "items": [{ "no": 1 }, { "no": 2 }], "next": "2" })),
        Some(_) => Json(json!({ "items": [], "next": null })),
    };
    let (url, _switch) = start(Router::new().route("/api/v1/list", get(full))).await;
    let page = Page {
        limit: Limit { limit: 2 },
        cursor: None,
    };
    let api = api(&url, "good");
    let listed = api.list("/list", &[], &page).whole().await.unwrap();
    assert_eq!((listed.items.len(), listed.next), (2, None));
}

#[tokio::test]
async fn a_list_is_printed_page_by_page() {
    const COLUMNS: &[Column] = &[("NO", "no"), ("OF", "of")];
    let items = |range: std::ops::Range<u64>| range.map(|no| json!({ "no": no }));
    for total in [0, 1, 5] {
        let (url, _switch) = start(router(total)).await;
        let api = api(&url, "good");
        let mut printed = Vec::new();
        let mut pages = api.every("/list", &[]);
        json_pages(&mut pages, &mut printed).await.unwrap();
        let at_once: Vec<_> = items(0..total).collect();
        let at_once = serde_json::to_string_pretty(&at_once).unwrap() + "\n";
        assert_eq!(String::from_utf8(printed).unwrap(), at_once);
    }
    let wide = async |Query(query): Query<HashMap<String, String>>| match query.get("cursor") {
        None => Json(json!({ "items": [{ "no": "12345", "of": 1 }], "next": "1" })),
        Some(at) if at == "1" => Json(
            json!({ "items": [{ "no": 2, "of": 3 }, { "no": "1234567", "of": 4 }], "next": "2" }),
        ),
        Some(_) => Json(json!({ "items": [{ "no": 5, "of": 6 }], "next": null })),
    };
    let (url, _switch) = start(Router::new().route("/api/v1/list", get(wide))).await;
    let api = api(&url, "good");
    let mut printed = Vec::new();
    let mut pages = api.every("/list", &[]);
    text_pages(COLUMNS, &mut pages, &mut printed).await.unwrap();
    let lines = [
        " NO     OF",
        " 12345  1",
        " 2        3",
        " 1234567  4",
        " 5      6\n",
    ];
    assert_eq!(String::from_utf8(printed).unwrap(), lines.join("\n"));
}

#[tokio::test]
async fn a_list_that_breaks_off_is_a_failure() {
    let broken = async |Query(query): Query<HashMap<String, String>>| match query.get("cursor") {
        None => Json(json!({ "items": [{ "no": 1 }], "next": "1" })).into_response(),
        Some(_) => Problem::conflict("the list has changed").into_response(),
    };
    let (url, _switch) = start(Router::new().route("/api/v1/list", get(broken))).await;
    let api = api(&url, "good");
    let mut printed = Vec::new();
    let mut pages = api.every("/list", &[]);
    let failure = json_pages(&mut pages, &mut printed).await.unwrap_err();
    assert_eq!(failure.code(), 1);
    assert_eq!(printed, b"[\n  {\n    \"no\": 1\n  }");
}

#[tokio::test]
async fn a_post_carries_the_token_and_an_idempotency_key() {
    let (url, _switch) = start(router(0)).await;
    let answer = api(&url, "good\n")
        .post("/thing", &json!({ "a": 1 }))
        .await
        .unwrap();
    assert_eq!(answer, json!({ "key": 32, "body": "{\"a\":1}" }));
}

#[tokio::test]
async fn each_kind_of_no_has_its_exit_code() {
    let (url, switch) = start(router(0)).await;
    let denied = api(&url, "bad")
        .post("/thing", &json!({}))
        .await
        .unwrap_err();
    assert_eq!(denied.code(), 5);
    let missing = api(&url, "good").get("/thing").await.unwrap_err();
    assert_eq!(
        (missing.code(), missing.to_string().as_str()),
        (3, "thing is not known here.")
    );
    let refused = api(&url, "good").get("/busy").await.unwrap_err();
    assert_eq!(refused.code(), 1);
    assert!(refused.to_string().ends_with("it is retired"));
    let strange = api(&url, "good").get("/html").await.unwrap_err();
    assert!(strange.to_string().contains("502"), "{strange}");
    drop(switch);
    let unreachable = api("http://127.0.0.1:1", "good")
        .get("/thing")
        .await
        .unwrap_err();
    assert_eq!(unreachable.code(), 4);
}

#[tokio::test]
async fn a_server_with_too_many_requests_is_waited_for() {
    let limits = Limits {
        operator_requests_per_source_s: 2,
        ..Limits::default()
    };
    let (url, _switch) = start_with(router(30), limits).await;
    // Fifteen requests, of which eight may come at once.
    let all = api(&url, "good").all("/list", &[]).await.unwrap();
    assert_eq!(all.len(), 30);
}

#[tokio::test]
async fn who_has_to_wait_long_is_told_how_long() {
    let locked = get(async || Problem::too_many(Duration::from_secs(900)));
    let (url, _switch) = start(Router::new().route("/api/v1/locked", locked)).await;
    let refused = api(&url, "good").get("/locked").await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "Too many requests: Try again in 900 s."
    );
}

#[tokio::test]
async fn a_change_may_take_longer_than_a_question() {
    // Nothing is answered until a question has been given up.
    let given_up = Arc::new(Semaphore::new(0));
    let waits = Arc::clone(&given_up);
    let slow = async move || {
        waits.acquire().await.unwrap().forget();
        Json(json!({}))
    };
    let (url, _switch) = start(Router::new().route(
        "/api/v1/slow",
        get(slow.clone()).post(slow.clone()).delete(slow),
    ))
    .await;
    let timeouts = Timeouts {
        request: Duration::from_millis(100),
        change: Some(Duration::from_secs(30)),
        ..Timeouts::default()
    };
    let body = json!({});
    let api = Api {
        client: Client::new(Settings {
            timeouts,
            ..Settings::new(None)
        })
        .unwrap(),
        ..api(&url, "good")
    };
    let changes = async { tokio::join!(api.post("/slow", &body), api.delete("/slow")) };
    let questions = async {
        let late = [
            api.get("/slow").await.unwrap_err(),
            api.download("/slow", |_| Ok(())).await.unwrap_err(),
        ];
        // As many as were asked: the questions given up may have taken theirs.
        given_up.add_permits(4);
        late
    };
    let ((posted, deleted), late) = tokio::join!(changes, questions);
    posted.unwrap();
    deleted.unwrap();
    for late in late {
        assert_eq!(late.code(), 4);
        let said = "has not answered in 0.1 s; it may still be doing what was asked";
        assert!(late.to_string().ends_with(said), "{late}");
    }
}

#[tokio::test]
async fn an_answer_may_be_as_large_as_a_pack() {
    let pack = tenure_domain::feed::pack::PACK_BYTES_MAX;
    assert_eq!(u64::try_from(CLI_ANSWER_BYTES_MAX), Ok(pack));
    let large = async || vec![0; 65 << 20];
    let router = Router::new().route("/api/v1/packs", axum::routing::post(large));
    let (url, _switch) = start(router).await;
    let answer = api(&url, "good").post_for_bytes("/packs", &json!({})).await;
    assert_eq!(answer.unwrap().len(), 65 << 20);
}

#[test]
fn a_token_with_a_line_break_inside_is_refused() {
    let made = Api::new("http://h", Trust::Fingerprint([0; 32]), "a\r\nb");
    assert_eq!(made.err().unwrap().code(), 5);
}

#[test]
fn what_stands_in_a_path_is_encoded() {
    assert_eq!(segment("pump-1.a_b~"), "pump-1.a_b~");
    assert_eq!(segment("a/b?c#d é"), "a%2Fb%3Fc%23d%20%C3%A9");
    assert_eq!(
        query(&[("a", "1&2".into()), ("b", "c".into())]),
        "?a=1%262&b=c"
    );
    assert_eq!(query(&[]), "");
}

#[test]
fn keys_differ() {
    assert_eq!(idempotency_key().len(), 32);
    assert_ne!(idempotency_key(), idempotency_key());
}
