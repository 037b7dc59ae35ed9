//! One root takes over from another while devices go on connecting to relying parties of three kinds that
//! hold nothing but roots, and the cross-certificates lead from each root to the other.

use std::fs;

use tenure_domain::relying_party::PeerProtocol;
use tenure_field::device::{Keeper, Place, Progress, Proof};
use tenure_field::http::Trust;
use tenure_field::probe::{self, Target, Visit};
use tenure_tests::http::{Caller, request};
use tenure_tests::relying::{Checking, Relying, ServerPki};
use tenure_tests::{House, have, text, until};
use tenure_wire::est::Credentials;
use tenure_x509::{Cert, KeyKind, KeyPair};

use super::TENURE;
use super::rollover::{
    Held, Party, Scene, ca_certs, enrolled, enrolled_as, issuing, refused, register, renewed,
    stage, start_openssl,
};

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

/// Whether a relying party lets this device in.
fn lets_in(party: &Party, pki: &ServerPki, held: &Held) -> bool {
    let target = Target {
        address: format!("127.0.0.1:{}", party.port),
        server_name: "127.0.0.1".to_owned(),
        trust: Trust::from_pem(&fs::read_to_string(&pki.anchor).unwrap()).unwrap(),
        protocol: PeerProtocol::Tls,
    };
    match runtime().block_on(probe::visit(&target, held.identity())) {
        Visit::Accepted(_) => true,
        Visit::Refused(_) => false,
        Visit::Unreachable(why) => panic!("{why}"),
    }
}

/// What one root certified of another: NewWithOld or OldWithNew.
fn cross(house: &House, name: &str) -> Cert {
    let output = house.tenure(&["issuer", "export", name, "--cross"]);
    let pem = String::from_utf8(output.stdout).unwrap();
    let mut found = tenure_x509::pem_certificates(&pem).unwrap();
    assert_eq!(found.len(), 1);
    found.remove(0)
}

