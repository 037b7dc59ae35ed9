//! `serverkeygen`: the server makes the key (RFC 7030 section 4.4), if the device's class allows it.
//!
//! A key made here is never written anywhere. It is made only to be certified at once: while a request
//! waits for a decision there is none, so a restart loses nothing, and the same request later gets its
//! key. Once answered, the key stays in memory for a short while, so that an answer that was lost can
//! be given again; after that, or after a restart, it is gone, and the device has to start anew.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::response::{IntoResponse, Response};
use hyper::StatusCode;
use hyper::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderValue};
use parking_lot::Mutex;
use tenure_domain::Refusal;
use tenure_domain::ask::Ask;
use tenure_domain::text::hex;
use tenure_engine::Answer;
use tenure_wire::est::{GeneratedKey, KeyFormat, Wrapping, build_generated_key};
use tenure_x509::{Csr, KeyAlgorithm, KeyKind, KeyPair, cms, sha256};
use tokio::sync::Semaphore;

use super::render::{self, plain, refused, rejected};
use super::{Desk, der_of};
use crate::limits::{MADE_KEY_ANSWERED_LIFE, MADE_KEYS_MAX};

/// What a device is told whose answer was lost for longer than its key is kept.
const GONE: &str = "this request was answered, and the key made for it is not kept any more; revoke its \
                    certificate, and ask again with a new one-time secret and a newly signed request";

/// The keys that may be asked for again.
pub(super) struct MadeKeys {
    kept: Mutex<HashMap<[u8; 32], Made>>,
    /// An RSA key takes a good part of a second to make: one at a time.
    rsa: Semaphore,
}

#[derive(Clone)]
struct Made {
    pair: Arc<KeyPair>,
    until: Instant,
}

impl Default for MadeKeys {
    fn default() -> MadeKeys {
        MadeKeys {
            kept: Mutex::default(),
            rsa: Semaphore::new(1),
        }
    }
}

impl MadeKeys {
    fn find(&self, request: &[u8; 32], now: Instant) -> Option<Arc<KeyPair>> {
        let kept = self.kept.lock();
        let made = kept.get(request).filter(|made| now < made.until)?;
        Some(Arc::clone(&made.pair))
    }

    fn keep(&self, request: [u8; 32], pair: &Arc<KeyPair>, now: Instant, life: Duration) {
        let mut kept = self.kept.lock();
        if kept.len() >= MADE_KEYS_MAX {
            kept.retain(|_, made| now < made.until);
        }
        // Full of live ones: this one is simply not kept, and asking again makes another.
        if kept.len() < MADE_KEYS_MAX || kept.contains_key(&request) {
            kept.insert(
                request,
                Made {
                    pair: Arc::clone(pair),
                    until: now + life,
                },
            );
        }
    }
}

impl Desk {
    /// Makes a key of the same kind as the one that signed the request, and asks for a certificate
    /// for it in the device's name.
    pub(super) async fn server_keygen(
        &self,
        ask: Ask,
        headers: &HeaderMap,
        wrapping: Wrapping,
    ) -> Response {
        if ask.presented.chain.is_empty() && ask.presented.secret.is_none() {
            return refused(&Refusal::NotAuthenticated);
        }
        let request = name_of(&ask, headers);
        // Known by the key that the device asks with: the one made for it is another each time.
        let mut ask = ask;
        ask.presented.asker = Some(ask.csr.public_key().hash());
        let pair = match self.made.find(&request, Instant::now()) {
            Some(pair) => pair,
            None => match self.make(ask.csr.public_key().algorithm()).await {
                Ok(pair) => Arc::new(pair),
                Err(response) => return response,
            },
        };
        let csr = Csr::build(&pair, ask.csr.subject(), ask.csr.san());
        let Ok(csr) = csr.and_then(|der| Csr::from_der(&der)) else {
            return plain(
                StatusCode::BAD_REQUEST,
                "the names in the request cannot be used",
            );
        };
        match self.ask(Ask { csr, ..ask }).await {
            Ok(Answer::Issued(certificate)) => {
                let now = Instant::now();
                // Another one of two that came together may have been answered with its own key.
                let fits = |pair: &Arc<KeyPair>| pair.public() == certificate.cert.public_key();
                match Some(pair)
                    .filter(fits)
                    .or_else(|| self.made.find(&request, now).filter(fits))
                {
                    Some(pair) => {
                        self.made.keep(request, &pair, now, MADE_KEY_ANSWERED_LIFE);
                        generated(&pair, der_of(&certificate), wrapping)
                    }
                    None => plain(StatusCode::CONFLICT, GONE),
                }
            }
            Ok(Answer::Pending { retry_after_s }) => render::pending(retry_after_s),
            Err(rejection) => rejected(&rejection),
        }
    }

