//! Lists that last: for relying parties that nobody reaches for weeks. They have a number of the same
//! sequence as the published ones and are handed out in packs alone.

use std::sync::Arc;

use tenure_domain::issuer::Issuer;
use tenure_store::revocation::{self, RevokedEntry};
use tenure_store::{ReadTx, StoreError};
use tenure_x509::Time;
use tenure_x509::crl::CrlSpec;

use super::delta::Changed;
use super::{List, Published, epoch_of, scope, sign, write_error};
use crate::Engine;
use crate::fault::{FaultCause, Rejection};
use crate::signer::Key;

impl Engine {
    /// Everything that an issuer has revoked, as a list that may be used until `until`, and the epoch
    /// that it renders.
    pub(crate) async fn sign_lasting_list(
        &self,
        issuer: &Arc<Issuer>,
        key: &Key,
        now: Time,
        until: Time,
    ) -> Result<(Vec<u8>, i64), Rejection> {
        let no = issuer.no;
        let (epoch, revoked) = self
            .store()
            .read_first(move |tx: &ReadTx<'_>| {
                let epoch = epoch_of(&revocation::epochs(tx, no)?, List::Full);
                let mut revoked = Vec::new();
                revocation::for_each(tx, no, None, now, |entry: RevokedEntry<'_>| {
                    revoked.push(Changed::of(&entry));
                    Ok::<_, StoreError>(())
                })?;
                Ok::<_, StoreError>((epoch, revoked))
            })
            .await?;
        let published = self.published_list(&issuer.name, List::Full);
        let last = published.map_or(0, |published| published.number);
        let number = u64::try_from(now.unix().max(epoch))
            .unwrap_or(0)
            .max(last + 1);
        let spec = CrlSpec {
            issuer: issuer.subject().clone(),
            issuer_key_id: issuer
                .certificate
                .subject_key_id()
                .unwrap_or_default()
                .to_vec(),
            signature: issuer.algorithm,
            this_update: now,
            next_update: until,
            number,
            scope: scope(issuer, List::Full),
        };
        // The next published list goes on above this one.
        if let Some(published) = published {
            let name = format!("{}/{}", issuer.name, List::Full.file());
            self.lists().put(
                name,
                Published {
                    number,
                    ..published
                },
            );
        }
        let key = key.clone();
        let made = tokio::task::spawn_blocking(move || {
            let entries = revoked.iter().map(Changed::entry);
            spec.to_der(entries, |what| sign(&key, what))
                .map_err(write_error)
        });
        let list = made
            .await
            .map_err(|_| FaultCause::Corrupt("revocation list: the signing thread died"))??;
        Ok((list, epoch))
    }
}
