//! The listeners: accept, shake hands, answer, stop gracefully.
//!
//! The accept loop is our own, so that the peer's certificate chain reaches the handlers exactly as
//! TLS saw it. Nothing here decides who may do what: a handler gets a [`Peer`] and bytes.

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::response::IntoResponse;
use hyper::body::Incoming;
use hyper::header::HeaderValue;
use hyper::server::conn::{http1, http2};
use hyper::service::{Service, service_fn};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tenure_x509::Cert;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::limits::{self, Limits};
use crate::metrics::EdgeMetrics;
use crate::peer::{Asker, Peer, RequestId};
use crate::problem::Problem;
use crate::status::ocsp::Ocsp;

pub mod rate;
mod taken;
#[cfg(test)]
mod tests;
pub(crate) mod trace;

use rate::{Buckets, Places, Rate, Source};
use taken::Taken;

/// The doors of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Listener {
    /// HTTPS for devices.
    Device,
    /// Plain HTTP for everyone.
    Public,
    /// HTTPS for operators.
    Operator,
    /// HTTPS for relying parties that ask for decisions. Closed unless an address is configured.
    Access,
}

impl Listener {
    /// All of them.
    pub const ALL: [Listener; 4] = [
        Listener::Device,
        Listener::Public,
        Listener::Operator,
        Listener::Access,
    ];

    /// The name in logs, metrics and `run.json`, and the key in `[listen]`.
    pub const fn name(self) -> &'static str {
        match self {
            Listener::Device => "device",
            Listener::Public => "public",
            Listener::Operator => "operator",
            Listener::Access => "access",
        }
    }

    /// The environment variable that overrides its address.
    pub const fn variable(self) -> &'static str {
        match self {
            Listener::Device => "TENURE_LISTEN_DEVICE",
            Listener::Public => "TENURE_LISTEN_PUBLIC",
            Listener::Operator => "TENURE_LISTEN_OPERATOR",
            Listener::Access => "TENURE_LISTEN_ACCESS",
        }
    }

    fn requests_per_source_s(self, limits: &Limits) -> u32 {
        match self {
            Listener::Device => limits.device_requests_per_source_s,
            Listener::Public => limits.public_requests_per_source_s,
            Listener::Operator => limits.operator_requests_per_source_s,
            Listener::Access => limits.access_requests_per_source_s,
        }
    }
}

/// Says when to stop: handed to everything that runs until the process ends.
#[derive(Clone, Debug)]
pub struct Stop(watch::Receiver<bool>);

/// The other end of [`Stop`]. Dropping it also asks for the stop.
#[derive(Debug)]
pub struct StopSwitch(watch::Sender<bool>);

impl Stop {
    /// A switch, and what it switches.
    pub fn new() -> (StopSwitch, Stop) {
        let (sender, receiver) = watch::channel(false);
        (StopSwitch(sender), Stop(receiver))
    }

    /// Resolves once a stop has been asked for.
    pub async fn asked(&mut self) {
        // An error means the switch is gone, which asks for the stop as well.
        let _ = self.0.wait_for(|stop| *stop).await;
    }
}

impl StopSwitch {
    /// Asks for the stop.
    pub fn stop(&self) {
        // No receiver left: everything has stopped already.
        let _ = self.0.send(true);
    }
}

/// A bound socket that does not accept yet.
#[derive(Debug)]
pub struct Bound {
    listener: Listener,
    socket: TcpListener,
    address: SocketAddr,
}

impl Bound {
    /// Binds a listener.
    ///
    /// # Errors
    /// The address is taken, forbidden, or not of this machine; the message says which key to change.
    pub async fn bind(listener: Listener, address: SocketAddr) -> Result<Bound, BindError> {
        let refused = |error| BindError {
            listener,
            address,
            error,
        };
        let socket = TcpListener::bind(address).await.map_err(refused)?;
        let address = socket.local_addr().map_err(refused)?;
        Ok(Bound {
            listener,
            socket,
            address,
        })
    }

    /// Which one it is.
    pub fn listener(&self) -> Listener {
        self.listener
    }

