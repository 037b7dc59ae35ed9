use super::*;
use tenure_domain::device::Criticality;
use tenure_domain::feed::{Digest, Item, ItemKind, Ladder, Rung, VERSION};
use tenure_x509::{KeyKind, KeyPair};

const MADE: Time = Time::from_unix(1_790_000_000);

struct Signer {
    pair: KeyPair,
    key: VerifierKey,
}

impl Signer {
    fn new() -> Signer {
        let pair = KeyPair::generate(KeyKind::Ed25519).unwrap();
        let raw = *pair.public().spki_der().last_chunk::<32>().unwrap();
        Signer {
            key: VerifierKey::ed25519(KEY_NAME, raw).unwrap(),
            pair,
        }
    }

    fn sign(&self, manifest: &Manifest) -> Vec<u8> {
        let mut note = Note::unsigned(&manifest.text()).unwrap();
        note.sign(&self.key, |text| self.pair.sign(text)).unwrap();
        note.to_string().into_bytes()
    }
}

const BUNDLE: &[u8] = b"bundle";
const LIST: &[u8] = b"list";

fn manifest(sequence: i64, list: &[u8]) -> Manifest {
    let item = |kind, name: &str, octets: &[u8]| Item {
        epoch: 1,
        kind,
        length: octets.len() as u64,
        name: name.parse().unwrap(),
        sha256: Digest::of(octets),
    };
    Manifest {
        items: vec![
            item(ItemKind::Bundle, "trust", BUNDLE),
            item(ItemKind::Crl, "issuing-1", list),
        ],
        ladder: Ladder::new(60, 120, 180, Criticality::High),
        made: MADE,
        party: party(),
        sequence,
        valid_until: MADE.plus(180),
        version: VERSION,
    }
}

fn party() -> Slug {
    "broker-3".parse().unwrap()
}

fn items(list: &[u8]) -> Vec<Vec<u8>> {
    vec![BUNDLE.to_vec(), list.to_vec()]
}

fn take(
    holding: &mut Holding,
    signer: &Signer,
    sequence: i64,
    list: &[u8],
) -> Result<Taken, Error> {
    let signed = open(&signer.sign(&manifest(sequence, list)), &signer.key)?;
    holding.take(&signed, &items(list), MADE)
}

#[test]
fn i4_a_tampered_older_or_foreign_manifest_is_refused_also_after_a_restart() {
    let (directory, signer) = (tempfile::tempdir().unwrap(), Signer::new());
    let at = |key: &VerifierKey| Holding::open(directory.path(), &party(), key);
    let mut holding = at(&signer.key).unwrap();
    assert!(matches!(at(&signer.key), Err(Error::Locked { .. })));
    assert_eq!(take(&mut holding, &signer, 5, LIST).unwrap(), Taken::News);
    drop(holding);

    let mut holding = at(&signer.key).unwrap();
    let older = take(&mut holding, &signer, 4, LIST);
    assert!(matches!(
        older,
        Err(Error::Older {
            offered: 4,
            held: 5
        })
    ));
    let fork = take(&mut holding, &signer, 5, b"other");
    assert!(matches!(fork, Err(Error::Fork { sequence: 5 })));
    assert_eq!(take(&mut holding, &signer, 5, LIST).unwrap(), Taken::Known);

    // Every octet of the note counts.
    let note = signer.sign(&manifest(6, LIST));
    for i in 0..note.len() {
        let mut changed = note.clone();
        changed[i] ^= 1;
        let opened = open(&changed, &signer.key);
        assert!(opened.is_err(), "octet {i} may be changed");
    }
    let stranger = Signer::new();
    assert!(matches!(
        open(&stranger.sign(&manifest(6, LIST)), &signer.key),
        Err(Error::NotSigned)
    ));
    let mut other = manifest(6, LIST);
    other.party = "broker-4".parse().unwrap();
    let signed = open(&signer.sign(&other), &signer.key).unwrap();
    let taken = holding.take(&signed, &items(LIST), MADE);
    assert!(matches!(taken, Err(Error::OtherParty { .. })));

    // An item that is not as it is named, and one too few.
    let signed = open(&note, &signer.key).unwrap();
    for wrong in [items(b"lisT"), vec![BUNDLE.to_vec()]] {
        let taken = holding.take(&signed, &wrong, MADE);
        assert!(matches!(taken, Err(Error::Item { .. })));
    }
    let late = holding.take(&signed, &items(LIST), MADE.plus(181));
    assert!(matches!(late, Err(Error::TooOld { .. })));
    assert_eq!(holding.held().unwrap().sequence, 5);
    drop(holding);
    assert!(matches!(at(&stranger.key), Err(Error::OtherFeed { .. })));

    // Without its memory nothing is taken, rather than anything.
    std::fs::write(directory.path().join("state.json"), "{}").unwrap();
    assert!(matches!(at(&signer.key), Err(Error::Damaged { .. })));
}

