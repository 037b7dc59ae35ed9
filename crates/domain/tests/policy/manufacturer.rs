//! Devices that their maker gave an identity.

use tenure_domain::evidence::{ManufacturerProof, Unproved};
use tenure_domain::facts::{Earlier, Ruling};
use tenure_domain::policy::{Consequence, HoldReason, decide};
use tenure_domain::{Decision, Evidence, Facts, Operation, Refusal};
use tenure_x509::path::{self, Purpose};
use tenure_x509::{
    CaConstraint, Cert, CertificateSpec, Extensions, KeyPair, KeyUsage, Name, NameAttribute,
    Serial, Time, Validity,
};

use crate::fixture::*;

/// A maker's root, the authority below it, and one device's identity for life.
struct Maker {
    root: Cert,
    below: Cert,
    identity: Cert,
}

fn signed(
    by: (&KeyPair, &Name),
    of: &KeyPair,
    name: &Name,
    dates: Validity,
    more: Extensions,
) -> Cert {
    let spec = CertificateSpec {
        serial: Serial::from_random([0x5a; 20]),
        signature: by.0.signature_algorithm(),
        issuer: by.1.clone(),
        validity: dates,
        subject: name.clone(),
        public_key: of.public().clone(),
        extensions: Extensions {
            authority_key_id: Some(by.0.public().key_id().to_vec()),
            ..more
        },
    };
    let tbs = spec.tbs().unwrap();
    let signature = by.0.sign(tbs.as_der()).unwrap();
    Cert::from_der(&tbs.with_signature(&signature)).unwrap()
}

impl Maker {
    /// A maker whose lower authority ends at `below_ends`; the device was made a year ago.
    fn new(below_ends: Time) -> Maker {
        let (root_key, below_key, device_key) = (key(), key(), key());
        let called = |text: &str| Name::build(&[(NameAttribute::CommonName, text)]).unwrap();
        let (root_name, below_name) = (called("Acme Root"), called("Acme Devices"));
        let begun = NOW.plus(-2 * 365 * DAY);
        let authority = |key: &KeyPair| Extensions {
            ca: CaConstraint::Ca { path_len: None },
            key_usage: KeyUsage::KEY_CERT_SIGN | KeyUsage::CRL_SIGN,
            subject_key_id: Some(key.public().key_id().to_vec()),
            ..Extensions::default()
        };
        let dates = |from: Time, until: Time| Validity {
            not_before: from,
            not_after: until,
        };
        let root = signed(
            (&root_key, &root_name),
            &root_key,
            &root_name,
            dates(begun, Time::NEVER),
            authority(&root_key),
        );
        let below = signed(
            (&root_key, &root_name),
            &below_key,
            &below_name,
            dates(begun, below_ends),
            authority(&below_key),
        );
        let serial = Name::build(&[(NameAttribute::SerialNumber, "SN-17")]).unwrap();
        let identity = signed(
            (&below_key, &below_name),
            &device_key,
            &serial,
            dates(NOW.plus(-365 * DAY), Time::NEVER),
            Extensions {
                key_usage: KeyUsage::DIGITAL_SIGNATURE,
                ..Extensions::default()
            },
        );
        Maker {
            root,
            below,
            identity,
        }
    }

    /// What the chain proves when it is judged at a time.
    fn proof(&self, at: Time) -> Option<Evidence> {
        let below = [self.below.clone()];
        let anchors = [self.root.clone()];
        let chain =
            path::validate(&self.identity, &below, &anchors, at, Purpose::ClientAuth).ok()?;
        let acme = "Acme".parse().unwrap();
        ManufacturerProof::new(acme, chain).map(Evidence::Manufacturer)
    }
}

/// Requirement A2. Left out: that the verdict is recorded, which is the engine's.
#[test]
fn a2_a_device_is_known_by_its_makers_registered_root() {
    let house = House::new();
    let ask = ask(Operation::Enroll, csr(&key()));
    let maker = Maker::new(Time::NEVER);
    let proof = maker.proof(NOW).unwrap();
    let facts = house.facts(subject(device("pump-17")), proof);
    let Decision::Allow(grant) = decide(&house.policy, &ask, &facts, NOW) else {
        panic!("not allowed")
    };
    assert_eq!(grant.rule().rule, "first-by-manufacturer");
    assert_eq!(grant.evidence(), "manufacturer");

    let stranger = Unproved::UnknownManufacturer {
        subject: maker.identity.subject().to_string(),
    };
    let facts = Facts {
        unproved: vec![stranger],
        ..Facts::default()
    };
    let Decision::Hold(reason @ HoldReason::UnknownManufacturer { .. }) =
        decide(&house.policy, &ask, &facts, NOW)
    else {
        panic!("not held")
    };
    assert_eq!(reason.word(), "unknown-manufacturer");

    // The authority has ended since the device was made: judged then it is known, judged now not.
    let ended = Maker::new(NOW.plus(-DAY));
    assert!(ended.proof(NOW).is_none());
    let then = ended.identity.validity().not_before;
    let facts = house.facts(subject(device("pump-17")), ended.proof(then).unwrap());
    assert!(matches!(
        decide(&house.policy, &ask, &facts, NOW),
        Decision::Allow(_)
    ));
    let manufacturer = "Acme".parse().unwrap();
    let bad = Unproved::BadChain {
        manufacturer,
        why: "expired".to_owned(),
    };
    let told = Consequence::BadIdevid {
        manufacturer: "Acme".parse().unwrap(),
        why: "expired".to_owned(),
    };
    let facts = Facts {
        unproved: vec![bad],
        ..Facts::default()
    };
    let Decision::Refuse(refused) = decide(&house.policy, &ask, &facts, NOW) else {
        panic!("not refused")
    };
    assert_eq!(refused.refusal, Refusal::BadCredential);
    assert_eq!(refused.word(), "bad-idevid");
    assert_eq!(refused.consequence, Some(told));
}

/// Requirement A1, as an identity that proves its device may be copied: a second enrollment with it,
/// for another key, waits while the first certificate lives.
#[test]
fn a1_a_second_enrollment_with_the_same_identity_waits_for_an_operator() {
    let house = House::new();
    let maker = Maker::new(Time::NEVER);
    let first = ask(Operation::Enroll, csr(&key()));
    let facts = house.facts(subject(device("pump-17")), maker.proof(NOW).unwrap());
    let (_, row) = house.issue(decide(&house.policy, &first, &facts, NOW), &first.csr, 1);

    let mut holder = subject(device("pump-17"));
    holder.head = Some(row.clone());
    let mut facts = house.facts(holder, maker.proof(NOW).unwrap());
    let second = ask(Operation::Enroll, csr(&key()));
    let Decision::Hold(HoldReason::Approval { rule, .. }) =
        decide(&house.policy, &second, &facts, NOW)
    else {
        panic!("not held")
    };
    assert_eq!(rule, "re-enrollment");
    facts.ruling = Some(Ruling::Approved);
    assert!(matches!(
        decide(&house.policy, &second, &facts, NOW),
        Decision::Allow(_)
    ));

    // The same ask again is no second one.
    facts.ruling = None;
    facts.earlier = Some(Earlier {
        certificate: row.no,
        row: row.clone(),
    });
    assert!(
        matches!(decide(&house.policy, &first, &facts, NOW), Decision::Replay(no) if no == row.no)
    );

    // A device whose certificate has ended starts anew by itself.
    facts.earlier = None;
    let late = NOW.plus(91 * DAY);
    assert!(matches!(
        decide(&house.policy, &second, &facts, late),
        Decision::Allow(_)
    ));
}
