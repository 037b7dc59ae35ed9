//! Where a new certificate would stand in its device's chain, and who may put it there.

use tenure_x509::{Cert, Csr, Time};

use crate::ask::Operation;
use crate::certificate::{CertificateRow, Status};
use crate::device::Standing;
use crate::facts::{Facts, Ruling, Subject};
use crate::ids::CertificateNo;
use crate::policy::decide::{HoldReason, Proof, Question, no, no_but, still_good, unless_refused};
use crate::policy::{Consequence, Decision, Policy};
use crate::profile::ProfileKind;
use crate::refusal::Refusal;
use crate::renewal::{self, Step};

/// The certificates before a new one.
pub(super) struct Place {
    /// The one it replaces.
    pub(super) predecessor: Option<CertificateRow>,
    /// A head that nobody used and that is given up for it.
    pub(super) displaced: Option<CertificateNo>,
}

/// Finds the place; `Err` is an early answer.
pub(super) fn place_in_chain(
    policy: &Policy,
    question: &Question<'_>,
    facts: &Facts,
    subject: &Subject,
    now: Time,
) -> Result<Place, Decision> {
    let after_head = || Place {
        predecessor: subject.head.clone(),
        displaced: None,
    };
    match (question.operation, &question.proof) {
        (Operation::Renew, Proof::Current { row, .. }) => {
            let row = row.ok_or_else(|| {
                no(Refusal::BadRequest {
                    what: "the device holds no certificate that could be renewed; enroll it"
                        .to_owned(),
                })
            })?;
            renewed(policy, question, row, subject, now)
        }
        (Operation::Renew, _) => Err(no(Refusal::BadRequest {
            what: "renewal must be authenticated with the certificate being renewed".to_owned(),
        })),
        (_, Proof::Current { row, .. }) => {
            let identity = row.filter(|row| is_for_life(policy, row)).ok_or_else(|| {
                no(Refusal::BadRequest {
                    what: "this certificate can only be renewed; use simplereenroll".to_owned(),
                })
            })?;
            if !identity.is_live(now) {
                return Err(no(Refusal::BadCredential));
            }
            let is_first = subject
                .head
                .as_ref()
                .is_some_and(|head| head.no == identity.no);
            if !is_first {
                starts_anew(facts, subject, now)?;
            }
            Ok(after_head())
        }
        (_, Proof::Manufacturer) => {
            starts_anew(facts, subject, now)?;
            Ok(after_head())
        }
        (_, Proof::Secret { .. } | Proof::System(_)) => Ok(after_head()),
    }
}

/// An identity for life proves which device it is, not that its owner wants it to start anew while
/// it holds a live certificate: a copy of the identity could say the same.
fn starts_anew(facts: &Facts, subject: &Subject, now: Time) -> Result<(), Decision> {
    let holds_one = subject.head.as_ref().is_some_and(|head| head.is_live(now));
    let is_asked_again = still_good(facts.earlier.as_ref(), subject, now).is_some();
    if holds_one && !is_asked_again && facts.ruling != Some(Ruling::Approved) {
        let hold = HoldReason::Approval {
            rule: "re-enrollment".to_owned(),
            why: "the device already holds a live certificate".to_owned(),
        };
        return Err(unless_refused(facts, hold));
    }
    Ok(())
}

/// Whether a certificate of ours was made as an identity for life.
fn is_for_life(policy: &Policy, row: &CertificateRow) -> bool {
    policy
        .profile(&row.profile)
        .is_some_and(|profile| profile.kind == ProfileKind::IDevId)
}

fn renewed(
    policy: &Policy,
    question: &Question<'_>,
    row: &CertificateRow,
    subject: &Subject,
    now: Time,
) -> Result<Place, Decision> {
    match row.status {
        Status::Issued | Status::Replaced => {}
        Status::Reserved | Status::Voided | Status::Held | Status::Revoked => {
            return Err(no(Refusal::BadCredential));
        }
    }
    if !row.validity.contains(now) {
        return Err(no(Refusal::BadRequest {
            what: "the certificate being renewed has expired; enroll again".to_owned(),
        }));
    }
    if is_for_life(policy, row) {
        return Err(no(Refusal::BadRequest {
            what: "this certificate is for life and is not renewed; use simpleenroll with it"
                .to_owned(),
        }));
    }
    let Some(head) = &subject.head else {
        return Err(no(Refusal::BadCredential));
    };
    // Who was stopped by withdrawing the head is not let in again through what the head replaced; and
    // what was withdrawn already says nothing new about a second holder.
    if !matches!(head.status, Status::Issued | Status::Replaced) {
        return Err(no(Refusal::BadCredential));
    }
    // A described renewal is one of the head, and has neither names nor a key to judge.
    let (
        Proof::Current {
            certificate: Some(certificate),
            ..
        },
        Some(csr),
    ) = (&question.proof, question.csr)
    else {
        return Ok(Place {
            predecessor: Some(row.clone()),
            displaced: None,
        });
    };
    names_are_unchanged(csr, certificate)?;
    let key = csr.public_key().hash();
    let displaced = match renewal::judge(
        row,
        head,
        key,
        subject.forgiven,
        subject.class.fork_allowance,
    ) {
        Step::Extend => None,
        Step::Displace(displaced) => Some(displaced),
        Step::Replay(certificate) if head.is_live(now) => {
            return Err(Decision::Replay(certificate));
        }
        Step::Replay(_) => return Err(no(Refusal::BadCredential)),
        Step::Fork { head } => {
            return Err(no_but(
                Refusal::Standing(Standing::Quarantined),
                Consequence::Fork {
                    presented: row.no,
                    head,
                },
            ));
        }
    };
    if key == row.key {
        return Err(no(Refusal::BadRequest {
            what: "a renewal needs a new key; this one is in the certificate being renewed"
                .to_owned(),
        }));
    }
    Ok(Place {
        predecessor: Some(row.clone()),
        displaced,
    })
}

/// RFC 7030 section 4.2.2: subject and SAN of a renewal are those of the current certificate,
/// whatever string types the client's tools turned them into. We also take a request that names
/// nothing, since the names come from the registry anyway.
fn names_are_unchanged(csr: &Csr, certificate: &Cert) -> Result<(), Decision> {
    if !csr.subject().is_empty() && !csr.subject().matches(certificate.subject()) {
        let what = format!(
            "the subject {} is not that of the certificate being renewed, {}; leave it out or \
             repeat it",
            csr.subject(),
            certificate.subject()
        );
        return Err(no(Refusal::BadRequest { what }));
    }
    if !csr.san().is_empty() && csr.san() != certificate.san() {
        return Err(no(Refusal::BadRequest {
            what: "the subject alternative names are not those of the certificate being renewed; \
                   leave them out or repeat them"
                .to_owned(),
        }));
    }
    Ok(())
}
