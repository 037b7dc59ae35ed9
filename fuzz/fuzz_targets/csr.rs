//! Certification requests from anyone: no octets may panic, and what is accepted is what came.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tenure_x509::Csr;

fuzz_target!(|octets: &[u8]| {
    if let Ok(csr) = Csr::from_der(octets) {
        assert_eq!(csr.der(), octets);
        let _ = (csr.subject().to_string(), csr.public_key().hash());
        for name in csr.san() {
            let _ = name.to_string();
        }
    }
});
