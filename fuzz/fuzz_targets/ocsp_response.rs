#![no_main]
//! No response makes the parser panic.

use libfuzzer_sys::fuzz_target;
use tenure_x509::ocsp::OcspResponse;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(OcspResponse::Basic(basic)) = OcspResponse::from_der(bytes) {
        let _ = (basic.responses().len(), basic.nonce(), basic.certificates().len());
    }
});
