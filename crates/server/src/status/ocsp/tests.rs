use proptest::prelude::*;

use super::*;

const DER: [u8; 6] = [0x30, 0x04, 0xff, 0xfb, 0xef, 0xbe]; // base64: MAT/++++

#[test]
fn a_request_in_the_path_is_read_however_it_was_escaped() {
    for path in [
        "/ocsp/MAT/++++",
        "/ocsp/MAT%2F%2B%2B%2B%2b",
        "/ocsp//MAT/++++",
        "/ocsp/%2FMAT/++++",
        "/ocsp/MAT/%20+%2b+",
    ] {
        assert_eq!(in_path(path).as_deref(), Some(&DER[..]), "{path}");
    }
    let unpadded = BASE64.encode([0x30, 0x02, 0x05, 0x00]);
    let unpadded = unpadded.trim_end_matches('=');
    assert_eq!(
        in_path(&format!("/ocsp/{unpadded}")),
        Some(vec![0x30, 0x02, 0x05, 0x00])
    );
}

#[test]
fn what_is_no_request_in_the_path_is_refused() {
    for path in [
        "/ocsp",
        "/ocsp/",
        "/ocsp//",
        "/ocsp/%",
        "/ocsp/%2",
        "/ocsp/%zz",
        "/ocsp/M*A",
        "/ocsp/ü",
    ] {
        assert_eq!(in_path(path), None, "{path}");
    }
    let long = format!("/ocsp/{}", "A".repeat(4 * OCSP_BODY_BYTES_MAX));
    assert_eq!(in_path(&long), None);
}

#[test]
fn only_the_responders_paths_are_its_own() {
    assert!(Ocsp::is_for("/ocsp") && Ocsp::is_for("/ocsp/x") && Ocsp::is_for("/ocsp//x"));
    assert!(!Ocsp::is_for("/ocspx") && !Ocsp::is_for("/crl/ocsp"));
}

fn answer(keep: Option<(i64, i64)>) -> OcspAnswer {
    let at = Time::from_unix;
    OcspAnswer {
        der: Arc::from(&DER[..]),
        keep: keep.map(|(made, until)| (at(made), at(until))),
    }
}

fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    response
        .headers()
        .get(name)
        .map_or("", |value| value.to_str().unwrap())
}

#[test]
fn an_answer_that_nobody_may_keep_says_so() {
    let response = render(&answer(None), Time::from_unix(10), None);
    assert_eq!(header(&response, "cache-control"), "no-store");
    assert_eq!(
        header(&response, "content-type"),
        "application/ocsp-response"
    );
    assert_eq!(
        (header(&response, "etag"), header(&response, "expires")),
        ("", "")
    );
}

#[test]
fn an_answer_may_be_kept_for_a_minute_or_what_is_left_of_it() {
    let far = render(&answer(Some((0, 3600))), Time::from_unix(10), None);
    assert_eq!(
        header(&far, "cache-control"),
        "max-age=60, public, no-transform, must-revalidate"
    );
    assert_eq!(
        header(&far, "last-modified"),
        "Thu, 01 Jan 1970 00:00:00 GMT"
    );
    assert_eq!(header(&far, "expires"), "Thu, 01 Jan 1970 01:00:00 GMT");
    let near = render(&answer(Some((0, 3600))), Time::from_unix(3577), None);
    assert!(header(&near, "cache-control").starts_with("max-age=23,"));
    let past = render(&answer(Some((0, 3600))), Time::from_unix(4000), None);
    assert!(header(&past, "cache-control").starts_with("max-age=0,"));
}

#[test]
fn an_answer_that_the_asker_has_is_not_sent_again() {
    let first = render(&answer(Some((0, 3600))), Time::from_unix(10), None);
    let mut asked = HeaderMap::new();
    asked.insert(IF_NONE_MATCH, first.headers().get(ETAG).unwrap().clone());
    let second = render(&answer(Some((0, 3600))), Time::from_unix(11), Some(&asked));
    assert_eq!(second.status(), StatusCode::NOT_MODIFIED);
    asked.insert(IF_NONE_MATCH, HeaderValue::from_static("\"other\""));
    let third = render(&answer(Some((0, 3600))), Time::from_unix(11), Some(&asked));
    assert_eq!(third.status(), StatusCode::OK);
}

proptest! {
    #[test]
    fn any_path_is_read_or_refused(path in "/ocsp/?[ -~]{0,80}") {
        if let Some(der) = in_path(&path) {
            prop_assert!(der.len() <= OCSP_BODY_BYTES_MAX);
        }
    }

    #[test]
    fn any_request_survives_its_escapes(
        // DER begins with the tag of a SEQUENCE.
        rest in proptest::collection::vec(any::<u8>(), 0..200),
        escape in any::<bool>(),
    ) {
        let der = [&[0x30][..], &rest].concat();
        let mut text = BASE64.encode(&der);
        if escape {
            text = text.replace('+', "%2B").replace('/', "%2f").replace('=', "%3D");
        }
        prop_assert_eq!(in_path(&format!("/ocsp/{text}")), Some(der));
    }
}
