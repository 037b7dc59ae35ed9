//! What an import would do, and what is wrong with it.

use std::collections::{HashMap, HashSet};
use std::fmt;

use tenure_domain::device::{Device, DeviceRow, DeviceSpec};
use tenure_domain::ids::check_new;
use tenure_domain::registry::HOUSE;
use tenure_domain::text::check_label;
use tenure_domain::{DeviceId, Slug, TenantId, Title};

use crate::device;
use crate::error::StoreError;
use crate::registry::{self, RegistryError};
use crate::tx::ReadTx;

/// Differences a plan lists; the rest is only counted.
const LISTED: usize = 10_000;

/// What becomes of an owner, site, class or service that nobody registered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Missing {
    /// It is an error.
    Refuse,
    /// It is registered; a class gets this profile.
    Create {
        /// The profile of new classes.
        profile: Slug,
    },
}

/// A row that cannot be imported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowError {
    /// The row, as the caller numbered it.
    pub row: u64,
    /// The column.
    pub column: &'static str,
    /// What is wrong with it.
    pub what: String,
}

impl fmt::Display for RowError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "row {}, column {}: {}", self.row, self.column, self.what)
    }
}

/// One field that would change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldChange {
    /// The column.
    pub column: &'static str,
    /// What is registered.
    pub from: String,
    /// What the row says.
    pub to: String,
}

/// What a row would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RowChange {
    /// Register a device.
    Add,
    /// Change a registered one.
    Change(Vec<FieldChange>),
}

/// What an import would do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// Why it would not be done at all.
    pub errors: Vec<RowError>,
    /// Devices it would register.
    pub added: u64,
    /// Devices it would change.
    pub changed: u64,
    /// Devices that are already so.
    pub unchanged: u64,
    /// What it would register besides, as (column, name).
    pub creates: Vec<(&'static str, String)>,
    /// The first ten thousand differences.
    pub rows: Vec<(u64, DeviceId, RowChange)>,
}

/// A row to be imported, with the number the caller knows it by.
pub type NumberedRow = (u64, DeviceRow);

struct Names {
    known: HashMap<&'static str, HashSet<String>>,
    missing: Missing,
    creates: Vec<(&'static str, String)>,
}

impl Names {
    fn of(tx: &ReadTx<'_>, tenant: TenantId, missing: &Missing) -> Result<Names, StoreError> {
        let mut known = HashMap::new();
        let set = |titles: Vec<Title>| titles.into_iter().map(String::from).collect();
        let owners = registry::owners(tx, tenant)?;
        known.insert(
            "owner",
            set(owners.into_iter().map(|owner| owner.name).collect()),
        );
        let sites = registry::sites(tx, tenant)?;
        known.insert(
            "site",
            set(sites.into_iter().map(|site| site.name).collect()),
        );
        let classes = registry::classes(tx, tenant)?;
        known.insert(
            "class",
            set(classes.into_iter().map(|class| class.name).collect()),
        );
        let services = registry::services(tx, tenant)?;
        known.insert(
            "services",
            set(services.into_iter().map(|s| s.name).collect()),
        );
        Ok(Names {
            known,
            missing: missing.clone(),
            creates: Vec::new(),
        })
    }

