//! The agent as it is run: exit codes, what it prints, and that nothing it is killed in breaks it.

mod pki;
mod rude;

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use pki::now;
use rude::Said;
use rude::plant::Plant;
use tenure_field::device::Keeper;
use tenure_x509::Validity;

struct Bench {
    plant: Plant,
    dir: tempfile::TempDir,
}

impl Bench {
    async fn start() -> Bench {
        let (plant, dir) = (Plant::start().await, tempfile::tempdir().unwrap());
        std::fs::write(dir.path().join("root.pem"), plant.root.cert.pem()).unwrap();
        std::fs::write(dir.path().join("secret"), "one time\n").unwrap();
        Bench { plant, dir }
    }

    fn at(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tenure-agent"));
        command
            .env_clear()
            .args(args)
            .args(["--dir", &self.at("id")])
            .stdin(Stdio::null());
        command
    }

    fn enroll(&self, more: &[&str]) -> Command {
        let (url, root) = (self.plant.server.url.server(), self.at("root.pem"));
        let mut command = self.command(&["enroll", "--url", &url, "--ca", &root, "--id", "pump-7"]);
        command.args(more);
        command
    }

    fn with_secret(&self) -> Command {
        self.enroll(&["--secret-file", &self.at("secret")])
    }
}

/// Runs it to its end beside the server, which lives on this test's threads.
async fn run(mut command: Command) -> Output {
    tokio::task::spawn_blocking(move || command.output().unwrap())
        .await
        .unwrap()
}

fn said(output: &Output) -> (i32, String, String) {
    let text = |octets: &[u8]| String::from_utf8(octets.to_vec()).unwrap();
    (
        output.status.code().unwrap_or(-1),
        text(&output.stdout),
        text(&output.stderr),
    )
}

