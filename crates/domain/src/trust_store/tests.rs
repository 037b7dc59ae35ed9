use super::*;
use crate::device::Criticality;
use crate::relying_party::{PeerProtocol, RevocationCheck, SessionCheck};

const NOW: Time = Time::from_unix(1_795_000_000);

fn party() -> RelyingParty {
    RelyingParty {
        name: "broker-3".parse().unwrap(),
        address: "broker-3:8883".parse().unwrap(),
        protocol: PeerProtocol::Mqtt,
        server_name: None,
        anchors_pem: String::new(),
        issuers: Vec::new(),
        services: Vec::new(),
        criticality: Criticality::Safety,
        owner: "Hydraulics".parse().unwrap(),
        site: "Hall 3".parse().unwrap(),
        checks: RevocationCheck::Crl,
        session: SessionCheck::Handshake,
        enforce_within_s: 5,
    }
}

fn print(n: u8) -> Fingerprint {
    Fingerprint([n; 32])
}

fn meant(n: u8, leaves: u64) -> Meant {
    Meant {
        issuer: format!("issuing-{n}").parse().unwrap(),
        fingerprint: print(n),
        above: vec![print(100)],
        state: IssuerState::Active,
        since: NOW.plus(-90 * DAY_S),
        leaves,
        seen_here: None,
        seen: None,
    }
}

fn held(n: u8) -> HeldAnchor {
    HeldAnchor {
        fingerprint: print(n),
        subject: format!("CN=anchor {n}"),
        not_after: NOW.plus(DAY_S),
        first: NOW,
        last: NOW,
        ours: None,
        legacy: None,
    }
}

fn found(comparison: &Comparison) -> Vec<(FindingKind, String)> {
    let findings = comparison.findings(&party(), "report", NOW).into_iter();
    findings.map(|f| (f.matter.kind, f.matter.cause)).collect()
}

fn comparison(meant: Vec<Meant>, held: Vec<HeldAnchor>) -> Comparison {
    Comparison {
        meant,
        pruned: BTreeSet::new(),
        held,
        anchors_max: 3,
        again: None,
    }
}

#[test]
fn a_store_with_what_is_needed_and_no_more_is_in_order() {
    assert_eq!(found(&comparison(vec![meant(1, 5)], vec![held(1)])), []);
    assert_eq!(found(&comparison(vec![meant(1, 5)], vec![held(100)])), []);
}

#[test]
fn i3_what_is_stale_unknown_expired_or_missing_is_found() {
    let mut old = held(9);
    old.not_after = NOW.plus(-1);
    let all = comparison(
        vec![meant(1, 5), meant(2, 0)],
        vec![held(2), held(9), old, held(8)],
    );
    let kinds: Vec<_> = found(&all).into_iter().map(|(kind, _)| kind).collect();
    assert_eq!(
        kinds,
        [
            FindingKind::AnchorStale,
            FindingKind::AnchorUnknown,
            FindingKind::AnchorUnknown,
            FindingKind::AnchorExpired,
            FindingKind::AnchorUnknown,
            FindingKind::AnchorMissing,
            FindingKind::TrustStoreTooLarge,
        ]
    );
}

#[test]
fn i3_a_store_that_is_not_reported_again_as_promised_is_found() {
    let mut all = comparison(vec![meant(1, 5)], vec![held(1)]);
    all.again = Some(NOW);
    assert_eq!(found(&all), []);
    all.again = Some(NOW.plus(-1));
    let silent = (FindingKind::TrustStoreSilent, "reports".to_owned());
    assert_eq!(found(&all), [silent]);
}

#[test]
fn i8_a_legacy_anchor_is_for_whom_and_as_long_as_was_said() {
    let name = party().name;
    let mut anchor = held(7);
    anchor.legacy = Some(Legacy {
        until: NOW,
        relying_parties: vec![name.clone()],
        owner: "Hydraulics".parse().unwrap(),
        why: "the old pumps of hall 3".to_owned(),
    });
    let all = comparison(vec![meant(1, 1)], vec![held(1), anchor.clone()]);
    assert_eq!(all.standing(&name, &anchor, NOW), AnchorStanding::Legacy);
    let later = all.standing(&name, &anchor, NOW.plus(1));
    assert_eq!(later, AnchorStanding::OutOfScope);
    let elsewhere = all.standing(&"gate".parse().unwrap(), &anchor, NOW);
    assert_eq!(elsewhere, AnchorStanding::OutOfScope);
}

#[test]
fn what_is_new_or_lately_used_is_needed() {
    let old = meant(1, 0);
    assert!(!old.is_needed(NOW));
    let mut new = old.clone();
    new.since = NOW;
    assert!(new.is_needed(NOW));
    let mut used = old.clone();
    used.seen = Some(NOW.plus(-STALE_S + 1));
    assert!(used.is_needed(NOW) && !used.is_used_here(NOW));
    let mut coming = old;
    coming.state = IssuerState::Distributed;
    assert!(coming.is_needed(NOW) && coming.is_used_here(NOW));
}

#[test]
fn a_fingerprint_is_read_as_people_write_it() {
    let text = print(0xab).to_string();
    assert_eq!(text.parse(), Ok(print(0xab)));
    let colons: Vec<_> = (0..32).map(|_| "AB").collect();
    assert_eq!(colons.join(":").parse(), Ok(print(0xab)));
    for bad in ["", "ab", &"zz".repeat(32), &"é".repeat(32)] {
        assert!(bad.parse::<Fingerprint>().is_err(), "{bad}");
    }
}
