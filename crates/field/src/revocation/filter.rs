//! Compact revocation filters: fetched now and then, asked on every connection without the network.
//! The rules are those of docs/protocols/filter.md.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use http::StatusCode;
use tenure_domain::text::hex;
use tenure_x509::filter::{Accepted, Answer, Delta, Full, Held};
use tenure_x509::{Cert, KeyHash, PublicKey};

use super::Error;
use crate::disk::{self, Readers};
use crate::est::now;
use crate::http::{Client, Scheme, Settings, Url};
use crate::limits::FILTER_BYTES_MAX;

/// Most octets of the file that remembers what was accepted.
const MEMORY_BYTES_MAX: u64 = 256;

/// How long after a failure nothing is fetched again: connections do not wait for it one by one.
const PAUSE: Duration = Duration::from_secs(5);

/// Where an issuer's filter is, and where to remember how new it was.
#[derive(Debug, Clone)]
pub struct FilterSource {
    /// The issuer, as path validation will find it.
    pub issuer: Cert,
    /// Where its filter is published, up to and with the last slash:
    /// `http://pki.plant.example/filter/issuing-1/`. Plain HTTP, for it is signed itself.
    pub url: Url,
    /// A file of ours that survives a restart: the newest filter that was accepted is written to it,
    /// and nothing older is accepted ever after. Without one, a restart forgets.
    pub memory: Option<PathBuf>,
}

/// One issuer's filter at a relying party.
pub(super) struct Kept {
    issuer: PublicKey,
    url: Url,
    memory: Option<PathBuf>,
    held: Option<Held>,
    accepted: Option<Accepted>,
    fetched: Option<Instant>,
    failed: Option<Instant>,
}

impl Kept {
    /// Reads what was accepted before. A memory that cannot be read is an error and not a beginning.
    pub(super) fn open(source: FilterSource) -> Result<Kept, Error> {
        let is_place = source.url.scheme() == Scheme::Http && source.url.path().ends_with('/');
        if !is_place {
            return Err(Error::NoAddress);
        }
        let accepted = match &source.memory {
            Some(path) => recall(path)?,
            None => None,
        };
        Ok(Kept {
            issuer: source.issuer.public_key().clone(),
            url: source.url,
            memory: source.memory,
            held: None,
            accepted,
            fetched: None,
            failed: None,
        })
    }

    pub(super) fn issuer(&self) -> KeyHash {
        self.issuer.hash()
    }

    /// What the newest filter says of a certificate of its issuer, and when it spoke. It is fetched
    /// again after `refresh`; where that fails, the one held is asked for as long as it may be used.
    pub(super) async fn ask(
        &mut self,
        client: &Client,
        cert: &Cert,
        refresh: Duration,
    ) -> Result<(Answer, tenure_x509::Time), Error> {
        let is_within = |at: Option<Instant>, time| at.is_some_and(|at| at.elapsed() < time);
        if is_within(self.fetched, refresh)
            && let Ok(answer) = self.answer(cert)
        {
            return Ok(answer);
        }
        if is_within(self.failed, refresh.min(PAUSE)) {
            return self.answer(cert);
        }
        let fetched = self.fetch(client).await;
        match fetched.and_then(|newer| self.accept(newer)) {
            Ok(()) => {
                (self.fetched, self.failed) = (Some(Instant::now()), None);
                self.answer(cert)
            }
            Err(error) => {
                self.failed = Some(Instant::now());
                self.answer(cert).map_err(|_| error)
            }
        }
    }

    fn answer(&self, cert: &Cert) -> Result<(Answer, tenure_x509::Time), Error> {
        let held = self.held.as_ref().ok_or(Error::Outdated)?;
        let current = held.current(now(), self.accepted).map_err(Error::Answer)?;
        Ok((current.ask(cert), held.created()))
    }

    /// Takes a filter into use, if it is not older than any before; that is written down first.
    fn accept(&mut self, newer: Held) -> Result<(), Error> {
        newer.current(now(), self.accepted).map_err(Error::Answer)?;
        let accepted = newer.accepted();
        if self.accepted != Some(accepted) {
            if let Some(path) = &self.memory {
                remember(path, accepted)?;
            }
            self.accepted = Some(accepted);
        }
        self.held = Some(newer);
        Ok(())
    }

    /// The newest there is: a delta to the full filter held, or the full one and its delta.
    async fn fetch(&self, client: &Client) -> Result<Held, Error> {
        if let Some(held) = &self.held
            && let Some(delta) = self.fetch_delta(client, held).await?
        {
            return Ok(delta);
        }
        let full = self.get(client, "full.filter").await?;
        let full = full.ok_or(Error::Refused {
            status: StatusCode::NOT_FOUND,
        })?;
        let full = Full::from_der(&full).map_err(Error::Answer)?;
        let fetched = full.verify(&self.issuer).map_err(Error::Answer)?;
        match &self.held {
            // The same, and no delta: what is held is the newest.
            Some(held) if held.full() == fetched.full() => Ok(held.clone()),
            Some(_) | None => {
                let newest = self.fetch_delta(client, &fetched).await?;
                Ok(newest.unwrap_or(fetched))
            }
        }
    }

    /// The newest delta to a filter; `None` if there is none.
    async fn fetch_delta(&self, client: &Client, to: &Held) -> Result<Option<Held>, Error> {
        let file = format!("{}.delta", to.full().sequence);
        let Some(delta) = self.get(client, &file).await? else {
            return Ok(None);
        };
        let delta = Delta::from_der(&delta).map_err(Error::Answer)?;
        to.with_delta(delta).map(Some).map_err(Error::Answer)
    }

    async fn get(&self, client: &Client, file: &str) -> Result<Option<Vec<u8>>, Error> {
        let path = format!("{}{file}", self.url.path());
        let url = self.url.with_path(&path).map_err(Error::Http)?;
        let answer = client.get(&url).await.map_err(Error::Http)?;
        match answer.status {
            StatusCode::OK => Ok(Some(answer.body.to_vec())),
            StatusCode::NOT_FOUND => Ok(None),
            status => Err(Error::Refused { status }),
        }
    }
}

/// The client that fetches filters.
pub(super) fn client() -> Result<Client, crate::http::Error> {
    Client::new(Settings {
        answer_bytes_max: FILTER_BYTES_MAX,
        ..Settings::new(None)
    })
}

/// One line: the sequence number and the SHA-256 in hex.
fn recall(path: &Path) -> Result<Option<Accepted>, Error> {
    match fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Ok(found) if found.len() <= MEMORY_BYTES_MAX => {}
        Ok(_) | Err(_) => return Err(Error::Memory),
    }
    let text = fs::read_to_string(path).map_err(|_| Error::Memory)?;
    let parsed = || {
        let (sequence, id) = text.trim_end().split_once(' ')?;
        let digits = (id.len() == 64).then_some(id)?.as_bytes();
        let mut octets = [0; 32];
        for (octet, pair) in octets.iter_mut().zip(digits.as_chunks::<2>().0) {
            *octet = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
        }
        Some(Accepted {
            sequence: sequence.parse().ok()?,
            id: octets,
        })
    };
    parsed().map(Some).ok_or(Error::Memory)
}

/// Durable before it is relied on: a power cut must not bring back what was older.
fn remember(path: &Path, accepted: Accepted) -> Result<(), Error> {
    let line = format!("{} {}\n", accepted.sequence, hex(&accepted.id));
    disk::replace(path, line.as_bytes(), Readers::Umask).map_err(|_| Error::Memory)
}
