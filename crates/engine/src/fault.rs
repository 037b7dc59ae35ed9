//! How the engine says no: a refusal the other side may be told, or a fault of ours it may not.

use std::fmt;

use tenure_domain::Refusal;
use tenure_domain::draft::DraftError;
use tenure_store::{SealError, StoreError};

use crate::signer::SignError;

/// Why a verb did not do what was asked.
#[derive(Debug)]
pub enum Rejection {
    /// We say no.
    Refusal(Refusal),
    /// We failed.
    Fault(Fault),
}

/// Ours. Logged whole with its id; the other side is shown the id only.
#[derive(Debug)]
pub struct Fault {
    /// What the other side is shown, to find the line in our log.
    pub id: String,
    /// What failed.
    pub cause: FaultCause,
}

/// What failed.
#[derive(Debug)]
pub enum FaultCause {
    /// The store.
    Store(StoreError),
    /// The checkpoint could not be put in place.
    Seal(SealError),
    /// A key.
    Sign(SignError),
    /// A draft that is not one we would sign.
    Draft(DraftError),
    /// The clock is behind what is already recorded, by so many seconds.
    ClockSetBack(i64),
    /// A file.
    File {
        /// What we were doing.
        doing: &'static str,
        /// The error.
        error: std::io::Error,
    },
    /// No random bytes could be had.
    NoChance,
    /// A stored value does not read back.
    Corrupt(&'static str),
    /// A key that a record names is not in the keyring.
    NoKey(String),
    /// The key under this name is not the one in its issuer's certificate.
    OtherKey(String),
    /// A canary could not be made.
    Canary(tenure_x509::Error),
}

impl From<tenure_x509::Error> for FaultCause {
    fn from(error: tenure_x509::Error) -> FaultCause {
        FaultCause::Canary(error)
    }
}

impl FaultCause {
    /// Whether it may be over by itself or by an operator's hand, so that whoever asked should come
    /// back: a full disk, a signer that is away.
    pub fn passes(&self) -> bool {
        match self {
            FaultCause::ClockSetBack(_) | FaultCause::Sign(_) | FaultCause::NoKey(_) => true,
            FaultCause::Store(error) => error.passes(),
            FaultCause::Seal(_)
            | FaultCause::Draft(_)
            | FaultCause::File { .. }
            | FaultCause::NoChance
            | FaultCause::Corrupt(_)
            | FaultCause::OtherKey(_)
            | FaultCause::Canary(_) => false,
        }
    }
}

impl fmt::Display for FaultCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FaultCause::Store(_) => f.write_str("the store failed"),
            FaultCause::Seal(_) => f.write_str("the record was not sealed"),
            FaultCause::Sign(_) => f.write_str("signing failed"),
            FaultCause::Draft(_) => f.write_str("the certificate was not made"),
            FaultCause::ClockSetBack(seconds) => write!(
                f,
                "the clock is {seconds} s behind the last recorded event; nothing is signed until it \
                 is right (set the clock, or wait until it has caught up)"
            ),
            FaultCause::File { doing, .. } => write!(f, "{doing} failed"),
            FaultCause::NoChance => f.write_str("the system gave no random bytes"),
            FaultCause::Corrupt(what) => write!(f, "the stored {what} does not read back"),
            FaultCause::Canary(_) => f.write_str("a canary was not made"),
            FaultCause::NoKey(name) => write!(f, "the key {name} is not in the keyring"),
            FaultCause::OtherKey(name) => write!(
                f,
                "the key {name} is not the one in its issuer's certificate; put back the key \
                 directory that belongs to this data directory"
            ),
        }
    }
}

impl std::error::Error for FaultCause {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            FaultCause::Store(error) => Some(error),
            FaultCause::Seal(error) => Some(error),
            FaultCause::Sign(error) => Some(error),
            FaultCause::Draft(error) => Some(error),
            FaultCause::Canary(error) => Some(error),
            FaultCause::File { error, .. } => Some(error),
            FaultCause::ClockSetBack(_)
            | FaultCause::NoChance
            | FaultCause::Corrupt(_)
            | FaultCause::NoKey(_)
            | FaultCause::OtherKey(_) => None,
        }
    }
}

impl Fault {
    /// Gives a cause its id and writes it to the log.
    pub fn new(cause: FaultCause) -> Fault {
        let id = crate::chance::bytes::<6>().map(|b| tenure_domain::text::hex(&b));
        let id = id.unwrap_or_else(|_| "none".to_owned());
        tracing::error!(fault = %id, "{}", Chain(&cause));
        Fault { id, cause }
    }
}

/// An error with all its sources on one line.
pub struct Chain<'a>(pub &'a dyn std::error::Error);

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut next = self.0.source();
        while let Some(error) = next {
            write!(f, ": {error}")?;
            next = error.source();
        }
        Ok(())
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Rejection::Refusal(refusal) => refusal.fmt(f),
            Rejection::Fault(fault) => write!(f, "{} (fault {})", fault.cause, fault.id),
        }
    }
}

impl std::error::Error for Rejection {}

impl From<Refusal> for Rejection {
    fn from(refusal: Refusal) -> Rejection {
        Rejection::Refusal(refusal)
    }
}

impl From<FaultCause> for Rejection {
    fn from(cause: FaultCause) -> Rejection {
        Rejection::Fault(Fault::new(cause))
    }
}

impl From<StoreError> for Rejection {
    fn from(error: StoreError) -> Rejection {
        match error {
            // Somebody's words are too many; nothing of ours is amiss.
            StoreError::TooLong(_) => Refusal::BadRequest {
                what: error.to_string(),
            }
            .into(),
            error => FaultCause::Store(error).into(),
        }
    }
}

impl From<SignError> for Rejection {
    fn from(error: SignError) -> Rejection {
        FaultCause::Sign(error).into()
    }
}

impl From<DraftError> for Rejection {
    fn from(error: DraftError) -> Rejection {
        FaultCause::Draft(error).into()
    }
}
