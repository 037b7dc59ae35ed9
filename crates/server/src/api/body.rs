//! Bodies in and out, with every mistake answered as a problem.

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use hyper::header::{self, HeaderValue};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tenure_domain::ids;
use tenure_domain::text::check_label;

use crate::limits::API_BODY_BYTES_MAX;
use crate::peer::Whole;
use crate::problem::Problem;

/// A JSON body. Coming in, an empty one stands for `{}`.
#[derive(Debug)]
pub struct Json<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let named = request.headers().get(header::CONTENT_TYPE).map(is_json);
        let body = Whole::<API_BODY_BYTES_MAX>::from_request(request, state)
            .await?
            .into_inner();
        if named == Some(false) && !body.is_empty() {
            return Err(Problem::new(
                hyper::StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "media-type",
                "This takes JSON",
            )
            .detail("Send the body as application/json."));
        }
        let bytes = if body.is_empty() {
            b"{}".as_slice()
        } else {
            &body
        };
        serde_json::from_slice(bytes)
            .map(Json)
            .map_err(|error| Problem::bad_request(format!("the body: {error}")))
    }
}

fn is_json(value: &HeaderValue) -> bool {
    let essence = value
        .to_str()
        .unwrap_or_default()
        .split(';')
        .next()
        .unwrap_or_default();
    essence.trim().eq_ignore_ascii_case("application/json")
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        match serde_json::to_vec(&self.0) {
            Ok(body) => {
                let headers = [
                    (
                        header::CONTENT_TYPE,
                        HeaderValue::from_static("application/json"),
                    ),
                    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
                ];
                (headers, body).into_response()
            }
            Err(_) => Problem::internal().into_response(),
        }
    }
}

/// The query, as `T`.
#[derive(Debug)]
pub struct Query<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let read = axum::extract::Query::from_request_parts(parts, state).await;
        let axum::extract::Query(query) =
            read.map_err(|error: QueryRejection| Problem::bad_request(error.body_text()))?;
        Ok(Query(query))
    }
}

/// What varies in the path, as `T`.
#[derive(Debug)]
pub struct Path<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let read = axum::extract::Path::from_request_parts(parts, state).await;
        let axum::extract::Path(path) =
            read.map_err(|error: PathRejection| Problem::bad_request(error.body_text()))?;
        Ok(Path(path))
    }
}

/// A body in a language of its own, as UTF-8.
#[derive(Debug)]
pub struct Text(pub String);

impl<S: Send + Sync> FromRequest<S> for Text {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let body = Whole::<API_BODY_BYTES_MAX>::from_request(request, state)
            .await?
            .into_inner();
        String::from_utf8(body.to_vec())
            .map(Text)
            .map_err(|_| Problem::bad_request("the body is not UTF-8"))
    }
}

/// An answer of some media type.
pub fn answer(media_type: &'static str, body: impl Into<axum::body::Body>) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(media_type)),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    (headers, body.into()).into_response()
}

/// Reads a word of a closed list, or a name, from the query or the body; the mistake names the field.
///
/// # Errors
/// 400 with what is allowed.
pub fn word<T: std::str::FromStr<Err: std::fmt::Display>>(
    field: &str,
    text: &str,
) -> Result<T, Problem> {
    text.parse()
        .map_err(|error| Problem::bad_request(format!("{field}: {error}")))
}

/// The same for what may be left out; an empty text counts as left out.
///
/// # Errors
/// 400 with what is allowed.
pub fn some_word<T: std::str::FromStr<Err: std::fmt::Display>>(
    field: &str,
    text: Option<&str>,
) -> Result<Option<T>, Problem> {
    text.filter(|text| !text.is_empty())
        .map(|text| word(field, text))
        .transpose()
}

/// The same for a list, each item a word.
///
/// # Errors
/// 400 with what is allowed.
pub fn some_words<T: std::str::FromStr<Err: std::fmt::Display>>(
    field: &str,
    texts: Option<Vec<String>>,
) -> Result<Option<Vec<T>>, Problem> {
    let read = |texts: Vec<String>| texts.iter().map(|text| word(field, text)).collect();
    texts.map(read).transpose()
}

/// Lets a body repeat the name that its path gives, and nothing else.
///
/// # Errors
/// 400 if it gives another one.
pub fn same_name(said: &str, name: &str) -> Result<(), Problem> {
    if said.is_empty() || said == name {
        return Ok(());
    }
    Err(Problem::bad_request(format!(
        "name: it is {name} for good; leave it out"
    )))
}

/// Reads the name of something new.
///
/// # Errors
/// 400 with what is allowed.
pub fn new_name<T>(field: &str, text: &str) -> Result<T, Problem>
where
    T: std::str::FromStr<Err = ids::BadName>,
{
    ids::fresh(text).map_err(|error| Problem::bad_request(format!("{field}: {error}")))
}

/// Takes what was typed about a device.
///
/// # Errors
/// 400 if it is too long or something in it is hidden.
pub fn label(field: &str, text: String) -> Result<String, Problem> {
    match check_label(&text) {
        Ok(()) => Ok(text),
        Err(what) => Err(Problem::bad_request(format!("{field}: {what}"))),
    }
}

/// Reads a time.
///
/// # Errors
/// 400 if it is not RFC 3339.
pub fn time(field: &str, text: &str) -> Result<tenure_x509::Time, Problem> {
    tenure_x509::Time::parse_rfc3339(text).map_err(|_| {
        Problem::bad_request(format!(
            "{field}: {text:?} is not a time; write it as 2026-11-22T08:00:00Z"
        ))
    })
}
