//! Name constraints.

use super::*;

/// `[tag] value` as a GeneralName.
fn general_name(tag: u8, value: &[u8]) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.tlv(tag, value);
    writer.finish()
}

/// A nameConstraints extension.
fn constraints(
    permitted: &[Vec<u8>],
    excluded: &[Vec<u8>],
) -> (ObjectIdentifier, Criticality, Vec<u8>) {
    let mut writer = Writer::new();
    writer.sequence(|lists| {
        for (tag, list) in [(0xa0, permitted), (0xa1, excluded)] {
            if !list.is_empty() {
                lists.nest(tag, |subtrees| {
                    for base in list {
                        subtrees.sequence(|subtree| subtree.raw(base));
                    }
                });
            }
        }
    });
    (
        oid::NAME_CONSTRAINTS,
        Criticality::Critical,
        writer.finish(),
    )
}

const DNS: u8 = 0x82;
const EMAIL: u8 = 0x81;
const URI: u8 = 0x86;
const IP: u8 = 0x87;
const DIRECTORY: u8 = 0xa4;

#[test]
fn name_constraints_are_kept() {
    use Oracle::{OpenSsl, Webpki};
    let bench = Bench::new();
    let permitted = |tag, value: &[u8]| constraints(&[general_name(tag, value)], &[]);
    let excluded = |tag, value: &[u8]| constraints(&[], &[general_name(tag, value)]);
    let acme = Name::build(&[(NameAttribute::Organization, "ACME  plant")]).unwrap();
    let other = Name::build(&[(NameAttribute::Organization, "Other")]).unwrap();
    let dns = |text: &str| SanName::Dns(text.into());
    let uri = |text: &str| SanName::Uri(text.into());
    let email = |text: &str| SanName::Email(text.into());
    let ip = |text: &str| SanName::Ip(text.parse().unwrap());
    const URIS: &[(Oracle, &str)] = &[(Webpki, "it refuses every URI below a URI constraint")];
    const DIRECTORIES: &[(Oracle, &str)] = &[(
        Webpki,
        "it refuses everything below a directoryName constraint",
    )];
    const NONE: &[(Oracle, &str)] = &[];
    let yes = true;
    let no = false;
    let table = [
        (
            permitted(DNS, b"plant.example"),
            dns("pump.plant.example"),
            yes,
            NONE,
        ),
        (
            permitted(DNS, b"plant.example"),
            dns("PLANT.example"),
            yes,
            NONE,
        ),
        (
            permitted(DNS, b"plant.example"),
            dns("*.plant.example"),
            yes,
            NONE,
        ),
        (
            permitted(DNS, b"plant.example"),
            dns("otherplant.example"),
            no,
            NONE,
        ),
        (permitted(DNS, b"plant.example"), dns("example"), no, NONE),
        (permitted(DNS, b"plant.example"), ip("192.0.2.1"), yes, NONE),
        (permitted(DNS, b""), dns("pump.example"), yes, NONE),
        (
            excluded(DNS, b"plant.example"),
            dns("pump.plant.example"),
            no,
            NONE,
        ),
        (
            excluded(DNS, b"plant.example"),
            dns("pump.example"),
            yes,
            NONE,
        ),
        (
            excluded(DNS, b"a.plant.example"),
            dns("*.plant.example"),
            no,
            &[(OpenSsl, "it compares a wildcard as text")],
        ),
        (
            permitted(IP, &[192, 0, 2, 0, 255, 255, 255, 0]),
            ip("192.0.2.9"),
            yes,
            NONE,
        ),
        (
            permitted(IP, &[192, 0, 2, 0, 255, 255, 255, 0]),
            ip("192.0.3.9"),
            no,
            NONE,
        ),
        (
            permitted(IP, &[192, 0, 2, 0, 255, 255, 255, 0]),
            ip("2001:db8::1"),
            no,
            NONE,
        ),
        (
            excluded(IP, &[192, 0, 2, 0, 255, 255, 255, 0]),
            ip("192.0.2.9"),
            no,
            NONE,
        ),
        (
            excluded(IP, &[192, 0, 2, 0, 255, 255, 255, 0]),
            ip("2001:db8::1"),
            yes,
            NONE,
        ),
        (
            permitted(EMAIL, b"plant.example"),
            email("ops@plant.example"),
            yes,
            &[(Webpki, "it knows no email constraints")],
        ),
        (
            permitted(EMAIL, b"plant.example"),
            email("ops@a.plant.example"),
            no,
            NONE,
        ),
        (
            permitted(EMAIL, b".plant.example"),
            email("ops@a.plant.example"),
            yes,
            &[(Webpki, "it knows no email constraints")],
        ),
        (
            permitted(EMAIL, b"ops@plant.example"),
            email("Ops@plant.example"),
            no,
            NONE,
        ),
        (
            permitted(URI, b"plant.example"),
            uri("https://plant.example:8443/x"),
            yes,
            URIS,
        ),
        (
            permitted(URI, b".plant.example"),
            uri("https://a.plant.example/x"),
            yes,
            URIS,
        ),
        (
            permitted(URI, b"plant.example"),
            uri("https://evil.example/plant.example"),
            no,
            NONE,
        ),
        (
            permitted(URI, b"plant.example"),
            uri("https://plant.example@evil.example/"),
            no,
            NONE,
        ),
        (
            permitted(URI, b"plant.example"),
            uri("urn:dev:ops:1"),
            no,
            NONE,
        ),
        (
            excluded(URI, b"plant.example"),
            uri("https://192.0.2.1/"),
            no,
            &[(OpenSsl, "it takes an address for a host name")],
        ),
        (
            permitted(DIRECTORY, acme.as_der()),
            dns("pump.example"),
            yes,
            DIRECTORIES,
        ),
        (
            permitted(DIRECTORY, other.as_der()),
            dns("pump.example"),
            no,
            NONE,
        ),
        (
            excluded(DIRECTORY, acme.as_der()),
            dns("pump.example"),
            no,
            NONE,
        ),
        (
            excluded(DIRECTORY, other.as_der()),
            dns("pump.example"),
            yes,
            DIRECTORIES,
        ),
    ];
    for (constraint, san, allowed, differ) in table {
        let shown = format!("{san} below {constraint:?}");
        let mut spec = bench.spec();
        spec.extensions.san = vec![san];
        let fault = PathFault::NameNotPermitted;
        let mut case = bench.case("", if allowed { Ok(3) } else { Err((0, fault)) });
        case.what = Box::leak(shown.into_boxed_str());
        case.leaf = sign(&spec, &bench.issuing.key);
        case.intermediates = vec![bench.issuing_again(|_| (), &[constraint])];
        case.differ = differ;
        hold(&case);
    }
}

