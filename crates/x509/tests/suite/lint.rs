//! What issuance must refuse: one right certificate per profile, and each way to get it wrong.

use crate::support::{Ca, DAY, NOW, available, days, name, put, root, run, sign};
use tenure_x509::lint::{LintError, LintProfile, check};
use tenure_x509::{
    CaConstraint, CertificateSpec, Flaw, KeyKind, KeyPair, KeyUsage, Name, NameAttribute,
    ObjectIdentifier, Presence, SanName, Serial, SignatureAlgorithm, Time, oid,
};

struct Bench {
    root: Ca,
    issuing: Ca,
    key: KeyPair,
}

impl Bench {
    fn new() -> Self {
        let root_key = KeyPair::generate(KeyKind::P384).unwrap();
        let mut spec = root(KeyKind::P256).spec(name("Root"), root_key.public(), 1);
        spec.issuer = name("Root");
        spec.signature = root_key.signature_algorithm();
        spec.validity = days(30, 0);
        spec.validity.not_after = Time::NEVER;
        spec.extensions = crate::support::ca_extensions(root_key.public(), None);
        let root = Ca {
            cert: sign(&spec, &root_key),
            key: root_key,
        };
        let key = KeyPair::generate(KeyKind::P256).unwrap();
        let spec = ca_spec(&root, &key);
        let issuing = Ca {
            cert: sign(&spec, &root.key),
            key,
        };
        let key = KeyPair::generate(KeyKind::P256).unwrap();
        Self { root, issuing, key }
    }

    /// A certificate that is right in this profile.
    fn right(&self, profile: LintProfile) -> CertificateSpec {
        let mut spec = self.issuing.ldevid(self.key.public(), 9);
        let extensions = &mut spec.extensions;
        match profile {
            LintProfile::LDevId => {}
            LintProfile::IDevId => {
                spec.subject = Name::build(&[
                    (NameAttribute::Organization, "Acme Pumps"),
                    (NameAttribute::SerialNumber, "SN-0042"),
                ])
                .unwrap();
                spec.validity.not_after = Time::NEVER;
                extensions.ext_key_usage.clear();
                extensions.subject_key_id = None;
                extensions.san = vec![SanName::HardwareModule {
                    hw_type: ObjectIdentifier::new_unwrap("1.3.6.1.4.1.32473.1"),
                    serial: vec![0, 1, 2],
                }];
            }
            LintProfile::Server => {
                extensions.ext_key_usage = vec![oid::SERVER_AUTH, oid::CLIENT_AUTH, oid::CMC_RA];
                extensions.san.push(SanName::Ip("::1".parse().unwrap()));
            }
            LintProfile::OcspSigner => {
                extensions.ext_key_usage = vec![oid::OCSP_SIGNING];
                extensions.ocsp_nocheck = Presence::Present;
                extensions.san.clear();
                extensions.crl_urls.clear();
                extensions.ocsp_urls.clear();
            }
            LintProfile::Ca => return ca_spec(&self.root, &self.key),
            LintProfile::CrossCa => return cross_spec(&self.root, &self.key),
            LintProfile::RootCa => {
                spec = ca_spec(&self.root, &self.key);
                spec.issuer = spec.subject.clone();
                spec.signature = self.key.signature_algorithm();
                spec.extensions.authority_key_id = spec.extensions.subject_key_id.clone();
                spec.extensions.crl_urls.clear();
            }
        }
        spec
    }

    fn issuer(&self, profile: LintProfile) -> Option<&Ca> {
        match profile {
            LintProfile::RootCa => None,
            LintProfile::Ca | LintProfile::CrossCa => Some(&self.root),
            _ => Some(&self.issuing),
        }
    }

    fn errors(&self, profile: LintProfile, spec: &CertificateSpec) -> Vec<LintError> {
        let issuer = self.issuer(profile).map(|ca| &ca.cert);
        match check(spec.tbs().unwrap(), profile, issuer) {
            Ok(linted) => {
                assert_eq!(linted.as_der(), spec.tbs().unwrap().as_der());
                assert_eq!(linted.serial(), &spec.serial);
                assert_eq!(linted.public_key(), &spec.public_key);
                Vec::new()
            }
            Err(errors) => {
                assert!(!errors.is_empty());
                errors
            }
        }
    }
}

