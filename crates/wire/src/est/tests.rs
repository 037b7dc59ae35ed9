use proptest::prelude::*;

use super::*;
use crate::limits::*;

/// A P-256 request as `openssl req -new` makes it, and what older clients do to its base64.
const REQUEST: &str = include_str!("vectors/request.b64");

fn request_der() -> Vec<u8> {
    decode_answer(REQUEST.as_bytes()).unwrap()
}

#[test]
fn a_request_is_read_however_it_is_laid_out() {
    let der = request_der();
    assert_eq!((der[0], der.len()), (0x30, 205));
    let one_line: String = REQUEST.split_whitespace().collect();
    let crlf = REQUEST.replace('\n', "\r\n");
    let pem = format!(
        "-----BEGIN CERTIFICATE REQUEST-----\n{REQUEST}-----END CERTIFICATE REQUEST-----\n"
    );
    let old_pem = pem
        .replace("CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST")
        .replace('\n', "\r\n");
    let unpadded = one_line.trim_end_matches('=').to_owned();
    for body in [REQUEST, &one_line, &crlf, &pem, &old_pem, &unpadded] {
        assert_eq!(
            parse_enroll(body.as_bytes(), Some(PKCS10)).unwrap(),
            der,
            "{body}"
        );
    }
    assert_eq!(parse_enroll(&der, Some(PKCS10)).unwrap(), der);
}

#[test]
fn the_media_type_may_have_any_case_and_parameters() {
    for good in [
        "application/pkcs10",
        "Application/PKCS10",
        "application/pkcs10; charset=utf-8",
        "application/pkcs10;name=\"a;b.p10\"",
        " application/pkcs10 ;",
    ] {
        assert!(
            parse_enroll(REQUEST.as_bytes(), Some(good)).is_ok(),
            "{good}"
        );
    }
    for bad in [
        None,
        Some(""),
        Some("application/x-www-form-urlencoded"),
        Some("application/pkcs10, text/plain"),
        Some("application/pkcs7-mime; smime-type=certs-only"),
    ] {
        let error = parse_enroll(REQUEST.as_bytes(), bad).unwrap_err();
        assert_eq!(error.status(), 415, "{bad:?}");
        assert!(error.to_string().contains("application/pkcs10"));
    }
}

#[test]
fn bad_bodies_say_what_is_wrong() {
    let status = |body: &[u8]| {
        let error = parse_enroll(body, Some(PKCS10)).unwrap_err();
        (error.status(), error.to_string())
    };
    let der = request_der();
    assert_eq!(status(b""), (400, "malformed: the body is empty".into()));
    assert_eq!(
        status(b" \r\n"),
        (400, "malformed: the body is empty".into())
    );
    assert_eq!(
        status(b"hello, world"),
        (400, "malformed: the body is not base64".into())
    );
    assert_eq!(
        status(b"aGVsbG8="),
        (400, "malformed: the body is not a DER sequence".into())
    );
    assert_eq!(
        status(&der[..200]),
        (400, "malformed: the body is cut off".into())
    );
    let longer = [&der[..], &[0]].concat();
    assert_eq!(
        status(&longer),
        (
            400,
            "malformed: there is more after the DER sequence".into()
        )
    );
    assert_eq!(
        status(b"-----BEGIN CERTIFICATE REQUEST-----\nMAA=\n"),
        (
            400,
            "malformed: the PEM text has no proper BEGIN and END line".into()
        )
    );
    let huge = vec![b'A'; ENROLL_BODY_BYTES_MAX + 1];
    assert_eq!(status(&huge).0, 413);
}

#[test]
fn answers_are_one_line_unless_a_label_wants_lines() {
    let der = request_der();
    let one = encode_body(&der, Wrapping::OneLine);
    assert_eq!(one.matches('\n').count(), 1);
    assert!(one.ends_with("\n"));
    let wrapped = encode_body(&der, Wrapping::Lines);
    assert!(wrapped.lines().all(|line| line.len() <= 64));
    assert_eq!(wrapped, REQUEST);
}

#[test]
fn paths_name_a_label_and_an_operation() {
    let plain = EstPath::parse("/.well-known/est/simpleenroll").unwrap();
    assert_eq!(
        plain,
        EstPath {
            label: None,
            operation: Operation::SimpleEnroll
        }
    );
    let labelled = EstPath::parse("/.well-known/est/line-7.sensor/cacerts").unwrap();
    assert_eq!(labelled.label.as_ref().unwrap().as_str(), "line-7.sensor");
    assert_eq!(
        labelled.to_string(),
        "/.well-known/est/line-7.sensor/cacerts"
    );
    let escaped = EstPath::parse("/.well-known/est/line%2D7/csrattrs").unwrap();
    assert_eq!(escaped.label.unwrap().as_str(), "line-7");
    for operation in Operation::ALL {
        let path = EstPath {
            label: None,
            operation,
        };
        assert_eq!(EstPath::parse(&path.to_string()).unwrap(), path);
    }
}

