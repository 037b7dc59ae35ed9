//! What issuance must refuse: each certificate is read again from its octets before it is signed.
//!
//! The rules are RFC 5280's, IEEE 802.1AR-2018's for IDevIDs, RFC 6960's for responders, RFC 9608's
//! for noRevAvail, and our own where those leave a choice (a revocation path, always).

mod error;
mod names;
mod rules;

pub use self::error::LintError;
use self::rules::Subject;
use crate::algorithm::SignatureAlgorithm;
use crate::cert::read::TbsFields;
use crate::der::{Reader, Rules, tag};
use crate::key::PublicKey;
use crate::spec::Tbs;
use crate::{Cert, Name, Serial, Validity};

/// What kind of certificate it shall be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LintProfile {
    /// A device's identity from birth (IEEE 802.1AR).
    IDevId,
    /// A device's identity in a fleet.
    LDevId,
    /// An issuing CA under another.
    Ca,
    /// A self-signed root.
    RootCa,
    /// A root's key certified by another root (RFC 9810 section 4.4).
    CrossCa,
    /// A delegated OCSP responder (RFC 6960 4.2.2.2).
    OcspSigner,
    /// A TLS server of our own.
    Server,
}

/// A TBSCertificate that issuance may sign. Only [`check`] makes one.
#[derive(Clone, Debug)]
pub struct Linted {
    tbs: Tbs,
    profile: LintProfile,
    serial: Serial,
    validity: Validity,
    subject: Name,
    public_key: PublicKey,
}

impl Linted {
    /// What may be signed.
    #[must_use]
    pub fn tbs(&self) -> &Tbs {
        &self.tbs
    }

    /// The octets that may be signed.
    #[must_use]
    pub fn as_der(&self) -> &[u8] {
        self.tbs.as_der()
    }

    /// How they are to be signed.
    #[must_use]
    pub fn signature_algorithm(&self) -> SignatureAlgorithm {
        self.tbs.signature_algorithm()
    }

    /// The certificate, with this signature.
    #[must_use]
    pub fn with_signature(&self, signature: &[u8]) -> Vec<u8> {
        self.tbs.with_signature(signature)
    }

    /// By which rules it was judged.
    #[must_use]
    pub fn profile(&self) -> LintProfile {
        self.profile
    }

    /// The serial number, as read back.
    #[must_use]
    pub fn serial(&self) -> &Serial {
        &self.serial
    }

    /// The validity, as read back.
    #[must_use]
    pub fn validity(&self) -> Validity {
        self.validity
    }

    /// The subject, as read back.
    #[must_use]
    pub fn subject(&self) -> &Name {
        &self.subject
    }

    /// The key, as read back.
    #[must_use]
    pub fn public_key(&self) -> &PublicKey {
        &self.public_key
    }
}

/// Reads a TBSCertificate again and judges it: alone, by its profile, and against its issuer.
/// Without an issuer it must be a root.
///
/// # Errors
/// Everything that is wrong, not only the first.
pub fn check(
    tbs: Tbs,
    profile: LintProfile,
    issuer: Option<&Cert>,
) -> Result<Linted, Vec<LintError>> {
    let mut reader = Reader::new(tbs.as_der(), Rules::Der);
    let mut fields = reader
        .expect(tag::SEQUENCE, "TBSCertificate")
        .and_then(|tlv| TbsFields::read(tlv, Rules::Der))
        .map_err(|error| vec![LintError::Unreadable(error)])?;
    if fields.public_key == *tbs.public_key() {
        // The same octets are the same key, and that one is likely to be ready to check with.
        fields.public_key = tbs.public_key().clone();
    }

    let subject = Subject {
        fields: &fields,
        profile,
        signature: tbs.signature_algorithm(),
    };
    let errors = subject.judge(issuer);
    if !errors.is_empty() {
        return Err(errors);
    }
    Ok(Linted {
        profile,
        serial: Serial::from_der_value(fields.serial),
        validity: fields.validity,
        subject: fields.subject,
        public_key: fields.public_key,
        tbs,
    })
}
