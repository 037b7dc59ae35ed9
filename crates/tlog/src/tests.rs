use std::{cell::RefCell, collections::HashMap, convert::Infallible};

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use proptest::prelude::*;

use super::*;

/// The definition of RFC 6962 section 2.1, word for word.
fn naive_root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => Hash::empty_tree(),
        [one] => *one,
        many => {
            let k = many.len().next_power_of_two() / 2;
            node_hash(&naive_root(&many[..k]), &naive_root(&many[k..]))
        }
    }
}

fn naive_path(m: usize, leaves: &[Hash]) -> Vec<Hash> {
    if leaves.len() == 1 {
        return Vec::new();
    }
    let k = leaves.len().next_power_of_two() / 2;
    let (left, right) = leaves.split_at(k);
    let (mut path, sibling) = match m < k {
        true => (naive_path(m, left), naive_root(right)),
        false => (naive_path(m - k, right), naive_root(left)),
    };
    path.push(sibling);
    path
}

fn naive_subproof(m: usize, leaves: &[Hash], whole: bool) -> Vec<Hash> {
    if m == leaves.len() {
        return if whole {
            Vec::new()
        } else {
            vec![naive_root(leaves)]
        };
    }
    let k = leaves.len().next_power_of_two() / 2;
    let (left, right) = leaves.split_at(k);
    let (mut proof, sibling) = match m <= k {
        true => (naive_subproof(m, left, whole), naive_root(right)),
        false => (naive_subproof(m - k, right, false), naive_root(left)),
    };
    proof.push(sibling);
    proof
}

fn leaves(count: usize) -> Vec<Hash> {
    (0..count).map(|n| leaf_hash(&n.to_be_bytes())).collect()
}

/// A directory of tiles, as a log publishes it.
#[derive(Default)]
struct Tiles(RefCell<HashMap<String, Vec<u8>>>);

impl Tiles {
    fn put(&self, tiles: &[Tile]) {
        for tile in tiles {
            let (path, bytes) = (tile.path.to_string(), tile.to_bytes());
            let old = self.0.borrow_mut().insert(path, bytes.clone());
            assert!(
                old.is_none_or(|old| old == bytes),
                "a tile changed: {}",
                tile.path
            );
        }
    }

    fn read(&self) -> impl FnMut(&TilePath) -> Result<Vec<u8>, String> {
        |path| {
            let tiles = self.0.borrow();
            let found = tiles
                .get(&path.to_string())
                .or_else(|| tiles.get(&path.full().to_string()));
            found.cloned().ok_or_else(|| path.to_string())
        }
    }
}