    async fn make(&self, like: KeyAlgorithm) -> Result<KeyPair, Response> {
        let kind = match like {
            KeyAlgorithm::P256 => KeyKind::P256,
            KeyAlgorithm::P384 => KeyKind::P384,
            KeyAlgorithm::Ed25519 => KeyKind::Ed25519,
            KeyAlgorithm::Rsa(..=2048) => KeyKind::Rsa2048,
            KeyAlgorithm::Rsa(..=3072) => KeyKind::Rsa3072,
            KeyAlgorithm::Rsa(_) => KeyKind::Rsa4096,
            KeyAlgorithm::P521 | KeyAlgorithm::Other => {
                let what = "no key of the kind in the request is made here; sign it with a P-256, \
                            P-384, Ed25519 or RSA key";
                return Err(plain(StatusCode::BAD_REQUEST, what));
            }
        };
        let is_rsa = matches!(like, KeyAlgorithm::Rsa(_));
        let _turn = match is_rsa.then(|| self.made.rsa.try_acquire()).transpose() {
            Ok(turn) => turn,
            Err(_) => return Err(refused(&Refusal::TooSoon { retry_after_s: 2 })),
        };
        let made = tokio::task::spawn_blocking(move || KeyPair::generate(kind)).await;
        match made {
            Ok(Ok(pair)) => Ok(pair),
            Ok(Err(_)) | Err(_) => {
                tracing::error!("the cryptographic library made no key");
                Err(plain(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "no key could be made",
                ))
            }
        }
    }
}

/// What makes two of these requests the same: all that was shown and sent.
fn name_of(ask: &Ask, headers: &HeaderMap) -> [u8; 32] {
    let mut text = Vec::new();
    let shown = ask.presented.chain.first().map(|leaf| leaf.fingerprint());
    text.extend_from_slice(&shown.unwrap_or_default());
    let secret = headers
        .get(AUTHORIZATION)
        .map(|value| sha256(value.as_bytes()));
    text.extend_from_slice(&secret.unwrap_or_default());
    text.extend_from_slice(&ask.csr.digest());
    text.extend_from_slice(
        ask.via
            .label
            .as_ref()
            .map_or("", |label| label.as_str())
            .as_bytes(),
    );
    sha256(&text)
}

fn generated(pair: &KeyPair, certificate: &[u8], wrapping: Wrapping) -> Response {
    let Ok(key) = pair.to_pkcs8() else {
        return plain(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the key has no PKCS#8 form",
        );
    };
    let certs = cms::certs_only(&[certificate]);
    let answer = GeneratedKey {
        format: KeyFormat::Pkcs8,
        key,
        certs,
    };
    // Base64 holds no hyphen, so any boundary would do; this one is new with each certificate.
    let boundary = hex(&sha256(certificate));
    let Ok((content_type, body)) = build_generated_key(&answer, &boundary, wrapping) else {
        return plain(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the answer could not be written",
        );
    };
    let mut response = body.as_str().to_owned().into_response();
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // The boundary is hex.
    if let Ok(value) = HeaderValue::from_str(&content_type) {
        headers.insert(CONTENT_TYPE, value);
    }
    response
}