    /// The address it is bound to, with the port the system chose if 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Accepts and answers until `stop`, then lets what is under way finish, for [`limits::DRAIN`]
    /// at most.
    pub async fn serve(
        self,
        transport: Transport,
        answers: impl Into<Answers>,
        limits: &Limits,
        metrics: EdgeMetrics,
        mut stop: Stop,
    ) {
        let rate = Rate::per_second(self.listener.requests_per_source_s(limits));
        let Answers { router, ocsp } = answers.into();
        let shared = Arc::new(Shared {
            listener: self.listener,
            transport,
            router: TowerToHyperService::new(router),
            ocsp,
            limits: limits.clone(),
            requests: Buckets::new(rate),
            handshakes: Buckets::new(rate.map(Rate::doubled)),
            metrics,
        });
        let places = Places::new(limits.connections, limits.connections_per_source);
        let mut open = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                () = stop.asked() => break,
                accepted = self.socket.accept() => accepted,
            };
            while open.try_join_next().is_some() {}
            let (stream, address) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of file descriptors, or the client went away. Both pass.
                    tracing::warn!(listener = self.listener.name(), %error, "cannot accept");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            let Some(place) = places.take(Source::from(address.ip())) else {
                shared.metrics.turned_away("connections");
                continue;
            };
            let shared = Arc::clone(&shared);
            let stop = stop.clone();
            open.spawn(async move {
                shared.metrics.opened();
                shared.connection(stream, address, stop).await;
                shared.metrics.closed();
                drop(place);
            });
        }
        drop(self.socket);
        let drained = tokio::time::timeout(limits::DRAIN, async {
            while open.join_next().await.is_some() {}
        });
        if drained.await.is_err() {
            let listener = self.listener.name();
            tracing::warn!(
                listener,
                left = open.len(),
                "requests were cut off by the stop"
            );
        }
    }
}

/// What answers on a listener: routes, and perhaps the OCSP responder before them.
pub struct Answers {
    router: Router,
    ocsp: Option<Ocsp>,
}

impl From<Router> for Answers {
    fn from(router: Router) -> Answers {
        Answers { router, ocsp: None }
    }
}

impl Answers {
    /// Routes with the OCSP responder before them.
    pub fn with_ocsp(router: Router, ocsp: Ocsp) -> Answers {
        Answers {
            router,
            ocsp: Some(ocsp),
        }
    }
}

/// How bytes travel on a listener.
#[derive(Clone)]
pub enum Transport {
    /// Plain TCP.
    Plain,
    /// TLS.
    Tls(Arc<rustls::ServerConfig>),
}

struct Shared {
    listener: Listener,
    transport: Transport,
    router: TowerToHyperService<Router>,
    ocsp: Option<Ocsp>,
    limits: Limits,
    requests: Buckets<Source>,
    handshakes: Buckets<Source>,
    metrics: EdgeMetrics,
}

/// What was agreed on in the handshake.
#[derive(Clone, Copy)]
enum Version {
    Http1,
    Http2,
}

/// One connection, from its accept to its end.
#[derive(Clone)]
struct Line {
    address: SocketAddr,
    chain: Arc<[Cert]>,
}

impl Shared {
    async fn connection(self: &Arc<Self>, stream: TcpStream, address: SocketAddr, stop: Stop) {
        // Answers are small; waiting to fill a segment only costs the client time.
        let _ = stream.set_nodelay(true);
        let listener = self.listener.name();
        match &self.transport {
            Transport::Plain => {
                let chain = [].into();
                self.exchange(stream, Line { address, chain }, Version::Http1, stop)
                    .await;
            }
            Transport::Tls(config) => {
                let source = Source::from(address.ip());
                if self.handshakes.take(&source, Instant::now()).is_err() {
                    self.metrics.turned_away("handshakes");
                    tracing::debug!(listener, %source, "too many handshakes");
                    return;
                }
                let handshake = TlsAcceptor::from(Arc::clone(config)).accept(stream);
                let wait = seconds(self.limits.handshake_s);
                match tokio::time::timeout(wait, handshake).await {
                    Ok(Ok(stream)) => {
                        let session = stream.get_ref().1;
                        let chain = crate::tls::peer_chain(session);
                        let version = match session.alpn_protocol() {
                            Some(b"h2") => Version::Http2,
                            _ => Version::Http1,
                        };
                        self.exchange(stream, Line { address, chain }, version, stop)
                            .await;
                    }
                    Ok(Err(error)) => {
                        self.metrics.turned_away("handshake");
                        tracing::debug!(listener, source = %address.ip(), %error, "no handshake");
                    }
                    Err(_) => {
                        self.metrics.turned_away("handshake_time");
                        tracing::debug!(listener, source = %address.ip(), "handshake took too long");
                    }
                }
            }
        }
    }

    async fn exchange(
        self: &Arc<Self>,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        line: Line,
        version: Version,
        stop: Stop,
    ) {
        let shared = Arc::clone(self);
        let source = line.address.ip();
        let service = service_fn(move |request: Request<Incoming>| {
            let shared = Arc::clone(&shared);
            let line = line.clone();
            async move { Ok::<_, Infallible>(shared.answer(line, request).await) }
        });
        let stream = TokioIo::new(Taken::new(stream, limits::SEND_TIME));
        let end = match version {
            Version::Http1 => {
                let connection = http1::Builder::new()
                    .timer(TokioTimer::new())
                    .header_read_timeout(seconds(self.limits.header_s))
                    .max_buf_size(limits::HEADER_BYTES_MAX)
                    .max_headers(limits::HEADERS_MAX)
                    .serve_connection(stream, service);
                until(connection, |it| it.graceful_shutdown(), stop).await
            }
            Version::Http2 => {
                let connection = http2::Builder::new(TokioExecutor::new())
                    .timer(TokioTimer::new())
                    .max_header_list_size(limits::H2_HEADER_BYTES_MAX)
                    .max_concurrent_streams(limits::H2_STREAMS_MAX)
                    .keep_alive_interval(seconds(self.limits.header_s))
                    .serve_connection(stream, service);
                until(connection, |it| it.graceful_shutdown(), stop).await
            }
        };
        if let Err(error) = end {
            tracing::debug!(listener = self.listener.name(), %source, %error, "connection broke");
        }
    }

