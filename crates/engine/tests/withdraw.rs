//! Trust taken away and given back: what each decision touches, and what it leaves to others.

mod house;

use house::{House, issued, pair, refusal};
use tenure_domain::ask::AskState;
use tenure_domain::certificate::{CertificateRow, StatusChange};
use tenure_domain::change::Change;
use tenure_domain::device::Device;
use tenure_domain::incident::Incident;
use tenure_domain::operator::{Actor, Role};
use tenure_domain::{AskNo, Refusal, Standing, Status, TenantId};
use tenure_engine::store::certificate::Certificate;
use tenure_engine::store::{certificate, device, incident, pending};
use tenure_engine::{Answer, Changed, Observation, Rejection, RevokeAsk, Target};
use tenure_x509::Reason;

const PUMP: &str = "pump-17";

fn standing(id: &str, to: Standing) -> Change {
    Change::SetStanding {
        device: id.parse().unwrap(),
        to,
        why: "a test".to_owned(),
    }
}

fn to(to: Standing) -> Change {
    standing(PUMP, to)
}

impl House {
    fn status(&self, of: &Certificate) -> Status {
        let row = self
            .engine
            .store()
            .glance(|tx| certificate::row(tx, of.row.no));
        row.unwrap().unwrap().status
    }

    fn pump(&self, id: &str) -> Device {
        let store = self.engine.store();
        let pump = store.glance(|tx| device::by_id(tx, TenantId::DEFAULT, &id.parse().unwrap()));
        pump.unwrap().unwrap()
    }

    fn held_by(&self, id: &str) -> Vec<CertificateRow> {
        let (store, pump) = (self.engine.store(), self.pump(id));
        store
            .glance(|tx| certificate::of_device(tx, pump.no, 1_000))
            .unwrap()
    }

    fn held_by_pump(&self) -> Vec<CertificateRow> {
        self.held_by(PUMP)
    }

    async fn withdraw(&self, target: Target, change: StatusChange) -> Result<(), Rejection> {
        let actor = self.admin.clone();
        let ask = RevokeAsk {
            actor,
            target,
            change,
        };
        self.engine.revoke(ask).await.map(|_| ())
    }

    async fn withdraw_one(&self, of: &Certificate, change: StatusChange) {
        let serial = of.row.serial.clone();
        let target = Target::Certificate {
            issuer: None,
            serial,
        };
        self.withdraw(target, change).await.unwrap();
    }

    /// A device with a certificate and a successor that was used; the successor first.
    async fn renewed_and_used(
        &self,
        id: &str,
    ) -> (std::sync::Arc<Certificate>, std::sync::Arc<Certificate>) {
        let first = self.enrolled(id).await;
        let second = issued(self.renew(&first.cert, &pair()).await);
        let seen = Observation::InUse {
            actor: self.admin.clone(),
            issuer: None,
            serial: second.row.serial.clone(),
            service: "broker".parse().unwrap(),
            at: self.clock.now(),
        };
        self.engine.observe(seen).await.unwrap();
        (second, first)
    }

    /// The same, and a thief who renewed from the first.
    async fn forked(&self) -> (std::sync::Arc<Certificate>, Incident) {
        let (second, first) = self.renewed_and_used(PUMP).await;
        refusal(self.renew(&first.cert, &pair()).await);
        (second, self.open_incident())
    }

    fn open_incident(&self) -> Incident {
        let state = Some(tenure_domain::incident::IncidentState::Open);
        let store = self.engine.store();
        let open = store.glance(|tx| incident::list(tx, TenantId::DEFAULT, state, None, 10));
        let [open] = <[_; 1]>::try_from(open.unwrap()).unwrap();
        open
    }

    async fn resolve(&self, open: &Incident, keep: &Certificate) -> Result<(), Rejection> {
        let decided = Change::ResolveIncident {
            incident: open.no,
            keep: Some(keep.row.serial.to_string()),
            why: "looked into".to_owned(),
        };
        self.change(decided).await.map(|_| ())
    }
}

fn revoked() -> StatusChange {
    StatusChange::Revoke {
        reason: Reason::KeyCompromise,
        invalidity: None,
    }
}

fn is_conflict<T: std::fmt::Debug>(answer: Result<T, Rejection>) {
    assert!(
        matches!(answer, Err(Rejection::Refusal(Refusal::Conflict { .. }))),
        "{answer:?}"
    );
}

