//! An RFC 6962 Merkle log in the formats of C2SP: tiles, proofs, signed notes and checkpoints.
//!
//! **Absences.** No I/O, no clock, no randomness, no keys: tiles are read through a closure and
//! signatures are made and checked by closures. It depends on `sha2` alone, so that an offline
//! verifier can carry it. It knows nothing of events or certificates: a leaf is bytes.
//!
//! Read first: [`Frontier`], which turns leaf hashes into tiles, and [`Checkpoint`], which says
//! what the tree was.

mod base64;
mod checkpoint;
mod error;
mod frontier;
mod hash;
mod note;
mod proof;
mod tile;

pub use checkpoint::Checkpoint;
pub use error::Error;
pub use frontier::{Frontier, Tile};
pub use hash::{Hash, leaf_hash, node_hash, root_of};
pub use note::{NOTE_BYTES_MAX, Note, SIGNATURES_MAX, Signature, VerifierKey};
pub use proof::{ReadError, consistency, inclusion, root, verify_consistency, verify_inclusion};
pub use tile::{ENTRY_BYTES_MAX, EntryBundle, TILE_WIDTH, TilePath, bundles_between};

#[cfg(test)]
mod tests;
