//! OCSP, both sides.

use std::path::Path;

use proptest::prelude::*;
use tenure_x509::ocsp::{
    Answer, CertStatus, Failure, HashKind, OcspRequest, OcspResponse, Responder, decode_get_path,
};
use tenure_x509::{
    CaConstraint, Cert, Error, KeyKind, KeyPair, KeyUsage, ObjectIdentifier, Presence, Reason,
    Time, oid,
};

use crate::assert_lint;
use crate::support::{Ca, DAY, NOW, name, openssl_available, put, root, run, serial, sign};

const NONCE: [u8; 32] = [0x4e; 32];

struct Scene {
    root: Ca,
    ca: Ca,
    delegate: Ca,
    leaf: Cert,
}

fn scene(kind: KeyKind) -> Scene {
    let root = root(kind);
    let ca = root.sub_ca(kind, "Issuing", Some(0));
    let leaf = sign(
        &ca.ldevid(KeyPair::generate(kind).unwrap().public(), 7),
        &ca.key,
    );
    let delegate = delegate(&ca, kind, vec![oid::OCSP_SIGNING]);
    Scene {
        root,
        ca,
        delegate,
        leaf,
    }
}

fn delegate(ca: &Ca, kind: KeyKind, usage: Vec<ObjectIdentifier>) -> Ca {
    let key = KeyPair::generate(kind).unwrap();
    let mut spec = ca.spec(name("Responder"), key.public(), 9);
    spec.extensions.ca = CaConstraint::NotCa;
    spec.extensions.key_usage = KeyUsage::DIGITAL_SIGNATURE;
    spec.extensions.ext_key_usage = usage;
    spec.extensions.subject_key_id = Some(key.public().key_id().to_vec());
    spec.extensions.ocsp_nocheck = Presence::Present;
    let cert = sign(&spec, &ca.key);
    Ca { key, cert }
}

impl Scene {
    fn responder(&self) -> Responder {
        let (name, key) = (self.ca.cert.subject(), self.ca.cert.public_key());
        let signature = self.delegate.key.signature_algorithm();
        Responder::delegated(name, key, &self.delegate.cert, signature).unwrap()
    }

    fn request(&self, kind: HashKind, nonce: Option<&[u8]>) -> Vec<u8> {
        let (name, key) = (self.ca.cert.subject(), self.ca.cert.public_key());
        OcspRequest::build(name, key, self.leaf.serial(), kind, nonce).unwrap()
    }

    fn respond(&self, request: &[u8], status: CertStatus) -> Vec<u8> {
        respond(&self.responder(), &self.delegate.key, request, status)
    }

    fn verify(&self, response: &[u8], nonce: Option<&[u8]>, at: Time) -> Result<CertStatus, Error> {
        let response = OcspResponse::from_der(response)?;
        let verified = response.verify(&self.ca.cert, self.leaf.serial(), nonce, at)?;
        Ok(verified.status())
    }
}

fn respond(responder: &Responder, key: &KeyPair, request: &[u8], status: CertStatus) -> Vec<u8> {
    let request = OcspRequest::from_der(request).unwrap();
    assert!(responder.knows_all(&request));
    let answer = |id| Answer {
        id,
        status,
        this_update: NOW,
        next_update: NOW.plus(3600),
    };
    let answers: Vec<_> = request.asked().iter().map(answer).collect();
    responder
        .respond(&answers, request.nonce(), NOW, |data| key.sign(data))
        .unwrap()
}

const REVOKED: CertStatus = CertStatus::Revoked {
    at: Time::from_unix(1_795_000_000),
    reason: Reason::KeyCompromise,
};

fn statuses() -> [CertStatus; 5] {
    let unspecified = CertStatus::Revoked {
        at: NOW.plus(-DAY),
        reason: Reason::Unspecified,
    };
    [
        CertStatus::Good,
        REVOKED,
        unspecified,
        CertStatus::NeverIssued,
        CertStatus::Unknown,
    ]
}

