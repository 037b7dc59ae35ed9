use std::{collections::HashMap, fmt};

use crate::{Error, Hash, TILE_WIDTH, TilePath, hash::root_of, node_hash};

/// Why something could not be computed from tiles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadError<E> {
    /// The tile reader failed; its own error.
    Read(E),
    /// A tile is too short, or the question makes no sense for this tree.
    Log(Error),
}

impl<E> From<Error> for ReadError<E> {
    fn from(error: Error) -> Self {
        Self::Log(error)
    }
}

impl<E> fmt::Display for ReadError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(_) => f.write_str("a tile could not be read"),
            Self::Log(error) => error.fmt(f),
        }
    }
}

impl<E: std::error::Error + 'static> std::error::Error for ReadError<E> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Read(error) => Some(error),
            Self::Log(_) => None,
        }
    }
}

/// The proof that the leaf at `index` is in the tree of `size` leaves (RFC 6962 section 2.1.1),
/// from the tiles of that tree. `read` gets the path of a tile and answers its bytes; it may
/// answer the full tile where a partial one is asked for. Each tile is asked for once.
pub fn inclusion<E>(
    index: u64,
    size: u64,
    read: impl FnMut(&TilePath) -> Result<Vec<u8>, E>,
) -> Result<Vec<Hash>, ReadError<E>> {
    if index >= size {
        return Err(Error::Inconsistent("inclusion: the leaf is beyond the tree").into());
    }
    let mut tree = Tree {
        size,
        read,
        tiles: HashMap::new(),
    };
    let (mut start, mut end) = (0, size);
    let mut proof = Vec::new();
    while end - start > 1 {
        let middle = start + split(end - start);
        if index < middle {
            proof.push(tree.subtree(middle, end)?);
            end = middle;
        } else {
            proof.push(tree.subtree(start, middle)?);
            start = middle;
        }
    }
    proof.reverse();
    Ok(proof)
}

/// The proof that the tree of `old_size` leaves is the beginning of the tree of `size` leaves
/// (RFC 6962 section 2.1.2), from the tiles of the latter. Empty if the sizes are equal or the old
/// tree is empty. `read` is as for [`inclusion`].
pub fn consistency<E>(
    old_size: u64,
    size: u64,
    read: impl FnMut(&TilePath) -> Result<Vec<u8>, E>,
) -> Result<Vec<Hash>, ReadError<E>> {
    if old_size > size {
        return Err(Error::Inconsistent("consistency: the old tree is the larger").into());
    }
    let mut tree = Tree {
        size,
        read,
        tiles: HashMap::new(),
    };
    let (mut start, mut end) = (0, size);
    let mut proof = Vec::new();
    if old_size == 0 {
        return Ok(proof);
    }
    while old_size < end {
        let middle = start + split(end - start);
        if old_size <= middle {
            proof.push(tree.subtree(middle, end)?);
            end = middle;
        } else {
            proof.push(tree.subtree(start, middle)?);
            start = middle;
        }
    }
    // The old root itself is known to the verifier only if it was never split.
    if start > 0 {
        proof.push(tree.subtree(start, end)?);
    }
    proof.reverse();
    Ok(proof)
}

/// The root of the tree of `size` leaves, from its tiles. `read` is as for [`inclusion`].
pub fn root<E>(
    size: u64,
    read: impl FnMut(&TilePath) -> Result<Vec<u8>, E>,
) -> Result<Hash, ReadError<E>> {
    match size {
        0 => Ok(Hash::empty_tree()),
        _ => Tree {
            size,
            read,
            tiles: HashMap::new(),
        }
        .subtree(0, size),
    }
}