    async fn answer(&self, line: Line, request: Request<Incoming>) -> Response<Body> {
        let began = Instant::now();
        let id = RequestId::next();
        let source = line.address.ip();
        let method = request.method().clone();
        let path = logged_path(request.uri().path());
        let trace = trace::trace_id(request.headers());

        let mut response = match self.requests.take(&Source::from(source), began) {
            Ok(()) => self.route(id, line, request).await,
            Err(wait) => {
                self.metrics.turned_away("requests");
                Problem::too_many(wait).into_response()
            }
        };
        if let Ok(value) = HeaderValue::from_str(&id.to_string()) {
            response.headers_mut().insert("x-request-id", value);
        }
        let took = began.elapsed();
        self.metrics.answered(response.status(), took);
        let asked = Asked {
            id,
            trace: trace.as_deref(),
            source,
            method: method.as_str(),
            path: &path,
            token: response.extensions().get::<Asker>().map(|asker| asker.0.0),
        };
        self.log(&asked, response.status(), took);
        response
    }

    async fn route(&self, id: RequestId, line: Line, request: Request<Incoming>) -> Response<Body> {
        if let Some(ocsp) = self
            .ocsp
            .as_ref()
            .filter(|_| Ocsp::is_for(request.uri().path()))
        {
            let body_time = seconds(self.limits.body_s);
            return ocsp.answer(line.address.ip(), body_time, request).await;
        }
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(Peer {
            listener: self.listener,
            request: id,
            address: line.address,
            chain: line.chain,
            body_time: seconds(self.limits.body_s),
        });
        match self.router.call(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }

    /// One line per request: never a header, never a query string, never a body.
    fn log(&self, asked: &Asked<'_>, status: StatusCode, took: Duration) {
        let Asked {
            id,
            trace,
            source,
            method,
            path,
            token,
        } = asked;
        let listener = self.listener.name();
        let status = status.as_u16();
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        // Reads of public status and decisions are many and mean nothing one by one.
        let are_many = matches!(self.listener, Listener::Public | Listener::Access);
        if are_many && status < 500 {
            tracing::debug!(request = %id, trace, listener, %source, method, path, token, status, us, "answered");
        } else {
            tracing::info!(request = %id, trace, listener, %source, method, path, token, status, us, "answered");
        }
    }
}

/// What is logged of a request.
struct Asked<'a> {
    id: RequestId,
    /// The trace that its sender says it is part of.
    trace: Option<&'a str>,
    source: IpAddr,
    method: &'a str,
    path: &'a str,
    /// Whose it is: the number of an operator's token.
    token: Option<i64>,
}

/// Answers on a connection until it ends, or until a stop is asked for and what is under way is done.
async fn until<C: Future<Output = hyper::Result<()>>>(
    connection: C,
    shut_down: impl FnOnce(Pin<&mut C>),
    mut stop: Stop,
) -> hyper::Result<()> {
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        end = connection.as_mut() => end,
        () = stop.asked() => {
            shut_down(connection.as_mut());
            connection.await
        }
    }
}

fn logged_path(path: &str) -> String {
    match path
        .char_indices()
        .find(|(at, _)| *at >= limits::LOGGED_PATH_BYTES_MAX)
    {
        Some((at, _)) => path.get(..at).unwrap_or_default().to_string() + "…",
        None => path.to_string(),
    }
}

/// A limit in seconds, where 0 means none.
fn seconds(limit: u64) -> Duration {
    // A year stands for "never": timers cannot hold much more.
    Duration::from_secs(if limit == 0 { 365 * 24 * 3600 } else { limit })
}

/// Why a listener could not be bound.
#[derive(Debug)]
pub struct BindError {
    listener: Listener,
    address: SocketAddr,
    error: io::Error,
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let BindError {
            listener,
            address,
            error,
        } = self;
        let (name, variable) = (listener.name(), listener.variable());
        write!(f, "cannot listen on {address}: ")?;
        match error.kind() {
            io::ErrorKind::AddrInUse => write!(f, "another program uses this address. Stop it, or"),
            io::ErrorKind::AddrNotAvailable => {
                write!(f, "this machine has no such address. Please")
            }
            io::ErrorKind::PermissionDenied => {
                write!(
                    f,
                    "ports under 1024 need the capability CAP_NET_BIND_SERVICE. Give it, or"
                )
            }
            _ => write!(f, "{error}. Please"),
        }?;
        write!(
            f,
            " choose another address with `{name}` under [listen] in tenure.toml, or {variable}"
        )
    }
}

impl std::error::Error for BindError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}
