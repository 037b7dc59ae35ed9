//! One issuing CA takes over from another while devices go on connecting to relying parties of three
//! kinds, which hold the issuing CAs themselves as trust anchors.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::Value;
use tenure_domain::relying_party::PeerProtocol;
use tenure_field::http::{Identity, Trust};
use tenure_field::probe::{self, Target, Visit};
use tenure_tests::http::{Caller, certificate, identity, request};
use tenure_tests::relying::{Relying, ServerPki};
use tenure_tests::{House, have, text, tool, until};
use tenure_x509::{Cert, KeyKind, KeyPair};

use super::TENURE;

/// A relying party with a trust store of its own, which can be changed while it serves.
pub(super) struct Party {
    pub(super) name: &'static str,
    pub(super) port: u16,
    /// Where devices come in: OpenSSL serves one connection after the other, and what a probe holds
    /// open must not keep a device waiting.
    devices: u16,
    protocol: &'static str,
    /// Where its trust store is.
    pub(super) store: PathBuf,
    pub(super) running: Mutex<Vec<Relying>>,
    /// Held while somebody connects; a planned pause takes it alone.
    pub(super) open: RwLock<()>,
}

fn directory(house: &House, name: &str) -> PathBuf {
    let directory = house.directory().join(name);
    fs::create_dir_all(&directory).unwrap();
    directory
}

impl Party {
    pub(super) fn new(house: &House, name: &'static str, protocol: &'static str) -> Party {
        let port = Relying::port();
        Party {
            name,
            port,
            devices: match name {
                "openssl" => Relying::port(),
                _ => port,
            },
            protocol,
            store: directory(house, name),
            running: Mutex::default(),
            open: RwLock::default(),
        }
    }

    pub(super) fn run(&self, running: Relying) {
        self.running.lock().unwrap().push(running);
    }

    pub(super) fn anchors(&self) -> PathBuf {
        self.store.join("ca.pem")
    }

    /// Puts these anchors in its store, as a whole.
    pub(super) fn hold(&self, anchors: &[&Cert]) {
        let pem: String = anchors.iter().map(|anchor| anchor.pem()).collect();
        let draft = self.store.join("ca.new");
        fs::write(&draft, pem).unwrap();
        fs::rename(&draft, self.anchors()).unwrap();
    }
}

/// OpenSSL reads a directory of anchors whenever it meets an issuer it does not know, and keeps what
/// it has read until it is started again.
pub(super) fn start_openssl(party: &Party, pki: &ServerPki) {
    let store = party.store.join("hashed");
    let _ = fs::remove_dir_all(&store);
    fs::create_dir_all(&store).unwrap();
    rehash(party, &store);
    let mut ports = vec![party.port, party.devices];
    ports.dedup();
    for port in ports {
        let mut command = Command::new("openssl");
        command
            .args(["s_server", "-accept", &format!("127.0.0.1:{port}")])
            .args(["-Verify", "2", "-verify_return_error", "-www", "-no_ticket"])
            .arg("-partial_chain")
            .arg("-verifyCApath")
            .arg(&store)
            .arg("-cert")
            .arg(&pki.cert)
            .arg("-key")
            .arg(&pki.key);
        party.run(Relying::start(port, &mut command));
    }
}

pub(super) fn rehash(party: &Party, store: &Path) {
    let anchors = fs::read_to_string(party.anchors()).unwrap();
    for (n, anchor) in tenure_x509::pem_certificates(&anchors)
        .unwrap()
        .iter()
        .enumerate()
    {
        fs::write(store.join(format!("{n}.pem")), anchor.pem()).unwrap();
    }
    let store = store.display().to_string();
    tool(&party.store, "openssl", &["rehash", &store], b"");
}

pub(super) fn start_envoy(party: &Party, pki: &ServerPki) {
    let validation = format!(
        "trusted_ca: {{ filename: {} }}, watched_directory: {{ path: {} }}",
        party.anchors().display(),
        party.store.display()
    );
    party.run(Relying::envoy(party.port, &party.store, pki, &validation));
}

/// A device's certificate with what it shows above it.
#[derive(Clone)]
pub(super) struct Held {
    pub(super) cert: Cert,
    /// Nearest first, without the root.
    pub(super) above: Vec<Cert>,
    pub(super) key: Arc<KeyPair>,
}

impl Held {
    pub(super) fn identity(&self) -> Identity {
        let shown = std::iter::once(&self.cert).chain(&self.above);
        Identity {
            chain: shown.map(|cert| cert.der().to_vec()).collect(),
            key: self.key.to_pkcs8().unwrap(),
        }
    }
}

