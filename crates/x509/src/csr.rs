//! PKCS#10 certification requests (RFC 2986): read and verified in one step, or made.

use std::sync::Arc;

use crate::algorithm::SignatureAlgorithm;
use crate::der::{ObjectIdentifier, Reader, Rules, Tlv, Writer, tag};
use crate::extension;
use crate::key::{PublicKey, sha256};
use crate::{Error, KeyPair, Name, SanName, oid};

/// The largest request we read, in octets.
pub const CSR_OCTETS_MAX: usize = 32 * 1024;

/// A certification request whose own signature was checked: whoever made it held the key.
///
/// There is no other way to get one than [`Csr::from_der`]. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Csr(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    der: Box<[u8]>,
    subject: Name,
    san: Vec<SanName>,
    public_key: PublicKey,
}

/// A request as read, before its signature was checked; private on purpose.
struct Unverified<'a> {
    signed: &'a [u8],
    subject: Name,
    san: Vec<SanName>,
    public_key: PublicKey,
    algorithm: SignatureAlgorithm,
    signature: &'a [u8],
}

impl Csr {
    /// Reads a request and checks its signature over the octets received.
    ///
    /// # Errors
    /// `Malformed` if it is no request, or has anything after it; `Unsupported` if it is too
    /// large, or its key or signature is of a kind we do not take (SHA-1, RSA under 2048 bits, compressed points);
    /// `Inconsistent` if the signature is not by its key.
    pub fn from_der(der: &[u8]) -> Result<Self, Error> {
        if der.len() > CSR_OCTETS_MAX {
            return Err(Error::unsupported("a certification request over 32 KiB"));
        }
        let found = read(der)?;
        if !found.algorithm.is_strong() {
            return Err(Error::unsupported(
                "this signature algorithm in a certification request",
            ));
        }
        found
            .public_key
            .verify(found.algorithm, found.signed, found.signature)?;
        Ok(Self(Arc::new(Inner {
            der: der.into(),
            subject: found.subject,
            san: found.san,
            public_key: found.public_key,
        })))
    }

    /// The subject asked for. It is the asker's wish, never a fact.
    #[must_use]
    pub fn subject(&self) -> &Name {
        &self.0.subject
    }

    /// The alternative names asked for.
    #[must_use]
    pub fn san(&self) -> &[SanName] {
        &self.0.san
    }

    /// The key, of which possession was proved.
    #[must_use]
    pub fn public_key(&self) -> &PublicKey {
        &self.0.public_key
    }

    /// The request, octet for octet.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.0.der
    }

    /// SHA-256 of the request.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        sha256(&self.0.der)
    }

    /// Makes a request for this key (the device's side).
    ///
    /// # Errors
    /// `Unsupported` if an alternative name cannot be written or the key cannot sign.
    pub fn build(key: &KeyPair, subject: &Name, san: &[SanName]) -> Result<Vec<u8>, Error> {
        let signed = Self::unsigned(key.public(), subject, san)?;
        let signature = key.sign(&signed)?;
        Self::assemble(&signed, key.signature_algorithm(), &signature)
    }

    /// The CertificationRequestInfo, to be signed by a key that lives elsewhere.
    ///
    /// # Errors
    /// `Unsupported` if an alternative name cannot be written.
    pub fn unsigned(key: &PublicKey, subject: &Name, san: &[SanName]) -> Result<Vec<u8>, Error> {
        san.iter().try_for_each(SanName::check)?;
        let mut writer = Writer::with_capacity(512);
        writer.sequence(|body| {
            body.unsigned(0);
            body.raw(subject.as_der());
            body.raw(key.spki_der());
            body.nest(tag::context_constructed(0), |attributes| {
                if !san.is_empty() {
                    write_extension_request(attributes, san);
                }
            });
        });
        Ok(writer.finish())
    }

    /// Puts a CertificationRequestInfo and its signature together.
    ///
    /// # Errors
    /// `Unsupported` if the algorithm cannot be written.
    pub fn assemble(
        unsigned: &[u8],
        algorithm: SignatureAlgorithm,
        signature: &[u8],
    ) -> Result<Vec<u8>, Error> {
        let algorithm = algorithm.as_der()?;
        let mut writer = Writer::with_capacity(unsigned.len() + signature.len() + 64);
        writer.sequence(|request| {
            request.raw(unsigned);
            request.raw(algorithm);
            request.octet_bits(signature);
        });
        Ok(writer.finish())
    }
}

