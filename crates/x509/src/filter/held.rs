//! What a receiver holds: a verified filter with its newest delta, and the rule by which it lets go
//! of neither for anything older.

use std::sync::Arc;

use super::build::Body;
use super::sealed::Head;
use super::{Answer, Coverage, Delta};
use crate::{Cert, Error, PublicKey, Serial, Time, Validity};

/// How far the issuer's clock may be ahead of ours, in seconds.
const CLOCK_SKEW_S: i64 = 300;

/// The newest filter or delta that was accepted from an issuer. A receiver writes it down, and
/// accepts nothing older ever after: neither when it starts again, nor from another carrier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// The issuer's sequence number.
    pub sequence: u64,
    /// The SHA-256 of the signed part.
    pub id: [u8; 32],
}

impl Accepted {
    /// Whether `next` may be accepted after this: it is the same, or newer.
    #[must_use]
    pub fn admits(&self, next: &Self) -> bool {
        next.sequence > self.sequence || next == self
    }
}

/// A full filter and perhaps a delta to it, both verified. Cheap to clone. It answers nothing by
/// itself: [`Held::current`] does.
#[derive(Clone, Debug)]
pub struct Held {
    issuer: PublicKey,
    full: Accepted,
    head: Head,
    body: Arc<Body>,
    delta: Option<Arc<Delta>>,
}

impl Held {
    pub(super) fn new(issuer: PublicKey, id: [u8; 32], head: Head, body: Arc<Body>) -> Self {
        let full = Accepted {
            sequence: head.sequence,
            id,
        };
        Self {
            issuer,
            full,
            head,
            body,
            delta: None,
        }
    }

    /// The same full filter with this delta instead of the one it had.
    ///
    /// # Errors
    /// `Inconsistent` if the delta is to another filter, of another issuer, not signed by it, or
    /// older than what is held; `Unsupported` if its signature is.
    pub fn with_delta(&self, delta: Delta) -> Result<Self, Error> {
        delta.verify(&self.issuer)?;
        if delta.base != self.full.id {
            return Err(Error::inconsistent("a delta to another filter"));
        }
        let next = Accepted {
            sequence: delta.head.sequence,
            id: delta.id(),
        };
        if !self.accepted().admits(&next) {
            return Err(Error::inconsistent("a delta older than the one held"));
        }
        Ok(Self {
            delta: Some(Arc::new(delta)),
            ..self.clone()
        })
    }

    /// What must be written down once this is in use.
    #[must_use]
    pub fn accepted(&self) -> Accepted {
        match &self.delta {
            None => self.full,
            Some(delta) => Accepted {
                sequence: delta.head.sequence,
                id: delta.id(),
            },
        }
    }

    /// The full filter's name: deltas to it bear it.
    #[must_use]
    pub fn full(&self) -> Accepted {
        self.full
    }

    /// The version of the set that it renders.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.newest().epoch
    }

    /// For when it speaks.
    #[must_use]
    pub fn created(&self) -> Time {
        self.newest().created
    }

    /// Until when it may be used.
    #[must_use]
    pub fn next_update(&self) -> Time {
        self.newest().next_update
    }

    /// What it speaks for.
    #[must_use]
    pub fn coverage(&self) -> Coverage {
        self.body.coverage()
    }

    #[cfg(test)]
    pub(super) fn body(&self) -> &Body {
        &self.body
    }

    fn newest(&self) -> &Head {
        self.delta.as_ref().map_or(&self.head, |delta| &delta.head)
    }

    /// Lets it be asked, if it may be used at `at` and is not older than what was accepted before.
    ///
    /// # Errors
    /// `Inconsistent` if it is of the future, has run out, or is older.
    pub fn current(&self, at: Time, since: Option<Accepted>) -> Result<Current<'_>, Error> {
        if since.is_some_and(|since| !since.admits(&self.accepted())) {
            return Err(Error::inconsistent("a filter older than one seen before"));
        }
        if self.created() > at.plus(CLOCK_SKEW_S) {
            return Err(Error::inconsistent("a filter of the future"));
        }
        if at > self.next_update() {
            return Err(Error::inconsistent("a filter that has run out"));
        }
        Ok(Current(self))
    }
}

/// A filter that was verified, may be used now, and is the newest known.
#[derive(Clone, Copy, Debug)]
pub struct Current<'a>(&'a Held);

impl Current<'_> {
    /// What it says of a certificate that the filter's issuer has signed, as path validation found.
    #[must_use]
    pub fn ask(&self, cert: &Cert) -> Answer {
        self.answer(cert.serial(), cert.validity())
    }

    /// The same of a serial and validity.
    #[must_use]
    pub fn answer(&self, serial: &Serial, validity: Validity) -> Answer {
        let answer = self.0.body.answer(serial, validity);
        let delta = self.0.delta.as_ref();
        match answer {
            Answer::NotCovered => answer,
            Answer::Good | Answer::Revoked if !delta.is_some_and(|delta| delta.flips(serial)) => {
                answer
            }
            Answer::Good => Answer::Revoked,
            Answer::Revoked => Answer::Good,
        }
    }
}
