//! Keys: making, storing, signing, checking.

use crate::support::{openssl_available, put, run, try_run};
use tenure_x509::{Error, KeyAlgorithm, KeyKind, KeyPair, PublicKey, SignatureAlgorithm};

const MESSAGE: &[u8] = b"the message";

#[test]
fn each_kind_signs_checks_and_survives_pkcs8() {
    for kind in KeyKind::ALL {
        let key = KeyPair::generate(kind).unwrap();
        let signature = key.sign(MESSAGE).unwrap();
        let algorithm = key.signature_algorithm();
        let public = PublicKey::from_spki_der(key.public().spki_der()).unwrap();
        public.verify(algorithm, MESSAGE, &signature).unwrap();
        assert_eq!(
            public.verify(algorithm, b"another", &signature),
            Err(Error::Inconsistent {
                what: "the signature does not match"
            })
        );
        let again = KeyPair::from_pkcs8(&key.to_pkcs8().unwrap()).unwrap();
        assert_eq!(again.public(), key.public());
        let pem = KeyPair::from_pem(&key.to_pem().unwrap()).unwrap();
        assert_eq!(pem.public().hash(), key.public().hash());
        assert_eq!(kind.name().parse::<KeyKind>().unwrap(), kind);
        let shown = format!("{key:?}");
        assert!(!shown.contains("secret"), "{shown}");
    }
}

#[test]
fn a_digest_is_signed_as_its_message_is() {
    use aws_lc_rs::digest;
    for kind in [KeyKind::P256, KeyKind::P384, KeyKind::Rsa2048] {
        let key = KeyPair::generate(kind).unwrap();
        let algorithm = key.signature_algorithm();
        let hash = algorithm.digest().unwrap();
        let digest = digest::digest(hash, MESSAGE);
        let signature = key.sign_digest(digest.as_ref()).unwrap();
        key.public().verify(algorithm, MESSAGE, &signature).unwrap();
        key.public()
            .verify_digest(algorithm, digest.as_ref(), &signature)
            .unwrap();
        assert!(key.sign_digest(&[0; 7]).is_err());
    }
    let key = KeyPair::generate(KeyKind::Ed25519).unwrap();
    assert!(matches!(
        key.sign_digest(&[0; 32]),
        Err(Error::Unsupported { .. })
    ));
}

#[test]
fn an_algorithm_that_does_not_suit_the_key_is_unsupported() {
    let key = KeyPair::generate(KeyKind::P256).unwrap();
    for algorithm in [
        SignatureAlgorithm::Ed25519,
        SignatureAlgorithm::RsaSha256,
        SignatureAlgorithm::Other,
    ] {
        assert!(!algorithm.suits(KeyAlgorithm::P256));
        assert!(matches!(
            key.public().verify(algorithm, MESSAGE, &[]),
            Err(Error::Unsupported { .. })
        ));
    }
}

#[test]
fn an_encrypted_key_opens_with_its_passphrase_alone() {
    let key = KeyPair::generate(KeyKind::P256).unwrap();
    let pem = key.to_encrypted_pem(b"correct horse").unwrap();
    let opened = KeyPair::from_encrypted_pem(&pem, b"correct horse").unwrap();
    assert_eq!(opened.public(), key.public());
    assert_eq!(
        KeyPair::from_encrypted_pem(&pem, b"battery").unwrap_err(),
        Error::WrongPassphrase
    );
    assert!(KeyPair::from_encrypted_pem("no key here", b"x").is_err());
    let plain = key.to_pem().unwrap();
    assert!(KeyPair::from_encrypted_pem(&plain, b"x").is_err());
}

