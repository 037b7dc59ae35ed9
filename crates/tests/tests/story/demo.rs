//! The demo, as a new user runs it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::{Duration, Instant};

use serde_json::Value;
use tenure_tests::{House, text, until};

use super::TENURE;

#[test]
fn the_demo_comes_out_as_it_should() {
    let place = House::unfounded(TENURE);
    let output = place
        .command(&["demo", "--once", "--devices", "20", "--json"])
        .env_remove("TENURE_DATA")
        .output()
        .unwrap();
    let (shown, said) = (text(&output.stdout), text(&output.stderr));
    assert!(
        output.status.success(),
        "{}\n{shown}\n{said}",
        output.status
    );
    let summary: serde_json::Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(summary["ok"], true, "{summary:#}");
    assert_eq!(summary["devices"], 20);
    let steps = summary["steps"].as_array().unwrap();
    assert!(
        steps.len() >= 12 && steps.iter().all(|step| step["ok"] == true),
        "{summary:#}"
    );
    let verdicts: Vec<_> = summary["enforcement"]
        .as_array()
        .unwrap()
        .iter()
        .map(|proof| (proof["relying_party"].as_str(), proof["verdict"].as_str()))
        .collect();
    let expected = [
        (Some("broker-1"), Some("proven")),
        (Some("telemetry-in"), Some("proven")),
        (Some("old-gateway"), Some("failing")),
    ];
    assert_eq!(verdicts, expected, "{summary:#}");
    let stolen = steps.iter().filter_map(|step| step["what"].as_str());
    assert!(
        stolen
            .clone()
            .any(|what| what.contains("its live MQTT session ended after")
                && what.contains("does not come back")),
        "{summary:#}"
    );
}

/// A demo that goes on; killed when dropped.
struct Going {
    child: Child,
    said: PathBuf,
}

impl Drop for Going {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Going {
    fn waits_for(&self, line: &str) {
        until(&format!("the demo says {line:?}"), || {
            std::fs::read_to_string(&self.said)
                .unwrap_or_default()
                .contains(line)
        });
    }
}

fn verdict(place: &House, party: &str) -> String {
    let rows = place.ask(&["probe", "matrix"]);
    let rows = rows.as_array().unwrap();
    let row = rows.iter().find(|row| row["relying_party"] == party);
    row.unwrap()["verdict"].as_str().unwrap().to_owned()
}

/// By hand, while the demo goes on: a stolen device's live MQTT session is dropped, a relying party
/// with checking switched off turns red within a cycle, and green when it checks again.
#[test]
fn g10_what_the_demo_shows_can_be_repeated_by_hand() {
    let place = House::unfounded(TENURE);
    let (shown, said) = (
        place.directory().join("shown"),
        place.directory().join("said"),
    );
    let child = place
        .command(&["demo", "--devices", "20", "--json"])
        .stdout(File::create(&shown).unwrap())
        .stderr(File::create(&said).unwrap())
        .spawn()
        .unwrap();
    let mut going = Going { child, said };
    let summary = || -> Option<Value> {
        serde_json::from_str(&std::fs::read_to_string(&shown).unwrap()).ok()
    };
    until("the demo shows its summary", || {
        let ended = going.child.try_wait().unwrap();
        let said = || std::fs::read_to_string(&going.said).unwrap();
        assert!(ended.is_none(), "{ended:?}: {}", said());
        summary().is_some()
    });
    let summary = summary().unwrap();
    assert_eq!(summary["ok"], true, "{summary:#}");
    let connected: Vec<&str> = summary["connected"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(Value::as_str)
        .collect();
    let (stolen, doubted) = (connected[0], connected[1]);

    let theft = ["--device", stolen, "--reason", "keyCompromise", "--yes"];
    place.tell(&[&["cert", "revoke"], &theft[..]].concat());
    going.waits_for(&format!("{stolen}: its live MQTT session has ended"));
    going.waits_for(&format!(
        "{stolen}: wants back in and is refused (CONNACK 5, not authorized)"
    ));

    place.tell(&["device", "suspend", doubted, "--why", "doubt", "--yes"]);
    going.waits_for(&format!("{doubted}: its live MQTT session has ended"));
    place.tell(&["device", "resume", doubted, "--why", "settled", "--yes"]);
    going.waits_for(&format!("{doubted}: is connected again"));

    let cycle = Duration::from_secs(summary["checks"]["cycle_s"].as_u64().unwrap());
    let switch = Path::new(summary["checks"]["directory"].as_str().unwrap()).join("broker-1");
    assert_eq!(verdict(&place, "broker-1"), "proven");
    std::fs::write(&switch, "off\n").unwrap();
    let began = Instant::now();
    going.waits_for("broker-1: RED");
    // A round that is under way when the switch is thrown may find nothing yet.
    assert!(began.elapsed() < cycle * 4, "{:?}", began.elapsed());
    assert_eq!(verdict(&place, "broker-1"), "failing");
    std::fs::write(&switch, "on\n").unwrap();
    going.waits_for("broker-1: GREEN");
    assert_eq!(verdict(&place, "broker-1"), "proven");
    assert_eq!(verdict(&place, "old-gateway"), "failing");
}

#[test]
fn a_demo_never_touches_a_directory_with_something_in_it() {
    let place = House::unfounded(TENURE);
    std::fs::create_dir(place.data()).unwrap();
    std::fs::write(place.data().join("mine"), "precious").unwrap();
    let output = place.tenure(&["demo", "--once", "--devices", "10"]);
    assert_eq!(output.status.code(), Some(10), "{}", text(&output.stderr));
    assert!(
        text(&output.stderr).contains("not empty"),
        "{}",
        text(&output.stderr)
    );
    assert_eq!(std::fs::read_dir(place.data()).unwrap().count(), 1);
}
