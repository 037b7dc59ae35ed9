//! The status of certificates as others ask for it: OCSP answers, signed on demand.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};
use tenure_domain::ids::IssuerNo;
use tenure_store::StoreError;
use tenure_store::revocation::{self, CertState};
use tenure_x509::ocsp::{Answer, CertStatus, Failure, OcspRequest, Responder};
use tenure_x509::{Reason, Time};

use crate::Engine;
use crate::signer::Key;

/// How long an answer says it may be used, in seconds.
pub const OCSP_LIFE_S: i64 = 3600;
/// How long caches in between may keep an answer, in seconds.
pub const OCSP_CACHE_S: i64 = 60;
/// How many signed answers are kept at hand.
const KEPT_ANSWERS: usize = 65_536;
/// At most so many certificates in one request.
const ASKED_MAX: usize = 16;

/// One issuer's responder and its key.
pub(crate) struct Desk {
    pub(crate) issuer: IssuerNo,
    pub(crate) responder: Responder,
    pub(crate) key: Key,
}

/// The responders, and the answers signed within the last minute. An answer is kept only as long as
/// no withdrawal was recorded since: OCSP never lags the record.
#[derive(Default)]
pub(crate) struct Responders {
    desks: RwLock<Arc<Vec<Desk>>>,
    generation: AtomicU64,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    generation: u64,
    answers: HashMap<Box<[u8]>, OcspAnswer>,
}

/// An answer and how long it may be kept.
#[derive(Debug, Clone)]
pub struct OcspAnswer {
    /// The OCSPResponse.
    pub der: Arc<[u8]>,
    /// When it was made and until when it may be used; `None` for an answer with a nonce or an
    /// error, which nobody may keep.
    pub keep: Option<(Time, Time)>,
}

impl Responders {
    pub(crate) fn replace(&self, desks: Vec<Desk>) {
        *self.desks.write() = Arc::new(desks);
        self.forget();
    }

    /// Whether there is a responder for this issuer.
    pub(crate) fn answers_for(&self, issuer: IssuerNo) -> bool {
        let desks = self.desks.read();
        desks.iter().any(|desk| desk.issuer == issuer)
    }

    /// Whether signing an answer may wait for a device, at one of them at least.
    fn blocks(&self) -> bool {
        let desks = self.desks.read();
        desks.iter().any(|desk| desk.key.blocks())
    }

    /// Drops every kept answer: something was withdrawn or given back.
    pub(crate) fn forget(&self) {
        self.generation.fetch_add(1, Ordering::SeqCst);
    }

    fn kept(&self, request: &[u8], now: Time) -> Option<OcspAnswer> {
        let generation = self.generation.load(Ordering::SeqCst);
        let kept = self.kept.lock();
        if kept.generation != generation {
            return None;
        }
        let answer = kept.answers.get(request)?;
        let (made, _) = answer.keep?;
        (now < made.plus(OCSP_CACHE_S) && made <= now).then(|| answer.clone())
    }

    fn keep(&self, request: &[u8], answer: &OcspAnswer, generation: u64) {
        let mut kept = self.kept.lock();
        if kept.generation > generation {
            return;
        }
        if kept.generation < generation || kept.answers.len() >= KEPT_ANSWERS {
            kept.answers.clear();
            kept.generation = generation;
        }
        kept.answers.insert(request.into(), answer.clone());
    }
}

fn failure(failure: Failure) -> OcspAnswer {
    OcspAnswer {
        der: Arc::from(failure.to_der().as_slice()),
        keep: None,
    }
}

impl Engine {
    /// Answers an OCSP request (RFC 6960, RFC 9654, RFC 9919): never `good` for a serial that we
    /// did not issue, `unauthorized` for another's issuer, and `tryLater` while the clock is behind the
    /// record.
    pub async fn ocsp(&self, request: &[u8]) -> OcspAnswer {
        let Ok(now) = self.now_for_signing() else {
            return failure(Failure::TryLater);
        };
        if let Some(answer) = self.responders().kept(request, now) {
            return answer;
        }
        if !self.responders().blocks() {
            return self.ocsp_anew(request, now);
        }
        // A device behind the key may take its time; it must not hold up a thread of ours.
        let (engine, request) = (self.clone(), request.to_vec());
        tokio::task::spawn_blocking(move || engine.ocsp_anew(&request, now))
            .await
            .unwrap_or_else(|_| failure(Failure::InternalError))
    }

    /// Blocks for one signature at most.
    fn ocsp_anew(&self, request: &[u8], now: Time) -> OcspAnswer {
        // Read before the store is: a withdrawal recorded in between makes the answer unkept.
        let generation = self.responders().generation.load(Ordering::SeqCst);
        let asked = match OcspRequest::from_der(request) {
            Ok(asked) if (1..=ASKED_MAX).contains(&asked.asked().len()) => asked,
            Ok(_) | Err(_) => return failure(Failure::MalformedRequest),
        };
        let desks = Arc::clone(&self.responders().desks.read());
        let Some(desk) = desks.iter().find(|desk| desk.responder.knows_all(&asked)) else {
            return failure(Failure::Unauthorized);
        };
        match self.ocsp_at(desk, &asked, now) {
            Ok(answer) => {
                if answer.keep.is_some() {
                    self.responders().keep(request, &answer, generation);
                }
                answer
            }
            Err(_) => failure(Failure::InternalError),
        }
    }

    fn ocsp_at(
        &self,
        desk: &Desk,
        asked: &OcspRequest<'_>,
        now: Time,
    ) -> Result<OcspAnswer, crate::Rejection> {
        let states = self.store().glimpse(|tx| {
            asked
                .asked()
                .iter()
                .map(|id| revocation::state(tx, desk.issuer, &id.serial()))
                .collect::<Result<Vec<_>, StoreError>>()
        })?;
        let next_update = now.plus(OCSP_LIFE_S);
        let answers: Vec<_> = asked
            .asked()
            .iter()
            .zip(states)
            .map(|(id, state)| Answer {
                id,
                status: say(state),
                this_update: now,
                next_update,
            })
            .collect();
        let der = desk
            .responder
            .respond(&answers, asked.nonce(), now, |data| {
                desk.key.sign_ocsp(data)
            })?;
        self.counters().ocsp.inc();
        self.signed().count(desk.issuer, 1, now);
        let keep = asked.nonce().is_none().then_some((now, next_update));
        Ok(OcspAnswer {
            der: der.into(),
            keep,
        })
    }
}

fn say(state: CertState) -> CertStatus {
    match state {
        CertState::NeverIssued => CertStatus::NeverIssued,
        CertState::Good => CertStatus::Good,
        CertState::Revoked { at, reason, .. } => CertStatus::Revoked { at, reason },
        CertState::Held { at } => CertStatus::Revoked {
            at,
            reason: Reason::CertificateHold,
        },
    }
}
