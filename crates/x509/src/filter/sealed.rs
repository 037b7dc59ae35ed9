//! What full filters and deltas have in common: who made them, in which order, until when they may
//! be used, and the issuer's signature around it.

use crate::der::{Reader, Rules, Writer, tag};
use crate::{Error, KeyHash, PublicKey, SignatureAlgorithm, Time, sha256};

/// What stands first in what is signed, so that it can be read as nothing else that an issuer
/// signs: certificates and lists begin with a number or `[0]`.
pub(super) const FULL: &str = "tenure-filter-1";
pub(super) const DELTA: &str = "tenure-filter-delta-1";

/// A part that an issuer has to sign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToSeal {
    tbs: Vec<u8>,
    signature: SignatureAlgorithm,
}

impl ToSeal {
    pub(super) fn new(signature: SignatureAlgorithm, write: impl FnOnce(&mut Writer)) -> Self {
        let mut tbs = Writer::new();
        tbs.sequence(write);
        Self {
            tbs: tbs.finish(),
            signature,
        }
    }

    /// The octets to be signed.
    #[must_use]
    pub fn message(&self) -> &[u8] {
        &self.tbs
    }

    /// The whole, with the issuer's signature over [`ToSeal::message`].
    ///
    /// # Errors
    /// `Unsupported` if the signature algorithm is unknown to us.
    pub fn with_signature(&self, signature: &[u8]) -> Result<Vec<u8>, Error> {
        let algorithm = self.signature.as_der()?;
        let mut whole = Writer::with_capacity(self.tbs.len() + algorithm.len() + 600);
        whole.sequence(|parts| {
            parts.raw(&self.tbs);
            parts.raw(algorithm);
            parts.octet_bits(signature);
        });
        Ok(whole.finish())
    }
}

/// What stands at the front of both kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) issuer: KeyHash,
    pub(super) sequence: u64,
    pub(super) epoch: u64,
    pub(super) created: Time,
    pub(super) next_update: Time,
}

impl Head {
    pub(super) fn write(&self, label: &str, writer: &mut Writer) {
        writer.tlv(tag::PRINTABLE_STRING, label.as_bytes());
        writer.octet_string(&self.issuer.0);
        writer.unsigned(self.sequence);
        writer.unsigned(self.epoch);
        seconds(self.created, writer);
        seconds(self.next_update, writer);
    }

    pub(super) fn read(
        label: &str,
        fields: &mut Reader<'_>,
        what: &'static str,
    ) -> Result<Self, Error> {
        if fields.expect(tag::PRINTABLE_STRING, what)?.value != label.as_bytes() {
            return Err(Error::unsupported("a filter of another kind or version"));
        }
        let head = Self {
            issuer: KeyHash(octets32(fields, what)?),
            sequence: number(fields, what)?,
            epoch: number(fields, what)?,
            created: time(fields, what)?,
            next_update: time(fields, what)?,
        };
        if head.next_update < head.created {
            return Err(Error::inconsistent("a filter that ends before it begins"));
        }
        Ok(head)
    }
}

/// What was read and not yet verified: the parts around the signed one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seal {
    tbs: Vec<u8>,
    algorithm: SignatureAlgorithm,
    signature: Vec<u8>,
}

impl Seal {
    /// Splits the whole; `read` gets the contents of the signed part, which it must use up.
    pub(super) fn open<T>(
        der: &[u8],
        what: &'static str,
        read: impl FnOnce(&mut Reader<'_>) -> Result<T, Error>,
    ) -> Result<(Self, T), Error> {
        let mut whole = Reader::new(der, Rules::Der);
        let mut parts = whole.sequence(what)?;
        whole.finish(what)?;
        let tbs = parts.expect(tag::SEQUENCE, what)?;
        let algorithm = SignatureAlgorithm::from_tlv(parts.expect(tag::SEQUENCE, what)?);
        let signature = parts.octet_bits(what)?;
        parts.finish(what)?;
        let mut fields = tbs.reader();
        let found = read(&mut fields)?;
        fields.finish(what)?;
        let seal = Self {
            tbs: tbs.raw.to_vec(),
            algorithm,
            signature: signature.to_vec(),
        };
        Ok((seal, found))
    }

    pub(super) fn verify(&self, key: &PublicKey) -> Result<(), Error> {
        if !self.algorithm.is_strong() {
            return Err(Error::unsupported("a weak or unknown signature algorithm"));
        }
        key.verify(self.algorithm, &self.tbs, &self.signature)
    }

    /// The name of what is signed: the SHA-256 of the signed part.
    pub(super) fn id(&self) -> [u8; 32] {
        sha256(&self.tbs)
    }
}

/// Times are Unix seconds here, never before 1970: they are compared, not shown.
pub(super) fn seconds(at: Time, writer: &mut Writer) {
    writer.unsigned(u64::try_from(at.unix()).unwrap_or(0));
}

pub(super) fn time(fields: &mut Reader<'_>, what: &'static str) -> Result<Time, Error> {
    let offset = fields.offset();
    let fail = Error::malformed_at(what, offset);
    let seconds = i64::try_from(number(fields, what)?).map_err(|_| fail)?;
    let at = Time::from_unix(seconds);
    if at.unix() == seconds {
        Ok(at)
    } else {
        Err(fail)
    }
}

/// A non-negative INTEGER of at most 64 bits.
pub(super) fn number(fields: &mut Reader<'_>, what: &'static str) -> Result<u64, Error> {
    let offset = fields.offset();
    let fail = Error::malformed_at(what, offset);
    let octets = fields.integer(what)?;
    let digits = match octets {
        [first, ..] if first & 0x80 != 0 => return Err(fail),
        [0, rest @ ..] => rest,
        all => all,
    };
    if digits.len() > 8 {
        return Err(fail);
    }
    Ok(digits
        .iter()
        .fold(0, |sum, octet| sum << 8 | u64::from(*octet)))
}

pub(super) fn octets32(fields: &mut Reader<'_>, what: &'static str) -> Result<[u8; 32], Error> {
    let offset = fields.offset();
    let octets = fields.expect(tag::OCTET_STRING, what)?.value;
    octets
        .try_into()
        .map_err(|_| Error::malformed_at(what, offset))
}