#[test]
fn name_constraints_that_cannot_be_applied_end_the_path() {
    let bench = Bench::new();
    let bad = PathFault::BadNameConstraints;
    for (what, value) in [
        ("empty", vec![0x30, 0x00]),
        ("not a sequence", vec![0x05, 0x00]),
        ("cut off", vec![0x30, 0x05, 0xa0, 0x03, 0x30]),
        (
            "a mask with holes",
            constraints(&[general_name(IP, &[10, 0, 0, 0, 255, 0, 255, 0])], &[]).2,
        ),
        (
            "an address of five octets",
            constraints(&[general_name(IP, &[10, 0, 0, 0, 255])], &[]).2,
        ),
        (
            "a minimum",
            vec![
                0x30, 0x0c, 0xa0, 0x0a, 0x30, 0x08, 0x82, 0x03, b'a', b'.', b'b', 0x80, 0x01, 0x01,
            ],
        ),
    ] {
        let extension = (oid::NAME_CONSTRAINTS, Criticality::Critical, value);
        let ca = bench.issuing_again(|_| (), &[extension]);
        let found = validate(
            &bench.leaf(),
            &[ca],
            std::slice::from_ref(&bench.root.cert),
            NOW,
            Purpose::Any,
        );
        let error = found.unwrap_err();
        assert_eq!((error.depth, error.fault), (1, bad), "{what}");
    }
    // a constrained form of name that we cannot compare, and a leaf that has one
    let other_name = constraints(&[general_name(0xa0, &[6, 1, 42, 0xa0, 2, 5, 0])], &[]);
    let ca = bench.issuing_again(|_| (), &[other_name]);
    let mut spec = bench.spec();
    let judge = |spec: &CertificateSpec| {
        let leaf = sign(spec, &bench.issuing.key);
        validate(
            &leaf,
            std::slice::from_ref(&ca),
            std::slice::from_ref(&bench.root.cert),
            NOW,
            Purpose::Any,
        )
        .map_err(|error| error.fault)
    };
    assert!(judge(&spec).is_ok());
    spec.extensions.san = vec![SanName::HardwareModule {
        hw_type: ObjectIdentifier::new_unwrap("1.3.6.1.4.1.32473.1"),
        serial: vec![1],
    }];
    assert_eq!(judge(&spec).unwrap_err(), PathFault::NameNotPermitted);
}

#[test]
fn comparisons_of_names_are_bounded() {
    let bench = Bench::new();
    let many: Vec<Vec<u8>> = (0..1000)
        .map(|number| general_name(DNS, format!("n{number}.example").as_bytes()))
        .collect();
    let ca = bench.issuing_again(|_| (), &[constraints(&[], &many)]);
    let mut spec = bench.spec();
    spec.extensions.san = (0..1000)
        .map(|number| SanName::Dns(format!("m{number}.test")))
        .collect();
    let leaf = sign(&spec, &bench.issuing.key);
    let found = validate(
        &leaf,
        &[ca],
        std::slice::from_ref(&bench.root.cert),
        NOW,
        Purpose::Any,
    );
    assert_eq!(found.unwrap_err().fault, PathFault::TooManyNames);
}
