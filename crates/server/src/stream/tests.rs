use hyper::StatusCode;
use serde_json::{Value, json};
use tenure_domain::operator::Role;
use tenure_wire::sse;

use super::*;
use crate::api::tests::house::House;

/// What a stream tells from a place on; here it ends when everything is told.
async fn told(house: &House, token: &str, after: i64) -> Vec<sse::Event> {
    let path = format!("/stream?after={after}");
    let reply = house.call(Some(token), "GET", &path, Value::Null).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.body);
    assert_eq!(reply.headers["content-type"], sse::MEDIA_TYPE);
    let events = sse::Parser::new().feed(reply.body.as_str().unwrap().as_bytes());
    let mut events = events.unwrap();
    assert_eq!(events.remove(0).kind, "begin");
    assert_eq!(events.pop().unwrap().kind, "end");
    events
}

fn said(events: &[sse::Event]) -> Vec<Value> {
    let read = |event: &sse::Event| serde_json::from_str(&event.data).unwrap();
    events.iter().map(read).collect()
}

/// G6: whoever comes back is told where its own feed is, and nothing of others, of devices or of what
/// it did not ask for.
#[tokio::test]
async fn g6_a_relying_party_is_told_of_its_own_feed_when_it_comes() {
    let house = House::furnished().await;
    house.enrolled("pump-1").await;
    let token = house.token(Role::RelyingParty).await;
    house.engine.publish().await.unwrap();
    house.engine.offer_feeds().await.unwrap();
    house
        .post("/devices/pump-1/suspend", json!({ "why": "lost" }))
        .await
        .ok();
    let about = async |token: &str, about: &str| {
        let path = format!("/stream?after=0&about={about}");
        let reply = house.call(Some(token), "GET", &path, Value::Null).await;
        let text = reply.ok();
        let events = sse::Parser::new().feed(text.as_str().unwrap().as_bytes());
        let events = events.unwrap();
        let told = events
            .into_iter()
            .filter(|event| event.kind != "begin" && event.kind != "end");
        told.collect::<Vec<_>>()
    };
    let own = about(&token, "publications").await;
    let [feed] = &own[..] else { panic!("{own:?}") };
    assert_eq!((feed.kind.as_str(), &feed.id), ("feed", &None));
    let feed = &said(&own)[0];
    assert_eq!(feed["party"], "broker-3");
    let offered = house.get("/feeds/broker-3").await.ok();
    assert_eq!(feed["sequence"], offered["offered"]);
    assert!(feed.get("device").is_none(), "{feed}");
    let all = about(&token, "all").await;
    let kinds: Vec<_> = all.iter().map(|event| event.kind.as_str()).collect();
    assert_eq!(kinds, ["feed", "certificate-held"]);
    // An operator asks for what stands; the stream tells what comes.
    assert_eq!(about(&house.admin, "publications").await, []);
    let path = "/stream?about=everything";
    let reply = house.call(Some(&token), "GET", path, Value::Null).await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
}

/// P3. Leaves out: over a network, which the stories show.
#[tokio::test]
async fn p3_the_stream_tells_each_withdrawal_once_and_goes_on_where_it_was_left() {
    let house = House::furnished().await;
    let certificate = house.enrolled("pump-1").await;
    let serial = certificate.row.serial.to_string();
    assert_eq!(
        told(&house, &house.admin, 0).await,
        [],
        "nothing of trust yet"
    );
    house
        .post("/devices/pump-1/suspend", json!({ "why": "lost" }))
        .await
        .ok();
    let first = told(&house, &house.admin, 0).await;
    let whats: Vec<_> = first.iter().map(|event| event.kind.as_str()).collect();
    assert_eq!(whats, ["certificate-held", "device-standing-changed"]);
    assert_eq!(said(&first)[0]["serial"], serial.as_str());
    assert_eq!(said(&first)[1]["to"], "suspended");
    assert!(said(&first).iter().all(|one| one["device"] == "pump-1"));

    let heard: i64 = first[0].id.as_deref().unwrap().parse().unwrap();
    assert_eq!(told(&house, &house.admin, heard).await, first[1..]);
    house
        .post("/devices/pump-1/resume", json!({ "why": "found" }))
        .await
        .ok();
    let revoke = json!({ "reason": "keyCompromise" });
    let path = format!("/certificates/{serial}/revoke");
    house.post(&path, revoke).await.ok();
    let all = said(&told(&house, &house.admin, 0).await);
    let whats: Vec<_> = all
        .iter()
        .map(|one| one["what"].as_str().unwrap())
        .collect();
    assert_eq!(whats.last(), Some(&"certificate-revoked"));
    assert!(whats.contains(&"certificate-released"), "{whats:?}");
    assert_eq!(all.last().unwrap()["reason"], "keyCompromise");
}

