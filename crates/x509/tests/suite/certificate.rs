//! Certificates: what we write, read by others; what others write, read by us.

use crate::support::{Ca, name, openssl_available, put, root, run, sign};
use tenure_x509::{
    CaConstraint, Cert, Flaw, KeyKind, KeyPair, KeyUsage, Name, Presence, SanName, Tbs, Time,
    anchor_certificates, pem_certificates,
};

/// The typed encoder reads what we wrote and writes the very same octets.
fn assert_same_as_typed_encoder(cert: &Cert) {
    use der::{Decode as _, Encode as _};
    let typed = x509_cert::Certificate::from_der(cert.der()).unwrap();
    assert_eq!(typed.to_der().unwrap(), cert.der());
}

fn chain() -> (Ca, Ca) {
    let root = root(KeyKind::P384);
    let issuing = root.sub_ca(KeyKind::P256, "Issuing", Some(0));
    (root, issuing)
}

#[test]
fn what_we_write_the_typed_encoder_writes_too() {
    let (root, issuing) = chain();
    let key = KeyPair::generate(KeyKind::P256).unwrap();
    let ldevid = issuing.ldevid(key.public(), 7);

    let mut idevid = ldevid.clone();
    idevid.validity.not_after = Time::NEVER;
    idevid.extensions.ext_key_usage.clear();
    idevid.extensions.subject_key_id = None;
    idevid.extensions.san = vec![SanName::HardwareModule {
        hw_type: tenure_x509::ObjectIdentifier::new_unwrap("1.3.6.1.4.1.32473.1"),
        serial: vec![0x80; 16],
    }];

    let mut nameless = ldevid.clone();
    nameless.subject = Name::empty();
    nameless
        .extensions
        .crl_urls
        .push("http://other.example/3.crl".into());
    nameless.extensions.no_rev_avail = Presence::Present;
    nameless.extensions.ocsp_nocheck = Presence::Present;

    let mut bare = ldevid.clone();
    bare.extensions = Default::default();

    assert_same_as_typed_encoder(&root.cert);
    assert_same_as_typed_encoder(&issuing.cert);
    for spec in [ldevid, idevid, nameless, bare] {
        assert_same_as_typed_encoder(&sign(&spec, &issuing.key));
    }
}

#[test]
fn what_we_write_we_read_back() {
    let (_, issuing) = chain();
    let key = KeyPair::generate(KeyKind::Ed25519).unwrap();
    let spec = issuing.ldevid(key.public(), 7);
    let cert = sign(&spec, &issuing.key);
    assert_eq!(cert.serial(), &spec.serial);
    assert_eq!(cert.issuer(), &spec.issuer);
    assert_eq!(cert.subject(), &spec.subject);
    assert_eq!(cert.validity(), spec.validity);
    assert_eq!(cert.public_key(), &spec.public_key);
    assert_eq!(cert.signature_algorithm(), spec.signature);
    assert_eq!(cert.key_usage(), Some(KeyUsage::DIGITAL_SIGNATURE));
    assert_eq!(
        cert.ext_key_usage(),
        Some(spec.extensions.ext_key_usage.as_slice())
    );
    assert_eq!(cert.san(), spec.extensions.san);
    assert_eq!(
        cert.subject_key_id(),
        spec.extensions.subject_key_id.as_deref()
    );
    assert_eq!(cert.crl_urls(), spec.extensions.crl_urls);
    assert_eq!(cert.ocsp_urls(), spec.extensions.ocsp_urls);
    assert_eq!(cert.ca_issuer_urls(), spec.extensions.ca_issuer_urls);
    assert_eq!(cert.tbs(), spec.tbs().unwrap().as_der());
    assert!(!cert.is_ca());
    assert_eq!(cert.flaws(), []);
    cert.verify_signed_by(issuing.key.public()).unwrap();
    assert!(cert.verify_signed_by(key.public()).is_err());

    assert!(issuing.cert.is_ca());
    assert_eq!(issuing.cert.path_len(), Some(0));
    assert_eq!(issuing.cert.flaws(), []);

    let tbs = Tbs::from_der(cert.tbs()).unwrap();
    assert_eq!(tbs.with_signature(cert.signature()), cert.der());
    assert_eq!(pem_certificates(&cert.pem()).unwrap(), [cert]);
}