/// Devices that connect to relying parties again and again, each with every certificate that devices
/// hold at the moment.
pub(super) struct Traffic {
    pub(super) held: Arc<RwLock<Vec<Held>>>,
    over: Arc<AtomicBool>,
    good: Arc<AtomicUsize>,
    bad: Arc<Mutex<Vec<String>>>,
    threads: Vec<JoinHandle<()>>,
}

impl Traffic {
    pub(super) fn start(parties: &[Arc<Party>], pki: &ServerPki, held: Held) -> Traffic {
        let held = Arc::new(RwLock::new(vec![held]));
        let (over, good, bad) = (Arc::default(), Arc::default(), Arc::default());
        let trust = Trust::from_pem(&fs::read_to_string(&pki.anchor).unwrap()).unwrap();
        let mut traffic = Traffic {
            held,
            over,
            good,
            bad,
            threads: Vec::new(),
        };
        for party in parties {
            let target = Target {
                address: format!("127.0.0.1:{}", party.devices),
                server_name: "127.0.0.1".to_owned(),
                trust: trust.clone(),
                protocol: party.protocol.parse::<PeerProtocol>().unwrap(),
            };
            let (held, over) = (Arc::clone(&traffic.held), Arc::clone(&traffic.over));
            let (good, bad) = (Arc::clone(&traffic.good), Arc::clone(&traffic.bad));
            let party = Arc::clone(party);
            traffic.threads.push(std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .unwrap();
                while !over.load(Ordering::Relaxed) {
                    let now = held.read().unwrap().clone();
                    for each in now {
                        let _open = party.open.read().unwrap();
                        // What was given up meanwhile is shown no more.
                        let holds = held.read().unwrap();
                        if !holds.iter().any(|held| held.cert.der() == each.cert.der()) {
                            continue;
                        }
                        match runtime.block_on(probe::visit(&target, each.identity())) {
                            Visit::Accepted(_) => good.fetch_add(1, Ordering::Relaxed),
                            other => {
                                let issuer = each.cert.issuer();
                                let said = format!("{} ({issuer}): {other:?}", party.name);
                                bad.lock().unwrap().push(said);
                                0
                            }
                        };
                    }
                    // How often a device comes back.
                    std::thread::sleep(Duration::from_millis(50));
                }
            }));
        }
        traffic
    }

    /// Waits until all have connected some more times.
    pub(super) fn goes_on(&self) {
        let before = self.good.load(Ordering::Relaxed);
        until("devices have connected some more", || {
            self.no_failure();
            self.good.load(Ordering::Relaxed) > before + 6
        });
    }

    /// Devices hold this one, too; or, in place of another, this one alone.
    pub(super) fn shows(&self, held: Held, in_place_of: Option<&Held>) {
        let mut holds = self.held.write().unwrap();
        if let Some(former) = in_place_of {
            holds.retain(|held| held.cert.der() != former.cert.der());
        }
        holds.push(held);
    }

    fn no_failure(&self) {
        assert_eq!(*self.bad.lock().unwrap(), [""; 0], "failed handshakes");
    }

    pub(super) fn end(mut self) -> usize {
        self.over.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            thread.join().unwrap();
        }
        self.no_failure();
        self.good.load(Ordering::Relaxed)
    }
}

/// Ten relying parties of three kinds that hold an anchor, and devices that connect to them: who is to be
/// followed may be an issuing CA or a root.
pub(super) struct Scene<'a> {
    pki: &'a ServerPki,
    openssl: Arc<Party>,
    envoy: Arc<Party>,
    rustls: Arc<Party>,
    pub(super) late: Arc<Party>,
    pub(super) traffic: Traffic,
}

impl<'a> Scene<'a> {
    pub(super) fn start(house: &House, pki: &'a ServerPki, anchor: &Cert, device: &Held) -> Self {
        let party = |name, protocol| Arc::new(Party::new(house, name, protocol));
        let parties = [
            party("openssl", "tls"),
            party("envoy", "https"),
            party("rustls", "tls"),
            party("late", "tls"),
        ];
        for party in &parties {
            party.hold(&[anchor]);
        }
        let [openssl, envoy, rustls, late] = &parties;
        start_openssl(openssl, pki);
        start_envoy(envoy, pki);
        for party in [rustls, late] {
            party.run(Relying::following(party.port, pki, &party.anchors()));
        }
        // Ten relying parties: six gates stand behind the rustls service.
        for (party, criticality) in parties.iter().zip(["high", "high", "safety", "medium"]) {
            register(house, party.name, party, pki, criticality);
        }
        for n in 1..=6 {
            register(house, &format!("gate-{n}"), rustls, pki, "medium");
        }
        let traffic = Traffic::start(&parties, pki, device.clone());
        traffic.goes_on();
        let [openssl, envoy, rustls, late] = parties;
        Scene {
            pki,
            openssl,
            envoy,
            rustls,
            late,
            traffic,
        }
    }

