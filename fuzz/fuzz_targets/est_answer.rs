//! What a device reads from an EST server and from an HTTP header: nothing may panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tenure_field::est::parse_certs;
use tenure_field::http::{Trust, Url};
use tenure_wire::est::{CsrAttrs, MediaType, decode_answer, parse_generated_key};

fuzz_target!(|octets: &[u8]| {
    let _ = parse_certs(octets);
    if let Ok(der) = decode_answer(octets) {
        if let Ok(attrs) = CsrAttrs::from_der(&der) {
            let _ = attrs.wanted_key();
        }
    }
    // The first line is the media type, the rest the body.
    let end = octets.iter().position(|octet| *octet == b'\n').unwrap_or(octets.len());
    let (line, body) = octets.split_at(end);
    let Ok(line) = std::str::from_utf8(line) else { return };
    let _ = parse_generated_key(body, line);
    let _ = MediaType::parse(line);
    let _ = Trust::from_pem(line);
    if let Ok(url) = Url::parse(line) {
        assert_eq!(Url::parse(&url.to_string()).ok(), Some(url));
    }
});
