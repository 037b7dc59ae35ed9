//! The compact filter of an issuer: the third rendering of its revocation sets.
//!
//! A full filter is made every [`FULL_EVERY_S`], and sooner if what has changed since is no longer
//! small; between them a delta to it is made for every epoch, which replaces the one before. Both
//! take their numbers from one sequence, `max(last + 1, Unix time)`, as the lists do.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tenure_domain::issuer::Issuer;
use tenure_store::covered::{self, Covered, Withdrawal};
use tenure_store::{ReadTx, StoreError, revocation};
use tenure_x509::Time;
use tenure_x509::filter::{
    Answer, Body, Coverage, Delta, DeltaSpec, Fewer, Full, FullSpec, Listing, ToSeal, delta_key,
};

use super::{CRL_LIFE_S, CRL_RENEW_S};
use crate::fault::{FaultCause, Rejection};
use crate::signer::Key;
use crate::{Engine, file};

/// How long a filter or delta may be used, in seconds: as long as a list.
const LIFE_S: i64 = CRL_LIFE_S;
/// After how long a delta is made again though nothing changed, in seconds.
const RENEW_S: i64 = CRL_RENEW_S;
/// After how long a full filter is made again, in seconds. What is issued meanwhile is not covered.
pub const FULL_EVERY_S: i64 = 12 * 3600;
/// A delta this small never calls for a full filter, in octets.
const SMALL_DELTA_OCTETS: usize = 4096;
/// More changes than this are not put into a delta.
const CHANGES_MAX: usize = 100_000;

/// Which file of an issuer's filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FilterPart {
    /// The full one.
    Full,
    /// The newest delta to the full one of this sequence number.
    Delta(u64),
}

impl FilterPart {
    /// The file's name in URLs and in the directory.
    pub fn file(self) -> String {
        match self {
            FilterPart::Full => "full.filter".to_owned(),
            FilterPart::Delta(full) => format!("{full}.delta"),
        }
    }
}

/// Where an issuer's filter is kept.
pub fn filter_path(directory: &Path, issuer: &str, part: FilterPart) -> PathBuf {
    directory.join("filter").join(issuer).join(part.file())
}

/// What is published of an issuer's filter.
#[derive(Debug, Clone)]
pub struct PublishedFilter {
    full: Arc<Full>,
    /// The delta's number, epoch, beginning and end, if there is one.
    delta: Option<(u64, u64, Time, Time)>,
}

impl PublishedFilter {
    /// The full filter.
    pub fn full(&self) -> &Full {
        &self.full
    }

    /// The newest number in use.
    pub fn sequence(&self) -> u64 {
        self.delta.map_or(self.full.sequence(), |delta| delta.0)
    }

    /// The epoch that full filter and delta render together.
    pub fn epoch(&self) -> u64 {
        self.delta.map_or(self.full.epoch(), |delta| delta.1)
    }

    /// For when they speak.
    pub fn created(&self) -> Time {
        self.delta.map_or(self.full.created(), |delta| delta.2)
    }

    /// Until when they may be used.
    pub fn next_update(&self) -> Time {
        self.delta.map_or(self.full.next_update(), |delta| delta.3)
    }

    fn with_delta(&self, delta: &Delta) -> PublishedFilter {
        let about = (
            delta.sequence(),
            delta.epoch(),
            delta.created(),
            delta.next_update(),
        );
        PublishedFilter {
            full: Arc::clone(&self.full),
            delta: Some(about),
        }
    }
}

/// What is published, read from its files; `None` if nothing is that the issuer has signed. A file
/// that somebody changed is as good as none.
fn read_published(directory: &Path, issuer: &Issuer) -> Option<PublishedFilter> {
    let read = |part| fs::read(filter_path(directory, issuer.name.as_str(), part)).ok();
    let full = Full::from_der(&read(FilterPart::Full)?).ok()?;
    let held = full.clone().verify(issuer.public_key()).ok()?;
    let published = PublishedFilter {
        full: Arc::new(full),
        delta: None,
    };
    let delta = read(FilterPart::Delta(published.full.sequence()))
        .and_then(|der| Delta::from_der(&der).ok())
        .filter(|delta| held.with_delta(delta.clone()).is_ok());
    Some(match delta {
        Some(delta) => published.with_delta(&delta),
        None => published,
    })
}

/// What one snapshot of the store says that the published filter does not.
enum Change {
    /// These answers, told apart by so many bits.
    Delta {
        epoch: u64,
        changed: Vec<u64>,
        width: u32,
    },
    /// Too much: a full one is due.
    TooMuch,
}

