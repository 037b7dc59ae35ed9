//! The tree checks itself: the crates' arrows, forbidden words, sizes, and what must exist together.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .unwrap()
        .to_owned()
}

fn files(below: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![below.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory).unwrap().map(Result::unwrap) {
            let path = entry.path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                if name != "target" && name != "corpus" && name != "artifacts" {
                    open.push(path);
                }
            } else if name.ends_with(ending) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// Source of the product: not tests, not benches.
fn product_sources() -> Vec<(PathBuf, String)> {
    let mut sources = Vec::new();
    for path in files(&root().join("crates"), ".rs") {
        let text = path.to_string_lossy().into_owned();
        let is_test = text.contains("/tests/") || text.ends_with("/tests.rs");
        let is_product = text.contains("/src/") && !is_test && !text.contains("/crates/tests/");
        if is_product {
            let content = fs::read_to_string(&path).unwrap();
            let before_tests = content.split("#[cfg(test)]\nmod tests {").next().unwrap();
            sources.push((path, before_tests.to_owned()));
        }
    }
    sources
}

fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap().display().to_string()
}

#[test]
fn the_crates_depend_on_each_other_as_architecture_says() {
    let allowed: BTreeMap<&str, &[&str]> = BTreeMap::from([
        ("x509", &[] as &[&str]),
        ("tlog", &[]),
        ("wire", &["x509"]),
        ("domain", &["x509"]),
        ("store", &["x509", "domain"]),
        ("engine", &["x509", "tlog", "domain", "store"]),
        ("field", &["x509", "tlog", "wire", "domain"]),
        (
            "server",
            &["x509", "tlog", "wire", "domain", "engine", "field"],
        ),
    ]);
    for (name, allowed) in allowed {
        let output = Command::new(env!("CARGO"))
            .args([
                "metadata",
                "--format-version",
                "1",
                "--no-deps",
                "--offline",
            ])
            .current_dir(root())
            .output()
            .unwrap();
        let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let package = metadata["packages"]
            .as_array()
            .unwrap()
            .iter()
            .find(|package| package["name"] == format!("tenure-{name}"))
            .unwrap_or_else(|| panic!("no crate {name}"));
        let depends: BTreeSet<String> = package["dependencies"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|dependency| dependency["kind"].is_null())
            .filter_map(|d| {
                d["name"]
                    .as_str()
                    .unwrap()
                    .strip_prefix("tenure-")
                    .map(str::to_owned)
            })
            .collect();
        for dependency in depends {
            assert!(
                allowed.contains(&dependency.as_str()),
                "{name} must not depend on {dependency}"
            );
        }
    }
}

#[test]
fn pure_crates_have_no_clock_network_or_files() {
    let banned = [
        "std::net::Tcp",
        "std::fs",
        "SystemTime",
        "Instant::now",
        "tokio",
        "thread_rng",
    ];
    for (path, text) in product_sources() {
        let name = shown(&path);
        let is_pure = ["x509", "tlog", "wire", "domain"]
            .iter()
            .any(|pure| name.starts_with(&format!("crates/{pure}/")));
        if !is_pure {
            continue;
        }
        for banned in banned {
            assert!(!text.contains(banned), "{name} uses {banned}");
        }
    }
}

#[test]
fn sql_stands_in_the_store_alone() {
    for (path, text) in product_sources() {
        let name = shown(&path);
        if name.starts_with("crates/store/") {
            continue;
        }
        for keyword in [
            "\"SELECT ",
            "\"INSERT ",
            "\"UPDATE ",
            "\"DELETE ",
            "\"CREATE TABLE",
        ] {
            assert!(!text.contains(keyword), "{name} holds SQL: {keyword}");
        }
    }
}

#[test]
fn names_say_what_things_are() {
    let banned = [
        "Manager",
        "Handler",
        "Helper",
        "Util",
        "Common",
        "Impl",
        "Processor",
        "Misc",
    ];
    for (path, text) in product_sources() {
        for line in text.lines() {
            let line = line.trim_start();
            let Some(rest) = [
                "pub struct ",
                "pub enum ",
                "pub trait ",
                "struct ",
                "enum ",
                "trait ",
            ]
            .iter()
            .find_map(|start| line.strip_prefix(start)) else {
                continue;
            };
            let name: String = rest.chars().take_while(|c| c.is_alphanumeric()).collect();
            for word in banned {
                assert!(
                    !name.ends_with(word),
                    "{}: {name} says nothing",
                    shown(&path)
                );
            }
        }
        let file = path.file_stem().unwrap().to_string_lossy().into_owned();
        for word in [
            "manager", "handler", "helper", "helpers", "util", "utils", "common", "misc",
        ] {
            assert_ne!(file, word, "{}", shown(&path));
        }
    }
}

#[test]
fn nothing_is_unsafe_ignored_or_left_to_do() {
    for path in files(&root().join("crates"), ".rs") {
        let name = shown(&path);
        if name.ends_with("tidy.rs") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        for banned in [
            "#[ignore",
            "todo!(",
            "unimplemented!(",
            "dbg!(",
            "TODO",
            "FIXME",
        ] {
            assert!(!text.contains(banned), "{name} holds {banned}");
        }
    }
}

#[test]
fn no_file_grows_past_reason() {
    let mut long = Vec::new();
    for (path, text) in product_sources() {
        let lines = text.lines().count();
        if lines > 700 {
            long.push(format!("{}: {lines}", shown(&path)));
        }
    }
    assert!(long.is_empty(), "divide these: {long:?}");
}

#[test]
fn every_crate_opens_with_what_it_never_does() {
    for name in [
        "x509", "tlog", "wire", "domain", "store", "engine", "field", "server",
    ] {
        let path = root().join(format!("crates/{name}/src/lib.rs"));
        let text = fs::read_to_string(&path)
            .or_else(|_| fs::read_to_string(root().join(format!("crates/{name}/src/main.rs"))))
            .unwrap();
        assert!(
            text.contains("**Absences.**"),
            "crates/{name} does not say what it never does"
        );
    }
}

#[test]
fn every_fuzz_target_is_listed() {
    let manifest = fs::read_to_string(root().join("fuzz/Cargo.toml")).unwrap();
    for path in files(&root().join("fuzz/fuzz_targets"), ".rs") {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        assert!(
            manifest.contains(&format!("name = \"{name}\"")),
            "fuzz/Cargo.toml lacks {name}"
        );
    }
}

#[test]
fn architecture_stays_short() {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    assert!(text.lines().count() < 400);
}
