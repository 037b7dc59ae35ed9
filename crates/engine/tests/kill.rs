//! `kill -9` at each named step of enroll, renew, revoke, publish and seal, again and again on one
//! house. The child is this test binary run once more; it stops at the step and is killed there.

mod house;

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use house::{House, START, first_ask, issued, key_of, published, renewal};
use serde::{Deserialize, Serialize};
use tenure_domain::certificate::StatusChange;
use tenure_domain::ids::{CertificateNo, EventSeq};
use tenure_domain::operator::Actor;
use tenure_domain::{CertificateRow, Status};
use tenure_engine::ceremony::{self, FoundingKeys};
use tenure_engine::duty::integrate::{LOG_KEY, read_tile};
use tenure_engine::duty::publish::{List, crl_path};
use tenure_engine::signer::{Doors, Key};
use tenure_engine::store::{Options, Store, StoreError, certificate, device, event, log_state};
use tenure_engine::{Clock, Engine, RevokeAsk, Settings, Step, Target, Withdrawal};
use tenure_tlog::{Checkpoint, TilePath, consistency, verify_consistency};
use tenure_x509::crl::Crl;
use tenure_x509::{KeyKind, KeyPair, PublicKey, Reason, Serial, Time};

/// Names the plan to the child process.
const CHILD: &str = "TENURE_ENGINE_TEST_CHILD";
/// In each round each step is killed at its next occurrence; in the last, many stories run at once.
const ROUNDS: u32 = 3;
const DEVICES: usize = 3;
const SHARDS: u16 = 4;

/// What a child is to do, and where it is to die.
#[derive(Serialize, Deserialize)]
struct Plan {
    directory: String,
    step: usize,
    occurrence: u32,
    at_once: bool,
    now: i64,
    keys: Vec<(String, String)>,
    devices: Vec<Planned>,
    admin: Actor,
}

#[derive(Clone, Serialize, Deserialize)]
struct Planned {
    id: String,
    secret: String,
    first: String,
    second: String,
}

/// The keys of a house by name, as they would lie in its key directory.
struct Keys(Vec<(String, String)>);

fn doors(name: &str) -> Doors {
    match name {
        ceremony::ROOT | ceremony::ISSUING => Doors::ISSUER,
        LOG_KEY => Doors::LOG,
        ceremony::SERVER => Doors::TLS,
        _ => Doors::RESPONDER,
    }
}

fn pem(kind: KeyKind) -> String {
    KeyPair::generate(kind)
        .unwrap()
        .to_pem()
        .unwrap()
        .to_string()
}

impl Keys {
    fn new() -> Keys {
        let names = [
            ceremony::ROOT,
            ceremony::ISSUING,
            "ocsp-issuing-1",
            LOG_KEY,
            ceremony::SERVER,
        ];
        let kind = |name| match name {
            LOG_KEY => KeyKind::Ed25519,
            _ => KeyKind::P256,
        };
        Keys(names.map(|name| (name.to_owned(), pem(kind(name)))).into())
    }

    fn key(&self, name: &str) -> Key {
        let (_, pem) = self.0.iter().find(|(known, _)| known == name).unwrap();
        Key::in_memory(name, doors(name), KeyPair::from_pem(pem).unwrap())
    }

    fn open(&self, directory: &Path, clock: Clock) -> Engine {
        let store = Store::open(directory, Options::default()).unwrap();
        // The root's key is not at hand when a house is served.
        let served = self.0.iter().filter(|(name, _)| name != ceremony::ROOT);
        let keys: Vec<_> = served.map(|(name, _)| self.key(name)).collect();
        Engine::start(store, keys, directory, clock, Settings::default()).unwrap()
    }
}

fn revoking(serial: &Serial, admin: &Actor) -> RevokeAsk {
    RevokeAsk {
        actor: admin.clone(),
        target: Target::Certificate {
            issuer: None,
            serial: serial.clone(),
        },
        change: StatusChange::Revoke {
            reason: Reason::KeyCompromise,
            invalidity: None,
        },
    }
}

mod child {
    use super::*;

    static TARGET: OnceLock<(Step, u32)> = OnceLock::new();
    static SEEN: AtomicU32 = AtomicU32::new(0);

    /// Says that the step is reached and goes no further; the parent kills the process.
    fn stop_there(step: Step) {
        let (wanted, occurrence) = TARGET.get().unwrap();
        if step == *wanted && SEEN.fetch_add(1, Ordering::SeqCst) + 1 == *occurrence {
            println!("reached .");
            loop {
                std::thread::park();
            }
        }
    }

