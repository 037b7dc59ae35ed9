//! What a command prints: tables and sentences for people, JSON for programs.

use std::io::{self, IsTerminal, Write};

use comfy_table::{ColumnConstraint, ContentArrangement, Table, Width, presets};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use serde_json::{Value, json};
use tenure_domain::text::is_hidden;

use super::api::Pages;
use super::exit::Failure;

/// For whom to print.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// People.
    Text,
    /// Programs.
    Json,
}

/// What stands around a cell of a table, in columns of the terminal.
const PADDING: u16 = 2;

/// One column of a table: its heading, and the field it shows.
pub type Column = (&'static str, &'static str);

/// Prints to standard output in one form. Results go there, everything else to standard error.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    form: Form,
}

impl Output {
    /// An output in this form.
    pub fn new(form: Form) -> Output {
        Output { form }
    }

    /// For whom it prints.
    pub fn form(&self) -> Form {
        self.form
    }

    /// A list: one JSON array, or a table.
    ///
    /// # Errors
    /// Standard output is closed.
    pub fn list(&self, columns: &[Column], items: &[Value]) -> Result<(), Failure> {
        match self.form {
            Form::Json => self.json(items),
            Form::Text if items.is_empty() => note("nothing found"),
            Form::Text => print(&table(columns, items)),
        }
    }

    /// A part of a list, page by page as it comes; how to go on is said to standard error.
    ///
    /// # Errors
    /// A page does not come, or standard output is closed. What came before is printed.
    pub async fn page(&self, columns: &[Column], mut pages: Pages<'_>) -> Result<(), Failure> {
        match self.form {
            Form::Json => json_pages(&mut pages, io::stdout()).await?,
            Form::Text => text_pages(columns, &mut pages, io::stdout()).await?,
        }
        self.more(pages.cursor().as_deref())
    }

    /// How to go on with a list, to standard error.
    ///
    /// # Errors
    /// None; it ends a command.
    pub fn more(&self, next: Option<&str>) -> Result<(), Failure> {
        match next {
            Some(next) => note(&format!("there are more: add --cursor {}", shell(next))),
            None => Ok(()),
        }
    }

    /// Items that are printed as they come.
    pub fn items(&self) -> Items {
        Items {
            form: self.form,
            array: Array::new(io::stdout()),
        }
    }

    /// One thing: a JSON object, or its fields one a line.
    ///
    /// # Errors
    /// Standard output is closed.
    pub fn record(&self, item: &Value) -> Result<(), Failure> {
        match (self.form, item) {
            (Form::Json, item) => self.json(item),
            (Form::Text, Value::Object(fields)) => {
                let width = fields.keys().map(String::len).max().unwrap_or(0);
                let lines: Vec<String> = fields
                    .iter()
                    .filter(|(_, value)| !value.is_null())
                    .map(|(name, value)| field(name, value, width))
                    .collect();
                print(&lines.join("\n"))
            }
            (Form::Text, other) => print(&text(other)),
        }
    }

    /// The outcome of a change: JSON as answered, or a sentence.
    ///
    /// # Errors
    /// Standard output is closed.
    pub fn done(&self, sentence: &str, item: &Value) -> Result<(), Failure> {
        match self.form {
            Form::Json => self.json(item),
            Form::Text => print(sentence),
        }
    }

    /// A text of its own, such as a key or a certificate: alone, or the JSON that holds it.
    ///
    /// # Errors
    /// Standard output is closed.
    pub fn document(&self, content: &str, item: &Value) -> Result<(), Failure> {
        match self.form {
            Form::Json => self.json(item),
            Form::Text => self.raw(content),
        }
    }

    /// Bytes for another program, alone on standard output in both forms.
    ///
    /// # Errors
    /// Standard output is closed.
    pub fn raw(&self, content: &str) -> Result<(), Failure> {
        print(content.strip_suffix('\n').unwrap_or(content))
    }

    /// The same, piece by piece.
    ///
    /// # Errors
    /// Standard output is closed.
    pub fn octets(&self, piece: &[u8]) -> Result<(), Failure> {
        io::stdout().write_all(piece).map_err(unprinted)
    }