    /// A successor that is distributed becomes active once all take the bundle with these anchors: nine
    /// of ten are not enough, not even by force.
    pub(super) fn activates(&self, house: &House, successor: &str, anchors: &[&Cert]) {
        let activate = ["issuer", "rollover", "activate", successor];
        let why = refused(house, &activate);
        assert!(why.contains("0 of 3 critical and 0 of 7 other"), "{why}");
        for party in [&self.openssl, &self.envoy, &self.rustls] {
            party.hold(anchors);
        }
        rehash(&self.openssl, &self.openssl.store.join("hashed"));
        self.traffic.goes_on();
        until("nine of ten accept it", || {
            probe_all(house);
            stage(house, successor)["accepted_by"]["ready"] == 9
        });
        let why = refused(house, &activate);
        assert!(why.contains("not: late"), "{why}");
        let mut forced = activate.to_vec();
        forced.extend(["--why", "the old one is weak"]);
        assert!(refused(house, &forced).contains("not: late"));
        self.late.hold(anchors);
        probe_all(house);
        house.tell(&activate);
    }

    /// Back from active, when `former` signs again, and forth.
    pub(super) fn goes_back_and_forth(&self, house: &House, successor: &str, former: &Cert) {
        let back = ["issuer", "rollover", "back", successor, "--why", "a doubt"];
        house.tell(&back);
        enrolled(house, "pump-3", former);
        house.tell(&["issuer", "rollover", "activate", successor]);
        self.traffic.goes_on();
    }

    /// What stands against the removal of a former one is taken away, one after the other, until all of
    /// them hold `anchor` alone: the certificates that `issuing-1` made for these devices, then the trust
    /// of the relying parties.
    pub(super) fn lets_go(&self, house: &House, former: &str, devices: &[&str], anchor: &Cert) {
        let remove = ["issuer", "rollover", "remove", former];
        let why = refused(house, &remove);
        assert!(why.contains("pump-1") && why.contains("pump-3"), "{why}");
        for id in devices {
            let held = house.ask(&["cert", "list", "--device", id]);
            for cert in held.as_array().unwrap() {
                if cert["issuer"] == "issuing-1" {
                    let serial = cert["serial"].as_str().unwrap();
                    house.tell(&["cert", "revoke", serial, "--reason", "superseded", "--yes"]);
                }
            }
        }
        let why = refused(house, &remove);
        assert!(why.contains("0 of 3 critical"), "{why}");
        for party in [&self.openssl, &self.envoy, &self.rustls, &self.late] {
            party.hold(&[anchor]);
        }
        {
            let _pause = self.openssl.open.write().unwrap();
            self.openssl.running.lock().unwrap().clear();
            start_openssl(&self.openssl, self.pki);
        }
        until("all refuse the former one", || {
            probe_all(house);
            stage(house, former)["refused_by"]["ready"] == 10
        });
    }
}

pub(super) fn issuing(house: &House, name: &str) -> Cert {
    let der = Caller::plain().get(&house.public(&format!("/ca/{name}.cer")));
    Cert::from_der(&der.body).unwrap()
}

pub(super) fn ca_certs(house: &House) -> Vec<Cert> {
    let answer = Caller::new(&house.root()).get(&house.est("cacerts"));
    tenure_field::est::parse_certs(&answer.body).unwrap()
}

pub(super) fn enrolled(house: &House, id: &str, above: &Cert) -> Held {
    enrolled_as(house, "device", id, above)
}

pub(super) fn enrolled_as(house: &House, label: &str, id: &str, above: &Cert) -> Held {
    let secret = house.device(id);
    let key = KeyPair::generate(KeyKind::P256).unwrap();
    let answer = Caller::new(&house.root()).enroll(
        &house.est(&format!("{label}/simpleenroll")),
        &request(&key, id),
        Some((id, &secret)),
    );
    held(certificate(&answer), above, key)
}