#[test]
fn a_set_is_in_place_as_a_whole_and_a_crash_is_mended() {
    let (directory, signer) = (tempfile::tempdir().unwrap(), Signer::new());
    let root = directory.path();
    let mut holding = Holding::open(root, &party(), &signer.key).unwrap();
    take(&mut holding, &signer, 5, LIST).unwrap();
    let read = |name: &str| std::fs::read(root.join("current").join(name)).unwrap();
    assert_eq!(read("bundle.pem"), BUNDLE);
    assert_eq!(read("crl/issuing-1.crl"), LIST);
    assert!(read("crl.pem").starts_with(b"-----BEGIN X509 CRL-----\n"));
    for n in 6..9 {
        take(&mut holding, &signer, n, LIST).unwrap();
    }
    let sets = std::fs::read_dir(root.join("sets")).unwrap().count();
    assert_eq!(sets, 2, "the current one and the one before");
    drop(holding);

    // The number was remembered, and the link not changed.
    std::fs::remove_file(root.join("current")).unwrap();
    std::os::unix::fs::symlink("sets/7", root.join("current")).unwrap();
    let holding = Holding::open(root, &party(), &signer.key).unwrap();
    assert_eq!(holding.held().unwrap().sequence, 8);
    let link = std::fs::read_link(root.join("current")).unwrap();
    assert_eq!(link, Path::new("sets/8"));
    // What is held need not be fetched again.
    let held = &manifest(9, LIST).items[1];
    assert_eq!(holding.item(held), Some(LIST.to_vec()));
    assert_eq!(holding.item(&manifest(9, b"new").items[1]), None);
}

#[test]
fn g6_only_what_the_hook_took_is_applied() {
    let (directory, signer) = (tempfile::tempdir().unwrap(), Signer::new());
    let root = directory.path();
    let mut holding = Holding::open(root, &party(), &signer.key).unwrap();
    assert_eq!(holding.apply(None, MADE).unwrap(), None);
    take(&mut holding, &signer, 5, LIST).unwrap();
    let failed = holding.apply(Some(&Hook::new("exit 3")), MADE);
    assert!(matches!(failed, Err(Error::Hook { .. })));
    let slow = Hook {
        command: "sleep 60".to_owned(),
        within: std::time::Duration::from_millis(50),
    };
    assert!(holding.apply(Some(&slow), MADE).is_err());
    assert_eq!((holding.applied(), holding.unacknowledged()), (None, None));
    let hook = Hook::new(
        "cp $TENURE_FEED_DIR/bundle.pem \"$TENURE_FEED_DIR/../seen\"; \
                          test $TENURE_FEED_SEQUENCE = 5",
    );
    let applied = holding.apply(Some(&hook), MADE).unwrap().unwrap();
    assert_eq!(applied.held.sequence, 5);
    assert_eq!(holding.unacknowledged(), Some(applied));
    // It is in use; nothing has to be told again.
    let again = holding.apply(Some(&Hook::new("exit 3")), MADE.plus(9));
    assert_eq!(again.unwrap(), Some(applied));
    holding.acknowledged(5).unwrap();
    assert_eq!(holding.unacknowledged(), None);
}

#[test]
fn g11_the_rung_is_told_and_a_clock_set_back_freshens_nothing() {
    let (directory, signer) = (tempfile::tempdir().unwrap(), Signer::new());
    let root = directory.path();
    let mut holding = Holding::open(root, &party(), &signer.key).unwrap();
    assert_eq!(
        holding.status(MADE).unwrap().rung,
        Rung::Closed,
        "nothing yet"
    );
    take(&mut holding, &signer, 5, LIST).unwrap();
    let ages = [0, 59, 60, 120, 180, 10_000];
    let rungs = ages.map(|age| holding.status(MADE.plus(age)).unwrap().rung);
    use Rung::*;
    assert_eq!(rungs, [Fresh, Fresh, Warn, Restrict, Closed, Closed]);
    drop(holding);
    let mut holding = Holding::open(root, &party(), &signer.key).unwrap();
    assert_eq!(holding.status(MADE).unwrap().rung, Closed);
}
