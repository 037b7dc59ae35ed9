//! Which values the tables of the lookup may hold. Most questions are about values that nobody has,
//! and searching a large table of random values for nothing costs more than the rest of a question.

/// So many bits for each value: about one in forty of the others is then taken for one.
const BITS: usize = 8;

/// So many bits are set for each value.
const PROBES: u32 = 5;

/// So many bits in a block; all of a value's are in one, so that a question reads one cache line.
const BLOCK: usize = 512;

/// So many values have room in the first layer.
const FIRST: usize = 1 << 16;

/// A Bloom filter of values that look random. It grows by layers, each as large as all before it
/// together, so that what it holds need never be gathered anew.
#[derive(Default)]
pub(super) struct Bloom {
    layers: Vec<Layer>,
}

struct Layer {
    blocks: Vec<[u64; BLOCK / 64]>,
    /// How many values it takes.
    room: usize,
    /// How many it has taken.
    taken: usize,
}

impl Bloom {
    /// Makes room for so many more values in one layer.
    pub(super) fn make_room(&mut self, values: usize) {
        let room = values.max(FIRST);
        self.layers.push(Layer {
            blocks: vec![[0; BLOCK / 64]; (room * BITS).div_ceil(BLOCK)],
            room,
            taken: 0,
        });
    }

    /// Adds a value; one that it may hold already takes no room again.
    pub(super) fn insert(&mut self, value: i64) {
        if self.may_hold(value) {
            return;
        }
        match self.layers.last() {
            Some(last) if last.taken < last.room => {}
            _ => self.make_room(self.layers.iter().map(|layer| layer.room).sum()),
        }
        if let Some(last) = self.layers.last_mut() {
            last.insert(value);
        }
    }

    /// Whether the value may have been inserted; `false` is certain.
    pub(super) fn may_hold(&self, value: i64) -> bool {
        self.layers.iter().any(|layer| layer.may_hold(value))
    }
}

impl Layer {
    /// The block of a value, by its upper bits.
    fn block(&self, value: i64) -> usize {
        let blocks = self.blocks.len() as u128;
        // Less than the number of blocks.
        ((u128::from(value.cast_unsigned()) * blocks) >> 64) as usize
    }

    fn insert(&mut self, value: i64) {
        let at = self.block(value);
        if let Some(block) = self.blocks.get_mut(at) {
            for (word, bit) in probes(value) {
                block[word] |= bit;
            }
        }
        self.taken += 1;
    }

    fn may_hold(&self, value: i64) -> bool {
        let block = self.blocks.get(self.block(value));
        block.is_some_and(|block| probes(value).all(|(word, bit)| block[word] & bit != 0))
    }
}

/// The words of a block, each with one bit, that tell of a value, by its lower bits.
fn probes(value: i64) -> impl Iterator<Item = (usize, u64)> {
    (0..PROBES).map(move |probe| {
        let place = (value.cast_unsigned() >> (probe * BLOCK.ilog2())) as usize % BLOCK;
        (place / 64, 1 << (place % 64))
    })
}

#[cfg(test)]
mod tests {
    use super::{Bloom, FIRST};

    /// Values that look random, each number's own (SplitMix64).
    fn value(no: u64) -> i64 {
        let mut z = no.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)).cast_signed()
    }

    #[test]
    fn it_holds_what_was_inserted_and_little_else_however_it_has_grown() {
        let mut bloom = Bloom::default();
        assert!(!bloom.may_hold(7));
        let held = 5 * FIRST as u64;
        for _ in 0..3 {
            (0..held).for_each(|no| bloom.insert(value(no)));
        }
        assert_eq!(bloom.layers.len(), 4, "however often it is inserted");
        assert!((0..held).all(|no| bloom.may_hold(value(no))));
        let wrong = (held..2 * held).filter(|no| bloom.may_hold(value(*no)));
        let wrong = wrong.count() as u64;
        assert!(wrong < held / 10, "{wrong} of {held}");
        for edge in [0, 1, -1, i64::MIN, i64::MAX] {
            bloom.insert(edge);
            assert!(bloom.may_hold(edge));
        }
    }

    #[test]
    fn one_that_knew_how_many_would_come_errs_once_in_thirty() {
        let mut bloom = Bloom::default();
        let held = 10 * FIRST as u64;
        bloom.make_room(held as usize);
        (0..held).for_each(|no| bloom.insert(value(no)));
        assert_eq!(bloom.layers.len(), 1);
        let wrong = (held..2 * held).filter(|no| bloom.may_hold(value(*no)));
        let wrong = wrong.count() as u64;
        assert!(wrong < held / 30, "{wrong} of {held}");
    }
}
