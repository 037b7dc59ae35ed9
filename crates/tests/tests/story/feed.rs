//! Trust on its way: what is revoked reaches a real relying party by its feed, is taken into use by a
//! reload hook, and is acknowledged.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::Value;
use tenure_domain::feed::Rung;
use tenure_field::feed::{Connection, Error, Follower, Holding, Hook, Opened, Step, receipt};
use tenure_tests::relying::{Checking, Relying};
use tenure_tests::{House, have, text, until};

use super::enforce::{Place, house, mosquitto, nginx, open_findings, place, register};

/// `tenure-agent feed follow`, in a thread.
struct Following {
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

fn follower(connection: &Path, into: &Path, hook: Option<&str>, wait: Duration) -> Follower {
    let connection = Connection::read(connection).unwrap();
    let key = connection.pinned().unwrap();
    let holding = Holding::open(into, &connection.party, &key).unwrap();
    Follower::new(&connection, holding, hook.map(Hook::new), wait).unwrap()
}

pub(super) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap()
}

/// One round that does not wait.
pub(super) fn once(connection: &Path, into: &Path) -> Step {
    let mut follower = follower(connection, into, None, Duration::ZERO);
    runtime().block_on(follower.round()).unwrap()
}

impl Following {
    fn start(connection: &Path, into: &Path, hook: String) -> Following {
        let over = Arc::new(AtomicBool::new(false));
        let ends = Arc::clone(&over);
        let (connection, into) = (connection.to_owned(), into.to_owned());
        let thread = std::thread::spawn(move || {
            let mut follower = follower(&connection, &into, Some(&hook), Duration::from_secs(1));
            let runtime = runtime();
            while !ends.load(Ordering::Relaxed) {
                if let Err(error) = runtime.block_on(follower.round()) {
                    eprintln!("the follower: {error}");
                    // What the agent does too.
                    std::thread::sleep(Duration::from_millis(200));
                }
            }
        });
        Following {
            over,
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

fn now() -> tenure_x509::Time {
    let since = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    tenure_x509::Time::from_unix(i64::try_from(since).unwrap())
}

pub(super) fn connect(house: &House, place: &Place) -> PathBuf {
    let file = place.directory.join("party.feed.json");
    let out = file.display().to_string();
    house.tell(&["feed", "connect", "party", "--out", &out]);
    file
}

pub(super) fn feed(house: &House) -> Value {
    house.ask(&["feed", "show", "party"])
}

/// Leaves out: more than one relying party, and a network between.
/// `remaining` is what a list cannot mend.
fn reaches_by_feed(
    protocol: &str,
    start: fn(&Place, u16, Checking) -> Relying,
    remaining: &[&str],
) {
    let house = house();
    let place = place(&house);
    let port = Relying::port();
    register(&house, "party", port, protocol, &place.pki.anchor, "30");
    let connection = connect(&house, &place);
    let into = place.directory.join("feed");
    until("the first set is there", || {
        matches!(once(&connection, &into), Step::Applied(_))
    });
    assert_eq!(once(&connection, &into), Step::Nothing);
    for (name, of) in [("ca.pem", "bundle.pem"), ("crl.pem", "crl.pem")] {
        symlink(into.join("current").join(of), place.directory.join(name)).unwrap();
    }
    let party = start(&place, port, Checking::On);
    let hook = format!("kill -s HUP {}", party.id());
    let following = Following::start(&connection, &into, hook);
    for _ in 0..5 {
        let drilled = house.ask(&["drill", "revoke", "--relying-party", "party"]);
        assert_eq!(drilled["verdict"], "passed", "{drilled:#}");
    }
    let times = house.ask(&["probe", "times"]);
    let p95 = times["all"]["p95_ms"].as_i64().unwrap();
    eprintln!("{protocol}: revoked to refused by feed and hook: p95 {p95} ms of 5");
    assert!(p95 < 30_000, "{times:#}");
    until("it is acknowledged", || feed(&house)["current"] == true);
    let shown = feed(&house);
    assert_eq!(shown["applied"], shown["offered"], "{shown:#}");
    assert_eq!(open_findings(&house), remaining);

    // The follower dies, and is missed.
    drop(following);
    house.tell(&["relying-party", "edit", "party", "--enforce-within", "1"]);
    let drilled = house.tenure(&["drill", "revoke", "--relying-party", "party"]);
    assert!(!drilled.status.success(), "nobody told it");
    until("it is found", || {
        open_findings(&house).contains(&"feed-not-applied".to_owned())
    });
    let hook = format!("kill -s HUP {}", party.id());
    let _following = Following::start(&connection, &into, hook);
    until("it is cleared", || {
        !open_findings(&house).contains(&"feed-not-applied".to_owned())
    });
    let events = house.ask(&["events", "--limit", "0"]);
    let said = events.as_array().unwrap().iter();
    let applied = said.filter(|event| event["what"] == "feed-applied").count();
    assert!(applied >= 6, "{applied}");
}

/// The commands of docs/distribution.md.
#[test]
fn g6_nginx_enforces_what_its_feed_brings() {
    if have("nginx") {
        reaches_by_feed("https", nginx, &[]);
    }
}

/// The commands of docs/distribution.md.
#[test]
fn g6_mosquitto_enforces_what_its_feed_brings() {
    if have("mosquitto") {
        // It looks at lists when a session begins, and then no more.
        reaches_by_feed("mqtt", mosquitto, &["session-survives"]);
    }
}

/// I4 at product level; the rest of it is in the unit tests of the feed. Leaves out: a stolen key.
#[test]
fn i4_a_restored_server_goes_on_above_every_number_it_ever_gave() {
    let mut house = house();
    let place = place(&house);
    register(&house, "party", 1, "tls", &place.pki.anchor, "30");
    let connection = connect(&house, &place);
    let into = place.directory.join("feed");
    until("the first set is there", || {
        matches!(once(&connection, &into), Step::Applied(_))
    });
    let backup = house.directory().join("backup");
    let backup = backup.display().to_string();
    house.tell(&["backup", "create", "--to", &backup]);
    let applied = |house: &House| feed(house)["applied"].as_i64().unwrap();
    let before = applied(&house);
    // A restart offers anew, and the relying party takes it.
    house.stop();
    house.start();
    until("a newer set is there", || {
        matches!(once(&connection, &into), Step::Applied(_))
    });
    let newer = applied(&house);
    assert!(newer > before);
    // A number may be a second ahead of the clock, and no restore is as quick as this one.
    until("the clock is past that", || now().unix() > newer + 1);
    house.stop();
    let data = house.data();
    let lost = house.directory().join("lost");
    std::fs::rename(&data, &lost).unwrap();
    house.tell(&["backup", "restore", &backup]);
    std::fs::copy(lost.join("admin.token"), data.join("admin.token")).unwrap();
    house.start();
    assert_eq!(applied(&house), before, "the copy knows less");
    until("a set above all is there", || {
        matches!(once(&connection, &into), Step::Applied(_))
    });
    assert!(applied(&house) > newer);
}

/// Exports a pack, carries it over, and carries the receipt back.
fn carry(house: &House, place: &Place, connection: &Path, hook: Option<&str>) -> PathBuf {
    let pack = place.directory.join("party.pack");
    let out = pack.display().to_string();
    house.tell(&["pack", "export", "--party", "party", "--out", &out]);
    let connection = Connection::read(connection).unwrap();
    let mut holding = hold(&connection, &place.directory.join("feed"));
    let opened = Opened::read(&pack, &connection).unwrap();
    opened.take_into(&mut holding, now()).unwrap();
    let hook = hook.map(Hook::new);
    let applied = holding.apply(hook.as_ref(), now()).unwrap().unwrap();
    let back = place.write("party.receipt", &receipt(&connection, &applied));
    house.tell(&["pack", "receipt", &back.display().to_string()]);
    pack
}

fn hold(connection: &Connection, into: &Path) -> Holding {
    Holding::open(into, &connection.party, &connection.pinned().unwrap()).unwrap()
}

fn named(house: &House, place: &Place, name: &str) -> PathBuf {
    register(house, name, Relying::port(), "tls", &place.pki.anchor, "45");
    let file = place.directory.join(format!("{name}.feed.json"));
    let out = file.display().to_string();
    house.tell(&["feed", "connect", name, "--out", &out]);
    file
}

/// One stick for a whole site: each relying party takes its own part, and each says so. Leaves out: what
/// carries it.
#[test]
fn g11_o4_one_pack_serves_every_relying_party_of_a_site() {
    let house = house();
    let place = place(&house);
    let names = ["gate", "line"];
    let connections = names.map(|name| named(&house, &place, name));
    let pack = place.path("hall.pack");
    let mut export = vec!["pack", "export", "--site", "Hall 3", "--out", &pack];
    register(
        &house,
        "cloud",
        Relying::port(),
        "tls",
        &place.pki.anchor,
        "45",
    );
    let refused = house.tenure(&export);
    assert!(
        text(&refused.stderr).contains("cloud"),
        "no token, no receipt"
    );
    export.extend(["--except", "cloud"]);
    let made = house.ask(&export);
    let parts = made["parts"].as_array().unwrap();
    assert_eq!([&parts[0]["party"], &parts[1]["party"]], names, "{made:#}");
    let first = std::fs::read(&pack).unwrap();

    let import = |connection: &Path, file: &Path| {
        let connection = Connection::read(connection).unwrap();
        let into = place.directory.join(format!("{}.d", connection.party));
        let mut holding = hold(&connection, &into);
        let opened = Opened::read(file, &connection)?;
        opened.take_into(&mut holding, now())?;
        let applied = holding.apply(None, now())?.unwrap();
        Ok::<_, Error>((receipt(&connection, &applied), into, holding.status(now())?))
    };
    let mut receipts = Vec::new();
    for (name, connection) in names.iter().zip(&connections) {
        let (receipt, into, status) = import(connection, Path::new(&pack)).unwrap();
        assert_eq!(status.rung, Rung::Fresh);
        let current = into.join("current");
        let policy = std::fs::read_to_string(current.join("policy.toml")).unwrap();
        assert!(policy.contains(&format!("name = \"{name}\"")), "{policy}");
        for file in [
            "bundle.pem",
            "crl.pem",
            "crl/issuing-1.crl",
            "filter/issuing-1.filter",
        ] {
            assert!(current.join(file).exists(), "{file}");
        }
        let receipt = place.write(&format!("{name}.receipt"), &receipt);
        receipts.push(receipt.display().to_string());
    }
    house.tell(&["pack", "receipt", &receipts[0], &receipts[1]]);
    for name in names {
        let shown = house.ask(&["feed", "show", name]);
        assert_eq!(
            (&shown["way"], &shown["current"]),
            (&"pack".into(), &true.into()),
            "{shown:#}"
        );
    }

    // A newer one is taken, then the older is refused; one that was touched anywhere is refused by all.
    house.tell(&export);
    import(&connections[0], Path::new(&pack)).unwrap();
    let older = place.directory.join("older.pack");
    std::fs::write(&older, &first).unwrap();
    let refused = import(&connections[0], &older);
    assert!(matches!(refused, Err(Error::Older { .. })));
    let newest = std::fs::read(&pack).unwrap();
    for at in [25, 60, 700, newest.len() / 2, newest.len() - 1] {
        let mut forged = newest.clone();
        forged[at] ^= 1;
        std::fs::write(&older, forged).unwrap();
        assert!(import(&connections[1], &older).is_err(), "octet {at}");
    }
    // One that it is not for.
    let other = named(&house, &place, "other");
    let refused = import(&other, Path::new(&pack));
    assert!(matches!(refused, Err(Error::Pack { .. })));
}

/// G11 and O4 with a real server that nothing reaches but packs. Leaves out: the stick, the diode, and
/// a prober of the site's own.
#[test]
fn g11_o4_an_air_gapped_nginx_enforces_what_packs_bring() {
    if !have("nginx") {
        return;
    }
    let house = house();
    let place = place(&house);
    let port = Relying::port();
    register(&house, "party", port, "https", &place.pki.anchor, "45");
    let connection = connect(&house, &place);
    let first = carry(&house, &place, &connection, None);
    let kept = place.directory.join("first.pack");
    std::fs::copy(first, &kept).unwrap();
    let into = place.directory.join("feed");
    for (name, of) in [("ca.pem", "bundle.pem"), ("crl.pem", "crl.pem")] {
        symlink(into.join("current").join(of), place.directory.join(name)).unwrap();
    }
    let party = nginx(&place, port, Checking::On);
    let hook = format!("kill -s HUP {}", party.id());
    let over = AtomicBool::new(false);
    let probed = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                carry(&house, &place, &connection, Some(&hook));
            }
        });
        let probed = house.tenure(&["probe", "run", "--relying-party", "party"]);
        over.store(true, Ordering::Relaxed);
        probed
    });
    assert!(probed.status.success(), "{}", text(&probed.stderr));
    let shown = feed(&house);
    assert_eq!(
        (&shown["way"], &shown["current"]),
        (&"pack".into(), &true.into())
    );

    let connection = Connection::read(&connection).unwrap();
    let mut holding = hold(&connection, &into);
    let older = Opened::read(&kept, &connection).unwrap();
    let refused = older.take_into(&mut holding, now());
    assert!(matches!(refused, Err(Error::Older { .. })));
    let octets = std::fs::read(&kept).unwrap();
    for at in [3, 40, 200, octets.len() / 2, octets.len() - 1] {
        let mut forged = octets.clone();
        forged[at] ^= 1;
        std::fs::write(&kept, forged).unwrap();
        let taken = Opened::read(&kept, &connection)
            .and_then(|opened| opened.take_into(&mut holding, now()));
        assert!(taken.is_err(), "octet {at}");
    }
    assert_eq!(holding.status(now()).unwrap().rung, Rung::Fresh);
    let later = |days: i64| now().plus(days * 86_400);
    assert_eq!(holding.status(later(8)).unwrap().rung, Rung::Warn);
    assert_eq!(holding.status(later(31)).unwrap().rung, Rung::Closed);
}
