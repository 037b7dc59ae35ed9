//! The harness of the stories: a whole house in a temporary directory, served by a child process.
//!
//! **Absences.** Nothing here reaches into the server: a story knows the command line, the three
//! listeners and the files, as anyone does.
//!
//! Read first: [`House`] and [`tool`].

pub mod api;
pub mod http;
pub mod pki;
pub mod relying;
pub mod shim;

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// How long anything may take before a story gives up. Generous: it is only reached on failure.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The passphrase of every house in the stories.
pub const PASSPHRASE: &str = "lantern orbit kettle ninety";

/// Where a device of [`House::device`] stands, and whose it is.
pub const PLACE: [&str; 4] = ["--site", "Hall 3", "--owner", "Hydraulics"];

/// A house in a temporary directory, and perhaps a server on it.
pub struct House {
    // First, so that its log is still there when it is dropped.
    server: Option<Server>,
    tenure: PathBuf,
    directory: tempfile::TempDir,
    ports: Ports,
    more: Vec<(String, String)>,
}

/// The ports of a house, free when it was made.
#[derive(Debug, Clone, Copy)]
pub struct Ports {
    /// HTTPS for devices.
    pub device: u16,
    /// Plain HTTP for everyone.
    pub public: u16,
    /// HTTPS for operators.
    pub operator: u16,
}

/// A child process that serves. Killed when dropped.
pub struct Server {
    child: Child,
    log: PathBuf,
}

impl Ports {
    /// Three free ports.
    pub fn free() -> Ports {
        Ports {
            device: free_port(),
            public: free_port(),
            operator: free_port(),
        }
    }
}

/// A free port that nobody else in this process was told of. It lies below those that the kernel gives
/// to outgoing connections, one of which might take it before a server does.
pub fn free_port() -> u16 {
    const FIRST: u32 = 10_000;
    const COUNT: u32 = 20_000;
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // Processes that run at the same time begin at different places.
    let begin = std::process::id().wrapping_mul(97);
    loop {
        let turn = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = FIRST + begin.wrapping_add(turn) % COUNT;
        let port = u16::try_from(port).unwrap();
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}

impl House {
    /// A new house, founded and not served. `tenure` is the program: `env!("CARGO_BIN_EXE_…")`.
    pub fn found(tenure: &str) -> House {
        House::found_with(tenure, &[])
    }

    /// The same with more arguments for `init`.
    pub fn found_with(tenure: &str, more: &[&str]) -> House {
        let house = House::unfounded(tenure);
        let public_url = format!("http://127.0.0.1:{}", house.ports.public);
        let mut arguments = vec!["init", "--name", "Acme Plant", "--public-url", &public_url];
        arguments.extend(more);
        let made = house.tenure(&arguments);
        assert!(made.status.success(), "init failed: {}", text(&made.stderr));
        house
    }

    /// A house that is served.
    pub fn serve(tenure: &str) -> House {
        let mut house = House::found(tenure);
        house.start();
        house
    }

    /// A place for a house, with nothing in it.
    pub fn unfounded(tenure: &str) -> House {
        House {
            tenure: tenure.into(),
            directory: tempfile::tempdir().unwrap(),
            ports: Ports::free(),
            more: Vec::new(),
            server: None,
        }
    }

    /// Sets an environment variable for the commands of this house.
    pub fn set(&mut self, name: &str, value: &str) {
        self.more.push((name.to_owned(), value.to_owned()));
    }

    /// The directory around the data directory, for a story's own files.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The data directory.
    pub fn data(&self) -> PathBuf {
        self.directory.path().join("plant")
    }

    /// The trust anchor's file.
    pub fn root(&self) -> PathBuf {
        self.data().join("root.pem")
    }

    /// The ports.
    pub fn ports(&self) -> Ports {
        self.ports
    }

    /// An address on the device listener.
    pub fn est(&self, operation: &str) -> String {
        format!(
            "https://127.0.0.1:{}/.well-known/est/{operation}",
            self.ports.device
        )
    }

    /// An address on the public listener.
    pub fn public(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.ports.public)
    }

    /// The command line on this house, ready to be changed.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.tenure);
        command
            .args(arguments)
            .env("TENURE_DATA", self.data())
            .env("TENURE_PASSPHRASE", PASSPHRASE)
            .env(
                "TENURE_LISTEN_DEVICE",
                format!("127.0.0.1:{}", self.ports.device),
            )
            .env(
                "TENURE_LISTEN_PUBLIC",
                format!("127.0.0.1:{}", self.ports.public),
            )
            .env(
                "TENURE_LISTEN_OPERATOR",
                format!("127.0.0.1:{}", self.ports.operator),
            )
            .env_remove("TENURE_URL")
            .env_remove("TENURE_TOKEN")
            .envs(self.more.clone())
            .env("HOME", self.directory.path())
            .current_dir(self.directory.path())
            .stdin(Stdio::null());
        command
    }

    /// Runs the command line on this house to its end.
    pub fn tenure(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs the command line, which must succeed, and returns what it printed.
    pub fn tell(&self, arguments: &[&str]) -> String {
        let output = self.tenure(arguments);
        assert!(
            output.status.success(),
            "tenure {} failed ({}): {}{}",
            arguments.join(" "),
            output.status,
            text(&output.stdout),
            text(&output.stderr)
        );
        text(&output.stdout).trim_end().to_owned()
    }

    /// The same with `--json`.
    pub fn ask(&self, arguments: &[&str]) -> serde_json::Value {
        let mut all = vec!["--json"];
        all.extend(arguments);
        serde_json::from_str(&self.tell(&all)).unwrap()
    }

    /// What `doctor` found about one thing. It may well end with another code than 0.
    pub fn examined(&self, check: &str) -> serde_json::Value {
        let output = self.tenure(&["--json", "doctor"]);
        let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let mut checks = found.as_array().unwrap().iter();
        let of_it = checks.find(|it| it["check"] == check);
        of_it.unwrap_or_else(|| panic!("{found:#}")).clone()
    }

    /// Starts a server and waits until it answers.
    pub fn start(&mut self) {
        assert!(self.server.is_none(), "it is served already");
        // A file of a server that was killed must not be taken for that of the new one.
        let _ = fs::remove_file(self.data().join("run.json"));
        let log = self.directory.path().join("server.log");
        let file = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .unwrap();
        let mut command = self.command(&["serve"]);
        command.stdout(Stdio::null()).stderr(file);
        // Its own group: a Ctrl-C at the test run's terminal is not the server's.
        command.process_group(0);
        let mut server = Server {
            child: command.spawn().unwrap(),
            log,
        };
        until("the server answers", || {
            if let Some(status) = server.child.try_wait().unwrap() {
                panic!("the server ended ({status}): {}", server.log());
            }
            self.data().join("run.json").exists()
        });
        self.server = Some(server);
    }

    /// The running server.
    pub fn server(&mut self) -> &mut Server {
        self.server.as_mut().expect("the house is served")
    }

    /// Stops the server as systemd does, and returns how it ended.
    pub fn stop(&mut self) -> ExitStatus {
        let mut server = self.server.take().expect("the house is served");
        server.signal("TERM");
        server.wait()
    }

    /// Kills the server at once.
    pub fn kill(&mut self) {
        let mut server = self.server.take().expect("the house is served");
        server.child.kill().unwrap();
        server.child.wait().unwrap();
    }

    /// Reports that a service saw a certificate in use, as the service would.
    pub fn report(&self, serial: &str, service: &str) {
        let body = serde_json::json!({ "serial": serial, "service": service });
        api::Api::of(self).post("/sightings", &body);
    }

    /// Makes the policy refuse a profile to a class.
    pub fn refuse_profile(&self, class: &str, profile: &str, why: &str) {
        let policy = self.ask(&["policy", "show"]);
        let rule = format!(
            "[[rule]]\nname = \"no-{profile}-for-{class}\"\nclasses = [\"{class}\"]\n\
             profiles = [\"{profile}\"]\naction = \"refuse\"\nreason = \"{why}\"\n\n"
        );
        let file = self.directory().join("policy.toml");
        fs::write(&file, rule + policy["document"].as_str().unwrap()).unwrap();
        self.tell(&["policy", "apply", file.to_str().unwrap(), "--yes"]);
    }

    /// Registers a device with all that a certificate needs, and returns a one-time secret.
    pub fn device(&self, id: &str) -> String {
        self.device_of_class(id, "pump")
    }

    /// The same, of a class.
    pub fn device_of_class(&self, id: &str, class: &str) -> String {
        self.tell(&["owner", "add", "Hydraulics"]);
        self.tell(&["site", "add", "Hall 3"]);
        self.tell(&["service", "add", "telemetry"]);
        self.tell(&["class", "add", class, "--profile", "device"]);
        let mut add = vec!["device", "add", id, "--class", class];
        add.extend(PLACE);
        add.extend(["--service", "telemetry", "--serial", id]);
        self.tell(&add);
        self.tell(&["device", "secret", id])
    }
}

