//! Files that anyone may fetch: revocation lists and filters, CA certificates, the log.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use hyper::header::{
    ALLOW, CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderMap, HeaderValue, IF_MODIFIED_SINCE,
    IF_NONE_MATCH, LAST_MODIFIED,
};
use hyper::{Method, StatusCode};
use tenure_domain::ids::Slug;
use tenure_domain::issuer::Issuer;
use tenure_engine::Engine;
use tenure_engine::duty::integrate::{log_directory, place_of};
use tenure_engine::duty::publish::{FilterPart, List, crl_path, delta_path, filter_path};
use tenure_tlog::TilePath;
use tenure_x509::Time;
use tokio::fs::File;

use super::date::{http_date, parse};
use crate::file_body::FileBody;
use crate::limits::CRL_MAX_AGE_S;

#[cfg(test)]
mod tests;

const NO_STORE: &str = "no-store";
const FOREVER: &str = "public, max-age=31536000, immutable";

/// Everything on the public listener but OCSP, which stands before it.
pub fn router(engine: Engine) -> Router {
    Router::new().fallback(answer).with_state(engine)
}

/// What a path names. Every name here is plain, so an escape or a doubled slash names nothing.
#[derive(Debug, PartialEq, Eq)]
enum Wanted {
    Crl(Slug, List),
    DeltaCrl(Slug, u16),
    Filter(Slug, FilterPart),
    Certificate(Slug),
    Checkpoint,
    Tile(TilePath),
}

impl Wanted {
    fn parse(path: &str) -> Option<Wanted> {
        let path = path.strip_prefix('/')?;
        match path.split_once('/')? {
            ("crl", rest) => {
                let (issuer, file) = rest.split_once('/')?;
                match file.strip_suffix("/delta.crl") {
                    Some(shard) => Some(Wanted::DeltaCrl(name(issuer)?, shard_no(shard)?)),
                    None => Some(Wanted::Crl(name(issuer)?, list(file)?)),
                }
            }
            ("filter", rest) => {
                let (issuer, file) = rest.split_once('/')?;
                Some(Wanted::Filter(name(issuer)?, filter_part(file)?))
            }
            ("ca", file) => Some(Wanted::Certificate(name(file.strip_suffix(".cer")?)?)),
            ("log", "checkpoint") => Some(Wanted::Checkpoint),
            ("log", tile) => {
                let tile: TilePath = tile.parse().ok()?;
                // The entries are what people wrote; only their hashes are for everyone.
                tile.level().is_some().then_some(Wanted::Tile(tile))
            }
            _ => None,
        }
    }
}

/// The file that a path names below a data directory; CA certificates are made from the registry and
/// lie in none.
pub(crate) fn file_named(directory: &Path, path: &str) -> Option<PathBuf> {
    match Wanted::parse(path)? {
        Wanted::Crl(issuer, list) => Some(crl_path(directory, issuer.as_str(), list)),
        Wanted::DeltaCrl(issuer, shard) => Some(delta_path(directory, issuer.as_str(), shard)),
        Wanted::Filter(issuer, part) => Some(filter_path(directory, issuer.as_str(), part)),
        Wanted::Certificate(_) => None,
        Wanted::Checkpoint => Some(log_directory(directory).join("checkpoint")),
        Wanted::Tile(tile) => place_of(directory, &tile).map(|(row, _)| row),
    }
}

/// An issuer's short name; dots alone are steps of a path and no name.
fn name(text: &str) -> Option<Slug> {
    let is_name = text.bytes().any(|byte| byte != b'.');
    is_name.then(|| text.parse().ok()).flatten()
}

fn list(file: &str) -> Option<List> {
    let name = file.strip_suffix(".crl")?;
    if name == "full" {
        return Some(List::Full);
    }
    shard_no(name).map(List::Shard)
}

/// One name for each list: no leading zeros, no sign.
fn shard_no(text: &str) -> Option<u16> {
    let shard: u16 = text.parse().ok()?;
    (shard.to_string() == text).then_some(shard)
}

fn filter_part(file: &str) -> Option<FilterPart> {
    if file == FilterPart::Full.file() {
        return Some(FilterPart::Full);
    }
    let part = FilterPart::Delta(file.strip_suffix(".delta")?.parse().ok()?);
    (part.file() == file).then_some(part)
}