    /// One device's life: first certificate, second, and the end of it.
    async fn live(engine: &Engine, device: &Planned, admin: &Actor) {
        let key = |pem: &str| KeyPair::from_pem(pem).unwrap();
        let ask = first_ask(&device.id, &device.secret, &key(&device.first));
        let first = issued(engine.enroll(ask).await);
        println!("issued {} .", first.row.serial);
        let ask = renewal(&first.cert, &key(&device.second));
        let second = issued(engine.enroll(ask).await);
        println!("issued {} .", second.row.serial);
        engine
            .revoke(revoking(&second.row.serial, admin))
            .await
            .unwrap();
        println!("revoked {} .", second.row.serial);
    }

    async fn duties(engine: &Engine) {
        engine.integrate().await.unwrap();
        engine.publish().await.unwrap();
    }

    #[test]
    fn runs_until_it_is_killed() {
        let Ok(plan) = std::env::var(CHILD) else {
            return;
        };
        let plan: Plan = serde_json::from_slice(&std::fs::read(plan).unwrap()).unwrap();
        TARGET.set((Step::ALL[plan.step], plan.occurrence)).unwrap();
        let clock = Clock::standing(Time::from_unix(plan.now));
        // A step stops the thread that took it, and the others go on until the kill.
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(3)
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let engine = Keys(plan.keys).open(Path::new(&plan.directory), clock);
            engine.watch_steps(stop_there);
            if plan.at_once {
                let mut lives = tokio::task::JoinSet::new();
                for device in plan.devices {
                    let (engine, admin) = (engine.clone(), plan.admin.clone());
                    lives.spawn(async move { live(&engine, &device, &admin).await });
                }
                while !lives.is_empty() {
                    duties(&engine).await;
                    while lives.try_join_next().is_some() {}
                }
            } else {
                for device in &plan.devices {
                    live(&engine, device, &plan.admin).await;
                    duties(&engine).await;
                }
            }
            duties(&engine).await;
        });
        println!("finished .");
    }
}

/// What a child told before it was killed.
#[derive(Default)]
struct Told {
    issued: Vec<Serial>,
    revoked: Vec<Serial>,
}

