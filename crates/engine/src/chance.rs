//! Randomness, and names that nobody else gives: the one place that asks the system for them.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use tenure_store::OperationId;

use crate::fault::FaultCause;

/// `N` fresh random bytes.
pub fn bytes<const N: usize>() -> Result<[u8; N], FaultCause> {
    let mut bytes = [0; N];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| FaultCause::NoChance)?;
    Ok(bytes)
}

/// The name of an operation: eight random bytes of this process and a number. It must be nobody else's;
/// it need not be hard to guess.
pub fn operation() -> Result<OperationId, FaultCause> {
    static OURS: OnceLock<[u8; 8]> = OnceLock::new();
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let ours = match OURS.get() {
        Some(ours) => *ours,
        None => {
            let drawn = bytes()?;
            *OURS.get_or_init(|| drawn)
        }
    };
    let mut name = [0; 16];
    let (first, second) = name.split_at_mut(8);
    first.copy_from_slice(&ours);
    second.copy_from_slice(&NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes());
    Ok(OperationId(name))
}
