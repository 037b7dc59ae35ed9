//! Live sessions, ended: a real mosquitto that knows nothing of withdrawals while a session lasts, and
//! the hook that ends it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;
use tenure_domain::relying_party::PeerProtocol;
use tenure_field::device::{Keeper, Place as DevicePlace, Proof};
use tenure_field::http::{Identity, Trust as Anchors};
use tenure_field::probe::{Entered, Live, Pulse, Target, Visit, enter};
use tenure_tests::relying::{Relying, Trust, hang_up};
use tenure_tests::{House, have, text, until};
use tenure_wire::est::Credentials;
use tenure_x509::KeyKind;

use super::enforce::{Place, house, open_findings, place, register, row};

/// How soon a session must have ended after its device was withdrawn.
const SLA: Duration = Duration::from_secs(5);
/// The password of the broker's administrator.
const PASSWORD: &str = "kettle-orbit";

struct Broker {
    running: Relying,
    devices: u16,
    operators: u16,
}

/// Where Debian and others put the plugin.
fn dynamic_security() -> Option<PathBuf> {
    let places = [
        "/usr/lib/x86_64-linux-gnu",
        "/usr/lib/aarch64-linux-gnu",
        "/usr/lib",
    ];
    let file = |place| Path::new(place).join("mosquitto_dynamic_security.so");
    places.map(file).into_iter().find(|path| path.exists())
}

/// A mosquitto as docs/sessions.md describes it: devices come with certificates, checked against the
/// revocation lists at each handshake; the administrator of dynamic security comes with a password.
fn broker(house: &House, place: &Place) -> Option<Broker> {
    if !have("mosquitto") || !have("mosquitto_ctrl") {
        return None;
    }
    let Some(plugin) = dynamic_security() else {
        println!("skipped: the dynamic security plugin of mosquitto not found");
        let must = std::env::var("TENURE_REQUIRE_INTEROP").is_ok_and(|set| set == "1");
        assert!(!must, "it is required here");
        return None;
    };
    let trust = Trust::fetch(house, &place.directory);
    let clients = place.path("dynsec.json");
    let made = Command::new("mosquitto_ctrl")
        .args(["dynsec", "init", &clients, "tenure", PASSWORD])
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", text(&made.stderr));
    let (devices, operators) = (Relying::port(), Relying::port());
    let keys = format!(
        "certfile {}\nkeyfile {}\n",
        place.pki.cert.display(),
        place.pki.key.display()
    );
    let file = place.write(
        "mosquitto.conf",
        &format!(
            "user root\nplugin {}\nplugin_opt_config_file {clients}\n\
             listener {operators} 127.0.0.1\n{keys}\
             listener {devices} 127.0.0.1\n{keys}cafile {ca}\ncrlfile {crl}\n\
             require_certificate true\nuse_identity_as_username true\n",
            plugin.display(),
            ca = place.path("ca.pem"),
            crl = place.path("crl.pem"),
        ),
    );
    let running = Relying::start(devices, Command::new("mosquitto").arg("-c").arg(file));
    let id = running.id();
    let running = running.refreshed(trust, move || hang_up(id));
    Some(Broker {
        running,
        devices,
        operators,
    })
}

fn add_hook(house: &House, place: &Place, broker: &Broker) {
    let secret = place.write("secret", &format!("tenure:{PASSWORD}\n"));
    let (address, anchors) = (
        format!("mqtts://127.0.0.1:{}", broker.operators),
        place.pki.anchor.display().to_string(),
    );
    house.tell(&[
        "hook",
        "add",
        "broker-3",
        "--kind",
        "mosquitto",
        "--address",
        &address,
        "--anchors",
        &anchors,
        "--secret-file",
        &secret.display().to_string(),
        "--again-after",
        "3",
        "--owner",
        "Hydraulics",
    ]);
}

async fn enrolled(house: &House, id: &str) -> Identity {
    let secret = house.device(id);
    let here = DevicePlace {
        url: format!("https://127.0.0.1:{}", house.ports().device),
        label: None,
        device: id.to_owned(),
    };
    let anchors = std::fs::read_to_string(house.root()).unwrap();
    let keeper = Keeper::create(&house.directory().join(id), here, &anchors).unwrap();
    let proof = Proof::Secret(Credentials::new(id, &secret).unwrap());
    keeper.enroll_once(&proof, KeyKind::P256).await.unwrap();
    keeper.identity().await.unwrap().unwrap()
}

fn target(place: &Place, broker: &Broker) -> Target {
    let anchors = std::fs::read_to_string(&place.pki.anchor).unwrap();
    Target {
        address: format!("127.0.0.1:{}", broker.devices),
        server_name: "127.0.0.1".to_owned(),
        trust: Anchors::from_pem(&anchors).unwrap(),
        protocol: PeerProtocol::Mqtt,
    }
}

async fn session(target: &Target, identity: &Identity) -> Live {
    match enter(target, identity.clone()).await {
        Entered::Held(live) => live,
        Entered::Over(visit) => panic!("{visit:?}"),
    }
}

