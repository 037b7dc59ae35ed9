//! EST from the device's side: one method for each operation of RFC 7030 that a device needs.

use std::fmt;
use std::time::SystemTime;

use http::{Method, StatusCode};
use tenure_domain::text::is_hidden;
use tenure_wire::est::{
    Credentials, CsrAttrs, EstPath, GeneratedKey, Label, Operation, PKCS10, Wrapping,
    decode_answer, encode_body, parse_generated_key, parse_retry_after,
};
use tenure_x509::{Cert, Csr, KeyPair, Name, PublicKey, SanName, Time, cms};

use crate::http::{Client, Error as HttpError, Response, Url};
use crate::limits::REASON_CHARS_MAX;

/// How long to wait when a server says "later" without saying how much later, in seconds.
const PENDING_RETRY_S: u64 = 60;

/// An EST server, as one device sees it. Who the device is, is the HTTP client's part.
#[derive(Clone)]
pub struct Est {
    http: Client,
    server: Url,
    label: Option<Label>,
}

/// A request for a certificate: PKCS#10 and the key in it.
#[derive(Clone)]
pub struct Request {
    der: Vec<u8>,
    key: PublicKey,
}

impl Request {
    /// Makes and signs a request. It cannot be made twice alike: keep its DER to ask again.
    pub fn build(
        key: &KeyPair,
        subject: &Name,
        san: &[SanName],
    ) -> Result<Request, tenure_x509::Error> {
        Ok(Request {
            der: Csr::build(key, subject, san)?,
            key: key.public().clone(),
        })
    }

    /// Takes a request made earlier (or elsewhere) from its DER; its signature is checked.
    pub fn from_der(der: &[u8]) -> Result<Request, tenure_x509::Error> {
        let csr = Csr::from_der(der)?;
        Ok(Request {
            der: der.to_vec(),
            key: csr.public_key().clone(),
        })
    }

    /// The PKCS#10 in DER.
    pub fn der(&self) -> &[u8] {
        &self.der
    }
}

/// What a server answered to a request.
#[derive(Debug, Clone)]
pub enum Answer {
    /// A certificate for the key of the request.
    Issued {
        /// The certificate.
        certificate: Box<Cert>,
        /// Whatever else came with it, in no order.
        others: Vec<Cert>,
    },
    /// A person or a rule has to decide first: send the identical request again then.
    Pending {
        /// Seconds to wait.
        retry_after_s: u64,
    },
}

/// Why there is no certificate.
#[derive(Debug)]
pub enum Error {
    /// The server was not reached, or the connection broke.
    Http(HttpError),
    /// The server said no.
    Refused {
        /// Its HTTP status.
        status: StatusCode,
        /// Its reason, made safe to print; empty if it gave none.
        reason: String,
        /// When to try again, if it said so, in seconds.
        retry_after_s: Option<u64>,
    },
    /// The server's answer is not proper EST.
    Answer(tenure_wire::est::Error),
    /// What the server sent as certificates is not.
    Certificates(tenure_x509::Error),
    /// The server sent certificates, but none for our key.
    OtherKey,
}

impl Error {
    /// Whether the server says that the request itself is unacceptable, now and later.
    pub fn is_bad_request(&self) -> bool {
        matches!(self, Error::Refused { status, .. } if *status == StatusCode::BAD_REQUEST)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Http(_) => write!(f, "the EST server gave no answer"),
            Error::Refused { status, reason, .. } if reason.is_empty() => {
                write!(f, "the server refused: {status}")
            }
            Error::Refused { status, reason, .. } => {
                write!(f, "the server refused ({}): {reason}", status.as_u16())
            }
            Error::Answer(_) => write!(f, "the server's answer is not proper EST"),
            Error::Certificates(_) => write!(f, "the server sent no proper certificates"),
            Error::OtherKey => write!(f, "the server sent certificates, but none for our key"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Http(source) => Some(source),
            Error::Answer(source) => Some(source),
            Error::Certificates(source) => Some(source),
            Error::Refused { .. } | Error::OtherKey => None,
        }
    }
}

impl From<HttpError> for Error {
    fn from(source: HttpError) -> Error {
        Error::Http(source)
    }
}

impl Est {
    /// An EST server at this address (its path is not looked at), asked under this label.
    pub fn new(http: Client, server: Url, label: Option<Label>) -> Est {
        Est {
            http,
            server,
            label,
        }
    }

    /// The CA certificates the server hands out. They are material for building a chain, not
    /// trust anchors: those the device was given.
    pub async fn ca_certs(&self) -> Result<Vec<Cert>, Error> {
        let url = self.url(Operation::CaCerts)?;
        parse_certs(&success(self.http.get(&url).await?)?.body)
    }

