//! Real relying parties for the stories: servers of other people that let devices in or turn them
//! away, with and without checking revocation.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use tenure_field::http::Identity;
use tenure_field::peer::Acceptor;
use tenure_field::revocation::{Checker, Freshness, Verdict};
use tenure_x509::path::{self, Purpose};
use tenure_x509::{
    CaConstraint, Cert, CertificateSpec, Extensions, KeyKind, KeyPair, KeyUsage, Name,
    NameAttribute, SanName, oid,
};

use tokio::io::AsyncWriteExt;

use crate::http::Caller;
use crate::pki::{now, serial};
use crate::{House, listens, until};

/// Whether a relying party looks at revocation lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checking {
    /// It does.
    On,
    /// It does not.
    Off,
}

/// The server certificate of a relying party, from a CA of its own.
pub struct ServerPki {
    /// What its certificate leads to, PEM.
    pub anchor: PathBuf,
    /// Its certificate, PEM.
    pub cert: PathBuf,
    /// Its key, PEM.
    pub key: PathBuf,
}

/// How long a handshake may take.
const PATIENCE: Duration = Duration::from_secs(5);

impl ServerPki {
    fn identity(&self) -> Identity {
        let own = tenure_x509::pem_certificates(&fs::read_to_string(&self.cert).unwrap());
        let key = KeyPair::from_pem(&fs::read_to_string(&self.key).unwrap()).unwrap();
        Identity {
            chain: vec![own.unwrap().remove(0).der().to_vec()],
            key: key.to_pkcs8().unwrap(),
        }
    }

    /// Makes one for `127.0.0.1`, in a directory.
    pub fn new(directory: &Path) -> ServerPki {
        let (top, own) = (key(), key());
        let named = |name| Name::build(&[(NameAttribute::CommonName, name)]).unwrap();
        let (above, below) = (named("Plant server CA"), named("relying party"));
        let spec = |subject: &Name, key: &KeyPair, extensions: Extensions| CertificateSpec {
            serial: serial(),
            signature: top.signature_algorithm(),
            issuer: above.clone(),
            validity: tenure_x509::Validity {
                not_before: now().plus(-3_600),
                not_after: now().plus(86_400),
            },
            subject: subject.clone(),
            public_key: key.public().clone(),
            extensions,
        };
        let sign = |spec: CertificateSpec| {
            let tbs = spec.tbs().unwrap();
            let signature = top.sign(tbs.as_der()).unwrap();
            Cert::from_der(&tbs.with_signature(&signature)).unwrap()
        };
        let root = sign(spec(
            &above,
            &top,
            Extensions {
                ca: CaConstraint::Ca { path_len: Some(0) },
                key_usage: KeyUsage::KEY_CERT_SIGN,
                subject_key_id: Some(top.public().key_id().to_vec()),
                ..Extensions::default()
            },
        ));
        let leaf = sign(spec(
            &below,
            &own,
            Extensions {
                ca: CaConstraint::NotCa,
                key_usage: KeyUsage::DIGITAL_SIGNATURE,
                ext_key_usage: vec![oid::SERVER_AUTH],
                authority_key_id: Some(top.public().key_id().to_vec()),
                san: vec![SanName::Ip(Ipv4Addr::LOCALHOST.into())],
                ..Extensions::default()
            },
        ));
        let file = |name: &str, content: &str| {
            let path = directory.join(name);
            fs::write(&path, content).unwrap();
            path
        };
        ServerPki {
            anchor: file("server-ca.pem", &root.pem()),
            cert: file("server.pem", &leaf.pem()),
            key: file("server.key", &own.to_pem().unwrap()),
        }
    }
}

fn key() -> KeyPair {
    KeyPair::generate(KeyKind::P256).unwrap()
}

/// What a house publishes for relying parties, kept fresh in files beside them.
pub struct Trust {
    directory: PathBuf,
    addresses: Vec<String>,
}

impl Trust {
    /// Fetches the CA certificates and the revocation lists of a house into a directory.
    pub fn fetch(house: &House, directory: &Path) -> Trust {
        let lists = ["issuing-1", "root"];
        let addresses = lists.map(|issuer| house.public(&format!("/crl/{issuer}/full.crl")));
        let issuing = Caller::plain().get(&house.public("/ca/issuing-1.cer"));
        let issuing = Cert::from_der(&issuing.body).unwrap();
        let root = fs::read_to_string(house.root()).unwrap();
        fs::write(directory.join("ca.pem"), issuing.pem() + &root).unwrap();
        let trust = Trust {
            directory: directory.to_owned(),
            addresses: addresses.to_vec(),
        };
        trust.refresh();
        trust
    }

    /// The issuing CA and the root, PEM.
    pub fn anchors(&self) -> PathBuf {
        self.directory.join("ca.pem")
    }

    /// The lists of both, PEM.
    pub fn lists(&self) -> PathBuf {
        self.directory.join("crl.pem")
    }

