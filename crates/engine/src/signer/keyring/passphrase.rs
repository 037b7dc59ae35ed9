//! The passphrase that opens a keyring.

use std::fmt;

use zeroize::Zeroizing;

use super::KeyringError;

/// The fewest characters of a passphrase.
pub const PASSPHRASE_CHARS_MIN: usize = 8;
/// The most bytes of a passphrase; more is a file read by mistake.
pub const PASSPHRASE_BYTES_MAX: usize = 1024;

/// What stands in examples and in images that nobody finished setting up. Compared without case,
/// digits and punctuation, so that `Change-Me!` and `password123` are met as well, and with the letters
/// that people write as digits, so that `P@ssw0rd!` is.
const PLACEHOLDERS: &[&str] = &[
    "admin",
    "administrator",
    "changeit",
    "changeme",
    "changemenow",
    "changethis",
    "correcthorsebatterystaple",
    "default",
    "dummy",
    "example",
    "fixme",
    "insecure",
    "letmein",
    "passphrase",
    "password",
    "placeholder",
    "pleasechange",
    "pleasechangeme",
    "qwerty",
    "qwertyui",
    "qwertyuiop",
    "replaceme",
    "replacethis",
    "secret",
    "secretpassword",
    "sample",
    "supersecret",
    "tenure",
    "tenurepassphrase",
    "tenuresecret",
    "test",
    "testing",
    "todo",
    "topsecret",
    "yourpassphrase",
    "yourpassphrasehere",
    "yourpassword",
    "yourpasswordhere",
    "yoursecret",
    "yoursecrethere",
];

/// A passphrase: wiped from memory when dropped, never shown.
#[derive(Clone)]
pub struct Passphrase(Zeroizing<String>);

impl Passphrase {
    /// Takes a passphrase that somebody chose for new keys.
    ///
    /// # Errors
    /// [`KeyringError::WeakPassphrase`] if it is empty, short, overlong, holds a line break (a
    /// file's last one is its reader's to cut off), or is one that examples and unfinished
    /// installations use.
    pub fn new(text: String) -> Result<Passphrase, KeyringError> {
        let text = Zeroizing::new(text);
        match weakness(&text) {
            Some(weakness) => Err(KeyringError::WeakPassphrase(weakness)),
            None => Ok(Passphrase(text)),
        }
    }

    /// Takes the passphrase of keys that are there. They may be locked with what is refused by now, and
    /// whoever knows it must be able to open them and to choose another.
    ///
    /// # Errors
    /// [`KeyringError::WeakPassphrase`] if it is empty, overlong or holds a line break.
    pub fn known(text: String) -> Result<Passphrase, KeyringError> {
        let text = Zeroizing::new(text);
        match unreadable(&text) {
            Some(weakness) => Err(KeyringError::WeakPassphrase(weakness)),
            None => Ok(Passphrase(text)),
        }
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    #[cfg(feature = "pkcs11")]
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase(…)")
    }
}

/// What is wrong with a passphrase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weakness {
    /// It is empty.
    Empty,
    /// It has fewer than [`PASSPHRASE_CHARS_MIN`] characters.
    Short,
    /// It has more than [`PASSPHRASE_BYTES_MAX`] bytes.
    Long,
    /// It holds a line break or another control character.
    ControlCharacter,
    /// It is what stands in examples, or the first keys of a keyboard.
    Placeholder,
}

impl fmt::Display for Weakness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Weakness::Empty => f.write_str("the passphrase is empty"),
            Weakness::Short => {
                write!(
                    f,
                    "the passphrase has fewer than {PASSPHRASE_CHARS_MIN} characters"
                )
            }
            Weakness::Long => {
                write!(
                    f,
                    "the passphrase has more than {PASSPHRASE_BYTES_MAX} bytes"
                )
            }
            Weakness::ControlCharacter => {
                f.write_str("the passphrase holds a line break or another control character")
            }
            Weakness::Placeholder => {
                f.write_str("the passphrase is a placeholder that anyone would try first")
            }
        }
    }
}

fn weakness(text: &str) -> Option<Weakness> {
    if let Some(weakness) = unreadable(text) {
        return Some(weakness);
    }
    if is_placeholder(text) {
        return Some(Weakness::Placeholder);
    }
    (text.chars().count() < PASSPHRASE_CHARS_MIN).then_some(Weakness::Short)
}

/// What no passphrase ever was.
fn unreadable(text: &str) -> Option<Weakness> {
    if text.trim().is_empty() {
        return Some(Weakness::Empty);
    }
    if text.len() > PASSPHRASE_BYTES_MAX {
        return Some(Weakness::Long);
    }
    let has_control = text.chars().any(char::is_control);
    has_control.then_some(Weakness::ControlCharacter)
}

fn is_placeholder(text: &str) -> bool {
    let lower = Zeroizing::new(text.to_lowercase());
    let word = |keep: fn(&char) -> bool| -> Zeroizing<String> {
        Zeroizing::new(lower.chars().filter(keep).collect())
    };
    let letters = word(|c| c.is_alphabetic());
    let letters_and_digits = word(|c| c.is_alphanumeric());
    let known = |word: &str| PLACEHOLDERS.contains(&word);
    // What ends it is an addition (`p@ssw0rd15`) or a letter (`changem3`); a 1 is an i or an l.
    let stem = lower.trim_end_matches(|c: char| !c.is_alphabetic());
    let disguised = [lower.as_str(), stem].into_iter().any(|text| {
        ['i', 'l']
            .into_iter()
            .any(|one| known(&undisguised(text, one)))
    });
    let unfilled = ["<", "${", "{{"].iter().any(|open| lower.starts_with(open));
    unfilled || known(&letters) || disguised || is_run(&lower) || is_run(&letters_and_digits)
}

/// The letters of a text, with those that are written as digits and signs; a 1 stands for `one`.
fn undisguised(text: &str, one: char) -> Zeroizing<String> {
    let letter = |c| match c {
        '@' | '4' => 'a',
        '8' => 'b',
        '3' => 'e',
        '0' => 'o',
        '$' | '5' => 's',
        '7' => 't',
        '1' | '!' => one,
        other => other,
    };
    let letters = text.chars().map(letter).filter(|c| c.is_alphabetic());
    Zeroizing::new(letters.collect())
}

/// Whether each character follows the one before by the same small step: `00000000`, `12345678`,
/// `87654321`, `abcdefgh`.
fn is_run(text: &str) -> bool {
    let steps = || {
        let codes = text.chars().map(|c| match c {
            '0' if text.ends_with("90") => 10 + i64::from(u32::from('0')), // 1234567890
            c => i64::from(u32::from(c)),
        });
        codes
            .clone()
            .zip(codes.skip(1))
            .map(|(one, next)| next - one)
    };
    let first = steps().next();
    first.is_some_and(|first| first.abs() <= 1 && steps().all(|step| step == first))
}
