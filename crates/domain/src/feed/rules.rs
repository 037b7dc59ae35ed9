//! What a relying party that no network leads to is told of the policy: what the document says of
//! decisions, and how it is registered itself.
//!
//! One TOML text. `[[decision]]`, `[[boundary]]` and `[[fail-operational]]` are as the policy has them,
//! those left out that are for other services; `[relying-party]` is its own registration.

use toml::{Table, Value};

use crate::policy::Policy;
use crate::relying_party::RelyingParty;

/// What is passed on of a policy.
const TABLES: [&str; 3] = ["decision", "boundary", "fail-operational"];

/// The text for one relying party; `document` is that of the policy. `None` if it is no TOML, which a
/// policy in force always is.
pub fn rules(policy: &Policy, document: &str, party: &RelyingParty) -> Option<String> {
    let mut whole: Table = document.parse().ok()?;
    let concerns = |table: &Value| match table.get("services").and_then(Value::as_array) {
        Some(services) if !services.is_empty() => party
            .services
            .iter()
            .any(|own| services.iter().any(|it| it.as_str() == Some(own.as_str()))),
        Some(_) | None => true,
    };
    let mut said = Table::new();
    for name in TABLES {
        if let Some(Value::Array(tables)) = whole.remove(name) {
            let tables = tables.into_iter().filter(concerns).collect();
            said.insert(name.to_owned(), Value::Array(tables));
        }
    }
    said.insert("policy".to_owned(), Value::Table(version(policy)));
    said.insert("relying-party".to_owned(), Value::Table(own(party)));
    toml::to_string(&said).ok()
}

fn version(policy: &Policy) -> Table {
    let mut table = Table::new();
    table.insert("sha256".to_owned(), policy.hash.to_string().into());
    table.insert("version".to_owned(), policy.version.into());
    table
}

fn own(party: &RelyingParty) -> Table {
    let names = |names: &[crate::Title]| {
        let names = names.iter().map(|name| name.as_str().to_owned().into());
        Value::Array(names.collect())
    };
    let issuers = party.issuers.iter().map(|name| name.to_string().into());
    Table::from_iter([
        ("checks".to_owned(), party.checks.to_string().into()),
        (
            "criticality".to_owned(),
            party.criticality.to_string().into(),
        ),
        ("enforce-within-s".to_owned(), party.enforce_within_s.into()),
        ("issuers".to_owned(), Value::Array(issuers.collect())),
        ("name".to_owned(), party.name.to_string().into()),
        ("services".to_owned(), names(&party.services)),
        ("session".to_owned(), party.session.to_string().into()),
        ("site".to_owned(), party.site.as_str().to_owned().into()),
    ])
}
