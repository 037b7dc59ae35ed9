//! A site is asked for with what is inside it, and the house's own subjects are not in the way.

use serde_json::{Value, json};

use super::house::House;

fn ids(page: &Value) -> Vec<&str> {
    let items = page["items"].as_array().unwrap().iter();
    items.map(|item| item["id"].as_str().unwrap()).collect()
}

/// Plant 1 holds Hall 1 and Hall 2, which holds Line A. Hall 3 is elsewhere.
async fn plants() -> House {
    let house = House::furnished().await;
    for (name, parent) in [
        ("Plant 1", None),
        ("Hall 1", Some("Plant 1")),
        ("Hall 2", Some("Plant 1")),
        ("Line A", Some("Hall 2")),
    ] {
        let site = json!({ "name": name, "parent": parent });
        house.post("/sites", site).await.ok();
    }
    for (id, site) in [
        ("a", "Line A"),
        ("b", "Hall 1"),
        ("c", "Hall 3"),
        ("d", "Line A"),
        ("e", "Plant 1"),
    ] {
        let device = json!({
            "id": id, "class": "pump", "site": site, "owner": "Hydraulics", "services": ["broker"],
            "serial": format!("S-{id}"),
        });
        house.post("/devices", device).await.ok();
    }
    house
}

#[tokio::test]
async fn a_filter_by_site_takes_what_is_inside_page_by_page() {
    let house = plants().await;
    for (site, expected) in [
        ("Plant%201", vec!["a", "b", "d", "e"]),
        ("Hall%202", vec!["a", "d"]),
        ("Hall%203", vec!["c"]),
    ] {
        let all = house.get(&format!("/devices?site={site}")).await.ok();
        let mut found = ids(&all);
        found.sort_unstable();
        assert_eq!(found, expected, "{site}");
        // One at a time, it is the same set, with each once.
        let (mut paged, mut cursor) = (Vec::new(), String::new());
        loop {
            let path = format!("/devices?site={site}&limit=1{cursor}");
            let page = house.get(&path).await.ok();
            paged.extend(ids(&page).into_iter().map(str::to_owned));
            match page["next"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        paged.sort_unstable();
        assert_eq!(paged, expected, "{site}, one at a time");
    }
    let both = house.get("/devices?site=Plant%201&search=S-a").await.ok();
    assert_eq!(ids(&both), ["a"]);
    let csv = house.get("/export/devices?site=Hall%202").await.ok();
    assert_eq!(csv.as_str().unwrap().lines().count(), 3, "{csv}");
    for bad in ["1.x", ".", "x.1"] {
        let path = format!("/devices?site=Plant%201&cursor={bad}");
        assert_eq!(house.get(&path).await.status, 400, "{bad}");
    }
}

#[tokio::test]
async fn the_past_of_a_site_is_that_of_what_is_inside() {
    let house = House::furnished().await;
    let outer = json!({ "name": "Plant 1" });
    house.post("/sites", outer).await.ok();
    house.enrolled("pump-1").await;
    let at = house.clock.now();
    let path = format!("/as-of?at={at}&site=Plant%201");
    assert_eq!(house.get(&path).await.ok()["counts"]["active"], 0);
    let inner = json!({ "name": "Hall 3", "parent": "Plant 1" });
    house.post("/sites", inner).await.ok();
    let past = house.get(&path).await.ok();
    assert_eq!(past["counts"]["active"], 1);
    assert_eq!(past["items"][0]["device"], "pump-1");
    house.enrolled("pump-2").await;
    let path = format!("{path}&limit=1");
    let first = house.get(&path).await.ok();
    let cursor = first["next"].as_str().unwrap();
    let rest = house.get(&format!("{path}&cursor={cursor}")).await.ok();
    assert_eq!(first["items"][0]["device"], "pump-1");
    assert_eq!(rest["items"][0]["device"], "pump-2");
    assert_eq!(
        (&first["counts"]["active"], &rest["counts"]),
        (&json!(2), &Value::Null)
    );
    for bad in ["x", "0"] {
        let answer = house.get(&format!("{path}&cursor={bad}")).await;
        assert_eq!(answer.status, 400, "{bad}");
    }
}

#[tokio::test]
async fn a_rule_about_a_site_speaks_of_what_is_inside() {
    let house = plants().await;
    let policy = house.get("/policy").await.ok();
    let document = policy["document"].as_str().unwrap().replacen(
        "[[rule]]",
        "[[rule]]\nname = \"not-in-plant-1\"\nsites = [\"Plant 1\"]\naction = \"refuse\"\n\
         reason = \"plant 1 is closed\"\n\n[[rule]]",
        1,
    );
    let plan = house
        .post("/policy/plan", Value::String(document.clone()))
        .await;
    assert_eq!(plan.ok()["affected"], 4);
    let put = house.call(
        Some(&house.admin),
        "PUT",
        "/policy",
        Value::String(document),
    );
    put.await.ok();
    for (id, rule) in [
        ("a", "not-in-plant-1"),
        ("e", "not-in-plant-1"),
        ("c", "first-by-secret"),
    ] {
        let asked = json!({ "device": id, "evidence": "secret", "operation": "enroll" });
        let said = house.post("/policy/explain", asked).await.ok();
        assert_eq!(said["rule"], rule, "{id}: {said}");
    }
    // And it is what happens.
    let made = house.post("/devices/a/secret", Value::Null).await.ok();
    let ask = super::house::ask(
        tenure_domain::ask::Operation::Enroll,
        House::secret("a", &made),
    );
    let refused = house.engine.enroll(ask).await.unwrap_err();
    assert!(
        refused.to_string().contains("plant 1 is closed"),
        "{refused}"
    );
}

#[tokio::test]
async fn the_houses_own_subjects_are_listed_only_when_asked_for() {
    let house = House::furnished().await;
    house.device("pump-1").await;
    let listed = house.get("/devices").await.ok();
    assert_eq!(ids(&listed), ["pump-1"]);
    assert_eq!(house.get("/fleet").await.ok()["devices"], 1);
    let all = house.get("/devices?show=all").await.ok();
    assert!(ids(&all).contains(&"tenure-server") && ids(&all).contains(&"pump-1"));
    let own = house.get("/devices?class=tenure").await.ok();
    assert!(ids(&own).contains(&"issuing-1") && !ids(&own).contains(&"pump-1"));
    assert_eq!(house.get("/devices?show=some").await.status, 400);
}
