//! Facts as they are kept: the record holds their hash, so that they are written in one way only.

use tenure_domain::CertificateNo;
use tenure_domain::ask::Operation;
use tenure_domain::certificate::Revocation;
use tenure_domain::facts::{IdentityForLife, KeyUse, Repair, Ruling};
use tenure_x509::Reason;

use crate::fixture::{House, NOW, ask, csr, key, secret};

/// Canonical JSON (RFC 8785), with every field there is and with none of those that may be missing.
#[test]
fn what_was_known_is_written_in_one_way() {
    let house = House::new();
    let (mut subject, _, _) = house.enrolled();
    let ask = ask(Operation::Enroll, csr(&key()));
    let head = subject.head.as_mut().unwrap();
    head.first_used = Some(NOW);
    head.revocation = Some(Revocation {
        reason: Reason::Superseded,
        at: NOW,
        invalidity: None,
    });
    let mut facts = house.facts(subject, secret(&ask));
    facts.key_use = Some(KeyUse::OtherDevice("pump-2".parse().unwrap()));
    facts.ruling = Some(Ruling::Approved);
    facts.identity = Some(IdentityForLife {
        device: "pump-3".parse().unwrap(),
        certificate: CertificateNo(7),
        repair: Repair::NotApproved,
    });
    let value = canonical(&facts.to_json());
    let subject = facts.subject.as_mut().unwrap();
    assert_eq!(value["evidence"], serde_json::json!(["secret"]));
    assert_eq!(value["device"]["id"], subject.device.id.as_str());
    assert_eq!(value["device"]["head"]["first_used"], NOW.to_string());
    assert_eq!(
        value["device"]["head"]["revocation"]["reason"],
        "superseded"
    );
    assert_eq!(value["identity"]["device"], "pump-3");
    assert_eq!(value["ruling"], "Approved");

    subject.head = None;
    facts.identity = None;
    let value = canonical(&facts.to_json());
    assert!(value["device"]["head"].is_null() && value["identity"].is_null());
}

fn canonical(written: &str) -> serde_json::Value {
    // A parsed object has its keys sorted.
    let value: serde_json::Value = serde_json::from_str(written).unwrap();
    assert_eq!(value.to_string(), written, "fields out of order");
    value
}
