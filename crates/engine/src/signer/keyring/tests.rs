//! The keyring: what it keeps, whom it lets in, and what a crash or an editor leaves.

mod life;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;

use tempfile::TempDir;
use tenure_x509::{KeyKind, KeyPair, Time};

use super::seal::Seal;
use super::*;
use crate::signer::{Door, Doors, SignError};

const NOW: Time = Time::from_unix(1_795_392_000);

fn passphrase(text: &str) -> Passphrase {
    Passphrase::new(text.to_owned()).unwrap()
}

fn right() -> Passphrase {
    passphrase("right horse, right staple")
}

fn new_key(name: &str, doors: Doors, kind: KeyKind) -> NewKey {
    NewKey {
        name: name.to_owned(),
        doors,
        kind,
        opened_by: OpenedBy::Serve,
        custody: Custody::File,
        created: NOW,
    }
}

/// A keyring with an issuer's and a responder's key.
fn two_keys() -> (TempDir, PathBuf) {
    let place = TempDir::new().unwrap();
    let directory = place.path().join("keys");
    let ring = Keyring::create(&directory).unwrap();
    ring.make(new_key("issuing", Doors::ISSUER, KeyKind::P256), &right())
        .unwrap();
    ring.make(
        new_key("responder", Doors::RESPONDER, KeyKind::P256),
        &right(),
    )
    .unwrap();
    (place, directory)
}

fn edit(path: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.contains(from), "{text}");
    fs::write(path, text.replace(from, to)).unwrap();
}

#[test]
fn a_key_is_there_after_reopening_with_its_record_and_doors() {
    let place = TempDir::new().unwrap();
    let directory = place.path().join("keys");
    let ring = Keyring::create(&directory).unwrap();
    let kinds = [
        ("issuing", Doors::ISSUER, KeyKind::P384),
        ("log", Doors::LOG, KeyKind::Ed25519),
        ("responder", Doors::RESPONDER, KeyKind::Rsa2048),
        ("server", Doors::TLS, KeyKind::P256),
    ];
    for (name, doors, kind) in kinds {
        ring.make(new_key(name, doors, kind), &right()).unwrap();
    }
    let again = Keyring::open(&directory, &right()).unwrap();
    assert_eq!(again.records(), ring.records());
    let names: Vec<_> = again
        .keys()
        .iter()
        .map(|key| key.name().to_owned())
        .collect();
    assert_eq!(names, ["issuing", "log", "responder", "server"]);
    for (name, doors, kind) in kinds {
        let (before, after) = (ring.key(name).unwrap(), again.key(name).unwrap());
        assert_eq!(before.public(), after.public());
        let record = again
            .records()
            .into_iter()
            .find(|record| record.name == name)
            .unwrap();
        assert_eq!(
            (record.doors, record.kind, record.created),
            (doors, kind, NOW)
        );
        assert_eq!(record.public, *after.public());
    }
    assert!(again.key("root").is_none());
    again.key("log").unwrap().sign_checkpoint(b"text").unwrap();
    assert_eq!(
        again.key("log").unwrap().sign_ocsp(b"text"),
        Err(SignError::WrongDoor {
            key: "log".to_owned(),
            door: Door::Ocsp
        })
    );
}

#[test]
fn openssl_reads_the_key_files() {
    if Command::new("openssl").arg("version").output().is_err() {
        let required = std::env::var("TENURE_REQUIRE_INTEROP").is_ok_and(|value| value == "1");
        assert!(!required, "openssl not found, and TENURE_REQUIRE_INTEROP=1");
        eprintln!("skipped: openssl not found");
        return;
    }
    let (_place, directory) = two_keys();
    let ring = Keyring::open(&directory, &right()).unwrap();
    let file = directory.join("issuing.key");
    let read = |pass: &str| {
        Command::new("openssl")
            .args(["pkey", "-pubout", "-outform", "DER", "-passin", pass, "-in"])
            .arg(&file)
            .output()
            .unwrap()
    };
    let output = read("pass:right horse, right staple");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(
        output.stdout,
        ring.key("issuing").unwrap().public().spki_der()
    );
    assert!(!read("pass:wrong horse").status.success());
}

