//! How long each list and count takes on a large fleet.
//!
//! `cargo run --release -p tenure-store --example lists -- DIRECTORY [DEVICES]` fills the directory
//! first if it is empty, each device with two certificates.

#[path = "../tests/fixture/fill.rs"]
mod fill;
#[path = "../tests/fixture/mod.rs"]
mod fixture;

use std::path::Path;
use std::time::Instant;

use fixture::{House, at, id, runtime};
use tenure_domain::blast::Radius;
use tenure_domain::certificate::Status;
use tenure_domain::device::Standing;
use tenure_domain::{IssuerNo, OwnerNo, ServiceNo, SiteNo, TenantId};
use tenure_store::blast::{self, Centre};
use tenure_store::view::{self, CertificateFilter, DeviceFilter};
use tenure_store::{ReadTx, Store, StoreError, asof, certificate, device, registry, revocation};

const TENANT: TenantId = TenantId::DEFAULT;
const DAY: i64 = 86_400;

fn main() {
    let mut args = std::env::args().skip(1);
    let directory = args.next().expect("a directory");
    let directory = Path::new(&directory);
    let devices: u64 = args.next().map_or(1_000_000, |n| n.parse().unwrap());
    let runtime = runtime();
    if !directory.join("tenure.db").exists() {
        runtime.block_on(async { House::new(directory).await.store.close() });
        let began = Instant::now();
        fill::fill(&directory.join("tenure.db"), devices, 2, fixture::START);
        println!(
            "filled {devices} devices in {:.1} s",
            began.elapsed().as_secs_f64()
        );
    }
    let began = Instant::now();
    let store = fixture::open(directory).unwrap();
    println!("{:>9.2} ms  open", began.elapsed().as_secs_f64() * 1000.0);
    counts(&store);
    device_lists(&store);
    certificate_lists(&store);
    the_past(&store);
    statuses(&store);
    radii(&store);
    println!("resident: {} MB", resident_mb());
}