/// Runs a child until it has reached its step, and kills it there.
fn run_and_kill(plan: &Plan, file: &Path) -> Told {
    std::fs::write(file, serde_json::to_vec(plan).unwrap()).unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child::runs_until_it_is_killed", "--nocapture"])
        .env(CHILD, file)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut told = Told::default();
    let mut take = |line: &str| {
        let words: Vec<_> = line.split(' ').collect();
        match words[..] {
            ["issued", serial, "."] => told.issued.push(Serial::parse_hex(serial).unwrap()),
            ["revoked", serial, "."] => told.revoked.push(Serial::parse_hex(serial).unwrap()),
            // The test harness prints its own words, before ours and on the same line.
            [.., "reached", "."] => return true,
            _ => {}
        }
        false
    };
    let step = Step::ALL[plan.step];
    loop {
        let Some(line) = lines.next() else {
            let mut said = String::new();
            let mut stderr = child.stderr.take().unwrap();
            stderr.read_to_string(&mut said).unwrap();
            panic!("{step:?} {} was not reached: {said}", plan.occurrence);
        };
        if take(&line.unwrap()) {
            break;
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
    // What it told while it was dying was acknowledged too.
    for line in lines.map_while(Result::ok) {
        take(&line);
    }
    told
}

/// What was ever acknowledged, by whomever.
#[derive(Default)]
struct Acknowledged {
    issued: BTreeSet<Serial>,
    revoked: BTreeSet<Serial>,
}

/// The released certificates of a device, oldest first.
fn of_device(house: &House, id: &str) -> Vec<CertificateRow> {
    let id = id.parse().unwrap();
    let tenant = house.engine.tenant();
    let read = |tx: &tenure_engine::store::ReadTx<'_>| {
        let device = device::by_id(tx, tenant, &id)?.unwrap();
        certificate::of_device(tx, device.no, usize::MAX)
    };
    let mut rows = house.engine.store().glance::<_, StoreError>(read).unwrap();
    rows.retain(|row| row.status != Status::Voided);
    rows.reverse();
    rows
}

/// Asks for everything that the device had not got yet, and again for what it may have got.
async fn finish(house: &House, device: &Planned, acknowledged: &mut Acknowledged) {
    let key = |pem: &str| KeyPair::from_pem(pem).unwrap();
    let rows = of_device(house, &device.id);
    let first = match rows.len() {
        0 | 1 => {
            let pair = key(&device.first);
            issued(house.enroll(&device.id, &device.secret, &pair).await)
        }
        _ => {
            let no = rows[0].no;
            let found = house.engine.store().glance(|tx| certificate::by_no(tx, no));
            std::sync::Arc::new(found.unwrap().unwrap())
        }
    };
    assert!(
        rows.first()
            .is_none_or(|row| row.serial == first.row.serial),
        "{} was given a second certificate for one ask",
        device.id
    );
    let second = match rows.get(1) {
        Some(row) if row.status == Status::Revoked => row.serial.clone(),
        known => {
            let asked = house.renew(&first.cert, &key(&device.second)).await;
            let serial = issued(asked).row.serial.clone();
            assert!(
                known.is_none_or(|row| row.serial == serial),
                "{}",
                device.id
            );
            serial
        }
    };
    let ask = revoking(&second, &house.admin);
    let Withdrawal { certificates, .. } = house.engine.revoke(ask).await.unwrap();
    assert_eq!(certificates[0].status, Status::Revoked);
    let after = of_device(house, &device.id);
    let held: Vec<_> = after.iter().map(|row| (&row.serial, row.status)).collect();
    assert_eq!(
        held,
        [
            (&first.row.serial, Status::Replaced),
            (&second, Status::Revoked)
        ],
        "{}",
        device.id
    );
    acknowledged
        .issued
        .extend([first.row.serial.clone(), second.clone()]);
    acknowledged.revoked.insert(second);
}

/// The record and the certificates tell the same story.
fn check_rows(house: &House, acknowledged: &Acknowledged) -> Vec<CertificateRow> {
    let store = house.engine.store();
    let events = store
        .glance(|tx| event::after(tx, EventSeq(0), u32::MAX))
        .unwrap();
    let of_kind = |kind: &str| -> Vec<_> {
        let of_kind = events.iter().filter(|event| event.kind == kind);
        of_kind.map(|event| event.certificate.unwrap()).collect()
    };
    let reserved: BTreeSet<_> = of_kind("certificate-reserved").into_iter().collect();
    let voided: BTreeSet<_> = of_kind("certificate-voided").into_iter().collect();
    let released = of_kind("certificate-issued");
    let released_once: BTreeSet<_> = released.iter().copied().collect();
    assert_eq!(released.len(), released_once.len(), "issued twice");
    assert!(released_once.is_subset(&reserved), "issued, never reserved");
    assert!(
        voided.is_disjoint(&released_once),
        "voided after its release"
    );
    // Nothing is left in between: whoever holds a reservation has asked again or was given up.
    let settled: BTreeSet<_> = voided.union(&released_once).copied().collect();
    assert_eq!(reserved, settled, "reservations that nobody settled");

    let row = |no: &CertificateNo| store.glance(|tx| certificate::row(tx, *no)).unwrap();
    let rows: Vec<_> = reserved
        .iter()
        .map(|no| row(no).expect("its row"))
        .collect();
    let serials: BTreeSet<_> = rows.iter().map(|row| row.serial.clone()).collect();
    assert_eq!(serials.len(), rows.len(), "a serial appears twice");
    for serial in &acknowledged.issued {
        let row = rows.iter().find(|row| row.serial == *serial);
        let row = row.unwrap_or_else(|| panic!("{serial} was acknowledged and is lost"));
        assert!(released_once.contains(&row.no), "{serial} has no event");
        let found = store.glance(|tx| certificate::by_no(tx, row.no)).unwrap();
        assert_eq!(found.unwrap().cert.serial(), serial);
    }
    let revoked = of_kind("certificate-revoked");
    for serial in &acknowledged.revoked {
        let row = rows.iter().find(|row| row.serial == *serial).unwrap();
        assert_eq!(row.status, Status::Revoked, "{serial} is no longer revoked");
        assert!(
            revoked.contains(&row.no),
            "{serial} was revoked without an event"
        );
    }
    // And the other way round: no certificate without its event.
    for row in &rows {
        let told = match row.status {
            Status::Voided => voided.contains(&row.no),
            _ => released_once.contains(&row.no),
        };
        assert!(told, "{} is {:?} without an event", row.serial, row.status);
    }
    rows
}

/// Each list names what is withdrawn, and its number never goes back.
fn check_lists(house: &House, rows: &[CertificateRow], numbers: &mut [u64]) {
    let issuers = house.engine.snapshot();
    let issuer = issuers.issuers.last().unwrap();
    let lists = (0..SHARDS).map(List::Shard).chain([List::Full]);
    for (list, last) in lists.zip(numbers) {
        let crl = read_list(house.directory.path(), list);
        crl.verify(issuer.public_key()).unwrap();
        assert!(crl.number().unwrap() >= *last, "{list:?}");
        *last = crl.number().unwrap();
        let of_list = rows.iter().filter(|row| match list {
            List::Shard(shard) => row.shard == shard && row.issuer == issuer.no,
            List::Full => row.issuer == issuer.no,
        });
        for row in of_list {
            let listed = crl.find(&row.serial).unwrap().is_some();
            let withdrawn = matches!(row.status, Status::Revoked | Status::Voided);
            assert_eq!(
                listed, withdrawn,
                "{} in {list:?}: {:?}",
                row.serial, row.status
            );
        }
    }
}

fn read_list(directory: &Path, list: List) -> Crl {
    let der = std::fs::read(crl_path(directory, ceremony::ISSUING, list)).unwrap();
    Crl::from_der(&der).unwrap()
}

/// Whatever is published now must contain what was published before.
fn grown(store: &Store, directory: &Path, origin: &str, key: &PublicKey, seen: &mut Checkpoint) {
    let now = published(store, directory, origin, key);
    let read = |path: &TilePath| read_tile(directory, path);
    let proof = consistency(seen.size(), now.size(), read).unwrap();
    let (old, new) = (seen.root(), now.root());
    verify_consistency(seen.size(), old, now.size(), new, &proof).unwrap();
    *seen = now;
}

#[test]
fn nothing_acknowledged_is_lost_by_a_kill_at_any_named_step() {
    if std::env::var(CHILD).is_ok() {
        return;
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let beside = tempfile::tempdir().unwrap();
    let keys = Keys::new();
    let mut house = runtime.block_on(House::found_on(FoundingKeys {
        root: keys.key(ceremony::ROOT),
        issuing: keys.key(ceremony::ISSUING),
        responder: keys.key("ocsp-issuing-1"),
        log: keys.key(LOG_KEY),
        server: keys.key(ceremony::SERVER),
    }));
    let log_key = key_of(&house, LOG_KEY);
    let origin = house
        .engine
        .store()
        .glance(log_state)
        .unwrap()
        .unwrap()
        .origin;
    let store = house.engine.store();
    let mut seen = published(store, house.directory.path(), &origin, &log_key);
    let mut acknowledged = Acknowledged::default();
    let mut numbers = [0; SHARDS as usize + 1];
    let mut now = START;
    for round in 1..=ROUNDS {
        for step in 0..Step::ALL.len() {
            now = now.plus(1_000);
            house.clock.move_to(now);
            let mut devices = Vec::new();
            for n in 0..DEVICES {
                let id = format!("pump-{round}-{step}-{n}");
                runtime.block_on(house.device(&id));
                devices.push(Planned {
                    secret: runtime.block_on(house.secret(&id)),
                    id,
                    first: pem(KeyKind::P256),
                    second: pem(KeyKind::P256),
                });
            }
            let House {
                directory,
                engine,
                clock,
                root,
                admin,
            } = house;
            engine.store().close();
            drop(engine);
            let at_once = round == ROUNDS;
            let plan = Plan {
                directory: directory.path().to_str().unwrap().to_owned(),
                step,
                occurrence: if at_once { 1 } else { round },
                at_once,
                now: now.unix(),
                keys: keys.0.clone(),
                devices: devices.clone(),
                admin: admin.clone(),
            };
            let told = run_and_kill(&plan, &beside.path().join("plan.json"));
            acknowledged.issued.extend(told.issued);
            acknowledged.revoked.extend(told.revoked);
            // What lies there now is what the world could have fetched a moment ago.
            let store = Store::open(directory.path(), Options::default()).unwrap();
            grown(&store, directory.path(), &origin, &log_key, &mut seen);
            store.close();
            drop(store);

            now = now.plus(1_000);
            clock.move_to(now);
            let engine = keys.open(directory.path(), clock.clone());
            house = House {
                directory,
                engine,
                clock,
                root,
                admin,
            };
            for device in &devices {
                runtime.block_on(finish(&house, device, &mut acknowledged));
            }
            runtime.block_on(house.engine.prune()).unwrap();
            runtime.block_on(house.engine.publish()).unwrap();
            runtime.block_on(house.engine.integrate()).unwrap();
            let rows = check_rows(&house, &acknowledged);
            check_lists(&house, &rows, &mut numbers);
            let store = house.engine.store();
            grown(store, house.directory.path(), &origin, &log_key, &mut seen);
        }
    }
    let lives = Step::ALL.len() * ROUNDS as usize * DEVICES;
    assert_eq!(acknowledged.issued.len(), 2 * lives);
    assert_eq!(acknowledged.revoked.len(), lives);
    let last = house.engine.store().glance(event::last).unwrap().unwrap();
    assert_eq!(seen.size(), u64::try_from(last.0.0).unwrap());
}