fn published(count: usize) -> (Tiles, Vec<Hash>, Frontier) {
    let (tiles, leaves, mut frontier) = (Tiles::default(), leaves(count), Frontier::new());
    tiles.put(&frontier.append(&leaves).unwrap());
    (tiles, leaves, frontier)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// The eight leaves and roots of the reference test of certificate-transparency-go.
#[test]
fn roots_agree_with_the_certificate_transparency_vectors() {
    let leaves: [&[u8]; 8] = [
        b"",
        b"\x00",
        b"\x10",
        b"\x20\x21",
        b"\x30\x31",
        b"\x40\x41\x42\x43",
        b"\x50\x51\x52\x53\x54\x55\x56\x57",
        b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
    ];
    let roots = [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];
    let mut frontier = Frontier::new();
    assert_eq!(
        hex(&frontier.root().0),
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    );
    for (leaf, root) in leaves.iter().zip(roots) {
        frontier.append(&[leaf_hash(leaf)]).unwrap();
        assert_eq!(hex(&frontier.root().0), root);
    }
}

/// The example of tlog-tiles: 273 full tiles of level 0, one of width 112, and so on.
#[test]
fn a_tree_of_70000_has_the_tiles_the_specification_names() {
    let (tiles, leaves, frontier) = published(70_000);
    let tiles = tiles.0.into_inner();
    assert_eq!(tiles.len(), 273 + 1 + 1 + 1 + 1);
    for (path, width) in [
        ("tile/0/000", 256),
        ("tile/0/272", 256),
        ("tile/0/273.p/112", 112),
        ("tile/1/000", 256),
        ("tile/1/001.p/17", 17),
        ("tile/2/000.p/1", 1),
    ] {
        assert_eq!(tiles[path].len(), width * 32, "{path}");
    }
    assert_eq!(frontier.root(), naive_root(&leaves));
    let (tiles, ..) = published(256);
    let mut paths: Vec<_> = tiles.0.into_inner().into_keys().collect();
    paths.sort();
    assert_eq!(paths, ["tile/0/000", "tile/1/000.p/1"]);
}

#[test]
fn proofs_are_those_of_the_definition_for_every_small_tree() {
    for size in 1..=40usize {
        let (tiles, leaves, _) = published(size);
        let newest = naive_root(&leaves);
        for index in 0..size {
            let proof = inclusion(index as u64, size as u64, tiles.read()).unwrap();
            assert_eq!(proof, naive_path(index, &leaves));
            verify_inclusion(index as u64, size as u64, &leaves[index], &proof, &newest).unwrap();
        }
        for old in 1..=size {
            let proof = consistency(old as u64, size as u64, tiles.read()).unwrap();
            assert_eq!(proof, naive_subproof(old, &leaves, true));
            let old_root = naive_root(&leaves[..old]);
            verify_consistency(old as u64, &old_root, size as u64, &newest, &proof).unwrap();
        }
    }
}

#[test]
fn the_empty_tree_is_the_beginning_of_every_tree() {
    let empty = Hash::empty_tree();
    let root = naive_root(&leaves(3));
    assert_eq!(consistency(0, 3, |_| Err::<Vec<u8>, _>(())), Ok(Vec::new()));
    assert_eq!(verify_consistency(0, &empty, 3, &root, &[]), Ok(()));
    assert!(verify_consistency(0, &root, 3, &root, &[]).is_err());
    assert!(verify_consistency(0, &empty, 0, &root, &[]).is_err());
    assert!(verify_consistency(0, &empty, 3, &root, &[root]).is_err());
}

#[test]
fn a_question_beyond_the_tree_is_refused() {
    let none = |_: &TilePath| Err::<Vec<u8>, ()>(());
    assert!(matches!(inclusion(5, 5, none), Err(ReadError::Log(_))));
    assert!(matches!(consistency(6, 5, none), Err(ReadError::Log(_))));
    assert!(verify_inclusion(5, 5, &leaf_hash(b""), &[], &leaf_hash(b"")).is_err());
    assert_eq!(inclusion(0, 2, none), Err(ReadError::Read(())));
    let short = |_: &TilePath| Ok::<_, Infallible>(vec![0; 31]);
    assert!(matches!(
        inclusion(0, 2, short),
        Err(ReadError::Log(Error::Malformed(_)))
    ));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn tiles_are_a_pure_function_of_the_leaves(batches in prop::collection::vec(0usize..700, 1..8)) {
        let leaves = leaves(batches.iter().sum());
        let (tiles, mut frontier, mut done) = (Tiles::default(), Frontier::new(), 0);
        for batch in batches {
            tiles.put(&frontier.append(&leaves[done..done + batch]).unwrap());
            done += batch;
            prop_assert_eq!(frontier.root(), naive_root(&leaves[..done]));
            prop_assert_eq!(root(done as u64, tiles.read()).unwrap(), frontier.root());
            let rebuilt = Frontier::from_tiles(done as u64, tiles.read()).unwrap();
            prop_assert_eq!(&rebuilt, &frontier);
        }
        // Every tile of one big batch was also written by the small ones.
        let (at_once, ..) = published(leaves.len());
        for (path, bytes) in at_once.0.into_inner() {
            prop_assert_eq!(tiles.0.borrow().get(&path).cloned(), Some(bytes), "{}", path);
        }
    }

    #[test]
    fn proofs_from_tiles_agree_with_the_definition(size in 1usize..3000, at in any::<prop::sample::Index>(), old in any::<prop::sample::Index>()) {
        let (tiles, leaves, frontier) = published(size);
        let (index, old) = (at.index(size), old.index(size) + 1);
        let proof = inclusion(index as u64, size as u64, tiles.read()).unwrap();
        prop_assert_eq!(&proof, &naive_path(index, &leaves));
        verify_inclusion(index as u64, size as u64, &leaves[index], &proof, &frontier.root()).unwrap();
        let proof = consistency(old as u64, size as u64, tiles.read()).unwrap();
        prop_assert_eq!(&proof, &naive_subproof(old, &leaves, true));
        let old_root = naive_root(&leaves[..old]);
        verify_consistency(old as u64, &old_root, size as u64, &frontier.root(), &proof).unwrap();
    }

    #[test]
    fn a_changed_proof_never_verifies(size in 2usize..600, at in any::<prop::sample::Index>(), spot in any::<prop::sample::Index>(), bit in 0usize..256) {
        let (tiles, leaves, frontier) = published(size);
        let index = at.index(size);
        let good = inclusion(index as u64, size as u64, tiles.read()).unwrap();
        let check = |proof: &[Hash], index: usize| {
            verify_inclusion(index as u64, size as u64, &leaves[at.index(size)], proof, &frontier.root())
        };
        let mut changed = good.clone();
        changed[spot.index(good.len())].0[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(check(&changed, index).is_err());
        prop_assert!(check(&good[1..], index).is_err());
        prop_assert!(check(&[good.clone(), vec![good[0]]].concat(), index).is_err());
        prop_assert!(check(&good, (index + 1) % size).is_err());

        let old = at.index(size - 1) + 1;
        let old_root = naive_root(&leaves[..old]);
        let good = consistency(old as u64, size as u64, tiles.read()).unwrap();
        let check = |proof: &[Hash]| {
            verify_consistency(old as u64, &old_root, size as u64, &frontier.root(), proof)
        };
        let mut changed = good.clone();
        changed[spot.index(good.len())].0[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(check(&changed).is_err());
        prop_assert!(check(&good[1..]).is_err());
        prop_assert!(check(&[good.clone(), vec![good[0]]].concat()).is_err());
    }

    #[test]
    fn tile_paths_round_trip(level in 0u8..64, index in any::<u64>(), shift in 0u32..64, width in 1u16..=256) {
        for path in [TilePath::hashes(level, index >> shift, width), TilePath::entries(index >> shift, width)] {
            let path = path.unwrap();
            prop_assert_eq!(path.to_string().parse(), Ok(path));
        }
    }

    #[test]
    fn whatever_parses_as_a_tile_path_is_written_the_same(text in "tile/(entries|[0-9]{1,2})/(x[0-9]{3}/){0,3}x?[0-9]{2,3}(\\.p/[0-9]{1,3})?") {
        if let Ok(path) = text.parse::<TilePath>() {
            prop_assert_eq!(path.to_string(), text);
        }
    }

    #[test]
    fn bundles_round_trip(entries in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..=256)) {
        let mut bundle = EntryBundle::new();
        for entry in &entries {
            bundle.push(entry).unwrap();
        }
        let parsed = EntryBundle::parse(bundle.as_bytes()).unwrap();
        prop_assert_eq!(&parsed, &bundle);
        prop_assert!(parsed.entries().eq(entries.iter().map(Vec::as_slice)));
    }

    #[test]
    fn base64_has_one_text_for_each_value(bytes in prop::collection::vec(any::<u8>(), 0..40), text in "[A-Za-z0-9+/=]{0,12}") {
        prop_assert_eq!(crate::base64::decode(&crate::base64::encode(&bytes)), Some(bytes));
        if let Some(bytes) = crate::base64::decode(&text) {
            prop_assert_eq!(crate::base64::encode(&bytes), text);
        }
    }

    #[test]
    fn whatever_parses_as_a_note_is_written_the_same(text in "([a-z \n]{0,20}\n)?\n(\u{2014} [a-z+]{0,3} [A-Za-z0-9+/]{4,8}={0,2}\n){0,3}") {
        if let Ok(note) = Note::parse(text.as_bytes()) {
            prop_assert_eq!(note.to_string(), text);
        }
    }
}

#[test]
fn tile_paths_of_the_specification() {
    let path: TilePath = "tile/3/x001/x234/067.p/8".parse().unwrap();
    assert_eq!(
        (path.level(), path.index(), path.width()),
        (Some(3), 1_234_067, 8)
    );
    let path: TilePath = "tile/entries/x001/x234/067".parse().unwrap();
    assert_eq!(
        (path.level(), path.index(), path.width()),
        (None, 1_234_067, 256)
    );
    for bad in [
        "",
        "tile",
        "tile/",
        "tile/0/",
        "tile/0/0",
        "tile/0/x001",
        "tile/0/x000/001",
        "tile/0/001/002",
        "tile/00/001",
        "tile/+1/001",
        "tile/64/001",
        "tile/-1/001",
        "tile/data/001",
        "tile/0/001.p/0",
        "tile/0/001.p/256",
        "tile/0/001.p/01",
        "tile/0/001.p/+1",
        "tile/0/001.p/",
        "tile/0/001.p/1.p/1",
        "tile/0/001/",
        "/tile/0/001",
        "tile/0/../../etc/passwd",
        "tile/0/x..../001",
        "tile/0/x018/x446/x744/x073/x709/x551/616",
        "tile/0/\u{0661}\u{0662}",
    ] {
        assert!(bad.parse::<TilePath>().is_err(), "{bad:?}");
    }
    let last: TilePath = "tile/0/x018/x446/x744/x073/x709/x551/615".parse().unwrap();
    assert_eq!(last.index(), u64::MAX);
    assert_eq!(last.tree_size_min(), None);
    assert_eq!(
        "tile/1/000.p/3"
            .parse::<TilePath>()
            .unwrap()
            .tree_size_min(),
        Some(768)
    );
}

#[test]
fn bundles_to_write_are_those_that_gained_an_entry() {
    let paths = |old, new| {
        bundles_between(old, new)
            .map(|p| p.to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(paths(0, 0), [""; 0]);
    assert_eq!(paths(256, 256), [""; 0]);
    assert_eq!(paths(9, 7), [""; 0]);
    assert_eq!(paths(0, 1), ["tile/entries/000.p/1"]);
    assert_eq!(paths(250, 256), ["tile/entries/000"]);
    assert_eq!(paths(256, 257), ["tile/entries/001.p/1"]);
    assert_eq!(
        paths(255, 600),
        [
            "tile/entries/000",
            "tile/entries/001",
            "tile/entries/002.p/88"
        ]
    );
}

#[test]
fn bundles_with_something_wrong_are_refused() {
    assert!(EntryBundle::parse(&[0]).is_err());
    assert!(EntryBundle::parse(&[0, 2, 1]).is_err());
    assert!(EntryBundle::parse(&[0; 2 * 257]).is_err());
    assert_eq!(EntryBundle::parse(&[0; 2 * 256]).unwrap().len(), 256);
    let mut bundle = EntryBundle::new();
    assert!(bundle.push(&vec![0; ENTRY_BYTES_MAX + 1]).is_err());
    bundle.push(&vec![0; ENTRY_BYTES_MAX]).unwrap();
    for _ in 0..255 {
        bundle.push(b"").unwrap();
    }
    assert!(bundle.push(b"").is_err());
}

fn check(key: &VerifierKey, text: &[u8], signature: &[u8]) -> bool {
    UnparsedPublicKey::new(&ED25519, key.public())
        .verify(text, signature)
        .is_ok()
}

const PETER: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
const PROBLEM: &str = "If you think cryptography is the answer to your problem,\n\
    then you don't know what your problem is.\n\n\
    \u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

/// The example of golang.org/x/mod/sumdb/note.
#[test]
fn the_note_of_the_go_documentation_verifies() {
    let key: VerifierKey = PETER.parse().unwrap();
    assert_eq!(key.to_string(), PETER);
    let note = Note::parse(PROBLEM.as_bytes()).unwrap();
    assert_eq!(
        note.verify(std::slice::from_ref(&key), check),
        Ok(vec![&key])
    );
    assert_eq!(note.to_string(), PROBLEM);

    let changed = PROBLEM.replace("answer", "anSwer");
    let note = Note::parse(changed.as_bytes()).unwrap();
    assert!(note.verify(std::slice::from_ref(&key), check).is_err());
    // The key of sum.golang.org has the id it says it has, and did not sign this.
    let sumdb = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8";
    let sumdb: VerifierKey = sumdb.parse().unwrap();
    let note = Note::parse(PROBLEM.as_bytes()).unwrap();
    assert!(note.verify(std::slice::from_ref(&sumdb), check).is_err());
    assert_eq!(note.verify(&[sumdb, key.clone()], check), Ok(vec![&key]));
}

#[test]
fn hostile_notes_are_refused() {
    let line = "\u{2014} a AAAAAAA=\n";
    let hundred = format!("text\n\n{}", line.repeat(100));
    assert_eq!(
        Note::parse(hundred.as_bytes()).unwrap().signatures().len(),
        100
    );
    for bad in [
        String::new(),
        "\n".into(),
        "\n\n".into(),
        "text\n".into(),
        "text\n\n".into(),
        "text\n\n\n".into(),
        format!("text\n{line}"),
        format!("text\n\n{}", line.trim_end()),
        format!("text\n\n{line}more"),
        format!("text\n\n{line}\n"),
        "text\n\n- a AAAAAAA=\n".into(),
        "text\n\n\u{2014} AAAAAAA=\n".into(),
        "text\n\n\u{2014}  AAAAAAA=\n".into(),
        "text\n\n\u{2014} a  AAAAAAA=\n".into(),
        "text\n\n\u{2014} a+b AAAAAAA=\n".into(),
        "text\n\n\u{2014} a\u{a0}b AAAAAAA=\n".into(),
        "text\n\n\u{2014} a AAAAAAB=\n".into(),
        "text\n\n\u{2014} a AAAAAA==\n".into(),
        "text\n\n\u{2014} a AAAAAAA\n".into(),
        "text\n\n\u{2014} a AAA-AAA=\n".into(),
        format!("te\rxt\n\n{line}"),
        format!("te\0xt\n\n{line}"),
        format!("{hundred}{line}"),
        format!("{}\n\n{line}", "a".repeat(NOTE_BYTES_MAX)),
    ] {
        assert!(Note::parse(bad.as_bytes()).is_err(), "{bad:?}");
    }
    assert!(Note::parse(b"te\xffxt\n\n\xe2\x80\x94 a AAAAAAA=\n").is_err());
    // The text may hold empty lines: only the last one divides.
    let odd = format!("one\n\ntwo\n\n{line}");
    assert_eq!(Note::parse(odd.as_bytes()).unwrap().text(), "one\n\ntwo\n");
    for text in ["", "text", "te\txt\n"] {
        assert!(Note::unsigned(text).is_err());
    }
}

#[test]
fn hostile_verifier_keys_are_refused() {
    for bad in [
        "",
        "PeterNeumann",
        "PeterNeumann+c74f20a3",
        "PeterNeumann+c74f20a4+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        "PeterNeumann+C74F20A3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        "PeterNeuman+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10",
        "PeterNeumann+c74f20a3+BBpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        "Peter Neumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        "+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        "PeterNeumann+c74f20a3+",
    ] {
        assert!(bad.parse::<VerifierKey>().is_err(), "{bad:?}");
    }
}

#[test]
fn a_signed_checkpoint_opens_for_its_log_and_key_only() {
    let pair = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
    let public = pair.public_key().as_ref().try_into().unwrap();
    let key = VerifierKey::ed25519("log.example/fleet", public).unwrap();
    let root = naive_root(&leaves(5));
    let checkpoint = Checkpoint::new("log.example/fleet", 5, root).unwrap();
    let mut note = Note::unsigned(&checkpoint.to_string()).unwrap();
    assert_eq!(note.sign(&key, |_| Err("no key")), Err("no key"));
    note.sign(&key, |text| {
        Ok::<_, Infallible>(pair.sign(text).as_ref().to_vec())
    })
    .unwrap();
    let note = note.to_string();
    let open = |origin, key| Checkpoint::open(note.as_bytes(), origin, key, check);
    assert_eq!(open("log.example/fleet", &key), Ok(checkpoint));
    assert!(open("log.example/other", &key).is_err());
    let other = VerifierKey::ed25519("log.example/fleet", [9; 32]).unwrap();
    assert!(open("log.example/fleet", &other).is_err());
}

/// The example of tlog-checkpoint.
#[test]
fn the_checkpoint_of_the_specification_reads() {
    let text = "example.com/behind-the-sofa\n20852163\n\
        CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n\
        \u{2014} example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n";
    let note = Note::parse(text.as_bytes()).unwrap();
    let checkpoint: Checkpoint = note.text().parse().unwrap();
    assert_eq!(
        (checkpoint.origin(), checkpoint.size()),
        ("example.com/behind-the-sofa", 20_852_163)
    );
    assert_eq!(
        checkpoint.root().to_string(),
        "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I="
    );
    assert_eq!(checkpoint.to_string(), note.text());
}

#[test]
fn hostile_checkpoints_are_refused() {
    let root = "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=";
    let good = format!("log\n12\n{root}\nextension\n");
    assert_eq!(good.parse::<Checkpoint>().unwrap().to_string(), good);
    for bad in [
        String::new(),
        "\n".into(),
        "log\n12\n".into(),
        format!("log\n12\n{root}"),
        format!("\n12\n{root}\n"),
        format!("log\n012\n{root}\n"),
        format!("log\n+12\n{root}\n"),
        format!("log\n-1\n{root}\n"),
        format!("log\n18446744073709551616\n{root}\n"),
        format!("log\n12\n{}\n", &root[4..]),
        format!("log\n12\n{root}\n\n"),
        format!("log\n12\n{root}\nextension\n\nmore\n"),
        format!("log\r\n12\n{root}\n"),
        format!("log\n0\n{root}\n"),
    ] {
        assert!(bad.parse::<Checkpoint>().is_err(), "{bad:?}");
    }
    assert!(Checkpoint::new("two\nlines", 12, leaf_hash(b"")).is_err());
    assert!(Checkpoint::new("", 12, leaf_hash(b"")).is_err());
}
