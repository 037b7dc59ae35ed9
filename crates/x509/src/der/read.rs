//! Reading tag, length, value without allocation.

use super::{ObjectIdentifier, tag};
use crate::Error;

/// How deep indefinite lengths may nest before we stop reading.
const INDEFINITE_DEPTH_MAX: usize = 16;

/// How strictly lengths, booleans and integers are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rules {
    /// Distinguished encoding only: minimal definite lengths, minimal integers, `TRUE` is 0xff.
    Der,
    /// Also what some encoders in the field write: longer or indefinite lengths, long integers.
    Ber,
}

/// A position in a sequence of TLVs.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    /// Where `bytes` starts in the outermost input, for error messages.
    origin: usize,
    rules: Rules,
}

/// One element: its identifier octet, its contents, and the octets of the whole.
#[derive(Clone, Copy, Debug)]
pub struct Tlv<'a> {
    /// The identifier octet (class, constructed bit, number below 31).
    pub tag: u8,
    /// The contents octets.
    pub value: &'a [u8],
    /// Header, contents and (if indefinite) end marker, as they stood in the input.
    pub raw: &'a [u8],
    value_origin: usize,
    rules: Rules,
}

/// A header as read: identifier, header length and contents length (`None` is indefinite).
struct Header {
    tag: u8,
    header_len: usize,
    value_len: Option<usize>,
}

impl<'a> Reader<'a> {
    /// Starts at the first octet of `bytes`.
    #[must_use]
    pub const fn new(bytes: &'a [u8], rules: Rules) -> Self {
        Self {
            bytes,
            origin: 0,
            rules,
        }
    }

