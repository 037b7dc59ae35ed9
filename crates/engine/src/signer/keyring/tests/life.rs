//! Making, removing, renaming a passphrase, and what a crash leaves.

use super::*;

#[test]
fn a_name_is_taken_once_and_means_no_path() {
    let (_place, directory) = two_keys();
    let ring = Keyring::open(&directory, &right()).unwrap();
    let before = fs::read(directory.join("issuing.key")).unwrap();
    let again = ring.make(new_key("issuing", Doors::ISSUER, KeyKind::P256), &right());
    assert!(matches!(again, Err(KeyringError::Exists { key }) if key == "issuing"));
    assert_eq!(fs::read(directory.join("issuing.key")).unwrap(), before);
    for name in [
        "",
        "../root",
        "a/b",
        ".",
        "Root",
        "-x",
        "a.b",
        &"x".repeat(64),
        "ключ",
    ] {
        let made = ring.make(new_key(name, Doors::ISSUER, KeyKind::P256), &right());
        assert!(matches!(made, Err(KeyringError::BadName { .. })), "{name}");
    }
    assert!(matches!(
        Keyring::create(&directory),
        Err(KeyringError::NotEmpty { .. })
    ));
}

#[test]
fn a_removed_key_is_gone_and_its_name_is_free() {
    let (_place, directory) = two_keys();
    let ring = Keyring::open(&directory, &right()).unwrap();
    let before = ring.key("responder").unwrap().public().clone();
    ring.remove("responder").unwrap();
    assert!(ring.key("responder").is_none());
    assert!(matches!(
        ring.remove("responder"),
        Err(KeyringError::Unknown { .. })
    ));
    let after = ring
        .make(
            new_key("responder", Doors::RESPONDER, KeyKind::P256),
            &right(),
        )
        .unwrap();
    assert_ne!(*after.public(), before);
    assert_eq!(
        Keyring::open(&directory, &right()).unwrap().records().len(),
        2
    );
}

/// Each state that a power cut while making a key can leave behind.
#[test]
fn a_crash_while_making_a_key_leaves_the_others_and_the_name_usable() {
    let (_place, directory) = two_keys();
    let path = |name: &str| directory.join(name);
    let (key, record) = (path("log.key"), path("log.toml"));
    let lost = "what was written of a key that nobody was told of";
    let states: [&dyn Fn(); 3] = [
        &|| fs::write(path("log.key.new"), lost).unwrap(),
        &|| file::write(&key, lost).unwrap(),
        &|| {
            file::write(&key, lost).unwrap();
            fs::write(path("log.toml.new"), "name = ").unwrap();
        },
    ];
    for leave in states {
        for entry in ["log.key.unrecorded", "log.key.new", "log.toml.new"] {
            let _ = fs::remove_file(path(entry));
        }
        leave();
        let had_key = key.exists();
        let ring = Keyring::open(&directory, &right()).unwrap();
        assert_eq!(ring.records().len(), 2);
        let made = ring
            .make(new_key("log", Doors::LOG, KeyKind::Ed25519), &right())
            .unwrap();
        let opened = Keyring::open(&directory, &right())
            .unwrap()
            .key("log")
            .unwrap();
        assert_eq!(opened.public(), made.public());
        assert!(!path("log.key.new").exists() && !path("log.toml.new").exists());
        if had_key {
            // it might be all that is left of a key whose record was deleted
            assert_eq!(
                fs::read_to_string(path("log.key.unrecorded")).unwrap(),
                lost
            );
        }
        ring.remove("log").unwrap();
        assert!(!key.exists() && !record.exists());
    }
    // two such in a row: nothing is overwritten
    fs::write(path("log.key.unrecorded"), lost).unwrap();
    file::write(&key, "another").unwrap();
    let ring = Keyring::open(&directory, &right()).unwrap();
    let error = ring
        .make(new_key("log", Doors::LOG, KeyKind::Ed25519), &right())
        .unwrap_err();
    assert!(matches!(error, KeyringError::Malformed { .. }), "{error}");
    assert_eq!(fs::read_to_string(&key).unwrap(), "another");
}

