use std::fmt;

use sha2::{Digest, Sha256};

use crate::{Error, base64};

/// A SHA-256 hash of a leaf or of a subtree (RFC 6962 section 2.1). Its text form is base64, as
/// in a checkpoint.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Hash(pub [u8; 32]);

impl Hash {
    /// The hash of the empty tree: SHA-256 of nothing (RFC 6962 section 2.1).
    pub fn empty_tree() -> Self {
        Self(Sha256::digest([]).into())
    }

    /// Reads the 44 characters of standard base64. Anything else is `Malformed`.
    pub fn from_base64(text: &str) -> Result<Self, Error> {
        let bytes = base64::decode(text).ok_or(Error::Malformed("hash: not base64"))?;
        let bytes = bytes
            .try_into()
            .map_err(|_| Error::Malformed("hash: not 32 bytes"))?;
        Ok(Self(bytes))
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&base64::encode(&self.0))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hash({self})")
    }
}

/// The hash of a leaf: SHA-256(0x00 || leaf).
pub fn leaf_hash(leaf: &[u8]) -> Hash {
    let mut sha = Sha256::new();
    sha.update([0]);
    sha.update(leaf);
    Hash(sha.finalize().into())
}

/// The hash of an inner node: SHA-256(0x01 || left || right).
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    let mut block = [1u8; 65];
    block[1..33].copy_from_slice(&left.0);
    block[33..].copy_from_slice(&right.0);
    Hash(Sha256::digest(block).into())
}

/// The Merkle tree hash over a row of hashes, be they leaves or complete subtrees of one size
/// (the last may be smaller, as long as its siblings are complete).
pub fn root_of(row: &[Hash]) -> Hash {
    if row.is_empty() {
        return Hash::empty_tree();
    }
    // Pair neighbours level by level; a node without a neighbour rises unchanged. This is the
    // same tree as the recursive definition, which splits at the largest power of two.
    let mut row = row.to_vec();
    while row.len() > 1 {
        row = row
            .chunks(2)
            .map(|pair| match pair {
                [left, right] => node_hash(left, right),
                [alone, ..] => *alone,
                // `chunks` never yields an empty slice.
                [] => Hash::empty_tree(),
            })
            .collect();
    }
    // The loop ends with exactly one hash.
    row[0]
}
