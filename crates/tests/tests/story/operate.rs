//! The operator's command line, against a running server.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};
use tenure_tests::http::{Caller, certificate, request};
use tenure_tests::{House, revoke, text, until};
use tenure_x509::{KeyKind, KeyPair, pem_certificates};

use super::TENURE;

/// Runs a command that must end with this code, and returns what it said on standard error.
fn fails(house: &House, code: i32, arguments: &[&str]) -> String {
    let Output {
        status,
        stderr,
        stdout,
    } = house.tenure(arguments);
    let said = text(&stderr);
    assert_eq!(
        status.code(),
        Some(code),
        "{arguments:?}: {}{said}",
        text(&stdout)
    );
    said
}

fn table(house: &House, rows: &str) -> PathBuf {
    let path = house.directory().join("devices.csv");
    let head = "id,manufacturer,model,serial,class,site,owner,services,criticality\n";
    fs::write(&path, format!("{head}{rows}")).unwrap();
    path
}

/// Enrolls a registered device by its one-time secret, and returns the serial of its certificate.
fn enroll(house: &House, id: &str) -> String {
    let secret = house.tell(&["device", "secret", id]);
    let key = KeyPair::generate(KeyKind::P256).unwrap();
    let caller = Caller::new(&house.root());
    let answer = caller.enroll(
        &house.est("simpleenroll"),
        &request(&key, id),
        Some((id, &secret)),
    );
    certificate(&answer).serial().to_string()
}

#[test]
fn a_fleet_is_imported_looked_at_and_exported() {
    let house = House::serve(TENURE);
    let rows = "pump-1,Acme,P3,0001,pump,Hall 3,Hydraulics,telemetry;scada,high\n\
                pump-2,Acme,P3,0002,pump,Hall 3,Hydraulics,telemetry,\n";
    let file = table(&house, rows);
    let file = file.to_str().unwrap();
    let said = fails(&house, 1, &["device", "import", file]);
    assert!(
        said.contains("row 2, column class") && said.contains("nothing was imported"),
        "{said}"
    );
    house.tell(&["device", "import", file, "--create-missing", "--dry-run"]);
    assert_eq!(
        house.ask(&["device", "list", "--search", "pump"]),
        json!([])
    );
    let done = house.ask(&["device", "import", file, "--create-missing"]);
    assert_eq!(
        (&done["added"], &done["state"]),
        (&json!(2), &json!("done"))
    );
    let done = house.ask(&["device", "import", file]);
    assert_eq!((&done["added"], &done["unchanged"]), (&json!(0), &json!(2)));

    let lines = house.tell(&["device", "export", "--site", "Hall 3", "--format", "jsonl"]);
    let again = house.directory().join("again.jsonl");
    fs::write(&again, lines).unwrap();
    let done = house.ask(&["device", "import", again.to_str().unwrap()]);
    assert_eq!(done["unchanged"], 2);
    let listed = house.ask(&["device", "list", "--class", "pump", "--limit", "1"]);
    assert_eq!(listed.as_array().unwrap().len(), 1);
    house.tell(&["device", "edit", "pump-2", "--criticality", "safety"]);
    assert_eq!(
        house.ask(&["device", "show", "pump-2"])["criticality"],
        "safety"
    );
    fails(&house, 3, &["device", "show", "pump-9"]);
}

