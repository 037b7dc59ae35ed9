//! Trust on its way without a question: a relying party is told that its feed has something new, by the
//! server's stream, by an MQTT broker, or by a webhook, and enforces it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;
use tenure_field::feed::{Called, Connection, Follower, Holding, Step, Wake, broker};
use tenure_tests::relying::Relying;
use tenure_tests::{House, have, until};

use super::enforce::{Place, house, open_findings, place, register};
use super::feed::{connect, feed, once, runtime};

/// How often a follower would look if nobody told it: longer than any of these stories lasts.
const NEVER: Duration = Duration::from_secs(3_600);
/// How often it is seen whether a story is over.
const GLANCE: Duration = Duration::from_millis(500);
/// How soon what is revoked must be refused.
const WITHIN_MS: i64 = 5_000;

/// A follower that is told, in a thread.
struct Following {
    over: Arc<AtomicBool>,
    /// How often it was told of something.
    told: Arc<AtomicUsize>,
    thread: Option<JoinHandle<()>>,
}

impl Following {
    fn start(connection: &Path, into: &Path, wake: impl FnOnce(&Connection) -> Wake) -> Following {
        let connection = Connection::read(connection).unwrap();
        let mut wake = wake(&connection);
        let key = connection.pinned().unwrap();
        let holding = Holding::open(into, &connection.party, &key).unwrap();
        let mut follower = Follower::new(&connection, holding, None, Duration::ZERO).unwrap();
        let (over, told) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicUsize::new(0)),
        );
        let (ends, count) = (Arc::clone(&over), Arc::clone(&told));
        let thread = std::thread::spawn(move || {
            runtime().block_on(async {
                while !ends.load(Ordering::Relaxed) {
                    match follower.round().await {
                        Ok(Step::Applied(_)) => continue,
                        Ok(Step::Nothing) => {}
                        Err(error) => eprintln!("the follower: {error}"),
                    }
                    // It looks when it is told to, and not because the story may be over.
                    while !ends.load(Ordering::Relaxed) {
                        let called = follower.called(&mut wake, NEVER);
                        match tokio::time::timeout(GLANCE, called).await {
                            Err(_) => continue,
                            Ok(Called::News) => {
                                count.fetch_add(1, Ordering::Relaxed);
                            }
                            Ok(Called::Time) => {}
                            Ok(Called::Lost(why)) => eprintln!("the follower: {why}"),
                        }
                        break;
                    }
                }
            });
        });
        Following {
            over,
            told,
            thread: Some(thread),
        }
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A relying party with its feed in place, as it is before anything is told.
struct Ready {
    house: House,
    place: Place,
    connection: PathBuf,
    into: PathBuf,
    _party: Relying,
}

fn ready() -> Ready {
    let house = house();
    let place = place(&house);
    let port = Relying::port();
    register(&house, "party", port, "tls", &place.pki.anchor, "30");
    let connection = connect(&house, &place);
    let into = place.directory.join("feed");
    until("the first set is there", || {
        matches!(once(&connection, &into), Step::Applied(_))
    });
    let party = Relying::fed(port, &place.pki, &into);
    Ready {
        house,
        connection,
        into,
        place,
        _party: party,
    }
}

/// Three revocations are enforced in time, and the newest number is acknowledged.
fn enforces(ready: &Ready, way: &str) {
    let house = &ready.house;
    for _ in 0..3 {
        let drilled = house.ask(&["drill", "revoke", "--relying-party", "party"]);
        assert_eq!(drilled["verdict"], "passed", "{way}: {drilled:#}");
    }
    let times = house.ask(&["probe", "times"]);
    let p95 = times["all"]["p95_ms"].as_i64().unwrap();
    eprintln!("{way}: revoked to refused: p95 {p95} ms of 3");
    assert!(p95 < WITHIN_MS, "{times:#}");
    until("it is acknowledged", || feed(house)["current"] == true);
    let shown = feed(house);
    assert_eq!(shown["applied"], shown["offered"], "{shown:#}");
    assert_eq!(open_findings(house), Vec::<String>::new());
}

/// G6: the stream tells a relying party that its feed has a new number. Leaves out: a network between.
#[test]
fn g6_the_stream_brings_a_revocation_to_enforcement() {
    let mut ready = ready();
    let following = Following::start(&ready.connection, &ready.into, |connection| {
        Wake::stream(connection).unwrap()
    });
    enforces(&ready, "by the stream");
    assert!(following.told.load(Ordering::Relaxed) > 0);
    // A server that was away offers anew, and tells so.
    let before = feed(&ready.house)["applied"].as_i64().unwrap();
    ready.house.stop();
    ready.house.start();
    until("it follows again", || {
        feed(&ready.house)["applied"].as_i64().unwrap() > before
    });
}

