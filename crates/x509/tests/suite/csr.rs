//! Certification requests, ours and OpenSSL's, good and hostile.

use crate::support::{name, openssl_available, put, run};
use tenure_x509::{CSR_OCTETS_MAX, Csr, Error, KeyKind, KeyPair, Name, SanName, oid};

fn names() -> Vec<SanName> {
    vec![
        SanName::Dns("pump-7.plant.example".into()),
        SanName::Ip("192.0.2.7".parse().unwrap()),
        SanName::Ip("2001:db8::7".parse().unwrap()),
        SanName::Uri("urn:dev:ops:32473-pump-7".into()),
        SanName::Email("ops@plant.example".into()),
        SanName::HardwareModule {
            hw_type: tenure_x509::ObjectIdentifier::new_unwrap("1.3.6.1.4.1.32473.1"),
            serial: vec![0, 1, 0xff],
        },
        SanName::Other(vec![0x88, 0x03, 0x2a, 0x03, 0x04]), // registeredID 1.2.3.4
    ]
}

#[test]
fn what_we_build_we_read_back() {
    for kind in [
        KeyKind::P256,
        KeyKind::P384,
        KeyKind::Ed25519,
        KeyKind::Rsa2048,
    ] {
        let key = KeyPair::generate(kind).unwrap();
        let der = Csr::build(&key, &name("pump-7"), &names()).unwrap();
        let csr = Csr::from_der(&der).unwrap();
        assert_eq!(csr.subject(), &name("pump-7"));
        assert_eq!(csr.san(), names());
        assert_eq!(csr.public_key(), key.public());
        assert_eq!(csr.der(), der);

        use der::{Decode as _, Encode as _};
        let typed = x509_cert::request::CertReq::from_der(&der).unwrap();
        assert_eq!(typed.to_der().unwrap(), der);
    }
}

#[test]
fn a_request_may_have_no_names_at_all() {
    let key = KeyPair::generate(KeyKind::P256).unwrap();
    let der = Csr::build(&key, &Name::empty(), &[]).unwrap();
    let csr = Csr::from_der(&der).unwrap();
    assert!(csr.subject().is_empty() && csr.san().is_empty());
}

#[test]
fn a_forged_or_altered_request_has_no_type() {
    let key = KeyPair::generate(KeyKind::P256).unwrap();
    let other = KeyPair::generate(KeyKind::P256).unwrap();
    let unsigned = Csr::unsigned(key.public(), &name("pump-7"), &[]).unwrap();
    let signature = other.sign(&unsigned).unwrap();
    let forged = Csr::assemble(&unsigned, key.signature_algorithm(), &signature).unwrap();
    assert!(matches!(
        Csr::from_der(&forged),
        Err(Error::Inconsistent { .. })
    ));

    let good = Csr::build(&key, &name("pump-7"), &names()).unwrap();
    for position in 0..good.len() {
        for bit in [0x01, 0x80] {
            let mut altered = good.clone();
            altered[position] ^= bit;
            assert!(Csr::from_der(&altered).is_err(), "octet {position}");
        }
    }
}

#[test]
fn truncated_trailing_and_oversized_requests_are_refused() {
    let key = KeyPair::generate(KeyKind::P256).unwrap();
    let good = Csr::build(&key, &name("pump-7"), &names()).unwrap();
    for end in 0..good.len() {
        assert!(Csr::from_der(&good[..end]).is_err(), "{end}");
    }
    let mut trailing = good.clone();
    trailing.push(0);
    assert!(Csr::from_der(&trailing).is_err());
    let huge = vec![0x30; CSR_OCTETS_MAX + 1];
    assert!(matches!(
        Csr::from_der(&huge),
        Err(Error::Unsupported { .. })
    ));
}

/// RSA-1024 and SHA-1 still exist; we do not take requests made with them.
#[test]
fn weak_requests_are_refused_and_strong_ones_of_openssl_taken() {
    if !openssl_available() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    put(
        dir,
        "req.cnf",
        "[req]\ndistinguished_name=dn\nprompt=no\nreq_extensions=ext\n[dn]\nCN=pump-7\n[ext]\n\
         subjectAltName=DNS:pump-7.plant.example,IP:192.0.2.7,\
         otherName:1.3.6.1.5.5.7.8.4;SEQ:hmn\n\
         1.3.6.1.4.1.311.20.2=ASN1:UTF8:Template\nkeyUsage=critical,digitalSignature\n[hmn]\n\
         hwType=OID:1.3.6.1.4.1.32473.1\nhwSerialNum=FORMAT:HEX,OCT:0001ff\n",
    );
    let request = |newkey: &[&str], digest: &str| {
        let mut args = vec![
            "req", "-new", "-nodes", "-config", "req.cnf", "-keyout", "k.pem",
        ];
        args.extend(["-outform", "DER", "-out", "r.der", digest, "-newkey"]);
        args.extend(newkey);
        run(dir, "openssl", &args);
        Csr::from_der(&std::fs::read(dir.join("r.der")).unwrap())
    };
    const P256: &[&str] = &["ec", "-pkeyopt", "ec_paramgen_curve:P-256"];
    for (newkey, digest) in [
        (P256, "-sha256"),
        (P256, "-sha384"),
        (&["ec", "-pkeyopt", "ec_paramgen_curve:P-384"], "-sha384"),
        (&["ed25519"], "-sha256"),
        (&["rsa:2048"], "-sha256"),
        (&["rsa:3072"], "-sha512"),
        (
            &[
                "rsa:2048",
                "-sigopt",
                "rsa_padding_mode:pss",
                "-sigopt",
                "rsa_pss_saltlen:32",
            ],
            "-sha256",
        ),
    ] {
        let csr = request(newkey, digest).unwrap_or_else(|e| panic!("{newkey:?} {digest}: {e}"));
        assert_eq!(csr.subject().common_name().as_deref(), Some("pump-7"));
        assert_eq!(
            csr.san(),
            [
                SanName::Dns("pump-7.plant.example".into()),
                SanName::Ip("192.0.2.7".parse().unwrap()),
                SanName::HardwareModule {
                    hw_type: tenure_x509::ObjectIdentifier::new_unwrap("1.3.6.1.4.1.32473.1"),
                    serial: vec![0, 1, 0xff],
                },
            ]
        );
    }
    for (newkey, digest) in [
        (P256, "-sha1"),
        (&["rsa:1024"], "-sha256"),
        (&["rsa:2048"], "-sha1"),
        (
            &["ec", "-pkeyopt", "ec_paramgen_curve:secp256k1"],
            "-sha256",
        ),
    ] {
        let refused = request(newkey, digest);
        assert!(
            matches!(refused, Err(Error::Unsupported { .. })),
            "{newkey:?} {refused:?}"
        );
    }
}

