//! HTTP Basic credentials (RFC 7617): a device id and its one-time secret.

use std::fmt;

use base64::Engine as _;
use zeroize::Zeroizing;

use super::Error;
use super::body::BASE64;
use crate::limits::{BASIC_ID_BYTES_MAX, BASIC_SECRET_BYTES_MAX};

/// An identity and a secret. The secret is wiped when dropped and never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    id: String,
    secret: Zeroizing<String>,
}

impl Credentials {
    /// Puts credentials together. The id is not empty and holds no colon; neither part holds
    /// control characters (RFC 7617 section 2).
    pub fn new(id: &str, secret: &str) -> Result<Credentials, Error> {
        if id.is_empty() {
            return Err(Error::Malformed {
                what: "the identity before the colon is empty",
            });
        }
        if id.contains(':') {
            return Err(Error::Malformed {
                what: "an identity may not contain a colon",
            });
        }
        if id.len() > BASIC_ID_BYTES_MAX {
            return Err(Error::TooLarge {
                what: "the identity",
                bytes_max: BASIC_ID_BYTES_MAX,
            });
        }
        if secret.len() > BASIC_SECRET_BYTES_MAX {
            return Err(Error::TooLarge {
                what: "the secret",
                bytes_max: BASIC_SECRET_BYTES_MAX,
            });
        }
        if id.chars().chain(secret.chars()).any(char::is_control) {
            return Err(Error::Malformed {
                what: "the credentials hold control characters",
            });
        }
        Ok(Credentials {
            id: id.to_owned(),
            secret: Zeroizing::new(secret.to_owned()),
        })
    }

    /// Reads the value of an `Authorization` header. [`Error::Unsupported`] for another scheme.
    pub fn parse(header: &str) -> Result<Credentials, Error> {
        let (scheme, token) = header.trim().split_once(' ').unwrap_or((header.trim(), ""));
        if !scheme.eq_ignore_ascii_case("basic") {
            return Err(Error::Unsupported {
                what: "an authorization scheme other than Basic",
            });
        }
        let token = token.trim();
        let bytes_max = (BASIC_ID_BYTES_MAX + 1 + BASIC_SECRET_BYTES_MAX).div_ceil(3) * 4;
        if token.len() > bytes_max {
            return Err(Error::TooLarge {
                what: "the Authorization header",
                bytes_max,
            });
        }
        let octets = BASE64.decode(token).map_err(|_| Error::Malformed {
            what: "the Basic credentials are not base64",
        })?;
        let text = String::from_utf8(octets)
            .map(Zeroizing::new)
            .map_err(|_| Error::Malformed {
                what: "the Basic credentials are not UTF-8",
            })?;
        let (id, secret) = text.split_once(':').ok_or(Error::Malformed {
            what: "the Basic credentials have no colon",
        })?;
        Credentials::new(id, secret)
    }

    /// Who this claims to be: everything before the first colon.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The secret: everything after the first colon.
    pub fn secret(&self) -> &str {
        &self.secret
    }

    /// The value of an `Authorization` header.
    pub fn header(&self) -> Zeroizing<String> {
        let pair = Zeroizing::new(format!("{}:{}", self.id, &*self.secret));
        Zeroizing::new(format!("Basic {}", BASE64.encode(pair.as_bytes())))
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").finish_non_exhaustive()
    }
}