/// The AKI of a certificate is the issuer's SKI, copied: an issuer whose SKI was made another
/// way than ours still chains.
#[test]
fn the_authority_key_id_is_copied_from_the_issuer() {
    let root = root(KeyKind::P256);
    let key = KeyPair::generate(KeyKind::P256).unwrap();
    let mut spec = root.spec(name("Odd"), key.public(), 3);
    spec.extensions.ca = CaConstraint::Ca { path_len: None };
    spec.extensions.subject_key_id = Some(b"not a hash".to_vec());
    let odd = Ca {
        cert: sign(&spec, &root.key),
        key,
    };
    let leaf = KeyPair::generate(KeyKind::P256).unwrap();
    let leaf = sign(&odd.ldevid(leaf.public(), 4), &odd.key);
    assert_eq!(leaf.authority_key_id(), Some(b"not a hash".as_slice()));
}

#[test]
fn openssl_shows_and_verifies_what_we_write() {
    if !openssl_available() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    for kind in [
        KeyKind::P256,
        KeyKind::P384,
        KeyKind::Ed25519,
        KeyKind::Rsa2048,
    ] {
        let root = root(kind);
        let issuing = root.sub_ca(kind, "Issuing", Some(0));
        let key = KeyPair::generate(kind).unwrap();
        let leaf = sign(&issuing.ldevid(key.public(), 7), &issuing.key);
        put(dir, "root.pem", root.cert.pem());
        put(dir, "issuing.pem", issuing.cert.pem());
        put(dir, "leaf.pem", leaf.pem());
        let shown = run(
            dir,
            "openssl",
            &["x509", "-in", "leaf.pem", "-noout", "-text"],
        );
        assert!(
            shown.contains("URI:http://pki.example/crl/issuing/3.crl"),
            "{shown}"
        );
        assert!(
            shown.contains("OCSP - URI:http://pki.example/ocsp"),
            "{shown}"
        );
        let at = crate::support::NOW.unix().to_string();
        let args = [
            "verify",
            "-x509_strict",
            "-check_ss_sig",
            "-purpose",
            "sslclient",
            "-attime",
            &at,
            "-CAfile",
            "root.pem",
            "-untrusted",
            "issuing.pem",
            "leaf.pem",
        ];
        run(dir, "openssl", &args);
    }
}

#[test]
fn every_truncation_of_a_certificate_is_refused() {
    let (_, issuing) = chain();
    let der = issuing.cert.der();
    for end in 0..der.len() {
        assert!(Cert::from_der(&der[..end]).is_err(), "{end}");
    }
    let mut trailing = der.to_vec();
    trailing.push(0);
    assert!(Cert::from_der(&trailing).is_err());
    assert!(Cert::from_der(&vec![0x30; 300_000]).is_err());
}

#[test]
fn flipped_octets_never_panic() {
    let (_, issuing) = chain();
    let der = issuing.cert.der();
    for position in 0..der.len() {
        for mask in [0x01, 0x20, 0x80, 0xff] {
            let mut altered = der.to_vec();
            altered[position] ^= mask;
            if let Ok(cert) = Cert::from_der(&altered) {
                let _ = (format!("{cert:?}"), cert.flaws().len(), cert.san().len());
                let verified = cert.verify_signed_by(issuing.key.public());
                assert!(verified.is_err());
            }
        }
    }
}

/// Import must take what issuance must refuse, keep its octets, and say what is wrong.
#[test]
fn flaws_are_told_and_the_octets_kept() {
    let (_, issuing) = chain();
    let key = KeyPair::generate(KeyKind::P256).unwrap();
    let with_serial = |serial: &[u8]| {
        let mut spec = issuing.ldevid(key.public(), 7);
        spec.serial = tenure_x509::Serial::from_der_value(serial);
        let cert = sign(&spec, &issuing.key);
        assert_eq!(cert.serial().as_bytes(), serial);
        cert.flaws().to_vec()
    };
    assert_eq!(with_serial(&[0]), [Flaw::SerialNotPositive]);
    assert_eq!(with_serial(&[0xff, 0x01]), [Flaw::SerialNotPositive]);
    assert_eq!(with_serial(&[0x01; 21]), [Flaw::SerialTooLong]);
    assert_eq!(with_serial(&[0x00, 0x01]), [Flaw::NotDer]);

    let mut spec = issuing.ldevid(key.public(), 7);
    spec.validity.not_after = spec.validity.not_before.plus(-1);
    spec.extensions.authority_key_id = None;
    spec.signature = tenure_x509::SignatureAlgorithm::EcdsaSha1;
    let flaws = sign(&spec, &issuing.key).flaws().to_vec();
    assert_eq!(
        flaws,
        [
            Flaw::WeakSignature,
            Flaw::EndsBeforeItBegins,
            Flaw::NoAuthorityKeyId
        ]
    );
}

