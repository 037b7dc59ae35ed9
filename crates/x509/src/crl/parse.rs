//! Reading lists, ours and those of others, without making an object of each entry.

use std::ops::Range;
use std::sync::Arc;

use super::{
    CRL_NUMBER, DELTA_CRL_INDICATOR, Holds, INVALIDITY_DATE, ISSUING_DISTRIBUTION_POINT,
    REASON_CODE, Scope,
};
use crate::der::{ObjectIdentifier, Reader, Rules, Tlv, tag};
use crate::oid::AUTHORITY_KEY_ID;
use crate::{Error, Name, PublicKey, Reason, Serial, SignatureAlgorithm, Time};

const WHAT: &str = "revocation list";

/// A certificate revocation list as found. Nothing is believed before [`Crl::verify`].
///
/// It keeps the octets and reads entries from them each time: a lookup takes time in proportion
/// to the list, memory does not. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Crl {
    der: Arc<[u8]>,
    tbs: Range<usize>,
    entries: Range<usize>,
    signature: Range<usize>,
    algorithm: SignatureAlgorithm,
    issuer: Name,
    this_update: Time,
    next_update: Option<Time>,
    number: Option<u64>,
    authority_key_id: Option<Vec<u8>>,
    scope: Scope,
    unusual: Option<&'static str>,
    delta_to: Option<u64>,
}

/// One entry of a list as found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revoked {
    /// The serial number.
    pub serial: Serial,
    /// When it was revoked.
    pub revoked_at: Time,
    /// Why; an absent or unknown code is unspecified.
    pub reason: Reason,
    /// Since when the key was suspected.
    pub invalid_since: Option<Time>,
}

impl Crl {
    /// Reads a list, tolerantly: BER lengths, missing fields and unknown extensions are accepted.
    ///
    /// # Errors
    /// `Malformed` if it is no CertificateList.
    pub fn from_der(der: &[u8]) -> Result<Self, Error> {
        let der: Arc<[u8]> = der.into();
        let mut whole = Reader::new(&der, Rules::Ber);
        let mut list = whole.sequence(WHAT)?;
        whole.finish(WHAT)?;
        let tbs = list.expect(tag::SEQUENCE, WHAT)?;
        let algorithm = SignatureAlgorithm::from_tlv(list.expect(tag::SEQUENCE, WHAT)?);
        let signature = list.octet_bits(WHAT)?;
        list.finish(WHAT)?;

        let mut fields = tbs.reader();
        fields.optional(tag::INTEGER, WHAT)?;
        let inner = SignatureAlgorithm::from_tlv(fields.expect(tag::SEQUENCE, WHAT)?);
        if inner != algorithm {
            return Err(Error::inconsistent(
                "the list names two signature algorithms",
            ));
        }
        let issuer = Name::from_tlv(fields.expect(tag::SEQUENCE, WHAT)?)?;
        let this_update = Time::from_tlv(fields.any(WHAT)?, Rules::Ber, WHAT)?;
        let next_update = match fields.peek() {
            Some(tag::UTC_TIME | tag::GENERALIZED_TIME) => {
                Some(Time::from_tlv(fields.any(WHAT)?, Rules::Ber, WHAT)?)
            }
            _ => None,
        };
        let entries = fields.optional(tag::SEQUENCE, WHAT)?;
        let extensions = fields.optional(tag::context_constructed(0), WHAT)?;
        fields.finish(WHAT)?;

        let mut crl = Self {
            tbs: range_of(&der, tbs.raw),
            entries: entries.map_or(0..0, |entries| range_of(&der, entries.value)),
            signature: range_of(&der, signature),
            algorithm,
            issuer,
            this_update,
            next_update,
            number: None,
            authority_key_id: None,
            scope: Scope::everything(),
            unusual: None,
            delta_to: None,
            der: Arc::clone(&der),
        };
        if let Some(tagged) = extensions {
            let mut extensions = tagged.reader().sequence(WHAT)?;
            while !extensions.is_empty() {
                crl.read_extension(extensions.sequence(WHAT)?)?;
            }
        }
        Ok(crl)
    }

