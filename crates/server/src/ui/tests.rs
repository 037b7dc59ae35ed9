mod actions;

use axum::body::Body;
use hyper::{Request, StatusCode, header};
use serde_json::json;
use tenure_domain::TenantId;
use tenure_domain::ask::{Operation, Protocol, Via};
use tenure_domain::facts::{ReplayKey, Ruling};
use tenure_domain::ids::{AskNo, DeviceId, DeviceNo, IncidentNo};
use tenure_domain::incident::IncidentKind;
use tenure_domain::operator::{Actor, Role};
use tenure_engine::store::pending::{self, NewAsk};
use tenure_engine::store::view::DayOfEnds;
use tenure_engine::store::{OperationId, device, incident};
use tenure_x509::{KeyHash, Time};

use super::chart::{bars, scale};
use super::page::{number, query};
use super::session::LIFE_S;
use crate::api::fleet::day_name;
use crate::api::tests::house::{House, Reply};

const PAGES: [&str; 15] = [
    "/trust-graph",
    "/blast-radius",
    "/blast-radius?kind=issuer&name=issuing-1",
    "/compromises",
    "/drills",
    "/",
    "/devices",
    "/certificates",
    "/asks",
    "/incidents",
    "/findings",
    "/relying-parties",
    "/enforcement",
    "/decisions",
    "/issuers",
];

/// A browser with at most one cookie.
struct Browser<'a> {
    house: &'a House,
    cookie: String,
    csrf: String,
}

fn text(reply: &Reply) -> &str {
    reply.body.as_str().unwrap_or_default()
}

fn between<'t>(text: &'t str, before: &str, after: &str) -> &'t str {
    let rest = text.split_once(before).unwrap_or_default().1;
    rest.split_once(after).unwrap_or_default().0
}

