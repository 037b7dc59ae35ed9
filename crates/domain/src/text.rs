//! How the x509 crate's values look in JSON: `#[serde(with = "text::…")]` modules.

use std::fmt;

macro_rules! as_text {
    ($($(#[$doc:meta])* $module:ident, $type:ty, $parse:expr;)+) => {$(
        $(#[$doc])*
        pub mod $module {
            use serde::{Deserialize, Deserializer, Serializer, de::Error};

            /// Writes the value as its display text.
            pub fn serialize<S: Serializer>(value: &$type, s: S) -> Result<S::Ok, S::Error> {
                crate::text::short(value, |text| s.serialize_str(text))
            }

            /// Reads the value from its display text.
            pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<$type, D::Error> {
                let text = String::deserialize(d)?;
                let parse: fn(&str) -> Option<$type> = $parse;
                parse(&text).ok_or_else(|| D::Error::custom(concat!("not a ", stringify!($module))))
            }

            /// The same for an optional value: `null` when absent.
            pub mod option {
                use serde::{Deserialize, Deserializer, Serializer, de::Error};

                /// Writes the value as its display text, or `null`.
                pub fn serialize<S: Serializer>(
                    value: &Option<$type>,
                    s: S,
                ) -> Result<S::Ok, S::Error> {
                    match value {
                        Some(value) => crate::text::short(value, |text| s.serialize_str(text)),
                        None => s.serialize_none(),
                    }
                }

                /// Reads the value from its display text, or `null`.
                pub fn deserialize<'de, D: Deserializer<'de>>(
                    d: D,
                ) -> Result<Option<$type>, D::Error> {
                    let Some(text) = Option::<String>::deserialize(d)? else { return Ok(None) };
                    let parse: fn(&str) -> Option<$type> = $parse;
                    parse(&text)
                        .map(Some)
                        .ok_or_else(|| D::Error::custom(concat!("not a ", stringify!($module))))
                }
            }
        }
    )+};
}

as_text! {
    /// A time as RFC 3339 in UTC.
    time, tenure_x509::Time, |text| tenure_x509::Time::parse_rfc3339(text).ok();
    /// A serial as lower-case hex.
    serial, tenure_x509::Serial, |text| tenure_x509::Serial::parse_hex(text).ok();
    /// A key hash as lower-case hex.
    key_hash, tenure_x509::KeyHash, |text| crate::text::hex32(text).map(tenure_x509::KeyHash);
    /// A reason by its RFC 5280 name.
    reason, tenure_x509::Reason, |text| text.parse().ok();
}

/// The longest text that [`short`] keeps on the stack, in bytes.
const SHORT: usize = 96;

struct Short {
    text: [u8; SHORT],
    len: usize,
}

impl fmt::Write for Short {
    fn write_str(&mut self, piece: &str) -> fmt::Result {
        let end = self.len + piece.len();
        let room = self.text.get_mut(self.len..end).ok_or(fmt::Error)?;
        room.copy_from_slice(piece.as_bytes());
        self.len = end;
        Ok(())
    }
}

/// Hands the display text of `value` over in one piece, so that whoever escapes it does so once, and
/// without an allocation if it is short.
fn short<T>(value: &impl fmt::Display, take: impl FnOnce(&str) -> T) -> T {
    let mut short = Short {
        text: [0; SHORT],
        len: 0,
    };
    let written = fmt::write(&mut short, format_args!("{value}"));
    match (written, short.text.get(..short.len).map(str::from_utf8)) {
        (Ok(()), Some(Ok(text))) => take(text),
        _ => take(&value.to_string()),
    }
}

/// What is said of a text that holds something hidden.
pub const HIDDEN_RULE: &str = "it holds a control character, or one that is not seen or turns the direction of \
     writing; type it again without";

/// Whether a character is not seen, or changes how those around it are shown: controls, marks of
/// direction, and those without a width or a shape.
pub fn is_hidden(c: char) -> bool {
    c.is_control()
        || is_joiner(c)
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}' | '\u{200e}' | '\u{200f}'
            | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e0fff}')
}

/// The joiner and the non-joiner, which Persian and Indic writing needs between letters.
fn is_joiner(c: char) -> bool {
    matches!(c, '\u{200c}' | '\u{200d}')
}

/// Whether something in a text is hidden. A joiner after a letter or mark of the writings that need it is
/// not (after RFC 5892, appendix A).
pub fn hides(text: &str) -> bool {
    let mut before = ' ';
    text.chars().any(|c| {
        let is_needed = is_joiner(c) && !before.is_ascii() && !is_hidden(before);
        before = c;
        is_hidden(c) && !is_needed
    })
}

/// A text in quotes, with what is hidden in it written out.
pub fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            hidden if is_hidden(hidden) => out.extend(hidden.escape_unicode()),
            seen => out.push(seen),
        }
    }
    out.push('"');
    out
}

/// The longest label, in characters.
pub const LABEL_CHARS_MAX: usize = 128;

/// Looks at a text that somebody typed about a device: its maker, model or serial number.
///
/// # Errors
/// What is wrong with it, and the mend.
pub fn check_label(text: &str) -> Result<(), String> {
    if text.chars().count() > LABEL_CHARS_MAX {
        return Err(format!("use at most {LABEL_CHARS_MAX} characters"));
    }
    match hides(text) {
        true => Err(HIDDEN_RULE.to_owned()),
        false => Ok(()),
    }
}

/// Bytes as lower-case hex.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        for nibble in [byte >> 4, byte & 15] {
            // A nibble is below 16, the length of the table.
            text.push(char::from(DIGITS[usize::from(nibble)]));
        }
    }
    text
}

/// 64 hex digits as 32 bytes; `None` for anything else.
pub fn hex32(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (i, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * i..2 * i + 2)?, 16).ok()?;
    }
    Some(bytes)
}
