use super::*;

#[test]
fn urls_name_a_server_and_a_path() {
    let read = |text: &str| {
        let url = Url::parse(text).unwrap();
        (
            url.scheme(),
            url.host().to_owned(),
            url.port(),
            url.path().to_owned(),
            url.to_string(),
        )
    };
    let (https, plain) = (Scheme::Https, Scheme::Http);
    let row = |scheme, host: &str, port, path: &str, whole: &str| {
        (
            scheme,
            host.to_owned(),
            port,
            path.to_owned(),
            whole.to_owned(),
        )
    };
    assert_eq!(
        read("https://ca.example"),
        row(https, "ca.example", 443, "/", "https://ca.example/")
    );
    assert_eq!(
        read("http://127.0.0.1:8080/ocsp?x=1"),
        row(
            plain,
            "127.0.0.1",
            8080,
            "/ocsp?x=1",
            "http://127.0.0.1:8080/ocsp?x=1"
        )
    );
    assert_eq!(
        read("https://[::1]:8443/a"),
        row(https, "::1", 8443, "/a", "https://[::1]:8443/a")
    );
    assert_eq!(
        read("https://[2001:db8::7]"),
        row(https, "2001:db8::7", 443, "/", "https://[2001:db8::7]/")
    );
    assert_eq!(
        read("https://a:443/"),
        row(https, "a", 443, "/", "https://a/")
    );
    let url = Url::parse("https://[::1]:8443/a?b").unwrap();
    assert_eq!(
        url.with_path("/c").unwrap().to_string(),
        "https://[::1]:8443/c"
    );
    assert!(url.with_path("c").is_err());
    assert!(url.with_path("/c d\r\nX: y").is_err());
}

#[test]
fn strange_urls_are_refused() {
    for bad in [
        "",
        "/path",
        "ca.example",
        "ftp://ca.example/",
        "https://",
        "https:///path",
        "https://user:pw@ca.example/",
        "https://ca.example:/",
        "https://ca.example:99999/",
        "https://[::1/",
        "https://ca example/",
        &format!("https://ca.example/{}", "a".repeat(3000)),
    ] {
        assert!(Url::parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn fingerprints_may_have_colons_and_any_case() {
    let plain = "00ff".repeat(16);
    let expected = Trust::from_fingerprint(&plain).unwrap();
    assert!(matches!(&expected, Trust::Fingerprint(octets) if octets[..2] == [0, 255]));
    let upper: Vec<String> = (0..16).map(|_| "00:FF".to_owned()).collect();
    assert!(Trust::from_fingerprint(&upper.join(":")).unwrap() == expected);
    for bad in [
        "",
        "00ff",
        &"00ff".repeat(17),
        &"00fg".repeat(16),
        &format!("{plain}0"),
    ] {
        assert!(Trust::from_fingerprint(bad).is_err(), "{bad}");
    }
}

#[test]
fn trust_anchors_must_be_there() {
    for bad in [
        "",
        "hello",
        "-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n",
    ] {
        assert!(Trust::from_pem(bad).is_err(), "{bad}");
    }
}
