use std::{fmt, str::FromStr};

use sha2::{Digest, Sha256};

use crate::{Error, base64};

/// The most signatures a note may carry. The specification asks for at least 16.
pub const SIGNATURES_MAX: usize = 100;

/// The longest note accepted, in bytes.
pub const NOTE_BYTES_MAX: usize = 1 << 20;

const ED25519: u8 = 0x01;

/// A signed note (C2SP signed-note): text, a blank line, signature lines. Parsing proves only its
/// form; [`Note::verify`] says who signed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    text: String,
    signatures: Vec<Signature>,
}

/// One signature line, of a key that may be known or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// The name of the key: not empty, without spaces and plus signs.
    pub name: String,
    /// The first four bytes of a hash over name, type and key.
    pub key_id: [u8; 4],
    /// The signature itself, never empty.
    pub bytes: Vec<u8>,
}

/// An Ed25519 verifier key (type 0x01) with its name. Its text form is `name+key id+base64`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct VerifierKey {
    name: String,
    public: [u8; 32],
}

impl VerifierKey {
    /// Names an Ed25519 public key. The name must not be empty nor hold spaces, control
    /// characters or `+`; it should be the origin of the log.
    pub fn ed25519(name: &str, public: [u8; 32]) -> Result<Self, Error> {
        check_name(name)?;
        Ok(Self {
            name: name.to_owned(),
            public,
        })
    }

    /// The name of the key.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The public key, 32 bytes as in RFC 8032.
    pub fn public(&self) -> &[u8; 32] {
        &self.public
    }

    /// SHA-256(name || 0x0A || 0x01 || public key)\[:4\].
    pub fn key_id(&self) -> [u8; 4] {
        let mut sha = Sha256::new();
        sha.update(self.name.as_bytes());
        sha.update([b'\n', ED25519]);
        sha.update(self.public);
        let [a, b, c, d, ..]: [u8; 32] = sha.finalize().into();
        [a, b, c, d]
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = u32::from_be_bytes(self.key_id());
        let key: Vec<u8> = std::iter::once(ED25519).chain(self.public).collect();
        write!(f, "{}+{id:08x}+{}", self.name, base64::encode(&key))
    }
}

impl FromStr for VerifierKey {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        const BAD: Error = Error::Malformed("verifier key");
        let (name, rest) = text.split_once('+').ok_or(BAD)?;
        let (id, key) = rest.split_once('+').ok_or(BAD)?;
        let public = match base64::decode(key).ok_or(BAD)?.split_first() {
            Some((&ED25519, public)) => public.try_into().map_err(|_| BAD)?,
            Some(_) => return Err(Error::Unsupported("verifier key: not of type Ed25519")),
            None => return Err(BAD),
        };
        let key = Self::ed25519(name, public)?;
        if format!("{:08x}", u32::from_be_bytes(key.key_id())) != id {
            return Err(Error::Inconsistent(
                "verifier key: the key id is not of this name and key",
            ));
        }
        Ok(key)
    }
}

impl Note {
    /// A note without signatures yet. The text must end in a newline and hold no other control
    /// characters.
    pub fn unsigned(text: &str) -> Result<Self, Error> {
        if !text.ends_with('\n') {
            return Err(Error::Malformed("note: the text does not end in a newline"));
        }
        check_characters(text)?;
        Ok(Self {
            text: text.to_owned(),
            signatures: Vec::new(),
        })
    }

