//! Trust withdrawn, and proven withdrawn: real relying parties, with and without checking, under the
//! prober's eyes. Everything here is asked of the command line.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tenure_tests::relying::{Checking, Relying, ServerPki, Trust, hang_up};
use tenure_tests::{House, have, text};

use super::TENURE;

/// A kind of relying party: how it is configured, started and told of new lists.
struct Kind {
    protocol: &'static str,
    start: fn(&Place, u16, Checking) -> Relying,
}

/// Where a relying party keeps its files.
struct Place {
    directory: PathBuf,
    pki: ServerPki,
}

impl Place {
    fn path(&self, name: &str) -> String {
        self.directory.join(name).display().to_string()
    }

    fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.directory.join(name);
        fs::write(&path, content).unwrap();
        path
    }
}

fn place(house: &House) -> Place {
    let directory = house.directory().join("relying");
    fs::create_dir_all(&directory).unwrap();
    Place {
        pki: ServerPki::new(&directory),
        directory,
    }
}

fn house() -> House {
    let house = House::serve(TENURE);
    house.tell(&["owner", "add", "Hydraulics"]);
    house.tell(&["site", "add", "Hall 3"]);
    house.tell(&["service", "add", "telemetry"]);
    house
}

fn register(house: &House, name: &str, port: u16, protocol: &str, anchors: &Path, within: &str) {
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
fn row(house: &House) -> Value {
    let matrix = house.ask(&["probe", "matrix"]);
    assert_eq!(matrix.as_array().unwrap().len(), 1);
    matrix[0].clone()
}

fn open_findings(house: &House) -> Vec<String> {
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

    let running = (kind.start)(&place, port, Checking::On);
    let id = running.id();
    let running = running.refreshed(trust(), move || hang_up(id));
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
    assert_eq!(open_findings(&house), [""; 0]);
    drop(running);

    house.tell(&["relying-party", "edit", "party", "--enforce-within", "2"]);
    let running = (kind.start)(&place, port, Checking::Off);
    let probed = house.tenure(&["probe", "run"]);
    assert_eq!(probed.status.code(), Some(1), "{}", text(&probed.stdout));
    assert!(text(&probed.stderr).contains("revoked of issuing-1 is accepted"));
    let shown = row(&house);
    assert_eq!(shown["verdict"], "failing", "{shown:#}");
    assert_eq!(open_findings(&house), ["accepts-revoked"], "{shown:#}");
    drop(running);

    house.tell(&["relying-party", "edit", "party", "--enforce-within", "30"]);
    let running = (kind.start)(&place, port, Checking::On);
    let id = running.id();
    let _running = running.refreshed(trust(), move || hang_up(id));
    let drilled = house.ask(&["drill", "revoke"]);
    assert_eq!(drilled[0]["verdict"], "proven", "{drilled:#}");
    assert_eq!(open_findings(&house), [""; 0]);
    let known = house.ask(&["finding", "list"]);
    assert_eq!(known[0]["state"], "cleared", "{known:#}");
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
        start: nginx,
    });
}

fn nginx(place: &Place, port: u16, checking: Checking) -> Relying {
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
        start: mosquitto,
    });
}

fn mosquitto(place: &Place, port: u16, checking: Checking) -> Relying {
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
