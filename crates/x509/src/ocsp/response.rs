//! The client's side: reading a response, and believing it only after a check.

use super::request::{CertId, HashKind, read_nonce};
use super::{BASIC, CertStatus, EXTENDED_REVOKE, Failure, NONCE};
use crate::der::{Reader, Rules, Tlv, tag};
use crate::oid::OCSP_SIGNING;
use crate::{Cert, Error, Reason, Serial, SignatureAlgorithm, Time};

const WHAT: &str = "OCSP response";

/// How far the responder's clock may be ahead of ours, in seconds.
const CLOCK_SKEW_S: i64 = 300;

/// The most certificates a response may carry.
const CERTIFICATES_MAX: usize = 8;

/// A response as it came. Nothing is believed before [`OcspResponse::verify`].
#[derive(Clone, Debug)]
pub enum OcspResponse {
    /// An unsigned refusal.
    Failed(Failure),
    /// A basic response.
    Basic(BasicResponse),
}

/// The contents of a basic response.
#[derive(Clone, Debug)]
pub struct BasicResponse {
    signed: Vec<u8>,
    algorithm: SignatureAlgorithm,
    signature: Vec<u8>,
    certificates: Vec<Cert>,
    responder: ResponderId,
    produced_at: Time,
    responses: Vec<SingleResponse>,
    nonce: Option<Vec<u8>>,
}

#[derive(Clone, Debug)]
enum ResponderId {
    Name(Vec<u8>),
    KeyId(Vec<u8>),
}

/// One certificate's status in a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SingleResponse {
    /// The CertID, octet for octet.
    pub id: Vec<u8>,
    /// The serial number in it.
    pub serial: Serial,
    /// The status claimed.
    pub status: CertStatus,
    /// When it was known to be so.
    pub this_update: Time,
    /// Until when the answer may be used.
    pub next_update: Option<Time>,
}

/// A status that was checked: signed for this issuer, about this certificate, at a time when it
/// may be used. [`OcspResponse::verify`] alone makes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedStatus {
    status: CertStatus,
    this_update: Time,
    next_update: Option<Time>,
    produced_at: Time,
}

impl VerifiedStatus {
    /// The status.
    #[must_use]
    pub fn status(&self) -> CertStatus {
        self.status
    }

    /// When it was known to be so.
    #[must_use]
    pub fn this_update(&self) -> Time {
        self.this_update
    }

    /// Until when it may be used; `None` if a newer answer may be there at any time.
    #[must_use]
    pub fn next_update(&self) -> Option<Time> {
        self.next_update
    }

    /// When the response was made.
    #[must_use]
    pub fn produced_at(&self) -> Time {
        self.produced_at
    }
}

impl OcspResponse {
    /// Reads a response.
    ///
    /// # Errors
    /// `Malformed` if it is none, `Unsupported` if it is of another type than basic.
    pub fn from_der(der: &[u8]) -> Result<Self, Error> {
        let mut whole = Reader::new(der, Rules::Ber);
        let mut response = whole.sequence(WHAT)?;
        whole.finish(WHAT)?;
        match response.expect(tag::ENUMERATED, WHAT)?.value {
            [0] => {}
            [1] => return Ok(Self::Failed(Failure::MalformedRequest)),
            [2] => return Ok(Self::Failed(Failure::InternalError)),
            [3] => return Ok(Self::Failed(Failure::TryLater)),
            [5] => return Ok(Self::Failed(Failure::SigRequired)),
            [6] => return Ok(Self::Failed(Failure::Unauthorized)),
            _ => return Err(Error::malformed(WHAT)),
        }
        let mut octets = response
            .nested(tag::context_constructed(0), WHAT)?
            .sequence(WHAT)?;
        if octets.oid(WHAT)? != BASIC {
            return Err(Error::unsupported("an OCSP response that is not basic"));
        }
        let mut octets = octets.expect(tag::OCTET_STRING, WHAT)?.reader();
        let basic = octets.sequence(WHAT)?;
        octets.finish(WHAT)?;
        Ok(Self::Basic(read_basic(basic)?))
    }

