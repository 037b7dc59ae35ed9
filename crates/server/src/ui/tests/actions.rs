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
    for verb in ["approve", "refuse", "resolve"] {
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
