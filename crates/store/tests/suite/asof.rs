//! What was true at a time: the fast answers against a naive replay.

use std::collections::BTreeMap;

use tenure_domain::certificate::Revocation;
use tenure_domain::device::Standing;
use tenure_domain::{CertificateNo, DeviceNo, TenantId};
use tenure_store::asof::{self, CountsAt, StateAt};
use tenure_store::certificate::Certificate;
use tenure_store::view::ListError;
use tenure_store::{StoreError, device, registry, withdrawal};
use tenure_x509::{Reason, Time};

use crate::fixture::{House, actor, at, op, runtime, title};

/// By device, its certificates from the oldest on.
type States = BTreeMap<i64, Vec<(String, StateAt)>>;

struct Story {
    house: House,
    heads: BTreeMap<String, Certificate>,
    /// After each step: when it was, and what each device's certificates were then.
    seen: Vec<(Time, States)>,
}

impl Story {
    async fn withdraw(&self, no: CertificateNo, step: u64, now: Time, bad: Option<Time>) {
        self.house
            .store
            .record::<_, StoreError, _>(op(), move |tx| {
                tx.excuse("it may be so already");
                match step {
                    0 => withdrawal::hold(tx, no, "test", &actor(), now),
                    1 => withdrawal::release(tx, no, &actor(), now),
                    _ => {
                        let reason = Reason::KeyCompromise;
                        let how = Revocation {
                            reason,
                            at: now,
                            invalidity: bad,
                        };
                        withdrawal::revoke(tx, no, how, &actor())
                    }
                }
            })
            .await
            .unwrap();
    }

    fn states(&self, now: Time) -> States {
        let mut all = BTreeMap::new();
        for head in self.heads.values() {
            let device = head.row.device;
            let rows = self
                .house
                .store
                .glance(|tx| asof::device(tx, device, now))
                .unwrap();
            let states = rows
                .into_iter()
                .rev()
                .map(|(row, s)| (row.serial.to_string(), s));
            all.insert(device.0, states.collect());
        }
        all
    }

    fn counts(states: &States) -> CountsAt {
        let mut counts = CountsAt::default();
        for (_, state) in states.values().flatten() {
            match state {
                StateAt::Active => counts.active += 1,
                StateAt::Expired => counts.expired += 1,
                StateAt::Held => counts.held += 1,
                StateAt::Revoked => counts.revoked += 1,
            }
        }
        counts
    }
}