#[test]
fn openssl_opens_our_key_files_and_we_open_its() {
    if !openssl_available() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let key = KeyPair::generate(KeyKind::P256).unwrap();
    put(
        dir,
        "ours.pem",
        key.to_encrypted_pem(b"correct horse").unwrap(),
    );
    let args = [
        "pkey",
        "-in",
        "ours.pem",
        "-passin",
        "pass:correct horse",
        "-pubout",
    ];
    let shown = run(dir, "openssl", &args);
    assert!(shown.contains("BEGIN PUBLIC KEY"), "{shown}");
    let (opened, _) = try_run(
        dir,
        "openssl",
        &["pkey", "-in", "ours.pem", "-passin", "pass:wrong", "-noout"],
    );
    assert!(!opened);

    for (file, make) in [
        (
            "p256",
            ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"].as_slice(),
        ),
        (
            "p384",
            &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"],
        ),
        (
            "p521",
            &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-521"],
        ),
        ("ed25519", &["-algorithm", "ED25519"]),
        (
            "rsa",
            &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
        ),
    ] {
        let mut args = vec!["genpkey", "-out", file, "-aes256", "-pass", "pass:abcd"];
        args.extend(make);
        run(dir, "openssl", &args);
        let text = std::fs::read_to_string(dir.join(file)).unwrap();
        let key = KeyPair::from_encrypted_pem(&text, b"abcd").unwrap();
        let signature = key.sign(MESSAGE).unwrap();
        key.public()
            .verify(key.signature_algorithm(), MESSAGE, &signature)
            .unwrap();
    }
}

#[test]
fn algorithm_identifiers_round_trip() {
    use SignatureAlgorithm as A;
    for algorithm in [
        A::EcdsaSha256,
        A::EcdsaSha384,
        A::EcdsaSha512,
        A::Ed25519,
        A::RsaSha256,
        A::RsaSha384,
        A::RsaSha512,
        A::RsaPssSha256,
        A::RsaPssSha384,
        A::RsaPssSha512,
        A::EcdsaSha1,
        A::RsaSha1,
    ] {
        use der::Decode as _;
        let der = algorithm.as_der().unwrap();
        assert_eq!(SignatureAlgorithm::from_der(der).unwrap(), algorithm);
        spki::AlgorithmIdentifierOwned::from_der(der).unwrap();
    }
    // sha256WithRSAEncryption without its NULL, ecdsa-with-SHA256 with one
    let bare = b"\x30\x0b\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b";
    assert_eq!(SignatureAlgorithm::from_der(bare).unwrap(), A::RsaSha256);
    let null = b"\x30\x0c\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02\x05\x00";
    assert_eq!(SignatureAlgorithm::from_der(null).unwrap(), A::EcdsaSha256);
    // RSASSA-PSS with default parameters means SHA-1
    let pss = b"\x30\x0b\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0a";
    assert_eq!(SignatureAlgorithm::from_der(pss).unwrap(), A::Other);
    assert!(A::Other.as_der().is_err());
}

#[test]
fn hostile_public_keys_are_refused() {
    let key = KeyPair::generate(KeyKind::P256).unwrap();
    let good = key.public().spki_der();
    for end in 0..good.len() {
        assert!(PublicKey::from_spki_der(&good[..end]).is_err());
    }
    let mut off_curve = good.to_vec();
    *off_curve.last_mut().unwrap() ^= 1;
    let off_curve = PublicKey::from_spki_der(&off_curve).unwrap();
    assert!(!off_curve.is_usable());
    assert!(
        off_curve
            .verify(SignatureAlgorithm::EcdsaSha256, MESSAGE, &[0; 70])
            .is_err()
    );

    let mut infinity = good.to_vec();
    infinity[26] = 0x00; // the point's form octet
    assert!(PublicKey::from_spki_der(&infinity).is_err());
}

#[test]
fn the_key_identifier_is_sha1_of_the_key_bits() {
    use x509_cert::der::Decode as _;
    let key = KeyPair::generate(KeyKind::P384).unwrap();
    let typed = spki::SubjectPublicKeyInfoOwned::from_der(key.public().spki_der()).unwrap();
    let bits = typed.subject_public_key.raw_bytes();
    assert_eq!(bits, key.public().key_bits());
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY, bits);
    assert_eq!(key.public().key_id(), digest.as_ref());
}
