//! Lists and counts agree with each other, page by page.

use std::collections::BTreeSet;

use tenure_domain::TenantId;
use tenure_domain::certificate::{Revocation, Status};
use tenure_domain::device::Standing;
use tenure_store::view::{self, CertificateFilter, DeviceFilter, Ended, ListError};
use tenure_store::{StoreError, device, withdrawal};
use tenure_x509::Reason;

use crate::fixture::{House, actor, at, op, runtime, title};

const TENANT: TenantId = TenantId::DEFAULT;

async fn furnished(directory: &std::path::Path) -> House {
    let house = House::new(directory).await;
    for n in 0..12 {
        let mut spec = house.spec(&format!("pump-{n:02}"));
        spec.site = title(if n % 3 == 0 { "Hall 2" } else { "Hall 1" });
        spec.serial = format!("{}X", n * 7);
        spec.model = if n < 6 { "A-1" } else { "B-2" }.to_owned();
        spec.services = vec![title(if n % 2 == 0 { "scada" } else { "historian" })];
        house
            .store
            .record(op(), move |tx| {
                device::add(tx, &spec, &actor(), at(n)).map(|_| ())
            })
            .await
            .unwrap();
    }
    house
}

fn all(house: &House, filter: &DeviceFilter, size: usize) -> Vec<String> {
    let (mut ids, mut cursor) = (Vec::new(), None::<String>);
    loop {
        let page = house
            .store
            .glance(|tx| view::devices(tx, TENANT, filter, cursor.as_deref(), size))
            .unwrap();
        ids.extend(page.items.into_iter().map(|device| device.id.to_string()));
        cursor = page.next;
        if cursor.is_none() {
            return ids;
        }
    }
}

#[test]
fn every_page_size_gives_the_same_devices() {
    let directory = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let house = furnished(directory.path()).await;
        let filter = |change: fn(&mut DeviceFilter)| {
            let mut filter = DeviceFilter::default();
            change(&mut filter);
            filter
        };
        let cases = [
            (filter(|_| {}), 12),
            (filter(|f| f.site = Some("Hall 2".to_owned())), 4),
            (filter(|f| f.class = Some("pump".to_owned())), 12),
            (filter(|f| f.owner = Some("Ops".to_owned())), 12),
            (filter(|f| f.standing = Some(Standing::Expected)), 12),
            (filter(|f| f.standing = Some(Standing::Retired)), 0),
            (filter(|f| f.service = Some("historian".to_owned())), 6),
            (filter(|f| f.text = Some("pump-0".to_owned())), 10),
            (filter(|f| f.text = Some("A-".to_owned())), 6),
            (filter(|f| f.text = Some("7".to_owned())), 3),
            (filter(|f| f.text = Some("nothing".to_owned())), 0),
            (
                filter(|f| {
                    f.text = Some("B".to_owned());
                    f.site = Some("Hall 2".to_owned());
                }),
                2,
            ),
            (
                filter(|f| {
                    f.service = Some("scada".to_owned());
                    f.site = Some("Hall 2".to_owned());
                }),
                2,
            ),
        ];
        for (filter, count) in cases {
            let whole = all(&house, &filter, 100);
            assert_eq!(whole.len(), count, "{filter:?}: {whole:?}");
            assert_eq!(whole.iter().collect::<BTreeSet<_>>().len(), count);
            for size in [1, 2, 5] {
                assert_eq!(all(&house, &filter, size), whole, "{filter:?} by {size}");
            }
        }
        let nowhere = filter(|f| f.site = Some("Hall 77".to_owned()));
        let unknown = house
            .store
            .glance(|tx| view::devices(tx, TENANT, &nowhere, None, 5));
        assert!(matches!(
            unknown,
            Err(ListError::Unknown { noun: "site", .. })
        ));
        let everything = DeviceFilter::default();
        let bad = house
            .store
            .glance(|tx| view::devices(tx, TENANT, &everything, Some("x"), 5));
        assert_eq!(bad, Err(ListError::BadCursor));
    });
}

