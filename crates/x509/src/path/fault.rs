//! Why there is no valid path.

use core::fmt;

use crate::{Flaw, ObjectIdentifier};

/// What is wrong, and with which certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PathError {
    /// How far from the leaf: 0 is the leaf, 1 its issuer.
    pub depth: usize,
    /// What is wrong there.
    pub fault: PathFault,
}

/// What may be wrong with a certificate on a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathFault {
    /// Nothing offered or trusted carries its issuer's name.
    UnknownIssuer,
    /// It has ended.
    Expired,
    /// It has not begun.
    NotYetValid,
    /// Its signature is not by its issuer's key.
    BadSignature,
    /// It is signed in a way, or holds a key, on which one cannot rely.
    WeakOrUnknownAlgorithm,
    /// It is flawed in a way that makes its meaning doubtful.
    Flawed(Flaw),
    /// It has a critical extension that we do not understand.
    UnknownCriticalExtension(ObjectIdentifier),
    /// It requires a certificate policy; we process none.
    PolicyRequired,
    /// It issued another and is no CA's.
    NotCa,
    /// It is a CA's and should be an end entity's.
    IsCa,
    /// Its key usage does not allow what it is used for.
    WrongKeyUsage,
    /// Its purposes do not include the one asked for.
    WrongPurpose,
    /// More CAs are below it than it allows.
    PathLengthExceeded,
    /// A CA above it does not allow one of its names.
    NameNotPermitted,
    /// Its name constraints are malformed or of a kind that we cannot apply.
    BadNameConstraints,
    /// The path is longer than we follow.
    TooLong,
    /// More intermediates were offered than we look at.
    TooManyOffered,
    /// More signatures would have to be checked than we do.
    TooManySignatures,
    /// More names would have to be compared with constraints than we do.
    TooManyNames,
}

impl PathFault {
    pub(super) const fn at(self, depth: usize) -> PathError {
        PathError { depth, fault: self }
    }
}

impl PathError {
    /// How telling it is: exhaustion above all, then what was found out last.
    pub(super) const fn rank(&self) -> (u8, usize) {
        let weight = match self.fault {
            PathFault::UnknownIssuer => 0,
            PathFault::TooManySignatures | PathFault::TooManyNames => 2,
            _ => 1,
        };
        (weight, self.depth)
    }
}

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.depth {
            0 => write!(f, "the certificate: {}", self.fault),
            1 => write!(f, "its issuer: {}", self.fault),
            depth => write!(f, "the CA {depth} steps above it: {}", self.fault),
        }
    }
}

impl core::error::Error for PathError {}

impl fmt::Display for PathFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::UnknownIssuer => "no trusted or offered certificate is its issuer",
            Self::Expired => "expired",
            Self::NotYetValid => "not yet valid",
            Self::BadSignature => "the signature is not its issuer's",
            Self::WeakOrUnknownAlgorithm => "a weak or unknown algorithm or key",
            Self::Flawed(flaw) => return write!(f, "{flaw}"),
            Self::UnknownCriticalExtension(oid) => {
                return write!(f, "unknown critical extension {oid}");
            }
            Self::PolicyRequired => "it requires a certificate policy",
            Self::NotCa => "not a CA",
            Self::IsCa => "a CA where a device or server should be",
            Self::WrongKeyUsage => "the key usage does not allow this",
            Self::WrongPurpose => "not for this purpose",
            Self::PathLengthExceeded => "more CAs below it than it allows",
            Self::NameNotPermitted => "a name that a CA above it does not allow",
            Self::BadNameConstraints => "name constraints that cannot be applied",
            Self::TooLong => "the path is too long",
            Self::TooManyOffered => "too many intermediates offered",
            Self::TooManySignatures => "too many signatures to check",
            Self::TooManyNames => "too many names to compare",
        };
        f.write_str(text)
    }
}
