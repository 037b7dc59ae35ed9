//! What the store adds to an enrollment: facts, reserve and complete, with fsync, 64 in flight.
//!
//! `cargo run --release -p tenure-store --example group -- [DIRECTORY] [ENROLLMENTS] [DEVICES]`
//! where DEVICES (each with two certificates) are in the store beforehand.

#[path = "../tests/fixture/fill.rs"]
mod fill;
#[path = "../tests/fixture/mod.rs"]
mod fixture;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use fixture::{House, actor, at, op, runtime};
use tenure_domain::TenantId;
use tenure_domain::draft::Draft;
use tenure_domain::facts::ReplayKey;
use tenure_store::certificate::{self, Check, Completed, Completion, Reservation};
use tenure_store::{Store, StoreError, device, pending, secret};
use tenure_x509::{KeyKind, KeyPair};

const IN_FLIGHT: usize = 64;

fn main() {
    let mut args = std::env::args().skip(1);
    let keep = args.next().filter(|path| path != "-");
    let enrollments: usize = args.next().map_or(5_000, |n| n.parse().unwrap());
    let devices: u64 = args.next().map_or(0, |n| n.parse().unwrap());
    let temporary = tempfile::tempdir().unwrap();
    let directory = keep
        .as_deref()
        .map_or(temporary.path(), std::path::Path::new);
    let runtime = runtime();
    if devices > 0 && !directory.join("tenure.db").exists() {
        runtime.block_on(async { House::new(directory).await.store.close() });
        let began = Instant::now();
        fill::fill(&directory.join("tenure.db"), devices, 2, fixture::START);
        println!(
            "filled {devices} devices in {:.1} s",
            began.elapsed().as_secs_f64()
        );
    }
    let began = Instant::now();
    let options = tenure_store::Options {
        write_cache_kib: args.next().map_or(32 * 1024, |n| n.parse().unwrap()),
        ..fixture::options()
    };
    let store = Store::open(directory, options).unwrap();
    let house = runtime.block_on(House::on(store));
    println!("opened in {:.3} s", began.elapsed().as_secs_f64());
    let prepared = runtime.block_on(prepare(&house, enrollments));
    println!("prepared {} drafts", prepared.len());
    measure(&runtime, &house.store, prepared, &house.key);
}

struct Prepared {
    name: String,
    key: KeyPair,
    draft: Arc<Draft>,
    signature: Vec<u8>,
}

async fn prepare(house: &House, count: usize) -> Vec<Prepared> {
    let mut salt = [0; 4];
    fixture::random(&mut salt);
    let run = u32::from_be_bytes(salt);
    let names: Vec<_> = (0..count).map(|n| format!("bench-{run}-{n}")).collect();
    for chunk in names.chunks(500) {
        let specs: Vec<_> = chunk.iter().map(|name| house.spec(name)).collect();
        let added = house.store.record(op(), move |tx| {
            specs
                .iter()
                .try_for_each(|spec| device::add(tx, spec, &actor(), at(1)).map(|_| ()))
        });
        added.await.unwrap();
    }
    let mut prepared = Vec::with_capacity(count);
    for name in names {
        let key = KeyPair::generate(KeyKind::P256).unwrap();
        let draft = house.draft(&house.find(&name), &key, None, at(10));
        let signature = house.key.sign(draft.tbs().as_der()).unwrap();
        prepared.push(Prepared {
            name,
            key,
            draft: Arc::new(draft),
            signature,
        });
    }
    prepared
}

fn facts(store: &Store, prepared: &Prepared) {
    let id = fixture::id(&prepared.name);
    store
        .peek::<_, StoreError>(|tx| {
            let device = device::by_id(tx, TenantId::DEFAULT, &id)?.unwrap();
            assert!(secret::of_device(tx, device.no)?.is_none());
            certificate::head(tx, device.no)?;
            certificate::key_use(tx, prepared.key.public().hash(), device.no)?;
            let replay = ReplayKey([3; 32]);
            pending::ruling(tx, replay)?;
            Ok(())
        })
        .unwrap();
}