#[test]
fn a_revocation_shows_what_it_touches_and_waits_for_yes() {
    let house = House::serve(TENURE);
    let file = table(
        &house,
        "pump-1,Acme,P3,0001,pump,Hall 3,Hydraulics,telemetry,high\n",
    );
    house.tell(&[
        "device",
        "import",
        file.to_str().unwrap(),
        "--create-missing",
    ]);
    let serial = enroll(&house, "pump-1");
    let listed = house.ask(&["cert", "list", "--device", "pump-1"]);
    let only = &listed[0];
    assert_eq!(
        (&only["serial"], &only["status"]),
        (&json!(serial), &json!("issued"))
    );
    assert_eq!(
        (&only["expired"], &only["predecessor"]),
        (&json!(false), &Value::Null)
    );
    assert_eq!(only["issuer"], "issuing-1");

    let revoke = ["cert", "revoke", &serial, "--reason", "keyCompromise"];
    let said = fails(&house, 6, &revoke);
    assert!(
        said.contains("pump-1") && said.contains("telemetry") && said.contains("high"),
        "{said}"
    );
    assert_eq!(house.ask(&["cert", "show", &serial])["status"], "issued");
    let said = fails(&house, 1, &["cert", "release", &serial]);
    assert!(said.contains("was not held: it is issued"), "{said}");
    house.tell(&["cert", "hold", &serial]);
    house.tell(&[
        "cert",
        "release",
        &format!("issuing-1/{}", serial.to_uppercase()),
    ]);
    house.tell(&[&revoke[..], &["--yes"]].concat());
    let shown = house.ask(&["cert", "show", &serial]);
    assert_eq!(
        (&shown["status"], &shown["reason"]),
        (&json!("revoked"), &json!("keyCompromise"))
    );
    assert!(
        house
            .tell(&["cert", "show", &serial, "--pem"])
            .starts_with("-----BEGIN")
    );

    let now = house.ask(&["as-of", "2099-01-01T00:00:00Z", "--device", "pump-1"]);
    assert_eq!(now[0]["state"], "revoked");
    assert!(
        house
            .tell(&["as-of", "2099-01-01T00:00:00Z"])
            .contains("revoked 1")
    );
    let ids = house.directory().join("ids.txt");
    fs::write(&ids, "pump-1\n\npump-9\n").unwrap();
    let from = ids.to_str().unwrap();
    let said = fails(&house, 3, &["device", "suspend", "--from", from]);
    assert!(said.contains("pump-9 is not known"), "{said}");
    fs::write(&ids, "pump-1\n").unwrap();
    house.tell(&["device", "suspend", "pump-1", "--from", from]);
    let resumed = house.ask(&["device", "resume", "--from", from]);
    assert_eq!(resumed[0]["standing"], "enrolled", "{resumed:#}");
    fails(&house, 2, &["device", "suspend"]);
    fails(&house, 6, &["device", "retire", "pump-1"]);
    house.tell(&["device", "retire", "pump-1", "--yes", "--why", "scrapped"]);
    fails(&house, 1, &["device", "resume", "pump-1"]);
    let events = house.ask(&["events", "--device", "pump-1"]);
    let last = events.as_array().unwrap().last().unwrap();
    assert_eq!(last["what"], "device-standing-changed");
}

#[test]
fn policy_is_explained_tested_and_planned() {
    let house = House::serve(TENURE);
    let file = table(
        &house,
        "pump-1,Acme,P3,0001,pump,Hall 3,Hydraulics,telemetry,high\n",
    );
    house.tell(&[
        "device",
        "import",
        file.to_str().unwrap(),
        "--create-missing",
    ]);
    assert!(
        house
            .tell(&["policy", "explain", "--device", "pump-1"])
            .starts_with("allow")
    );
    let kept = house.directory().join("policy.toml");
    fs::write(&kept, house.tell(&["policy", "show"]) + "\n").unwrap();
    let kept = kept.to_str().unwrap();
    house.tell(&["policy", "test", kept]);
    assert_eq!(house.ask(&["policy", "plan", kept]), json!([]));
    house.tell(&["policy", "apply", kept]);
    let wrong = house.directory().join("wrong.toml");
    fs::write(&wrong, "colour = 7\n").unwrap();
    fails(&house, 1, &["policy", "test", wrong.to_str().unwrap()]);
}

/// The newest tile or bundle file below a directory.
fn newest_file(directory: &Path) -> PathBuf {
    let mut files = Vec::new();
    let mut open = vec![directory.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path)
            } else {
                files.push(path)
            }
        }
    }
    files
        .into_iter()
        .max_by_key(|path| path.metadata().unwrap().modified().unwrap())
        .unwrap()
}

