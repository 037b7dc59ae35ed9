//! Answers that are read as they come, however long they are.

use std::time::Duration;

use http::{Method, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Bytes;
use hyper::body::Incoming;
use tokio::time::timeout;

use super::client::{read_all, request};
use super::{Client, Error, Stage, Url};

/// How long an answer may be silent before it counts as dead. Our streams say something twice as often.
pub const SILENCE_MAX: Duration = Duration::from_secs(40);
/// Largest refusal that is read, in octets.
const REFUSAL_BYTES_MAX: usize = 64 * 1024;

/// What the server answered.
pub enum Begun<T> {
    /// It says yes, and goes on.
    Open(T),
    /// It says no.
    Refused {
        /// The status.
        status: StatusCode,
        /// What it said.
        body: Vec<u8>,
    },
}

/// An answer that is under way.
pub struct Flow {
    body: Incoming,
}

impl Client {
    /// Asks on a connection of its own, and reads of the answer whether it is yes.
    ///
    /// # Errors
    /// No answer.
    pub async fn flow(&self, url: &Url, headers: &[(&str, &str)]) -> Result<Begun<Flow>, Error> {
        let request = request(Method::GET, url, headers, Vec::new())?;
        let answer = self.send_alone(url, request).await?;
        let (head, body) = answer.into_parts();
        if head.status == StatusCode::OK {
            return Ok(Begun::Open(Flow { body }));
        }
        Ok(Begun::Refused {
            status: head.status,
            body: read_all(body, REFUSAL_BYTES_MAX).await?,
        })
    }
}

impl Flow {
    /// The next piece; none when the answer is complete.
    ///
    /// # Errors
    /// The connection broke or fell silent before that.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            let heard = timeout(SILENCE_MAX, self.body.frame()).await;
            let frame = match heard.map_err(|_| Error::Timeout {
                stage: Stage::Request,
                after: SILENCE_MAX,
            })? {
                Some(frame) => frame.map_err(|source| Error::Http { source })?,
                None => return Ok(None),
            };
            if let Ok(piece) = frame.into_data() {
                return Ok(Some(piece));
            }
        }
    }
}
