//! Why a request got no answer.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use rustls::AlertDescription;

/// How far a request had come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Finding and reaching the server.
    Connect,
    /// The TLS handshake.
    Handshake,
    /// Sending the request and reading the answer.
    Request,
}

/// Why a request got no answer. An answer with an error status is not one of these.
#[derive(Debug)]
pub enum Error {
    /// The URL cannot be used.
    Url {
        /// What is wrong with it.
        what: &'static str,
    },
    /// The trust anchors or the identity cannot be used.
    Credentials {
        /// What is wrong with them.
        what: &'static str,
    },
    /// The server could not be reached.
    Connect {
        /// Host and port.
        server: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The TLS handshake failed: most often one side does not trust the other.
    Tls {
        /// Host and port.
        server: String,
        /// What the handshake said.
        source: std::io::Error,
    },
    /// It took too long.
    Timeout {
        /// How far it had come.
        stage: Stage,
        /// The limit that passed.
        after: Duration,
    },
    /// The connection broke, or what came back is not HTTP.
    Http {
        /// What the protocol said.
        source: hyper::Error,
    },
    /// The answer is longer than we read.
    TooLarge {
        /// The most octets accepted.
        bytes_max: usize,
    },
    /// The request cannot be written as HTTP.
    Request {
        /// What is wrong with it.
        what: &'static str,
    },
}

impl Error {
    /// The TLS alert with which the other side ended the connection, if it did: the way a service
    /// says that it does not accept a certificate. In TLS 1.3 it arrives after the handshake.
    pub fn alert(&self) -> Option<AlertDescription> {
        let mut link: Option<&(dyn StdError + 'static)> = Some(self);
        while let Some(error) = link {
            if let Some(rustls::Error::AlertReceived(alert)) = error.downcast_ref() {
                return Some(*alert);
            }
            // An io::Error hides what it wraps from `source`.
            let wrapped = error
                .downcast_ref::<std::io::Error>()
                .and_then(|io| io.get_ref());
            link = match wrapped {
                Some(inner) => Some(inner as &(dyn StdError + 'static)),
                None => error.source(),
            };
        }
        None
    }

    /// The reason our side did not accept the server's certificate, if that was it.
    pub fn distrust(&self) -> Option<&rustls::CertificateError> {
        let Error::Tls { source, .. } = self else {
            return None;
        };
        match source.get_ref()?.downcast_ref()? {
            rustls::Error::InvalidCertificate(reason) => Some(reason),
            _ => None,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Url { what } => write!(f, "this URL cannot be used: {what}"),
            Error::Credentials { what } => write!(f, "{what}"),
            Error::Connect { server, .. } => write!(f, "cannot reach {server}"),
            Error::Tls { server, .. } => match (self.distrust(), self.alert()) {
                (Some(_), _) => write!(f, "the certificate of {server} is not trusted"),
                (None, Some(_)) => write!(f, "{server} did not accept the TLS connection"),
                (None, None) => write!(f, "the TLS handshake with {server} failed"),
            },
            Error::Timeout { stage, after } => {
                let doing = match stage {
                    Stage::Connect => "connecting",
                    Stage::Handshake => "the TLS handshake",
                    Stage::Request => "waiting for the answer",
                };
                write!(f, "gave up after {} s of {doing}", after.as_secs_f32())
            }
            Error::Http { .. } => match self.alert() {
                Some(_) => write!(f, "the server ended the TLS connection"),
                None => write!(f, "the connection broke before the answer was complete"),
            },
            Error::TooLarge { bytes_max } => {
                write!(f, "the answer is larger than {bytes_max} bytes")
            }
            Error::Request { what } => write!(f, "the request cannot be sent: {what}"),
        }
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Error::Connect { source, .. } | Error::Tls { source, .. } => Some(source),
            Error::Http { source } => Some(source),
            Error::Url { .. }
            | Error::Credentials { .. }
            | Error::Timeout { .. }
            | Error::TooLarge { .. }
            | Error::Request { .. } => None,
        }
    }
}
