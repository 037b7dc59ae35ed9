//! Server-sent events (the WHATWG HTML standard, section 9.2): `text/event-stream`, both directions.

use std::fmt::{self, Write};

use crate::limits::{SSE_EVENT_BYTES_MAX, SSE_LINE_BYTES_MAX};

/// The media type of an event stream.
pub const MEDIA_TYPE: &str = "text/event-stream";

/// One event.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Event {
    /// Where to resume after; none if the event leaves the place as it was.
    pub id: Option<String>,
    /// Its type; empty for one without.
    pub kind: String,
    /// What it says; lines are joined by a line feed.
    pub data: String,
}

/// Why a stream cannot be read any further.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// A line or an event is longer than we read.
    TooLarge {
        /// Which.
        what: &'static str,
        /// The most octets accepted.
        bytes_max: usize,
    },
    /// It is not UTF-8.
    NotText,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::TooLarge { what, bytes_max } => {
                write!(f, "{what} is too large: at most {bytes_max} bytes are read")
            }
            Error::NotText => f.write_str("the event stream is not UTF-8"),
        }
    }
}

impl std::error::Error for Error {}

impl Event {
    /// The event as it goes over the wire, its empty line included. What would break a line in the id
    /// or the type is left out, and so is a zero in the id, for which readers ignore it.
    pub fn write(&self) -> String {
        let mut text = String::with_capacity(self.data.len() + 64);
        let one_line = |text: &str| text.replace(['\n', '\r'], "");
        // Writing to a String cannot fail.
        if let Some(id) = &self.id {
            let _ = writeln!(text, "id: {}", one_line(id).replace('\0', ""));
        }
        if !self.kind.is_empty() {
            let _ = writeln!(text, "event: {}", one_line(&self.kind));
        }
        for line in self.data.replace("\r\n", "\n").split(['\n', '\r']) {
            let _ = writeln!(text, "data: {line}");
        }
        text.push('\n');
        text
    }
}

/// A comment: keeps a connection awake and means nothing.
pub fn comment(text: &str) -> String {
    format!(": {}\n\n", text.replace(['\n', '\r'], " "))
}

/// Reads a stream piece by piece.
#[derive(Debug, Default)]
pub struct Parser {
    line: Vec<u8>,
    /// The last piece ended in a carriage return: a line feed that follows belongs to it.
    after_return: bool,
    begun: bool,
    id: Option<String>,
    kind: String,
    data: String,
    has_data: bool,
}

impl Parser {
    /// A parser at the beginning of a stream.
    pub fn new() -> Parser {
        Parser::default()
    }

    /// Takes what has come, and hands back the events that are whole by now.
    ///
    /// # Errors
    /// What came is not an event stream, or is longer than we read; nothing more can be read then.
    pub fn feed(&mut self, piece: &[u8]) -> Result<Vec<Event>, Error> {
        let mut events = Vec::new();
        for byte in piece {
            let follows_return = std::mem::take(&mut self.after_return);
            match byte {
                b'\n' if follows_return => {}
                b'\n' | b'\r' => {
                    self.after_return = *byte == b'\r';
                    let line = std::mem::take(&mut self.line);
                    events.extend(self.end_of_line(&line)?);
                }
                _ if self.line.len() == SSE_LINE_BYTES_MAX => {
                    return Err(Error::TooLarge {
                        what: "a line of the event stream",
                        bytes_max: SSE_LINE_BYTES_MAX,
                    });
                }
                other => self.line.push(*other),
            }
        }
        Ok(events)
    }

    fn end_of_line(&mut self, line: &[u8]) -> Result<Option<Event>, Error> {
        let line = std::str::from_utf8(line).map_err(|_| Error::NotText)?;
        let line = match std::mem::replace(&mut self.begun, true) {
            false => line.strip_prefix('\u{feff}').unwrap_or(line),
            true => line,
        };
        if line.is_empty() {
            return Ok(self.end_of_event());
        }
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "id" if !value.contains('\0') => self.id = Some(value.to_owned()),
            "event" => value.clone_into(&mut self.kind),
            "data" => {
                if self.data.len() + value.len() > SSE_EVENT_BYTES_MAX {
                    return Err(Error::TooLarge {
                        what: "an event of the event stream",
                        bytes_max: SSE_EVENT_BYTES_MAX,
                    });
                }
                if self.has_data {
                    self.data.push('\n');
                }
                self.has_data = true;
                self.data.push_str(value);
            }
            // Comments have no name; `retry` and what is unknown change nothing here.
            _ => {}
        }
        Ok(None)
    }

    /// An event without data is none, but its id counts for the next one.
    fn end_of_event(&mut self) -> Option<Event> {
        let kind = std::mem::take(&mut self.kind);
        let data = std::mem::take(&mut self.data);
        if !std::mem::take(&mut self.has_data) {
            return None;
        }
        Some(Event {
            id: self.id.take(),
            kind,
            data,
        })
    }
}

#[cfg(test)]
mod tests;