    /// Checks a response about one certificate: the issuer, or a responder it delegated to, has
    /// signed it; it may be used at `at`; and if a nonce was sent, that it is repeated. A response
    /// without nonce is accepted (RFC 9919 section 4): it may have been made in advance.
    ///
    /// # Errors
    /// `Inconsistent` if one of them is not so, `Unsupported` if the responder refused or signed
    /// weakly.
    pub fn verify(
        &self,
        issuer: &Cert,
        serial: &Serial,
        nonce: Option<&[u8]>,
        at: Time,
    ) -> Result<VerifiedStatus, Error> {
        let Self::Basic(basic) = self else {
            return Err(Error::unsupported("a refusal of the OCSP responder"));
        };
        basic.check_signature(issuer, at)?;
        if let (Some(sent), Some(received)) = (nonce, &basic.nonce)
            && sent != received.as_slice()
        {
            return Err(Error::inconsistent("an OCSP response with another nonce"));
        }
        let about = |single: &&SingleResponse| single.is_about(issuer, serial);
        let single = basic.responses.iter().find(about);
        let single = single.ok_or(Error::inconsistent("an OCSP response about something else"))?;
        if single.this_update > at.plus(CLOCK_SKEW_S) {
            return Err(Error::inconsistent("an OCSP response of the future"));
        }
        if single.next_update.is_some_and(|end| end < at) {
            return Err(Error::inconsistent("an OCSP response that has run out"));
        }
        Ok(VerifiedStatus {
            status: single.status,
            this_update: single.this_update,
            next_update: single.next_update,
            produced_at: basic.produced_at,
        })
    }
}

impl BasicResponse {
    /// The statuses claimed.
    #[must_use]
    pub fn responses(&self) -> &[SingleResponse] {
        &self.responses
    }

    /// The nonce repeated.
    #[must_use]
    pub fn nonce(&self) -> Option<&[u8]> {
        self.nonce.as_deref()
    }

    /// The certificates carried along.
    #[must_use]
    pub fn certificates(&self) -> &[Cert] {
        &self.certificates
    }

    /// RFC 6960 section 4.2.2.2: the issuer itself, or a certificate that this very issuer key has
    /// signed, with the purpose of signing OCSP responses.
    fn check_signature(&self, issuer: &Cert, at: Time) -> Result<(), Error> {
        if !self.algorithm.is_strong() {
            return Err(Error::unsupported("a weak or unknown signature algorithm"));
        }
        if self.responder.is(issuer) {
            let key = issuer.public_key();
            return key.verify(self.algorithm, &self.signed, &self.signature);
        }
        let delegate = self
            .certificates
            .iter()
            .find(|cert| self.responder.is(cert));
        let delegate = delegate.ok_or(Error::inconsistent("an OCSP response of a stranger"))?;
        if delegate.issuer() != issuer.subject() {
            return Err(Error::inconsistent("an OCSP responder of another issuer"));
        }
        delegate.verify_signed_by(issuer.public_key())?;
        if !delegate
            .ext_key_usage()
            .is_some_and(|usage| usage.contains(&OCSP_SIGNING))
        {
            return Err(Error::inconsistent("an OCSP responder that may not be one"));
        }
        if !delegate.validity().contains(at) {
            return Err(Error::inconsistent(
                "an OCSP responder outside its validity",
            ));
        }
        delegate
            .public_key()
            .verify(self.algorithm, &self.signed, &self.signature)
    }
}

impl ResponderId {
    fn is(&self, cert: &Cert) -> bool {
        match self {
            Self::Name(name) => cert.subject().as_der() == name,
            Self::KeyId(key_id) => cert.public_key().key_id() == key_id.as_slice(),
        }
    }
}

impl SingleResponse {
    fn is_about(&self, issuer: &Cert, serial: &Serial) -> bool {
        let mut reader = Reader::new(&self.id, Rules::Ber);
        let Ok(id) = reader.any(WHAT).and_then(CertId::from_tlv) else {
            return false;
        };
        let named = |kind: HashKind| kind.of_issuer(issuer.subject(), issuer.public_key());
        self.serial == *serial && id.kind.is_some_and(|kind| named(kind).names(&id))
    }
}

