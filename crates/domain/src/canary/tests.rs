use super::*;
use crate::device::Criticality;
use crate::relying_party::{PeerProtocol, RevocationCheck, SessionCheck};

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

fn round(trials: &[(Canary, Reception)]) -> Round {
    Round {
        scope: ProbeScope::Matrix,
        trials: trials
            .iter()
            .map(|(canary, reception)| Trial {
                canary: *canary,
                issuer: "issuing-1".parse().unwrap(),
                reception: *reception,
                how: "so".to_owned(),
            })
            .collect(),
        enforced_ms: None,
    }
}

fn raised(conclusions: &[Conclusion]) -> Vec<FindingKind> {
    let kinds = conclusions
        .iter()
        .filter_map(|conclusion| match conclusion {
            Conclusion::Raise(new) => Some(new.matter.kind),
            Conclusion::Clear(_) => None,
        });
    kinds.collect()
}

fn cleared(conclusions: &[Conclusion]) -> Vec<FindingKind> {
    let kinds = conclusions
        .iter()
        .filter_map(|conclusion| match conclusion {
            Conclusion::Clear(matter) => Some(matter.kind),
            Conclusion::Raise(_) => None,
        });
    kinds.collect()
}

use Reception::{Accepted, Refused, Unreachable};

#[test]
fn a_round_where_all_is_as_it_must_be_proves_enforcement_and_clears_everything() {
    let all: Vec<_> = Canary::ALL
        .iter()
        .map(|canary| (*canary, canary.expected()))
        .collect();
    let round = round(&all);
    assert_eq!(
        round.verdict(SessionCheck::Continuous),
        ProbeVerdict::Proven
    );
    let conclusions = conclude(&party(), &round, 7);
    assert_eq!(raised(&conclusions), []);
    // One more for having been reached, and one for what a removed issuer is no longer to be.
    assert_eq!(conclusions.len(), Canary::ALL.len() + 2);
}

#[test]
fn each_canary_that_is_let_in_is_a_finding_of_its_own() {
    for canary in Canary::ALL
        .iter()
        .filter(|canary| **canary != Canary::Valid && !canary.is_progress())
    {
        let round = round(&[(Canary::Valid, Accepted), (*canary, Accepted)]);
        assert_eq!(
            round.verdict(SessionCheck::Continuous),
            ProbeVerdict::Failing,
            "{canary}"
        );
        let conclusions = conclude(&party(), &round, 7);
        let expected = match canary {
            Canary::Revoked => FindingKind::AcceptsRevoked,
            Canary::LiveSession => FindingKind::SessionSurvives,
            _ => FindingKind::AcceptsUnfit,
        };
        assert_eq!(raised(&conclusions), [expected], "{canary}");
        let Some(Conclusion::Raise(new)) = conclusions.last() else {
            panic!("{conclusions:?}")
        };
        assert_eq!(new.evidence, ["probe 7"]);
        assert_eq!(new.criticality, Criticality::Safety);
    }
}

#[test]
fn who_refuses_everyone_proves_nothing() {
    let round = round(&[(Canary::Valid, Refused), (Canary::Revoked, Refused)]);
    assert_eq!(
        round.verdict(SessionCheck::Continuous),
        ProbeVerdict::Unverified
    );
    let conclusions = conclude(&party(), &round, 7);
    assert_eq!(raised(&conclusions), [FindingKind::RefusesValid]);
    assert_eq!(cleared(&conclusions), [FindingKind::NotReached]);
}

#[test]
fn who_cannot_be_asked_keeps_the_findings_it_has() {
    let round = round(&[(Canary::Valid, Unreachable), (Canary::Revoked, Unreachable)]);
    assert_eq!(
        round.verdict(SessionCheck::Continuous),
        ProbeVerdict::Unverified
    );
    let conclusions = conclude(&party(), &round, 7);
    assert_eq!(raised(&conclusions), [FindingKind::NotReached]);
    assert_eq!(cleared(&conclusions), []);
}

#[test]
fn how_far_a_rollover_has_come_is_neither_right_nor_wrong() {
    for canary in [Canary::Incoming, Canary::Outgoing] {
        for reception in [Accepted, Refused] {
            let round = round(&[(Canary::Valid, Accepted), (canary, reception)]);
            assert_eq!(
                round.verdict(SessionCheck::Handshake),
                ProbeVerdict::Proven,
                "{canary} {reception}"
            );
            assert_eq!(raised(&conclude(&party(), &round, 7)), []);
        }
    }
}

/// G7, the session's part: who checks only at handshakes is recognised, by what it says of itself
/// not called failing, and found all the same.
#[test]
fn g7_a_session_that_outlives_its_certificate_is_found_whatever_was_promised() {
    let survived = round(&[
        (Canary::Valid, Accepted),
        (Canary::Revoked, Refused),
        (Canary::LiveSession, Accepted),
    ]);
    assert_eq!(
        survived.verdict(SessionCheck::Handshake),
        ProbeVerdict::Proven
    );
    assert_eq!(
        survived.verdict(SessionCheck::Continuous),
        ProbeVerdict::Failing
    );
    assert_eq!(
        raised(&conclude(&party(), &survived, 7)),
        [FindingKind::SessionSurvives]
    );
    let ended = round(&[
        (Canary::Valid, Accepted),
        (Canary::Revoked, Refused),
        (Canary::LiveSession, Refused),
    ]);
    let conclusions = conclude(&party(), &ended, 8);
    assert!(cleared(&conclusions).contains(&FindingKind::SessionSurvives));
    assert_eq!(
        ended.verdict(SessionCheck::Continuous),
        ProbeVerdict::Proven
    );
}
