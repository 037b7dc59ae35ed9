//! `serverkeygen`: a private key and its certificate in one `multipart/mixed` answer (RFC 7030
//! section 4.4.2).

use zeroize::Zeroizing;

use super::body::{decode_answer, encode_body, find};
use super::{CERTS_ONLY, Error, MediaType, PKCS8, TRANSFER_ENCODING, Wrapping};
use crate::limits::{ANSWER_BODY_BYTES_MAX, MULTIPART_PARTS_MAX};

/// How the private key of an answer is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyFormat {
    /// PKCS#8, protected by TLS alone.
    Pkcs8,
    /// A CMS EnvelopedData that only the device can open.
    Enveloped,
}

/// What a device gets from `serverkeygen`.
pub struct GeneratedKey {
    /// What `key` is.
    pub format: KeyFormat,
    /// The key in DER; wiped when dropped.
    pub key: Zeroizing<Vec<u8>>,
    /// The certs-only CMS message in DER.
    pub certs: Vec<u8>,
}

const ENVELOPED: &str = "application/pkcs7-mime; smime-type=server-generated-key";

/// Writes the answer; returns its `Content-Type` value and its body.
///
/// `boundary` is random text of the caller: 1 to 70 letters and digits. Parts carry the
/// `Content-Transfer-Encoding` header that older clients want; newer ones ignore it.
pub fn build_generated_key(
    answer: &GeneratedKey,
    boundary: &str,
    wrapping: Wrapping,
) -> Result<(String, Zeroizing<String>), Error> {
    let plain = boundary.bytes().all(|b| b.is_ascii_alphanumeric());
    if boundary.is_empty() || boundary.len() > 70 || !plain {
        return Err(Error::Malformed {
            what: "a boundary is 1 to 70 letters and digits",
        });
    }
    let key_type = match answer.format {
        KeyFormat::Pkcs8 => PKCS8,
        KeyFormat::Enveloped => ENVELOPED,
    };
    let key = Zeroizing::new(encode_body(&answer.key, wrapping));
    let certs = encode_body(&answer.certs, wrapping);
    let (transfer, base64) = TRANSFER_ENCODING;
    let mut body = Zeroizing::new(String::with_capacity(key.len() + certs.len() + 1024));
    for (media_type, text) in [(key_type, key.as_str()), (CERTS_ONLY, certs.as_str())] {
        for line in [
            &format!("--{boundary}\r\n"),
            &format!("Content-Type: {media_type}\r\n"),
            &format!("{transfer}: {base64}\r\n\r\n"),
            text.trim_end(),
            "\r\n",
        ] {
            body.push_str(line);
        }
    }
    body.push_str(&format!("--{boundary}--\r\n"));
    Ok((format!("multipart/mixed; boundary={boundary}"), body))
}

/// Reads the answer, in whatever order its two parts stand.
pub fn parse_generated_key(body: &[u8], content_type: &str) -> Result<GeneratedKey, Error> {
    const WANTED: Error = Error::Media {
        expected: "multipart/mixed with a boundary",
    };
    if body.len() > ANSWER_BODY_BYTES_MAX {
        return Err(Error::TooLarge {
            what: "the answer",
            bytes_max: ANSWER_BODY_BYTES_MAX,
        });
    }
    let media = MediaType::parse(content_type).ok_or(WANTED)?;
    let boundary = media
        .parameter("boundary")
        .filter(|b| !b.is_empty() && b.len() <= 70);
    let (Some(boundary), "multipart/mixed") = (boundary, media.essence()) else {
        return Err(WANTED);
    };
    let (mut key, mut certs) = (None, None);
    for part in parts(body, boundary)? {
        let (media, content) = part_content(part)?;
        let smime = media.parameter("smime-type").map(str::to_ascii_lowercase);
        let slot = match (media.essence(), smime.as_deref()) {
            ("application/pkcs8", _) => key
                .replace((KeyFormat::Pkcs8, Zeroizing::new(content)))
                .is_some(),
            ("application/pkcs7-mime", Some("server-generated-key")) => key
                .replace((KeyFormat::Enveloped, Zeroizing::new(content)))
                .is_some(),
            ("application/pkcs7-mime", _) => certs.replace(content).is_some(),
            _ => {
                return Err(Error::Unsupported {
                    what: "a part that is neither key nor certificate",
                });
            }
        };
        if slot {
            return Err(Error::Malformed {
                what: "the same kind of part comes twice",
            });
        }
    }
    match (key, certs) {
        (Some((format, key)), Some(certs)) => Ok(GeneratedKey { format, key, certs }),
        _ => Err(Error::Malformed {
            what: "the answer lacks the key or the certificate",
        }),
    }
}

/// The parts between the boundary lines (RFC 2046 section 5.1.1).
fn parts<'a>(body: &'a [u8], boundary: &str) -> Result<Vec<&'a [u8]>, Error> {
    const OPEN: Error = Error::Malformed {
        what: "the multipart answer has no closing boundary",
    };
    let delimiter = format!("--{boundary}").into_bytes();
    let mut rest = match find(body, &delimiter) {
        Some(at) => body.get(at + delimiter.len()..).ok_or(OPEN)?,
        None => return Err(OPEN),
    };
    let mut parts = Vec::new();
    while !rest.starts_with(b"--") {
        let end = find(rest, &delimiter).ok_or(OPEN)?;
        parts.push(rest.get(..end).ok_or(OPEN)?);
        if parts.len() > MULTIPART_PARTS_MAX {
            return Err(Error::Unsupported {
                what: "so many parts",
            });
        }
        rest = rest.get(end + delimiter.len()..).ok_or(OPEN)?;
    }
    Ok(parts)
}

/// A part's media type, and its content with the base64 undone.
fn part_content(part: &[u8]) -> Result<(MediaType, Vec<u8>), Error> {
    const BAD: Error = Error::Malformed {
        what: "a part has no content type",
    };
    let part = part.trim_ascii_start();
    let (head_end, gap) = match (find(part, b"\r\n\r\n"), find(part, b"\n\n")) {
        (Some(at), _) => (at, 4),
        (None, Some(at)) => (at, 2),
        (None, None) => return Err(BAD),
    };
    let head = part
        .get(..head_end)
        .and_then(|head| std::str::from_utf8(head).ok())
        .ok_or(BAD)?;
    let content = part.get(head_end + gap..).ok_or(BAD)?;
    let value = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.trim()
            .eq_ignore_ascii_case("content-type")
            .then_some(value.trim())
    });
    let media = value.and_then(MediaType::parse).ok_or(BAD)?;
    Ok((media, decode_answer(content)?))
}