/// Numbers that look random and are the same every time (splitmix64).
fn roll(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

async fn tell(directory: &std::path::Path, mut dice: u64) -> Story {
    let house = House::new(directory).await;
    let mut story = Story {
        house,
        heads: BTreeMap::new(),
        seen: Vec::new(),
    };
    let mut now = 100;
    for n in 0..4 {
        let name = format!("pump-{n}");
        story.house.device(&name).await;
        let issued = story.house.enroll(&name, at(now)).await;
        story.heads.insert(name, issued);
    }
    for _ in 0..40 {
        now += 1 + (roll(&mut dice) % (6 * 86_400)) as i64;
        let name = format!("pump-{}", roll(&mut dice) % 4);
        let head = story.heads[&name].clone();
        match roll(&mut dice) % 6 {
            0..=2 => {
                // A new start: it works whatever the state of the one before.
                let issued = story.house.enroll(&name, at(now)).await;
                story.heads.insert(name, issued);
            }
            action => story.withdraw(head.row.no, action - 3, at(now), None).await,
        }
        let states = story.states(at(now));
        story.seen.push((at(now), states));
    }
    story
}

#[test]
fn the_past_is_answered_as_it_was_seen_then() {
    for seed in [1, 2, 3] {
        let directory = tempfile::tempdir().unwrap();
        runtime().block_on(async {
            let story = tell(directory.path(), seed).await;
            let mut kinds = CountsAt::default();
            for (then, seen) in &story.seen {
                assert_eq!(&story.states(*then), seen, "as now known about {then}");
                let counts = Story::counts(seen);
                let fleet = story
                    .house
                    .store
                    .glance(|tx| asof::fleet(tx, TenantId::DEFAULT, *then))
                    .unwrap();
                assert_eq!(fleet, counts, "the fleet at {then}");
                let hall = story
                    .house
                    .store
                    .glance::<_, StoreError>(|tx| {
                        let site = registry::site::no(tx, TenantId::DEFAULT, "Hall 1")?.unwrap();
                        asof::site(tx, site, *then)
                    })
                    .unwrap();
                assert_eq!(hall, counts, "the site at {then}");
                let listed = story
                    .house
                    .store
                    .glance::<_, ListError>(|tx| {
                        let site = registry::site::no(tx, TenantId::DEFAULT, "Hall 1")?.unwrap();
                        let all = asof::site_list(tx, site, *then, None, usize::MAX)?;
                        let (mut paged, mut last) = (Vec::new(), None);
                        loop {
                            let few = asof::site_list(tx, site, *then, last, 3)?;
                            let Some((row, _)) = few.last() else { break };
                            last = Some(row.no);
                            paged.extend(few);
                        }
                        assert_eq!(paged, all, "the list at {then}");
                        let none = asof::site_list(tx, site, *then, Some(CertificateNo(-1)), 3);
                        assert!(matches!(none, Err(ListError::BadCursor)));
                        Ok(all)
                    })
                    .unwrap();
                let mut one_by_one: BTreeMap<StateAt, u64> = BTreeMap::new();
                for (_, state) in listed {
                    *one_by_one.entry(state).or_default() += 1;
                }
                let of = |state| one_by_one.get(&state).copied().unwrap_or(0);
                assert_eq!(counts.active, of(StateAt::Active), "the list at {then}");
                assert_eq!(counts.expired, of(StateAt::Expired), "the list at {then}");
                assert_eq!(counts.held, of(StateAt::Held), "the list at {then}");
                assert_eq!(counts.revoked, of(StateAt::Revoked), "the list at {then}");
                for (device, states) in seen {
                    let told = story
                        .house
                        .store
                        .glance(|tx| asof::known(tx, DeviceNo(*device), *then))
                        .unwrap();
                    let told: Vec<_> = told.into_iter().map(|t| (t.serial, t.state)).collect();
                    assert_eq!(&told, states, "as known at {then}");
                }
                kinds.active += counts.active;
                kinds.held += counts.held;
                kinds.revoked += counts.revoked;
                kinds.expired += counts.expired;
            }
            assert!(kinds.active > 0 && kinds.held > 0 && kinds.revoked > 0 && kinds.expired > 0);
        });
    }
}

#[test]
fn a_back_dated_compromise_changes_only_what_is_now_known() {
    let directory = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let house = House::new(directory.path()).await;
        house.device("pump-1").await;
        let issued = house.enroll("pump-1", at(100)).await;
        let story = Story {
            house,
            heads: BTreeMap::new(),
            seen: Vec::new(),
        };
        story
            .withdraw(issued.row.no, 2, at(5000), Some(at(1000)))
            .await;
        let device = issued.row.device;
        for (then, known, now_known) in [
            (500, StateAt::Active, StateAt::Active),
            (2000, StateAt::Active, StateAt::Revoked),
            (6000, StateAt::Revoked, StateAt::Revoked),
        ] {
            let store = &story.house.store;
            let told = store
                .glance(|tx| asof::known(tx, device, at(then)))
                .unwrap();
            assert_eq!(told[0].state, known, "as known at {then}");
            let rows = store
                .glance(|tx| asof::device(tx, device, at(then)))
                .unwrap();
            assert_eq!(rows[0].1, now_known, "as now known about {then}");
        }
    });
}

#[test]
fn a_device_counts_where_it_stood_then() {
    let directory = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let house = House::new(directory.path()).await;
        house.device("pump-1").await;
        house.enroll("pump-1", at(100)).await;
        let mut spec = house.spec("pump-1");
        spec.site = title("Hall 2");
        let no = house.find("pump-1").no;
        house
            .store
            .record(op(), move |tx| {
                device::edit(tx, &spec, &actor(), at(1000)).map(|_| ())
            })
            .await
            .unwrap();
        let at_site = |name: &str, then| {
            house
                .store
                .glance::<_, StoreError>(|tx| {
                    let site = registry::site::no(tx, TenantId::DEFAULT, name)?.unwrap();
                    Ok(asof::site(tx, site, at(then))?.active)
                })
                .unwrap()
        };
        assert_eq!((at_site("Hall 1", 500), at_site("Hall 2", 500)), (1, 0));
        assert_eq!((at_site("Hall 1", 1000), at_site("Hall 2", 1000)), (0, 1));
        let places = house.store.glance(|tx| device::places(tx, no)).unwrap();
        assert_eq!(places.len(), 2);
        assert_eq!(house.find("pump-1").standing, Standing::Enrolled);
    });
}