#[test]
fn strange_paths_are_refused() {
    for missing in [
        "",
        "/",
        "/.well-known/est",
        "/.well-known/est/",
        "/.well-known/est/enroll",
        "/.well-known/est/simpleenroll/",
        "/.well-known/est/a/b/simpleenroll",
        "/.well-known/establish/simpleenroll",
        "/.well-known/est/a/SimpleEnroll",
    ] {
        assert_eq!(
            EstPath::parse(missing).unwrap_err().status(),
            404,
            "{missing}"
        );
    }
    for bad in [
        "/.well-known/est//simpleenroll",
        "/.well-known/est/a%2Fb/simpleenroll",
        "/.well-known/est/a%2fb/simpleenroll",
        "/.well-known/est/a%5Cb/simpleenroll",
        "/.well-known/est/%2e%2e/simpleenroll",
        "/.well-known/est/a%252Fb/simpleenroll",
        "/.well-known/est/%zz/simpleenroll",
        "/.well-known/est/%/simpleenroll",
        "/.well-known/est/a b/simpleenroll",
        "/.well-known/est/caf\u{e9}/simpleenroll",
        "/.well-known/est/cacerts/simpleenroll",
        &format!("/.well-known/est/{}/simpleenroll", "a".repeat(65)),
    ] {
        assert_eq!(EstPath::parse(bad).unwrap_err().status(), 400, "{bad}");
    }
}

#[test]
fn basic_credentials_of_rfc_7617() {
    let aladdin = Credentials::parse("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==").unwrap();
    assert_eq!((aladdin.id(), aladdin.secret()), ("Aladdin", "open sesame"));
    let accents = Credentials::parse("basic  dGVzdDoxMjPCow==").unwrap();
    assert_eq!((accents.id(), accents.secret()), ("test", "123\u{a3}"));
    let colons = Credentials::new("d-1", "a:b:c").unwrap();
    assert_eq!(Credentials::parse(&colons.header()).unwrap(), colons);
    assert_eq!(format!("{colons:?}"), "Credentials { .. }");
    for bad in [
        "",
        "Basic",
        "Basic ***",
        "Basic QWxhZGRpbg==", // no colon
        "Basic OnNlY3JldA==", // no id
        "Basic /zphYmM=",     // not UTF-8
        "Basic YQphOmI=",     // a line break in the id
        "Bearer QWxhZGRpbjpvcGVuIHNlc2FtZQ==",
    ] {
        assert!(Credentials::parse(bad).is_err(), "{bad}");
    }
    assert!(Credentials::new("a:b", "c").is_err());
    assert!(Credentials::parse(&format!("Basic {}", "A".repeat(5000))).is_err());
}

#[test]
fn csr_attributes_of_rfc_7030() {
    // The example of RFC 7030 section 4.5.2.
    let text = "MEEGCSqGSIb3DQEJBzASBgcqhkjOPQIBMQcGBSuBBAAiMBYGCSqGSIb3DQEJDjEJBgcrBgEBAQEWBggqhkjOPQQDAw==";
    let der = decode_answer(text.as_bytes()).unwrap();
    let attrs = CsrAttrs::from_der(&der).unwrap();
    assert_eq!(attrs.items.len(), 4);
    assert_eq!(attrs.wanted_key(), Some(WantedKey::P384));
    assert_eq!(attrs.attribute(EXTENSION_REQUEST).unwrap().len(), 1);
    assert_eq!(attrs.to_der().unwrap(), der);
}

#[test]
fn csr_attributes_ask_for_a_key() {
    for key in [
        WantedKey::P256,
        WantedKey::P384,
        WantedKey::P521,
        WantedKey::Ed25519,
        WantedKey::Rsa(3072),
    ] {
        let attrs = CsrAttrs::for_key(key);
        let der = attrs.to_der().unwrap();
        assert_eq!(CsrAttrs::from_der(&der).unwrap(), attrs);
        assert_eq!(attrs.wanted_key(), Some(key));
    }
    assert_eq!(CsrAttrs::default().to_der(), None);
    assert_eq!(CsrAttrs::from_der(&[0x30, 0]).unwrap(), CsrAttrs::default());
}

#[test]
fn a_second_extension_request_is_refused() {
    let one = AttrOrOid::Attribute {
        kind: EXTENSION_REQUEST,
        values: vec![vec![5, 0]],
    };
    let der = CsrAttrs {
        items: vec![one.clone(), one],
    }
    .to_der()
    .unwrap();
    assert!(CsrAttrs::from_der(&der).is_err());
}

