//! Every limit of this crate, in one place.

use std::time::Duration;

/// Largest body read from a server, unless the caller says otherwise.
pub const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Largest CRL fetched to check a peer: some two and a half million entries.
pub const CRL_BYTES_MAX: usize = 128 * 1024 * 1024;

/// Largest revocation filter fetched.
pub const FILTER_BYTES_MAX: usize = tenure_x509::filter::FILTER_OCTETS_MAX;

/// Largest OCSP answer read.
pub const OCSP_BYTES_MAX: usize = 64 * 1024;

/// Longest text of a server's refusal that is kept, in characters.
pub const REASON_CHARS_MAX: usize = 500;

/// Most header fields read from a server.
pub const HEADERS_MAX: usize = 100;

/// Most octets of header fields read from a server.
pub const HEADER_BYTES_MAX: usize = 64 * 1024;

/// Idle connections kept for each server.
pub const IDLE_CONNECTIONS_MAX: usize = 8;

/// How often a connection is tried before giving up. Only connecting is ever tried again: what
/// was sent once may have been acted on.
pub const CONNECT_TRIES: u32 = 3;

/// Pause before the second try to connect; doubled before each further one.
pub const CONNECT_PAUSE: Duration = Duration::from_millis(100);

/// Longest URL accepted, in octets.
pub const URL_BYTES_MAX: usize = 2048;

/// Largest file read from an identity directory.
pub const IDENTITY_FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Largest file that says how to follow a feed.
pub const CONNECTION_BYTES_MAX: u64 = 64 * 1024;

/// Revocation lists kept by a checker.
pub const CRLS_KEPT_MAX: usize = 256;

/// Largest file of a trust store.
pub const TRUST_STORE_FILE_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// Most files in a directory of a trust store.
pub const TRUST_STORE_FILES_MAX: usize = 8_000;

/// Most anchors of a trust store: as many as a server takes.
pub const TRUST_STORE_ANCHORS_MAX: usize = 2_000;
