//! Bodies: base64 in and out, and what else clients send instead.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::{Error, MediaType, PKCS10};
use crate::limits::{ANSWER_BODY_BYTES_MAX, ENROLL_BODY_BYTES_MAX};

/// RFC 4648 base64; padding is written, and not insisted on when reading.
pub(super) const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// How base64 is laid out in what we send.
///
/// strongSwan 5.9 fails when an answer has line breaks inside it; libest fails when it has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Wrapping {
    /// All on one line, with one line break at the end.
    #[default]
    OneLine,
    /// Lines of 64 characters.
    Lines,
}

/// Reads the body of `simpleenroll`, `simplereenroll` or `serverkeygen` and returns the DER of
/// the PKCS#10 request in it. The request itself is not looked into: that is the reader of
/// PKCS#10's part, which also checks its signature.
///
/// Accepted: base64 with or without line breaks (RFC 8951), the same between PEM lines, and plain
/// DER. Errors are [`Error::Media`] (415), [`Error::TooLarge`] (413) and [`Error::Malformed`] (400).
pub fn parse_enroll(body: &[u8], content_type: Option<&str>) -> Result<Vec<u8>, Error> {
    let media = content_type.and_then(MediaType::parse);
    match media.as_ref().map(MediaType::essence) {
        Some("application/pkcs10" | "application/x-pkcs10") => {}
        _ => return Err(Error::Media { expected: PKCS10 }),
    }
    if body.len() > ENROLL_BODY_BYTES_MAX {
        return Err(Error::TooLarge {
            what: "the request",
            bytes_max: ENROLL_BODY_BYTES_MAX,
        });
    }
    decode_der(body)
}

/// Undoes the encoding of an EST answer (certificates, CSR attributes): the device's direction.
/// Accepts what [`parse_enroll`] accepts.
pub fn decode_answer(body: &[u8]) -> Result<Vec<u8>, Error> {
    if body.len() > ANSWER_BODY_BYTES_MAX {
        return Err(Error::TooLarge {
            what: "the answer",
            bytes_max: ANSWER_BODY_BYTES_MAX,
        });
    }
    decode_der(body)
}

/// DER to the base64 text of a body, ending in one line break.
pub fn encode_body(der: &[u8], wrapping: Wrapping) -> String {
    match wrapping {
        Wrapping::OneLine => {
            let mut text = String::with_capacity(der.len() / 3 * 4 + 5);
            BASE64.encode_string(der, &mut text);
            text.push('\n');
            text
        }
        Wrapping::Lines => {
            let line = BASE64.encode(der);
            let mut text = String::with_capacity(line.len() + line.len() / 64 + 2);
            for start in (0..line.len()).step_by(64) {
                let end = line.len().min(start + 64);
                // Base64 is ASCII, so every offset is a character boundary.
                text.push_str(line.get(start..end).unwrap_or_default());
                text.push('\n');
            }
            text
        }
    }
}

/// Base64, PEM or DER to one whole DER SEQUENCE.
pub(super) fn decode_der(body: &[u8]) -> Result<Vec<u8>, Error> {
    let body = body
        .strip_prefix(b"\xef\xbb\xbf")
        .unwrap_or(body)
        .trim_ascii();
    let der = match body.first() {
        None => {
            return Err(Error::Malformed {
                what: "the body is empty",
            });
        }
        // 0x30 opens every SEQUENCE. It is also the letter '0', but base64 that starts with '0'
        // decodes to an octet of 0xd0 or more: never a SEQUENCE, so nothing is lost.
        Some(0x30) => body.to_vec(),
        Some(b'-') => base64_octets(pem_inside(body)?)?,
        Some(_) => base64_octets(body)?,
    };
    one_sequence(der)
}

/// What stands between the first pair of PEM lines.
fn pem_inside(body: &[u8]) -> Result<&[u8], Error> {
    const BAD: Error = Error::Malformed {
        what: "the PEM text has no proper BEGIN and END line",
    };
    let text = body.strip_prefix(b"-----BEGIN ").ok_or(BAD)?;
    let opened = find(text, b"-----").ok_or(BAD)?;
    let inside = text.get(opened + 5..).ok_or(BAD)?;
    let closed = find(inside, b"-----END ").ok_or(BAD)?;
    inside.get(..closed).ok_or(BAD)
}

fn base64_octets(text: &[u8]) -> Result<Vec<u8>, Error> {
    let mut packed = Vec::with_capacity(text.len());
    for line in text.split(u8::is_ascii_whitespace) {
        packed.extend_from_slice(line);
    }
    BASE64.decode(packed).map_err(|_| Error::Malformed {
        what: "the body is not base64",
    })
}

/// Checks that the octets are exactly one SEQUENCE, and neither cut off nor followed by more.
///
/// Indefinite lengths pass: BER answers exist, and their reader decides about them.
fn one_sequence(octets: Vec<u8>) -> Result<Vec<u8>, Error> {
    const NOT: Error = Error::Malformed {
        what: "the body is not a DER sequence",
    };
    const CUT: Error = Error::Malformed {
        what: "the body is cut off",
    };
    let [0x30, first, rest @ ..] = octets.as_slice() else {
        return Err(NOT);
    };
    let length = match first {
        0x80 => return Ok(octets),
        0x00..0x80 => Some((0, usize::from(*first))),
        0x81..=0x84 => {
            let count = usize::from(first & 0x7f);
            rest.get(..count).map(|bytes| {
                (
                    count,
                    bytes
                        .iter()
                        .fold(0usize, |sum, b| (sum << 8) | usize::from(*b)),
                )
            })
        }
        _ => return Err(NOT),
    };
    let (header, length) = length.ok_or(CUT)?;
    match (rest.len() - header).cmp(&length) {
        std::cmp::Ordering::Less => Err(CUT),
        std::cmp::Ordering::Equal => Ok(octets),
        std::cmp::Ordering::Greater => Err(Error::Malformed {
            what: "there is more after the DER sequence",
        }),
    }
}

/// Where `needle` first starts in `hay`.
pub(super) fn find(hay: &[u8], needle: &[u8]) -> Option<usize> {
    hay.windows(needle.len())
        .position(|window| window == needle)
}