impl Engine {
    /// What is published of an issuer's filter: remembered, or read from its files once.
    pub fn published_filter(&self, issuer: &Issuer) -> Option<PublishedFilter> {
        if let Some(known) = self.lists().filter(&issuer.name) {
            return Some(known);
        }
        let found = read_published(self.directory(), issuer)?;
        self.lists().put_filter(issuer.name.clone(), found.clone());
        Some(found)
    }

    /// Makes the issuer's filter, full or as a delta, if it is behind `epoch` or getting old; how
    /// many files were made.
    pub(super) async fn publish_filter(
        &self,
        issuer: &Arc<Issuer>,
        key: &Key,
        epoch: i64,
        now: Time,
    ) -> Result<usize, Rejection> {
        let Some(published) = self.published_filter(issuer) else {
            return self.publish_full(issuer, key, None, now).await;
        };
        let full = published.full();
        if now >= full.created().plus(FULL_EVERY_S) || now < full.created() {
            return self.publish_full(issuer, key, Some(&published), now).await;
        }
        let is_current = u64::try_from(epoch).unwrap_or(0) <= published.epoch()
            && now < published.created().plus(RENEW_S);
        if is_current {
            return Ok(0);
        }
        let (no, base) = (issuer.no, Arc::clone(&published.full));
        let change = self
            .store()
            .read_first(move |tx| change_since(tx, no, &base))
            .await?;
        match change {
            Change::TooMuch => self.publish_full(issuer, key, Some(&published), now).await,
            Change::Delta {
                epoch,
                changed,
                width,
            } => {
                let spec = DeltaSpec {
                    issuer: issuer.public_key().hash(),
                    signature: issuer.algorithm,
                    sequence: next_sequence(Some(&published), now),
                    epoch,
                    created: now,
                    next_update: now.plus(LIFE_S),
                    base: full.id(),
                    changed,
                    width,
                };
                self.publish_delta(issuer, key, &published, &spec).await
            }
        }
    }

    async fn publish_delta(
        &self,
        issuer: &Arc<Issuer>,
        key: &Key,
        published: &PublishedFilter,
        spec: &DeltaSpec,
    ) -> Result<usize, Rejection> {
        let parts = spec.to_seal().map_err(corrupt)?;
        let path = self.part_path(issuer, FilterPart::Delta(published.full.sequence()));
        let der = Engine::sealed(key, parts, Some(path)).await?;
        let delta = Delta::from_der(&der).map_err(corrupt)?;
        let known = published.with_delta(&delta);
        self.newsboard().filter(&issuer.name, &known);
        self.lists().put_filter(issuer.name.clone(), known);
        Ok(1)
    }

    async fn publish_full(
        &self,
        issuer: &Arc<Issuer>,
        key: &Key,
        last: Option<&PublishedFilter>,
        now: Time,
    ) -> Result<usize, Rejection> {
        let (epoch, body) = self.full_body(issuer, now).await?;
        let spec = FullSpec {
            issuer: issuer.public_key().hash(),
            signature: issuer.algorithm,
            sequence: next_sequence(last, now),
            epoch,
            next_update: now.plus(LIFE_S),
            body: &body,
        };
        let path = self.part_path(issuer, FilterPart::Full);
        let der = Engine::sealed(key, spec.to_seal(), Some(path)).await?;
        let full = Full::from_der(&der).map_err(corrupt)?;
        let known = PublishedFilter {
            full: Arc::new(full),
            delta: None,
        };
        self.newsboard().filter(&issuer.name, &known);
        self.lists().put_filter(issuer.name.clone(), known);
        if let Some(last) = last {
            // Whoever still asks for it is told that there is none, and fetches the full one.
            let old = self.part_path(issuer, FilterPart::Delta(last.full.sequence()));
            let _ = fs::remove_file(old);
        }
        Ok(1)
    }

    fn part_path(&self, issuer: &Issuer, part: FilterPart) -> PathBuf {
        filter_path(self.directory(), issuer.name.as_str(), part)
    }

    /// A full filter that may be used until `until`, and the epoch that it renders; for packs alone. It
    /// has a number of the same sequence as the published ones.
    pub(crate) async fn sign_lasting_filter(
        &self,
        issuer: &Issuer,
        key: &Key,
        now: Time,
        until: Time,
    ) -> Result<(Vec<u8>, i64), Rejection> {
        let (epoch, body) = self.full_body(issuer, now).await?;
        let spec = FullSpec {
            issuer: issuer.public_key().hash(),
            signature: issuer.algorithm,
            sequence: next_sequence(self.published_filter(issuer).as_ref(), now),
            epoch,
            next_update: until,
            body: &body,
        };
        let der = Engine::sealed(key, spec.to_seal(), None).await?;
        Ok((der, i64::try_from(epoch).unwrap_or(0)))
    }

