#![no_main]
//! No list makes the parser panic, and an entry that is read is found by its serial.

use libfuzzer_sys::fuzz_target;
use tenure_x509::crl::Crl;

fuzz_target!(|bytes: &[u8]| {
    let Ok(crl) = Crl::from_der(bytes) else { return };
    let _ = (crl.scope(), crl.unusual(), crl.number());
    for entry in crl.entries() {
        let Ok(entry) = entry else { break };
        assert!(crl.find(&entry.serial).is_ok_and(|found| found.is_some()));
    }
});