#[test]
fn what_we_answer_we_believe() {
    for kind in [
        KeyKind::P256,
        KeyKind::P384,
        KeyKind::Ed25519,
        KeyKind::Rsa2048,
    ] {
        let scene = scene(kind);
        for status in statuses() {
            for hash in [HashKind::Sha256, HashKind::Sha1] {
                for nonce in [None, Some(NONCE.as_slice())] {
                    let response = scene.respond(&scene.request(hash, nonce), status);
                    assert_eq!(scene.verify(&response, nonce, NOW), Ok(status));
                }
            }
        }
    }
}

#[test]
fn the_issuer_itself_may_answer() {
    let scene = scene(KeyKind::P256);
    let ca = &scene.ca;
    let algorithm = ca.key.signature_algorithm();
    let responder = Responder::issuer(ca.cert.subject(), ca.cert.public_key(), algorithm).unwrap();
    let request = scene.request(HashKind::Sha256, None);
    let response = respond(&responder, &ca.key, &request, CertStatus::Good);
    assert_eq!(scene.verify(&response, None, NOW), Ok(CertStatus::Good));
    let OcspResponse::Basic(basic) = OcspResponse::from_der(&response).unwrap() else {
        panic!()
    };
    assert!(basic.certificates().is_empty());
}

/// RFC 6960 section 2.2 and 4.4.8.
#[test]
fn a_serial_never_issued_is_on_hold_since_1970() {
    let scene = scene(KeyKind::P256);
    let response = scene.respond(
        &scene.request(HashKind::Sha256, None),
        CertStatus::NeverIssued,
    );
    let extended_revoke = [0x06, 0x09, 0x2b, 6, 1, 5, 5, 7, 0x30, 1, 9, 0x04, 2, 5, 0];
    assert!(
        response
            .windows(extended_revoke.len())
            .any(|octets| octets == extended_revoke)
    );
    let revoked = b"\xa1\x16\x18\x0f19700101000000Z\xa0\x03\x0a\x01\x06";
    assert!(
        response
            .windows(revoked.len())
            .any(|octets| octets == revoked)
    );
}

#[test]
fn the_certificate_identifier_is_repeated_octet_for_octet() {
    let scene = scene(KeyKind::P256);
    for hash in [HashKind::Sha256, HashKind::Sha1] {
        let der = scene.request(hash, None);
        // SEQUENCE { SEQUENCE { SEQUENCE { SEQUENCE { CertID
        let id = &der[8..];
        let response = scene.respond(&der, CertStatus::Good);
        assert!(response.windows(id.len()).any(|octets| octets == id));
    }
}

#[test]
fn a_response_is_believed_for_its_certificate_nonce_and_time_only() {
    let scene = scene(KeyKind::P256);
    let request = scene.request(HashKind::Sha256, Some(&NONCE));
    let response = scene.respond(&request, CertStatus::Good);
    let good = |nonce: &[u8], at| scene.verify(&response, Some(nonce), at);
    assert_eq!(good(&NONCE, NOW), Ok(CertStatus::Good));
    assert!(matches!(
        good(&[1; 32], NOW),
        Err(Error::Inconsistent { .. })
    ));
    // Five minutes of clock skew at the start, none at the end.
    assert_eq!(good(&NONCE, NOW.plus(-300)), Ok(CertStatus::Good));
    assert!(good(&NONCE, NOW.plus(-301)).is_err());
    assert_eq!(good(&NONCE, NOW.plus(3600)), Ok(CertStatus::Good));
    assert!(good(&NONCE, NOW.plus(3601)).is_err());
    let parsed = OcspResponse::from_der(&response).unwrap();
    assert!(
        parsed
            .verify(&scene.ca.cert, &serial(8), Some(&NONCE), NOW)
            .is_err()
    );
    assert!(
        parsed
            .verify(&scene.root.cert, scene.leaf.serial(), Some(&NONCE), NOW)
            .is_err()
    );
    // Made in advance, without a nonce: RFC 9919 wants it accepted.
    let ahead = scene.respond(&scene.request(HashKind::Sha256, None), CertStatus::Good);
    assert_eq!(
        scene.verify(&ahead, Some(&NONCE), NOW),
        Ok(CertStatus::Good)
    );
}

