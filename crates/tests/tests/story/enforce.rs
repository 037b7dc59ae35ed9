//! Trust withdrawn, and proven withdrawn: real relying parties, with and without checking, under the
//! prober's eyes. Everything here is asked of the command line.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tenure_tests::relying::{Checking, Relying, ServerPki, Trust, hang_up};
use tenure_tests::{House, have, text, until};

use super::TENURE;

/// A kind of relying party: how it is configured, started and told of new lists.
struct Kind {
    protocol: &'static str,
    /// What is found of it even when it checks at each handshake.
    known: &'static [&'static str],
    start: fn(&Place, u16, Checking) -> Relying,
    lists: Lists,
}

/// How a relying party comes to new lists.
#[derive(PartialEq, Eq)]
enum Lists {
    /// Somebody fetches them and sends it SIGHUP.
    HangUp,
    /// Somebody fetches them; it watches the file.
    Watched,
    /// It fetches them itself.
    Fetched,
}

/// Where a relying party keeps its files.
pub(super) struct Place {
    pub(super) directory: PathBuf,
    pub(super) pki: ServerPki,
}

impl Place {
    pub(super) fn path(&self, name: &str) -> String {
        self.directory.join(name).display().to_string()
    }

    pub(super) fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.directory.join(name);
        fs::write(&path, content).unwrap();
        path
    }
}

pub(super) fn place(house: &House) -> Place {
    let directory = house.directory().join("relying");
    fs::create_dir_all(&directory).unwrap();
    Place {
        pki: ServerPki::new(&directory),
        directory,
    }
}

pub(super) fn house() -> House {
    let house = House::serve(TENURE);
    house.tell(&["owner", "add", "Hydraulics"]);
    house.tell(&["site", "add", "Hall 3"]);
    house.tell(&["service", "add", "telemetry"]);
    house
}

pub(super) fn register(
    house: &House,
    name: &str,
    port: u16,
    protocol: &str,
    anchors: &Path,
    within: &str,
) {
    let address = format!("127.0.0.1:{port}");
    let anchors = anchors.display().to_string();
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
        "--criticality",
        "high",
        "--enforce-within",
        within,
    ]);
}

/// What a relying party did with each canary, and how.
pub(super) fn row(house: &House) -> Value {
    let matrix = house.ask(&["probe", "matrix"]);
    assert_eq!(matrix.as_array().unwrap().len(), 1);
    matrix[0].clone()
}

pub(super) fn open_findings(house: &House) -> Vec<String> {
    let found = house.ask(&["finding", "list", "--state", "open"]);
    let found = found.as_array().unwrap().iter();
    found
        .map(|finding| finding["kind"].as_str().unwrap().to_owned())
        .collect()
}

const REFUSED: [&str; 7] = [
    "revoked",
    "expired",
    "not-yet-valid",
    "wrong-usage",
    "other-domain",
    "look-alike",
    "constraint-breaker",
];

/// With checking on, all but the valid canary are refused and nothing is found. With checking off,
/// one cycle finds it, and one cycle after it is on again, nothing is left.
fn proves_and_catches(kind: &Kind) {
    let house = house();
    let place = place(&house);
    let port = Relying::port();
    let trust = || Trust::fetch(&house, &place.directory);
    drop(trust());
    register(
        &house,
        "party",
        port,
        kind.protocol,
        &place.pki.anchor,
        "30",
    );

    let start = |checking| {
        let running = (kind.start)(&place, port, checking);
        match kind.lists {
            Lists::HangUp => {
                let id = running.id();
                running.refreshed(trust(), move || hang_up(id))
            }
            Lists::Watched => running.refreshed(trust(), || {}),
            Lists::Fetched => running,
        }
    };
    let running = start(Checking::On);
    let probed = house.tenure(&["--json", "probe", "run", "--relying-party", "party"]);
    let shown = row(&house);
    assert!(probed.status.success(), "{}{shown:#}", text(&probed.stderr));
    assert_eq!(shown["verdict"], "proven", "{shown:#}");
    assert_eq!(shown["receptions"]["valid"], "accepted", "{shown:#}");
    for canary in REFUSED {
        assert_eq!(
            shown["receptions"][canary], "refused",
            "{canary}: {shown:#}"
        );
    }
    let probes: Value = serde_json::from_slice(&probed.stdout).unwrap();
    let took = probes[0]["enforced_ms"].as_i64().unwrap();
    assert!((1..30_000).contains(&took), "{took}");
    assert_eq!(open_findings(&house), kind.known, "{shown:#}");
    drop(running);

    house.tell(&["relying-party", "edit", "party", "--enforce-within", "2"]);
    let running = start(Checking::Off);
    let probed = house.tenure(&["probe", "run"]);
    assert_eq!(probed.status.code(), Some(1), "{}", text(&probed.stdout));
    assert!(text(&probed.stderr).contains("revoked of issuing-1 is accepted"));
    let shown = row(&house);
    assert_eq!(shown["verdict"], "failing", "{shown:#}");
    let found = open_findings(&house);
    assert!(found.contains(&"accepts-revoked".to_owned()), "{shown:#}");
    drop(running);

    house.tell(&["relying-party", "edit", "party", "--enforce-within", "30"]);
    let _running = start(Checking::On);
    let drilled = house.ask(&["drill", "revoke"]);
    assert_eq!(drilled["verdict"], "passed", "{drilled:#}");
    assert_eq!(open_findings(&house), kind.known);
    let known = house.ask(&["finding", "list", "--state", "cleared"]);
    assert_eq!(known[0]["kind"], "accepts-revoked", "{known:#}");
    let times = house.ask(&["probe", "times"]);
    assert_eq!(times["all"]["count"], 2, "{times:#}");
}