impl<'a> Browser<'a> {
    fn new(house: &'a House) -> Browser<'a> {
        Browser {
            house,
            cookie: String::new(),
            csrf: String::new(),
        }
    }

    async fn signed_in(house: &'a House, token: &str) -> Browser<'a> {
        let mut browser = Browser::new(house);
        let reply = browser.post("/login", &[("token", token)]).await;
        assert_eq!(reply.status, StatusCode::SEE_OTHER, "{}", reply.body);
        let set = reply.headers[header::SET_COOKIE].to_str().unwrap();
        browser.cookie = set.split(';').next().unwrap().to_owned();
        let first = browser.get("/").await;
        assert_eq!(first.status, StatusCode::OK, "{}", first.body);
        browser.csrf = between(text(&first), "name=\"csrf\" value=\"", "\"").to_owned();
        assert_eq!(browser.csrf.len(), 64);
        browser
    }

    async fn get(&self, path: &str) -> Reply {
        let request = Request::get(path).header(header::COOKIE, &self.cookie);
        self.house.send(request.body(Body::empty()).unwrap()).await
    }

    async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Reply {
        let request = Request::post(path)
            .header(header::COOKIE, &self.cookie)
            .header("sec-fetch-site", "same-origin")
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        let body = query(fields).trim_start_matches('?').to_owned();
        self.house
            .send(request.body(Body::from(body)).unwrap())
            .await
    }

    async fn page(&self, path: &str) -> String {
        let reply = self.get(path).await;
        assert_eq!(reply.status, StatusCode::OK, "{path}: {}", reply.body);
        text(&reply).to_owned()
    }
}

fn known(house: &House, id: &str) -> (DeviceNo, DeviceId) {
    let id: DeviceId = id.parse().unwrap();
    let found = house
        .engine
        .store()
        .glance(|tx| device::by_id(tx, TenantId::DEFAULT, &id));
    (found.unwrap().unwrap().no, id)
}

async fn held(house: &House, id: &str) -> AskNo {
    let ask = NewAsk {
        tenant: TenantId::DEFAULT,
        replay: ReplayKey([7; 32]),
        identity: id.to_owned(),
        device: Some(known(house, id)),
        key: KeyHash([7; 32]),
        csr: vec![0x30],
        operation: Operation::Enroll,
        reason: "approval".to_owned(),
        why: "a rule wants a person to look".to_owned(),
        evidence: "secret".to_owned(),
        via: Via {
            protocol: Protocol::Est,
            label: None,
            source: None,
        },
        binds: None,
    };
    let now = house.clock.now();
    let kept = house
        .engine
        .store()
        .record(OperationId([1; 16]), move |tx| {
            pending::hold(tx, &ask, &Actor::Anonymous, now)
        });
    kept.await.unwrap()
}

async fn fork(house: &House, id: &str, serials: Vec<String>) -> IncidentNo {
    let new = incident::NewIncident {
        kind: IncidentKind::Fork,
        device: Some(known(house, id)),
        serials,
        summary: "Two holders of one identity".to_owned(),
    };
    let now = house.clock.now();
    let opened = house
        .engine
        .store()
        .record(OperationId([2; 16]), move |tx| {
            incident::open(tx, &new, &Actor::Anonymous, now)
        });
    opened.await.unwrap().no().unwrap()
}

#[tokio::test]
async fn a_token_opens_a_session_and_nothing_else_does() {
    let house = House::found().await;
    let browser = Browser::new(&house);
    for path in PAGES {
        let reply = browser.get(path).await;
        assert_eq!(reply.status, StatusCode::SEE_OTHER, "{path}");
        let to = reply.headers[header::LOCATION].to_str().unwrap();
        assert!(to.starts_with("/login"), "{to}");
    }
    for token in ["", "wrong", &house.admin[1..]] {
        let reply = browser.post("/login", &[("token", token)]).await;
        assert_eq!(reply.status, StatusCode::UNAUTHORIZED);
        assert!(!reply.headers.contains_key(header::SET_COOKIE));
        assert!(text(&reply).contains("This token does not work"));
        assert!(token.is_empty() || !text(&reply).contains(&format!("\"{token}\"")));
    }
    let fields = [("token", house.admin.as_str()), ("next", "/devices?site=a")];
    let right = browser.post("/login", &fields).await;
    assert_eq!(right.status, StatusCode::SEE_OTHER);
    assert_eq!(right.headers[header::LOCATION], "/devices?site=a");
    let cookie = right.headers[header::SET_COOKIE].to_str().unwrap();
    assert!(cookie.starts_with("__Host-tenure="), "{cookie}");
    for word in ["Secure", "HttpOnly", "SameSite=Strict", "Path=/"] {
        assert!(cookie.contains(word), "{cookie}");
    }
    assert!(!cookie.contains(&house.admin));
    for next in ["//evil.example", "https://evil.example", "/\\evil.example"] {
        let fields = [("token", house.admin.as_str()), ("next", next)];
        let reply = browser.post("/login", &fields).await;
        assert_eq!(reply.headers[header::LOCATION], "/");
    }
    let forged = Browser {
        cookie: format!("__Host-tenure={}", "a".repeat(64)),
        ..Browser::new(&house)
    };
    assert_eq!(forged.get("/").await.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn a_session_ends_with_its_time_its_token_and_its_owner() {
    let house = House::found().await;
    let browser = Browser::signed_in(&house, &house.admin).await;
    let csrf = browser.csrf.clone();
    let out = browser.post("/logout", &[("csrf", &csrf)]).await;
    assert_eq!(out.headers[header::LOCATION], "/login");
    assert_eq!(browser.get("/").await.status, StatusCode::SEE_OTHER);

    let token = house.token(Role::Reader).await;
    let reader = Browser::signed_in(&house, &token).await;
    let tokens = house.get("/tokens").await.ok();
    let no = tokens["items"]
        .as_array()
        .unwrap()
        .iter()
        .find(|token| token["role"] == "reader")
        .unwrap()["no"]
        .as_i64()
        .unwrap();
    let path = format!("/tokens/{no}");
    let withdrawn = house.call(Some(&house.admin), "DELETE", &path, json!(null));
    withdrawn.await.ok();
    assert_eq!(reader.get("/").await.status, StatusCode::SEE_OTHER);

    let browser = Browser::signed_in(&house, &house.admin).await;
    let end = house.clock.now().plus(LIFE_S);
    house.clock.move_to(end.plus(-1));
    assert_eq!(browser.get("/").await.status, StatusCode::OK);
    house.clock.move_to(end);
    assert_eq!(browser.get("/").await.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn every_page_renders_for_an_empty_fleet_and_says_what_to_do() {
    let house = House::found().await;
    let browser = Browser::signed_in(&house, &house.admin).await;
    for path in PAGES {
        let reply = browser.get(path).await;
        assert_eq!(reply.status, StatusCode::OK, "{path}: {}", reply.body);
        let policy = reply.headers[header::CONTENT_SECURITY_POLICY]
            .to_str()
            .unwrap();
        assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"));
        assert_eq!(reply.headers[header::CACHE_CONTROL], "no-store");
        let page = text(&reply);
        assert!(page.contains("<html lang=\"en\">") && page.contains("Skip to the content"));
        assert!(
            !page.contains("<script") && !page.contains(" style="),
            "{path}"
        );
        assert!(!page.contains(&house.admin), "{path} shows the token");
    }
    assert!(browser.page("/").await.contains("tenure device add"));
    assert!(browser.page("/").await.contains("tenure device import"));
    let issuers = browser.page("/issuers").await;
    assert!(issuers.contains("issuing-1") && issuers.contains("BEGIN CERTIFICATE"));
    let missing = browser.get("/devices/pump-9").await;
    assert_eq!(missing.status, StatusCode::NOT_FOUND);
    assert!(text(&missing).contains("<h1>"));
    let style = browser.get("/style.css").await;
    assert_eq!(
        style.headers[header::CONTENT_TYPE],
        "text/css; charset=utf-8"
    );
}

#[tokio::test]
async fn a_small_fleet_is_shown_with_its_chain_and_history() {
    let house = House::furnished().await;
    let first = house.enrolled("pump-1").await;
    house.device("pump-2").await;
    let browser = Browser::signed_in(&house, &house.admin).await;
    let fleet = browser.page("/?days=365").await;
    for word in ["<svg", "<desc", "Hall 3", "pump", "expected", "enrolled"] {
        assert!(fleet.contains(word), "no {word} in {fleet}");
    }
    assert!(fleet.contains("href=\"/devices?site=Hall%203\""));
    assert!(fleet.contains("href=\"/certificates?from="));
    let day = day_name(first.row.validity.not_after);
    let list = format!("/certificates{}", query(&[("from", &day), ("to", &day)]));
    let serial = first.row.serial.to_string();
    assert!(browser.page(&list).await.contains(&serial));

    let devices = browser
        .page("/devices?search=pump-&standing=enrolled")
        .await;
    assert!(devices.contains("/devices/pump-1") && !devices.contains("/devices/pump-2"));
    assert!(
        browser
            .page("/devices?search=valve")
            .await
            .contains("No device is like that")
    );
    let device = browser.page("/devices/pump-1").await;
    assert!(device.contains(&serial) && device.contains("class=\"history\""));
    let path = format!("/issuers/{}/certificates/{serial}", first.row.issuer_name);
    assert!(device.contains(&path));
    for path in [path, format!("/certificates/{serial}")] {
        let page = browser.page(&path).await;
        assert!(page.contains("Chain of identity") && page.contains("BEGIN CERTIFICATE"));
    }
}

#[tokio::test]
async fn hostile_names_are_only_text() {
    let house = House::furnished().await;
    let hostile = "<script>alert(1)</script>\"'&";
    let body = json!({ "name": hostile, "contact": hostile });
    house.post("/owners", body).await.ok();
    let body = json!({
        "id": "pump-1", "class": "pump", "site": "Hall 3", "owner": hostile,
        "manufacturer": hostile, "model": hostile, "serial": hostile,
    });
    house.post("/devices", body).await.ok();
    let browser = Browser::signed_in(&house, &house.admin).await;
    let asked = format!("/devices{}", query(&[("search", hostile)]));
    let next = format!("/login{}", query(&[("next", hostile)]));
    for path in ["/devices", "/devices/pump-1", &asked, &next] {
        let page = browser.page(path).await;
        assert!(!page.contains("<script"), "{path}: {page}");
    }
    let page = browser.page("/devices/pump-1").await;
    assert!(page.contains("&lt;script&gt;"));
}

#[tokio::test]
async fn a_request_is_decided_only_from_our_page_and_by_who_may() {
    let house = House::furnished().await;
    house.device("pump-1").await;
    let no = held(&house, "pump-1").await;
    let path = format!("/asks/{no}");
    let ruling = || {
        let found = house.engine.store().glance(|tx| pending::by_no(tx, no));
        found.unwrap().unwrap().ruling
    };
    let token = house.token(Role::Operator).await;
    let operator = Browser::signed_in(&house, &token).await;
    let fleet = operator.page("/").await;
    assert!(fleet.contains("1 request waits"));
    assert!(operator.page("/asks").await.contains(&path));
    let approve = format!("{path}/approve");
    let other = "0".repeat(64);
    for fields in [&[][..], &[("csrf", "")], &[("csrf", other.as_str())]] {
        let reply = operator.post(&approve, fields).await;
        assert_eq!(reply.status, StatusCode::FORBIDDEN);
        assert_eq!(ruling(), Some(Ruling::Waiting));
    }
    let foreign = Request::post(&approve)
        .header(header::COOKIE, &operator.cookie)
        .header("sec-fetch-site", "cross-site")
        .body(Body::from(format!("csrf={}", operator.csrf)));
    let reply = house.send(foreign.unwrap()).await;
    assert_eq!(reply.status, StatusCode::FORBIDDEN);

    for role in [Role::Reader, Role::Auditor] {
        let token = house.token(role).await;
        let reader = Browser::signed_in(&house, &token).await;
        assert!(!reader.page(&path).await.contains("/approve"));
        let reply = reader.post(&approve, &[("csrf", &reader.csrf)]).await;
        assert_eq!(reply.status, StatusCode::FORBIDDEN);
        // Somebody else's proof is none.
        let reply = reader.post(&approve, &[("csrf", &operator.csrf)]).await;
        assert_eq!(reply.status, StatusCode::FORBIDDEN);
        assert_eq!(ruling(), Some(Ruling::Waiting));
    }

    let what = format!("POST {approve}");
    let refused = async |reason| {
        let page = house.get("/events?limit=1000").await.ok();
        let events = page["items"].as_array().unwrap().clone();
        let said = json!({ "reason": reason, "rule": what });
        events
            .iter()
            .filter(|event| event["detail"] == said)
            .count()
    };
    // Three forms without a proof, one from elsewhere, and two of each who may not.
    assert_eq!(refused("forbidden").await, 8);

    assert!(operator.page(&path).await.contains(&approve));
    let reply = operator.post(&approve, &[("csrf", &operator.csrf)]).await;
    assert_eq!(reply.status, StatusCode::SEE_OTHER, "{}", reply.body);
    assert_eq!(ruling(), Some(Ruling::Approved));
    let decided = operator.page(&path).await;
    assert!(decided.contains("a operator (operator)") && !decided.contains(&approve));
    let by = house.get(&path).await.ok()["decided_by"].clone();
    assert_eq!(by, "a operator (operator)");

    let refuse = "/devices/pump-1/resume";
    let reply = operator.post(refuse, &[("csrf", &operator.csrf)]).await;
    assert_eq!(reply.status, StatusCode::CONFLICT, "{}", reply.body);
    let page = house.get("/events?order=newest&limit=1").await.ok();
    let said = json!({ "reason": "conflict", "rule": format!("POST {refuse}") });
    assert_eq!(page["items"][0]["detail"], said);
    assert_eq!(page["items"][0]["by"], "a operator (operator)");
}

#[tokio::test]
async fn an_incident_is_decided_with_a_choice_and_a_reason() {
    let house = House::furnished().await;
    let certificate = house.enrolled("pump-1").await;
    let serial = certificate.row.serial.to_string();
    let no = fork(&house, "pump-1", vec![serial.clone()]).await;
    let path = format!("/incidents/{no}");
    let resolve = format!("{path}/resolve");
    let token = house.token(Role::Reader).await;
    let reader = Browser::signed_in(&house, &token).await;
    assert!(reader.page("/incidents").await.contains(&path));
    assert!(!reader.page(&path).await.contains("<fieldset"));
    let fields = [
        ("csrf", reader.csrf.as_str()),
        ("keep", "none"),
        ("why", "x"),
    ];
    let reply = reader.post(&resolve, &fields).await;
    assert_eq!(reply.status, StatusCode::FORBIDDEN);

    let admin = Browser::signed_in(&house, &house.admin).await;
    let csrf = admin.csrf.as_str();
    assert!(admin.page("/").await.contains("1 incident is"));
    assert!(admin.page(&path).await.contains("Keep none"));
    assert!(admin.page("/").await.contains("1 finding is"));
    let page = admin.page("/findings/1").await;
    assert!(page.contains(&path) && page.contains("pump-1"), "{page}");
    let fields = [("csrf", csrf), ("why", "a person is on the way")];
    let acknowledge = "/findings/1/acknowledge";
    let reply = reader.post(acknowledge, &fields).await;
    assert_eq!(reply.status, StatusCode::FORBIDDEN);
    let reply = admin
        .post(acknowledge, &[("csrf", csrf), ("why", " ")])
        .await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
    let reply = admin.post(acknowledge, &fields).await;
    assert_eq!(reply.status, StatusCode::SEE_OTHER, "{}", reply.body);
    let page = admin.page("/findings/1").await;
    assert!(
        page.contains("a person is on the way") && !page.contains("<form.stack"),
        "{page}"
    );
    for fields in [
        vec![("csrf", csrf), ("why", "x")],
        vec![("csrf", csrf), ("keep", serial.as_str()), ("why", " ")],
    ] {
        let reply = admin.post(&resolve, &fields).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST);
    }
    let fields = [
        ("csrf", csrf),
        ("keep", &serial),
        ("why", "the thief was found"),
    ];
    let reply = admin.post(&resolve, &fields).await;
    assert_eq!(reply.status, StatusCode::SEE_OTHER, "{}", reply.body);
    let found = admin.page("/findings?state=all").await;
    assert!(
        found.contains("/findings/1") && found.contains("cleared"),
        "{found}"
    );
    let page = admin.page(&path).await;
    assert!(
        page.contains("resolved") && !page.contains("<fieldset"),
        "{page}"
    );
    assert!(admin.page("/incidents").await.contains("There is none"));
}

#[test]
fn the_chart_counts_everything_once() {
    let day = |n: i64| DayOfEnds {
        day: Time::from_unix(n * 86_400),
        current: 1,
        all: 2,
    };
    for days in [0, 1, 30, 31, 32, 90, 365] {
        let bars = bars(&(0..days).map(day).collect::<Vec<_>>());
        let total: u64 = bars.iter().map(|bar| bar.ends).sum();
        assert_eq!(total, u64::try_from(days).unwrap());
        assert!(bars.len() <= 53);
    }
    for (n, top) in [(0, 1), (1, 1), (3, 5), (11, 20), (1_000_000, 1_000_000)] {
        assert_eq!(scale(n), top);
    }
    assert_eq!(scale(u64::MAX), u64::MAX);
}

#[test]
fn numbers_and_queries_are_written_plainly() {
    assert_eq!(number(0), "0");
    assert_eq!(number(999), "999");
    assert_eq!(number(1_234_567), "1\u{202f}234\u{202f}567");
    assert_eq!(
        query(&[("a", ""), ("b", "x y&z"), ("c", "ü")]),
        "?b=x%20y%26z&c=%C3%BC"
    );
    assert_eq!(query(&[]), "");
}

#[tokio::test]
async fn the_matrix_shows_who_lets_the_revoked_in_and_how_soon_others_refuse() {
    use tenure_domain::canary::{Canary, ProbeScope, Reception, Round, Trial};
    let house = House::furnished().await;
    for name in ["careful", "careless", "new"] {
        let party = serde_json::json!({
            "name": name, "address": "127.0.0.1:1", "owner": "Hydraulics", "site": "Hall 3",
        });
        house.post("/relying-parties", party).await.ok();
    }
    let now = house.clock.now();
    for (name, revoked, enforced_ms) in [
        ("careful", Reception::Refused, Some(412)),
        ("careless", Reception::Accepted, None),
    ] {
        let known = house
            .engine
            .store()
            .glance(|tx| tenure_engine::store::relying_party::by_name(tx, TenantId::DEFAULT, name));
        let trials = [
            (Canary::Valid, Reception::Accepted),
            (Canary::Revoked, revoked),
        ];
        let trials = trials.map(|(canary, reception)| Trial {
            canary,
            issuer: "issuing-1".parse().unwrap(),
            reception,
            how: "<b>said so</b>".to_owned(),
        });
        let round = Round {
            scope: ProbeScope::Matrix,
            trials: trials.to_vec(),
            enforced_ms,
        };
        let known = known.unwrap().unwrap();
        house.engine.record_probe(&known, now, round).await.unwrap();
    }
    let admin = Browser::signed_in(&house, &house.admin).await;
    let page = admin.page("/enforcement").await;
    for shown in [
        "proven",
        "failing",
        "unverified",
        "never",
        "412 ms",
        "not tried",
        "<svg",
    ] {
        assert!(page.contains(shown), "{shown}: {page}");
    }
    let page = admin.page("/relying-parties/careless").await;
    assert!(
        page.contains("still lets in") && !page.contains("<b>said"),
        "{page}"
    );
    let times = house.get("/enforcement/times").await.ok();
    assert_eq!(
        times["relying_parties"]["careful"]["p50_ms"], 412,
        "{times}"
    );
    let rows = house.get("/enforcement").await.ok();
    assert_eq!(
        rows["items"][1]["receptions"]["revoked"], "accepted",
        "{rows}"
    );
    let none = house.post(
        "/probes",
        serde_json::json!({ "relying_parties": ["nobody"] }),
    );
    assert_eq!(none.await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_person_sees_why_a_device_is_turned_away() {
    let house = House::furnished().await;
    house.enrolled("pump-1").await;
    house.engine.publish().await.unwrap();
    let admin = Browser::signed_in(&house, &house.admin).await;
    let page = admin.page("/devices/pump-1").await;
    let link = between(&page, "href=\"/decisions?", "\"").replace("&amp;", "&");
    let page = admin.page(&format!("/decisions?{link}")).await;
    assert!(page.contains("It is let in"), "{page}");
    assert!(page.contains("not-seen-in-use"), "{page}");
    house.engine.record_verdicts().await.unwrap();

    house
        .post("/devices/pump-1/suspend", json!({ "why": "a test" }))
        .await
        .ok();
    let page = admin.page("/decisions?device=pump-1&service=broker").await;
    assert!(page.contains("It is turned away"), "{page}");
    assert!(page.contains("device-suspended"), "{page}");
    assert!(page.contains("An operator suspended the device"), "{page}");
    assert!(page.contains("/issuers/issuing-1/certificates/"), "{page}");
    assert!(page.contains("Verdicts on this device"), "{page}");
    let page = admin.page("/decisions?device=nobody").await;
    assert!(page.contains("Device nobody"), "{page}");
    let page = admin.page("/decisions?device=pump-1&service=a%3Bb").await;
    assert!(page.contains("service:"), "{page}");
}

#[tokio::test]
async fn a_rollover_and_a_trust_store_are_shown_with_what_stands_in_the_way() {
    let house = House::furnished().await;
    let party = serde_json::json!({
        "name": "broker", "address": "127.0.0.1:1", "owner": "Hydraulics", "site": "Hall 3",
    });
    house.post("/relying-parties", party).await.ok();
    let admin = Browser::signed_in(&house, &house.admin).await;
    let page = admin.page("/issuers/issuing-1/rollover").await;
    for shown in ["issuing-1", "active", "broker", "not tried"] {
        assert!(page.contains(shown), "{shown}: {page}");
    }
    assert!(page.contains("has no active successor"), "{page}");
    let page = admin.page("/relying-parties/broker/trust-store").await;
    assert!(page.contains("Nothing was reported"), "{page}");
    let ours = house.get("/issuers/root").await.ok();
    let pem = ours["chain_pem"].as_str().unwrap().to_owned();
    let told = serde_json::json!({ "pem": pem });
    let store = house
        .post("/relying-parties/broker/trust-store", told)
        .await
        .ok();
    assert_eq!(store["held"][0]["standing"], "meant", "{store}");
    let page = admin.page("/relying-parties/broker/trust-store").await;
    assert!(
        page.contains("meant") && page.contains("issuing-1"),
        "{page}"
    );
    let bad = serde_json::json!({ "pem": "-----BEGIN CERTIFICATE-----" });
    let bad = house.post("/relying-parties/broker/trust-store", bad).await;
    assert_eq!(bad.status, StatusCode::BAD_REQUEST);
    let none = house.get("/anchors/zz").await;
    assert_eq!(none.status, StatusCode::BAD_REQUEST);
    let step = serde_json::json!({ "why": "x" });
    let step = house.post("/issuers/issuing-1/rollover/jump", step).await;
    assert_eq!(step.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_compromise_is_shown_with_whom_it_concerns_and_how_far_it_is_mended() {
    let house = House::furnished().await;
    let held = house.enrolled("pump-1").await;
    let browser = Browser::signed_in(&house, &house.token(Role::Auditor).await).await;
    let none = browser.page("/compromises").await;
    assert!(none.contains("None was reported"), "{none}");
    let key = held.cert.public_key().hash().to_string();
    let body = json!({ "kind": "key", "name": key, "why": "<b>found</b> on a stick" });
    house.post("/compromises", body).await.ok();
    let list = browser.page("/compromises").await;
    assert!(
        list.contains("&lt;b&gt;found&lt;/b&gt; on a stick"),
        "{list}"
    );
    assert!(list.contains("/compromises/1"), "{list}");
    let shown = browser.page("/compromises/1").await;
    assert!(shown.contains(&key), "{shown}");
    assert!(shown.contains("It is blocked"), "{shown}");
    // The one device has lost its only certificate, so that its wave is the one whose turn it is.
    let wave = between(&shown, "id=\"waves\"", "</table>");
    assert!(wave.contains(">now<") && wave.contains("0 of 1"), "{wave}");
    assert!(
        shown.contains("/blast-radius?kind=key&amp;name="),
        "{shown}"
    );
    let missing = browser.get("/compromises/2").await;
    assert_eq!(missing.status, StatusCode::NOT_FOUND);
}