async fn ends(live: &mut Live, within: Duration) -> Duration {
    let began = Instant::now();
    while live.pulse().await == Pulse::Alive {
        assert!(began.elapsed() < within, "the session goes on");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    began.elapsed()
}

/// The commands of docs/sessions.md. Leaves out: devices behind a gateway of their own.
#[test]
fn p3_a_stolen_devices_live_mqtt_session_is_ended_and_does_not_come_back() {
    let house = house();
    let place = place(&house);
    let Some(broker) = broker(&house, &place) else {
        return;
    };
    add_hook(&house, &place, &broker);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let target = target(&place, &broker);
        let stolen = enrolled(&house, "pump-1").await;
        let other = enrolled(&house, "pump-2").await;
        let mut theirs = session(&target, &stolen).await;
        let mut ours = Target { ..target.clone() };
        ours.protocol = PeerProtocol::Tls; // holds a connection without a client identifier
        let mut kept = session(&ours, &other).await;
        assert_eq!(theirs.pulse().await, Pulse::Alive);

        house.tell(&["device", "suspend", "pump-1", "--why", "stolen", "--yes"]);
        let took = ends(&mut theirs, SLA).await;
        println!(
            "the session ended {} ms after the command",
            took.as_millis()
        );
        assert_eq!(kept.pulse().await, Pulse::Alive, "nobody else's does");

        // It comes back while the broker's list is a moment old, and not any more after that.
        let deadline = Instant::now() + Duration::from_secs(30);
        let mut back = Vec::new();
        loop {
            match enter(&target, stolen.clone()).await {
                Entered::Over(Visit::Refused(_)) => break,
                Entered::Held(live) => back.push(live),
                Entered::Over(_) => {}
            }
            assert!(Instant::now() < deadline, "it is let in again and again");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        for mut live in back {
            ends(&mut live, Duration::from_secs(20)).await;
        }
        let refused = enter(&target, stolen.clone()).await;
        assert!(matches!(refused, Entered::Over(Visit::Refused(_))));
    });
    until("it is told", || {
        let hook = house.ask(&["hook", "show", "broker-3"]);
        hook["state"] == "delivering" && hook["waiting"] == 0
    });
    let shown = house.tell(&["hook", "show", "broker-3"]);
    assert!(!shown.contains(PASSWORD), "{shown}");
    assert_eq!(open_findings(&house), [""; 0]);
    drop(broker.running);
}

/// G7, the session's part: a broker that checks at handshakes only is recognised by a session that
/// survives; with the hook it does not, and the finding clears.
#[test]
fn g7_a_session_that_survives_is_recognised_and_the_hook_closes_the_gap() {
    let house = house();
    let place = place(&house);
    let Some(broker) = broker(&house, &place) else {
        return;
    };
    register(
        &house,
        "party",
        broker.devices,
        "mqtt",
        &place.pki.anchor,
        "30",
    );
    house.tell(&["probe", "run"]);
    let shown = row(&house);
    assert_eq!(shown["verdict"], "proven", "it says so itself: {shown:#}");
    assert_eq!(shown["receptions"]["revoked"], "refused", "{shown:#}");
    assert_eq!(shown["receptions"]["live-session"], "accepted", "{shown:#}");
    assert_eq!(open_findings(&house), ["session-survives"]);

    // One that promises more than that fails.
    house.tell(&["relying-party", "edit", "party", "--session", "continuous"]);
    let probed = house.tenure(&["probe", "run"]);
    assert_eq!(probed.status.code(), Some(1), "{}", text(&probed.stdout));
    assert!(text(&probed.stderr).contains("live-session of issuing-1 is accepted"));

    add_hook(&house, &place, &broker);
    let probed = house.tenure(&["probe", "run"]);
    let shown = row(&house);
    assert!(probed.status.success(), "{}{shown:#}", text(&probed.stderr));
    assert_eq!(shown["verdict"], "proven", "{shown:#}");
    assert_eq!(shown["receptions"]["live-session"], "refused", "{shown:#}");
    assert_eq!(open_findings(&house), [""; 0]);
    drop(broker.running);
}

/// P3, MQTT: a broker's own subscriber hears of each change.
#[test]
fn p3_changes_are_published_at_a_broker() {
    if !have("mosquitto") || !have("mosquitto_sub") {
        return;
    }
    let house = house();
    let place = place(&house);
    let port = Relying::port();
    let file = place.write(
        "mosquitto.conf",
        &format!("user root\nlistener {port} 127.0.0.1\nallow_anonymous true\n"),
    );
    let _broker = Relying::start(port, Command::new("mosquitto").arg("-c").arg(file));
    let address = format!("mqtt://127.0.0.1:{port}");
    house.tell(&[
        "hook",
        "add",
        "cell",
        "--kind",
        "mqtt",
        "--address",
        &address,
        "--owner",
        "Hydraulics",
    ]);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(enrolled(&house, "pump-1"));

    // A session that the broker keeps for the subscriber, so that nothing depends on who is quicker.
    let port = port.to_string();
    let subscriber = |more: &[&str]| {
        let output = Command::new("mosquitto_sub")
            .args([
                "-h",
                "127.0.0.1",
                "-p",
                &port,
                "-q",
                "1",
                "-c",
                "-i",
                "cell",
            ])
            .args(["-t", "tenure/trust"])
            .args(more)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout)
    };
    subscriber(&["-E"]);
    house.tell(&["device", "suspend", "pump-1", "--why", "lost", "--yes"]);
    let heard = subscriber(&["-C", "2", "-W", "30"]);
    let said: Vec<Value> = heard
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(said[0]["what"], "certificate-held", "{said:?}");
    assert_eq!(said[1]["what"], "device-standing-changed", "{said:?}");
    assert_eq!(said[1]["device"], "pump-1");

    // The same on the command line, which follows the stream.
    let stream = ["--json", "stream", "--after", "0", "--count", "2"];
    let followed = house.tell(&stream);
    let followed: Vec<Value> = followed
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(followed, said);
}
