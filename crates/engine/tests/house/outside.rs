//! The record as a stranger reads it: from what is published and the log's public key alone.

use std::path::Path;

use tenure_engine::duty::integrate::{LOG_KEY, entry_bundle, log_directory, read_tile, verifier};
use tenure_engine::store::{Store, log_state};
use tenure_tlog::{
    Checkpoint, Frontier, Hash, TilePath, bundles_between, inclusion, leaf_hash, verify_inclusion,
};
use tenure_x509::{PublicKey, SignatureAlgorithm};

use super::House;

/// Reads everything again and checks it: signature, leaves, tiles, root. Answers the checkpoint.
pub fn outsider(house: &House) -> Checkpoint {
    let store = house.engine.store();
    let state = store.glance(log_state).unwrap().unwrap();
    let key = house.engine.key(LOG_KEY).unwrap();
    published(store, house.directory.path(), &state.origin, key.public())
}

/// The same without a house: what is in a directory, whoever left it there.
pub fn published(store: &Store, directory: &Path, origin: &str, key: &PublicKey) -> Checkpoint {
    let note = std::fs::read(log_directory(directory).join("checkpoint")).unwrap();
    let trusted = verifier(origin, key).unwrap();
    let checkpoint = Checkpoint::open(&note, origin, &trusted, |_, text, signature| {
        key.verify(SignatureAlgorithm::Ed25519, text, signature)
            .is_ok()
    })
    .unwrap();
    let mut leaves = Vec::new();
    for path in bundles_between(0, checkpoint.size()) {
        let bundle = store.glance(|tx| entry_bundle(tx, &path)).unwrap().unwrap();
        leaves.extend(bundle.entries().map(leaf_hash));
    }
    assert_eq!(leaves.len() as u64, checkpoint.size());
    let mut frontier = Frontier::new();
    for tile in frontier.append(&leaves).unwrap() {
        let found = read_tile(directory, &tile.path).unwrap();
        assert!(found.starts_with(&tile.to_bytes()), "{}", tile.path);
    }
    assert_eq!(&frontier.root(), checkpoint.root());
    let last = checkpoint.size() - 1;
    let read = |path: &TilePath| read_tile(directory, path);
    let proof = inclusion(last, checkpoint.size(), read).unwrap();
    let leaf: &Hash = leaves.last().unwrap();
    verify_inclusion(last, checkpoint.size(), leaf, &proof, checkpoint.root()).unwrap();
    checkpoint
}
