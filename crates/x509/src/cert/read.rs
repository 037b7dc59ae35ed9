//! Reading a TBSCertificate (RFC 5280 4.1) field by field, by either set of rules.

use crate::algorithm::SignatureAlgorithm;
use crate::der::{Reader, Rules, Tlv, Writer, tag};
use crate::extension::{self, Extension, Known};
use crate::key::PublicKey;
use crate::{Error, Flaw, KeyAlgorithm, Name, Time, Validity, oid};

/// A TBSCertificate's fields, borrowed.
pub(crate) struct TbsFields<'a> {
    pub(crate) version: u32,
    pub(crate) serial: &'a [u8],
    /// The whole AlgorithmIdentifier.
    pub(crate) signature: Tlv<'a>,
    pub(crate) issuer: Name,
    pub(crate) validity: Validity,
    pub(crate) validity_tlv: Tlv<'a>,
    pub(crate) subject: Name,
    pub(crate) public_key: PublicKey,
    pub(crate) unique_ids: bool,
    pub(crate) extensions: Vec<Extension<'a>>,
    pub(crate) known: Known,
}

impl<'a> TbsFields<'a> {
    /// Reads the contents of a TBSCertificate.
    pub(crate) fn read(tbs: Tlv<'a>, rules: Rules) -> Result<Self, Error> {
        const WHAT: &str = "certificate";
        let mut fields = tbs.reader();
        let version = match fields.optional(tag::context_constructed(0), "version")? {
            Some(version) => version.reader().small_unsigned("version")?,
            None => 0,
        };
        let serial = fields.integer("serial number")?;
        let signature = fields.expect(tag::SEQUENCE, "signature algorithm")?;
        let issuer = Name::from_tlv(fields.expect(tag::SEQUENCE, "issuer")?)?;
        let validity_tlv = fields.expect(tag::SEQUENCE, "validity")?;
        let validity = read_validity(validity_tlv, rules)?;
        let subject = Name::from_tlv(fields.expect(tag::SEQUENCE, "subject")?)?;
        let spki = fields.expect(tag::SEQUENCE, "SubjectPublicKeyInfo")?;
        let public_key = PublicKey::from_tlv(spki, rules)?;
        let issuer_id = fields.optional(tag::context(1), "issuerUniqueID")?;
        let subject_id = fields.optional(tag::context(2), "subjectUniqueID")?;
        let extensions = match fields.optional(tag::context_constructed(3), "extensions")? {
            Some(explicit) => {
                let mut explicit = explicit.reader();
                let list = explicit.expect(tag::SEQUENCE, "extensions")?;
                explicit.finish("extensions")?;
                extension::read_list(list)?
            }
            None => Vec::new(),
        };
        fields.finish(WHAT)?;
        let known = Known::read(&extensions, rules);
        Ok(Self {
            version,
            serial,
            signature,
            issuer,
            validity,
            validity_tlv,
            subject,
            public_key,
            unique_ids: issuer_id.is_some() || subject_id.is_some(),
            extensions,
            known,
        })
    }