/// Prints the slowest of three.
fn timed<T>(
    store: &Store,
    what: &str,
    size: impl Fn(&T) -> usize,
    read: impl Fn(&ReadTx<'_>) -> T,
) {
    let (mut slowest, mut rows) = (0.0_f64, 0);
    for _ in 0..3 {
        let began = Instant::now();
        let value = store.glance::<_, StoreError>(|tx| Ok(read(tx))).unwrap();
        slowest = slowest.max(began.elapsed().as_secs_f64() * 1000.0);
        rows = size(&value);
    }
    println!("{slowest:>9.2} ms  {what} ({rows})");
}

fn counts(store: &Store) {
    timed(
        store,
        "devices counted",
        |c: &view::DeviceCounts| c.by_site.len(),
        |tx| view::device_counts(tx, TENANT).unwrap(),
    );
    timed(
        store,
        "certificates counted",
        |c: &std::collections::BTreeMap<_, _>| c.len(),
        |tx| view::certificate_counts(tx, TENANT).unwrap(),
    );
    timed(store, "ends by day, a year", Vec::len, |tx| {
        view::ends_by_day(tx, TENANT, at(0), 365).unwrap()
    });
    timed(store, "next end of each class", Vec::len, |tx| {
        view::next_ends(tx, TENANT, at(0)).unwrap()
    });
}

fn device_lists(store: &Store) {
    let text = |text: &str| DeviceFilter {
        text: Some(text.to_owned()),
        ..Default::default()
    };
    let busy = "Filled site 3".to_owned();
    let cases = [
        ("devices", DeviceFilter::default()),
        ("devices by id", text("dev-05")),
        ("devices by serial number", text("3F")),
        ("devices by model", text("M-17")),
        ("devices by nothing", text("zzz")),
        (
            "devices of a site",
            DeviceFilter {
                site: Some(busy.clone()),
                ..Default::default()
            },
        ),
        (
            "devices of a site, suspended",
            DeviceFilter {
                site: Some(busy),
                standing: Some(Standing::Suspended),
                ..Default::default()
            },
        ),
        (
            "devices of a class and an owner",
            DeviceFilter {
                class: Some("Filled class 3".to_owned()),
                owner: Some("Filled owner 7".to_owned()),
                ..Default::default()
            },
        ),
        (
            "devices by id, of another site",
            DeviceFilter {
                site: Some("Filled site 999".to_owned()),
                ..text("dev")
            },
        ),
    ];
    for (what, filter) in cases {
        timed(
            store,
            what,
            |page: &view::Page<_>| page.items.len(),
            |tx| view::devices(tx, TENANT, &filter, None, 50).unwrap(),
        );
    }
}

fn certificate_lists(store: &Store) {
    for status in [
        None,
        Some(Status::Issued),
        Some(Status::Revoked),
        Some(Status::Held),
    ] {
        let filter = CertificateFilter {
            status,
            ..Default::default()
        };
        let what = format!("certificates, {status:?}");
        timed(
            store,
            &what,
            |page: &view::Page<_>| page.items.len(),
            |tx| view::certificates(tx, TENANT, &filter, None, 50).unwrap(),
        );
    }
    timed(
        store,
        "certificates that end",
        |page: &view::Page<_>| page.items.len(),
        |tx| view::ending(tx, TENANT, at(-30 * DAY), at(30 * DAY), None, 50).unwrap(),
    );
    timed(
        store,
        "one shard's set",
        |n: &usize| *n,
        |tx| {
            let mut n = 0;
            revocation::for_each(tx, IssuerNo(1), Some(3), at(-90 * DAY), |_| {
                n += 1;
                Ok::<_, StoreError>(())
            })
            .unwrap();
            n
        },
    );
    timed(
        store,
        "an issuer's set",
        |n: &usize| *n,
        |tx| {
            let mut n = 0;
            revocation::for_each(tx, IssuerNo(1), None, at(-90 * DAY), |_| {
                n += 1;
                Ok::<_, StoreError>(())
            })
            .unwrap();
            n
        },
    );
}

fn the_past(store: &Store) {
    timed(
        store,
        "the fleet at a time",
        |c: &asof::CountsAt| c.active as usize,
        |tx| asof::fleet(tx, TENANT, at(-100 * DAY + 40_000)).unwrap(),
    );
    timed(
        store,
        "all sites at a time",
        |c: &asof::CountsAt| c.active as usize,
        |tx| {
            let site = registry::site::no(tx, TENANT, "Filled site 0")
                .unwrap()
                .unwrap();
            asof::site(tx, site, at(-100 * DAY)).unwrap()
        },
    );
    timed(store, "a device at a time", Vec::len, |tx| {
        let found = device::by_id(tx, TENANT, &id("dev-0012345"))
            .unwrap()
            .unwrap();
        asof::device(tx, found.no, at(-100 * DAY)).unwrap()
    });
}

fn radii(store: &Store) {
    let centres = [
        ("an issuer's radius", Centre::Issuers(vec![IssuerNo(1)])),
        ("a maker's radius", Centre::Manufacturer("Acme".to_owned())),
        ("a service's radius", Centre::Service(ServiceNo(3))),
        ("an owner's radius", Centre::Owner(OwnerNo(7))),
        ("a site's radius", Centre::Sites(vec![SiteNo(9)])),
    ];
    for (what, centre) in centres {
        timed(
            store,
            what,
            |radius: &Radius| radius.devices.devices as usize,
            |tx| blast::radius(tx, TENANT, &centre, at(0)).unwrap(),
        );
    }
}

fn statuses(store: &Store) {
    let rows = store
        .glance::<_, StoreError>(|tx| {
            let mut rows = Vec::new();
            for n in (0..2_000_000).step_by(397) {
                rows.extend(certificate::row(tx, tenure_domain::CertificateNo(n + 1))?);
            }
            Ok(rows)
        })
        .unwrap();
    for _ in 0..2 {
        let began = Instant::now();
        for row in &rows {
            store
                .glance(|tx| revocation::state(tx, row.issuer, &row.serial))
                .unwrap();
        }
        let each = began.elapsed().as_secs_f64() * 1e6 / rows.len() as f64;
        println!("{each:>9.2} µs  the state of one serial of {}", rows.len());
    }
}

fn resident_mb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok())
        .unwrap_or(0)
        / 1024
}
