//! Publishing: what the record says of revocation becomes lists that anyone can fetch.
//!
//! Each shard's list is one rendering of one revocation set at one epoch. Its number is
//! `max(last + 1, epoch, Unix time)`, so that not even a restored backup can reuse one. Being ahead of
//! the epoch, the number does not tell which withdrawals the list holds: that is remembered beside it,
//! and found out by making the list anew after a start.

mod carry;
mod delta;
mod filter;
mod lag;
mod lasting;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tenure_domain::issuer::{Issuer, IssuerKind};
use tenure_store::revocation::{self, RevokedEntry};
use tenure_store::{ReadTx, StoreError};
use tenure_x509::Time;
use tenure_x509::crl::{Crl, CrlSpec, CrlWriter, Entry, Holds, Scope, ToSign, WriteError};

pub use self::delta::delta_path;
pub use self::filter::{FULL_EVERY_S, FilterPart, PublishedFilter, filter_path};
pub(crate) use self::lag::Behind;
pub use self::lag::{LAG_MAX_S, Lag, Rendering};
use crate::fault::{FaultCause, Rejection};
use crate::signer::{Key, SignError};
use crate::{Engine, Step, file};

/// How long a list may be used, in seconds.
pub const CRL_LIFE_S: i64 = 24 * 3600;
/// After how long a list is made again though nothing changed, in seconds.
pub const CRL_RENEW_S: i64 = 6 * 3600;
/// How long the root's list may be used, in seconds: the root's key is not at hand to renew it.
pub const ROOT_CRL_LIFE_S: i64 = 365 * 86_400;

/// Which list of an issuer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum List {
    /// One shard.
    Shard(u16),
    /// Everything in one, without a distribution point.
    Full,
}

impl List {
    /// The file's name in URLs and in the directory.
    pub fn file(self) -> String {
        match self {
            List::Shard(shard) => format!("{shard}.crl"),
            List::Full => "full.crl".to_owned(),
        }
    }
}

/// Where an issuer's lists are kept.
pub fn crl_path(directory: &Path, issuer: &str, list: List) -> PathBuf {
    directory.join("crl").join(issuer).join(list.file())
}

/// What is published of a list, read from its file.
#[derive(Debug, Clone, Copy)]
pub struct Published {
    /// Its number.
    pub number: u64,
    /// When it was made.
    pub this_update: Time,
    /// Until when it may be used.
    pub next_update: Time,
    /// The epoch that it renders; unknown for a list that was made before this process.
    pub epoch: Option<i64>,
}

/// Reads what is published; `None` if nothing readable is.
pub fn published(directory: &Path, issuer: &str, list: List) -> Option<Published> {
    let der = fs::read(crl_path(directory, issuer, list)).ok()?;
    let crl = Crl::from_der(&der).ok()?;
    Some(Published {
        number: crl.number()?,
        this_update: crl.this_update(),
        next_update: crl.next_update()?,
        epoch: None,
    })
}

