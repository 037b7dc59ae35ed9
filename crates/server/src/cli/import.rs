//! `tenure device import`: a table of devices, checked whole, then applied piece by piece.

use std::path::{Path, PathBuf};

use clap::Args;
use indicatif::ProgressBar;
use serde_json::{Value, json};

use super::api::{Api, segment};
use super::device::read_input;
use super::exit::Failure;
use super::output::{Column, Output, note};
use super::session::Session;

/// Rows sent in one call.
const ROWS_PER_CALL: usize = 5_000;
/// Changes listed by a dry run.
const CHANGES: &[Column] = &[
    ("ROW", "row"),
    ("DEVICE", "device"),
    ("CHANGE", "change"),
    ("FIELDS", "fields"),
];

/// `tenure device import`
#[derive(Debug, Args)]
pub struct Import {
    /// CSV with the header id,manufacturer,model,serial,class,site,owner,services,criticality
    /// (services separated by ;), or JSON lines with the same names; - reads standard input.
    #[arg(required_unless_present = "resume")]
    file: Option<PathBuf>,
    /// csv or jsonl; told by the file's name if left out.
    #[arg(long)]
    format: Option<String>,
    /// Say what would change, and change nothing.
    #[arg(long)]
    dry_run: bool,
    /// Add owners, sites and services that are not known yet, and classes with the defaults.
    #[arg(long)]
    create_missing: bool,
    /// Go on with an import that was cut off.
    #[arg(long, value_name = "IMPORT", conflicts_with_all = ["file", "dry_run"])]
    resume: Option<String>,
}

pub async fn run(import: Import, session: &Session, output: &Output) -> Result<(), Failure> {
    let api = session.api();
    let Some(file) = &import.file else {
        let id = import.resume.unwrap_or_default();
        return apply(api, &id, output).await;
    };
    let form = form(&import.format, file)?;
    let text = String::from_utf8(read_input(file)?)
        .map_err(|_| Failure::Usage(format!("{} is not UTF-8", file.display())))?;
    let staged = api
        .post(
            "/imports",
            &json!({ "create_missing": import.create_missing }),
        )
        .await?;
    let id = staged
        .get("import")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned();
    let mistakes = send(api, &id, form, &text, output).await?;
    if !mistakes.is_empty() {
        return Err(refused(&mistakes));
    }
    let plan = api
        .post(&format!("/imports/{}/check", segment(&id)), &json!({}))
        .await?;
    let mistakes = listed(&plan, "mistakes");
    if !mistakes.is_empty() {
        return Err(refused(mistakes));
    }
    if import.dry_run {
        let summary = format!("would change: {}; nothing was changed", counted(&plan));
        output.list(CHANGES, listed(&plan, "changes"))?;
        return note(&summary);
    }
    apply(api, &id, output).await
}

fn form(named: &Option<String>, file: &Path) -> Result<&'static str, Failure> {
    let extension = file
        .extension()
        .and_then(|end| end.to_str())
        .unwrap_or_default();
    match named.as_deref().unwrap_or(extension) {
        "jsonl" | "ndjson" | "json" => Ok("jsonl"),
        "csv" | "txt" | "" => Ok("csv"),
        other if named.is_some() => Err(Failure::Usage(format!(
            "--format {other}: use csv or jsonl"
        ))),
        _ => Ok("csv"),
    }
}

/// Sends the rows, a few thousand at a time, and returns the first mistakes found.
async fn send(
    api: &Api,
    id: &str,
    form: &'static str,
    text: &str,
    output: &Output,
) -> Result<Vec<Value>, Failure> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let (header, body) = match form {
        "csv" => text.split_once('\n').unwrap_or((text, "")),
        _ => ("", text),
    };
    let mut first_row = if form == "csv" { 2 } else { 1 };
    let bar = output.progress(text.len() as u64, "reading");
    for piece in pieces(body, form) {
        let path = format!(
            "/imports/{}/rows?format={form}&first_row={first_row}",
            segment(id)
        );
        let content = match form {
            "csv" => format!("{header}\n{piece}"),
            _ => piece.to_owned(),
        };
        let media_type = if form == "csv" {
            "text/csv"
        } else {
            "application/jsonl"
        };
        let answer = api
            .post_bytes(&path, media_type, content.into_bytes())
            .await?;
        let mistakes = listed(&answer, "mistakes");
        if !mistakes.is_empty() {
            bar.finish_and_clear();
            return Ok(mistakes.to_vec());
        }
        first_row += piece.lines().count();
        bar.inc(piece.len() as u64);
    }
    bar.finish_and_clear();
    Ok(Vec::new())
}

