//! Importing devices: everything is validated before anything is kept, then applied in chunks that
//! survive a crash, while enrollment goes on.
//!
//! `plan` is the dry run. `Store::stage_import` keeps the rows; `Store::apply_import` applies the next
//! chunk, and is called until it says that all are. The same import id again finds the same import.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use tenure_domain::device::{Device, DeviceRow, DeviceSpec};
use tenure_domain::event::{Entry, Event};
use tenure_domain::ids::check_new;
use tenure_domain::registry::{Class, HOUSE, Owner, Service, Site};
use tenure_domain::text::check_label;
use tenure_domain::{Actor, DeviceId, Slug, TenantId, Title};
use tenure_x509::Time;

use crate::device::{self, Numbers};
use crate::error::StoreError;
use crate::registry::{self, RegistryError};
use crate::store::Store;
use crate::token;
use crate::tx::{ReadTx, Row, Tx};

/// Rows applied in one transaction.
const CHUNK: usize = 1_000;
/// Differences a plan lists; the rest is only counted.
const LISTED: usize = 10_000;

const STAGING: i64 = 1;
const STAGED: i64 = 2;
const DONE: i64 = 3;

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

/// An import to be staged, in the default tenant.
#[derive(Debug, Clone)]
pub struct NewImport {
    /// Its id; the same id is the same import.
    pub id: String,
    /// Who imports.
    pub actor: Actor,
    /// What becomes of unknown names.
    pub missing: Missing,
    /// The rows.
    pub rows: Vec<NumberedRow>,
}

/// How far an import is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportState {
    /// Its id.
    pub id: String,
    /// How many rows it has.
    pub rows: u64,
    /// How many are applied.
    pub applied: u64,
    /// Devices registered so far.
    pub added: u64,
    /// Devices changed so far.
    pub changed: u64,
    /// Devices that were already so.
    pub unchanged: u64,
    /// Whether all rows are applied.
    pub stage: Stage,
}

/// Where an import is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Its rows are being kept; nothing is applied. After a crash it is staged again from the start.
    Staging,
    /// Its rows are valid and kept; chunks are being applied.
    Applying,
    /// All of it is applied.
    Done,
}

/// Why an import was not staged or applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImportError {
    /// Rows are wrong; nothing was kept.
    Invalid(Vec<RowError>),
    /// There is no such import, or it is not staged whole.
    Unknown(String),
    /// Whose it is may do nothing any more.
    Withdrawn,
    /// A row cannot be applied any more.
    Registry(RegistryError),
    /// The database failed.
    Store(StoreError),
}

