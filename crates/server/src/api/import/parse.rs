//! Reads a table of devices: CSV with a header, or JSON lines with the same names. Every mistake
//! names its row and column, and all of them are found in one go.

use std::fmt;

use serde_json::Value;
use tenure_domain::Title;
use tenure_domain::device::{Criticality, DeviceRow};

use crate::api::export::HEADER;

/// Most mistakes named, the others are counted; there is no point in reading more of them at once.
pub(super) const MISTAKES_MAX: usize = 100;

/// In which form the rows come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Csv,
    JsonLines,
}

/// A row that cannot be taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mistake {
    /// The row, as an editor counts lines of the file: a CSV header is row 1.
    pub(super) row: u64,
    /// The column, if one is to blame.
    pub(super) column: Option<String>,
    /// What is wrong.
    pub(super) what: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.column {
            Some(column) => write!(f, "row {}, column {column}: {}", self.row, self.what),
            None => write!(f, "row {}: {}", self.row, self.what),
        }
    }
}

impl Mistake {
    fn in_column(row: u64, column: &str, what: impl ToString) -> Mistake {
        Mistake {
            row,
            column: Some(clipped(column)),
            what: what.to_string(),
        }
    }

    fn in_row(row: u64, what: impl ToString) -> Mistake {
        Mistake {
            row,
            column: None,
            what: what.to_string(),
        }
    }
}

/// A name as it is told back.
fn clipped(name: &str) -> String {
    name.chars().take(80).collect()
}

/// A device with the row it stands in.
pub(super) type Row = (u64, DeviceRow);

/// Reads all rows: those that can be taken, and what is wrong with the others. `first_row` is the
/// number of the first line of `text` in the whole file.
pub(super) fn rows(form: Form, text: &str, first_row: u64) -> (Vec<Row>, Vec<Mistake>) {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    match form {
        Form::Csv => table(text, first_row),
        Form::JsonLines => lines(text, first_row),
    }
}

fn table(text: &str, first_row: u64) -> (Vec<Row>, Vec<Mistake>) {
    let mut reader = csv::ReaderBuilder::new()
        .flexible(true)
        .from_reader(text.as_bytes());
    let columns = match reader
        .headers()
        .map_err(|error| error.to_string())
        .and_then(order)
    {
        Ok(columns) => columns,
        Err(what) => return (Vec::new(), vec![Mistake::in_row(first_row, what)]),
    };
    let (mut rows, mut mistakes) = (Vec::new(), Vec::new());
    for record in reader.records() {
        let record = match record {
            Ok(record) => record,
            Err(error) => {
                let row = error
                    .position()
                    .map_or(first_row, |at| at.line() - 1 + first_row);
                mistakes.push(Mistake::in_row(row, "the line is not UTF-8 or not CSV"));
                break;
            }
        };
        let row = record
            .position()
            .map_or(first_row, |at| line(text, at) - 1 + first_row);
        if record.iter().all(|cell| cell.trim().is_empty()) {
            continue;
        }
        if record.len() != columns.len() {
            let (found, wanted) = (record.len(), columns.len());
            mistakes.push(Mistake::in_row(
                row,
                format!("it has {found} cells, the header {wanted}"),
            ));
            continue;
        }
        let cell = |name: &str| {
            let place = columns.iter().position(|column| column == name)?;
            record.get(place).map(|text| text.trim().to_owned())
        };
        match device(row, cell, cell("services").as_deref().map(listed)) {
            Ok(said) => rows.push((row, said)),
            Err(found) => mistakes.extend(found),
        }
    }
    (rows, mistakes)
}

