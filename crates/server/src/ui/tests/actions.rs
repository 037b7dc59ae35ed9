//! What can be done from the pages.

use std::collections::BTreeSet;

use tenure_domain::operator::Role;

use super::*;

/// Every address in a page that follows `mark`.
fn addresses<'p>(page: &'p str, mark: &str) -> Vec<&'p str> {
    let pieces = page.split(mark).skip(1);
    pieces.filter_map(|piece| piece.split('"').next()).collect()
}

/// Whether a path is one of a route with places in braces.
fn is_of(route: &str, path: &str) -> bool {
    let (route, path): (Vec<_>, Vec<_>) = (route.split('/').collect(), path.split('/').collect());
    route.len() == path.len()
        && route
            .iter()
            .zip(&path)
            .all(|(place, piece)| place == piece || place.starts_with('{'))
}

/// D9, for the dashboard: whatever a form does, the API does under the same path, and can be asked
/// twice. Leaves out: signing in and out, for which a program has its token.
#[tokio::test]
async fn d9_whatever_a_form_does_the_api_does() {
    let house = House::furnished().await;
    let issued = house.enrolled("pump-1").await;
    house.device("pump-2").await;
    held(&house, "pump-2").await;
    fork(&house, "pump-1", vec![issued.row.serial.to_string()]).await;
    let browser = Browser::signed_in(&house, &house.admin).await;
    let document = house.get("/openapi.json").await.ok();
    let paths = document["paths"].as_object().unwrap();

    let (mut seen, mut forms) = (BTreeSet::new(), BTreeSet::new());
    let mut left: Vec<String> = PAGES.map(str::to_owned).to_vec();
    while let Some(path) = left.pop() {
        if !seen.insert(path.clone()) || seen.len() > 300 {
            continue;
        }
        let page = browser.page(&path).await;
        for address in addresses(&page, "href=\"/") {
            let address = address.replace("&amp;", "&");
            if !address.starts_with("api/") && !address.starts_with("style") {
                left.push(format!("/{address}"));
            }
        }
        for form in page.split("<form").skip(1) {
            let tag = form.split('>').next().unwrap();
            let action = between(tag, "action=\"", "\"").to_owned();
            let method = if tag.contains("method=\"post\"") {
                "post"
            } else {
                "get"
            };
            forms.insert((method, action));
        }
    }
    for (method, action) in &forms {
        if action == "/logout" {
            continue;
        }
        let path = format!("/api/v1{action}");
        let route = paths.iter().find(|(route, _)| is_of(route, &path));
        let (_, route) = route.unwrap_or_else(|| panic!("no {method} {path} in the API"));
        let operation = &route[*method];
        assert!(operation.is_object(), "{method} {path}");
        let mut parameters = operation["parameters"].as_array().into_iter().flatten();
        let repeatable = parameters.any(|one| one["name"] == "Idempotency-Key");
        assert!(
            *method == "get" || repeatable,
            "{path} has no Idempotency-Key"
        );
    }
    let done: BTreeSet<&str> = forms
        .iter()
        .filter_map(|(_, action)| action.rsplit('/').next())
        .collect();
    for verb in [
        "approve", "refuse", "resolve", "suspend", "retire", "secret", "revoke", "hold",
    ] {
        assert!(
            done.contains(verb),
            "no form to {verb} was found: {forms:?}"
        );
    }
    // A reader finds nothing to press but the way out.
    let reader = house.token(Role::Reader).await;
    let reader = Browser::signed_in(&house, &reader).await;
    for path in ["/devices/pump-1", "/incidents/1", "/asks/1"] {
        let page = reader.page(path).await;
        assert_eq!(page.matches("method=\"post\"").count(), 1, "{path}");
    }
}

/// A page that only asks, and the form on it.
async fn done(browser: &Browser<'_>, path: &str, fields: &[(&str, &str)]) -> Reply {
    let page = browser.page(path).await;
    assert!(page.contains(&format!("action=\"{path}\"")), "{page}");
    let mut all = vec![("csrf", browser.csrf.as_str())];
    all.extend(fields);
    browser.post(path, &all).await
}

