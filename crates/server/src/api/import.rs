//! `/imports`: many devices from a table. The whole table is checked, then kept, then applied a
//! thousand rows a call, so that a crash anywhere loses nothing and enrollment goes on meanwhile.

use axum::extract::{Extension, State};
use serde::{Deserialize, Serialize};
use tenure_domain::device::DeviceRow;
use tenure_domain::ids::Slug;
use tenure_domain::operator::Permission::ChangeFleet;
use tenure_engine::store::import::{
    self, ImportError, ImportState, Missing, NewImport, RowChange, RowError, Stage,
};
use utoipa::{IntoParams, ToSchema};

use super::body::{Json, Path, Query, some_word};
use super::page::{Page, Paging};
use super::table::{Table, Turn};
use super::{Caller, Desk, Route};
use crate::problem::Problem;

mod parse;

use parse::{Form, Mistake, Row, rows};

/// The devices in a CSV table, if there is no mistake in it.
pub(crate) fn read_table(text: &str) -> Option<Vec<DeviceRow>> {
    sound(rows(Form::Csv, text, 1))
}

/// The devices in JSON lines, if there is no mistake in them.
pub(crate) fn read_lines(text: &str) -> Option<Vec<DeviceRow>> {
    sound(rows(Form::JsonLines, text, 1))
}

fn sound((rows, mistakes): (Vec<Row>, Vec<Mistake>)) -> Option<Vec<DeviceRow>> {
    let devices = rows.into_iter().map(|(_, said)| said).collect();
    mistakes.is_empty().then_some(devices)
}

/// Changes listed by a dry run; the counts are whole.
const LISTED_MAX: usize = 1_000;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get(
            "/imports",
            ChangeFleet,
            "Imports that were cut off",
            unfinished,
        )
        .asks::<Paging>()
        .lists::<Imported>(),
        Route::post(
            "/imports",
            ChangeFleet,
            "Check a table and keep it to be applied",
            stage,
        )
        .asks::<How>()
        .takes_table()
        .answers::<Imported>(),
        Route::post(
            "/import-plan",
            ChangeFleet,
            "What importing a table would change",
            plan,
        )
        .asks::<How>()
        .takes_table()
        .answers::<Planned>(),
        Route::get("/imports/{id}", ChangeFleet, "How far an import is", show)
            .answers::<Imported>(),
        Route::post(
            "/imports/{id}/apply",
            ChangeFleet,
            "Apply the next thousand rows",
            apply,
        )
        .answers::<Imported>(),
    ]
}

/// How a table is to be read.
#[derive(Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
struct How {
    /// csv (if left out) or jsonl.
    format: Option<String>,
    /// `yes` registers owners, sites, classes and services that are not known; otherwise they are
    /// mistakes.
    create_missing: Option<String>,
    /// The profile of classes registered so; `device` if left out.
    profile: Option<String>,
}

impl How {
    fn form(&self) -> Result<Form, Problem> {
        match self.format.as_deref() {
            None | Some("" | "csv") => Ok(Form::Csv),
            Some("jsonl") => Ok(Form::JsonLines),
            Some(_) => Err(Problem::bad_request("format: use csv or jsonl")),
        }
    }

    fn missing(&self, desk: &Desk) -> Result<Missing, Problem> {
        let profile: Option<Slug> = some_word("profile", self.profile.as_deref())?;
        match self.create_missing.as_deref() {
            None | Some("" | "no") => Ok(Missing::Refuse),
            Some("yes") => {
                let profile = match profile {
                    Some(profile) => profile,
                    None => super::body::word("profile", "device")?,
                };
                super::class::offered(desk, &profile)?;
                Ok(Missing::Create { profile })
            }
            Some(_) => Err(Problem::bad_request("create_missing: use yes or no")),
        }
    }
}

/// A table whose rows can all be read.
struct Readable {
    rows: Vec<Row>,
    missing: Missing,
    /// SHA-256 of the text.
    hash: [u8; 32],
    /// Held while the rows are.
    _turn: Turn,
}