#[test]
fn the_record_is_verified_from_outside_and_a_change_is_found() {
    let house = House::serve(TENURE);
    let first = house.ask(&["log", "verify"]);
    assert_eq!(
        (&first["ok"], &first["grown_from"]),
        (&json!(true), &json!(0))
    );
    house.tell(&["owner", "add", "Hydraulics"]);
    // Sealing follows the change within a second.
    let mut grown = Value::Null;
    until("the record has grown", || {
        grown = house.ask(&["log", "verify"]);
        grown["size"].as_u64() > first["size"].as_u64()
    });
    assert!(grown["grown_from"].as_u64().unwrap() >= first["size"].as_u64().unwrap());
    let proved = house.tell(&["log", "prove", "3"]);
    assert!(proved.contains("event 3 is leaf 2"), "{proved}");
    let checkpoint = house.tell(&["log", "checkpoint"]);
    assert!(checkpoint.starts_with("tenure"));
    let named = house.ask(&["log", "checkpoint"]);
    let size = named["size"].to_string();
    assert!(checkpoint.lines().any(|line| line == size), "{named:#}");
    assert_eq!(named["signatures"].as_array().unwrap().len(), 1);

    let victim = newest_file(&house.data().join("log/hashes/0"));
    let whole = fs::read(&victim).unwrap();
    let mut broken = whole.clone();
    broken[5] ^= 1;
    fs::write(&victim, &broken).unwrap();
    let said = fails(&house, 1, &["log", "verify"]);
    assert!(
        said.contains("tile") || said.contains("rewritten"),
        "{said}"
    );
    fs::write(&victim, &whole).unwrap();
    house.tell(&["log", "verify"]);
    // A server that shows another past than last time is caught by what the client remembers.
    let memory = newest_file(&house.directory().join(".local/state/tenure/log"));
    fs::write(&memory, "{}").unwrap();
    let said = fails(&house, 1, &["log", "verify"]);
    assert!(said.contains("cannot be read"), "{said}");
}

#[test]
fn a_revocation_that_was_taken_out_of_the_database_is_found_in_the_record() {
    let mut house = House::serve(TENURE);
    house.device("pump-17");
    let serial = enroll(&house, "pump-17");
    house.tell(&revoke(&serial));
    let size = || house.ask(&["log", "verify"])["size"].as_u64();
    let before = size();
    house.tell(&["owner", "add", "Somebody"]);
    until("the revocation is sealed", || size() > before);
    house.stop();
    let database = rusqlite::Connection::open(house.data().join("tenure.db")).unwrap();
    let changed = database.execute(
        "UPDATE cert SET status = 3, rev_at = 0, reason = 0 WHERE rev_at <> 0",
        [],
    );
    assert_eq!(changed, Ok(1));
    drop(database);
    // What was published before would have it revoked again at the start.
    for published in ["crl", "filter"] {
        fs::remove_dir_all(house.data().join(published)).unwrap();
    }
    house.start();
    let said = fails(&house, 1, &["log", "verify"]);
    assert!(said.contains(&serial), "{said}");
    assert!(said.contains("Revoke it again"), "{said}");
}

#[test]
fn tokens_open_what_their_role_opens() {
    let house = House::serve(TENURE);
    let token = house.tell(&["token", "create", "--name", "wall", "--role", "reader"]);
    let with = |arguments: &[&str]| {
        house
            .command(arguments)
            .env("TENURE_TOKEN", &token)
            .output()
            .unwrap()
    };
    assert!(with(&["device", "list"]).status.success());
    assert_eq!(with(&["token", "list"]).status.code(), Some(5));
    assert_eq!(with(&["log", "verify"]).status.code(), Some(5));
    let listed = house.ask(&["token", "list"]);
    let wall = listed
        .as_array()
        .unwrap()
        .iter()
        .find(|token| token["name"] == "wall")
        .unwrap();
    house.tell(&["token", "revoke", &wall["no"].to_string()]);
    assert_eq!(with(&["device", "list"]).status.code(), Some(5));
    house.tell(&["token", "rotate"]);
    house.tell(&["token", "list"]);
}

#[test]
fn a_backup_is_made_verified_and_served_elsewhere() {
    let mut house = House::serve(TENURE);
    let file = table(
        &house,
        "pump-1,Acme,P3,0001,pump,Hall 3,Hydraulics,telemetry,high\n",
    );
    house.tell(&[
        "device",
        "import",
        file.to_str().unwrap(),
        "--create-missing",
    ]);
    let serial = enroll(&house, "pump-1");
    let backup = house.tell(&["backup", "create"]);
    assert!(
        !Path::new(&backup).join("admin.token").exists(),
        "a token is in the backup"
    );
    house.tell(&["backup", "verify", &backup]);
    let token = fs::read_to_string(house.data().join("admin.token")).unwrap();
    fails(&house, 2, &["backup", "restore", &backup]);
    house.stop();
    let kept = house.directory().join("kept");
    fs::rename(&backup, &kept).unwrap();
    fs::rename(house.data(), house.directory().join("lost")).unwrap();
    let kept = kept.to_str().unwrap();
    house.tell(&["backup", "restore", kept]);
    fs::write(house.data().join("admin.token"), token).unwrap();
    house.start();
    assert_eq!(house.ask(&["cert", "show", &serial])["status"], "issued");
    house.tell(&["log", "verify", "--forget"]);
    let database = Path::new(kept).join("tenure.db");
    let mut bytes = fs::read(&database).unwrap();
    // The heads of the pages in the second half: somewhere between them may be nothing but air.
    let middle = bytes.len() / 2 / 4096 * 4096;
    for page in bytes[middle..].chunks_mut(4096) {
        page[..16].fill(0xff);
    }
    fs::write(&database, bytes).unwrap();
    fails(&house, 1, &["backup", "verify", kept]);
}

