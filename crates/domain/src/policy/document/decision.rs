//! The tables that speak of decisions: `[[decision]]`, `[[boundary]]`, `[[fail-operational]]`.

use super::table::TableReader;
use super::{Mistake, Seconds, Text, Written};
use crate::decision::{Boundary, DecisionRules, FailOperational, Need, Tier, VALID_FOR_S};
use crate::duration::{HOUR_S, YEAR_S};

pub(super) const SETTINGS_FIELDS: [&str; 5] = [
    "valid-for",
    "full-after",
    "full-needs",
    "attested-within",
    "exceptions-max",
];
pub(super) const BOUNDARY_FIELDS: [&str; 8] = [
    "name",
    "services",
    "classes",
    "criticality",
    "sites",
    "owners",
    "networks",
    "tier",
];
pub(super) const FAIL_OPERATIONAL_FIELDS: [&str; 6] = [
    "name",
    "services",
    "classes",
    "criticality",
    "for",
    "reason",
];

/// What a `[[decision]]` table says; there is at most one.
pub(super) struct Settings {
    pub(super) valid_for_s: i64,
    pub(super) full_after_s: i64,
    pub(super) full_needs: Vec<Need>,
    pub(super) attested_within_s: Option<i64>,
    pub(super) exceptions_max_s: Option<i64>,
}

pub(super) fn settings(mut table: TableReader<'_>) -> Result<Settings, Vec<Mistake>> {
    let usual = DecisionRules::default();
    let valid_for_s = table
        .one::<Seconds>("valid-for")
        .map_or(usual.valid_for_s, |life| life.0);
    if !VALID_FOR_S.contains(&valid_for_s) {
        table.wrong(
            "valid-for",
            "is how long a verdict may be wrong; use 1s to 1h",
        );
    }
    let full_after_s = table
        .one::<Seconds>("full-after")
        .map_or(usual.full_after_s, |after| after.0);
    let full_needs = match table.has("full-needs") {
        true => table.list("full-needs"),
        false => usual.full_needs,
    };
    let attested_within_s = table.one::<Seconds>("attested-within").map(|age| age.0);
    if attested_within_s.is_some_and(|age| !(60..=YEAR_S).contains(&age)) {
        table.wrong("attested-within", "use a time from 1m to 1y");
    }
    if attested_within_s.is_some() && !full_needs.contains(&Need::Attested) {
        table.wrong(
            "attested-within",
            "nothing wants attestation; add \"attested\" to full-needs",
        );
    }
    let exceptions_max_s = table.one::<Seconds>("exceptions-max").map(|most| most.0);
    if exceptions_max_s.is_some_and(|most| !(HOUR_S..=YEAR_S).contains(&most)) {
        table.wrong("exceptions-max", "use a time from 1h to 1y");
    }
    table.end(Some(Settings {
        valid_for_s,
        full_after_s,
        full_needs,
        attested_within_s,
        exceptions_max_s,
    }))
}

pub(super) fn boundary(mut table: TableReader<'_>) -> Result<Boundary, Vec<Mistake>> {
    let name = table.required("name");
    let services = table.condition("services");
    let classes = table.condition("classes");
    let criticality = table.condition("criticality");
    let sites: Vec<_> = table.condition("sites");
    let owners: Vec<_> = table.condition("owners");
    let networks: Vec<_> = table.condition("networks");
    let tier = table.one("tier").unwrap_or(Tier::Limited);
    let bounds = !(sites.is_empty() && owners.is_empty() && networks.is_empty());
    if !bounds && !table.has("tier") {
        table.wrong(
            "sites",
            "is missing; a boundary wants sites, owners, networks or a tier",
        );
    }
    if tier == Tier::Quarantine {
        table.wrong(
            "tier",
            "nothing can be reached from quarantine; use limited or full",
        );
    }
    let boundary = name.map(|name| Boundary {
        name,
        services,
        classes,
        criticality,
        sites,
        owners,
        networks,
        tier,
    });
    table.end(boundary)
}

pub(super) fn fail_operational(
    mut table: TableReader<'_>,
) -> Result<FailOperational, Vec<Mistake>> {
    let name = table.required("name");
    let services: Vec<_> = table.condition("services");
    let classes: Vec<_> = table.condition("classes");
    let criticality: Vec<_> = table.condition("criticality");
    let life: Option<Seconds> = table.required("for");
    let reason: Option<Text> = table.required("reason");
    if services.is_empty() && classes.is_empty() && criticality.is_empty() {
        table.wrong(
            "classes",
            "is missing; say which classes, services or criticality go on, since nobody means all",
        );
    }
    if life
        .as_ref()
        .is_some_and(|life| !(1..=YEAR_S).contains(&life.0))
    {
        table.wrong("for", "use a time up to 1y");
    }
    let listed = name
        .zip(life)
        .zip(reason)
        .map(|((name, life), reason)| FailOperational {
            name,
            services,
            classes,
            criticality,
            for_s: life.0,
            reason: reason.0,
        });
    table.end(listed)
}

/// All of them together.
pub(super) fn rules(written: &Written) -> DecisionRules {
    let usual = DecisionRules::default();
    let said = written.decisions.first().map(|found| &found.value);
    let values = |found: &Vec<super::Found<Boundary>>| -> Vec<Boundary> {
        found.iter().map(|found| found.value.clone()).collect()
    };
    DecisionRules {
        valid_for_s: said.map_or(usual.valid_for_s, |said| said.valid_for_s),
        full_after_s: said.map_or(usual.full_after_s, |said| said.full_after_s),
        full_needs: said.map_or(usual.full_needs, |said| said.full_needs.clone()),
        attested_within_s: said
            .and_then(|said| said.attested_within_s)
            .unwrap_or(usual.attested_within_s),
        exceptions_max_s: said
            .and_then(|said| said.exceptions_max_s)
            .unwrap_or(usual.exceptions_max_s),
        boundaries: values(&written.boundaries),
        fail_operational: written
            .fail_operational
            .iter()
            .map(|found| found.value.clone())
            .collect(),
    }
}