    /// Reads a signed note with at least one signature line.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        if bytes.len() > NOTE_BYTES_MAX {
            return Err(Error::Unsupported("note: over 1 MiB"));
        }
        let note = str::from_utf8(bytes).map_err(|_| Error::Malformed("note: not UTF-8"))?;
        check_characters(note)?;
        // The last empty line divides; the text keeps its own final newline.
        let end = note
            .rfind("\n\n")
            .ok_or(Error::Malformed("note: no blank line"))?
            + 1;
        let (text, rest) = note.split_at(end);
        let lines = rest
            .strip_prefix('\n')
            .and_then(|lines| lines.strip_suffix('\n'));
        let lines = lines.ok_or(Error::Malformed("note: no signature line"))?;
        let mut signatures = Vec::new();
        for line in lines.split('\n') {
            if signatures.len() == SIGNATURES_MAX {
                return Err(Error::Unsupported("note: more than 100 signatures"));
            }
            signatures.push(parse_signature(line)?);
        }
        Ok(Self {
            text: text.to_owned(),
            signatures,
        })
    }

    /// The signed text, with its final newline. Not to be believed before [`Note::verify`].
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The signature lines in order.
    pub fn signatures(&self) -> &[Signature] {
        &self.signatures
    }

    /// Adds a signature. `sign` gets the text and answers the 64 bytes of an Ed25519 signature.
    pub fn sign<E>(
        &mut self,
        key: &VerifierKey,
        sign: impl FnOnce(&[u8]) -> Result<Vec<u8>, E>,
    ) -> Result<(), E> {
        let bytes = sign(self.text.as_bytes())?;
        self.signatures.push(Signature {
            name: key.name.clone(),
            key_id: key.key_id(),
            bytes,
        });
        Ok(())
    }

    /// Answers which of the trusted `keys` have signed. `check` gets a key, the text and a
    /// signature, and answers whether it verifies. Signatures of unknown keys are ignored; a false
    /// signature in the name of a known key, or no signature of a known key, is `Inconsistent`.
    pub fn verify<'k>(
        &self,
        keys: &'k [VerifierKey],
        mut check: impl FnMut(&VerifierKey, &[u8], &[u8]) -> bool,
    ) -> Result<Vec<&'k VerifierKey>, Error> {
        let mut signers: Vec<&VerifierKey> = Vec::new();
        for signature in &self.signatures {
            let of_key =
                |key: &&VerifierKey| key.name == signature.name && key.key_id() == signature.key_id;
            let Some(key) = keys.iter().find(of_key) else {
                continue;
            };
            if !check(key, self.text.as_bytes(), &signature.bytes) {
                return Err(Error::Inconsistent("note: a signature does not verify"));
            }
            if !signers.contains(&key) {
                signers.push(key);
            }
        }
        match signers.is_empty() {
            true => Err(Error::Inconsistent("note: not signed by a trusted key")),
            false => Ok(signers),
        }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        for signature in &self.signatures {
            let bytes = [&signature.key_id, signature.bytes.as_slice()].concat();
            writeln!(f, "\u{2014} {} {}", signature.name, base64::encode(&bytes))?;
        }
        Ok(())
    }
}

fn parse_signature(line: &str) -> Result<Signature, Error> {
    const BAD: Error = Error::Malformed("note: signature line");
    let (name, encoded) = line
        .strip_prefix("\u{2014} ")
        .and_then(|rest| rest.split_once(' '))
        .ok_or(BAD)?;
    check_name(name)?;
    let bytes = base64::decode(encoded).ok_or(BAD)?;
    let (key_id, bytes) = bytes.split_first_chunk::<4>().ok_or(BAD)?;
    if bytes.is_empty() {
        return Err(BAD);
    }
    Ok(Signature {
        name: name.to_owned(),
        key_id: *key_id,
        bytes: bytes.to_vec(),
    })
}

fn check_name(name: &str) -> Result<(), Error> {
    let bad = |c: char| c.is_whitespace() || c.is_control() || c == '+';
    if name.is_empty() || name.contains(bad) {
        return Err(Error::Malformed("note: key name"));
    }
    Ok(())
}

fn check_characters(text: &str) -> Result<(), Error> {
    match text.bytes().any(|b| b < b' ' && b != b'\n') {
        true => Err(Error::Malformed("note: control character")),
        false => Ok(()),
    }
}
