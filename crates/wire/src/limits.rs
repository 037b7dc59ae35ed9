//! Every limit of this crate, in one place. Sizes are octets.

/// Largest body of an EST enrollment request, before base64 is undone.
///
/// A request for an RSA-4096 key is about 2 KiB; post-quantum ones reach some 20 KiB.
pub const ENROLL_BODY_BYTES_MAX: usize = 64 * 1024;

/// Largest EST answer a client reads (chains, CA lists, generated keys), before base64 is undone.
pub const ANSWER_BODY_BYTES_MAX: usize = 512 * 1024;

/// Most attributes read from a list of CSR attributes.
pub const CSR_ATTRIBUTES_MAX: usize = 128;

/// Most parts read from a multipart answer.
pub const MULTIPART_PARTS_MAX: usize = 4;

/// Longest EST label.
pub const LABEL_CHARS_MAX: usize = 64;

/// Longest HTTP Basic identity.
pub const BASIC_ID_BYTES_MAX: usize = 128;

/// Longest HTTP Basic secret.
pub const BASIC_SECRET_BYTES_MAX: usize = 512;

/// Longest wait a `Retry-After` may ask for; a longer one is shortened to this (30 days).
pub const RETRY_AFTER_S_MAX: u64 = 30 * 24 * 3600;

/// Longest line of an event stream, its end not counted.
pub const SSE_LINE_BYTES_MAX: usize = 64 * 1024;

/// Most octets of one event of an event stream.
pub const SSE_EVENT_BYTES_MAX: usize = 256 * 1024;

/// Largest call of Envoy's external authorization; a certificate is some 2 KiB of it.
pub const CHECK_BYTES_MAX: usize = 256 * 1024;

/// Most context extensions in one such call.
pub const CHECK_EXTENSIONS_MAX: usize = 64;
/// Largest MQTT packet read or written, its first bytes not counted.
pub const MQTT_PACKET_BYTES_MAX: usize = 256 * 1024;

/// Longest topic, client identifier, user name or password of MQTT.
pub const MQTT_TEXT_BYTES_MAX: usize = 4 * 1024;
