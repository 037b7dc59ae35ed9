mod chain;
mod identity;

use tenure_domain::ask::{Protocol, SystemCeremony};
use tenure_domain::certificate::{Revocation, Status};
use tenure_domain::device::Criticality;
use tenure_domain::evidence::{SecretRefusal, Unproved};
use tenure_domain::facts::{Earlier, IdentityForLife, KeyUse, Repair, Ruling};
use tenure_domain::policy::{Consequence, GrantIssuer, HoldReason, Refused, decide, document};
use tenure_domain::{
    CertificateNo, Decision, DeviceNo, Evidence, Facts, Operation, Refusal, Standing,
};
use tenure_x509::{KeyKind, KeyPair, Name, NameAttribute, Reason, SanName, Time};

use crate::fixture::*;

fn refusal(decision: Decision) -> Refusal {
    match decision {
        Decision::Refuse(Refused { refusal, .. }) => refusal,
        other => panic!("not refused: {other:?}"),
    }
}

fn held_by(decision: Decision) -> String {
    match decision {
        Decision::Hold(HoldReason::Approval { rule, .. }) => rule,
        other => panic!("not held: {other:?}"),
    }
}

#[test]
fn a_registered_device_with_its_secret_gets_what_its_class_says() {
    let house = House::new();
    let ask = ask(Operation::Enroll, csr(&key()));
    let facts = house.facts(subject(device("pump-17")), secret(&ask));
    let Decision::Allow(grant) = decide(&house.policy, &ask, &facts, NOW) else {
        panic!("not allowed")
    };
    assert_eq!(grant.rule().rule, "first-by-secret");
    assert_eq!(grant.rule().policy, house.policy.hash);
    assert_eq!(grant.profile().name.as_str(), "device");
    assert_eq!(grant.issuer().name().as_str(), "issuing-1");
    assert_eq!(grant.key(), ask.csr.public_key().hash());
    assert_eq!(grant.subject().to_string(), "CN=pump-17");
    assert_eq!(
        grant.san(),
        [SanName::Uri("https://device.internal/pump-17".to_owned())]
    );
    assert_eq!(grant.validity().not_before, NOW.plus(-3600));
    assert_eq!(grant.validity().not_after, NOW.plus(90 * DAY - 1));
    assert!(grant.predecessor().is_none() && grant.displaced().is_none());
    assert!(grant.spends().is_some());
}

/// Requirement B4: an owner, a binding, an expiry and a revocation path. Left out: the owner, which
/// the registry's type cannot lack, and the path, which no document can lack (see its own tests).
#[test]
fn b4_a_device_bound_to_no_service_gets_no_certificate() {
    let house = House::new();
    let ask = ask(Operation::Enroll, csr(&key()));
    let mut unbound = subject(device("pump-17"));
    unbound.device.services.clear();
    let facts = house.facts(unbound, secret(&ask));
    let Refusal::Incomplete { what } = refusal(decide(&house.policy, &ask, &facts, NOW)) else {
        panic!("not incomplete")
    };
    assert!(what.contains("bound to no service"), "{what}");
    assert!(what.contains("--service …"), "{what}");

    let facts = house.facts(subject(device("pump-17")), secret(&ask));
    let (certificate, row) = house.issue(decide(&house.policy, &ask, &facts, NOW), &ask.csr, 1);
    assert!(certificate.validity().not_after < Time::NEVER);
    let shard = format!("http://status.example/crl/issuing-1/{}.crl", row.shard);
    assert_eq!(certificate.crl_urls(), [shard]);
    assert_eq!(certificate.ocsp_urls(), ["http://status.example/ocsp"]);
}

/// Requirement D2, the part that a decision holds: a certificate in our name that we have no record
/// of opens an incident.
#[test]
fn d2_a_certificate_in_our_name_that_is_not_ours_is_an_incident() {
    let house = House::new();
    let facts = Facts {
        unproved: vec![Unproved::NotOurs {
            serial: "4f01".to_owned(),
        }],
        ..Facts::default()
    };
    for operation in [Operation::Enroll, Operation::Renew] {
        let Decision::Refuse(refused) =
            decide(&house.policy, &ask(operation, csr(&key())), &facts, NOW)
        else {
            panic!("not refused")
        };
        assert_eq!(refused.refusal, Refusal::BadCredential);
        assert_eq!(
            refused.consequence,
            Some(Consequence::NotOurs {
                serial: "4f01".to_owned()
            })
        );
    }
}

