//! Which EST resource a request names: `/.well-known/est/[label/]operation`.

use std::fmt;

use super::Error;
use crate::limits::LABEL_CHARS_MAX;

/// The operations of RFC 7030 section 3.2.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// GET: the CA certificates.
    CaCerts,
    /// POST: a first certificate.
    SimpleEnroll,
    /// POST: a new certificate for the one presented in TLS.
    SimpleReenroll,
    /// GET: what a request should hold.
    CsrAttrs,
    /// POST: a certificate together with a key the server makes.
    ServerKeygen,
    /// POST: full CMC.
    FullCmc,
}

impl Operation {
    /// Every operation, in the order of RFC 7030.
    pub const ALL: [Operation; 6] = [
        Operation::CaCerts,
        Operation::SimpleEnroll,
        Operation::SimpleReenroll,
        Operation::FullCmc,
        Operation::ServerKeygen,
        Operation::CsrAttrs,
    ];

    /// The last segment of its path.
    pub fn name(self) -> &'static str {
        match self {
            Operation::CaCerts => "cacerts",
            Operation::SimpleEnroll => "simpleenroll",
            Operation::SimpleReenroll => "simplereenroll",
            Operation::CsrAttrs => "csrattrs",
            Operation::ServerKeygen => "serverkeygen",
            Operation::FullCmc => "fullcmc",
        }
    }

    /// The one HTTP method it takes.
    pub fn method(self) -> &'static str {
        match self {
            Operation::CaCerts | Operation::CsrAttrs => "GET",
            Operation::SimpleEnroll
            | Operation::SimpleReenroll
            | Operation::ServerKeygen
            | Operation::FullCmc => "POST",
        }
    }

    fn from_name(name: &str) -> Option<Operation> {
        Operation::ALL
            .into_iter()
            .find(|operation| operation.name() == name)
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A label: 1 to 64 of `A-Z a-z 0-9 . _ -`, and not the name of an operation (RFC 7030
/// section 3.2.2 forbids those).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Label(String);

impl Label {
    /// Checks a label given as plain text.
    pub fn new(text: &str) -> Result<Label, Error> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
        let dots = text == "." || text == ".."; // path steps, never names
        if text.is_empty() || text.len() > LABEL_CHARS_MAX || dots || !text.bytes().all(plain) {
            return Err(Error::Malformed {
                what: "a label is 1 to 64 letters, digits, dots, underscores or hyphens",
            });
        }
        match Operation::from_name(text) {
            Some(_) => Err(Error::Malformed {
                what: "a label may not be the name of an operation",
            }),
            None => Ok(Label(text.to_owned())),
        }
    }

    /// The label's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One EST resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EstPath {
    /// The label, where one was given.
    pub label: Option<Label>,
    /// What is asked for.
    pub operation: Operation,
}

impl EstPath {
    /// Where every EST path starts.
    pub const ROOT: &'static str = "/.well-known/est";

    /// Reads the path of a request as it stood on the request line, without a query.
    ///
    /// [`Error::NotFound`] when it names no EST resource; [`Error::Malformed`] for a bad label or
    /// escape. An escaped slash is refused rather than decoded: whoever stands before us may have
    /// decoded it differently.
    pub fn parse(path: &str) -> Result<EstPath, Error> {
        let rest = path.strip_prefix(EstPath::ROOT).ok_or(Error::NotFound)?;
        let rest = rest.strip_prefix('/').ok_or(Error::NotFound)?;
        let (label, name) = match rest.split_once('/') {
            None => (None, rest),
            Some((label, name)) => (Some(label), name),
        };
        let operation = Operation::from_name(name).ok_or(Error::NotFound)?;
        let label = match label {
            None => None,
            Some(text) => Some(Label::new(&unescape(text)?)?),
        };
        Ok(EstPath { label, operation })
    }
}

impl fmt::Display for EstPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.label {
            None => write!(f, "{}/{}", EstPath::ROOT, self.operation),
            Some(label) => write!(f, "{}/{}/{}", EstPath::ROOT, label, self.operation),
        }
    }
}

/// Undoes percent-escapes, once (RFC 3986 section 2.1).
fn unescape(text: &str) -> Result<String, Error> {
    const BAD: Error = Error::Malformed {
        what: "a percent-escape in the path is not two hex digits",
    };
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '%' {
            plain.push(c);
            continue;
        }
        let high = chars.next().and_then(|c| c.to_digit(16)).ok_or(BAD)?;
        let low = chars.next().and_then(|c| c.to_digit(16)).ok_or(BAD)?;
        match char::from_u32(high * 16 + low) {
            Some('/' | '\\') => {
                return Err(Error::Malformed {
                    what: "an escaped slash in the path is refused",
                });
            }
            Some(c) if c.is_ascii() => plain.push(c),
            _ => {
                return Err(Error::Malformed {
                    what: "a label is plain ASCII",
                });
            }
        }
    }
    Ok(plain)
}
