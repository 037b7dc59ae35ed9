use super::*;
use crate::certificate::{Revocation, Standstill};
use crate::ids::{CertificateNo, DeviceNo, IssuerNo, TenantId};
use tenure_x509::{KeyHash, Reason, Serial, Validity};

const NOW: Time = Time::from_unix(1_790_000_000);

fn row(status: Status, life_s: i64) -> CertificateRow {
    let not_after = match life_s {
        i64::MAX => Time::NEVER,
        life_s => NOW.plus(life_s),
    };
    CertificateRow {
        no: CertificateNo(1),
        tenant: TenantId::DEFAULT,
        serial: Serial::from_der_value(&[1]),
        issuer: IssuerNo(1),
        issuer_name: "issuing-1".parse().unwrap(),
        device: DeviceNo(1),
        device_id: "pump-1".parse().unwrap(),
        profile: "device".parse().unwrap(),
        validity: Validity {
            not_before: NOW.plus(-3600),
            not_after,
        },
        key: KeyHash([1; 32]),
        status,
        revocation: None,
        predecessor: None,
        predecessor_serial: None,
        shard: 0,
        first_used: None,
        standstill: Standstill::None,
        issued: NOW,
    }
}

fn care(renewability: Renewability) -> Care {
    Care {
        renew_percent: 66,
        backdate_s: 3600,
        renewability,
    }
}

#[test]
fn b16_a_durable_one_is_reviewed_and_warned_about_often_and_an_ephemeral_one_is_not() {
    let durable = row(Status::Issued, 90 * DAY_S);
    let durable = Attention::of(&durable, care(Renewability::Autonomous), NOW.plus(1));
    assert_eq!(durable.durability, Durability::Durable);
    assert_eq!(durable.alerts.len(), 4);
    assert_eq!(durable.review_at, Some(NOW.plus(180 * DAY_S)));
    let ephemeral = row(Status::Issued, 7 * DAY_S);
    let ephemeral = Attention::of(&ephemeral, care(Renewability::Autonomous), NOW.plus(1));
    assert_eq!(ephemeral.durability, Durability::Ephemeral);
    assert_eq!(ephemeral.alerts, [NOW.plus(7 * DAY_S * 9 / 10)]);
    assert_eq!(ephemeral.review_at, None);
}

/// B1, for what is next. Leaves out: owner and window, which are columns of every row.
#[test]
fn b1_every_status_has_something_next_and_a_time_for_it() {
    let year = 365 * DAY_S;
    let mut held = row(Status::Held, year);
    held.revocation = Some(Revocation {
        reason: Reason::CertificateHold,
        at: NOW.plus(5),
        invalidity: None,
    });
    let at = |row: &CertificateRow, now: i64| {
        let found = Attention::of(row, care(Renewability::Manual), NOW.plus(now));
        (found.next, found.next_at)
    };
    let renewal = NOW.plus(year / 100 * 66);
    let issued = row(Status::Issued, year);
    // Two reviews are due before the renewal; once that is due it stays so until the end.
    assert_eq!(at(&issued, 1), (NextAction::Review, NOW.plus(180 * DAY_S)));
    assert_eq!(at(&issued, 200 * DAY_S), (NextAction::Renew, renewal));
    assert_eq!(at(&issued, 300 * DAY_S), (NextAction::Renew, renewal));
    assert_eq!(at(&issued, year + 1), (NextAction::Enroll, NOW.plus(year)));
    let end = NOW.plus(year);
    assert_eq!(at(&row(Status::Replaced, year), 1), (NextAction::End, end));
    assert_eq!(
        at(&row(Status::Revoked, year), 1),
        (NextAction::Unlist, end)
    );
    assert_eq!(at(&held, 9), (NextAction::Decide, NOW.plus(5)));
    let forever = row(Status::Issued, i64::MAX);
    assert_eq!(
        at(&forever, 400 * DAY_S),
        (NextAction::Review, NOW.plus(540 * DAY_S))
    );
    let forever = Attention::of(&forever, care(Renewability::Never), NOW);
    assert_eq!((forever.renew_from, forever.alerts.len()), (Time::NEVER, 0));
}
