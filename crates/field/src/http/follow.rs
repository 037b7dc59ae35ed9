//! An event stream that is followed: one request, and events as they come.

use std::time::Duration;

use http::header::{ACCEPT, AUTHORIZATION};
use http::{Method, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tenure_wire::sse::{self, Event, Parser};
use tokio::time::timeout;

use super::client::request;
use super::{Client, Error, Stage, Url};

/// How long a stream may be silent before it counts as dead. Ours say something twice as often.
pub const SILENCE_MAX: Duration = Duration::from_secs(40);
/// Largest refusal that is read, in octets.
const REFUSAL_BYTES_MAX: usize = 64 * 1024;

/// A stream that is open.
pub struct Following {
    body: Incoming,
    parser: Parser,
    ready: std::collections::VecDeque<Event>,
}

/// What the server answered.
pub enum Followed {
    /// The stream is open.
    Open(Box<Following>),
    /// It says no.
    Refused {
        /// The status.
        status: StatusCode,
        /// What it said.
        body: Vec<u8>,
    },
}

impl Client {
    /// Opens an event stream. `after` is the id of the last event that was heard.
    ///
    /// # Errors
    /// No answer.
    pub async fn follow(
        &self,
        url: &Url,
        authorization: &str,
        after: Option<&str>,
    ) -> Result<Followed, Error> {
        let mut headers = vec![
            (ACCEPT.as_str(), sse::MEDIA_TYPE),
            (AUTHORIZATION.as_str(), authorization),
        ];
        headers.extend(after.map(|after| ("last-event-id", after)));
        let request = request(Method::GET, url, &headers, Vec::new())?;
        let answer = self.send_alone(url, request).await?;
        let (head, body) = answer.into_parts();
        if head.status != StatusCode::OK {
            let body = super::client::read_all(body, REFUSAL_BYTES_MAX).await?;
            return Ok(Followed::Refused {
                status: head.status,
                body,
            });
        }
        Ok(Followed::Open(Box::new(Following {
            body,
            parser: Parser::new(),
            ready: std::collections::VecDeque::new(),
        })))
    }
}

impl Following {
    /// The next event; none when the server has ended the stream.
    ///
    /// # Errors
    /// The connection broke or fell silent, or what comes is no event stream. Follow again, after
    /// the last event that was heard.
    pub async fn next(&mut self) -> Result<Option<Event>, Error> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Ok(Some(event));
            }
            let heard = timeout(SILENCE_MAX, self.body.frame()).await;
            let frame = match heard.map_err(|_| Error::Timeout {
                stage: Stage::Request,
                after: SILENCE_MAX,
            })? {
                Some(frame) => frame.map_err(|source| Error::Http { source })?,
                None => return Ok(None),
            };
            let Ok(piece) = frame.into_data() else {
                continue;
            };
            let events = self.parser.feed(&piece);
            let events = events.map_err(|_| Error::Request {
                what: "what comes is no event stream",
            })?;
            self.ready.extend(events);
        }
    }
}
