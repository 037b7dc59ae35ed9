//! What an operator does by mistake is refused with a reason, and loses nothing.

use std::collections::BTreeSet;

use hyper::StatusCode;
use serde_json::{Value, json};
use tenure_domain::change::{Change, Edit};
use tenure_domain::device::{Criticality, DeviceSpec};
use tenure_domain::operator::{Actor, Role};
use tenure_domain::policy::document;
use tenure_domain::registry::Site;
use tenure_engine::store::{OperationId, Tx, policy};

use super::house::{House, Reply};

fn said(reply: &Reply) -> &str {
    reply.body["detail"].as_str().unwrap_or_default()
}

async fn withdraw(house: &House, no: &Value) -> Reply {
    let path = format!("/tokens/{no}");
    let admin = Some(house.admin.as_str());
    house.call(admin, "DELETE", &path, Value::Null).await
}

#[tokio::test]
async fn the_last_admin_token_that_works_is_not_withdrawn() {
    let house = House::found().await;
    let own = house.get("/me").await.ok()["no"].clone();
    let refused = withdraw(&house, &own).await;
    assert_eq!(refused.status, StatusCode::CONFLICT, "{}", refused.body);
    assert!(said(&refused).contains("make another one first"));

    house.token(Role::Operator).await;
    let short = json!({ "name": "short", "role": "admin", "days": 1 });
    house.post("/tokens", short).await.ok();
    house.clock.move_to(house.clock.now().plus(2 * 86_400));
    let refused = withdraw(&house, &own).await;
    assert_eq!(refused.status, StatusCode::CONFLICT, "{}", refused.body);
    house.get("/me").await.ok();

    house.token(Role::Admin).await;
    withdraw(&house, &own).await.ok();
    assert_eq!(house.get("/me").await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn each_backup_has_a_directory_of_its_own() {
    let house = House::furnished().await;
    // The clock of the house stands: all of them are of one second.
    let [one, two, three] = [
        house.post("/backups", Value::Null),
        house.post("/backups", Value::Null),
        house.post("/backups", Value::Null),
    ];
    let (one, two, three) = tokio::join!(one, two, three);
    let made = [one.ok(), two.ok(), three.ok()];
    let paths: BTreeSet<_> = made
        .iter()
        .map(|made| made["path"].as_str().unwrap())
        .collect();
    assert_eq!(paths.len(), 3);
    for path in &paths {
        let database = std::path::Path::new(path).join("tenure.db");
        tenure_engine::store::backup::verify(&database).unwrap();
    }
    let taken = paths.first().unwrap();
    let refused = house.post("/backups", json!({ "to": taken })).await;
    assert!(
        said(&refused).contains("exists already"),
        "{}",
        refused.body
    );
}

const ALL: &str = "id,manufacturer,model,serial,class,site,owner,services,criticality\n\
    pump-1,Acme,P1,SN-1,pump,Hall 3,Hydraulics,broker;broker,high\n";

async fn imported(house: &House, query: &str, table: &str) {
    let path = format!("/imports{query}");
    let staged = house.post(&path, json!(table)).await.ok();
    let path = format!("/imports/{}/apply", staged["import"].as_str().unwrap());
    assert_eq!(house.post(&path, Value::Null).await.ok()["state"], "done");
}

#[tokio::test]
async fn a_table_leaves_alone_what_it_has_no_column_for() {
    let house = House::furnished().await;
    imported(&house, "", ALL).await;
    let before = house.get("/devices/pump-1").await.ok();
    assert_eq!(before["services"], json!(["broker"]));
    let short = "id,class,site,owner\npump-1,pump,Hall 3,Hydraulics\n";
    let plan = house.post("/import-plan", json!(short)).await.ok();
    assert_eq!(plan["unchanged"], 1, "{plan}");
    imported(&house, "", short).await;
    let line = r#"{"id":"pump-1","class":"pump","site":"Hall 3","owner":"Hydraulics","model":""}"#;
    imported(&house, "?format=jsonl", line).await;
    let after = house.get("/devices/pump-1").await.ok();
    for field in ["manufacturer", "serial", "services", "criticality"] {
        assert_eq!(after[field], before[field], "{field}");
    }
    assert_eq!(after["model"], "");
}

#[tokio::test]
async fn mistakes_beyond_a_hundred_are_counted() {
    let house = House::furnished().await;
    let table = |bad: usize| {
        let unread = "a,pump,Hall 3,Hydraulics,huge\n".repeat(60);
        let unfit: String = (60..bad)
            .map(|no| format!("b{no},pump,Nowhere,Hydraulics,low\n"))
            .collect();
        format!("id,class,site,owner,criticality\n{unread}{unfit}")
    };
    for (bad, last) in [
        (100, "row 101, column site"),
        (101, "and 1 more"),
        (250, "and 150 more"),
    ] {
        let refused = house.post("/imports", json!(table(bad))).await;
        let lines = refused.body["errors"].as_array().unwrap();
        assert_eq!(lines.len(), bad.min(101));
        let said = lines.last().and_then(Value::as_str).unwrap();
        assert!(said.starts_with(last), "{said}");
    }
}

#[tokio::test]
async fn every_mistake_of_a_table_is_named_at_once() {
    let house = House::furnished().await;
    let table = "id,class,site,owner,services,criticality\n\
        a,pump,Hall 3,Hydraulics,broker,huge\n\
        b,nothing,Nowhere,Hydraulics,none,low\n\
        c,pump,Hall 3,Hydraulics,broker,low\n\
        c,pump,Hall 3,Nobody,broker,low\n";
    for path in ["/imports", "/import-plan"] {
        let refused = house.post(path, json!(table)).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST);
        let lines = refused.body["errors"].as_array().unwrap();
        let places: Vec<_> = lines
            .iter()
            .map(|line| line.as_str().unwrap().split(':').next().unwrap())
            .collect();
        let expected = [
            "row 2, column criticality",
            "row 3, column class",
            "row 3, column site",
            "row 3, column services",
            "row 5, column owner",
            "row 5, column id",
        ];
        assert_eq!(places, expected);
    }
}

/// Where something new gets its name, with the rest of what it takes.
fn christenings(name: &str) -> Vec<(&'static str, &'static str, Value)> {
    let device = json!({ "id": name, "class": "pump", "site": "Hall 3", "owner": "Hydraulics" });
    vec![
        ("/devices", "id: ", device),
        ("/owners", "name: ", json!({ "name": name })),
        ("/sites", "name: ", json!({ "name": name })),
        ("/classes", "name: ", json!({ "name": name })),
        ("/services", "name: ", json!({ "name": name })),
        (
            "/manufacturers",
            "name: ",
            json!({ "name": name, "roots_pem": "" }),
        ),
    ]
}

#[tokio::test]
async fn nothing_new_gets_a_name_that_no_path_can_say() {
    let house = House::furnished().await;
    for name in [".", ".."] {
        for (path, field, body) in christenings(name) {
            let refused = house.post(path, body).await;
            assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{path}");
            assert!(said(&refused).starts_with(field), "{}", refused.body);
            let mend = "use a letter or a digit, too";
            assert!(said(&refused).ends_with(mend), "{}", refused.body);
        }
    }
    let table = "id,class,site,owner\n..,pump,Hall 3,Hydraulics\na,pump,.,Hydraulics\n";
    let path = "/imports?create_missing=yes";
    let refused = house.post(path, json!(table)).await.body["errors"].to_string();
    for place in ["row 2, column id: ", "row 3, column site: "] {
        assert!(refused.contains(place), "{refused}");
    }
}

#[tokio::test]
async fn what_is_typed_of_something_new_shows_what_it_is() {
    let house = House::furnished().await;
    house.device("pump-1").await;
    for hidden in [
        "pump\u{202e}7",
        "pump\u{200f}",
        "pu\u{200b}mp",
        "pump\u{7}7",
    ] {
        for (path, field, body) in christenings(hidden) {
            let refused = house.post(path, body).await;
            assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{path}");
            assert!(said(&refused).starts_with(field), "{}", refused.body);
        }
        for field in ["manufacturer", "model", "serial"] {
            let admin = Some(house.admin.as_str());
            let edit = json!({ field: hidden });
            let refused = house.call(admin, "PATCH", "/devices/pump-1", edit).await;
            assert_eq!(refused.status, StatusCode::BAD_REQUEST);
            let what = format!("{field}: it holds a control character");
            assert!(said(&refused).starts_with(&what), "{}", refused.body);
            let long = json!({ field: "x".repeat(129) });
            let refused = house.call(admin, "PATCH", "/devices/pump-1", long).await;
            let what = format!("{field}: use at most 128 characters");
            assert_eq!(said(&refused), what);
            let table = format!("id,class,site,owner,{field}\na,pump,Hall 3,Hydraulics,{hidden}\n");
            let refused = house.post("/imports", json!(table)).await;
            let line = refused.body["errors"].to_string();
            let place = format!("row 2, column {field}: ");
            assert!(line.contains(&place), "{line}");
        }
    }
}

#[tokio::test]
async fn what_is_there_already_may_be_changed_and_said_again() {
    let house = House::furnished().await;
    let actor = Actor::system("test");
    let (site, id) = ("Hall\u{200f} 4", "..");
    let at = Site {
        name: site.parse().unwrap(),
        parent: None,
    };
    house
        .engine
        .change(&actor, Change::PutSite(Edit::new(at)))
        .await
        .unwrap();
    let spec = DeviceSpec {
        id: id.parse().unwrap(),
        manufacturer: String::new(),
        model: "x".repeat(200),
        serial: String::new(),
        class: "pump".parse().unwrap(),
        site: site.parse().unwrap(),
        owner: "Hydraulics".parse().unwrap(),
        services: Vec::new(),
        criticality: Criticality::Medium,
    };
    house
        .engine
        .change(&actor, Change::AddDevice(spec))
        .await
        .unwrap();
    let moved = house
        .post("/sites", json!({ "name": site, "parent": "Hall 3" }))
        .await;
    assert_eq!(moved.status, StatusCode::OK, "{}", moved.body);
    let table = house.get("/export/devices").await;
    assert!(
        table.body.as_str().unwrap().contains(site),
        "{}",
        table.body
    );
    let again = house.post("/import-plan", table.body).await.ok();
    assert_eq!(
        (&again["rows"], &again["unchanged"]),
        (&json!(1), &json!(1)),
        "{again}"
    );
}

#[tokio::test]
async fn a_profile_that_the_policy_does_not_have_is_refused() {
    let house = House::furnished().await;
    for profile in ["nosuch", "tenure-server"] {
        let class = json!({ "name": "c9", "profile": profile });
        let refused = house.post("/classes", class).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST);
        assert!(said(&refused).contains("it has device"), "{}", refused.body);
        let path = format!("/imports?create_missing=yes&profile={profile}");
        let refused = house.post(&path, json!(ALL)).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    }
    let class = house.post("/classes", json!({ "name": "c9" })).await.ok();
    assert_eq!(class["profile"], "device");
}

