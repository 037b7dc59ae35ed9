use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hyper::StatusCode;
use serde_json::{Value, json};
use tenure_domain::event::{Entry, Event};
use tenure_domain::{Actor, Standing};
use tenure_engine::MESSAGES;
use tenure_engine::signer::{Doors, Key};
use tenure_engine::store::OperationId;
use tenure_x509::{KeyKind, KeyPair};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::api::tests::house::House;

/// What a receiver was sent.
#[derive(Debug, Clone)]
struct Got {
    line: String,
    headers: HashMap<String, String>,
    body: String,
}

/// A receiver that answers what it is told to, and 204 after that.
#[derive(Clone)]
struct Receiver {
    address: String,
    got: Arc<Mutex<Vec<Got>>>,
    answers: Arc<Mutex<VecDeque<u16>>>,
}

impl Receiver {
    async fn start(answers: &[u16]) -> Receiver {
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let receiver = Receiver {
            address: format!("http://{}", socket.local_addr().unwrap()),
            got: Arc::default(),
            answers: Arc::new(Mutex::new(answers.iter().copied().collect())),
        };
        let serving = receiver.clone();
        tokio::spawn(async move {
            while let Ok((mut tcp, _)) = socket.accept().await {
                let serving = serving.clone();
                tokio::spawn(async move {
                    let mut heard = Vec::new();
                    let got = loop {
                        let mut piece = [0; 4_096];
                        let n = tcp.read(&mut piece).await.unwrap();
                        heard.extend_from_slice(&piece[..n]);
                        if let Some(got) = whole(&String::from_utf8_lossy(&heard)) {
                            break got;
                        }
                        assert!(n > 0, "a request that ends too early");
                    };
                    let status = serving.answers.lock().unwrap().pop_front().unwrap_or(204);
                    serving.got.lock().unwrap().push(got);
                    let answer = format!(
                        "HTTP/1.1 {status} So\r\nLocation: http://127.0.0.1:1/\r\n\
                         Content-Length: 0\r\nConnection: close\r\n\r\n"
                    );
                    let _ = tcp.write_all(answer.as_bytes()).await;
                });
            }
        });
        receiver
    }

    async fn gets(&self, count: usize) -> Vec<Got> {
        let got = self.hears(|got| got.len() >= count).await;
        assert_eq!(got.len(), count, "{got:#?}");
        got
    }

