//! The client itself: connect, send, read, keep the connection.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::header::{CONTENT_TYPE, HOST, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Bytes, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::tls::client_config;
use super::url::Origin;
use super::{Error, Identity, Scheme, Stage, Trust, Url};
use crate::limits::{
    ANSWER_BYTES_MAX, CONNECT_PAUSE, CONNECT_TRIES, HEADER_BYTES_MAX, HEADERS_MAX,
    IDLE_CONNECTIONS_MAX,
};

/// How long each step may take.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// Resolving the name and opening the connection, all tries together.
    pub connect: Duration,
    /// The TLS handshake.
    pub handshake: Duration,
    /// From sending the request to the last octet of the answer.
    pub request: Duration,
    /// The same where something is to be changed; no other if none.
    pub change: Option<Duration>,
}

impl Default for Timeouts {
    fn default() -> Timeouts {
        Timeouts {
            connect: Duration::from_secs(10),
            handshake: Duration::from_secs(10),
            request: Duration::from_secs(30),
            change: None,
        }
    }
}

impl Timeouts {
    /// How long an answer to this method may take.
    fn answer(&self, method: &Method) -> Duration {
        let change = self.change.filter(|_| !method.is_safe());
        change.unwrap_or(self.request)
    }
}

/// What a client is made of.
#[derive(Clone)]
pub struct Settings {
    /// Which servers are believed; `None` speaks plain HTTP only.
    pub trust: Option<Trust>,
    /// Who we are; `None` presents no certificate.
    pub identity: Option<Identity>,
    /// How long each step may take.
    pub timeouts: Timeouts,
    /// Largest answer read, in octets.
    pub answer_bytes_max: usize,
}

impl Settings {
    /// No identity, and the usual limits.
    pub fn new(trust: Option<Trust>) -> Settings {
        let timeouts = Timeouts::default();
        Settings {
            trust,
            identity: None,
            timeouts,
            answer_bytes_max: ANSWER_BYTES_MAX,
        }
    }

    /// The same with this identity.
    pub fn with_identity(self, identity: Identity) -> Settings {
        Settings {
            identity: Some(identity),
            ..self
        }
    }
}

/// A client with its connections. Cheap to clone; clones share their connections.
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
}

struct Shared {
    tls: Option<Arc<ClientConfig>>,
    timeouts: Timeouts,
    answer_bytes_max: usize,
    idle: Mutex<HashMap<Origin, Vec<Connection>>>,
}

struct Connection {
    sender: http1::SendRequest<Full<Bytes>>,
    /// Ends with the connection, and knows why it ended.
    driver: JoinHandle<Result<(), hyper::Error>>,
    peer_chain: Arc<[Vec<u8>]>,
}

/// A whole answer.
#[derive(Debug, Clone)]
pub struct Response {
    /// The status.
    pub status: StatusCode,
    /// The header fields.
    pub headers: HeaderMap,
    /// The body, never longer than was agreed to.
    pub body: Vec<u8>,
    /// The certificates (DER) the server presented, its own first; empty over plain HTTP.
    pub peer_chain: Arc<[Vec<u8>]>,
}

impl Response {
    /// A header field as text, if it is there once and is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.get_all(name).iter();
        let first = values.next()?.to_str().ok()?;
        values.next().is_none().then_some(first)
    }
}

impl Client {
    /// Makes a client; no connection is opened yet.
    pub fn new(settings: Settings) -> Result<Client, Error> {
        let tls = match (settings.trust, settings.identity) {
            (Some(trust), identity) => Some(client_config(&trust, identity)?),
            (None, None) => None,
            (None, Some(_)) => {
                return Err(Error::Credentials {
                    what: "an identity needs trust anchors beside it",
                });
            }
        };
        Ok(Client {
            shared: Arc::new(Shared {
                tls,
                timeouts: settings.timeouts,
                answer_bytes_max: settings.answer_bytes_max,
                idle: Mutex::default(),
            }),
        })
    }

    /// GET.
    pub async fn get(&self, url: &Url) -> Result<Response, Error> {
        self.send(Method::GET, url, &[], Vec::new()).await
    }

    /// POST of a body of this media type.
    pub async fn post(
        &self,
        url: &Url,
        media_type: &str,
        body: Vec<u8>,
    ) -> Result<Response, Error> {
        self.send(
            Method::POST,
            url,
            &[(CONTENT_TYPE.as_str(), media_type)],
            body,
        )
        .await
    }

