//! Serial numbers and the hex they are written in.

use core::fmt;

use crate::Error;

/// The most octets of a serial read from text; RFC 5280 allows 20, the field has seen more.
const OCTETS_MAX: usize = 256;

/// A certificate's serial number: the contents octets of its DER INTEGER, exactly.
///
/// Two serials are the same when their octets are; a leading zero octet counts.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Serial(Box<[u8]>);

impl Serial {
    /// From 160 random bits: 159 are kept, so that the number is positive (RFC 5280 4.1.2.2). It
    /// always has 20 octets of which the first is not zero, so that all tools write it alike.
    #[must_use]
    pub fn from_random(mut random: [u8; 20]) -> Self {
        random[0] &= 0x7f;
        if random[0] == 0 {
            random[0] = 0x40;
        }
        Self(random.into())
    }

    /// From the contents octets of an INTEGER, whatever they are: a certificate of another CA
    /// may have a negative, zero or very long one.
    #[must_use]
    pub fn from_der_value(value: &[u8]) -> Self {
        Self(value.into())
    }

    /// The contents octets.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Reads hex of the contents octets, in any case, with or without colons.
    ///
    /// # Errors
    /// `Malformed` if it is empty, of odd length, too long, or not hex.
    pub fn parse_hex(text: &str) -> Result<Self, Error> {
        let octets = digits(text).and_then(|digits| from_hex(&digits));
        octets
            .map(|octets| Self(octets.into()))
            .ok_or(Error::malformed(
                "serial number (expected an even number of hex digits)",
            ))
    }

    /// Reads a positive serial as people and tools write it: like [`Serial::parse_hex`], but zeros in
    /// front may be missing, also the zero octet that keeps the number positive (OpenSSL writes none),
    /// or be too many.
    ///
    /// # Errors
    /// `Malformed` if it is empty, too long, or not hex.
    pub fn parse_number(text: &str) -> Result<Self, Error> {
        let octets = digits(text).and_then(|mut digits| {
            if digits.len() % 2 == 1 {
                digits.insert(0, b'0');
            }
            from_hex(&digits)
        });
        let fail = Error::malformed("serial number (expected hex digits)");
        let Some(octets) = octets else {
            return Err(fail);
        };
        let zeros = octets.iter().take_while(|octet| **octet == 0).count();
        let number = octets.get(zeros..).unwrap_or_default();
        let is_positive = number.first().is_some_and(|first| first & 0x80 == 0);
        let sign: &[u8] = if is_positive { &[] } else { &[0] };
        let octets = [sign, number].concat();
        match octets.len() <= OCTETS_MAX {
            true => Ok(Self(octets.into())),
            false => Err(fail),
        }
    }
}

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, &self.0)
    }
}

impl fmt::Debug for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Serial({self})")
    }
}

/// The digits without their colons, unless there are none or too many.
fn digits(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = text.bytes().filter(|octet| *octet != b':').collect();
    (1..=2 * OCTETS_MAX)
        .contains(&digits.len())
        .then_some(digits)
}

/// Writes octets as lower-case hex.
pub(crate) fn write_hex(f: &mut fmt::Formatter<'_>, octets: &[u8]) -> fmt::Result {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for chunk in octets.chunks(32) {
        let mut text = [0; 64];
        for (digits, octet) in text.chunks_exact_mut(2).zip(chunk) {
            // A nibble is below 16, the length of the table.
            digits[0] = DIGITS[usize::from(octet >> 4)];
            digits[1] = DIGITS[usize::from(octet & 15)];
        }
        // A chunk has at most 32 octets, and digits are ASCII.
        let text = text.get(..chunk.len() * 2).unwrap_or_default();
        f.write_str(str::from_utf8(text).map_err(|_| fmt::Error)?)?;
    }
    Ok(())
}

/// Reads an even number of hex digits.
pub(crate) fn from_hex(digits: &[u8]) -> Option<Vec<u8>> {
    let (pairs, rest) = digits.as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    let nibble = |digit: u8| char::from(digit).to_digit(16);
    pairs
        .iter()
        .map(|[high, low]| u8::try_from(nibble(*high)? << 4 | nibble(*low)?).ok())
        .collect()
}
