//! The seal: what only the passphrase's owner can put on a record and its key file.
//!
//! A record says which doors its key opens and, for a key in a token, which library to load and
//! where the PIN comes from. Whoever could change it unnoticed could make an OCSP key sign
//! certificates, or have us hand a PIN to a library of theirs. So nothing in a record is believed,
//! nothing is decrypted and no library is loaded, before the seal is found whole.
//!
//! The seal is HMAC-SHA256 over the record's and the key's octets as they lie on disk, under a key
//! that scrypt makes of the passphrase and a salt of the seal's own, at the cost of the key
//! encryption itself: guessing is no cheaper here than there. A second tag over nothing but a
//! constant tells a wrong passphrase from a changed file. Cost and algorithms go with the name of
//! the seal, so nobody can write a cheaper one into the file.

use aws_lc_rs::{hmac, rand};
use pkcs8::pkcs5::scrypt;
use tenure_domain::text::hex;
use zeroize::Zeroizing;

use super::{KeyringError, Passphrase};

/// How a seal line begins.
const NAME: &str = "tenure-seal-1";

/// scrypt: N = 2^14, r = 8, p = 1 (16 MiB), as for the keys themselves.
const SCRYPT_LOG_N: u8 = 14;
const SCRYPT_R: u32 = 8;
const SCRYPT_P: u32 = 1;

const CHECK: &[u8] = b"tenure seal 1: the passphrase is right";
const COVER: &[u8] = b"tenure seal 1: this record with this key\0";

/// A seal as it stands in a key file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seal {
    salt: [u8; 16],
    check: [u8; 32],
    tag: [u8; 32],
}

/// What is behind a seal that does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Broken {
    /// It was made with another passphrase.
    OtherPassphrase,
    /// The record or the key is not what was sealed.
    Changed,
}

impl Seal {
    /// Seals a record and what is kept of its key.
    pub(super) fn make(
        passphrase: &Passphrase,
        record: &str,
        key: &str,
    ) -> Result<Seal, KeyringError> {
        let mut salt = [0; 16];
        rand::fill(&mut salt).map_err(|_| KeyringError::Cryptography {
            doing: "get random octets",
        })?;
        let hmac_key = derive(passphrase, &salt)?;
        let check = octets(hmac::sign(&hmac_key, CHECK));
        let tag = octets(hmac::sign(&hmac_key, &covered(record, key)));
        Ok(Seal { salt, check, tag })
    }

    /// Says whether the seal was made with this passphrase over these two.
    pub(super) fn verify(
        &self,
        passphrase: &Passphrase,
        record: &str,
        key: &str,
    ) -> Result<Result<(), Broken>, KeyringError> {
        let hmac_key = derive(passphrase, &self.salt)?;
        if hmac::verify(&hmac_key, CHECK, &self.check).is_err() {
            return Ok(Err(Broken::OtherPassphrase));
        }
        let whole = hmac::verify(&hmac_key, &covered(record, key), &self.tag);
        Ok(whole.map_err(|_| Broken::Changed))
    }

    /// The seal as one line of text.
    pub(super) fn line(&self) -> String {
        let (salt, check, tag) = (hex(&self.salt), hex(&self.check), hex(&self.tag));
        format!("{NAME} {salt} {check} {tag}\n")
    }

    /// Takes the seal off the head of a key file; what follows is the key.
    pub(super) fn take(text: &str) -> Option<(Seal, &str)> {
        let (line, key) = text.split_once('\n')?;
        let mut words = line.split(' ');
        if words.next()? != NAME {
            return None;
        }
        let salt = unhex(words.next()?)?;
        let check = unhex(words.next()?)?;
        let tag = unhex(words.next()?)?;
        words
            .next()
            .is_none()
            .then_some((Seal { salt, check, tag }, key))
    }
}

fn derive(passphrase: &Passphrase, salt: &[u8]) -> Result<hmac::Key, KeyringError> {
    const FAIL: KeyringError = KeyringError::Cryptography {
        doing: "derive a key with scrypt",
    };
    let cost = scrypt::Params::new(SCRYPT_LOG_N, SCRYPT_R, SCRYPT_P).map_err(|_| FAIL)?;
    let mut key = Zeroizing::new([0; 32]);
    scrypt::scrypt(passphrase.as_bytes(), salt, &cost, &mut *key).map_err(|_| FAIL)?;
    Ok(hmac::Key::new(hmac::HMAC_SHA256, &*key))
}

/// Both texts, so that no octet can move from one to the other.
fn covered(record: &str, key: &str) -> Vec<u8> {
    let mut covered = COVER.to_vec();
    covered.extend_from_slice(&(record.len() as u64).to_be_bytes());
    covered.extend_from_slice(record.as_bytes());
    covered.extend_from_slice(key.as_bytes());
    covered
}

fn octets(tag: hmac::Tag) -> [u8; 32] {
    let mut octets = [0; 32];
    octets.copy_from_slice(tag.as_ref()); // HMAC-SHA256 has 32 octets
    octets
}

fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.len() != 2 * N || !text.bytes().all(|c| c.is_ascii_hexdigit()) {
        return None;
    }
    let mut octets = [0; N];
    for (octet, digits) in octets.iter_mut().zip(text.as_bytes().chunks(2)) {
        *octet = u8::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(octets)
}
