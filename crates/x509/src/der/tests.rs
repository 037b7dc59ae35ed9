use super::{Reader, Rules, Writer, tag};
use crate::Time;

#[test]
fn lengths_are_minimal_at_every_step() {
    for len in [0usize, 1, 127, 128, 255, 256, 65_535, 65_536] {
        let contents = vec![0x5a; len];
        let mut flat = Writer::new();
        flat.tlv(tag::OCTET_STRING, &contents);
        let flat = flat.finish();
        let mut nested = Writer::new();
        nested.nest(tag::OCTET_STRING, |w| w.raw(&contents));
        assert_eq!(nested.finish(), flat, "{len}");

        let mut reader = Reader::new(&flat, Rules::Der);
        let tlv = reader.expect(tag::OCTET_STRING, "string").unwrap();
        assert_eq!(tlv.value, contents);
        assert_eq!(tlv.raw, flat);
        reader.finish("string").unwrap();

        use der::{Decode as _, Encode as _, asn1::OctetString};
        assert_eq!(
            OctetString::from_der(&flat).unwrap().to_der().unwrap(),
            flat
        );
    }
}

#[test]
fn integers_are_written_as_the_typed_encoder_writes_them() {
    use der::Encode as _;
    for value in [0u64, 1, 127, 128, 255, 256, 0x7fff, 0x8000, u64::MAX] {
        let mut writer = Writer::new();
        writer.unsigned(value);
        assert_eq!(writer.finish(), value.to_der().unwrap(), "{value}");
    }
    let mut writer = Writer::new();
    writer.unsigned_octets(&[0, 0, 0x80]);
    assert_eq!(writer.finish(), [2, 2, 0, 0x80]);
}

#[test]
fn every_truncation_is_an_error() {
    let mut writer = Writer::new();
    writer.sequence(|w| {
        w.tlv(tag::OCTET_STRING, &[7; 200]);
        w.integer(&[5]);
    });
    let whole = writer.finish();
    for end in 0..whole.len() {
        for rules in [Rules::Der, Rules::Ber] {
            assert!(Reader::new(&whole[..end], rules).any("x").is_err(), "{end}");
        }
    }
}

#[test]
fn long_lengths_are_ber_only() {
    for encoding in [
        [0x04, 0x81, 0x01, 0xaa].as_slice(),
        &[0x04, 0x82, 0x00, 0x01, 0xaa],
        &[0x04, 0x88, 0, 0, 0, 0, 0, 0, 0, 1, 0xaa],
    ] {
        assert!(Reader::new(encoding, Rules::Der).any("x").is_err());
        let tlv = Reader::new(encoding, Rules::Ber).any("x").unwrap();
        assert_eq!(tlv.value, [0xaa]);
    }
    // five significant octets, and a length far beyond the input
    let oversized = [0x04, 0x85, 1, 0, 0, 0, 0, 0xaa];
    assert!(Reader::new(&oversized, Rules::Ber).any("x").is_err());
    let beyond = [0x04, 0x84, 0xff, 0xff, 0xff, 0xff, 0xaa];
    assert!(Reader::new(&beyond, Rules::Der).any("x").is_err());
}

#[test]
fn indefinite_lengths_are_ber_only_and_bounded_in_depth() {
    let bytes = [
        0x30, 0x80, 0x02, 0x01, 0x05, 0x30, 0x80, 0, 0, 0, 0, 0x05, 0x00,
    ];
    assert!(Reader::new(&bytes, Rules::Der).any("x").is_err());
    let mut reader = Reader::new(&bytes, Rules::Ber);
    let mut inner = reader.sequence("x").unwrap();
    assert_eq!(reader.rest(), [0x05, 0x00]);
    assert_eq!(inner.small_unsigned("x").unwrap(), 5);
    assert!(inner.sequence("x").unwrap().is_empty());
    inner.finish("x").unwrap();

    let mut deep = [0x30, 0x80].repeat(1000);
    deep.extend([0, 0].repeat(1000));
    assert!(Reader::new(&deep, Rules::Ber).any("x").is_err());
    // primitive types have no indefinite form
    assert!(
        Reader::new(&[0x04, 0x80, 0, 0], Rules::Ber)
            .any("x")
            .is_err()
    );
}