#[cfg(unix)]
fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[cfg(unix)]
fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[cfg(unix)]
#[test]
fn files_are_for_their_owner_alone_and_an_exposed_one_is_refused() {
    let (_place, directory) = two_keys();
    assert_eq!(mode(&directory), 0o700);
    for entry in fs::read_dir(&directory).unwrap() {
        assert_eq!(mode(&entry.unwrap().path()), 0o600);
    }
    let file = directory.join("issuing.key");
    for open in [0o640, 0o604, 0o620] {
        set_mode(&file, open);
        let error = Keyring::open(&directory, &right()).unwrap_err();
        assert!(
            matches!(&error, KeyringError::Exposed { path, mode, .. }
                if *path == file && *mode == open),
            "{error}"
        );
        assert!(error.to_string().contains("chmod 600"), "{error}");
    }
    set_mode(&file, 0o600);
    set_mode(&directory, 0o770);
    let error = Keyring::open(&directory, &right()).unwrap_err();
    assert!(error.to_string().contains("chmod 700"), "{error}");
    set_mode(&directory, 0o750); // others may look: the files protect themselves
    Keyring::open(&directory, &right()).unwrap();
}

#[test]
fn placeholders_are_no_passphrases() {
    let table = [
        ("", Weakness::Empty),
        ("    ", Weakness::Empty),
        ("x7!k", Weakness::Short),
        ("äöüäöüß", Weakness::Short),
        ("secret", Weakness::Placeholder),
        ("changeme", Weakness::Placeholder),
        ("Change-Me!", Weakness::Placeholder),
        ("CHANGE_ME_NOW", Weakness::Placeholder),
        ("password", Weakness::Placeholder),
        ("Password123!", Weakness::Placeholder),
        ("passw0rd", Weakness::Placeholder),
        ("P@ssw0rd!", Weakness::Placeholder),
        ("P@$$w0rd-2026", Weakness::Placeholder),
        ("p@55w0rd15", Weakness::Placeholder),
        ("Ch@ngeM3", Weakness::Placeholder),
        ("5up3r-53cr3t", Weakness::Placeholder),
        ("Adm1n1strator", Weakness::Placeholder),
        ("P1ac3h01d3r", Weakness::Placeholder),
        ("p4ssw0rd", Weakness::Placeholder),
        ("4dm1n1s7ra7or", Weakness::Placeholder),
        ("Adm!n!strator", Weakness::Placeholder),
        ("passphrase", Weakness::Placeholder),
        ("tenure-2026", Weakness::Placeholder),
        ("12345678", Weakness::Placeholder),
        ("1234567890", Weakness::Placeholder),
        ("1234-5678", Weakness::Placeholder),
        ("87654321", Weakness::Placeholder),
        ("00000000", Weakness::Placeholder),
        ("--------", Weakness::Placeholder),
        ("abcdefgh", Weakness::Placeholder),
        ("${TENURE_PASSPHRASE}", Weakness::Placeholder),
        ("<your passphrase>", Weakness::Placeholder),
        ("a good one but\n", Weakness::ControlCharacter),
    ];
    for (text, weakness) in table {
        match Passphrase::new(text.to_owned()) {
            Err(KeyringError::WeakPassphrase(found)) => assert_eq!(found, weakness, "{text:?}"),
            other => panic!("{text:?}: {other:?}"),
        }
    }
    let long = "y".repeat(PASSPHRASE_BYTES_MAX) + "z";
    assert!(matches!(
        Passphrase::new(long),
        Err(KeyringError::WeakPassphrase(Weakness::Long))
    ));
    for good in [
        "tr0ub4dor",
        "my password is long",
        "9f86d081",
        "größer als acht",
        "q8Zr!m2p",
    ] {
        Passphrase::new(good.to_owned()).unwrap();
    }
}

