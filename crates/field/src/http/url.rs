//! The addresses we can reach: `http` and `https`, by name, IPv4 or IPv6.

use std::fmt;

use crate::http::Error;
use crate::limits::URL_BYTES_MAX;

/// How a server is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// Plain HTTP: for what is signed itself (CRLs, OCSP, the log).
    Http,
    /// HTTP over TLS.
    Https,
}

/// Where a connection goes: what idle connections are kept by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Origin {
    pub scheme: Scheme,
    /// Without the brackets of an IPv6 address.
    pub host: String,
    pub port: u16,
}

/// An absolute URL without user, password and fragment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    pub(crate) origin: Origin,
    /// Starts with a slash; with the query.
    path: String,
}

impl Url {
    /// Reads a URL. [`Error::Url`] for any other scheme, for user names, and for nonsense.
    pub fn parse(text: &str) -> Result<Url, Error> {
        let bad = |what| Error::Url { what };
        if text.len() > URL_BYTES_MAX {
            return Err(bad("it is too long"));
        }
        let uri: http::Uri = text.parse().map_err(|_| bad("it is not a URL"))?;
        let scheme = match uri.scheme_str() {
            Some("http") => Scheme::Http,
            Some("https") => Scheme::Https,
            _ => return Err(bad("it does not start with https:// or http://")),
        };
        let authority = uri.authority().ok_or(bad("it names no host"))?;
        if authority.as_str().contains('@') {
            return Err(bad("it holds a user name; give the identity separately"));
        }
        let host = authority.host();
        let after_host = authority.as_str().strip_prefix(host).unwrap_or_default();
        let host = host
            .strip_prefix('[')
            .and_then(|h| h.strip_suffix(']'))
            .unwrap_or(host);
        if host.is_empty() {
            return Err(bad("it names no host"));
        }
        let port = match (after_host.strip_prefix(':'), scheme) {
            (Some(port), _) => port
                .parse()
                .map_err(|_| bad("its port is not a number to 65535"))?,
            (None, Scheme::Http) => 80,
            (None, Scheme::Https) => 443,
        };
        let path = uri.path_and_query().map_or("/", |p| p.as_str());
        let path = if path.starts_with('/') {
            path.to_owned()
        } else {
            format!("/{path}")
        };
        Ok(Url {
            origin: Origin {
                scheme,
                host: host.to_owned(),
                port,
            },
            path,
        })
    }

    /// The same server, another path. The path starts with a slash.
    pub fn with_path(&self, path: &str) -> Result<Url, Error> {
        match path.strip_prefix('/') {
            // Through the parser again, so that no path can smuggle in what a request line breaks on.
            Some(_) => Url::parse(&format!("{}{path}", self.server())),
            None => Err(Error::Url {
                what: "its path does not start with a slash",
            }),
        }
    }

    /// How it is spoken to.
    pub fn scheme(&self) -> Scheme {
        self.origin.scheme
    }

    /// The host's name or address, an IPv6 address without brackets.
    pub fn host(&self) -> &str {
        &self.origin.host
    }

    /// The port, the scheme's own where none was written.
    pub fn port(&self) -> u16 {
        self.origin.port
    }

    /// The path with its query.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Everything before the path.
    pub fn server(&self) -> String {
        let scheme = match self.origin.scheme {
            Scheme::Http => "http",
            Scheme::Https => "https",
        };
        format!("{scheme}://{}", self.origin.authority())
    }
}

impl Origin {
    /// The value of a `Host` header.
    pub(crate) fn authority(&self) -> String {
        let host = match self.host.contains(':') {
            true => format!("[{}]", self.host),
            false => self.host.clone(),
        };
        match (self.scheme, self.port) {
            (Scheme::Http, 80) | (Scheme::Https, 443) => host,
            (_, port) => format!("{host}:{port}"),
        }
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.server(), self.path)
    }
}
