//! How many OCSP answers a second the public listener gives over HTTP keep-alive.
//!
//! `cargo bench -p tenure-tests --bench ocsp [-- --serials N] [--seconds N] [--filled N]`. The server is
//! a child process with the limits that a source has switched off, since one machine asks everything.
//! The load generator is this process, on the same two cores: one thread, 32 connections, one request
//! in flight on each. Without a nonce an answer is signed once a minute for each certificate, which is
//! why the spread of serials matters; each line begins with nothing signed. With a nonce each answer is
//! signed. Figures are printed, never asserted.

mod ground;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ground::line::Line;
use ground::{Enrolled, Profile, Stretch, argument};
use tenure_tests::House;
use tenure_x509::ocsp::{CertStatus, HashKind, OcspRequest, OcspResponse};
use tenure_x509::{Cert, KeyKind, KeyPair};
use tokio::net::TcpStream;

const CONNECTIONS: usize = 32;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Method {
    Post,
    Get,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Nonce {
    With,
    Without,
}

fn main() {
    let serials = argument("--serials", 10_000);
    let seconds = argument("--seconds", 5) as u64;
    let filled = argument("--filled", 0);
    let mut house = ground::house(filled);
    let data = house.data();
    let fleet = ground::runtime().block_on(ground::enroll(&data, serials));
    println!(
        "limit: {:.0}/s (make one P-256 signature, 2 threads); {filled} devices in the store besides",
        signatures()
    );
    for (nonce, method, spread) in [
        (Nonce::Without, Method::Post, 1),
        (Nonce::Without, Method::Get, 1),
        (Nonce::Without, Method::Post, serials),
        (Nonce::Without, Method::Get, serials),
        (Nonce::With, Method::Post, serials),
        (Nonce::With, Method::Get, serials),
    ] {
        // A new process: nothing is signed yet.
        house.start();
        measure(&mut house, &fleet[..spread], nonce, method, seconds);
        assert!(house.stop().success());
    }
}

fn measure(house: &mut House, fleet: &[Enrolled], nonce: Nonce, method: Method, seconds: u64) {
    let issuer = issuer(house);
    let requests: Vec<_> = fleet
        .iter()
        .map(|device| written(&device.cert, &issuer, nonce, method))
        .collect();
    let address = SocketAddr::from(([127, 0, 0, 1], house.ports().public));
    let server = house.server().id();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let profile = Profile::begin(server);
    let stretch = Stretch::begin(server);
    let until = Instant::now() + Duration::from_secs(seconds);
    let shared = Arc::new(requests);
    let answered = runtime.block_on(async {
        let lines = (0..CONNECTIONS).map(|no| ask_until(until, address, Arc::clone(&shared), no));
        let lines: tokio::task::JoinSet<usize> = lines.collect();
        lines.join_all().await.into_iter().sum()
    });
    let took = stretch.end(answered);
    drop(profile);
    // One more, looked at closely.
    runtime.block_on(async {
        let mut line = open(address).await;
        let body = line.ask(&shared[0]).await;
        let response = OcspResponse::from_der(body).expect("a response");
        let cert = &fleet[0].cert;
        let asked = (nonce == Nonce::With).then_some(&NONCE[..]);
        let status = response.verify(&issuer, cert.serial(), asked, ground::now());
        assert_eq!(status.expect("a status").status(), CertStatus::Good);
    });
    println!(
        "OCSP over HTTP keep-alive, {}, {}, {}: {:.0}/s, {:.1} µs of CPU each in the server and {:.1} \
         in the load generator on the same two cores, {CONNECTIONS} connections, {seconds} s",
        match nonce {
            Nonce::With => "with a nonce (limit per source off)",
            Nonce::Without => "no nonce",
        },
        match method {
            Method::Post => "POST",
            Method::Get => "GET",
        },
        match fleet.len() {
            1 => "one serial".to_owned(),
            many => format!("{many} serials in turn"),
        },
        took.per_second,
        took.server_us,
        took.load_us
    );
}

fn issuer(house: &House) -> Cert {
    let answer = tenure_tests::http::Caller::plain().get(&house.public("/ca/issuing-1.cer"));
    Cert::from_der(&answer.body).expect("the issuer")
}

/// The nonce of each request: the server does not remember any.
const NONCE: [u8; 32] = [7; 32];

fn written(cert: &Cert, issuer: &Cert, nonce: Nonce, method: Method) -> Vec<u8> {
    let der = OcspRequest::build(
        issuer.subject(),
        issuer.public_key(),
        cert.serial(),
        HashKind::Sha1,
        (nonce == Nonce::With).then_some(&NONCE[..]),
    )
    .expect("a request");
    let host = "Host: 127.0.0.1\r\n";
    match method {
        Method::Get => {
            let path = STANDARD
                .encode(der)
                .replace('+', "%2B")
                .replace('/', "%2F")
                .replace('=', "%3D");
            format!("GET /ocsp/{path} HTTP/1.1\r\n{host}\r\n").into_bytes()
        }
        Method::Post => {
            let mut request = format!(
                "POST /ocsp HTTP/1.1\r\n{host}Content-Type: application/ocsp-request\r\n\
                 Content-Length: {}\r\n\r\n",
                der.len()
            )
            .into_bytes();
            request.extend(der);
            request
        }
    }
}

/// Asks for one after the other, each connection from another place in the row, and counts answers.
async fn ask_until(
    until: Instant,
    address: SocketAddr,
    requests: Arc<Vec<Vec<u8>>>,
    no: usize,
) -> usize {
    let mut line = open(address).await;
    let mut at = no * requests.len() / CONNECTIONS;
    let mut answered = 0;
    while Instant::now() < until {
        line.ask(&requests[at]).await;
        at = (at + 1) % requests.len();
        answered += 1;
    }
    answered
}

async fn open(address: SocketAddr) -> Line<TcpStream> {
    let stream = TcpStream::connect(address).await.expect("a server");
    stream.set_nodelay(true).expect("a socket");
    Line::new(stream)
}

/// Signatures per second, on two threads for two seconds.
fn signatures() -> f64 {
    let threads: Vec<_> = (0..2)
        .map(|_| {
            std::thread::spawn(|| {
                let pair = KeyPair::generate(KeyKind::P256).expect("a key");
                let (began, mut count) = (Instant::now(), 0_u64);
                while began.elapsed() < Duration::from_secs(2) {
                    std::hint::black_box(pair.sign(std::hint::black_box(&NONCE)).expect("signed"));
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
