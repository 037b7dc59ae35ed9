//! Renewals: the chain of one device, and what breaks it.

use super::*;

/// Requirement F6: each certificate but the first names the one before it, and there is one head.
#[test]
fn f6_each_renewal_names_its_predecessor() {
    let house = House::new();
    let (mut holder, mut certificate, _) = house.enrolled();
    assert_eq!(holder.head.as_ref().unwrap().predecessor, None);
    for no in 2..6 {
        let head = holder.head.clone().unwrap();
        let ask = ask(Operation::Renew, csr(&key()));
        let facts = house.facts(holder.clone(), current(&certificate, &head));
        let (next, row) = house.issue(decide(&house.policy, &ask, &facts, NOW), &ask.csr, no);
        assert_eq!(row.predecessor, Some(head.no));
        assert_eq!(row.predecessor_serial, Some(head.serial));
        assert_eq!(next.subject(), certificate.subject());
        assert_eq!(next.san(), certificate.san());
        holder.head = Some(row);
        certificate = next;
    }
    // After a break in the chain, too: a fresh secret after revocation.
    holder.head.as_mut().unwrap().status = Status::Revoked;
    let ask = ask(Operation::Enroll, csr(&key()));
    let facts = house.facts(holder.clone(), secret(&ask));
    let (_, row) = house.issue(decide(&house.policy, &ask, &facts, NOW), &ask.csr, 9);
    assert_eq!(row.predecessor, Some(CertificateNo(5)));
}

#[test]
fn a_renewal_repeats_the_names_or_leaves_them_out() {
    let house = House::new();
    let (holder, certificate, _) = house.enrolled();
    let head = holder.head.clone().unwrap();
    let facts = house.facts(holder, current(&certificate, &head));
    let same = certificate.subject().clone();
    let other = Name::build(&[(NameAttribute::CommonName, "pump-18")]).unwrap();
    let other_san = [SanName::Uri("https://device.internal/pump-18".to_owned())];
    let asks = [
        (Name::empty(), Vec::new(), true),
        (same.clone(), certificate.san().to_vec(), true),
        (same.clone(), Vec::new(), true),
        (other, Vec::new(), false),
        (same, other_san.to_vec(), false),
    ];
    for (subject, san, fits) in asks {
        let ask = ask(Operation::Renew, csr_naming(&key(), &subject, &san));
        let decision = decide(&house.policy, &ask, &facts, NOW);
        match fits {
            true => assert!(matches!(decision, Decision::Allow(_)), "{decision:?}"),
            false => assert!(matches!(refusal(decision), Refusal::BadRequest { .. })),
        }
    }
}

#[test]
fn a_renewal_needs_a_new_key_and_a_certificate_in_force() {
    let house = House::new();
    let (holder, certificate, old_key) = house.enrolled();
    let head = holder.head.clone().unwrap();
    let facts = house.facts(holder.clone(), current(&certificate, &head));
    let same_key = ask(Operation::Renew, csr(&old_key));
    let Refusal::BadRequest { what } = refusal(decide(&house.policy, &same_key, &facts, NOW))
    else {
        panic!("refused for another reason")
    };
    assert!(what.contains("new key"), "{what}");

    let renew = ask(Operation::Renew, csr(&key()));
    let late = NOW.plus(91 * DAY);
    let Refusal::BadRequest { what } = refusal(decide(&house.policy, &renew, &facts, late)) else {
        panic!("refused for another reason")
    };
    assert!(what.contains("expired"), "{what}");

    for status in [
        Status::Held,
        Status::Revoked,
        Status::Reserved,
        Status::Voided,
    ] {
        let mut holder = holder.clone();
        let mut head = head.clone();
        head.status = status;
        holder.head = Some(head.clone());
        let facts = house.facts(holder, current(&certificate, &head));
        assert_eq!(
            refusal(decide(&house.policy, &renew, &facts, NOW)),
            Refusal::BadCredential,
            "{status}"
        );
    }
}

#[test]
fn a_certificate_renews_and_a_secret_enrolls_and_neither_does_the_other() {
    let house = House::new();
    let (holder, certificate, _) = house.enrolled();
    let head = holder.head.clone().unwrap();
    let enroll = ask(Operation::Enroll, csr(&key()));
    let facts = house.facts(holder.clone(), current(&certificate, &head));
    assert!(matches!(
        refusal(decide(&house.policy, &enroll, &facts, NOW)),
        Refusal::BadRequest { .. }
    ));
    let renew = ask(Operation::Renew, csr(&key()));
    let facts = house.facts(holder, secret(&renew));
    assert!(matches!(
        refusal(decide(&house.policy, &renew, &facts, NOW)),
        Refusal::BadRequest { .. }
    ));
}