#[tokio::test]
async fn a_device_is_moved_along_after_its_page_said_what_that_touches() {
    let house = House::furnished().await;
    let issued = house.enrolled("pump-1").await;
    let browser = Browser::signed_in(&house, &house.admin).await;
    let asked = browser.page("/devices/pump-1/suspend").await;
    assert!(asked.contains(&issued.row.serial.to_string()) && asked.contains("broker"));
    let standing = async || house.get("/devices/pump-1").await.ok()["standing"].clone();
    assert_eq!(standing().await, "enrolled", "looking changes nothing");
    for (verb, becomes) in [
        ("suspend", "suspended"),
        ("resume", "enrolled"),
        ("retire", "retired"),
    ] {
        let path = format!("/devices/pump-1/{verb}");
        let reply = done(&browser, &path, &[("why", "a test")]).await;
        assert_eq!(
            reply.status,
            StatusCode::SEE_OTHER,
            "{verb}: {}",
            reply.body
        );
        assert_eq!(standing().await, becomes);
    }
    let held = house.get("/certificates?device=pump-1").await.ok();
    assert_eq!(held["items"][0]["status"], "revoked");
    // What does not fit any more is not offered.
    let page = browser.page("/devices/pump-1").await;
    assert!(!page.contains("/devices/pump-1/retire") && !page.contains("/devices/pump-1/secret"));
    let unknown = browser.get("/devices/pump-1/explode").await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_secret_is_shown_once_and_a_certificate_withdrawn_with_a_reason() {
    let house = House::furnished().await;
    let issued = house.enrolled("pump-1").await;
    let browser = Browser::signed_in(&house, &house.admin).await;
    let shown = done(&browser, "/devices/pump-1/secret", &[]).await;
    assert_eq!(shown.status, StatusCode::OK);
    let secret = between(text(&shown), "Secret</dt><dd class=\"serial\">", "<");
    assert!(secret.len() >= 20, "{secret:?}");
    assert!(!browser.page("/devices/pump-1").await.contains(secret));
    assert_eq!(shown.headers[header::CACHE_CONTROL], "no-store");

    let path = format!("/certificates/{}", issued.row.serial);
    let status = async || house.get(&path).await.ok()["status"].clone();
    done(&browser, &format!("{path}/hold"), &[]).await;
    assert_eq!(status().await, "held");
    done(&browser, &format!("{path}/release"), &[]).await;
    assert_eq!(status().await, "issued");
    let without = done(&browser, &format!("{path}/revoke"), &[]).await;
    assert_eq!(without.status, StatusCode::BAD_REQUEST);
    assert_eq!(status().await, "issued");
    let reason = [("reason", "keyCompromise")];
    done(&browser, &format!("{path}/revoke"), &reason).await;
    assert_eq!(status().await, "revoked");
    assert!(browser.page(&path).await.contains("keyCompromise"));
}

#[tokio::test]
async fn a_reader_is_offered_nothing_and_a_foreign_form_does_nothing() {
    let house = House::furnished().await;
    let issued = house.enrolled("pump-1").await;
    let token = house.token(Role::Reader).await;
    let reader = Browser::signed_in(&house, &token).await;
    let page = reader.page("/devices/pump-1").await;
    assert!(!page.contains("/devices/pump-1/"), "{page}");
    let certificate = format!("/certificates/{}", issued.row.serial);
    for path in [
        "/devices/pump-1/retire".to_owned(),
        "/devices/pump-1/secret".to_owned(),
        format!("{certificate}/revoke"),
    ] {
        assert_eq!(
            reader.get(&path).await.status,
            StatusCode::FORBIDDEN,
            "{path}"
        );
        let fields = [("csrf", reader.csrf.as_str()), ("reason", "superseded")];
        let reply = reader.post(&path, &fields).await;
        assert_eq!(reply.status, StatusCode::FORBIDDEN, "{path}");
    }
    let admin = Browser::signed_in(&house, &house.admin).await;
    let foreign = admin.post("/devices/pump-1/retire", &[("csrf", "0")]).await;
    assert_eq!(foreign.status, StatusCode::FORBIDDEN);
    let device = house.get("/devices/pump-1").await.ok();
    assert_eq!(device["standing"], "enrolled");
}

#[tokio::test]
async fn what_cannot_be_read_is_answered_with_a_page() {
    let house = House::furnished().await;
    let browser = Browser::signed_in(&house, &house.admin).await;
    for (path, status) in [
        ("/?days=many", 400),
        ("/devices?standing=asleep", 400),
        ("/devices?search=%ff", 200),
        ("/certificates?cursor=x", 400),
        ("/incidents?state=odd", 400),
        ("/incidents/first", 404),
        ("/asks/-", 404),
        ("/devices/%ff", 400),
    ] {
        let reply = browser.get(path).await;
        let page = text(&reply);
        assert_eq!(reply.status.as_u16(), status, "{path}: {page}");
        assert!(page.starts_with("<!DOCTYPE html>"), "{path}: {page}");
    }
}
