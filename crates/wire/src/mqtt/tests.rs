use proptest::prelude::*;

use super::*;

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<_> = text.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
    let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(pair).collect()
}

/// What mosquitto 2.0.11 and its own clients said to each other (vectors/packets.txt).
#[test]
fn what_others_wrote_is_read_and_written_octet_for_octet() {
    let vectors = include_str!("vectors/packets.txt");
    let mut seen = 0;
    for line in vectors.lines().filter(|line| !line.starts_with('#')) {
        let (octets, said) = line.split_once(" = ").unwrap();
        let octets = hex(octets);
        let (packet, taken) = Packet::read(&octets).unwrap().unwrap();
        assert_eq!(taken, octets.len(), "{line}");
        assert_eq!(format!("{packet:?}"), said);
        assert_eq!(packet.write().unwrap(), octets, "{line}");
        for end in 0..octets.len() {
            assert_eq!(Packet::read(&octets[..end]), Ok(None), "{line}");
        }
        seen += 1;
    }
    assert!(seen >= 9);
}

#[test]
fn lengths_are_those_of_the_standard() {
    for (payload, lengths) in [
        (124, "7f"),
        (125, "80 01"),
        (16_380, "ff 7f"),
        (16_381, "80 80 01"),
    ] {
        let packet = Packet::Publish(Publish {
            topic: "a".to_owned(),
            payload: vec![0; payload],
            id: None,
            delivery: Delivery::First,
        });
        let octets = packet.write().unwrap();
        let lengths = hex(lengths);
        assert_eq!(octets[1..=lengths.len()], lengths);
        assert_eq!(Packet::read(&octets), Ok(Some((packet, octets.len()))));
    }
}

#[test]
fn what_is_not_spoken_or_not_right_is_refused() {
    for bad in [
        "00 00",                                     // no such packet
        "20 03 00 00 00",                            // longer than a CONNACK is
        "20 02 02 00",                               // reserved flags
        "21 02 00 00",                               // reserved flags
        "30 01 00",                                  // a topic that ends too early
        "32 05 00 01 61 00 00",                      // packet identifier 0
        "34 05 00 01 61 00 01",                      // QoS 2
        "30 04 00 02 c3 28",                         // not UTF-8
        "30 03 00 01 23",                            // a wildcard
        "c0 ff ff ff ff 7f",                         // a length of five bytes
        "c0 ff ff ff",                               // more than we read, said early
        "10 0c 00 04 4d 51 54 54 05 02 00 1e 00 00", // MQTT 5
    ] {
        let read = Packet::read(&hex(bad));
        let is_short = bad == "c0 ff ff ff";
        assert!(
            is_short && read == Ok(None) || read.is_err(),
            "{bad}: {read:?}"
        );
    }
    let publish = |topic: &str, id| {
        Packet::Publish(Publish {
            topic: topic.to_owned(),
            payload: Vec::new(),
            id,
            delivery: Delivery::First,
        })
    };
    assert!(publish("a/#", None).write().is_err());
    assert!(publish("a", Some(0)).write().is_err());
    assert!(publish(&"a".repeat(5_000), None).write().is_err());
}

#[test]
fn a_password_is_in_no_text() {
    let connect = Connect {
        client: "c".to_owned(),
        keep_alive_s: 30,
        credentials: Some(("user".to_owned(), "hunter2".to_owned())),
    };
    assert!(!format!("{:?}", Packet::Connect(connect)).contains("hunter2"));
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(
        topic in "[a-z/$]{1,40}", payload in proptest::collection::vec(any::<u8>(), 0..300),
        id in 1u16.., code in any::<u8>(), user in "[^\0]{0,20}", secret in "[^\0]{0,20}",
    ) {
        for packet in [
            Packet::Connect(Connect { client: topic.clone(), keep_alive_s: id, credentials: Some((user, secret)) }),
            Packet::Connack { code },
            Packet::Publish(Publish { topic: topic.clone(), payload: payload.clone(), id: Some(id), delivery: Delivery::Again }),
            Packet::Publish(Publish { topic: topic.clone(), payload, id: None, delivery: Delivery::First }),
            Packet::Puback { id },
            Packet::Subscribe { id, filter: topic },
            Packet::Suback { id, code },
            Packet::Pingreq,
            Packet::Pingresp,
            Packet::Disconnect,
        ] {
            let octets = packet.write().unwrap();
            prop_assert_eq!(Packet::read(&octets), Ok(Some((packet, octets.len()))));
        }
    }

    #[test]
    fn no_octets_panic(octets in proptest::collection::vec(any::<u8>(), 0..64)) {
        let _ = Packet::read(&octets);
    }
}