impl Engine {
    /// Makes every list and filter that is behind its epoch or getting old. Returns how many were
    /// made. What fails for one issuer does not keep the others'.
    pub async fn publish(&self) -> Result<usize, Rejection> {
        let since = self.unpublished().take();
        let (mut made, mut failed) = (0, None);
        self.feeds().pace.publishing();
        for issuer in self.snapshot().issuers.iter() {
            // The root's key is not here; its list was signed when the root was at hand.
            let Some(key) = self.key(&issuer.key) else {
                continue;
            };
            match self.publish_issuer(issuer, &key).await {
                Ok(more) => made += more,
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        if failed.is_none() {
            self.feeds().pace.published();
        }
        match (&failed, since) {
            (None, Some(since)) if made > 0 => self.counters().published.add(since.elapsed()),
            (Some(_), Some(since)) => {
                // It still waits, as long as it has so far.
                self.unpublished().get_or_insert(since);
            }
            _ => {}
        }
        failed.map_or(Ok(made), Err)
    }

    pub(crate) async fn publish_issuer(
        &self,
        issuer: &Arc<Issuer>,
        key: &Key,
    ) -> Result<usize, Rejection> {
        if self.lists().is_first(&issuer.name) {
            self.keep_withdrawn(issuer).await?;
            self.lists().compared(issuer.name.clone());
        }
        // While the clock is behind the record, what is published stays: a newer list is no good if it
        // ends earlier.
        let now = self.now_for_signing()?;
        let no = issuer.no;
        let epochs = self.store().glance(|tx| revocation::epochs(tx, no))?;
        let mut made = 0;
        for list in (0..issuer.shards).map(List::Shard).chain([List::Full]) {
            let epoch = epoch_of(&epochs, list);
            if self.is_behind(issuer, list, epoch, now) {
                self.publish_list(issuer, key, list, epoch, now, CRL_LIFE_S)
                    .await?;
                made += 1;
            }
        }
        if issuer.kind == IssuerKind::Issuing {
            let newest = epoch_of(&epochs, List::Full);
            let filters = self.publish_filter(issuer, key, newest, now).await?;
            self.signed().count(no, filters, now);
            made += filters;
        }
        Ok(made)
    }

    fn is_behind(&self, issuer: &Issuer, list: List, epoch: i64, now: Time) -> bool {
        match self.published_list(&issuer.name, list) {
            None => true,
            Some(published) => {
                published.epoch.is_none_or(|rendered| rendered < epoch)
                    || now >= published.this_update.plus(CRL_RENEW_S)
                    || now >= published.next_update
            }
        }
    }

    /// What is published of a list: remembered, or read from its file once.
    pub fn published_list(&self, issuer: &tenure_domain::Slug, list: List) -> Option<Published> {
        let key = format!("{issuer}/{}", list.file());
        if let Some(known) = self.lists().get(&key) {
            return Some(known);
        }
        let found = published(self.directory(), issuer.as_str(), list)?;
        self.lists().put(key, found);
        Some(found)
    }

    /// Makes one list: streamed from one snapshot of the store into a file, signed, and moved into
    /// place. A crash leaves the former list.
    pub(crate) async fn publish_list(
        &self,
        issuer: &Arc<Issuer>,
        key: &Key,
        list: List,
        epoch: i64,
        now: Time,
        life_s: i64,
    ) -> Result<(), Rejection> {
        let path = crl_path(self.directory(), issuer.name.as_str(), list);
        let last = self
            .published_list(&issuer.name, list)
            .map_or(0, |published| published.number);
        let floor = now.unix().max(epoch);
        let number = u64::try_from(floor).unwrap_or(0).max(last + 1);
        let spec = CrlSpec {
            issuer: issuer.subject().clone(),
            issuer_key_id: issuer
                .certificate
                .subject_key_id()
                .unwrap_or_default()
                .to_vec(),
            signature: issuer.algorithm,
            this_update: now,
            next_update: now.plus(life_s),
            number,
            scope: scope(issuer, list),
        };
        let (no, key, target) = (issuer.no, key.clone(), path.clone());
        let name = format!("{}/{}", issuer.name, list.file());
        let since = self.delta_since(&name, now);
        let of_list = spec.clone();
        let job = move |tx: &ReadTx<'_>| -> Result<_, Rejection> {
            let epoch = epoch_of(&revocation::epochs(tx, no)?, list);
            // In the same snapshot: a complete list and a delta of one number say the same.
            let changed = match (list, since) {
                (List::Shard(shard), Some(since)) => Some((since, since.read(tx, no, shard, now)?)),
                (List::Shard(_), None) | (List::Full, _) => None,
            };
            let writer = stream(tx, &of_list, no, list, now, &target)?;
            Ok((writer, epoch, changed))
        };
        let (writer, rendered, changed) = self.store().read_first(job).await?;
        self.step(Step::ListWritten);
        let (engine, of_delta) = (self.clone(), name.clone());
        let delta_target = match list {
            List::Shard(shard) => Some(delta_path(self.directory(), issuer.name.as_str(), shard)),
            List::Full => None,
        };
        let sign = move || -> Result<(), Rejection> {
            let file = writer
                .finish(|what| sign(&key, what))
                .map_err(write_error)?;
            engine.step(Step::ListSigned);
            file::put(&file, &path).map_err(|error| FaultCause::File {
                doing: "publishing a revocation list",
                error,
            })?;
            engine.step(Step::ListPublished);
            if let Some(target) = delta_target {
                engine.publish_delta_list(&spec, changed, &key, &target, &of_delta)?;
            }
            Ok(())
        };
        tokio::task::spawn_blocking(sign)
            .await
            .map_err(|_| FaultCause::Corrupt("revocation list: the signing thread died"))??;
        let published = Published {
            number,
            this_update: now,
            next_update: now.plus(life_s),
            epoch: Some(rendered),
        };
        self.lists().put(name, published);
        self.signed().count(issuer.no, 1, now);
        self.newsboard().list(&issuer.name, list, &published);
        Ok(())
    }
}

/// The epoch of what a list holds, of those of the issuer's shards.
fn epoch_of(epochs: &[(u16, i64)], list: List) -> i64 {
    let of_list = epochs.iter().filter(|(shard, _)| match list {
        List::Shard(only) => *shard == only,
        List::Full => true,
    });
    of_list.map(|(_, epoch)| *epoch).max().unwrap_or(0)
}

fn scope(issuer: &Issuer, list: List) -> Scope {
    match list {
        List::Full => Scope::everything(),
        List::Shard(shard) => Scope {
            urls: issuer
                .base_urls
                .iter()
                .map(|base| issuer.crl_url(base, shard))
                .collect(),
            holds: Holds::All,
        },
    }
}

fn sign(key: &Key, what: ToSign<'_>) -> Result<Vec<u8>, SignError> {
    match what {
        ToSign::Digest(digest) => key.sign_crl_digest(digest),
        ToSign::Message(message) => key.sign_crl(message),
    }
}

fn write_error(error: WriteError<SignError>) -> Rejection {
    match error {
        WriteError::Io(error) => FaultCause::File {
            doing: "writing a revocation list",
            error,
        }
        .into(),
        WriteError::Sign(error) => error.into(),
        WriteError::Crl(_) => FaultCause::Corrupt("revocation list").into(),
    }
}

/// Goes through the set twice in one snapshot: once for its length, once to write it.
fn stream(
    tx: &ReadTx<'_>,
    spec: &CrlSpec,
    issuer: tenure_domain::ids::IssuerNo,
    list: List,
    now: Time,
    target: &Path,
) -> Result<CrlWriter<File>, Rejection> {
    let shard = match list {
        List::Shard(shard) => Some(shard),
        List::Full => None,
    };
    let mut length = 0;
    revocation::for_each(tx, issuer, shard, now, |revoked: RevokedEntry<'_>| {
        length += entry(&revoked).encoded_len();
        Ok::<(), StoreError>(())
    })?;
    let doing = "writing a revocation list";
    let file = file::draft(target).map_err(|error| FaultCause::File { doing, error })?;
    let mut writer = CrlWriter::start::<SignError>(spec, length, file).map_err(write_error)?;
    revocation::for_each(tx, issuer, shard, now, |revoked: RevokedEntry<'_>| {
        writer
            .entry(&entry(&revoked))
            .map_err(|error| Rejection::from(FaultCause::File { doing, error }))
    })?;
    Ok(writer)
}

fn entry<'r>(revoked: &RevokedEntry<'r>) -> Entry<'r> {
    Entry {
        serial: revoked.serial,
        revoked_at: revoked.at,
        reason: revoked.reason,
        invalid_since: revoked.invalidity,
    }
}
