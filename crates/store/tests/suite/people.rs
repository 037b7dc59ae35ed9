//! What people decide: secrets, held asks, incidents, tokens, kept answers.

use tenure_domain::ask::AskState;
use tenure_domain::ask::{Operation, Protocol, Via};
use tenure_domain::facts::{ReplayKey, Ruling};
use tenure_domain::incident::{IncidentKind, IncidentState};
use tenure_domain::{Role, TenantId};
use tenure_store::idempotency::{self, Kept};
use tenure_store::incident::{NOT_OURS_MAX, NewIncident, Opened};
use tenure_store::pending::{self, HoldError, NewAsk};
use tenure_store::{StoreError, event, incident, secret, token};
use tenure_x509::KeyHash;

use crate::fixture::{House, actor, at, op, runtime};

#[test]
fn five_wrong_tries_lock_a_secret_and_a_new_one_replaces_it() {
    let directory = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let house = House::new(directory.path()).await;
        let device = house.device("pump-1").await;
        let no = device.no;
        let put = move |tx: &mut tenure_store::Tx<'_>| {
            secret::put(tx, no, &[1; 32], &[2; 16], at(1000), &actor(), at(5))
        };
        house.store.record(op(), put).await.unwrap();
        for second in 0..5 {
            let device = device.clone();
            house
                .store
                .record(op(), move |tx| secret::failed(tx, &device, at(10 + second)))
                .await
                .unwrap();
        }
        let row = house
            .store
            .glance(|tx| secret::of_device(tx, no))
            .unwrap()
            .unwrap();
        assert_eq!(row.locked_until, Some(at(14 + 15 * 60)));
        house
            .store
            .record::<_, StoreError, _>(op(), move |tx| {
                tx.excuse("binding alone is no event");
                secret::bind(tx, row.no, KeyHash([7; 32]))
            })
            .await
            .unwrap();
        house.store.record(op(), put).await.unwrap();
        let row = house
            .store
            .glance(|tx| secret::of_device(tx, no))
            .unwrap()
            .unwrap();
        assert_eq!(
            (row.locked_until, row.bound_to, row.failures),
            (None, None, 0)
        );
    });
}

fn ask(house: &House, device: &tenure_domain::Device, n: u8) -> NewAsk {
    let _ = house;
    NewAsk {
        tenant: TenantId::DEFAULT,
        replay: ReplayKey([n; 32]),
        identity: device.id.to_string(),
        device: Some((device.no, device.id.clone())),
        key: KeyHash([n; 32]),
        csr: vec![0x30],
        operation: Operation::Enroll,
        reason: "approval".to_owned(),
        why: "a rule wants it".to_owned(),
        evidence: "secret".to_owned(),
        via: Via {
            protocol: Protocol::Est,
            label: None,
            source: None,
        },
        binds: None,
    }
}

#[test]
fn strangers_fill_their_own_part_of_the_queue_and_no_other() {
    let directory = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let house = House::new(directory.path()).await;
        let device = house.device("pump-1").await;
        let known = ask(&house, &device, 1);
        let stranger = |n: u32| {
            let mut replay = [0; 32];
            replay[..4].copy_from_slice(&n.to_be_bytes());
            NewAsk {
                replay: ReplayKey(replay),
                identity: format!("stranger {n}"),
                device: None,
                reason: "unknown-manufacturer".to_owned(),
                ..known.clone()
            }
        };
        let (all, one_more) = (
            (0..10_000).map(stranger).collect::<Vec<_>>(),
            stranger(10_000),
        );
        house
            .store
            .record::<_, HoldError, _>(op(), move |tx| {
                all.iter()
                    .try_for_each(|ask| pending::hold(tx, ask, &actor(), at(5)).map(|_| ()))
            })
            .await
            .unwrap();
        let may_hold = |ask| house.store.glance(|tx| pending::may_hold(tx, ask));
        assert_eq!(may_hold(&one_more), Err(HoldError::Full));
        assert_eq!(may_hold(&known), Ok(()));
    });
}