    /// Opens a connection and keeps it for the next request; returns what the server presented.
    pub async fn connect(&self, url: &Url) -> Result<Arc<[Vec<u8>]>, Error> {
        let connection = self.open(&url.origin).await?;
        let chain = connection.peer_chain.clone();
        self.keep(&url.origin, connection);
        Ok(chain)
    }

    /// Sends one request and reads the whole answer.
    ///
    /// An idle connection that turns out to be closed is replaced, since nothing was sent on it;
    /// a request that may have arrived is never sent again.
    pub async fn send(
        &self,
        method: Method,
        url: &Url,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Result<Response, Error> {
        let mut request = request(method, url, headers, body)?;
        while let Some(mut connection) = self.take_idle(&url.origin) {
            match self.exchange(&mut connection, request).await {
                Ok(response) => {
                    self.keep(&url.origin, connection);
                    return Ok(response);
                }
                Err(Failed::BeforeSending { unsent, .. }) => request = *unsent,
                Err(Failed::After(error)) => return Err(error),
            }
        }
        let mut connection = self.open(&url.origin).await?;
        match self.exchange(&mut connection, request).await {
            Ok(response) => {
                self.keep(&url.origin, connection);
                Ok(response)
            }
            Err(Failed::BeforeSending { error, .. }) => Err(why_closed(connection, error).await),
            Err(Failed::After(error)) => Err(error),
        }
    }

    async fn exchange(
        &self,
        connection: &mut Connection,
        request: Request<Full<Bytes>>,
    ) -> Result<Response, Failed> {
        let limit = self.shared.timeouts.answer(request.method());
        let bytes_max = self.shared.answer_bytes_max;
        let whole = async {
            if let Err(error) = connection.sender.ready().await {
                return Err(Failed::BeforeSending {
                    unsent: Box::new(request),
                    error,
                });
            }
            let answer = match connection.sender.try_send_request(request).await {
                Ok(answer) => answer,
                Err(mut failed) => {
                    return Err(match failed.take_message() {
                        Some(unsent) => Failed::BeforeSending {
                            unsent: Box::new(unsent),
                            error: failed.into_error(),
                        },
                        None => Failed::After(Error::Http {
                            source: failed.into_error(),
                        }),
                    });
                }
            };
            let (head, body) = answer.into_parts();
            let body = read_all(body, bytes_max).await.map_err(Failed::After)?;
            let peer_chain = connection.peer_chain.clone();
            Ok(Response {
                status: head.status,
                headers: head.headers,
                body,
                peer_chain,
            })
        };
        match timeout(limit, whole).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Failed::After(Error::Timeout {
                stage: Stage::Request,
                after: limit,
            })),
        }
    }

    /// Sends a request on a connection of its own, and hands the answer over as it begins.
    pub(super) async fn send_alone(
        &self,
        url: &Url,
        request: Request<Full<Bytes>>,
    ) -> Result<http::Response<Incoming>, Error> {
        let mut connection = self.open(&url.origin).await?;
        let limit = self.shared.timeouts.answer(request.method());
        match timeout(limit, connection.sender.send_request(request)).await {
            Ok(answer) => answer.map_err(|source| Error::Http { source }),
            Err(_) => Err(Error::Timeout {
                stage: Stage::Request,
                after: limit,
            }),
        }
    }

    async fn open(&self, origin: &Origin) -> Result<Connection, Error> {
        let Timeouts {
            connect, handshake, ..
        } = self.shared.timeouts;
        let tcp = match timeout(connect, reach(origin)).await {
            Ok(reached) => reached?,
            Err(_) => {
                return Err(Error::Timeout {
                    stage: Stage::Connect,
                    after: connect,
                });
            }
        };
        let Scheme::Https = origin.scheme else {
            return speak_http(tcp, Arc::from(Vec::new())).await;
        };
        let tls = self.shared.tls.clone().ok_or(Error::Credentials {
            what: "an https:// address needs trust anchors to check it with",
        })?;
        let name = ServerName::try_from(origin.host.clone()).map_err(|_| Error::Url {
            what: "its host is neither a DNS name nor an address",
        })?;
        let shaken = timeout(handshake, TlsConnector::from(tls).connect(name, tcp)).await;
        let stream = match shaken {
            Ok(Ok(stream)) => stream,
            Ok(Err(source)) => {
                return Err(Error::Tls {
                    server: origin.authority(),
                    source,
                });
            }
            Err(_) => {
                return Err(Error::Timeout {
                    stage: Stage::Handshake,
                    after: handshake,
                });
            }
        };
        let presented = stream.get_ref().1.peer_certificates().unwrap_or_default();
        let chain = presented.iter().map(|der| der.to_vec()).collect();
        speak_http(stream, chain).await
    }

    fn take_idle(&self, origin: &Origin) -> Option<Connection> {
        let mut idle = self
            .shared
            .idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let kept = idle.get_mut(origin)?;
        loop {
            let connection = kept.pop()?;
            if !connection.sender.is_closed() {
                return Some(connection);
            }
        }
    }

    fn keep(&self, origin: &Origin, connection: Connection) {
        if connection.sender.is_closed() {
            return;
        }
        let mut idle = self
            .shared
            .idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let kept = idle.entry(origin.clone()).or_default();
        if kept.len() < IDLE_CONNECTIONS_MAX {
            kept.push(connection);
        }
    }
}