    /// Why the command failed, to standard error; nothing if its reader had enough.
    pub fn failure(&self, failure: &Failure) {
        if matches!(failure, Failure::Unread) {
            return;
        }
        let line = match (self.form, failure) {
            (Form::Text, _) => format!("tenure: {failure}"),
            (Form::Json, Failure::Refused(problem)) => json!({ "error": problem }).to_string(),
            (Form::Json, _) => json!({ "error": { "detail": failure.to_string() } }).to_string(),
        };
        // Nobody is left to tell if standard error is closed.
        let _ = writeln!(io::stderr(), "{line}");
    }

    /// A bar on standard error while something long goes on; hidden when nobody watches.
    pub fn progress(&self, total: u64, what: &'static str) -> ProgressBar {
        let bar = ProgressBar::new(total);
        // The template is a constant that shows itself to be good at first use.
        if let Ok(style) = ProgressStyle::with_template("{msg} [{bar:40}] {percent}% {eta}") {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_message(what);
        bar
    }

    fn json(&self, value: &(impl Serialize + ?Sized)) -> Result<(), Failure> {
        let mut out = io::BufWriter::new(io::stdout().lock());
        serde_json::to_writer_pretty(&mut out, value)
            .map_err(io::Error::from)
            .and_then(|()| writeln!(out))
            .and_then(|()| out.flush())
            .map_err(unprinted)
    }
}

/// Items that are printed as they come: one JSON array, or a line for each.
pub struct Items {
    form: Form,
    array: Array<io::Stdout>,
}

impl Items {
    /// One more.
    ///
    /// # Errors
    /// Standard output is closed.
    pub fn add(&mut self, line: &str, item: &Value) -> Result<(), Failure> {
        match self.form {
            Form::Json => self.array.add(item),
            Form::Text => print(line),
        }
    }

    /// There are no more.
    ///
    /// # Errors
    /// Standard output is closed.
    pub fn end(self) -> Result<(), Failure> {
        match self.form {
            Form::Json => self.array.end(),
            Form::Text => Ok(()),
        }
    }
}

/// A JSON array that is written item by item, as one that is written at once.
struct Array<W> {
    out: W,
    is_open: bool,
}

impl<W: Write> Array<W> {
    fn new(out: W) -> Self {
        Array {
            out,
            is_open: false,
        }
    }

    fn add(&mut self, item: &Value) -> Result<(), Failure> {
        let before = if self.is_open { "," } else { "[" };
        self.is_open = true;
        // Within a JSON text a line break stands between tokens only.
        let item = format!("\n{item:#}").replace('\n', "\n  ");
        write!(self.out, "{before}{item}").map_err(unprinted)
    }

    fn end(mut self) -> Result<(), Failure> {
        let end = if self.is_open { "\n]" } else { "[]" };
        writeln!(self.out, "{end}")
            .and_then(|()| self.out.flush())
            .map_err(unprinted)
    }
}

/// A remark to standard error.
///
/// # Errors
/// None; the type lets it end a match arm.
pub fn note(line: &str) -> Result<(), Failure> {
    let _ = writeln!(io::stderr(), "{line}");
    Ok(())
}

fn print(content: &str) -> Result<(), Failure> {
    writeln!(io::stdout(), "{content}").map_err(unprinted)
}

fn unprinted(error: io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::Unread,
        _ => Failure::failed(format!("cannot print: {error}")),
    }
}

/// A word as a shell takes it.
fn shell(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.:,/@+=".contains(c);
    match !word.is_empty() && word.chars().all(is_plain) {
        true => word.to_owned(),
        false => format!("'{}'", text(&json!(word)).replace('\'', r"'\''")),
    }
}

/// One JSON array of all pages; without its end if one of them does not come.
pub(super) async fn json_pages(pages: &mut Pages<'_>, out: impl Write) -> Result<(), Failure> {
    let mut page = pages.next().await?;
    let mut array = Array::new(io::BufWriter::new(out));
    while let Some(items) = page {
        for item in &items {
            array.add(item)?;
        }
        page = pages.next().await?;
    }
    array.end()
}

/// One table of all pages, its columns as wide as on the first one.
pub(super) async fn text_pages(
    columns: &[Column],
    pages: &mut Pages<'_>,
    mut out: impl Write,
) -> Result<(), Failure> {
    let Some(first) = pages.next().await? else {
        return note("nothing found");
    };
    let first = headed(columns, &first);
    writeln!(out, "{}", first.trim_fmt()).map_err(unprinted)?;
    while let Some(items) = pages.next().await? {
        let table = below(&first, columns, &items);
        writeln!(out, "{}", table.trim_fmt()).map_err(unprinted)?;
    }
    Ok(())
}