#[test]
fn openssl_verifies_our_request() {
    if !openssl_available() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let key = KeyPair::generate(KeyKind::P256).unwrap();
    put(
        dir.path(),
        "r.der",
        Csr::build(&key, &name("pump-7"), &names()).unwrap(),
    );
    let args = [
        "req", "-inform", "DER", "-in", "r.der", "-verify", "-noout", "-text",
    ];
    let shown = run(dir.path(), "openssl", &args);
    assert!(shown.contains("verify OK"), "{shown}");
    assert!(shown.contains("DNS:pump-7.plant.example"), "{shown}");
}

#[test]
fn names_that_cannot_be_written_are_refused() {
    let key = KeyPair::generate(KeyKind::P256).unwrap();
    for wrong in [
        SanName::Dns(String::new()),
        SanName::Dns("pümp".into()),
        SanName::Uri("http://a\nb".into()),
        SanName::Other(vec![]),
        SanName::Other(vec![0x0c, 0x01, b'x']),
        SanName::Other(vec![0x82, 0x01, b'x', 0x00]),
    ] {
        assert!(Csr::build(&key, &name("x"), &[wrong]).is_err());
    }
    assert_eq!(oid::EXTENSION_REQUEST.to_string(), "1.2.840.113549.1.9.14");
}

/// The same key must not come in a second encoding and pass for another one.
#[test]
fn each_key_has_one_encoding_in_a_request() {
    use tenure_x509::der::Writer;
    let request_with = |key: &KeyPair, spki: &[u8]| {
        let mut writer = Writer::new();
        writer.sequence(|body| {
            body.unsigned(0);
            body.raw(name("pump-7").as_der());
            body.raw(spki);
            body.nest(0xa0, |_| ());
        });
        let unsigned = writer.finish();
        let signature = key.sign(&unsigned).unwrap();
        let der = Csr::assemble(&unsigned, key.signature_algorithm(), &signature).unwrap();
        Csr::from_der(&der)
    };
    let spki = |algorithm: &dyn Fn(&mut Writer), bits: &[u8]| {
        let mut writer = Writer::new();
        writer.sequence(|spki| {
            spki.sequence(|identifier| algorithm(identifier));
            spki.octet_bits(bits);
        });
        writer.finish()
    };

    let rsa = KeyPair::generate(KeyKind::Rsa2048).unwrap();
    let usual = |identifier: &mut Writer| {
        identifier.oid(&oid::RSA_ENCRYPTION);
        identifier.null();
    };
    let bare = |identifier: &mut Writer| identifier.oid(&oid::RSA_ENCRYPTION);
    let bits = rsa.public().key_bits();
    assert!(request_with(&rsa, &spki(&usual, bits)).is_ok());
    assert!(request_with(&rsa, &spki(&bare, bits)).is_err());
    let (modulus, exponent) = rsa.public().rsa_components().unwrap();
    let mut padded = Writer::new();
    padded.sequence(|key| {
        key.integer(&[&[0, 0], modulus].concat());
        key.integer(exponent);
    });
    assert!(request_with(&rsa, &spki(&usual, &padded.finish())).is_err());

    let ec = KeyPair::generate(KeyKind::P256).unwrap();
    let curve = |identifier: &mut Writer| {
        identifier.oid(&oid::EC_PUBLIC_KEY);
        identifier.oid(&oid::SECP256R1);
    };
    let more = |identifier: &mut Writer| {
        curve(identifier);
        identifier.null();
    };
    let point = ec.public().key_bits();
    assert!(request_with(&ec, &spki(&curve, point)).is_ok());
    assert!(request_with(&ec, &spki(&more, point)).is_err());
    let compressed = [&[2 + (point[64] & 1)], &point[1..33]].concat();
    let refused = request_with(&ec, &spki(&curve, &compressed));
    assert!(matches!(refused, Err(Error::Unsupported { .. })));
}
