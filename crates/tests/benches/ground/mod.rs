//! What the benches of a whole server stand on: a house with a fleet in it, served by a child process
//! that is built as the released program is, and the cryptographic limit of the machine.

#![allow(dead_code)] // Each bench uses its own part of this.

#[path = "../../../store/tests/fixture/fill.rs"]
mod fill;
pub mod line;

use std::fmt;
use std::fs::{self, File};
use std::hint::black_box;
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tenure_domain::ask::{Ask, Operation, Presented, PresentedSecret, Protocol, Via};
use tenure_domain::change::{Change, Edit};
use tenure_domain::device::{Criticality, DeviceSpec};
use tenure_domain::operator::{Actor, Role};
use tenure_domain::registry::{Class, Owner, Service, Site};
use tenure_domain::{DeviceId, OperatorNo, TenantId};
use tenure_engine::signer::{Keyring, Passphrase};
use tenure_engine::store::{Options, Store};
use tenure_engine::{Answer, Changed, Clock, Engine, Settings};
use tenure_tests::{House, PASSPHRASE};
use tenure_x509::{Cert, Csr, KeyKind, KeyPair, Name, Time};

/// How many requests wait for an answer at a time.
pub const IN_FLIGHT: usize = 64;

/// The program: what the released one is, under another name.
const PROGRAM: &str = env!("CARGO_BIN_EXE_tenure-under-test");

/// A device of the bench, with what it holds.
pub struct Enrolled {
    pub key: KeyPair,
    pub cert: Cert,
}

/// The number behind `--name` among the arguments, or another.
pub fn argument(name: &str, otherwise: usize) -> usize {
    let mut arguments = std::env::args().skip_while(|argument| argument != name);
    match arguments.nth(1) {
        Some(number) => number.parse().expect("a number"),
        None => otherwise,
    }
}

/// A runtime on both cores.
pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime")
}

/// A house whose limits per source are off (one machine is the whole fleet), with `filled` devices
/// of two certificates each that exist in the store alone.
pub fn house(filled: usize) -> House {
    let house = House::found(PROGRAM);
    let mut file = File::options()
        .append(true)
        .open(house.data().join("tenure.toml"))
        .expect("a configuration");
    file.write_all(
        b"\n[limits]\nconnections = 0\nconnections_per_source = 0\n\
          device_requests_per_source_s = 0\nnonce_requests_per_source_s = 0\n\
          operator_requests_per_source_s = 0\naccess_requests_per_source_s = 0\n",
    )
    .expect("a configuration");
    if filled > 0 {
        fill(&house.data(), filled);
    }
    house
}

/// Fills a house that is not served.
pub fn fill(data: &Path, devices: usize) {
    let began = Instant::now();
    let now = Clock::system().now();
    runtime().block_on(with_engine(data, async |engine| register(engine).await));
    fill::fill(&data.join("tenure.db"), devices as u64, 2, now.unix());
    let (millions, took) = (devices as f64 / 1e6, began.elapsed().as_secs_f64());
    println!("filled with {millions:.2} M devices and twice as many certificates in {took:.0} s");
}

/// Works on the engine of a house that is not served.
pub async fn with_engine<T>(data: &Path, work: impl AsyncFnOnce(&Engine) -> T) -> T {
    let store = Store::open(data, Options::default()).expect("a store");
    let passphrase = Passphrase::new(PASSPHRASE.to_owned()).expect("a passphrase");
    let ring = Keyring::open(&data.join("keys"), &passphrase).expect("keys");
    let keys: Vec<_> = ring
        .records()
        .iter()
        .filter_map(|record| ring.key(&record.name))
        .collect();
    let engine =
        Engine::start(store, keys, data, Clock::system(), Settings::default()).expect("an engine");
    let duties = engine.start_duties();
    let done = work(&engine).await;
    duties.stop(&engine).await;
    engine.store().close();
    done
}

/// Enrolls `count` new devices with one-time secrets and keys of their own.
pub async fn enroll(data: &Path, count: usize) -> Vec<Enrolled> {
    with_engine(data, async |engine| {
        register(engine).await;
        let shared = engine.clone();
        spread(count, move |no| {
            let engine = shared.clone();
            async move { enroll_one(&engine, &format!("bench-{no}")).await }
        })
        .await
    })
    .await
}

