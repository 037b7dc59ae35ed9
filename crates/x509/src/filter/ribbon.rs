//! Banded linear systems over GF(2): each key is an equation over 128 neighbouring unknowns.
//!
//! After P. Dillinger and S. Walzer, "Ribbon filter: practically smaller than Bloom and Xor" (2021).
//! Elimination is on the fly, row by row, and never fills in beyond the band.

use super::bits::{Packed, is_padded, octets_of, window};
use super::hash::{Key, mix};

/// Over how many neighbouring unknowns an equation goes.
const BAND: u64 = 128;
/// Unknowns that any system has to spare: equations are thinner towards both its ends.
const MARGIN: u64 = 32;
/// The most unknowns of a system.
const UNKNOWNS_MAX: u64 = 1 << 40;
/// The most columns: an approximate filter lets one in 2^columns pass.
pub(super) const COLUMNS_MAX: u32 = 32;

/// Solutions of one system, a column each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ribbon {
    salt: u64,
    unknowns: u64,
    columns: u32,
    bits: Vec<u8>,
}

impl Ribbon {
    /// From what a filter says of itself; `None` if its parts do not fit together.
    pub(super) fn from_parts(salt: u64, unknowns: u64, columns: u32, bits: &[u8]) -> Option<Self> {
        let is_empty = unknowns == 0 || columns == 0;
        let sound = if is_empty {
            // There is one way to write nothing.
            unknowns == 0 && columns == 0 && salt == 0 && bits.is_empty()
        } else {
            let len = unknowns.checked_mul(u64::from(columns))?;
            (BAND..=UNKNOWNS_MAX).contains(&unknowns)
                && columns <= COLUMNS_MAX
                && bits.len() == octets_of(len)
                && is_padded(bits, len)
        };
        sound.then(|| Self {
            salt,
            unknowns,
            columns,
            bits: bits.to_vec(),
        })
    }

    /// The filter of no keys.
    pub(super) fn empty() -> Self {
        Self {
            salt: 0,
            unknowns: 0,
            columns: 0,
            bits: Vec::new(),
        }
    }

    /// Solutions under which each of `keys` gives zero in every column, and another key one in
    /// 2^columns times. They always exist: the system is homogeneous, and what it leaves free is
    /// chosen by a fixed rule.
    pub(super) fn approximate(keys: &[Key], columns: u32, unknowns: u64, salt: u64) -> Self {
        let mut system = System::new(unknowns, salt);
        for key in in_order(keys, unknowns, salt) {
            // A homogeneous equation contradicts nothing.
            let _ = system.add(*key, false);
        }
        system.solve(columns)
    }

    /// A solution under which keys of `ones` give one and keys of `zeros` zero; `None` if this salt
    /// has none.
    pub(super) fn exact(zeros: &[Key], ones: &[Key], unknowns: u64, salt: u64) -> Option<Self> {
        let mut system = System::new(unknowns, salt);
        let tagged = [(zeros, false), (ones, true)];
        let mut rows: Vec<_> = tagged
            .into_iter()
            .flat_map(|(keys, is_one)| keys.iter().map(move |key| (*key, is_one)))
            .collect();
        let starts = starts(unknowns);
        rows.sort_unstable_by_key(|(key, _)| key.equation(salt, starts).0);
        for (key, is_one) in rows {
            system.add(key, is_one).ok()?;
        }
        Some(system.solve(1))
    }

    /// How many unknowns `keys` equations need with this many parts in a thousand to spare.
    pub(super) fn unknowns_for(keys: u64, spare_per_mille: u64) -> u64 {
        let spare = keys.saturating_mul(spare_per_mille) / 1000 + MARGIN;
        keys.saturating_add(spare).clamp(BAND, UNKNOWNS_MAX)
    }

    /// Whether every column gives zero for this key. An empty ribbon has no columns.
    pub(super) fn is_zero(&self, key: Key) -> bool {
        let (start, coefficients) = key.equation(self.salt, starts(self.unknowns));
        (0..u64::from(self.columns)).all(|column| {
            let bits = window(&self.bits, column * self.unknowns + start);
            (bits & coefficients).count_ones().is_multiple_of(2)
        })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.columns == 0
    }

    pub(super) fn salt(&self) -> u64 {
        self.salt
    }

    pub(super) fn unknowns(&self) -> u64 {
        self.unknowns
    }

    pub(super) fn columns(&self) -> u32 {
        self.columns
    }

    pub(super) fn bits(&self) -> &[u8] {
        &self.bits
    }
}

/// At how many places an equation may start.
fn starts(unknowns: u64) -> u64 {
    unknowns.saturating_sub(BAND) + 1
}

/// Keys by where their equations start, which keeps elimination short and in the cache.
fn in_order(keys: &[Key], unknowns: u64, salt: u64) -> Vec<&Key> {
    let starts = starts(unknowns);
    let mut sorted: Vec<&Key> = keys.iter().collect();
    sorted.sort_unstable_by_key(|key| key.equation(salt, starts).0);
    sorted
}

/// An equation that contradicts the others.
struct Contradiction;

/// A system in echelon form: row `i` has its first coefficient at unknown `i`, or is empty.
struct System {
    salt: u64,
    rows: Vec<u128>,
    is_one: Vec<bool>,
}

impl System {
    fn new(unknowns: u64, salt: u64) -> Self {
        let len = usize::try_from(unknowns).unwrap_or(usize::MAX);
        Self {
            salt,
            rows: vec![0; len],
            is_one: vec![false; len],
        }
    }

    fn add(&mut self, key: Key, mut is_one: bool) -> Result<(), Contradiction> {
        let (start, mut coefficients) = key.equation(self.salt, starts(self.rows.len() as u64));
        let mut at = start as usize;
        // The band ends at the last unknown, so that `at` stays below the number of rows.
        while let (Some(row), Some(right)) = (self.rows.get_mut(at), self.is_one.get_mut(at)) {
            if *row == 0 {
                *row = coefficients;
                *right = is_one;
                return Ok(());
            }
            coefficients ^= *row;
            is_one ^= *right;
            if coefficients == 0 {
                break;
            }
            let by = coefficients.trailing_zeros();
            coefficients >>= by;
            at += by as usize;
        }
        if is_one { Err(Contradiction) } else { Ok(()) }
    }

    /// Solves from the last unknown to the first, in each column; unknowns that nothing determines
    /// are drawn by a fixed rule, differently in each column.
    fn solve(&self, columns: u32) -> Ribbon {
        let unknowns = self.rows.len() as u64;
        let mut bits = Packed::zeros(unknowns * u64::from(columns));
        for column in 0..u64::from(columns) {
            // The solution from the unknown after this one on.
            let mut after: u128 = 0;
            for (at, (row, is_one)) in self.rows.iter().zip(&self.is_one).enumerate().rev() {
                let at = at as u64;
                let bit = if *row == 0 {
                    mix(at ^ mix(column ^ self.salt)) & 1 == 1
                } else {
                    is_one ^ !((row >> 1) & after).count_ones().is_multiple_of(2)
                };
                after = (after << 1) | u128::from(bit);
                if bit {
                    bits.set(column * unknowns + at);
                }
            }
        }
        Ribbon {
            salt: self.salt,
            unknowns,
            columns,
            bits: bits.finish(),
        }
    }
}
