//! Queries and paths of pages. What cannot be read is answered with a page that says so.

use axum::extract::{FromRequestParts, RawPathParams};
use axum::response::{IntoResponse, Response};
use hyper::http::request::Parts;
use serde::de::DeserializeOwned;

use super::fault::Fault;
use crate::problem::Problem;

/// The fields of a query.
pub(super) struct Query<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Query<T>, Response> {
        match axum::extract::Query::<T>::from_request_parts(parts, state).await {
            Ok(axum::extract::Query(asked)) => Ok(Query(asked)),
            Err(error) => Err(page(&error.body_text())),
        }
    }
}

/// The places of a path.
pub(super) struct Path<T>(pub(super) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Path<T>, Response> {
        // First, so that a path that is no text at all is told from one that names nothing.
        if RawPathParams::from_request_parts(parts, state)
            .await
            .is_err()
        {
            return Err(page("the address is not UTF-8"));
        }
        match axum::extract::Path::<T>::from_request_parts(parts, state).await {
            Ok(axum::extract::Path(named)) => Ok(Path(named)),
            Err(_) => Err(Fault::from(Problem::not_found("This page")).into_response()),
        }
    }
}

fn page(what: &str) -> Response {
    let problem = Problem::bad_request(format!("The address cannot be read: {what}"));
    Fault::from(problem).into_response()
}