/// How far an import is.
#[derive(Serialize, ToSchema)]
struct Imported {
    /// Its id.
    import: String,
    /// staging, applying or done.
    state: &'static str,
    /// How many rows it has.
    rows: u64,
    /// How many are applied.
    applied: u64,
    /// Devices registered so far.
    added: u64,
    /// Devices changed so far.
    changed: u64,
    /// Devices that were already so.
    unchanged: u64,
}

impl From<ImportState> for Imported {
    fn from(state: ImportState) -> Imported {
        Imported {
            import: state.id,
            state: match state.stage {
                Stage::Staging => "staging",
                Stage::Applying => "applying",
                Stage::Done => "done",
            },
            rows: state.rows,
            applied: state.applied,
            added: state.added,
            changed: state.changed,
            unchanged: state.unchanged,
        }
    }
}

/// What an import would change.
#[derive(Serialize, ToSchema)]
struct Planned {
    /// How many rows there are.
    rows: u64,
    /// Devices that would be registered.
    added: u64,
    /// Devices that would change.
    changed: u64,
    /// Devices that are already so.
    unchanged: u64,
    /// What would be registered besides: `site Hall 3`.
    creates: Vec<String>,
    /// The first 1000 rows that would change something.
    changes: Vec<RowPlan>,
}

/// What one row would change.
#[derive(Serialize, ToSchema)]
struct RowPlan {
    /// The row, as an editor counts lines.
    row: u64,
    /// The device.
    device: String,
    /// add or change.
    change: &'static str,
    /// What would change: `site: Hall 3 becomes Hall 4`.
    fields: Vec<String>,
}

/// What is wrong with the rows that could not be read and with those that could, in their order.
fn mistaken(mistakes: &[Mistake], errors: &[RowError]) -> Problem {
    let unread = mistakes.iter().map(|found| (found.row, found.to_string()));
    let unfit = errors.iter().map(|found| (found.row, found.to_string()));
    let mut all: Vec<_> = unread.chain(unfit).collect();
    all.sort_by_key(|(row, _)| *row);
    let unnamed = all.len().saturating_sub(parse::MISTAKES_MAX);
    let named = all.into_iter().take(parse::MISTAKES_MAX);
    let mut lines: Vec<_> = named.map(|(_, line)| line).collect();
    if unnamed > 0 {
        lines.push(format!("and {unnamed} more"));
    }
    Problem::bad_request("The table has mistakes; nothing was imported.").errors(lines)
}

/// Reads a table. What is wrong is named whole: the rows that can be read are held against the registry
/// too.
async fn readable(desk: &Desk, how: &How, table: Table) -> Result<Readable, Problem> {
    let (form, missing) = (how.form()?, how.missing(desk)?);
    let (hash, turn) = (table.hash(), desk.tables().turn().await);
    // A million rows take seconds, in which others are answered.
    let read = move || Ok::<_, Problem>(rows(form, &table.text()?, 1));
    let (rows, mistakes) = tokio::task::spawn_blocking(read)
        .await
        .map_err(|_| Problem::internal())??;
    if mistakes.is_empty() {
        return Ok(Readable {
            rows,
            missing,
            hash,
            _turn: turn,
        });
    }
    let tenant = desk.engine().tenant();
    let plan = desk
        .survey(move |tx| import::plan(tx, tenant, &rows, &missing))
        .await?;
    Err(mistaken(&mistakes, &plan.errors))
}

impl From<ImportError> for Problem {
    fn from(error: ImportError) -> Problem {
        match error {
            ImportError::Invalid(errors) => mistaken(&[], &errors),
            ImportError::Unknown(id) => Problem::not_found(format!("Import {id}")),
            ImportError::Withdrawn => Problem::unauthorized(),
            ImportError::Registry(error) => Problem::conflict(error),
            ImportError::Store(error) => error.into(),
        }
    }
}

