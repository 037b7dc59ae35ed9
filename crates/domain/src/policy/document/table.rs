//! Reads the tables of a TOML document and says exactly what is wrong where, all of it at once.

use std::fmt;
use std::str::FromStr;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::words::nearest;

/// One thing that is wrong with a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// The line, from 1.
    pub line: usize,
    /// The table, such as `[[rule]] renew`; empty if the error is outside of any.
    pub table: String,
    /// The field, if it is about one.
    pub field: Option<String>,
    /// What is wrong and what would be right.
    pub what: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}", self.line)?;
        if !self.table.is_empty() {
            write!(f, ", {}", self.table)?;
        }
        if let Some(field) = &self.field {
            write!(f, ", {field}")?;
        }
        write!(f, ": {}", self.what)
    }
}

/// Where the lines of a text begin.
pub(super) struct Lines(Vec<usize>);

impl Lines {
    pub(super) fn of(text: &str) -> Lines {
        let breaks = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        Lines(
            std::iter::once(0)
                .chain(breaks.map(|(at, _)| at + 1))
                .collect(),
        )
    }

    /// The line, from 1, that holds this octet.
    pub(super) fn at(&self, offset: usize) -> usize {
        self.0.partition_point(|start| *start <= offset).max(1)
    }
}

/// One table while it is read. Faults are collected, so that a person mends them all in one go.
pub(super) struct TableReader<'d> {
    /// Its line.
    pub(super) line: usize,
    label: String,
    table: &'d DeTable<'d>,
    lines: &'d Lines,
    errors: Vec<Mistake>,
}

impl<'d> TableReader<'d> {
    /// Begins to read a table of `kind`, whose fields must be among `allowed`.
    pub(super) fn new(
        kind: &'static str,
        value: &'d Spanned<DeValue<'d>>,
        lines: &'d Lines,
        allowed: &[&str],
    ) -> Result<TableReader<'d>, Mistake> {
        let line = lines.at(value.span().start);
        let DeValue::Table(table) = value.get_ref() else {
            let what = format!("write each as a table of its own under [[{kind}]]");
            return Err(Mistake {
                line,
                table: kind.to_owned(),
                field: None,
                what,
            });
        };
        let name = table.get("name").and_then(|name| name.get_ref().as_str());
        let label = match name {
            Some(name) => format!("[[{kind}]] {}", name.chars().take(80).collect::<String>()),
            None => format!("[[{kind}]]"),
        };
        let mut reader = TableReader {
            line,
            label,
            table,
            lines,
            errors: Vec::new(),
        };
        reader.knows_all(allowed);
        Ok(reader)
    }

    fn knows_all(&mut self, allowed: &[&str]) {
        for key in self.table.keys() {
            let field = key.get_ref().as_ref();
            if !allowed.contains(&field) {
                let line = self.lines.at(key.span().start);
                let guess = nearest(field, allowed)
                    .map(|word| format!("did you mean {word:?}? "))
                    .unwrap_or_default();
                let what = format!("unknown field; {guess}known are: {}", allowed.join(", "));
                self.error_at(line, field, what);
            }
        }
    }

    fn error_at(&mut self, line: usize, field: &str, what: String) {
        let field = Some(field.chars().take(80).collect());
        self.errors.push(Mistake {
            line,
            table: self.label.clone(),
            field,
            what,
        });
    }

    /// Notes that a field is wrong, at the field's line if it is there.
    pub(super) fn wrong(&mut self, field: &str, what: impl fmt::Display) {
        let line = self
            .table
            .get(field)
            .map_or(self.line, |v| self.lines.at(v.span().start));
        self.error_at(line, field, what.to_string());
    }

    /// Whether the field is there.
    pub(super) fn has(&self, field: &str) -> bool {
        self.table.contains_key(field)
    }

    /// The value of a field that may be left out; `None` too if it is wrong, which is then noted.
    pub(super) fn one<T: FromStr<Err: fmt::Display>>(&mut self, field: &str) -> Option<T> {
        let value = self.table.get(field)?;
        let Some(text) = value.get_ref().as_str() else {
            self.wrong(field, "write text between quotation marks");
            return None;
        };
        text.parse().map_err(|error| self.wrong(field, error)).ok()
    }

    /// The value of a field that must be there.
    pub(super) fn required<T: FromStr<Err: fmt::Display>>(&mut self, field: &str) -> Option<T> {
        if !self.has(field) {
            self.wrong(field, "is missing");
        }
        self.one(field)
    }

    /// The values of a field that is a list, each of them once; empty if it is left out.
    pub(super) fn list<T>(&mut self, field: &str) -> Vec<T>
    where
        T: FromStr<Err: fmt::Display> + PartialEq,
    {
        let Some(value) = self.table.get(field) else {
            return Vec::new();
        };
        let Some(items) = value.get_ref().as_array() else {
            self.wrong(field, format!("write a list: {field} = [\"…\"]"));
            return Vec::new();
        };
        let mut values = Vec::with_capacity(items.len());
        for item in items.iter() {
            let line = self.lines.at(item.span().start);
            let Some(text) = item.get_ref().as_str() else {
                self.error_at(line, field, "write text between quotation marks".to_owned());
                continue;
            };
            match text.parse::<T>() {
                Ok(value) if values.contains(&value) => {
                    let what = format!(
                        "{:?} is listed twice",
                        text.chars().take(80).collect::<String>()
                    );
                    self.error_at(line, field, what);
                }
                Ok(value) => values.push(value),
                Err(error) => self.error_at(line, field, error.to_string()),
            }
        }
        values
    }

    /// The values of a rule's condition. An empty list would match anything, which nobody means
    /// who writes one.
    pub(super) fn condition<T>(&mut self, field: &str) -> Vec<T>
    where
        T: FromStr<Err: fmt::Display> + PartialEq,
    {
        let is_empty = |value: &Spanned<DeValue<'_>>| {
            value
                .get_ref()
                .as_array()
                .is_some_and(|items| items.is_empty())
        };
        if self.table.get(field).is_some_and(is_empty) {
            self.wrong(
                field,
                "an empty list matches nothing; leave the field out to match anything",
            );
        }
        self.list(field)
    }

    /// Ends the reading: `value` if it is there and nothing was wrong.
    pub(super) fn end<T>(mut self, value: Option<T>) -> Result<T, Vec<Mistake>> {
        if self.errors.is_empty() {
            if let Some(value) = value {
                return Ok(value);
            }
            self.wrong("name", "this table cannot be read");
        }
        Err(self.errors)
    }
}
