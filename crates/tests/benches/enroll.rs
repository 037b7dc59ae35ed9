//! How many enrollments a second the engine makes, beside the cryptographic limit of the same run.
//!
//! `cargo bench -p tenure-tests --bench enroll [-- ENROLLMENTS]`. Each enrollment is whole: the
//! request is parsed and its signature checked, policy decides, the serial and bytes are reserved
//! (fsync), the certificate is signed, and it is completed with its event (fsync); 64 are in flight
//! and the record is sealed meanwhile. The limit is what both cores do of nothing but "verify one
//! P-256 request and make one P-256 signature". Figures are printed, never asserted.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tenure_domain::ask::{Ask, Operation, Presented, PresentedSecret, Protocol, Via};
use tenure_domain::change::Change;
use tenure_domain::device::{Criticality, DeviceSpec};
use tenure_domain::operator::{Actor, Role};
use tenure_domain::policy::document;
use tenure_domain::registry::{Class, Owner, Service, Site};
use tenure_domain::{OperatorNo, TenantId};
use tenure_engine::ceremony::{self, Founding, FoundingKeys};
use tenure_engine::signer::{Doors, Key};
use tenure_engine::store::{Create, Options, Store};
use tenure_engine::{Answer, Changed, Clock, Engine};
use tenure_x509::{Csr, KeyKind, KeyPair, Name, SanName};

const IN_FLIGHT: usize = 64;

fn main() {
    let wanted = std::env::args().skip(1).find_map(|arg| arg.parse().ok());
    let enrollments: usize = wanted.unwrap_or(20_000);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let directory = tempfile::tempdir().expect("a directory");
    let engine = runtime.block_on(found(directory.path()));
    let duties = runtime.block_on(async { engine.start_duties() });
    let requests = runtime.block_on(prepare(&engine, enrollments));
    let limit = limit(&requests[0].csr);
    let (rate, cpu_us) = runtime.block_on(measure(&engine, requests));
    println!("limit: {limit:.0}/s (verify one P-256 request, make one P-256 signature, 2 threads)");
    println!(
        "engine: {rate:.0} enrollments/s, {cpu_us:.0} µs of CPU each, {IN_FLIGHT} in flight, fsync \
         and record on, empty store at the start, {enrollments} enrollments"
    );
    println!("ratio: {:.2}", rate / limit);
    runtime.block_on(duties.stop(&engine));
}

fn key(name: &str, doors: Doors, kind: KeyKind) -> Key {
    Key::in_memory(name, doors, KeyPair::generate(kind).expect("a key"))
}

async fn found(directory: &std::path::Path) -> Engine {
    let options = Options {
        create: Create::IfMissing,
        ..Options::default()
    };
    let store = Store::open(directory, options).expect("a store");
    let keys = FoundingKeys {
        root: key(ceremony::ROOT, Doors::ISSUER, KeyKind::P256),
        issuing: key(ceremony::ISSUING, Doors::ISSUER, KeyKind::P256),
        responder: key("ocsp-issuing-1", Doors::RESPONDER, KeyKind::P256),
        log: key("log", Doors::LOG, KeyKind::Ed25519),
        server: key(ceremony::SERVER, Doors::TLS, KeyKind::P256),
    };
    let founding = Founding {
        name: "Acme Plant".parse().expect("a name"),
        public_url: "http://127.0.0.1:8080".to_owned(),
        hosts: vec![SanName::Dns("localhost".to_owned())],
        policy: document::DEFAULT_DOCUMENT.to_owned(),
        shards: 16,
    };
    let clock = Clock::system();
    let founded = ceremony::found(store, directory, clock, keys, founding)
        .await
        .expect("a house");
    let engine = founded.engine;
    let class = Class::new(
        "pump".parse().expect("a name"),
        "device".parse().expect("a name"),
    );
    for change in [
        Change::PutOwner(Owner {
            name: "Hydraulics".parse().expect("a name"),
            contact: String::new(),
        }),
        Change::PutSite(Site {
            name: "Hall 3".parse().expect("a name"),
            parent: None,
        }),
        Change::PutService(Service {
            name: "broker".parse().expect("a name"),
            address: String::new(),
        }),
        Change::PutClass(class),
    ] {
        engine.change(&admin(), change).await.expect("a change");
    }
    engine
}

fn admin() -> Actor {
    Actor::Operator {
        name: "admin".to_owned(),
        no: OperatorNo(1),
        role: Role::Admin,
    }
}

struct Request {
    device: String,
    secret: String,
    csr: Vec<u8>,
}