#[test]
fn only_a_responder_the_issuer_has_named_is_believed() {
    let scene = scene(KeyKind::P256);
    let (subject, key) = (scene.ca.cert.subject(), scene.ca.cert.public_key());
    let request = scene.request(HashKind::Sha256, None);
    // The right issuer, but not for this purpose.
    let client = delegate(&scene.ca, KeyKind::P256, vec![oid::CLIENT_AUTH]);
    let algorithm = client.key.signature_algorithm();
    let responder = Responder::delegated(subject, key, &client.cert, algorithm).unwrap();
    let response = respond(&responder, &client.key, &request, CertStatus::Good);
    assert!(matches!(
        scene.verify(&response, None, NOW),
        Err(Error::Inconsistent { .. })
    ));
    // The right purpose, but of another issuer of the same name.
    let other = scene.root.sub_ca(KeyKind::P256, "Issuing", Some(0));
    let stranger = delegate(&other, KeyKind::P256, vec![oid::OCSP_SIGNING]);
    assert!(Responder::delegated(subject, key, &stranger.cert, algorithm).is_err());
    let mut forged = scene.respond(&request, CertStatus::Good);
    assert_eq!(scene.verify(&forged, None, NOW), Ok(CertStatus::Good));
    let responder = Responder::delegated(
        other.cert.subject(),
        other.cert.public_key(),
        &stranger.cert,
        algorithm,
    );
    let asked = OcspRequest::from_der(&request).unwrap();
    let responder = responder.unwrap();
    assert!(!responder.knows_all(&asked));
    let answers = [Answer {
        id: &asked.asked()[0],
        status: CertStatus::Good,
        this_update: NOW,
        next_update: NOW.plus(60),
    }];
    forged = responder
        .respond(&answers, None, NOW, |data| stranger.key.sign(data))
        .unwrap();
    assert!(scene.verify(&forged, None, NOW).is_err());
    // The right certificate, but another key's signature.
    forged = respond(&scene.responder(), &other.key, &request, CertStatus::Good);
    assert!(matches!(
        scene.verify(&forged, None, NOW),
        Err(Error::Inconsistent { .. })
    ));
}

#[test]
fn altered_and_cut_responses_are_never_believed_and_never_panic() {
    let scene = scene(KeyKind::P256);
    let response = scene.respond(&scene.request(HashKind::Sha256, Some(&NONCE)), REVOKED);
    for end in 0..response.len() {
        assert!(OcspResponse::from_der(&response[..end]).is_err(), "{end}");
    }
    for at in 0..response.len() {
        for mask in [0x01, 0x80, 0xff] {
            let mut altered = response.clone();
            altered[at] ^= mask;
            let verified = scene.verify(&altered, Some(&NONCE), NOW);
            assert!(matches!(verified, Err(_) | Ok(REVOKED)), "{at}");
        }
    }
}

#[test]
fn failures_have_their_numbers() {
    let all = [
        (Failure::MalformedRequest, 1),
        (Failure::InternalError, 2),
        (Failure::TryLater, 3),
        (Failure::SigRequired, 5),
        (Failure::Unauthorized, 6),
    ];
    let scene = scene(KeyKind::P256);
    for (failure, number) in all {
        let der = failure.to_der();
        assert_eq!(der, [0x30, 3, 0x0a, 1, number]);
        let response = OcspResponse::from_der(&der).unwrap();
        assert!(matches!(&response, OcspResponse::Failed(found) if *found == failure));
        assert!(
            response
                .verify(&scene.ca.cert, scene.leaf.serial(), None, NOW)
                .is_err()
        );
    }
    assert!(OcspResponse::from_der(&[0x30, 3, 0x0a, 1, 4]).is_err());
}

/// A request built by hand: CertIDs, an optional nonce extension value, an optional critical flag.
fn tlv(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let value = parts.concat();
    let mut out = vec![tag];
    match value.len() {
        len @ 0..0x80 => out.push(len as u8),
        len @ 0x80..0x100 => out.extend([0x81, len as u8]),
        len => out.extend([0x82, (len >> 8) as u8, len as u8]),
    }
    out.extend(value);
    out
}

