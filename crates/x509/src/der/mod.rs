//! A flat DER writer and a small TLV reader (X.690): the hot paths and the tolerant ones.
//!
//! The reader borrows, allocates nothing, and comes in two strengths: [`Rules::Der`] for what we
//! issue and for requests, [`Rules::Ber`] for certificates of others, whose lengths may be longer
//! than needed or indefinite.

mod read;
#[cfg(test)]
mod tests;
mod write;

pub use const_oid::ObjectIdentifier;
pub use read::{Reader, Rules, Tlv};
pub use write::Writer;

/// Identifier octets of the universal types we meet (X.690 8.1.2).
pub mod tag {
    /// BOOLEAN.
    pub const BOOLEAN: u8 = 0x01;
    /// INTEGER.
    pub const INTEGER: u8 = 0x02;
    /// BIT STRING.
    pub const BIT_STRING: u8 = 0x03;
    /// OCTET STRING.
    pub const OCTET_STRING: u8 = 0x04;
    /// NULL.
    pub const NULL: u8 = 0x05;
    /// OBJECT IDENTIFIER.
    pub const OID: u8 = 0x06;
    /// ENUMERATED.
    pub const ENUMERATED: u8 = 0x0a;
    /// UTF8String.
    pub const UTF8_STRING: u8 = 0x0c;
    /// PrintableString.
    pub const PRINTABLE_STRING: u8 = 0x13;
    /// TeletexString (T61String).
    pub const TELETEX_STRING: u8 = 0x14;
    /// IA5String.
    pub const IA5_STRING: u8 = 0x16;
    /// UTCTime.
    pub const UTC_TIME: u8 = 0x17;
    /// GeneralizedTime.
    pub const GENERALIZED_TIME: u8 = 0x18;
    /// UniversalString.
    pub const UNIVERSAL_STRING: u8 = 0x1c;
    /// BMPString.
    pub const BMP_STRING: u8 = 0x1e;
    /// SEQUENCE and SEQUENCE OF.
    pub const SEQUENCE: u8 = 0x30;
    /// SET and SET OF.
    pub const SET: u8 = 0x31;

    /// Context-specific, primitive `[n]`.
    #[must_use]
    pub const fn context(n: u8) -> u8 {
        0x80 | n
    }

    /// Context-specific, constructed `[n]`.
    #[must_use]
    pub const fn context_constructed(n: u8) -> u8 {
        0xa0 | n
    }
}