fn measure(
    runtime: &tokio::runtime::Runtime,
    store: &Store,
    prepared: Vec<Prepared>,
    issuer: &KeyPair,
) {
    let count = prepared.len();
    let prepared = Arc::new(prepared);
    let (began, cpu) = (Instant::now(), cpu_ns());
    prepared.iter().for_each(|one| facts(store, one));
    report("facts, one after another", count, began, cpu);

    let (began, cpu) = (Instant::now(), cpu_ns());
    for one in prepared.iter() {
        let cert = one.draft.with_signature(&one.signature).unwrap();
        std::hint::black_box(tenure_x509::sha256(cert.der()));
    }
    report("parse and hash the certificate", count, began, cpu);

    let next = Arc::new(AtomicUsize::new(0));
    let key = issuer.public().clone();
    let (began, cpu) = (Instant::now(), cpu_ns());
    runtime.block_on(async {
        let mut tasks = Vec::new();
        for _ in 0..IN_FLIGHT {
            let (store, prepared) = (store.clone(), Arc::clone(&prepared));
            let (next, key) = (Arc::clone(&next), key.clone());
            tasks.push(tokio::spawn(async move {
                loop {
                    let turn = next.fetch_add(1, Ordering::Relaxed);
                    let Some(one) = prepared.get(turn) else { break };
                    enroll(&store, one, &key).await;
                }
            }));
        }
        for task in tasks {
            task.await.unwrap();
        }
    });
    report("facts, reserve, complete", count, began, cpu);
}

async fn enroll(store: &Store, one: &Prepared, key: &tenure_x509::PublicKey) {
    facts(store, one);
    let reservation = Reservation::new(Arc::clone(&one.draft), &actor(), at(11)).unwrap();
    let reserved = store
        .record(op(), move |tx| certificate::reserve(tx, &reservation))
        .await
        .unwrap();
    let signed = reserved
        .signed(one.signature.clone(), key, Check::Sample)
        .unwrap();
    let facts = "{\"evidence\":[\"secret\"],\"unproved\":[],\"device\":{\"id\":\"bench\",\
        \"class\":\"pump\",\"site\":\"Hall 1\",\"owner\":\"Ops\",\"services\":[\"scada\"],\
        \"standing\":\"expected\",\"version\":1,\"head\":null,\"forgiven\":0},\
        \"key_use\":null,\"ruling\":null}";
    let completion = Completion::new(signed, actor(), "est", facts.to_owned(), at(11)).unwrap();
    let completed = store
        .record::<_, StoreError, _>(op(), move |tx| certificate::complete(tx, &completion))
        .await
        .unwrap();
    assert!(matches!(completed, Completed::Released(_)));
}

fn report(what: &str, count: usize, began: Instant, cpu: Cpu) {
    let wall = began.elapsed().as_secs_f64();
    let now = cpu_ns();
    let each = |ns: u64| ns as f64 / 1000.0 / count as f64;
    let mut threads: Vec<String> = Vec::new();
    let mut all = 0;
    for (name, ns) in &now {
        let used = ns - cpu.get(name).copied().unwrap_or(0);
        all += used;
        if each(used) >= 0.5 {
            threads.push(format!("{name} {:.1}", each(used)));
        }
    }
    let (total, rate) = (each(all), count as f64 / wall);
    println!(
        "{what}: {total:.1} CPU-µs each ({}), {rate:.0}/s",
        threads.join(", ")
    );
}

type Cpu = std::collections::BTreeMap<String, u64>;

/// CPU time by name of thread.
fn cpu_ns() -> Cpu {
    let mut cpu = Cpu::new();
    for task in std::fs::read_dir("/proc/self/task").unwrap() {
        let path = task.unwrap().path();
        let read = |file| std::fs::read_to_string(path.join(file)).unwrap_or_default();
        let ns = read("schedstat")
            .split_whitespace()
            .next()
            .and_then(|n| n.parse().ok());
        *cpu.entry(read("comm").trim().to_owned()).or_default() += ns.unwrap_or(0);
    }
    cpu
}
