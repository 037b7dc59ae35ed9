//! Keeping one device's identity: get it, renew it, know its state. Everything here may be
//! interrupted at any moment and done again.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tenure_wire::est::{Credentials, CsrAttrs, Label, WantedKey, decode_answer};
use tenure_x509::path::{self, PathError, Purpose};
use tenure_x509::{Cert, Csr, KeyKind, KeyPair, Name, NameAttribute, SanName, pem_certificates};
use tokio::sync::Mutex;

use crate::est::{self, Answer, Est, Request, now};
use crate::http::{self, Client, Identity, Settings, Trust, Url};
use crate::renewal::renew_at;
use crate::slots::{self, Next, Slots, read_text, write_durably};

const PLACE: &str = "device.json";
const ANCHORS: &str = "anchors.pem";

/// Where a device gets its identity. Kept in its directory, so that renewing needs nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// The EST server, `https://host:port`.
    pub url: String,
    /// The EST label, if it is not to be the device class's own.
    pub label: Option<String>,
    /// The device id.
    pub device: String,
}

/// What a device proves itself with at its first enrollment.
pub enum Proof {
    /// A one-time secret.
    Secret(Credentials),
    /// A certificate it already has: its manufacturer's (IDevID).
    Certificate(Identity),
}

/// How far an enrollment or renewal has come.
#[derive(Debug, Clone)]
pub enum Progress {
    /// The new identity is in use.
    Issued(Box<Cert>),
    /// It has to be decided first; the same call later carries on.
    Pending {
        /// Seconds to wait.
        retry_after_s: u64,
    },
}

/// Why an identity could not be obtained. The identity in use, if any, is untouched.
#[derive(Debug)]
pub enum Error {
    /// The directory could not be used.
    Directory(slots::Error),
    /// The URL, the label or the trust anchors cannot be used, or the connection failed.
    Http(http::Error),
    /// The server gave no certificate.
    Est(est::Error),
    /// What is in the directory does not fit together.
    Damaged {
        /// What is wrong.
        what: &'static str,
    },
    /// A key or a request could not be made.
    Crypto(tenure_x509::Error),
    /// The new certificate does not lead to the device's trust anchors.
    Path(PathError),
    /// There is no identity to renew yet.
    NotEnrolled,
    /// A background task of the program itself ended early.
    Interrupted,
}

impl Error {
    /// How long the server asks us to wait before the next try; zero if it does not say.
    pub fn retry_after(&self) -> Duration {
        match self {
            Error::Est(est::Error::Refused {
                retry_after_s: Some(seconds),
                ..
            }) => Duration::from_secs(*seconds),
            _ => Duration::ZERO,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Directory(source) => write!(f, "{source}"),
            Error::Http(source) => write!(f, "{source}"),
            Error::Est(source) => write!(f, "{source}"),
            Error::Damaged { what } => write!(f, "the identity directory is damaged: {what}"),
            Error::Crypto(_) => write!(f, "the key or the request could not be made"),
            Error::Path(_) => {
                write!(
                    f,
                    "the new certificate does not lead to the trust anchors of this device"
                )
            }
            Error::NotEnrolled => write!(f, "there is no identity here yet: enroll first"),
            Error::Interrupted => write!(f, "interrupted"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            // These speak with their source's words, so the next link is the source's own.
            Error::Directory(source) => source.source(),
            Error::Http(source) => source.source(),
            Error::Est(source) => source.source(),
            Error::Crypto(source) => Some(source),
            Error::Path(source) => Some(source),
            Error::Damaged { .. } | Error::NotEnrolled | Error::Interrupted => None,
        }
    }
}

impl From<slots::Error> for Error {
    fn from(source: slots::Error) -> Error {
        Error::Directory(source)
    }
}

impl From<http::Error> for Error {
    fn from(source: http::Error) -> Error {
        Error::Http(source)
    }
}

impl From<est::Error> for Error {
    fn from(source: est::Error) -> Error {
        Error::Est(source)
    }
}

/// Keeps the identity in one directory. Calls that change it take turns.
pub struct Keeper {
    slots: Arc<Slots>,
    place: Place,
    server: Url,
    label: Option<Label>,
    known: RwLock<Known>,
    turn: Mutex<()>,
}

/// What a device trusts: the roots it was given, and those it was led to from them.
#[derive(Clone)]
struct Known {
    trust: Trust,
    anchors: Vec<Cert>,
}

impl Known {
    fn from_pem(pem: &str) -> Result<Known, Error> {
        Ok(Known {
            trust: Trust::from_pem(pem)?,
            anchors: pem_certificates(pem).map_err(Error::Crypto)?,
        })
    }

