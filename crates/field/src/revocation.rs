//! Has this certificate been revoked? Asked as any relying party asks: at the addresses in the
//! certificate, by OCSP (RFC 6960, RFC 9919) or from its CRL (RFC 5280 section 6.3); or, where the
//! service was told of it, in the issuer's compact filter.
//!
//! Nothing is taken for "good" that is not signed by the issuer (or for it), current, and about
//! this certificate. Not getting an answer is an error and never "good": what to do then is the
//! service's decision.

mod filter;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use http::StatusCode;
use tenure_domain::profile::SHORT_LIFE_S_MAX;
use tenure_x509::crl::{Crl, Holds};
use tenure_x509::filter::Answer;
use tenure_x509::ocsp::{CertStatus, HashKind, OcspRequest, OcspResponse};
use tenure_x509::path::VerifiedChain;
use tenure_x509::{Cert, KeyHash, KeyUsage, Reason, Time, Validity, oid};
use tokio::sync::Mutex;

pub use self::filter::FilterSource;
use crate::est::now;
use crate::http::{Client, Error as HttpError, Settings, Url};
use crate::limits::{CRL_BYTES_MAX, CRLS_KEPT_MAX, OCSP_BYTES_MAX};

/// How far another clock may be ahead of ours, in seconds.
const CLOCK_SKEW_S: i64 = 300;
/// Octets of an OCSP nonce (RFC 9654).
const NONCE_BYTES: usize = 32;

/// What is known about a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Not revoked.
    Good,
    /// Revoked, or on hold.
    Revoked {
        /// Since when.
        at: Time,
        /// Why.
        reason: Reason,
    },
    /// The issuer does not know it: it never issued this serial, or cannot say.
    Unknown,
}

/// Where a verdict comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// An OCSP response.
    Ocsp,
    /// A revocation list.
    Crl,
    /// A compact filter, which knows neither dates nor reasons: a revoked certificate is said to be
    /// so since the filter was made, for a reason unspecified.
    Filter,
    /// The certificate itself: it says that nobody can be asked about it (RFC 9608), and lives for a
    /// week at most.
    ShortLife,
}

/// A verdict that was checked: signed, current, and about the certificate asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checked {
    verdict: Verdict,
    source: Source,
    known_at: Time,
}

impl Checked {
    /// What is known.
    pub fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// From where.
    pub fn source(&self) -> Source {
        self.source
    }

    /// When the issuer knew it.
    pub fn known_at(&self) -> Time {
        self.known_at
    }
}

/// Why nothing is known.
#[derive(Debug)]
pub enum Error {
    /// The certificate names no address we can ask.
    NoAddress,
    /// It could not be asked.
    Http(HttpError),
    /// It answered with another status than 200.
    Refused {
        /// The status.
        status: StatusCode,
    },
    /// The answer is malformed, forged, or about something else; or an OCSP answer has run out.
    Answer(tenure_x509::Error),
    /// The list has run out, or is older than one seen before.
    Outdated,
    /// The list does not speak for this certificate.
    NotCovered {
        /// In what way.
        what: &'static str,
    },
    /// This machine has no randomness to give.
    NoRandomness,
    /// The file that remembers how new the filter was cannot be read or written.
    Memory,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::NoAddress => write!(f, "the certificate does not say where its status is"),
            Error::Http(_) => write!(f, "its status could not be fetched"),
            Error::Refused { status } => write!(f, "its status could not be fetched: {status}"),
            Error::Answer(_) => write!(f, "what was fetched as its status cannot be believed"),
            Error::Outdated => write!(f, "its CRL has run out"),
            Error::NotCovered { what } => write!(f, "its CRL does not speak for it: {what}"),
            Error::NoRandomness => write!(f, "this machine has no randomness to give"),
            Error::Memory => write!(
                f,
                "the file that remembers the newest filter cannot be read or written"
            ),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Http(source) => Some(source),
            Error::Answer(source) => Some(source),
            Error::NoAddress
            | Error::Outdated
            | Error::Refused { .. }
            | Error::NotCovered { .. }
            | Error::Memory
            | Error::NoRandomness => None,
        }
    }
}

/// Which OCSP answers will do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// One made for this very question: a nonce is sent. A responder that makes its answers in
    /// advance may leave the nonce out; then one that has not run out will do.
    Made,
    /// Any that has not run out.
    Current,
}

/// Asks for the status of certificates, and keeps the lists it has fetched.
pub struct Checker {
    ocsp: Client,
    crl: Client,
    freshness: Freshness,
    refresh: Duration,
    deltas: Deltas,
    lists: std::sync::Mutex<HashMap<ListKey, Arc<Mutex<Option<Kept>>>>>,
    filter: Client,
    filters: HashMap<KeyHash, Mutex<filter::Kept>>,
}