#[test]
fn a_text_of_several_certificates_is_read_in_order() {
    let (root, issuing) = chain();
    let text = format!(
        "# a bundle\n{}\nfree text\n{}",
        issuing.cert.pem(),
        root.cert.pem()
    );
    let found = pem_certificates(&text.replace('\n', "\r\n")).unwrap();
    assert_eq!(found, [issuing.cert, root.cert]);
    for wrong in [
        "",
        "-----BEGIN CERTIFICATE-----",
        "-----BEGIN CERTIFICATE-----\n@@\n-----END CERTIFICATE-----",
    ] {
        assert!(pem_certificates(wrong).is_err());
    }
}

/// What OpenSSL trusts, whatever the form: an anchor must not be able to hide in one.
#[test]
fn i3_a_file_of_a_trust_store_is_read_in_every_form() {
    let (root, issuing) = chain();
    let read = |file: &[u8]| anchor_certificates(file);
    assert_eq!(
        read(root.cert.der()).unwrap(),
        std::slice::from_ref(&root.cert)
    );
    // openssl x509 -trustout -addtrust clientAuth: the certificate, and then what it is trusted for.
    let settings = b"\x30\x0c\x30\x0a\x06\x08\x2b\x06\x01\x05\x05\x07\x03\x02";
    let trusted = [root.cert.der(), settings].concat();
    let trusted = tenure_x509::pem_encode("TRUSTED CERTIFICATE", &trusted);
    let mut file = b"0 Gr\xfc\xdfe\n".to_vec();
    file.extend(trusted.as_bytes());
    file.extend(tenure_x509::pem_encode("X509 CRL", b"not looked at").as_bytes());
    file.extend(issuing.cert.pem().as_bytes());
    assert_eq!(read(&file).unwrap(), [root.cert.clone(), issuing.cert]);
    assert_eq!(read(b"# nothing").unwrap(), []);
    let broken = tenure_x509::pem_encode("CERTIFICATE", &root.cert.der()[1..]);
    assert!(read(broken.as_bytes()).is_err());
    assert!(read(&root.cert.der()[..100]).is_err());
    assert!(read(&[root.cert.der(), b"x"].concat()).is_err());
}

mod any_specification {
    use super::*;
    use proptest::prelude::*;
    use std::sync::LazyLock;
    use tenure_x509::{CertificateSpec, Extensions, NameAttribute, Serial, Validity, oid};

    static ISSUER: LazyLock<Ca> = LazyLock::new(|| root(KeyKind::P256));

    fn san() -> impl Strategy<Value = SanName> {
        prop_oneof![
            "[a-z0-9-]{1,20}(\\.[a-z]{1,10}){0,3}".prop_map(SanName::Dns),
            "[a-z]{2,8}:[!-~]{1,200}".prop_map(SanName::Uri),
            "[a-z]{1,9}@[a-z]{1,9}".prop_map(SanName::Email),
            any::<[u8; 4]>().prop_map(|octets| SanName::Ip(octets.into())),
            any::<[u8; 16]>().prop_map(|octets| SanName::Ip(octets.into())),
            proptest::collection::vec(any::<u8>(), 0..40).prop_map(|serial| {
                SanName::HardwareModule {
                    hw_type: tenure_x509::ObjectIdentifier::new_unwrap("1.3.6.1.4.1.32473.1"),
                    serial,
                }
            }),
        ]
    }

    fn usage() -> impl Strategy<Value = KeyUsage> {
        const BITS: [KeyUsage; 9] = [
            KeyUsage::DIGITAL_SIGNATURE,
            KeyUsage::NON_REPUDIATION,
            KeyUsage::KEY_ENCIPHERMENT,
            KeyUsage::DATA_ENCIPHERMENT,
            KeyUsage::KEY_AGREEMENT,
            KeyUsage::KEY_CERT_SIGN,
            KeyUsage::CRL_SIGN,
            KeyUsage::ENCIPHER_ONLY,
            KeyUsage::DECIPHER_ONLY,
        ];
        any::<u16>().prop_map(|mask| {
            BITS.into_iter()
                .enumerate()
                .filter(|(position, _)| mask & (1 << position) != 0)
                .fold(KeyUsage::NONE, |all, (_, bit)| all | bit)
        })
    }

