//! The trust store that a relying party really has: read from its own files, and reported.
//!
//! What is reported is what stands in the files, whoever put it there. A file that cannot be read, or
//! holds something that cannot, is an error and never a shorter report.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use http::Method;
use serde::Deserialize;
use serde_json::json;
use tenure_domain::Slug;
use tenure_domain::feed::Digest;
use tenure_x509::{Cert, anchor_certificates};

use super::line::Line;
use super::{Connection, Error, read_up_to};
use crate::limits::{
    ANSWER_BYTES_MAX, TRUST_STORE_ANCHORS_MAX, TRUST_STORE_FILE_BYTES_MAX, TRUST_STORE_FILES_MAX,
};

/// How long an unchanged trust store goes unreported.
const UNCHANGED: Duration = Duration::from_secs(3600);

/// The certificates in these files, each once, in the order of their hashes. Of a directory, all the
/// files in it are read and none below.
///
/// # Errors
/// Something cannot be read, a certificate is broken, or there are too many.
pub fn deployed(paths: &[PathBuf]) -> Result<Vec<Cert>, Error> {
    let mut found = BTreeMap::new();
    for path in paths {
        for file in files(path)? {
            let octets = read_up_to(&file, TRUST_STORE_FILE_BYTES_MAX)?;
            let certs = anchor_certificates(&octets).map_err(|_| Error::Damaged {
                path: file.clone(),
                what: "a certificate in it cannot be read",
            })?;
            found.extend(certs.into_iter().map(|cert| (cert.fingerprint(), cert)));
            if found.len() > TRUST_STORE_ANCHORS_MAX {
                return Err(Error::Damaged {
                    path: file,
                    what: "there are more than 2000 anchors up to here",
                });
            }
        }
    }
    Ok(found.into_values().collect())
}

fn files(path: &Path) -> Result<Vec<PathBuf>, Error> {
    let failed = |source| Error::File {
        path: path.to_owned(),
        source,
    };
    if !fs::metadata(path).map_err(failed)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path).map_err(failed)? {
        let file = entry.map_err(failed)?.path();
        // Links count as what they lead to; one that leads nowhere holds no anchor.
        if fs::metadata(&file).is_ok_and(|found| found.is_file()) {
            files.push(file);
        }
        if files.len() > TRUST_STORE_FILES_MAX {
            return Err(Error::Damaged {
                path: path.to_owned(),
                what: "it holds too many files",
            });
        }
    }
    Ok(files)
}

/// What a look at a trust store came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// It is what was reported not long ago.
    Unchanged,
    /// It was reported.
    Reported {
        /// How many anchors are in it.
        anchors: usize,
        /// What each is that should not be there: its standing and whom it names.
        wrong: Vec<String>,
        /// The issuers that should be there and are not.
        missing: Vec<String>,
    },
}

/// Looks at a trust store again and again, and reports it when it has changed, and every hour.
pub struct Observer {
    line: Line,
    party: Slug,
    paths: Vec<PathBuf>,
    every: Option<Duration>,
    last: Option<(Digest, Instant)>,
}

/// What the server answers to a report; only what is used of it.
#[derive(Deserialize)]
struct Answer {
    held: Vec<Anchor>,
    missing: Vec<String>,
}

#[derive(Deserialize)]
struct Anchor {
    subject: String,
    standing: String,
}

impl Observer {
    /// One who looks at these files and directories for a connection's relying party. `every` is how
    /// often: the server is told when it may miss the next report. `None` promises nothing.
    ///
    /// # Errors
    /// The address or the trust anchor cannot be used.
    pub fn new(
        connection: &Connection,
        paths: &[PathBuf],
        every: Option<Duration>,
    ) -> Result<Observer, Error> {
        Ok(Observer {
            line: Line::new(connection, ANSWER_BYTES_MAX, Duration::ZERO)?,
            party: connection.party.clone(),
            paths: paths.to_vec(),
            every,
            last: None,
        })
    }

    /// One look; a report if it is due.
    ///
    /// # Errors
    /// The files cannot be read, or the server did not take the report. The next look reports again.
    pub async fn look(&mut self) -> Result<Seen, Error> {
        let certs = deployed(&self.paths)?;
        let pem: String = certs.iter().map(Cert::pem).collect();
        let digest = Digest::of(pem.as_bytes());
        if self
            .last
            .is_some_and(|(last, at)| last == digest && at.elapsed() < UNCHANGED)
        {
            return Ok(Seen::Unchanged);
        }
        let body = json!({ "pem": pem, "again_within_s": self.again_within_s() });
        let path = format!("/api/v1/relying-parties/{}/trust-store", self.party);
        let answer = self
            .line
            .call(Method::POST, &path, body.to_string().into_bytes())
            .await?;
        self.last = Some((digest, Instant::now()));
        let said: Answer = serde_json::from_slice(&answer.body).map_err(|_| Error::Refused {
            status: answer.status,
            said: "something that is no answer to a report".to_owned(),
        })?;
        let is_wrong = |anchor: &&Anchor| !matches!(&*anchor.standing, "meant" | "legacy");
        let wrong = said.held.iter().filter(is_wrong);
        Ok(Seen::Reported {
            anchors: certs.len(),
            wrong: wrong
                .map(|anchor| format!("{}: {}", anchor.standing, anchor.subject))
                .collect(),
            missing: said.missing,
        })
    }

    /// Twice the longest time between two reports: one may be lost.
    fn again_within_s(&self) -> Option<u64> {
        let every = self.every?;
        Some(2 * (UNCHANGED + every).as_secs())
    }
}
