//! How long a decision takes at 2,000 a second, and how many a second there are at most.
//!
//! `cargo bench -p tenure-tests --bench decide [-- --devices N] [--seconds N] [--filled N]`. The server is
//! a child process; the relying party is this process, on the same two cores: TLS connections to the
//! access listener with the token of a relying party, `POST /api/v1/decide` with a serial. Each device
//! is asked about in turn, so that with more devices than are asked about within the life of a verdict
//! none is kept, and with fewer most are; both are printed. A request's time counts from when it was
//! due, so that one that had to wait for another is not let off. The limit is the same listener
//! answering the same request without looking at anything (a body that is refused).
//!
//! Figures are printed. Only the promise is asserted if nothing else runs on the machine: `--assert 1`.

mod ground;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ground::line::Line;
use ground::{Stretch, argument};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use tenure_tests::relying::Relying;
use tenure_tests::{House, until};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

const CONNECTIONS: usize = 32;
const PER_SECOND: u32 = 2_000;
/// What is promised at 1,000,000 devices.
const P99_MAX: Duration = Duration::from_millis(5);

/// Where the relying party asks, and how it gets there.
struct Door {
    address: SocketAddr,
    connector: TlsConnector,
}

fn main() {
    let devices = argument("--devices", 1_000);
    let seconds = argument("--seconds", 5) as u64;
    let filled = argument("--filled", 0);
    let mut house = ground::house(filled);
    let port = Relying::port();
    house.set("TENURE_LISTEN_ACCESS", &format!("127.0.0.1:{port}"));
    let data = house.data();
    let fleet = ground::runtime().block_on(ground::enroll(&data, devices));
    house.start();
    house.tell(&[
        "relying-party",
        "add",
        "gate",
        "--address",
        "127.0.0.1:1",
        "--services",
        "broker",
        "--owner",
        "Hydraulics",
        "--site",
        "Hall 3",
        "--checks",
        "decision",
    ]);
    let token = house.tell(&[
        "token",
        "create",
        "--name",
        "gate",
        "--role",
        "relying-party",
    ]);
    // Until what was published before the start is compared with the record, nobody is trusted.
    until("the first lists are out", || {
        house.ask(&["trust", "show", "bench-0", "--service", "broker"])["access"] == "allow"
    });
    let door = Arc::new(Door {
        address: SocketAddr::from(([127, 0, 0, 1], port)),
        connector: connector(&house),
    });
    let requests: Arc<Vec<_>> = Arc::new(
        fleet
            .iter()
            .map(|device| {
                written(
                    &token,
                    &format!("{{\"serial\":\"{}\"}}", device.cert.serial()),
                )
            })
            .collect(),
    );
    let runtime = ground::runtime();
    println!(
        "{devices} devices asked about in turn, {filled} more in the store, {CONNECTIONS} connections, \
         load generator on the same two cores"
    );
    let server = house.server().id();
    let limit = {
        let refused = Arc::new(vec![written(&token, "0")]);
        runtime.block_on(at_most(&door, &refused, seconds, Expect::Refused))
    };
    println!("limit: {limit:.0}/s (the same request, refused unread)");
    let mut p99 = Duration::ZERO;
    for (what, requests) in [
        ("all devices in turn", Arc::clone(&requests)),
        (
            "one device, kept verdicts",
            Arc::new(requests[..1].to_vec()),
        ),
    ] {
        let stretch = Stretch::begin(server);
        let mut took = runtime.block_on(paced(&door, &requests, seconds));
        let cpu = stretch.end(took.len());
        took.sort_unstable();
        let part = |percent: usize| took[(took.len() - 1) * percent / 100];
        p99 = p99.max(part(99));
        println!(
            "{what}, {PER_SECOND}/s: p50 {:.2} ms, p99 {:.2} ms, slowest {:.2} ms, {} answers, {:.0} µs of \
             CPU each in the server",
            ms(part(50)),
            ms(part(99)),
            ms(part(100)),
            took.len(),
            cpu.server_us
        );
        let most = runtime.block_on(at_most(&door, &requests, seconds, Expect::Verdict));
        println!(
            "{what}, as many as can be: {most:.0}/s, ratio {:.2}",
            most / limit
        );
    }
    if argument("--assert", 0) == 1 {
        assert!(p99 <= P99_MAX, "p99 is {:.2} ms", ms(p99));
    }
    assert!(house.stop().success());
}

