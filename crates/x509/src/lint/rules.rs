//! The rules, in the order in which a reader of the certificate meets them.

use super::names::{is_http_url, is_well_formed};
use super::{LintError, LintProfile};
use crate::algorithm::SignatureAlgorithm;
use crate::cert::read::TbsFields;
use crate::extension::{Criticality, Extension, KeyUsage};
use crate::{Cert, KeyAlgorithm, ObjectIdentifier, SanName, der::tag, oid};

/// noRevAvail is for certificates of at most this long.
const SHORT_LIVED_S: i64 = 7 * 86_400;

/// What is being judged.
pub(super) struct Subject<'a> {
    pub(super) fields: &'a TbsFields<'a>,
    pub(super) profile: LintProfile,
    pub(super) signature: SignatureAlgorithm,
}

/// The rules that differ by profile, as a table.
struct Shape {
    ca: bool,
    /// Key usage bits that must be set, and those that may be.
    usage: (KeyUsage, KeyUsage),
    required: &'static [ObjectIdentifier],
    forbidden: &'static [ObjectIdentifier],
    may_never_end: bool,
    subject_needed: bool,
}

const SIGN: KeyUsage = KeyUsage::DIGITAL_SIGNATURE;
const ENCIPHER: KeyUsage = KeyUsage::KEY_ENCIPHERMENT;

impl Shape {
    fn of(profile: LintProfile) -> Self {
        let ca_usage = KeyUsage::KEY_CERT_SIGN | KeyUsage::CRL_SIGN;
        match profile {
            LintProfile::IDevId => Self {
                ca: false,
                usage: (SIGN, ENCIPHER),
                required: &[oid::CRL_DISTRIBUTION_POINTS],
                forbidden: &[
                    oid::EXT_KEY_USAGE,
                    oid::SUBJECT_KEY_ID,
                    oid::OCSP_NOCHECK,
                    oid::NO_REV_AVAIL,
                ],
                may_never_end: true,
                subject_needed: true,
            },
            LintProfile::LDevId => Self {
                ca: false,
                usage: (
                    SIGN,
                    ENCIPHER | KeyUsage::KEY_AGREEMENT | KeyUsage::NON_REPUDIATION,
                ),
                required: &[oid::EXT_KEY_USAGE],
                forbidden: &[oid::OCSP_NOCHECK],
                may_never_end: false,
                subject_needed: false,
            },
            LintProfile::Ca => Self {
                ca: true,
                usage: (ca_usage, SIGN),
                required: &[oid::CRL_DISTRIBUTION_POINTS],
                forbidden: &[oid::OCSP_NOCHECK, oid::NO_REV_AVAIL],
                may_never_end: true,
                subject_needed: true,
            },
            LintProfile::CrossCa => Self {
                ca: true,
                usage: (ca_usage, KeyUsage::NONE),
                required: &[
                    oid::CRL_DISTRIBUTION_POINTS,
                    oid::SUBJECT_KEY_ID,
                    oid::AUTHORITY_KEY_ID,
                ],
                forbidden: &[
                    oid::EXT_KEY_USAGE,
                    oid::SUBJECT_ALT_NAME,
                    oid::OCSP_NOCHECK,
                    oid::NO_REV_AVAIL,
                ],
                may_never_end: false,
                subject_needed: true,
            },
            LintProfile::RootCa => Self {
                ca: true,
                usage: (ca_usage, SIGN),
                required: &[],
                forbidden: &[
                    oid::EXT_KEY_USAGE,
                    oid::OCSP_NOCHECK,
                    oid::NO_REV_AVAIL,
                    oid::CRL_DISTRIBUTION_POINTS,
                    oid::AUTHORITY_INFO_ACCESS,
                ],
                may_never_end: true,
                subject_needed: true,
            },
            LintProfile::OcspSigner => Self {
                ca: false,
                usage: (SIGN, KeyUsage::NONE),
                required: &[oid::EXT_KEY_USAGE, oid::OCSP_NOCHECK],
                forbidden: &[oid::NO_REV_AVAIL],
                may_never_end: false,
                subject_needed: true,
            },
            LintProfile::Server => Self {
                ca: false,
                usage: (SIGN, ENCIPHER),
                required: &[oid::EXT_KEY_USAGE],
                forbidden: &[oid::OCSP_NOCHECK],
                may_never_end: false,
                subject_needed: false,
            },
        }
    }
}

