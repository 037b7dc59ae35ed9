//! An event stream that is followed: one request, and events as they come.

use http::header::{ACCEPT, AUTHORIZATION};
use tenure_wire::sse::{self, Event, Parser};

use super::flow::{Begun, Flow};
use super::{Client, Error, Url};

/// A stream that is open.
pub struct Following {
    flow: Flow,
    parser: Parser,
    ready: std::collections::VecDeque<Event>,
}

/// What the server answered.
pub type Followed = Begun<Box<Following>>;

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
        Ok(match self.flow(url, &headers).await? {
            Begun::Open(flow) => Begun::Open(Box::new(Following {
                flow,
                parser: Parser::new(),
                ready: std::collections::VecDeque::new(),
            })),
            Begun::Refused { status, body } => Begun::Refused { status, body },
        })
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
            let Some(piece) = self.flow.next().await? else {
                return Ok(None);
            };
            let events = self.parser.feed(&piece);
            let events = events.map_err(|_| Error::Request {
                what: "what comes is no event stream",
            })?;
            self.ready.extend(events);
        }
    }
}
