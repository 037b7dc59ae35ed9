//! The request: read tolerantly, made strictly.

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;

use super::NONCE;
use crate::der::{ObjectIdentifier, Reader, Rules, Tlv, Writer, tag};
use crate::{Error, Name, PublicKey, Serial};

const WHAT: &str = "OCSP request";

/// The longest nonce (RFC 9654 section 2.1). The shortest has one octet.
pub const NONCE_OCTETS_MAX: usize = 128;

/// The most certificates asked about in one request. RFC 9919 clients ask about one.
const ASKED_MAX: usize = 16;

/// The longest path of a GET request that is read. Clients should POST what is over 255 octets
/// (RFC 9919 section 5), but some do not.
const PATH_OCTETS_MAX: usize = 8192;

/// The hash by which a request names an issuer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HashKind {
    /// What RFC 9919 clients use.
    Sha256,
    /// What older clients use; no security depends on it.
    Sha1,
}

impl HashKind {
    /// The hash of the issuer's name and of its key bits.
    pub(super) fn of_issuer(self, name: &Name, key: &PublicKey) -> IssuerHash {
        let algorithm = match self {
            Self::Sha256 => &digest::SHA256,
            Self::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
        };
        let hash = |octets| digest::digest(algorithm, octets).as_ref().to_vec();
        IssuerHash {
            kind: self,
            name: hash(name.as_der()),
            key: hash(key.key_bits()),
        }
    }

    const fn oid(self) -> ObjectIdentifier {
        match self {
            Self::Sha256 => ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1"),
            Self::Sha1 => ObjectIdentifier::new_unwrap("1.3.14.3.2.26"),
        }
    }
}

/// An issuer, as requests name it.
#[derive(Clone, Debug)]
pub(super) struct IssuerHash {
    pub(super) kind: HashKind,
    pub(super) name: Vec<u8>,
    pub(super) key: Vec<u8>,
}

impl IssuerHash {
    pub(super) fn names(&self, id: &CertId<'_>) -> bool {
        id.kind == Some(self.kind) && id.name_hash == self.name && id.key_hash == self.key
    }
}

/// Which certificate is asked about (RFC 6960 section 4.1.1).
#[derive(Clone, Copy, Debug)]
pub struct CertId<'a> {
    /// The whole element; a response repeats it octet for octet.
    pub(super) raw: &'a [u8],
    pub(super) kind: Option<HashKind>,
    pub(super) name_hash: &'a [u8],
    pub(super) key_hash: &'a [u8],
    serial: &'a [u8],
}

impl<'a> CertId<'a> {
    pub(super) fn from_tlv(id: Tlv<'a>) -> Result<Self, Error> {
        let mut fields = id.reader();
        let mut algorithm = fields.sequence(WHAT)?;
        let oid = algorithm.expect(tag::OID, WHAT)?.value;
        let kind = [HashKind::Sha256, HashKind::Sha1]
            .into_iter()
            .find(|kind| kind.oid().as_bytes() == oid);
        let name_hash = fields.expect(tag::OCTET_STRING, WHAT)?.value;
        let key_hash = fields.expect(tag::OCTET_STRING, WHAT)?.value;
        let serial = fields.integer(WHAT)?;
        fields.finish(WHAT)?;
        Ok(Self {
            raw: id.raw,
            kind,
            name_hash,
            key_hash,
            serial,
        })
    }

    /// The hash used; `None` if it is neither SHA-256 nor SHA-1, and so names no issuer of ours.
    #[must_use]
    pub fn hash_kind(&self) -> Option<HashKind> {
        self.kind
    }

    /// The contents octets of the serial number.
    #[must_use]
    pub fn serial_octets(&self) -> &'a [u8] {
        self.serial
    }

    /// The serial number.
    #[must_use]
    pub fn serial(&self) -> Serial {
        Serial::from_der_value(self.serial)
    }
}

/// A request as it came: whose status, and with what nonce.
#[derive(Clone, Debug)]
pub struct OcspRequest<'a> {
    asked: Vec<CertId<'a>>,
    nonce: Option<&'a [u8]>,
}

impl<'a> OcspRequest<'a> {
    /// Reads a request. Unknown extensions are passed over unless critical; a requestor name and
    /// a signature are passed over.
    ///
    /// # Errors
    /// `Malformed` if it is no request, asks about nothing, or has a nonce of 0 or over 128
    /// octets; `Unsupported` if it asks about over 16 certificates or has a critical extension
    /// unknown to us. The answer to all of them is [`super::Failure::MalformedRequest`].
    pub fn from_der(der: &'a [u8]) -> Result<Self, Error> {
        let mut whole = Reader::new(der, Rules::Der);
        let mut request = whole.sequence(WHAT)?;
        whole.finish(WHAT)?;
        let mut tbs = request.sequence(WHAT)?;
        request.optional(tag::context_constructed(0), WHAT)?;
        request.finish(WHAT)?;

        if let Some(version) = tbs.optional(tag::context_constructed(0), WHAT)?
            && version.reader().small_unsigned(WHAT)? != 0
        {
            return Err(Error::unsupported(
                "an OCSP request of another version than 1",
            ));
        }
        tbs.optional(tag::context_constructed(1), WHAT)?;
        let mut list = tbs.sequence(WHAT)?;
        let mut asked = Vec::with_capacity(1);
        while !list.is_empty() {
            if asked.len() == ASKED_MAX {
                return Err(Error::unsupported(
                    "over 16 certificates in one OCSP request",
                ));
            }
            let mut single = list.sequence(WHAT)?;
            asked.push(CertId::from_tlv(single.expect(tag::SEQUENCE, WHAT)?)?);
            if let Some(tagged) = single.optional(tag::context_constructed(0), WHAT)? {
                read_extensions(tagged)?;
            }
            single.finish(WHAT)?;
        }
        if asked.is_empty() {
            return Err(Error::malformed(WHAT));
        }
        let nonce = match tbs.optional(tag::context_constructed(2), WHAT)? {
            Some(tagged) => read_extensions(tagged)?,
            None => None,
        };
        tbs.finish(WHAT)?;
        Ok(Self { asked, nonce })
    }