#[tokio::test]
async fn a_document_that_does_not_fit_the_house_is_refused_wherever_it_comes() {
    let house = House::found().await;
    let policy = house.get("/policy").await.ok();
    let shown = policy["document"].as_str().unwrap();
    let misfit = "name = \"device\"\nissuer = \"isuing-1\"";
    let document = json!(shown.replacen("name = \"device\"", misfit, 1));
    for (method, path) in [
        ("POST", "/policy/test"),
        ("POST", "/policy/plan"),
        ("PUT", "/policy"),
    ] {
        let admin = Some(house.admin.as_str());
        let refused = house.call(admin, method, path, document.clone()).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{path}");
        let lines = refused.body["errors"].as_array().unwrap();
        assert_eq!(lines.len(), 1, "{}", refused.body);
        let line = lines[0].as_str().unwrap();
        assert!(line.contains("[[profile]] device, issuer: "), "{line}");
        assert!(line.contains("use one of: issuing-1"), "{line}");
    }
    assert_eq!(house.get("/policy").await.ok(), policy);
}

#[tokio::test]
async fn a_policy_in_force_that_fits_no_more_is_told_by_doctor() {
    let house = House::found().await;
    let check = async || {
        let doctor = house.get("/doctor").await.ok();
        let mut checks = doctor["checks"].as_array().unwrap().iter();
        checks.find(|it| it["check"] == "policy").unwrap().clone()
    };
    assert_eq!(check().await["verdict"], "good");
    let shown = house.get("/policy").await.ok();
    let shown = shown["document"].as_str().unwrap();
    // As an earlier release took it.
    let document = shown.replacen(
        "name = \"device\"",
        "name = \"device\"\nissuer = \"gone\"",
        1,
    );
    let hash = document::parse(&document, 0).unwrap().hash;
    let now = house.clock.now();
    let apply = move |tx: &mut Tx<'_>| {
        let actor = Actor::system("test");
        policy::apply(tx, &document, hash, &actor, now)
    };
    let store = house.engine.store();
    store.record(OperationId([7; 16]), apply).await.unwrap();
    let found = check().await;
    assert_eq!(found["verdict"], "warning", "{found}");
    assert!(
        found["found"]
            .as_str()
            .unwrap()
            .contains("there is no issuer \"gone\""),
        "{found}"
    );
}

