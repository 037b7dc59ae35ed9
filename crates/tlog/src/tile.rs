use std::{fmt, str::FromStr};

use crate::Error;

/// The number of hashes in a full tile, and of entries in a full bundle.
pub const TILE_WIDTH: u64 = 256;

/// The longest entry a bundle can hold: its length is a 16-bit number.
pub const ENTRY_BYTES_MAX: usize = u16::MAX as usize;

/// The place of a tile or an entry bundle below the log's prefix (C2SP tlog-tiles). Its text form
/// is `tile/<L>/<N>[.p/<W>]` or `tile/entries/<N>[.p/<W>]`; parsing accepts nothing else, so a
/// path from the network is safe to append to a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TilePath {
    kind: Kind,
    index: u64,
    width: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Kind {
    Hashes(u8),
    Entries,
}

impl TilePath {
    /// A tile of hashes: level 0 to 63 (0 holds leaf hashes), width 1 to 256.
    pub fn hashes(level: u8, index: u64, width: u16) -> Result<Self, Error> {
        if level > 63 {
            return Err(Error::Malformed("tile: level above 63"));
        }
        Self::new(Kind::Hashes(level), index, width)
    }

    /// A bundle of entries, width 1 to 256.
    pub fn entries(index: u64, width: u16) -> Result<Self, Error> {
        Self::new(Kind::Entries, index, width)
    }

    /// A full tile of a level below eight, the highest a tree can have.
    pub(crate) fn full_hashes(level: u8, index: u64) -> Self {
        Self {
            kind: Kind::Hashes(level),
            index,
            width: TILE_WIDTH as u16,
        }
    }

    fn new(kind: Kind, index: u64, width: u16) -> Result<Self, Error> {
        if width == 0 || u64::from(width) > TILE_WIDTH {
            return Err(Error::Malformed("tile: width outside 1 to 256"));
        }
        Ok(Self { kind, index, width })
    }

    /// The level, or `None` for an entry bundle.
    pub fn level(&self) -> Option<u8> {
        match self.kind {
            Kind::Hashes(level) => Some(level),
            Kind::Entries => None,
        }
    }

    /// The index within the level.
    pub fn index(&self) -> u64 {
        self.index
    }

    /// How many hashes or entries it holds: 1 to 256.
    pub fn width(&self) -> u16 {
        self.width
    }

    /// Whether it is narrower than a full tile.
    pub fn is_partial(&self) -> bool {
        u64::from(self.width) < TILE_WIDTH
    }

    /// The full tile at the same place, which replaces a partial one once the log has grown.
    pub fn full(&self) -> Self {
        Self {
            width: TILE_WIDTH as u16,
            ..*self
        }
    }

    /// The smallest tree in which this tile exists, or `None` if no tree of 2^64 leaves has it.
    pub fn tree_size_min(&self) -> Option<u64> {
        let level = match self.kind {
            Kind::Hashes(level) => u32::from(level),
            Kind::Entries => 0,
        };
        let hashes = self
            .index
            .checked_mul(TILE_WIDTH)?
            .checked_add(self.width.into())?;
        hashes.checked_mul(1u64.checked_shl(level * 8)?)
    }
}

impl fmt::Display for TilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            Kind::Hashes(level) => write!(f, "tile/{level}/")?,
            Kind::Entries => f.write_str("tile/entries/")?,
        }
        let digits = format!("{:03}", self.index);
        let digits = format!(
            "{digits:0>width$}",
            width = digits.len().next_multiple_of(3)
        );
        let last = digits.len() - 3;
        for start in (0..last).step_by(3) {
            write!(f, "x{}/", &digits[start..start + 3])?;
        }
        f.write_str(&digits[last..])?;
        if self.is_partial() {
            write!(f, ".p/{}", self.width)?;
        }
        Ok(())
    }
}

impl FromStr for TilePath {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        const BAD: Error = Error::Malformed("tile path");
        let rest = text.strip_prefix("tile/").ok_or(BAD)?;
        let (kind, rest) = rest.split_once('/').ok_or(BAD)?;
        let (index, width) = match rest.split_once(".p/") {
            Some((index, width)) => (index, width.parse::<u8>().map_err(|_| BAD)?.into()),
            None => (rest, TILE_WIDTH as u16),
        };
        let mut number = 0u64;
        for element in index.split('/') {
            let digits = element.strip_prefix('x').unwrap_or(element);
            if digits.len() != 3 || !digits.bytes().all(|b| b.is_ascii_digit()) {
                return Err(BAD);
            }
            let value = digits.parse::<u64>().map_err(|_| BAD)?;
            number = number
                .checked_mul(1000)
                .and_then(|n| n.checked_add(value))
                .ok_or(BAD)?;
        }
        let path = match kind {
            "entries" => Self::entries(number, width)?,
            level => Self::hashes(level.parse().map_err(|_| BAD)?, number, width)?,
        };
        // One tile has one path: leading zeroes, plus signs, misplaced `x`s all end here.
        if path.to_string() == text {
            Ok(path)
        } else {
            Err(BAD)
        }
    }
}

/// A bundle of log entries: each preceded by its length as a big-endian 16-bit number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EntryBundle {
    bytes: Vec<u8>,
    count: u16,
}

impl EntryBundle {
    /// An empty bundle. The empty bundle itself is never published.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads a bundle: at most 256 entries, nothing left over.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let (mut rest, mut count) = (bytes, 0u16);
        while !rest.is_empty() {
            let (_, after) = split_entry(rest).ok_or(Error::Malformed("entry bundle: cut off"))?;
            rest = after;
            count += 1;
            if u64::from(count) > TILE_WIDTH {
                return Err(Error::Malformed("entry bundle: more than 256 entries"));
            }
        }
        Ok(Self {
            bytes: bytes.to_vec(),
            count,
        })
    }

    /// Appends an entry of at most [`ENTRY_BYTES_MAX`] bytes to a bundle of less than 256.
    pub fn push(&mut self, entry: &[u8]) -> Result<(), Error> {
        let length = u16::try_from(entry.len())
            .map_err(|_| Error::Unsupported("entry bundle: an entry over 65535 bytes"))?;
        if u64::from(self.count) == TILE_WIDTH {
            return Err(Error::Inconsistent("entry bundle: already full"));
        }
        self.bytes.extend_from_slice(&length.to_be_bytes());
        self.bytes.extend_from_slice(entry);
        self.count += 1;
        Ok(())
    }

    /// The number of entries, 0 to 256.
    pub fn len(&self) -> u16 {
        self.count
    }

    /// Whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The published form.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The entries in order.
    pub fn entries(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = self.bytes.as_slice();
        std::iter::from_fn(move || {
            let (entry, after) = split_entry(rest)?;
            rest = after;
            Some(entry)
        })
    }
}

fn split_entry(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<2>()?;
    rest.split_at_checked(u16::from_be_bytes(*length).into())
}

/// The entry bundles to write when a log grows from one size to another: every bundle that gains
/// an entry, at its width in the new tree.
pub fn bundles_between(old_size: u64, new_size: u64) -> impl Iterator<Item = TilePath> {
    let first = old_size / TILE_WIDTH;
    let end = if new_size > old_size {
        new_size.div_ceil(TILE_WIDTH)
    } else {
        first
    };
    (first..end).map(move |index| TilePath {
        kind: Kind::Entries,
        index,
        width: (new_size - index * TILE_WIDTH).min(TILE_WIDTH) as u16,
    })
}
