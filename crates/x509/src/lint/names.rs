//! Whether alternative names and URLs are well formed.

use crate::SanName;

/// Whether a name may be certified as it stands.
pub(super) fn is_well_formed(name: &SanName) -> bool {
    match name {
        SanName::Dns(text) => is_dns_name(text),
        SanName::Email(text) => is_mailbox(text),
        SanName::Uri(text) => is_uri(text),
        SanName::HardwareModule { serial, .. } => !serial.is_empty(),
        SanName::Ip(_) | SanName::Other(_) => true,
    }
}

/// A host name (RFC 1123 2.1), the first label of which may be `*`; no trailing dot, and not
/// something that could be read as an IPv4 address.
fn is_dns_name(text: &str) -> bool {
    let host = text.strip_prefix("*.").unwrap_or(text);
    let all_numeric = host
        .bytes()
        .all(|octet| octet.is_ascii_digit() || octet == b'.');
    !all_numeric && text.len() <= 253 && host.split('.').all(is_label)
}

fn is_label(label: &str) -> bool {
    let hyphen_outside = label.starts_with('-') || label.ends_with('-');
    let characters = label
        .bytes()
        .all(|octet| octet.is_ascii_alphanumeric() || octet == b'-');
    (1..=63).contains(&label.len()) && !hyphen_outside && characters
}

fn is_mailbox(text: &str) -> bool {
    text.rsplit_once('@').is_some_and(|(local, host)| {
        !local.is_empty() && !local.contains(['@', ' ']) && is_dns_name(host)
    })
}

/// A scheme, a colon and something after it, without spaces (RFC 3986 3).
fn is_uri(text: &str) -> bool {
    text.split_once(':').is_some_and(|(scheme, rest)| {
        let starts = scheme
            .bytes()
            .next()
            .is_some_and(|first| first.is_ascii_alphabetic());
        let characters = scheme
            .bytes()
            .all(|octet| octet.is_ascii_alphanumeric() || b"+-.".contains(&octet));
        starts && characters && !rest.is_empty() && !rest.contains([' ', '"', '<', '>'])
    })
}

/// Whether a URL can be fetched by those who check certificates.
pub(super) fn is_http_url(text: &str) -> bool {
    let rest = text
        .strip_prefix("http://")
        .or_else(|| text.strip_prefix("https://"));
    rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/')) && is_uri(text)
}