/// Leaves out: Java and mbedTLS.
#[test]
fn e6_a_root_is_rolled_over_without_one_failed_handshake() {
    if !have("openssl") || !have("envoy") {
        return;
    }
    let mut house = House::serve(TENURE);
    let pki = ServerPki::new(house.directory());
    let (root, first) = (issuing(&house, "root"), issuing(&house, "issuing-1"));
    let device = enrolled(&house, "pump-1", &first);
    let scene = Scene::start(&house, &pki, &root, &device);

    // A device of our own making, which was given the former root and nothing else.
    let (runtime, agent) = (runtime(), house.directory().join("agent"));
    let secret = house.device("pump-7");
    let est = house.est("");
    let place = Place {
        url: est.split("/.well-known").next().unwrap().to_owned(),
        label: Some("device".to_owned()),
        device: "pump-7".to_owned(),
    };
    let keeper = Keeper::create(&agent, place, &root.pem()).unwrap();
    let proof = Proof::Secret(Credentials::new("pump-7", &secret).unwrap());
    runtime
        .block_on(keeper.enroll_once(&proof, KeyKind::P256))
        .unwrap();
    drop(keeper);
    let renews = |by: &Cert| {
        // As after a restart: all it knows is in its directory.
        let keeper = Keeper::open(&agent).unwrap();
        let renewed = runtime.block_on(keeper.renew_once(KeyKind::P256)).unwrap();
        let Progress::Issued(cert) = renewed else {
            panic!("not renewed");
        };
        cert.verify_signed_by(by.public_key()).unwrap();
        let held = fs::read_to_string(agent.join("anchors.pem")).unwrap();
        tenure_x509::pem_certificates(&held).unwrap().len()
    };

    // The old root's file as a device or an operator elsewhere has it, who learns nothing of this.
    let before = house.directory().join("as-it-was.pem");
    fs::write(&before, root.pem()).unwrap();

    house.stop();
    house.tell(&["issuer", "rollover", "begin", "root"]);
    house.start();
    let (new_root, second) = (issuing(&house, "root-2"), issuing(&house, "issuing-2"));
    assert_ne!(root.subject(), new_root.subject());
    second.verify_signed_by(new_root.public_key()).unwrap();
    let [new_with_old, old_with_new] = ["root-2", "root"].map(|name| cross(&house, name));
    let carries = |wanted: &Cert| ca_certs(&house).iter().any(|c| c.der() == wanted.der());
    let of_both = [&new_root, &second, &new_with_old, &old_with_new];
    assert!(!of_both.into_iter().any(carries), "only prepared");
    house.tell(&["issuer", "rollover", "distribute", "root-2"]);
    assert_eq!(stage(&house, "issuing-2")["state"], "distributed");
    assert!(of_both.into_iter().all(carries) && carries(&root) && carries(&first));
    let bundle = house.tell(&["trust-store", "bundle", "late", "--roots"]);
    for cert in [&root, &new_root, &new_with_old, &old_with_new] {
        assert!(bundle.contains(cert.pem().trim()), "{}", cert.subject());
    }
    scene.activates(&house, "root-2", &[&root, &new_root]);
    let other = enrolled(&house, "pump-2", &second);
    scene.traffic.shows(other.clone(), None);
    scene.traffic.goes_on();
    assert_eq!(renews(&second), 2, "it was led to the new root");

    // Who has only one of the roots finds the way by what the one certified of the other, and only so.
    let through = |held: &Held, cross: &Cert| Held {
        above: held.above.iter().chain([cross]).cloned().collect(),
        ..held.clone()
    };
    let held_by = |name, anchor: &Cert| {
        let party = Party::new(&house, name, "tls");
        party.hold(&[anchor]);
        party
    };
    for (anchor, native, foreign, cross) in [
        (&root, &device, &other, &new_with_old),
        (&new_root, &other, &device, &old_with_new),
    ] {
        let ours = held_by("pinned-rustls", anchor);
        ours.run(Relying::following(ours.port, &pki, &ours.anchors()));
        let theirs = held_by("pinned-openssl", anchor);
        start_openssl(&theirs, &pki);
        for pinned in [&ours, &theirs] {
            let sees = [
                lets_in(pinned, &pki, native),
                lets_in(pinned, &pki, foreign),
                lets_in(pinned, &pki, &through(foreign, cross)),
            ];
            assert_eq!(
                sees,
                [true, false, true],
                "{} {}",
                pinned.name,
                anchor.subject()
            );
        }
    }

    scene.goes_back_and_forth(&house, "root-2", &first);

    // What is below the former root is replaced, then it goes.
    let taint = [
        "issuer",
        "rollover",
        "taint",
        "root",
        "--why",
        "it is followed",
    ];
    house.tell(&taint);
    assert_eq!(stage(&house, "issuing-1")["state"], "tainted");
    // The server's own certificate is by the new root now, and who knows only the former is led there.
    until("the server shows its new certificate", || {
        let answer = Caller::new(&before).get(&house.est("cacerts"));
        let shown = Cert::from_der(&answer.peer_chain[0]).unwrap();
        shown.issuer() == second.subject()
    });
    let renewal = renewed(&house, "pump-1", &device, &second);
    scene.traffic.shows(renewal, Some(&device));
    scene.lets_go(&house, "root", &["pump-1", "pump-3", "pump-7"], &new_root);
    let remove = ["issuer", "rollover", "remove", "root"];
    let why = refused(&house, &remove);
    let named = format!("root-2/{}", old_with_new.serial());
    assert!(why.contains(&named), "{why}");
    let reason = ["--reason", "superseded", "--yes"];
    let mut revoke = vec!["cert", "revoke", &named];
    revoke.extend(reason);
    house.tell(&revoke);
    house.tell(&remove);
    assert_eq!(stage(&house, "issuing-1")["state"], "removed");
    assert!(!carries(&root) && !carries(&first) && !carries(&old_with_new));
    assert!(carries(&new_root) && carries(&second));
    house.stop();
    house.tell(&["issuer", "crl-refresh", "root-2"]);
    house.start();
    let list = Caller::plain().get(&house.public("/crl/root-2/full.crl"));
    let list = tenure_x509::crl::Crl::from_der(&list.body).unwrap();
    assert!(list.find(old_with_new.serial()).unwrap().is_some());
    assert_eq!(renews(&second), 2, "and needs the former no more");
    scene.traffic.goes_on();
    let handshakes = scene.traffic.end();
    assert!(handshakes > 40, "{handshakes}");
}