pub(super) fn renewed(house: &House, id: &str, from: &Held, above: &Cert) -> Held {
    let key = KeyPair::generate(KeyKind::P256).unwrap();
    let caller = Caller::with_identity(&house.root(), identity(&from.cert, &from.key));
    let answer = caller.enroll(&house.est("simplereenroll"), &request(&key, id), None);
    held(certificate(&answer), above, key)
}

fn held(cert: Cert, above: &Cert, key: KeyPair) -> Held {
    cert.verify_signed_by(above.public_key()).unwrap();
    Held {
        cert,
        above: vec![above.clone()],
        key: Arc::new(key),
    }
}

pub(super) fn register(
    house: &House,
    name: &str,
    party: &Party,
    pki: &ServerPki,
    criticality: &str,
) {
    let address = format!("127.0.0.1:{}", party.port);
    let anchors = pki.anchor.display().to_string();
    house.tell(&[
        "relying-party",
        "add",
        name,
        "--address",
        &address,
        "--protocol",
        party.protocol,
        "--anchors",
        &anchors,
        "--services",
        "telemetry",
        "--owner",
        "Hydraulics",
        "--site",
        "Hall 3",
        "--criticality",
        criticality,
        "--enforce-within",
        "1",
    ]);
}

pub(super) fn refused(house: &House, arguments: &[&str]) -> String {
    let output = house.tenure(arguments);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stdout));
    text(&output.stderr)
}

/// None of the relying parties here checks revocation, so a round of probes fails as a whole; what
/// it saw of the issuers is what is wanted.
fn probe_all(house: &House) {
    house.tenure(&["probe", "run"]);
}

pub(super) fn stage(house: &House, name: &str) -> Value {
    let progress = house.ask(&["issuer", "rollover", "status", name]);
    let stages = progress["issuers"].as_array().unwrap();
    let found = stages.iter().find(|stage| stage["name"] == name);
    found.unwrap().clone()
}

/// Leaves out: Java and mbedTLS.
#[test]
fn e6_an_issuing_ca_is_rolled_over_without_one_failed_handshake() {
    if !have("openssl") || !have("envoy") {
        return;
    }
    let mut house = House::serve(TENURE);
    let pki = ServerPki::new(house.directory());
    let first = issuing(&house, "issuing-1");
    let device = enrolled(&house, "pump-1", &first);
    let scene = Scene::start(&house, &pki, &first, &device);

    // The root signs while the server is stopped; devices go on connecting to relying parties.
    house.stop();
    house.tell(&["issuer", "rollover", "begin", "issuing-1"]);
    house.start();
    let second = issuing(&house, "issuing-2");
    assert_ne!(first.subject(), second.subject());
    assert_eq!(second.authority_key_id(), first.authority_key_id());
    assert!(second.subject_key_id().is_some());
    let carries = |wanted: &Cert| ca_certs(&house).iter().any(|c| c.der() == wanted.der());
    assert!(!carries(&second), "only prepared");
    house.tell(&["issuer", "rollover", "distribute", "issuing-2"]);
    assert!(carries(&first) && carries(&second));
    scene.activates(&house, "issuing-2", &[&first, &second]);
    let other = enrolled(&house, "pump-2", &second);
    scene.traffic.shows(other, None);
    scene.traffic.goes_on();
    scene.goes_back_and_forth(&house, "issuing-2", &first);

    // What the former issuer signed is replaced, then it goes.
    let taint = [
        "issuer",
        "rollover",
        "taint",
        "issuing-1",
        "--why",
        "it is replaced",
    ];
    house.tell(&taint);
    let renewal = renewed(&house, "pump-1", &device, &second);
    scene.traffic.shows(renewal, Some(&device));
    scene.lets_go(&house, "issuing-1", &["pump-1", "pump-3"], &second);
    house.tell(&["issuer", "rollover", "remove", "issuing-1"]);
    assert!(!carries(&first) && carries(&second));
    scene.traffic.goes_on();
    let handshakes = scene.traffic.end();
    assert!(handshakes > 40, "{handshakes}");

    // One that takes the former issuer back is found.
    scene.late.hold(&[&first, &second]);
    let named = ["probe", "run", "--relying-party", "late"];
    house.tenure(&named);
    let found = house.ask(&["finding", "list", "--state", "open"]);
    let found = found.as_array().unwrap().iter();
    let causes: Vec<_> = found
        .map(|f| (f["subject"].clone(), f["cause"].clone()))
        .collect();
    let wanted = (Value::from("late"), Value::from("superseded of issuing-1"));
    assert!(causes.contains(&wanted), "{causes:?}");
}
