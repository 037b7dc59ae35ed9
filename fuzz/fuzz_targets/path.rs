//! Paths of hostile certificates. The input is a list of certificates, each after its length in
//! two octets: the leaf, the anchor, and intermediates. Signatures rarely hold, so the leaf is
//! also tried as its own issuer, and lint is asked what it thinks.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tenure_x509::lint::{LintProfile, check};
use tenure_x509::path::{Purpose, validate};
use tenure_x509::{Cert, Tbs};

fuzz_target!(|octets: &[u8]| {
    let mut certs = Vec::new();
    let mut rest = octets;
    while let [high, low, after @ ..] = rest {
        let len = usize::from(u16::from_be_bytes([*high, *low])).min(after.len());
        let (one, after) = after.split_at(len);
        if let Ok(cert) = Cert::from_der(one) {
            certs.push(cert);
        }
        rest = after;
    }
    let [leaf, anchor, intermediates @ ..] = certs.as_slice() else {
        return;
    };
    let at = leaf.validity().not_before;
    for purpose in [Purpose::ClientAuth, Purpose::Issuing, Purpose::Any] {
        let anchors = [anchor.clone(), leaf.clone()];
        if let Ok(chain) = validate(leaf, intermediates, &anchors, at, purpose) {
            assert_eq!(chain.leaf(), leaf);
            assert!(anchors.contains(chain.anchor()));
        }
    }
    if let Ok(tbs) = Tbs::from_der(leaf.tbs()) {
        let _ = check(tbs, LintProfile::LDevId, Some(anchor));
    }
});