fn read(der: &[u8]) -> Result<Unverified<'_>, Error> {
    const WHAT: &str = "certification request";
    let mut reader = Reader::new(der, Rules::Der);
    let mut request = reader.sequence(WHAT)?;
    reader.finish("certification request (octets after it)")?;

    let signed = request.expect(tag::SEQUENCE, WHAT)?;
    let algorithm = request.expect(tag::SEQUENCE, "signature algorithm")?;
    let signature = request.octet_bits("signature")?;
    request.finish(WHAT)?;

    let mut fields = signed.reader();
    if fields.small_unsigned("version")? != 0 {
        return Err(Error::unsupported(
            "a certification request version other than 1",
        ));
    }
    let subject = Name::from_tlv(fields.expect(tag::SEQUENCE, "subject")?)?;
    let spki = fields.expect(tag::SEQUENCE, "SubjectPublicKeyInfo")?;
    let public_key = PublicKey::from_tlv(spki, Rules::Der)?;
    if !public_key.is_strong() {
        return Err(Error::unsupported(
            "a public key of this kind, size or form",
        ));
    }
    // Some clients leave the empty attributes out.
    let attributes = fields.optional(tag::context_constructed(0), "attributes")?;
    fields.finish(WHAT)?;
    let san = match attributes {
        Some(attributes) => read_attributes(attributes)?,
        None => Vec::new(),
    };
    Ok(Unverified {
        signed: signed.raw,
        subject,
        san,
        public_key,
        algorithm: SignatureAlgorithm::from_tlv(algorithm),
        signature,
    })
}

/// The alternative names in the extensionRequest attribute. Other attributes and extensions are
/// passed over: what a certificate holds is decided from the registry.
fn read_attributes(attributes: Tlv<'_>) -> Result<Vec<SanName>, Error> {
    const WHAT: &str = "attributes";
    let mut reader = attributes.reader();
    let mut seen = false;
    let mut san = Vec::new();
    while !reader.is_empty() {
        let mut attribute = reader.sequence(WHAT)?;
        let kind: ObjectIdentifier = attribute.oid(WHAT)?;
        let mut values = attribute.nested(tag::SET, WHAT)?;
        attribute.finish(WHAT)?;
        if kind != oid::EXTENSION_REQUEST {
            continue;
        }
        if core::mem::replace(&mut seen, true) {
            return Err(Error::inconsistent("two extensionRequest attributes"));
        }
        let extensions = values.expect(tag::SEQUENCE, "extensionRequest")?;
        values.finish("extensionRequest")?;
        san = read_requested_san(extensions)?;
    }
    Ok(san)
}

fn read_requested_san(extensions: Tlv<'_>) -> Result<Vec<SanName>, Error> {
    let extensions = extension::read_list(extensions)?;
    let mut found = extensions
        .iter()
        .filter(|extension| extension.oid == oid::SUBJECT_ALT_NAME);
    let san = match found.next() {
        Some(extension) => SanName::list_from_der(extension.value, Rules::Der)?,
        None => Vec::new(),
    };
    if found.next().is_some() {
        return Err(Error::inconsistent("two subjectAltName extensions"));
    }
    Ok(san)
}

fn write_extension_request(attributes: &mut Writer, san: &[SanName]) {
    attributes.sequence(|attribute| {
        attribute.oid(&oid::EXTENSION_REQUEST);
        attribute.nest(tag::SET, |values| {
            values.sequence(|extensions| {
                extensions.sequence(|extension| {
                    extension.oid(&oid::SUBJECT_ALT_NAME);
                    extension.nest(tag::OCTET_STRING, |value| {
                        value.sequence(|names| {
                            for name in san {
                                name.write(names);
                            }
                        });
                    });
                });
            });
        });
    });
}
