//! What went wrong, as a page.

use axum::response::{IntoResponse, Response};
use hyper::StatusCode;
use hyper::header::{self, HeaderValue};
use maud::html;

use super::page;
use crate::problem::{Problem, Word};

/// A problem, shown to people.
pub(super) struct Fault(Problem);

impl<E> From<E> for Fault
where
    Problem: From<E>,
{
    fn from(error: E) -> Fault {
        Fault(error.into())
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let problem = self.0;
        let status =
            StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let shown = page::bare(
            &problem.title,
            html! {
                section.notice {
                    h1 { (problem.title) }
                    @if let Some(detail) = &problem.detail { p { (detail) } }
                    @if !problem.errors.is_empty() {
                        ul { @for error in &problem.errors { li { (error) } } }
                    }
                    p { a href="/" { "Go to the fleet" } }
                }
            },
        );
        let mut response = (status, shown).into_response();
        response
            .extensions_mut()
            .insert(Word(problem.word().to_owned()));
        if let Some(wait) = problem.retry_after_s {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from(wait));
        }
        response
    }
}