impl Server {
    /// What it logged so far.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal by name.
    pub fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill")
            .args(["-s", name, &id])
            .status()
            .unwrap();
        assert!(sent.success());
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> ExitStatus {
        let mut ended = None;
        until("the server ends", || {
            ended = self.child.try_wait().unwrap();
            ended.is_some()
        });
        ended.expect("until waited for it")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- the server's log ---\n{}", self.log());
        }
    }
}

/// Waits until something is so. The pause is only how often we look.
pub fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "in vain: until {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Whether something listens there.
pub fn listens(address: SocketAddr) -> bool {
    TcpStream::connect(address).is_ok()
}

/// The command that revokes a certificate of a stolen device.
pub fn revoke(serial: &str) -> [&str; 6] {
    [
        "cert",
        "revoke",
        serial,
        "--reason",
        "keyCompromise",
        "--yes",
    ]
}

/// Bytes as text.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Whether an independent client is here. If it is not, a story says so and ends, unless
/// `TENURE_REQUIRE_INTEROP=1` demands it.
pub fn have(program: &str) -> bool {
    match Command::new(program)
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
    {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let demanded = std::env::var("TENURE_REQUIRE_INTEROP").is_ok_and(|value| value == "1");
            assert!(
                !demanded,
                "{program} is not here, and TENURE_REQUIRE_INTEROP=1 wants it"
            );
            eprintln!("skipped: {program} not found");
            false
        }
        _ => true,
    }
}

/// Runs an independent client in a directory, with something on its standard input. It must
/// succeed.
pub fn tool<S: AsRef<OsStr>>(
    directory: &Path,
    program: &str,
    arguments: &[S],
    input: &[u8],
) -> Vec<u8> {
    let output = try_tool(directory, program, arguments, input);
    assert!(
        output.status.success(),
        "{program} failed ({}): {}{}",
        output.status,
        text(&output.stdout),
        text(&output.stderr)
    );
    output.stdout
}

/// The same, whatever becomes of it.
pub fn try_tool<S: AsRef<OsStr>>(
    directory: &Path,
    program: &str,
    arguments: &[S],
    input: &[u8],
) -> Output {
    use std::io::Write;
    let mut child = Command::new(program)
        .args(arguments)
        .current_dir(directory)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().expect("it is piped");
    // A program that does not read its input closes it, which is its right.
    let _ = stdin.write_all(input);
    drop(stdin);
    child.wait_with_output().unwrap()
}