    fn read_extension(&mut self, extension: Reader<'_>) -> Result<(), Error> {
        let (oid, critical, value) = read_extension(extension)?;
        let mut value = Reader::new(value, Rules::Ber);
        if oid == CRL_NUMBER {
            self.number = unsigned(value.integer(WHAT)?);
        } else if oid == AUTHORITY_KEY_ID {
            let mut fields = value.sequence(WHAT)?;
            let key_id = fields.optional(tag::context(0), WHAT)?;
            self.authority_key_id = key_id.map(|id| id.value.to_vec());
        } else if oid == ISSUING_DISTRIBUTION_POINT {
            self.read_scope(value.sequence(WHAT)?)?;
        } else if oid == DELTA_CRL_INDICATOR {
            match unsigned(value.integer(WHAT)?) {
                Some(base) => self.delta_to = Some(base),
                None => self.unusual = Some("a delta list to no number"),
            }
        } else if critical {
            self.unusual = Some("a list with an unknown critical extension");
        }
        Ok(())
    }

    fn read_scope(&mut self, mut point: Reader<'_>) -> Result<(), Error> {
        while !point.is_empty() {
            let field = point.any(WHAT)?;
            let set = field.value != [0];
            match field.tag {
                0xa0 => self.scope.urls = full_name(field)?,
                0x81 if set => self.scope.holds = Holds::UserCerts,
                0x82 if set => self.scope.holds = Holds::CaCerts,
                0x83 => self.unusual = Some("a list for some reasons only"),
                0x84 if set => self.unusual = Some("an indirect list"),
                0x85 if set => self.unusual = Some("a list of attribute certificates"),
                _ => {}
            }
        }
        Ok(())
    }

    /// Checks that this key signed the list.
    ///
    /// # Errors
    /// `Unsupported` if the key cannot check its algorithm, or the algorithm is weak;
    /// `Inconsistent` if the signature is not this key's.
    pub fn verify(&self, issuer: &PublicKey) -> Result<(), Error> {
        if !self.algorithm.is_strong() {
            return Err(Error::unsupported("a weak or unknown signature algorithm"));
        }
        issuer.verify(
            self.algorithm,
            self.part(&self.tbs),
            self.part(&self.signature),
        )
    }

    /// The list, octet for octet.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// Whose list it is.
    #[must_use]
    pub fn issuer(&self) -> &Name {
        &self.issuer
    }

    /// The key identifier of the issuer, if the list has one.
    #[must_use]
    pub fn authority_key_id(&self) -> Option<&[u8]> {
        self.authority_key_id.as_deref()
    }

    /// What it is signed with.
    #[must_use]
    pub fn signature_algorithm(&self) -> SignatureAlgorithm {
        self.algorithm
    }

    /// When it speaks for.
    #[must_use]
    pub fn this_update(&self) -> Time {
        self.this_update
    }

    /// When a newer one will be out at the latest.
    #[must_use]
    pub fn next_update(&self) -> Option<Time> {
        self.next_update
    }

    /// The cRLNumber; `None` if it is absent or beyond 64 bits.
    #[must_use]
    pub fn number(&self) -> Option<u64> {
        self.number
    }

