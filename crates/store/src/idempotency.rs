//! Answers kept for repeated calls: the same key from the same caller gets the same answer for a day.

use tenure_x509::Time;

use crate::error::StoreError;
use crate::store::Store;
use crate::tx::ReadTx;

/// How long an answer is kept, in seconds.
pub const KEPT_S: i64 = 24 * 3600;

/// A kept answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// SHA-256 of the call it answers; the same key with another call is an error of the caller's.
    pub request: [u8; 32],
    /// The status it had.
    pub status: u16,
    /// The body it had.
    pub answer: Vec<u8>,
}

/// The answer kept for a caller's key, unless it is too old at `now`.
pub fn kept(
    tx: &ReadTx<'_>,
    caller: &str,
    key: &str,
    now: Time,
) -> Result<Option<Kept>, StoreError> {
    tx.one(
        "SELECT request, status, answer FROM idempotency
         WHERE actor = $1 AND key = $2 AND at > $3",
        &[&caller, &key, &now.plus(-KEPT_S).unix()],
        |row| {
            Ok(Kept {
                request: row.get(0)?,
                status: row.get(1)?,
                answer: row.get(2)?,
            })
        },
    )
}

impl Store {
    /// Forgets that a caller used a key, so that the call may be made again.
    pub async fn forget_answer(&self, caller: String, key: String) -> Result<(), StoreError> {
        self.unrecorded(move |tx| {
            tx.run(
                "DELETE FROM idempotency WHERE actor = $1 AND key = $2",
                &[&caller, &key],
            )
            .map(|_| ())
        })
        .await
    }

    /// Keeps an answer, and forgets those that are too old. It is durable when this answers.
    pub async fn keep_answer(
        &self,
        caller: String,
        key: String,
        kept: Kept,
        now: Time,
    ) -> Result<(), StoreError> {
        self.unrecorded(move |tx| {
            tx.run(
                "DELETE FROM idempotency WHERE at <= $1",
                &[&now.plus(-KEPT_S).unix()],
            )?;
            tx.run(
                "INSERT INTO idempotency(actor, key, request, status, answer, at)
                 VALUES($1, $2, $3, $4, $5, $6)
                 ON CONFLICT(actor, key) DO UPDATE SET request = excluded.request,
                   status = excluded.status, answer = excluded.answer, at = excluded.at",
                &[
                    &caller,
                    &key,
                    &kept.request.as_slice(),
                    &kept.status,
                    &kept.answer,
                    &now.unix(),
                ],
            )
            .map(|_| ())
        })
        .await
    }
}
