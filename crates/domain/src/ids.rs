//! Typed identifiers. A number is a row of this store; a name is what people and devices say.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize, Serializer};

use crate::text::{HIDDEN_RULE, hides, quoted};

macro_rules! numbers {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub i64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )+};
}

numbers! {
    /// A held or quarantined ask in the approval queue.
    AskNo,
    /// A certificate row, ours or found.
    CertificateNo,
    /// A device class row.
    ClassNo,
    /// A compromise: a key or an issuer that is in other hands.
    CompromiseNo,
    /// A device row.
    DeviceNo,
    /// A drill.
    DrillNo,
    /// The position of an event in the order of recording, from 1.
    EventSeq,
    /// An exception.
    ExceptionNo,
    /// A finding row.
    FindingNo,
    /// A hook row.
    HookNo,
    /// An incident row.
    IncidentNo,
    /// An issuer row.
    IssuerNo,
    /// A registered manufacturer row.
    ManufacturerNo,
    /// An operator token row.
    OperatorNo,
    /// An owner row.
    OwnerNo,
    /// A probe of a relying party.
    ProbeNo,
    /// A relying party row.
    RelyingPartyNo,
    /// A one-time secret row.
    SecretNo,
    /// A service row.
    ServiceNo,
    /// A site row.
    SiteNo,
    /// A tenant; every row and event carries one.
    TenantId,
}

impl TenantId {
    /// The one tenant there is until there are more.
    pub const DEFAULT: TenantId = TenantId(1);
}

/// Why a name cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadName {
    /// What kind of name was expected, for the reader.
    pub what: &'static str,
    /// What the rule is.
    pub rule: &'static str,
    /// What was given, shortened to 80 characters.
    pub given: String,
}

impl fmt::Display for BadName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} is not a {}: {}",
            quoted(&self.given),
            self.what,
            self.rule
        )
    }
}

impl std::error::Error for BadName {}

fn bad(what: &'static str, rule: &'static str, given: &str) -> BadName {
    BadName {
        what,
        rule,
        given: given.chars().take(80).collect(),
    }
}

fn is_token(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

/// Issuers and profiles stand in paths, where `.` and `..` mean something else.
fn is_path_token(text: &str) -> bool {
    is_token(text) && !is_dots(text)
}

fn is_dots(text: &str) -> bool {
    text.bytes().all(|b| b == b'.')
}

fn is_title(text: &str) -> bool {
    let length = text.chars().count();
    (1..=128).contains(&length)
        && text.trim() == text
        && !text.chars().any(|c| c.is_control() || c == ';')
}

/// Looks at the name of something new, a device, a site and so on. It is held to more than one that is
/// only looked for, which may have been given before that.
///
/// # Errors
/// It is no name for something new.
pub fn check_new(name: &str) -> Result<(), BadName> {
    if hides(name) {
        return Err(bad("name", HIDDEN_RULE, name));
    }
    if is_dots(name) {
        let rule = "only dots cannot stand in a URL; use a letter or a digit, too";
        return Err(bad("name", rule, name));
    }
    Ok(())
}

/// Reads the name of something new.
///
/// # Errors
/// It is none, or none for something new.
pub fn fresh<T: FromStr<Err = BadName>>(text: &str) -> Result<T, BadName> {
    let name = text.parse()?;
    check_new(text)?;
    Ok(name)
}

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident, $what:literal, $check:ident, $rule:literal;)+) => {$(
        $(#[$doc])*
        ///
        /// Its text is shared by its clones.
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
        #[serde(try_from = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = BadName;

            fn from_str(text: &str) -> Result<Self, BadName> {
                if $check(text) { Ok($name(text.into())) } else { Err(bad($what, $rule, text)) }
            }
        }

        impl TryFrom<String> for $name {
            type Error = BadName;

            fn try_from(text: String) -> Result<Self, BadName> {
                if $check(&text) { Ok($name(text.into())) } else { Err(bad($what, $rule, &text)) }
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0.as_ref().to_owned()
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.serialize_str(&self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )+};
}

names! {
    /// What people and devices call a device; case-sensitive, and the user name in HTTP Basic.
    DeviceId, "device id", is_token, "use 1 to 64 of A-Z a-z 0-9 . _ -";
    /// A short name that also appears in URLs: an issuer, a profile, a rule, a manufacturer.
    Slug, "short name", is_path_token, "use 1 to 64 of A-Z a-z 0-9 . _ -, and not only dots";
    /// A name for people: an owner, a site, a class, a service.
    Title, "name", is_title, "use 1 to 128 characters, no control characters, no semicolon, no space at either end";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_id_has_no_colon_and_at_most_64_characters() {
        assert!("pump-17.hall_3".parse::<DeviceId>().is_ok());
        for bad in ["", "a:b", "a b", "ä", &"x".repeat(65)] {
            assert!(bad.parse::<DeviceId>().is_err(), "{bad:?} was taken");
        }
    }

    #[test]
    fn something_new_is_not_named_by_dots_alone() {
        for dots in [".", "..", "..."] {
            let error = fresh::<DeviceId>(dots).unwrap_err().to_string();
            assert!(error.contains("only dots"), "{error}");
            assert!(fresh::<Title>(dots).is_err());
            assert!(dots.parse::<DeviceId>().is_ok(), "it may be there already");
        }
        assert_eq!(fresh::<DeviceId>("..a").unwrap().as_str(), "..a");
    }

    #[test]
    fn something_new_has_a_name_that_shows_what_it_is() {
        for hidden in [
            '\u{200e}', '\u{200f}', '\u{202a}', '\u{202e}', '\u{2066}', '\u{2069}', '\u{61c}',
            '\u{200b}', '\u{feff}', '\u{ad}', '\u{200d}', '\u{3164}', '\u{fe0f}',
        ] {
            let name = format!("Hall{hidden} 3");
            let error = fresh::<Title>(&name).unwrap_err().to_string();
            assert!(error.contains("type it again without"), "{error}");
            assert!(!error.contains(hidden), "{error:?}");
            assert!(name.parse::<Title>().is_ok(), "it may be there already");
        }
        for seen in ["Hall 3, Süd", "工場 3", "مصنع", "نیروگاه\u{200c}ها"] {
            fresh::<Title>(seen).unwrap();
        }
    }

    #[test]
    fn a_title_may_hold_spaces_but_no_separator() {
        assert!("Hall 3, Süd".parse::<Title>().is_ok());
        for bad in ["", " x", "a;b", "a\nb"] {
            assert!(bad.parse::<Title>().is_err(), "{bad:?} was taken");
        }
    }
}
