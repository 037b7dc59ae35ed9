use std::fmt;

/// What is wrong with a piece of a log, by blame. Texts are fixed: nothing hostile is echoed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// The bytes or text do not have the form the specification demands.
    Malformed(&'static str),
    /// The form is right and beyond what this crate accepts (a limit).
    Unsupported(&'static str),
    /// Well-formed, but it does not agree with the hashes or keys it was checked against.
    Inconsistent(&'static str),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(what) => write!(f, "malformed: {what}"),
            Self::Unsupported(what) => write!(f, "not supported: {what}"),
            Self::Inconsistent(what) => write!(f, "inconsistent: {what}"),
        }
    }
}

impl std::error::Error for Error {}
