use rusqlite::Connection;
use tenure_domain::blast::Exposure::{Exposed, Suspended, Withdrawn, Without};

use super::*;
use crate::{Create, Options, Store};

const NOW: i64 = 1_790_000_000;
const TENANT: TenantId = TenantId::DEFAULT;

/// Number, site, owner, class, criticality, services in words, maker, services.
type DeviceRow = (
    i64,
    i64,
    i64,
    i64,
    i64,
    &'static str,
    &'static str,
    &'static [i64],
);
/// Number, device, issuer, status, end, the one before, class, key.
type CertificateRow = (i64, i64, i64, i64, i64, i64, i64, u8);

/// Two issuers (1 and 2), two sites, two owners, two services, two makers, ten devices. Everything
/// is written down here, so that what follows can be checked by eye.
///
/// | device | site | owner | criticality | services | maker | certificates |
/// |---|---|---|---|---|---|---|
/// | 1 | 1 | 1 | safety | 1   | Acme | 1: issued by 1 |
/// | 2 | 1 | 1 | high   | 1 2 | Acme | 2: replaced, by 1; 3: issued by 2 |
/// | 3 | 1 | 2 | high   | 2   | Acme | 4: revoked, by 1; 5: issued by 2 |
/// | 4 | 2 | 2 | low    | –   | Bolt | 6: held, by 1 |
/// | 5 | 2 | 2 | low    | 1   | Bolt | 7: issued by 1, expired |
/// | 6 | 2 | 1 | medium | 2   | Bolt | 8: issued by 2 |
/// | 7 | 2 | 1 | medium | –   | Bolt | none |
/// | 8 | 1 | 1 | low    | –   | Acme | 9: voided, by 1 |
/// | 9 | 1 | 1 | low    | –   | Acme | 10: issued by 1, of the canaries' class |
/// | 10 | 2 | 2 | high  | 2   | Bolt | 11: revoked, by 1; expired; the key of certificate 1 |
struct Graph {
    store: Store,
    _directory: tempfile::TempDir,
}

