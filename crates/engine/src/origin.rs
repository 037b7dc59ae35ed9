//! One name, one history: a record that was put back from a copy goes on under another name, which
//! says where it left the former one.

use std::fs;

use tenure_domain::event::{Entry, Event};
use tenure_domain::operator::Actor;
use tenure_store::{LogState, Store, StoreError, begin_anew, log_state, revocation};
use tenure_tlog::Checkpoint;
use tenure_x509::{SignatureAlgorithm, Time};

use crate::Engine;
use crate::duty::integrate::{log_directory, verifier};
use crate::fault::{FaultCause, Rejection};
use crate::signer::Key;

/// Puts on record that this database was restored from the copy with the hash `from`. Answers the
/// log's new name. Epochs leap as well, so that no number of a revocation list is used again.
pub async fn restored(store: &Store, from: String, now: Time) -> Result<String, Rejection> {
    let us = Actor::system("restore");
    let said = Entry::new(us.clone(), now, Event::BackupRestored { from });
    let chance = crate::chance::bytes()?;
    let anew = store.record::<_, StoreError, _>(crate::chance::operation()?, move |tx| {
        tx.log(&said)?;
        revocation::leap(tx, now)?;
        begin_anew(tx, None, chance, &us, now)
    });
    Ok(anew.await?)
}

impl Engine {
    /// Finds out whether the record is shorter than the checkpoint that it published itself: then
    /// somebody put an older database in place, and what follows is another history.
    pub(crate) async fn keep_to_one_history(
        &self,
        key: &Key,
        state: &LogState,
    ) -> Result<(), Rejection> {
        let Some(known) = self.published_beyond(key, state)? else {
            return Ok(());
        };
        tracing::error!(
            origin = state.origin,
            "the database is older than the checkpoint that was published from it; whatever was \
             recorded in between is lost, and the log goes on under another name"
        );
        let (now, chance) = (self.clock().now(), crate::chance::bytes()?);
        self.store()
            .record::<_, StoreError, _>(crate::chance::operation()?, move |tx| {
                revocation::leap(tx, now)?;
                begin_anew(tx, Some(&known), chance, &Actor::system("integrate"), now)
            })
            .await?;
        self.wake_publish();
        Ok(())
    }

    /// The published checkpoint, if we signed it and the record does not contain it.
    fn published_beyond(&self, key: &Key, state: &LogState) -> Result<Option<String>, FaultCause> {
        let Ok(note) = fs::read(log_directory(self.directory()).join("checkpoint")) else {
            return Ok(None);
        };
        if note == state.checkpoint {
            return Ok(None);
        }
        let trusted = verifier(&state.origin, key.public())?;
        let opened = Checkpoint::open(&note, &state.origin, &trusted, |_, text, signature| {
            key.public()
                .verify(SignatureAlgorithm::Ed25519, text, signature)
                .is_ok()
        });
        // What is of another name, torn or forged is simply written over.
        let Ok(published) = opened else {
            return Ok(None);
        };
        let is_beyond = published.size() > state.size
            || (published.size() == state.size && published.root().0 != state.root);
        Ok(is_beyond.then(|| String::from_utf8(note).ok()).flatten())
    }
}

/// The log's state as the next checkpoint will continue it.
pub(crate) fn state(store: &Store) -> Result<LogState, Rejection> {
    let state = store.glance(log_state)?;
    Ok(state.ok_or(FaultCause::Corrupt("log state: the log was never started"))?)
}
