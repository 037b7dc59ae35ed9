//! The API as the command line calls it: JSON in, JSON out, lists page by page.

use std::time::Duration;

use serde_json::Value;
use tenure_domain::text::hex;
use tenure_field::http::{
    Begun, Client, Error, Followed, Response, Settings, Stage, Timeouts, Trust, Url,
};

use super::exit::Failure;
use super::{Limit, Page};
use crate::limits::{CLI_ANSWER_BYTES_MAX, CLI_ANSWER_TIME, CLI_CHANGE_TIME};
use crate::problem::Problem;

/// Where the API begins on the operator listener.
pub const PREFIX: &str = "/api/v1";

/// How long one request waits in all while the server has too many; whoever reads the whole record asks
/// thousands of times.
const PATIENCE: Duration = Duration::from_secs(60);
/// Largest body that is kept to be sent again, in bytes.
const REPEATED_BYTES_MAX: usize = 64 * 1024;

/// A part of a list.
#[derive(Debug)]
pub struct Listed {
    /// Its items.
    pub items: Vec<Value>,
    /// The cursor that leads on; none at the end.
    pub next: Option<String>,
}

/// A part of a list that is read page by page, since all of it may be more than memory holds.
pub struct Pages<'a> {
    api: &'a Api,
    path: &'a str,
    filter: &'a [(&'a str, String)],
    limit: Limit,
    read: usize,
    next: Option<String>,
    is_read: bool,
    shown: fn(Value) -> Value,
}

/// A server, and who we are there.
#[derive(Clone)]
pub struct Api {
    client: Client,
    server: Url,
    authorization: String,
}

