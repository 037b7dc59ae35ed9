//! A house with a large fleet: how long `serve` takes to start, how much memory it holds, and how long
//! each list and count of the API and the dashboard takes, and each blast radius.
//!
//! `cargo bench -p tenure-tests --bench house [-- --devices N] [--idle SECONDS]`; N must be 600,000 or
//! more, because single devices are asked for by name. The fleet is made by
//! the store's generator: N devices with two certificates each. Each time is one whole HTTPS request on
//! a connection opened before, as its client sees it: the first call after the start, and the slowest
//! of three more. Figures are printed, never asserted.

mod ground;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ground::line::Line;
use ground::{Profile, argument};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use serde_json::Value;
use tenure_tests::House;
use tenure_tests::http::Caller;
use tenure_tests::pki::Maker;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// What every list and count has to stay under.
const FLOOR_MS: f64 = 100.0;
/// The same for what was true at a time.
const PAST_FLOOR_MS: f64 = 5_000.0;
/// The same for a blast radius: on a bad day whom it concerns is known within seconds.
const RADIUS_FLOOR_MS: f64 = 10_000.0;

fn main() {
    let devices = argument("--devices", 1_000_000);
    let idle = Duration::from_secs(argument("--idle", 10) as u64);
    let runtime = ground::runtime();
    let mut house = ground::house(0);
    // Real ones as well, for what must be readable as a certificate.
    runtime.block_on(ground::enroll(&house.data(), 64));
    ground::fill(&house.data(), devices);
    let kind = format!("{devices} devices, {} certificates", 2 * devices);

    for start in ["first start after the fill", "second start", "third start"] {
        let took = start_time(&mut house);
        let cpu = ground::cpu_time(house.server().id()).as_secs_f64();
        println!(
            "{start}: {:.0} ms from exec to readyz, {:.0} ms of CPU; {kind}",
            took * 1e3,
            cpu * 1e3
        );
        if start != "third start" {
            assert!(house.stop().success());
        }
    }
    // Nothing is waited for: this is how long it idles.
    std::thread::sleep(idle);
    let server = house.server().id();
    let seconds = idle.as_secs();
    println!(
        "idle for {seconds} s: {} MB resident, {} MB at its peak; {kind}",
        memory_mb(server, "VmRSS:"),
        memory_mb(server, "VmHWM:")
    );
    // The maker of the devices that the generator makes.
    let maker = Maker::new("Acme").root_pem();
    let roots = house.directory().join("acme.pem");
    std::fs::write(&roots, maker).expect("a file");
    let roots = roots.display().to_string();
    house.tell(&["manufacturer", "add", "Acme", "--roots", &roots]);
    runtime.block_on(lists(&mut house));
    println!(
        "after all lists: {} MB resident, {} MB at its peak",
        memory_mb(server, "VmRSS:"),
        memory_mb(server, "VmHWM:")
    );
    tables(&mut house);
    assert!(house.stop().success());
}

/// Every device out and in again, with the command line.
fn tables(house: &mut House) {
    let server = house.server().id();
    let file = house.directory().join("devices.csv").display().to_string();
    let timed = |what: &str, ask: &[&str]| {
        let began = Instant::now();
        let said = house.tell(ask);
        let (took, peak) = (began.elapsed().as_secs_f64(), memory_mb(server, "VmHWM:"));
        println!("{what}: {took:.1} s; the server {peak} MB at its peak so far");
        said
    };
    let table = timed("all devices exported", &["device", "export"]);
    std::fs::write(&file, table).expect("a file");
    timed("imported again", &["device", "import", &file]);
}

fn start_time(house: &mut House) -> f64 {
    let caller = Caller::new(&house.root());
    let ready = format!("https://127.0.0.1:{}/readyz", house.ports().operator);
    let began = Instant::now();
    house.start();
    assert!(caller.get(&ready).status.is_success());
    began.elapsed().as_secs_f64()
}

fn memory_mb(process: u32, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with(name));
    line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok())
        .unwrap_or(0)
        / 1024
}

/// Someone who looks: a token for the API and a session for the pages.
struct Reader {
    line: Line<TlsStream<TcpStream>>,
    token: String,
    cookie: String,
}

