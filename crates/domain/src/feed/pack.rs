//! A pack: a manifest and its items in one file, to be carried where no network leads.
//!
//! ```text
//! tenure-pack-1 LENGTH\n    the length of the signed manifest, in bytes
//! the signed manifest
//! the items, one after another in the manifest's order, each as long as the manifest says
//! ```
//!
//! Only the manifest is signed: it names every item by hash and length, and nothing may follow.

use std::fmt;

use super::{ITEM_BYTES_MAX, Item, MANIFEST_BYTES_MAX, Manifest};

/// The first word of a pack.
const LABEL: &str = "tenure-pack-1 ";

/// Longest first line, in bytes.
const LINE_BYTES_MAX: usize = 32;

/// Longest signed manifest: the text and its signatures.
pub(super) const NOTE_BYTES_MAX: usize = MANIFEST_BYTES_MAX + 4096;

/// Largest pack, in bytes.
pub const PACK_BYTES_MAX: u64 = 2 * ITEM_BYTES_MAX;

/// Why a file is no pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadPack(pub &'static str);

impl fmt::Display for BadPack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for BadPack {}

/// A pack, split and not verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pack<'p> {
    note: &'p [u8],
    rest: &'p [u8],
}

/// Writes a pack from a signed manifest and its items in the manifest's order.
pub fn write(note: &str, items: &[Vec<u8>]) -> Vec<u8> {
    let mut pack = format!("{LABEL}{}\n{note}", note.len()).into_bytes();
    for item in items {
        pack.extend_from_slice(item);
    }
    pack
}

impl<'p> Pack<'p> {
    /// Splits a file.
    ///
    /// # Errors
    /// It is not a pack, or is cut off within the manifest.
    pub fn split(octets: &'p [u8]) -> Result<Pack<'p>, BadPack> {
        let head = octets.get(..LINE_BYTES_MAX).unwrap_or(octets);
        let end = head.iter().position(|octet| *octet == b'\n');
        let (line, rest) = end
            .and_then(|end| octets.split_at_checked(end))
            .ok_or(BadPack("it does not begin as one"))?;
        // The split leaves the line's end at the front.
        let rest = rest.get(1..).unwrap_or_default();
        let length = std::str::from_utf8(line)
            .ok()
            .and_then(|line| line.strip_prefix(LABEL))
            .ok_or(BadPack("it does not begin as one"))?;
        let is_plain =
            length.bytes().all(|digit| digit.is_ascii_digit()) && !length.starts_with('0');
        let length = length
            .parse()
            .ok()
            .filter(|length| is_plain && *length <= NOTE_BYTES_MAX);
        let length = length.ok_or(BadPack("the length of its manifest is none"))?;
        let (note, rest) = rest
            .split_at_checked(length)
            .ok_or(BadPack("it is cut off"))?;
        Ok(Pack { note, rest })
    }

    /// The signed manifest, to be verified before anything else is looked at.
    pub fn note(&self) -> &'p [u8] {
        self.note
    }

    /// The items of its manifest, which was verified; their hashes are not compared here.
    ///
    /// # Errors
    /// It is cut off, or something follows.
    pub fn items(&self, manifest: &Manifest) -> Result<Vec<&'p [u8]>, BadPack> {
        let mut rest = self.rest;
        let mut items = Vec::new();
        for Item { length, .. } in &manifest.items {
            let length = usize::try_from(*length).map_err(|_| BadPack("an item is too large"))?;
            let (item, after) = rest
                .split_at_checked(length)
                .ok_or(BadPack("it is cut off"))?;
            items.push(item);
            rest = after;
        }
        match rest.is_empty() {
            true => Ok(items),
            false => Err(BadPack("something follows its last item")),
        }
    }
}