impl Api {
    /// An API at `server`, trusted by `trust`. Nothing is sent yet.
    ///
    /// # Errors
    /// The address or the root certificate cannot be used.
    pub fn new(server: &str, trust: Trust, token: &str) -> Result<Api, Failure> {
        let server = Url::parse(server)
            .map_err(|error| Failure::Usage(format!("{server} is no address: {error}")))?;
        let timeouts = Timeouts {
            request: CLI_ANSWER_TIME,
            change: Some(CLI_CHANGE_TIME),
            ..Timeouts::default()
        };
        let client = Client::new(Settings {
            timeouts,
            answer_bytes_max: CLI_ANSWER_BYTES_MAX,
            ..Settings::new(Some(trust))
        })
        .map_err(|error| Failure::Usage(error.to_string()))?;
        let token = token.trim();
        if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Failure::Denied(
                "the token holds characters no token has".to_string(),
            ));
        }
        Ok(Api {
            client,
            server,
            authorization: format!("Bearer {token}"),
        })
    }

    /// The server's address.
    pub fn server(&self) -> &Url {
        &self.server
    }

    /// What a GET answers.
    ///
    /// # Errors
    /// No answer, or one that says no.
    pub async fn get(&self, path: &str) -> Result<Value, Failure> {
        json(&self.send("GET", path, None).await?)
    }

    /// The same as text, for answers that are not JSON.
    ///
    /// # Errors
    /// No answer, or one that says no.
    pub async fn get_text(&self, path: &str) -> Result<String, Failure> {
        let response = self.send("GET", path, None).await?;
        String::from_utf8(response.body).map_err(|_| Failure::failed("the answer is not text"))
    }

    /// The same as bytes.
    ///
    /// # Errors
    /// No answer, or one that says no.
    pub async fn get_bytes(&self, path: &str) -> Result<Vec<u8>, Failure> {
        Ok(self.send("GET", path, None).await?.body)
    }

    /// A change.
    ///
    /// # Errors
    /// No answer, or one that says no.
    pub async fn post(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        self.post_bytes(path, "application/json", body.to_string().into_bytes())
            .await
    }

    /// A change with a body that is not JSON.
    ///
    /// # Errors
    /// No answer, or one that says no.
    pub async fn post_bytes(
        &self,
        path: &str,
        media_type: &str,
        body: Vec<u8>,
    ) -> Result<Value, Failure> {
        json(&self.send("POST", path, Some((media_type, body))).await?)
    }

    /// A change that answers a file.
    ///
    /// # Errors
    /// No answer, or one that says no.
    pub async fn post_for_bytes(&self, path: &str, body: &Value) -> Result<Vec<u8>, Failure> {
        let body = Some(("application/json", body.to_string().into_bytes()));
        Ok(self.send("POST", path, body).await?.body)
    }

    /// A change of some fields.
    ///
    /// # Errors
    /// No answer, or one that says no.
    pub async fn patch(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        let body = body.to_string().into_bytes();
        json(
            &self
                .send("PATCH", path, Some(("application/json", body)))
                .await?,
        )
    }

    /// A replacement of a whole document.
    ///
    /// # Errors
    /// No answer, or one that says no.
    pub async fn put(&self, path: &str, media_type: &str, body: Vec<u8>) -> Result<Value, Failure> {
        json(&self.send("PUT", path, Some((media_type, body))).await?)
    }

    /// A withdrawal.
    ///
    /// # Errors
    /// No answer, or one that says no.
    pub async fn delete(&self, path: &str) -> Result<Value, Failure> {
        json(&self.send("DELETE", path, None).await?)
    }

    /// Opens an event stream after the event `after`.
    ///
    /// # Errors
    /// No answer.
    pub async fn follow(&self, path: &str, after: Option<&str>) -> Result<Followed, Failure> {
        self.client
            .follow(&self.url(path)?, &self.authorization, after)
            .await
            .map_err(|error| self.unreachable(&error))
    }

    /// Hands what a GET answers over piece by piece, however much it is.
    ///
    /// # Errors
    /// No answer, one that says no, one that broke off, or what `take` says.
    pub async fn download(
        &self,
        path: &str,
        mut take: impl FnMut(&[u8]) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let headers = [("authorization", self.authorization.as_str())];
        let begun = self.client.flow(&self.url(path)?, &headers).await;
        let mut flow = match begun.map_err(|error| self.unreachable(&error))? {
            Begun::Open(flow) => flow,
            Begun::Refused { status, body } => return Err(self.refused(status, &body)),
        };
        while let Some(piece) = flow
            .next()
            .await
            .map_err(|error| self.unreachable(&error))?
        {
            take(&piece)?;
        }
        Ok(())
    }

    fn url(&self, path: &str) -> Result<Url, Failure> {
        self.server
            .with_path(&format!("{PREFIX}{path}"))
            .map_err(|error| Failure::Usage(error.to_string()))
    }

    /// The wanted part of a list. Nothing is asked for yet.
    pub fn list<'a>(
        &'a self,
        path: &'a str,
        filter: &'a [(&'a str, String)],
        page: &Page,
    ) -> Pages<'a> {
        Pages {
            api: self,
            path,
            filter,
            limit: page.limit,
            read: 0,
            next: page.cursor.clone(),
            is_read: false,
            shown: std::convert::identity,
        }
    }

    /// The whole of a list. Nothing is asked for yet.
    pub fn every<'a>(&'a self, path: &'a str, filter: &'a [(&'a str, String)]) -> Pages<'a> {
        let page = Page {
            limit: Limit { limit: 0 },
            cursor: None,
        };
        self.list(path, filter, &page)
    }

    /// All items of a list.
    ///
    /// # Errors
    /// No answer, or one that says no.
    pub async fn all(&self, path: &str, filter: &[(&str, String)]) -> Result<Vec<Value>, Failure> {
        Ok(self.every(path, filter).whole().await?.items)
    }

    async fn page(
        &self,
        path: &str,
        filter: &[(&str, String)],
        limit: u32,
        cursor: Option<String>,
    ) -> Result<Listed, Failure> {
        let mut fields = filter.to_vec();
        fields.push(("limit", limit.to_string()));
        fields.extend(cursor.map(|cursor| ("cursor", cursor)));
        let mut page = self.get(&format!("{path}{}", query(&fields))).await?;
        let Some(Value::Array(items)) = page.get_mut("items").map(Value::take) else {
            return Err(Failure::failed("the server's list is none"));
        };
        let next = page.get("next").and_then(Value::as_str).map(str::to_owned);
        Ok(Listed { items, next })
    }

    async fn send(
        &self,
        method: &str,
        path: &str,
        body: Option<(&str, Vec<u8>)>,
    ) -> Result<Response, Failure> {
        let url = self.url(path)?;
        let method = http::Method::from_bytes(method.as_bytes())
            .map_err(|error| Failure::failed(format!("{method}: {error}")))?;
        let key = idempotency_key();
        let mut headers = vec![("authorization", self.authorization.as_str())];
        if method == http::Method::POST {
            headers.push(("idempotency-key", &key));
        }
        let mut body = match body {
            Some((media_type, body)) => {
                headers.push(("content-type", media_type));
                body
            }
            None => Vec::new(),
        };
        let mut left = PATIENCE;
        loop {
            let again = (body.len() <= REPEATED_BYTES_MAX).then(|| body.clone());
            let sent = self.client.send(method.clone(), &url, &headers, body).await;
            let response = sent.map_err(|error| self.unreachable(&error))?;
            if response.status.is_success() {
                return Ok(response);
            }
            let wait = asked_to_wait(&response).filter(|wait| *wait <= left);
            let (Some(wait), Some(again)) = (wait, again) else {
                return Err(self.refused(response.status, &response.body));
            };
            tokio::time::sleep(wait).await;
            left -= wait;
            body = again;
        }
    }

    /// What an answer that says no comes to.
    pub fn refused(&self, status: http::StatusCode, body: &[u8]) -> Failure {
        match serde_json::from_slice::<Problem>(body) {
            Ok(problem) => problem.into(),
            Err(_) => Failure::failed(format!("{} answered {status}", self.server)),
        }
    }

    fn unreachable(&self, error: &Error) -> Failure {
        Failure::Unreachable(match error {
            Error::Timeout {
                stage: Stage::Request,
                after,
            } => format!(
                "{} has not answered in {} s; it may still be doing what was asked",
                self.server,
                after.as_secs_f32()
            ),
            _ => format!("cannot reach {}: {}", self.server, chain(error)),
        })
    }
}

impl Pages<'_> {
    /// The same with each item as `shown` makes it.
    pub fn shown(self, shown: fn(Value) -> Value) -> Self {
        Pages { shown, ..self }
    }

    /// The next items; none after the last one that is wanted.
    ///
    /// # Errors
    /// No answer, or one that says no.
    pub async fn next(&mut self) -> Result<Option<Vec<Value>>, Failure> {
        while !self.is_read {
            let Some(wanted) = self.limit.left(self.read) else {
                // A full page names the next one even where nothing follows.
                let next = self.next.clone();
                let more = self.api.page(self.path, self.filter, 1, next).await?;
                if more.items.is_empty() {
                    self.next = None;
                }
                self.is_read = true;
                break;
            };
            let next = self.next.take();
            let page = self.api.page(self.path, self.filter, wanted, next);
            let Listed { items, next } = page.await?;
            self.read += items.len();
            self.is_read = next.is_none();
            self.next = next;
            if !items.is_empty() {
                return Ok(Some(items.into_iter().map(self.shown).collect()));
            }
        }
        Ok(None)
    }

    /// The cursor that leads on from where it was read to; none at the end.
    pub fn cursor(self) -> Option<String> {
        self.next
    }

    /// All of it at once.
    ///
    /// # Errors
    /// No answer, or one that says no.
    pub async fn whole(mut self) -> Result<Listed, Failure> {
        let mut items = Vec::new();
        while let Some(page) = self.next().await? {
            items.extend(page);
        }
        Ok(Listed {
            items,
            next: self.cursor(),
        })
    }
}