#[test]
fn a_generated_key_comes_back() {
    for format in [KeyFormat::Pkcs8, KeyFormat::Enveloped] {
        for wrapping in [Wrapping::OneLine, Wrapping::Lines] {
            let sent = GeneratedKey {
                format,
                key: request_der().into(),
                certs: vec![0x30, 3, 2, 1, 5],
            };
            let (media, body) = build_generated_key(&sent, "b0undary", wrapping).unwrap();
            let got = parse_generated_key(body.as_bytes(), &media).unwrap();
            assert_eq!(
                (got.format, &*got.key, &got.certs),
                (format, &*sent.key, &sent.certs)
            );
        }
    }
    assert!(
        build_generated_key(
            &GeneratedKey {
                format: KeyFormat::Pkcs8,
                key: vec![].into(),
                certs: vec![]
            },
            "a\r\nb",
            Wrapping::OneLine
        )
        .is_err()
    );
}

#[test]
fn the_multipart_example_of_rfc_7030_has_line_feeds_and_a_preamble() {
    let body = "preamble\n--estServerExampleBoundary\nContent-Type: application/pkcs8\n\
        Content-Transfer-Encoding: base64\n\nMAMC\nAQU=\n--estServerExampleBoundary\n\
        Content-Type: application/pkcs7-mime; smime-type=certs-only\n\nMAMCAQY=\n\
        --estServerExampleBoundary--\nepilogue";
    let media = "multipart/mixed ; boundary=\"estServerExampleBoundary\"";
    let got = parse_generated_key(body.as_bytes(), media).unwrap();
    assert_eq!(
        (&*got.key, got.certs),
        (&vec![0x30, 3, 2, 1, 5], vec![0x30, 3, 2, 1, 6])
    );
    for broken in [
        body.replace("Boundary--", "Boundary"),
        body.replace("application/pkcs8", "text/plain"),
        body.replace("application/pkcs8", "application/pkcs7-mime"),
        body.replace("MAMCAQY=", "MAMCAQ"),
    ] {
        assert!(
            parse_generated_key(broken.as_bytes(), media).is_err(),
            "{broken}"
        );
    }
    assert!(parse_generated_key(body.as_bytes(), "multipart/mixed").is_err());
}

#[test]
fn retry_after_in_seconds_and_as_a_date() {
    assert_eq!(parse_retry_after(" 120 ", 0), Ok(120));
    assert_eq!(
        parse_retry_after("99999999999999999999999", 0),
        Ok(RETRY_AFTER_S_MAX)
    );
    let date = "Sun, 06 Nov 1994 08:49:37 GMT"; // 784111777
    assert_eq!(parse_retry_after(date, 784_111_700), Ok(77));
    assert_eq!(parse_retry_after(date, 784_111_800), Ok(0));
    assert_eq!(
        parse_retry_after("Tue, 29 Feb 2028 00:00:00 GMT", 1_835_394_000),
        Ok(1_200)
    );
    for bad in [
        "",
        "-1",
        "soon",
        "1.5",
        "Sun, 06 Nov 1994 08:49:37",
        "Sun, 99 Nov 1994 08:49:37 GMT",
    ] {
        assert!(parse_retry_after(bad, 0).is_err(), "{bad}");
    }
}

proptest! {
    #[test]
    fn any_octets_are_read_without_panic(octets in prop::collection::vec(any::<u8>(), 0..400), text in ".{0,80}") {
        let _ = parse_enroll(&octets, Some(PKCS10));
        let _ = CsrAttrs::from_der(&octets);
        let _ = parse_generated_key(&octets, "multipart/mixed; boundary=a");
        let _ = EstPath::parse(&format!("{}/{text}", EstPath::ROOT));
        let _ = Credentials::parse(&text);
        let _ = MediaType::parse(&text);
        let _ = parse_retry_after(&text, 0);
    }

    #[test]
    fn a_body_comes_back(value in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut der = vec![0x30, 0x82];
        der.extend(u16::try_from(value.len()).unwrap().to_be_bytes());
        der.extend(value);
        for wrapping in [Wrapping::OneLine, Wrapping::Lines] {
            prop_assert_eq!(parse_enroll(encode_body(&der, wrapping).as_bytes(), Some(PKCS10)).unwrap(), der.clone());
        }
    }

    #[test]
    fn credentials_come_back(id in "[^:\\p{Cc}]{1,20}", secret in "[^\\p{Cc}]{0,60}") {
        let sent = Credentials::new(&id, &secret).unwrap();
        prop_assert_eq!(Credentials::parse(&sent.header()).unwrap(), sent);
    }

    #[test]
    fn a_label_comes_back(text in "[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}", operation in 0usize..6) {
        let Ok(label) = Label::new(&text) else { return Ok(()) };
        let path = EstPath { label: Some(label), operation: Operation::ALL[operation] };
        prop_assert_eq!(EstPath::parse(&path.to_string()).unwrap(), path);
    }
}