#[tokio::test]
async fn a_reason_that_is_none_and_a_time_to_come_are_refused() {
    let house = House::furnished().await;
    let made = house.enrolled("pump-1").await;
    let path = format!("/certificates/{}/revoke", made.row.serial);
    let refused = house.post(&path, json!({ "reason": "bad" })).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    let names = "unspecified, keyCompromise, cACompromise";
    assert!(said(&refused).contains(names), "{}", refused.body);
    let later = house.clock.now().plus(60).to_string();
    let body = json!({ "reason": "keyCompromise", "invalid_since": later });
    let refused = house.post(&path, body).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    assert!(
        said(&refused).starts_with("invalid_since"),
        "{}",
        refused.body
    );
    let now = house.clock.now().to_string();
    let body = json!({ "reason": "keyCompromise", "invalid_since": now });
    house.post(&path, body).await.ok();
}

#[tokio::test]
async fn a_limit_beyond_its_bounds_is_refused() {
    let house = House::found().await;
    for path in ["/devices", "/events", "/asks", "/tokens"] {
        for limit in ["0", "1001", "5000", "-1"] {
            let refused = house.get(&format!("{path}?limit={limit}")).await;
            assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{path} {limit}");
            assert!(said(&refused).contains("limit"), "{}", refused.body);
        }
        for limit in ["1", "1000"] {
            house.get(&format!("{path}?limit={limit}")).await.ok();
        }
    }
}