impl Graph {
    fn new() -> Graph {
        let directory = tempfile::tempdir().unwrap();
        let options = || Options {
            create: Create::IfMissing,
            ..Options::default()
        };
        Store::open(directory.path(), options()).unwrap().close();
        let db = Connection::open(directory.path().join("tenure.db")).unwrap();
        db.execute_batch(
            "INSERT INTO owner VALUES (1, 1, 'Ann', '', x'00'), (2, 1, 'Ben', '', x'00');
             INSERT INTO site VALUES (1, 1, 'North', 0), (2, 1, 'South', 0);
             INSERT INTO class VALUES (1, 1, 'pump', 1, '{}');
             INSERT INTO issuer VALUES
               (1, 1, 'one', 2, x'00', '', 'one', 'ed25519', 1, 0, 3, 0, 0),
               (2, 1, 'two', 2, x'00', '', 'two', 'ed25519', 1, 0, 3, 0, 0);
             INSERT INTO service VALUES (1, 1, 'scada', ''), (2, 1, 'historian', '');",
        )
        .unwrap();
        let devices: [DeviceRow; 10] = [
            (1, 1, 1, 1, 4, "scada", "Acme", &[1]),
            (2, 1, 1, 1, 3, "scada;historian", "Acme", &[1, 2]),
            (3, 1, 2, 1, 3, "historian", "Acme", &[2]),
            (4, 2, 2, 1, 1, "", "Bolt", &[]),
            (5, 2, 2, 1, 1, "scada", "Bolt", &[1]),
            (6, 2, 1, 1, 2, "historian", "Bolt", &[2]),
            (7, 2, 1, 1, 2, "", "Bolt", &[]),
            (8, 1, 1, 1, 1, "", "Acme", &[]),
            (9, 1, 1, -1, 1, "", "Acme", &[]),
            (10, 2, 2, 1, 3, "historian", "Bolt", &[2]),
        ];
        let last = [1, 3, 5, 6, 7, 8, 0, 9, 10, 11];
        for ((no, site, owner, class, criticality, words, maker, services), last) in
            devices.into_iter().zip(last)
        {
            db.execute(
                "INSERT INTO device(no, tenant, version, standing, head, last_cert, last_event,
                   forgiven, class, site, owner, criticality, created, updated, id, manufacturer,
                   model, serial, services)
                 VALUES(?1, 1, 1, 2, ?2, ?2, 0, 0, ?3, ?4, ?5, ?6, 1, 1, ?7, ?8, 'M', ?7, ?9)",
                rusqlite::params![
                    no,
                    last,
                    class,
                    site,
                    owner,
                    criticality,
                    format!("d{no}"),
                    maker,
                    words
                ],
            )
            .unwrap();
            for service in services {
                db.execute("INSERT INTO device_service VALUES(?1, ?2)", [*service, no])
                    .unwrap();
            }
        }
        let (live, over) = (NOW + 1000, NOW - 1000);
        let certificates: [CertificateRow; 11] = [
            (1, 1, 1, 3, live, 0, 1, 77),
            (2, 2, 1, 4, live, 0, 1, 2),
            (3, 2, 2, 3, live, 2, 1, 3),
            (4, 3, 1, 6, live, 0, 1, 4),
            (5, 3, 2, 3, live, 4, 1, 5),
            (6, 4, 1, 5, live, 0, 1, 6),
            (7, 5, 1, 3, over, 0, 1, 7),
            (8, 6, 2, 3, live, 0, 1, 8),
            (9, 8, 1, 2, live, 0, 1, 9),
            (10, 9, 1, 3, live, 0, -1, 10),
            (11, 10, 1, 6, over, 0, 1, 77),
        ];
        for (no, device, issuer, status, end, prev, class, key) in certificates {
            let is_withdrawn = matches!(status, 2 | 5 | 6);
            db.execute(
                "INSERT INTO cert(no, tenant, device, issuer, status, nb, na, issued, replaced,
                   rev_at, reason, invalidity, shard, class, predecessor, prev, first_used,
                   standstill, reserved_event, serial_h, key_h, serial, predecessor_serial, key,
                   replay, profile)
                 VALUES(?1, 1, ?2, ?3, ?4, 1, ?5, 1, 0, ?6, 1, 0, 0, ?7, 0, ?8, 0, 0, 0, ?1, ?9,
                   x'01', NULL, ?10, x'00', 'device')",
                rusqlite::params![
                    no,
                    device,
                    issuer,
                    status,
                    end,
                    i64::from(is_withdrawn),
                    class,
                    prev,
                    key_prefix(&[key; 32]),
                    &[key; 32][..],
                ],
            )
            .unwrap();
        }
        // Token 5 touched devices 1 and 4, one of them twice, and a token.
        db.execute_batch(
            "INSERT INTO event(seq, tenant, at, kind, device, cert, prev, operation, leaf_hash, leaf)
             VALUES (1, 1, 1, 11, 1, 0, 0, x'00', x'00', x'00'),
                    (2, 1, 1, 11, 4, 0, 0, x'00', x'00', x'00'),
                    (3, 1, 1, 12, 4, 0, 0, x'00', x'00', x'00'),
                    (4, 1, 1, 63, 0, 0, 0, x'00', x'00', x'00'),
                    (5, 1, 1, 11, 2, 0, 0, x'00', x'00', x'00');
             INSERT INTO operator_event VALUES (5, 1), (5, 2), (5, 3), (5, 4), (6, 5);",
        )
        .unwrap();
        drop(db);
        Graph {
            store: Store::open(directory.path(), options()).unwrap(),
            _directory: directory,
        }
    }

    /// Counted by following chains and by walking over everything, which must be the same.
    fn radius(&self, centre: &Centre) -> Radius {
        let by = |few| {
            let read = |tx: &ReadTx<'_>| surveyed(tx, TENANT, centre, Time::from_unix(NOW), few);
            self.store.glance(read).unwrap()
        };
        let followed = by(FEW);
        assert_eq!(followed, by(0), "{centre:?}");
        followed
    }

    /// The devices as listed, one a page.
    fn listed(&self, centre: &Centre, filter: AffectedFilter) -> Vec<(String, Exposure, bool)> {
        let (mut found, mut cursor) = (Vec::new(), None::<String>);
        loop {
            let page = self.store.glance(|tx| {
                let place = (cursor.as_deref(), 1);
                let page = devices(tx, TENANT, centre, filter, place, Time::from_unix(NOW));
                page.map_err(|_| StoreError::Closed)
            });
            let page = page.unwrap();
            found.extend(page.items.into_iter().map(|one| {
                let id = one.device.id.to_string();
                (id, one.seen.exposure(), one.seen.goes_on())
            }));
            cursor = page.next;
            if cursor.is_none() {
                return found;
            }
        }
    }
}