impl Reader {
    async fn sign_in(house: &House) -> Reader {
        let token = std::fs::read_to_string(house.data().join("admin.token")).expect("a token");
        let mut reader = Reader {
            line: Line::new(connect(house).await),
            token: token.trim().to_owned(),
            cookie: String::new(),
        };
        let form = format!("token={}", reader.token);
        let request = format!(
            "POST /login HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {}\r\n\
             Content-Type: application/x-www-form-urlencoded\r\n\r\n{form}",
            form.len()
        );
        let answer = reader.line.send(request.as_bytes()).await;
        let (_, cookie) = answer.head.split_once("set-cookie: ").expect("a session");
        reader.cookie = cookie.split(';').next().expect("a session").to_owned();
        reader
    }

    async fn get(&mut self, path: &str) -> (f64, Vec<u8>) {
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {}\r\nCookie: {}\r\n\r\n",
            self.token, self.cookie
        );
        let began = Instant::now();
        let body = self.line.ask(request.as_bytes()).await.to_vec();
        (began.elapsed().as_secs_f64() * 1e3, body)
    }
}

async fn connect(house: &House) -> TlsStream<TcpStream> {
    let mut roots = RootCertStore::empty();
    let root = CertificateDer::from_pem_file(house.root()).expect("a root");
    roots.add(root).expect("a root");
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let address = SocketAddr::from(([127, 0, 0, 1], house.ports().operator));
    let stream = TcpStream::connect(address).await.expect("a server");
    stream.set_nodelay(true).expect("a socket");
    TlsConnector::from(Arc::new(config))
        .connect(ServerName::try_from("127.0.0.1").expect("a name"), stream)
        .await
        .expect("a handshake")
}

/// All that is asked for, by its path.
fn paths() -> Vec<String> {
    let day = |ahead: i64| ground::now().plus(ahead * 86_400).to_string();
    let date = |ahead: i64| day(ahead)[..10].to_owned();
    let api = [
        "/fleet",
        "/fleet/expiry?days=120",
        "/fleet/expiry?days=3660",
        "/doctor",
        "/devices",
        "/devices?limit=1000",
        "/devices?limit=1000&cursor=900000",
        "/devices?search=dev-05",
        "/devices?search=dev-0543210",
        "/devices?search=3F",
        "/devices?search=M-17",
        "/devices?search=M-17&cursor=m.500000.M-17",
        "/devices?search=zzz",
        "/devices?search=dev&site=Filled%20site%20999",
        "/devices?search=dev&standing=quarantined",
        "/devices?standing=suspended",
        "/devices?standing=retired",
        "/devices?standing=enrolled&cursor=900000",
        "/devices?site=Filled%20site%200",
        "/devices?site=Filled%20site%200&standing=suspended",
        "/devices?site=Filled%20site%200&standing=retired",
        "/devices?site=Filled%20site%200&search=zzz",
        "/devices?site=Filled%20site%200&search=M-17",
        "/devices?site=Filled%20site%203",
        "/devices?site=Filled%20site%203&standing=suspended",
        "/devices?class=Filled%20class%203",
        "/devices?owner=Filled%20owner%207",
        "/devices?class=Filled%20class%203&owner=Filled%20owner%207",
        "/devices?class=Filled%20class%203&owner=Filled%20owner%207&standing=retired",
        "/devices?service=broker",
        "/devices?service=Filled%20service",
        "/devices?service=Filled%20service&site=Filled%20site%20999",
        "/devices?service=Filled%20service&standing=quarantined",
        "/devices/dev-0543210",
        "/certificates",
        "/certificates?limit=1000",
        "/certificates?cursor=1000000",
        "/certificates?status=issued",
        "/certificates?status=replaced",
        "/certificates?status=revoked",
        "/certificates?status=revoked&limit=1000",
        "/certificates?status=held",
        "/certificates?issuer=root",
        "/certificates?issuer=issuing-1",
        "/certificates?device=dev-0543210",
        "/certificates?expires_within_days=30",
        "/certificates?expires_within_days=30&limit=1000",
        "/certificates?expires_within_days=3650",
        "/events",
        "/events?device=bench-1",
        "/sites",
        "/sites?limit=1000",
        "/owners",
        "/classes",
        "/services",
        "/issuers",
        "/manufacturers",
        "/asks",
        "/incidents",
        "/tokens",
    ];
    let mut all: Vec<String> = api.map(|path| format!("/api/v1{path}")).into();
    all.extend([
        format!("/api/v1/certificates?expires_before={}", day(-200)),
        format!(
            "/api/v1/certificates?expires_after={}&limit=1000",
            day(-200)
        ),
    ]);
    for at in [-1, -100, -300] {
        all.push(format!("/api/v1/as-of?at={}", day(at)));
        all.push(format!("/api/v1/as-of?at={}&device=dev-0012345", day(at)));
        // The whole tree, a branch of it and a leaf.
        for site in [0, 7, 777] {
            let at = day(at);
            all.push(format!("/api/v1/as-of?at={at}&site=Filled%20site%20{site}"));
        }
    }
    let pages = [
        "/",
        "/?days=365",
        "/devices",
        "/devices?search=M-17",
        "/devices?search=zzz",
        "/devices?standing=suspended",
        "/devices?site=Filled+site+3&standing=suspended",
        "/devices?class=Filled+class+3&owner=Filled+owner+7",
        "/devices/dev-0543210",
        "/devices/bench-1",
        "/certificates",
        "/certificates?status=revoked",
        "/certificates?status=held",
        "/certificates?issuer=root",
        "/issuers",
        "/asks",
        "/incidents",
        "/metrics",
    ];
    all.extend(pages.map(str::to_owned));
    all.push(format!("/certificates?from={}&to={}", date(0), date(7)));
    all
}

