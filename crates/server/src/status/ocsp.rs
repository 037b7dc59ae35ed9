//! OCSP over HTTP (RFC 6960 appendix A, RFC 9919): POST, and GET with the request in the path.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::response::Response;
use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::header::{
    ALLOW, CACHE_CONTROL, CONTENT_TYPE, ETAG, EXPIRES, HeaderMap, HeaderValue, IF_NONE_MATCH,
    LAST_MODIFIED, RETRY_AFTER,
};
use hyper::{Method, Request, StatusCode};
use tenure_domain::text::hex;
use tenure_engine::Engine;
use tenure_engine::status::{OCSP_CACHE_S, OcspAnswer};
use tenure_x509::{Time, sha256};

use super::date::http_date;
use crate::limits::{Limits, OCSP_BODY_BYTES_MAX};
use crate::listen::rate::{Buckets, Rate, Source};

#[cfg(test)]
mod tests;

const PATH: &str = "/ocsp";
const ANSWER: HeaderValue = HeaderValue::from_static("application/ocsp-response");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// `id-pkix-ocsp-nonce` (RFC 9654) as it stands in a request.
const NONCE_OID: [u8; 11] = [
    0x06, 0x09, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x01, 0x02,
];

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The responder's front. It stands before the router, because status is asked for far more often
/// than all else together.
#[derive(Clone)]
pub struct Ocsp {
    engine: Engine,
    with_nonce: Arc<Buckets<Source>>,
}

impl Ocsp {
    /// The front of the engine's responders.
    pub fn new(engine: Engine, limits: &Limits) -> Ocsp {
        let rate = Rate::per_second(limits.nonce_requests_per_source_s);
        Ocsp {
            engine,
            with_nonce: Arc::new(Buckets::new(rate)),
        }
    }

    /// Whether a path is the responder's.
    pub fn is_for(path: &str) -> bool {
        path.strip_prefix(PATH)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// Answers a request from `source`, whose body may take `body_time`.
    pub async fn answer(
        &self,
        source: IpAddr,
        body_time: Duration,
        request: Request<Incoming>,
    ) -> Response {
        match *request.method() {
            Method::POST => match read(request, body_time).await {
                Ok(der) => self.judge(source, &der, None).await,
                Err(status) => bare(status),
            },
            Method::GET | Method::HEAD => match in_path(request.uri().path()) {
                Some(der) => self.judge(source, &der, Some(request.headers())).await,
                None => bare(StatusCode::BAD_REQUEST),
            },
            _ => {
                let mut no = bare(StatusCode::METHOD_NOT_ALLOWED);
                no.headers_mut()
                    .insert(ALLOW, HeaderValue::from_static("GET, HEAD, POST"));
                no
            }
        }
    }

    async fn judge(&self, source: IpAddr, der: &[u8], get: Option<&HeaderMap>) -> Response {
        let has_nonce = der.windows(NONCE_OID.len()).any(|found| found == NONCE_OID);
        if has_nonce {
            // Each of these costs a signature and can be given to nobody else.
            if let Err(after) = self.with_nonce.take(&Source::from(source), Instant::now()) {
                let mut no = bare(StatusCode::TOO_MANY_REQUESTS);
                let seconds = after.as_secs().saturating_add(1);
                no.headers_mut()
                    .insert(RETRY_AFTER, HeaderValue::from(seconds));
                return no;
            }
        }
        let answer = self.engine.ocsp(der).await;
        render(&answer, self.engine.clock().now(), get)
    }
}

/// The headers of RFC 9919 section 5: what may be kept says for how long, what may not says so.
fn render(answer: &OcspAnswer, now: Time, get: Option<&HeaderMap>) -> Response {
    let mut response = Response::new(Body::empty());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, ANSWER);
    match answer.keep {
        None => {
            headers.insert(CACHE_CONTROL, NO_STORE);
        }
        Some((made, until)) => {
            let tag = tag(&answer.der);
            let left = until
                .unix()
                .saturating_sub(now.unix())
                .clamp(0, OCSP_CACHE_S);
            let control = format!("max-age={left}, public, no-transform, must-revalidate");
            // Digits and letters.
            if let (Ok(control), Ok(tag)) =
                (HeaderValue::from_str(&control), HeaderValue::from_str(&tag))
            {
                headers.insert(CACHE_CONTROL, control);
                headers.insert(ETAG, tag);
            }
            headers.insert(LAST_MODIFIED, http_date(made));
            headers.insert(EXPIRES, http_date(until));
            if get.is_some_and(|asked| asked.get(IF_NONE_MATCH) == response.headers().get(ETAG)) {
                *response.status_mut() = StatusCode::NOT_MODIFIED;
                return response;
            }
        }
    }
    *response.body_mut() = Body::from(Bytes::from_owner(Arc::clone(&answer.der)));
    response
}

fn tag(der: &[u8]) -> String {
    let digest = sha256(der);
    let (half, _) = digest.split_at(digest.len() / 2);
    format!("\"{}\"", hex(half))
}

fn bare(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response.headers_mut().insert(CACHE_CONTROL, NO_STORE);
    response
}

async fn read(request: Request<Incoming>, time: Duration) -> Result<Bytes, StatusCode> {
    let body = Limited::new(request.into_body(), OCSP_BODY_BYTES_MAX);
    match tokio::time::timeout(time, body.collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(StatusCode::PAYLOAD_TOO_LARGE),
        Ok(Err(_)) => Err(StatusCode::BAD_REQUEST),
        Err(_) => Err(StatusCode::REQUEST_TIMEOUT),
    }
}

/// The request in the path of a GET: base64, with or without percent-escapes.
///
/// Slashes of the base64 may come raw or escaped; a doubled slash before it comes from a base URL
/// that ends in one. A `+` is a plus here, whatever forms do; a space is one that somebody decoded.
pub(crate) fn in_path(path: &str) -> Option<Vec<u8>> {
    let text = path.strip_prefix(PATH)?.trim_start_matches('/');
    if text.is_empty() || text.len() > 3 * OCSP_BODY_BYTES_MAX {
        return None;
    }
    let mut plain = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let byte = match byte {
            b'%' => {
                let high = char::from(bytes.next()?).to_digit(16)?;
                let low = char::from(bytes.next()?).to_digit(16)?;
                u8::try_from(high * 16 + low).ok()?
            }
            byte => byte,
        };
        plain.push(if byte == b' ' { b'+' } else { byte });
    }
    // DER of a SEQUENCE is never written with a slash first, so an escaped one is no part of it.
    let start = plain.iter().position(|byte| *byte != b'/')?;
    let der = BASE64.decode(plain.get(start..)?).ok()?;
    (der.len() <= OCSP_BODY_BYTES_MAX).then_some(der)
}
