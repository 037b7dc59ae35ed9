//! Times, serials, names, reasons: the small values.

use proptest::prelude::*;
use tenure_x509::{Name, NameAttribute, Reason, Serial, Time};

#[test]
fn never_stays_never_and_arithmetic_saturates() {
    assert_eq!(Time::NEVER.to_string(), "9999-12-31T23:59:59Z");
    assert_eq!(Time::NEVER.plus(-1), Time::NEVER);
    assert_eq!(Time::from_unix(i64::MAX), Time::NEVER);
    assert_eq!(Time::from_unix(0).plus(i64::MAX), Time::NEVER);
    assert_eq!(
        Time::from_unix(i64::MIN).to_string(),
        "0000-01-01T00:00:00Z"
    );
}

#[test]
fn rfc3339_is_read_with_fractions_and_offsets_and_nothing_else() {
    let parse = |text| Time::parse_rfc3339(text).map(|time| time.to_string());
    assert_eq!(
        parse("2026-11-22T01:02:03.999Z").unwrap(),
        "2026-11-22T01:02:03Z"
    );
    assert_eq!(
        parse("2026-11-22t01:02:03+05:30").unwrap(),
        "2026-11-21T19:32:03Z"
    );
    assert_eq!(
        parse("2024-02-29T00:00:00Z").unwrap(),
        "2024-02-29T00:00:00Z"
    );
    for wrong in [
        "",
        "2026-11-22",
        "2026-11-22T01:02:03",
        "2026-11-22T01:02:03Zx",
        "2025-02-29T00:00:00Z",
        "2026-13-01T00:00:00Z",
        "2026-11-22T24:00:00Z",
        "2026-11-22T01:02:03.Z",
        "2026-11-22T01:02:03+25:00",
        "२026-11-22T01:02:03Z",
    ] {
        assert!(parse(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn a_random_serial_is_positive_and_has_20_octets_of_which_the_first_is_not_zero() {
    let of = |random: [u8; 20]| Serial::from_random(random).to_string();
    assert_eq!(of([0xff; 20]), format!("7f{}", "ff".repeat(19)));
    assert_eq!(of([0; 20]), format!("40{}", "00".repeat(19)));
    let mut small = [0x85; 20];
    small[0] = 0x80;
    assert_eq!(of(small), format!("40{}", "85".repeat(19)));
    small[0] = 0x01;
    assert_eq!(of(small), format!("01{}", "85".repeat(19)));
}

#[test]
fn a_serial_is_known_however_its_leading_zeros_are_written() {
    let of = |text: &str| Serial::parse_number(text).unwrap().to_string();
    // As OpenSSL writes 00ccd5e7.
    assert_eq!(of("CCD5E7"), "00ccd5e7");
    assert_eq!(of("00:cc:d5:e7"), "00ccd5e7");
    assert_eq!(of("0000ccd5e7"), "00ccd5e7");
    // As a number without any zero in front.
    assert_eq!(of("5e7"), "05e7");
    assert_eq!(of("005e7"), "05e7");
    assert_eq!(of("0"), "00");
    assert_eq!(of(&"7f".repeat(256)), "7f".repeat(256));
    // With its sign this one has an octet too many, and would not be read again.
    let long = "ff".repeat(256);
    for wrong in ["", ":", "0g", "0x01", "1é", &"0".repeat(513), &long] {
        assert!(Serial::parse_number(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn a_leading_zero_octet_of_a_serial_counts() {
    let with = Serial::parse_hex("00:F1:02").unwrap();
    let without = Serial::parse_hex("f102").unwrap();
    assert_ne!(with, without);
    assert_eq!(with.to_string(), "00f102");
    assert_eq!(with.as_bytes(), [0, 0xf1, 2]);
    for wrong in ["", "f", "0g", "0x01", "1é"] {
        assert!(Serial::parse_hex(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn reasons_have_the_numbers_and_names_of_rfc_5280() {
    for reason in Reason::ALL {
        assert_eq!(Reason::from_code(reason.code()), Some(reason));
        assert_eq!(reason.name().parse::<Reason>().unwrap(), reason);
    }
    assert_eq!(Reason::from_code(7), None);
    assert_eq!(Reason::from_code(11), None);
    assert_eq!(
        "caCompromise".parse::<Reason>().unwrap(),
        Reason::CaCompromise
    );
    assert!("because".parse::<Reason>().is_err());
}

#[test]
fn names_are_written_as_the_typed_encoder_writes_them() {
    use der::{Decode as _, Encode as _};
    let name = Name::build(&[
        (NameAttribute::Country, "DE"),
        (NameAttribute::Organization, "Müller & Söhne"),
        (NameAttribute::SerialNumber, "SN-0042"),
        (NameAttribute::CommonName, "pump 7"),
    ])
    .unwrap();
    let typed = x509_cert::name::Name::from_der(name.as_der()).unwrap();
    assert_eq!(typed.to_der().unwrap(), name.as_der());
    assert_eq!(
        name.to_string(),
        "CN=pump 7,serialNumber=SN-0042,O=Müller & Söhne,C=DE"
    );
    assert_eq!(name.common_name().as_deref(), Some("pump 7"));
    assert_eq!(name.serial_number().as_deref(), Some("SN-0042"));
    assert!(Name::empty().is_empty());
    assert_eq!(Name::build(&[]).unwrap(), Name::empty());
}

/// PrintableString has no `_`: a device serial with one must not be forced into it.
#[test]
fn a_serial_number_outside_printable_string_becomes_utf8() {
    let tag_of = |value: &str| {
        let name = Name::build(&[(NameAttribute::SerialNumber, value)]).unwrap();
        name.attributes().next().unwrap().tag
    };
    assert_eq!(tag_of("SN-0042"), 0x13);
    for value in ["SN_0042", "a@b", "x*", "p&q"] {
        assert_eq!(tag_of(value), 0x0c, "{value}");
    }
}

#[test]
fn values_that_do_not_fit_a_name_are_refused() {
    let build = |attribute, value: &str| Name::build(&[(attribute, value)]);
    assert!(build(NameAttribute::CommonName, "").is_err());
    assert!(build(NameAttribute::CommonName, &"ü".repeat(64)).is_ok());
    assert!(build(NameAttribute::CommonName, &"x".repeat(65)).is_err());
    assert!(build(NameAttribute::Locality, &"x".repeat(128)).is_ok());
    assert!(build(NameAttribute::Country, "Germany").is_err());
    assert!(build(NameAttribute::Country, "de").is_err());
}

#[test]
fn names_match_across_string_types_but_equal_only_by_octets() {
    let printable = Name::from_der(b"\x30\x0f\x31\x0d\x30\x0b\x06\x03\x55\x04\x03\x13\x04pump");
    let printable = printable.unwrap();
    let utf8 = Name::build(&[(NameAttribute::CommonName, "pump")]).unwrap();
    assert_ne!(printable, utf8);
    assert!(printable.matches(&utf8));
    let other = Name::build(&[(NameAttribute::CommonName, "Pump")]).unwrap();
    assert!(!printable.matches(&other));
    let longer = Name::build(&[
        (NameAttribute::CommonName, "pump"),
        (NameAttribute::CommonName, "pump"),
    ]);
    assert!(!printable.matches(&longer.unwrap()));
}

#[test]
fn rfc4514_escapes_what_must_be() {
    let shown = |value: &str| {
        Name::build(&[(NameAttribute::CommonName, value)])
            .unwrap()
            .to_string()
    };
    assert_eq!(shown("a,b+c"), r"CN=a\,b\+c");
    assert_eq!(shown("#x"), r"CN=\#x");
    assert_eq!(shown(" x "), r"CN=\ x\ ");
    assert_eq!(shown("a\nb"), r"CN=a\0ab");
}

#[test]
fn hostile_names_are_refused_or_shown_without_panic() {
    // BMPString of odd length, T.61, an unknown attribute with a SEQUENCE for its value
    for (der, shown) in [
        (
            b"\x30\x0e\x31\x0c\x30\x0a\x06\x03\x55\x04\x03\x1e\x03\x00a\x00".as_slice(),
            "CN=#1e03006100",
        ),
        (
            b"\x30\x0c\x31\x0a\x30\x08\x06\x03\x55\x04\x03\x14\x01\xe9",
            "CN=é",
        ),
        (
            b"\x30\x0d\x31\x0b\x30\x09\x06\x03\x2a\x03\x04\x30\x02\x05\x00",
            "1.2.3.4=#30020500",
        ),
        (b"\x30\x09\x31\x07\x30\x05\x06\x01\x80\x0c\x00", "?="),
        (b"\x30\x02\x31\x00", ""),
    ] {
        let name = Name::from_der(der).unwrap();
        assert_eq!(name.to_string(), shown);
    }
    let good = Name::build(&[(NameAttribute::CommonName, "pump")]).unwrap();
    for end in 0..good.as_der().len() {
        assert!(Name::from_der(&good.as_der()[..end]).is_err());
    }
    let mut trailing = good.as_der().to_vec();
    trailing.push(0);
    assert!(Name::from_der(&trailing).is_err());
    assert!(Name::from_der(&[]).is_err());
}

proptest! {
    #[test]
    fn serials_round_trip_through_hex(octets in proptest::collection::vec(any::<u8>(), 1..40)) {
        let serial = Serial::from_der_value(&octets);
        let text = serial.to_string();
        prop_assert_eq!(text.len() % 2, 0);
        prop_assert_eq!(&Serial::parse_hex(&text).unwrap(), &serial);
        prop_assert_eq!(&Serial::parse_hex(&text.to_uppercase()).unwrap(), &serial);
        let number = Serial::parse_number(&text).unwrap();
        prop_assert_eq!(&Serial::parse_number(&format!("00{text}")).unwrap(), &number);
        prop_assert_eq!(&Serial::parse_number(&number.to_string()).unwrap(), &number);
    }

    #[test]
    fn times_round_trip_through_rfc3339(seconds in -62_167_219_200i64..=253_402_300_799) {
        let time = Time::from_unix(seconds);
        prop_assert_eq!(Time::parse_rfc3339(&time.to_string()).unwrap(), time);
        prop_assert_eq!(time.unix(), seconds);
    }

    #[test]
    fn names_round_trip(
        cn in "\\PC{1,64}",
        serial in "[ -~]{1,64}",
    ) {
        let name = Name::build(&[
            (NameAttribute::CommonName, &cn),
            (NameAttribute::SerialNumber, &serial),
        ]).unwrap();
        let again = Name::from_der(name.as_der()).unwrap();
        prop_assert_eq!(again.common_name(), Some(cn));
        prop_assert_eq!(again.serial_number(), Some(serial));
        prop_assert_eq!(again, name);
    }

    #[test]
    fn no_octets_make_a_name_panic(octets in proptest::collection::vec(any::<u8>(), 0..64)) {
        if let Ok(name) = Name::from_der(&octets) {
            let _ = (name.to_string(), name.common_name(), name.is_empty());
        }
    }
}
