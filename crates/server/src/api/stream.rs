//! `/stream`: trust changes as they happen, as server-sent events.

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use hyper::HeaderMap;
use hyper::header::{self, HeaderValue};
use serde::Deserialize;
use tenure_domain::ids::EventSeq;
use tenure_domain::operator::Permission::FollowTrust;
use tenure_engine::store::{token, trust_change};
use tenure_wire::sse;
use utoipa::IntoParams;

use super::body::{Query, some_word};
use super::{Caller, Desk, Route};
use crate::problem::Problem;
use crate::stream::news::{About, Feeds, NewsMessage};
use crate::stream::{self, Message, Sight, Wish};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get(
            "/stream",
            FollowTrust,
            "Follow trust changes, as server-sent events; a token of a relying party is told what \
             revocation lists tell anyone, and which number its own feed has",
            follow,
        )
        .asks::<From>()
        .names::<Message>()
        .names::<NewsMessage>()
        .answers_text(sse::MEDIA_TYPE),
    ]
}

/// Where to begin.
#[derive(Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
struct From {
    /// After the event of this number; 0 for all there ever were. A `Last-Event-ID` header goes
    /// before it; without either, what comes from now on.
    after: Option<i64>,
    /// Of what: trust (changes of trust, as they stand in the record), publications (lists and
    /// filters that are out, and feeds that have a new number: as they are now, with no place in the
    /// record), or all; trust if left out.
    about: Option<String>,
}

async fn follow(
    State(desk): State<Desk>,
    caller: Caller,
    Query(from): Query<From>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let about = some_word("about", from.about.as_deref())?.unwrap_or(About::Trust);
    let head = desk.glance(trust_change::head)?;
    let after = match heard(&headers)?.or(from.after) {
        None => head,
        Some(after) if (0..=head.0).contains(&after) => EventSeq(after),
        Some(after) => {
            return Err(Problem::conflict(format!(
                "the record ends at event {head}, and {after} is not in it: it was put back from a \
                 copy, or the number is of another record. Begin again after 0"
            )));
        }
    };
    let place = desk.followers().place(caller.no).ok_or_else(|| {
        Problem::unavailable(
            "too many streams of trust changes are open, all together or with this token; close \
             one, or try again later",
        )
    })?;
    let (no, again) = (caller.no, desk.clone());
    let still_may = Box::new(move || {
        let found = again.glance(|tx| token::by_no(tx, no)).map_err(|_| ())?;
        let caller = Caller::if_valid(&again, found).map_err(|_| ())?;
        caller.role.may(FollowTrust).map_err(|_| ())
    });
    let sight = Sight::of(caller.role);
    let feeds = match (&caller.party, sight) {
        (Some(own), _) => Feeds::Own(own.clone()),
        (None, Sight::Fleet) => Feeds::Everybodys,
        (None, Sight::Published) => Feeds::Nobodys,
    };
    let wish = Wish {
        about,
        sight,
        feeds,
    };
    let body = stream::open(
        desk.engine().clone(),
        place,
        after,
        wish,
        still_may,
        stream::SLOW,
    );
    let headers = [
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static(sse::MEDIA_TYPE),
        ),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        // A proxy that gathers answers before it hands them on would hold a withdrawal back.
        (
            header::HeaderName::from_static("x-accel-buffering"),
            HeaderValue::from_static("no"),
        ),
    ];
    Ok((headers, Body::new(body)).into_response())
}

/// The last event that the caller heard of, if it says so.
fn heard(headers: &HeaderMap) -> Result<Option<i64>, Problem> {
    let Some(value) = headers.get("last-event-id") else {
        return Ok(None);
    };
    let number = value.to_str().ok().and_then(|text| text.parse().ok());
    number.map(Some).ok_or_else(|| {
        Problem::bad_request("Last-Event-ID must be the number of an event, as it was sent")
    })
}