#[test]
fn keys_are_listed_rewrapped_and_the_roots_list_is_renewed() {
    let mut house = House::serve(TENURE);
    let keys = house.ask(&["key", "list"]);
    let named = |name: &str| {
        keys.as_array()
            .unwrap()
            .iter()
            .any(|key| key["name"] == name)
    };
    assert!(
        named("root") && named("issuing-1") && named("log"),
        "{keys}"
    );
    let said = fails(&house, 1, &["issuer", "crl-refresh"]);
    assert!(said.contains("in use"), "{said}");
    house.stop();
    let refreshed = house.ask(&["issuer", "crl-refresh"]);
    assert!(refreshed["lists"][0]["number"].as_u64().unwrap() > 0);

    let new = "a different passphrase";
    let rewrap = |old: Option<&str>| {
        let mut command = house.command(&["--json", "key", "rewrap"]);
        command.env("TENURE_NEW_PASSPHRASE", new);
        command.envs(old.map(|old| ("TENURE_PASSPHRASE", old)));
        command.output().unwrap()
    };
    assert_eq!(rewrap(Some("not the passphrase")).status.code(), Some(1));
    let first = rewrap(None);
    assert!(first.status.success(), "{}", text(&first.stderr));
    assert!(text(&first.stdout).contains("issuing-1"));
    let second = rewrap(None);
    assert_eq!(
        text(&second.stdout).trim(),
        "[]",
        "{}",
        text(&second.stderr)
    );
    let with_the_old_one = house.tenure(&["issuer", "crl-refresh"]);
    assert!(!with_the_old_one.status.success());
    let mut with_the_new_one = house.command(&["issuer", "crl-refresh"]);
    let done = with_the_new_one
        .env("TENURE_PASSPHRASE", new)
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", text(&done.stderr));
}

#[test]
fn a_token_is_sent_to_no_address_in_clear() {
    let house = House::unfounded(TENURE);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let kept = house.directory().join(".config/tenure/login.json");
    fs::create_dir_all(kept.parent().unwrap()).unwrap();
    let login = json!({ "url": url, "root_pem": "", "token": "t" });
    fs::write(&kept, login.to_string()).unwrap();
    let with = |arguments: &[&str], name: &str, value: &str| {
        let mut command = house.command(arguments);
        command
            .env_remove("TENURE_DATA")
            .env_remove("XDG_CONFIG_HOME");
        let Output { status, stderr, .. } = command.env(name, value).output().unwrap();
        let said = text(&stderr);
        assert_eq!(status.code(), Some(2), "{said}");
        assert!(
            said.contains("in clear") && said.contains("https://127"),
            "{said}"
        );
        said
    };
    let list = ["owner", "list"];
    let login = ["login", "--fingerprint", &"00".repeat(32)];
    assert!(with(&list, "TENURE_URL", &url).contains("TENURE_URL"));
    assert!(with(&login, "TENURE_URL", &url).contains("TENURE_URL"));
    assert!(with(&list, "TENURE_TOKEN", "t").contains("the login that was kept"));
    assert!(listener.accept().is_err(), "something was sent");
}