#[test]
fn a_passphrase_is_never_shown() {
    let shown = format!("{:?}", right());
    assert!(!shown.contains("horse"), "{shown}");
    let (_place, directory) = two_keys();
    let error = Keyring::open(&directory, &passphrase("left donkey, left glue")).unwrap_err();
    assert!(!format!("{error} {error:?}").contains("donkey"));
}

#[test]
fn a_wrong_passphrase_names_the_key() {
    let (_place, directory) = two_keys();
    let error = Keyring::open(&directory, &passphrase("wrong horse, wrong staple")).unwrap_err();
    assert!(
        matches!(&error, KeyringError::WrongPassphrase { key } if key == "issuing"),
        "{error}"
    );
    assert_eq!(
        error.to_string(),
        "the passphrase does not open key issuing"
    );
}

/// Whoever can write files but does not know the passphrase gains no door, no key, no library.
#[test]
fn an_edited_record_is_refused() {
    let edits = [
        ("doors = \"ocsp\"", "doors = \"certificate+crl+ocsp\""),
        ("opened-by = \"serve\"", "opened-by = \"serve\" "),
        ("created = \"2026", "created = \"2025"),
        (
            "kind = \"file\"",
            "kind = \"pkcs11\"\nmodule = \"/nowhere/evil.so\"\ntoken = \"t\"\nlabel = \"l\"\n\
             pin = \"passphrase\"",
        ),
    ];
    for (from, to) in edits {
        let (_place, directory) = two_keys();
        edit(&directory.join("responder.toml"), from, to);
        let error = Keyring::open(&directory, &right()).unwrap_err();
        assert!(
            matches!(&error, KeyringError::Changed { key } if key == "responder"),
            "{to}: {error}"
        );
    }
}

#[test]
fn files_of_one_key_cannot_serve_another() {
    let (_place, directory) = two_keys();
    let path = |name: &str| directory.join(name);
    // the issuer's key under the responder's record
    let kept = fs::read(path("responder.key")).unwrap();
    fs::copy(path("issuing.key"), path("responder.key")).unwrap();
    let error = Keyring::open(&directory, &right()).unwrap_err();
    assert!(
        matches!(&error, KeyringError::Changed { key } if key == "responder"),
        "{error}"
    );
    fs::write(path("responder.key"), kept).unwrap();
    // both files of the issuer's key under another name
    fs::copy(path("issuing.key"), path("copy.key")).unwrap();
    fs::copy(path("issuing.toml"), path("copy.toml")).unwrap();
    let error = Keyring::open(&directory, &right()).unwrap_err();
    assert!(
        error.to_string().contains("it is the record of issuing"),
        "{error}"
    );
}

#[test]
fn a_private_key_that_is_not_the_record_s_is_refused_even_when_sealed() {
    let (_place, directory) = two_keys();
    let other = KeyPair::generate(KeyKind::P256).unwrap();
    let pem = other.to_encrypted_pem(right().as_bytes()).unwrap();
    let record = fs::read_to_string(directory.join("issuing.toml")).unwrap();
    let seal = Seal::make(&right(), &record, &pem).unwrap();
    fs::write(directory.join("issuing.key"), seal.line() + &pem).unwrap();
    let error = Keyring::open(&directory, &right()).unwrap_err();
    assert!(
        matches!(&error, KeyringError::PublicMismatch { key } if key == "issuing"),
        "{error}"
    );
}