impl Subject<'_> {
    /// All that is wrong.
    pub(super) fn judge(&self, issuer: Option<&Cert>) -> Vec<LintError> {
        let shape = Shape::of(self.profile);
        let mut errors: Vec<LintError> = self
            .fields
            .flaws()
            .into_iter()
            .map(LintError::Flaw)
            .collect();
        let mut note = |wrong: bool, error: LintError| {
            if wrong {
                errors.push(error);
            }
        };
        note(self.fields.serial.len() < 8, LintError::SerialTooShort);
        note(!self.key_is_allowed(), LintError::KeyNotAllowed);
        self.judge_extensions(&shape, &mut note);
        self.judge_use(&shape, &mut note);
        self.judge_names(&shape, &mut note);
        self.judge_revocation_path(&mut note);
        let never = self.fields.validity.not_after.is_never();
        note(never && !shape.may_never_end, LintError::NeverEnds);
        match (issuer, self.profile) {
            (issuer, LintProfile::RootCa) => self.judge_root(issuer, &mut note),
            (Some(issuer), _) => self.judge_issuer(issuer, &mut note),
            (None, _) => note(true, LintError::WrongIssuer),
        }
        errors
    }

    /// Kinds, sizes and forms that we certify.
    fn key_is_allowed(&self) -> bool {
        let key = &self.fields.public_key;
        key.is_strong() && key.is_usable() && key.algorithm() != KeyAlgorithm::P521
    }

    fn judge_extensions(&self, shape: &Shape, note: &mut impl FnMut(bool, LintError)) {
        for extension in &self.fields.extensions {
            match self.right_criticality(&extension.oid) {
                None => note(true, LintError::UnexpectedExtension(extension.oid)),
                Some(right) => note(
                    right != extension.critical,
                    LintError::WrongCriticality(extension.oid),
                ),
            }
            note(
                !value_is_right(extension),
                LintError::BadValue(extension.oid),
            );
        }
        for forbidden in shape.forbidden {
            let present = self.fields.extension(forbidden).is_some();
            note(present, LintError::ForbiddenExtension(*forbidden));
        }
        for required in shape.required {
            let absent = self.fields.extension(required).is_none();
            note(absent, LintError::MissingExtension(*required));
        }
    }

    /// How an extension that we issue must be marked; `None` for those that we do not.
    fn right_criticality(&self, extension: &ObjectIdentifier) -> Option<Criticality> {
        match *extension {
            oid::BASIC_CONSTRAINTS | oid::KEY_USAGE => Some(Criticality::Critical),
            oid::SUBJECT_ALT_NAME if self.fields.subject.is_empty() => Some(Criticality::Critical),
            oid::SUBJECT_ALT_NAME
            | oid::EXT_KEY_USAGE
            | oid::SUBJECT_KEY_ID
            | oid::AUTHORITY_KEY_ID
            | oid::CRL_DISTRIBUTION_POINTS
            | oid::AUTHORITY_INFO_ACCESS
            | oid::OCSP_NOCHECK
            | oid::NO_REV_AVAIL => Some(Criticality::NonCritical),
            _ => None,
        }
    }

    /// Basic constraints, key usage and purposes.
    fn judge_use(&self, shape: &Shape, note: &mut impl FnMut(bool, LintError)) {
        let known = &self.fields.known;
        let ca = known.basic_constraints.is_some_and(|basic| basic.ca);
        note(ca != shape.ca, LintError::WrongCaConstraint);
        let path_len = known.basic_constraints.and_then(|basic| basic.path_len);
        let wrong_path_len = match self.profile {
            LintProfile::Ca => path_len.is_none(),
            // One issuing CA below the root whose key it certifies, and nothing more.
            LintProfile::CrossCa => path_len != Some(1),
            LintProfile::RootCa => false,
            _ => path_len.is_some(),
        };
        note(wrong_path_len, LintError::WrongPathLength);

        let usage = known.key_usage.unwrap_or(KeyUsage::NONE);
        let (must, may) = shape.usage;
        let right = usage.contains(must) && (must | may).contains(usage);
        note(!right, LintError::WrongKeyUsage);
        let key = self.fields.public_key.algorithm();
        let unsuited = match key {
            KeyAlgorithm::Rsa(_) => KeyUsage::KEY_AGREEMENT,
            KeyAlgorithm::Ed25519 => ENCIPHER | KeyUsage::KEY_AGREEMENT,
            _ => ENCIPHER,
        };
        note(usage.intersects(unsuited), LintError::KeyUsageNotForKey);

        let purposes = known.ext_key_usage.as_deref().unwrap_or(&[]);
        let has = |purpose: &ObjectIdentifier| purposes.contains(purpose);
        let right = match self.profile {
            LintProfile::OcspSigner => purposes == [oid::OCSP_SIGNING],
            LintProfile::Server => has(&oid::SERVER_AUTH) && !has(&oid::OCSP_SIGNING),
            _ => !has(&oid::OCSP_SIGNING),
        };
        note(
            !right || has(&oid::ANY_EXT_KEY_USAGE),
            LintError::WrongPurpose,
        );
    }

    fn judge_names(&self, shape: &Shape, note: &mut impl FnMut(bool, LintError)) {
        let subject = &self.fields.subject;
        let san = &self.fields.known.san;
        note(
            shape.subject_needed && subject.is_empty(),
            LintError::EmptySubject,
        );
        if self.profile == LintProfile::IDevId {
            let found = subject.attributes().any(|attribute| {
                attribute.oid == oid::SERIAL_NUMBER.as_bytes()
                    && attribute.tag == tag::PRINTABLE_STRING
                    && (1..=64).contains(&attribute.value.len())
            });
            note(!found, LintError::NoSubjectSerial);
        }
        if self.profile == LintProfile::Server {
            let found = san
                .iter()
                .any(|name| matches!(name, SanName::Dns(_) | SanName::Ip(_)));
            note(!found, LintError::NoServerName);
        }
        for name in san.iter().filter(|name| !is_well_formed(name)) {
            note(true, LintError::BadName(name.to_string()));
        }
    }

    /// Everything but a root can be revoked, and says where one learns of it.
    fn judge_revocation_path(&self, note: &mut impl FnMut(bool, LintError)) {
        let known = &self.fields.known;
        let urls = known.crl_urls.iter();
        let urls = urls.chain(&known.ocsp_urls).chain(&known.ca_issuer_urls);
        for url in urls.filter(|url| !is_http_url(url)) {
            note(true, LintError::BadUrl(url.clone()));
        }
        let present = |oid| self.fields.extension(oid).is_some();
        let pointed_to = !known.crl_urls.is_empty() || !known.ocsp_urls.is_empty();
        let no_rev_avail = present(&oid::NO_REV_AVAIL);
        if no_rev_avail {
            let validity = self.fields.validity;
            let life_s = validity.not_after.unix() - validity.not_before.unix();
            let misused = pointed_to
                || present(&oid::CRL_DISTRIBUTION_POINTS)
                || life_s > SHORT_LIVED_S
                || known.basic_constraints.is_some_and(|basic| basic.ca);
            note(misused, LintError::NoRevAvailMisused);
        }
        let exempt = matches!(self.profile, LintProfile::RootCa | LintProfile::OcspSigner);
        note(
            !pointed_to && !no_rev_avail && !exempt,
            LintError::NoRevocationPath,
        );
    }

    fn judge_root(&self, issuer: Option<&Cert>, note: &mut impl FnMut(bool, LintError)) {
        let fields = self.fields;
        let own = fields.issuer == fields.subject
            && issuer.is_none_or(|issuer| *issuer.public_key() == fields.public_key);
        note(!own, LintError::WrongIssuer);
        let known = &fields.known;
        let id_differs =
            known.authority_key_id.is_some() && known.authority_key_id != known.subject_key_id;
        note(id_differs, LintError::IssuerKeyIdDiffers);
        let suits = self.signature.suits(fields.public_key.algorithm());
        note(!suits, LintError::IssuerCannotSignSo);
    }

    fn judge_issuer(&self, issuer: &Cert, note: &mut impl FnMut(bool, LintError)) {
        let fields = self.fields;
        note(
            fields.issuer != *issuer.subject(),
            LintError::IssuerNameDiffers,
        );
        note(fields.issuer == fields.subject, LintError::WrongIssuer);
        let key_id = fields.known.authority_key_id.as_deref();
        note(
            key_id != issuer.subject_key_id(),
            LintError::IssuerKeyIdDiffers,
        );
        let outlives = fields.validity.not_before < issuer.validity().not_before
            || fields.validity.not_after > issuer.validity().not_after;
        note(outlives, LintError::OutlivesIssuer);
        let suits = self.signature.suits(issuer.public_key().algorithm());
        note(!suits, LintError::IssuerCannotSignSo);

        let may_sign = issuer
            .key_usage()
            .is_some_and(|usage| usage.contains(KeyUsage::KEY_CERT_SIGN));
        let path_fits = match (self.fields.known.basic_constraints, issuer.path_len()) {
            (Some(basic), Some(limit)) if basic.ca => {
                basic.path_len.is_some_and(|path_len| path_len < limit)
            }
            _ => true,
        };
        let is_of_a_root = self.profile != LintProfile::CrossCa || issuer.is_self_issued();
        let may_issue = issuer.is_ca() && may_sign && path_fits && is_of_a_root;
        note(!may_issue, LintError::IssuerMayNotIssue);
    }
}

/// Whether an extension whose value is fixed has that value.
fn value_is_right(extension: &Extension<'_>) -> bool {
    match extension.oid {
        oid::OCSP_NOCHECK | oid::NO_REV_AVAIL => extension.value == [tag::NULL, 0],
        _ => true,
    }
}
