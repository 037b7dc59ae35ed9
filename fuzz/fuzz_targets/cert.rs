//! Certificates from anyone: no octets may panic, whatever one asks of the result.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tenure_x509::{Cert, Tbs};

fuzz_target!(|octets: &[u8]| {
    if let Ok(cert) = Cert::from_der(octets) {
        assert_eq!(cert.der(), octets);
        let _ = format!("{cert:?} {:?}", cert.flaws());
        let _ = cert.verify_signed_by(cert.public_key());
        let _ = (cert.validity().not_after.to_string(), cert.key_usage());
        for extension in cert.extensions() {
            let _ = extension.oid.to_string();
        }
        for name in cert.san() {
            let _ = name.to_string();
        }
        if let Ok(tbs) = Tbs::from_der(cert.tbs()) {
            assert_eq!(tbs.as_der(), cert.tbs());
        }
    }
});