/// The names in a text that are separated by semicolons.
fn listed(text: &str) -> Vec<String> {
    let names = text.split(';').map(str::trim);
    names
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

/// The line a record stands in. Its position is where the one before ended: empty lines in between
/// are still to be counted.
fn line(text: &str, at: &csv::Position) -> u64 {
    let start = usize::try_from(at.byte()).unwrap_or(usize::MAX);
    let rest = text.as_bytes().get(start..).unwrap_or_default();
    let between = rest.iter().take_while(|byte| matches!(byte, b'\n' | b'\r'));
    at.line() + between.filter(|byte| **byte == b'\n').count() as u64
}

/// The columns in the order of the header.
fn order(header: &csv::StringRecord) -> Result<Vec<String>, String> {
    let columns: Vec<String> = header.iter().map(|name| name.trim().to_owned()).collect();
    if let Some(unknown) = columns.iter().find(|name| !HEADER.contains(&name.as_str())) {
        return Err(format!(
            "the header has an unknown column {:?}; it may have {}",
            clipped(unknown),
            HEADER.join(",")
        ));
    }
    let twice = columns
        .iter()
        .enumerate()
        .find(|(at, name)| columns.iter().take(*at).any(|c| c == *name));
    if let Some((_, name)) = twice {
        return Err(format!("the header names {name} twice"));
    }
    let missing: Vec<_> = ["id", "class", "site", "owner"]
        .into_iter()
        .filter(|name| !columns.iter().any(|c| c == name))
        .collect();
    match missing.is_empty() {
        true => Ok(columns),
        false => Err(format!("the header lacks {}", missing.join(", "))),
    }
}

fn lines(text: &str, first_row: u64) -> (Vec<Row>, Vec<Mistake>) {
    let (mut rows, mut mistakes) = (Vec::new(), Vec::new());
    for (row, line) in (first_row..).zip(text.lines()) {
        if line.trim().is_empty() {
            continue;
        }
        match object(row, line) {
            Ok(spec) => rows.push((row, spec)),
            Err(found) => mistakes.extend(found),
        }
    }
    (rows, mistakes)
}

fn object(row: u64, line: &str) -> Result<DeviceRow, Vec<Mistake>> {
    let parsed: Value = serde_json::from_str(line)
        .map_err(|error| vec![Mistake::in_row(row, format!("not JSON: {error}"))])?;
    let Value::Object(fields) = parsed else {
        return Err(vec![Mistake::in_row(row, "not a JSON object")]);
    };
    let mut mistakes = Vec::new();
    let mut texts: Vec<(&str, String)> = Vec::new();
    let mut services = None;
    for (name, value) in &fields {
        match value {
            _ if !HEADER.contains(&name.as_str()) => {
                mistakes.push(Mistake::in_column(row, name, "no such column"));
            }
            Value::Null => {}
            Value::String(text) if name == "services" => services = Some(listed(text)),
            Value::String(text) => texts.push((name, text.clone())),
            Value::Array(names) if name == "services" && names.iter().all(Value::is_string) => {
                let names = names.iter().filter_map(Value::as_str);
                services = Some(names.map(str::to_owned).collect());
            }
            _ if name == "services" => {
                let what = "neither a text nor a list of texts";
                mistakes.push(Mistake::in_column(row, name, what));
            }
            _ => mistakes.push(Mistake::in_column(row, name, "not a text")),
        }
    }
    if !mistakes.is_empty() {
        return Err(mistakes);
    }
    let cell = |name: &str| {
        let found = texts.iter().find(|(column, _)| *column == name);
        found.map(|(_, text)| text.clone())
    };
    device(row, cell, services)
}

/// A device of the cells of a row; there is none for a column that the row does not have.
fn device(
    row: u64,
    cell: impl Fn(&str) -> Option<String>,
    services: Option<Vec<String>>,
) -> Result<DeviceRow, Vec<Mistake>> {
    let mut mistakes = Vec::new();
    macro_rules! read {
        ($column:literal, $read:expr) => {
            match $read {
                Ok(value) => Some(value),
                Err(error) => {
                    mistakes.push(Mistake::in_column(row, $column, error));
                    None
                }
            }
        };
    }
    let id = read!("id", cell("id").unwrap_or_default().parse());
    let class = read!("class", cell("class").unwrap_or_default().parse());
    let site = read!("site", cell("site").unwrap_or_default().parse());
    let owner = read!("owner", cell("owner").unwrap_or_default().parse());
    let criticality = match cell("criticality").as_deref() {
        None => None,
        Some("") => Some(Criticality::default()),
        Some(word) => read!("criticality", word.parse()),
    };
    let services = services.map(|names| {
        let mut bound: Vec<Title> = Vec::with_capacity(names.len());
        for name in names {
            match read!("services", name.parse()) {
                Some(title) if !bound.contains(&title) => bound.push(title),
                _ => {}
            }
        }
        bound
    });
    match (id, class, site, owner, mistakes.is_empty()) {
        (Some(id), Some(class), Some(site), Some(owner), true) => Ok(DeviceRow {
            id,
            class,
            site,
            owner,
            criticality,
            services,
            manufacturer: cell("manufacturer"),
            model: cell("model"),
            serial: cell("serial"),
        }),
        _ => Err(mistakes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "id,manufacturer,model,serial,class,site,owner,services,criticality\n";

    fn sound(form: Form, text: &str, first_row: u64) -> Vec<Row> {
        let (rows, mistakes) = rows(form, text, first_row);
        assert_eq!(mistakes, []);
        rows
    }

    #[test]
    fn a_long_name_of_a_column_is_told_clipped() {
        let long = "x".repeat(10_000);
        let header = format!("id,class,site,owner,{long}\n");
        let line = format!("{{\"id\":\"pump-1\",\"{long}\":\"1\"}}\n");
        for (form, text) in [(Form::Csv, header), (Form::JsonLines, line)] {
            let (_, mistakes) = rows(form, &text, 1);
            let said = mistakes[0].to_string();
            assert!(said.contains(&"x".repeat(80)) && said.len() < 300, "{said}");
        }
    }

    #[test]
    fn what_a_row_does_not_speak_of_is_not_said() {
        let table = "id,class,site,owner,services\npump-1,pump,Hall,Water,a;b;a\n";
        let said = &sound(Form::Csv, table, 1)[0].1;
        let names: Vec<_> = said.services.iter().flatten().map(Title::as_str).collect();
        assert_eq!(names, ["a", "b"]);
        assert_eq!((&said.model, said.criticality), (&None, None));
        let line = r#"{"id":"pump-1","class":"pump","site":"Hall","owner":"Water","model":""}"#;
        let said = &sound(Form::JsonLines, line, 1)[0].1;
        assert_eq!(said.services, None);
        assert_eq!(said.model.as_deref(), Some(""));
    }

    #[test]
    fn a_table_and_json_lines_say_the_same() {
        let table = format!("{HEAD}pump-1,Acme,P3,0001,pump,Hall 1,Water,mqtt;scada,high\n");
        let line = r#"{"id":"pump-1","manufacturer":"Acme","model":"P3","serial":"0001","class":"pump","site":"Hall 1","owner":"Water","services":["mqtt","scada"],"criticality":"high"}"#;
        let of_table = sound(Form::Csv, &table, 1);
        let of_line = sound(Form::JsonLines, line, 2);
        assert_eq!(of_table, of_line);
        assert_eq!(of_table[0].0, 2);
        assert_eq!(of_table[0].1.serial.as_deref(), Some("0001"));
        assert_eq!(of_table[0].1.services.as_ref().unwrap().len(), 2);
    }

    #[test]
    fn every_mistake_names_row_and_column() {
        let table = format!(
            "{HEAD}pump:1,,,,pump,Hall,Water,,\npump-2,,,,pump,Hall,Water,,huge\n\npump-3,,,,,Hall,Water,,\nshort,1\n"
        );
        let (_, found) = rows(Form::Csv, &table, 1);
        let places: Vec<_> = found
            .iter()
            .map(|m| (m.row, m.column.as_deref().unwrap_or("-")))
            .collect();
        assert_eq!(
            places,
            [(2, "id"), (3, "criticality"), (5, "class"), (6, "-")]
        );
    }

    #[test]
    fn a_header_must_be_known_and_enough() {
        for (table, says) in [
            ("id,class,site,owner,colour\n", "unknown column"),
            ("id,class,site\n", "lacks owner"),
            ("id,id,class,site,owner\n", "twice"),
            ("", "lacks"),
        ] {
            let (_, found) = rows(Form::Csv, table, 1);
            assert!(found[0].what.contains(says), "{table:?}: {found:?}");
        }
    }

    #[test]
    fn a_byte_order_mark_quotes_and_crlf_are_taken() {
        let table = "\u{feff}id,class,site,owner\r\n\"pump-1\",pump,\"Hall, 1\",Water\r\n";
        let found = sound(Form::Csv, table, 1);
        assert_eq!(found[0].1.site.as_str(), "Hall, 1");
    }

    #[test]
    fn a_byte_order_mark_before_json_lines_is_taken() {
        let line = r#"{"id":"a","class":"c","site":"s","owner":"o"}"#;
        let found = sound(Form::JsonLines, &format!("\u{feff}{line}\r\n{line}\r\n"), 1);
        assert_eq!(found.len(), 2);
        // Only at the very beginning is it one.
        let (_, mistakes) = rows(Form::JsonLines, &format!("{line}\n\u{feff}{line}\n"), 1);
        assert_eq!(mistakes[0].row, 2);
    }

    #[test]
    fn json_that_is_no_device_is_refused() {
        for line in [
            "[]",
            "{",
            r#"{"id":7}"#,
            r#"{"id":"a","colour":"red"}"#,
            r#"{"id":"a","class":"c","site":"s","owner":"o","services":["b",7]}"#,
        ] {
            assert!(
                !rows(Form::JsonLines, line, 1).1.is_empty(),
                "{line} was taken"
            );
        }
    }
}
