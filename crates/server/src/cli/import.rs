//! `tenure device import`: a table of devices, checked whole, then applied piece by piece.

use std::path::{Path, PathBuf};

use clap::Args;
use indicatif::ProgressBar;
use serde_json::{Value, json};

use super::api::{Api, query, segment};
use super::device::read_input;
use super::exit::Failure;
use super::output::{Column, Output, note};
use super::session::Session;
use crate::limits::IMPORT_BODY_BYTES_MAX;

/// Changes listed by a dry run.
const CHANGES: &[Column] = &[
    ("ROW", "row"),
    ("DEVICE", "device"),
    ("CHANGE", "change"),
    ("FIELDS", "fields"),
];

/// What to do where it is not known whether a table arrived.
const AGAIN: &str = "Nothing is lost: import the same file again, and it goes on.";

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
    /// Register owners, sites, classes and services that are not known yet.
    #[arg(long)]
    create_missing: bool,
    /// The profile of classes registered so.
    #[arg(long, default_value = "device")]
    profile: String,
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
    let table = read_input(file)?;
    if table.len() > IMPORT_BODY_BYTES_MAX {
        return Err(Failure::Usage(format!(
            "{} has more than {} MiB: import it in several tables",
            file.display(),
            IMPORT_BODY_BYTES_MAX >> 20
        )));
    }
    let query = query(&[
        ("format", form.to_owned()),
        (
            "create_missing",
            if import.create_missing { "yes" } else { "no" }.to_owned(),
        ),
        ("profile", import.profile),
    ]);
    let media_type = if form == "csv" {
        "text/csv"
    } else {
        "application/jsonl"
    };
    if import.dry_run {
        let plan = api
            .post_bytes(&format!("/import-plan{query}"), media_type, table)
            .await?;
        let creates = strings(&plan, "creates");
        output.list(CHANGES, listed(&plan, "changes"))?;
        if !creates.is_empty() {
            note(&format!("would also register: {}", creates.join(", ")))?;
        }
        return note(&format!(
            "would be: {}; nothing was changed",
            counted(&plan)
        ));
    }
    let staged = api
        .post_bytes(&format!("/imports{query}"), media_type, table)
        .await
        .map_err(|failure| failure.hinted(AGAIN))?;
    let id = staged
        .get("import")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned();
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

/// Applies what is staged, a thousand rows a call, until all is done.
async fn apply(api: &Api, id: &str, output: &Output) -> Result<(), Failure> {
    let path = format!("/imports/{}/apply", segment(id));
    let hint = format!("Nothing is lost: go on with `tenure device import --resume {id}`.");
    let mut bar: Option<ProgressBar> = None;
    loop {
        let answer = api
            .post(&path, &json!({}))
            .await
            .map_err(|failure| failure.hinted(&hint))?;
        let number = |name: &str| answer.get(name).and_then(Value::as_u64).unwrap_or_default();
        let bar = bar.get_or_insert_with(|| output.progress(number("rows"), "importing"));
        bar.set_position(number("applied"));
        if answer.get("state").and_then(Value::as_str) == Some("done") {
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

fn strings<'a>(answer: &'a Value, name: &str) -> Vec<&'a str> {
    listed(answer, name)
        .iter()
        .filter_map(Value::as_str)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_got_no_answer_is_told_how_to_go_on() {
        let hinted = Failure::Unreachable("no answer".to_owned()).hinted(AGAIN);
        assert_eq!(hinted.code(), 4);
        assert_eq!(hinted.to_string(), format!("no answer\n{AGAIN}"));
        let refused = Failure::failed("row 2 is wrong").hinted(AGAIN);
        assert_eq!(refused.to_string(), "row 2 is wrong");
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