/// Requirement D3: the policy binds class, protocol, evidence and profile; an allowed device over a
/// disallowed protocol fails.
#[test]
fn d3_an_allowed_device_over_a_disallowed_protocol_fails() {
    let narrow = r#"
[[rule]]
name = "pumps"
operations = ["enroll"]
evidence = ["secret"]
protocols = ["est"]
classes = ["pump"]
sites = ["Hall 3"]
owners = ["Hydraulics"]
criticality = ["high"]
profiles = ["device"]
action = "allow"

[[profile]]
name = "device"
kind = "ldevid"
life = "90d"
keys = ["p256"]
usage = ["client"]
subject = ["common-name:{device.id}"]
revocation = ["crl"]

[[profile]]
name = "other"
kind = "ldevid"
life = "90d"
keys = ["p256"]
usage = ["client"]
subject = ["common-name:{device.id}"]
revocation = ["crl"]
"#;
    let house = House::with(narrow, NOW.plus(3650 * DAY));
    let allowed = ask(Operation::Enroll, csr(&key()));
    let facts = house.facts(subject(device("pump-17")), secret(&allowed));
    assert!(matches!(
        decide(&house.policy, &allowed, &facts, NOW),
        Decision::Allow(_)
    ));

    let mut elsewhere = allowed.clone();
    elsewhere.via.protocol = Protocol::Operator;
    let other_profile = labelled(allowed.clone(), "other");
    for other in [elsewhere, other_profile] {
        let Refusal::NotAllowed { rule, .. } = refusal(decide(&house.policy, &other, &facts, NOW))
        else {
            panic!("refused for another reason")
        };
        assert_eq!(rule, "none");
    }
    type Change = fn(&mut tenure_domain::Device);
    let changes: [Change; 4] = [
        |device| device.class = "valve".parse().unwrap(),
        |device| device.site = "Hall 4".parse().unwrap(),
        |device| device.owner = "Others".parse().unwrap(),
        |device| device.criticality = Criticality::Low,
    ];
    for change in changes {
        let mut changed = facts.clone();
        change(&mut changed.subject.as_mut().unwrap().device);
        let Refusal::NotAllowed { rule, .. } =
            refusal(decide(&house.policy, &allowed, &changed, NOW))
        else {
            panic!("refused for another reason")
        };
        assert_eq!(rule, "none");
    }
}

/// Requirement D4: what nobody registered waits in quarantine and gets nothing.
#[test]
fn d4_an_unregistered_device_waits() {
    let house = House::new();
    let unregistered = Unproved::UnregisteredDevice {
        manufacturer: "Acme".parse().unwrap(),
        serial: "SN-99".to_owned(),
    };
    let stranger = Unproved::UnknownManufacturer {
        subject: "CN=x".to_owned(),
    };
    for (unproved, word) in [
        (unregistered, "unregistered-device"),
        (stranger, "unknown-manufacturer"),
    ] {
        let facts = Facts {
            unproved: vec![unproved],
            ..Facts::default()
        };
        let enroll = ask(Operation::Enroll, csr(&key()));
        let Decision::Hold(reason) = decide(&house.policy, &enroll, &facts, NOW) else {
            panic!("not held")
        };
        assert_eq!(reason.word(), word);
        // There is nothing to renew.
        let renew = ask(Operation::Renew, csr(&key()));
        assert_eq!(
            refusal(decide(&house.policy, &renew, &facts, NOW)),
            Refusal::BadCredential
        );
    }
}

/// Requirement D6: the names are the registry's, whatever the request says.
#[test]
fn d6_names_come_from_the_registry_and_never_from_the_request() {
    let house = House::new();
    let wish = Name::build(&[(NameAttribute::CommonName, "admin")]).unwrap();
    let san = [
        SanName::Dns("broker.example".to_owned()),
        SanName::Uri("urn:admin".to_owned()),
    ];
    let ask = ask(Operation::Enroll, csr_naming(&key(), &wish, &san));
    let facts = house.facts(subject(device("pump-17")), secret(&ask));
    let (certificate, _) = house.issue(decide(&house.policy, &ask, &facts, NOW), &ask.csr, 1);
    assert_eq!(certificate.subject().to_string(), "CN=pump-17");
    assert_eq!(
        certificate.san(),
        [SanName::Uri("https://device.internal/pump-17".to_owned())]
    );
}