fn ca_spec(root: &Ca, key: &KeyPair) -> CertificateSpec {
    let mut spec = root.spec(name("Issuing"), key.public(), 2);
    spec.validity.not_before = NOW.plus(-2 * DAY);
    spec.validity.not_after = Time::NEVER;
    let authority_key_id = spec.extensions.authority_key_id.take();
    spec.extensions = crate::support::ca_extensions(key.public(), Some(0));
    spec.extensions.authority_key_id = authority_key_id;
    spec.extensions.crl_urls = vec!["http://pki.example/crl/root/full.crl".into()];
    spec
}

/// The key of another root, certified by this one (RFC 9810 section 4.4).
fn cross_spec(root: &Ca, key: &KeyPair) -> CertificateSpec {
    let mut spec = ca_spec(root, key);
    spec.subject = name("Root 2");
    spec.validity.not_after = NOW.plus(700 * DAY);
    spec.extensions.ca = CaConstraint::Ca { path_len: Some(1) };
    spec
}

const PROFILES: [LintProfile; 7] = [
    LintProfile::IDevId,
    LintProfile::LDevId,
    LintProfile::Ca,
    LintProfile::RootCa,
    LintProfile::CrossCa,
    LintProfile::OcspSigner,
    LintProfile::Server,
];

#[test]
fn each_profile_has_a_right_certificate() {
    let bench = Bench::new();
    for profile in PROFILES {
        let errors = bench.errors(profile, &bench.right(profile));
        assert_eq!(errors, [], "{profile:?}");
    }
}