fn counts(tally: &Tally) -> [u64; 7] {
    [
        tally.devices,
        tally.exposed,
        tally.suspended,
        tally.withdrawn,
        tally.without,
        tally.going_on,
        tally.cut_off,
    ]
}

type Listed = (&'static str, Exposure, bool);
type Expected = (Centre, Vec<Listed>, [u64; 4]);

/// Every centre there is, with what must come of it: the devices as they are listed, and the
/// certificates issued, replaced, held and revoked.
fn expected() -> Vec<Expected> {
    let north = vec![
        ("d1", Exposed, false),
        ("d2", Exposed, false),
        ("d3", Exposed, false),
        ("d8", Without, false),
    ];
    let south = vec![
        ("d4", Suspended, false),
        ("d5", Without, false),
        ("d6", Exposed, false),
        ("d7", Without, false),
        ("d10", Without, false),
    ];
    vec![
        (
            Centre::Issuers(vec![IssuerNo(1)]),
            vec![
                ("d1", Exposed, false),
                ("d2", Exposed, true),
                ("d3", Withdrawn, true),
                ("d4", Suspended, false),
            ],
            [1, 1, 1, 1],
        ),
        (
            Centre::Issuers(vec![IssuerNo(2)]),
            vec![
                ("d2", Exposed, true),
                ("d3", Exposed, false),
                ("d6", Exposed, false),
            ],
            [3, 0, 0, 0],
        ),
        (
            Centre::Issuers(vec![IssuerNo(1), IssuerNo(2)]),
            vec![
                ("d1", Exposed, false),
                ("d2", Exposed, false),
                ("d3", Exposed, false),
                ("d4", Suspended, false),
                ("d6", Exposed, false),
            ],
            [4, 1, 1, 1],
        ),
        (
            Centre::Key(KeyHash([77; 32])),
            vec![("d1", Exposed, false), ("d10", Withdrawn, false)],
            [1, 0, 0, 1],
        ),
        (
            Centre::Key(KeyHash([4; 32])),
            vec![("d3", Withdrawn, true)],
            [0, 0, 0, 1],
        ),
        (Centre::Key(KeyHash([10; 32])), vec![], [0, 0, 0, 0]),
        (
            Centre::Device(DeviceNo(2)),
            vec![("d2", Exposed, false)],
            [1, 1, 0, 0],
        ),
        (
            Centre::Operators(vec![OperatorNo(5)]),
            vec![("d1", Exposed, false), ("d4", Suspended, false)],
            [1, 0, 1, 0],
        ),
        (
            Centre::Manufacturer("Acme".to_owned()),
            north.clone(),
            [3, 1, 0, 1],
        ),
        (Centre::Sites(vec![SiteNo(1)]), north, [3, 1, 0, 1]),
        (Centre::Sites(vec![SiteNo(2)]), south, [1, 0, 1, 0]),
        (
            Centre::Owner(OwnerNo(1)),
            vec![
                ("d1", Exposed, false),
                ("d2", Exposed, false),
                ("d6", Exposed, false),
                ("d7", Without, false),
                ("d8", Without, false),
            ],
            [3, 1, 0, 0],
        ),
        (
            Centre::Service(ServiceNo(1)),
            vec![
                ("d1", Exposed, false),
                ("d2", Exposed, false),
                ("d5", Without, false),
            ],
            [2, 1, 0, 0],
        ),
    ]
}

/// Requirement R3: the radius of each kind of thing, exact on a graph. Leaves out: relying parties,
/// which the engine adds.
#[test]
fn r3_a_radius_is_exact_on_a_graph() {
    let graph = Graph::new();
    for (centre, devices, certificates) in expected() {
        let radius = graph.radius(&centre);
        let tally = radius.certificates;
        assert_eq!(
            [tally.issued, tally.replaced, tally.held, tally.revoked],
            certificates,
            "{centre:?}"
        );
        let listed = graph.listed(&centre, AffectedFilter::default());
        let named: Vec<_> = listed
            .iter()
            .map(|(id, exposure, on)| (id.as_str(), *exposure, *on))
            .collect();
        assert_eq!(named, devices, "{centre:?}");
        let count = |of: &dyn Fn(&(&str, Exposure, bool)) -> bool| {
            u64::try_from(devices.iter().filter(|one| of(one)).count()).unwrap()
        };
        let wanted = [
            count(&|_| true),
            count(&|one| one.1 == Exposed),
            count(&|one| one.1 == Suspended),
            count(&|one| one.1 == Withdrawn),
            count(&|one| one.1 == Without),
            count(&|one| one.2),
            count(&|one| one.1 != Exposed && !one.2),
        ];
        assert_eq!(counts(&radius.devices), wanted, "{centre:?}");
        let sum = |map: Vec<&Tally>| map.iter().map(|tally| tally.devices).sum::<u64>();
        for map in [
            sum(radius.by_class.values().collect()),
            sum(radius.by_site.values().collect()),
            sum(radius.by_owner.values().collect()),
            sum(radius.by_criticality.values().collect()),
        ] {
            assert_eq!(map, wanted[0], "{centre:?}");
        }
    }
}

#[test]
fn a_radius_names_services_issuers_and_deeds() {
    let graph = Graph::new();
    let one = graph.radius(&Centre::Issuers(vec![IssuerNo(1)]));
    let services: Vec<_> = one
        .by_service
        .iter()
        .map(|(name, tally)| (name.as_str(), tally.devices, tally.exposed))
        .collect();
    assert_eq!(services, [("historian", 2, 1), ("scada", 2, 2)]);
    assert_eq!(one.by_criticality[&Criticality::Safety].exposed, 1);
    let operator = graph.radius(&Centre::Operators(vec![OperatorNo(5)]));
    let acts: Vec<_> = operator.acts.into_iter().collect();
    assert_eq!(
        acts,
        [
            ("device-changed", 1),
            ("device-registered", 2),
            ("token-created", 1)
        ]
    );
    let issuers: Vec<_> = operator
        .by_issuer
        .keys()
        .map(|name| name.as_str())
        .collect();
    assert_eq!(issuers, ["one"]);
}

#[test]
fn a_list_of_a_radius_can_be_narrowed() {
    let graph = Graph::new();
    let centre = Centre::Issuers(vec![IssuerNo(1)]);
    let of = |exposure, criticality| {
        let filter = AffectedFilter {
            exposure,
            criticality,
        };
        let listed = graph.listed(&centre, filter).into_iter();
        listed.map(|(id, _, _)| id).collect::<Vec<_>>()
    };
    assert_eq!(of(Some(Exposed), None), ["d1", "d2"]);
    assert_eq!(of(None, Some(Criticality::High)), ["d2", "d3"]);
    assert_eq!(of(Some(Withdrawn), Some(Criticality::High)), ["d3"]);
    assert_eq!(of(Some(Withdrawn), Some(Criticality::Low)), [""; 0]);
}

/// No statement looks at more rows than it answers, but for the three that are meant to.
#[test]
fn every_statement_has_its_index() {
    let directory = tempfile::tempdir().unwrap();
    let options = Options {
        create: Create::IfMissing,
        ..Options::default()
    };
    Store::open(directory.path(), options).unwrap().close();
    let db = Connection::open(directory.path().join("tenure.db")).unwrap();
    for (name, text) in sql::ALL {
        let plan = crate::driver::explained(&db, "EXPLAIN QUERY PLAN", text, 3).join("; ");
        assert!(!plan.contains("TEMP B-TREE"), "{name}: {plan}");
        assert!(!plan.contains("SCAN"), "{name}: {plan}");
        if *name == "UNEXPIRED" {
            assert!(plan.contains("cert_end"), "{name}: {plan}");
        }
    }
}
