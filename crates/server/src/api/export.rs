//! `/export/devices`: the registry as an import would take it.
//!
//! It is written to a file without a name first, as the record says what left before it leaves.

use std::io::{self, SeekFrom};

use aws_lc_rs::digest;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;
use tenure_domain::device::Device;
use tenure_domain::operator::Permission::ReadRecord;
use tenure_engine::store::device;
use tokio::fs::File;
use tokio::io::{AsyncSeekExt, AsyncWriteExt};
use utoipa::IntoParams;

use super::body::{Query, answer};
use super::device::{Filter, page};
use super::page::Paging;
use super::{Caller, Desk, Route};
use crate::file_body::FileBody;
use crate::problem::Problem;

/// Devices read at a time.
const PAGE: u32 = 1_000;

/// The header of an import and of an export.
pub(crate) const HEADER: [&str; 9] = [
    "id",
    "manufacturer",
    "model",
    "serial",
    "class",
    "site",
    "owner",
    "services",
    "criticality",
];

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get(
            "/export/devices",
            ReadRecord,
            "Export devices as an import would take them",
            export,
        )
        .asks::<Format>()
        .asks::<Filter>()
        .answers_text("text/csv"),
    ]
}

/// In which form.
#[derive(Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
struct Format {
    /// csv (if left out) or jsonl.
    format: Option<String>,
}

#[derive(Clone, Copy)]
enum Form {
    Csv,
    JsonLines,
}

impl Format {
    fn form(&self) -> Result<Form, Problem> {
        match self.format.as_deref() {
            None | Some("" | "csv") => Ok(Form::Csv),
            Some("jsonl") => Ok(Form::JsonLines),
            Some(_) => Err(Problem::bad_request("format: use csv or jsonl")),
        }
    }
}

async fn export(
    State(desk): State<Desk>,
    caller: Caller,
    Query(format): Query<Format>,
    Query(filter): Query<Filter>,
) -> Result<Response, Problem> {
    let form = format.form()?;
    let mut draft = Draft::begin(&desk)?;
    if let Form::Csv = form {
        draft.add(&line(HEADER)?).await?;
    }
    let mut cursor = None;
    loop {
        let paging = Paging {
            limit: Some(PAGE),
            cursor,
        };
        let found = page(&desk, filter.read()?, paging).await?;
        draft.add(&lines(form, &found.items)?).await?;
        cursor = found.next;
        if cursor.is_none() {
            break;
        }
    }
    let (hash, body) = draft.end().await?;
    desk.engine()
        .record_export(&caller.actor(), "devices", hash.as_ref())
        .await?;
    let media_type = match form {
        Form::Csv => "text/csv; charset=utf-8",
        Form::JsonLines => "application/jsonl",
    };
    Ok(answer(media_type, Body::new(body)))
}

/// What is to leave, in a file that goes with its last handle.
struct Draft {
    file: File,
    length: u64,
    hash: digest::Context,
}

impl Draft {
    fn begin(desk: &Desk) -> Result<Draft, Problem> {
        Ok(Draft {
            file: File::from_std(tempfile::tempfile_in(desk.data()).map_err(failed)?),
            length: 0,
            hash: digest::Context::new(&digest::SHA256),
        })
    }

    async fn add(&mut self, octets: &[u8]) -> Result<(), Problem> {
        self.hash.update(octets);
        self.length += octets.len() as u64;
        self.file.write_all(octets).await.map_err(failed)
    }

    async fn end(mut self) -> Result<(digest::Digest, FileBody), Problem> {
        self.file.flush().await.map_err(failed)?;
        let start = SeekFrom::Start(0);
        self.file.seek(start).await.map_err(failed)?;
        let body = FileBody::start(self.file, self.length);
        Ok((self.hash.finish(), body))
    }
}

/// A full disk, most likely.
fn failed(error: io::Error) -> Problem {
    tracing::error!(%error, "cannot write an export to the data directory");
    Problem::internal()
}

fn lines(form: Form, devices: &[Device]) -> Result<Vec<u8>, Problem> {
    let mut lines = Vec::new();
    for device in devices {
        match form {
            Form::Csv => lines.extend(line(row(device))?),
            Form::JsonLines => {
                let spec = device::spec(device);
                serde_json::to_writer(&mut lines, &spec).map_err(|_| Problem::internal())?;
                lines.push(b'\n');
            }
        }
    }
    Ok(lines)
}

fn line<T: AsRef<[u8]>>(cells: impl IntoIterator<Item = T>) -> Result<Vec<u8>, Problem> {
    let mut table = csv::Writer::from_writer(Vec::new());
    let written = table.write_record(cells);
    written.map_err(|_| Problem::internal())?;
    table.into_inner().map_err(|_| Problem::internal())
}

fn row(device: &Device) -> [String; 9] {
    let services: Vec<_> = device
        .services
        .iter()
        .map(tenure_domain::Title::as_str)
        .collect();
    [
        device.id.to_string(),
        device.manufacturer.clone(),
        device.model.clone(),
        device.serial.clone(),
        device.class.to_string(),
        device.site.to_string(),
        device.owner.to_string(),
        services.join(";"),
        device.criticality.to_string(),
    ]
}
