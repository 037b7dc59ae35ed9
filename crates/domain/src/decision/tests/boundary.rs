//! Where an identity may go, and where it comes from.

use std::net::IpAddr;

use super::*;

/// Requirement P4, the pure part: an address changes nothing unless the policy asks for it.
#[test]
fn p4_where_it_comes_from_counts_only_if_the_policy_asks() {
    let (mut rules, mut question, facts) = good();
    let here = decide(&rules, &question, &facts, now());
    question.source = Some("203.0.113.9".parse().unwrap());
    assert_eq!(decide(&rules, &question, &facts, now()), here);
    assert!(!rules.asks_for_source(question.service.as_ref()));

    rules.boundaries.push(Boundary {
        name: "plant".parse().unwrap(),
        services: vec![title("telemetry")],
        classes: Vec::new(),
        criticality: Vec::new(),
        sites: Vec::new(),
        owners: Vec::new(),
        networks: vec!["10.3.0.0/16".parse().unwrap()],
        tier: Tier::Limited,
    });
    assert!(rules.asks_for_source(question.service.as_ref()));
    let there = decide(&rules, &question, &facts, now());
    assert_eq!(there.access, Access::Deny);
    assert_eq!(there.grounds.first(), Some(&Ground::OtherNetwork));
    assert_eq!(there.trust, Trust::Trusted, "it still is who it is");
    question.source = Some("10.3.7.7".parse().unwrap());
    assert_eq!(
        decide(&rules, &question, &facts, now()).access,
        Access::Allow
    );
    question.source = None;
    assert_eq!(
        decide(&rules, &question, &facts, now()).access,
        Access::Deny
    );
}

/// Requirement P8, the pure part: the right identity at the wrong place is turned away.
#[test]
fn p8_only_the_right_identity_within_its_boundary_is_let_in() {
    let (mut rules, question, facts) = good();
    let ask = |question: &Question, rules: &DecisionRules| {
        let verdict = decide(rules, question, &facts, now());
        (verdict.access, verdict.grounds.first().copied())
    };
    let at_site = |site: &str| Question {
        site: Some(title(site)),
        ..question.clone()
    };
    let good = (Access::Allow, Some(Ground::CertificateGood));
    assert_eq!(ask(&at_site("Hall 3"), &rules), good);
    assert_eq!(ask(&at_site("Plant"), &rules), good);
    let elsewhere = (Access::Deny, Some(Ground::OtherSite));
    assert_eq!(ask(&at_site("Hall 4"), &rules), elsewhere);
    let historian = Question {
        service: Some(title("historian")),
        ..question.clone()
    };
    let other = (Access::Deny, Some(Ground::OtherService));
    assert_eq!(ask(&historian, &rules), other);
    let mut foreign = facts.clone();
    certificate(&mut foreign).meant = Meant::Elsewhere;
    let verdict = decide(&rules, &question, &foreign, now());
    assert_eq!(verdict.access, Access::Deny);
    assert_eq!(verdict.grounds.first(), Some(&Ground::OtherIssuer));
    let nowhere = Question::default();
    let none = (Access::Deny, Some(Ground::NoService));
    assert_eq!(ask(&nowhere, &rules), none);

    let boundary = Boundary {
        name: "plant".parse().unwrap(),
        services: vec![title("telemetry")],
        classes: Vec::new(),
        criticality: Vec::new(),
        sites: vec![title("Plant")],
        owners: vec![title("Hydraulics")],
        networks: Vec::new(),
        tier: Tier::Limited,
    };
    rules.boundaries = vec![boundary.clone()];
    assert_eq!(ask(&question, &rules), good, "Hall 3 is in the plant");
    let outside = (Access::Deny, Some(Ground::OutsideBoundary));
    rules.boundaries[0].sites = vec![title("Hall 4")];
    assert_eq!(ask(&question, &rules), outside);
    rules.boundaries = vec![Boundary {
        owners: vec![title("Electrics")],
        ..boundary.clone()
    }];
    assert_eq!(ask(&question, &rules), outside);
    rules.boundaries[0].services = vec![title("historian")];
    assert_eq!(ask(&question, &rules), good, "it speaks of another service");
    // A boundary may speak of what a device is and of what its loss would mean.
    for (classes, criticality, expected) in [
        (vec![title("Pump")], Vec::new(), outside),
        (vec![title("Valve")], Vec::new(), good),
        (Vec::new(), vec![Criticality::High], outside),
        (Vec::new(), vec![Criticality::Low], good),
        (vec![title("Pump")], vec![Criticality::Low], good),
    ] {
        rules.boundaries = vec![Boundary {
            classes: classes.clone(),
            criticality: criticality.clone(),
            sites: vec![title("Hall 4")],
            ..boundary.clone()
        }];
        let asked = ask(&question, &rules);
        assert_eq!(asked, expected, "{classes:?} {criticality:?}");
    }
    // Each boundary that speaks must hold: one that does is not enough.
    let elsewhere = Boundary {
        sites: vec![title("Hall 4")],
        ..boundary.clone()
    };
    rules.boundaries = vec![boundary, elsewhere];
    assert_eq!(ask(&question, &rules), outside);
}

#[test]
fn a_network_holds_what_begins_like_it() {
    let holds = |network: &str, address: &str| {
        let network: Network = network.parse().unwrap();
        network.holds(address.parse::<IpAddr>().unwrap())
    };
    assert!(holds("10.3.0.0/16", "10.3.255.1"));
    assert!(holds("10.3.0.0/16", "::ffff:10.3.255.1"));
    assert!(!holds("10.3.0.0/16", "10.4.0.1"));
    assert!(holds("0.0.0.0/0", "203.0.113.9"));
    assert!(!holds("0.0.0.0/0", "fd00::1"));
    assert!(holds("fd00::/8", "fdff::1"));
    assert!(!holds("fd00::/8", "fe80::1"));
    assert!(holds("::/0", "fe80::1"));
    assert!(holds("10.3.0.7/32", "10.3.0.7"));
    for bad in [
        "",
        "10.3.0.0",
        "10.3.0.0/33",
        "10.3.0.1/16",
        "x/8",
        "::/129",
    ] {
        assert!(bad.parse::<Network>().is_err(), "{bad:?} was taken");
    }
}