    /// The certificates asked about: 1 to 16.
    #[must_use]
    pub fn asked(&self) -> &[CertId<'a>] {
        &self.asked
    }

    /// The nonce: 1 to 128 octets.
    #[must_use]
    pub fn nonce(&self) -> Option<&'a [u8]> {
        self.nonce
    }

    /// Makes a request about one certificate, as RFC 9919 section 3.1 wants it.
    ///
    /// # Errors
    /// `Unsupported` if the nonce is empty or over 128 octets (RFC 9654 wants 32).
    pub fn build(
        issuer_name: &Name,
        issuer_key: &PublicKey,
        serial: &Serial,
        kind: HashKind,
        nonce: Option<&[u8]>,
    ) -> Result<Vec<u8>, Error> {
        if nonce.is_some_and(|nonce| nonce.is_empty() || nonce.len() > NONCE_OCTETS_MAX) {
            return Err(Error::unsupported("an OCSP nonce of this length"));
        }
        let issuer = kind.of_issuer(issuer_name, issuer_key);
        let mut writer = Writer::with_capacity(256);
        writer.sequence(|request| {
            request.sequence(|tbs| {
                tbs.sequence(|list| {
                    list.sequence(|single| write_cert_id(single, &issuer, serial));
                });
                if let Some(nonce) = nonce {
                    tbs.nest(tag::context_constructed(2), |tagged| {
                        tagged.sequence(|extensions| write_nonce(extensions, nonce));
                    });
                }
            });
        });
        Ok(writer.finish())
    }
}

fn write_cert_id(writer: &mut Writer, issuer: &IssuerHash, serial: &Serial) {
    writer.sequence(|id| {
        id.sequence(|algorithm| {
            algorithm.oid(&issuer.kind.oid());
            // SHA-1 is commonly written with NULL parameters, SHA-2 should be without (RFC 5754).
            if issuer.kind == HashKind::Sha1 {
                algorithm.null();
            }
        });
        id.octet_string(&issuer.name);
        id.octet_string(&issuer.key);
        id.integer(serial.as_bytes());
    });
}

/// Writes the nonce extension: an OCTET STRING within the OCTET STRING that all extensions have.
pub(super) fn write_nonce(extensions: &mut Writer, nonce: &[u8]) {
    extensions.sequence(|extension| {
        extension.oid(&NONCE);
        extension.nest(tag::OCTET_STRING, |value| value.octet_string(nonce));
    });
}

/// Reads request extensions and returns the nonce.
fn read_extensions(tagged: Tlv<'_>) -> Result<Option<&[u8]>, Error> {
    let mut extensions = tagged.reader().sequence(WHAT)?;
    let mut nonce = None;
    while !extensions.is_empty() {
        let mut extension = extensions.sequence(WHAT)?;
        let oid = extension.expect(tag::OID, WHAT)?.value;
        let critical = extension.peek() == Some(tag::BOOLEAN) && extension.boolean(WHAT)?;
        let value = extension.expect(tag::OCTET_STRING, WHAT)?;
        extension.finish(WHAT)?;
        if oid == NONCE.as_bytes() {
            nonce = Some(read_nonce(value)?);
        } else if critical {
            return Err(Error::unsupported(
                "a critical extension of an OCSP request",
            ));
        }
    }
    Ok(nonce)
}

/// The nonce in the value of its extension: 1 to 128 octets (RFC 9654 section 2.1).
pub(super) fn read_nonce(value: Tlv<'_>) -> Result<&[u8], Error> {
    let mut reader = value.reader();
    let nonce = reader.expect(tag::OCTET_STRING, "OCSP nonce")?.value;
    reader.finish("OCSP nonce")?;
    if nonce.is_empty() || nonce.len() > NONCE_OCTETS_MAX {
        return Err(Error::malformed("OCSP nonce (1 to 128 octets)"));
    }
    Ok(nonce)
}

/// The request in the path of a GET, after the responder's own path and its slash (RFC 6960
/// appendix A.1): base64, percent-encoded or not.
///
/// The path must come as the client sent it: base64 has slashes, also two in a row, so a router or
/// proxy that merges them breaks the request. Accepted besides: a missing padding, and a plus sign
/// that has become a space on the way.
///
/// # Errors
/// `Malformed` if it is no base64, `Unsupported` if it is over 8 KiB.
pub fn decode_get_path(path: &str) -> Result<Vec<u8>, Error> {
    const FAIL: Error = Error::malformed("base64 in the path of an OCSP request");
    if path.len() > PATH_OCTETS_MAX {
        return Err(Error::unsupported("an OCSP request over 8 KiB in a path"));
    }
    let mut text = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((&octet, after)) = rest.split_first() {
        rest = after;
        let octet = if octet == b'%' {
            let (digits, after) = rest.split_first_chunk::<2>().ok_or(FAIL)?;
            rest = after;
            let value = |digit: u8| char::from(digit).to_digit(16).ok_or(FAIL);
            // Two hex digits fit an octet.
            (value(digits[0])? * 16 + value(digits[1])?) as u8
        } else {
            octet
        };
        text.push(if octet == b' ' { b'+' } else { octet });
    }
    let padding = text
        .iter()
        .rev()
        .take_while(|octet| **octet == b'=')
        .count()
        .min(2);
    text.truncate(text.len() - padding);
    STANDARD_NO_PAD.decode(text).map_err(|_| FAIL)
}