async fn answer(State(engine): State<Engine>, request: Request) -> Response {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut no = text(
            StatusCode::METHOD_NOT_ALLOWED,
            "only GET and HEAD are answered here",
        );
        no.headers_mut()
            .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return no;
    }
    let found = match Wanted::parse(request.uri().path()) {
        Some(Wanted::Crl(issuer, list)) => crl(&engine, &issuer, list, request.headers()).await,
        Some(Wanted::DeltaCrl(issuer, shard)) => {
            delta_crl(&engine, &issuer, shard, request.headers()).await
        }
        Some(Wanted::Filter(issuer, part)) => {
            filter(&engine, &issuer, part, request.headers()).await
        }
        Some(Wanted::Certificate(issuer)) => Ok(certificate(&engine, &issuer, request.headers())),
        Some(Wanted::Checkpoint) => checkpoint(engine.directory()).await,
        Some(Wanted::Tile(path)) => tile(engine, path).await,
        None => return not_found(),
    };
    found.unwrap_or_else(|error| match error.kind() {
        io::ErrorKind::NotFound => not_found(),
        _ => {
            tracing::error!(path = request.uri().path(), %error, "cannot read a published file");
            text(StatusCode::INTERNAL_SERVER_ERROR, "the file cannot be read")
        }
    })
}

fn not_found() -> Response {
    let what = "nothing here; this listener has /crl/ISSUER/SHARD.crl, /crl/ISSUER/full.crl, \
                /filter/ISSUER/full.filter, /filter/ISSUER/SEQUENCE.delta, /ca/ISSUER.cer, /ocsp, \
                /log/checkpoint and /log/tile/...";
    text(StatusCode::NOT_FOUND, what)
}

fn text(status: StatusCode, what: &'static str) -> Response {
    let headers = [
        (CACHE_CONTROL, NO_STORE),
        (CONTENT_TYPE, "text/plain; charset=utf-8"),
    ];
    (status, headers, format!("{what}\n")).into_response()
}

/// A list from its file.
async fn crl(
    engine: &Engine,
    issuer: &Slug,
    list: List,
    asked: &HeaderMap,
) -> io::Result<Response> {
    let issuer = known(engine, issuer)?;
    let status = StatusFile {
        path: crl_path(engine.directory(), issuer.name.as_str(), list),
        media: "application/pkix-crl",
        until: engine
            .published_list(&issuer.name, list)
            .map(|published| published.next_update),
    };
    send(engine, status, asked).await
}

/// The newest delta to a shard's list, for gateways that know to ask for it.
async fn delta_crl(
    engine: &Engine,
    issuer: &Slug,
    shard: u16,
    asked: &HeaderMap,
) -> io::Result<Response> {
    let issuer = known(engine, issuer)?;
    let status = StatusFile {
        path: delta_path(engine.directory(), issuer.name.as_str(), shard),
        media: "application/pkix-crl",
        until: engine
            .published_list(&issuer.name, List::Shard(shard))
            .map(|published| published.next_update),
    };
    send(engine, status, asked).await
}

/// A filter or the newest delta to it from its file. A delta to a filter that was superseded is not
/// there: the asker fetches the full one.
async fn filter(
    engine: &Engine,
    issuer: &Slug,
    part: FilterPart,
    asked: &HeaderMap,
) -> io::Result<Response> {
    let issuer = known(engine, issuer)?;
    let media = match part {
        FilterPart::Full => "application/vnd.tenure.filter",
        FilterPart::Delta(_) => "application/vnd.tenure.filter-delta",
    };
    let status = StatusFile {
        path: filter_path(engine.directory(), issuer.name.as_str(), part),
        media,
        until: engine
            .published_filter(&issuer)
            .map(|published| published.next_update()),
    };
    send(engine, status, asked).await
}

/// Only what is an issuer's name becomes part of a path.
fn known(engine: &Engine, name: &Slug) -> io::Result<Arc<Issuer>> {
    let snapshot = engine.snapshot();
    let mut issuers = snapshot.issuers.iter();
    let found = issuers.find(|known| known.name == *name).cloned();
    found.ok_or(io::ErrorKind::NotFound.into())
}

