//! The wire format of Protocol Buffers: fields with a number and one of four kinds of value.

use super::CheckError;

/// A value as it stands on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value<'a> {
    /// A number, or something that is not looked at.
    Number,
    /// Bytes: a text, or a message of its own.
    Bytes(&'a [u8]),
}

impl<'a> Value<'a> {
    /// The bytes.
    pub(super) fn bytes(self) -> Result<&'a [u8], CheckError> {
        match self {
            Value::Bytes(bytes) => Ok(bytes),
            Value::Number => Err(CheckError::Malformed),
        }
    }

    /// The bytes as text.
    pub(super) fn text(self) -> Result<&'a str, CheckError> {
        std::str::from_utf8(self.bytes()?).map_err(|_| CheckError::NotText)
    }
}

/// Reads the fields of a message, one after the other.
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(message: &'a [u8]) -> Reader<'a> {
        Reader { rest: message }
    }

    /// The next field: its number and its value.
    pub(super) fn next(&mut self) -> Result<Option<(u64, Value<'a>)>, CheckError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let field = tag >> 3;
        if field == 0 || field >= 1 << 29 {
            return Err(CheckError::Malformed);
        }
        let value = match tag & 7 {
            0 => {
                self.varint()?;
                Value::Number
            }
            1 => self.take(8).map(|_| Value::Number)?,
            2 => {
                let length = self.varint()?;
                let length = usize::try_from(length).map_err(|_| CheckError::Truncated)?;
                Value::Bytes(self.take(length)?)
            }
            5 => self.take(4).map(|_| Value::Number)?,
            // Groups were given up long before this message was made.
            _ => return Err(CheckError::Malformed),
        };
        Ok(Some((field, value)))
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], CheckError> {
        let (taken, rest) = self
            .rest
            .split_at_checked(length)
            .ok_or(CheckError::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    /// Seven bits a byte, the lowest first; ten bytes hold 64 bits.
    fn varint(&mut self) -> Result<u64, CheckError> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self.rest.split_first().ok_or(CheckError::Truncated)?;
            self.rest = rest;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return Err(CheckError::Malformed);
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(CheckError::Malformed)
    }
}

/// Writes the fields of a message, one after the other.
#[derive(Default)]
pub(super) struct Writer {
    message: Vec<u8>,
}

impl Writer {
    pub(super) fn number(&mut self, field: u64, value: u64) {
        self.varint(field << 3);
        self.varint(value);
    }

    pub(super) fn bytes(&mut self, field: u64, value: &[u8]) {
        self.varint(field << 3 | 2);
        // A length in memory fits into 64 bits.
        self.varint(value.len() as u64);
        self.message.extend_from_slice(value);
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            // The lowest seven bits, and one that says that more come.
            self.message.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.message.push(value as u8);
    }

    pub(super) fn finish(self) -> Vec<u8> {
        self.message
    }
}