#[test]
fn offsets_point_into_the_outermost_input() {
    let bytes = [0x30, 0x05, 0x30, 0x03, 0x02, 0x01, 0x05];
    let mut reader = Reader::new(&bytes, Rules::Der);
    let mut outer = reader.sequence("outer").unwrap();
    let mut inner = outer.sequence("inner").unwrap();
    let error = inner.oid("type").unwrap_err();
    assert_eq!(error.to_string(), "malformed type at octet 4");
    assert_eq!(outer.offset(), 7);
}

#[test]
fn integers_and_booleans_keep_to_their_rules() {
    let long = [0x02, 0x02, 0x00, 0x05];
    assert!(Reader::new(&long, Rules::Der).integer("x").is_err());
    assert_eq!(
        Reader::new(&long, Rules::Ber).small_unsigned("x").unwrap(),
        5
    );
    assert!(Reader::new(&[0x02, 0x00], Rules::Ber).integer("x").is_err());
    assert!(
        Reader::new(&[0x02, 0x01, 0xff], Rules::Der)
            .small_unsigned("x")
            .is_err()
    );
    let five_octets = [0x02, 0x05, 1, 0, 0, 0, 0];
    assert!(
        Reader::new(&five_octets, Rules::Der)
            .small_unsigned("x")
            .is_err()
    );
    assert!(
        Reader::new(&[0x01, 0x01, 0x01], Rules::Der)
            .boolean("x")
            .is_err()
    );
    assert!(
        Reader::new(&[0x01, 0x01, 0x01], Rules::Ber)
            .boolean("x")
            .unwrap()
    );
}

#[test]
fn times_read_back_what_was_written() {
    for (text, encoded) in [
        ("1950-01-01T00:00:00Z", b"\x17\x0d500101000000Z".as_slice()),
        ("1949-12-31T23:59:59Z", b"\x18\x0f19491231235959Z"),
        ("2026-11-22T01:02:03Z", b"\x17\x0d261122010203Z"),
        ("2049-12-31T23:59:59Z", b"\x17\x0d491231235959Z"),
        ("2050-01-01T00:00:00Z", b"\x18\x0f20500101000000Z"),
        ("9999-12-31T23:59:59Z", b"\x18\x0f99991231235959Z"),
    ] {
        let time = Time::parse_rfc3339(text).unwrap();
        let mut writer = Writer::new();
        writer.time(time);
        assert_eq!(writer.finish(), encoded, "{text}");
        let tlv = Reader::new(encoded, Rules::Der).any("time").unwrap();
        assert_eq!(Time::from_tlv(tlv, Rules::Der, "time").unwrap(), time);
        assert_eq!(time.to_string(), text);
    }
}

#[test]
fn sloppy_times_are_ber_only() {
    for (encoded, meant) in [
        (b"\x17\x0b2611220102Z".as_slice(), "2026-11-22T01:02:00Z"),
        (b"\x17\x11261122010203+0100", "2026-11-22T00:02:03Z"),
        (b"\x18\x1220261122010203.50Z", "2026-11-22T01:02:03Z"),
    ] {
        let tlv = Reader::new(encoded, Rules::Ber).any("time").unwrap();
        assert!(Time::from_tlv(tlv, Rules::Der, "time").is_err());
        let time = Time::from_tlv(tlv, Rules::Ber, "time").unwrap();
        assert_eq!(time.to_string(), meant);
    }
    for wrong in [
        b"\x17\x0d261322010203Z".as_slice(),
        b"\x17\x0d260230010203Z",
        b"\x17\x0d261122240203Z",
        b"\x17\x0d261122010260Z",
        b"\x17\x0d2611220102AAZ",
        b"\x17\x00",
        b"\x18\x0d261122010203Z",
        b"\x0c\x0d261122010203Z",
    ] {
        let tlv = Reader::new(wrong, Rules::Ber).any("time").unwrap();
        assert!(
            Time::from_tlv(tlv, Rules::Ber, "time").is_err(),
            "{wrong:?}"
        );
    }
}
