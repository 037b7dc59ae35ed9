//! Every limit of the server, in one place. What an operator may want to change is a key of
//! `[limits]` in `tenure.toml` and only has its default here; the rest is fixed.

use std::time::Duration;

use serde::Deserialize;

/// Longest request line and header block read from anyone, in bytes.
pub const HEADER_BYTES_MAX: usize = 32 * 1024;
/// Most header fields in one request.
pub const HEADERS_MAX: usize = 64;
/// Longest header block of one HTTP/2 request, in bytes, as RFC 9113 section 10.5.1 counts it.
pub const H2_HEADER_BYTES_MAX: u32 = 32 * 1024;
/// Requests under way at once on one HTTP/2 connection.
pub const H2_STREAMS_MAX: u32 = 256;
/// Longest path written to the access log, in bytes; the rest is cut.
pub const LOGGED_PATH_BYTES_MAX: usize = 128;
/// Most sources remembered by one rate table; the idle ones are forgotten first.
pub const SOURCES_MAX: usize = 65_536;
/// Largest body of an EST or OCSP request, in bytes (an RSA-4096 request in base64 is under 3 KiB).
pub const DEVICE_BODY_BYTES_MAX: usize = 64 * 1024;
/// Largest OCSP request, in bytes.
pub const OCSP_BODY_BYTES_MAX: usize = 4 * 1024;
/// Largest body of an API call, in bytes; imports have a limit of their own.
pub const API_BODY_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Tables of devices received at once, each into a file.
pub const TABLES_RECEIVED_MAX: usize = 4;
/// Largest table of devices sent in one call, in bytes: a million rows, also as JSON lines. One table is
/// read at a time, and takes up to ten times its size of memory until it is checked and kept.
pub const IMPORT_BODY_BYTES_MAX: usize = 256 * 1024 * 1024;
/// How long the other side may leave what it was sent unread.
pub const SEND_TIME: Duration = Duration::from_secs(60);
/// How much of a body that is too large is read and thrown away before the connection ends.
pub const DISCARDED_BYTES_MAX: usize = 1024 * 1024;
/// How long that may take.
pub const DISCARD_TIME: Duration = Duration::from_secs(2);
/// How long requests under way may take to finish after a stop was asked for.
pub const DRAIN: Duration = Duration::from_secs(10);
/// Certificates read from one peer's TLS chain; longer chains are cut, and so cannot validate.
pub const PEER_CHAIN_MAX: usize = 8;
/// Items on one page of a list of the API.
pub const PAGE_MAX: u32 = 1_000;
/// Items on one page when the caller does not say.
pub const PAGE_DEFAULT: u32 = 100;
/// Largest answer the command line reads, in bytes: as large as a pack may be.
pub const CLI_ANSWER_BYTES_MAX: usize = 256 * 1024 * 1024;
/// How long the command line waits for the answer to a question.
pub const CLI_ANSWER_TIME: Duration = Duration::from_secs(300);
/// How long it waits for the answer to a change: a backup of a large store, or a table that waits for
/// another one, takes long.
pub const CLI_CHANGE_TIME: Duration = Duration::from_secs(3_600);
/// Relying parties probed in one round; the first by name.
pub const PROBED_MAX: u32 = 10_000;
/// Visits to relying parties under way at once.
pub const VISITS_MAX: usize = 64;
/// Streams of trust changes open at once.
pub const STREAMS_MAX: usize = 1_024;
/// Of these with one token.
pub const STREAMS_PER_TOKEN_MAX: usize = 64;
/// Trust changes read from the record at once.
pub const STREAM_BATCH: u32 = 256;
/// Messages that wait for one follower; whoever leaves more unread is told no more.
pub const STREAM_FRAMES: usize = 64;
/// Longest text of a certificate that is asked about, in bytes.
pub const CERTIFICATE_TEXT_BYTES_MAX: usize = 64 * 1024;
/// Hooks that are served; the first by name.
pub const HOOKS_MAX: u32 = 256;
/// Longest a relying party may wait for its feed in one call, in seconds.
pub const FEED_WAIT_S_MAX: u64 = 60;
/// Longest `Idempotency-Key`, in bytes.
pub const IDEMPOTENCY_KEY_BYTES_MAX: usize = 128;

/// Keys made for devices that are kept in memory in case they are asked for again.
pub const MADE_KEYS_MAX: usize = 1_024;
/// How long a key made for a device is kept after it was answered.
pub const MADE_KEY_ANSWERED_LIFE: Duration = Duration::from_secs(600);

/// A published file is sent in pieces of this many bytes.
pub const FILE_CHUNK_BYTES: usize = 64 * 1024;
/// How long a cache may keep a revocation list, in seconds: it adds to the time until a withdrawal
/// is known everywhere.
pub const CRL_MAX_AGE_S: i64 = 300;

/// What one client may use of the server. A source is one IPv4 address or one IPv6 /64. It may make
/// twice as many TLS handshakes as requests, so that who asks too often is told so, and who only shakes
/// hands is not served for ever.
///
/// `0` switches a limit off.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Connections open at once on one listener, from everyone together.
    pub connections: usize,
    /// Connections open at once on one listener from one source. Devices behind one NAT share it.
    pub connections_per_source: usize,
    /// Seconds a client may take for its TLS handshake.
    pub handshake_s: u64,
    /// Seconds a client may take to send its request head; also how long an idle connection is kept.
    pub header_s: u64,
    /// Seconds a client may take to send its body; of a table of devices, how long nothing of it may come.
    pub body_s: u64,
    /// Requests a second on the device listener from one source, and a burst of four times that.
    pub device_requests_per_source_s: u32,
    /// Requests a second on the public listener from one source. Status answers are cheap and
    /// cached; the default is no limit.
    pub public_requests_per_source_s: u32,
    /// Status requests with a nonce a second from one source: each one costs a signature.
    pub nonce_requests_per_source_s: u32,
    /// Requests a second on the operator listener from one source.
    pub operator_requests_per_source_s: u32,
    /// Requests a second on the access listener from one source. A relying party asks for all of its
    /// devices from one address.
    pub access_requests_per_source_s: u32,
    /// Requests a minute from one device, known by its certificate or its id.
    pub requests_per_device_min: u32,
    /// Certificates that one operator may withdraw for good within an hour before another one has to
    /// agree.
    pub revocations_alone_per_hour: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            connections: 16_384,
            connections_per_source: 4_096,
            handshake_s: 10,
            header_s: 30,
            body_s: 30,
            device_requests_per_source_s: 500,
            public_requests_per_source_s: 0,
            nonce_requests_per_source_s: 200,
            operator_requests_per_source_s: 200,
            access_requests_per_source_s: 10_000,
            requests_per_device_min: 60,
            revocations_alone_per_hour: 100,
        }
    }
}