    /// What a full filter says now, and of which epoch.
    async fn full_body(&self, issuer: &Issuer, now: Time) -> Result<(u64, Body), Rejection> {
        let (no, from) = (issuer.no, issuer.certificate.validity().not_before);
        self.store()
            .read_first(move |tx| -> Result<_, Rejection> {
                let to = covered::closed_to(tx, no)?;
                let coverage = Coverage { from, to, at: now };
                Ok((newest_epoch(tx, no)?, build(tx, no, coverage)?))
            })
            .await
    }

    /// Signs, and puts into place where there is one; a crash leaves the former file.
    async fn sealed(key: &Key, parts: ToSeal, path: Option<PathBuf>) -> Result<Vec<u8>, Rejection> {
        let key = key.clone();
        let sign = move || -> Result<Vec<u8>, Rejection> {
            let signature = key.sign_filter(&parts)?;
            let der = parts.with_signature(&signature).map_err(corrupt)?;
            if let Some(path) = path {
                file::replace(&path, &der).map_err(|error| FaultCause::File {
                    doing: "publishing a revocation filter",
                    error,
                })?;
            }
            Ok(der)
        };
        tokio::task::spawn_blocking(sign)
            .await
            .map_err(|_| FaultCause::Corrupt("revocation filter: the signing thread died"))?
    }
}

fn corrupt(_why: tenure_x509::Error) -> FaultCause {
    FaultCause::Corrupt("revocation filter")
}

/// Above every number in use, and not before the clock: a restored backup can reuse none.
fn next_sequence(last: Option<&PublishedFilter>, now: Time) -> u64 {
    let after_last = last.map_or(0, |last| last.sequence() + 1);
    u64::try_from(now.unix()).unwrap_or(0).max(after_last)
}

fn newest_epoch(tx: &ReadTx<'_>, issuer: tenure_domain::IssuerNo) -> Result<u64, StoreError> {
    let epochs = revocation::epochs(tx, issuer)?;
    let newest = epochs.iter().map(|(_, epoch)| *epoch).max().unwrap_or(0);
    Ok(u64::try_from(newest).unwrap_or(0))
}

/// Builds the filter in three passes over one snapshot: one counts, one lists the fewer, one sifts
/// the rest. Memory is 16 octets for each listed certificate and each that passes the sieve.
fn build(
    tx: &ReadTx<'_>,
    issuer: tenure_domain::IssuerNo,
    coverage: Coverage,
) -> Result<Body, Rejection> {
    let (mut all, mut withdrawn) = (0_u64, 0_u64);
    covered::for_each(tx, issuer, coverage, |one| {
        all += 1;
        withdrawn += u64::from(one.standing == Withdrawal::Withdrawn);
        Ok::<_, StoreError>(())
    })?;
    let listing = Listing::of(withdrawn, all);
    let listed = match listing {
        Listing::Revoked => Withdrawal::Withdrawn,
        Listing::Good => Withdrawal::InForce,
    };
    let mut fewer = Fewer::new(coverage, listing);
    covered::for_each(tx, issuer, coverage, |one| {
        if one.standing == listed {
            fewer.push(&one.serial, one.validity);
        }
        Ok::<_, StoreError>(())
    })?;
    let mut sieve = fewer.sieve(all);
    covered::for_each(tx, issuer, coverage, |one| {
        sieve.push(&one.serial, one.validity);
        Ok::<_, StoreError>(())
    })?;
    Ok(sieve.finish().map_err(corrupt)?)
}

/// Which answers of the full filter are no longer right, in one snapshot.
fn change_since(
    tx: &ReadTx<'_>,
    issuer: tenure_domain::IssuerNo,
    full: &Full,
) -> Result<Change, StoreError> {
    let body = full.body();
    let mut changed = BTreeSet::new();
    covered::for_each_suspect(tx, issuer, body.coverage(), |one: Covered| {
        let is_changed = match body.answer(&one.serial, one.validity) {
            Answer::NotCovered => false,
            Answer::Revoked => one.standing == Withdrawal::InForce,
            Answer::Good => one.standing == Withdrawal::Withdrawn,
        };
        if is_changed {
            changed.insert(delta_key(&one.serial));
        }
        Ok::<_, StoreError>(())
    })?;
    if changed.len() > CHANGES_MAX {
        return Ok(Change::TooMuch);
    }
    let width = covered::width(tx, &changed)?;
    // About what it takes: what a key has beyond the even spread of them, and two bits.
    let spread = (changed.len() as u64).max(1).ilog2();
    let octets = changed.len() * (width.saturating_sub(spread) + 2) as usize / 8;
    if octets > SMALL_DELTA_OCTETS.max(body.octets() / 2) {
        return Ok(Change::TooMuch);
    }
    Ok(Change::Delta {
        epoch: newest_epoch(tx, issuer)?,
        changed: changed.into_iter().collect(),
        width,
    })
}