#[tokio::test]
async fn asks_are_listed_by_every_state_that_is_shown() {
    let house = House::found().await;
    for state in ["waiting", "quarantined", "approved", "refused", "answered"] {
        house.get(&format!("/asks?state={state}")).await.ok();
    }
    let refused = house.get("/asks?state=asleep").await;
    for state in ["waiting", "quarantined", "approved", "refused", "answered"] {
        assert!(said(&refused).contains(state), "{}", refused.body);
    }
}

/// Whoever could stop or take over the house's own subjects could stop the house, or be it.
#[tokio::test]
async fn the_houses_own_subjects_are_in_nobodys_hands() {
    let house = House::furnished().await;
    house.device("pump-17").await;
    for (method, path, body) in [
        (
            "POST",
            "/devices/tenure-server/retire",
            json!({ "why": "a slip" }),
        ),
        ("POST", "/devices/tenure-server/suspend", json!({})),
        (
            "POST",
            "/devices/issuing-1/retire",
            json!({ "why": "a slip" }),
        ),
        ("POST", "/devices/issuing-1/secret", json!({})),
        (
            "POST",
            "/devices/issuing-1/repair",
            json!({ "why": "mended" }),
        ),
        ("PATCH", "/devices/issuing-1", json!({ "class": "pump" })),
        ("PATCH", "/devices/pump-17", json!({ "class": "tenure" })),
        (
            "POST",
            "/classes",
            json!({ "name": "tenure", "server_keygen": "allowed" }),
        ),
        (
            "POST",
            "/devices",
            json!({
                "id": "ghost", "class": "tenure", "site": "Hall 3", "owner": "Hydraulics",
                "services": ["broker"],
            }),
        ),
    ] {
        let reply = house.call(Some(&house.admin), method, path, body).await;
        assert_eq!(
            reply.status,
            StatusCode::CONFLICT,
            "{method} {path}: {}",
            reply.body
        );
    }
    for row in [
        "ghost,Acme,P1,S1,tenure,Hall 3,Hydraulics,broker,low",
        "tenure-server,Acme,P1,S1,pump,Hall 3,Hydraulics,broker,low",
    ] {
        let table =
            format!("id,manufacturer,model,serial,class,site,owner,services,criticality\n{row}\n");
        let plan = house.post("/import-plan", json!(table)).await.body;
        assert!(
            plan.to_string().contains("house's own subjects"),
            "{plan:#}"
        );
    }
}