#[test]
fn an_ask_is_held_once_and_decided_once() {
    let directory = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let house = House::new(directory.path()).await;
        let device = house.device("pump-1").await;
        let held = ask(&house, &device, 3);
        let again = held.clone();
        let no = house
            .store
            .record(op(), move |tx| pending::hold(tx, &held, &actor(), at(5)))
            .await
            .unwrap();
        let known = house
            .store
            .record(op(), move |tx| pending::hold(tx, &again, &actor(), at(6)))
            .await;
        assert_eq!(known, Err(HoldError::Known(no)));
        let may_hold = |n| {
            let ask = ask(&house, &device, n);
            house.store.glance(|tx| pending::may_hold(tx, &ask))
        };
        assert_eq!(may_hold(3), Err(HoldError::Known(no)));
        assert_eq!(may_hold(4), Ok(()));
        let ruling = || {
            let replay = ReplayKey([3; 32]);
            house
                .store
                .glance(|tx| pending::ruling(tx, replay))
                .unwrap()
        };
        assert_eq!(ruling(), Some(Ruling::Waiting));
        let list = |ruling| {
            house
                .store
                .glance(|tx| pending::list(tx, TenantId::DEFAULT, ruling, None, 10))
                .unwrap()
        };
        assert_eq!(list(Some(AskState::Waiting)).len(), 1);
        for _ in 0..2 {
            let decided = house
                .store
                .record::<_, StoreError, _>(op(), move |tx| {
                    pending::rule(tx, no, Ruling::Approved, &actor(), at(7))
                })
                .await
                .unwrap()
                .unwrap();
            assert_eq!(decided.ruling, Some(Ruling::Approved));
            assert_eq!(decided.decided, Some(at(7)));
        }
        assert_eq!(ruling(), Some(Ruling::Approved));
        assert!(list(Some(AskState::Waiting)).is_empty());
        // A decision changes the facts: who decided without it is stale.
        assert_eq!(house.find("pump-1").version, device.version + 1);
        // Whoever decided about it before it was refused does not put it back into the queue.
        let other = ask(&house, &device, 9);
        let refused = other.clone();
        let held = house.store.record(op(), move |tx| {
            let no = pending::hold(tx, &refused, &actor(), at(5))?;
            pending::rule(tx, no, Ruling::Refused, &actor(), at(6))?;
            Ok::<_, HoldError>(no)
        });
        let held = held.await.unwrap();
        let late = house
            .store
            .record(op(), move |tx| pending::hold(tx, &other, &actor(), at(6)));
        assert_eq!(late.await, Err(HoldError::Known(held)));
    });
}

#[test]
fn the_same_incident_is_opened_once_until_it_is_resolved() {
    let directory = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let house = House::new(directory.path()).await;
        let device = house.device("pump-1").await;
        let open = || {
            let new = NewIncident {
                kind: IncidentKind::Fork,
                device: Some((device.no, device.id.clone())),
                serials: vec!["0a".to_owned()],
                summary: "two holders".to_owned(),
            };
            house.store.record::<_, StoreError, _>(op(), move |tx| {
                let opened = incident::open(tx, &new, &actor(), at(5))?;
                if !opened.is_new() {
                    tx.excuse("it is open");
                }
                Ok(opened)
            })
        };
        let first = open().await.unwrap();
        let Opened::New(no) = first else {
            panic!("{first:?}")
        };
        assert_eq!(open().await.unwrap(), Opened::Known(no));
        let resolved = house
            .store
            .record::<_, StoreError, _>(op(), move |tx| {
                incident::resolve(tx, no, "kept 0a", &actor(), at(6))
            })
            .await
            .unwrap()
            .unwrap();
        assert_eq!(resolved.state, IncidentState::Resolved);
        assert_eq!(resolved.outcome.as_deref(), Some("kept 0a"));
        assert!(open().await.unwrap().is_new());
        let all = house
            .store
            .glance(|tx| incident::list(tx, TenantId::DEFAULT, None, None, 10))
            .unwrap();
        assert_eq!(all.len(), 2);
        let of = house
            .store
            .glance(|tx| incident::of_device(tx, device.no))
            .unwrap();
        assert_eq!(of, all);
    });
}