fn read_basic(mut basic: Reader<'_>) -> Result<BasicResponse, Error> {
    let signed = basic.expect(tag::SEQUENCE, WHAT)?;
    let algorithm = SignatureAlgorithm::from_tlv(basic.expect(tag::SEQUENCE, WHAT)?);
    let signature = basic.octet_bits(WHAT)?;
    let mut certificates = Vec::new();
    if let Some(tagged) = basic.optional(tag::context_constructed(0), WHAT)? {
        let mut list = tagged.reader().sequence(WHAT)?;
        while !list.is_empty() && certificates.len() < CERTIFICATES_MAX {
            certificates.push(Cert::from_der(list.any(WHAT)?.raw)?);
        }
    }

    let mut data = signed.reader();
    data.optional(tag::context_constructed(0), WHAT)?; // version
    let responder = data.any(WHAT)?;
    let responder = match responder.tag {
        0xa1 => ResponderId::Name(responder.value.to_vec()),
        0xa2 => {
            let key_id = responder.reader().expect(tag::OCTET_STRING, WHAT)?.value;
            ResponderId::KeyId(key_id.to_vec())
        }
        _ => return Err(Error::malformed(WHAT)),
    };
    let produced_at = Time::from_tlv(data.any(WHAT)?, Rules::Ber, WHAT)?;
    let mut list = data.sequence(WHAT)?;
    let extensions = data.optional(tag::context_constructed(1), WHAT)?;
    let extensions = extensions
        .map(read_extensions)
        .transpose()?
        .unwrap_or_default();
    let mut responses = Vec::new();
    while !list.is_empty() {
        responses.push(read_single(list.sequence(WHAT)?, &extensions)?);
    }
    Ok(BasicResponse {
        signed: signed.raw.to_vec(),
        algorithm,
        signature: signature.to_vec(),
        certificates,
        responder,
        produced_at,
        responses,
        nonce: extensions.nonce,
    })
}

#[derive(Default)]
struct Extensions {
    nonce: Option<Vec<u8>>,
    extended_revoke: bool,
}

fn read_extensions(tagged: Tlv<'_>) -> Result<Extensions, Error> {
    let mut list = tagged.reader().sequence(WHAT)?;
    let mut found = Extensions::default();
    while !list.is_empty() {
        let mut extension = list.sequence(WHAT)?;
        let oid = extension.expect(tag::OID, WHAT)?.value;
        let critical = extension.peek() == Some(tag::BOOLEAN) && extension.boolean(WHAT)?;
        let value = extension.expect(tag::OCTET_STRING, WHAT)?;
        if oid == NONCE.as_bytes() {
            found.nonce = Some(read_nonce(value)?.to_vec());
        } else if oid == EXTENDED_REVOKE.as_bytes() {
            found.extended_revoke = true;
        } else if critical {
            return Err(Error::unsupported(
                "a critical extension of an OCSP response",
            ));
        }
    }
    Ok(found)
}

fn read_single(mut single: Reader<'_>, extensions: &Extensions) -> Result<SingleResponse, Error> {
    let id = single.expect(tag::SEQUENCE, WHAT)?;
    let serial = CertId::from_tlv(id)?.serial();
    let status = single.any(WHAT)?;
    let status = match status.tag {
        0x80 => CertStatus::Good,
        0xa1 => match read_revoked(status)? {
            (at, Reason::CertificateHold) if at.unix() == 0 && extensions.extended_revoke => {
                CertStatus::NeverIssued
            }
            (at, reason) => CertStatus::Revoked { at, reason },
        },
        0x82 => CertStatus::Unknown,
        _ => return Err(Error::malformed(WHAT)),
    };
    let this_update = Time::from_tlv(single.any(WHAT)?, Rules::Ber, WHAT)?;
    let next_update = match single.optional(tag::context_constructed(0), WHAT)? {
        Some(tagged) => Some(Time::from_tlv(
            tagged.reader().any(WHAT)?,
            Rules::Ber,
            WHAT,
        )?),
        None => None,
    };
    Ok(SingleResponse {
        id: id.raw.to_vec(),
        serial,
        status,
        this_update,
        next_update,
    })
}

fn read_revoked(status: Tlv<'_>) -> Result<(Time, Reason), Error> {
    let mut fields = status.reader();
    let at = Time::from_tlv(fields.any(WHAT)?, Rules::Ber, WHAT)?;
    let reason = match fields.optional(tag::context_constructed(0), WHAT)? {
        Some(tagged) => match tagged.reader().expect(tag::ENUMERATED, WHAT)?.value {
            [code] => Reason::from_code(*code).unwrap_or(Reason::Unspecified),
            _ => Reason::Unspecified,
        },
        None => Reason::Unspecified,
    };
    Ok((at, reason))
}