fn ms(took: Duration) -> f64 {
    took.as_secs_f64() * 1e3
}

fn connector(house: &House) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    let root = CertificateDer::from_pem_file(house.root()).expect("a root");
    roots.add(root).expect("a root");
    let provider = Arc::new(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    TlsConnector::from(Arc::new(config))
}

fn written(token: &str, body: &str) -> Vec<u8> {
    format!(
        "POST /api/v1/decide HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

async fn open(door: &Door) -> Line<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(door.address).await.expect("a server");
    stream.set_nodelay(true).expect("a socket");
    let name = ServerName::try_from("127.0.0.1").expect("a name");
    let stream = door.connector.connect(name, stream).await;
    Line::new(stream.expect("a handshake"))
}

/// What must be answered.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Expect {
    Verdict,
    Refused,
}

fn is_expected(head: &str, body: &[u8], expect: Expect) -> bool {
    match expect {
        Expect::Verdict => {
            head.starts_with("HTTP/1.1 200 ")
                && body.windows(16).any(|part| part == b"\"access\":\"allow\"")
        }
        Expect::Refused => head.starts_with("HTTP/1.1 400 "),
    }
}

/// Answers a second on all connections, each asking again as soon as it is answered.
async fn at_most(
    door: &Arc<Door>,
    requests: &Arc<Vec<Vec<u8>>>,
    seconds: u64,
    expect: Expect,
) -> f64 {
    let began = Instant::now();
    let until = began + Duration::from_secs(seconds);
    let lines = (0..CONNECTIONS).map(|no| {
        let (door, requests) = (Arc::clone(door), Arc::clone(requests));
        async move {
            let mut line = open(&door).await;
            let mut at = no * requests.len() / CONNECTIONS;
            let mut answered = 0_usize;
            while Instant::now() < until {
                let answer = line.send(&requests[at]).await;
                assert!(
                    is_expected(answer.head, answer.body, expect),
                    "{}",
                    answer.head
                );
                at = (at + 1) % requests.len();
                answered += 1;
            }
            answered
        }
    });
    let lines: tokio::task::JoinSet<usize> = lines.collect();
    let answered: usize = lines.join_all().await.into_iter().sum();
    answered as f64 / began.elapsed().as_secs_f64()
}

/// How long each answer took, counted from when its request was due.
async fn paced(door: &Arc<Door>, requests: &Arc<Vec<Vec<u8>>>, seconds: u64) -> Vec<Duration> {
    let step = Duration::from_secs(1) * CONNECTIONS as u32 / PER_SECOND;
    let mut lines = tokio::task::JoinSet::new();
    let start = Instant::now() + Duration::from_millis(500);
    for no in 0..CONNECTIONS {
        let (door, requests) = (Arc::clone(door), Arc::clone(requests));
        lines.spawn(async move {
            let mut line = open(&door).await;
            let first = start + step * no as u32 / CONNECTIONS as u32;
            let mut took = Vec::new();
            let mut at = no * requests.len() / CONNECTIONS;
            for turn in 0.. {
                let due = first + step * turn;
                if due >= start + Duration::from_secs(seconds) {
                    break;
                }
                tokio::time::sleep_until(due.into()).await;
                let answer = line.send(&requests[at]).await;
                assert!(
                    is_expected(answer.head, answer.body, Expect::Verdict),
                    "{}",
                    answer.head
                );
                at = (at + 1) % requests.len();
                took.push(due.elapsed());
            }
            took
        });
    }
    lines.join_all().await.into_iter().flatten().collect()
}