/// Anyone can make certificates in our name, and each has a serial of its own.
#[test]
fn so_many_incidents_about_forged_certificates_are_open_and_no_more() {
    let directory = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let house = House::new(directory.path()).await;
        let device = house.device("pump-1").await;
        let open = |new: NewIncident| {
            house.store.record::<_, StoreError, _>(op(), move |tx| {
                let opened = incident::open(tx, &new, &actor(), at(5))?;
                if !opened.is_new() {
                    tx.excuse("nothing is opened");
                }
                Ok(opened)
            })
        };
        let forged = |no: u32| NewIncident::not_ours(&format!("{no:040x}"), "presented");
        let opened = house.store.record::<_, StoreError, _>(op(), move |tx| {
            (0..NOT_OURS_MAX)
                .map(|no| incident::open(tx, &forged(no), &actor(), at(4)))
                .collect::<Result<Vec<_>, _>>()
        });
        let opened = opened.await.unwrap();
        assert!(opened.iter().all(|one| one.is_new()));
        let first = opened[0].no().unwrap();
        let events = || {
            let newest = house.store.glance(|tx| event::before(tx, None, 1));
            newest.unwrap()[0].seq
        };

        let before = events();
        for (new, expected) in [
            (forged(NOT_OURS_MAX), Opened::Full),
            (forged(0), Opened::Known(first)),
        ] {
            let foreseen = house.store.glance(|tx| incident::foreseen(tx, &new));
            assert_eq!(foreseen.unwrap(), Some(expected));
            assert_eq!(open(new).await.unwrap(), expected);
        }
        assert_eq!(events(), before, "nothing is recorded of either");

        let fork = NewIncident {
            kind: IncidentKind::Fork,
            device: Some((device.no, device.id.clone())),
            serials: vec!["0a".to_owned()],
            summary: "two holders".to_owned(),
        };
        assert!(open(fork).await.unwrap().is_new());
        let resolve = house.store.record::<_, StoreError, _>(op(), move |tx| {
            incident::resolve(tx, first, "a test", &actor(), at(6))
        });
        resolve.await.unwrap();
        assert!(open(forged(NOT_OURS_MAX)).await.unwrap().is_new());
        assert_eq!(open(forged(0)).await.unwrap(), Opened::Full);
    });
}

#[test]
fn a_token_is_found_by_its_hash_and_says_when_it_was_withdrawn() {
    let directory = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let house = House::new(directory.path()).await;
        let no = house
            .store
            .record(op(), |tx| {
                token::create(
                    tx,
                    "night",
                    (Role::Reader, None),
                    &[5; 32],
                    Some(at(99)),
                    &actor(),
                    at(1),
                )
            })
            .await
            .unwrap();
        let find = || {
            house
                .store
                .glance(|tx| token::by_hash(tx, &[5; 32]))
                .unwrap()
                .unwrap()
        };
        assert_eq!(
            (find().role, find().expires, find().revoked),
            (Role::Reader, Some(at(99)), None)
        );
        for _ in 0..2 {
            house
                .store
                .record(op(), move |tx| token::revoke(tx, no, &actor(), at(50)))
                .await
                .unwrap();
            assert_eq!(find().revoked, Some(at(50)));
        }
        let unknown = house
            .store
            .glance(|tx| token::by_hash(tx, &[6; 32]))
            .unwrap();
        assert_eq!(unknown, None);
    });
}

#[test]
fn an_answer_is_kept_for_a_day() {
    let directory = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let house = House::new(directory.path()).await;
        let kept = Kept {
            request: [1; 32],
            status: 201,
            answer: b"{}".to_vec(),
        };
        let keep = |now| {
            let (caller, key) = ("token 1".to_owned(), "k".to_owned());
            house.store.keep_answer(caller, key, kept.clone(), now)
        };
        keep(at(0)).await.unwrap();
        let find = |caller: &str, now| {
            house
                .store
                .glance(|tx| idempotency::kept(tx, caller, "k", now))
                .unwrap()
        };
        assert_eq!(find("token 1", at(86_399)), Some(kept.clone()));
        assert_eq!(find("token 1", at(86_400)), None);
        assert_eq!(find("token 2", at(1)), None);
    });
}
