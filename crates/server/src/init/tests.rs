use super::*;

fn asked(hosts: &[&str], public_url: Option<&str>) -> Init {
    Init {
        name: "Acme".into(),
        hosts: hosts.iter().map(|host| (*host).to_owned()).collect(),
        public_url: public_url.map(str::to_owned),
        root_out: None,
        root_passphrase_file: None,
        key_algorithm: KeyKind::P256,
        passphrase_file: None,
        hsm: None,
        hsm_token: None,
        hsm_pin: PinSource::Passphrase,
    }
}

#[test]
fn the_public_url_is_the_given_one_or_that_of_the_first_host() {
    let url = |hosts, given| public_url(&asked(hosts, given)).unwrap();
    assert_eq!(url(&[], None), "http://127.0.0.1:8080");
    assert_eq!(url(&["pki.example", "b"], None), "http://pki.example:8080");
    assert_eq!(url(&["2001:db8::5"], None), "http://[2001:db8::5]:8080");
    assert_eq!(
        url(&["a"], Some("http://status.example/")),
        "http://status.example"
    );
    assert_eq!(url(&[], Some("http://10.0.0.5:80")), "http://10.0.0.5:80");
}

#[test]
fn a_public_url_that_cannot_stand_in_a_certificate_is_refused() {
    for url in [
        "https://a",
        "a.example",
        "http://",
        "http://a/path",
        "http://a b",
        "http://u@a",
        "http://x:99999",
        "http://x:0",
        "http://x:",
        "http://x:+80",
        "http://-x",
        "http://10.0.0.256",
        "http://::1",
        "http://[::1",
        "http://[::g]:80",
    ] {
        let error = public_url(&asked(&[], Some(url))).unwrap_err();
        assert_eq!(error.code(), 2, "{url}");
    }
}

#[test]
fn a_loopback_address_is_recognised() {
    for url in [
        "http://localhost:8080",
        "http://LOCALHOST",
        "http://127.0.0.9:1",
        "http://[::1]:8080",
    ] {
        assert!(is_loopback(url), "{url}");
    }
    for url in [
        "http://pki.example",
        "http://10.0.0.5:8080",
        "http://[2001:db8::1]:80",
    ] {
        assert!(!is_loopback(url), "{url}");
    }
}

#[test]
fn the_configuration_it_writes_is_one_that_is_read() {
    let init = asked(&["pki.example", "10.0.0.5"], None);
    let text = config_text(&init, "http://pki.example:8080");
    let config = crate::config::Config::parse(&text).unwrap();
    assert_eq!(config.hosts, ["pki.example", "10.0.0.5"]);
    let defaults = crate::config::Config::default();
    assert_eq!(
        config,
        crate::config::Config {
            hosts: config.hosts.clone(),
            ..defaults
        }
    );
}