impl fmt::Display for ImportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ImportError::Invalid(errors) => {
                write!(
                    f,
                    "{} rows are wrong, so nothing was imported",
                    errors.len()
                )?;
                errors
                    .iter()
                    .take(20)
                    .try_for_each(|error| write!(f, "\n{error}"))
            }
            ImportError::Unknown(id) => {
                write!(f, "there is no staged import {id:?}; start it again")
            }
            ImportError::Withdrawn => f.write_str("its token was withdrawn; nothing was imported"),
            ImportError::Registry(error) => error.fmt(f),
            ImportError::Store(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ImportError {}

impl From<StoreError> for ImportError {
    fn from(error: StoreError) -> Self {
        ImportError::Store(error)
    }
}

impl From<RegistryError> for ImportError {
    fn from(error: RegistryError) -> Self {
        match error {
            RegistryError::Store(error) => ImportError::Store(error),
            other => ImportError::Registry(other),
        }
    }
}

fn read(row: &Row<'_>) -> Result<ImportState, StoreError> {
    let count = |column| Ok::<_, StoreError>(u64::try_from(row.get::<i64>(column)?).unwrap_or(0));
    Ok(ImportState {
        id: row.get(0)?,
        stage: match row.get::<i64>(1)? {
            STAGING => Stage::Staging,
            STAGED => Stage::Applying,
            DONE => Stage::Done,
            _ => {
                return Err(StoreError::Unreadable {
                    what: "import.state",
                });
            }
        },
        rows: count(2)?,
        applied: count(3)?,
        added: count(4)?,
        changed: count(5)?,
        unchanged: count(6)?,
    })
}

/// One import, by its id.
pub fn by_id(
    tx: &ReadTx<'_>,
    tenant: TenantId,
    id: &str,
) -> Result<Option<ImportState>, StoreError> {
    tx.one(
        "SELECT id, state, rows, applied, added, changed, unchanged FROM import
         WHERE tenant = $1 AND id = $2",
        &[&tenant.0, &id],
        read,
    )
}

/// Imports that a crash left half applied, oldest first: to be gone on with.
pub fn unfinished(tx: &ReadTx<'_>, tenant: TenantId) -> Result<Vec<ImportState>, StoreError> {
    tx.all(
        "SELECT id, state, rows, applied, added, changed, unchanged FROM import
         WHERE tenant = $1 AND state = 2 ORDER BY no",
        &[&tenant.0],
        read,
    )
}

impl Store {
    /// Validates an import and keeps its rows. One that is staged already is left as it is.
    pub async fn stage_import(
        &self,
        new: NewImport,
        now: Time,
    ) -> Result<ImportState, ImportError> {
        let tenant = TenantId::DEFAULT;
        let new = Arc::new(new);
        let (found, plan) = {
            let new = Arc::clone(&new);
            self.read::<_, StoreError, _>(move |tx| {
                let found = by_id(tx, tenant, &new.id)?;
                Ok((found, plan(tx, tenant, &new.rows, &new.missing)?))
            })
            .await?
        };
        if let Some(state) = found.filter(|state| state.stage != Stage::Staging) {
            return Ok(state);
        }
        if !plan.errors.is_empty() {
            return Err(ImportError::Invalid(plan.errors));
        }
        let import = {
            let new = Arc::clone(&new);
            self.unrecorded(move |tx| begin(tx, tenant, &new, now))
                .await?
        };
        let chunks = new.rows.len().div_ceil(CHUNK);
        for chunk in 0..chunks {
            let new = Arc::clone(&new);
            self.unrecorded(move |tx| keep_rows(tx, import, &new.rows, chunk))
                .await?;
        }
        self.unrecorded(move |tx| {
            if !token::may_act(tx, &new.actor)? {
                return Err(ImportError::Withdrawn);
            }
            let staged = "UPDATE import SET state = $2 WHERE no = $1";
            tx.run(staged, &[&import, &STAGED])?;
            let rows = u64::try_from(new.rows.len()).unwrap_or(u64::MAX);
            let event = Event::ImportStarted {
                import: new.id.clone(),
                rows,
            };
            tx.log(&Entry::new(new.actor.clone(), now, event))?;
            by_id(tx, tenant, &new.id)?.ok_or_else(|| ImportError::Unknown(new.id.clone()))
        })
        .await
    }

    /// Applies the next thousand rows of a staged import. To be called until the stage is
    /// [`Stage::Done`]; after a crash, simply again.
    pub async fn apply_import(&self, id: &str, now: Time) -> Result<ImportState, ImportError> {
        let id = id.to_owned();
        self.unrecorded(move |tx| apply_chunk(tx, TenantId::DEFAULT, &id, now))
            .await
    }
}

fn begin(tx: &mut Tx<'_>, tenant: TenantId, new: &NewImport, now: Time) -> Result<i64, StoreError> {
    let actor = serde_json::to_string(&new.actor).unwrap_or_default();
    let missing = match &new.missing {
        Missing::Refuse => "",
        Missing::Create { profile } => profile.as_str(),
    };
    let rows = i64::try_from(new.rows.len()).unwrap_or(i64::MAX);
    let no = tx.insert(
        "INSERT INTO import(tenant, id, state, actor, missing, rows, applied, added, changed,
           unchanged, created) VALUES($1, $2, $3, $4, $5, $6, 0, 0, 0, 0, $7)
         ON CONFLICT(tenant, id) DO UPDATE SET rows = excluded.rows, missing = excluded.missing
         RETURNING no",
        &[
            &tenant.0,
            &new.id,
            &STAGING,
            &actor,
            &missing,
            &rows,
            &now.unix(),
        ],
    )?;
    tx.run("DELETE FROM import_row WHERE import = $1", &[&no])?;
    Ok(no)
}

fn keep_rows(
    tx: &mut Tx<'_>,
    import: i64,
    rows: &[NumberedRow],
    chunk: usize,
) -> Result<(), StoreError> {
    let first = chunk * CHUNK;
    for (place, (_, said)) in rows.iter().enumerate().skip(first).take(CHUNK) {
        let place = i64::try_from(place).unwrap_or(i64::MAX);
        let document =
            serde_json::to_string(said).map_err(|error| StoreError::Database(error.to_string()))?;
        tx.run(
            "INSERT INTO import_row(import, row, document) VALUES($1, $2, $3)",
            &[&import, &place, &document],
        )?;
    }
    Ok(())
}

struct Staged {
    no: i64,
    applied: i64,
    rows: i64,
    actor: Actor,
    missing: Missing,
}

