//! The machine under the server breaks: no space, no writing, no durability, another time. Each has
//! one clear message, nothing acknowledged is lost, and what can go on goes on.

use std::fs;

use tenure_field::est::Request;
use tenure_field::http::Response;
use tenure_tests::http::{Caller, certificate, request};
use tenure_tests::shim::{Broken, Shim};
use tenure_tests::{House, revoke, text};
use tenure_x509::{KeyKind, KeyPair};

use super::TENURE;

/// Every file of the data directory, as the shim sees it.
const DATA: &str = "/plant/";

/// A registered device with its secret and its request.
struct Asking {
    id: String,
    secret: String,
    request: Request,
}

impl Asking {
    fn of(house: &House, id: &str) -> Asking {
        Asking {
            id: id.to_owned(),
            secret: house.device(id),
            request: request(&KeyPair::generate(KeyKind::P256).unwrap(), id),
        }
    }

    fn ask(&self, house: &House) -> Response {
        let secret = Some((self.id.as_str(), self.secret.as_str()));
        Caller::new(&house.root()).enroll(&house.est("simpleenroll"), &self.request, secret)
    }

    fn serial(&self, house: &House) -> String {
        certificate(&self.ask(house)).serial().to_string()
    }
}

/// A command that must fail, and what it says.
fn fails(house: &House, arguments: &[&str]) -> String {
    let output = house.tenure(arguments);
    assert_eq!(output.status.code(), Some(1), "{arguments:?}");
    text(&output.stderr)
}

/// A served house on a machine that can be broken, with one enrolled device and one that is about to
/// ask. `None` where nothing can be broken.
fn fragile() -> Option<(House, Shim, String, Asking)> {
    let mut house = House::found(TENURE);
    let shim = Shim::under(&mut house)?;
    house.start();
    let serial = Asking::of(&house, "pump-1").serial(&house);
    let next = Asking::of(&house, "pump-2");
    Some((house, shim, serial, next))
}

/// What must hold on whatever happened: the first certificate is there, the second ask is answered,
/// a withdrawal is made, and the record is whole.
fn goes_on(house: &House, serial: &str, next: &Asking) {
    let own = ["cert", "list", "--device", &next.id];
    let given = next.serial(house);
    assert_eq!(house.ask(&own)[0]["serial"], given.as_str());
    assert_eq!(next.serial(house), given);
    assert_eq!(house.ask(&["cert", "show", serial])["status"], "issued");
    house.tell(&revoke(serial));
    assert_eq!(house.ask(&["cert", "show", serial])["status"], "revoked");
    let seen = house.directory().join("seen");
    house.tell(&["log", "verify", "--seen", seen.to_str().unwrap()]);
    assert_eq!(readiness(house).status.as_u16(), 200);
    assert_eq!(house.examined("store")["verdict"], "good");
}

fn readiness(house: &House) -> Response {
    let url = format!("https://127.0.0.1:{}/readyz", house.ports().operator);
    Caller::new(&house.root()).get(&url)
}

/// While nothing can be written: every change is refused in words, everything else is answered.
fn stands_still(house: &mut House, serial: &str, next: &Asking, words: &str) {
    let refused = next.ask(house);
    assert_eq!(refused.status.as_u16(), 503, "{}", text(&refused.body));
    assert!(refused.header("retry-after").is_some());
    for change in [&["owner", "add", "Someone"][..], &revoke(serial)] {
        let said = fails(house, change);
        assert!(said.contains(words), "{change:?}: {said}");
    }
    assert_eq!(house.ask(&["cert", "show", serial])["status"], "issued");
    let list = Caller::plain().get(&house.public("/crl/issuing-1/full.crl"));
    assert_eq!(list.status.as_u16(), 200);
    let unready = readiness(house);
    assert_eq!(unready.status.as_u16(), 503);
    assert!(
        text(&unready.body).contains(words),
        "{}",
        text(&unready.body)
    );
    let store = house.examined("store");
    assert_eq!(store["verdict"], "bad", "{store}");
    assert!(store["found"].as_str().unwrap().contains(words), "{store}");
    assert!(
        house.server().log().contains(words),
        "{}",
        house.server().log()
    );
}

#[test]
fn a_full_disk_refuses_changes_and_is_forgiven_when_there_is_space_again() {
    let Some((mut house, shim, serial, next)) = fragile() else {
        return;
    };
    let seen = house.directory().join("seen");
    house.tell(&["log", "verify", "--seen", seen.to_str().unwrap()]);
    shim.breaks(Broken::NoSpace, DATA);
    stands_still(&mut house, &serial, &next, "the disk is full");
    shim.mends(Broken::NoSpace);
    goes_on(&house, &serial, &next);

    // A server that finds no space when it starts says so and leaves everything as it is.
    house.kill();
    shim.breaks(Broken::NoSpace, DATA);
    let output = house.tenure(&["serve"]);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(14), "{said}");
    assert!(said.contains("disk is full"), "{said}");
    shim.mends(Broken::NoSpace);
    house.start();
    assert_eq!(house.ask(&["cert", "show", &serial])["status"], "revoked");
    house.tell(&["log", "verify", "--seen", seen.to_str().unwrap()]);
}

#[test]
fn a_disk_that_became_read_only_refuses_changes_and_a_start_on_it_is_refused() {
    let Some((mut house, shim, serial, next)) = fragile() else {
        return;
    };
    shim.breaks(Broken::ReadOnly, DATA);
    stands_still(&mut house, &serial, &next, "the disk failed");
    house.kill();
    let output = house.tenure(&["serve"]);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(14), "{said}");
    assert!(said.contains("read-only"), "{said}");
    shim.mends(Broken::ReadOnly);
    house.start();
    goes_on(&house, &serial, &next);
}