    /// What it got, once that is enough.
    async fn hears(&self, is_enough: impl Fn(&[Got]) -> bool) -> Vec<Got> {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let got = self.got.lock().unwrap().clone();
            if is_enough(&got) {
                return got;
            }
            assert!(Instant::now() < deadline, "{got:#?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

fn whole(text: &str) -> Option<Got> {
    let (head, body) = text.split_once("\r\n\r\n")?;
    let (line, fields) = head.split_once("\r\n")?;
    let headers: HashMap<String, String> = fields
        .lines()
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    let length = headers
        .get("content-length")
        .map_or(0, |n| n.parse().unwrap());
    (body.len() >= length).then(|| Got {
        line: line.to_owned(),
        headers,
        body: body.to_owned(),
    })
}

async fn house() -> (House, crate::listen::StopSwitch) {
    let house = House::furnished().await;
    let pair = KeyPair::generate(KeyKind::P256).unwrap();
    house
        .engine
        .add_key(Key::in_memory(MESSAGES, Doors::MESSAGES, pair));
    let (switch, stop) = Stop::new();
    tokio::spawn(keep_on(house.engine.clone(), stop));
    (house, switch)
}

fn spec(kind: &str, address: &str) -> Value {
    json!({ "name": "siem", "kind": kind, "address": address, "owner": "Hydraulics" })
}

async fn act(house: &House, act: &str) {
    let path = format!("/devices/pump-1/{act}");
    house.post(&path, json!({ "why": "so" })).await.ok();
}

async fn findings(house: &House) -> Vec<String> {
    let found = house.get("/findings?state=open").await.ok();
    let items = found["items"].as_array().unwrap().clone();
    items
        .iter()
        .map(|item| {
            format!(
                "{} {}",
                item["kind"].as_str().unwrap(),
                item["cause"].as_str().unwrap()
            )
        })
        .collect()
}

async fn until(house: &House, what: &str, is: impl Fn(&Value, &[String]) -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let hook = house.get("/hooks/siem").await.ok();
        let found = findings(house).await;
        if is(&hook, &found) {
            return;
        }
        assert!(Instant::now() < deadline, "{what}: {hook:#} {found:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// P3, the webhook: signed as Standard Webhooks are, told in order, told again with the same id when
/// the receiver was not ready, and its secret shown once. A redirect is not followed.
#[tokio::test]
async fn p3_a_webhook_is_signed_repeated_until_taken_and_known_by_its_id() {
    let (house, _switch) = house().await;
    house.enrolled("pump-1").await;
    let receiver = Receiver::start(&[503]).await;
    let made = house
        .post("/hooks", spec("webhook", &receiver.address))
        .await
        .ok();
    let secret = made["secret"].as_str().unwrap().to_owned();
    assert!(secret.starts_with("whsec_"));
    let shown = house.get("/hooks/siem").await.ok();
    assert_eq!(
        (&shown["has_secret"], &shown["secret"]),
        (&json!(true), &Value::Null)
    );

    act(&house, "suspend").await;
    let got = receiver.gets(3).await;
    assert_eq!(
        got[0].headers["webhook-id"], got[1].headers["webhook-id"],
        "told again"
    );
    assert_ne!(got[1].headers["webhook-id"], got[2].headers["webhook-id"]);
    let kinds: Vec<Value> = got
        .iter()
        .map(|got| serde_json::from_str::<Value>(&got.body).unwrap()["type"].clone())
        .collect();
    assert_eq!(
        kinds,
        [
            "certificate-held",
            "certificate-held",
            "device-standing-changed"
        ]
    );
    for got in &got {
        let (id, at) = (
            &got.headers["webhook-id"],
            &got.headers["webhook-timestamp"],
        );
        let key = STANDARD
            .decode(secret.strip_prefix("whsec_").unwrap())
            .unwrap();
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &key);
        let signed = format!("{id}.{at}.{}", got.body);
        let tag = STANDARD
            .decode(
                got.headers["webhook-signature"]
                    .strip_prefix("v1,")
                    .unwrap(),
            )
            .unwrap();
        aws_lc_rs::hmac::verify(&key, signed.as_bytes(), &tag).unwrap();
    }
    until(&house, "it is delivering", |hook, found| {
        hook["state"] == "delivering" && found.is_empty()
    })
    .await;
    // What was recorded of it holds no secret.
    let events = house.get("/events?limit=1000").await.ok().to_string();
    assert!(!events.contains(secret.strip_prefix("whsec_").unwrap()));
    assert!(events.contains("hook-added"));
}

/// The vector of the Standard Webhooks libraries.
#[test]
fn p3_the_signature_is_that_of_standard_webhooks() {
    let made = post::signature(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "1614265330",
        r#"{"test": 2432232314}"#,
    );
    assert_eq!(
        made.as_deref(),
        Some("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=")
    );
}

#[tokio::test]
async fn p3_what_a_receiver_will_not_have_is_put_aside_and_found() {
    let (house, _switch) = house().await;
    house.enrolled("pump-1").await;
    let offers = usize::try_from(OFFERS_MAX).unwrap();
    let receiver = Receiver::start(&vec![302; offers]).await;
    house
        .post("/hooks", spec("webhook", &receiver.address))
        .await
        .ok();
    // One second, two, four and eight between the offers.
    act(&house, "suspend").await;
    receiver.gets(offers + 1).await;
    until(&house, "it is found", |hook, found| {
        hook["refused"].as_array().unwrap().len() == 1
            && found.contains(&"hook-failing refused".to_owned())
    })
    .await;
    let after = json!({ "after": 0 });
    house.post("/hooks/siem/redeliver", after).await.ok();
    // At least once: what was being told while it was set back may be told twice.
    receiver.hears(|got| got.len() >= offers + 3).await;
    until(&house, "nothing is left", |hook, found| {
        hook["refused"] == json!([]) && found.is_empty()
    })
    .await;
}

#[tokio::test]
async fn p3_a_receiver_that_is_gone_is_found_and_loses_nothing() {
    let (house, _switch) = house().await;
    house.enrolled("pump-1").await;
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = nobody.local_addr().unwrap();
    drop(nobody);
    house
        .post("/hooks", spec("webhook", &format!("http://{address}")))
        .await
        .ok();
    act(&house, "suspend").await;
    until(&house, "it is found", |hook, found| {
        hook["state"] == "failing" && found == ["hook-failing delivery"]
    })
    .await;
    let receiver = Receiver::start(&[]).await;
    house
        .post("/hooks", spec("webhook", &receiver.address))
        .await
        .ok();
    assert_eq!(receiver.gets(2).await.len(), 2);
    until(&house, "it is cleared", |_, found| found.is_empty()).await;
    house
        .call(Some(&house.admin), "DELETE", "/hooks/siem", Value::Null)
        .await
        .ok();
    assert_eq!(house.get("/hooks/siem").await.status, StatusCode::NOT_FOUND);
}

/// P3, CAEP: a Security Event Token that verifies with the published key.
#[tokio::test]
async fn p3_caep_events_are_pushed_as_signed_tokens() {
    let (house, _switch) = house().await;
    let certificate = house.enrolled("pump-1").await;
    let receiver = Receiver::start(&[]).await;
    let hook = json!({
        "name": "siem", "kind": "caep", "address": receiver.address, "owner": "Hydraulics",
        "audience": "https://siem.example", "secret": "receiver-token",
    });
    house.post("/hooks", hook).await.ok();
    act(&house, "suspend").await;
    let got = receiver.gets(3).await;
    let keys = house.call(None, "GET", "/jwks", Value::Null).await.ok();
    let jwk = &keys["keys"][0];
    let point = |name: &str| URL_SAFE_NO_PAD.decode(jwk[name].as_str().unwrap()).unwrap();
    let public = [vec![4], point("x"), point("y")].concat();
    let public = aws_lc_rs::signature::UnparsedPublicKey::new(
        &aws_lc_rs::signature::ECDSA_P256_SHA256_FIXED,
        public,
    );
    let mut kinds = Vec::new();
    for got in got {
        assert_eq!(got.headers["content-type"], "application/secevent+jwt");
        assert_eq!(got.headers["authorization"], "Bearer receiver-token");
        let (signed, signature) = got.body.rsplit_once('.').unwrap();
        public
            .verify(
                signed.as_bytes(),
                &URL_SAFE_NO_PAD.decode(signature).unwrap(),
            )
            .unwrap();
        let (head, claims) = signed.split_once('.').unwrap();
        let read = |part: &str| -> Value {
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
        };
        assert_eq!(read(head)["typ"], "secevent+jwt");
        assert_eq!(read(head)["kid"], jwk["kid"]);
        let claims = read(claims);
        assert_eq!(claims["aud"], "https://siem.example");
        assert_eq!(claims["sub_id"]["device"]["sub"], "pump-1");
        let (name, event) = claims["events"].as_object().unwrap().iter().next().unwrap();
        kinds.push(name.rsplit('/').next().unwrap().to_owned());
        match kinds.last().unwrap().as_str() {
            "credential-change" => {
                assert_eq!(event["x509_serial"], certificate.row.serial.to_string());
                assert_eq!(event["change_type"], "revoke");
            }
            "device-compliance-change" => assert_eq!(event["current_status"], "not-compliant"),
            _ => {}
        }
    }
    let expected = [
        "session-revoked",
        "credential-change",
        "device-compliance-change",
    ];
    assert_eq!(kinds, expected);
}

/// P3, sessions at an EMQX: a peer that speaks exactly what its API says. Leaves out: EMQX itself.
#[tokio::test]
async fn p3_a_session_at_an_emqx_is_ended_at_once_and_once_more() {
    let (house, _switch) = house().await;
    let certificate = house.enrolled("pump-1").await;
    let receiver = Receiver::start(&[204, 404]).await;
    let hook = json!({
        "name": "siem", "kind": "emqx", "address": receiver.address, "owner": "Hydraulics",
        "secret": "key:secret", "again_after_s": 60,
    });
    house.post("/hooks", hook.clone()).await.ok();
    let path = format!("/certificates/{}/revoke", certificate.row.serial);
    house
        .post(&path, json!({ "reason": "keyCompromise" }))
        .await
        .ok();
    let got = receiver.gets(1).await;
    assert_eq!(got[0].line, "DELETE /api/v5/clients/pump-1 HTTP/1.1");
    let basic = format!("Basic {}", STANDARD.encode("key:secret"));
    assert_eq!(got[0].headers["authorization"], basic);
    house.clock.move_to(house.clock.now().plus(61));
    assert_eq!(
        receiver.gets(2).await[1].line,
        got[0].line,
        "whoever came back"
    );
    until(&house, "nobody there is as good", |hook, found| {
        hook["failures"] == 0 && found.is_empty()
    })
    .await;
    for (field, bad) in [
        ("secret", json!("no colon")),
        ("address", json!("http://broker.example")),
        ("kind", json!("carrier-pigeon")),
        ("again_after_s", json!(0)),
        ("owner", json!("Nobody")),
    ] {
        let mut wrong = hook.clone();
        wrong[field] = bad;
        let reply = house.post("/hooks", wrong).await;
        assert_eq!(
            reply.status,
            StatusCode::BAD_REQUEST,
            "{field}: {}",
            reply.body
        );
        assert!(
            !reply.body.to_string().contains("no colon"),
            "{}",
            reply.body
        );
    }
}

/// G6: a webhook that asks for it is told what is out and which number a feed has, once each, the newest
/// alone if several came, and no device. One that does not ask is told of trust alone.
#[tokio::test]
async fn g6_a_hook_tells_of_publications_and_feeds_where_it_is_asked_to() {
    let (house, _switch) = house().await;
    house
        .token(tenure_domain::operator::Role::RelyingParty)
        .await;
    house.engine.publish().await.unwrap();
    house.engine.offer_feeds().await.unwrap();
    let (asks, silent) = (Receiver::start(&[503]).await, Receiver::start(&[]).await);
    let mut spec = spec("webhook", &asks.address);
    spec["changes"] = json!(["feed"]);
    house.post("/hooks", spec).await.ok();
    let mut other = self::spec("webhook", &silent.address);
    other["name"] = json!("other");
    house.post("/hooks", other).await.ok();
    let feed = async || house.get("/feeds/broker-3").await.ok()["offered"].clone();
    let first = feed().await;
    // 503 to the first, which is told again.
    let got = asks.gets(2).await;
    let said = |got: &Got| serde_json::from_str::<Value>(&got.body).unwrap();
    assert_eq!(got[0].body, got[1].body);
    assert_eq!(said(&got[1])["type"], "feed");
    let told = &said(&got[1])["data"];
    assert_eq!(
        (&told["party"], &told["sequence"]),
        (&json!("broker-3"), &first)
    );
    assert_eq!(
        got[1].headers["webhook-id"],
        format!("feed_broker-3.{}", first.as_i64().unwrap())
    );
    house.enrolled("pump-1").await;
    act(&house, "suspend").await;
    house.clock.move_to(house.clock.now().plus(7 * 3_600));
    house.engine.publish().await.unwrap();
    house.engine.offer_feeds().await.unwrap();
    let got = asks.gets(3).await;
    assert_eq!(said(&got[2])["data"]["sequence"], feed().await);
    assert!(!got[2].body.contains("pump-1"), "{}", got[2].body);
    let whats: Vec<Value> = silent
        .gets(2)
        .await
        .iter()
        .map(|got| said(got)["type"].clone())
        .collect();
    assert_eq!(whats, ["certificate-held", "device-standing-changed"]);

    // And what is out, by issuer and list.
    house.clock.move_to(house.clock.now().plus(3_600));
    let lists = Receiver::start(&[]).await;
    let mut spec = self::spec("webhook", &lists.address);
    spec["changes"] = json!(["publication"]);
    house.post("/hooks", spec).await.ok();
    let full = |got: &[Got]| {
        let mut told = got.iter().map(|got| said(got)["data"].clone());
        told.find(|told| told["rendering"] == "full")
    };
    let full = full(&lists.hears(|got| full(got).is_some()).await).unwrap();
    assert_eq!(full["issuer"], "issuing-1");
    assert!(
        full["epoch"].as_i64().is_some() && full["sequence"].as_i64() >= full["epoch"].as_i64()
    );
}

/// First enrollments change no trust; however many there are in a row, what follows is ended once more.
#[tokio::test]
async fn p3_sessions_are_ended_once_more_after_pages_of_first_enrollments() {
    let (house, _switch) = house().await;
    let certificate = house.enrolled("pump-1").await;
    let receiver = Receiver::start(&[]).await;
    let hook = json!({
        "name": "siem", "kind": "emqx", "address": receiver.address, "owner": "Hydraulics",
        "secret": "key:secret", "again_after_s": 60,
    });
    house.post("/hooks", hook).await.ok();
    let first = Event::DeviceStandingChanged {
        from: Standing::Expected,
        to: Standing::Enrolled,
        why: "its first certificate".to_owned(),
    };
    let first = Entry::new(Actor::system("test"), house.clock.now(), first);
    house
        .engine
        .store()
        .record::<(), StoreError, _>(OperationId([1; 16]), move |tx| {
            (0..2 * STREAM_BATCH).try_for_each(|_| tx.log(&first).map(|_| ()))
        })
        .await
        .unwrap();
    let path = format!("/certificates/{}/revoke", certificate.row.serial);
    let why = json!({ "reason": "keyCompromise" });
    house.post(&path, why).await.ok();
    receiver.gets(1).await;
    house.clock.move_to(house.clock.now().plus(61));
    receiver.gets(2).await;
}
