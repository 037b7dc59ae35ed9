use super::proto::{Reader, Value, Writer};
use super::*;

/// A `CheckRequest` with everything that Envoy puts around what is read.
fn request(certificate: &str, address: &str, words: &[(&str, &str)]) -> Vec<u8> {
    let mut socket = Writer::default();
    socket.bytes(2, address.as_bytes());
    socket.number(3, 40_001);
    let mut outer = Writer::default();
    outer.bytes(1, &socket.finish());
    let mut peer = Writer::default();
    peer.bytes(1, &outer.finish());
    peer.bytes(4, b"https://device.internal/pump-17");
    peer.bytes(5, certificate.as_bytes());
    let mut http = Writer::default();
    http.bytes(2, b"GET");
    http.number(9, u64::MAX);
    let mut asked = Writer::default();
    asked.bytes(2, &http.finish());
    let mut context = Writer::default();
    context.bytes(1, &peer.finish());
    context.bytes(4, &asked.finish());
    for (key, word) in words {
        let mut entry = Writer::default();
        entry.bytes(1, key.as_bytes());
        entry.bytes(2, word.as_bytes());
        context.bytes(10, &entry.finish());
    }
    let mut whole = Writer::default();
    whole.bytes(1, &context.finish());
    whole.finish()
}

#[test]
fn what_a_decision_needs_is_read_and_the_rest_is_skipped() {
    let message = request("-----BEGIN%20", "10.3.0.7", &[("service", "telemetry")]);
    let check = CheckRequest::parse(&message).unwrap();
    assert_eq!(check.certificate.as_deref(), Some("-----BEGIN%20"));
    assert_eq!(check.source, Some("10.3.0.7".parse().unwrap()));
    assert_eq!(check.extensions["service"], "telemetry");
    assert_eq!(unframed(&framed(&message)), Ok(message.as_slice()));

    let bare = CheckRequest::parse(&request("", "/run/a.sock", &[])).unwrap();
    assert_eq!(bare, CheckRequest::default());
    assert_eq!(CheckRequest::parse(&[]), Ok(CheckRequest::default()));
}

/// Written by hand after the schema: `attributes.source.certificate = "PEM"` and
/// `attributes.context_extensions = {"service": "t"}`.
#[test]
fn bytes_after_the_schema_are_read() {
    let message = b"\x0a\x15\x0a\x05\x2a\x03PEM\x52\x0c\x0a\x07service\x12\x01t";
    let check = CheckRequest::parse(message).unwrap();
    assert_eq!(check.certificate.as_deref(), Some("PEM"));
    assert_eq!(check.extensions["service"], "t");
}

#[test]
fn every_beginning_of_a_call_is_refused_or_read_without_harm() {
    let message = request("-----BEGIN%20", "10.3.0.7", &[("service", "telemetry")]);
    let body = framed(&message);
    for end in 0..body.len() {
        assert!(unframed(&body[..end]).is_err(), "{end}");
        if end > 0 {
            let cut = CheckRequest::parse(&message[..end.min(message.len() - 1)]);
            assert!(cut.is_err() || end == 0, "{end}: {cut:?}");
        }
    }
    let mut longer = body.clone();
    longer.push(0);
    assert_eq!(unframed(&longer), Err(CheckError::Malformed));
    let mut compressed = body;
    compressed[0] = 1;
    assert_eq!(unframed(&compressed), Err(CheckError::Compressed));
    assert_eq!(unframed(&[0, 255, 255, 255, 255]), Err(CheckError::TooLong));
}

#[test]
fn a_call_cannot_have_words_without_end() {
    let keys: Vec<String> = (0..=CHECK_EXTENSIONS_MAX).map(|n| n.to_string()).collect();
    let words: Vec<_> = keys.iter().map(|key| (key.as_str(), "x")).collect();
    let message = request("", "10.3.0.7", &words);
    assert_eq!(CheckRequest::parse(&message), Err(CheckError::TooMany));
}

#[test]
fn numbers_have_an_end() {
    let mut endless = Reader::new(&[0x80; 11]);
    assert_eq!(endless.next(), Err(CheckError::Malformed));
    let mut group = Reader::new(&[0x0b]);
    assert_eq!(group.next(), Err(CheckError::Malformed));
    let mut skipped = Reader::new(&[0x09, 1, 2, 3, 4, 5, 6, 7, 8, 0x15, 1, 2, 3, 4]);
    assert_eq!(skipped.next(), Ok(Some((1, Value::Number))));
    assert_eq!(skipped.next(), Ok(Some((2, Value::Number))));
    assert_eq!(skipped.next(), Ok(None));
}

/// Written by hand after the schema.
#[test]
fn answers_are_as_the_schema_wants_them() {
    let allow = CheckResponse {
        answer: Answer::Allow,
        headers: vec![("x-tier", "full".to_owned())],
    };
    let expected = b"\x0a\x00\x1a\x12\x12\x10\x0a\x0e\x0a\x06x-tier\x12\x04full";
    assert_eq!(allow.encode(), expected);
    let deny = CheckResponse::default();
    assert_eq!(
        deny.encode(),
        b"\x0a\x02\x08\x07\x12\x05\x0a\x03\x08\x93\x03"
    );
}