#[test]
fn right_certificates_please_pkilint_and_openssl() {
    if !available("lint_pkix_cert", &["lint", "--help"]) || !available("openssl", &["version"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let bench = Bench::new();
    put(dir, "root.pem", bench.root.cert.pem());
    put(dir, "issuing.pem", bench.issuing.cert.pem());
    for profile in PROFILES {
        let signer = bench.issuer(profile).map_or(&bench.key, |ca| &ca.key);
        let cert = sign(&bench.right(profile), signer);
        let file = format!("{profile:?}.pem");
        put(dir, &file, cert.pem());
        run(dir, "lint_pkix_cert", &["lint", "-s", "ERROR", &file]);
        let anchor = match profile {
            LintProfile::RootCa => &file,
            _ => "root.pem",
        };
        let at = NOW.unix().to_string();
        let args = [
            "verify",
            "-x509_strict",
            "-check_ss_sig",
            "-attime",
            &at,
            "-CAfile",
            anchor,
            "-untrusted",
            "issuing.pem",
            &file,
        ];
        run(dir, "openssl", &args);
    }
}

/// Names a way to spoil a right certificate, and what lint must then say.
type Spoil = (LintProfile, fn(&mut CertificateSpec), LintError);

const SPOILED: &[Spoil] = {
    use LintError as E;
    use LintProfile as P;
    &[
        (
            P::LDevId,
            |s| s.serial = Serial::from_der_value(&[0]),
            E::Flaw(Flaw::SerialNotPositive),
        ),
        (
            P::LDevId,
            |s| s.serial = Serial::from_der_value(&[0x81; 16]),
            E::Flaw(Flaw::SerialNotPositive),
        ),
        (
            P::LDevId,
            |s| s.serial = Serial::from_der_value(&[1; 21]),
            E::Flaw(Flaw::SerialTooLong),
        ),
        (
            P::LDevId,
            |s| s.serial = Serial::from_der_value(&[1; 7]),
            E::SerialTooShort,
        ),
        (
            P::LDevId,
            |s| s.signature = SignatureAlgorithm::EcdsaSha1,
            E::Flaw(Flaw::WeakSignature),
        ),
        (
            P::LDevId,
            |s| s.signature = SignatureAlgorithm::Ed25519,
            E::IssuerCannotSignSo,
        ),
        (
            P::RootCa,
            |s| s.signature = SignatureAlgorithm::RsaSha256,
            E::IssuerCannotSignSo,
        ),
        (
            P::LDevId,
            |s| s.validity.not_after = s.validity.not_before.plus(-1),
            E::Flaw(Flaw::EndsBeforeItBegins),
        ),
        (
            P::LDevId,
            |s| s.validity.not_after = Time::NEVER,
            E::NeverEnds,
        ),
        (
            P::Server,
            |s| s.validity.not_after = Time::NEVER,
            E::NeverEnds,
        ),
        (
            P::OcspSigner,
            |s| s.validity.not_after = Time::NEVER,
            E::NeverEnds,
        ),
        (
            P::LDevId,
            |s| s.validity.not_before = NOW.plus(-3 * DAY),
            E::OutlivesIssuer,
        ),
        (
            P::LDevId,
            |s| s.issuer = name("Someone"),
            E::IssuerNameDiffers,
        ),
        (P::LDevId, |s| s.subject = s.issuer.clone(), E::WrongIssuer),
        (P::RootCa, |s| s.issuer = name("Someone"), E::WrongIssuer),
        (
            P::LDevId,
            |s| s.extensions.authority_key_id = Some(vec![1; 20]),
            E::IssuerKeyIdDiffers,
        ),
        (
            P::RootCa,
            |s| s.extensions.authority_key_id = Some(vec![1; 20]),
            E::IssuerKeyIdDiffers,
        ),
        (
            P::LDevId,
            |s| s.extensions.authority_key_id = None,
            E::Flaw(Flaw::NoAuthorityKeyId),
        ),
        (
            P::Ca,
            |s| s.extensions.subject_key_id = None,
            E::Flaw(Flaw::NoSubjectKeyId),
        ),
        (P::IDevId, |s| s.subject = name("pump"), E::NoSubjectSerial),
        (
            P::IDevId,
            |s| {
                s.subject = Name::build(&[(NameAttribute::SerialNumber, "SN_0042")]).unwrap();
            },
            E::NoSubjectSerial,
        ),
        (
            P::IDevId,
            |s| s.extensions.ext_key_usage = vec![oid::CLIENT_AUTH],
            E::ForbiddenExtension(oid::EXT_KEY_USAGE),
        ),
        (
            P::IDevId,
            |s| s.extensions.subject_key_id = Some(vec![1; 20]),
            E::ForbiddenExtension(oid::SUBJECT_KEY_ID),
        ),
        (
            P::IDevId,
            |s| s.extensions.crl_urls.clear(),
            E::MissingExtension(oid::CRL_DISTRIBUTION_POINTS),
        ),
        (
            P::IDevId,
            |s| s.extensions.key_usage = SIGN | KeyUsage::KEY_AGREEMENT,
            E::WrongKeyUsage,
        ),
        (
            P::LDevId,
            |s| s.extensions.ext_key_usage.clear(),
            E::MissingExtension(oid::EXT_KEY_USAGE),
        ),
        (
            P::LDevId,
            |s| s.extensions.ext_key_usage.push(oid::ANY_EXT_KEY_USAGE),
            E::WrongPurpose,
        ),
        (
            P::LDevId,
            |s| s.extensions.ext_key_usage.push(oid::OCSP_SIGNING),
            E::WrongPurpose,
        ),
        (
            P::Server,
            |s| s.extensions.ext_key_usage = vec![oid::CLIENT_AUTH],
            E::WrongPurpose,
        ),
        (
            P::OcspSigner,
            |s| s.extensions.ext_key_usage.push(oid::CLIENT_AUTH),
            E::WrongPurpose,
        ),
        (
            P::LDevId,
            |s| s.extensions.key_usage = KeyUsage::NONE,
            E::WrongKeyUsage,
        ),
        (
            P::LDevId,
            |s| s.extensions.key_usage = SIGN | KeyUsage::KEY_CERT_SIGN,
            E::WrongKeyUsage,
        ),
        (
            P::Ca,
            |s| s.extensions.key_usage = KeyUsage::KEY_CERT_SIGN,
            E::WrongKeyUsage,
        ),
        (
            P::LDevId,
            |s| s.extensions.key_usage = SIGN | KeyUsage::KEY_ENCIPHERMENT,
            E::KeyUsageNotForKey,
        ),
        (
            P::LDevId,
            |s| s.extensions.ca = CaConstraint::Ca { path_len: Some(0) },
            E::WrongCaConstraint,
        ),
        (
            P::Ca,
            |s| s.extensions.ca = CaConstraint::NotCa,
            E::WrongCaConstraint,
        ),
        (
            P::RootCa,
            |s| s.extensions.ca = CaConstraint::Absent,
            E::WrongCaConstraint,
        ),
        (
            P::Ca,
            |s| s.extensions.ca = CaConstraint::Ca { path_len: None },
            E::WrongPathLength,
        ),
        (
            P::Server,
            |s| s.extensions.san = vec![SanName::Uri("urn:x:y".into())],
            E::NoServerName,
        ),
        (P::Ca, |s| s.subject = Name::empty(), E::EmptySubject),
        (
            P::LDevId,
            |s| {
                s.subject = Name::empty();
                s.extensions.san.clear();
            },
            E::Flaw(Flaw::NoSubjectAtAll),
        ),
        (
            P::LDevId,
            |s| {
                s.extensions.crl_urls.clear();
                s.extensions.ocsp_urls.clear();
            },
            E::NoRevocationPath,
        ),
        (
            P::Ca,
            |s| s.extensions.crl_urls.clear(),
            E::NoRevocationPath,
        ),
        (
            P::LDevId,
            |s| s.extensions.no_rev_avail = Presence::Present,
            E::NoRevAvailMisused,
        ),
        (
            P::Ca,
            |s| s.extensions.no_rev_avail = Presence::Present,
            E::NoRevAvailMisused,
        ),
        (
            P::LDevId,
            |s| s.extensions.ocsp_nocheck = Presence::Present,
            E::ForbiddenExtension(oid::OCSP_NOCHECK),
        ),
        (
            P::OcspSigner,
            |s| s.extensions.ocsp_nocheck = Presence::Absent,
            E::MissingExtension(oid::OCSP_NOCHECK),
        ),
        (
            P::RootCa,
            |s| s.extensions.ext_key_usage = vec![oid::CLIENT_AUTH],
            E::ForbiddenExtension(oid::EXT_KEY_USAGE),
        ),
        (
            P::CrossCa,
            |s| s.extensions.ca = CaConstraint::Ca { path_len: None },
            E::WrongPathLength,
        ),
        (
            P::CrossCa,
            |s| s.extensions.ca = CaConstraint::Ca { path_len: Some(2) },
            E::WrongPathLength,
        ),
        (
            P::CrossCa,
            |s| s.validity.not_after = Time::NEVER,
            E::NeverEnds,
        ),
        (P::CrossCa, |s| s.subject = s.issuer.clone(), E::WrongIssuer),
        (
            P::CrossCa,
            |s| s.extensions.key_usage = KeyUsage::KEY_CERT_SIGN,
            E::WrongKeyUsage,
        ),
        (
            P::CrossCa,
            |s| s.extensions.crl_urls.clear(),
            E::NoRevocationPath,
        ),
    ]
};

const SIGN: KeyUsage = KeyUsage::DIGITAL_SIGNATURE;

#[test]
fn each_way_to_be_wrong_is_refused_by_name() {
    let bench = Bench::new();
    for (number, (profile, spoil, expected)) in SPOILED.iter().enumerate() {
        let mut spec = bench.right(*profile);
        spoil(&mut spec);
        let errors = bench.errors(*profile, &spec);
        assert!(
            errors.contains(expected),
            "spoiled {number}: expected {expected:?}, found {errors:?}"
        );
    }
}

#[test]
fn names_that_are_not_well_formed_are_refused() {
    let bench = Bench::new();
    let verdict = |name: SanName| {
        let mut spec = bench.right(LintProfile::LDevId);
        spec.extensions.san = vec![name];
        bench.errors(LintProfile::LDevId, &spec)
    };
    let long_label = format!("{}.example", "a".repeat(64));
    let long_name = format!("{}example", "a.".repeat(128));
    for wrong in [
        "a..b",
        ".a",
        "a.",
        "-a.example",
        "a-.example",
        "a_b.example",
        "a b",
        "192.0.2.7",
        "*",
        "x.*.example",
        &long_label,
        &long_name,
    ] {
        let errors = verdict(SanName::Dns(wrong.into()));
        assert_eq!(errors, [LintError::BadName(format!("DNS:{wrong}"))]);
    }
    for wrong in ["nothing", "1a:b", "urn:", "http://a b"] {
        assert_eq!(verdict(SanName::Uri(wrong.into())).len(), 1, "{wrong}");
    }
    for wrong in ["nobody", "@x.example", "a@", "a@b@c d"] {
        assert_eq!(verdict(SanName::Email(wrong.into())).len(), 1, "{wrong}");
    }
    for right in [
        SanName::Dns("*.plant.example".into()),
        SanName::Dns("pump-7".into()),
        SanName::Uri("spiffe://plant.example/pump/7".into()),
        SanName::Email("ops@plant.example".into()),
    ] {
        assert_eq!(verdict(right), []);
    }
}

#[test]
fn only_http_urls_are_certified() {
    let bench = Bench::new();
    for wrong in [
        "ldap://x/y",
        "http://",
        "http:///crl",
        "ftp://x",
        "http://a b/",
    ] {
        let mut spec = bench.right(LintProfile::LDevId);
        spec.extensions.crl_urls = vec![wrong.into()];
        let errors = bench.errors(LintProfile::LDevId, &spec);
        assert_eq!(errors, [LintError::BadUrl(wrong.into())]);
    }
}

#[test]
fn weak_and_unknown_keys_are_not_certified() {
    let bench = Bench::new();
    let verdict = |spki: &[u8]| {
        let mut spec = bench.right(LintProfile::LDevId);
        spec.public_key = tenure_x509::PublicKey::from_spki_der(spki).unwrap();
        bench.errors(LintProfile::LDevId, &spec)
    };
    for kind in [
        KeyKind::P256,
        KeyKind::P384,
        KeyKind::Ed25519,
        KeyKind::Rsa2048,
    ] {
        let key = KeyPair::generate(kind).unwrap();
        assert_eq!(verdict(key.public().spki_der()), [], "{kind}");
    }
    // the same point, compressed; and moved off the curve
    let good = bench.key.public().spki_der();
    let mut off_curve = good.to_vec();
    *off_curve.last_mut().unwrap() ^= 1;
    assert_eq!(verdict(&off_curve), [LintError::KeyNotAllowed]);
    let parity = 2 + (good[good.len() - 1] & 1);
    let mut compressed = b"\x30\x39\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\
        \x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x22\x00"
        .to_vec();
    compressed.push(parity);
    compressed.extend(&good[27..59]);
    assert_eq!(verdict(&compressed), [LintError::KeyNotAllowed]);
    // RSA: 1024 bits; 2048 bits with exponents 3 and 65536
    for (bits, exponent) in [
        (1024, [1u8, 0, 1].as_slice()),
        (2048, &[3]),
        (2048, &[1, 0, 0]),
    ] {
        let errors = verdict(&rsa_spki(bits, exponent));
        assert!(
            errors.contains(&LintError::Flaw(Flaw::WeakKey)),
            "{bits} {exponent:?}"
        );
    }
}

/// An RSA key of this size, not a product of two primes; nothing here depends on that.
fn rsa_spki(bits: usize, exponent: &[u8]) -> Vec<u8> {
    let mut modulus = vec![0xa5; bits / 8];
    modulus[0] = 0xc1;
    let mut writer = tenure_x509::der::Writer::new();
    writer.sequence(|key| {
        key.unsigned_octets(&modulus);
        key.unsigned_octets(exponent);
    });
    let key = writer.finish();
    let mut writer = tenure_x509::der::Writer::new();
    writer.sequence(|spki| {
        spki.sequence(|algorithm| {
            algorithm.oid(&oid::RSA_ENCRYPTION);
            algorithm.null();
        });
        spki.octet_bits(&key);
    });
    writer.finish()
}

#[test]
fn an_issuer_that_may_not_issue_is_no_issuer() {
    let bench = Bench::new();
    let spec = bench.right(LintProfile::LDevId);
    let judge = |issuer: Option<&tenure_x509::Cert>| {
        check(spec.tbs().unwrap(), LintProfile::LDevId, issuer).unwrap_err()
    };
    let leaf = sign(&spec, &bench.issuing.key);
    assert!(judge(Some(&leaf)).contains(&LintError::IssuerMayNotIssue));
    assert!(judge(None).contains(&LintError::WrongIssuer));

    // a CA under an issuing CA whose path length is zero
    let mut spec = bench.right(LintProfile::Ca);
    spec.issuer = bench.issuing.cert.subject().clone();
    spec.subject = name("Too deep");
    spec.extensions.authority_key_id = bench.issuing.cert.subject_key_id().map(<[u8]>::to_vec);
    spec.signature = bench.issuing.key.signature_algorithm();
    let errors = check(
        spec.tbs().unwrap(),
        LintProfile::Ca,
        Some(&bench.issuing.cert),
    );
    assert_eq!(errors.unwrap_err(), [LintError::IssuerMayNotIssue]);
}

#[test]
fn a_week_without_revocation_is_allowed_and_no_more() {
    let bench = Bench::new();
    let mut spec = bench.right(LintProfile::LDevId);
    spec.extensions.crl_urls.clear();
    spec.extensions.ocsp_urls.clear();
    spec.extensions.no_rev_avail = Presence::Present;
    spec.validity.not_after = spec.validity.not_before.plus(7 * DAY - 1);
    assert_eq!(bench.errors(LintProfile::LDevId, &spec), []);
    spec.validity.not_after = spec.validity.not_before.plus(8 * DAY);
    assert_eq!(
        bench.errors(LintProfile::LDevId, &spec),
        [LintError::NoRevAvailMisused]
    );
}