fn cert_id(serial: &[u8]) -> Vec<u8> {
    let algorithm = tlv(0x30, &[b"\x06\x05\x2b\x0e\x03\x02\x1a"]);
    let hash = tlv(0x04, &[&[7; 20]]);
    tlv(0x30, &[&algorithm, &hash, &hash, &tlv(0x02, &[serial])])
}

fn request(singles: &[Vec<u8>], extensions: &[&[u8]]) -> Vec<u8> {
    let singles: Vec<&[u8]> = singles.iter().map(Vec::as_slice).collect();
    let list = tlv(0x30, &singles);
    let extensions = match extensions {
        [] => Vec::new(),
        some => tlv(0xa2, &[&tlv(0x30, some)]),
    };
    tlv(0x30, &[&tlv(0x30, &[&list, &extensions])])
}

const NONCE_OID: &[u8] = b"\x06\x09\x2b\x06\x01\x05\x05\x07\x30\x01\x02";

fn nonce_extension(nonce: &[u8]) -> Vec<u8> {
    tlv(0x30, &[NONCE_OID, &tlv(0x04, &[&tlv(0x04, &[nonce])])])
}

/// RFC 9654 section 2.1: 1 to 128 octets.
#[test]
fn nonces_of_0_and_129_octets_are_malformed() {
    let single = vec![tlv(0x30, &[&cert_id(&[1])])];
    for (length, accepted) in [(0, false), (1, true), (32, true), (128, true), (129, false)] {
        let nonce = vec![9; length];
        let der = request(&single, &[&nonce_extension(&nonce)]);
        match OcspRequest::from_der(&der) {
            Ok(request) => {
                assert!(accepted, "{length}");
                assert_eq!(request.nonce(), Some(nonce.as_slice()));
            }
            Err(error) => assert!(!accepted && matches!(error, Error::Malformed { .. })),
        }
    }
    let bare = tlv(0x30, &[NONCE_OID, &tlv(0x04, &[&[9; 16]])]);
    assert!(OcspRequest::from_der(&request(&single, &[&bare])).is_err());
}

#[test]
fn unusual_requests_are_read_and_wrong_ones_refused() {
    let single = tlv(0x30, &[&cert_id(&[1])]);
    // Extensions of the request and of a single one, a requestor name, a version, a signature.
    let unknown = tlv(0x30, &[b"\x06\x03\x2a\x03\x04", &tlv(0x04, &[b"\x05\x00"])]);
    let with_extension = tlv(
        0x30,
        &[&cert_id(&[2]), &tlv(0xa0, &[&tlv(0x30, &[&unknown])])],
    );
    let list = tlv(0x30, &[&single, &with_extension]);
    let requestor = tlv(0xa1, &[&tlv(0x82, &[b"device.example"])]);
    let extensions = tlv(0xa2, &[&tlv(0x30, &[&unknown, &nonce_extension(&[5])])]);
    let tbs = tlv(
        0x30,
        &[b"\xa0\x03\x02\x01\x00", &requestor, &list, &extensions],
    );
    let signature = tlv(0xa0, &[&tlv(0x30, &[b"\x30\x00\x03\x01\x00"])]);
    let der = tlv(0x30, &[&tbs, &signature]);
    let parsed = OcspRequest::from_der(&der).unwrap();
    let serials: Vec<_> = parsed.asked().iter().map(|id| id.serial_octets()).collect();
    assert_eq!(
        (serials, parsed.nonce()),
        (vec![&[1][..], &[2]], Some(&[5][..]))
    );

    let critical = tlv(
        0x30,
        &[
            b"\x06\x03\x2a\x03\x04\x01\x01\xff",
            &tlv(0x04, &[b"\x05\x00"]),
        ],
    );
    let refused = |der: &[u8]| assert!(OcspRequest::from_der(der).is_err());
    refused(&request(std::slice::from_ref(&single), &[&critical]));
    refused(&request(&[], &[]));
    refused(&request(&vec![single.clone(); 17], &[]));
    assert_eq!(
        OcspRequest::from_der(&request(&vec![single.clone(); 16], &[]))
            .unwrap()
            .asked()
            .len(),
        16
    );
    refused(&tlv(
        0x30,
        &[&tlv(
            0x30,
            &[b"\xa0\x03\x02\x01\x01", &tlv(0x30, &[&single])],
        )],
    ));
    refused(&[request(&[single], &[]), vec![0]].concat());
    refused(b"");
}