/// A list's address, and whose key signs it.
type ListKey = (String, KeyHash);

struct Kept {
    lists: Lists,
    fetched: Instant,
}

/// A complete list, and perhaps a delta that brings it up to date; both verified.
#[derive(Clone)]
struct Lists {
    complete: Crl,
    delta: Option<Crl>,
}

impl Lists {
    fn newest(&self) -> &Crl {
        self.delta.as_ref().unwrap_or(&self.complete)
    }
}

/// Whether delta lists are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deltas {
    Never,
    Beside,
}

impl Checker {
    /// A checker that accepts such OCSP answers, and fetches a list again after `refresh` even if
    /// the one it has would still do.
    pub fn new(freshness: Freshness, refresh: Duration) -> Result<Checker, HttpError> {
        let client = |bytes| {
            Client::new(Settings {
                answer_bytes_max: bytes,
                ..Settings::new(None)
            })
        };
        let (ocsp, crl) = (client(OCSP_BYTES_MAX)?, client(CRL_BYTES_MAX)?);
        Ok(Checker {
            ocsp,
            crl,
            freshness,
            refresh,
            deltas: Deltas::Never,
            lists: Default::default(),
            filter: filter::client()?,
            filters: HashMap::new(),
        })
    }

    /// The same, with an issuer's compact filter: it is asked first, and OCSP and CRL only where it
    /// does not cover a certificate or cannot be had.
    ///
    /// # Errors
    /// `NoAddress` if the address is not plain HTTP with a slash at its end, `Memory` if what was
    /// accepted before cannot be read.
    pub fn with_filter(mut self, source: FilterSource) -> Result<Checker, Error> {
        let kept = filter::Kept::open(source)?;
        self.filters.insert(kept.issuer(), Mutex::new(kept));
        Ok(self)
    }

    /// The same, bringing lists up to date by deltas where a Tenure server publishes them: beside
    /// `…/7.crl` at `…/7/delta.crl`. For gateways whose link is thin.
    #[must_use]
    pub fn with_delta_lists(mut self) -> Checker {
        self.deltas = Deltas::Beside;
        self
    }

    /// The status of a chain: of the leaf by its issuer's filter, by its own word that it is too
    /// short-lived to be withdrawn where that says nothing of it, by OCSP, or by CRL where OCSP gives no answer; and of
    /// each CA below the anchor that names a CRL. A CA that is not good decides for all below it.
    pub async fn check(&self, chain: &VerifiedChain) -> Result<Checked, Error> {
        for pair in chain.chain().windows(2).skip(1) {
            let [ca, issuer] = pair else { continue };
            if ca.crl_urls().is_empty() {
                continue;
            }
            let checked = self.crl(ca, issuer).await?;
            if checked.verdict != Verdict::Good {
                return Ok(checked);
            }
        }
        let (leaf, issuer) = (chain.leaf(), chain.issuer());
        if let Some(checked) = self.filter(leaf, issuer).await {
            return Ok(checked);
        }
        if let Some(checked) = short_lived(leaf) {
            return Ok(checked);
        }
        match self.ocsp(leaf, issuer).await {
            Ok(checked) => Ok(checked),
            Err(unanswered) => match self.crl(leaf, issuer).await {
                Err(Error::NoAddress) => Err(unanswered),
                other => other,
            },
        }
    }

    /// The status of one certificate by its issuer's filter: no answer if there is none, it does not
    /// cover the certificate, or cannot be believed. `issuer` has been found by path validation.
    pub async fn filter(&self, cert: &Cert, issuer: &Cert) -> Option<Checked> {
        let kept = self.filters.get(&issuer.public_key().hash())?;
        let mut kept = kept.lock().await;
        let (answer, known_at) = kept.ask(&self.filter, cert, self.refresh).await.ok()?;
        let verdict = match answer {
            Answer::NotCovered => return None,
            Answer::Good => Verdict::Good,
            Answer::Revoked => Verdict::Revoked {
                at: known_at,
                reason: Reason::Unspecified,
            },
        };
        Some(Checked {
            verdict,
            source: Source::Filter,
            known_at,
        })
    }