    /// The roots among these certificates that one which is known stands for (RFC 9810 section 4.4): its
    /// certificate for the new root's key leads to what the device trusts already. A root that is known
    /// is never given up here: the server may still be reached through it alone.
    fn led_to<'a>(&self, certs: &'a [Cert]) -> Vec<&'a Cert> {
        let is_known = |cert: &Cert| self.anchors.iter().any(|known| known.der() == cert.der());
        let is_stood_for = |root: &Cert| {
            certs.iter().any(|cross| {
                !cross.is_self_issued()
                    && cross.subject() == root.subject()
                    && cross.public_key() == root.public_key()
                    && path::validate(cross, certs, &self.anchors, now(), Purpose::Issuing).is_ok()
            })
        };
        let is_new_root = |cert: &&Cert| {
            cert.is_self_issued()
                && cert.is_ca()
                && !is_known(cert)
                && cert.verify_signed_by(cert.public_key()).is_ok()
                && is_stood_for(cert)
        };
        certs.iter().filter(is_new_root).collect()
    }
}

/// The state of an identity directory.
#[derive(Debug, Clone, Serialize)]
pub struct Status {
    /// The device id.
    pub device: String,
    /// The EST server.
    pub url: String,
    /// The certificate in use.
    pub current: Option<CertificateStatus>,
    /// Whether another is on its way.
    pub next: Option<NextStatus>,
}

/// What matters about a certificate in use. Times are RFC 3339.
#[derive(Debug, Clone, Serialize)]
pub struct CertificateStatus {
    /// Lower-case hex.
    pub serial: String,
    /// RFC 4514.
    pub subject: String,
    /// RFC 4514.
    pub issuer: String,
    /// First moment of validity.
    pub not_before: String,
    /// Last moment of validity.
    pub not_after: String,
    /// Whether that has passed, by this machine's clock.
    pub expired: bool,
    /// When it should be renewed; `None` for a certificate that never ends.
    pub renew_at: Option<String>,
}

/// An identity on its way.
#[derive(Debug, Clone, Serialize)]
pub struct NextStatus {
    /// SHA-256 of its public key, in hex.
    pub key: String,
    /// When the server wants to be asked again (RFC 3339), if it said so.
    pub retry_at: Option<String>,
}

impl Keeper {
    /// Makes a directory for a device, or points an existing one elsewhere. `anchors` is PEM.
    pub fn create(root: &Path, place: Place, anchors: &str) -> Result<Keeper, Error> {
        let slots = Slots::open(root)?;
        let keeper = Keeper::assemble(slots, place, anchors)?;
        let json = serde_json::to_vec_pretty(&keeper.place).map_err(|_| Error::Damaged {
            what: "the device's settings cannot be written",
        })?;
        write_durably(root, ANCHORS, anchors.as_bytes())?;
        write_durably(root, PLACE, &json)?;
        Ok(keeper)
    }

    /// Opens the directory of a device that was set up before.
    pub fn open(root: &Path) -> Result<Keeper, Error> {
        if !root.join(PLACE).exists() {
            return Err(Error::NotEnrolled);
        }
        let slots = Slots::open(root)?;
        let place =
            serde_json::from_str(&read_text(&root.join(PLACE))?).map_err(|_| Error::Damaged {
                what: "device.json is not what enroll wrote",
            })?;
        let anchors = read_text(&root.join(ANCHORS))?;
        Keeper::assemble(slots, place, &anchors)
    }

    fn assemble(slots: Slots, place: Place, anchors: &str) -> Result<Keeper, Error> {
        let known = Known::from_pem(anchors)?;
        let label = match &place.label {
            None => None,
            Some(text) => Some(Label::new(text).map_err(|e| Error::Est(est::Error::Answer(e)))?),
        };
        Ok(Keeper {
            slots: Arc::new(slots),
            server: Url::parse(&place.url)?,
            label,
            known: RwLock::new(known),
            place,
            turn: Mutex::new(()),
        })
    }

    /// Asks for a first identity, or carries on asking. A key made here is durable before the
    /// request leaves; asking again sends the identical request.
    ///
    /// `kind` counts only when a new key is made.
    pub async fn enroll_once(&self, proof: &Proof, kind: KeyKind) -> Result<Progress, Error> {
        let _turn = self.turn.lock().await;
        let subject = Name::build(&[(NameAttribute::CommonName, &self.place.device)])
            .map_err(Error::Crypto)?;
        let next = self.prepare(subject, Vec::new(), kind).await?;
        let (identity, credentials) = match proof {
            Proof::Secret(credentials) => (None, Some(credentials)),
            Proof::Certificate(identity) => (Some(identity.clone()), None),
        };
        let est = self.est(identity)?;
        let answer = est.enroll(&request_of(&next)?, credentials).await;
        self.finish(&est, next, answer).await
    }

