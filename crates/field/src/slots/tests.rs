use std::os::unix::fs::PermissionsExt;

use tenure_x509::KeyKind;

use super::*;

const REQUEST_DER: &[u8] = &[0x30, 0x03, 0x02, 0x01, 0x01];
const CERT_DER: &[u8] = &[0x30, 0x03, 0x02, 0x01, 0x02];
const CA_DER: &[u8] = &[0x30, 0x03, 0x02, 0x01, 0x03];

fn key() -> KeyPair {
    KeyPair::generate(KeyKind::P256).unwrap()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_key_is_durable_before_anything_is_sent_and_private() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("id");
    let public = {
        let slots = Slots::open(&root).unwrap();
        assert!(slots.current().unwrap().is_none() && slots.next().unwrap().is_none());
        slots.begin(key(), REQUEST_DER).unwrap().key.public().hash()
    };
    assert_eq!((mode(&root), mode(&root.join("0001"))), (0o700, 0o700));
    assert_eq!(mode(&root.join("0001/key.pem")), 0o600);
    let slots = Slots::open(&root).unwrap();
    let next = slots.next().unwrap().unwrap();
    assert_eq!(next.key.public().hash(), public);
    assert_eq!(next.request, pem_encode("CERTIFICATE REQUEST", REQUEST_DER));
    slots.postpone(&next, Time::from_unix(77)).unwrap();
    assert_eq!(
        slots.next().unwrap().unwrap().retry_at,
        Some(Time::from_unix(77))
    );
}

#[test]
fn committing_switches_in_one_step_and_keeps_one_identity_back() {
    let dir = tempfile::tempdir().unwrap();
    let slots = Slots::open(dir.path()).unwrap();
    for round in 1..=4u32 {
        let next = slots.begin(key(), REQUEST_DER).unwrap();
        let hash = next.key.public().hash();
        slots.commit(next, &[CERT_DER, CA_DER]).unwrap();
        let current = slots.current().unwrap().unwrap();
        assert_eq!(current.key.public().hash(), hash);
        assert_eq!(current.chain.matches("BEGIN CERTIFICATE").count(), 2);
        assert!(slots.next().unwrap().is_none());
        let mut kept = slots.numbers().unwrap();
        kept.sort_unstable();
        assert_eq!(
            kept,
            (round.saturating_sub(1).max(1)..=round).collect::<Vec<_>>()
        );
        let own = fs::read_to_string(dir.path().join("current/certificate.pem")).unwrap();
        assert_eq!(own, pem_encode("CERTIFICATE", CERT_DER));
    }
}

#[test]
fn two_programs_do_not_share_a_directory() {
    let dir = tempfile::tempdir().unwrap();
    let first = Slots::open(dir.path()).unwrap();
    assert!(matches!(Slots::open(dir.path()), Err(Error::Locked { .. })));
    drop(first);
    Slots::open(dir.path()).unwrap();
}

/// Copies a directory as a crash would have left it.
fn snapshot(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        let kind = entry.file_type().unwrap();
        if kind.is_symlink() {
            std::os::unix::fs::symlink(fs::read_link(entry.path()).unwrap(), target).unwrap();
        } else if kind.is_dir() {
            snapshot(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[test]
fn a_crash_at_any_step_leaves_the_old_identity_or_the_new_one() {
    let dir = tempfile::tempdir().unwrap();
    let live = dir.path().join("live");
    let slots = Slots::open(&live).unwrap();
    let old = slots.begin(key(), REQUEST_DER).unwrap();
    let old_hash = old.key.public().hash();
    slots.commit(old, &[CERT_DER]).unwrap();

    let new = slots.begin(key(), REQUEST_DER).unwrap();
    let new_hash = new.key.public().hash();
    let begun = dir.path().join("begun");
    snapshot(&live, &begun);
    slots.commit(new, &[CERT_DER]).unwrap();

    // Each of these is what is on disk after one more step of beginning or committing.
    type Crash = fn(&Path);
    let crashes: [(&str, Crash); 7] = [
        ("begun, nothing more", |_| {}),
        ("half a certificate", |at| {
            fs::write(at.join("0002/.certificate.pem.new"), "--").unwrap()
        }),
        ("certificate without chain", |at| {
            fs::write(at.join("0002/certificate.pem"), "x").unwrap();
        }),
        ("chain, link not made", |at| {
            fs::write(at.join("0002/certificate.pem"), "x").unwrap();
            fs::write(at.join("0002/chain.pem"), "x").unwrap();
        }),
        ("fresh link made, not in place", |at| {
            std::os::unix::fs::symlink("0002", at.join(".current.new")).unwrap();
        }),
        ("another slot forming", |at| {
            fs::create_dir(at.join(".forming")).unwrap();
            fs::write(at.join(".forming/key.pem"), "half a k").unwrap();
        }),
        ("request being rewritten", |at| {
            fs::write(at.join("0002/.request.pem.new"), "M").unwrap()
        }),
    ];
    for (name, crash) in crashes {
        let at = dir.path().join(name);
        snapshot(&begun, &at);
        crash(&at);
        let slots = Slots::open(&at).unwrap();
        assert_eq!(
            slots.current().unwrap().unwrap().key.public().hash(),
            old_hash,
            "{name}"
        );
        let next = slots.next().unwrap().unwrap();
        assert_eq!(
            next.key.public().hash(),
            new_hash,
            "{name}: the key asked with is kept"
        );
        slots.commit(next, &[CERT_DER]).unwrap();
        assert_eq!(
            slots.current().unwrap().unwrap().key.public().hash(),
            new_hash,
            "{name}"
        );
        let third = slots.begin(key(), REQUEST_DER).unwrap();
        slots.commit(third, &[CERT_DER]).unwrap();
    }
    assert_eq!(
        slots.current().unwrap().unwrap().key.public().hash(),
        new_hash
    );
}

#[test]
fn damage_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let slots = Slots::open(dir.path()).unwrap();
    let next = slots.begin(key(), REQUEST_DER).unwrap();
    slots.commit(next, &[CERT_DER]).unwrap();
    let key_file = dir.path().join("0001/key.pem");
    fs::write(&key_file, "not a key").unwrap();
    let damaged = |error: Option<Error>| matches!(error, Some(Error::Damaged { path, .. }) if path == key_file);
    assert!(damaged(slots.current().err()));
    fs::write(&key_file, vec![0xff; 10]).unwrap();
    assert!(damaged(slots.current().err()));
    fs::write(&key_file, vec![b'a'; 2 << 20]).unwrap();
    assert!(damaged(slots.current().err()));
    fs::remove_file(&key_file).unwrap();
    assert!(matches!(slots.current(), Err(Error::File { .. })));
}
