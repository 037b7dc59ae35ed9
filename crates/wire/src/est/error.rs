//! What can be wrong with an EST message.

use std::fmt;

/// Why an EST message was not understood. The text may be shown to the other side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// The octets are not what their label says.
    Malformed {
        /// Which part, and what is wrong with it.
        what: &'static str,
    },
    /// The body or a field is longer than we read.
    TooLarge {
        /// Which part.
        what: &'static str,
        /// The most octets accepted.
        bytes_max: usize,
    },
    /// The media type is missing or not the one this operation takes.
    Media {
        /// The media type this operation takes.
        expected: &'static str,
    },
    /// Well formed, but something we do not speak.
    Unsupported {
        /// Which part.
        what: &'static str,
    },
    /// There is no such EST resource.
    NotFound,
}

impl Error {
    /// The HTTP status that says this to a client (RFC 7030 section 4.2.3, RFC 9110).
    pub fn status(&self) -> u16 {
        match self {
            Error::Malformed { .. } | Error::Unsupported { .. } => 400,
            Error::NotFound => 404,
            Error::TooLarge { .. } => 413,
            Error::Media { .. } => 415,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Malformed { what } => write!(f, "malformed: {what}"),
            Error::TooLarge { what, bytes_max } => {
                write!(
                    f,
                    "{what} is too large: at most {bytes_max} bytes are accepted"
                )
            }
            Error::Media { expected } => write!(f, "wrong media type: send {expected}"),
            Error::Unsupported { what } => write!(f, "not supported: {what}"),
            Error::NotFound => write!(f, "no such EST resource"),
        }
    }
}

impl std::error::Error for Error {}
