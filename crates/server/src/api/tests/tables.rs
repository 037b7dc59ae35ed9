//! Tables of devices, on their way in and out.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use hyper::body::Frame;
use hyper::{Request, StatusCode};
use serde_json::json;
use tenure_domain::text::hex;

use super::house::House;
use crate::limits::API_BODY_BYTES_MAX;

/// More than one page, and more than one piece of a file.
const DEVICES: usize = 2_345;

async fn filled() -> House {
    let house = House::furnished().await;
    let mut table = "id,class,site,owner,serial\n".to_owned();
    for n in 0..DEVICES {
        writeln!(table, "pump-{n:05},pump,Hall 3,Hydraulics,SN-{n:032}").unwrap();
    }
    let staged = house.post("/imports", json!(table)).await.ok();
    let path = format!("/imports/{}/apply", staged["import"].as_str().unwrap());
    loop {
        let applied = house.post(&path, json!(null)).await.ok();
        if applied["state"] == "done" {
            assert_eq!(applied["added"], DEVICES);
            return house;
        }
    }
}

#[tokio::test]
async fn an_export_is_whole_and_the_record_holds_its_hash() {
    let house = filled().await;
    for (form, lines) in [("csv", DEVICES + 1), ("jsonl", DEVICES)] {
        let path = format!("/export/devices?format={form}");
        let exported = house.get(&path).await.ok();
        let exported = exported.as_str().unwrap();
        assert_eq!(exported.lines().count(), lines);
        assert!(exported.ends_with('\n'));
        let last = exported.lines().last().unwrap();
        assert!(last.contains(&format!("pump-{:05}", DEVICES - 1)), "{last}");

        let page = house.get("/events?order=newest&limit=1").await.ok();
        let event = &page["items"][0];
        assert_eq!(event["what"], "export-made", "{event}");
        let hash = hex(&tenure_x509::sha256(exported.as_bytes()));
        assert_eq!(event["detail"]["hash"], hash);

        let again = format!("/import-plan?format={form}");
        let planned = house.post(&again, json!(exported)).await.ok();
        assert_eq!(planned["unchanged"], DEVICES, "{planned}");
    }
}

#[tokio::test]
async fn tables_are_read_one_at_a_time_and_every_one_is() {
    let house = House::furnished().await;
    let table = |n| {
        json!(format!(
            "id,class,site,owner\npump-{n},pump,Hall 3,Hydraulics\n"
        ))
    };
    let plan = |n| house.post("/import-plan", table(n));
    let (first, second, third) = tokio::join!(plan(1), plan(2), plan(3));
    for planned in [first, second, third] {
        assert_eq!(planned.ok()["added"], 1);
    }
    // One that is refused gives its turn back.
    house.post("/imports", json!("no table")).await;
    let staged = house.post("/imports", table(9)).await.ok();
    assert_eq!(staged["rows"], 1);
}

/// A body of which nothing comes.
struct Silent;

impl hyper::body::Body for Silent {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Pending
    }
}

#[tokio::test]
async fn nobody_waits_for_a_table_that_does_not_come() {
    let house = House::furnished().await;
    let silent = Request::post("/api/v1/imports")
        .header("authorization", format!("Bearer {}", house.admin))
        .body(Body::new(Silent));
    let table = json!("id,class,site,owner\npump-1,pump,Hall 3,Hydraulics\n");
    tokio::select! {
        biased;
        reply = house.send(silent.unwrap()) => panic!("{}", reply.body),
        reply = house.post("/imports", table) => assert_eq!(reply.ok()["rows"], 1),
    }
}

#[tokio::test]
async fn only_a_table_may_be_large_with_a_key_or_without() {
    let house = House::furnished().await;
    let large = "x".repeat(API_BODY_BYTES_MAX + 1);
    for (path, status) in [
        ("/devices", StatusCode::PAYLOAD_TOO_LARGE),
        ("/imports", StatusCode::BAD_REQUEST),
    ] {
        for key in [None, Some("once")] {
            let mut request = Request::post(format!("/api/v1{path}"))
                .header("authorization", format!("Bearer {}", house.admin));
            if let Some(key) = key {
                request = request.header("idempotency-key", key);
            }
            let reply = house
                .send(request.body(Body::from(large.clone())).unwrap())
                .await;
            assert_eq!(reply.status, status, "{path} {key:?}: {}", reply.body);
        }
    }
}
