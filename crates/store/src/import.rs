//! Importing devices: everything is validated before anything is kept, then applied in chunks that
//! survive a crash, while enrollment goes on.
//!
//! `plan` is the dry run. `Store::stage_import` keeps the rows; `Store::apply_import` applies the next
//! chunk, and is called until it says that all are. The same import id again finds the same import.

use std::fmt;
use std::sync::Arc;

use tenure_domain::device::{DeviceRow, DeviceSpec};
use tenure_domain::event::{Entry, Event};
use tenure_domain::registry::{Class, Owner, Service, Site};
use tenure_domain::{Actor, Slug, TenantId};
use tenure_x509::Time;

use crate::device::{self, Numbers};
use crate::error::StoreError;
use crate::registry::{self, RegistryError};
use crate::store::Store;
use crate::token;
use crate::tx::{ReadTx, Row, Tx};

mod plan;

pub use plan::{FieldChange, Missing, NumberedRow, Plan, RowChange, RowError, plan};

/// Rows applied in one transaction.
const CHUNK: usize = 1_000;

const STAGING: i64 = 1;
const STAGED: i64 = 2;
const DONE: i64 = 3;

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

/// The number of an import that was begun `before` and never staged whole: a crash cut it off, and
/// whoever sent its table sends it again as another one.
pub fn abandoned(tx: &ReadTx<'_>, before: Time) -> Result<Option<i64>, StoreError> {
    tx.one(
        "SELECT no FROM import WHERE state = $1 AND created < $2 ORDER BY no LIMIT 1",
        &[&STAGING, &before.unix()],
        |row| row.get(0),
    )
}

/// Erases up to `most` rows of an abandoned import; when none is left, the import.
pub fn erase(tx: &mut Tx<'_>, abandoned: i64, most: u32) -> Result<(), StoreError> {
    let erased = tx.run(
        "DELETE FROM import_row WHERE import = $1 AND row IN
           (SELECT row FROM import_row WHERE import = $1 ORDER BY row LIMIT $2)",
        &[&abandoned, &i64::from(most)],
    )?;
    if erased == 0 {
        tx.run("DELETE FROM import WHERE no = $1", &[&abandoned])?;
    }
    Ok(())
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
            self.survey::<_, StoreError, _>(move |tx| {
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
    // As they are applied, so that none of these transactions is a long one.
    tx.run(
        "DELETE FROM import_row WHERE import = $1 AND row < $2",
        &[&import.no, &applied],
    )?;
    tx.run(
        "UPDATE import SET state = $2, applied = $3, added = added + $4, changed = changed + $5,
           unchanged = unchanged + $6 WHERE no = $1",
        &[&import.no, &state, &applied, &added, &changed, &unchanged],
    )?;
    let state = by_id(tx, tenant, id)?.ok_or_else(unknown)?;
    if state.stage == Stage::Done {
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
