//! How a command can end. The codes are part of the interface: docs/cli.md lists them.

use std::fmt;

use crate::problem::Problem;
use crate::start::StartError;

/// Why a command did not do what was asked.
#[derive(Debug)]
pub enum Failure {
    /// Code 1: it was understood and refused, or it failed, or a check found something wrong.
    Failed(String),
    /// Code 1, from the server.
    Refused(Box<Problem>),
    /// Code 2: the command line itself is wrong. (Clap ends with the same code.)
    Usage(String),
    /// Code 3: what was named does not exist.
    NotFound(String),
    /// Code 4: no server was found, it cannot be reached or does not answer, or it is not
    /// the one it should be.
    Unreachable(String),
    /// Code 5: no token, a wrong one, or its role is not enough.
    Denied(String),
    /// Code 6: this needs `--yes`.
    NotAgreed(String),
    /// Codes 10 to 16: a data directory could not be made or served.
    Start(StartError),
    /// Code 141, as of a program that SIGPIPE ended: whoever read the output has gone.
    Unread,
}

impl Failure {
    /// A failure in words.
    pub fn failed(what: impl fmt::Display) -> Failure {
        Failure::Failed(what.to_string())
    }

    /// The same with `hint` on a line of its own, where no answer came.
    pub fn hinted(self, hint: &str) -> Failure {
        match self {
            Failure::Unreachable(what) => Failure::Unreachable(format!("{what}\n{hint}")),
            other => other,
        }
    }

    /// The exit code.
    pub fn code(&self) -> u8 {
        match self {
            Failure::Failed(_) | Failure::Refused(_) => 1,
            Failure::Usage(_) => 2,
            Failure::NotFound(_) => 3,
            Failure::Unreachable(_) => 4,
            Failure::Denied(_) => 5,
            Failure::NotAgreed(_) => 6,
            Failure::Start(error) => error.code(),
            Failure::Unread => 141,
        }
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Failure {
        Failure::Start(error)
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Failure {
        match problem.status {
            401 | 403 => Failure::Denied(problem.to_string()),
            404 => Failure::NotFound(problem.detail.unwrap_or(problem.title)),
            _ => Failure::Refused(Box::new(problem)),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Refused(problem) => problem.fmt(f),
            Failure::Start(error) => error.fmt(f),
            Failure::Unread => f.write_str("nobody reads the output"),
            Failure::Failed(what)
            | Failure::Usage(what)
            | Failure::NotFound(what)
            | Failure::Unreachable(what)
            | Failure::Denied(what)
            | Failure::NotAgreed(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for Failure {}
