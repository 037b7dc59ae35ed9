//! EST (RFC 7030, with RFC 8951 and 9908): bytes to an [`Ask`], the answer to bytes.
//!
//! What a request shows (the client's certificate, Basic credentials) is only collected here. The
//! engine judges it, anew for each request, by what the store says at that moment: a connection
//! that outlives its certificate gains nothing.

mod keygen;
mod render;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::{FromRequest, Request, State};
use axum::response::{IntoResponse, Response};
use hyper::header::{ALLOW, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::{Method, StatusCode};
use tenure_domain::ask::{Ask, Operation, Presented, PresentedSecret, Protocol, Via};
use tenure_domain::ids::{DeviceId, Slug};
use tenure_domain::issuer::{Issuer, IssuerKind};
use tenure_domain::profile::{Profile, ProfileKind};
use tenure_domain::rollover::{cross_certificates, line_of, line_of_name, root_of};
use tenure_engine::store::certificate::Certificate;
use tenure_engine::{Answer, Engine, Rejection, Snapshot};
use tenure_wire::est::{
    CERTS_ONLY, CSR_ATTRIBUTES, Credentials, CsrAttrs, EstPath, Label, Operation as Asked,
    TRANSFER_ENCODING, WantedKey, Wrapping, encode_body, parse_enroll,
};
use tenure_x509::{Csr, KeyKind, cms};

use crate::config;
use crate::limits::{DEVICE_BODY_BYTES_MAX, Limits};
use crate::listen::Listener;
use crate::listen::rate::{Buckets, Rate, Source};
use crate::peer::{Peer, Whole};
use keygen::MadeKeys;
use render::{plain, refused, rejected, wait};

/// Everything EST needs: the engine, and what is limited per device.
struct Desk {
    engine: Engine,
    wrapped: Vec<String>,
    devices: Buckets<Shown>,
    made: MadeKeys,
}

/// Whom a request's share of the limits is taken from: the key that TLS saw, or an id from an
/// address. Nobody can use up the share of a device whose key or address they do not have.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Shown {
    Certificate([u8; 32]),
    Id(Source, String),
}

/// The routes of the device listener.
pub fn router(engine: Engine, config: &config::Est, limits: &Limits) -> Router {
    let desk = Desk {
        engine,
        wrapped: config.wrapped_labels.clone(),
        devices: Buckets::new(Rate::per_minute(limits.requests_per_device_min)),
        made: MadeKeys::default(),
    };
    Router::new().fallback(answer).with_state(Arc::new(desk))
}

async fn answer(State(desk): State<Arc<Desk>>, peer: Peer, request: Request) -> Response {
    let path = match EstPath::parse(request.uri().path()) {
        Ok(path) => path,
        Err(error) => return render::malformed(&error),
    };
    let is_right = match *request.method() {
        Method::HEAD => path.operation.method() == "GET",
        ref method => method.as_str() == path.operation.method(),
    };
    if !is_right {
        let mut no = plain(
            StatusCode::METHOD_NOT_ALLOWED,
            "this operation takes another method",
        );
        no.headers_mut()
            .insert(ALLOW, HeaderValue::from_static(path.operation.method()));
        return no;
    }
    let unknown = || refused(&tenure_domain::Refusal::UnknownLabel);
    let label = match path.label.as_ref().map(|label| label.as_str().parse()) {
        None => None,
        Some(Ok(label)) => Some(label),
        Some(Err(_)) => return unknown(),
    };
    let wrapping = desk.wrapping(path.label.as_ref());
    // Whoever asks for a certificate says first who they are; the engine judges the label.
    let operation = match path.operation {
        Asked::SimpleEnroll => Operation::Enroll,
        Asked::SimpleReenroll => Operation::Renew,
        Asked::ServerKeygen => Operation::ServerKeygen,
        Asked::CaCerts | Asked::CsrAttrs => {
            let snapshot = desk.engine.snapshot();
            let profile = match label.map(|label| labelled(&snapshot, &label)) {
                None => None,
                Some(Some(profile)) => Some(profile),
                Some(None) => return unknown(),
            };
            return match path.operation {
                Asked::CsrAttrs => csr_attrs(profile.as_deref(), wrapping),
                _ => ca_certs(&snapshot, profile.as_deref(), wrapping),
            };
        }
        Asked::FullCmc => {
            return plain(
                StatusCode::NOT_IMPLEMENTED,
                "full CMC is not offered here; use simpleenroll and simplereenroll",
            );
        }
    };
    let source = peer.address.ip();
    let asked = desk.read(operation, label, peer, request).await;
    match asked {
        Ok((ask, headers)) => desk.answer(ask, &headers, wrapping).await,
        Err(unread) => {
            desk.engine
                .count_stranger(Listener::Device.name(), Some(source), unread.reason);
            unread.response
        }
    }
}

