//! How soon a revocation is published, and how soon relying parties refuse what is revoked.
//!
//! `cargo bench -p tenure-tests --bench enforce [-- --rounds N]`. The server is a child process; the
//! relying parties are on the same machine and follow their feeds, told by the server's stream: a
//! service of ours (rustls) that reads what is in place anew when there are others, and nginx and
//! mosquitto with a reload hook, if they are installed. In each round one canary of the issuer is
//! revoked and tried again at all of them until each refuses it: the time is the prober's, from the
//! revocation to the first refusal. How long publishing took is the server's own figure.
//!
//! The floor: published p95 under 1 s, enforced p95 under 5 s. Figures are printed; `--assert 1` also
//! asserts them.

mod ground;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use ground::argument;
use tenure_field::feed::{Connection, Follower, Holding, Hook, Step, Wake};
use tenure_tests::http::Caller;
use tenure_tests::relying::{Relying, ServerPki};
use tenure_tests::{House, have, until};

/// Revoked to published, and to refused; at the 95th percentile, in milliseconds.
const PUBLISHED_MS_MAX: f64 = 1_000.0;
const ENFORCED_MS_MAX: i64 = 5_000;
/// How often a follower looks though nobody told it anything.
const LOOK: Duration = Duration::from_secs(60);

/// A relying party on its feed.
struct Subscribed {
    name: &'static str,
    _running: Relying,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

fn main() {
    let rounds = argument("--rounds", 40);
    let asserts = argument("--assert", 0) == 1;
    let mut house = ground::house(0);
    house.start();
    for furniture in [
        ["owner", "add", "Hydraulics"],
        ["site", "add", "Hall 3"],
        ["service", "add", "telemetry"],
    ] {
        house.tell(&furniture);
    }
    let kinds: [(&str, &str, Start); 3] = [
        ("rustls", "tls", ours),
        ("nginx", "https", nginx),
        ("mosquitto", "mqtt", mosquitto),
    ];
    let parties: Vec<Subscribed> = kinds
        .into_iter()
        .filter(|(name, ..)| *name == "rustls" || have(name))
        .map(|(name, protocol, start)| subscribe(&house, name, protocol, start))
        .collect();
    println!(
        "{rounds} revocations, one after another; {} relying parties",
        parties.len()
    );
    for round in 0..rounds {
        let drilled = house.ask(&["drill", "revoke"]);
        assert_eq!(drilled["verdict"], "passed", "round {round}: {drilled:#}");
    }
    let metrics = metrics(&house);
    let published = |quantile: &str| published_ms(&metrics, quantile).expect("a figure");
    let (p50, p95) = (published("0.5"), published("0.95"));
    let is_quick = p95 < PUBLISHED_MS_MAX;
    println!(
        "published              p50 {p50:>5.0} ms   p95 {p95:>5.0} ms   floor {PUBLISHED_MS_MAX} ms   ratio {:.2}",
        p95 / PUBLISHED_MS_MAX
    );
    let mut is_prompt = true;
    for party in &parties {
        let mut times = times(&house, party.name);
        assert_eq!(
            times.len(),
            rounds,
            "each round is measured at {}",
            party.name
        );
        times.sort_unstable();
        let (p50, p95) = (at(&times, 50), at(&times, 95));
        is_prompt &= p95 < ENFORCED_MS_MAX;
        println!(
            "refused by {:<10} p50 {p50:>5} ms   p95 {p95:>5} ms   floor {ENFORCED_MS_MAX} ms   ratio {:.2}",
            party.name,
            p95 as f64 / ENFORCED_MS_MAX as f64
        );
    }
    assert!(!asserts || (is_quick && is_prompt), "slower than promised");
}

type Start = fn(&Path, u16, &ServerPki, &Path) -> Relying;

fn subscribe(house: &House, name: &'static str, protocol: &str, start: Start) -> Subscribed {
    let directory = house.directory().join(name);
    std::fs::create_dir_all(&directory).expect("a directory");
    let pki = ServerPki::new(&directory);
    let port = Relying::port();
    let (address, anchors) = (
        format!("127.0.0.1:{port}"),
        pki.anchor.display().to_string(),
    );
    house.tell(&[
        "relying-party",
        "add",
        name,
        "--address",
        &address,
        "--protocol",
        protocol,
        "--anchors",
        &anchors,
        "--services",
        "telemetry",
        "--owner",
        "Hydraulics",
        "--site",
        "Hall 3",
        "--enforce-within",
        "30",
    ]);
    let file = directory.join("feed.json");
    house.tell(&[
        "feed",
        "connect",
        name,
        "--out",
        &file.display().to_string(),
    ]);
    let connection = Connection::read(&file).expect("a connection");
    let into = directory.join("feed");
    let follow = |hook: Option<String>| {
        let key = connection.pinned().expect("a key");
        let holding = Holding::open(&into, &connection.party, &key).expect("a directory");
        let hook = hook.as_deref().map(Hook::new);
        Follower::new(&connection, holding, hook, Duration::ZERO).expect("a follower")
    };
    until("the first set is there", || {
        let mut follower = follow(None);
        let step = ground::runtime().block_on(follower.round());
        matches!(step, Ok(Step::Applied(_)))
    });
    let running = start(&directory, port, &pki, &into);
    let hook = (name != "rustls").then(|| format!("kill -s HUP {}", running.id()));
    let mut follower = follow(hook);
    let mut wake = Wake::stream(&connection).expect("a stream");
    let over = Arc::new(AtomicBool::new(false));
    let ends = Arc::clone(&over);
    let thread = std::thread::spawn(move || {
        ground::runtime().block_on(async {
            while !ends.load(Ordering::Relaxed) {
                match follower.round().await {
                    Ok(Step::Applied(_)) => {}
                    // One that is not over is told of something each few hundred milliseconds.
                    Ok(Step::Nothing) => {
                        follower
                            .called(&mut wake, LOOK.min(Duration::from_secs(5)))
                            .await;
                    }
                    Err(error) => eprintln!("{error}"),
                }
            }
        });
    });
    Subscribed {
        name,
        _running: running,
        over,
        thread: Some(thread),
    }
}

impl Drop for Subscribed {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn ours(_directory: &Path, port: u16, pki: &ServerPki, feed: &Path) -> Relying {
    Relying::fed(port, pki, feed)
}

fn configured(directory: &Path, name: &str, text: String) -> PathBuf {
    let file = directory.join(name);
    std::fs::write(&file, text).expect("a configuration");
    file
}

fn nginx(directory: &Path, port: u16, pki: &ServerPki, feed: &Path) -> Relying {
    let text = format!(
        "daemon off; pid {d}/nginx.pid; error_log {d}/nginx.log; worker_processes 1; events {{}}
         http {{ access_log off;
           client_body_temp_path {d}/tmp; proxy_temp_path {d}/tmp; fastcgi_temp_path {d}/tmp;
           uwsgi_temp_path {d}/tmp; scgi_temp_path {d}/tmp;
           server {{ listen 127.0.0.1:{port} ssl;
             ssl_certificate {cert}; ssl_certificate_key {key};
             ssl_session_cache off; ssl_session_tickets off;
             ssl_verify_client on; ssl_verify_depth 2;
             ssl_client_certificate {f}/current/bundle.pem; ssl_crl {f}/current/crl.pem;
             location / {{ return 204; }} }} }}",
        d = directory.display(),
        f = feed.display(),
        cert = pki.cert.display(),
        key = pki.key.display(),
    );
    let file = configured(directory, "nginx.conf", text);
    let log = directory.join("nginx.log");
    Relying::start(
        port,
        Command::new("nginx").arg("-c").arg(file).arg("-e").arg(log),
    )
}

fn mosquitto(directory: &Path, port: u16, pki: &ServerPki, feed: &Path) -> Relying {
    let text = format!(
        "user root\nlistener {port} 127.0.0.1\ncertfile {cert}\nkeyfile {key}\n\
         cafile {f}/current/bundle.pem\ncrlfile {f}/current/crl.pem\nrequire_certificate true\n\
         use_identity_as_username true\nallow_anonymous true\n",
        f = feed.display(),
        cert = pki.cert.display(),
        key = pki.key.display(),
    );
    let file = configured(directory, "mosquitto.conf", text);
    Relying::start(port, Command::new("mosquitto").arg("-c").arg(file))
}

/// From the revocation to the refusal at one relying party, each round, in milliseconds.
fn times(house: &House, party: &str) -> Vec<i64> {
    let probes = house.ask(&["probe", "list", "--relying-party", party, "--limit", "0"]);
    let probes = probes.as_array().expect("a list").iter();
    let drilled = probes.filter(|probe| probe["scope"] == "revocation");
    drilled
        .filter_map(|probe| probe["enforced_ms"].as_i64())
        .collect()
}

/// The smallest of sorted times that so many in a hundred do not exceed.
fn at(times: &[i64], percent: usize) -> i64 {
    let place = (times.len() * percent).div_ceil(100).max(1);
    times[place - 1]
}

fn metrics(house: &House) -> String {
    let token = std::fs::read_to_string(house.data().join("admin.token")).expect("a token");
    let authorization = format!("Bearer {}", token.trim());
    let url = format!("https://127.0.0.1:{}/metrics", house.ports().operator);
    let headers = [("authorization", authorization.as_str())];
    let answer = Caller::new(&house.root()).send("GET", &url, &headers, b"");
    String::from_utf8(answer.body).expect("text")
}

/// A quantile of the server's own figure.
fn published_ms(metrics: &str, quantile: &str) -> Option<f64> {
    let name = format!("tenure_publication_seconds{{quantile=\"{quantile}\"}}");
    let line = metrics.lines().find(|line| line.starts_with(&name))?;
    let seconds: f64 = line.rsplit(' ').next()?.parse().ok()?;
    Some(seconds * 1_000.0)
}