    /// The status of one certificate by OCSP. `issuer` has been found by path validation.
    pub async fn ocsp(&self, cert: &Cert, issuer: &Cert) -> Result<Checked, Error> {
        let mut octets = [0; NONCE_BYTES];
        let nonce = match self.freshness {
            Freshness::Current => None,
            Freshness::Made => {
                aws_lc_rs::rand::fill(&mut octets).map_err(|_| Error::NoRandomness)?;
                Some(octets.as_slice())
            }
        };
        let request = OcspRequest::build(
            cert.issuer(),
            issuer.public_key(),
            cert.serial(),
            HashKind::Sha256,
            nonce,
        )
        .map_err(Error::Answer)?;
        let mut failed = Error::NoAddress;
        for url in plain_urls(cert.ocsp_urls()) {
            match self
                .ask_responder(&url, &request, cert, issuer, nonce)
                .await
            {
                Ok(checked) => return Ok(checked),
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }

    async fn ask_responder(
        &self,
        url: &Url,
        request: &[u8],
        cert: &Cert,
        issuer: &Cert,
        nonce: Option<&[u8]>,
    ) -> Result<Checked, Error> {
        let media = "application/ocsp-request";
        let answer = self
            .ocsp
            .post(url, media, request.to_vec())
            .await
            .map_err(Error::Http)?;
        if answer.status != StatusCode::OK {
            return Err(Error::Refused {
                status: answer.status,
            });
        }
        let response = OcspResponse::from_der(&answer.body).map_err(Error::Answer)?;
        let status = response
            .verify(issuer, cert.serial(), nonce, now())
            .map_err(Error::Answer)?;
        let verdict = match status.status() {
            CertStatus::Good => Verdict::Good,
            CertStatus::Revoked { at, reason } => Verdict::Revoked { at, reason },
            CertStatus::NeverIssued | CertStatus::Unknown => Verdict::Unknown,
        };
        Ok(Checked {
            verdict,
            source: Source::Ocsp,
            known_at: status.this_update(),
        })
    }

    /// The status of one certificate by its CRL. `issuer` has been found by path validation.
    pub async fn crl(&self, cert: &Cert, issuer: &Cert) -> Result<Checked, Error> {
        let mut failed = Error::NoAddress;
        for url in plain_urls(cert.crl_urls()) {
            match self
                .list(&url, issuer)
                .await
                .and_then(|list| look_up(&list, cert))
            {
                Ok(checked) => return Ok(checked),
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }

    /// The list at this address: the one we have while it is fresh, or a newer one. Callers that
    /// want the same list wait for one fetch.
    async fn list(&self, url: &Url, issuer: &Cert) -> Result<Lists, Error> {
        let place = self.place((url.to_string(), issuer.public_key().hash()));
        let mut kept = place.lock().await;
        if let Some(fresh) = kept
            .as_ref()
            .filter(|kept| kept.fetched.elapsed() < self.refresh)
            && is_current(fresh.lists.newest(), now())
        {
            return Ok(fresh.lists.clone());
        }
        let fetched = self.fetch_newer(url, issuer, kept.as_ref()).await;
        match (fetched, kept.as_ref()) {
            // An older list than ours proves nothing newer: someone replays it, or a cache is late.
            (Ok(lists), Some(ours))
                if lists.newest().this_update() < ours.lists.newest().this_update() =>
            {
                still_current(&ours.lists).ok_or(Error::Outdated)
            }
            (Ok(lists), _) => {
                *kept = Some(Kept {
                    lists: lists.clone(),
                    fetched: Instant::now(),
                });
                Ok(lists)
            }
            (Err(error), Some(ours)) => still_current(&ours.lists).ok_or(error),
            (Err(error), None) => Err(error),
        }
    }

    /// A delta to the complete list that we have, or a complete list.
    async fn fetch_newer(
        &self,
        url: &Url,
        issuer: &Cert,
        ours: Option<&Kept>,
    ) -> Result<Lists, Error> {
        if let (Deltas::Beside, Some(ours)) = (self.deltas, ours)
            && let Some(delta) = self.fetch_delta(url, issuer, &ours.lists.complete).await
        {
            return Ok(Lists {
                complete: ours.lists.complete.clone(),
                delta: Some(delta),
            });
        }
        let complete = self.fetch(url, issuer).await?;
        Ok(Lists {
            complete,
            delta: None,
        })
    }

    /// The delta beside this address, if it is one to our list (RFC 5280 section 5.2.4): of the same
    /// issuer and scope, to a list that is no newer than ours, and no older itself.
    async fn fetch_delta(&self, url: &Url, issuer: &Cert, ours: &Crl) -> Option<Crl> {
        let path = format!("{}/delta.crl", url.path().strip_suffix(".crl")?);
        let delta = self.fetch(&url.with_path(&path).ok()?, issuer).await.ok()?;
        let (base, number) = (delta.delta_to()?, ours.number()?);
        let fits = delta.scope() == ours.scope() && base <= number && number <= delta.number()?;
        fits.then_some(delta)
    }

    fn place(&self, key: ListKey) -> Arc<Mutex<Option<Kept>>> {
        let mut lists = self.lists.lock().unwrap_or_else(PoisonError::into_inner);
        if lists.len() >= CRLS_KEPT_MAX && !lists.contains_key(&key) {
            lists.clear(); // they can all be fetched again
        }
        lists.entry(key).or_default().clone()
    }

    async fn fetch(&self, url: &Url, issuer: &Cert) -> Result<Crl, Error> {
        let answer = self.crl.get(url).await.map_err(Error::Http)?;
        if answer.status != StatusCode::OK {
            return Err(Error::Refused {
                status: answer.status,
            });
        }
        let list = Crl::from_der(&answer.body).map_err(Error::Answer)?;
        let may_sign = issuer
            .key_usage()
            .is_none_or(|usage| usage.contains(KeyUsage::CRL_SIGN));
        if !may_sign || list.issuer() != issuer.subject() {
            return Err(Error::NotCovered {
                what: "it is another issuer's",
            });
        }
        list.verify(issuer.public_key()).map_err(Error::Answer)?;
        match is_current(&list, now()) {
            true => Ok(list),
            false => Err(Error::Outdated),
        }
    }
}

/// What a verified, current list of the certificate's issuer says about it.
fn look_up(lists: &Lists, cert: &Cert) -> Result<Checked, Error> {
    let list = &lists.complete;
    if let Some(what) = list.unusual() {
        return Err(Error::NotCovered { what });
    }
    let scope = list.scope();
    // RFC 5280 section 6.3.3 (b)(2): one of its names is the very address in the certificate.
    let meant = |url: &String| scope.urls.contains(url);
    if !scope.urls.is_empty() && !cert.crl_urls().iter().any(meant) {
        return Err(Error::NotCovered {
            what: "it is that of another distribution point",
        });
    }
    match (scope.holds, cert.is_ca()) {
        (Holds::UserCerts, true) => {
            return Err(Error::NotCovered {
                what: "it leaves out CAs",
            });
        }
        (Holds::CaCerts, false) => {
            return Err(Error::NotCovered {
                what: "it is of CAs only",
            });
        }
        (Holds::All, _) | (Holds::UserCerts, false) | (Holds::CaCerts, true) => {}
    }
    let newer = match &lists.delta {
        Some(delta) => delta.find(cert.serial()).map_err(Error::Answer)?,
        None => None,
    };
    // What the delta says of a certificate stands above what the complete list says.
    let entry = match newer {
        Some(newer) => Some(newer).filter(|entry| entry.reason != Reason::RemoveFromCrl),
        None => list.find(cert.serial()).map_err(Error::Answer)?,
    };
    let verdict = match entry {
        None => Verdict::Good,
        Some(entry) => Verdict::Revoked {
            at: entry.revoked_at,
            reason: entry.reason,
        },
    };
    Ok(Checked {
        verdict,
        source: Source::Crl,
        known_at: lists.newest().this_update(),
    })
}

/// A certificate with noRevAvail that names no place to ask is good for its short life, which is
/// over before a withdrawal would have been noticed. One that lives longer has no business to say so.
fn short_lived(cert: &Cert) -> Option<Checked> {
    let Validity {
        not_before,
        not_after,
    } = cert.validity();
    let says_so = cert.extension(&oid::NO_REV_AVAIL).is_some();
    let is_short = not_after.unix().saturating_sub(not_before.unix()) <= SHORT_LIFE_S_MAX;
    let has_no_address = cert.crl_urls().is_empty() && cert.ocsp_urls().is_empty();
    (says_so && is_short && has_no_address).then_some(Checked {
        verdict: Verdict::Good,
        source: Source::ShortLife,
        known_at: not_before,
    })
}

/// Whether a list may be used now. One that does not say when the next comes may not: it would be
/// good for ever.
fn is_current(list: &Crl, now: Time) -> bool {
    list.this_update() <= now.plus(CLOCK_SKEW_S) && list.next_update().is_some_and(|end| now <= end)
}

fn still_current(lists: &Lists) -> Option<Lists> {
    is_current(lists.newest(), now()).then(|| lists.clone())
}

/// The addresses of plain HTTP: what is fetched there is signed itself, and asking over TLS would
/// need the status of the server's certificate first.
fn plain_urls(urls: &[String]) -> impl Iterator<Item = Url> + '_ {
    let plain = |url: &Url| url.scheme() == crate::http::Scheme::Http;
    urls.iter()
        .filter_map(|text| Url::parse(text).ok())
        .filter(move |url| plain(url))
}