/// Of what blast radii are asked for. Figures, and a page of the devices behind them.
async fn radii(reader: &mut Reader) -> Vec<String> {
    let (_, held) = reader.get("/api/v1/certificates?device=bench-1").await;
    let held: Value = serde_json::from_slice(&held).expect("certificates");
    let serial = held["items"][0]["serial"].as_str().expect("a certificate");
    let path = format!("/api/v1/certificates/{serial}");
    let (_, shown) = reader.get(&path).await;
    let shown: Value = serde_json::from_slice(&shown).expect("a certificate");
    let key = shown["key"].as_str().expect("a key");
    let of = [
        ("issuer", "issuing-1"),
        ("anchor", "root"),
        ("key", key),
        ("device", "dev-0012345"),
        ("operator", "1"),
        ("manufacturer", "Acme"),
        ("owner", "Filled%20owner%207"),
        ("site", "Filled%20site%200"),
        ("site", "Filled%20site%20777"),
        ("service", "Filled%20service"),
    ];
    let mut paths = Vec::new();
    for (kind, name) in of {
        let query = format!("?kind={kind}&name={name}");
        paths.push(format!("/api/v1/blast-radius{query}"));
        paths.push(format!("/api/v1/blast-radius/devices{query}&limit=100"));
    }
    paths.push("/blast-radius?kind=issuer&name=issuing-1".to_owned());
    paths
}

async fn lists(house: &mut House) {
    let mut reader = Reader::sign_in(house).await;
    let _profile = Profile::begin(house.server().id());
    let mut over = 0;
    let (mut worst_first, mut worst) = (0.0_f64, 0.0_f64);
    println!("     first      then, in ms");
    let mut paths = paths();
    paths.extend(radii(&mut reader).await);
    let mut slowest_radius = 0.0_f64;
    for path in paths {
        let (first, body) = reader.get(&path).await;
        let mut then = 0.0_f64;
        for _ in 0..3 {
            then = then.max(reader.get(&path).await.0);
        }
        let rows = serde_json::from_slice::<Value>(&body)
            .ok()
            .and_then(|json| Some(json.get("items")?.as_array()?.len()));
        let rows = rows.map_or_else(String::new, |rows| format!(" ({rows})"));
        let floor = match &path {
            path if path.contains("/as-of") => PAST_FLOOR_MS,
            path if path.contains("/blast-radius") => RADIUS_FLOOR_MS,
            _ => FLOOR_MS,
        };
        if floor == RADIUS_FLOOR_MS {
            slowest_radius = slowest_radius.max(first).max(then);
        }
        let is_over = first.max(then) > floor;
        let mark = if is_over { "  <-- over" } else { "" };
        over += usize::from(is_over);
        if floor == FLOOR_MS {
            (worst_first, worst) = (worst_first.max(first), worst.max(then));
        }
        println!("{first:>10.2}{then:>10.2}  {path}{rows}{mark}");
    }
    println!(
        "slowest list or count: {worst_first:.0} ms when first asked for, {worst:.0} ms then; {over} \
         over {FLOOR_MS:.0} ms (as-of: {PAST_FLOOR_MS:.0} ms, blast radius: {RADIUS_FLOOR_MS:.0} ms)"
    );
    println!("slowest blast radius: {slowest_radius:.0} ms");
}
