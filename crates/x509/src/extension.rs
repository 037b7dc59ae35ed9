//! Certificate extensions, read once into what path validation, lint and people ask for.

use core::fmt;
use core::ops::BitOr;

use crate::der::{ObjectIdentifier, Reader, Rules, Tlv, tag};
use crate::san::{SanName, TAG_URI};
use crate::{Error, oid};

/// The most extensions read from one certificate.
const EXTENSIONS_MAX: usize = 128;

/// What a key may be used for (RFC 5280 4.2.1.3): a set of bits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct KeyUsage(u16);

impl KeyUsage {
    /// No use at all; as part of a specification: no keyUsage extension.
    pub const NONE: Self = Self(0);
    /// Signatures other than on certificates and CRLs.
    pub const DIGITAL_SIGNATURE: Self = Self(1 << 0);
    /// Signatures that shall not be denied later (contentCommitment).
    pub const NON_REPUDIATION: Self = Self(1 << 1);
    /// Encrypting keys, as RSA key transport does.
    pub const KEY_ENCIPHERMENT: Self = Self(1 << 2);
    /// Encrypting data directly.
    pub const DATA_ENCIPHERMENT: Self = Self(1 << 3);
    /// Agreeing on keys.
    pub const KEY_AGREEMENT: Self = Self(1 << 4);
    /// Signing certificates.
    pub const KEY_CERT_SIGN: Self = Self(1 << 5);
    /// Signing CRLs.
    pub const CRL_SIGN: Self = Self(1 << 6);
    /// With key agreement: only to encrypt.
    pub const ENCIPHER_ONLY: Self = Self(1 << 7);
    /// With key agreement: only to decrypt.
    pub const DECIPHER_ONLY: Self = Self(1 << 8);

    /// Whether all of `other`'s bits are in this set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether one of `other`'s bits is in this set.
    #[must_use]
    pub const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether no bit is set.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The octets of the named BIT STRING, count of unused bits first (X.690 11.2.2: no
    /// trailing zero bits). At most three octets.
    pub(crate) fn bit_string(self) -> ([u8; 3], usize) {
        let [high, low] = self.0.reverse_bits().to_be_bytes();
        if low != 0 {
            ([low.trailing_zeros() as u8, high, low], 3) // at most 7
        } else if high != 0 {
            ([high.trailing_zeros() as u8, high, 0], 2) // at most 7
        } else {
            ([0, 0, 0], 1)
        }
    }

    fn from_bit_string(value: &[u8]) -> Option<Self> {
        let (&unused, octets) = value.split_first()?;
        if unused > 7 || (octets.is_empty() && unused != 0) {
            return None;
        }
        let octet = |at: usize| octets.get(at).copied().unwrap_or(0);
        Some(Self(
            u16::from_be_bytes([octet(0), octet(1)]).reverse_bits() & 0x1ff,
        ))
    }
}

impl BitOr for KeyUsage {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl fmt::Debug for KeyUsage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyUsage({self})")
    }
}

impl fmt::Display for KeyUsage {
    /// RFC 5280 names, separated by commas.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NAMES: [(KeyUsage, &str); 9] = [
            (KeyUsage::DIGITAL_SIGNATURE, "digitalSignature"),
            (KeyUsage::NON_REPUDIATION, "nonRepudiation"),
            (KeyUsage::KEY_ENCIPHERMENT, "keyEncipherment"),
            (KeyUsage::DATA_ENCIPHERMENT, "dataEncipherment"),
            (KeyUsage::KEY_AGREEMENT, "keyAgreement"),
            (KeyUsage::KEY_CERT_SIGN, "keyCertSign"),
            (KeyUsage::CRL_SIGN, "cRLSign"),
            (KeyUsage::ENCIPHER_ONLY, "encipherOnly"),
            (KeyUsage::DECIPHER_ONLY, "decipherOnly"),
        ];
        let mut separator = "";
        for (bit, name) in NAMES {
            if self.contains(bit) {
                write!(f, "{separator}{name}")?;
                separator = ",";
            }
        }
        Ok(())
    }
}

/// basicConstraints as read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BasicConstraints {
    pub(crate) ca: bool,
    pub(crate) path_len: Option<u32>,
}

/// One extension as it stands: type, criticality, and the contents of its OCTET STRING.
#[derive(Clone, Copy, Debug)]
pub struct Extension<'a> {
    /// Its type.
    pub oid: ObjectIdentifier,
    /// Whether who does not understand it must refuse the certificate.
    pub critical: Criticality,
    /// Its value, DER.
    pub value: &'a [u8],
}

/// Whether an extension is critical.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Criticality {
    /// Who does not understand it must refuse the certificate.
    Critical,
    /// Who does not understand it may pass it over.
    NonCritical,
}

/// What the extensions say, where we understand them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    pub(crate) basic_constraints: Option<BasicConstraints>,
    pub(crate) key_usage: Option<KeyUsage>,
    pub(crate) ext_key_usage: Option<Vec<ObjectIdentifier>>,
    pub(crate) subject_key_id: Option<Vec<u8>>,
    pub(crate) authority_key_id: Option<Vec<u8>>,
    pub(crate) san: Vec<SanName>,
    pub(crate) crl_urls: Vec<String>,
    pub(crate) ocsp_urls: Vec<String>,
    pub(crate) ca_issuer_urls: Vec<String>,
    /// Present, understood by us, and not readable.
    pub(crate) unreadable: Vec<ObjectIdentifier>,
}