#[test]
fn a_hash_we_do_not_know_names_no_issuer_of_ours() {
    let scene = scene(KeyKind::P256);
    let algorithm = tlv(0x30, &[b"\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x02"]);
    let hash = tlv(0x04, &[&[7; 48]]);
    let id = tlv(0x30, &[&algorithm, &hash, &hash, b"\x02\x01\x01"]);
    let der = request(&[tlv(0x30, &[&id])], &[]);
    let parsed = OcspRequest::from_der(&der).unwrap();
    assert_eq!(parsed.asked()[0].hash_kind(), None);
    assert!(!scene.responder().knows_all(&parsed));
}

proptest! {
    #[test]
    fn a_request_survives_the_path_of_a_get(der in prop::collection::vec(any::<u8>(), 0..200), all: bool) {
        use base64::Engine as _;
        let text = base64::engine::general_purpose::STANDARD.encode(&der);
        let encoded: String = text
            .chars()
            .map(|c| match c {
                '+' | '/' | '=' => format!("%{:02X}", c as u8),
                c if all => format!("%{:02x}", c as u8),
                c => c.to_string(),
            })
            .collect();
        for path in [text.clone(), encoded, text.replace('+', " "), text.replace('+', "%20"), text.replace('=', "")] {
            prop_assert_eq!(decode_get_path(&path), Ok(der.clone()));
        }
    }

    #[test]
    fn no_path_panics(path in "[A-Za-z0-9%+/= ]{0,40}") {
        let _ = decode_get_path(&path);
    }
}

#[test]
fn two_slashes_in_a_path_are_two_slashes() {
    assert_eq!(decode_get_path("MA//").unwrap(), [0x30, 0x0f, 0xff]);
    assert_eq!(decode_get_path("MA%2F%2f").unwrap(), [0x30, 0x0f, 0xff]);
    for bad in [
        "M",
        "MA/",
        "M=A/",
        "MA%",
        "MA%2",
        "MA%GG",
        "M\u{e4}//",
        "MA===",
    ] {
        assert!(decode_get_path(bad).is_err(), "{bad}");
    }
    assert!(matches!(
        decode_get_path(&"A".repeat(8193)),
        Err(Error::Unsupported { .. })
    ));
}

fn put_scene(dir: &Path, scene: &Scene) {
    put(
        dir,
        "roots.pem",
        scene.root.cert.pem() + &scene.ca.cert.pem(),
    );
    put(dir, "issuing.pem", scene.ca.cert.pem());
    put(dir, "leaf.pem", scene.leaf.pem());
}

