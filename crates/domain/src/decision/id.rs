//! The name of a verdict.

use std::fmt;
use std::str::FromStr;

use tenure_x509::Time;

use crate::text::hex;

/// What a verdict rests on, by the first 128 bits of its hash, and when it was made: enough to make
/// it again. Written as `HASH-TIME`, the time in hexadecimal Unix seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct VerdictId {
    /// The first half of the SHA-256 of what was kept.
    pub facts: [u8; 16],
    /// When it was made.
    pub at: Time,
}

/// Text that is no name of a verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadVerdictId {
    /// What was given, shortened to 80 characters.
    pub given: String,
}

impl VerdictId {
    /// The verdict of this time on what hashes to this.
    pub fn new(hash: &[u8; 32], at: Time) -> VerdictId {
        let mut facts = [0; 16];
        // Both are 16 bytes long.
        facts.copy_from_slice(&hash[..16]);
        VerdictId { facts, at }
    }
}

impl fmt::Display for VerdictId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{:x}", hex(&self.facts), self.at.unix())
    }
}

impl FromStr for VerdictId {
    type Err = BadVerdictId;

    fn from_str(text: &str) -> Result<VerdictId, BadVerdictId> {
        let bad = || BadVerdictId {
            given: text.chars().take(80).collect(),
        };
        let (facts, at) = text.split_once('-').ok_or_else(bad)?;
        // Numbers of Rust may have a sign.
        let is_hex = |text: &str| text.bytes().all(|b| b.is_ascii_hexdigit());
        if facts.len() != 32 || !is_hex(facts) || !is_hex(at) {
            return Err(bad());
        }
        let number = u128::from_str_radix(facts, 16).map_err(|_| bad())?;
        let at = i64::from_str_radix(at, 16).map_err(|_| bad())?;
        Ok(VerdictId {
            facts: number.to_be_bytes(),
            at: Time::from_unix(at),
        })
    }
}

impl fmt::Display for BadVerdictId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} is not the id of a verdict; it is 32 hexadecimal digits, a dash and some more",
            self.given
        )
    }
}

impl std::error::Error for BadVerdictId {}
