mod edits;
mod events;
mod feed;
pub(crate) mod house;
mod life;
mod mistakes;
mod relying_party;
mod resources;
mod roles;
mod sites;
mod tables;
mod twice;

use super::*;

/// The document is checked in: a change of the API shows as a change of docs/openapi.json. Run this
/// test with TENURE_BLESS=1 to write it anew.
#[test]
fn the_openapi_document_is_the_one_checked_in() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/openapi.json");
    let made = openapi::document().to_pretty_json().unwrap() + "\n";
    if std::env::var_os("TENURE_BLESS").is_some() {
        std::fs::write(&path, &made).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        kept == made,
        "docs/openapi.json is not what the code says; see this test"
    );
}

#[test]
fn every_schema_that_is_named_is_there() {
    let text = openapi::document().to_json().unwrap();
    let document: serde_json::Value = serde_json::from_str(&text).unwrap();
    let schemas = document["components"]["schemas"].as_object().unwrap();
    for piece in text.split("\"#/components/schemas/").skip(1) {
        let name = piece.split('"').next().unwrap();
        assert!(
            schemas.contains_key(name),
            "{name} is named and not described"
        );
    }
}

#[test]
fn every_operation_has_its_own_id() {
    let mut seen = std::collections::BTreeSet::new();
    for route in routes() {
        assert!(
            seen.insert((route.method.clone(), route.path)),
            "{} {}",
            route.method,
            route.path
        );
    }
}