async fn register(engine: &Engine) {
    let class = Class::new(
        "pump".parse().expect("a name"),
        "device".parse().expect("a name"),
    );
    for change in [
        Change::PutOwner(Edit::new(Owner {
            name: "Hydraulics".parse().expect("a name"),
            contact: String::new(),
        })),
        Change::PutSite(Edit::new(Site {
            name: "Hall 3".parse().expect("a name"),
            parent: None,
        })),
        Change::PutService(Edit::new(Service {
            name: "broker".parse().expect("a name"),
            address: String::new(),
        })),
        Change::PutClass(Edit::new(class)),
    ] {
        engine.change(&admin(), change).await.expect("a change");
    }
}

async fn enroll_one(engine: &Engine, device: &str) -> Enrolled {
    let invited = invite(engine, device).await;
    let csr = Csr::from_der(&invited.csr).expect("a request");
    let cert = invited.redeem(engine, csr).await;
    Enrolled {
        key: invited.key,
        cert,
    }
}

/// A registered device with a one-time secret, a key and a request.
pub struct Invited {
    id: DeviceId,
    secret: String,
    key: KeyPair,
    /// PKCS#10.
    pub csr: Vec<u8>,
}

/// Registers `count` new devices and gives each a one-time secret; nobody enrolls.
pub async fn invite_all(engine: &Engine, count: usize) -> Vec<Invited> {
    register(engine).await;
    let engine = engine.clone();
    spread(count, move |no| {
        let engine = engine.clone();
        async move { invite(&engine, &format!("bench-{no}")).await }
    })
    .await
}

async fn invite(engine: &Engine, device: &str) -> Invited {
    let id: DeviceId = device.parse().expect("an id");
    let spec = DeviceSpec {
        id: id.clone(),
        manufacturer: "Acme".into(),
        model: "P1".into(),
        serial: format!("SN-{device}"),
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
    let wanted = Change::NewSecret {
        device: id.clone(),
        life_s: 86_400,
    };
    let Ok(Changed::Secret(secret)) = engine.change(&admin(), wanted).await else {
        panic!("no secret");
    };
    let key = KeyPair::generate(KeyKind::P256).expect("a key");
    let csr = Csr::build(&key, &Name::empty(), &[]).expect("a request");
    Invited {
        id,
        secret: secret.secret,
        key,
        csr,
    }
}

impl Invited {
    /// Enrolls with the one-time secret.
    pub async fn redeem(&self, engine: &Engine, csr: Csr) -> Cert {
        let ask = Ask {
            tenant: TenantId::DEFAULT,
            via: Via {
                protocol: Protocol::Est,
                label: None,
                source: None,
            },
            operation: Operation::Enroll,
            csr,
            presented: Presented {
                secret: Some(PresentedSecret {
                    device: self.id.clone(),
                    secret: self.secret.clone(),
                }),
                ..Presented::default()
            },
        };
        match engine.enroll(ask).await {
            Ok(Answer::Issued(certificate)) => certificate.cert.clone(),
            other => panic!("{other:?}"),
        }
    }
}

fn admin() -> Actor {
    Actor::Operator {
        name: "admin".to_owned(),
        no: OperatorNo(1),
        role: Role::Admin,
    }
}

/// Runs `count` jobs, [`IN_FLIGHT`] at a time, and gathers what they come to, in the jobs' order.
pub async fn spread<T, F, Fut>(count: usize, job: F) -> Vec<T>
where
    T: Send + 'static,
    F: Fn(usize) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = T> + Send,
{
    let (next, job) = (Arc::new(AtomicUsize::new(0)), Arc::new(job));
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..IN_FLIGHT {
        let (next, job) = (Arc::clone(&next), Arc::clone(&job));
        running.spawn(async move {
            let mut done = Vec::new();
            loop {
                let no = next.fetch_add(1, Ordering::Relaxed);
                if no >= count {
                    return done;
                }
                done.push((no, job(no).await));
            }
        });
    }
    let mut done: Vec<(usize, T)> = running.join_all().await.into_iter().flatten().collect();
    done.sort_unstable_by_key(|(no, _)| *no);
    done.into_iter().map(|(_, value)| value).collect()
}

/// What the cryptography alone allows.
pub struct Limit {
    /// Pieces of it per second on both cores.
    pub per_second: f64,
    /// Processor time of one.
    pub cpu_us: f64,
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "limit: {:.0}/s (verify one P-256 request, make one P-256 signature, 2 threads; mean of \
             before and after), {:.0} µs of CPU",
            self.per_second, self.cpu_us
        )
    }
}

