//! A full filter as octets.

use std::sync::Arc;

use super::build::{Body, Listing};
use super::ribbon::Ribbon;
use super::sealed::{FULL, Head, Seal, ToSeal, number, seconds, time};
use super::{Coverage, FILTER_OCTETS_MAX, Held};
use crate::der::{Reader, Writer, tag};
use crate::{Error, KeyHash, PublicKey, SignatureAlgorithm, Time};

const WHAT: &str = "revocation filter";

/// A full filter to be made from a [`Body`].
#[derive(Clone, Copy, Debug)]
pub struct FullSpec<'a> {
    /// Whose certificates it speaks for: the SHA-256 of the issuer's SubjectPublicKeyInfo.
    pub issuer: KeyHash,
    /// What it is signed with.
    pub signature: SignatureAlgorithm,
    /// Its place among all filters and deltas of the issuer; never used again.
    pub sequence: u64,
    /// The version of the set it renders.
    pub epoch: u64,
    /// Until when it may be used.
    pub next_update: Time,
    /// What it says.
    pub body: &'a Body,
}

impl FullSpec<'_> {
    /// What the issuer's key has to sign.
    #[must_use]
    pub fn to_seal(&self) -> ToSeal {
        let Body {
            coverage,
            listing,
            approximate,
            exact,
        } = self.body;
        let head = Head {
            issuer: self.issuer,
            sequence: self.sequence,
            epoch: self.epoch,
            created: coverage.at,
            next_update: self.next_update,
        };
        ToSeal::new(self.signature, |tbs| {
            head.write(FULL, tbs);
            seconds(coverage.from, tbs);
            seconds(coverage.to, tbs);
            tbs.unsigned(match listing {
                Listing::Revoked => 0,
                Listing::Good => 1,
            });
            write_ribbon(approximate, tbs);
            write_ribbon(exact, tbs);
        })
    }
}

/// A full filter as found. Nothing is believed before [`Full::verify`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Full {
    seal: Seal,
    head: Head,
    body: Arc<Body>,
}

impl Full {
    /// Reads a full filter, strictly: there is one encoding of each.
    ///
    /// # Errors
    /// `Malformed` if it is none, `Unsupported` if it is too large or of another version,
    /// `Inconsistent` if its parts do not fit together.
    pub fn from_der(der: &[u8]) -> Result<Self, Error> {
        if der.len() > FILTER_OCTETS_MAX {
            return Err(Error::unsupported("a revocation filter over 64 MiB"));
        }
        let (seal, (head, body)) = Seal::open(der, WHAT, |fields| {
            let head = Head::read(FULL, fields, WHAT)?;
            let (from, to) = (time(fields, WHAT)?, time(fields, WHAT)?);
            let listing = match number(fields, WHAT)? {
                0 => Listing::Revoked,
                1 => Listing::Good,
                _ => return Err(Error::malformed(WHAT)),
            };
            let approximate = read_ribbon(fields)?;
            let exact = read_ribbon(fields)?;
            if exact.columns() > 1 || (exact.is_empty() && !approximate.is_empty()) {
                return Err(Error::inconsistent("a filter of systems that do not fit"));
            }
            let body = Body {
                coverage: Coverage {
                    from,
                    to,
                    at: head.created,
                },
                listing,
                approximate,
                exact,
            };
            Ok((head, body))
        })?;
        Ok(Self {
            seal,
            head,
            body: Arc::new(body),
        })
    }

    /// Checks that it is this issuer's and that the issuer signed it.
    ///
    /// # Errors
    /// `Inconsistent` if it is not, `Unsupported` if the signature is weak or of an unknown kind.
    pub fn verify(self, issuer: &PublicKey) -> Result<Held, Error> {
        if self.head.issuer != issuer.hash() {
            return Err(Error::inconsistent("a filter of another issuer"));
        }
        self.seal.verify(issuer)?;
        Ok(Held::new(issuer.clone(), self.id(), self.head, self.body))
    }

    /// Its name, by which deltas refer to it: the SHA-256 of its signed part.
    #[must_use]
    pub fn id(&self) -> [u8; 32] {
        self.seal.id()
    }

    /// Its place among all filters and deltas of the issuer.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.head.sequence
    }

    /// The version of the set it renders.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.head.epoch
    }

    /// When it was made.
    #[must_use]
    pub fn created(&self) -> Time {
        self.head.created
    }

    /// Until when it may be used.
    #[must_use]
    pub fn next_update(&self) -> Time {
        self.head.next_update
    }

    /// What it says, unverified.
    #[must_use]
    pub fn body(&self) -> &Body {
        &self.body
    }
}

fn write_ribbon(ribbon: &Ribbon, writer: &mut Writer) {
    writer.sequence(|parts| {
        parts.unsigned(ribbon.salt());
        parts.unsigned(ribbon.unknowns());
        parts.unsigned(u64::from(ribbon.columns()));
        parts.octet_string(ribbon.bits());
    });
}

fn read_ribbon(fields: &mut Reader<'_>) -> Result<Ribbon, Error> {
    let mut parts = fields.sequence(WHAT)?;
    let salt = number(&mut parts, WHAT)?;
    let unknowns = number(&mut parts, WHAT)?;
    let columns = parts.small_unsigned(WHAT)?;
    let bits = parts.expect(tag::OCTET_STRING, WHAT)?.value;
    parts.finish(WHAT)?;
    Ribbon::from_parts(salt, unknowns, columns, bits).ok_or(Error::inconsistent(
        "a filter whose systems have no such size",
    ))
}
