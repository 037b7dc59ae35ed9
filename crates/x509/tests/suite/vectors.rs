//! Kept octets of another implementation: what we read in them must not change.

use tenure_x509::path::{PathFault, Purpose, validate};
use tenure_x509::{
    Cert, Csr, Error, Flaw, KeyAlgorithm, KeyUsage, ObjectIdentifier, SanName, SignatureAlgorithm,
    Time, oid,
};

fn octets(file: &str) -> Vec<u8> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("vectors")
        .join(file);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn cert(file: &str) -> Cert {
    Cert::from_der(&octets(file)).unwrap()
}

fn hardware_module() -> SanName {
    SanName::HardwareModule {
        hw_type: ObjectIdentifier::new_unwrap("1.3.6.1.4.1.32473.1"),
        serial: vec![0, 1, 0xff],
    }
}

/// 2027-01-01, within the validity of all of them.
const AT: Time = Time::from_unix(1_798_761_600);

#[test]
fn requests() {
    let names = [
        SanName::Dns("pump-7.plant.example".into()),
        SanName::Ip("192.0.2.7".parse().unwrap()),
        SanName::Ip("2001:db8::7".parse().unwrap()),
        SanName::Uri("urn:dev:ops:32473-pump-7".into()),
        SanName::Email("ops@plant.example".into()),
        hardware_module(),
    ];
    for (file, algorithm) in [
        ("csr-p256.der", KeyAlgorithm::P256),
        ("csr-p384.der", KeyAlgorithm::P384),
        ("csr-p521.der", KeyAlgorithm::P521),
        ("csr-ed25519.der", KeyAlgorithm::Ed25519),
        ("csr-rsa2048.der", KeyAlgorithm::Rsa(2048)),
        ("csr-rsa2048-pss.der", KeyAlgorithm::Rsa(2048)),
    ] {
        let csr = Csr::from_der(&octets(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
        assert_eq!(csr.public_key().algorithm(), algorithm, "{file}");
        assert_eq!(csr.san(), names, "{file}");
        let subject = "CN=pump 7,serialNumber=SN-0042,O=Acme Plant,C=DE";
        assert_eq!(csr.subject().to_string(), subject);
    }
    let csr = Csr::from_der(&octets("csr-no-extensions.der")).unwrap();
    assert_eq!(csr.san(), []);
    for file in ["csr-p256-sha1.der", "csr-rsa1024.der"] {
        let refused = Csr::from_der(&octets(file)).unwrap_err();
        assert!(
            matches!(refused, Error::Unsupported { .. }),
            "{file}: {refused}"
        );
    }
}

#[test]
fn a_chain() {
    let root = cert("chain-root.der");
    let issuing = cert("chain-issuing.der");
    let leaf = cert("chain-leaf.der");
    for cert in [&root, &issuing, &leaf] {
        assert_eq!(cert.flaws(), [], "{cert:?}");
    }
    assert!(root.is_ca() && issuing.is_ca() && !leaf.is_ca());
    assert_eq!((root.path_len(), issuing.path_len()), (None, Some(0)));
    assert_eq!(leaf.serial().to_string(), "7a01020304050609");
    assert_eq!(leaf.subject().serial_number().as_deref(), Some("SN-0042"));
    assert_eq!(leaf.signature_algorithm(), SignatureAlgorithm::RsaSha256);
    assert_eq!(leaf.key_usage(), Some(KeyUsage::DIGITAL_SIGNATURE));
    assert_eq!(
        leaf.ext_key_usage(),
        Some([oid::CLIENT_AUTH, oid::CONFIG_SIGNING].as_slice())
    );
    assert_eq!(
        leaf.crl_urls(),
        ["http://pki.example/1.crl", "http://other.example/1.crl"]
    );
    assert_eq!(leaf.ocsp_urls(), ["http://pki.example/ocsp"]);
    assert_eq!(leaf.ca_issuer_urls(), ["http://pki.example/issuing.cer"]);
    assert_eq!(leaf.authority_key_id(), issuing.subject_key_id());
    assert_eq!(
        leaf.subject_key_id(),
        Some(leaf.public_key().key_id().as_slice())
    );

    let judge = |leaf: &Cert| {
        validate(
            leaf,
            std::slice::from_ref(&issuing),
            std::slice::from_ref(&root),
            AT,
            Purpose::ClientAuth,
        )
        .map(|chain| chain.chain().len())
        .map_err(|error| error.fault)
    };
    assert_eq!(judge(&leaf), Ok(3));
    for outside in ["chain-leaf-office.der", "chain-leaf-elsewhere.der"] {
        assert_eq!(
            judge(&cert(outside)),
            Err(PathFault::NameNotPermitted),
            "{outside}"
        );
    }
}

#[test]
fn an_identity_that_never_ends() {
    let idevid = cert("idevid-never.der");
    assert!(idevid.validity().not_after.is_never());
    assert_eq!(idevid.san(), [hardware_module()]);
    assert_eq!(idevid.ext_key_usage(), None);
    assert_eq!(idevid.flaws(), []);
    let root = cert("chain-root.der");
    validate(&idevid, &[], &[root], AT, Purpose::ClientAuth).unwrap();
}

#[test]
fn flawed_certificates() {
    for (file, serial, flaw) in [
        ("flaw-negative-serial.der", "fb", Flaw::SerialNotPositive),
        ("flaw-zero-serial.der", "00", Flaw::SerialNotPositive),
        (
            "flaw-long-serial.der",
            "0102030405060708090a0b0c0d0e0f101112131415161718",
            Flaw::SerialTooLong,
        ),
        ("flaw-sha1.der", "01", Flaw::WeakSignature),
        ("flaw-rsa1024.der", "01", Flaw::WeakKey),
        ("flaw-version1.der", "07", Flaw::NotVersion3),
    ] {
        let octets = octets(file);
        let cert = Cert::from_der(&octets).unwrap();
        let mut expected = vec![Flaw::NotVersion3, flaw]; // they have no extensions
        expected.dedup();
        assert_eq!(cert.flaws(), expected, "{file}");
        assert_eq!(cert.serial().to_string(), serial, "{file}");
        assert_eq!(cert.der(), octets);
    }
}

/// The signed octets as they are, wrapped the BER way: still the certificate, and flagged.
#[test]
fn ber_around_a_certificate_is_read_and_flagged() {
    let der = octets("chain-leaf.der");
    let [0x30, 0x82, _, _, contents @ ..] = der.as_slice() else {
        panic!("a header of four octets");
    };
    let indefinite = [&[0x30, 0x80], contents, &[0, 0]].concat();
    let longer = [&[0x30, 0x83, 0x00], &der[2..4], contents].concat();
    for ber in [indefinite, longer] {
        let cert = Cert::from_der(&ber).unwrap();
        assert_eq!(cert.flaws(), [Flaw::NotDer]);
        assert_eq!(cert.der(), ber);
        cert.verify_signed_by(super::vectors::cert("chain-issuing.der").public_key())
            .unwrap();
    }
}

#[test]
fn every_truncation_and_each_flipped_octet_of_every_vector() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors");
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "der") {
            continue;
        }
        seen += 1;
        let der = std::fs::read(&path).unwrap();
        for end in 0..der.len() {
            assert!(Csr::from_der(&der[..end]).is_err());
            assert!(Cert::from_der(&der[..end]).is_err());
        }
        for position in 0..der.len() {
            let mut altered = der.clone();
            altered[position] ^= 0x40;
            // signatures of requests are checked, so only certificates may come through
            if let Ok(cert) = Cert::from_der(&altered) {
                let _ = format!("{cert:?} {:?} {:?}", cert.flaws(), cert.san());
                let at = cert.validity().not_before;
                let anchors = std::slice::from_ref(&cert);
                let _ = validate(&cert, &[], anchors, at, Purpose::Any);
            }
        }
    }
    assert!(seen >= 20);
}
