use super::*;
use crate::profile::{Life, RevocationPath, Usage};

const SMALL: &str = r#"
[[rule]]
name = "secret"
operations = ["enroll"]
evidence = ["secret"]
action = "allow"

[[profile]]
name = "device"
kind = "ldevid"
life = "90d"
keys = ["p256"]
usage = ["client"]
subject = ["common-name:{device.id}"]
revocation = ["crl"]
"#;

/// The one mistake of a document.
fn mistake(text: &str) -> String {
    let error = parse(text, 1).expect_err("it was taken");
    assert_eq!(error.0.len(), 1, "{error}");
    error.to_string()
}

/// The small document with one line exchanged, or with a line more if `from` is empty.
fn with(from: &str, to: &str) -> String {
    assert!(SMALL.contains(from), "{from} is not there");
    SMALL.replacen(from, to, 1)
}

#[test]
fn the_default_document_is_read_and_does_what_it_says() {
    let policy = parse_tested(DEFAULT_DOCUMENT, 1).unwrap_or_else(|error| panic!("{error}"));
    assert!(policy.tests.len() >= 8);
    for name in [
        "device",
        "device-server",
        "idevid",
        "tenure-server",
        "tenure-root-ca",
    ] {
        let name: Slug = name.parse().unwrap();
        assert!(policy.profile(&name).is_some(), "no {name}");
    }
    let device = policy.profile(&"device".parse().unwrap()).unwrap();
    assert_eq!(device.life, Life::Seconds(90 * 86_400));
    assert_eq!(device.usage, [Usage::Client]);
    assert_eq!(
        device.revocation,
        [RevocationPath::Crl, RevocationPath::Ocsp]
    );
}

#[test]
fn what_is_left_out_has_its_default() {
    let policy = parse(SMALL, 7).unwrap();
    assert_eq!(policy.version, 7);
    let device = policy.profile(&"device".parse().unwrap()).unwrap();
    assert_eq!((device.backdate_s, device.renew_percent), (3600, 66));
    let rule = policy.rules.first().unwrap();
    assert!(rule.classes.is_empty() && rule.profiles.is_empty() && rule.reason.is_empty());
}

#[test]
fn comments_spacing_and_written_out_defaults_do_not_change_the_hash() {
    let hash = |text: &str| {
        parse(text, 1)
            .unwrap_or_else(|error| panic!("{error}"))
            .hash
    };
    let plain = hash(SMALL);
    assert_eq!(hash(&SMALL.replace(" = ", "=")), plain);
    assert_eq!(hash(&format!("# a comment\n{SMALL}\n\n")), plain);
    assert_eq!(hash(&SMALL.replace('\n', "\r\n")), plain);
    assert_eq!(
        hash(&with(
            "life = \"90d\"",
            "life = \"2160h\"\nrenew-at = \"66%\""
        )),
        plain
    );
    // The order of tables of different kinds says nothing.
    let (rule, profile) = SMALL.split_once("[[profile]]").unwrap();
    assert_eq!(hash(&format!("[[profile]]{profile}\n{rule}")), plain);
    assert_eq!(
        parse(SMALL, 2).unwrap().hash,
        plain,
        "the version is no part of the document"
    );
}

#[test]
fn whatever_a_document_says_is_in_its_hash() {
    let plain = parse(SMALL, 1).unwrap().hash;
    let changes = [
        ("action = \"allow\"", "action = \"hold\"\nreason = \"x\""),
        ("evidence = [\"secret\"]", "evidence = [\"manufacturer\"]"),
        ("evidence = [\"secret\"]", ""),
        ("name = \"secret\"", "name = \"other\""),
        ("life = \"90d\"", "life = \"91d\""),
        ("life = \"90d\"", "life = \"90d\"\nbackdate = \"5m\""),
        ("life = \"90d\"", "life = \"90d\"\nrenew-at = \"50%\""),
        ("life = \"90d\"", "life = \"90d\"\nissuer = \"issuing-2\""),
        ("keys = [\"p256\"]", "keys = [\"p384\"]"),
        ("usage = [\"client\"]", "usage = [\"server\"]"),
        ("common-name:{device.id}", "common-name:x-{device.id}"),
        (
            "revocation = [\"crl\"]",
            "revocation = [\"crl\"]\nsan = [\"uri:urn:{device.id}\"]",
        ),
        ("revocation = [\"crl\"]", "revocation = [\"ocsp\"]"),
    ];
    for (from, to) in changes {
        let changed = parse(&with(from, to), 1).unwrap_or_else(|error| panic!("{error}"));
        assert_ne!(changed.hash, plain, "{to}");
    }
}