#[test]
fn a_key_of_another_device_or_a_blocked_one_is_refused() {
    let house = House::new();
    let ask = ask(Operation::Enroll, csr(&key()));
    let mut facts = house.facts(subject(device("pump-17")), secret(&ask));
    let other: tenure_domain::DeviceId = "pump-18".parse().unwrap();
    facts.key_use = Some(KeyUse::OtherDevice(other.clone()));
    let Decision::Refuse(refused) = decide(&house.policy, &ask, &facts, NOW) else {
        panic!("not refused")
    };
    assert!(matches!(refused.refusal, Refusal::KeyRejected { .. }));
    assert_eq!(refused.consequence, Some(Consequence::SharedKey { other }));
    facts.key_use = Some(KeyUse::Blocked {
        why: "known to be weak".to_owned(),
    });
    assert!(matches!(
        refusal(decide(&house.policy, &ask, &facts, NOW)),
        Refusal::KeyRejected { .. }
    ));
    facts.key_use = None;
    facts.issuers = std::sync::Arc::default();
    assert!(matches!(
        refusal(decide(&house.policy, &ask, &facts, NOW)),
        Refusal::Incomplete { .. }
    ));
}

#[test]
fn only_the_keys_of_the_profile_are_taken() {
    let house = House::with(
        &document::DEFAULT_DOCUMENT
            .replace("\"p256\", \"p384\", \"ed25519\", \"rsa2048\"", "\"p384\""),
        NOW.plus(3650 * DAY),
    );
    for (kind, fits) in [
        (KeyKind::P256, false),
        (KeyKind::P384, true),
        (KeyKind::Ed25519, false),
    ] {
        let key = KeyPair::generate(kind).unwrap();
        let ask = ask(Operation::Enroll, csr(&key));
        let facts = house.facts(subject(device("pump-17")), secret(&ask));
        let decision = decide(&house.policy, &ask, &facts, NOW);
        match fits {
            true => assert!(matches!(decision, Decision::Allow(_)), "{kind}"),
            false => assert!(
                matches!(refusal(decision), Refusal::KeyRejected { .. }),
                "{kind}"
            ),
        }
    }
}

#[test]
fn labels_and_server_keys_and_approvals() {
    let house = House::new();
    let plain = ask(Operation::Enroll, csr(&key()));
    let facts = house.facts(subject(device("pump-17")), secret(&plain));
    let decide_now =
        |ask: &tenure_domain::Ask, facts: &Facts| decide(&house.policy, ask, facts, NOW);

    let unknown = labelled(plain.clone(), "nope");
    assert_eq!(refusal(decide_now(&unknown, &facts)), Refusal::UnknownLabel);
    for built_in in [
        "tenure-server",
        "tenure-issuing-ca",
        "tenure-root-ca",
        "tenure-ocsp",
    ] {
        let ours = labelled(plain.clone(), built_in);
        assert_eq!(refusal(decide_now(&ours, &facts)), Refusal::UnknownLabel);
    }
    let mut keygen = plain.clone();
    keygen.operation = Operation::ServerKeygen;
    assert!(matches!(
        refusal(decide_now(&keygen, &facts)),
        Refusal::NotAllowed { .. }
    ));

    let mut safety = facts.clone();
    safety.subject.as_mut().unwrap().device.criticality = Criticality::Safety;
    assert_eq!(held_by(decide_now(&plain, &safety)), "safety-first");
    safety.ruling = Some(Ruling::Waiting);
    assert_eq!(held_by(decide_now(&plain, &safety)), "safety-first");
    safety.ruling = Some(Ruling::Approved);
    let Decision::Allow(grant) = decide_now(&plain, &safety) else {
        panic!("approved in vain")
    };
    assert_eq!(grant.rule().rule, "safety-first");
    safety.ruling = Some(Ruling::Refused);
    assert!(matches!(
        refusal(decide_now(&plain, &safety)),
        Refusal::NotAllowed { .. }
    ));
}

#[test]
fn evidence_for_another_device_is_no_evidence() {
    let house = House::new();
    let ask = ask(Operation::Enroll, csr(&key()));
    let mut other = subject(device("pump-18"));
    other.device.no = DeviceNo(18);
    let facts = house.facts(other, secret(&ask));
    assert_eq!(
        refusal(decide(&house.policy, &ask, &facts, NOW)),
        Refusal::BadCredential
    );
}

