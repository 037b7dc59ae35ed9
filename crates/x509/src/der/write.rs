//! Writing DER front to back into one buffer.

use super::{ObjectIdentifier, tag};
use crate::Time;

/// Appends DER elements to one buffer.
///
/// Nested elements are written in place and their length filled in afterwards, so a certificate
/// costs one allocation.
#[derive(Debug, Default)]
pub struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    /// An empty writer.
    #[must_use]
    pub const fn new() -> Self {
        Self { bytes: Vec::new() }
    }

    /// An empty writer with room for `octets`.
    #[must_use]
    pub fn with_capacity(octets: usize) -> Self {
        Self {
            bytes: Vec::with_capacity(octets),
        }
    }

    /// What was written.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        self.bytes
    }

    /// Appends octets that are DER already.
    pub fn raw(&mut self, der: &[u8]) {
        self.bytes.extend_from_slice(der);
    }

    /// Appends one element with these contents.
    pub fn tlv(&mut self, tag: u8, value: &[u8]) {
        self.bytes.push(tag);
        self.push_len(value.len());
        self.bytes.extend_from_slice(value);
    }

    /// Appends a constructed element whose contents `write` appends.
    pub fn nest(&mut self, tag: u8, write: impl FnOnce(&mut Self)) {
        self.bytes.push(tag);
        let len_at = self.bytes.len();
        self.bytes.push(0);
        write(self);
        let len = self.bytes.len() - len_at - 1;
        let (octets, count) = len_octets(len);
        // count is 1 to 5; `len_at` was pushed above, so the ranges below exist
        let end = self.bytes.len();
        if count > 1 {
            self.bytes.resize(end + count - 1, 0);
            self.bytes.copy_within(len_at + 1..end, len_at + count);
        }
        self.bytes[len_at..len_at + count].copy_from_slice(&octets[..count]);
    }

    /// Appends a SEQUENCE whose contents `write` appends.
    pub fn sequence(&mut self, write: impl FnOnce(&mut Self)) {
        self.nest(tag::SEQUENCE, write);
    }

    /// Appends an INTEGER from its two's complement octets, as they are.
    pub fn integer(&mut self, value: &[u8]) {
        self.tlv(tag::INTEGER, value);
    }

    /// Appends a non-negative INTEGER.
    pub fn unsigned(&mut self, value: u64) {
        let octets = value.to_be_bytes();
        let start = octets
            .iter()
            .position(|octet| *octet != 0)
            .unwrap_or(octets.len() - 1);
        self.unsigned_octets(octets.get(start..).unwrap_or(&octets));
    }

    /// Appends a non-negative INTEGER from big-endian octets, minimal in the result.
    pub fn unsigned_octets(&mut self, magnitude: &[u8]) {
        let start = magnitude
            .iter()
            .position(|octet| *octet != 0)
            .unwrap_or(magnitude.len());
        let digits = magnitude.get(start..).unwrap_or(&[]);
        let pad = digits.first().is_none_or(|octet| octet & 0x80 != 0);
        self.bytes.push(tag::INTEGER);
        self.push_len(digits.len() + usize::from(pad));
        if pad {
            self.bytes.push(0);
        }
        self.bytes.extend_from_slice(digits);
    }

    /// Appends an OBJECT IDENTIFIER.
    pub fn oid(&mut self, oid: &ObjectIdentifier) {
        self.tlv(tag::OID, oid.as_bytes());
    }

    /// Appends NULL.
    pub fn null(&mut self) {
        self.tlv(tag::NULL, &[]);
    }

    /// Appends BOOLEAN TRUE. (DER leaves out FALSE wherever it is the default.)
    pub fn boolean_true(&mut self) {
        self.tlv(tag::BOOLEAN, &[0xff]);
    }

    /// Appends an OCTET STRING.
    pub fn octet_string(&mut self, value: &[u8]) {
        self.tlv(tag::OCTET_STRING, value);
    }

    /// Appends a BIT STRING of whole octets.
    pub fn octet_bits(&mut self, bits: &[u8]) {
        self.bytes.push(tag::BIT_STRING);
        self.push_len(bits.len() + 1);
        self.bytes.push(0);
        self.bytes.extend_from_slice(bits);
    }

    /// Appends a time as RFC 5280 4.1.2.5 wants it: UTCTime through 2049, then GeneralizedTime.
    pub fn time(&mut self, time: Time) {
        time.write(self);
    }

    /// Appends a GeneralizedTime, whatever the year (OCSP, invalidity dates).
    pub fn generalized_time(&mut self, time: Time) {
        time.write_generalized(self);
    }

    fn push_len(&mut self, len: usize) {
        let (octets, count) = len_octets(len);
        self.bytes.extend(octets.into_iter().take(count));
    }
}

/// The length octets for `len`, and how many of them count.
const fn len_octets(len: usize) -> ([u8; 5], usize) {
    let [.., a, b, c, d] = (len as u64).to_be_bytes();
    match len {
        0..0x80 => ([d, 0, 0, 0, 0], 1),
        0x80..0x100 => ([0x81, d, 0, 0, 0], 2),
        0x100..0x1_0000 => ([0x82, c, d, 0, 0], 3),
        0x1_0000..0x100_0000 => ([0x83, b, c, d, 0], 4),
        _ => ([0x84, a, b, c, d], 5),
    }
}