#[test]
fn another_passphrase_takes_over_and_an_interrupted_change_is_finished_by_repeating_it() {
    let (_place, directory) = two_keys();
    let new = passphrase("a new horse, a new staple");
    let wrong = passphrase("nobody's horse and staple");
    let ring = Keyring::open(&directory, &right()).unwrap();
    let error = ring.rewrap("issuing", &wrong, &new).unwrap_err();
    assert!(
        matches!(error, KeyringError::WrongPassphrase { .. }),
        "{error}"
    );
    assert!(matches!(
        ring.rewrap("root", &right(), &new),
        Err(KeyringError::Unknown { .. })
    ));

    // power fails before the new file is in place
    fs::write(directory.join("issuing.key.new"), "half of a f").unwrap();
    assert_eq!(
        ring.rewrap("issuing", &right(), &new).unwrap(),
        Rewrap::Done
    );
    // power fails after the first of two keys
    let error = Keyring::open(&directory, &right()).unwrap_err();
    assert!(matches!(&error, KeyringError::WrongPassphrase { key } if key == "issuing"));
    let error = Keyring::open(&directory, &new).unwrap_err();
    assert!(matches!(&error, KeyringError::WrongPassphrase { key } if key == "responder"));
    let locked = Keyring::locked(&directory).unwrap();
    let redone: Vec<_> = locked
        .records()
        .iter()
        .map(|record| locked.rewrap(&record.name, &right(), &new).unwrap())
        .collect();
    assert_eq!(redone, [Rewrap::Already, Rewrap::Done]);

    let again = Keyring::open(&directory, &new).unwrap();
    assert_eq!(again.records(), ring.records());
    assert_eq!(
        again.key("issuing").unwrap().public(),
        ring.key("issuing").unwrap().public()
    );
    assert!(Keyring::open(&directory, &right()).is_err());
}

#[test]
fn a_changed_record_cannot_be_sealed_anew_by_changing_the_passphrase() {
    let (_place, directory) = two_keys();
    edit(
        &directory.join("responder.toml"),
        "\"ocsp\"",
        "\"certificate\"",
    );
    let new = passphrase("a new horse, a new staple");
    let ring = Keyring::locked(&directory).unwrap();
    let error = ring.rewrap("responder", &right(), &new).unwrap_err();
    assert!(matches!(error, KeyringError::Changed { .. }), "{error}");
}

#[test]
fn a_root_key_can_lie_elsewhere_under_its_own_passphrase() {
    let place = TempDir::new().unwrap();
    let path = place.path().join("acme-root.key");
    let own = passphrase("only for the root of it all");
    let root = NewKey {
        opened_by: OpenedBy::Ceremony,
        ..new_key("root", Doors::ISSUER, KeyKind::P384)
    };
    let made = Keyring::make_at(&path, root.clone(), &own).unwrap();
    let opened = Keyring::open_at(&path, &own).unwrap();
    assert_eq!(opened.public(), made.public());
    assert_eq!(opened.name(), "root");
    opened.sign_crl(b"list").unwrap();
    assert!(matches!(
        Keyring::open_at(&path, &right()),
        Err(KeyringError::WrongPassphrase { .. })
    ));
    assert!(matches!(
        Keyring::make_at(&path, root.clone(), &own),
        Err(KeyringError::Exists { .. })
    ));
    #[cfg(unix)]
    {
        assert_eq!(mode(&path), 0o600);
        set_mode(&path, 0o755); // as a FAT file system shows everything
        Keyring::open_at(&path, &own).unwrap();
    }
    assert_eq!(
        Keyring::rewrap_at(&path, &own, &right()).unwrap(),
        Rewrap::Done
    );
    Keyring::open_at(&path, &right()).unwrap();

    let unmounted = place.path().join("usb").join("root.key");
    let error = Keyring::make_at(&unmounted, root.clone(), &own).unwrap_err();
    assert!(matches!(error, KeyringError::NoDirectory { .. }), "{error}");
    let said = error.to_string();
    assert!(
        said.contains("/usb ") && said.contains("make it first"),
        "{said}"
    );
    assert!(!place.path().join("usb").exists());
    let error = Keyring::make_at(&place.path().join("root.toml"), root, &own).unwrap_err();
    assert!(matches!(error, KeyringError::Malformed { .. }), "{error}");
}

#[test]
fn makers_at_the_same_time_make_one_key_of_a_name() {
    let (_place, directory) = two_keys();
    let ring = Keyring::open(&directory, &right()).unwrap();
    let made: Vec<_> = thread::scope(|scope| {
        let makers: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| ring.make(new_key("log", Doors::LOG, KeyKind::Ed25519), &right()))
            })
            .collect();
        makers
            .into_iter()
            .map(|maker| maker.join().unwrap())
            .collect()
    });
    assert_eq!(made.iter().filter(|made| made.is_ok()).count(), 1);
    let kept = Keyring::open(&directory, &right())
        .unwrap()
        .key("log")
        .unwrap();
    assert!(
        made.iter()
            .flatten()
            .all(|key| key.public() == kept.public())
    );
}