#[tokio::test]
async fn p3_a_relying_party_is_told_what_lists_tell_anyone_and_no_device() {
    let house = House::furnished().await;
    let certificate = house.enrolled("pump-1").await;
    house
        .post("/devices/pump-1/retire", json!({ "why": "worn out" }))
        .await
        .ok();
    let token = house.token(Role::RelyingParty).await;
    let events = told(&house, &token, 0).await;
    let [only] = &said(&events)[..] else {
        panic!("{events:?}")
    };
    assert_eq!(only["serial"], certificate.row.serial.to_string());
    assert_eq!(only["issuer"], "issuing-1");
    assert!(!events[0].data.contains("pump-1"), "{}", events[0].data);
    let fleet = house
        .call(Some(&token), "GET", "/devices", Value::Null)
        .await;
    assert_eq!(fleet.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_place_that_the_record_does_not_have_is_said_to_be_so() {
    let house = House::found().await;
    for (path, status) in [
        ("/stream?after=99999", StatusCode::CONFLICT),
        ("/stream?after=-1", StatusCode::CONFLICT),
        ("/stream?after=x", StatusCode::BAD_REQUEST),
    ] {
        assert_eq!(house.get(path).await.status, status, "{path}");
    }
}

#[test]
fn places_are_limited_and_given_back() {
    let followers = Followers::default();
    let mine: Vec<_> = (0..STREAMS_PER_TOKEN_MAX)
        .map(|_| followers.place(OperatorNo(1)).unwrap())
        .collect();
    assert!(followers.place(OperatorNo(1)).is_none());
    assert!(followers.place(OperatorNo(2)).is_some());
    drop(mine);
    assert_eq!(followers.count(), 0);
    assert!(followers.place(OperatorNo(1)).is_some());
}

#[tokio::test]
async fn who_reads_too_slowly_is_told_why_and_let_go() {
    use http_body_util::BodyExt;
    let house = House::furnished().await;
    house.enrolled("pump-1").await;
    for _ in 0..STREAM_FRAMES / 4 + 2 {
        for act in ["suspend", "resume"] {
            let path = format!("/devices/pump-1/{act}");
            house.post(&path, json!({ "why": "again" })).await.ok();
        }
    }
    let followers = Followers::default();
    let place = followers.place(OperatorNo(1)).unwrap();
    let (_switch, stop) = Stop::new();
    followers.end_with(stop);
    let still_may = Box::new(|| Ok(()));
    let wish = Wish {
        about: About::All,
        sight: Sight::Fleet,
        feeds: Feeds::Everybodys,
    };
    let (from, slow) = (EventSeq(0), Duration::from_millis(50));
    let body = open(house.engine.clone(), place, from, wish, still_may, slow);
    // Nothing is read until the place is given back.
    let deadline = Instant::now() + Duration::from_secs(30);
    while followers.count() > 0 && Instant::now() < deadline {
        tokio::time::sleep(slow).await;
    }
    let all = Box::pin(body).collect().await.unwrap().to_bytes();
    let events = sse::Parser::new().feed(&all).unwrap();
    let last = events.last().unwrap();
    assert_eq!(last.kind, "end");
    assert!(last.data.contains("too slow"), "{}", last.data);
}

/// G10. Leaves out: other triggers than the time from which a key must be thought bad.
#[tokio::test]
async fn g10_how_long_a_revocation_came_too_late_is_measured_and_found() {
    let house = House::furnished().await;
    let certificate = house.enrolled("pump-1").await;
    let (now, serial) = (house.clock.now(), certificate.row.serial.to_string());
    let path = format!("/certificates/{serial}/revoke");
    let since = now.plus(-2 * 86_400).to_string();
    let body = json!({ "reason": "keyCompromise", "invalid_since": since });
    house.post(&path, body).await.ok();
    let found = house.get("/findings").await.ok();
    let finding = &found["items"][0];
    assert_eq!(finding["kind"], "revocation-late", "{found:#}");
    assert_eq!(finding["subject"], serial.as_str());
    assert_eq!(finding["owner"], "Hydraulics");
    assert!(finding["summary"].as_str().unwrap().contains("48 hours"));
    let told = said(&told(&house, &house.admin, 0).await);
    assert_eq!(told[0]["invalid_since"], since.as_str());

    house.engine.publish().await.unwrap();
    let request = hyper::Request::get("/metrics")
        .header("authorization", format!("Bearer {}", house.admin))
        .body(axum::body::Body::empty());
    let metrics = house.send(request.unwrap()).await.ok();
    let metrics = metrics.as_str().unwrap();
    assert!(
        metrics.contains("tenure_revocation_delay_seconds{quantile=\"1\"} 172800"),
        "{metrics}"
    );
    assert!(
        metrics.contains("tenure_publication_seconds{quantile=\"0.95\"}"),
        "{metrics}"
    );

    // One that comes in time is measured too, and is no finding.
    let in_time = house.enrolled("pump-2").await;
    let path = format!("/certificates/{}/revoke", in_time.row.serial);
    let since = now.plus(-3_600).to_string();
    let body = json!({ "reason": "keyCompromise", "invalid_since": since });
    house.post(&path, body).await.ok();
    let found = house.get("/findings").await.ok();
    assert_eq!(found["items"].as_array().unwrap().len(), 1, "{found:#}");
}