#[test]
fn a_commit_that_cannot_be_made_durable_ends_the_server_at_once() {
    let Some((mut house, shim, serial, next)) = fragile() else {
        return;
    };
    shim.breaks(Broken::Fsync, "tenure.db-wal");
    let secret = Some((next.id.as_str(), next.secret.as_str()));
    let url = house.est("simpleenroll");
    let asked = Caller::new(&house.root()).try_enroll(&url, &next.request, secret);
    assert!(asked.is_err(), "answered on a disk that keeps nothing");
    let ended = house.server().wait();
    let said = house.server().log();
    assert_eq!(ended.code(), Some(70), "{said}");
    assert!(said.contains("could not make a commit durable"), "{said}");
    house.kill();
    shim.mends(Broken::Fsync);
    house.start();
    goes_on(&house, &serial, &next);
}

#[test]
fn a_disk_that_fails_behind_the_commits_ends_the_server_too() {
    let Some((mut house, shim, serial, next)) = fragile() else {
        return;
    };
    // Nobody asks for anything: the pages of the log are moved into the file some seconds later.
    shim.breaks(Broken::Fsync, "tenure.db");
    let ended = house.server().wait();
    let said = house.server().log();
    assert_eq!(ended.code(), Some(70), "{said}");
    assert!(said.contains("durable"), "{said}");
    house.kill();
    shim.mends(Broken::Fsync);
    house.start();
    goes_on(&house, &serial, &next);
}

/// The full list of the issuing CA as it is published.
fn newest_list(house: &House) -> Vec<u8> {
    fs::read(house.data().join("crl/issuing-1/full.crl")).unwrap()
}

#[test]
fn nothing_is_signed_while_the_clock_is_set_back() {
    let Some((mut house, shim, serial, next)) = fragile() else {
        return;
    };
    shim.breaks(Broken::Clock, "-7200");
    let refused = next.ask(&house);
    assert_eq!(refused.status.as_u16(), 503, "{}", text(&refused.body));
    // An operator's machine has its own clock.
    let elsewhere = |arguments: &[&str]| {
        let mut command = house.command(arguments);
        command.env_remove("LD_PRELOAD").output().unwrap()
    };
    let output = elsewhere(&revoke(&serial));
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("behind the last recorded event"), "{said}");
    let output = elsewhere(&["--json", "doctor"]);
    let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(found[0]["check"], "clock", "{found:#}");
    assert_eq!(found[0]["verdict"], "bad", "{found:#}");
    shim.mends(Broken::Clock);
    goes_on(&house, &serial, &next);
    // A server started with a wrong clock signs nothing either, and comes round with it.
    house.stop();
    let published = newest_list(&house);
    shim.breaks(Broken::Clock, "-7200");
    house.start();
    assert_eq!(newest_list(&house), published, "a list was made anew");
    let late = {
        shim.mends(Broken::Clock);
        let late = Asking::of(&house, "pump-3");
        shim.breaks(Broken::Clock, "-7200");
        late
    };
    assert_eq!(late.ask(&house).status.as_u16(), 503);
    shim.mends(Broken::Clock);
    late.serial(&house);
}

#[test]
fn a_key_that_is_gone_is_missed_at_once() {
    let mut house = House::serve(TENURE);
    house.stop();
    for end in ["key", "toml"] {
        fs::remove_file(house.data().join(format!("keys/issuing-1.{end}"))).unwrap();
    }
    house.start();
    assert_eq!(house.examined("keys")["verdict"], "bad");
    assert_eq!(readiness(&house).status.as_u16(), 503);
}

#[test]
fn an_empty_database_is_not_taken_for_a_new_one() {
    let mut house = House::serve(TENURE);
    house.stop();
    let file = house.data().join("tenure.db");
    fs::write(&file, "").unwrap();
    let output = house.tenure(&["serve"]);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(15), "{said}");
    assert!(
        said.contains("empty") && said.contains("tenure backup restore"),
        "{said}"
    );
    assert_eq!(file.metadata().unwrap().len(), 0);
}

#[test]
fn a_damaged_page_is_found_at_the_start_and_a_backup_brings_everything_back() {
    let mut house = House::serve(TENURE);
    let serial = Asking::of(&house, "pump-1").serial(&house);
    let backup = house.tell(&["backup", "create"]);
    house.stop();
    let file = house.data().join("tenure.db");
    let mut bytes = fs::read(&file).unwrap();
    // Every page but the first, which alone says that this is a database.
    for page in bytes.chunks_mut(4096).skip(1) {
        page[..64].fill(0xa5);
    }
    fs::write(&file, bytes).unwrap();
    let output = house.tenure(&["serve"]);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(15), "{said}");
    assert!(
        said.contains("damaged") && said.contains("tenure backup restore"),
        "{said}"
    );
    let broken = house.directory().join("broken");
    fs::rename(house.data(), &broken).unwrap();
    let kept = broken.join(
        backup
            .strip_prefix(house.data().to_str().unwrap())
            .unwrap()
            .trim_start_matches('/'),
    );
    house.tell(&["backup", "restore", kept.to_str().unwrap()]);
    fs::copy(broken.join("admin.token"), house.data().join("admin.token")).unwrap();
    house.start();
    assert_eq!(house.ask(&["cert", "show", &serial])["status"], "issued");
}