#[tokio::test]
async fn what_is_over_needs_no_withdrawal() {
    let house = House::found().await;
    let first = house.enrolled(PUMP).await;
    let end = first.row.validity.not_after;
    house.clock.move_to(end.plus(-60));
    let second = issued(house.renew(&first.cert, &pair()).await);
    house.pass(120);
    house.change(to(Standing::Retired)).await.unwrap();
    assert_eq!(house.status(&first), Status::Replaced);
    assert_eq!(house.status(&second), Status::Revoked);
    assert_eq!(house.leaves("certificate-revoked").len(), 1);
}

/// Whatever a renewal that is under way comes to, it is not spared by a withdrawal of all that the
/// device has: it is refused, or revoked with the rest.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_renewal_under_way_does_not_survive_the_withdrawal_of_its_device() {
    for round in 0_u64..40 {
        let house = House::found().await;
        let first = house.enrolled(PUMP).await;
        let engine = house.engine.clone();
        let ask = house::renewal(&first.cert, &pair());
        let renewing = tokio::spawn(async move { engine.enroll(ask).await });
        tokio::time::sleep(std::time::Duration::from_micros(round * 50)).await;
        let all = Target::Device(PUMP.parse().unwrap());
        house.withdraw(all, revoked()).await.unwrap();
        let renewed = renewing.await.unwrap();
        if let Ok(Answer::Issued(renewed)) = renewed {
            assert_eq!(house.status(&renewed), Status::Revoked, "round {round}");
        }
    }
}

#[tokio::test]
async fn what_was_put_on_hold_by_hand_stays_so_when_its_device_goes_on() {
    let house = House::found().await;
    let first = house.enrolled(PUMP).await;
    let second = issued(house.renew(&first.cert, &pair()).await);
    house.withdraw_one(&first, StatusChange::Hold).await;
    house.pass(10);
    house.change(to(Standing::Suspended)).await.unwrap();
    house.pass(10);
    house.change(to(Standing::Quarantined)).await.unwrap();
    house.change(to(Standing::Enrolled)).await.unwrap();
    assert_eq!(house.status(&first), Status::Held);
    assert_eq!(house.status(&second), Status::Issued);
    house.withdraw_one(&first, StatusChange::Release).await;
    assert_eq!(house.status(&first), Status::Replaced);
}

#[tokio::test]
async fn a_device_does_not_go_on_while_its_fork_is_undecided() {
    let house = House::found().await;
    let (kept, open) = house.forked().await;
    is_conflict(house.change(to(Standing::Enrolled)).await);
    house.change(to(Standing::Suspended)).await.unwrap();
    is_conflict(house.change(to(Standing::Enrolled)).await);
    assert!(
        house
            .held_by_pump()
            .iter()
            .all(|row| row.status == Status::Held)
    );

    // Decided while the device is suspended: the branch goes on when the device does.
    house.resolve(&open, &kept).await.unwrap();
    assert_eq!(house.status(&kept), Status::Held);
    let others = house.held_by_pump();
    let mut others = others.iter().filter(|row| row.no != kept.row.no);
    assert!(others.all(|row| row.status == Status::Revoked));
    house.change(to(Standing::Enrolled)).await.unwrap();
    assert_eq!(house.status(&kept), Status::Issued);
    issued(house.renew(&kept.cert, &pair()).await);
}

#[tokio::test]
async fn a_branch_that_is_revoked_cannot_be_kept() {
    let house = House::found().await;
    let (kept, open) = house.forked().await;
    house.withdraw_one(&kept, revoked()).await;
    let before = house.held_by_pump();
    is_conflict(house.resolve(&open, &kept).await);
    assert_eq!(house.held_by_pump(), before);
    assert_eq!(house.open_incident().no, open.no);
}

#[tokio::test]
async fn a_device_that_asked_with_anothers_key_can_keep_its_own() {
    let house = House::found().await;
    let (taken, secret) = (pair(), {
        house.device("pump-18").await;
        house.secret("pump-18").await
    });
    issued(house.enroll("pump-18", &secret, &taken).await);
    let own = house.enrolled(PUMP).await;
    refusal(house.renew(&own.cert, &taken).await);
    let open = house.open_incident();
    house.resolve(&open, &own).await.unwrap();
    assert_eq!(house.status(&own), Status::Issued);
}

