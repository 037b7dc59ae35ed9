//! Certificates in an envelope.

use tenure_x509::cms::{certs_only, parse_certs_only};
use tenure_x509::{Cert, Error, KeyKind};

use crate::support::{Ca, openssl_available, put, root, run};

fn chain() -> (Ca, Ca) {
    let root = root(KeyKind::P256);
    let issuing = root.sub_ca(KeyKind::P256, "Issuing", Some(0));
    (root, issuing)
}

fn ders(certs: &[Cert]) -> Vec<&[u8]> {
    certs.iter().map(Cert::der).collect()
}

#[test]
fn certificates_come_out_as_they_went_in() {
    let (root, issuing) = chain();
    let mut sorted = vec![root.cert.der(), issuing.cert.der()];
    sorted.sort();
    let message = certs_only(&[root.cert.der(), issuing.cert.der()]);
    assert_eq!(ders(&parse_certs_only(&message).unwrap()), sorted);
    assert_eq!(message, certs_only(&[issuing.cert.der(), root.cert.der()]));
    assert!(parse_certs_only(&certs_only(&[])).unwrap().is_empty());
}

#[test]
fn openssl_reads_what_we_write() {
    if !openssl_available() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let (root, issuing) = chain();
    put(
        dir,
        "message.p7",
        certs_only(&[root.cert.der(), issuing.cert.der()]),
    );
    let args = [
        "pkcs7",
        "-inform",
        "DER",
        "-in",
        "message.p7",
        "-print_certs",
    ];
    let printed = run(dir, "openssl", &args);
    assert_eq!(printed.matches("BEGIN CERTIFICATE").count(), 2, "{printed}");
    let args = [
        "cms",
        "-cmsout",
        "-inform",
        "DER",
        "-in",
        "message.p7",
        "-outform",
        "DER",
        "-out",
        "again.p7",
    ];
    run(dir, "openssl", &args);
    // Read and written by OpenSSL, it has the same octets.
    assert_eq!(
        std::fs::read(dir.join("again.p7")).unwrap(),
        std::fs::read(dir.join("message.p7")).unwrap()
    );
}

#[test]
fn we_read_what_openssl_writes() {
    if !openssl_available() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let (root, issuing) = chain();
    put(dir, "chain.pem", root.cert.pem() + &issuing.cert.pem());
    let args = [
        "crl2pkcs7",
        "-nocrl",
        "-certfile",
        "chain.pem",
        "-outform",
        "DER",
        "-out",
        "message.p7",
    ];
    run(dir, "openssl", &args);
    let found = parse_certs_only(&std::fs::read(dir.join("message.p7")).unwrap()).unwrap();
    assert_eq!(ders(&found), [root.cert.der(), issuing.cert.der()]);

    // A message that is signed, and has content and attributes, holds certificates all the same.
    put(dir, "key.pem", issuing.key.to_pem().unwrap().as_bytes());
    put(dir, "issuing.pem", issuing.cert.pem());
    put(dir, "text", "something");
    for stream in ["-stream", "-nodetach"] {
        let args = [
            "cms",
            "-sign",
            "-nodetach",
            stream,
            "-binary",
            "-in",
            "text",
            "-signer",
            "issuing.pem",
            "-inkey",
            "key.pem",
            "-outform",
            "DER",
            "-out",
            "signed.p7",
        ];
        run(dir, "openssl", &args);
        let signed = std::fs::read(dir.join("signed.p7")).unwrap();
        assert_eq!(signed[1] == 0x80, stream == "-stream", "indefinite length");
        assert_eq!(
            ders(&parse_certs_only(&signed).unwrap()),
            [issuing.cert.der()]
        );
    }
}

/// As BouncyCastle writes it: indefinite lengths all the way down to the certificate.
#[test]
fn indefinite_lengths_are_read() {
    let (_, issuing) = chain();
    let message = [
        &[
            0x30, 0x80, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x02,
        ][..],
        &[
            0xa0, 0x80, 0x30, 0x80, 0x02, 0x01, 0x01, 0x31, 0x00, 0x30, 0x80, 0x06, 0x09,
        ],
        &[
            0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x01, 0x00, 0x00, 0xa0, 0x80,
        ],
        issuing.cert.der(),
        &[0x00, 0x00, 0x31, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00],
    ]
    .concat();
    assert_eq!(
        ders(&parse_certs_only(&message).unwrap()),
        [issuing.cert.der()]
    );
    for end in 0..message.len() {
        assert!(parse_certs_only(&message[..end]).is_err(), "{end}");
    }
}

#[test]
fn hostile_messages_are_refused() {
    let (_, issuing) = chain();
    let message = certs_only(&[issuing.cert.der()]);
    for end in 0..message.len() {
        assert!(parse_certs_only(&message[..end]).is_err(), "{end}");
    }
    for at in 0..message.len() {
        let mut altered = message.clone();
        altered[at] ^= 0x81;
        let _ = parse_certs_only(&altered);
    }
    let many = vec![issuing.cert.der(); 257];
    assert!(matches!(
        parse_certs_only(&certs_only(&many)),
        Err(Error::Unsupported { .. })
    ));
    assert_eq!(
        parse_certs_only(&certs_only(&many[1..])).unwrap().len(),
        256
    );
    let data = [
        0x30, 0x0b, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x01,
    ];
    assert!(matches!(
        parse_certs_only(&data),
        Err(Error::Unsupported { .. })
    ));
}