fn add_hook(house: &House, kind: &str, address: &str, changes: &str) {
    house.tell(&[
        "hook",
        "add",
        "push",
        "--kind",
        kind,
        "--address",
        address,
        "--changes",
        changes,
        "--owner",
        "Hydraulics",
    ]);
}

/// G6: an MQTT broker tells it. Leaves out: TLS to the broker, which the hooks' own tests show.
#[test]
fn g6_a_topic_of_mosquitto_brings_a_revocation_to_enforcement() {
    if !have("mosquitto") {
        return;
    }
    let ready = ready();
    let port = Relying::port();
    let file = ready.place.write(
        "push.conf",
        &format!("user root\nlistener {port} 127.0.0.1\nallow_anonymous true\n"),
    );
    let _mosquitto = Relying::start(port, Command::new("mosquitto").arg("-c").arg(file));
    let address = format!("mqtt://127.0.0.1:{port}");
    add_hook(&ready.house, "mqtt", &address, "feed");
    let following = Following::start(&ready.connection, &ready.into, |_| {
        let broker = broker(&address, "party", None, None, None).unwrap();
        Wake::topic(broker, "tenure/trust/feed/party".to_owned())
    });
    enforces(&ready, "by mosquitto");
    assert!(following.told.load(Ordering::Relaxed) > 1);
}

/// One request of a webhook: its body; none if a connection brings none.
fn posted(socket: &TcpListener) -> Option<Value> {
    let (mut tcp, _) = socket.accept().unwrap();
    tcp.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut reader = BufReader::new(tcp.try_clone().unwrap());
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap() == 0 || line == "\r\n" {
            break;
        }
        let field = line.to_ascii_lowercase();
        if let Some(value) = field.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    tcp.write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
        .unwrap();
    serde_json::from_slice(&body).ok()
}

/// G6: a webhook tells it; a receiver of a few lines looks once for each that it is sent.
#[test]
fn g6_a_webhook_brings_a_revocation_to_enforcement() {
    let ready = ready();
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = socket.local_addr().unwrap();
    let address = format!("http://{at}/tenure");
    add_hook(&ready.house, "webhook", &address, "feed,publication");
    let heard = std::thread::scope(|scope| {
        let receiver = scope.spawn(|| {
            let mut heard = Vec::new();
            // Who connects and says nothing ends it.
            while let Some(said) = posted(&socket) {
                if said["type"] == "feed" {
                    once(&ready.connection, &ready.into);
                }
                heard.push(said);
            }
            heard
        });
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            enforces(&ready, "by a webhook");
        }));
        drop(TcpStream::connect(at).unwrap());
        let heard = receiver.join().unwrap();
        if let Err(panic) = done {
            std::panic::resume_unwind(panic);
        }
        heard
    });
    let of = |kind: &str| {
        let of_kind = heard.iter().filter(|said| said["type"] == kind);
        of_kind.map(|said| said["data"].clone()).collect::<Vec<_>>()
    };
    let (feeds, lists) = (of("feed"), of("publication"));
    assert_eq!(feeds.len() + lists.len(), heard.len(), "{heard:#?}");
    assert!(feeds.iter().all(|told| told["party"] == "party"));
    let numbers: Vec<_> = feeds
        .iter()
        .map(|told| told["sequence"].as_i64().unwrap())
        .collect();
    assert!(numbers.windows(2).all(|two| two[0] < two[1]), "{numbers:?}");
    for rendering in ["full", "filter"] {
        let told = lists.iter().any(|told| told["rendering"] == rendering);
        assert!(told, "{rendering}: {lists:#?}");
    }
    let shards = lists.iter().filter(|told| {
        told["rendering"].as_str().unwrap().parse::<u16>().is_ok() && told["epoch"].is_i64()
    });
    assert!(shards.count() > 0, "{lists:#?}");
}

/// What is out is told as it comes, on the command line too. Leaves out nothing.
#[test]
fn g6_the_command_line_follows_publications() {
    let ready = ready();
    let mut follower = ready
        .house
        .command(&[
            "stream",
            "--about",
            "publications",
            "--count",
            "3",
            "--json",
        ])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let began = Instant::now();
    while follower.try_wait().unwrap().is_none() {
        assert!(began.elapsed() < Duration::from_secs(60), "nothing is told");
        ready
            .house
            .tenure(&["drill", "revoke", "--relying-party", "party"]);
    }
    let mut said = String::new();
    follower.stdout.unwrap().read_to_string(&mut said).unwrap();
    let told: Vec<Value> = said
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(told.len(), 3, "{said}");
    assert!(
        told.iter()
            .all(|one| one["what"] == "publication" || one["what"] == "feed"),
        "{said}"
    );
    assert!(!said.contains("tenure-canary"), "{said}");
}
