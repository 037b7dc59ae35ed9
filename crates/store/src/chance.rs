//! Random bytes for the salts of leaves.

use std::cell::RefCell;

use crate::error::StoreError;

/// Random bytes, drawn from the operating system many at a time.
struct Chance {
    pool: [u8; Self::POOL],
    used: usize,
}

impl Chance {
    /// A multiple of a salt's length, so that the last salt of a pool ends where the pool does.
    const POOL: usize = 64 * 16;

    fn salt(&mut self) -> Result<[u8; 16], StoreError> {
        if self.used == Self::POOL {
            getrandom::fill(&mut self.pool).map_err(|error| StoreError::Io(error.to_string()))?;
            self.used = 0;
        }
        let mut salt = [0; 16];
        salt.copy_from_slice(&self.pool[self.used..self.used + 16]);
        self.used += 16;
        Ok(salt)
    }
}

/// Sixteen bytes nobody could have guessed.
pub(crate) fn salt() -> Result<[u8; 16], StoreError> {
    thread_local! {
        static CHANCE: RefCell<Chance> = const {
            RefCell::new(Chance { pool: [0; Chance::POOL], used: Chance::POOL })
        };
    }
    CHANCE.with_borrow_mut(Chance::salt)
}
