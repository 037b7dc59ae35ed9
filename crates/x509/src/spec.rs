//! A certificate to be made: what it shall say, and the octets to be signed.

use crate::algorithm::SignatureAlgorithm;
use crate::cert::read::TbsFields;
use crate::der::{ObjectIdentifier, Reader, Rules, Writer, tag};
use crate::extension::{Criticality, KeyUsage};
use crate::key::PublicKey;
use crate::san::{SanName, check_ia5};
use crate::{Error, Name, Serial, Validity, oid};

/// Everything a certificate shall say. Nothing is added on the way and nothing left out.
#[derive(Clone, Debug)]
pub struct CertificateSpec {
    /// Its serial number.
    pub serial: Serial,
    /// How it will be signed: the issuer key's algorithm.
    pub signature: SignatureAlgorithm,
    /// The issuer's subject, octet for octet.
    pub issuer: Name,
    /// From when to when, both ends included.
    pub validity: Validity,
    /// Whom it names; may be empty if there are alternative names.
    pub subject: Name,
    /// The key it binds.
    pub public_key: PublicKey,
    /// All its extensions.
    pub extensions: Extensions,
}

/// The extensions of a certificate to be made; empty and absent ones are not written.
#[derive(Clone, Debug, Default)]
pub struct Extensions {
    /// basicConstraints, critical.
    pub ca: CaConstraint,
    /// keyUsage, critical.
    pub key_usage: KeyUsage,
    /// extKeyUsage, not critical.
    pub ext_key_usage: Vec<ObjectIdentifier>,
    /// subjectKeyIdentifier.
    pub subject_key_id: Option<Vec<u8>>,
    /// authorityKeyIdentifier: the issuer's subject key identifier, copied and not computed.
    pub authority_key_id: Option<Vec<u8>>,
    /// subjectAltName, critical if the subject is empty.
    pub san: Vec<SanName>,
    /// cRLDistributionPoints: where the one CRL that covers this certificate is.
    pub crl_urls: Vec<String>,
    /// authorityInfoAccess: OCSP responders.
    pub ocsp_urls: Vec<String>,
    /// authorityInfoAccess: the issuer's certificate.
    pub ca_issuer_urls: Vec<String>,
    /// id-pkix-ocsp-nocheck.
    pub ocsp_nocheck: Presence,
    /// noRevAvail (RFC 9608).
    pub no_rev_avail: Presence,
}

/// What basicConstraints shall say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum CaConstraint {
    /// No basicConstraints.
    #[default]
    Absent,
    /// Not a CA.
    NotCa,
    /// A CA.
    Ca {
        /// How many CA certificates may follow below it; `None` is no limit.
        path_len: Option<u8>,
    },
}

/// Whether an extension without contents is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Presence {
    /// It is not.
    #[default]
    Absent,
    /// It is.
    Present,
}

/// The octets to be signed, and how: a TBSCertificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tbs {
    der: Vec<u8>,
    signature: SignatureAlgorithm,
    public_key: PublicKey,
}

impl Tbs {
    /// Reads a TBSCertificate that was written earlier.
    ///
    /// # Errors
    /// `Malformed` if it is none; `Unsupported` if it is to be signed in a way we do not write.
    pub fn from_der(der: &[u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(der, Rules::Der);
        let tlv = reader.expect(tag::SEQUENCE, "TBSCertificate")?;
        reader.finish("TBSCertificate")?;
        let fields = TbsFields::read(tlv, Rules::Der)?;
        let signature = SignatureAlgorithm::from_der(fields.signature.raw)?;
        if signature.as_der()? != fields.signature.raw {
            return Err(Error::unsupported("this form of signature algorithm"));
        }
        Ok(Self {
            der: der.to_vec(),
            signature,
            public_key: fields.public_key,
        })
    }

    /// The octets to be signed.
    #[must_use]
    pub fn as_der(&self) -> &[u8] {
        &self.der
    }

    /// How they are to be signed.
    #[must_use]
    pub fn signature_algorithm(&self) -> SignatureAlgorithm {
        self.signature
    }

    /// The key it binds.
    pub(crate) fn public_key(&self) -> &PublicKey {
        &self.public_key
    }

    /// The certificate: these octets, the algorithm, and this signature.
    #[must_use]
    pub fn with_signature(&self, signature: &[u8]) -> Vec<u8> {
        let mut writer = Writer::with_capacity(self.der.len() + signature.len() + 96);
        writer.sequence(|certificate| {
            certificate.raw(&self.der);
            // both constructors made sure that it can be written
            certificate.raw(self.signature.as_der().unwrap_or(&[]));
            certificate.octet_bits(signature);
        });
        writer.finish()
    }
}

impl CertificateSpec {
    /// Writes the TBSCertificate (RFC 5280 4.1). What may be issued is [`lint`](crate::lint)'s to
    /// say; this only refuses what cannot be written.
    ///
    /// # Errors
    /// `Unsupported` if the algorithm is unknown, or a name or URL is empty or not ASCII.
    pub fn tbs(&self) -> Result<Tbs, Error> {
        let algorithm = self.signature.as_der()?;
        self.extensions.check()?;
        let mut writer = Writer::with_capacity(1024);
        writer.sequence(|tbs| {
            tbs.raw(&[0xa0, 0x03, 0x02, 0x01, 0x02]); // version 3
            tbs.integer(self.serial.as_bytes());
            tbs.raw(algorithm);
            tbs.raw(self.issuer.as_der());
            tbs.sequence(|validity| {
                validity.time(self.validity.not_before);
                validity.time(self.validity.not_after);
            });
            tbs.raw(self.subject.as_der());
            tbs.raw(self.public_key.spki_der());
            if !self.extensions.is_empty() {
                tbs.nest(tag::context_constructed(3), |explicit| {
                    explicit.sequence(|list| self.extensions.write(list, &self.subject));
                });
            }
        });
        Ok(Tbs {
            der: writer.finish(),
            signature: self.signature,
            public_key: self.public_key.clone(),
        })
    }
}

impl Extensions {
    fn check(&self) -> Result<(), Error> {
        self.san.iter().try_for_each(SanName::check)?;
        self.crl_urls
            .iter()
            .chain(&self.ocsp_urls)
            .chain(&self.ca_issuer_urls)
            .try_for_each(|url| check_ia5(url))
    }