    fn check(&mut self, row: u64, column: &'static str, name: &Title, errors: &mut Vec<RowError>) {
        let known = self.known.entry(column).or_default();
        if known.contains(name.as_str()) {
            return;
        }
        let what = match self.missing {
            Missing::Refuse => format!(
                "{:?} is not registered; add it, or use --create-missing",
                name.as_str()
            ),
            Missing::Create { .. } => match check_new(name.as_str()) {
                Ok(()) => {
                    known.insert(name.to_string());
                    self.creates.push((column, name.to_string()));
                    return;
                }
                Err(bad) => bad.to_string(),
            },
        };
        errors.push(RowError { row, column, what });
    }
}

/// What an import of these rows would do now. Writes nothing.
pub fn plan(
    tx: &ReadTx<'_>,
    tenant: TenantId,
    rows: &[NumberedRow],
    missing: &Missing,
) -> Result<Plan, StoreError> {
    let mut plan = Plan::default();
    let mut names = Names::of(tx, tenant, missing)?;
    let mut seen: HashMap<&DeviceId, u64> = HashMap::with_capacity(rows.len());
    for (row, said) in rows {
        names.check(*row, "class", &said.class, &mut plan.errors);
        names.check(*row, "site", &said.site, &mut plan.errors);
        names.check(*row, "owner", &said.owner, &mut plan.errors);
        for service in said.services.iter().flatten() {
            names.check(*row, "services", service, &mut plan.errors);
        }
        if let Some(first) = seen.insert(&said.id, *row) {
            let what = format!("{} stands in row {first} already", said.id);
            plan.errors.push(RowError {
                row: *row,
                column: "id",
                what,
            });
            continue;
        }
        let found = device::by_id(tx, tenant, &said.id)?;
        let mistakes = unfit(said, found.as_ref());
        if !mistakes.is_empty() {
            let named = |(column, what)| RowError {
                row: *row,
                column,
                what,
            };
            plan.errors.extend(mistakes.into_iter().map(named));
            continue;
        }
        let change = match found {
            None => {
                plan.added += 1;
                RowChange::Add
            }
            Some(found) => {
                let was = device::spec(&found);
                match differences(&was, &said.over(Some(was.clone()))) {
                    none if none.is_empty() => {
                        plan.unchanged += 1;
                        continue;
                    }
                    changes => {
                        plan.changed += 1;
                        RowChange::Change(changes)
                    }
                }
            }
        };
        if plan.rows.len() < LISTED {
            plan.rows.push((*row, said.id.clone(), change));
        }
    }
    plan.creates = names.creates;
    Ok(plan)
}

/// What is typed of a device is held to more than what is kept of it: column, and what is wrong.
fn unfit(said: &DeviceRow, found: Option<&Device>) -> Vec<(&'static str, String)> {
    let id = match found {
        None => check_new(said.id.as_str()).map_err(|bad| ("id", bad.to_string())),
        Some(_) => Ok(()),
    };
    let mut classes = found.map(|it| &it.class).into_iter().chain([&said.class]);
    let class = match classes.any(|class| class.as_str() == HOUSE) {
        true => Err(("class", RegistryError::House(said.id.clone()).to_string())),
        false => Ok(()),
    };
    let labels = [
        (
            "manufacturer",
            &said.manufacturer,
            found.map(|it| &it.manufacturer),
        ),
        ("model", &said.model, found.map(|it| &it.model)),
        ("serial", &said.serial, found.map(|it| &it.serial)),
    ];
    let labels = labels.into_iter().map(|(column, said, kept)| match said {
        Some(said) if Some(said) != kept => check_label(said).map_err(|what| (column, what)),
        _ => Ok(()),
    });
    [id, class]
        .into_iter()
        .chain(labels)
        .filter_map(Result::err)
        .collect()
}

fn differences(from: &DeviceSpec, to: &DeviceSpec) -> Vec<FieldChange> {
    let joined = |services: &[Title]| {
        services
            .iter()
            .map(Title::as_str)
            .collect::<Vec<_>>()
            .join(";")
    };
    let columns = [
        (
            "manufacturer",
            from.manufacturer.clone(),
            to.manufacturer.clone(),
        ),
        ("model", from.model.clone(), to.model.clone()),
        ("serial", from.serial.clone(), to.serial.clone()),
        ("class", from.class.to_string(), to.class.to_string()),
        ("site", from.site.to_string(), to.site.to_string()),
        ("owner", from.owner.to_string(), to.owner.to_string()),
        ("services", joined(&from.services), joined(&to.services)),
        (
            "criticality",
            from.criticality.to_string(),
            to.criticality.to_string(),
        ),
    ];
    columns
        .into_iter()
        .filter(|(_, from, to)| from != to)
        .map(|(column, from, to)| FieldChange { column, from, to })
        .collect()
}