/// Reads Extensions, a SEQUENCE, into single extensions.
pub(crate) fn read_list<'a>(extensions: Tlv<'a>) -> Result<Vec<Extension<'a>>, Error> {
    const WHAT: &str = "extension";
    let mut reader = extensions.reader();
    let mut found = Vec::with_capacity(10);
    while !reader.is_empty() {
        if found.len() == EXTENSIONS_MAX {
            return Err(Error::unsupported("more than 128 extensions"));
        }
        let mut fields = reader.sequence(WHAT)?;
        let oid = fields.oid(WHAT)?;
        let critical = if fields.peek() == Some(tag::BOOLEAN) && fields.boolean(WHAT)? {
            Criticality::Critical
        } else {
            Criticality::NonCritical
        };
        let value = fields.expect(tag::OCTET_STRING, WHAT)?.value;
        fields.finish(WHAT)?;
        found.push(Extension {
            oid,
            critical,
            value,
        });
    }
    Ok(found)
}

impl Known {
    /// Reads what we understand. Of an extension that occurs twice, the first counts; the caller
    /// refuses or flags that.
    pub(crate) fn read(extensions: &[Extension<'_>], rules: Rules) -> Self {
        let mut known = Self::default();
        let mut seen: Vec<ObjectIdentifier> = Vec::with_capacity(extensions.len());
        for extension in extensions {
            if seen.contains(&extension.oid) {
                continue;
            }
            seen.push(extension.oid);
            if known.read_one(extension, rules).is_err() {
                known.unreadable.push(extension.oid);
            }
        }
        known
    }

    fn read_one(&mut self, extension: &Extension<'_>, rules: Rules) -> Result<(), Error> {
        const WHAT: &str = "extension value";
        let mut reader = Reader::new(extension.value, rules);
        match extension.oid {
            oid::BASIC_CONSTRAINTS => {
                self.basic_constraints = Some(read_basic_constraints(&mut reader)?);
            }
            oid::KEY_USAGE => {
                let bits = reader.expect(tag::BIT_STRING, WHAT)?.value;
                let usage = KeyUsage::from_bit_string(bits).ok_or(Error::malformed(WHAT))?;
                self.key_usage = Some(usage);
            }
            oid::EXT_KEY_USAGE => {
                let mut purposes = reader.sequence(WHAT)?;
                let mut found = Vec::new();
                while !purposes.is_empty() {
                    found.push(purposes.oid(WHAT)?);
                }
                self.ext_key_usage = Some(found);
            }
            oid::SUBJECT_KEY_ID => {
                let id = reader.expect(tag::OCTET_STRING, WHAT)?.value;
                self.subject_key_id = Some(id.to_vec());
            }
            oid::AUTHORITY_KEY_ID => {
                let mut fields = reader.sequence(WHAT)?;
                let id = fields.optional(tag::context(0), WHAT)?;
                self.authority_key_id = id.map(|id| id.value.to_vec());
                fields.optional(tag::context_constructed(1), WHAT)?;
                fields.optional(tag::context(2), WHAT)?;
                fields.finish(WHAT)?;
            }
            oid::SUBJECT_ALT_NAME => {
                self.san = SanName::list_from_der(extension.value, rules)?;
                return Ok(());
            }
            oid::CRL_DISTRIBUTION_POINTS => {
                self.crl_urls = read_distribution_points(&mut reader)?;
            }
            oid::AUTHORITY_INFO_ACCESS => self.read_access(&mut reader)?,
            _ => return Ok(()),
        }
        reader.finish(WHAT)
    }

    fn read_access(&mut self, reader: &mut Reader<'_>) -> Result<(), Error> {
        const WHAT: &str = "authorityInfoAccess";
        let mut descriptions = reader.sequence(WHAT)?;
        while !descriptions.is_empty() {
            let mut description = descriptions.sequence(WHAT)?;
            let method = description.oid(WHAT)?;
            let location = SanName::from_tlv(description.any(WHAT)?);
            match (method, location) {
                (oid::AD_OCSP, SanName::Uri(url)) => self.ocsp_urls.push(url),
                (oid::AD_CA_ISSUERS, SanName::Uri(url)) => self.ca_issuer_urls.push(url),
                _ => {}
            }
        }
        Ok(())
    }
}

fn read_basic_constraints(reader: &mut Reader<'_>) -> Result<BasicConstraints, Error> {
    const WHAT: &str = "basicConstraints";
    let mut fields = reader.sequence(WHAT)?;
    let ca = fields.peek() == Some(tag::BOOLEAN) && fields.boolean(WHAT)?;
    let path_len = if fields.peek() == Some(tag::INTEGER) {
        Some(fields.small_unsigned(WHAT)?)
    } else {
        None
    };
    fields.finish(WHAT)?;
    Ok(BasicConstraints { ca, path_len })
}

/// The URLs of all full names of all distribution points.
fn read_distribution_points(reader: &mut Reader<'_>) -> Result<Vec<String>, Error> {
    const WHAT: &str = "cRLDistributionPoints";
    let mut urls = Vec::new();
    let mut points = reader.sequence(WHAT)?;
    while !points.is_empty() {
        let mut point = points.sequence(WHAT)?;
        let Some(name) = point.optional(tag::context_constructed(0), WHAT)? else {
            continue;
        };
        let Some(full) = name.reader().optional(tag::context_constructed(0), WHAT)? else {
            continue;
        };
        let mut names = full.reader();
        while !names.is_empty() {
            let name = names.any(WHAT)?;
            if let (TAG_URI, SanName::Uri(url)) = (name.tag, SanName::from_tlv(name)) {
                urls.push(url);
            }
        }
    }
    Ok(urls)
}
