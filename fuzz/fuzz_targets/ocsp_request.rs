#![no_main]
//! No request and no path of a GET makes the parser panic; a nonce that is accepted has a length
//! that RFC 9654 allows.

use libfuzzer_sys::fuzz_target;
use tenure_x509::ocsp::{NONCE_OCTETS_MAX, OcspRequest, decode_get_path};

fuzz_target!(|bytes: &[u8]| {
    let decoded = str::from_utf8(bytes).ok().and_then(|path| decode_get_path(path).ok());
    for der in [Some(bytes), decoded.as_deref()].into_iter().flatten() {
        let Ok(request) = OcspRequest::from_der(der) else { continue };
        assert!(!request.asked().is_empty());
        assert!(request.nonce().is_none_or(|n| (1..=NONCE_OCTETS_MAX).contains(&n.len())));
        for id in request.asked() {
            let _ = (id.hash_kind(), id.serial());
        }
    }
});
