//! Envoy's external authorization over gRPC (`envoy.service.auth.v3`): one unary call, `Check`, of
//! which a decision needs the client's certificate, its address and the words that the route adds.
//!
//! Messages are Protocol Buffers. Of a message with some hundred fields seven are read here, so there
//! is a reader for what can be on that wire, and no compiler of schemas. What is not known is
//! skipped, as the format asks for.

mod proto;

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use proto::{Reader, Writer};

use crate::limits::{CHECK_BYTES_MAX, CHECK_EXTENSIONS_MAX};

/// The path of the one call.
pub const CHECK_PATH: &str = "/envoy.service.auth.v3.Authorization/Check";

/// The media type of gRPC.
pub const GRPC: &str = "application/grpc";

/// Why a call cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckError {
    /// It ends before its time.
    Truncated,
    /// It is longer than [`CHECK_BYTES_MAX`].
    TooLong,
    /// It is compressed, which was not agreed on.
    Compressed,
    /// It is not in the format.
    Malformed,
    /// A text is not UTF-8.
    NotText,
    /// It has more words of the route than [`CHECK_EXTENSIONS_MAX`].
    TooMany,
}

impl fmt::Display for CheckError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CheckError::Truncated => "the call ends before its time",
            CheckError::TooLong => "the call is too long",
            CheckError::Compressed => "the call is compressed, which was not agreed on",
            CheckError::Malformed => "the call is not a CheckRequest",
            CheckError::NotText => "a text in the call is not UTF-8",
            CheckError::TooMany => "the call has too many context extensions",
        })
    }
}

impl std::error::Error for CheckError {}

/// What a decision needs of a `CheckRequest`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CheckRequest {
    /// The client's certificate, PEM with percent signs; none if it sent none, or if Envoy was not
    /// told to pass it on (`include_peer_certificate`).
    pub certificate: Option<String>,
    /// The address that the client comes from, as Envoy knows it.
    pub source: Option<IpAddr>,
    /// The words that the route adds (`context_extensions`).
    pub extensions: BTreeMap<String, String>,
}

/// The message in the body of a unary gRPC call: one byte that says whether it is compressed, four
/// of length, the message, and nothing behind it.
///
/// # Errors
/// It is anything else.
pub fn unframed(body: &[u8]) -> Result<&[u8], CheckError> {
    let (head, message) = body.split_at_checked(5).ok_or(CheckError::Truncated)?;
    let (&compressed, length) = head.split_first().ok_or(CheckError::Truncated)?;
    if compressed != 0 {
        return Err(CheckError::Compressed);
    }
    let length = length
        .iter()
        .fold(0u64, |n, byte| n << 8 | u64::from(*byte));
    let length = usize::try_from(length).map_err(|_| CheckError::TooLong)?;
    if length > CHECK_BYTES_MAX {
        return Err(CheckError::TooLong);
    }
    match message.len().cmp(&length) {
        std::cmp::Ordering::Equal => Ok(message),
        std::cmp::Ordering::Less => Err(CheckError::Truncated),
        std::cmp::Ordering::Greater => Err(CheckError::Malformed),
    }
}

/// The same the other way round.
pub fn framed(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
    let mut body = vec![0];
    body.extend_from_slice(&length.to_be_bytes());
    body.extend_from_slice(message);
    body
}

impl CheckRequest {
    /// Reads a message.
    ///
    /// # Errors
    /// It is not in the format, or has more in it than any Envoy sends.
    pub fn parse(message: &[u8]) -> Result<CheckRequest, CheckError> {
        let mut check = CheckRequest::default();
        let mut whole = Reader::new(message);
        while let Some((field, value)) = whole.next()? {
            if field == 1 {
                check.attributes(value.bytes()?)?;
            }
        }
        Ok(check)
    }

    /// `AttributeContext`.
    fn attributes(&mut self, message: &[u8]) -> Result<(), CheckError> {
        let mut context = Reader::new(message);
        while let Some((field, value)) = context.next()? {
            match field {
                1 => self.peer(value.bytes()?)?,
                10 => self.extension(value.bytes()?)?,
                _ => {}
            }
        }
        Ok(())
    }

    /// `AttributeContext.Peer`.
    fn peer(&mut self, message: &[u8]) -> Result<(), CheckError> {
        let mut peer = Reader::new(message);
        while let Some((field, value)) = peer.next()? {
            match field {
                1 => self.source = address(value.bytes()?)?,
                5 => {
                    let text = value.text()?;
                    self.certificate = (!text.is_empty()).then(|| text.to_owned());
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// One entry of a map of texts.
    fn extension(&mut self, message: &[u8]) -> Result<(), CheckError> {
        let (mut key, mut word) = ("", "");
        let mut entry = Reader::new(message);
        while let Some((field, value)) = entry.next()? {
            match field {
                1 => key = value.text()?,
                2 => word = value.text()?,
                _ => {}
            }
        }
        self.extensions.insert(key.to_owned(), word.to_owned());
        match self.extensions.len() > CHECK_EXTENSIONS_MAX {
            true => Err(CheckError::TooMany),
            false => Ok(()),
        }
    }
}

/// `config.core.v3.Address`, if it is one of the Internet.
fn address(message: &[u8]) -> Result<Option<IpAddr>, CheckError> {
    let mut found = None;
    let mut address = Reader::new(message);
    while let Some((field, value)) = address.next()? {
        if field == 1 {
            let mut socket = Reader::new(value.bytes()?);
            while let Some((field, value)) = socket.next()? {
                if field == 2 {
                    found = value.text()?.parse().ok();
                }
            }
        }
    }
    Ok(found)
}

/// What Envoy is told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CheckResponse {
    /// Whether the client is let in.
    pub answer: Answer,
    /// Header fields: for the service behind if it is let in, for the client if not. Values that the
    /// client sent under these names are replaced.
    pub headers: Vec<(&'static str, String)>,
}

/// Whether the client is let in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Answer {
    /// It is.
    Allow,
    /// It is not.
    #[default]
    Deny,
}

/// gRPC's word for "no" (`google.rpc.Code.PERMISSION_DENIED`).
const PERMISSION_DENIED: u64 = 7;
/// HTTP's (`envoy.type.v3.StatusCode.Forbidden`).
const FORBIDDEN: u64 = 403;

impl CheckResponse {
    /// The message.
    pub fn encode(&self) -> Vec<u8> {
        let mut headers = Writer::default();
        for (name, value) in &self.headers {
            let mut header = Writer::default();
            header.bytes(1, name.as_bytes());
            header.bytes(2, value.as_bytes());
            let mut option = Writer::default();
            option.bytes(1, &header.finish());
            headers.bytes(2, &option.finish());
        }
        let headers = headers.finish();
        let mut response = Writer::default();
        match self.answer {
            Answer::Allow => {
                response.bytes(1, &[]);
                response.bytes(3, &headers);
            }
            Answer::Deny => {
                let mut status = Writer::default();
                status.number(1, PERMISSION_DENIED);
                response.bytes(1, &status.finish());
                let mut code = Writer::default();
                code.number(1, FORBIDDEN);
                let mut denied = Writer::default();
                denied.bytes(1, &code.finish());
                let mut denied = denied.finish();
                denied.extend_from_slice(&headers);
                response.bytes(2, &denied);
            }
        }
        response.finish()
    }
}

#[cfg(test)]
mod tests;
