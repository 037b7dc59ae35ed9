//! Closed lists of words: each value has a word people see and a number the store keeps.

use std::fmt;

macro_rules! words {
    ($($(#[$doc:meta])* $name:ident ($what:literal) { $($(#[$vdoc:meta])* $variant:ident = $word:literal = $code:literal),+ $(,)? })+) => {$(
        $(#[$doc])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
        )]
        #[serde(try_from = "String", into = "String")]
        pub enum $name { $($(#[$vdoc])* $variant),+ }

        impl $name {
            /// Every value, in order.
            pub const ALL: &[$name] = &[$($name::$variant),+];

            /// The word people see.
            pub const fn word(self) -> &'static str {
                match self { $($name::$variant => $word),+ }
            }

            /// The number the store keeps; never reused.
            pub const fn code(self) -> i64 {
                match self { $($name::$variant => $code),+ }
            }

            /// The value for a stored number.
            pub const fn from_code(code: i64) -> Option<$name> {
                match code { $($code => Some($name::$variant),)+ _ => None }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.word())
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::words::UnknownWord;

            fn from_str(text: &str) -> Result<Self, $crate::words::UnknownWord> {
                match text {
                    $($word => Ok($name::$variant),)+
                    _ => Err($crate::words::UnknownWord { what: $what, given: text.chars().take(80).collect(), allowed: &[$($word),+] }),
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = $crate::words::UnknownWord;

            fn try_from(text: String) -> Result<Self, $crate::words::UnknownWord> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> String {
                value.word().to_owned()
            }
        }
    )+};
}

pub(crate) use words;

/// A word that is none of the allowed ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownWord {
    /// What was being named.
    pub what: &'static str,
    /// What was given.
    pub given: String,
    /// What would have been understood.
    pub allowed: &'static [&'static str],
}

impl fmt::Display for UnknownWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is not a known {}; ", self.given, self.what)?;
        if let Some(nearest) = nearest(&self.given, self.allowed) {
            write!(f, "did you mean {nearest:?}? ")?;
        }
        write!(f, "use one of: {}", self.allowed.join(", "))
    }
}

impl std::error::Error for UnknownWord {}

/// The allowed word that was probably meant: the one that takes the fewest single-letter changes,
/// if those are at most a third of it.
pub fn nearest<'a>(given: &str, allowed: &[&'a str]) -> Option<&'a str> {
    // A longer word cannot be near any of ours, and would make the comparison slow.
    if given.len() > 40 {
        return None;
    }
    let near = allowed.iter().map(|word| (distance(given, word), *word));
    let (changes, word) = near.min_by_key(|(changes, _)| *changes)?;
    (changes <= word.chars().count().div_ceil(3)).then_some(word)
}

/// How many letters must be put in, taken out or exchanged to make `a` into `b` (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        if let Some(first) = row.first_mut() {
            *first = left;
        }
        for (cell, to) in row.iter_mut().skip(1).zip(b.chars()) {
            let exchanged = diagonal + usize::from(from != to);
            diagonal = *cell;
            *cell = exchanged.min(diagonal + 1).min(left + 1);
            left = *cell;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_the_one_that_was_meant() {
        let words = ["profile", "operations", "evidence", "reason"];
        assert_eq!(nearest("operation", &words), Some("operations"));
        assert_eq!(nearest("evidnece", &words), Some("evidence"));
        assert_eq!(nearest("Reason", &words), Some("reason"));
        assert_eq!(nearest("zebra", &words), None);
        assert_eq!(nearest(&"x".repeat(1000), &words), None);
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
    }
}
