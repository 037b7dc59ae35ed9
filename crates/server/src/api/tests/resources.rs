//! Each resource, asked as a client would.

use hyper::StatusCode;
use serde_json::{Value, json};
use tenure_tlog::{Checkpoint, Hash, leaf_hash, verify_inclusion};

use super::house::House;

fn ids(list: &Value, name: &str) -> Vec<String> {
    let items = list["items"].as_array().unwrap();
    items
        .iter()
        .map(|item| item[name].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn devices_are_added_found_and_changed() {
    let house = House::furnished().await;
    for id in ["pump-1", "pump-2", "pump-3", "valve-1"] {
        house.device(id).await;
    }
    let found = house.get("/devices?search=pump-&limit=2").await.ok();
    assert_eq!(ids(&found, "id"), ["pump-1", "pump-2"]);
    let next = found["next"].as_str().unwrap();
    let found = house
        .get(&format!("/devices?search=pump-&limit=2&cursor={next}"))
        .await
        .ok();
    assert_eq!(ids(&found, "id"), ["pump-3"]);
    let found = house
        .get("/devices?class=pump&site=Hall%203&owner=Hydraulics&service=broker&standing=expected")
        .await
        .ok();
    assert_eq!(ids(&found, "id").len(), 4);
    for wrong in [
        "?standing=asleep",
        "?limit=many",
        "?cursor=%00",
        "?site=Nowhere",
    ] {
        let reply = house.get(&format!("/devices{wrong}")).await;
        assert_eq!(
            reply.status,
            StatusCode::BAD_REQUEST,
            "{wrong}: {}",
            reply.body
        );
    }

    let body = json!({ "criticality": "high" });
    let edited = house
        .call(Some(&house.admin), "PATCH", "/devices/pump-1", body)
        .await
        .ok();
    assert_eq!(
        (&edited["criticality"], &edited["site"]),
        (&json!("high"), &json!("Hall 3"))
    );
    let unknown = json!({ "colour": "red" });
    let reply = house
        .call(Some(&house.admin), "PATCH", "/devices/pump-1", unknown)
        .await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
    let bad = json!({ "id": "a:b", "class": "pump", "site": "Hall 3", "owner": "Hydraulics" });
    let reply = house.post("/devices", bad).await;
    assert!(
        reply.body["detail"].as_str().unwrap().starts_with("id:"),
        "{}",
        reply.body
    );
    let exported = house.get("/export/devices?search=valve").await.ok();
    assert_eq!(
        exported.as_str().unwrap().lines().collect::<Vec<_>>(),
        [
            "id,manufacturer,model,serial,class,site,owner,services,criticality",
            "valve-1,Acme,P1,SN-valve-1,pump,Hall 3,Hydraulics,broker,medium",
        ]
    );
}

#[tokio::test]
async fn a_device_lives_through_its_standings_and_its_certificates_with_it() {
    let house = House::furnished().await;
    let made = house.enrolled("pump-1").await;
    let shown = house.get("/devices/pump-1").await.ok();
    assert_eq!(shown["standing"], "enrolled");
    assert_eq!(
        shown["certificates"][0]["serial"],
        made.row.serial.to_string()
    );
    assert_eq!(shown["certificates"][0]["status"], "issued");
    assert_eq!(shown["secret"]["state"], "spent");
    for (verb, standing, status) in [
        ("suspend", "suspended", "held"),
        ("resume", "enrolled", "issued"),
        ("retire", "retired", "revoked"),
    ] {
        let body = json!({ "why": "a test" });
        let moved = house
            .post(&format!("/devices/pump-1/{verb}"), body)
            .await
            .ok();
        assert_eq!(moved["standing"], standing);
        let listed = house.get("/certificates?device=pump-1").await.ok();
        assert_eq!(listed["items"][0]["status"], status);
    }
    let reply = house.post("/devices/pump-1/resume", json!({})).await;
    assert_eq!(reply.status, StatusCode::CONFLICT);
}

#[tokio::test]
async fn a_certificate_is_shown_and_revoked_after_a_look_at_what_it_touches() {
    let house = House::furnished().await;
    let made = house.enrolled("pump-1").await;
    let serial = made.row.serial.to_string();
    let path = format!("/certificates/{serial}");
    let shown = house.get(&path).await.ok();
    assert_eq!(shown["device"], "pump-1");
    assert_eq!(shown["expired"], false);
    assert_eq!(shown["predecessor"], Value::Null);
    assert_eq!(shown["pem"], made.cert.pem());
    for spelled in [
        serial.to_uppercase(),
        format!("00:{serial}"),
        serial.trim_start_matches('0').to_owned(),
    ] {
        let found = house.get(&format!("/certificates/{spelled}")).await.ok();
        assert_eq!(found["serial"], serial);
    }
    let by_issuer = house
        .get(&format!("/issuers/issuing-1/certificates/{serial}"))
        .await
        .ok();
    assert_eq!(by_issuer["serial"], serial);

    let radius = house.get(&format!("{path}/blast-radius")).await.ok();
    assert_eq!(radius["devices"], json!(["pump-1"]));
    assert_eq!(radius["services"], json!(["broker"]));
    let held = house.post(&format!("{path}/hold"), Value::Null).await.ok();
    assert_eq!(
        (&held["status"], &held["reason"]),
        (&json!("held"), &json!("certificateHold"))
    );
    assert_eq!(
        house
            .post(&format!("{path}/release"), Value::Null)
            .await
            .ok()["status"],
        "issued"
    );
    for wrong in ["boredom", "certificateHold", "removeFromCRL"] {
        let reply = house
            .post(&format!("{path}/revoke"), json!({ "reason": wrong }))
            .await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{wrong}");
    }
    let how = json!({ "reason": "keyCompromise", "invalid_since": "2026-09-01T00:00:00Z" });
    let revoked = house
        .post(&format!("{path}/revoke"), how.clone())
        .await
        .ok();
    assert_eq!(
        (&revoked["status"], &revoked["reason"]),
        (&json!("revoked"), &json!("keyCompromise"))
    );
    assert_eq!(revoked["invalid_since"], "2026-09-01T00:00:00Z");
    house.post(&format!("{path}/revoke"), how).await.ok();
    assert_eq!(
        house
            .post(&format!("{path}/hold"), Value::Null)
            .await
            .status,
        StatusCode::CONFLICT
    );
    let listed = house.get("/certificates?status=revoked").await.ok();
    assert_eq!(ids(&listed, "serial"), [serial]);
}

#[tokio::test]
async fn the_fleet_is_counted_and_its_ends_are_charted() {
    let house = House::furnished().await;
    house.enrolled("pump-1").await;
    house.device("pump-2").await;
    let fleet = house.get("/fleet").await.ok();
    assert_eq!(fleet["by_class"]["pump"], 2);
    assert_eq!(fleet["by_site"]["Hall 3"], 2);
    let days = house.get("/fleet/expiry?days=400").await.ok();
    let total: u64 = days["days"]
        .as_array()
        .unwrap()
        .iter()
        .map(|d| d["certificates"].as_u64().unwrap())
        .sum();
    assert!(total >= 1, "{days}");
    let ending = house
        .get("/certificates?expires_within_days=400")
        .await
        .ok();
    assert!(ids(&ending, "device").contains(&"pump-1".to_owned()));
}

#[tokio::test]
async fn issuers_and_policy_are_shown_tested_planned_and_changed() {
    let house = House::furnished().await;
    house.device("pump-1").await;
    let issuers = house.get("/issuers").await.ok();
    assert_eq!(ids(&issuers, "name"), ["issuing-1", "root"]);
    let shown = house.get("/issuers/issuing-1").await.ok();
    assert_eq!(
        shown["chain_pem"]
            .as_str()
            .unwrap()
            .matches("BEGIN")
            .count(),
        2
    );
    let body = json!({ "base_url": "http://pki.acme.example" });
    let edited = house
        .call(Some(&house.admin), "PATCH", "/issuers/issuing-1", body)
        .await
        .ok();
    assert_eq!(edited["base_url"], "http://pki.acme.example");
    assert_eq!(edited["base_urls"].as_array().unwrap().len(), 2);

    let policy = house.get("/policy").await.ok();
    let document = policy["document"].clone();
    assert_eq!(
        house.post("/policy/test", document.clone()).await.ok()["ok"],
        true
    );
    assert_eq!(
        house.post("/policy/plan", document.clone()).await.ok()["affected"],
        0
    );
    let explained = house
        .post("/policy/explain", json!({ "device": "pump-1" }))
        .await
        .ok();
    assert_eq!(explained["decision"], "allow");
    serde_json::from_value::<tenure_domain::policy::Explanation>(explained).unwrap();
    house.device("PUMP-1").await;
    let namesake = json!({ "device": "pump-1", "label": "device-server" });
    let explained = house.post("/policy/explain", namesake).await.ok();
    assert_eq!(explained["decision"], "refuse", "{explained:#}");
    let wrong = house.post("/policy/test", json!("colour = 7")).await;
    assert_eq!(wrong.status, StatusCode::BAD_REQUEST);
    assert!(!wrong.body["errors"].as_array().unwrap().is_empty());
    let again = house
        .call(Some(&house.admin), "PUT", "/policy", document)
        .await
        .ok();
    assert_eq!(again["version"], policy["version"]);
}

#[tokio::test]
async fn the_record_can_be_proved_read_and_looked_back_into() {
    let house = House::furnished().await;
    let made = house.enrolled("pump-1").await;
    let size = house.engine.integrate().await.unwrap();
    let events = house.get("/events?device=pump-1").await.ok();
    let issued = events["items"]
        .as_array()
        .unwrap()
        .iter()
        .find(|e| e["what"] == "certificate-issued")
        .unwrap();
    assert_eq!(issued["device"], "pump-1");
    assert_eq!(issued["detail"]["serial"], made.row.serial.to_string());
    let seq = issued["seq"].as_i64().unwrap();
    let proof = house.get(&format!("/log/prove/{seq}")).await.ok();
    let note = proof["checkpoint"].as_str().unwrap();
    let checkpoint: Checkpoint = note
        .split("\n\n")
        .next()
        .map(|t| format!("{t}\n"))
        .unwrap()
        .parse()
        .unwrap();
    assert_eq!(checkpoint.size(), size);
    let hashes: Vec<_> = proof["proof"]
        .as_array()
        .unwrap()
        .iter()
        .map(|h| Hash::from_base64(h.as_str().unwrap()).unwrap())
        .collect();
    let leaf = leaf_hash(proof["leaf"].as_str().unwrap().as_bytes());
    verify_inclusion(
        proof["index"].as_u64().unwrap(),
        size,
        &leaf,
        &hashes,
        checkpoint.root(),
    )
    .unwrap();
    for path in bundle_and_tile(size) {
        assert_eq!(house.get(&path).await.status, StatusCode::OK, "{path}");
    }
    assert_eq!(
        house.get("/log/prove/999999").await.status,
        StatusCode::NOT_FOUND
    );
    assert_eq!(
        house.get("/log/tile/0/../../tenure.toml").await.status,
        StatusCode::NOT_FOUND
    );
    assert!(
        house
            .get("/log/key")
            .await
            .ok()
            .as_str()
            .unwrap()
            .starts_with("tenure")
    );
}

fn bundle_and_tile(size: u64) -> [String; 2] {
    let last = tenure_tlog::bundles_between(0, size).last().unwrap();
    let bundle = last.to_string();
    let tile = bundle.replace("tile/entries/", "tile/0/");
    [format!("/log/{bundle}"), format!("/log/{tile}")]
}

#[tokio::test]
async fn a_sighting_is_news_once() {
    let house = House::furnished().await;
    let made = house.enrolled("pump-1").await;
    let body = json!({ "serial": made.row.serial.to_string(), "service": "broker" });
    assert_eq!(
        house.post("/sightings", body.clone()).await.ok()["seen"],
        "first"
    );
    assert_eq!(house.post("/sightings", body).await.ok()["seen"], "known");
    let shown = house
        .get(&format!("/certificates/{}", made.row.serial))
        .await
        .ok();
    assert_eq!(shown["seen_by"], json!(["broker"]));
}

#[tokio::test]
async fn a_token_is_handed_out_rotated_and_withdrawn() {
    let house = House::found().await;
    let made = house
        .post("/tokens", json!({ "name": "ci", "role": "reader" }))
        .await
        .ok();
    let token = made["token"].as_str().unwrap();
    let me = house
        .call(Some(token), "GET", "/me", Value::Null)
        .await
        .ok();
    assert_eq!((&me["name"], &me["role"]), (&json!("ci"), &json!("reader")));
    let fresh = house
        .call(Some(token), "POST", "/tokens/rotate", Value::Null)
        .await
        .ok();
    assert_eq!(
        house
            .call(Some(token), "GET", "/me", Value::Null)
            .await
            .status,
        StatusCode::UNAUTHORIZED
    );
    let fresh = fresh["token"].as_str().unwrap();
    assert_eq!(
        house
            .call(Some(fresh), "GET", "/me", Value::Null)
            .await
            .ok()["role"],
        "reader"
    );
    for wrong in [
        json!({ "name": "x", "role": "king" }),
        json!({ "name": "x", "role": "reader", "days": 0 }),
    ] {
        assert_eq!(
            house.post("/tokens", wrong).await.status,
            StatusCode::BAD_REQUEST
        );
    }
}

#[tokio::test]
async fn doctor_and_metrics_say_how_it_is() {
    let house = House::furnished().await;
    house.enrolled("pump-1").await;
    house.engine.integrate().await.unwrap();
    let doctor = house.get("/doctor").await.ok();
    for check in doctor["checks"].as_array().unwrap() {
        assert_ne!(check["verdict"], "bad", "{check}");
    }
    let metrics = house.metrics().await;
    for name in [
        "tenure_certificates_issued_total",
        "tenure_certificates{status=\"issued\"}",
        "tenure_next_expiry_seconds{class=\"pump\"}",
        "tenure_crl_age_seconds{issuer=\"issuing-1\"}",
        "tenure_filter_covers_age_seconds{issuer=\"issuing-1\"}",
        "tenure_root_crl_remaining_days{issuer=\"root\"} 365.0",
        "tenure_root_key_in_data_directory 0.0",
        "tenure_log_lag_events 0.0",
        "tenure_asks_waiting 0.0",
        "tenure_incidents_open 0.0",
        "tenure_devices{standing=\"enrolled\"}",
    ] {
        assert!(metrics.contains(name), "{name} is missing from:\n{metrics}");
    }
    let keys = house.engine.directory().join("keys");
    std::fs::create_dir_all(&keys).unwrap();
    std::fs::write(keys.join("root.key"), "").unwrap();
    let warned = house.metrics().await;
    assert!(
        warned.contains("tenure_root_key_in_data_directory 1.0"),
        "{warned}"
    );
    for (path, status) in [("/metrics", 401), ("/healthz", 200), ("/readyz", 200)] {
        let request = hyper::Request::get(path)
            .body(axum::body::Body::empty())
            .unwrap();
        assert_eq!(house.send(request).await.status.as_u16(), status, "{path}");
    }
}

const TABLE: &str = "id,manufacturer,model,serial,class,site,owner,services,criticality\n\
    pump-1,Acme,P1,1,pump,Hall 3,Hydraulics,broker,high\n\
    pump-2,Acme,P1,2,pump,Hall 4,Hydraulics,broker,low\n";

#[tokio::test]
async fn a_table_is_checked_whole_then_imported_once() {
    let house = House::furnished().await;
    let table = json!(TABLE);
    let reply = house.post("/imports", table.clone()).await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
    let errors = reply.body["errors"].to_string();
    assert!(errors.contains("row 3, column site"), "{errors}");
    assert_eq!(
        house.get("/devices/pump-1").await.status,
        StatusCode::NOT_FOUND
    );

    let plan = house
        .post("/import-plan?create_missing=yes", table.clone())
        .await
        .ok();
    assert_eq!(
        (&plan["added"], &plan["creates"]),
        (&json!(2), &json!(["site Hall 4"]))
    );
    assert_eq!(plan["changes"][1]["row"], 3);
    assert_eq!(
        house.get("/devices/pump-1").await.status,
        StatusCode::NOT_FOUND
    );

    let staged = house
        .post("/imports?create_missing=yes", table.clone())
        .await
        .ok();
    assert_eq!(
        (&staged["state"], &staged["rows"]),
        (&json!("applying"), &json!(2))
    );
    // Cut off here, the same table goes on with the same import.
    let again = house
        .post("/imports?create_missing=yes", table.clone())
        .await
        .ok();
    assert_eq!(again["import"], staged["import"]);
    let path = format!("/imports/{}/apply", staged["import"].as_str().unwrap());
    let mut state = house.post(&path, Value::Null).await.ok();
    while state["state"] != "done" {
        state = house.post(&path, Value::Null).await.ok();
    }
    assert_eq!((&state["added"], &state["applied"]), (&json!(2), &json!(2)));
    assert_eq!(house.get("/devices/pump-2").await.ok()["site"], "Hall 4");

    let plan = house
        .post("/import-plan", json!(TABLE.replace(",low", ",high")))
        .await
        .ok();
    assert_eq!(
        (&plan["unchanged"], &plan["changed"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(
        plan["changes"][0]["fields"],
        json!(["criticality: low becomes high"])
    );
}

#[tokio::test]
async fn the_past_is_told_as_known_now_and_as_known_then() {
    let house = House::furnished().await;
    let start = house.clock.now();
    let made = house.enrolled("pump-1").await;
    house.clock.move_to(start.plus(3600));
    let how = json!({ "reason": "keyCompromise", "invalid_since": start.plus(60).to_string() });
    house
        .post(&format!("/certificates/{}/revoke", made.row.serial), how)
        .await
        .ok();
    let between = start.plus(1800);
    let now = house
        .get(&format!("/as-of?at={between}&device=pump-1"))
        .await
        .ok();
    assert_eq!(now["items"][0]["state"], "revoked", "{now}");
    let then = house
        .get(&format!("/as-of?at={between}&device=pump-1&known=then"))
        .await
        .ok();
    assert_eq!(then["items"][0]["state"], "active", "{then}");
    let site = house
        .get(&format!("/as-of?at={between}&site=Hall%203"))
        .await
        .ok();
    assert_eq!(site["items"][0]["device"], "pump-1");
    let fleet = house.get(&format!("/as-of?at={between}")).await.ok();
    assert!(fleet["counts"]["active"].as_u64().unwrap() >= 1, "{fleet}");
    for wrong in ["", "?at=yesterday", "?at=2026-01-01T00:00:00Z&known=maybe"] {
        assert_eq!(
            house.get(&format!("/as-of{wrong}")).await.status,
            StatusCode::BAD_REQUEST
        );
    }
}

#[tokio::test]
async fn a_backup_is_made_and_verifies() {
    let house = House::furnished().await;
    house.enrolled("pump-1").await;
    let made = house.post("/backups", Value::Null).await.ok();
    let database = std::path::Path::new(made["path"].as_str().unwrap()).join("tenure.db");
    let found = tenure_engine::store::backup::verify(&database).unwrap();
    assert_eq!(made["events"], found.events);
    let newest = house.get("/events?after=1&limit=1000").await.ok();
    assert_eq!(
        newest["items"].as_array().unwrap().last().unwrap()["what"],
        "backup-created"
    );
}

#[tokio::test]
async fn what_surrounds_a_device_is_added_changed_and_listed() {
    let house = House::furnished().await;
    for (path, body, field, value) in [
        (
            "/owners",
            json!({ "name": "Hydraulics", "contact": "new" }),
            "contact",
            json!("new"),
        ),
        (
            "/sites",
            json!({ "name": "Hall 4", "parent": "Hall 3" }),
            "parent",
            json!("Hall 3"),
        ),
        (
            "/services",
            json!({ "name": "broker", "address": "b:1" }),
            "address",
            json!("b:1"),
        ),
        (
            "/classes",
            json!({ "name": "pump", "profile": "device", "impact": "safety", "fork_allowance": 2 }),
            "impact",
            json!("safety"),
        ),
    ] {
        let put = house.post(path, body.clone()).await.ok();
        assert_eq!(put[field], value, "{path}");
        house.post(path, body.clone()).await.ok();
        let name = crate::cli::api::segment(body["name"].as_str().unwrap());
        assert_eq!(
            house.get(&format!("{path}/{name}")).await.ok()[field],
            value
        );
        let listed = house.get(&format!("{path}?limit=1")).await.ok();
        assert_eq!(listed["items"].as_array().unwrap().len(), 1);
    }
    for (path, body) in [
        ("/sites", json!({ "name": "Hall 5", "parent": "Nowhere" })),
        (
            "/classes",
            json!({ "name": "x", "profile": "device", "fork_allowance": 9 }),
        ),
        (
            "/classes",
            json!({ "name": "x", "profile": "device", "exposure": "lunar" }),
        ),
        (
            "/manufacturers",
            json!({ "name": "Acme", "roots_pem": "no PEM" }),
        ),
        ("/owners", json!({ "contact": "nobody" })),
    ] {
        let reply = house.post(path, body).await;
        assert_eq!(
            reply.status,
            StatusCode::BAD_REQUEST,
            "{path}: {}",
            reply.body
        );
    }
}

#[tokio::test]
async fn a_fork_is_listed_and_decided() {
    let house = House::furnished().await;
    let first = house.enrolled("pump-1").await;
    let second = match house.renew(&first.cert).await {
        Ok(tenure_engine::Answer::Issued(certificate)) => certificate,
        other => panic!("{other:?}"),
    };
    let serial = second.row.serial.to_string();
    let body = json!({ "serial": serial, "service": "broker" });
    house.post("/sightings", body).await.ok();
    assert!(
        house.renew(&first.cert).await.is_err(),
        "the clone got a certificate"
    );
    let open = house.get("/incidents?state=open").await.ok();
    let incident = &open["items"][0];
    assert_eq!(
        (&incident["kind"], &incident["device"]),
        (&json!("fork"), &json!("pump-1"))
    );
    assert_eq!(
        house.get("/devices/pump-1").await.ok()["standing"],
        "quarantined"
    );
    let fleet = house.get("/fleet").await.ok();
    assert_eq!(
        (&fleet["incidents_open"], &fleet["findings_open"]),
        (&json!(1), &json!(1))
    );
    let findings = house.get("/findings?state=open").await.ok();
    let finding = &findings["items"][0];
    assert_eq!(
        (&finding["subject"], &finding["cause"]),
        (&json!("pump-1"), &json!("fork"))
    );
    let finding = format!("/findings/{}", finding["no"]);
    let acknowledge = format!("{finding}/acknowledge");
    let reply = house.post(&acknowledge, json!({})).await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST, "without a reason");
    let known = house
        .post(&acknowledge, json!({ "why": "on the way" }))
        .await;
    assert_eq!(known.ok()["state"], "acknowledged");
    let path = format!("/incidents/{}/resolve", incident["no"]);
    let reply = house
        .post(&path, json!({ "keep": "00ff", "why": "x" }))
        .await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
    let decided = house
        .post(&path, json!({ "keep": serial, "why": "seen on site" }))
        .await
        .ok();
    assert_eq!(decided["state"], "resolved");
    let cleared = house.get(&finding).await.ok();
    assert_eq!(
        (&cleared["state"], &cleared["why"]),
        (&json!("cleared"), &json!("on the way"))
    );
    let reply = house.post(&acknowledge, json!({ "why": "late" })).await;
    assert_eq!(reply.status, StatusCode::CONFLICT);
    let reply = house.post(&path, json!({ "why": "again" })).await;
    assert_eq!(reply.status, StatusCode::CONFLICT);
    let listed = house.get("/certificates?device=pump-1").await.ok();
    let statuses: Vec<_> = listed["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| c["status"].clone())
        .collect();
    assert_eq!(statuses, [json!("issued"), json!("revoked")]);
    assert_eq!(
        house.get("/asks?state=waiting").await.ok()["items"],
        json!([])
    );
    assert_eq!(
        house.get("/asks?state=asleep").await.status,
        StatusCode::BAD_REQUEST
    );
}