/// A label is the name of a profile that devices may ask for. Our own profiles have no label.
fn labelled(snapshot: &Snapshot, label: &Slug) -> Option<Arc<Profile>> {
    let profile = snapshot.policy.profile(label)?;
    profile.kind.is_for_devices().then(|| Arc::clone(profile))
}

/// A request that cannot be read, and so is nobody's: what it is counted under, and the answer.
struct Unread {
    reason: &'static str,
    response: Response,
}

/// The certificates above those that a profile's devices get, of the whole rollover set: what signs,
/// what is to sign, and what still stands for certificates in force. Without a label of every issuing CA
/// below the house's first root and those that follow it.
fn ca_certs(snapshot: &Snapshot, profile: Option<&Profile>, wrapping: Wrapping) -> Response {
    let issuers = &snapshot.issuers;
    let line_of_kind = |kind: IssuerKind| {
        let of_kind = issuers
            .iter()
            .filter(|issuer| issuer.kind == kind && issuer.state.is_carried());
        of_kind.map(|issuer| line_of(issuers, issuer)).min()
    };
    let first = || line_of_kind(IssuerKind::Issuing);
    let line = match profile {
        None => None,
        Some(Profile {
            issuer: Some(name), ..
        }) => line_of_name(issuers, name),
        Some(Profile {
            issuer: None,
            kind: ProfileKind::IDevId,
            ..
        }) => line_of_kind(IssuerKind::IDevId).or_else(first),
        Some(Profile { issuer: None, .. }) => first(),
    };
    let domain = |issuer: &Issuer| root_of(issuers, issuer).map(|root| line_of(issuers, root));
    // Without a label those of the first issuing CA's domain: who asks so general a question must not come
    // to trust a root that it has nothing to do with.
    let oldest = issuers
        .iter()
        .find(|issuer| issuer.kind == IssuerKind::Issuing);
    let house = oldest.and_then(|issuer| domain(issuer));
    let is_asked = |issuer: &&Arc<Issuer>| match (profile, line) {
        (None, _) => issuer.kind == IssuerKind::Issuing && domain(issuer) == house,
        (Some(_), line) => Some(line_of(issuers, issuer)) == line,
    };
    let signers = issuers
        .iter()
        .filter(|issuer| issuer.state.is_carried())
        .filter(is_asked);
    let mut certificates: Vec<&[u8]> = Vec::new();
    for issuer in signers {
        // What one root certified of another is what leads a device from the root it knows to the next
        // (RFC 9810 section 4.4).
        let above = issuer
            .chain
            .iter()
            .chain(cross_certificates(issuers, issuer));
        for cert in std::iter::once(&issuer.certificate).chain(above) {
            if !certificates.contains(&cert.der()) {
                certificates.push(cert.der());
            }
        }
    }
    certs_only(&certificates, wrapping)
}

/// What a request should hold: the kind of key that the profile names first.
fn csr_attrs(profile: Option<&Profile>, wrapping: Wrapping) -> Response {
    let wanted = profile
        .and_then(|profile| profile.keys.first())
        .map(|kind| match kind {
            KeyKind::P256 => WantedKey::P256,
            KeyKind::P384 => WantedKey::P384,
            KeyKind::Ed25519 => WantedKey::Ed25519,
            KeyKind::Rsa2048 => WantedKey::Rsa(2048),
            KeyKind::Rsa3072 => WantedKey::Rsa(3072),
            KeyKind::Rsa4096 => WantedKey::Rsa(4096),
        });
    let attributes = wanted.map(CsrAttrs::for_key).unwrap_or_default();
    match attributes.to_der() {
        None => StatusCode::NO_CONTENT.into_response(),
        Some(der) => encoded(CSR_ATTRIBUTES, &der, wrapping),
    }
}

fn certs_only(certificates: &[&[u8]], wrapping: Wrapping) -> Response {
    encoded(CERTS_ONLY, &cms::certs_only(certificates), wrapping)
}