    /// What the server would like to see in a request; nothing in particular if it does not say.
    pub async fn csr_attrs(&self) -> Result<CsrAttrs, Error> {
        let answer = self.http.get(&self.url(Operation::CsrAttrs)?).await?;
        match answer.status {
            StatusCode::NO_CONTENT | StatusCode::NOT_FOUND => Ok(CsrAttrs::default()),
            _ => {
                let der = decode_answer(&success(answer)?.body).map_err(Error::Answer)?;
                CsrAttrs::from_der(&der).map_err(Error::Answer)
            }
        }
    }

    /// Asks for a first certificate, with a one-time secret or with the certificate the HTTP
    /// client presents (an IDevID).
    pub async fn enroll(
        &self,
        request: &Request,
        credentials: Option<&Credentials>,
    ) -> Result<Answer, Error> {
        self.ask(Operation::SimpleEnroll, request, credentials)
            .await
    }

    /// Asks for a successor of the certificate the HTTP client presents.
    pub async fn reenroll(&self, request: &Request) -> Result<Answer, Error> {
        self.ask(Operation::SimpleReenroll, request, None).await
    }

    /// Asks the server to make the key as well. `None` while it has to be decided.
    pub async fn server_keygen(
        &self,
        request: &Request,
        credentials: Option<&Credentials>,
    ) -> Result<Option<GeneratedKey>, Error> {
        let answer = self
            .post(Operation::ServerKeygen, request, credentials)
            .await?;
        if answer.status == StatusCode::ACCEPTED {
            return Ok(None);
        }
        let answer = success(answer)?;
        let media = answer.header("content-type").unwrap_or_default();
        parse_generated_key(&answer.body, media)
            .map(Some)
            .map_err(Error::Answer)
    }

    async fn ask(
        &self,
        operation: Operation,
        request: &Request,
        credentials: Option<&Credentials>,
    ) -> Result<Answer, Error> {
        let answer = self.post(operation, request, credentials).await?;
        if answer.status == StatusCode::ACCEPTED {
            let retry_after_s = retry_after_s(&answer).unwrap_or(PENDING_RETRY_S);
            return Ok(Answer::Pending { retry_after_s });
        }
        let mut others = parse_certs(&success(answer)?.body)?;
        let own = others
            .iter()
            .position(|cert| cert.public_key().hash() == request.key.hash());
        let certificate = Box::new(others.swap_remove(own.ok_or(Error::OtherKey)?));
        Ok(Answer::Issued {
            certificate,
            others,
        })
    }

    async fn post(
        &self,
        operation: Operation,
        request: &Request,
        credentials: Option<&Credentials>,
    ) -> Result<Response, Error> {
        let url = self.url(operation)?;
        let body = encode_body(&request.der, Wrapping::Lines).into_bytes();
        let authorization = credentials.map(Credentials::header);
        let mut headers = vec![
            ("content-type", PKCS10),
            ("accept", "application/pkcs7-mime, multipart/mixed"),
        ];
        headers.extend(
            authorization
                .as_ref()
                .map(|value| ("authorization", value.as_str())),
        );
        Ok(self.http.send(Method::POST, &url, &headers, body).await?)
    }

    fn url(&self, operation: Operation) -> Result<Url, Error> {
        let path = EstPath {
            label: self.label.clone(),
            operation,
        };
        Ok(self.server.with_path(&path.to_string())?)
    }
}

/// The certificates in the body of a certs-only answer.
pub fn parse_certs(body: &[u8]) -> Result<Vec<Cert>, Error> {
    let der = decode_answer(body).map_err(Error::Answer)?;
    cms::parse_certs_only(&der).map_err(Error::Certificates)
}

fn success(answer: Response) -> Result<Response, Error> {
    match answer.status {
        StatusCode::OK => Ok(answer),
        status => Err(Error::Refused {
            status,
            reason: printable(&answer.body),
            retry_after_s: retry_after_s(&answer),
        }),
    }
}

fn retry_after_s(answer: &Response) -> Option<u64> {
    parse_retry_after(answer.header("retry-after")?, now().unix()).ok()
}

/// A server's words, shortened and without what could move a terminal's cursor.
fn printable(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let words: Vec<&str> = text.split_whitespace().collect();
    let plain = words.join(" ");
    plain
        .chars()
        .filter(|c| !is_hidden(*c))
        .take(REASON_CHARS_MAX)
        .collect()
}

/// The machine's clock.
pub(crate) fn now() -> Time {
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    Time::from_unix(i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}