async fn plan(
    State(desk): State<Desk>,
    Query(how): Query<How>,
    Extension(table): Extension<Table>,
) -> Result<Json<Planned>, Problem> {
    let table = readable(&desk, &how, table).await?;
    let (tenant, count) = (desk.engine().tenant(), table.rows.len() as u64);
    let plan = desk
        .survey(move |tx| import::plan(tx, tenant, &table.rows, &table.missing))
        .await?;
    if !plan.errors.is_empty() {
        return Err(mistaken(&[], &plan.errors));
    }
    let shown = |(row, device, change): (u64, tenure_domain::DeviceId, RowChange)| RowPlan {
        row,
        device: device.to_string(),
        change: if change == RowChange::Add {
            "add"
        } else {
            "change"
        },
        fields: match change {
            RowChange::Add => Vec::new(),
            RowChange::Change(fields) => fields
                .into_iter()
                .map(|field| format!("{}: {} becomes {}", field.column, field.from, field.to))
                .collect(),
        },
    };
    Ok(Json(Planned {
        rows: count,
        added: plan.added,
        changed: plan.changed,
        unchanged: plan.unchanged,
        creates: plan
            .creates
            .into_iter()
            .map(|(noun, name)| format!("{noun} {name}"))
            .collect(),
        changes: plan.rows.into_iter().take(LISTED_MAX).map(shown).collect(),
    }))
}

/// The same table that was cut off before is gone on with; otherwise this is a new import.
async fn stage(
    State(desk): State<Desk>,
    caller: Caller,
    Query(how): Query<How>,
    Extension(table): Extension<Table>,
) -> Result<Json<Imported>, Problem> {
    let table = readable(&desk, &how, table).await?;
    let hash = tenure_domain::text::hex(&table.hash);
    let content = hash.get(..16).unwrap_or(&hash).to_owned();
    let (tenant, now) = (desk.engine().tenant(), desk.now());
    let begun = desk.read(move |tx| import::unfinished(tx, tenant)).await?;
    let id = match begun
        .into_iter()
        .find(|import| import.id.starts_with(&content))
    {
        Some(import) => import.id,
        None => {
            let mut fresh = [0; 6];
            aws_lc_rs::rand::fill(&mut fresh).map_err(|_| Problem::internal())?;
            format!("{content}-{}", tenure_domain::text::hex(&fresh))
        }
    };
    let new = NewImport {
        id,
        actor: caller.actor(),
        missing: table.missing,
        rows: table.rows,
    };
    let state = desk.engine().store().stage_import(new, now).await?;
    Ok(Json(state.into()))
}

async fn apply(
    State(desk): State<Desk>,
    Path(id): Path<String>,
) -> Result<Json<Imported>, Problem> {
    let state = desk.engine().store().apply_import(&id, desk.now()).await?;
    if state.stage == Stage::Done {
        // Classes may have been added.
        desk.engine().reload().await?;
    }
    // Devices that are known were changed by each part.
    desk.engine().wake_publish();
    Ok(Json(state.into()))
}

async fn show(State(desk): State<Desk>, Path(id): Path<String>) -> Result<Json<Imported>, Problem> {
    let (tenant, named) = (desk.engine().tenant(), id.clone());
    let found = desk
        .read(move |tx| import::by_id(tx, tenant, &named))
        .await?;
    let state = found.ok_or_else(|| Problem::not_found(format!("Import {id}")))?;
    Ok(Json(state.into()))
}

async fn unfinished(
    State(desk): State<Desk>,
    Query(paging): Query<Paging>,
) -> Result<Json<Page<Imported>>, Problem> {
    let tenant = desk.engine().tenant();
    let found = desk.read(move |tx| import::unfinished(tx, tenant)).await?;
    Ok(Json(
        paging
            .of(found, |state| state.id.clone())
            .map(Imported::from),
    ))
}