fn encoded(media_type: &'static str, der: &[u8], wrapping: Wrapping) -> Response {
    let (transfer, base64) = TRANSFER_ENCODING;
    let headers = [(CONTENT_TYPE.as_str(), media_type), (transfer, base64)];
    (headers, encode_body(der, wrapping)).into_response()
}

impl Desk {
    fn wrapping(&self, label: Option<&Label>) -> Wrapping {
        let is_wrapped =
            label.is_some_and(|label| self.wrapped.iter().any(|wrapped| wrapped == label.as_str()));
        if is_wrapped {
            Wrapping::Lines
        } else {
            Wrapping::OneLine
        }
    }

    async fn read(
        &self,
        operation: Operation,
        label: Option<Slug>,
        peer: Peer,
        request: Request,
    ) -> Result<(Ask, HeaderMap), Unread> {
        let malformed = |response| Unread {
            reason: "bad-request",
            response,
        };
        let headers = request.headers().clone();
        let body = Whole::<DEVICE_BODY_BYTES_MAX>::from_request(request, &()).await;
        let body = body.map_err(|problem| malformed(render::problem(&problem)))?;
        let presented = presented(&peer, &headers);
        self.take_share(&peer, &presented).map_err(|after| Unread {
            reason: "too-soon",
            response: wait(
                StatusCode::TOO_MANY_REQUESTS,
                after,
                "too many requests of one device",
            ),
        })?;
        let content_type = headers
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok());
        let der = parse_enroll(&body.into_inner(), content_type)
            .map_err(|error| malformed(render::malformed(&error)))?;
        let csr = Csr::from_der(&der).map_err(|error| {
            let what = format!("the PKCS#10 request was not accepted: {error}");
            malformed(plain(StatusCode::BAD_REQUEST, &what))
        })?;
        let ask = Ask {
            tenant: self.engine.tenant(),
            via: Via {
                protocol: Protocol::Est,
                label,
                source: Some(peer.address.ip().to_canonical()),
            },
            operation,
            csr,
            presented,
        };
        Ok((ask, headers))
    }

    async fn answer(&self, ask: Ask, headers: &HeaderMap, wrapping: Wrapping) -> Response {
        if ask.operation == Operation::ServerKeygen {
            return self.server_keygen(ask, headers, wrapping).await;
        }
        match self.ask(ask).await {
            Ok(Answer::Issued(certificate)) => certs_only(&[certificate.cert.der()], wrapping),
            Ok(Answer::Pending { retry_after_s }) => render::pending(retry_after_s),
            Err(rejection) => rejected(&rejection),
        }
    }

    /// Asks the engine, to the end: a device that hangs up in the middle must find its certificate
    /// when it asks again, not a reservation that has to be voided.
    async fn ask(&self, ask: Ask) -> Result<Answer, Rejection> {
        let engine = self.engine.clone();
        match tokio::spawn(async move { engine.enroll(ask).await }).await {
            Ok(outcome) => outcome,
            Err(_) => Err(tenure_engine::FaultCause::Corrupt("answer: its task died").into()),
        }
    }

    fn take_share(&self, peer: &Peer, presented: &Presented) -> Result<(), u64> {
        let shown = match (presented.chain.first(), &presented.secret) {
            (Some(leaf), _) => Shown::Certificate(leaf.fingerprint()),
            (None, Some(secret)) => Shown::Id(
                Source::from(peer.address.ip()),
                secret.device.as_str().to_owned(),
            ),
            // Nothing shown is refused before anything costs.
            (None, None) => return Ok(()),
        };
        self.devices
            .take(&shown, Instant::now())
            .map_err(|after| after.as_secs().saturating_add(1))
    }
}

/// Collects what a request shows. What cannot be read counts as not shown: the answer is a plain
/// "who are you" either way, and nobody learns which part of it was wrong.
fn presented(peer: &Peer, headers: &HeaderMap) -> Presented {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let secret = match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().ok().and_then(basic),
        _ => None,
    };
    Presented {
        chain: peer.chain.to_vec(),
        secret,
        asker: None,
        system: None,
    }
}

fn basic(header: &str) -> Option<PresentedSecret> {
    let credentials = Credentials::parse(header).ok()?;
    let device: DeviceId = credentials.id().parse().ok()?;
    Some(PresentedSecret {
        device,
        secret: credentials.secret().to_owned(),
    })
}

/// The certificate's octets.
fn der_of(certificate: &Certificate) -> &[u8] {
    certificate.cert.der()
}