#[test]
fn a_list_says_how_to_go_on_and_the_registry_is_exported_whole() {
    let house = House::serve(TENURE);
    let rows: String = (1..=5)
        .map(|no| format!("pump-{no},Acme,P3,000{no},pump,Hall 3,Hydraulics,telemetry,high\n"))
        .collect();
    let file = table(&house, &rows);
    let import = ["device", "import", file.to_str().unwrap()];
    house.tell(&[&import[..], &["--create-missing"]].concat());

    let mut ids: Vec<String> = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let mut list = vec!["device", "list", "--json", "--limit", "2"];
        list.extend(cursor.iter().flat_map(|cursor| ["--cursor", cursor]));
        let Output { stdout, stderr, .. } = house.tenure(&list);
        let page: Value = serde_json::from_slice(&stdout).unwrap();
        let page = page.as_array().unwrap().iter();
        ids.extend(page.map(|device| device["id"].as_str().unwrap().to_owned()));
        let said = text(&stderr);
        cursor = said
            .trim()
            .strip_prefix("there are more: add --cursor ")
            .map(str::to_owned);
        if cursor.is_none() {
            assert_eq!(said, "");
            break;
        }
    }
    assert_eq!(ids, ["pump-1", "pump-2", "pump-3", "pump-4", "pump-5"]);
    let oldest = house.ask(&["events", "--limit", "2"]);
    assert_eq!(
        (&oldest[0]["seq"], &oldest[1]["seq"]),
        (&json!(1), &json!(2))
    );

    enroll(&house, "pump-1");
    enroll(&house, "pump-2");
    let cut = ["as-of", "2099-01-01T00:00:00Z", "--site", "Hall 3"];
    let first = house.tenure(&[&cut[..], &["--limit", "1"]].concat());
    let said = text(&first.stderr);
    let cursor = said.trim().strip_prefix("there are more: add --cursor ");
    let more = ["--limit", "1", "--cursor", cursor.unwrap()];
    let rest = house.tenure(&[&cut[..], &more].concat());
    assert_eq!(text(&rest.stderr), "");
    let (first, rest) = (text(&first.stdout), text(&rest.stdout));
    assert!(
        first.contains("pump-1") && !first.contains("pump-2"),
        "{first}"
    );
    assert!(
        rest.contains("pump-2") && !rest.contains("pump-1"),
        "{rest}"
    );

    let exported = house.ask(&["device", "export"]);
    assert_eq!(exported.as_array().unwrap().len(), 5);
    assert_eq!(exported[4]["serial"], "0005");
    assert_eq!(house.tell(&["device", "export"]).lines().count(), 6);
    fails(&house, 2, &["device", "export", "--limit", "5"]);
    let issuer = house.ask(&["issuer", "export", "issuing-1"]);
    assert_eq!(issuer["name"], "issuing-1");
    assert!(issuer["pem"].as_str().unwrap().starts_with("-----BEGIN"));

    // A reader that has had enough ends the command, which says nothing about it.
    let mut list = house.command(&["device", "list"]);
    let list = list.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut list = list.spawn().unwrap();
    drop(list.stdout.take());
    let Output { status, stderr, .. } = list.wait_with_output().unwrap();
    assert_eq!((status.code(), text(&stderr).as_str()), (Some(141), ""));
}

#[test]
fn a_login_says_what_is_missing_or_wrong() {
    let house = House::serve(TENURE);
    let url = format!("https://127.0.0.1:{}", house.ports().operator);
    let login = |print: &str| ["login", "--url", &url, "--fingerprint", print].map(str::to_owned);
    let other = login(&"00".repeat(32));
    let said = fails(&house, 4, &other.each_ref().map(String::as_str));
    assert!(
        said.contains("is not the server with the fingerprint 00"),
        "{said}"
    );
    if !tenure_tests::have("setsid") {
        return;
    }
    let root = pem_certificates(&fs::read_to_string(house.root()).unwrap()).unwrap();
    let print = tenure_domain::text::hex(&root[0].fingerprint());
    let Output { status, stderr, .. } = Command::new("setsid")
        .args(["-w", TENURE])
        .args(login(&print))
        .env("HOME", house.directory())
        .env_remove("TENURE_TOKEN")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = text(&stderr);
    assert_eq!(status.code(), Some(5), "{said}");
    assert!(said.contains("set TENURE_TOKEN"), "{said}");
}

#[test]
fn a_request_is_logged_with_the_trace_it_is_part_of() {
    let mut house = House::serve(TENURE);
    let (trace, parent) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");
    let url = format!("https://127.0.0.1:{}/healthz", house.ports().operator);
    let said = format!("00-{trace}-{parent}-01");
    let headers = [("traceparent", said.as_str())];
    let answer = Caller::new(&house.root()).send("GET", &url, &headers, b"");
    let id = answer.header("x-request-id").unwrap().to_owned();
    until("the request is logged", || {
        let log = house.server().log();
        let line = log.lines().find(|line| line.contains(&id));
        line.is_some_and(|line| line.contains(&format!("trace=\"{trace}\"")))
    });
}
