//! Everything EST reads from the other side: bodies, paths, headers. Nothing may panic, and what
//! is understood must come back the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tenure_wire::est::{
    Credentials, CsrAttrs, EstPath, MediaType, PKCS10, Wrapping, encode_body, parse_enroll,
    parse_generated_key, parse_retry_after,
};

fuzz_target!(|octets: &[u8]| {
    if let Ok(der) = parse_enroll(octets, Some(PKCS10)) {
        let sent = encode_body(&der, Wrapping::Lines);
        // Wrapping makes a body of the largest size a little larger than is read.
        if let Ok(again) = parse_enroll(sent.as_bytes(), Some(PKCS10)) {
            assert_eq!(again, der);
        }
    }
    if let Ok(attrs) = CsrAttrs::from_der(octets) {
        if let Some(der) = attrs.to_der() {
            assert!(CsrAttrs::from_der(&der).is_ok());
        }
    }
    let _ = parse_generated_key(octets, "multipart/mixed; boundary=a");
    let Ok(text) = std::str::from_utf8(octets) else { return };
    if let Ok(path) = EstPath::parse(text) {
        assert_eq!(EstPath::parse(&path.to_string()), Ok(path));
    }
    if let Ok(credentials) = Credentials::parse(text) {
        assert_eq!(Credentials::parse(&credentials.header()), Ok(credentials));
    }
    let _ = MediaType::parse(text);
    let _ = parse_retry_after(text, 0);
});