#[test]
fn a_key_file_that_is_missing_or_torn_is_said_to_be() {
    let (_place, directory) = two_keys();
    let file = directory.join("issuing.key");
    let whole = fs::read_to_string(&file).unwrap();
    fs::remove_file(&file).unwrap();
    let error = Keyring::open(&directory, &right()).unwrap_err();
    assert!(
        matches!(&error, KeyringError::Missing { key, .. } if key == "issuing"),
        "{error}"
    );

    let pem_at = whole.find("-----BEGIN").unwrap();
    for cut in [0, 10, 60, pem_at - 1, pem_at, pem_at + 40, whole.len() - 1] {
        file::write(&file, &whole[..cut]).unwrap();
        let error = Keyring::open(&directory, &right()).unwrap_err();
        let expected = match cut {
            _ if cut < pem_at => {
                matches!(&error, KeyringError::Malformed { path, .. } if *path == file)
            }
            _ => matches!(&error, KeyringError::Changed { .. }),
        };
        assert!(expected, "cut at {cut}: {error}");
    }
    file::write(&file, &whole).unwrap();
    Keyring::open(&directory, &right()).unwrap();
}

#[test]
fn seals_read_back_and_nothing_else_reads_as_one() {
    let seal = Seal::make(&right(), "record", "key").unwrap();
    let text = seal.line() + "key";
    assert_eq!(Seal::take(&text), Some((seal.clone(), "key")));
    for cut in 0..seal.line().len() {
        assert_eq!(Seal::take(&text[..cut]), None);
    }
    for wrong in [
        text.replacen("tenure-seal-1", "tenure-seal-2", 1),
        text.replacen(' ', "  ", 1),
        text.replacen('\n', " 00\n", 1),
        text.replacen('\n', "é\n", 1),
    ] {
        assert_eq!(Seal::take(&wrong), None, "{wrong}");
    }
    // no octet may move from the record to the key
    assert!(seal.verify(&right(), "recor", "dkey").unwrap().is_err());
    assert!(seal.verify(&right(), "record", "key").unwrap().is_ok());
}

#[test]
fn malformed_records_are_refused_with_their_path() {
    let (_place, directory) = two_keys();
    let path = directory.join("issuing.toml");
    let good = fs::read_to_string(&path).unwrap();
    for (from, to) in [
        (
            "doors = \"certificate+crl\"",
            "doors = \"certificate+anything\"",
        ),
        ("doors = \"certificate+crl\"", "doors = \"\""),
        ("kind = \"p256\"", "kind = \"p257\""),
        ("public-key = \"M", "public-key = \"!"),
        ("public-key = \"M", "extra = 1\npublic-key = \"M"),
        ("name = \"issuing\"", "name = \"../issuing\""),
        ("kind = \"file\"", "kind = \"cloud\""),
        ("created = \"2026", "created = \"soon"),
    ] {
        assert!(good.contains(from), "{from}");
        fs::write(&path, good.replace(from, to)).unwrap();
        let error = Keyring::open(&directory, &right()).unwrap_err();
        assert!(
            matches!(&error, KeyringError::Malformed { path: found, .. } if *found == path),
            "{to}: {error}"
        );
    }
    fs::write(&path, vec![b'#'; 70_000]).unwrap();
    assert!(matches!(
        Keyring::locked(&directory),
        Err(KeyringError::Malformed { .. })
    ));
    fs::write(&path, [0xff, 0xfe]).unwrap();
    assert!(matches!(
        Keyring::locked(&directory),
        Err(KeyringError::File { .. })
    ));
}

