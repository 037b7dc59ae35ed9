//! The standing check that no rendering lags: lists, filter and OCSP speak of one set, and whoever
//! asks one of them must not be told less than whoever asks another.

use std::collections::HashMap;
use std::fmt;

use parking_lot::Mutex;
use tenure_domain::device::Criticality;
use tenure_domain::finding::{FindingKind, Matter, NewFinding, Subject};
use tenure_domain::issuer::{Issuer, IssuerKind};
use tenure_domain::{IssuerNo, Slug};
use tenure_store::revocation;
use tenure_x509::Time;

use super::{List, epoch_of};
use crate::Engine;
use crate::fault::Rejection;

/// How long a rendering may be behind before it is a finding, in seconds.
pub const LAG_MAX_S: i64 = 60;

/// A form in which a revocation set is published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rendering {
    /// The lists of all shards and the list over them.
    Crl,
    /// The compact filter.
    Filter,
    /// OCSP answers.
    Ocsp,
}

impl Rendering {
    /// The word in figures and findings.
    pub fn word(self) -> &'static str {
        match self {
            Rendering::Crl => "crl",
            Rendering::Filter => "filter",
            Rendering::Ocsp => "ocsp",
        }
    }
}

impl fmt::Display for Rendering {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// How far one rendering of an issuer's sets is behind the record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lag {
    /// The issuer.
    pub issuer: Slug,
    /// Which rendering.
    pub rendering: Rendering,
    /// For how long it has lacked something that was recorded, in seconds; 0 if it is not behind.
    pub seconds: i64,
}

/// The epoch of each shard.
type Epochs = [(u16, i64)];

/// Since when each rendering has been behind, and behind what.
#[derive(Default)]
pub(crate) struct Behind {
    since: Mutex<HashMap<(Slug, Rendering), Lacking>>,
}

/// What a rendering lacked, and since when.
struct Lacking {
    since: Time,
    epochs: Vec<(u16, i64)>,
}

/// Whether a rendering is as new as the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Current,
    Behind,
}

impl Behind {
    /// `state` tells how the rendering stands to some epochs. While revocations go on it is never as new
    /// as the record; what counts is whether it has got what it lacked when it was first seen behind.
    fn seconds(
        &self,
        key: (Slug, Rendering),
        state: impl Fn(&Epochs) -> State,
        epochs: &Epochs,
        now: Time,
    ) -> i64 {
        let mut since = self.since.lock();
        if state(epochs) == State::Current {
            since.remove(&key);
            return 0;
        }
        let lacks_now = || Lacking {
            since: now,
            epochs: epochs.to_vec(),
        };
        let lacking = since.entry(key).or_insert_with(lacks_now);
        if state(&lacking.epochs) == State::Current {
            *lacking = lacks_now();
        }
        now.unix().saturating_sub(lacking.since.unix()).max(0)
    }
}

impl Engine {
    /// How far each rendering of each issuer is behind the record now. What a rendering holds is
    /// compared with the record's epochs, which change with every withdrawal; one that has run out
    /// is behind too.
    pub fn publication_lag(&self) -> Result<Vec<Lag>, Rejection> {
        let now = self.clock().now();
        let mut lags = Vec::new();
        for issuer in self.snapshot().issuers.iter() {
            let no = issuer.no;
            let epochs = self.store().glance(|tx| revocation::epochs(tx, no))?;
            let mut add = |rendering, state: &dyn Fn(&Epochs) -> State| {
                let key = (issuer.name.clone(), rendering);
                lags.push(Lag {
                    issuer: issuer.name.clone(),
                    rendering,
                    seconds: self.behind().seconds(key, state, &epochs, now),
                });
            };
            add(Rendering::Crl, &|epochs| {
                self.lists_state(issuer, epochs, now)
            });
            // Whoever lacks the key makes neither: a root offline, an issuer of another process.
            if issuer.kind == IssuerKind::Issuing && self.key(&issuer.key).is_some() {
                add(Rendering::Filter, &|epochs| {
                    self.filter_state(issuer, epoch_of(epochs, List::Full), now)
                });
                add(Rendering::Ocsp, &|_| self.ocsp_state(no));
            }
        }
        Ok(lags)
    }

    fn lists_state(&self, issuer: &Issuer, epochs: &Epochs, now: Time) -> State {
        let is_ours = self.key(&issuer.key).is_some();
        let is_current = |list| {
            let published = self.published_list(&issuer.name, list);
            published.is_some_and(|published| {
                // Without the key nothing can be made anew, and what was made before this process
                // started does not say which epoch it renders.
                let is_whole = !is_ours
                    || published
                        .epoch
                        .is_some_and(|rendered| rendered >= epoch_of(epochs, list));
                is_whole && now <= published.next_update
            })
        };
        let shards = if is_ours { issuer.shards } else { 0 };
        let mut lists = (0..shards).map(List::Shard).chain([List::Full]);
        match lists.all(is_current) {
            true => State::Current,
            false => State::Behind,
        }
    }

    fn filter_state(&self, issuer: &Issuer, epoch: i64, now: Time) -> State {
        let published = self.published_filter(issuer);
        let is_current = published.is_some_and(|published| {
            u64::try_from(epoch).unwrap_or(0) <= published.epoch() && now <= published.next_update()
        });
        match is_current {
            true => State::Current,
            false => State::Behind,
        }
    }

    /// Answers are made from the record itself; they lag only if nobody can make them.
    fn ocsp_state(&self, issuer: IssuerNo) -> State {
        match self.responders().answers_for(issuer) {
            true => State::Current,
            false => State::Behind,
        }
    }

    /// Opens a finding for each rendering that has been behind for longer than [`LAG_MAX_S`], and
    /// clears it when it is not any more.
    pub async fn watch_publication(&self) -> Result<(), Rejection> {
        for lag in self.publication_lag()? {
            let matter = Matter {
                kind: FindingKind::PublicationLag,
                subject: Subject::issuer(&lag.issuer),
                cause: lag.rendering.to_string(),
            };
            if lag.seconds > LAG_MAX_S {
                self.raise_finding("publish", finding(matter, &lag)).await?;
            } else if lag.seconds == 0 {
                let why = "it is as new as the record again";
                self.clear_finding("publish", matter, why).await?;
            }
        }
        Ok(())
    }
}

fn finding(matter: Matter, lag: &Lag) -> NewFinding {
    NewFinding {
        matter,
        summary: format!(
            "The {} of {} does not hold what is revoked: it has been behind the record for {} s. \
             Whoever relies on it may accept a revoked certificate. Look in the log for `publish`.",
            lag.rendering, lag.issuer, lag.seconds
        ),
        evidence: Vec::new(),
        owner: None,
        criticality: Criticality::High,
    }
}
