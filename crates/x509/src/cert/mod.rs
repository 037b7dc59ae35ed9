//! A certificate as found: ours or anyone's, good or flawed.

mod flaw;
pub(crate) mod read;

use core::fmt;
use core::ops::Range;
use std::sync::Arc;

pub use self::flaw::Flaw;
use self::read::{TbsFields, signed_parts};
use crate::algorithm::SignatureAlgorithm;
use crate::der::{Reader, Rules, tag};
use crate::extension::{Criticality, Extension, Known};
use crate::key::{PublicKey, sha256};
use crate::pem::{self, pem_encode};
use crate::{Error, KeyUsage, Name, ObjectIdentifier, SanName, Serial, Validity};

/// The largest certificate we read, in octets.
pub const CERT_OCTETS_MAX: usize = 256 * 1024;

/// A certificate, parsed tolerantly, with the octets it came in. Cheap to clone.
///
/// What issuance would refuse is in [`Cert::flaws`]. Nothing here says that it may be trusted;
/// that is [`path::validate`](crate::path::validate).
#[derive(Clone)]
pub struct Cert(Arc<Inner>);

struct Inner {
    der: Box<[u8]>,
    tbs: Range<usize>,
    serial: Serial,
    issuer: Name,
    validity: Validity,
    subject: Name,
    public_key: PublicKey,
    extensions: Vec<Place>,
    known: Known,
    signature_algorithm: SignatureAlgorithm,
    signature: Range<usize>,
    flaws: Vec<Flaw>,
}

/// Where an extension's value is in the certificate.
struct Place {
    oid: ObjectIdentifier,
    critical: Criticality,
    value: Range<usize>,
}

impl Cert {
    /// Reads a certificate: DER, and with a flaw noted also BER.
    ///
    /// # Errors
    /// `Malformed` if it is no certificate or has anything after it; `Unsupported` if it is
    /// unreasonably large.
    pub fn from_der(der: &[u8]) -> Result<Self, Error> {
        if der.len() > CERT_OCTETS_MAX {
            return Err(Error::unsupported("a certificate over 256 KiB"));
        }
        match read_by(der, Rules::Der) {
            Ok(inner) => Ok(Self(Arc::new(inner))),
            Err(_) => {
                let mut inner = read_by(der, Rules::Ber)?;
                inner.flaws.insert(0, Flaw::NotDer);
                Ok(Self(Arc::new(inner)))
            }
        }
    }

    /// The certificate, octet for octet as it was read.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.0.der
    }

    /// The certificate as a PEM block.
    #[must_use]
    pub fn pem(&self) -> String {
        pem_encode("CERTIFICATE", &self.0.der)
    }

    /// Its serial number.
    #[must_use]
    pub fn serial(&self) -> &Serial {
        &self.0.serial
    }

    /// Who says to have issued it.
    #[must_use]
    pub fn issuer(&self) -> &Name {
        &self.0.issuer
    }

    /// Whom it names.
    #[must_use]
    pub fn subject(&self) -> &Name {
        &self.0.subject
    }

    /// From when to when.
    #[must_use]
    pub fn validity(&self) -> Validity {
        self.0.validity
    }

    /// The key it binds.
    #[must_use]
    pub fn public_key(&self) -> &PublicKey {
        &self.0.public_key
    }

    /// How it is signed, as the outer field says.
    #[must_use]
    pub fn signature_algorithm(&self) -> SignatureAlgorithm {
        self.0.signature_algorithm
    }

    /// The signature's octets.
    #[must_use]
    pub fn signature(&self) -> &[u8] {
        self.slice(&self.0.signature)
    }

    /// The octets that are signed: the whole TBSCertificate.
    #[must_use]
    pub fn tbs(&self) -> &[u8] {
        self.slice(&self.0.tbs)
    }

    /// Whether basicConstraints says that it is a CA's.
    #[must_use]
    pub fn is_ca(&self) -> bool {
        self.0.known.basic_constraints.is_some_and(|basic| basic.ca)
    }

    /// How many CA certificates may follow below it, if that is limited.
    #[must_use]
    pub fn path_len(&self) -> Option<u32> {
        self.0
            .known
            .basic_constraints
            .and_then(|basic| basic.path_len)
    }

    /// keyUsage, if it says.
    #[must_use]
    pub fn key_usage(&self) -> Option<KeyUsage> {
        self.0.known.key_usage
    }

    /// extKeyUsage, if it says.
    #[must_use]
    pub fn ext_key_usage(&self) -> Option<&[ObjectIdentifier]> {
        self.0.known.ext_key_usage.as_deref()
    }

    /// The alternative names.
    #[must_use]
    pub fn san(&self) -> &[SanName] {
        &self.0.known.san
    }

    /// The subject key identifier.
    #[must_use]
    pub fn subject_key_id(&self) -> Option<&[u8]> {
        self.0.known.subject_key_id.as_deref()
    }

    /// The key identifier in the authority key identifier.
    #[must_use]
    pub fn authority_key_id(&self) -> Option<&[u8]> {
        self.0.known.authority_key_id.as_deref()
    }

    /// Where its CRL is.
    #[must_use]
    pub fn crl_urls(&self) -> &[String] {
        &self.0.known.crl_urls
    }

    /// Where its OCSP responder is.
    #[must_use]
    pub fn ocsp_urls(&self) -> &[String] {
        &self.0.known.ocsp_urls
    }

    /// Where its issuer's certificate is.
    #[must_use]
    pub fn ca_issuer_urls(&self) -> &[String] {
        &self.0.known.ca_issuer_urls
    }

    /// All extensions, in order.
    pub fn extensions(&self) -> impl Iterator<Item = Extension<'_>> {
        self.0.extensions.iter().map(|place| Extension {
            oid: place.oid,
            critical: place.critical,
            value: self.slice(&place.value),
        })
    }

    /// The first extension of this type.
    #[must_use]
    pub fn extension(&self, oid: &ObjectIdentifier) -> Option<Extension<'_>> {
        self.extensions().find(|extension| extension.oid == *oid)
    }

    /// SHA-256 of the certificate's DER.
    #[must_use]
    pub fn fingerprint(&self) -> [u8; 32] {
        sha256(&self.0.der)
    }

    /// What issuance would refuse about it.
    #[must_use]
    pub fn flaws(&self) -> &[Flaw] {
        &self.0.flaws
    }

    /// Whether subject and issuer are the same name.
    #[must_use]
    pub fn is_self_issued(&self) -> bool {
        self.0.subject == self.0.issuer
    }

    /// Checks this certificate's signature with a key, over the octets received.
    ///
    /// # Errors
    /// `Unsupported` for weak and unknown algorithms and keys; `Inconsistent` if it is not by
    /// that key or names two algorithms.
    pub fn verify_signed_by(&self, key: &PublicKey) -> Result<(), Error> {
        if self.0.flaws.contains(&Flaw::TwoSignatureAlgorithms) {
            return Err(Error::inconsistent(
                "the signature algorithms inside and outside of the certificate",
            ));
        }
        if !self.0.signature_algorithm.is_strong() {
            return Err(Error::unsupported("this signature algorithm"));
        }
        key.verify(self.0.signature_algorithm, self.tbs(), self.signature())
    }

    fn slice(&self, range: &Range<usize>) -> &[u8] {
        // the ranges were taken from these very octets
        self.0.der.get(range.clone()).unwrap_or(&[])
    }
}

