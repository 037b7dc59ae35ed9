//! Randomness: the one place that asks the system for it.

use aws_lc_rs::rand::{SecureRandom, SystemRandom};

use crate::fault::FaultCause;

/// `N` fresh random bytes.
pub fn bytes<const N: usize>() -> Result<[u8; N], FaultCause> {
    let mut bytes = [0; N];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| FaultCause::NoChance)?;
    Ok(bytes)
}