    /// Whether everything was read.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The octets not yet read.
    #[must_use]
    pub const fn rest(&self) -> &'a [u8] {
        self.bytes
    }

    /// The identifier octet that comes next.
    #[must_use]
    pub fn peek(&self) -> Option<u8> {
        self.bytes.first().copied()
    }

    /// Where we are in the outermost input.
    #[must_use]
    pub const fn offset(&self) -> usize {
        self.origin
    }

    /// Reads one element, whatever it is.
    ///
    /// # Errors
    /// `Malformed` if it is cut off or breaks the rules.
    pub fn any(&mut self, what: &'static str) -> Result<Tlv<'a>, Error> {
        let fail = Error::malformed_at(what, self.origin);
        let header = read_header(self.bytes, self.rules).ok_or(fail)?;
        let after_header = self.bytes.get(header.header_len..).ok_or(fail)?;
        let (value_len, trailer_len) = match header.value_len {
            Some(len) => (len, 0),
            None => (
                indefinite_len(after_header, INDEFINITE_DEPTH_MAX).ok_or(fail)?,
                2,
            ),
        };
        let value = after_header.get(..value_len).ok_or(fail)?;
        let total = header.header_len + value_len + trailer_len;
        let (raw, rest) = self.bytes.split_at_checked(total).ok_or(fail)?;
        let tlv = Tlv {
            tag: header.tag,
            value,
            raw,
            value_origin: self.origin + header.header_len,
            rules: self.rules,
        };
        self.bytes = rest;
        self.origin += total;
        Ok(tlv)
    }

    /// Reads one element that must carry `tag`.
    ///
    /// # Errors
    /// `Malformed` if it is another element, is cut off, or breaks the rules.
    pub fn expect(&mut self, tag: u8, what: &'static str) -> Result<Tlv<'a>, Error> {
        if self.peek() != Some(tag) {
            return Err(Error::malformed_at(what, self.origin));
        }
        self.any(what)
    }

    /// Reads the next element if it carries `tag`.
    ///
    /// # Errors
    /// `Malformed` if it does but is cut off or breaks the rules.
    pub fn optional(&mut self, tag: u8, what: &'static str) -> Result<Option<Tlv<'a>>, Error> {
        if self.peek() == Some(tag) {
            self.any(what).map(Some)
        } else {
            Ok(None)
        }
    }

    /// Reads one constructed element with `tag` and returns a reader of its contents.
    ///
    /// # Errors
    /// As [`Reader::expect`].
    pub fn nested(&mut self, tag: u8, what: &'static str) -> Result<Reader<'a>, Error> {
        self.expect(tag, what).map(|tlv| tlv.reader())
    }

    /// Reads a SEQUENCE and returns a reader of its contents.
    ///
    /// # Errors
    /// As [`Reader::expect`].
    pub fn sequence(&mut self, what: &'static str) -> Result<Reader<'a>, Error> {
        self.nested(tag::SEQUENCE, what)
    }

    /// Reads an OBJECT IDENTIFIER.
    ///
    /// # Errors
    /// `Malformed` if it is none.
    pub fn oid(&mut self, what: &'static str) -> Result<ObjectIdentifier, Error> {
        let offset = self.origin;
        let tlv = self.expect(tag::OID, what)?;
        ObjectIdentifier::from_bytes(tlv.value).map_err(|_| Error::malformed_at(what, offset))
    }

    /// Reads an INTEGER and returns its two's complement octets.
    ///
    /// # Errors
    /// `Malformed` if it is none, is empty, or (under DER) is longer than needed.
    pub fn integer(&mut self, what: &'static str) -> Result<&'a [u8], Error> {
        let offset = self.origin;
        let value = self.expect(tag::INTEGER, what)?.value;
        let minimal = is_minimal_integer(value);
        if value.is_empty() || (!minimal && self.rules == Rules::Der) {
            return Err(Error::malformed_at(what, offset));
        }
        Ok(value)
    }

    /// Reads a small non-negative INTEGER.
    ///
    /// # Errors
    /// `Malformed` if it is negative or does not fit.
    pub fn small_unsigned(&mut self, what: &'static str) -> Result<u32, Error> {
        let offset = self.origin;
        let value = self.integer(what)?;
        unsigned(value).ok_or(Error::malformed_at(what, offset))
    }

    /// Reads a BOOLEAN.
    ///
    /// # Errors
    /// `Malformed` if it is none or (under DER) is neither 0x00 nor 0xff.
    pub fn boolean(&mut self, what: &'static str) -> Result<bool, Error> {
        let offset = self.origin;
        match (self.expect(tag::BOOLEAN, what)?.value, self.rules) {
            ([0x00], _) => Ok(false),
            ([0xff], _) | ([_], Rules::Ber) => Ok(true),
            _ => Err(Error::malformed_at(what, offset)),
        }
    }

    /// Reads a BIT STRING of whole octets.
    ///
    /// # Errors
    /// `Malformed` if it is none or has unused bits.
    pub fn octet_bits(&mut self, what: &'static str) -> Result<&'a [u8], Error> {
        let offset = self.origin;
        match self.expect(tag::BIT_STRING, what)?.value {
            [0, bits @ ..] => Ok(bits),
            _ => Err(Error::malformed_at(what, offset)),
        }
    }

    /// Ends the reading: nothing may be left.
    ///
    /// # Errors
    /// `Malformed` if there is something left.
    pub fn finish(&self, what: &'static str) -> Result<(), Error> {
        if self.bytes.is_empty() {
            Ok(())
        } else {
            Err(Error::malformed_at(what, self.origin))
        }
    }
}

impl<'a> Tlv<'a> {
    /// Reads the contents.
    #[must_use]
    pub const fn reader(&self) -> Reader<'a> {
        Reader {
            bytes: self.value,
            origin: self.value_origin,
            rules: self.rules,
        }
    }

    /// Where the contents start in the outermost input.
    #[must_use]
    pub const fn value_offset(&self) -> usize {
        self.value_origin
    }
}

/// The value of a non-negative INTEGER of at most 32 bits, tolerating leading zeros.
pub(crate) fn unsigned(value: &[u8]) -> Option<u32> {
    if value.first()? & 0x80 != 0 {
        return None;
    }
    let start = value
        .iter()
        .position(|octet| *octet != 0)
        .unwrap_or(value.len());
    let digits = value.get(start..)?;
    if digits.len() > 4 {
        return None;
    }
    Some(
        digits
            .iter()
            .fold(0, |sum, octet| (sum << 8) | u32::from(*octet)),
    )
}

/// Whether an INTEGER has no redundant leading octet (X.690 8.3.2).
pub(crate) const fn is_minimal_integer(value: &[u8]) -> bool {
    match value {
        [] => false,
        [_] => true,
        [0x00, second, ..] => *second & 0x80 != 0,
        [0xff, second, ..] => *second & 0x80 == 0,
        _ => true,
    }
}

fn read_header(bytes: &[u8], rules: Rules) -> Option<Header> {
    let (&tag, rest) = bytes.split_first()?;
    if tag & 0x1f == 0x1f {
        return None; // high tag numbers occur in none of our formats
    }
    let (&first, rest) = rest.split_first()?;
    if first < 0x80 {
        return Some(Header {
            tag,
            header_len: 2,
            value_len: Some(usize::from(first)),
        });
    }
    if first == 0x80 {
        let constructed = tag & 0x20 != 0;
        return (rules == Rules::Ber && constructed).then_some(Header {
            tag,
            header_len: 2,
            value_len: None,
        });
    }
    let count = usize::from(first & 0x7f);
    let digits = rest.get(..count)?;
    let significant = digits.iter().skip_while(|octet| **octet == 0);
    if significant.clone().count() > 4 {
        return None;
    }
    let len = significant.fold(0usize, |sum, octet| (sum << 8) | usize::from(*octet));
    let minimal = digits.first() != Some(&0) && len >= 0x80;
    if !minimal && rules == Rules::Der {
        return None;
    }
    Some(Header {
        tag,
        header_len: 2 + count,
        value_len: Some(len),
    })
}

/// The length of contents that end with an end-of-contents marker, which is not counted.
fn indefinite_len(bytes: &[u8], depth: usize) -> Option<usize> {
    let depth = depth.checked_sub(1)?;
    let mut at = 0;
    loop {
        let rest = bytes.get(at..)?;
        if rest.starts_with(&[0, 0]) {
            return Some(at);
        }
        let header = read_header(rest, Rules::Ber)?;
        let inner = rest.get(header.header_len..)?;
        let value_len = match header.value_len {
            Some(len) => len,
            None => indefinite_len(inner, depth)?.checked_add(2)?,
        };
        if value_len > inner.len() {
            return None;
        }
        at += header.header_len + value_len;
    }
}