fn staged(tx: &Tx<'_>, tenant: TenantId, id: &str) -> Result<Option<Staged>, StoreError> {
    let unreadable = |what| StoreError::Unreadable { what };
    tx.one(
        "SELECT no, applied, rows, actor, missing FROM import
         WHERE tenant = $1 AND id = $2 AND state = 2",
        &[&tenant.0, &id],
        |row| {
            Ok(Staged {
                no: row.get(0)?,
                applied: row.get(1)?,
                rows: row.get(2)?,
                actor: serde_json::from_str(row.text(3)?)
                    .map_err(|_| unreadable("import.actor"))?,
                missing: match row.text(4)? {
                    "" => Missing::Refuse,
                    profile => Missing::Create {
                        profile: profile.parse().map_err(|_| unreadable("import.missing"))?,
                    },
                },
            })
        },
    )
}

fn apply_chunk(
    tx: &mut Tx<'_>,
    tenant: TenantId,
    id: &str,
    now: Time,
) -> Result<ImportState, ImportError> {
    let unknown = || ImportError::Unknown(id.to_owned());
    let Some(import) = staged(tx, tenant, id)? else {
        let found = by_id(tx, tenant, id)?.filter(|state| state.stage == Stage::Done);
        return found.ok_or_else(unknown);
    };
    let most = i64::try_from(CHUNK).unwrap_or(i64::MAX);
    let rows = tx.all(
        "SELECT document FROM import_row WHERE import = $1 AND row >= $2 ORDER BY row LIMIT $3",
        &[&import.no, &import.applied, &most],
        |row| {
            serde_json::from_str::<DeviceRow>(row.text(0)?).map_err(|_| StoreError::Unreadable {
                what: "import_row.document",
            })
        },
    )?;
    let (mut added, mut changed, mut unchanged) = (0_i64, 0_i64, 0_i64);
    for said in &rows {
        match apply_row(tx, tenant, said, &import, now)? {
            Applied::Added => added += 1,
            Applied::Changed => changed += 1,
            Applied::Unchanged => unchanged += 1,
        }
    }
    let applied = import.applied + i64::try_from(rows.len()).unwrap_or(0);
    let state = if applied >= import.rows { DONE } else { STAGED };
    tx.run(
        "UPDATE import SET state = $2, applied = $3, added = added + $4, changed = changed + $5,
           unchanged = unchanged + $6 WHERE no = $1",
        &[&import.no, &state, &applied, &added, &changed, &unchanged],
    )?;
    let state = by_id(tx, tenant, id)?.ok_or_else(unknown)?;
    if state.stage == Stage::Done {
        tx.run("DELETE FROM import_row WHERE import = $1", &[&import.no])?;
        let event = Event::ImportFinished {
            added: state.added,
            changed: state.changed,
            import: id.to_owned(),
            unchanged: state.unchanged,
        };
        tx.log(&Entry::new(import.actor, now, event))?;
    }
    Ok(state)
}

enum Applied {
    Added,
    Changed,
    Unchanged,
}

fn apply_row(
    tx: &mut Tx<'_>,
    tenant: TenantId,
    said: &DeviceRow,
    import: &Staged,
    now: Time,
) -> Result<Applied, ImportError> {
    let found = device::by_id(tx, tenant, &said.id)?;
    let was = found.as_ref().map(device::spec);
    let spec = said.over(was.clone());
    if was.as_ref() == Some(&spec) {
        return Ok(Applied::Unchanged);
    }
    if let Missing::Create { profile } = &import.missing {
        create_missing(tx, tenant, &spec, profile, &import.actor, now)?;
    }
    let numbers = Numbers::of(tx, tenant, &spec)?;
    match found {
        None => {
            device::insert(tx, tenant, &spec, &numbers, &import.actor, now)?;
            Ok(Applied::Added)
        }
        Some(found) => {
            device::change(tx, &found, &spec, &numbers, &import.actor, now)?;
            Ok(Applied::Changed)
        }
    }
}

fn create_missing(
    tx: &mut Tx<'_>,
    tenant: TenantId,
    spec: &DeviceSpec,
    profile: &Slug,
    actor: &Actor,
    now: Time,
) -> Result<(), ImportError> {
    if registry::owner::no(tx, tenant, spec.owner.as_str())?.is_none() {
        let owner = Owner {
            name: spec.owner.clone(),
            contact: String::new(),
        };
        registry::put_owner(tx, &owner, actor, now)?;
    }
    if registry::site::no(tx, tenant, spec.site.as_str())?.is_none() {
        registry::put_site(
            tx,
            &Site {
                name: spec.site.clone(),
                parent: None,
            },
            actor,
            now,
        )?;
    }
    if registry::class::no(tx, tenant, spec.class.as_str())?.is_none() {
        let class = Class::new(spec.class.clone(), profile.clone());
        registry::put_class(tx, &class, actor, now)?;
    }
    for name in &spec.services {
        if registry::service::no(tx, tenant, name.as_str())?.is_none() {
            let service = Service {
                name: name.clone(),
                address: String::new(),
            };
            registry::put_service(tx, &service, actor, now)?;
        }
    }
    Ok(())
}
