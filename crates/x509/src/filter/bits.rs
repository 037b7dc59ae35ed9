//! Strings of bits: packed columns that are looked into, and codes that are read in order.

/// Packs bits into octets, the first bit in the lowest place.
#[derive(Debug, Default)]
pub(super) struct Packed {
    octets: Vec<u8>,
    len: u64,
}

impl Packed {
    pub(super) fn zeros(len: u64) -> Self {
        Self {
            octets: vec![0; octets_of(len)],
            len,
        }
    }

    pub(super) fn set(&mut self, at: u64) {
        debug_assert!(at < self.len, "a bit within the string");
        if let Some(octet) = self.octets.get_mut((at / 8) as usize) {
            *octet |= 1 << (at % 8);
        }
    }

    pub(super) fn finish(self) -> Vec<u8> {
        self.octets
    }
}

/// How many octets hold this many bits; `usize::MAX` if no memory could.
pub(super) fn octets_of(bits: u64) -> usize {
    usize::try_from(bits.div_ceil(8)).unwrap_or(usize::MAX)
}

/// The 128 bits from place `at` on; places behind the end are zeros.
pub(super) fn window(octets: &[u8], at: u64) -> u128 {
    let rest = usize::try_from(at / 8)
        .ok()
        .and_then(|start| octets.get(start..))
        .unwrap_or(&[]);
    let mut near = [0; 16];
    let far = match rest.split_at_checked(16) {
        Some((whole, after)) => {
            near.copy_from_slice(whole);
            after.first().copied().unwrap_or(0)
        }
        None => {
            for (to, from) in near.iter_mut().zip(rest) {
                *to = *from;
            }
            0
        }
    };
    let near = u128::from_le_bytes(near);
    match at % 8 {
        0 => near,
        by => (near >> by) | (u128::from(far) << (128 - by)),
    }
}

/// Whether everything behind the first `bits` bits of the last octet is zero, as one encoding of
/// each value wants it.
pub(super) fn is_padded(octets: &[u8], bits: u64) -> bool {
    let spare = (8 - bits % 8) % 8;
    match octets.last() {
        Some(last) if spare > 0 => last >> (8 - spare) == 0,
        Some(_) | None => true,
    }
}

/// Writes codes, the first bit in the highest place of the first octet.
#[derive(Debug, Default)]
pub(super) struct CodeWriter {
    octets: Vec<u8>,
    used: u32,
}

impl CodeWriter {
    /// Appends the lowest `count` bits of `value`, highest first.
    pub(super) fn bits(&mut self, value: u64, count: u32) {
        for place in (0..count).rev() {
            self.bit((value >> place) & 1 == 1);
        }
    }

    /// Appends `count` ones and a zero.
    pub(super) fn unary(&mut self, count: u64) {
        for _ in 0..count {
            self.bit(true);
        }
        self.bit(false);
    }

    fn bit(&mut self, is_set: bool) {
        if self.used == 0 {
            self.octets.push(0);
        }
        if let (true, Some(last)) = (is_set, self.octets.last_mut()) {
            *last |= 0x80 >> self.used;
        }
        self.used = (self.used + 1) % 8;
    }

    pub(super) fn finish(self) -> Vec<u8> {
        self.octets
    }
}

/// Reads codes in order.
#[derive(Clone, Copy, Debug)]
pub(super) struct CodeReader<'a> {
    octets: &'a [u8],
    at: usize,
}

impl<'a> CodeReader<'a> {
    pub(super) fn new(octets: &'a [u8]) -> Self {
        Self { octets, at: 0 }
    }

    fn bit(&mut self) -> Option<u64> {
        let octet = self.octets.get(self.at / 8)?;
        let bit = (octet >> (7 - self.at % 8)) & 1;
        self.at += 1;
        Some(u64::from(bit))
    }

    pub(super) fn bits(&mut self, count: u32) -> Option<u64> {
        (0..count).try_fold(0, |value, _| Some(value << 1 | self.bit()?))
    }

    pub(super) fn unary(&mut self) -> Option<u64> {
        let mut count = 0;
        while self.bit()? == 1 {
            count += 1;
        }
        Some(count)
    }

    /// Whether nothing is left but the zeros that fill the last octet.
    pub(super) fn is_finished(mut self) -> bool {
        if self.octets.len() != self.at.div_ceil(8) {
            return false;
        }
        while let Some(bit) = self.bit() {
            if bit == 1 {
                return false;
            }
        }
        true
    }
}