/// A spent secret gets the same certificate again for a day, and never another.
#[test]
fn a_spent_secret_gets_nothing_new() {
    let house = House::new();
    let (mut holder, _, first_key) = house.enrolled();
    let head = holder.head.clone().unwrap();
    let same = ask(Operation::Enroll, csr(&first_key));
    let mut facts = house.facts(holder.clone(), secret_spent(&same, Some(NOW)));
    facts.earlier = Some(Earlier {
        certificate: head.no,
        row: head.clone(),
    });
    assert!(matches!(
        decide(&house.policy, &same, &facts, NOW),
        Decision::Replay(_)
    ));
    // The device has renewed since: the old answer is no longer given, and neither is a new one.
    holder.head.as_mut().unwrap().no = CertificateNo(2);
    facts.subject = Some(holder);
    assert_eq!(
        refusal(decide(&house.policy, &same, &facts, NOW)),
        Refusal::BadCredential
    );
    facts.subject.as_mut().unwrap().head = None;
    facts.earlier = None;
    assert_eq!(
        refusal(decide(&house.policy, &same, &facts, NOW)),
        Refusal::BadCredential
    );
}

/// A secret is bound to the first key that presents it; whoever has it with another key is no
/// guesser, and is put on record.
#[test]
fn each_secret_that_is_not_accepted_has_its_own_consequence() {
    let house = House::new();
    // A guess is one wherever it is made.
    let asks = [Operation::Enroll, Operation::Renew].map(|asked| ask(asked, csr(&key())));
    let until = NOW.plus(300);
    let cases = [
        (
            SecretRefusal::Wrong,
            Refusal::BadCredential,
            Some(Consequence::SecretFailure),
        ),
        (
            SecretRefusal::OtherKey,
            Refusal::BadCredential,
            Some(Consequence::SecretMisused),
        ),
        (SecretRefusal::Expired, Refusal::BadCredential, None),
        (SecretRefusal::Spent, Refusal::BadCredential, None),
        (
            SecretRefusal::Locked { until },
            Refusal::Locked { retry_after_s: 300 },
            None,
        ),
    ];
    for (why, refusal, consequence) in cases {
        let device = "pump-17".parse().unwrap();
        let facts = Facts {
            unproved: vec![Unproved::Secret { device, why }],
            ..Facts::default()
        };
        let wanted = Refused {
            refusal,
            consequence,
        };
        for ask in &asks {
            let Decision::Refuse(refused) = decide(&house.policy, ask, &facts, NOW) else {
                panic!("not refused")
            };
            assert_eq!(refused, wanted, "{why:?} {:?}", ask.operation);
        }
    }
}

#[test]
fn nothing_shown_is_nothing_given() {
    let house = House::new();
    let ask = ask(Operation::Enroll, csr(&key()));
    let decision = decide(&house.policy, &ask, &Facts::default(), NOW);
    assert_eq!(refusal(decision), Refusal::NotAuthenticated);
}

/// Our own certificates come from built-in profiles and rules, with the names of the ceremony.
#[test]
fn our_own_certificates_are_asks_too() {
    let house = House::new();
    let mut ours = subject(device("server-1"));
    ours.device.model = "Acme Plant Tenure server".to_owned();
    let names = vec![SanName::Dns("localhost".to_owned())];
    let ceremony = |profile: &str, names: Vec<SanName>| {
        let id = "server-1".parse().unwrap();
        SystemCeremony::danger_without_proof(id, profile.parse().unwrap(), names, "test")
    };
    let ask = ask(Operation::Enroll, csr(&key()));
    let evidence = Evidence::System(ceremony("tenure-server", names.clone()));
    let facts = house.facts(ours.clone(), evidence);
    let (certificate, _) = house.issue(decide(&house.policy, &ask, &facts, NOW), &ask.csr, 1);
    assert_eq!(certificate.san(), names);
    assert_eq!(
        certificate.subject().to_string(),
        "O=Hydraulics,CN=Acme Plant Tenure server"
    );

    // A root signs itself, under the name of its subject.
    let evidence = Evidence::System(ceremony("tenure-root-ca", Vec::new()));
    let facts = house.facts(ours, evidence);
    let Decision::Allow(grant) = decide(&house.policy, &ask, &facts, NOW) else {
        panic!("not allowed")
    };
    assert_eq!(grant.rule().rule, "built-in");
    let GrantIssuer::Itself { name, .. } = grant.issuer() else {
        panic!("someone else signs")
    };
    assert_eq!(name.as_str(), "server-1");
    assert!(
        grant
            .draft(&ask.csr, [3; tenure_domain::draft::CHANCE_BYTES])
            .is_ok()
    );
}
