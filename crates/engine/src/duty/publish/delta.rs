//! Delta lists (RFC 5280 section 5.2.4), for our own gateways: what has changed in a shard since a
//! complete list that a gateway holds. No certificate and no list points to one, so nobody else meets
//! them.

use std::fs;
use std::path::{Path, PathBuf};

use tenure_domain::IssuerNo;
use tenure_store::revocation::{self, RevokedEntry};
use tenure_store::{ReadTx, StoreError};
use tenure_x509::crl::{CrlSpec, Entry};
use tenure_x509::{Reason, Time};

use super::{List, Published, crl_path, sign, write_error};
use crate::fault::{FaultCause, Rejection};
use crate::signer::Key;
use crate::{Engine, file};

/// For how long deltas are made to the same complete list, in seconds.
const BASE_S: i64 = super::CRL_LIFE_S;
/// How much earlier than a list a change that it does not hold may have been noted, in seconds. An
/// entry that the complete list holds already does no harm.
const SLACK_S: i64 = 3600;
/// With more changes than this the next complete list becomes the one that deltas are made to.
const CHANGES_MAX: usize = 20_000;

/// Where the newest delta to a shard's list is kept.
pub fn delta_path(directory: &Path, issuer: &str, shard: u16) -> PathBuf {
    let mut path = crl_path(directory, issuer, List::Shard(shard));
    path.set_extension("");
    path.join("delta.crl")
}

/// The complete list that a delta is made to, as remembered by this process; after a start the next
/// complete list is the first.
#[derive(Debug, Clone, Copy)]
pub(super) struct Since {
    number: u64,
    from: Time,
}

/// One change, owned.
pub(super) struct Changed {
    serial: Vec<u8>,
    at: Time,
    reason: Reason,
    invalidity: Option<Time>,
}

impl Changed {
    /// An entry with what it borrows.
    pub(super) fn of(entry: &RevokedEntry<'_>) -> Changed {
        Changed {
            serial: entry.serial.to_vec(),
            at: entry.at,
            reason: entry.reason,
            invalidity: entry.invalidity,
        }
    }

    /// The entry of a list.
    pub(super) fn entry(&self) -> Entry<'_> {
        Entry {
            serial: &self.serial,
            revoked_at: self.at,
            reason: self.reason,
            invalid_since: self.invalidity,
        }
    }
}

impl Since {
    /// What has changed in a shard, in the snapshot from which its complete list is made.
    pub(super) fn read(
        self,
        tx: &ReadTx<'_>,
        issuer: IssuerNo,
        shard: u16,
        now: Time,
    ) -> Result<Vec<Changed>, StoreError> {
        let mut changed = Vec::new();
        let from = self.from.plus(-SLACK_S);
        revocation::for_each_changed(tx, issuer, shard, from, now, |entry: RevokedEntry<'_>| {
            changed.push(Changed::of(&entry));
            Ok::<_, StoreError>(())
        })?;
        Ok(changed)
    }
}

impl Engine {
    /// What the next list of a shard can have a delta to.
    pub(super) fn delta_since(&self, name: &str, now: Time) -> Option<Since> {
        let base = self.lists().base(name)?;
        (now < base.this_update.plus(BASE_S)).then_some(Since {
            number: base.number,
            from: base.this_update,
        })
    }

    /// Publishes the delta that belongs to the complete list of `spec`, which is out, or begins anew
    /// with that list.
    pub(super) fn publish_delta_list(
        &self,
        spec: &CrlSpec,
        changed: Option<(Since, Vec<Changed>)>,
        key: &Key,
        target: &Path,
        name: &str,
    ) -> Result<(), Rejection> {
        let fits = changed.filter(|(_, changed)| changed.len() <= CHANGES_MAX);
        let Some((since, changed)) = fits else {
            self.lists().begin(
                name.to_owned(),
                Published {
                    number: spec.number,
                    this_update: spec.this_update,
                    next_update: spec.next_update,
                    epoch: None,
                },
            );
            // The delta there is to an older list, and newer than nothing: it may go.
            return match fs::remove_file(target) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    Err(file(error).into())
                }
                Ok(()) | Err(_) => Ok(()),
            };
        };
        let entries = changed.iter().map(Changed::entry);
        let der = spec
            .to_delta_der(since.number, entries, |what| sign(key, what))
            .map_err(write_error)?;
        file::replace(target, &der).map_err(file)?;
        Ok(())
    }
}

fn file(error: std::io::Error) -> FaultCause {
    FaultCause::File {
        doing: "publishing a delta list",
        error,
    }
}
