//! Who is on the other end of a request, as far as the connection knows.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Body as _;
use tenure_domain::ids::OperatorNo;
use tenure_x509::Cert;

use crate::limits::{DISCARD_TIME, DISCARDED_BYTES_MAX};
use crate::listen::Listener;
use crate::problem::Problem;

/// Whose token a request came with; set on the answer, for the log.
#[derive(Clone, Copy, Debug)]
pub struct Asker(pub OperatorNo);

/// What the connection knows about the sender of a request. Proof of key possession only: whether
/// the chain means anything is decided per request, by whoever reads it.
#[derive(Clone, Debug)]
pub struct Peer {
    /// The listener the request came through.
    pub listener: Listener,
    /// The request's id.
    pub request: RequestId,
    /// The other end of the connection.
    pub address: SocketAddr,
    /// The certificates sent in the handshake, leaf first, up to the first that cannot be read.
    /// Empty: none were sent. The private key of the first one signed this handshake.
    pub chain: Arc<[Cert]>,
    /// How long the body may take.
    pub body_time: Duration,
}

/// Names one request in the log, in the answer's `X-Request-Id`, and in a fault report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RequestId(u64);

impl RequestId {
    /// An id that no other request of this process has, and hardly one of another process.
    pub fn next() -> RequestId {
        static START: OnceLock<u64> = OnceLock::new();
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let start = START.get_or_init(|| {
            let passed = SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default();
            // Milliseconds in the upper bits; 2^24 requests later ids run into the next millisecond.
            u64::try_from(passed.as_millis()).unwrap_or(0) << 24
        });
        RequestId(start.wrapping_add(COUNT.fetch_add(1, Ordering::Relaxed)))
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl<S: Sync> FromRequestParts<S> for Peer {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Peer, Problem> {
        // The accept loop puts it there; a router used without one is a programming error.
        parts
            .extensions
            .get::<Peer>()
            .cloned()
            .ok_or_else(Problem::internal)
    }
}

/// A request body, whole: at most `MAX` bytes, and in time.
#[derive(Clone, Debug)]
pub struct Whole<const MAX: usize>(pub Bytes);

impl<S: Send + Sync, const MAX: usize> FromRequest<S> for Whole<MAX> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let time = request
            .extensions()
            .get::<Peer>()
            .map(|peer| peer.body_time);
        let time = time.ok_or_else(Problem::internal)?;
        let body = request.into_body();
        if usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX) > MAX {
            discard(body, time).await;
            return Err(Problem::too_large(MAX));
        }
        match tokio::time::timeout(time, Limited::new(body, MAX).collect()).await {
            Ok(Ok(body)) => Ok(Whole(body.to_bytes())),
            Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Problem::too_large(MAX)),
            Ok(Err(_)) => Err(Problem::bad_request("the body broke off")),
            Err(_) => Err(Problem::too_slow()),
        }
    }
}

/// A request body as it comes: at most so many bytes. It may take long, as long as it goes on.
pub struct Pieces {
    body: Limited<Body>,
    max: usize,
    time: Duration,
}

impl Pieces {
    /// The body of a request.
    ///
    /// # Errors
    /// 413 if it is announced to be larger.
    pub async fn of(request: Request, max: usize) -> Result<Pieces, Problem> {
        let peer = request.extensions().get::<Peer>();
        let time = peer.map(|peer| peer.body_time);
        let time = time.ok_or_else(Problem::internal)?;
        let body = request.into_body();
        if usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX) > max {
            discard(body, time).await;
            return Err(Problem::too_large(max));
        }
        let body = Limited::new(body, max);
        Ok(Pieces { body, max, time })
    }

    /// The next piece; none at its end.
    ///
    /// # Errors
    /// 413, 400 if it breaks off, and 408 if nothing comes for the time of a body.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Problem> {
        loop {
            match tokio::time::timeout(self.time, self.body.frame()).await {
                Ok(None) => return Ok(None),
                Ok(Some(Ok(frame))) => {
                    if let Ok(piece) = frame.into_data() {
                        return Ok(Some(piece));
                    }
                }
                Ok(Some(Err(error))) if error.is::<LengthLimitError>() => {
                    return Err(Problem::too_large(self.max));
                }
                Ok(Some(Err(_))) => return Err(Problem::bad_request("the body broke off")),
                Err(_) => return Err(Problem::too_slow()),
            }
        }
    }
}

/// Reads a body that is not wanted for a little while: an answer given while the other side still
/// writes would be lost with the connection.
async fn discard(mut body: Body, time: Duration) {
    let mut left = DISCARDED_BYTES_MAX;
    let reading = async {
        while let Some(Ok(frame)) = body.frame().await {
            left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
            if left == 0 {
                break;
            }
        }
    };
    // Whether it came to its end or not, the answer is the same.
    let _ = tokio::time::timeout(time.min(DISCARD_TIME), reading).await;
}

impl<const MAX: usize> Whole<MAX> {
    /// The bytes.
    pub fn into_inner(self) -> Bytes {
        self.0
    }
}