impl PartialEq for Cert {
    fn eq(&self, other: &Self) -> bool {
        self.0.der == other.0.der
    }
}

impl Eq for Cert {}

impl fmt::Debug for Cert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cert")
            .field("serial", &self.0.serial)
            .field("subject", &self.0.subject)
            .field("issuer", &self.0.issuer)
            .finish_non_exhaustive()
    }
}

/// Reads all `CERTIFICATE` blocks of a PEM text, in order.
///
/// # Errors
/// `Malformed` if there is none, or one is broken.
pub fn pem_certificates(text: &str) -> Result<Vec<Cert>, Error> {
    let blocks = pem::blocks(text)?;
    let certificates = blocks
        .iter()
        .filter(|block| block.label == "CERTIFICATE" || block.label == "X509 CERTIFICATE")
        .map(|block| Cert::from_der(&block.der))
        .collect::<Result<Vec<_>, _>>()?;
    if certificates.is_empty() {
        return Err(Error::malformed("PEM (expected CERTIFICATE)"));
    }
    Ok(certificates)
}

/// Reads every certificate of a file of a trust store, in order: PEM, also of the kind that OpenSSL
/// writes with its own settings after each (`TRUSTED CERTIFICATE`), or one certificate in DER. What is
/// no certificate is passed over; a file may hold none.
///
/// # Errors
/// `Malformed` if a certificate or the PEM around it is broken.
pub fn anchor_certificates(file: &[u8]) -> Result<Vec<Cert>, Error> {
    // A certificate is longer than 127 octets, so that its second octet is no character of a text.
    if file.first() == Some(&tag::SEQUENCE) && file.get(1).is_some_and(|octet| *octet >= 0x80) {
        return Cert::from_der(file).map(|cert| vec![cert]);
    }
    // Comments may be in any encoding; what is inside of a block is ASCII or broken.
    let text = String::from_utf8_lossy(file);
    let mut found = Vec::new();
    for block in pem::blocks(&text)? {
        match block.label {
            "CERTIFICATE" | "X509 CERTIFICATE" => found.push(Cert::from_der(&block.der)?),
            "TRUSTED CERTIFICATE" => {
                let mut reader = Reader::new(&block.der, Rules::Ber);
                found.push(Cert::from_der(reader.any("trusted certificate")?.raw)?);
            }
            _ => {}
        }
    }
    Ok(found)
}

fn read_by(der: &[u8], rules: Rules) -> Result<Inner, Error> {
    let parts = signed_parts(der, rules, "certificate")?;
    let fields = TbsFields::read(parts.tbs, rules)?;
    let mut flaws = fields.flaws();
    if parts.algorithm.raw != fields.signature.raw {
        flaws.push(Flaw::TwoSignatureAlgorithms);
    }
    let place = |part: &[u8]| place_in(der, part);
    Ok(Inner {
        tbs: place(parts.tbs.raw),
        signature: place(parts.signature),
        extensions: fields
            .extensions
            .iter()
            .map(|extension| Place {
                oid: extension.oid,
                critical: extension.critical,
                value: place(extension.value),
            })
            .collect(),
        der: der.into(),
        serial: Serial::from_der_value(fields.serial),
        issuer: fields.issuer,
        validity: fields.validity,
        subject: fields.subject,
        public_key: fields.public_key,
        known: fields.known,
        signature_algorithm: SignatureAlgorithm::from_tlv(parts.algorithm),
        flaws,
    })
}

/// Where `part`, a slice of `whole`, starts and ends in it.
fn place_in(whole: &[u8], part: &[u8]) -> Range<usize> {
    let start = (part.as_ptr() as usize).saturating_sub(whole.as_ptr() as usize);
    start..start + part.len()
}
