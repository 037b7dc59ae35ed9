use super::*;

fn party(name: &str, criticality: Criticality) -> PartyStanding {
    PartyStanding {
        name: name.parse().unwrap(),
        criticality,
        observed: None,
        acknowledged: None,
    }
}

fn seen(mut party: PartyStanding, reception: Reception, at: i64) -> PartyStanding {
    party.observed = Some(Observed {
        canary: Canary::Incoming,
        reception,
        how: "so".to_owned(),
        at: Time::from_unix(at),
        probe: ProbeNo(1),
    });
    party
}

fn readiness(parties: &[PartyStanding], except: &[Slug]) -> Readiness {
    Readiness::of(parties, except, PartyStanding::accepts)
}

#[test]
fn all_critical_ones_and_995_in_a_thousand_of_the_others_must_be_ready() {
    let rest = |ready: usize| {
        (0..1_000).map(move |n| {
            let party = party(&format!("gate-{n}"), Criticality::Medium);
            match n < ready {
                true => seen(party, Reception::Accepted, 1),
                false => party,
            }
        })
    };
    let with_critical = |ready, reception| {
        let broker = seen(party("broker-1", Criticality::Safety), reception, 1);
        let parties: Vec<_> = rest(ready).chain([broker]).collect();
        readiness(&parties, &[]).is_enough()
    };
    assert!(with_critical(995, Reception::Accepted));
    assert!(!with_critical(994, Reception::Accepted));
    assert!(!with_critical(1_000, Reception::Refused));
    assert!(!with_critical(1_000, Reception::Unreachable));
}

#[test]
fn an_exception_is_left_out_and_nobody_else() {
    let parties = [
        seen(party("a", Criticality::High), Reception::Accepted, 1),
        party("b", Criticality::High),
        party("c", Criticality::Low),
    ];
    let named =
        |names: &[&str]| -> Vec<Slug> { names.iter().map(|n| n.parse().unwrap()).collect() };
    assert!(!readiness(&parties, &named(&["b"])).is_enough());
    assert!(readiness(&parties, &named(&["b", "c"])).is_enough());
    assert_eq!(readiness(&parties, &[]).missing, named(&["b", "c"]));
}

#[test]
fn what_was_said_counts_until_it_is_seen_to_be_otherwise() {
    let mut said = party("a", Criticality::High);
    said.acknowledged = Some(Time::from_unix(10));
    assert!(said.accepts());
    assert!(seen(said.clone(), Reception::Unreachable, 20).accepts());
    assert!(!seen(said.clone(), Reception::Refused, 20).accepts());
    assert!(seen(said, Reception::Refused, 5).accepts());
}

#[test]
fn only_an_active_issuer_signs_for_devices() {
    for state in IssuerState::ALL {
        let is_active = *state == IssuerState::Active;
        assert_eq!(state.signs(ProfileKind::LDevId), is_active, "{state}");
        assert!(state.signs(ProfileKind::Canary), "{state}");
    }
}

#[test]
fn a_root_that_comes_signs_issuers_and_one_that_goes_only_says_who_follows_it() {
    use IssuerState::{Active, Distributed, Prepared, Removed, Tainted};
    for (state, issuers, cross) in [
        (Prepared, true, true),
        (Distributed, true, true),
        (Active, true, true),
        (Tainted, false, true),
        (Removed, false, false),
    ] {
        assert_eq!(state.signs(ProfileKind::IssuingCa), issuers, "{state}");
        assert_eq!(state.signs(ProfileKind::CrossCa), cross, "{state}");
        assert_eq!(state.signs(ProfileKind::LDevId), state == Active, "{state}");
    }
}
