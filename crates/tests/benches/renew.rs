//! How many certificates a second are renewed over EST on mutual TLS, beside the cryptographic limit
//! of the same run.
//!
//! `cargo bench -p tenure-tests --bench renew [-- --devices N] [--filled N]`. A fleet enrolls first,
//! each device with its own key; new keys and requests are made and the connections opened before
//! the clock starts; then each device sends one `simplereenroll` on its connection, 64 in flight. The
//! server is a child process with the limits that a source has switched off (one machine is the whole
//! fleet) and all else as it comes: fsync, record, request log, limits of a device. The load generator
//! runs on the same two cores. A second figure opens a connection for each renewal while the clock
//! runs. `--filled N` has so many more devices in the store. Figures are printed, never asserted.

mod ground;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use ground::line::Line;
use ground::{Enrolled, IN_FLIGHT, Profile, Stretch, argument};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName};
use tenure_wire::est::{PKCS10, Wrapping, encode_body};
use tenure_x509::{Csr, KeyKind, KeyPair};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::{CryptoProvider, aws_lc_rs};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

fn main() {
    let devices = argument("--devices", 4_000);
    let with_handshake = argument("--with-handshake", devices / 2);
    let filled = argument("--filled", 0);
    let runtime = ground::runtime();
    let mut house = ground::house(filled);
    let data = house.data();
    let mut fleet = runtime.block_on(ground::enroll(&data, devices + with_handshake));
    house.start();
    let server = house.server().id();
    let door = Arc::new(Door {
        address: SocketAddr::from(([127, 0, 0, 1], house.ports().device)),
        roots: roots(&house.root()),
        provider: Arc::new(aws_lc_rs::default_provider()),
    });
    let late = fleet.split_off(devices);

    let ready = runtime.block_on(connect_all(&door, prepared(fleet)));
    let (limit, (open, renewed)) = ground::beside_the_limit(|| {
        let profile = Profile::begin(server);
        let stretch = Stretch::begin(server);
        let renewed = runtime.block_on(renew_all(ready));
        let open = stretch.end(devices);
        drop(profile);
        (open, renewed)
    });
    // Closing is no part of a renewal: the connections stay until here.
    drop(renewed);

    let late = Arc::new(Mutex::new(prepared(late)));
    let stretch = Stretch::begin(server);
    let opened = Arc::clone(&door);
    runtime.block_on(ground::spread(with_handshake, move |_| {
        let next = late.lock().expect("the fleet").pop().expect("a device");
        let door = Arc::clone(&opened);
        async move { Ready::connect(&door, next).await.renew().await }
    }));
    let handshake = stretch.end(with_handshake);

    println!("{limit}");
    println!(
        "EST renewals over mTLS connections opened beforehand: {:.0}/s, {:.0} µs of CPU each in the \
         server and {:.0} in the load generator on the same cores; {devices} devices, one renewal \
         each, {IN_FLIGHT} in flight; {filled} more devices in the store; fsync, record and request \
         log on, limits per source off",
        open.per_second, open.server_us, open.load_us
    );
    println!(
        "ratio: {:.2}; by CPU time, which other work on the machine hardly touches: {:.2}",
        open.per_second / limit.per_second,
        limit.cpu_us / (open.server_us + open.load_us)
    );
    println!(
        "with the handshake: {:.0}/s, ratio {:.2}, {:.0} µs of CPU each in the server and {:.0} in \
         the load generator; {with_handshake} devices",
        handshake.per_second,
        handshake.per_second / limit.per_second,
        handshake.server_us,
        handshake.load_us
    );
    assert!(house.stop().success());
}

/// Where the devices knock, and whom they believe.
struct Door {
    address: SocketAddr,
    roots: Arc<RootCertStore>,
    provider: Arc<CryptoProvider>,
}

fn roots(file: &std::path::Path) -> Arc<RootCertStore> {
    let mut roots = RootCertStore::empty();
    let root = CertificateDer::from_pem_file(file).expect("a root");
    roots.add(root).expect("a root");
    Arc::new(roots)
}

/// A device with the bytes it is going to send.
struct Prepared {
    device: Enrolled,
    request: Vec<u8>,
}

fn prepared(fleet: Vec<Enrolled>) -> Vec<Prepared> {
    fleet
        .into_iter()
        .map(|device| {
            let next = KeyPair::generate(KeyKind::P256).expect("a key");
            let csr = Csr::build(&next, device.cert.subject(), &[]).expect("a request");
            let body = encode_body(&csr, Wrapping::Lines);
            let request = format!(
                "POST /.well-known/est/simplereenroll HTTP/1.1\r\nHost: 127.0.0.1\r\n\
                 Content-Type: {PKCS10}\r\nContent-Transfer-Encoding: base64\r\n\
                 Content-Length: {}\r\n\r\n{body}",
                body.len()
            );
            Prepared {
                device,
                request: request.into_bytes(),
            }
        })
        .collect()
}

/// A device on its open connection.
struct Ready {
    line: Line<TlsStream<TcpStream>>,
    request: Vec<u8>,
}

impl Ready {
    async fn connect(door: &Door, prepared: Prepared) -> Ready {
        let key = prepared.device.key.to_pkcs8().expect("a key");
        let chain = vec![CertificateDer::from(prepared.device.cert.der().to_vec())];
        let config = ClientConfig::builder_with_provider(Arc::clone(&door.provider))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(Arc::clone(&door.roots))
            .with_client_auth_cert(chain, PrivatePkcs8KeyDer::from(key.to_vec()).into())
            .expect("a client");
        let stream = TcpStream::connect(door.address).await.expect("a server");
        stream.set_nodelay(true).expect("a socket");
        let name = ServerName::try_from("127.0.0.1").expect("a name");
        let stream = TlsConnector::from(Arc::new(config))
            .connect(name, stream)
            .await
            .expect("a handshake");
        Ready {
            line: Line::new(stream),
            request: prepared.request,
        }
    }

    async fn renew(&mut self) {
        self.line.ask(&self.request).await;
    }
}

async fn connect_all(door: &Arc<Door>, fleet: Vec<Prepared>) -> Vec<Ready> {
    let (count, door) = (fleet.len(), Arc::clone(door));
    let fleet = Arc::new(Mutex::new(fleet));
    ground::spread(count, move |_| {
        let next = fleet.lock().expect("the fleet").pop().expect("a device");
        let door = Arc::clone(&door);
        async move { Ready::connect(&door, next).await }
    })
    .await
}

async fn renew_all(ready: Vec<Ready>) -> Vec<Ready> {
    let count = ready.len();
    let ready = Arc::new(Mutex::new(ready));
    ground::spread(count, move |_| {
        let mut next = ready.lock().expect("the fleet").pop().expect("a device");
        async move {
            next.renew().await;
            next
        }
    })
    .await
}
