//! `kill -9` in the middle of enrollments: whatever was acknowledged is there, whole.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};
use std::sync::Arc;

use tenure_domain::EventSeq;
use tenure_domain::certificate::Status;
use tenure_store::{StoreError, certificate, event};
use tenure_x509::Serial;

use crate::fixture::{House, actor, at, op, runtime};

/// Names the directory to the child process, which is this test binary run again.
const CHILD: &str = "TENURE_STORE_TEST_CHILD";
const ROUNDS: usize = 4;
const DEVICES: usize = 24;

/// The child: enrolls without end and prints each serial after it was acknowledged.
#[test]
fn child_enrolls_until_it_is_killed() {
    let Ok(directory) = std::env::var(CHILD) else {
        return;
    };
    let runtime = runtime();
    let house = Arc::new(runtime.block_on(House::new(std::path::Path::new(&directory))));
    runtime.block_on(async {
        let mut tasks = Vec::new();
        for n in 0..DEVICES {
            let house = Arc::clone(&house);
            tasks.push(tokio::spawn(async move {
                let name = format!("pump-{n}");
                let now = house.store.last_recorded().unix() - crate::fixture::START;
                for _ in 0.. {
                    let issued = house.enroll(&name, at(now)).await;
                    println!("acknowledged {}", issued.row.serial);
                }
            }));
        }
        for task in tasks {
            task.await.unwrap();
        }
    });
}

#[test]
fn nothing_acknowledged_is_lost_by_a_kill() {
    if std::env::var(CHILD).is_ok() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let house = House::new(directory.path()).await;
        for n in 0..DEVICES {
            house.device(&format!("pump-{n}")).await;
        }
        house.store.close();
    });
    let mut acknowledged = BTreeSet::new();
    for round in 0..ROUNDS {
        acknowledged.extend(run_and_kill(directory.path(), 20 + 30 * round));
        check(directory.path(), &acknowledged);
    }
    assert!(acknowledged.len() >= ROUNDS * 20);
}

/// Runs a child until it has acknowledged so many certificates, then kills it.
fn run_and_kill(directory: &std::path::Path, after: usize) -> Vec<Serial> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "kill::child_enrolls_until_it_is_killed",
            "--nocapture",
        ])
        .env(CHILD, directory)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut serials = Vec::new();
    let mut take = |line: String| {
        // The test harness may print its own words before the first.
        if let Some((_, serial)) = line.split_once("acknowledged ")
            && let Ok(serial) = Serial::parse_hex(serial.trim())
        {
            serials.push(serial);
        }
        serials.len()
    };
    loop {
        let Some(line) = lines.next() else {
            let mut said = String::new();
            child
                .stderr
                .take()
                .unwrap()
                .read_to_string(&mut said)
                .unwrap();
            panic!("the child ended by itself: {said}");
        };
        if take(line.unwrap()) > after {
            break;
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
    // What it wrote before it died was acknowledged too; a torn last line was not.
    let rest: Vec<_> = lines.map_while(Result::ok).collect();
    let whole = rest.len().saturating_sub(1);
    for line in rest.into_iter().take(whole) {
        take(line);
    }
    serials
}

fn check(directory: &std::path::Path, acknowledged: &BTreeSet<Serial>) {
    let runtime = runtime();
    let house = runtime.block_on(House::new(directory));
    let open = house
        .store
        .glance(|tx| certificate::stale_reservations(tx, at(1 << 30), u32::MAX))
        .unwrap();
    for reservation in open {
        runtime
            .block_on(house.store.record::<_, StoreError, _>(op(), move |tx| {
                let now = tenure_x509::Time::from_unix(0);
                certificate::void(tx, &reservation, "killed", &actor(), now)
            }))
            .unwrap();
    }
    house
        .store
        .glance::<_, StoreError>(|tx| {
            let events = event::after(tx, EventSeq(0), u32::MAX)?;
            assert!(
                events
                    .iter()
                    .zip(1..)
                    .all(|(event, seq)| event.seq.0 == seq)
            );
            let of_kind = |kind: &'static str| -> Vec<_> {
                events
                    .iter()
                    .filter(|event| event.kind == kind)
                    .map(|e| e.certificate)
                    .collect()
            };
            let issued = of_kind("certificate-issued");
            let reserved: BTreeSet<_> = of_kind("certificate-reserved").into_iter().collect();
            assert!(issued.iter().all(|no| reserved.contains(no)));
            let mut serials = BTreeSet::new();
            for no in issued.into_iter().flatten() {
                let found = certificate::by_no(tx, no)?.expect("an event without its certificate");
                assert_eq!(found.cert.serial(), &found.row.serial);
                assert!(serials.insert(found.row.serial), "a serial twice");
            }
            for serial in acknowledged {
                assert!(
                    serials.contains(serial),
                    "{serial} was acknowledged and is lost"
                );
            }
            for n in 0..DEVICES {
                let device = house.find(&format!("pump-{n}"));
                let rows = certificate::of_device(tx, device.no, usize::MAX)?;
                let live = rows
                    .iter()
                    .filter(|row| row.status == Status::Issued)
                    .count();
                assert!(live <= 1, "two active heads");
            }
            Ok(())
        })
        .unwrap();
    house.store.close();
}
