//! Forms.

use axum::body::{Body, Bytes};
use axum::extract::{Form, FromRequest, FromRequestParts, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use hyper::header::{self, HeaderValue};
use hyper::{HeaderMap, Method};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::Ui;
use super::fault::Fault;
use super::session::SignedIn;
use crate::api::device::WHY_MAX;
use crate::api::recorded;
use crate::peer::Whole;
use crate::problem::Problem;

/// Largest form, in bytes.
pub(super) const FORM_BYTES_MAX: usize = 16 * 1024;

/// A form that came from one of our pages, and who sent it.
pub(super) struct Posted<T> {
    pub(super) who: SignedIn,
    pub(super) form: T,
}

/// The reason out of a form, which may be left out.
///
/// # Errors
/// 400 if it is too long.
pub(super) fn why(text: &str) -> Result<String, Problem> {
    let why = text.trim();
    if why.chars().count() > WHY_MAX {
        let what = format!("Say why in at most {WHY_MAX} letters. Nothing was changed.");
        return Err(Problem::bad_request(what));
    }
    Ok(why.to_owned())
}

/// The reason out of a form that needs one.
///
/// # Errors
/// 400 if it is missing or too long.
pub(super) fn needed_why(text: &str) -> Result<String, Problem> {
    let why = why(text)?;
    if why.is_empty() {
        let what = format!("Say why, in 1 to {WHY_MAX} letters. Nothing was changed.");
        return Err(Problem::bad_request(what));
    }
    Ok(why)
}

/// A form without fields of its own.
#[derive(Deserialize)]
pub(super) struct Nothing {}

#[derive(Deserialize)]
struct Proof {
    #[serde(default)]
    csrf: String,
}

impl<T: DeserializeOwned> FromRequest<Ui> for Posted<T> {
    type Rejection = Response;

    async fn from_request(request: Request, ui: &Ui) -> Result<Posted<T>, Response> {
        let (mut parts, body) = request.into_parts();
        let who = SignedIn::from_request_parts(&mut parts, ui).await?;
        let read = async {
            same_site(&parts.headers)?;
            let body = Whole::<FORM_BYTES_MAX>::from_request(Request::from_parts(parts, body), &())
                .await?
                .into_inner();
            let proof: Proof = read(body.clone()).await?;
            aws_lc_rs::constant_time::verify_slices_are_equal(
                proof.csrf.as_bytes(),
                who.csrf.as_bytes(),
            )
            .map_err(|_| foreign())?;
            read(body).await
        };
        match read.await {
            Ok(form) => Ok(Posted { who, form }),
            Err(problem) => Err(Fault::from(problem).into_response()),
        }
    }
}

/// Has a form carried out; one that is refused is on record with its sender.
pub(super) async fn on_record(State(ui): State<Ui>, request: Request, next: Next) -> Response {
    if request.method() != Method::POST {
        return next.run(request).await;
    }
    let who = ui.sessions.of(&ui.desk, request.headers());
    let what = format!("POST {}", request.uri().path());
    let answer = next.run(request).await;
    match who {
        Ok(Some(who)) => recorded(&ui.desk, &who.caller, &what, answer).await,
        Ok(None) | Err(_) => answer,
    }
}

fn foreign() -> Problem {
    Problem::forbidden(
        "The form did not come from a page of this session. Nothing was changed. Open the page \
         again and send it from there.",
    )
}

/// Refuses what a browser says another site had it send.
///
/// # Errors
/// 403.
pub(super) fn same_site(headers: &HeaderMap) -> Result<(), Problem> {
    match headers.get("sec-fetch-site").map(HeaderValue::as_bytes) {
        None | Some(b"same-origin" | b"none") => Ok(()),
        Some(_) => Err(foreign()),
    }
}

/// Reads the fields of a form.
///
/// # Errors
/// 400 if they are not those of `T`.
pub(super) async fn read<T: DeserializeOwned>(body: Bytes) -> Result<T, Problem> {
    let mut request = Request::new(Body::from(body));
    *request.method_mut() = Method::POST;
    request.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/x-www-form-urlencoded"),
    );
    let read = Form::<T>::from_request(request, &()).await;
    read.map(|Form(form)| form)
        .map_err(|error| Problem::bad_request(format!("the form: {}", error.body_text())))
}