    /// The extension of this type, if there is one; the first if there are several.
    pub(crate) fn extension(&self, oid: &crate::ObjectIdentifier) -> Option<&Extension<'a>> {
        self.extensions
            .iter()
            .find(|extension| extension.oid == *oid)
    }

    /// What issuance would refuse about these fields, whatever the profile.
    pub(crate) fn flaws(&self) -> Vec<Flaw> {
        let mut flaws = Vec::new();
        let mut note = |wrong: bool, flaw: Flaw| {
            if wrong {
                flaws.push(flaw);
            }
        };
        note(self.version != 2, Flaw::NotVersion3);
        self.note_serial(&mut note);
        note(
            !SignatureAlgorithm::from_tlv(self.signature).is_strong(),
            Flaw::WeakSignature,
        );
        note(self.issuer.is_empty(), Flaw::EmptyIssuer);
        note(
            self.subject.is_empty() && self.known.san.is_empty(),
            Flaw::NoSubjectAtAll,
        );
        note(
            self.validity.not_after < self.validity.not_before,
            Flaw::EndsBeforeItBegins,
        );
        note(!self.times_are_canonical(), Flaw::TimeForm);
        note(self.unique_ids, Flaw::UniqueIds);
        self.note_key(&mut note);
        self.note_extensions(&mut note);
        flaws
    }

    fn note_serial(&self, note: &mut impl FnMut(bool, Flaw)) {
        let negative = self.serial.first().is_some_and(|octet| octet & 0x80 != 0);
        let zero = self.serial.iter().all(|octet| *octet == 0);
        note(negative || zero, Flaw::SerialNotPositive);
        note(self.serial.len() > 20, Flaw::SerialTooLong);
    }

    fn note_key(&self, note: &mut impl FnMut(bool, Flaw)) {
        match self.public_key.algorithm() {
            KeyAlgorithm::Rsa(_) => note(!self.public_key.is_strong(), Flaw::WeakKey),
            KeyAlgorithm::Other => note(true, Flaw::UnknownKey),
            KeyAlgorithm::P256
            | KeyAlgorithm::P384
            | KeyAlgorithm::P521
            | KeyAlgorithm::Ed25519 => {}
        }
    }

    fn note_extensions(&self, note: &mut impl FnMut(bool, Flaw)) {
        for (position, extension) in self.extensions.iter().enumerate() {
            let earlier = self.extensions.iter().take(position);
            let repeated = earlier
                .clone()
                .filter(|other| other.oid == extension.oid)
                .count();
            note(repeated == 1, Flaw::RepeatedExtension(extension.oid)); // once, not each time
        }
        for oid in &self.known.unreadable {
            note(true, Flaw::UnreadableExtension(*oid));
        }
        let self_issued = self.issuer == self.subject;
        note(
            !self_issued && self.known.authority_key_id.is_none(),
            Flaw::NoAuthorityKeyId,
        );
        let ca = self.known.basic_constraints.is_some_and(|basic| basic.ca);
        note(
            ca && self.known.subject_key_id.is_none(),
            Flaw::NoSubjectKeyId,
        );
        let san = self.extension(&oid::SUBJECT_ALT_NAME);
        note(
            san.is_some() && self.known.san.is_empty(),
            Flaw::EmptyExtension(oid::SUBJECT_ALT_NAME),
        );
        let no_purpose = self.known.ext_key_usage.as_deref() == Some(&[]);
        note(no_purpose, Flaw::EmptyExtension(oid::EXT_KEY_USAGE));
        let no_use = self.known.key_usage.is_some_and(|usage| usage.is_empty());
        note(no_use, Flaw::EmptyExtension(oid::KEY_USAGE));
    }

    /// UTCTime through 2049, GeneralizedTime from 2050 (RFC 5280 4.1.2.5).
    fn times_are_canonical(&self) -> bool {
        let mut canonical = Writer::with_capacity(40);
        canonical.sequence(|times| {
            times.time(self.validity.not_before);
            times.time(self.validity.not_after);
        });
        canonical.finish() == self.validity_tlv.raw
    }
}

fn read_validity(validity: Tlv<'_>, rules: Rules) -> Result<Validity, Error> {
    let mut times = validity.reader();
    let not_before = Time::from_tlv(times.any("notBefore")?, rules, "notBefore")?;
    let not_after = Time::from_tlv(times.any("notAfter")?, rules, "notAfter")?;
    times.finish("validity")?;
    Ok(Validity {
        not_before,
        not_after,
    })
}

/// The three parts of something signed (RFC 5280 4.1): to be signed, algorithm, signature.
pub(crate) struct SignedParts<'a> {
    pub(crate) tbs: Tlv<'a>,
    pub(crate) algorithm: Tlv<'a>,
    pub(crate) signature: &'a [u8],
}

/// Takes something signed apart; nothing may follow it.
pub(crate) fn signed_parts<'a>(
    der: &'a [u8],
    rules: Rules,
    what: &'static str,
) -> Result<SignedParts<'a>, Error> {
    let mut reader = Reader::new(der, rules);
    let mut fields = reader.sequence(what)?;
    reader.finish(what)?;
    let tbs = fields.expect(tag::SEQUENCE, what)?;
    let algorithm = fields.expect(tag::SEQUENCE, "signature algorithm")?;
    let signature = fields.octet_bits("signature")?;
    fields.finish(what)?;
    Ok(SignedParts {
        tbs,
        algorithm,
        signature,
    })
}
