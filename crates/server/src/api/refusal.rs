//! The engine's no in the API's words.

use std::time::Duration;

use hyper::StatusCode;
use tenure_domain::Refusal;
use tenure_engine::store::StoreError;
use tenure_engine::store::view::ListError;
use tenure_engine::{Chain, FaultCause, Rejection};

use crate::problem::Problem;

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Problem {
        let said = refusal.to_string();
        match refusal {
            Refusal::NotAuthenticated | Refusal::BadCredential => Problem::unauthorized(),
            Refusal::Locked { retry_after_s } | Refusal::TooSoon { retry_after_s } => {
                Problem::too_many(Duration::from_secs(u64::from(retry_after_s))).detail(said)
            }
            Refusal::Forbidden { .. } => Problem::forbidden(format!("{}.", sentence(&said))),
            Refusal::NotAllowed { .. } => Problem::new(
                StatusCode::FORBIDDEN,
                "policy",
                "The policy does not allow it",
            )
            .detail(said),
            Refusal::NotFound { what } => {
                Problem::new(StatusCode::NOT_FOUND, "not-found", "There is no such thing")
                    .detail(format!("There is no {what}."))
            }
            Refusal::UnknownLabel => Problem::not_found("A profile of this name"),
            Refusal::Standing(_) | Refusal::Conflict { .. } | Refusal::Incomplete { .. } => {
                Problem::conflict(said)
            }
            Refusal::BadRequest { .. } | Refusal::KeyRejected { .. } => Problem::bad_request(said),
        }
    }
}

fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    match letters.next() {
        Some(first) => first.to_uppercase().chain(letters).collect(),
        None => String::new(),
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Problem {
        Rejection::from(error).into()
    }
}

impl From<ListError> for Problem {
    fn from(error: ListError) -> Problem {
        match error {
            ListError::Store(error) => error.into(),
            ListError::BadCursor | ListError::Unknown { .. } => Problem::bad_request(error),
        }
    }
}

impl From<Rejection> for Problem {
    fn from(rejection: Rejection) -> Problem {
        let fault = match rejection {
            Rejection::Refusal(refusal) => return refusal.into(),
            Rejection::Fault(fault) => fault,
        };
        let said = Chain(&fault.cause).to_string();
        match &fault.cause {
            // What an operator can mend is said; the rest stays in the log.
            FaultCause::ClockSetBack(_) | FaultCause::NoKey(_) => Problem::unavailable(said),
            FaultCause::Store(error) if error.passes() => Problem::unavailable(said),
            _ => Problem::internal()
                .detail(format!("Look for fault {} in the server's log.", fault.id)),
        }
    }
}