#[test]
fn the_server_leaves_the_keys_of_ceremonies_locked() {
    let (_place, directory) = two_keys();
    let root = NewKey {
        opened_by: OpenedBy::Ceremony,
        ..new_key("root", Doors::ISSUER, KeyKind::P256)
    };
    Keyring::open(&directory, &right())
        .unwrap()
        .make(root, &right())
        .unwrap();

    let ring = Keyring::open(&directory, &right()).unwrap();
    assert!(ring.key("root").is_none());
    assert!(ring.key("issuing").is_some());
    assert_eq!(ring.records().len(), 3);
    let root = ring.unlock("root", &right()).unwrap();
    root.sign_crl(b"list").unwrap();
    assert!(ring.key("root").is_none(), "one act, then it is gone");
    assert!(matches!(
        ring.unlock("root", &passphrase("not the one")),
        Err(KeyringError::WrongPassphrase { .. })
    ));
    assert!(matches!(
        ring.unlock("leaf", &right()),
        Err(KeyringError::Unknown { .. })
    ));

    let ring = Keyring::open_without(&directory, &right(), &["issuing"]).unwrap();
    assert!(ring.key("issuing").is_none());
    assert!(ring.key("responder").is_some());

    // a broken key of a ceremony does not keep the server from starting
    fs::remove_file(directory.join("root.key")).unwrap();
    Keyring::open(&directory, &right()).unwrap();
}

#[test]
fn records_can_be_listed_without_a_passphrase() {
    let (_place, directory) = two_keys();
    let ring = Keyring::locked(&directory).unwrap();
    let names: Vec<_> = ring
        .records()
        .into_iter()
        .map(|record| record.name)
        .collect();
    assert_eq!(names, ["issuing", "responder"]);
    assert!(ring.key("issuing").is_none());
}

#[test]
fn pin_sources_read_back_and_never_repeat_a_pin() {
    for text in [
        "passphrase",
        "environment:TENURE_PIN",
        "file:/run/secrets/pin",
    ] {
        assert_eq!(text.parse::<PinSource>().unwrap().to_string(), text);
    }
    for text in ["", "123456", "environment:", "file:", "literal:123456"] {
        let error = text.parse::<PinSource>().unwrap_err();
        assert!(!error.contains("123456"), "{error}");
    }
}

#[cfg(not(feature = "pkcs11"))]
#[test]
fn without_the_feature_a_key_in_a_token_is_refused_with_the_reason() {
    let (_place, directory) = two_keys();
    let place = TokenKey {
        module: "/usr/lib/softhsm/libsofthsm2.so".into(),
        token: "tenure".to_owned(),
        label: "log".to_owned(),
        pin: PinSource::Passphrase,
    };
    let new = NewKey {
        custody: Custody::Pkcs11(place),
        ..new_key("log", Doors::LOG, KeyKind::Ed25519)
    };
    let ring = Keyring::open(&directory, &right()).unwrap();
    let error = ring.make(new, &right()).unwrap_err();
    assert!(
        error.to_string().contains("without the pkcs11 feature"),
        "{error}"
    );
}

/// The test runs itself again in a shell that lets no file grow, which is what a full disk does.
#[cfg(unix)]
#[test]
fn a_full_disk_changes_nothing() {
    const VARIABLE: &str = "TENURE_TEST_FULL_DISK";
    let new = passphrase("a new horse, a new staple");
    if let Some(directory) = std::env::var_os(VARIABLE) {
        let ring = Keyring::open(Path::new(&directory), &right()).unwrap();
        let full = |error: KeyringError| {
            assert!(matches!(error, KeyringError::File { .. }), "{error}");
        };
        full(ring.rewrap("issuing", &right(), &new).unwrap_err());
        let log = new_key("log", Doors::LOG, KeyKind::Ed25519);
        full(ring.make(log, &right()).unwrap_err());
        assert!(ring.key("log").is_none());
        return;
    }
    let (_place, directory) = two_keys();
    let (_, module) = module_path!().split_once("::").unwrap();
    let child = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 0; exec \"$0\" \"$@\""])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", &format!("{module}::a_full_disk_changes_nothing")])
        .env(VARIABLE, &directory)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stdout);
    assert!(
        child.status.success() && said.contains("1 passed"),
        "{child:?}"
    );
    let mut names: Vec<_> = fs::read_dir(&directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(
        names,
        [
            "issuing.key",
            "issuing.toml",
            "responder.key",
            "responder.toml"
        ]
    );
    Keyring::open(&directory, &right()).unwrap();
}