/// Whole rows, so many at a time. A quoted cell of a CSV file may hold line breaks: a piece only ends
/// where the number of quotes so far is even.
fn pieces<'a>(body: &'a str, form: &str) -> Vec<&'a str> {
    let mut pieces = Vec::new();
    let (mut start, mut end, mut lines, mut quotes) = (0, 0, 0, 0);
    for line in body.split_inclusive('\n') {
        end += line.len();
        lines += 1;
        if form == "csv" {
            quotes += line.bytes().filter(|byte| *byte == b'"').count();
        }
        if lines >= ROWS_PER_CALL && quotes % 2 == 0 {
            pieces.extend(body.get(start..end));
            (start, lines) = (end, 0);
        }
    }
    pieces.extend(body.get(start..end).filter(|rest| !rest.is_empty()));
    pieces
}

/// Applies what is staged, a thousand rows a call, until all is done.
async fn apply(api: &Api, id: &str, output: &Output) -> Result<(), Failure> {
    let path = format!("/imports/{}/apply", segment(id));
    let mut bar: Option<ProgressBar> = None;
    loop {
        let answer = api
            .post(&path, &json!({}))
            .await
            .map_err(|failure| match failure {
                Failure::Unreachable(what) => Failure::Unreachable(format!(
                    "{what}\nNothing is lost: go on with `tenure device import --resume {id}`."
                )),
                other => other,
            })?;
        let number = |name: &str| answer.get(name).and_then(Value::as_u64).unwrap_or_default();
        let bar = bar.get_or_insert_with(|| output.progress(number("rows"), "importing"));
        bar.set_position(number("applied"));
        if answer.get("state").and_then(Value::as_str) == Some("finished") {
            bar.finish_and_clear();
            return output.done(&format!("imported: {}", counted(&answer)), &answer);
        }
    }
}

fn counted(answer: &Value) -> String {
    let number = |name: &str| answer.get(name).and_then(Value::as_u64).unwrap_or_default();
    format!(
        "{} added, {} changed, {} unchanged",
        number("added"),
        number("changed"),
        number("unchanged")
    )
}

fn listed<'a>(answer: &'a Value, name: &str) -> &'a [Value] {
    answer
        .get(name)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

fn refused(mistakes: &[Value]) -> Failure {
    let lines: Vec<String> = mistakes
        .iter()
        .map(|mistake| {
            let row = mistake
                .get("row")
                .and_then(Value::as_u64)
                .unwrap_or_default();
            let what = mistake
                .get("what")
                .and_then(Value::as_str)
                .unwrap_or_default();
            match mistake.get("column").and_then(Value::as_str) {
                Some(column) => format!("  row {row}, column {column}: {what}"),
                None => format!("  row {row}: {what}"),
            }
        })
        .collect();
    Failure::Failed(format!("nothing was imported:\n{}", lines.join("\n")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_never_ends_inside_a_quoted_cell() {
        let row = "a,\"two\nlines\"\n";
        let body = row.repeat(ROWS_PER_CALL);
        let pieces = pieces(&body, "csv");
        assert!(pieces.len() > 1);
        assert_eq!(pieces.concat(), body);
        for piece in pieces {
            assert_eq!(piece.matches('"').count() % 2, 0);
        }
    }

    #[test]
    fn the_form_is_told_by_the_name() {
        for (name, expected) in [
            ("d.csv", "csv"),
            ("d.jsonl", "jsonl"),
            ("-", "csv"),
            ("d", "csv"),
        ] {
            assert_eq!(form(&None, Path::new(name)).unwrap(), expected);
        }
        assert!(form(&Some("xml".to_owned()), Path::new("d")).is_err());
    }
}
