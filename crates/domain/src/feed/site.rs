//! A site's pack: what several relying parties should hold, in one file to be carried to all of them.
//!
//! ```text
//! tenure-site-pack-1 LENGTH LENGTH …\n   the length of each signed manifest, in bytes
//! the signed manifests, one of each relying party
//! the items, each once, in the order in which the manifests first name it
//! ```
//!
//! Each manifest is signed for itself and has its own number, so that each relying party takes its part
//! as it would take a pack of its own.

use std::collections::{BTreeMap, BTreeSet};

use super::pack::{BadPack, NOTE_BYTES_MAX};
use super::{Digest, Item, Manifest};

/// The first word of a site's pack.
const LABEL: &str = "tenure-site-pack-1";

/// Most relying parties in one pack.
pub const PARTS_MAX: usize = 500;

/// Longest first line, in bytes.
const LINE_BYTES_MAX: usize = LABEL.len() + 8 * PARTS_MAX + 1;

/// A site's pack, split and not verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SitePack<'p> {
    notes: Vec<&'p [u8]>,
    rest: &'p [u8],
}

/// The items that manifests name, each once, in the order in which they first do.
pub fn items_of<'m>(manifests: impl IntoIterator<Item = &'m Manifest>) -> Vec<&'m Item> {
    let mut seen = BTreeSet::new();
    let items = manifests
        .into_iter()
        .flat_map(|manifest| &manifest.items)
        .filter(|item| seen.insert(item.sha256));
    items.collect()
}

/// Writes a site's pack from signed manifests and the items in the order of [`items_of`].
pub fn write<N: AsRef<str>, I: AsRef<[u8]>>(notes: &[N], items: &[I]) -> Vec<u8> {
    let mut pack = LABEL.to_owned();
    for note in notes {
        pack.push_str(&format!(" {}", note.as_ref().len()));
    }
    pack.push('\n');
    for note in notes {
        pack.push_str(note.as_ref());
    }
    let mut pack = pack.into_bytes();
    for item in items {
        pack.extend_from_slice(item.as_ref());
    }
    pack
}

impl<'p> SitePack<'p> {
    /// Whether a file says that it is one.
    pub fn is_one(octets: &[u8]) -> bool {
        octets
            .strip_prefix(LABEL.as_bytes())
            .is_some_and(|rest| rest.first() == Some(&b' '))
    }

    /// Splits a file.
    ///
    /// # Errors
    /// It is not a site's pack, or is cut off within the manifests.
    pub fn split(octets: &'p [u8]) -> Result<SitePack<'p>, BadPack> {
        const NONE: BadPack = BadPack("it does not begin as one");
        let head = octets.get(..LINE_BYTES_MAX).unwrap_or(octets);
        let end = head.iter().position(|octet| *octet == b'\n').ok_or(NONE)?;
        let (line, rest) = octets.split_at_checked(end).ok_or(NONE)?;
        // The split leaves the line's end at the front.
        let mut rest = rest.get(1..).unwrap_or_default();
        let lengths = std::str::from_utf8(line)
            .ok()
            .and_then(|line| line.strip_prefix(LABEL))
            .and_then(|line| line.strip_prefix(' '))
            .ok_or(NONE)?;
        let mut notes = Vec::new();
        for length in lengths.split(' ') {
            let is_plain =
                length.bytes().all(|digit| digit.is_ascii_digit()) && !length.starts_with('0');
            let length = length.parse().ok();
            let length = length.filter(|length| is_plain && *length <= NOTE_BYTES_MAX);
            let length = length.ok_or(BadPack("the length of a manifest is none"))?;
            if notes.len() == PARTS_MAX {
                return Err(BadPack("it is for too many"));
            }
            let (note, after) = rest
                .split_at_checked(length)
                .ok_or(BadPack("it is cut off"))?;
            notes.push(note);
            rest = after;
        }
        Ok(SitePack { notes, rest })
    }

    /// The signed manifests, each to be verified before anything else is looked at.
    pub fn notes(&self) -> &[&'p [u8]] {
        &self.notes
    }

    /// The items of all of its manifests, which were verified, by the hashes they should have; these
    /// are not compared here.
    ///
    /// # Errors
    /// It is cut off, something follows, or two manifests are of one relying party.
    pub fn items<'m>(
        &self,
        manifests: impl IntoIterator<Item = &'m Manifest> + Clone,
    ) -> Result<BTreeMap<Digest, &'p [u8]>, BadPack> {
        let mut parties = BTreeSet::new();
        for manifest in manifests.clone() {
            if !parties.insert(&manifest.party) {
                return Err(BadPack("it is twice for one relying party"));
            }
        }
        let mut rest = self.rest;
        let mut items = BTreeMap::new();
        for Item { length, sha256, .. } in items_of(manifests) {
            let length = usize::try_from(*length).map_err(|_| BadPack("an item is too large"))?;
            let (item, after) = rest
                .split_at_checked(length)
                .ok_or(BadPack("it is cut off"))?;
            items.insert(*sha256, item);
            rest = after;
        }
        match rest.is_empty() {
            true => Ok(items),
            false => Err(BadPack("something follows its last item")),
        }
    }
}