/// A golden value: the hash stands in the record, so it must not change by accident.
#[test]
fn the_hash_of_a_document_stays_what_it_was() {
    assert_eq!(parse(SMALL, 1).unwrap().hash.to_string(), GOLDEN_HASH);
}

const GOLDEN_HASH: &str = "88a4cf914676af8d38b254809779038014e9a1aa3e657b4f2c8aa9158b79770b";

#[test]
fn a_mistake_is_named_by_line_table_field_and_nearest_word() {
    let text = mistake(&with("evidence =", "evidnece ="));
    assert!(
        text.starts_with("line 5, [[rule]] secret, evidnece: unknown field"),
        "{text}"
    );
    assert!(text.contains("did you mean \"evidence\"?"), "{text}");

    let text = mistake(&with("[\"secret\"]", "[\"secrets\"]"));
    assert!(
        text.starts_with("line 5, [[rule]] secret, evidence: "),
        "{text}"
    );
    assert!(text.contains("did you mean \"secret\"?"), "{text}");
    assert!(
        text.contains("manufacturer, current-certificate, secret"),
        "{text}"
    );

    let text = mistake(&with("90d", "90 days"));
    assert!(
        text.starts_with("line 11, [[profile]] device, life: \"90 days\" is not a"),
        "{text}"
    );

    let text = mistake(&with("[[profile]]", "[[profiles]]"));
    assert!(
        text.starts_with("line 8: unknown table \"profiles\""),
        "{text}"
    );

    let text = mistake(&with("kind = \"ldevid\"", "kind = \"server\""));
    assert!(
        text.contains("profiles of kind server are built in"),
        "{text}"
    );

    let text = mistake(&with("common-name", "comon-name"));
    assert!(text.contains("did you mean \"common-name\"?"), "{text}");

    let text = mistake(&with("{device.id}", "{device.ip}"));
    assert!(
        text.contains("{device.ip} is unknown; use one of: {device.id}"),
        "{text}"
    );

    let text = mistake("[[rule]\n");
    assert!(text.starts_with("line 1: this is not TOML"), "{text}");
}

#[test]
fn all_mistakes_are_named_at_once_in_the_order_of_their_lines() {
    let text = SMALL
        .replace("90d", "90 days")
        .replace("\"p256\"", "\"p257\"");
    let error = parse(&text.replace("allow", "alow"), 1).expect_err("it was taken");
    let lines: Vec<_> = error.0.iter().map(|mistake| mistake.line).collect();
    assert_eq!(lines, [6, 11, 12], "{error}");
}

#[test]
fn a_document_that_cannot_mean_anything_good_is_refused() {
    let cases = [
        (with("action = \"allow\"", ""), "action: is missing"),
        (
            with("action = \"allow\"", "action = \"refuse\""),
            "reason: is missing",
        ),
        (with("[\"secret\"]", "[]"), "an empty list matches nothing"),
        (
            with("[\"secret\"]", "[\"secret\", \"secret\"]"),
            "is listed twice",
        ),
        (with("[\"secret\"]", "\"secret\""), "write a list"),
        (with("[\"secret\"]", "[3]"), "between quotation marks"),
        (
            with("life = \"90d\"", "life = 90"),
            "between quotation marks",
        ),
        (with("life = \"90d\"", "life = \"11y\""), "over 10 years"),
        (
            with("life = \"90d\"", "life = \"never\""),
            "for an idevid only",
        ),
        (with("life = \"90d\"", "life = \"9m\""), "too short"),
        (
            with("life = \"90d\"", "life = \"1d\"\nbackdate = \"2d\""),
            "at most 1d",
        ),
        (
            with("life = \"90d\"", "life = \"1d\"\nrenew-at = \"95%\""),
            "\"10%\" to \"90%\"",
        ),
        (with("usage = [\"client\"]", ""), "usage: is missing"),
        (with("revocation = [\"crl\"]", ""), "revocation: is missing"),
        (
            with("[\"crl\"]", "[\"none-short-lived\"]"),
            "too long for revocation",
        ),
        (
            with("[\"crl\"]", "[\"crl\", \"none-short-lived\"]").replace("90d", "6d"),
            "stands alone",
        ),
        (with("keys = [\"p256\"]", ""), "keys: is missing"),
        (
            with("subject = [\"common-name:{device.id}\"]", ""),
            "needs a subject",
        ),
        (with("{device.id}", "{site}"), "names no single device"),
        (with("{device.id}", "*.{device.id}"), "wildcard"),
        (
            with("name = \"device\"", "name = \"tenure-device\""),
            "kept for built-in",
        ),
        (
            format!("{SMALL}\n[[rule]]\nname = \"secret\"\naction = \"allow\""),
            "of this name above",
        ),
        (
            format!("{SMALL}\n[[rule]]\nname = \"b\"\nprofiles = [\"devise\"]\naction = \"allow\""),
            "did you mean \"device\"?",
        ),
        (
            format!(
                "{SMALL}\n[[rule]]\nname = \"b\"\nprofiles = [\"tenure-ocsp\"]\naction = \"allow\""
            ),
            "built in and not for devices",
        ),
        (
            format!(
                "{SMALL}\n[[rule]]\nname = \"b\"\noperations = [\"enroll\"]\nevidence = [\"secret\"]\n\
                 classes = [\"pump\"]\naction = \"allow\""
            ),
            "never decides: secret on line 2",
        ),
        (
            format!(
                "{SMALL}\n[[rule]]\nname = \"b\"\noperations = [\"renew\"]\nevidence = [\"secret\"]\n\
                 action = \"allow\""
            ),
            "would never match",
        ),
        (
            format!(
                "{SMALL}\n[[rule]]\nname = \"b\"\nprotocols = [\"system\"]\naction = \"allow\""
            ),
            "never come here",
        ),
        (
            format!(
                "{SMALL}\n[[test]]\nname = \"t\"\noperation = \"enroll\"\nevidence = \"secret\"\n\
                 expect = \"allow\"\nrule = \"secrte\""
            ),
            "did you mean \"secret\"?",
        ),
        (String::new(), "there is no [[rule]]"),
        ("x".repeat(DOCUMENT_BYTES_MAX + 1), "longer than 256 KiB"),
        (SMALL.replace("[[rule]]", "[rule]"), "two brackets"),
        ("rule = [1]".to_owned(), "a table of its own"),
    ];
    for (text, expected) in cases {
        let found = mistake(&text);
        assert!(
            found.contains(expected),
            "{found:?} does not say {expected:?}"
        );
    }
}