    /// Whether none would be written.
    fn is_empty(&self) -> bool {
        self.ca == CaConstraint::Absent
            && self.key_usage.is_empty()
            && self.ext_key_usage.is_empty()
            && self.subject_key_id.is_none()
            && self.authority_key_id.is_none()
            && self.san.is_empty()
            && self.crl_urls.is_empty()
            && self.ocsp_urls.is_empty()
            && self.ca_issuer_urls.is_empty()
            && self.ocsp_nocheck == Presence::Absent
            && self.no_rev_avail == Presence::Absent
    }

    fn write(&self, list: &mut Writer, subject: &Name) {
        use Criticality::{Critical, NonCritical};
        match self.ca {
            CaConstraint::Absent => {}
            CaConstraint::NotCa => {
                extension(list, &oid::BASIC_CONSTRAINTS, Critical, |value| {
                    value.sequence(|_| ());
                });
            }
            CaConstraint::Ca { path_len } => {
                extension(list, &oid::BASIC_CONSTRAINTS, Critical, |value| {
                    value.sequence(|basic| {
                        basic.boolean_true();
                        if let Some(path_len) = path_len {
                            basic.unsigned(path_len.into());
                        }
                    });
                });
            }
        }
        if !self.key_usage.is_empty() {
            let (bits, len) = self.key_usage.bit_string();
            extension(list, &oid::KEY_USAGE, Critical, |value| {
                value.tlv(tag::BIT_STRING, bits.get(..len).unwrap_or(&bits));
            });
        }
        if !self.ext_key_usage.is_empty() {
            extension(list, &oid::EXT_KEY_USAGE, NonCritical, |value| {
                value.sequence(|purposes| {
                    for purpose in &self.ext_key_usage {
                        purposes.oid(purpose);
                    }
                });
            });
        }
        if !self.san.is_empty() {
            let critical = if subject.is_empty() {
                Critical
            } else {
                NonCritical
            };
            extension(list, &oid::SUBJECT_ALT_NAME, critical, |value| {
                value.sequence(|names| {
                    for name in &self.san {
                        name.write(names);
                    }
                });
            });
        }
        if let Some(id) = &self.subject_key_id {
            extension(list, &oid::SUBJECT_KEY_ID, NonCritical, |value| {
                value.octet_string(id);
            });
        }
        if let Some(id) = &self.authority_key_id {
            extension(list, &oid::AUTHORITY_KEY_ID, NonCritical, |value| {
                value.sequence(|fields| fields.tlv(tag::context(0), id));
            });
        }
        self.write_pointers(list);
        if self.ocsp_nocheck == Presence::Present {
            extension(list, &oid::OCSP_NOCHECK, NonCritical, Writer::null);
        }
        if self.no_rev_avail == Presence::Present {
            extension(list, &oid::NO_REV_AVAIL, NonCritical, Writer::null);
        }
    }

    /// Where to ask about this certificate and its issuer.
    fn write_pointers(&self, list: &mut Writer) {
        use Criticality::NonCritical;
        if !self.crl_urls.is_empty() {
            extension(list, &oid::CRL_DISTRIBUTION_POINTS, NonCritical, |value| {
                value.sequence(|points| {
                    points.sequence(|point| {
                        point.nest(tag::context_constructed(0), |name| {
                            name.nest(tag::context_constructed(0), |full| {
                                for url in &self.crl_urls {
                                    full.tlv(crate::san::TAG_URI, url.as_bytes());
                                }
                            });
                        });
                    });
                });
            });
        }
        if !self.ocsp_urls.is_empty() || !self.ca_issuer_urls.is_empty() {
            extension(list, &oid::AUTHORITY_INFO_ACCESS, NonCritical, |value| {
                value.sequence(|descriptions| {
                    for url in &self.ocsp_urls {
                        access_description(descriptions, &oid::AD_OCSP, url);
                    }
                    for url in &self.ca_issuer_urls {
                        access_description(descriptions, &oid::AD_CA_ISSUERS, url);
                    }
                });
            });
        }
    }
}

/// Appends one Extension whose value `write` appends.
fn extension(
    list: &mut Writer,
    oid: &ObjectIdentifier,
    critical: Criticality,
    write: impl FnOnce(&mut Writer),
) {
    list.sequence(|extension| {
        extension.oid(oid);
        if critical == Criticality::Critical {
            extension.boolean_true();
        }
        extension.nest(tag::OCTET_STRING, write);
    });
}

fn access_description(descriptions: &mut Writer, method: &ObjectIdentifier, url: &str) {
    descriptions.sequence(|description| {
        description.oid(method);
        description.tlv(crate::san::TAG_URI, url.as_bytes());
    });
}