async fn until(what: &str, done: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !done() {
        assert!(Instant::now() < deadline, "waited too long: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn tell(child: &Child, signal: &str) {
    let line = format!("kill -{signal} {}", child.id());
    assert!(
        Command::new("sh")
            .args(["-c", &line])
            .status()
            .unwrap()
            .success()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn enroll_status_renew() {
    let bench = Bench::start().await;
    let (code, out, err) = said(&run(bench.command(&["status"])).await);
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(
        err.contains("enroll first") && err.contains("tenure-agent enroll"),
        "{err}"
    );

    let (code, out, err) = said(&run(bench.with_secret()).await);
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    assert!(
        out.starts_with("issued ") && out.contains("id/current"),
        "{out}"
    );
    for file in ["key.pem", "certificate.pem", "chain.pem"] {
        assert!(Path::new(&bench.at("id/current")).join(file).exists());
    }
    let secret_in_use = bench.plant.asked()[0].authorization.clone().unwrap();
    assert_eq!(secret_in_use, "Basic cHVtcC03Om9uZSB0aW1l");

    let (code, out, _) = said(&run(bench.command(&["renew", "--json"])).await);
    let renewed: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &renewed["state"]), (0, &"issued".into()));

    let (code, out, _) = said(&run(bench.command(&["status", "--json"])).await);
    let status: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &status["device"]), (0, &"pump-7".into()));
    assert_eq!(status["current"]["serial"], renewed["serial"]);
    assert_eq!(status["current"]["expired"], false);
    let (_, out, _) = said(&run(bench.command(&["status"])).await);
    assert!(
        out.contains("good until") && out.contains("renewal"),
        "{out}"
    );

    let (code, _, err) = said(&run(bench.with_secret()).await);
    assert!(code == 1 && err.contains("--again"), "{err}");
    let mut again = bench.with_secret();
    again.arg("--again");
    assert_eq!(said(&run(again).await).0, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_have_their_codes_and_say_what_to_do() {
    let bench = Bench::start().await;
    let (code, _, err) = said(&run(bench.enroll(&[])).await);
    assert!(code == 2 && err.contains("TENURE_SECRET"), "{err}");
    let (code, _, err) = said(&run(bench.enroll(&["--secret-file", "/nonexistent"])).await);
    assert!(code == 2 && err.contains("/nonexistent"), "{err}");
    assert_eq!(said(&run(bench.enroll(&["--key", "dsa1024"])).await).0, 2);

    bench
        .plant
        .say(Said::new(401, "the secret is spent").with("www-authenticate", "Basic"));
    let (code, _, err) = said(&run(bench.with_secret()).await);
    assert!(
        code == 1 && err.contains("the secret is spent. Check the id"),
        "{err}"
    );

    bench
        .plant
        .say(Said::new(202, "").with("retry-after", "77"));
    let mut waiting = bench.enroll(&["--json"]);
    waiting.env("TENURE_SECRET", "one time");
    let (code, out, _) = said(&run(waiting).await);
    assert_eq!(
        (code, out.trim()),
        (7, r#"{"retry_after_s":77,"state":"pending"}"#)
    );

    let stranger = Bench::start().await;
    std::fs::copy(stranger.at("root.pem"), bench.at("root.pem")).unwrap();
    let (code, _, err) = said(&run(bench.with_secret()).await);
    assert!(
        code == 4 && err.contains("is not trusted") && err.contains("--ca"),
        "{err}"
    );

    let root = bench.at("root.pem");
    let gone = [
        "enroll",
        "--url",
        "https://127.0.0.1:1",
        "--ca",
        &root,
        "--id",
        "a",
    ];
    let mut gone = bench.command(&gone);
    gone.env("TENURE_SECRET", "x");
    let (code, _, err) = said(&run(gone).await);
    assert!(
        code == 4 && err.contains("cannot reach 127.0.0.1:1"),
        "{err}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_for_approval_asks_again() {
    let bench = Bench::start().await;
    for _ in 0..2 {
        bench.plant.say(Said::new(202, "").with("retry-after", "1"));
    }
    let mut command = bench.with_secret();
    command.arg("--wait");
    let (code, out, _) = said(&run(command).await);
    assert_eq!(code, 0);
    assert_eq!(out.matches("not decided yet").count(), 2);
    let bodies: Vec<_> = bench
        .plant
        .asked()
        .into_iter()
        .map(|heard| heard.body)
        .collect();
    assert!(bodies.len() == 3 && bodies.iter().all(|body| *body == bodies[0]));
}

#[tokio::test(flavor = "multi_thread")]
async fn run_renews_what_is_due_and_stops_when_told() {
    let bench = Bench::start().await;
    *bench.plant.life.lock().unwrap() = Validity {
        not_before: now().plus(-1000),
        not_after: now().plus(100),
    };
    assert_eq!(said(&run(bench.with_secret()).await).0, 0);

    *bench.plant.life.lock().unwrap() = pki::days(30);
    bench.plant.say(Said::new(202, "").with("retry-after", "0"));
    let mut child = bench
        .command(&["run"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    until("the renewal", || bench.plant.asked().len() == 3).await;
    let current = format!("{}/id/current", bench.dir.path().display());
    until("the new identity", || {
        std::fs::read_link(&current).unwrap() == Path::new("0002")
    })
    .await;
    tell(&child, "TERM");
    assert!(
        tokio::task::spawn_blocking(move || child.wait())
            .await
            .unwrap()
            .unwrap()
            .success()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_anywhere_it_carries_on() {
    let bench = Bench::start().await;
    let mut killed = 0;
    for round in 0..24u64 {
        let command = match round {
            0..8 => &mut bench.with_secret(),
            _ => &mut bench.command(&["renew"]),
        };
        let mut child = command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // Some die at once, some while working, some finish.
        tokio::time::sleep(Duration::from_millis(round % 8 * 8)).await;
        tell_if_alive(&mut child);
        let status = tokio::task::spawn_blocking(move || child.wait())
            .await
            .unwrap()
            .unwrap();
        killed += u32::from(status.code().is_none());
        if round == 7 {
            let (code, _, err) = said(&run(bench.with_secret()).await);
            assert!(code == 0 || err.contains("--again"), "{err}");
        }
        let keeper = Keeper::open(Path::new(&bench.at("id")));
        if let Ok(keeper) = keeper {
            let status = keeper.status().await.unwrap();
            assert!(status.current.is_some() || round < 8);
        }
    }
    assert!(killed > 0, "every one was faster than its killer");
    assert_eq!(said(&run(bench.command(&["renew"])).await).0, 0);
    let numbers = std::fs::read_dir(bench.at("id")).unwrap().filter(|entry| {
        entry
            .as_ref()
            .unwrap()
            .file_name()
            .to_str()
            .unwrap()
            .parse::<u32>()
            .is_ok()
    });
    assert_eq!(numbers.count(), 2, "the one in use and the one before");
}

fn tell_if_alive(child: &mut Child) {
    let _ = child.kill(); // an error means that it has ended
}
