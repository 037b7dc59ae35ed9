//! Random bytes for the salts of leaves.

use crate::error::StoreError;

/// Random bytes, drawn from the operating system many at a time.
pub(crate) struct Chance {
    pool: Vec<u8>,
    used: usize,
}

impl Chance {
    const POOL: usize = 4096;

    pub(crate) fn new() -> Chance {
        Chance {
            pool: vec![0; Self::POOL],
            used: Self::POOL,
        }
    }

    /// Sixteen bytes nobody could have guessed.
    pub(crate) fn salt(&mut self) -> Result<[u8; 16], StoreError> {
        if self.used + 16 > self.pool.len() {
            getrandom::fill(&mut self.pool).map_err(|error| StoreError::Io(error.to_string()))?;
            self.used = 0;
        }
        let mut salt = [0; 16];
        salt.copy_from_slice(&self.pool[self.used..self.used + 16]);
        self.used += 16;
        Ok(salt)
    }
}