/// Does `work`, with the limit measured before and after it: what else the machine does changes in
/// between, and the mean of both is nearer to what it was meanwhile.
pub fn beside_the_limit<T>(work: impl FnOnce() -> T) -> (Limit, T) {
    let before = limit();
    let done = work();
    let after = limit();
    let mean = Limit {
        per_second: f64::midpoint(before.per_second, after.per_second),
        cpu_us: f64::midpoint(before.cpu_us, after.cpu_us),
    };
    (mean, done)
}

/// Verifications of a P-256 request with a P-256 signature each, on two threads for two seconds.
fn limit() -> Limit {
    let (began, cpu) = (Instant::now(), cpu_time(std::process::id()));
    let threads: Vec<_> = (0..2)
        .map(|_| {
            std::thread::spawn(move || {
                let pair = KeyPair::generate(KeyKind::P256).expect("a key");
                let csr = Csr::build(&pair, &Name::empty(), &[]).expect("a request");
                let mut count = 0_u64;
                while began.elapsed() < Duration::from_secs(2) {
                    black_box(Csr::from_der(black_box(&csr)).expect("a request"));
                    black_box(pair.sign(black_box(&csr)).expect("a signature"));
                    count += 1;
                }
                count
            })
        })
        .collect();
    let count: u64 = threads
        .into_iter()
        .map(|thread| thread.join().expect("a count"))
        .sum();
    let cpu = (cpu_time(std::process::id()) - cpu).as_secs_f64();
    Limit {
        per_second: count as f64 / began.elapsed().as_secs_f64(),
        cpu_us: cpu * 1e6 / count as f64,
    }
}

/// CPU time of a process so far.
pub fn cpu_time(process: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
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

/// What a stretch of work took: the clock, the server's CPU and the load generator's.
pub struct Stretch {
    server: u32,
    began: Instant,
    cpu: (Duration, Duration),
}

/// What a [`Stretch`] came to.
pub struct Took {
    pub per_second: f64,
    pub server_us: f64,
    pub load_us: f64,
}

impl Stretch {
    /// Begins now.
    pub fn begin(server: u32) -> Stretch {
        Stretch {
            server,
            cpu: (cpu_time(server), cpu_time(std::process::id())),
            began: Instant::now(),
        }
    }

    /// Ends now, after so many pieces of work.
    pub fn end(self, count: usize) -> Took {
        let seconds = self.began.elapsed().as_secs_f64();
        let each = |now: Duration, then: Duration| (now - then).as_secs_f64() * 1e6 / count as f64;
        Took {
            per_second: count as f64 / seconds,
            server_us: each(cpu_time(self.server), self.cpu.0),
            load_us: each(cpu_time(std::process::id()), self.cpu.1),
        }
    }
}

/// `perf record` on the server while it is kept, if `TENURE_PERF` names a file.
pub struct Profile(Option<Child>);

impl Profile {
    /// Begins to record.
    pub fn begin(server: u32) -> Profile {
        let Ok(file) = std::env::var("TENURE_PERF") else {
            return Profile(None);
        };
        let child = Command::new("perf")
            .args(["record", "-q", "-g", "-F", "997", "-o", &file, "-p"])
            .arg(server.to_string())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        Profile(child.ok())
    }
}

impl Drop for Profile {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            let _ = Command::new("kill")
                .args(["-s", "INT", &child.id().to_string()])
                .status();
            let _ = child.wait();
        }
    }
}

/// The time now.
pub fn now() -> Time {
    Clock::system().now()
}