/// Requirement A7: no certificate could stand for more than one device.
#[test]
fn a7_alternative_names_that_fit_more_than_one_device_are_refused() {
    let with_san = |san: &str| format!("{SMALL}san = [\"{san}\"]\n");
    for (san, expected) in [
        ("dns:*.plant.example", "wildcard"),
        ("dns:*.{device.id}.example", "wildcard"),
        ("dns:broker.example", "would be the same for every device"),
        ("dns:{site}.example", "would be the same for every device"),
        ("uri:urn:{class}", "would be the same for every device"),
        ("ip:192.0.2.1", "would be the same for every device"),
    ] {
        let found = mistake(&with_san(san));
        assert!(
            found.contains(expected),
            "{found:?} does not say {expected:?}"
        );
    }
    for san in [
        "dns:{device.id}.example",
        "uri:urn:dev:{device.serial}",
        "ip:{device.id}",
    ] {
        let policy = parse(&with_san(san), 1).unwrap_or_else(|error| panic!("{san}: {error}"));
        let device = policy.profile(&"device".parse().unwrap()).unwrap();
        assert_eq!(device.san.first().unwrap().to_string(), san);
    }
    for (san, expected) in [
        ("dns:{device.id}_x.example", "not a valid DNS name"),
        ("uri:{device.id}", "not a valid URI"),
        ("mail:{device.id}", "does not begin with dns:, uri: or ip:"),
        ("dns:{device.id", "has no partner"),
    ] {
        let found = mistake(&with_san(san));
        assert!(
            found.contains(expected),
            "{found:?} does not say {expected:?}"
        );
    }
}

#[test]
fn an_identity_for_life_has_the_shape_that_its_standard_wants() {
    let idevid = r#"
[[rule]]
name = "secret"
action = "allow"

[[profile]]
name = "idevid"
kind = "idevid"
life = "never"
keys = ["p256"]
subject = ["serial-number:{device.serial}"]
revocation = ["crl"]
"#;
    assert!(parse(idevid, 1).is_ok());
    for (from, to, expected) in [
        (
            "keys =",
            "usage = [\"client\"]\nkeys =",
            "no extended usage",
        ),
        (
            "serial-number",
            "common-name",
            "serial-number:{device.serial}",
        ),
        ("[\"crl\"]", "[\"ocsp\"]", "needs \"crl\""),
    ] {
        let found = mistake(&idevid.replacen(from, to, 1));
        assert!(
            found.contains(expected),
            "{found:?} does not say {expected:?}"
        );
    }
    assert!(parse(&idevid.replacen("never", "30y", 1), 1).is_ok());
}

#[test]
fn a_document_whose_example_fails_is_not_put_in_force() {
    let text = format!(
        "{SMALL}\n[[test]]\nname = \"no one starts alone\"\noperation = \"enroll\"\n\
         evidence = \"secret\"\nexpect = \"hold\"\n"
    );
    assert!(parse(&text, 1).is_ok());
    let Err(Rejected::Tests(failed)) = parse_tested(&text, 1) else {
        panic!("it was taken")
    };
    let sentence = failed.first().unwrap().failure().unwrap();
    assert_eq!(
        sentence,
        "failed: no one starts alone: expected hold, got allow by rule secret: a rule allows it"
    );
    let Err(Rejected::Document(_)) = parse_tested("x", 1) else {
        panic!("it was taken")
    };
}

