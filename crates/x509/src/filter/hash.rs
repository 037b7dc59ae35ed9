//! From a serial number to the numbers that filters work with.

use crate::{Serial, sha256};

/// What stands for a serial in a full filter: 128 bits of the SHA-256 of its contents octets.
/// Serials are drawn at random by the issuer, so nobody can choose two that collide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key(pub(super) u64, pub(super) u64);

impl Key {
    pub(super) fn of(serial: &Serial) -> Self {
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, ..] = sha256(serial.as_bytes());
        Self(
            u64::from_be_bytes([a, b, c, d, e, f, g, h]),
            u64::from_be_bytes([i, j, k, l, m, n, o, p]),
        )
    }

    /// The equation that stands for this key in the system of this salt: where it starts, of
    /// `starts` places, and its 128 coefficients, of which the first is 1.
    pub(super) fn equation(self, salt: u64, starts: u64) -> (u64, u128) {
        let place = mix(self.0 ^ mix(salt));
        let (low, high) = (mix(self.1 ^ place), mix(self.1.wrapping_add(mix(!place))));
        // The high half of a product of 64-bit numbers, below `starts`.
        let start = (u128::from(place) * u128::from(starts)) >> 64;
        (start as u64, (u128::from(high) << 64) | u128::from(low) | 1)
    }
}

/// The finaliser of SplitMix64: a permutation of the 64-bit numbers without visible structure.
pub(super) const fn mix(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// What stands for a serial in a delta: the 64-bit FNV-1a hash of its contents octets. A delta names
/// only as many of its first bits as tell its serials from all others covered, so whoever builds one
/// must be able to find a key's neighbours; an issuer's store has these very keys in an index.
#[must_use]
pub fn delta_key(serial: &Serial) -> u64 {
    serial
        .as_bytes()
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, octet| {
            (hash ^ u64::from(*octet)).wrapping_mul(0x0000_0100_0000_01b3)
        })
}