/// A published file that says what is revoked, and until when it may be used.
struct StatusFile {
    path: PathBuf,
    media: &'static str,
    until: Option<Time>,
}

/// The file is opened once: one published meanwhile replaces the name, and this answer goes on with
/// the bytes that its headers describe.
async fn send(engine: &Engine, status: StatusFile, asked: &HeaderMap) -> io::Result<Response> {
    let file = File::open(&status.path).await?;
    let about = file.metadata().await?;
    let written = about.modified().unwrap_or(UNIX_EPOCH);
    let nanos = written
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_nanos();
    let mut headers = HeaderMap::new();
    put(&mut headers, CONTENT_TYPE, status.media);
    put(
        &mut headers,
        ETAG,
        &format!("\"{nanos:x}-{:x}\"", about.len()),
    );
    headers.insert(LAST_MODIFIED, http_date(to_time(written)));
    let now = engine.clock().now();
    let left = status
        .until
        .map_or(0, |until| until.unix().saturating_sub(now.unix()));
    let max_age = left.clamp(0, CRL_MAX_AGE_S);
    put(
        &mut headers,
        CACHE_CONTROL,
        &format!("public, max-age={max_age}"),
    );
    if is_known(asked, &headers) {
        return Ok((StatusCode::NOT_MODIFIED, headers).into_response());
    }
    Ok((headers, Body::new(FileBody::start(file, about.len()))).into_response())
}

fn certificate(engine: &Engine, issuer: &Slug, asked: &HeaderMap) -> Response {
    let snapshot = engine.snapshot();
    let Some(found) = snapshot.issuers.iter().find(|known| known.name == *issuer) else {
        return not_found();
    };
    let mut headers = HeaderMap::new();
    put(&mut headers, CONTENT_TYPE, "application/pkix-cert");
    let print = tenure_domain::text::hex(&found.certificate.fingerprint());
    put(&mut headers, ETAG, &format!("\"{print}\""));
    put(&mut headers, CACHE_CONTROL, "public, max-age=86400");
    if is_known(asked, &headers) {
        return (StatusCode::NOT_MODIFIED, headers).into_response();
    }
    (headers, found.certificate.der().to_vec()).into_response()
}

async fn checkpoint(directory: &Path) -> io::Result<Response> {
    let note = tokio::fs::read(log_directory(directory).join("checkpoint")).await?;
    let headers = [
        (CONTENT_TYPE, "text/plain; charset=utf-8"),
        (CACHE_CONTROL, "no-cache"),
    ];
    Ok((headers, note).into_response())
}

async fn tile(engine: Engine, path: TilePath) -> io::Result<Response> {
    let hashes = tokio::task::spawn_blocking(move || engine.tile(&path))
        .await
        .map_err(io::Error::other)?
        .map_err(io::Error::other)?
        .ok_or(io::ErrorKind::NotFound)?;
    let headers = [
        (CONTENT_TYPE, "application/octet-stream"),
        (CACHE_CONTROL, FOREVER),
    ];
    Ok((headers, hashes).into_response())
}

fn put(headers: &mut HeaderMap, name: hyper::header::HeaderName, value: &str) {
    // All of these are plain ASCII.
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

fn to_time(at: SystemTime) -> Time {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    Time::from_unix(i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}

/// Whether the asker has it already (RFC 9110 section 13.2.2: the tag decides, if there is one).
fn is_known(asked: &HeaderMap, ours: &HeaderMap) -> bool {
    if let Some(known) = asked.get(IF_NONE_MATCH) {
        let tag = ours
            .get(ETAG)
            .and_then(|tag| tag.to_str().ok())
            .unwrap_or_default();
        let known = known.to_str().unwrap_or_default();
        return known.trim() == "*"
            || known
                .split(',')
                .any(|one| one.trim().trim_start_matches("W/") == tag);
    }
    let since = asked.get(IF_MODIFIED_SINCE).and_then(parse);
    let written = ours.get(LAST_MODIFIED).and_then(parse);
    matches!((written, since), (Some(written), Some(since)) if written <= since)
}
