//! Names from anyone: no octets may panic, and a name matches itself.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tenure_x509::Name;

fuzz_target!(|octets: &[u8]| {
    if let Ok(name) = Name::from_der(octets) {
        assert_eq!(name.as_der(), octets);
        assert!(name.matches(&name.clone()));
        let _ = (name.to_string(), name.common_name(), name.serial_number());
    }
});