/// The policy with a profile for each of these issuers beside `device`.
fn with_domains(document: &str, issuers: &[&str]) -> String {
    let begin = document.find("[[profile]]\nname = \"device\"\n").unwrap();
    let rest = &document[begin + 2..];
    let end = rest
        .find("\n[[")
        .map_or(document.len(), |at| begin + 2 + at);
    let mut text = document.to_owned();
    let mut known = "profiles = [\"device\", \"device-server\"".to_owned();
    for issuer in issuers {
        let own = format!("name = \"{issuer}\"\nissuer = \"{issuer}\"\n");
        let block = document[begin..end].replacen("name = \"device\"\n", &own, 1);
        text = format!("{text}\n{block}\n");
        let more = format!("{known}, \"{issuer}\"");
        text = text.replace(&known, &more);
        known = more;
    }
    text
}

struct Domain {
    name: &'static str,
    ca: Cert,
    /// Of two kinds; both hold its root and nothing else.
    parties: [Party; 2],
    device: Held,
}

impl Domain {
    fn new(house: &House, pki: &ServerPki, name: &'static str, root: &str, label: &str) -> Domain {
        let (root, ca) = (issuing(house, root), issuing(house, name));
        ca.verify_signed_by(root.public_key()).unwrap();
        let openssl = match label {
            "device" => "first-openssl",
            "valves-1" => "valves-openssl",
            _ => "cameras-openssl",
        };
        let parties = [
            Party::new(house, name, "tls"),
            Party::new(house, openssl, "tls"),
        ];
        for party in &parties {
            party.hold(&[&root]);
        }
        let [ours, theirs] = &parties;
        let checking = Checking::On;
        ours.run(Relying::rustls(ours.port, pki, &ours.anchors(), checking));
        start_openssl(theirs, pki);
        register(house, name, ours, pki, "high");
        house.tell(&["relying-party", "edit", name, "--issuers", name]);
        let device = enrolled_as(house, label, &format!("of-{name}"), &ca);
        Domain {
            name,
            ca,
            parties,
            device,
        }
    }
}

/// How the matrix of the probes stands: who let in whose good canary.
fn matrix(house: &House) -> Vec<(String, String, String)> {
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let mut seen = Vec::new();
    for row in house.ask(&["probe", "matrix"]).as_array().unwrap() {
        for cell in row["cells"].as_array().unwrap() {
            if cell["canary"] == "valid" || cell["canary"] == "other-issuer" {
                seen.push((
                    text(&row["relying_party"]),
                    text(&cell["issuer"]),
                    text(&cell["reception"]),
                ));
            }
        }
    }
    seen
}