/// The commands of docs/relying-parties/nginx.md.
#[test]
fn g7_nginx_is_proven_and_caught() {
    if !have("nginx") {
        return;
    }
    proves_and_catches(&Kind {
        protocol: "https",
        known: &[],
        start: nginx,
        lists: Lists::HangUp,
    });
}

pub(super) fn nginx(place: &Place, port: u16, checking: Checking) -> Relying {
    let crl = match checking {
        Checking::On => format!("ssl_crl {};", place.path("crl.pem")),
        Checking::Off => String::new(),
    };
    let file = place.write(
        "nginx.conf",
        &format!(
            "daemon off; pid {pid}; error_log {log}; worker_processes 1; events {{}}
             http {{ access_log off;
               client_body_temp_path {t}; proxy_temp_path {t}; fastcgi_temp_path {t};
               uwsgi_temp_path {t}; scgi_temp_path {t};
               server {{ listen 127.0.0.1:{port} ssl;
                 ssl_certificate {cert}; ssl_certificate_key {key};
                 ssl_session_cache off; ssl_session_tickets off;
                 ssl_verify_client on; ssl_verify_depth 2; ssl_client_certificate {ca}; {crl}
                 location / {{ return 204; }} }} }}",
            pid = place.path("nginx.pid"),
            log = place.path("nginx.log"),
            t = place.path("nginx.tmp"),
            cert = place.pki.cert.display(),
            key = place.pki.key.display(),
            ca = place.path("ca.pem"),
        ),
    );
    Relying::start(
        port,
        Command::new("nginx")
            .arg("-c")
            .arg(&file)
            .arg("-e")
            .arg(place.path("nginx.log")),
    )
}

/// The commands of docs/relying-parties/mosquitto.md.
#[test]
fn g7_mosquitto_is_proven_and_caught() {
    if !have("mosquitto") {
        return;
    }
    proves_and_catches(&Kind {
        protocol: "mqtt",
        known: &["session-survives"],
        start: mosquitto,
        lists: Lists::HangUp,
    });
}

pub(super) fn mosquitto(place: &Place, port: u16, checking: Checking) -> Relying {
    let crl = match checking {
        Checking::On => format!("crlfile {}", place.path("crl.pem")),
        Checking::Off => String::new(),
    };
    let file = place.write(
        "mosquitto.conf",
        &format!(
            "user root\nlistener {port} 127.0.0.1\ncafile {ca}\ncertfile {cert}\nkeyfile {key}\n\
             require_certificate true\nuse_identity_as_username true\n{crl}\n",
            ca = place.path("ca.pem"),
            cert = place.pki.cert.display(),
            key = place.pki.key.display(),
        ),
    );
    Relying::start(port, Command::new("mosquitto").arg("-c").arg(file))
}

/// The commands of docs/relying-parties/openssl.md.
#[test]
fn g7_openssl_is_proven_and_caught() {
    if !have("openssl") {
        return;
    }
    proves_and_catches(&Kind {
        protocol: "tls",
        known: &[],
        start: openssl,
        lists: Lists::Fetched,
    });
}

fn openssl(place: &Place, port: u16, checking: Checking) -> Relying {
    let mut command = Command::new("openssl");
    command
        .args(["s_server", "-accept", &format!("127.0.0.1:{port}")])
        .args(["-Verify", "2", "-verify_return_error", "-www", "-no_ticket"])
        .arg("-verifyCAfile")
        .arg(place.path("ca.pem"))
        .arg("-cert")
        .arg(&place.pki.cert)
        .arg("-key")
        .arg(&place.pki.key);
    if checking == Checking::On {
        command.args(["-crl_check", "-crl_download"]);
    }
    Relying::start(port, &mut command)
}

