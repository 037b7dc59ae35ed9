//! What was published as revoked stays revoked, whatever became of the record.
//!
//! A database that was put back from a copy does not know what was withdrawn since, but the lists
//! that were published do, and they are signed. Before an issuer's lists are made anew for the first
//! time after a start, what the last one holds is compared with the record, and what the record calls
//! good is withdrawn again.

use std::fs;
use std::sync::Arc;

use tenure_domain::certificate::{CertificateRow, Revocation, Status};
use tenure_domain::issuer::Issuer;
use tenure_domain::operator::Actor;
use tenure_store::{ReadTx, StoreError, certificate, withdrawal};
use tenure_x509::crl::{Crl, Revoked};
use tenure_x509::{Reason, Time};

use super::{List, crl_path};
use crate::Engine;
use crate::fault::Rejection;

/// How many are withdrawn again in one transaction.
const TOGETHER: usize = 200;

/// One that the list calls revoked and the record does not.
#[derive(Debug, Clone)]
struct Forgotten {
    row: CertificateRow,
    listed: Revoked,
}

impl Engine {
    /// Withdraws again what the issuer's last published list holds and the record has forgotten.
    /// Answers how many.
    pub(super) async fn keep_withdrawn(&self, issuer: &Arc<Issuer>) -> Result<usize, Rejection> {
        let of = Arc::clone(issuer);
        let read = move |engine: &Engine| Ok::<_, Rejection>(engine.last_list(&of));
        let read = self.aside("revocation list: the reading thread died", read);
        let Some(list) = read.await? else {
            return Ok(0);
        };
        let no = issuer.no;
        let forgotten = self
            .store()
            .read_first(move |tx| compare(tx, no, &list))
            .await?;
        if forgotten.is_empty() {
            return Ok(0);
        }
        tracing::error!(
            issuer = %issuer.name,
            certificates = forgotten.len(),
            "the published list holds certificates that the record calls good; they are withdrawn \
             again, as it is when an older database was put in place"
        );
        let now = self.clock().now();
        for together in forgotten.chunks(TOGETHER) {
            let (together, actor) = (together.to_vec(), Actor::system("publish"));
            self.store()
                .record::<_, StoreError, _>(self.operation()?, move |tx| {
                    let mut changed = false;
                    for one in &together {
                        let Forgotten { row, listed } = one;
                        let done = match listed.reason {
                            Reason::CertificateHold => {
                                withdrawal::hold(tx, row.no, "it was on hold", &actor, now)?
                            }
                            reason => {
                                withdrawal::revoke(tx, row.no, again(listed, reason, now), &actor)?
                            }
                        };
                        changed |= done.before.status != done.after.status;
                    }
                    if !changed {
                        tx.excuse("they were withdrawn meanwhile");
                    }
                    Ok(())
                })
                .await?;
        }
        self.wake_publish();
        Ok(forgotten.len())
    }

    /// The last list over all of an issuer's certificates, if the issuer signed it.
    fn last_list(&self, issuer: &Issuer) -> Option<Crl> {
        let path = crl_path(self.directory(), issuer.name.as_str(), List::Full);
        let list = Crl::from_der(&fs::read(path).ok()?).ok()?;
        let is_ours = list.issuer() == issuer.subject()
            && list.unusual().is_none()
            && list.verify(issuer.public_key()).is_ok();
        is_ours.then_some(list)
    }
}

/// Withdrawn now, as far as the record goes, and not to be trusted since it was withdrawn first.
fn again(listed: &Revoked, reason: Reason, now: Time) -> Revocation {
    Revocation {
        reason,
        at: now,
        invalidity: Some(listed.invalid_since.unwrap_or(listed.revoked_at)),
    }
}

fn compare(
    tx: &ReadTx<'_>,
    issuer: tenure_domain::IssuerNo,
    list: &Crl,
) -> Result<Vec<Forgotten>, StoreError> {
    let mut forgotten = Vec::new();
    // A list that we signed has no malformed entry.
    for listed in list.entries().map_while(Result::ok) {
        let rows = certificate::find_serial(tx, &listed.serial)?;
        let row = rows.into_iter().find(|row| row.issuer == issuer);
        // What the record never saw it cannot withdraw: to OCSP it is a serial never issued.
        let Some(row) = row else { continue };
        let is_good = matches!(row.status, Status::Issued | Status::Replaced);
        let was_given_back = listed.reason == Reason::CertificateHold
            && withdrawal::was_held(tx, row.no, listed.revoked_at)?;
        if is_good && !was_given_back {
            forgotten.push(Forgotten { row, listed });
        }
    }
    Ok(forgotten)
}