/// H4: who is retired stays so, though a clone that renews at that moment forks the chain. Leaves out:
/// what else a retired device could try, which the story `retire` follows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h4_a_fork_found_too_late_brings_no_retired_device_back() {
    let house = House::found().await;
    for round in 0_u64..200 {
        let id = format!("pump-{round}");
        let (_, first) = house.renewed_and_used(&id).await;
        let (engine, ask) = (house.engine.clone(), house::renewal(&first.cert, &pair()));
        let forking = tokio::spawn(async move { engine.enroll(ask).await });
        // So short a time no timer keeps.
        std::thread::sleep(std::time::Duration::from_micros(round * 2));
        house
            .change(standing(&id, Standing::Retired))
            .await
            .unwrap();
        refusal(forking.await.unwrap());
        assert_eq!(house.pump(&id).standing, Standing::Retired, "round {round}");
        let kept = house.held_by(&id);
        assert!(
            kept.iter().all(|row| row.status == Status::Revoked),
            "round {round}"
        );
    }
}

#[tokio::test]
async fn a_key_whose_certificate_was_revoked_is_certified_no_more() {
    let house = House::found().await;
    house.device(PUMP).await;
    let (lost, secret) = (pair(), house.secret(PUMP).await);
    let first = issued(house.enroll(PUMP, &secret, &lost).await);
    issued(house.renew(&first.cert, &pair()).await);
    let all = Target::Device(PUMP.parse().unwrap());
    house.withdraw(all, revoked()).await.unwrap();
    let secret = house.secret(PUMP).await;
    let refused = refusal(house.enroll(PUMP, &secret, &lost).await);
    assert!(
        matches!(refused, Refusal::KeyRejected { .. }),
        "{refused:?}"
    );

    let secret = house.secret(PUMP).await;
    let anew = issued(house.enroll(PUMP, &secret, &pair()).await);
    let refused = refusal(house.renew(&anew.cert, &lost).await);
    assert!(
        matches!(refused, Refusal::KeyRejected { .. }),
        "{refused:?}"
    );
    issued(house.renew(&anew.cert, &pair()).await);
}

/// A request may take long to come in; what counts is whether its token works when it is carried out.
#[tokio::test]
async fn nothing_is_done_in_the_name_of_a_token_that_was_withdrawn() {
    let house = House::found().await;
    house.device(PUMP).await;
    let token = |name: &str| Change::CreateToken {
        name: name.parse().unwrap(),
        role: Role::Admin,
        party: None,
        expires: None,
    };
    let Changed::Token(made) = house.change(token("thief")).await.unwrap() else {
        panic!("no token")
    };
    let thief = Actor::Operator {
        name: "thief".to_owned(),
        no: made.no,
        role: Role::Admin,
    };
    house.engine.change(&thief, token("kept")).await.unwrap();
    house.change(Change::RevokeToken(made.no)).await.unwrap();
    for change in [
        token("another"),
        Change::RotateToken(made.no),
        to(Standing::Suspended),
        Change::NewSecret {
            device: PUMP.parse().unwrap(),
            life_s: 3_600,
        },
    ] {
        let events = house.leaves("token-created").len();
        assert!(house.engine.change(&thief, change).await.is_err());
        assert_eq!(house.leaves("token-created").len(), events);
    }
    let ask = RevokeAsk {
        actor: thief,
        target: Target::Device(PUMP.parse().unwrap()),
        change: revoked(),
    };
    let refused = house.engine.revoke(ask).await;
    assert!(matches!(
        refused,
        Err(Rejection::Refusal(Refusal::NotAuthenticated))
    ));
}

#[tokio::test]
async fn what_a_retired_device_asked_for_waits_no_more() {
    let house = House::found().await;
    house.enrolled(PUMP).await;
    let store = house.engine.store();
    house.make_safety(PUMP).await;
    let secret = house.secret(PUMP).await;
    let waits = house.enroll(PUMP, &secret, &pair()).await;
    assert!(matches!(waits, Ok(Answer::Pending { .. })), "{waits:?}");
    house.change(to(Standing::Retired)).await.unwrap();
    let ask = store
        .glance(|tx| pending::by_no(tx, AskNo(1)))
        .unwrap()
        .unwrap();
    assert_eq!(ask.state(), AskState::Refused);
    assert!(house.change(Change::ApproveAsk(AskNo(1))).await.is_err());
}
