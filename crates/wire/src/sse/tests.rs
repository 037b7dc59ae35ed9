use proptest::prelude::*;

use super::*;

fn all(text: &str) -> Vec<Event> {
    Parser::new().feed(text.as_bytes()).unwrap()
}

/// The examples of the standard, section 9.2.6.
#[test]
fn the_examples_of_the_standard_are_read_as_it_says() {
    let stocks = all("data: YHOO\ndata: +2\ndata: 10\n\n");
    assert_eq!(stocks.len(), 1);
    assert_eq!(stocks[0].data, "YHOO\n+2\n10");
    let four = all(
        ": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n",
    );
    let seen: Vec<_> = four
        .iter()
        .map(|event| (event.id.as_deref(), event.data.as_str()))
        .collect();
    assert_eq!(
        seen,
        [
            (Some("1"), "first event"),
            (Some(""), "second event"),
            (None, " third event")
        ]
    );
    let empty = all("data\n\ndata\ndata\n\ndata:");
    let said: Vec<_> = empty.iter().map(|event| event.data.as_str()).collect();
    assert_eq!(said, ["", "\n"], "the last one is not whole");
    assert_eq!(all("data:test\n\n"), all("data: test\n\n"));
}

#[test]
fn lines_end_in_any_of_three_ways_and_pieces_anywhere() {
    let expected = all("event: x\nid: 7\ndata: a\n\n");
    for text in [
        "event: x\r\nid: 7\r\ndata: a\r\n\r\n",
        "event: x\rid: 7\rdata: a\r\r",
        "\u{feff}event: x\nid: 7\nretry: 5\ndata: a\n\n",
    ] {
        let mut parser = Parser::new();
        let mut events = Vec::new();
        for byte in text.as_bytes() {
            events.extend(parser.feed(&[*byte]).unwrap());
        }
        assert_eq!(events, expected, "{text:?}");
    }
}

#[test]
fn what_is_too_long_or_no_text_is_refused() {
    let long = vec![b'a'; SSE_LINE_BYTES_MAX + 1];
    assert!(matches!(
        Parser::new().feed(&long),
        Err(Error::TooLarge { .. })
    ));
    let line = format!("data: {}\n", "a".repeat(SSE_LINE_BYTES_MAX - 6));
    let mut parser = Parser::new();
    let ended = (0..16).find_map(|_| parser.feed(line.as_bytes()).err());
    assert!(matches!(ended, Some(Error::TooLarge { .. })));
    assert_eq!(Parser::new().feed(b"data: \xff\n"), Err(Error::NotText));
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(id in "[^\r\n\0]{0,20}", kind in "[^\r\n]{1,20}", data in "[^\r]{0,200}") {
        let event = Event { id: Some(id), kind, data };
        prop_assert_eq!(all(&(comment("awake") + &event.write())), vec![event]);
    }
}
