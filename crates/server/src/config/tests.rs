use super::*;

fn refused(text: &str) -> String {
    Config::parse(text).unwrap_err().to_string()
}

#[test]
fn an_empty_file_gives_the_documented_defaults() {
    let config = Config::parse("").unwrap();
    assert_eq!(config.listen.device.to_string(), "127.0.0.1:8443");
    assert_eq!(config.listen.public.to_string(), "127.0.0.1:8080");
    assert_eq!(config.listen.operator.to_string(), "127.0.0.1:9443");
    assert_eq!(config.keys.directory, PathBuf::from("keys"));
    assert_eq!(config.log.format, LogFormat::Text);
    assert_eq!(config.limits, Limits::default());
    assert_eq!(config.probe.every_s, 3_600);
    assert_eq!(config.drill.revoke_every_s, 604_800);
}

#[test]
fn every_section_is_read() {
    let config = Config::parse(
        r#"
        [listen]
        device = "[::1]:1"
        [keys]
        directory = "/k"
        [keys.pkcs11]
        module = "/m.so"
        token = "plant"
        [limits]
        header_s = 7
        [log]
        format = "json"
        "#,
    )
    .unwrap();
    assert!(config.listen.device.is_ipv6());
    assert_eq!(config.listen.public, Listen::default().public);
    assert_eq!(config.keys.pkcs11.unwrap().token, "plant");
    assert_eq!(config.limits.header_s, 7);
    assert_eq!(config.limits.body_s, Limits::default().body_s);
    assert_eq!(config.log.format, LogFormat::Json);
}

#[test]
fn an_unknown_key_is_named_with_its_line_and_the_nearest_known_one() {
    assert_eq!(
        refused("[listen]\ndevise = \"127.0.0.1:1\"\n"),
        "tenure.toml line 2: unknown key `devise`; did you mean `device`?"
    );
    assert_eq!(
        refused("\n\n[lisen]\n"),
        "tenure.toml line 3: unknown key `lisen`; did you mean `listen`?"
    );
    assert_eq!(
        refused("[limits]\nheaders = 3\n"),
        "tenure.toml line 2: unknown key `headers`; did you mean `header_s`?"
    );
}

#[test]
fn a_wrong_value_is_named_with_its_line() {
    assert!(refused("[listen]\npublic = \"nowhere\"\n").starts_with("tenure.toml line 2: "));
    assert!(refused("[listen\n").starts_with("tenure.toml line 1: "));
    assert!(refused("[log]\nformat = \"xml\"\n").contains("`text` or `json`"));
    assert_eq!(
        refused("[listen]\ndevice = \"8443\"\n"),
        "tenure.toml line 2: `device`: \"8443\" is not an address; write ADDRESS:PORT, for example \
         0.0.0.0:8443 or [::]:8443"
    );
    for level in ["loud", "info,tenure_server=loud", "tenure_server", ""] {
        let said = refused(&format!("[log]\nlevel = \"{level}\"\n"));
        let named = "tenure.toml line 2: `level`: ";
        assert!(
            said.starts_with(named) && said.contains("use error, warn, info"),
            "{said}"
        );
    }
    for level in ["debug", "WARN", "info,tenure_server=debug"] {
        Config::parse(&format!("[log]\nlevel = \"{level}\"\n")).unwrap();
    }
}

#[test]
fn the_environment_stands_above_the_file() {
    let mut config = Config::parse("[listen]\ndevice = \"127.0.0.1:1\"\n").unwrap();
    config
        .overlay(|name| (name == "TENURE_LISTEN_DEVICE").then(|| "[::]:2".to_string()))
        .unwrap();
    assert_eq!(config.listen.device.to_string(), "[::]:2");
    let error = config
        .overlay(|name| (name == "TENURE_LISTEN_PUBLIC").then(|| "8080".to_string()))
        .unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("TENURE_LISTEN_PUBLIC=8080 is not an address")
    );
}

#[test]
fn a_missing_file_says_how_to_make_one() {
    let directory = tempfile::tempdir().unwrap();
    let error = Config::load(directory.path(), |_| None).unwrap_err();
    assert!(
        error.to_string().contains("tenure init --data DIR"),
        "{error}"
    );
}

#[test]
fn edits_are_counted() {
    assert_eq!(edits("kitten", "sitting"), 3);
    assert_eq!(edits("", "abc"), 3);
    assert_eq!(edits("abc", ""), 3);
    assert_eq!(edits("same", "same"), 0);
}

#[test]
fn hosts_become_names_of_the_server_beside_its_own_machine() {
    let config = Config::parse("hosts = ['PKI.example', '10.0.0.5', '2001:db8::5', 'localhost']");
    let names = config.unwrap().server_names().unwrap();
    assert_eq!(names.len(), 6);
    assert!(names.contains(&SanName::Dns("pki.example".into())));
    assert!(names.contains(&SanName::Ip("2001:db8::5".parse().unwrap())));
}

#[test]
fn what_is_no_host_is_named() {
    for host in [
        "https://pki.example",
        "pki.example:8443",
        "10.0.0.256",
        "",
        "-a.b",
        "a b",
    ] {
        let config = Config {
            hosts: vec![host.into()],
            ..Config::default()
        };
        let error = config.server_names().unwrap_err().to_string();
        assert!(error.contains(&format!("{host:?}")), "{error}");
    }
}