async fn prepare(engine: &Engine, count: usize) -> Vec<Request> {
    let requests = spread(engine, count, |engine, no| async move {
        let device = format!("pump-{no}");
        let spec = DeviceSpec {
            id: device.parse().expect("an id"),
            manufacturer: "Acme".into(),
            model: "P1".into(),
            serial: format!("SN-{no}"),
            class: "pump".parse().expect("a name"),
            site: "Hall 3".parse().expect("a name"),
            owner: "Hydraulics".parse().expect("a name"),
            services: vec!["broker".parse().expect("a name")],
            criticality: Criticality::Medium,
        };
        engine
            .change(&admin(), Change::AddDevice(spec))
            .await
            .expect("a device");
        let id = device.parse().expect("an id");
        let secret = Change::NewSecret {
            device: id,
            life_s: 86_400,
        };
        let Ok(Changed::Secret(secret)) = engine.change(&admin(), secret).await else {
            panic!("no secret");
        };
        let pair = KeyPair::generate(KeyKind::P256).expect("a key");
        let nobody = Name::build(&[]).expect("a name");
        let csr = Csr::build(&pair, &nobody, &[]).expect("a request");
        Request {
            device,
            secret: secret.secret,
            csr,
        }
    });
    requests.await
}

/// Runs `count` jobs, 64 at a time, and gathers what they come to.
async fn spread<T, F, Fut>(engine: &Engine, count: usize, job: F) -> Vec<T>
where
    T: Send + 'static,
    F: Fn(Engine, usize) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = T> + Send,
{
    let (next, job) = (Arc::new(AtomicUsize::new(0)), Arc::new(job));
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..IN_FLIGHT {
        let (engine, next, job) = (engine.clone(), Arc::clone(&next), Arc::clone(&job));
        running.spawn(async move {
            let mut done = Vec::new();
            loop {
                let no = next.fetch_add(1, Ordering::Relaxed);
                if no >= count {
                    return done;
                }
                done.push(job(engine.clone(), no).await);
            }
        });
    }
    running.join_all().await.into_iter().flatten().collect()
}

async fn measure(engine: &Engine, requests: Vec<Request>) -> (f64, f64) {
    let (count, requests) = (requests.len(), Arc::new(requests));
    let (began, cpu) = (Instant::now(), cpu_time());
    let issued = spread(engine, count, move |engine, no| {
        let requests = Arc::clone(&requests);
        async move { enroll(&engine, &requests[no]).await }
    });
    assert_eq!(issued.await.len(), count);
    let rate = count as f64 / began.elapsed().as_secs_f64();
    (rate, (cpu_time() - cpu).as_secs_f64() * 1e6 / count as f64)
}

async fn enroll(engine: &Engine, request: &Request) {
    let secret = PresentedSecret {
        device: request.device.parse().expect("an id"),
        secret: request.secret.clone(),
    };
    let ask = Ask {
        tenant: TenantId::DEFAULT,
        via: Via {
            protocol: Protocol::Est,
            label: None,
            source: None,
        },
        operation: Operation::Enroll,
        csr: Csr::from_der(&request.csr).expect("a request"),
        presented: Presented {
            secret: Some(secret),
            ..Presented::default()
        },
    };
    match engine.enroll(ask).await {
        Ok(Answer::Issued(_)) => {}
        other => panic!("{other:?}"),
    }
}

/// Verifications with a signature each, per second, on two threads for two seconds.
fn limit(csr: &[u8]) -> f64 {
    let threads: Vec<_> = (0..2)
        .map(|_| {
            let csr = csr.to_vec();
            std::thread::spawn(move || {
                let pair = KeyPair::generate(KeyKind::P256).expect("a key");
                let (began, mut count) = (Instant::now(), 0u64);
                while began.elapsed() < Duration::from_secs(2) {
                    black_box(Csr::from_der(black_box(&csr)).expect("a request"));
                    black_box(pair.sign(black_box(&csr)).expect("a signature"));
                    count += 1;
                }
                count as f64 / began.elapsed().as_secs_f64()
            })
        })
        .collect();
    threads
        .into_iter()
        .map(|thread| thread.join().expect("a rate"))
        .sum()
}

/// CPU time of this process so far.
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after = stat.rsplit(')').next().unwrap_or_default();
    let ticks: u64 = after
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<u64>().ok())
        .sum();
    // The clock tick of user-visible times is 100 Hz on every Linux.
    Duration::from_millis(ticks * 10)
}
