use crate::{Error, Hash, ReadError, TILE_WIDTH, TilePath, hash::root_of, proof::read_hashes};

/// The right edge of a growing tree: for each tile level, the hashes not yet in a full tile.
///
/// It is a pure function of the leaf hashes: whatever the batches in which they are appended, the
/// same tiles and the same root come out. Recovery after a crash is to start again from the tiles
/// of the last signed size and append the rest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    /// `levels[l]` has `(size >> 8l) & 255` hashes; the last level is never empty.
    levels: Vec<Vec<Hash>>,
}

/// A tile to publish. Tiles never change: to write the same one twice is harmless.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tile {
    /// Where it belongs.
    pub path: TilePath,
    /// `path.width()` hashes.
    pub hashes: Vec<Hash>,
}

impl Tile {
    /// The published form: the hashes, 32 bytes each.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.hashes.iter().flat_map(|hash| hash.0).collect()
    }
}

impl Frontier {
    /// The edge of the empty tree.
    pub fn new() -> Self {
        Self::default()
    }

    /// The edge of a tree of `size` leaves, from its tiles. `read` gets the path of a tile and
    /// answers its bytes; a log that keeps no partial tiles may answer the full one. The caller
    /// compares [`Frontier::root`] with the checkpoint it trusts.
    pub fn from_tiles<E>(
        size: u64,
        mut read: impl FnMut(&TilePath) -> Result<Vec<u8>, E>,
    ) -> Result<Self, ReadError<E>> {
        let mut levels = Vec::new();
        for level in 0..8u8 {
            let hashes = size >> (8 * u32::from(level));
            if hashes == 0 {
                break;
            }
            let width = (hashes % TILE_WIDTH) as u16;
            levels.push(match width {
                0 => Vec::new(),
                _ => {
                    let path = TilePath::hashes(level, hashes / TILE_WIDTH, width)?;
                    read_hashes(&path, &mut read)?
                }
            });
        }
        Ok(Self { size, levels })
    }

    /// The number of leaves.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The root of the tree.
    pub fn root(&self) -> Hash {
        // From the leaves up: what is left over on one level is one incomplete subtree, the last
        // child on the level above.
        let mut rest: Option<Hash> = None;
        for level in &self.levels {
            if level.is_empty() {
                continue;
            }
            let mut row = level.clone();
            row.extend(rest);
            rest = Some(root_of(&row));
        }
        rest.unwrap_or_else(Hash::empty_tree)
    }

    /// Appends a batch of leaf hashes and answers the tiles to write before a checkpoint of the
    /// new size is signed: every tile the batch completed, then the partial tiles it left. A tree
    /// of 2^64 leaves or more is `Unsupported`, and then nothing is appended.
    pub fn append(&mut self, leaves: &[Hash]) -> Result<Vec<Tile>, Error> {
        let old_size = self.size;
        let new_size = old_size
            .checked_add(leaves.len() as u64)
            .ok_or(Error::Unsupported("tree: more than 2^64 leaves"))?;
        let mut tiles = Vec::new();
        for leaf in leaves {
            self.push(*leaf, &mut tiles);
        }
        for (level, hashes) in self.levels.iter().enumerate() {
            let shift = 8 * level as u32;
            if hashes.is_empty() || old_size >> shift == new_size >> shift {
                continue;
            }
            // Eight levels at most, and less than 256 hashes in each.
            let index = (new_size >> shift) / TILE_WIDTH;
            let path = TilePath::hashes(level as u8, index, hashes.len() as u16)?;
            tiles.push(Tile {
                path,
                hashes: hashes.clone(),
            });
        }
        Ok(tiles)
    }

    fn push(&mut self, leaf: Hash, tiles: &mut Vec<Tile>) {
        self.size += 1;
        let mut hash = leaf;
        for level in 0..8u8 {
            let place = usize::from(level);
            if place == self.levels.len() {
                self.levels.push(Vec::new());
            }
            // The line above made the place.
            let row = &mut self.levels[place];
            row.push(hash);
            if (row.len() as u64) < TILE_WIDTH {
                return;
            }
            let hashes = std::mem::take(row);
            hash = root_of(&hashes);
            let index = (self.size >> (8 * (u32::from(level) + 1))).wrapping_sub(1);
            tiles.push(Tile {
                path: TilePath::full_hashes(level, index),
                hashes,
            });
        }
    }
}