/// A request that got no answer.
enum Failed {
    /// Nothing of it was sent.
    BeforeSending {
        unsent: Box<Request<Full<Bytes>>>,
        error: hyper::Error,
    },
    /// It may have arrived.
    After(Error),
}

pub(super) fn request(
    method: Method,
    url: &Url,
    headers: &[(&str, &str)],
    body: Vec<u8>,
) -> Result<Request<Full<Bytes>>, Error> {
    const BAD: Error = Error::Request {
        what: "a header field is not proper",
    };
    let mut request = Request::new(Full::new(Bytes::from(body)));
    *request.method_mut() = method;
    *request.uri_mut() = url.path().parse().map_err(|_| Error::Url {
        what: "its path is not proper",
    })?;
    let fields = request.headers_mut();
    fields.insert(
        HOST,
        HeaderValue::try_from(url.origin.authority()).map_err(|_| BAD)?,
    );
    fields.insert(
        USER_AGENT,
        HeaderValue::from_static(concat!("tenure/", env!("CARGO_PKG_VERSION"))),
    );
    for (name, value) in headers {
        let name = HeaderName::try_from(*name).map_err(|_| BAD)?;
        let mut value = HeaderValue::try_from(*value).map_err(|_| BAD)?;
        value.set_sensitive(name == http::header::AUTHORIZATION);
        fields.append(name, value);
    }
    Ok(request)
}

/// Opens a TCP connection: every address of the name in turn, and the whole round a few times.
async fn reach(origin: &Origin) -> Result<TcpStream, Error> {
    let mut pause = CONNECT_PAUSE;
    let mut tried = 0;
    loop {
        tried += 1;
        match TcpStream::connect((origin.host.as_str(), origin.port)).await {
            Ok(tcp) => {
                // Requests are small and answered at once: waiting for more to send only delays.
                let _ = tcp.set_nodelay(true);
                return Ok(tcp);
            }
            Err(_) if tried < CONNECT_TRIES => tokio::time::sleep(pause).await,
            Err(source) => {
                return Err(Error::Connect {
                    server: origin.authority(),
                    source,
                });
            }
        }
        pause *= 2;
    }
}

async fn speak_http<S>(stream: S, peer_chain: Arc<[Vec<u8>]>) -> Result<Connection, Error>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = http1::Builder::new()
        .max_headers(HEADERS_MAX)
        .max_buf_size(HEADER_BYTES_MAX)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|source| Error::Http { source })?;
    Ok(Connection {
        sender,
        driver: tokio::spawn(connection),
        peer_chain,
    })
}

/// The reason a fresh connection closed before the request went out: the driver has seen it.
async fn why_closed(connection: Connection, error: hyper::Error) -> Error {
    drop(connection.sender);
    match timeout(Duration::from_secs(1), connection.driver).await {
        Ok(Ok(Err(source))) => Error::Http { source },
        _ => Error::Http { source: error },
    }
}

pub(super) async fn read_all(mut body: Incoming, bytes_max: usize) -> Result<Vec<u8>, Error> {
    let announced = body.size_hint().lower();
    if announced > u64::try_from(bytes_max).unwrap_or(u64::MAX) {
        return Err(Error::TooLarge { bytes_max });
    }
    let mut whole = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|source| Error::Http { source })?;
        let Ok(piece) = frame.into_data() else {
            continue;
        };
        if whole.len() + piece.len() > bytes_max {
            return Err(Error::TooLarge { bytes_max });
        }
        whole.extend_from_slice(&piece);
    }
    Ok(whole)
}
