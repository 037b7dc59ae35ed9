//! The demo, as a new user runs it.

use tenure_tests::{House, text};

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
        steps.len() >= 11 && steps.iter().all(|step| step["ok"] == true),
        "{summary:#}"
    );
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