/// Three trust domains with nothing above them in common: whatever belongs to one fails at every relying
/// party of the others, and when the key of one is in other hands the others go on.
#[test]
fn e6_three_domains_with_roots_of_their_own_have_nothing_in_common() {
    if !have("openssl") {
        return;
    }
    let mut house = House::found(TENURE);
    for (root, issuer) in [("valves", "valves-1"), ("cameras", "cameras-1")] {
        house.tell(&["issuer", "add", root, "--kind", "root"]);
        let below = ["issuer", "add", issuer, "--kind", "issuing"];
        house.tell(&[below.as_slice(), &["--under", root]].concat());
    }
    house.start();
    let names = ["issuing-1", "valves-1", "cameras-1"];
    let policy = with_domains(&house.tell(&["policy", "show"]), &names[1..]);
    fs::write(house.directory().join("policy.toml"), policy).unwrap();
    house.tell(&["policy", "apply", "policy.toml", "--yes"]);
    // Registers what every device needs.
    house.device("nobody");
    let pki = ServerPki::new(house.directory());
    let domains = [
        Domain::new(&house, &pki, "issuing-1", "root", "device"),
        Domain::new(&house, &pki, "valves-1", "valves", "valves-1"),
        Domain::new(&house, &pki, "cameras-1", "cameras", "cameras-1"),
    ];
    let as_it_should_be = || {
        for at in &domains {
            for of in &domains {
                for party in &at.parties {
                    let is_in = lets_in(party, &pki, &of.device);
                    assert_eq!(is_in, at.name == of.name, "{} at {}", of.name, at.name);
                }
            }
        }
        let probed = house.tenure(&["probe", "run"]);
        let seen = matrix(&house);
        assert!(probed.status.success(), "{}{seen:?}", text(&probed.stderr));
        assert_eq!(seen.len(), 9, "{seen:?}");
        for (party, issuer, reception) in seen {
            let expected = if party == issuer {
                "accepted"
            } else {
                "refused"
            };
            assert_eq!(reception, expected, "{issuer} at {party}");
        }
    };
    as_it_should_be();
    // Whoever asks without a label learns of the first domain alone, and with one of that one alone.
    let roots = ["root", "valves", "cameras"].map(|name| issuing(&house, name));
    for (label, own) in [("", 0), ("device/", 0), ("valves-1/", 1), ("cameras-1/", 2)] {
        let answer = Caller::new(&house.root()).get(&house.est(&format!("{label}cacerts")));
        let carried = tenure_field::est::parse_certs(&answer.body).unwrap();
        for (n, root) in roots.iter().enumerate() {
            let is_there = carried.iter().any(|cert| cert.der() == root.der());
            assert_eq!(is_there, n == own, "{label} {}", root.subject());
        }
    }
    assert_eq!(
        house.ask(&["finding", "list", "--state", "open"]),
        serde_json::json!([])
    );

    // One is compromised: it signs nothing new, and what it concerns is known at once.
    let told = [
        "compromise",
        "issuer",
        "issuing-1",
        "--why",
        "opened",
        "--yes",
    ];
    let asked = std::time::Instant::now();
    let standing = house.ask(&told);
    assert!(asked.elapsed().as_secs() < 5, "{:?}", asked.elapsed());
    // Its device; our own server and responder are the first wave.
    assert_eq!(
        standing["waves"][1]["criticality"], "medium",
        "{standing:#}"
    );
    assert_eq!(
        standing["waves"][1]["devices"]["devices"], 1,
        "{standing:#}"
    );
    assert_eq!(
        house.ask(&["issuer", "show", "issuing-1"])["state"],
        "tainted"
    );
    let status = |label: &str, id: &str| {
        let secret = house.device(id);
        let key = KeyPair::generate(KeyKind::P256).unwrap();
        let url = house.est(&format!("{label}/simpleenroll"));
        let answer =
            Caller::new(&house.root()).enroll(&url, &request(&key, id), Some((id, &secret)));
        answer.status.as_u16()
    };
    assert_ne!(status("device", "pump-9"), 200);
    assert_eq!(status("valves-1", "valve-9"), 200);
    assert_eq!(status("cameras-1", "camera-9"), 200);
    let withdraw = [
        "compromise",
        "withdraw",
        "1",
        "--criticality",
        "medium",
        "--all",
        "--yes",
    ];
    assert_eq!(house.ask(&withdraw)["certificates"], 1);
    let [hit, others @ ..] = &domains;
    until("its relying party refuses what it signed", || {
        !lets_in(&hit.parties[0], &pki, &hit.device)
    });
    for domain in others {
        assert!(
            domain
                .parties
                .iter()
                .all(|party| lets_in(party, &pki, &domain.device))
        );
        let held = house.ask(&["cert", "show", &domain.device.cert.serial().to_string()]);
        assert_eq!(held["status"], "issued");
        house.tell(&["probe", "run", "--relying-party", domain.name]);
        assert_eq!(domain.device.cert.issuer(), domain.ca.subject());
    }
    // The drill is done for a domain that is sound, and finds nothing of the others in reach.
    let drilled = house.ask(&["drill", "compromise", "--issuer", "valves-1"]);
    assert_eq!(drilled["verdict"], "passed", "{drilled:#}");
}