#[test]
fn a_cloned_device_that_renews_from_an_old_certificate_forks_the_chain() {
    let house = House::new();
    let (mut holder, certificate, _) = house.enrolled();
    let old = holder.head.clone().unwrap();
    let renewal = ask(Operation::Renew, csr(&key()));
    let facts = house.facts(holder.clone(), current(&certificate, &old));
    let (_, mut head) = house.issue(
        decide(&house.policy, &renewal, &facts, NOW),
        &renewal.csr,
        2,
    );

    // The answer was lost: the same key gets the same certificate again.
    let mut replaced = old.clone();
    replaced.status = Status::Replaced;
    holder.head = Some(head.clone());
    let facts = house.facts(holder.clone(), current(&certificate, &replaced));
    let decision = decide(&house.policy, &renewal, &facts, NOW);
    assert!(
        matches!(decision, Decision::Replay(CertificateNo(2))),
        "{decision:?}"
    );

    // The device crashed before it kept its key: forgiven once.
    let other_key = ask(Operation::Renew, csr(&key()));
    let Decision::Allow(grant) = decide(&house.policy, &other_key, &facts, NOW) else {
        panic!("the first crash was not forgiven")
    };
    assert_eq!(grant.displaced(), Some(CertificateNo(2)));
    assert_eq!(grant.predecessor().unwrap().no, CertificateNo(1));
    let fork = Consequence::Fork {
        presented: CertificateNo(1),
        head: CertificateNo(2),
    };
    let mut again = facts.clone();
    again.subject.as_mut().unwrap().forgiven = 1;
    let Decision::Refuse(refused) = decide(&house.policy, &other_key, &again, NOW) else {
        panic!("not refused")
    };
    assert_eq!(refused.consequence, Some(fork.clone()));

    // The head that nobody used was withdrawn: what it replaced is no way around that.
    for status in [Status::Revoked, Status::Held] {
        let mut facts = facts.clone();
        let subject = facts.subject.as_mut().unwrap();
        subject.head.as_mut().unwrap().status = status;
        for renewal in [&other_key, &renewal] {
            let Decision::Refuse(refused) = decide(&house.policy, renewal, &facts, NOW) else {
                panic!("not refused")
            };
            let said = (refused.refusal, refused.consequence);
            assert_eq!(said, (Refusal::BadCredential, None), "{status}");
        }
    }

    // The new certificate is in use, and someone still holds the old one.
    head.first_used = Some(NOW);
    holder.head = Some(head);
    let facts = house.facts(holder.clone(), current(&certificate, &replaced));
    let Decision::Refuse(refused) = decide(&house.policy, &other_key, &facts, NOW) else {
        panic!("not refused")
    };
    assert_eq!(refused.refusal, Refusal::Standing(Standing::Quarantined));
    assert_eq!(refused.consequence, Some(fork));

    // What was withdrawn already says nothing new.
    for status in [Status::Revoked, Status::Held] {
        let mut facts = facts.clone();
        facts
            .subject
            .as_mut()
            .unwrap()
            .head
            .as_mut()
            .unwrap()
            .status = status;
        let Decision::Refuse(refused) = decide(&house.policy, &other_key, &facts, NOW) else {
            panic!("not refused")
        };
        assert_eq!(
            (refused.refusal, refused.consequence),
            (Refusal::BadCredential, None)
        );
    }
}

/// The key that is already in the presented certificate does not hide a fork.
#[test]
fn a_clone_that_keeps_its_key_is_a_fork_as_well() {
    let house = House::new();
    let (mut holder, certificate, old_key) = house.enrolled();
    let old = holder.head.clone().unwrap();
    let mut head = old.clone();
    head.no = CertificateNo(2);
    head.key = csr(&key()).public_key().hash();
    head.predecessor = Some(old.no);
    head.first_used = Some(NOW);
    holder.head = Some(head);
    let ask = ask(Operation::Renew, csr(&old_key));
    let facts = house.facts(holder, current(&certificate, &old));
    let Decision::Refuse(refused) = decide(&house.policy, &ask, &facts, NOW) else {
        panic!("not refused")
    };
    assert!(matches!(
        refused.consequence,
        Some(Consequence::Fork { .. })
    ));
}

#[test]
fn an_answer_is_given_again_only_while_its_certificate_is_the_head_and_in_force() {
    let house = House::new();
    let (mut holder, _, first_key) = house.enrolled();
    let head = holder.head.clone().unwrap();
    let same = ask(Operation::Enroll, csr(&first_key));
    let mut facts = house.facts(holder.clone(), secret(&same));
    facts.earlier = Some(Earlier {
        certificate: head.no,
        row: head.clone(),
    });
    let decision = decide(&house.policy, &same, &facts, NOW);
    assert!(
        matches!(decision, Decision::Replay(CertificateNo(1))),
        "{decision:?}"
    );

    let late = NOW.plus(91 * DAY);
    assert!(!matches!(
        decide(&house.policy, &same, &facts, late),
        Decision::Replay(_)
    ));
    for standing in [
        Standing::Suspended,
        Standing::Quarantined,
        Standing::Retired,
    ] {
        let mut facts = facts.clone();
        facts.subject.as_mut().unwrap().device.standing = standing;
        assert_eq!(
            refusal(decide(&house.policy, &same, &facts, NOW)),
            Refusal::Standing(standing)
        );
    }
    let mut revoked = facts.clone();
    let row = &mut revoked.earlier.as_mut().unwrap().row;
    row.status = Status::Revoked;
    row.revocation = Some(Revocation {
        reason: Reason::KeyCompromise,
        at: NOW,
        invalidity: None,
    });
    revoked
        .subject
        .as_mut()
        .unwrap()
        .head
        .as_mut()
        .unwrap()
        .status = Status::Revoked;
    let Refusal::KeyRejected { .. } = refusal(decide(&house.policy, &same, &revoked, NOW)) else {
        panic!("a revoked key was certified again")
    };
    holder.head.as_mut().unwrap().no = CertificateNo(2);
    facts.subject = Some(holder);
    assert!(!matches!(
        decide(&house.policy, &same, &facts, NOW),
        Decision::Replay(_)
    ));
}