    /// Fetches the lists again; whether they are new.
    pub fn refresh(&self) -> bool {
        let caller = Caller::plain();
        let pem: String = self
            .addresses
            .iter()
            .map(|address| tenure_x509::pem_encode("X509 CRL", &caller.get(address).body))
            .collect();
        if fs::read_to_string(self.lists()).is_ok_and(|known| known == pem) {
            return false;
        }
        let draft = self.directory.join("crl.new");
        fs::write(&draft, pem).unwrap();
        fs::rename(&draft, self.lists()).unwrap();
        true
    }
}

/// A relying party that runs.
pub struct Relying {
    /// Where it listens.
    pub address: SocketAddr,
    children: Vec<Child>,
    over: Arc<AtomicBool>,
    refreshing: Option<JoinHandle<()>>,
    /// Where one of our own making runs; it ends when this is dropped.
    _runtime: Option<tokio::runtime::Runtime>,
}

impl Relying {
    /// A free port.
    pub fn port() -> u16 {
        crate::free_port()
    }

    /// Starts Envoy, which answers 200 to every device that passes `validation`: the fields of a
    /// `validation_context`. Its files are written to `directory`.
    pub fn envoy(port: u16, directory: &Path, pki: &ServerPki, validation: &str) -> Relying {
        let tls = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3";
        let http = "type.googleapis.com/envoy.extensions.filters";
        let sds = directory.join("devices.yaml");
        let secret = format!(
            "resources:
- {{ \"@type\": {tls}.Secret, name: devices, validation_context: {{ {validation} }} }}
"
        );
        fs::write(&sds, secret).unwrap();
        let config = format!(
            "static_resources:
  listeners:
  - address: {{ socket_address: {{ address: 127.0.0.1, port_value: {port} }} }}
    filter_chains:
    - transport_socket:
        name: tls
        typed_config:
          \"@type\": {tls}.DownstreamTlsContext
          require_client_certificate: true
          disable_stateless_session_resumption: true
          disable_stateful_session_resumption: true
          common_tls_context:
            tls_certificates:
            - certificate_chain: {{ filename: {cert} }}
              private_key: {{ filename: {key} }}
            validation_context_sds_secret_config:
              name: devices
              sds_config: {{ path_config_source: {{ path: {sds} }}, resource_api_version: V3 }}
      filters:
      - name: http
        typed_config:
          \"@type\": {http}.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: devices
          route_config:
            virtual_hosts:
            - name: all
              domains: [\"*\"]
              routes: [{{ match: {{ prefix: / }}, direct_response: {{ status: 200 }} }}]
          http_filters:
          - {{ name: router, typed_config: {{ \"@type\": {http}.http.router.v3.Router }} }}
",
            cert = pki.cert.display(),
            key = pki.key.display(),
            sds = sds.display(),
        );
        let file = directory.join("envoy.yaml");
        fs::write(&file, config).unwrap();
        let mut command = Command::new("envoy");
        command.args(["--disable-hot-restart", "--concurrency", "1", "-l", "error"]);
        let names = ["--service-node", "gateway", "--service-cluster", "plant"];
        Relying::start(port, command.args(names).arg("-c").arg(file))
    }

    /// Starts a program that listens on `port`, and waits until it does.
    pub fn start(port: u16, command: &mut Command) -> Relying {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let child = command.spawn().unwrap();
        until("the relying party listens", || listens(address));
        Relying {
            address,
            children: vec![child],
            over: Arc::default(),
            refreshing: None,
            _runtime: None,
        }
    }

    /// Starts a service of our own making: rustls, with the means that a device's peer has.
    pub fn rustls(port: u16, pki: &ServerPki, anchors: &Path, checking: Checking) -> Relying {
        let anchors = tenure_x509::pem_certificates(&fs::read_to_string(anchors).unwrap()).unwrap();
        let acceptor = Acceptor::new(pki.identity(), &ders(&anchors), PATIENCE).unwrap();
        let checker = Arc::new(Checker::new(Freshness::Made, Duration::ZERO).unwrap());
        let anchors = Arc::new(anchors);
        let answer = move |chain: Vec<Vec<u8>>| {
            let (checker, anchors) = (Arc::clone(&checker), Arc::clone(&anchors));
            async move {
                match checking {
                    Checking::Off => "welcome\n",
                    Checking::On if is_good(&chain, &anchors, &checker).await => "welcome\n",
                    Checking::On => "refused\n",
                }
            }
        };
        Relying::of_ours(port, move || acceptor.clone(), answer)
    }

    /// Starts a service of our own making that reads its anchors from a file anew for each
    /// connection, and checks no revocation.
    pub fn following(port: u16, pki: &ServerPki, anchors: &Path) -> Relying {
        let (identity, anchors) = (pki.identity(), anchors.to_owned());
        let acceptor = move || {
            let text = fs::read_to_string(&anchors).unwrap();
            let held = tenure_x509::pem_certificates(&text).unwrap();
            Acceptor::new(identity.clone(), &ders(&held), PATIENCE).unwrap()
        };
        Relying::of_ours(port, acceptor, async |_| "welcome\n")
    }

    /// Starts a service of our own making that holds the lists as they are now, and asks nobody.
    pub fn listing(port: u16, pki: &ServerPki, trust: &Trust) -> Relying {
        let anchors = fs::read_to_string(trust.anchors()).unwrap();
        let anchors = tenure_x509::pem_certificates(&anchors).unwrap();
        let caller = Caller::plain();
        let lists: Vec<_> = (trust.addresses.iter())
            .map(|address| caller.get(address).body)
            .collect();
        let acceptor = Acceptor::with_lists(pki.identity(), &ders(&anchors), &lists, PATIENCE);
        let acceptor = acceptor.unwrap();
        Relying::of_ours(port, move || acceptor.clone(), async |_| "welcome\n")
    }

    /// Starts a service of our own making that holds what its feed brought to `feed`: rustls with the
    /// bundle and the lists that are in place, read anew when there are others.
    pub fn fed(port: u16, pki: &ServerPki, feed: &Path) -> Relying {
        let (identity, current) = (pki.identity(), feed.join("current"));
        let make = move |current: &Path| {
            let bundle = fs::read_to_string(current.join("bundle.pem")).unwrap();
            let anchors = ders(&tenure_x509::pem_certificates(&bundle).unwrap());
            let lists = fs::read_dir(current.join("crl")).unwrap();
            let lists: Vec<_> = lists
                .map(|list| fs::read(list.unwrap().path()).unwrap())
                .collect();
            Acceptor::with_lists(identity.clone(), &anchors, &lists, PATIENCE).unwrap()
        };
        let mut held = (fs::read_link(&current).unwrap(), make(&current));
        let acceptor = move || {
            let set = fs::read_link(&current).unwrap();
            if set != held.0 {
                held = (set, make(&current));
            }
            held.1.clone()
        };
        Relying::of_ours(port, acceptor, async |_| "welcome\n")
    }

    /// A service of our own making: with each connection it asks for what to accept it with, and it says
    /// `answer` to whoever comes in with this chain.
    fn of_ours<A>(
        port: u16,
        mut acceptor: impl FnMut() -> Acceptor + Send + 'static,
        answer: impl Fn(Vec<Vec<u8>>) -> A + Clone + Send + 'static,
    ) -> Relying
    where
        A: Future<Output = &'static str> + Send,
    {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let socket = runtime
            .block_on(tokio::net::TcpListener::bind(address))
            .unwrap();
        runtime.spawn(async move {
            while let Ok((tcp, _)) = socket.accept().await {
                let (acceptor, answer) = (acceptor(), answer.clone());
                tokio::spawn(async move {
                    let Ok(mut peer) = acceptor.accept(tcp).await else {
                        return;
                    };
                    let said = answer(std::mem::take(&mut peer.chain)).await;
                    let _ = peer.stream.write_all(said.as_bytes()).await;
                    let _ = peer.stream.shutdown().await;
                });
            }
        });
        Relying {
            address,
            children: Vec::new(),
            over: Arc::default(),
            refreshing: None,
            _runtime: Some(runtime),
        }
    }

    /// Fetches new lists as soon as there are any, and calls `reload` with each.
    pub fn refreshed(mut self, trust: Trust, reload: impl Fn() + Send + 'static) -> Relying {
        let over = Arc::clone(&self.over);
        self.refreshing = Some(std::thread::spawn(move || {
            while !over.load(Ordering::Relaxed) {
                if trust.refresh() {
                    reload();
                }
                // How often a relying party of this kind looks for new lists.
                std::thread::sleep(Duration::from_millis(250));
            }
        }));
        self
    }

    /// The process that listens.
    pub fn id(&self) -> u32 {
        self.children[0].id()
    }
}

fn ders(certs: &[Cert]) -> Vec<Vec<u8>> {
    certs.iter().map(|cert| cert.der().to_vec()).collect()
}

/// Whether the status of a certificate is good this moment.
async fn is_good(chain: &[Vec<u8>], anchors: &[Cert], checker: &Checker) -> bool {
    let certs: Vec<_> = chain
        .iter()
        .map(|der| Cert::from_der(der).unwrap())
        .collect();
    let (leaf, between) = certs.split_first().unwrap();
    match path::validate(leaf, between, anchors, now(), Purpose::ClientAuth) {
        Ok(chain) => match checker.check(&chain).await {
            Ok(checked) => checked.verdict() == Verdict::Good,
            Err(_) => false,
        },
        Err(_) => false,
    }
}

impl Drop for Relying {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(refreshing) = self.refreshing.take() {
            let _ = refreshing.join();
        }
        for child in &mut self.children {
            // SIGTERM first: nginx takes its workers along only then.
            let _ = Command::new("kill").arg(child.id().to_string()).status();
            let deadline = std::time::Instant::now() + Duration::from_secs(5);
            while child.try_wait().is_ok_and(|ended| ended.is_none()) {
                if std::time::Instant::now() > deadline {
                    let _ = child.kill();
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }
}

/// Tells a process to read its files again.
pub fn hang_up(id: u32) {
    let sent = Command::new("kill")
        .args(["-s", "HUP", &id.to_string()])
        .status();
    assert!(sent.unwrap().success());
}
