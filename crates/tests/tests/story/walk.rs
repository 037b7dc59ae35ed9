//! The walk-throughs of the documents, executed as they stand.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use tenure_tests::{House, Ports, have, text, until};

use super::TENURE;

/// The blocks of a document that are marked as a walk, in order: `serve` blocks run on.
struct Block {
    is_server: bool,
    script: String,
}

fn blocks(document: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut current: Option<Block> = None;
    for line in document.lines() {
        match (&mut current, line) {
            (None, "```sh walk") => {
                current = Some(Block {
                    is_server: false,
                    script: String::new(),
                });
            }
            (None, "```sh walk-serve") => {
                current = Some(Block {
                    is_server: true,
                    script: String::new(),
                });
            }
            (None, _) => {}
            (Some(_), "```") => blocks.extend(current.take()),
            (Some(block), line) => {
                block.script.push_str(line);
                block.script.push('\n');
            }
        }
    }
    assert!(current.is_none(), "a block is not closed");
    blocks
}

/// Runs a document's walk in an empty directory, with other ports than the usual ones.
fn walk(document: &Path) {
    if !["bash", "curl", "openssl"].into_iter().all(have) {
        return;
    }
    let text_of = fs::read_to_string(document).unwrap();
    let blocks = blocks(&text_of);
    assert!(blocks.len() >= 3, "{} has no walk", document.display());
    let place = House::unfounded(TENURE);
    let directory = place.directory();
    let programs = directory.join("bin");
    fs::create_dir(&programs).unwrap();
    symlink(TENURE, programs.join("tenure")).unwrap();
    let Ports {
        device,
        public,
        operator,
    } = place.ports();
    let here = |script: &str| {
        script
            .replace("localhost:8443", &format!("localhost:{device}"))
            .replace("127.0.0.1:8080", &format!("127.0.0.1:{public}"))
            .replace("localhost:9443", &format!("localhost:{operator}"))
    };
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
    let bash = |script: String| {
        let mut bash = Command::new("bash");
        bash.args(["-euo", "pipefail", "-c", &script])
            .current_dir(directory)
            .env("PATH", &path)
            .env("HOME", directory)
            .env("TENURE_LISTEN_DEVICE", format!("127.0.0.1:{device}"))
            .env("TENURE_LISTEN_PUBLIC", format!("127.0.0.1:{public}"))
            .env("TENURE_LISTEN_OPERATOR", format!("127.0.0.1:{operator}"))
            .stdin(Stdio::null());
        for name in [
            "TENURE_DATA",
            "TENURE_URL",
            "TENURE_TOKEN",
            "TENURE_CA",
            "TENURE_PASSPHRASE",
        ] {
            bash.env_remove(name);
        }
        bash
    };
    let mut servers = Vec::new();
    // One shell for each, so what a block exports is told to the later ones.
    let mut exported = String::new();
    for block in &blocks {
        let script = here(&block.script);
        if block.is_server {
            let log = fs::File::create(directory.join("server.log")).unwrap();
            let mut serve = bash(format!("{exported}exec {script}"));
            serve.stdout(Stdio::null()).stderr(log).process_group(0);
            servers.push(Killed(serve.spawn().unwrap()));
            until("the server answers", || {
                place.data().join("run.json").exists()
            });
            continue;
        }
        let output = bash(format!("{exported}{script}")).output().unwrap();
        assert!(
            output.status.success(),
            "{}: this block failed ({}):\n{script}\n--- printed\n{}\n--- said\n{}\n--- server\n{}",
            document.display(),
            output.status,
            text(&output.stdout),
            text(&output.stderr),
            fs::read_to_string(directory.join("server.log")).unwrap_or_default()
        );
        for line in script.lines().filter(|line| line.starts_with("export ")) {
            exported.push_str(line);
            exported.push('\n');
        }
    }
}

struct Killed(std::process::Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn document(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(name)
}

#[test]
fn the_quick_start_works_as_written() {
    walk(&document("docs/quickstart.md"));
}

#[test]
fn the_readme_works_as_written() {
    walk(&document("README.md"));
}
