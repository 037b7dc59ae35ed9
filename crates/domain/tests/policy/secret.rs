//! A one-time secret: what it is good for, and when.

use tenure_domain::evidence::{SPENT_SECRET_REPLAY_S, SecretRefusal, SecretRow};
use tenure_domain::{DeviceNo, SecretNo};
use tenure_x509::KeyHash;

use crate::fixture::{DAY, NOW};

const RIGHT: [u8; 32] = [1; 32];
const KEY: KeyHash = KeyHash([3; 32]);
const OTHER_KEY: KeyHash = KeyHash([4; 32]);

fn fresh() -> SecretRow {
    SecretRow {
        no: SecretNo(5),
        device: DeviceNo(17),
        hash: RIGHT,
        salt: [2; 16],
        expires: NOW.plus(7 * DAY),
        bound_to: None,
        spent: None,
        failures: 0,
        locked_until: None,
    }
}

#[test]
fn a_secret_is_right_in_every_bit_or_wrong() {
    let proof = fresh().judge(&RIGHT, KEY, NOW).unwrap();
    assert_eq!(
        (proof.no(), proof.device(), proof.spent()),
        (SecretNo(5), DeviceNo(17), None)
    );
    for position in 0..32 {
        for bit in 0..8 {
            let mut wrong = RIGHT;
            wrong[position] ^= 1 << bit;
            assert_eq!(fresh().judge(&wrong, KEY, NOW), Err(SecretRefusal::Wrong));
        }
    }
}

#[test]
fn a_secret_is_for_one_key_and_for_a_time() {
    let row = fresh();
    assert!(row.judge(&RIGHT, KEY, row.expires).is_ok());
    assert_eq!(
        row.judge(&RIGHT, KEY, row.expires.plus(1)),
        Err(SecretRefusal::Expired)
    );

    let bound = SecretRow {
        bound_to: Some(KEY),
        ..fresh()
    };
    assert!(bound.judge(&RIGHT, KEY, NOW).is_ok());
    assert_eq!(
        bound.judge(&RIGHT, OTHER_KEY, NOW),
        Err(SecretRefusal::OtherKey)
    );
    assert_eq!(
        bound.judge(&[9; 32], OTHER_KEY, NOW),
        Err(SecretRefusal::Wrong)
    );
}

#[test]
fn a_spent_secret_asks_again_for_a_day() {
    let spent = SecretRow {
        bound_to: Some(KEY),
        spent: Some(NOW),
        ..fresh()
    };
    let until = NOW.plus(SPENT_SECRET_REPLAY_S);
    assert_eq!(spent.judge(&RIGHT, KEY, until).unwrap().spent(), Some(NOW));
    assert_eq!(
        spent.judge(&RIGHT, KEY, until.plus(1)),
        Err(SecretRefusal::Spent)
    );
    assert_eq!(
        spent.judge(&RIGHT, OTHER_KEY, NOW),
        Err(SecretRefusal::OtherKey)
    );
}

#[test]
fn a_locked_secret_is_not_even_looked_at() {
    let until = NOW.plus(900);
    let locked = SecretRow {
        locked_until: Some(until),
        failures: 5,
        ..fresh()
    };
    for digest in [RIGHT, [9; 32]] {
        let refusal = locked.judge(&digest, KEY, NOW.plus(899));
        assert_eq!(refusal, Err(SecretRefusal::Locked { until }));
    }
    assert!(locked.judge(&RIGHT, KEY, until).is_ok());
}