#[test]
fn an_example_can_name_the_rule_that_must_speak() {
    let example = |rule: &str| {
        format!(
            "{SMALL}\n[[test]]\nname = \"t\"\noperation = \"renew\"\n\
             evidence = \"current-certificate\"\nexpect = \"refuse\"\nrule = \"{rule}\"\n"
        )
    };
    assert!(parse_tested(&example("none"), 1).is_ok());
    let Err(Rejected::Tests(failed)) = parse_tested(&example("secret"), 1) else {
        panic!("it was taken")
    };
    assert!(
        failed
            .first()
            .unwrap()
            .failure()
            .unwrap()
            .contains("by rule secret, got refuse")
    );
}

const DECISIONS: &str = r#"
[[decision]]
valid-for = "30s"
full-after = "1d"
full-needs = ["seen-in-use", "attested"]

[[boundary]]
name = "historian"
services = ["historian"]
sites = ["Plant"]
networks = ["10.3.0.0/16", "fd00::/8"]
tier = "full"

[[fail-operational]]
name = "safety"
criticality = ["safety"]
for = "72h"
reason = "stopping is worse"
"#;

#[test]
fn what_is_said_of_decisions_is_read_and_is_part_of_the_hash() {
    let without = parse(DEFAULT_DOCUMENT, 1).unwrap();
    let base = "[[rule]]\nname = \"no\"\naction = \"refuse\"\nreason = \"none\"\n";
    let bare = parse(base, 1).unwrap();
    assert_eq!(bare.decisions, crate::decision::DecisionRules::default());
    let policy = parse(&format!("{base}{DECISIONS}"), 1).unwrap();
    let said = &policy.decisions;
    assert_eq!((said.valid_for_s, said.full_after_s), (30, 86_400));
    assert_eq!(said.full_needs.len(), 2);
    assert_eq!(said.boundaries[0].networks.len(), 2);
    assert_eq!(said.boundaries[0].tier, crate::decision::Tier::Full);
    assert_eq!(said.fail_operational[0].for_s, 72 * 3_600);
    assert_ne!(policy.hash, bare.hash);
    // The policy of a new house lists its safety devices.
    assert_eq!(without.decisions.fail_operational.len(), 1);
    for (old, new) in [
        ("30s", "31s"),
        ("\"1d\"", "\"2d\""),
        ("10.3.0.0/16", "10.4.0.0/16"),
        ("\"full\"", "\"limited\""),
        ("72h", "71h"),
        ("[\"Plant\"]", "[\"Hall 3\"]"),
    ] {
        let changed = parse(&format!("{base}{}", DECISIONS.replace(old, new)), 1).unwrap();
        assert_ne!(changed.hash, policy.hash, "{new}");
    }
}

#[test]
fn what_nobody_means_about_decisions_is_refused_by_name() {
    let base = "[[rule]]\nname = \"no\"\naction = \"refuse\"\nreason = \"none\"\n";
    for (text, expected) in [
        (
            "[[decision]]\nvalid-for = \"2h\"\n",
            "how long a verdict may be wrong",
        ),
        ("[[decision]]\nfull-needs = [\"luck\"]\n", "luck"),
        (
            "[[decision]]\n[[decision]]\n",
            "there is a [[decision]] above",
        ),
        (
            "[[boundary]]\nname = \"x\"\n",
            "wants sites, owners, networks or a tier",
        ),
        (
            "[[boundary]]\nname = \"x\"\ntier = \"quarantine\"\n",
            "from quarantine",
        ),
        (
            "[[boundary]]\nname = \"x\"\nnetworks = [\"10.3.0.1/16\"]\n",
            "is not a network",
        ),
        ("[[boundary]]\nname = \"x\"\nsites = []\n", "an empty list"),
        (
            "[[fail-operational]]\nname = \"x\"\nfor = \"1h\"\nreason = \"y\"\n",
            "nobody means all",
        ),
        (
            "[[fail-operational]]\nname = \"x\"\nclasses = [\"c\"]\nfor = \"1h\"\n",
            "reason: is missing",
        ),
        (
            "[[boundary]]\nname = \"x\"\nsites = [\"a\"]\n[[boundary]]\nname = \"x\"\nsites = [\"b\"]\n",
            "names are unique",
        ),
    ] {
        let text = format!("{base}{text}");
        let error = parse(&text, 1).unwrap_err().to_string();
        assert!(error.contains(expected), "{text}\n{error}");
    }
}