fn table(columns: &[Column], items: &[Value]) -> String {
    headed(columns, items).trim_fmt()
}

fn headed(columns: &[Column], items: &[Value]) -> Table {
    let mut table = rows(columns, items);
    table.set_header(columns.iter().map(|(heading, _)| *heading));
    table
}

/// More rows of a table. Where its lines do not fit the terminal, they are laid out by themselves.
fn below(first: &Table, columns: &[Column], items: &[Value]) -> Table {
    let mut table = rows(columns, items);
    let widths = first.column_max_content_widths();
    let padded = |width: &u16| width.saturating_add(PADDING);
    let whole: u32 = widths.iter().map(|width| u32::from(padded(width))).sum();
    if first.width().is_none_or(|width| whole <= width.into()) {
        let least = |width| ColumnConstraint::LowerBoundary(Width::Fixed(padded(width)));
        table.set_constraints(widths.iter().map(least));
    }
    table
}

fn rows(columns: &[Column], items: &[Value]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    if io::stdout().is_terminal() {
        table.set_content_arrangement(ContentArrangement::Dynamic);
    } else {
        table.set_content_arrangement(ContentArrangement::Disabled);
    }
    for item in items {
        table.add_row(columns.iter().map(|(_, name)| cell(item, name)));
    }
    table
}

fn cell(item: &Value, name: &str) -> String {
    item.get(name).map(text).unwrap_or_default()
}

fn field(name: &str, value: &Value, width: usize) -> String {
    let shown = text(value);
    if shown.contains('\n') {
        format!("{name}:\n{shown}")
    } else {
        format!("{name:width$}  {shown}")
    }
}

/// A value as a person would write it. Hidden characters, which could move a terminal's cursor or turn
/// what stands beside them, are shown as `?`.
fn text(value: &Value) -> String {
    let shown = match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Bool(true) => "yes".to_string(),
        Value::Bool(false) => "no".to_string(),
        Value::Number(number) => number.to_string(),
        Value::Array(items) if items.iter().any(Value::is_object) => items
            .iter()
            .map(|item| format!("  - {}", text(item)))
            .collect::<Vec<_>>()
            .join("\n"),
        Value::Array(items) => items.iter().map(text).collect::<Vec<_>>().join(", "),
        Value::Object(fields) => fields
            .iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(name, value)| format!("{name}={}", text(value)))
            .collect::<Vec<_>>()
            .join(" "),
    };
    shown
        .chars()
        .map(|c| if is_hidden(c) && c != '\n' { '?' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_a_heading_and_a_row_for_each_item() {
        let items = [json!({"id": "pump-1", "expired": false, "services": ["a", "b"], "x": null})];
        let shown = table(
            &[
                ("ID", "id"),
                ("EXPIRED", "expired"),
                ("SERVICES", "services"),
                ("X", "x"),
            ],
            &items,
        );
        let mut lines = shown.lines();
        assert_eq!(
            lines.next().unwrap().split_whitespace().collect::<Vec<_>>(),
            ["ID", "EXPIRED", "SERVICES", "X"]
        );
        assert_eq!(
            lines.next().unwrap().split_whitespace().collect::<Vec<_>>(),
            ["pump-1", "no", "a,", "b"]
        );
    }

    #[test]
    fn what_a_device_calls_itself_cannot_move_the_cursor() {
        assert_eq!(text(&json!("\u{1b}[2Jevil")), "?[2Jevil");
    }

    #[test]
    fn a_cursor_is_shown_as_a_shell_takes_it() {
        assert_eq!(shell("pump-1/7"), "pump-1/7");
        assert_eq!(shell("Hall 3"), "'Hall 3'");
        assert_eq!(shell("it's"), r"'it'\''s'");
    }

    #[test]
    fn nested_values_are_readable() {
        assert_eq!(text(&json!({"a": 1, "b": null, "c": "x"})), "a=1 c=x");
        assert_eq!(text(&json!([{"a": 1}, {"a": 2}])), "  - a=1\n  - a=2");
    }
}
