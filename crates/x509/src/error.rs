//! The one error of this crate: what is wrong with the bytes, by blame.

use core::fmt;

/// Why bytes were not accepted, or a thing could not be built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The bytes are not what the standard says they must be.
    Malformed {
        /// The structure or field that was being read.
        what: &'static str,
        /// Where in the input, in octets, when it is known.
        offset: Option<usize>,
    },
    /// The bytes may be right, but we do not do this.
    Unsupported {
        /// What we do not do.
        what: &'static str,
    },
    /// Each part is well formed, but the parts contradict each other.
    Inconsistent {
        /// What does not fit.
        what: &'static str,
    },
    /// The passphrase does not open this key.
    WrongPassphrase,
}

impl Error {
    pub(crate) const fn malformed(what: &'static str) -> Self {
        Self::Malformed { what, offset: None }
    }

    pub(crate) const fn malformed_at(what: &'static str, offset: usize) -> Self {
        Self::Malformed {
            what,
            offset: Some(offset),
        }
    }

    pub(crate) const fn unsupported(what: &'static str) -> Self {
        Self::Unsupported { what }
    }

    pub(crate) const fn inconsistent(what: &'static str) -> Self {
        Self::Inconsistent { what }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed {
                what,
                offset: Some(offset),
            } => write!(f, "malformed {what} at octet {offset}"),
            Self::Malformed { what, offset: None } => write!(f, "malformed {what}"),
            Self::Unsupported { what } => write!(f, "not supported: {what}"),
            Self::Inconsistent { what } => write!(f, "inconsistent: {what}"),
            Self::WrongPassphrase => write!(f, "the passphrase does not open this key"),
        }
    }
}

impl core::error::Error for Error {}