/// How long a server that has had too many requests asks to wait; nothing of this one was done.
fn asked_to_wait(response: &Response) -> Option<Duration> {
    let is_asked = response.status == http::StatusCode::TOO_MANY_REQUESTS;
    let seconds = response.header("retry-after").filter(|_| is_asked)?;
    seconds.parse().ok().map(Duration::from_secs)
}

fn json(response: &Response) -> Result<Value, Failure> {
    if response.body.is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_slice(&response.body)
        .map_err(|error| Failure::failed(format!("the answer is not JSON: {error}")))
}

/// 128 random bits: the server answers a repeated key with the first answer.
fn idempotency_key() -> String {
    let mut bytes = [0; 16];
    // Without randomness (which has never been seen) the time must do.
    match aws_lc_rs::rand::fill(&mut bytes) {
        Ok(()) => hex(&bytes),
        Err(_) => format!("{}-{:?}", std::process::id(), std::time::Instant::now()),
    }
}

/// An error with its causes, each said once.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        cause = error.source();
    }
    text
}

/// The fields that were given: those of an object that are not null.
pub fn given(mut fields: Value) -> Value {
    if let Value::Object(fields) = &mut fields {
        fields.retain(|_, value| !value.is_null());
    }
    fields
}

/// One path segment, percent-encoded.
pub fn segment(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

/// A query string with its question mark; empty without fields.
pub fn query(fields: &[(&str, String)]) -> String {
    let pairs: Vec<String> = fields
        .iter()
        .map(|(name, value)| format!("{name}={}", segment(value)))
        .collect();
    if pairs.is_empty() {
        String::new()
    } else {
        format!("?{}", pairs.join("&"))
    }
}

#[cfg(test)]
mod tests;
