//! Error answers of the API: RFC 9457 `application/problem+json`.

use std::fmt;
use std::time::Duration;

use axum::response::{IntoResponse, Response};
use hyper::StatusCode;
use hyper::header::{self, HeaderValue};
use serde::{Deserialize, Serialize};

/// What went wrong, in one answer. `type` is a stable word under `urn:tenure:problem:`; programs
/// match on it, people read `title` and `detail`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Problem {
    /// `urn:tenure:problem:WORD`.
    #[serde(rename = "type")]
    pub kind: String,
    /// What happened, in general.
    pub title: String,
    /// The HTTP status, repeated.
    pub status: u16,
    /// What happened this time, and what to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// What is wrong with the input, one line each, when it has several faults.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<String>,
    /// When to try again, in seconds; repeated in `Retry-After`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_s: Option<u64>,
}

/// The word of the problem that an answer is, for those who pass the answer on.
#[derive(Clone, Debug)]
pub struct Word(pub String);

impl Problem {
    /// The prefix of every `type`.
    pub const PREFIX: &'static str = "urn:tenure:problem:";

    /// A problem of its own kind.
    pub fn new(status: StatusCode, word: &str, title: &str) -> Problem {
        Problem {
            kind: format!("{}{word}", Problem::PREFIX),
            title: title.to_string(),
            status: status.as_u16(),
            detail: None,
            errors: Vec::new(),
            retry_after_s: None,
        }
    }

    /// Says more.
    #[must_use]
    pub fn detail(mut self, detail: impl fmt::Display) -> Problem {
        self.detail = Some(detail.to_string());
        self
    }

    /// Lists what is wrong with the input.
    #[must_use]
    pub fn errors(mut self, errors: Vec<String>) -> Problem {
        self.errors = errors;
        self
    }

    /// The last word of `type`.
    pub fn word(&self) -> &str {
        self.kind
            .strip_prefix(Problem::PREFIX)
            .unwrap_or(&self.kind)
    }

    /// 400: the request cannot be understood.
    pub fn bad_request(detail: impl fmt::Display) -> Problem {
        Problem::new(
            StatusCode::BAD_REQUEST,
            "bad-request",
            "The request cannot be understood",
        )
        .detail(detail)
    }

    /// 401: no token, or none that is known.
    pub fn unauthorized() -> Problem {
        Problem::new(
            StatusCode::UNAUTHORIZED,
            "unauthorized",
            "A valid token is needed",
        )
        .detail(
            "Send `Authorization: Bearer TOKEN` with a token that is neither revoked nor expired.",
        )
    }

    /// 403: the token's role is not enough.
    pub fn forbidden(detail: impl fmt::Display) -> Problem {
        Problem::new(StatusCode::FORBIDDEN, "forbidden", "This is not allowed").detail(detail)
    }

    /// 404: there is no such thing.
    pub fn not_found(what: impl fmt::Display) -> Problem {
        Problem::new(StatusCode::NOT_FOUND, "not-found", "There is no such thing")
            .detail(format!("{what} is not known here."))
    }

    /// 409: what is there stands against it.
    pub fn conflict(detail: impl fmt::Display) -> Problem {
        Problem::new(
            StatusCode::CONFLICT,
            "conflict",
            "The present state stands against it",
        )
        .detail(detail)
    }

    /// 413: the body is too large.
    pub fn too_large(max: usize) -> Problem {
        Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "too-large",
            "The body is too large",
        )
        .detail(format!("At most {max} bytes are read here."))
    }

    /// 408: the body did not come in time.
    pub fn too_slow() -> Problem {
        Problem::new(
            StatusCode::REQUEST_TIMEOUT,
            "too-slow",
            "The body did not come in time",
        )
    }

    /// 429: too many requests.
    pub fn too_many(wait: Duration) -> Problem {
        let wait_s = wait.as_secs_f64().ceil() as u64;
        let mut problem = Problem::new(
            StatusCode::TOO_MANY_REQUESTS,
            "too-many-requests",
            "Too many requests",
        )
        .detail(format!("Try again in {wait_s} s."));
        problem.retry_after_s = Some(wait_s);
        problem
    }

    /// 500: our fault; the request id finds it in the log.
    pub fn internal() -> Problem {
        Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "The server failed",
        )
        .detail("Look for the answer's X-Request-Id in the server's log.")
    }

    /// 503: not ready, or stopping.
    pub fn unavailable(detail: impl fmt::Display) -> Problem {
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "Not ready").detail(detail)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        // Strings and numbers always serialise.
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let mut response = (status, body).into_response();
        response
            .extensions_mut()
            .insert(Word(self.word().to_owned()));
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(wait) = self.retry_after_s {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(wait));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.detail {
            Some(detail) => write!(f, "{}: {detail}", self.title)?,
            None => f.write_str(&self.title)?,
        }
        self.errors
            .iter()
            .try_for_each(|error| write!(f, "\n  {error}"))
    }
}

impl std::error::Error for Problem {}