    /// Asks for the successor of the identity in use, with a new key, or carries on asking.
    pub async fn renew_once(&self, kind: KeyKind) -> Result<Progress, Error> {
        let _turn = self.turn.lock().await;
        let current = self.current().await?.ok_or(Error::NotEnrolled)?;
        // RFC 7030 section 4.2.2: the names are those of the certificate being renewed.
        let (subject, san) = (current.own.subject().clone(), current.own.san().to_vec());
        let next = self.prepare(subject, san, kind).await?;
        let est = self.est(Some(current.identity))?;
        let answer = est.reenroll(&request_of(&next)?).await;
        self.finish(&est, next, answer).await
    }

    /// The kind of key the server asks for (RFC 7030 section 4.5), or P-256 if it has no wish that
    /// we can fulfil.
    pub async fn wished_key(&self) -> Result<KeyKind, Error> {
        let identity = self.identity().await?;
        let attrs = match self.est(identity)?.csr_attrs().await {
            Ok(attrs) => attrs,
            Err(est::Error::Refused { .. }) => CsrAttrs::default(), // it may want to know us first
            Err(error) => return Err(error.into()),
        };
        Ok(match attrs.wanted_key() {
            Some(WantedKey::P384) => KeyKind::P384,
            Some(WantedKey::Ed25519) => KeyKind::Ed25519,
            Some(WantedKey::Rsa(..=2048)) => KeyKind::Rsa2048,
            Some(WantedKey::Rsa(..=3072)) => KeyKind::Rsa3072,
            Some(WantedKey::Rsa(_)) => KeyKind::Rsa4096,
            Some(WantedKey::P256 | WantedKey::P521) | None => KeyKind::P256,
        })
    }

    /// The identity in use, ready for TLS.
    pub async fn identity(&self) -> Result<Option<Identity>, Error> {
        Ok(self.current().await?.map(|current| current.identity))
    }

    /// The certificate in use.
    pub async fn certificate(&self) -> Result<Option<Cert>, Error> {
        Ok(self.current().await?.map(|current| current.own))
    }

    /// Where the identity is kept.
    pub fn root(&self) -> &Path {
        self.slots.root()
    }

    /// What this device trusts.
    pub fn trust(&self) -> Trust {
        self.known().trust
    }