/// Checks an inclusion proof against a root (RFC 9162 section 2.1.3.2).
pub fn verify_inclusion(
    index: u64,
    size: u64,
    leaf: &Hash,
    proof: &[Hash],
    root: &Hash,
) -> Result<(), Error> {
    const BAD: Error = Error::Inconsistent("inclusion proof");
    if index >= size {
        return Err(BAD);
    }
    let (mut node, mut last, mut hash) = (index, size - 1, *leaf);
    for sibling in proof {
        if last == 0 {
            return Err(BAD);
        }
        if node & 1 == 1 || node == last {
            hash = node_hash(sibling, &hash);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    if last == 0 && hash == *root {
        Ok(())
    } else {
        Err(BAD)
    }
}

/// Checks that the tree of `old_size` leaves and `old_root` is the beginning of the tree of `size`
/// leaves and `root` (RFC 9162 section 2.1.4.2).
pub fn verify_consistency(
    old_size: u64,
    old_root: &Hash,
    size: u64,
    root: &Hash,
    proof: &[Hash],
) -> Result<(), Error> {
    const BAD: Error = Error::Inconsistent("consistency proof");
    if old_size > size {
        return Err(BAD);
    }
    if old_size == size || old_size == 0 {
        let same = match old_size {
            0 => *old_root == Hash::empty_tree() && (size > 0 || root == old_root),
            _ => old_root == root,
        };
        return if proof.is_empty() && same {
            Ok(())
        } else {
            Err(BAD)
        };
    }
    let (mut node, mut last) = (old_size - 1, size - 1);
    while node & 1 == 1 {
        node >>= 1;
        last >>= 1;
    }
    // A complete old tree (a power of two) is itself the first node, and is left out of the proof.
    let (first, rest) = match old_size.is_power_of_two() {
        true => (old_root, proof),
        false => proof.split_first().ok_or(BAD)?,
    };
    let (mut old, mut new) = (*first, *first);
    for sibling in rest {
        if last == 0 {
            return Err(BAD);
        }
        if node & 1 == 1 || node == last {
            old = node_hash(sibling, &old);
            new = node_hash(sibling, &new);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            new = node_hash(&new, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    if last == 0 && old == *old_root && new == *root {
        Ok(())
    } else {
        Err(BAD)
    }
}

/// The largest power of two smaller than `leaves`, which is at least two.
fn split(leaves: u64) -> u64 {
    1 << (leaves - 1).ilog2()
}

struct Tree<R> {
    size: u64,
    read: R,
    tiles: HashMap<TilePath, Vec<Hash>>,
}

impl<R> Tree<R> {
    /// The hash over the leaves `start..end`, a subtree in the sense of RFC 6962: `start` is a
    /// multiple of the power of two at or above its length.
    fn subtree<E>(&mut self, start: u64, end: u64) -> Result<Hash, ReadError<E>>
    where
        R: FnMut(&TilePath) -> Result<Vec<u8>, E>,
    {
        let leaves = end - start;
        if leaves.is_power_of_two() {
            return self.complete(leaves.ilog2(), start);
        }
        let middle = start + split(leaves);
        let left = self.complete(split(leaves).ilog2(), start)?;
        let right = self.subtree(middle, end)?;
        Ok(node_hash(&left, &right))
    }

    /// The hash over the `2^height` leaves from `start` on, a multiple of that number.
    fn complete<E>(&mut self, height: u32, start: u64) -> Result<Hash, ReadError<E>>
    where
        R: FnMut(&TilePath) -> Result<Vec<u8>, E>,
    {
        let level = (height / 8) as u8;
        let first = start >> (8 * u32::from(level));
        let available = self.size >> (8 * u32::from(level));
        let index = first / TILE_WIDTH;
        let width = (available - index * TILE_WIDTH).min(TILE_WIDTH) as u16;
        let path = TilePath::hashes(level, index, width)?;
        if !self.tiles.contains_key(&path) {
            let hashes = read_hashes(&path, &mut self.read)?;
            self.tiles.insert(path, hashes);
        }
        let from = (first % TILE_WIDTH) as usize;
        let row = self
            .tiles
            .get(&path)
            .and_then(|tile| tile.get(from..from + (1 << (height % 8))));
        let row = row.ok_or(Error::Malformed("tile: too short"))?;
        Ok(root_of(row))
    }
}

/// Reads the tile at `path`: exactly its width, or the full tile that has replaced it.
pub(crate) fn read_hashes<E>(
    path: &TilePath,
    read: &mut impl FnMut(&TilePath) -> Result<Vec<u8>, E>,
) -> Result<Vec<Hash>, ReadError<E>> {
    let bytes = read(path).map_err(ReadError::Read)?;
    let width = usize::from(path.width());
    if bytes.len() != width * 32 && bytes.len() != TILE_WIDTH as usize * 32 {
        return Err(Error::Malformed("tile: its length is not that of its width").into());
    }
    let (hashes, _) = bytes.as_chunks::<32>();
    Ok(hashes.iter().take(width).map(|hash| Hash(*hash)).collect())
}