    /// Which certificates it speaks for.
    #[must_use]
    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    /// Why absence from this list does not mean "not revoked", if it does not: it is a delta, an
    /// indirect or a partial list, or has a critical extension that is unknown to us.
    #[must_use]
    pub fn unusual(&self) -> Option<&'static str> {
        self.unusual.or(self.delta_to.map(|_| "a delta list"))
    }

    /// The number of the complete list that this is a delta to (RFC 5280 section 5.2.4); `None` if it
    /// is none, or is unusual in another way besides.
    #[must_use]
    pub fn delta_to(&self) -> Option<u64> {
        self.delta_to.filter(|_| self.unusual.is_none())
    }

    /// The entries, read one after the other. The first malformed one ends the reading.
    pub fn entries(&self) -> impl Iterator<Item = Result<Revoked, Error>> {
        let mut rest = Reader::new(self.part(&self.entries), Rules::Ber);
        let mut failed = false;
        std::iter::from_fn(move || {
            if failed || rest.is_empty() {
                return None;
            }
            let entry = rest.sequence(WHAT).and_then(read_entry);
            failed = entry.is_err();
            Some(entry)
        })
    }

    /// The entry of this serial, if there is one.
    ///
    /// # Errors
    /// `Malformed` if an entry is: then nothing can be said.
    pub fn find(&self, serial: &Serial) -> Result<Option<Revoked>, Error> {
        let mut rest = Reader::new(self.part(&self.entries), Rules::Ber);
        while !rest.is_empty() {
            let entry = rest.sequence(WHAT)?;
            if entry.clone().integer(WHAT)? == serial.as_bytes() {
                return read_entry(entry).map(Some);
            }
        }
        Ok(None)
    }

    fn part(&self, range: &Range<usize>) -> &[u8] {
        self.der.get(range.clone()).unwrap_or(&[])
    }
}

fn read_entry(mut fields: Reader<'_>) -> Result<Revoked, Error> {
    let serial = Serial::from_der_value(fields.integer(WHAT)?);
    let revoked_at = Time::from_tlv(fields.any(WHAT)?, Rules::Ber, WHAT)?;
    let mut entry = Revoked {
        serial,
        revoked_at,
        reason: Reason::Unspecified,
        invalid_since: None,
    };
    if let Some(extensions) = fields.optional(tag::SEQUENCE, WHAT)? {
        let mut extensions = extensions.reader();
        while !extensions.is_empty() {
            let (oid, _, value) = read_extension(extensions.sequence(WHAT)?)?;
            let mut value = Reader::new(value, Rules::Ber);
            if oid == REASON_CODE {
                let code = value.expect(tag::ENUMERATED, WHAT)?.value;
                entry.reason = match code {
                    [code] => Reason::from_code(*code).unwrap_or(Reason::Unspecified),
                    _ => Reason::Unspecified,
                };
            } else if oid == INVALIDITY_DATE {
                entry.invalid_since = Some(Time::from_tlv(value.any(WHAT)?, Rules::Ber, WHAT)?);
            }
        }
    }
    fields.finish(WHAT)?;
    Ok(entry)
}

/// The identifier, criticality and value of an extension.
fn read_extension(mut fields: Reader<'_>) -> Result<(ObjectIdentifier, bool, &[u8]), Error> {
    let oid = fields.oid(WHAT)?;
    let critical = fields.peek() == Some(tag::BOOLEAN) && fields.boolean(WHAT)?;
    let value = fields.expect(tag::OCTET_STRING, WHAT)?.value;
    fields.finish(WHAT)?;
    Ok((oid, critical, value))
}

/// The URIs of a distribution point's fullName; other names are passed over.
fn full_name(point: Tlv<'_>) -> Result<Vec<String>, Error> {
    let mut urls = Vec::new();
    let Some(names) = point.reader().optional(tag::context_constructed(0), WHAT)? else {
        return Ok(urls);
    };
    let mut names = names.reader();
    while !names.is_empty() {
        let name = names.any(WHAT)?;
        if name.tag == tag::context(6) {
            urls.push(String::from_utf8_lossy(name.value).into_owned());
        }
    }
    Ok(urls)
}

fn unsigned(integer: &[u8]) -> Option<u64> {
    if integer.first()? & 0x80 != 0 {
        return None;
    }
    let digits = integer.iter().skip_while(|octet| **octet == 0);
    if digits.clone().count() > 8 {
        return None;
    }
    Some(digits.fold(0, |sum, octet| sum << 8 | u64::from(*octet)))
}

/// Where `part`, a slice of `whole`, lies in it.
fn range_of(whole: &[u8], part: &[u8]) -> Range<usize> {
    // Both are slices of one allocation, so the difference of their addresses is the offset.
    let start = (part.as_ptr() as usize).saturating_sub(whole.as_ptr() as usize);
    start..start + part.len()
}
