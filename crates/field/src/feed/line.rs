//! The way to the server that a connection names.

use std::time::Duration;

use http::Method;

use super::{Connection, Error};
use crate::http::{Client, Response, Settings, Timeouts, Trust, Url};
use crate::limits::REASON_CHARS_MAX;

/// How much longer than it was asked to wait a server may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// A server, and the token that it knows us by.
pub(super) struct Line {
    client: Client,
    server: Url,
    authorization: String,
}

impl Line {
    /// A line to a connection's server. `limit` is the largest answer in octets, and `wait` how long
    /// the server is asked to hold a question.
    pub(super) fn new(
        connection: &Connection,
        limit: usize,
        wait: Duration,
    ) -> Result<Line, Error> {
        let client = Client::new(Settings {
            answer_bytes_max: limit,
            timeouts: Timeouts {
                request: wait + PATIENCE,
                ..Timeouts::default()
            },
            ..Settings::new(Some(Trust::from_pem(&connection.ca_pem)?))
        })?;
        Ok(Line {
            client,
            server: Url::parse(&connection.url)?,
            authorization: format!("Bearer {}", connection.token.trim()),
        })
    }

    /// Asks for a path, with a body in JSON unless it is empty.
    pub(super) async fn call(
        &self,
        method: Method,
        path: &str,
        body: Vec<u8>,
    ) -> Result<Response, Error> {
        let url = self.server.with_path(path)?;
        let headers = [
            ("authorization", self.authorization.as_str()),
            ("content-type", "application/json"),
        ];
        let headers = if body.is_empty() {
            headers.get(..1).unwrap_or_default()
        } else {
            &headers
        };
        let answer = self.client.send(method, &url, headers, body).await?;
        if answer.status.is_success() {
            return Ok(answer);
        }
        let said = String::from_utf8_lossy(&answer.body);
        let problem: Option<serde_json::Value> = serde_json::from_str(&said).ok();
        let detail = problem.and_then(|problem| problem.get("detail")?.as_str().map(str::to_owned));
        Err(Error::Refused {
            status: answer.status,
            said: detail
                .unwrap_or_else(|| said.into_owned())
                .chars()
                .take(REASON_CHARS_MAX)
                .collect(),
        })
    }
}