    fn known(&self) -> Known {
        // Whoever held it only ever put a whole value there.
        let known = self.known.read();
        known.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The state of the directory. Nothing is asked over the network.
    pub async fn status(&self) -> Result<Status, Error> {
        let current = self
            .current()
            .await?
            .map(|current| CertificateStatus::of(&current.own));
        let next = self.files(|slots| Ok(slots.next()?)).await?;
        Ok(Status {
            device: self.place.device.clone(),
            url: self.place.url.clone(),
            current,
            next: next.map(|next| NextStatus {
                key: next.key.public().hash().to_string(),
                retry_at: next.retry_at.map(|at| at.to_string()),
            }),
        })
    }

    /// A durable key with a durable request for these names: the one on its way, or a new one.
    async fn prepare(
        &self,
        subject: Name,
        san: Vec<SanName>,
        kind: KeyKind,
    ) -> Result<Next, Error> {
        self.files(move |slots| {
            let Some(mut next) = slots.next()? else {
                let key = KeyPair::generate(kind).map_err(Error::Crypto)?;
                let request = Csr::build(&key, &subject, &san).map_err(Error::Crypto)?;
                return Ok(slots.begin(key, &request)?);
            };
            let same = csr_of(&next)
                .is_ok_and(|csr| *csr.subject() == subject && csr.san() == san.as_slice());
            if !same {
                // Begun for other names (a first enrollment, say). The key may be known to the
                // server by now, so it stays.
                let request = Csr::build(&next.key, &subject, &san).map_err(Error::Crypto)?;
                slots.rewrite_request(&mut next, &request)?;
            }
            Ok(next)
        })
        .await
    }

    /// Puts the answer on disk: a new identity if its certificate leads to our trust anchors.
    async fn finish(
        &self,
        est: &Est,
        next: Next,
        answer: Result<Answer, est::Error>,
    ) -> Result<Progress, Error> {
        let (certificate, mut issuers) = match answer {
            Ok(Answer::Issued {
                certificate,
                others,
            }) => (certificate, others),
            Ok(Answer::Pending { retry_after_s }) => {
                let wait = i64::try_from(retry_after_s).unwrap_or(i64::MAX);
                self.files(move |slots| Ok(slots.postpone(&next, now().plus(wait))?))
                    .await?;
                return Ok(Progress::Pending { retry_after_s });
            }
            Err(error) => {
                // The request itself is unacceptable (its key, most likely), so nothing was issued
                // for it: insisting on this key would lock the device out. The next try makes one.
                if error.is_bad_request() {
                    self.files(move |slots| Ok(slots.abandon(next)?)).await?;
                }
                return Err(error.into());
            }
        };
        issuers.extend(est.ca_certs().await?);
        let known = self.known();
        let chain = path::validate(&certificate, &issuers, &known.anchors, now(), Purpose::Any)
            .map_err(Error::Path)?;
        // A root is for the other side to have: presenting it proves nothing.
        let presented = chain.chain().iter().filter(|cert| !cert.is_self_issued());
        let chain: Vec<Vec<u8>> = presented.map(|cert| cert.der().to_vec()).collect();
        self.files(move |slots| {
            let parts: Vec<&[u8]> = chain.iter().map(Vec::as_slice).collect();
            slots.commit(next, &parts)?;
            Ok(())
        })
        .await?;
        self.follow_roots(&known, &issuers).await?;
        Ok(Progress::Issued(certificate))
    }

    /// Trusts the roots too that one which is trusted already stands for. Done after the new identity is
    /// in use; cut off before, it is done at the next renewal.
    async fn follow_roots(&self, known: &Known, certs: &[Cert]) -> Result<(), Error> {
        let new = known.led_to(certs);
        if new.is_empty() {
            return Ok(());
        }
        let pem: String = known.anchors.iter().chain(new).map(Cert::pem).collect();
        let more = Known::from_pem(&pem)?;
        self.files(move |slots| Ok(write_durably(slots.root(), ANCHORS, pem.as_bytes())?))
            .await?;
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = more;
        Ok(())
    }

    async fn current(&self) -> Result<Option<InUse>, Error> {
        self.files(|slots| {
            let Some(current) = slots.current()? else {
                return Ok(None);
            };
            let chain = pem_certificates(&current.chain).map_err(Error::Crypto)?;
            let own = chain
                .first()
                .ok_or(Error::Damaged {
                    what: "its chain is empty",
                })?
                .clone();
            if own.public_key().hash() != current.key.public().hash() {
                return Err(Error::Damaged {
                    what: "its certificate belongs to another key",
                });
            }
            let key = current.key.to_pkcs8().map_err(Error::Crypto)?;
            let chain = chain.iter().map(|cert| cert.der().to_vec()).collect();
            Ok(Some(InUse {
                own,
                identity: Identity { chain, key },
            }))
        })
        .await
    }

    fn est(&self, identity: Option<Identity>) -> Result<Est, Error> {
        let settings = Settings {
            identity,
            ..Settings::new(Some(self.trust()))
        };
        Ok(Est::new(
            Client::new(settings)?,
            self.server.clone(),
            self.label.clone(),
        ))
    }

    /// File and key work, kept off the threads that drive connections.
    async fn files<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Slots) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let slots = self.slots.clone();
        tokio::task::spawn_blocking(move || work(&slots))
            .await
            .map_err(|_| Error::Interrupted)?
    }
}

struct InUse {
    own: Cert,
    identity: Identity,
}

impl CertificateStatus {
    fn of(cert: &Cert) -> CertificateStatus {
        CertificateStatus {
            serial: cert.serial().to_string(),
            subject: cert.subject().to_string(),
            issuer: cert.issuer().to_string(),
            not_before: cert.validity().not_before.to_string(),
            not_after: cert.validity().not_after.to_string(),
            expired: cert.validity().not_after < now(),
            renew_at: renew_at(cert).map(|at| at.to_string()),
        }
    }
}

fn request_of(next: &Next) -> Result<Request, Error> {
    Request::from_der(csr_of(next)?.der()).map_err(Error::Crypto)
}

fn csr_of(next: &Next) -> Result<Csr, Error> {
    let der = decode_answer(next.request.as_bytes()).map_err(|_| Error::Damaged {
        what: "its request is not PEM",
    })?;
    Csr::from_der(&der).map_err(Error::Crypto)
}