    fn ca() -> impl Strategy<Value = CaConstraint> {
        prop_oneof![
            Just(CaConstraint::Absent),
            Just(CaConstraint::NotCa),
            proptest::option::of(any::<u8>()).prop_map(|path_len| CaConstraint::Ca { path_len }),
        ]
    }

    fn urls() -> impl Strategy<Value = Vec<String>> {
        proptest::collection::vec("http://[a-z.]{1,30}/[!-~]{0,200}", 0..4)
    }

    fn extensions() -> impl Strategy<Value = Extensions> {
        let ids = proptest::option::of(proptest::collection::vec(any::<u8>(), 0..33));
        let purposes = prop::sample::subsequence(
            vec![
                oid::CLIENT_AUTH,
                oid::SERVER_AUTH,
                oid::CMC_RA,
                oid::SAFETY_COMMUNICATION,
            ],
            0..=4,
        );
        let presence = prop::sample::select(vec![Presence::Absent, Presence::Present]);
        let sans = proptest::collection::vec(san(), 0..6);
        (
            (ca(), usage(), purposes, sans),
            (ids.clone(), ids, urls(), urls(), urls()),
            (presence.clone(), presence),
        )
            .prop_map(|(first, second, third)| Extensions {
                ca: first.0,
                key_usage: first.1,
                ext_key_usage: first.2,
                san: first.3,
                subject_key_id: second.0,
                authority_key_id: second.1,
                crl_urls: second.2,
                ocsp_urls: second.3,
                ca_issuer_urls: second.4,
                ocsp_nocheck: third.0,
                no_rev_avail: third.1,
            })
    }

    proptest! {
        #[test]
        fn is_written_as_the_typed_encoder_writes_it_and_read_back(
            extensions in extensions(),
            random in any::<[u8; 20]>(),
            begin in 0..250_000_000_000i64, // the typed encoder begins in 1970
            life in 0i64..10_000_000_000,
            common_name in proptest::option::of("\\PC{1,64}"),
        ) {
            let subject = common_name.map_or(Name::empty(), |text| {
                Name::build(&[(NameAttribute::CommonName, &text)]).unwrap()
            });
            let not_before = Time::from_unix(begin);
            let spec = CertificateSpec {
                serial: Serial::from_random(random),
                signature: ISSUER.key.signature_algorithm(),
                issuer: ISSUER.cert.subject().clone(),
                validity: Validity { not_before, not_after: not_before.plus(life) },
                subject,
                public_key: ISSUER.key.public().clone(),
                extensions,
            };
            let cert = sign(&spec, &ISSUER.key);
            assert_same_as_typed_encoder(&cert);
            prop_assert_eq!(cert.serial(), &spec.serial);
            prop_assert_eq!(cert.subject(), &spec.subject);
            prop_assert_eq!(cert.validity(), spec.validity);
            let wanted = &spec.extensions;
            let usage = cert.key_usage().unwrap_or_default();
            prop_assert_eq!(usage, wanted.key_usage);
            prop_assert_eq!(cert.ext_key_usage().unwrap_or_default(), &wanted.ext_key_usage);
            prop_assert_eq!(cert.san(), &wanted.san);
            prop_assert_eq!(cert.crl_urls(), &wanted.crl_urls);
            prop_assert_eq!(cert.ocsp_urls(), &wanted.ocsp_urls);
            prop_assert_eq!(cert.ca_issuer_urls(), &wanted.ca_issuer_urls);
            prop_assert_eq!(cert.subject_key_id(), wanted.subject_key_id.as_deref());
            prop_assert_eq!(cert.authority_key_id(), wanted.authority_key_id.as_deref());
            let ca = matches!(wanted.ca, CaConstraint::Ca { .. });
            prop_assert_eq!(cert.is_ca(), ca);
            prop_assert!(!cert.flaws().contains(&Flaw::NotDer));
            cert.verify_signed_by(ISSUER.key.public()).unwrap();
        }
    }
}