/// What docs/relying-parties/rustls.md describes.
#[test]
fn g7_a_rustls_service_is_proven_and_caught() {
    proves_and_catches(&Kind {
        protocol: "tls",
        known: &[],
        start: |place, port, checking| {
            let anchors = PathBuf::from(place.path("ca.pem"));
            Relying::rustls(port, &place.pki, &anchors, checking)
        },
        lists: Lists::Fetched,
    });
}

/// The configuration of docs/relying-parties/envoy.md.
#[test]
fn g7_envoy_is_proven_and_caught() {
    if !have("envoy") {
        return;
    }
    proves_and_catches(&Kind {
        protocol: "https",
        known: &["session-survives"],
        start: envoy,
        lists: Lists::Watched,
    });
}

pub(super) fn envoy(place: &Place, port: u16, checking: Checking) -> Relying {
    let crl = match checking {
        Checking::On => format!(
            "crl: {{ filename: {} }}, watched_directory: {{ path: {} }}",
            place.path("crl.pem"),
            place.directory.display()
        ),
        Checking::Off => String::new(),
    };
    let validation = format!(
        "trusted_ca: {{ filename: {} }}, {crl}",
        place.path("ca.pem")
    );
    Relying::envoy(port, &place.directory, &place.pki, &validation)
}

pub(super) fn rustls(house: &House, name: &str, checking: Checking) -> (Relying, u16) {
    let place = place(house);
    let port = Relying::port();
    let trust = Trust::fetch(house, &place.directory);
    let running = Relying::rustls(port, &place.pki, &trust.anchors(), checking);
    register(house, name, port, "tls", &place.pki.anchor, "2");
    (running, port)
}

/// Leaves out: windows in which a prober at the site may visit.
#[test]
fn g7_one_that_lets_the_revoked_in_is_found_though_nobody_asks() {
    let mut house = House::found(TENURE);
    let file = house.data().join("tenure.toml");
    let known = fs::read_to_string(&file).unwrap();
    fs::write(&file, known + "\n[probe]\nevery_s = 1\n").unwrap();
    house.start();
    house.tell(&["owner", "add", "Hydraulics"]);
    house.tell(&["site", "add", "Hall 3"]);
    house.tell(&["service", "add", "telemetry"]);
    let (running, port) = rustls(&house, "party", Checking::Off);
    until("it is found", || {
        open_findings(&house) == ["accepts-revoked"]
    });
    let finding = &house.ask(&["finding", "list", "--state", "open"])[0];
    assert_eq!(finding["subject"], "party", "{finding:#}");
    assert_eq!(finding["owner"], "Hydraulics", "{finding:#}");
    let no = finding["no"].to_string();
    house.tell(&[
        "finding",
        "acknowledge",
        &no,
        "--why",
        "the new version comes tonight",
    ]);
    drop(running);
    let place = place(&house);
    house.tell(&[
        "relying-party",
        "edit",
        "party",
        "--anchors",
        &place.path("server-ca.pem"),
    ]);
    let anchors = PathBuf::from(place.path("ca.pem"));
    let _running = Relying::rustls(port, &place.pki, &anchors, Checking::On);
    until("it is cleared", || {
        house.ask(&["finding", "show", &no])["state"] == "cleared"
    });
}

/// Leaves out: devices behind a gateway, and lists that are pulled.
#[test]
fn g1_a_revocation_is_enforced_within_seconds_where_the_status_is_asked() {
    let house = house();
    let (_running, _) = rustls(&house, "party", Checking::On);
    for _ in 0..3 {
        house.tell(&["drill", "revoke", "--relying-party", "party"]);
    }
    let times = house.ask(&["probe", "times"]);
    assert_eq!(times["all"]["count"], 3, "{times:#}");
    let slowest = times["all"]["p95_ms"].as_i64().unwrap();
    assert!(slowest < 60_000, "{times:#}");
    let events = house.ask(&["events", "--limit", "0"]);
    let said = events.as_array().unwrap().iter();
    let probed = said.filter(|event| event["what"] == "relying-party-probed");
    assert_eq!(probed.count(), 3, "each drill is evidence");
}

#[test]
fn who_cannot_be_reached_is_found_and_not_called_proven() {
    let house = house();
    let (running, _) = rustls(&house, "party", Checking::On);
    drop(running);
    let probed = house.tenure(&["probe", "run"]);
    assert_eq!(probed.status.code(), Some(1));
    assert_eq!(open_findings(&house), ["not-reached"]);
    assert_eq!(row(&house)["verdict"], "unverified");
    house.tell(&["relying-party", "remove", "party"]);
    assert_eq!(open_findings(&house), [""; 0]);
    let none = house.tenure(&["probe", "run"]);
    assert!(text(&none.stderr).contains("tenure relying-party add"));
}