#[test]
fn counts_and_lists_of_certificates_agree() {
    let directory = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let house = furnished(directory.path()).await;
        let mut issued = Vec::new();
        for n in 0..8 {
            issued.push(
                house
                    .enroll(&format!("pump-{n:02}"), at(100 + n * 86_400))
                    .await,
            );
        }
        let renewed = house.renew(&issued[0], at(20 * 86_400)).await;
        for (n, certificate) in issued.iter().enumerate().skip(5) {
            let no = certificate.row.no;
            house
                .store
                .record::<_, StoreError, _>(op(), move |tx| {
                    let now = at(21 * 86_400);
                    if n < 7 {
                        return withdrawal::hold(tx, no, "lost", &actor(), now);
                    }
                    let reason = Reason::KeyCompromise;
                    let how = Revocation {
                        reason,
                        at: now,
                        invalidity: None,
                    };
                    withdrawal::revoke(tx, no, how, &actor())
                })
                .await
                .unwrap();
        }
        // A suspension that is over is not in the list of those that are open.
        let no = issued[1].row.no;
        house
            .store
            .record::<_, StoreError, _>(op(), move |tx| {
                withdrawal::hold(tx, no, "lost", &actor(), at(21 * 86_400))?;
                withdrawal::release(tx, no, &actor(), at(22 * 86_400))
            })
            .await
            .unwrap();
        let counts = house
            .store
            .glance(|tx| view::certificate_counts(tx, TENANT))
            .unwrap();
        let expected = [
            (Status::Issued, 5),
            (Status::Replaced, 1),
            (Status::Held, 2),
            (Status::Revoked, 1),
        ];
        assert_eq!(counts, expected.into_iter().collect());
        for (status, count) in expected {
            let filter = CertificateFilter {
                status: Some(status),
                ..Default::default()
            };
            for size in [1, 3, 50] {
                let (mut found, mut cursor) = (BTreeSet::new(), None::<String>);
                loop {
                    let page = house
                        .store
                        .glance(|tx| {
                            view::certificates(tx, TENANT, &filter, cursor.as_deref(), size)
                        })
                        .unwrap();
                    found.extend(page.items.iter().map(|row| row.no));
                    assert!(page.items.iter().all(|row| row.status == status));
                    cursor = page.next;
                    if cursor.is_none() {
                        break;
                    }
                }
                assert_eq!(found.len() as u64, count, "{status} by {size}");
            }
        }
        let later = at(95 * 86_400);
        let over = CertificateFilter {
            ended: Some((Ended::Yes, later)),
            ..Default::default()
        };
        let over = house
            .store
            .glance(|tx| view::certificates(tx, TENANT, &over, None, 50))
            .unwrap();
        assert!(over.items.iter().all(|row| row.validity.not_after < later));
        assert_eq!(over.items.len(), 5);

        let days = house
            .store
            .glance(|tx| view::ends_by_day(tx, TENANT, at(0), 200))
            .unwrap();
        assert_eq!(days.iter().map(|day| day.current).sum::<u64>(), 5);
        assert_eq!(days.iter().map(|day| day.all).sum::<u64>(), 8);
        let ending = house
            .store
            .glance(|tx| view::ending(tx, TENANT, at(0), at(300 * 86_400), None, 50))
            .unwrap();
        assert_eq!(ending.items.len(), 5);
        assert_eq!(ending.items.last().map(|row| row.no), Some(renewed.row.no));
        for size in [1, 2, 5] {
            let (mut found, mut cursor) = (Vec::new(), None::<String>);
            loop {
                let (from, until, cursor_now) = (at(0), at(300 * 86_400), cursor.as_deref());
                let page = house
                    .store
                    .glance(|tx| view::ending(tx, TENANT, from, until, cursor_now, size))
                    .unwrap();
                found.extend(page.items);
                cursor = page.next;
                if cursor.is_none() {
                    break;
                }
            }
            assert_eq!(found, ending.items, "by {size}");
        }
        let next = house
            .store
            .glance(|tx| view::next_ends(tx, TENANT, at(0)))
            .unwrap();
        assert_eq!(next, [(title("pump"), issued[1].row.validity.not_after)]);

        let devices = house
            .store
            .glance(|tx| view::device_counts(tx, TENANT))
            .unwrap();
        assert_eq!(devices.by_standing[&Standing::Enrolled], 8);
        assert_eq!(devices.by_standing[&Standing::Expected], 4);
        assert_eq!(devices.by_site[&title("Hall 2")].values().sum::<u64>(), 4);
    });
}
