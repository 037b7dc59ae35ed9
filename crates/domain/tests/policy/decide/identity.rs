//! Identities for life.

use super::*;

/// Requirement A1, the part that a decision holds: a second identity for life for a device that
/// holds a live one is not made unless an operator approved it.
#[test]
fn a1_a_second_identity_for_life_needs_an_approved_repair() {
    let house = House::with(document::DEFAULT_DOCUMENT, Time::NEVER);
    let first = labelled(ask(Operation::Enroll, csr(&key())), "idevid");
    let mut facts = house.facts(subject(device("pump-17")), secret(&first));
    assert_eq!(
        held_by(decide(&house.policy, &first, &facts, NOW)),
        "identity-for-life"
    );
    facts.ruling = Some(Ruling::Approved);
    let (certificate, row) = house.issue(decide(&house.policy, &first, &facts, NOW), &first.csr, 1);
    assert_eq!(certificate.validity().not_after, Time::NEVER);
    assert_eq!(
        certificate.subject().serial_number().as_deref(),
        Some("SN-17")
    );
    assert!(certificate.ext_key_usage().is_none() && certificate.subject_key_id().is_none());
    assert!(!certificate.crl_urls().is_empty());

    // Even under a policy that allows every first one, the second is refused.
    let open = document::DEFAULT_DOCUMENT.replace(
        "action = \"hold\"\nreason = \"an identity for life",
        "action = \"allow\"\nreason = \"an identity for life",
    );
    let open = House {
        policy: document::parse(&open, 2).unwrap(),
        ..house
    };
    let identity = |device: &str, repair| IdentityForLife {
        device: device.parse().unwrap(),
        certificate: row.no,
        repair,
    };
    let mut holder = subject(device("pump-17"));
    holder.head = Some(row.clone());
    let second = labelled(ask(Operation::Enroll, csr(&key())), "idevid");
    let mut facts = open.facts(holder, secret(&second));
    facts.identity = Some(identity("pump-17", Repair::NotApproved));
    // Neither an approval of the ask itself nor the end of the first one opens the way.
    for (ruling, status) in [
        (None, Status::Issued),
        (Some(Ruling::Approved), Status::Issued),
        (Some(Ruling::Approved), Status::Revoked),
    ] {
        facts.ruling = ruling;
        facts
            .subject
            .as_mut()
            .unwrap()
            .head
            .as_mut()
            .unwrap()
            .status = status;
        let Refusal::Conflict { what } = refusal(decide(&open.policy, &second, &facts, NOW)) else {
            panic!("a second identity for life was not refused")
        };
        assert!(what.contains("device repair pump-17"), "{what}");
    }
    facts.identity = Some(identity("pump-17", Repair::Approved));
    let Decision::Allow(grant) = decide(&open.policy, &second, &facts, NOW) else {
        panic!("an approved repair was refused")
    };
    assert!(grant.predecessor().is_some());
    // A repair of one device says nothing about another with its serial number.
    facts.identity = Some(identity("pump-18", Repair::Approved));
    let Refusal::Conflict { what } = refusal(decide(&open.policy, &second, &facts, NOW)) else {
        panic!("two devices have one serial number")
    };
    assert!(what.contains("SN-17") && what.contains("pump-18"), "{what}");
    // An operational certificate is another matter.
    let ordinary = ask(Operation::Enroll, csr(&key()));
    facts.evidence = vec![secret(&ordinary)];
    assert!(matches!(
        decide(&open.policy, &ordinary, &facts, NOW),
        Decision::Allow(_)
    ));
}

#[test]
fn an_identity_for_life_enrolls_its_device_and_is_never_renewed() {
    let house = House::with(document::DEFAULT_DOCUMENT, Time::NEVER);
    let first = labelled(ask(Operation::Enroll, csr(&key())), "idevid");
    let mut facts = house.facts(subject(device("pump-17")), secret(&first));
    facts.ruling = Some(Ruling::Approved);
    let (identity, row) = house.issue(decide(&house.policy, &first, &facts, NOW), &first.csr, 1);
    let mut holder = subject(device("pump-17"));
    holder.head = Some(row.clone());

    let operational = ask(Operation::Enroll, csr(&key()));
    let facts = house.facts(holder.clone(), current(&identity, &row));
    let decision = decide(&house.policy, &operational, &facts, NOW);
    let (_, head) = house.issue(decision, &operational.csr, 2);
    assert_eq!(head.predecessor, Some(row.no));

    // It identifies the device; it does not start it anew while it holds a live certificate.
    let mut later = holder.clone();
    later.head = Some(head);
    let again = ask(Operation::Enroll, csr(&key()));
    let facts = house.facts(later, current(&identity, &row));
    assert_eq!(
        held_by(decide(&house.policy, &again, &facts, NOW)),
        "re-enrollment"
    );

    let renewal = ask(Operation::Renew, csr(&key()));
    let facts = house.facts(holder, current(&identity, &row));
    let Refusal::BadRequest { what } = refusal(decide(&house.policy, &renewal, &facts, NOW)) else {
        panic!("not a bad request")
    };
    assert!(what.contains("for life"), "{what}");
}

/// Relying parties compare the maker's serial number octet for octet, so only one encoding is made.
#[test]
fn a_serial_number_that_has_no_one_encoding_makes_no_identity_for_life() {
    let house = House::with(document::DEFAULT_DOCUMENT, Time::NEVER);
    let ask = labelled(ask(Operation::Enroll, csr(&key())), "idevid");
    let mut holder = subject(device("pump-17"));
    holder.device.serial = "SN_17".to_owned();
    let mut facts = house.facts(holder, secret(&ask));
    facts.ruling = Some(Ruling::Approved);
    let Refusal::Incomplete { what } = refusal(decide(&house.policy, &ask, &facts, NOW)) else {
        panic!("not incomplete")
    };
    assert!(what.contains("\"SN_17\""), "{what}");
}

/// An identity for life never outlives its issuer: without an issuer that never ends, none is made.
#[test]
fn a_certificate_without_an_end_needs_an_issuer_without_one() {
    let house = House::new();
    let ask = labelled(ask(Operation::Enroll, csr(&key())), "idevid");
    let mut facts = house.facts(subject(device("pump-17")), secret(&ask));
    facts.ruling = Some(Ruling::Approved);
    let Refusal::Incomplete { what } = refusal(decide(&house.policy, &ask, &facts, NOW)) else {
        panic!("not incomplete")
    };
    assert!(what.contains("issuer issuing-1 ends on"), "{what}");
}