#[test]
fn openssl_asks_and_believes_our_answers() {
    if !openssl_available() {
        return;
    }
    let at = NOW.unix().to_string();
    for kind in [KeyKind::P256, KeyKind::Rsa2048] {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        let scene = scene(kind);
        put_scene(dir, &scene);
        for hash in ["-sha1", "-sha256"] {
            for (status, word) in [
                (CertStatus::Good, "leaf.pem: good"),
                (REVOKED, "leaf.pem: revoked"),
                (CertStatus::NeverIssued, "leaf.pem: revoked"),
                (CertStatus::Unknown, "leaf.pem: unknown"),
            ] {
                let ask = ["ocsp", hash, "-issuer", "issuing.pem", "-cert", "leaf.pem"];
                let make = [&ask[..], &["-no_nonce", "-reqout", "request.der"]].concat();
                run(dir, "openssl", &make);
                let request = std::fs::read(dir.join("request.der")).unwrap();
                put(dir, "response.der", scene.respond(&request, status));
                let read = [
                    &ask[..],
                    &[
                        "-no_nonce",
                        "-respin",
                        "response.der",
                        "-CAfile",
                        "roots.pem",
                    ],
                    &["-attime", &at, "-validity_period", "1000000000"],
                ]
                .concat();
                let text = run(dir, "openssl", &read);
                assert!(
                    text.contains("Response verify OK") && text.contains(word),
                    "{text}"
                );
                assert!(
                    status != REVOKED || text.contains("Reason: keyCompromise"),
                    "{text}"
                );
                if (kind, hash) == (KeyKind::P256, "-sha256") {
                    assert_lint(dir, "lint_ocsp_response", &["response.der"]);
                }
            }
        }
        let make = [
            "ocsp",
            "-issuer",
            "issuing.pem",
            "-cert",
            "leaf.pem",
            "-nonce",
            "-reqout",
            "request.der",
        ];
        run(dir, "openssl", &make);
        let request = std::fs::read(dir.join("request.der")).unwrap();
        assert!(OcspRequest::from_der(&request).unwrap().nonce().is_some());
        put(
            dir,
            "response.der",
            scene.respond(&request, CertStatus::Good),
        );
        let read = [
            "ocsp",
            "-reqin",
            "request.der",
            "-respin",
            "response.der",
            "-CAfile",
            "roots.pem",
            "-attime",
            &at,
        ];
        let text = run(dir, "openssl", &read);
        assert!(
            text.contains("Response verify OK") && !text.contains("WARNING"),
            "{text}"
        );
        put(
            dir,
            "response.der",
            scene.respond(
                &scene.request(HashKind::Sha1, Some(&NONCE)),
                CertStatus::Good,
            ),
        );
        let (_, text) = crate::support::try_run(dir, "openssl", &read);
        assert!(text.contains("Nonce Verify error"), "{text}");
    }
}

#[test]
fn we_believe_the_answers_of_openssl() {
    if !openssl_available() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let scene = scene(KeyKind::P256);
    put_scene(dir, &scene);
    put(dir, "responder.pem", scene.delegate.cert.pem());
    put(
        dir,
        "responder.key",
        scene.delegate.key.to_pem().unwrap().as_bytes(),
    );
    let hex = scene.leaf.serial().to_string().to_uppercase();
    for (row, by_key) in [
        (format!("V\t300101000000Z\t\t{hex}\tunknown\t/CN=a\n"), true),
        (
            format!("R\t300101000000Z\t260301120000Z,keyCompromise\t{hex}\tunknown\t/CN=a\n"),
            false,
        ),
        (String::new(), true),
    ] {
        put(dir, "index.txt", &row);
        put(
            dir,
            "request.der",
            scene.request(HashKind::Sha256, Some(&NONCE)),
        );
        let mut args = vec![
            "ocsp",
            "-index",
            "index.txt",
            "-CA",
            "issuing.pem",
            "-rsigner",
            "responder.pem",
            "-rkey",
            "responder.key",
            "-reqin",
            "request.der",
            "-respout",
            "response.der",
            "-ndays",
            "2",
        ];
        if by_key {
            args.push("-resp_key_id");
        }
        run(dir, "openssl", &args);
        let response = std::fs::read(dir.join("response.der")).unwrap();
        // OpenSSL takes the time from the clock, and so the test from the response.
        let OcspResponse::Basic(basic) = OcspResponse::from_der(&response).unwrap() else {
            panic!()
        };
        let single = &basic.responses()[0];
        let expected = match row.chars().next() {
            Some('V') => CertStatus::Good,
            Some(_) => CertStatus::Revoked {
                at: Time::parse_rfc3339("2026-03-01T12:00:00Z").unwrap(),
                reason: Reason::KeyCompromise,
            },
            None => CertStatus::Unknown,
        };
        assert_eq!(single.status, expected);
        assert_eq!(basic.nonce(), Some(NONCE.as_slice()));
        let now = single.this_update;
        if scene.delegate.cert.validity().contains(now) {
            assert_eq!(scene.verify(&response, Some(&NONCE), now), Ok(expected));
        }
    }
}
