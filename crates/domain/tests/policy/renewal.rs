//! Operations 4.7: what a renewal means for the chain, case by case, and how soon two holders of
//! one identity are told apart.

use tenure_domain::certificate::{CertificateRow, Standstill, Status};
use tenure_domain::renewal::{Step, judge};
use tenure_domain::{CertificateNo, DeviceNo, IssuerNo, TenantId};
use tenure_x509::{KeyHash, Serial, Validity};

use crate::fixture::{DAY, NOW};

fn row(no: i64, predecessor: Option<i64>, key: u32) -> CertificateRow {
    let mut hash = [0; 32];
    hash[..4].copy_from_slice(&key.to_be_bytes());
    CertificateRow {
        no: CertificateNo(no),
        tenant: TenantId::DEFAULT,
        serial: Serial::from_der_value(&[1, no.to_be_bytes()[7]]),
        issuer: IssuerNo(1),
        issuer_name: "issuing-1".parse().unwrap(),
        device: DeviceNo(1),
        device_id: "pump-17".parse().unwrap(),
        profile: "device".parse().unwrap(),
        validity: Validity {
            not_before: NOW,
            not_after: NOW.plus(DAY),
        },
        key: KeyHash(hash),
        status: Status::Issued,
        revocation: None,
        predecessor: predecessor.map(CertificateNo),
        predecessor_serial: None,
        shard: 0,
        first_used: None,
        standstill: Standstill::None,
        issued: NOW,
    }
}

/// Every combination of what the judgement reads, held against the four sentences of the design.
#[test]
fn every_case_of_the_renewal_table() {
    let mut seen = [0; 4];
    for is_head in [true, false] {
        for is_successor in [true, false] {
            for is_used in [true, false] {
                for is_same_key in [true, false] {
                    for is_abandoned in [true, false] {
                        for forgiven in 0..=4_u8 {
                            for allowance in 1..=3_u8 {
                                let mut current = row(1, None, 1);
                                if is_abandoned {
                                    current.standstill = Standstill::Abandoned;
                                }
                                let mut head = if is_head {
                                    current.clone()
                                } else {
                                    row(2, is_successor.then_some(1), 2)
                                };
                                head.first_used = is_used.then_some(NOW);
                                let key = if is_same_key {
                                    head.key
                                } else {
                                    KeyHash([9; 32])
                                };
                                let step = judge(&current, &head, key, forgiven, allowance);
                                let expected = if is_head {
                                    // (a)
                                    Step::Extend
                                } else if is_successor && !is_used && !is_abandoned && is_same_key {
                                    // (b)
                                    Step::Replay(CertificateNo(2))
                                } else if is_successor
                                    && !is_used
                                    && !is_abandoned
                                    && forgiven < allowance
                                {
                                    // (c)
                                    Step::Displace(CertificateNo(2))
                                } else {
                                    // (d)
                                    Step::Fork {
                                        head: CertificateNo(2),
                                    }
                                };
                                assert_eq!(
                                    step, expected,
                                    "head {is_head}, successor {is_successor}, used {is_used}, \
                                     same key {is_same_key}, abandoned {is_abandoned}, \
                                     {forgiven} of {allowance}"
                                );
                                let kind = match step {
                                    Step::Extend => 0,
                                    Step::Replay(_) => 1,
                                    Step::Displace(_) => 2,
                                    Step::Fork { .. } => 3,
                                };
                                seen[kind] += 1;
                            }
                        }
                    }
                }
            }
        }
    }
    assert!(seen.iter().all(|count| *count > 0), "{seen:?}");
}

/// The chain of one device as the store keeps it.
struct Chain {
    rows: Vec<CertificateRow>,
    head: usize,
    forgiven: u8,
    keys: u32,
}

impl Chain {
    fn new() -> Chain {
        Chain {
            rows: vec![row(0, None, 0)],
            head: 0,
            forgiven: 0,
            keys: 0,
        }
    }

    /// Someone uses a certificate; whether that betrays two holders.
    fn used(&mut self, held: usize) -> bool {
        self.rows[held].first_used = Some(NOW);
        if held == self.head {
            self.forgiven = 0;
        }
        self.rows[held].standstill == Standstill::Abandoned
    }

    /// Someone renews with a new key; `None` if that betrays two holders.
    fn renewed(&mut self, held: usize, allowance: u8) -> Option<usize> {
        self.keys += 1;
        let no = self.rows.len();
        let next = row(no as i64, Some(held as i64), self.keys);
        let step = judge(
            &self.rows[held],
            &self.rows[self.head],
            next.key,
            self.forgiven,
            allowance,
        );
        match step {
            Step::Extend => {}
            Step::Displace(displaced) => {
                self.rows[displaced.0 as usize].standstill = Standstill::Abandoned;
                self.forgiven += 1;
            }
            Step::Replay(_) => panic!("two fresh keys are equal"),
            Step::Fork { .. } => return None,
        }
        self.rows.push(next);
        self.head = no;
        Some(no)
    }
}

/// Both holders start from one certificate. In every order of eight renewals, and whichever of their
/// certificates are used in between, they are told apart no later than at the second renewal of
/// whoever renews less.
#[test]
fn a_clone_is_caught_by_the_second_renewal_of_the_less_active_holder() {
    const STEPS: u32 = 8;
    let mut caught = 0_u32;
    for order in 0_u32..1 << STEPS {
        for uses in 0_u32..1 << STEPS {
            let mut chain = Chain::new();
            let mut held = [0, 0];
            let mut renewals = [0_u32, 0];
            for step in 0..STEPS {
                let who = usize::from(order >> step & 1 == 1);
                renewals[who] += 1;
                let Some(no) = chain.renewed(held[who], 1) else {
                    caught += 1;
                    break;
                };
                held[who] = no;
                if uses >> step & 1 == 1 && chain.used(no) {
                    caught += 1;
                    break;
                }
                let least = renewals[0].min(renewals[1]);
                assert!(
                    least < 2,
                    "not caught: order {order:b}, uses {uses:b}, step {step}"
                );
            }
        }
    }
    assert!(caught > 60_000, "{caught}");
}

/// A device alone, which loses answers and crashes before it keeps its key at most as often as it
/// is forgiven for, is never taken for two.
#[test]
fn a_device_that_crashes_within_its_allowance_is_not_taken_for_two() {
    for allowance in 1..=3 {
        let mut chain = Chain::new();
        let mut held = 0;
        for _ in 0..20 {
            // It renews, crashes, and starts again from what it still has.
            for _ in 0..allowance {
                assert!(chain.renewed(held, allowance).is_some());
            }
            held = chain.renewed(held, allowance).unwrap();
            assert!(!chain.used(held));
        }
    }
}
